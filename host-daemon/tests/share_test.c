/* SPDX-License-Identifier: MIT */
/*
 * The compute share in model time: clients that keep the rules of leases, or don't, on a device
 * that does nothing but pass the time. GUESTCL_SEED repeats a run.
 */
#include <stdlib.h>
#include <string.h>

#include "share.h"
#include "test.h"

#define MS	    INT64_C(1000000)
#define ACTORS_MAX  16
#define WINDOW	    (2000 * MS)
#define WINDOWS_MAX 64

/* A session that has one command after another. */
struct actor {
	struct gcl_share_client client;
	struct gcl_share_flow *flow;
	int64_t length; /* of a command */
	int64_t gap;	/* that the device idles after each, though there is the next */
	int64_t thinks; /* between two commands; 0: it always has more */
	bool keeps;	/* never gives back */
	int says;	/* percent of its device time that it tells */
	uint64_t told;	/* device time of the commands that have ended, as it tells */
	bool runs;	/* a command does */
	bool present;
	int64_t next;	/* what it does next: its command ends, or it wants more */
	int64_t wanted; /* since when it waits */
	int64_t worst;	/* that it had to wait */
	int64_t used[WINDOWS_MAX];
};

static struct gcl_share share;
static struct gcl_share_flow flows[ACTORS_MAX];
static struct actor actors[ACTORS_MAX];
static int count;
static int64_t now;
static int64_t idle; /* time that nobody had though somebody wanted it */

static int setup(void **state)
{
	(void)state;
	gcl_share_init(&share, 1);
	memset(actors, 0, sizeof actors);
	for (int i = 0; i < ACTORS_MAX; i++)
		gcl_share_flow_init(&flows[i]);
	count = 0;
	now = 1000 * MS;
	idle = 0;
	return 0;
}

static struct actor *actor_add(int flow, int64_t length, int64_t thinks)
{
	struct actor *actor = &actors[count++];

	*actor = (struct actor){.flow = &flows[flow],
				.length = length,
				.thinks = thinks,
				.says = 100,
				.present = true};
	gcl_share_client_init(&actor->client, actor->flow, now, 0);
	return actor;
}

static void use(struct actor *actor, int64_t from, int64_t to)
{
	int64_t window = (from - 1000 * MS) / WINDOW;

	if (window < WINDOWS_MAX)
		actor->used[window] += to - from;
}

static struct actor *actor_of(struct gcl_share_client *client)
{
	return gcl_container_of(client, struct actor, client);
}

static void look(void)
{
	gcl_list_for_each_safe (it, next, &share.users) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, using);

		gcl_share_measure(client, now, actor_of(client)->told, actor_of(client)->runs);
	}
}

static void command_begin(struct actor *actor)
{
	use(actor, now, now + actor->length);
	actor->next = now + actor->length + actor->gap;
	actor->runs = true;
}

static void command_end(struct actor *actor)
{
	if (actor->runs)
		actor->told += (uint64_t)(actor->length * actor->says / 100);
	actor->runs = false;
}

/* Begins a command, or wants to, or gives back. */
static void actor_go(struct actor *actor)
{
	if (!actor->client.holding) {
		if (!actor->client.waiting)
			actor->wanted = now;
		gcl_share_want(&share, &actor->client, now);
		actor->next = INT64_MAX;
	} else if (now < actor->client.until) {
		command_begin(actor);
	} else {
		actor->wanted = now;
		gcl_share_want(&share, &actor->client, now);
		actor->next = INT64_MAX;
	}
}

static void actor_step(struct actor *actor)
{
	if (!actor->keeps)
		command_end(actor);
	look();
	if (actor->keeps && actor->client.holding) {
		actor->next = INT64_MAX;
	} else if (actor->client.holding && actor->thinks) {
		gcl_share_done(&share, &actor->client, now);
		actor->next = now + actor->thinks;
	} else {
		actor_go(actor);
	}
}

static bool anybody_holds(void)
{
	return !gcl_list_empty(&share.holders);
}

static int64_t leases_give(void)
{
	struct gcl_share_client *client;
	int64_t again;

	look();
	while ((client = gcl_share_pick(&share, now, &again))) {
		struct actor *actor = actor_of(client);

		actor->worst = GCL_MAX(actor->worst, now - actor->wanted);
		command_begin(actor);
	}
	if (anybody_holds())
		again = GCL_MIN(again, now + GCL_SHARE_LOOK_NS);
	return again;
}

static void run(int64_t end)
{
	while (now < end) {
		int64_t next = leases_give();

		for (int i = 0; i < count; i++) {
			if (actors[i].present)
				next = GCL_MIN(next, actors[i].next);
		}
		next = GCL_MIN(next, end);
		if (!anybody_holds() && gcl_share_contended(&share))
			idle += next - now;
		now = GCL_MAX(next, now);
		for (int i = 0; i < count; i++) {
			if (actors[i].present && actors[i].next <= now)
				actor_step(&actors[i]);
		}
	}
}

