// SPDX-License-Identifier: MIT
/*
 * What policies see of sessions, devices and servers, from pages and announcements that may be
 * anything; and room for allocations, by moves of workers that a test plays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "broker.h"
#include "place/check.h"
#include "test.h"

#define WORKERS 3
#define MIB	(1ull << 20)

struct session {
	struct gcl_worker_process process;
	struct gcl_page page;
	int socket;
};

static struct gcl_broker broker;
static struct gcl_account accounts[2];
static struct session sessions[WORKERS];
static char folder[64], path[96];
static int server_fd;

static void session_start(struct session *session, struct gcl_account *account, uint64_t number)
{
	int pair[2];

	*session = (struct session){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	session->socket = pair[1];
	session->process.broker = &broker;
	session->process.account = account;
	session->process.page = &session->page;
	session->process.socket = pair[0];
	session->process.state = GCL_WORKER_SERVING;
	session->process.session = number;
	session->process.serving_since = gcl_clock();
	gcl_list_append(&broker.workers.list, &session->process.link);
	gcl_ledger_open(&session->process);
}

static void server_listen(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(folder, sizeof folder, "/tmp/guestcl-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/sock", folder);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	server_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server_fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(server_fd, 8), 0);
}

static int setup(void **state)
{
	struct gcl_config *config = &broker.config;

	(void)state;
	memset(&broker, 0, sizeof broker);
	memset(accounts, 0, sizeof accounts);
	server_listen();
	gcl_config_init(config, false);
	snprintf(config->client_library, sizeof config->client_library, "/lib");
	config->server_count = 1;
	snprintf(config->servers[0].name, sizeof config->servers[0].name, "near");
	snprintf(config->servers[0].address, sizeof config->servers[0].address, "unix:%s", path);
	config->servers[0].memory = 4096 * MIB;
	broker.loop = ev_loop_new(EVFLAG_AUTO);
	gcl_list_init(&broker.workers.list);
	gcl_list_init(&broker.accounts);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(accounts); i++)
		gcl_list_append(&broker.accounts, &accounts[i].link);
	gcl_servers_init(&broker.servers);
	gcl_servers_configure(&broker.servers, config);
	gcl_moves_init(&broker.moves, &broker);
	gcl_placing_init(&broker.placing, &broker);
	broker.etcd.state = GCL_ETCD_STATE_UP;
	broker.devices.count = 2;
	for (unsigned i = 0; i < broker.devices.count; i++)
		broker.devices.list[i].memory = 1024 * MIB;
	for (size_t i = 0; i < WORKERS; i++)
		session_start(&sessions[i], &accounts[i / 2], i + 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORKERS; i++) {
		gcl_moves_forget(&sessions[i].process);
		close(sessions[i].process.socket);
		close(sessions[i].socket);
	}
	gcl_placing_fini(&broker.placing);
	gcl_moves_fini(&broker.moves);
	gcl_servers_fini(&broker.servers);
	ev_loop_destroy(broker.loop);
	close(server_fd);
	unlink(path);
	rmdir(folder);
	return 0;
}

/* ------------------------------------------------------------ what is measured */

static void page_scramble(struct gcl_page *page)
{
	uint64_t *words = (uint64_t *)(void *)page;

	for (size_t i = 0; i < offsetof(struct gcl_page, trace) / sizeof *words; i++) {
		uint64_t number = (uint64_t)random() << 33 ^ (uint64_t)random();

		words[i] = random() % 4 ? number >> random() % 64 : UINT64_MAX;
	}
}

