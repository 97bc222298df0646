/* SPDX-License-Identifier: MIT */
/*
 * The ledger, with workers that keep the rules but hold memory of no device: thousands of random
 * allocations, frees and deaths in several sessions. GUESTCL_SEED repeats a run.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker.h"
#include "test.h"

#define WORKERS 4
#define LIMIT	(64ull << 20)
#define ROUNDS	20
#define STEPS	1000

struct model {
	struct gcl_worker_process process;
	struct gcl_page page;
	int socket;
	uint64_t held, allowed;
	bool waits, refused;
};

static struct gcl_broker broker;
static struct gcl_account account;
static struct model models[WORKERS];

static void model_start(struct model *model)
{
	int pair[2];

	*model = (struct model){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	model->socket = pair[1];
	model->process.broker = &broker;
	model->process.account = &account;
	model->process.page = &model->page;
	model->process.socket = pair[0];
	model->process.state = GCL_WORKER_SERVING;
	gcl_list_append(&broker.workers.list, &model->process.link);
	gcl_ledger_open(&model->process);
}

static void model_die(struct model *model)
{
	gcl_ledger_close(&model->process);
	gcl_list_remove(&model->process.link);
	close(model->process.socket);
	close(model->socket);
}

static void model_hear(struct model *model, const struct gcl_note *note)
{
	struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE};

	if (note->type == GCL_NOTE_MEMORY_GRANT) {
		model->allowed += note->value;
		model->waits = false;
		model->refused = !note->value;
	} else if (note->type == GCL_NOTE_MEMORY_SHRINK) {
		give.value = model->allowed - model->held;
		model->allowed = model->held;
		assert_int_equal(gcl_worker_note_memory_give(&model->process, &give), 0);
	}
}

static void all_hear(void)
{
	struct gcl_note note;
	bool heard = true;

	while (heard) {
		heard = false;
		for (size_t i = 0; i < WORKERS; i++) {
			if (recv(models[i].socket, &note, sizeof note, MSG_DONTWAIT) <= 0)
				continue;
			model_hear(&models[i], &note);
			heard = true;
		}
	}
}

static uint64_t held_by_all(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WORKERS; i++)
		sum += models[i].held;
	return sum;
}

/* Refused exactly when it doesn't fit. */
static void model_alloc(struct model *model, uint64_t bytes)
{
	struct gcl_note want = {.type = GCL_NOTE_MEMORY_WANT};
	bool fits = held_by_all() + bytes <= LIMIT;

	if (model->held + bytes > model->allowed) {
		want.value = model->held + bytes - model->allowed;
		model->waits = true;
		assert_int_equal(gcl_worker_note_memory_want(&model->process, &want), 0);
		all_hear();
		assert_false(model->waits);
		assert_int_equal(model->refused, !fits);
	}
	if (model->held + bytes <= model->allowed)
		model->held += bytes;
	assert_true(account.ledger.given[0] <= (int64_t)LIMIT);
}

static void begin(uint64_t limit)
{
	memset(&broker, 0, sizeof broker);
	memset(&account, 0, sizeof account);
	gcl_list_init(&broker.workers.list);
	account.limits.memory = limit;
	for (size_t i = 0; i < WORKERS; i++)
		model_start(&models[i]);
}

static void end(void)
{
	for (size_t i = 0; i < WORKERS; i++)
		model_die(&models[i]);
	assert_int_equal(account.ledger.given[0], 0);
}

static void random_allocations(void **state)
{
	const char *given = getenv("GUESTCL_SEED");
	unsigned seed = given ? (unsigned)atol(given) : (unsigned)getpid();

	(void)state;
	print_message("GUESTCL_SEED=%u\n", seed);
	srandom(seed);
	for (int round = 0; round < ROUNDS; round++) {
		begin(LIMIT);
		for (int step = 0; step < STEPS; step++) {
			struct model *model = &models[random() % WORKERS];

			if (random() % 100 == 0) {
				model_die(model);
				model_start(model);
			} else if (random() % 3 == 0) {
				model->held -= model->held ? (uint64_t)random() % model->held : 0;
			} else {
				model_alloc(model, 1 + (uint64_t)random() % (LIMIT / 4));
			}
		}
		end();
	}
}

static void limit_lowered(void **state)
{
	struct gcl_note want = {.type = GCL_NOTE_MEMORY_WANT, .value = 1 << 20};

	(void)state;
	begin(LIMIT);
	model_alloc(&models[0], LIMIT / 2);
	account.limits.memory = LIMIT / 4;
	gcl_ledger_limit_changed(&broker, &account);
	assert_int_equal(gcl_worker_note_memory_want(&models[1].process, &want), 0);
	all_hear();
	assert_true(models[1].refused);
	end();
}

/* What is freed under a limit that was lowered can't be taken again beyond it. */
static void limit_lowered_and_freed(void **state)
{
	struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE, .value = LIMIT / 2};

	(void)state;
	begin(LIMIT);
	model_alloc(&models[0], LIMIT / 2);
	model_alloc(&models[1], LIMIT / 8);
	assert_int_equal(atomic_load(&models[0].page.thrift), 0);
	account.limits.memory = LIMIT / 4;
	gcl_ledger_limit_changed(&broker, &account);
	all_hear();
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(atomic_load(&models[i].page.thrift), 1);
	assert_int_equal(models[1].allowed, LIMIT / 8); /* nothing in hand any more */
	models[0].held = models[0].allowed = 0;
	assert_int_equal(gcl_worker_note_memory_give(&models[0].process, &give), 0);
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(atomic_load(&models[i].page.thrift), 0);
	end();
}

static void limit_comes_late(void **state)
{
	struct gcl_note held = {.type = GCL_NOTE_MEMORY_HELD, .value = LIMIT / 2};

	(void)state;
	begin(0);
	assert_int_equal(gcl_worker_note_memory_held(&models[0].process, &held), -EPROTO);
	account.limits.memory = LIMIT;
	gcl_ledger_limit_changed(&broker, &account);
	assert_int_equal(gcl_worker_note_memory_held(&models[0].process, &held), 0);
	assert_int_equal(account.ledger.given[0], LIMIT / 2);
	account.limits.memory = 0;
	gcl_ledger_limit_changed(&broker, &account);
	assert_int_equal(account.ledger.given[0], 0);
	end();
}

static void hostile(void **state)
{
	struct gcl_note note = {.device = GCL_PAGE_DEVICES_MAX, .value = UINT64_MAX};

	(void)state;
	begin(LIMIT);
	assert_int_equal(gcl_worker_note_memory_want(&models[0].process, &note), -EPROTO);
	assert_int_equal(gcl_worker_note_memory_give(&models[0].process, &note), -EPROTO);
	note.device = 0;
	assert_int_equal(gcl_worker_note_memory_give(&models[0].process, &note), 0);
	assert_int_equal(gcl_worker_note_memory_want(&models[0].process, &note), 0);
	assert_int_equal(account.ledger.given[0], 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_allocations),
		cmocka_unit_test(limit_lowered),
		cmocka_unit_test(limit_lowered_and_freed),
		cmocka_unit_test(limit_comes_late),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