static void all_begin(void)
{
	for (int i = 0; i < count; i++)
		actors[i].next = now;
}

static int64_t used_by(int flow, int from, int to)
{
	int64_t sum = 0;

	for (int i = 0; i < count; i++) {
		for (int window = from; actors[i].flow == &flows[flow] && window < to; window++)
			sum += actors[i].used[window];
	}
	return sum;
}

static double jain(int of, int window)
{
	double sum = 0., squares = 0.;

	for (int i = 0; i < of; i++) {
		double used = (double)used_by(i, window, window + 1);

		sum += used;
		squares += used * used;
	}
	return sum * sum / (of * squares);
}

/* ------------------------------------------------------------ the tests */

static void test_equal(void **state)
{
	static const int64_t lengths[] = {MS / 20, 20 * MS, MS / 2, 3 * MS};

	for (int of = 2; of <= 16; of *= 2) {
		setup(state);
		for (int i = 0; i < of; i++)
			actor_add(i, lengths[i % 4], 0);
		all_begin();
		run(now + 4 * WINDOW);
		for (int window = 0; window < 4; window++)
			assert_true(jain(of, window) >= 0.98);
		assert_int_equal(idle, 0);
	}
}

/* Many sessions of one account count as one. */
static void test_sessions(void **state)
{
	(void)state;
	for (int i = 0; i < 7; i++)
		actor_add(0, MS, 0);
	actor_add(1, MS, 0);
	all_begin();
	run(now + 2 * WINDOW);
	assert_true(jain(2, 0) >= 0.99 && jain(2, 1) >= 0.99);
	for (int i = 0; i < 7; i++)
		assert_in_range(actors[i].used[0], WINDOW / 14 * 8 / 10, WINDOW / 14 * 12 / 10);
}

static void test_weights(void **state)
{
	static const int64_t lengths[][3] = {
		{MS / 20, MS / 20, MS / 20}, {20 * MS, 20 * MS, 20 * MS}, {20 * MS, MS, MS / 20}};

	for (size_t kind = 0; kind < GCL_ARRAY_SIZE(lengths); kind++) {
		setup(state);
		for (int i = 0; i < 3; i++) {
			actor_add(i, lengths[kind][i], 0);
			gcl_share_flow_set(&flows[i], 1u << i, GCL_SHARE_NORMAL, 0);
		}
		all_begin();
		run(now + 4 * WINDOW);
		for (int i = 0; i < 3; i++) {
			double share_of = (double)used_by(i, 0, 4) / (4. * WINDOW) * 7 / (1 << i);

			assert_true(share_of > 0.95 && share_of < 1.05);
		}
	}
}

/* The extremes: nobody starves. */
static void test_weights_far(void **state)
{
	(void)state;
	actor_add(0, MS, 0);
	actor_add(1, MS, 0);
	gcl_share_flow_set(&flows[1], 1000, GCL_SHARE_NORMAL, 0);
	all_begin();
	run(now + 8 * WINDOW);
	assert_in_range(used_by(0, 0, 8), 8 * WINDOW / 1001 / 2, 8 * WINDOW / 1001 * 2);
}

static void test_priority(void **state)
{
	static const enum gcl_share_priority priorities[] = {GCL_SHARE_HIGH, GCL_SHARE_NORMAL,
							     GCL_SHARE_LOW};
	int64_t used[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		actor_add(i, MS, 0);
		gcl_share_flow_set(&flows[i], 1, priorities[i], 0);
	}
	all_begin();
	run(now + 8 * WINDOW);
	for (int i = 0; i < 3; i++)
		used[i] = used_by(i, 0, 8);
	assert_true(used[0] > 12 * used[1] && used[0] < 20 * used[1]);
	assert_true(used[1] > 12 * used[2] && used[1] < 20 * used[2]);
	assert_true(used[2] > 0);
}

/* A ceiling holds when nobody else wants the device, too. */
static void test_ceiling(void **state)
{
	(void)state;
	actor_add(0, MS, 0);
	gcl_share_flow_set(&flows[0], 1, GCL_SHARE_NORMAL, 25);
	all_begin();
	run(now + 2 * WINDOW);
	assert_in_range(used_by(0, 0, 2), 2 * WINDOW * 24 / 100, 2 * WINDOW * 27 / 100);
	actor_add(1, MS, 0)->next = now;
	run(now + 2 * WINDOW);
	assert_in_range(used_by(0, 2, 4), 2 * WINDOW * 23 / 100, 2 * WINDOW * 27 / 100);
	assert_in_range(used_by(1, 2, 4), 2 * WINDOW * 72 / 100, 2 * WINDOW * 77 / 100);
}