/* Whatever pages say, a policy can go by it. */
static void test_hostile_pages(void **state)
{
	static const struct gcl_place_event tick = {.kind = GCL_PLACE_TICK};

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < WORKERS; i++) {
			struct gcl_placed *placed = &sessions[i].process.placed;

			page_scramble(&sessions[i].page);
			gcl_measure_look(&placed->measure, &sessions[i].page, 0,
					 gcl_clock() + round);
			snprintf(placed->server, sizeof placed->server, "%s",
				 random() % 2 ? "near" : "");
		}
		assert_int_equal(gcl_placing_view(&broker.placing), 0);
		assert_int_equal(gcl_placing_decide(&broker.placing, &tick), 0);
		for (uint32_t i = 0; i < broker.placing.view.place_count; i++)
			assert_true(gcl_place_sane(&broker.placing.view.places[i]));
		for (uint32_t i = 0; i < broker.placing.view.task_count; i++)
			assert_true(gcl_place_task_sane(&broker.placing.view.view,
							&broker.placing.view.tasks[i],
							broker.placing.view.vm_count));
	}
}

/* ------------------------------------------------------------ places */

static const struct gcl_place *place_find(const char *name)
{
	for (uint32_t i = 0; i < broker.placing.view.place_count; i++) {
		if (strcmp(broker.placing.view.behind[i].name, name) == 0)
			return &broker.placing.view.places[i];
	}
	return NULL;
}

static void announce(const char *name, uint32_t load)
{
	struct gcl_server_info info = {.device_count = 2};

	snprintf(info.name, sizeof info.name, "%s", name);
	snprintf(info.address, sizeof info.address, "%s.example", name);
	for (unsigned i = 0; i < info.device_count; i++)
		info.devices[i] = (struct gcl_server_device){
			.name = "a device", .memory = 2048 * MIB, .free = 512 * MIB, .load = load};
	assert_int_equal(gcl_servers_take(&broker.servers, &info, gcl_clock()), 0);
}

static void test_places(void **state)
{
	const struct gcl_place *place;

	(void)state;
	announce("gpu", 70);
	announce("this", 70);
	snprintf(broker.etcd.announcement.info.name, sizeof broker.etcd.announcement.info.name,
		 "this");
	sessions[0].page.held[1] = 100 * MIB;
	broker.moves.drained_devices = 1;
	assert_int_equal(gcl_placing_view(&broker.placing), 0);
	assert_int_equal(broker.placing.view.place_count, 2 + 2 + 1);
	place = place_find("home/0");
	assert_true(place && !place->remote && place->draining);
	place = place_find("home/1");
	assert_true(place && !place->draining && place->free == 924 * MIB);
	place = place_find("gpu/1");
	assert_true(place && place->remote && place->free == 512 * MIB && !place->draining);
	ABOUT(place->demand, 0.7);
	assert_true(place->age < 1.);
	place = place_find("near/0");
	assert_true(place && place->remote && place->memory == 4096 * MIB);
	assert_null(place_find("this/0"));
	gcl_server_drain(&broker.moves, "gpu", true);
	broker.etcd.state = GCL_ETCD_STATE_DOWN;
	broker.etcd.since = gcl_clock() - 100.;
	assert_int_equal(gcl_placing_view(&broker.placing), 0);
	assert_true(place_find("gpu/0")->draining && place_find("gpu/0")->age >= 100.);
}

/* A server that is known no more is left; who is there isn't lost. */
static void test_gone(void **state)
{
	struct gcl_placed *placed = &sessions[1].process.placed;
	const struct gcl_place_task *task;

	(void)state;
	snprintf(placed->server, sizeof placed->server, "gone");
	placed->device = 3;
	placed->pinned = true;
	placed->memory = 7 * MIB;
	assert_int_equal(gcl_placing_view(&broker.placing), 0);
	task = &broker.placing.view.tasks[1];
	assert_string_equal(broker.placing.view.behind[task->where].name, "gone/3");
	assert_true(broker.placing.view.places[task->where].draining);
	assert_int_equal(task->hold, GCL_PLACE_FREE);
	assert_int_equal(task->memory, 7 * MIB);
}

static enum gcl_place_hold hold(void)
{
	assert_int_equal(gcl_placing_view(&broker.placing), 0);
	return broker.placing.view.tasks[0].hold;
}