/* What one doesn't use the others have; one that comes now and then goes first. */
static void test_light(void **state)
{
	struct actor *light;

	(void)state;
	for (int i = 0; i < 4; i++)
		actor_add(i, MS, 0);
	light = actor_add(4, MS / 20, 20 * MS);
	all_begin();
	run(now + WINDOW);
	light->worst = 0;
	run(now + 2 * WINDOW);
	assert_int_equal(idle, 0);
	assert_true(light->worst <= 2 * MS);
	assert_true(used_by(0, 1, 3) > 2 * WINDOW * 24 / 100);
}

/* Being idle for long is no reason to have more later. */
static void test_idle(void **state)
{
	(void)state;
	actor_add(0, MS, 0);
	actor_add(1, MS, 0);
	actors[0].next = now;
	actors[1].next = now + WINDOW;
	run(now + 2 * WINDOW);
	assert_true(used_by(0, 0, 1) >= WINDOW - 10 * MS);
	assert_true(jain(2, 1) >= 0.99);
}

/* Nor can one lose its debts by going away. */
static void test_debt(void **state)
{
	(void)state;
	actor_add(0, MS, 0);
	actor_add(1, 100 * MS, MS / 100);
	all_begin();
	run(now + 4 * WINDOW);
	assert_true(used_by(1, 0, 4) < 4 * WINDOW * 60 / 100);
}

/* Who says less than it uses has more, who says more has less; but nobody loses its place for good
 * by a number that can't be. */
static void test_says(void **state)
{
	(void)state;
	actor_add(0, MS / 10, 0);
	actor_add(1, MS / 10, 0)->says = 50;
	all_begin();
	run(now + 2 * WINDOW);
	assert_in_range(used_by(1, 0, 2), 2 * WINDOW * 64 / 100, 2 * WINDOW * 69 / 100);
	actors[1].says = 100;
	actors[1].told = UINT64_MAX / 2;
	run(now + 10 * MS);
	actors[1].told = 0;
	run(now + 4 * WINDOW - 10 * MS);
	assert_true(jain(2, 5) >= 0.99);
}

/* Commands that leave the device idle between them: equal device time, not equal turns. */
static void test_gaps(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		actor_add(i, i % 2 ? 20 * MS : MS / 20, 0)->gap = i % 2 ? 0 : MS / 10;
	share.slots = 2;
	all_begin();
	run(now + 4 * WINDOW);
	for (int window = 1; window < 4; window++)
		assert_true(jain(8, window) >= 0.98);
}

/* One that can't use its part is no reason for others to wait; and saves nothing by that. */
static void test_content(void **state)
{
	struct actor *short_one;

	(void)state;
	share.slots = 2;
	short_one = actor_add(0, MS / 20, 0);
	short_one->gap = MS / 5;
	actor_add(1, 20 * MS, 0);
	all_begin();
	run(now + 2 * WINDOW);
	assert_in_range(used_by(0, 1, 2), WINDOW * 18 / 100, WINDOW * 22 / 100);
	assert_true(used_by(1, 1, 2) >= WINDOW * 97 / 100);
	short_one->gap = 0;
	actor_add(2, MS, 0)->next = now;
	run(now + 2 * WINDOW);
	assert_true(jain(3, 2) >= 0.98 && jain(3, 3) >= 0.98);
}

/* Short commands with gaps aren't all that one wants: it uses most of its part, and nobody has more
 * meanwhile. */
static void test_not_content(void **state)
{
	(void)state;
	share.slots = 2;
	actor_add(0, MS / 10, 0)->gap = MS / 5;
	actor_add(1, 10 * MS, 0);
	all_begin();
	run(now + 4 * WINDOW);
	for (int window = 1; window < 4; window++)
		assert_true(jain(2, window) >= 0.98);
}

/* One that never gives back is passed over, and charged. */
static void test_keeper(void **state)
{
	(void)state;
	actor_add(0, MS, 0)->keeps = true;
	actor_add(1, MS, 0);
	actor_add(2, MS, 0);
	all_begin();
	run(now + 4 * WINDOW);
	assert_true(used_by(1, 2, 4) > WINDOW * 9 / 10);
	assert_true(used_by(2, 2, 4) > WINDOW * 9 / 10);
}

/* Holders and others that die. */
static void test_crashes(void **state)
{
	const char *text = getenv("GUESTCL_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)random();

	(void)state;
	srandom(seed);
	for (int i = 0; i < ACTORS_MAX; i++) {
		actor_add(i % 5, MS / 20 << random() % 8, random() % 3 ? 0 : MS);
		gcl_share_flow_set(&flows[i % 5], 1u + (unsigned)random() % 4, GCL_SHARE_NORMAL, 0);
	}
	all_begin();
	for (int round = 0; round < 2000; round++) {
		struct actor *actor = &actors[random() % count];

		run(now + random() % (10 * MS));
		look();
		gcl_share_leave(&share, &actor->client, now);
		actor->runs = false;
		actor->present = !actor->present;
		actor->next = now;
	}
	assert_int_equal(idle, 0);
	for (int i = 0; i < count; i++)
		gcl_share_leave(&share, &actors[i].client, now);
	assert_true(gcl_list_empty(&share.holders));
	assert_true(gcl_list_empty(&share.users));
	assert_false(gcl_share_contended(&share));
	assert_null(gcl_share_only(&share, now + 2 * GCL_SHARE_ACTIVE_NS));
	for (int i = 0; i < 5; i++)
		assert_int_equal(flows[i].holding, 0);
}

static void test_only(void **state)
{
	struct gcl_share_client client;

	(void)state;
	assert_null(gcl_share_only(&share, now));
	actor_add(0, MS, 0);
	gcl_share_want(&share, &actors[0].client, now);
	assert_ptr_equal(gcl_share_only(&share, now), &flows[0]);
	gcl_share_client_init(&client, &flows[1], now, 0);
	gcl_share_want(&share, &client, now);
	assert_null(gcl_share_only(&share, now));
	gcl_share_done(&share, &client, now);
	assert_null(gcl_share_only(&share, now + GCL_SHARE_ACTIVE_NS / 2));
	assert_ptr_equal(gcl_share_only(&share, now + 2 * GCL_SHARE_ACTIVE_NS), &flows[0]);
	gcl_share_flow_set(&flows[0], 1, GCL_SHARE_NORMAL, 50);
	assert_null(gcl_share_only(&share, now + 2 * GCL_SHARE_ACTIVE_NS));
}

/* Two at a time: nobody has more of the device than one turn, and equals have the same. */
static void test_slots_equal(void **state)
{
	static const int64_t lengths[] = {MS / 20, 20 * MS, MS / 2, 3 * MS};

	for (int of = 2; of <= 16; of *= 2) {
		setup(state);
		share.slots = 2;
		for (int i = 0; i < of; i++)
			actor_add(i, lengths[i % 4], 0);
		all_begin();
		run(now + 4 * WINDOW);
		for (int window = 0; window < 4; window++)
			assert_true(jain(of, window) >= 0.98);
		for (int i = 0; i < of; i++)
			assert_in_range(used_by(i, 0, 4), 4 * WINDOW * 2 / of * 9 / 10,
					4 * WINDOW * 2 / of * 11 / 10);
	}
}

/* Weights hold; who can't use more than one turn has all of one. */
static void test_slots_weights(void **state)
{
	for (int of = 2; of <= 3; of++) {
		setup(state);
		share.slots = 2;
		for (int i = 0; i < of; i++) {
			actor_add(i, MS, 0);
			gcl_share_flow_set(&flows[i], 1u << i, GCL_SHARE_NORMAL, 0);
		}
		all_begin();
		run(now + 4 * WINDOW);
		for (int i = 0; i < of; i++) {
			double part =
				(double)used_by(i, 0, 4) / (4. * WINDOW) * (1 << (of - 1 - i));

			assert_true(part > 0.95 && part < 1.05);
		}
		assert_int_equal(idle, 0);
	}
}

/* One that mostly does nothing needs not wait for one that has much to do. */
static void test_slots_light(void **state)
{
	(void)state;
	share.slots = 2;
	actor_add(0, 20 * MS, 0);
	actor_add(1, MS / 10, 5 * MS);
	all_begin();
	run(now + 2 * WINDOW);
	assert_true(actors[1].worst < MS);
	assert_true(used_by(0, 0, 2) > 2 * WINDOW * 98 / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_equal, setup),
		cmocka_unit_test_setup(test_sessions, setup),
		cmocka_unit_test_setup(test_weights, setup),
		cmocka_unit_test_setup(test_weights_far, setup),
		cmocka_unit_test_setup(test_priority, setup),
		cmocka_unit_test_setup(test_ceiling, setup),
		cmocka_unit_test_setup(test_light, setup),
		cmocka_unit_test_setup(test_idle, setup),
		cmocka_unit_test_setup(test_debt, setup),
		cmocka_unit_test_setup(test_says, setup),
		cmocka_unit_test_setup(test_gaps, setup),
		cmocka_unit_test_setup(test_content, setup),
		cmocka_unit_test_setup(test_not_content, setup),
		cmocka_unit_test_setup(test_keeper, setup),
		cmocka_unit_test_setup(test_crashes, setup),
		cmocka_unit_test_setup(test_only, setup),
		cmocka_unit_test_setup(test_slots_equal, setup),
		cmocka_unit_test_setup(test_slots_weights, setup),
		cmocka_unit_test_setup(test_slots_light, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