static void test_holds(void **state)
{
	struct gcl_worker_process *worker = &sessions[0].process;

	(void)state;
	assert_int_equal(hold(), GCL_PLACE_FREE);
	worker->placed.pinned = true;
	assert_int_equal(hold(), GCL_PLACE_PINNED);
	worker->placed.rest = gcl_clock() + 100.;
	assert_int_equal(hold(), GCL_PLACE_FAILED);
	worker->paused = true;
	assert_int_equal(hold(), GCL_PLACE_STANDS);
	worker->placed.unfit = true;
	assert_int_equal(hold(), GCL_PLACE_UNFIT);
	worker->end_reason = GCL_END_OPERATOR;
	assert_int_equal(gcl_placing_view(&broker.placing), 0);
	assert_int_equal(broker.placing.view.task_count, WORKERS - 1);
}

/* ------------------------------------------------------------ how moves end */

static void ended(size_t index, uint32_t result)
{
	const struct gcl_move_outcome outcome = {
		.id = 1, .order = {.server = "near", .own = 1}, .result = result};

	gcl_placing_moved(&sessions[index].process, &outcome);
}

static void test_failures(void **state)
{
	struct gcl_placed *placed = &sessions[0].process.placed;
	struct gcl_placing_known *known = gcl_placing_known(&broker, "near", 0);
	double rest = 0.;

	(void)state;
	for (int i = 0; i < 10; i++) {
		ended(0, GCL_MOVE_COPY);
		assert_true(placed->rest - gcl_clock() >= GCL_MIN(rest * 1.9, 1800.));
		rest = placed->rest - gcl_clock();
		assert_in_range(rest, 29., 1921.);
	}
	assert_true(known->avoid <= 0.);
	ended(0, GCL_MOVE_LINK);
	assert_in_range(known->avoid - gcl_clock(), 29., 31.);
	ended(0, GCL_MOVE_DONE);
	assert_string_equal(placed->server, "near");
	assert_int_equal(placed->failures + known->failures, 0);
	/* The place is none for that one alone. */
	ended(1, GCL_MOVE_PROGRAM);
	assert_int_equal(gcl_placing_view(&broker.placing), 0);
	assert_true(broker.placing.view.tasks[1].wants & ~place_find("near/0")->can);
	assert_false(broker.placing.view.tasks[2].wants & ~place_find("near/0")->can);
	/* Who wants home/0 doesn't go to home/1. */
	assert_true(broker.placing.view.tasks[2].wants & ~place_find("home/1")->can);
	ended(2, GCL_MOVE_OFF);
	assert_true(sessions[2].process.placed.unfit);
}

/* A link is as fast as bytes went over it, however long programs were built before. */
static void test_link(void **state)
{
	struct gcl_move_outcome outcome = {
		.id = 1,
		.order = {.server = "near"},
		.result = GCL_MOVE_DONE,
		.bytes = 50 * MIB,
		.ahead = 90 * MIB,
		.rest = 10 * MIB,
		.took = UINT64_C(10000000000),
		.prepared = UINT64_C(9000000000),
		.pause = UINT64_C(500000000),
	};
	struct gcl_placing_known *known = gcl_placing_known(&broker, "near", 0);

	(void)state;
	gcl_placing_moved(&sessions[0].process, &outcome);
	assert_in_range(known->bandwidth, 99 * MIB, 101 * MIB);
	/* 50 MiB were copied again in the half second in which it ran. */
	assert_in_range(sessions[0].process.placed.dirty, 99 * MIB, 101 * MIB);
	/* What can't be is no time. */
	outcome.prepared = outcome.took + 1;
	gcl_placing_moved(&sessions[0].process, &outcome);
	assert_in_range(known->bandwidth, 99 * MIB, 101 * MIB);
	assert_true(sessions[0].process.placed.dirty == 0.);
}

/* An operator's move of session 0, after which so many of its queues are away. */
static void by_hand(const char *server, uint64_t queue, uint32_t from, uint32_t away)
{
	struct gcl_move_outcome outcome = {
		.id = 1,
		.order = {.queue = queue, .from = from},
		.result = GCL_MOVE_DONE,
	};

	snprintf(outcome.order.server, sizeof outcome.order.server, "%s", server);
	sessions[0].page.move.away = away;
	gcl_placing_moved(&sessions[0].process, &outcome);
}

/* What came home from one place doesn't let go of what an operator has left at another one. */
static void test_pinned(void **state)
{
	const struct gcl_placed *placed = &sessions[0].process.placed;
	uint32_t elsewhere = gcl_place_get(&broker.moves, "elsewhere", 0);

	(void)state;
	by_hand("near", 0, 0, 2);
	assert_true(placed->pinned);
	by_hand("", 7, 0, 1);
	assert_true(placed->pinned);
	assert_string_equal(placed->server, "near");
	by_hand("", 0, elsewhere, 1);
	assert_true(placed->pinned);
	assert_string_equal(placed->server, "near");
	by_hand("", 0, gcl_place_get(&broker.moves, "near", 0), 0);
	assert_false(placed->pinned);
	assert_string_equal(placed->server, "");
	by_hand("near", 7, 0, 1);
	assert_true(placed->pinned);
	by_hand("", 7, 0, 0);
	assert_false(placed->pinned);
}

/* ------------------------------------------------------------ room */

static struct gcl_note heard(struct session *session)
{
	struct gcl_note note = {0};
	unsigned count;
	int fd = -1;
	ssize_t n =
		gcl_fds_receive(session->socket, &note, sizeof note, MSG_DONTWAIT, &fd, 1, &count);

	if (n == sizeof note && count)
		close(fd);
	return note;
}

static void loop_run(void)
{
	for (int i = 0; i < 20; i++) {
		ev_run(broker.loop, EVRUN_NOWAIT);
		usleep(1000);
	}
}

/* The first has 80 MiB of 100 and works; the second wants 50. */
static void wish(void)
{
	const struct gcl_note want = {.type = GCL_NOTE_MEMORY_WANT, .value = 80 * MIB};
	const struct gcl_note more = {.type = GCL_NOTE_MEMORY_WANT, .value = 50 * MIB};
	const struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE};

	accounts[0].limits.memory = 100 * MIB;
	assert_int_equal(gcl_worker_note_memory_want(&sessions[0].process, &want), 0);
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MEMORY_GRANT);
	sessions[0].page.held[0] = 80 * MIB;
	assert_int_equal(gcl_worker_note_memory_want(&sessions[1].process, &more), 0);
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MEMORY_SHRINK);
	assert_int_equal(heard(&sessions[1]).type, GCL_NOTE_NONE);
	/* It uses all that it has. */
	assert_int_equal(gcl_worker_note_memory_give(&sessions[0].process, &give), 0);
}

static void test_room(void **state)
{
	const struct gcl_note moved = {.type = GCL_NOTE_MOVED, .device = GCL_MOVE_DONE};
	const struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE, .value = 80 * MIB};
	struct gcl_note note;

	(void)state;
	wish();
	loop_run();
	note = heard(&sessions[0]);
	assert_int_equal(note.type, GCL_NOTE_MOVE);
	assert_true(note.extra & GCL_MOVE_FREE);
	assert_int_equal(heard(&sessions[1]).type, GCL_NOTE_NONE);
	/* It has moved, and what it had here is free. */
	sessions[0].page.held[0] = 0;
	assert_int_equal(gcl_worker_note_moved(&sessions[0].process, &moved), 0);
	loop_run();
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MEMORY_SHRINK);
	assert_int_equal(gcl_worker_note_memory_give(&sessions[0].process, &give), 0);
	note = heard(&sessions[1]);
	assert_int_equal(note.type, GCL_NOTE_MEMORY_GRANT);
	assert_true(note.value >= 50 * MIB);
}

/* The move fails: it is refused, and not before. */
static void test_no_room(void **state)
{
	const struct gcl_note failed = {.type = GCL_NOTE_MOVED, .device = GCL_MOVE_COPY};
	const struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE};
	struct gcl_note note;

	(void)state;
	wish();
	loop_run();
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MOVE);
	assert_int_equal(gcl_worker_note_moved(&sessions[0].process, &failed), 0);
	loop_run();
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MEMORY_SHRINK);
	assert_int_equal(gcl_worker_note_memory_give(&sessions[0].process, &give), 0);
	note = heard(&sessions[1]);
	assert_int_equal(note.type, GCL_NOTE_MEMORY_GRANT);
	assert_int_equal(note.value, 0);
}

/* Nobody can make room: it is refused at once. */
static void test_never_room(void **state)
{
	struct gcl_note note;

	(void)state;
	sessions[0].process.placed.unfit = true;
	wish();
	note = heard(&sessions[1]);
	assert_int_equal(note.type, GCL_NOTE_MEMORY_GRANT);
	assert_int_equal(note.value, 0);
}

/* A move that takes too long isn't waited for. */
static void test_late_room(void **state)
{
	struct gcl_note note;

	(void)state;
	wish();
	loop_run();
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MOVE);
	gcl_placing_rooms_see(&broker.placing);
	assert_int_equal(heard(&sessions[1]).type, GCL_NOTE_NONE);
	sessions[1].process.placed.room = gcl_clock() - 1.;
	sessions[0].process.allowance.shrinking[0] = false;
	sessions[0].process.allowance.given[0] = 0; /* nothing that could be asked for */
	gcl_placing_rooms_see(&broker.placing);
	note = heard(&sessions[1]);
	assert_int_equal(note.type, GCL_NOTE_MEMORY_GRANT);
	assert_int_equal(note.value, 0);
}

/* Who makes room needs its session thread for that: it doesn't wait for room itself. */
static void test_mover_asks(void **state)
{
	const struct gcl_note more = {.type = GCL_NOTE_MEMORY_WANT, .value = 50 * MIB};
	const struct gcl_note give = {.type = GCL_NOTE_MEMORY_GIVE};
	struct gcl_note note;

	(void)state;
	wish();
	loop_run();
	assert_int_equal(heard(&sessions[0]).type, GCL_NOTE_MOVE);
	assert_int_equal(gcl_worker_note_memory_want(&sessions[0].process, &more), 0);
	/* The other one has nothing to give back. */
	if (heard(&sessions[1]).type == GCL_NOTE_MEMORY_SHRINK)
		assert_int_equal(gcl_worker_note_memory_give(&sessions[1].process, &give), 0);
	note = heard(&sessions[0]);
	assert_int_equal(note.type, GCL_NOTE_MEMORY_GRANT);
	assert_int_equal(note.value, 0);
	assert_true(sessions[1].process.allowance.wanted > 0);
}

/* All policies can be chosen, and no others. */
static void test_policies(void **state)
{
	char error[256];
	unsigned count = 0;

	(void)state;
	for (const struct gcl_place_policy *const *it = gcl_place_policies(); *it; it++, count++) {
		assert_int_equal(gcl_config_set(&broker.config, "placement", (*it)->name, error,
						sizeof error),
				 0);
		assert_ptr_equal(gcl_placing_policy(&broker.placing), *it);
		assert_string_equal(gcl_placement_name(&broker.config), (*it)->name);
	}
	assert_int_equal(count, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_hostile_pages), TEST(test_places),   TEST(test_gone),
		TEST(test_holds),	  TEST(test_failures), TEST(test_room),
		TEST(test_pinned),	  TEST(test_no_room),  TEST(test_never_room),
		TEST(test_late_room),	  TEST(test_policies), TEST(test_mover_asks),
		TEST(test_link),
	};

	return cmocka_run_group_tests_name("placing", tests, NULL, NULL);
}
