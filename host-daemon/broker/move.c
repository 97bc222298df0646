// SPDX-License-Identifier: MIT
/*
 * Moves of sessions' queues, one after the other for each session: from the order to the worker's
 * answer.
 *
 * Must not: wait, believe what a worker says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "broker.h"

/* How often a worker's figures are looked at. */
#define TICK_SECONDS 1.

/* No move comes near these: one that says so can't spoil the sums. */
#define BYTES_MAX (1ull << 42)
#define PAUSE_MAX (600ull * 1000000000u)

static void moves_go(struct gcl_moves *moves);

/* ------------------------------------------------------------ the end of one */

static bool is_there(uint32_t result)
{
	return result == GCL_MOVE_DONE || result == GCL_MOVE_THERE;
}

static bool is_active(const struct gcl_move *move)
{
	return move->phase == GCL_MOVE_LINKING || move->phase == GCL_MOVE_TOLD;
}

static void phase_set(struct gcl_move *move, enum gcl_move_phase phase)
{
	struct gcl_moves *moves = &move->worker->broker->moves;

	moves->active -= is_active(move);
	move->phase = phase;
	moves->active += is_active(move);
	move->changed = gcl_clock();
}

static void where_describe(const struct gcl_move_order *order, char *text, size_t size)
{
	if (*order->server)
		snprintf(text, size, "%s, device %u", order->server, order->device);
	else
		snprintf(text, size, "home");
}

static void outcome_log(const struct gcl_worker_process *worker,
			const struct gcl_move_outcome *outcome)
{
	char where[GCL_SERVER_NAME_MAX + 32];

	where_describe(&outcome->order, where, sizeof where);
	if (outcome->result == GCL_MOVE_DONE)
		gcl_log_info(
			broker,
			"session %ju: moved to %s in %.3f s; it stood for %.1f ms; %ju bytes were "
			"copied before, %ju then, %ju behind",
			(uintmax_t)worker->session, where, (double)outcome->took / 1e9,
			(double)outcome->pause / 1e6, (uintmax_t)outcome->ahead,
			(uintmax_t)outcome->rest, (uintmax_t)outcome->behind);
	else if (outcome->result != GCL_MOVE_THERE)
		gcl_log_warn(broker, "session %ju: not moved to %s: %s", (uintmax_t)worker->session,
			     where, outcome->text);
}

/* What is told, and kept as the session's last. */
static void outcome_make(const struct gcl_move *move, uint32_t result, const char *text,
			 struct gcl_move_outcome *outcome)
{
	const struct gcl_page_move *page = &move->worker->page->move;

	*outcome =
		(struct gcl_move_outcome){.id = move->id, .order = move->order, .result = result};
	snprintf(outcome->text, sizeof outcome->text, "%s", text);
	if (move->phase != GCL_MOVE_TOLD && move->phase != GCL_MOVE_LATE)
		return;
	outcome->bytes = gcl_page_read(&page->bytes);
	outcome->ahead = gcl_page_read(&page->ahead);
	outcome->rest = gcl_page_read(&page->rest);
	outcome->behind = gcl_page_read(&page->behind);
	outcome->took = gcl_page_read(&page->took);
	outcome->prepared = gcl_page_read(&page->prepared);
	outcome->pause = gcl_page_read(&page->pause);
}

static void move_destroy(struct gcl_move *move)
{
	struct gcl_moves *moves = &move->worker->broker->moves;

	ev_timer_stop(moves->broker->loop, &move->tick);
	gcl_link_cancel(move->made);
	moves->active -= is_active(move);
	moves->count--;
	gcl_list_remove(&move->link);
	move->worker->moves.now = NULL;
	free(move);
}

/* It got to a server that was drained meanwhile: it doesn't stay there. */
static void drained_leave(struct gcl_worker_process *worker, const struct gcl_move_outcome *outcome)
{
	struct gcl_move_order home = {0};
	char reason[256];

	if (!is_there(outcome->result) || worker->moves.now ||
	    !gcl_server_drained(&worker->broker->moves, outcome->order.server))
		return;
	home.from = gcl_worker_places_of(worker, outcome->order.server);
	if (gcl_move_start(worker, &home, NULL, NULL, NULL, reason, sizeof reason) < 0)
		gcl_log_warn(broker, "session %ju: stays on %s, which is drained: %s",
			     (uintmax_t)worker->session, outcome->order.server, reason);
}

static void outcome_count(struct gcl_worker_process *worker, const struct gcl_move_outcome *outcome)
{
	struct gcl_moves *moves = &worker->broker->moves;

	if (outcome->result == GCL_MOVE_DONE) {
		worker->moves.done++;
		moves->done++;
		moves->bytes += GCL_MIN(outcome->bytes, BYTES_MAX);
		moves->pause += GCL_MIN(outcome->pause, PAUSE_MAX);
	} else if (outcome->result != GCL_MOVE_THERE) {
		worker->moves.failed++;
		moves->failed++;
	}
}

/* Takes @move down. */
static void move_end(struct gcl_move *move, uint32_t result, const char *text)
{
	struct gcl_worker_process *worker = move->worker;
	struct gcl_moves *moves = &worker->broker->moves;
	struct gcl_move_outcome outcome;
	gcl_move_done *done;
	void *data;

	outcome_make(move, result, text, &outcome);
	outcome_log(worker, &outcome);
	/* One that was given up was counted then. */
	if (move->phase != GCL_MOVE_LATE)
		outcome_count(worker, &outcome);
	worker->moves.last = outcome;
	done = move->done;
	data = move->data;
	move_destroy(move);
	moves_go(moves);
	gcl_placing_moved(worker, &outcome);
	/* It may begin another one. */
	if (done)
		done(data, &outcome);
	drained_leave(worker, &outcome);
}

/* ------------------------------------------------------------ the worker */

/* Everything that changes while it works, in one number. */
static uint64_t figures(const struct gcl_worker_process *worker)
{
	const struct gcl_page_move *page = &worker->page->move;

	return atomic_load_explicit(&page->step, memory_order_relaxed) +
	       gcl_page_read(&page->ahead) * 3 + gcl_page_read(&page->rest) * 5 +
	       gcl_page_read(&page->rounds) * 7;
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_move *move = timer->data;
	struct gcl_worker_process *worker = move->worker;
	struct gcl_move_outcome outcome;
	gcl_move_done *done;
	uint64_t now = figures(worker);

	(void)events;
	if (now != move->seen || worker->stopped || worker->paused || worker->account->paused) {
		move->seen = now;
		move->changed = gcl_clock();
		return;
	}
	if (gcl_clock() - move->changed < (double)worker->broker->config.move_patience / 1e3)
		return;
	/* Nothing can be taken back: it is the worker's until that answers or ends. */
	ev_timer_stop(loop, timer);
	outcome_make(move, GCL_MOVE_RESULT_LIMIT, "the session does not get on with it", &outcome);
	outcome_log(worker, &outcome);
	outcome_count(worker, &outcome);
	phase_set(move, GCL_MOVE_LATE);
	worker->moves.last = outcome;
	moves_go(&worker->broker->moves);
	gcl_placing_moved(worker, &outcome);
	done = steal_pointer(&move->done);
	if (done)
		done(move->data, &outcome);
}

static void tick_start(struct gcl_move *move)
{
	ev_timer_init(&move->tick, on_tick, TICK_SECONDS, TICK_SECONDS);
	move->tick.data = move;
	if (move->phase == GCL_MOVE_TOLD)
		ev_timer_start(move->worker->broker->loop, &move->tick);
}

/* Tells the worker; @fd: a connection for it, lent, or -1. */
static void worker_tell(struct gcl_move *move, int fd)
{
	const struct gcl_note note = {
		.type = *move->order.server ? GCL_NOTE_MOVE : GCL_NOTE_MOVE_HOME,
		.device = move->order.device,
		.value = move->order.queue,
		.extra = *move->order.server ? move->place | (move->order.free ? GCL_MOVE_FREE : 0)
					     : move->order.from,
	};
	struct gcl_worker_process *worker = move->worker;
	int err = worker->socket < 0 ? -EPIPE : 0;

	if (err == 0)
		err = gcl_fds_send(worker->socket, &note, sizeof note, MSG_DONTWAIT, &fd, fd >= 0);
	if (err < 0) {
		move_end(move, GCL_MOVE_RESULT_LIMIT,
			 "the session's worker takes no orders: is it stopped?");
		return;
	}
	move->linked = fd >= 0;
	move->seen = figures(worker);
	phase_set(move, GCL_MOVE_TOLD);
	tick_start(move);
}

void gcl_move_linked(struct gcl_move *move, int fd, const char *reason)
{
	_cleanup_close_ int conn = fd;

	if (conn < 0)
		move_end(move, GCL_MOVE_LINK, reason);
	else
		worker_tell(move, conn);
}

/* A connection first. */
static void link_make(struct gcl_move *move)
{
	const struct gcl_server *server =
		gcl_server_find(&move->worker->broker->servers, move->order.server);
	char reason[256];
	int fd = -1, err;

	phase_set(move, GCL_MOVE_LINKING);
	if (!server) {
		move_end(move, GCL_MOVE_LINK, "the server is known no more");
		return;
	}
	err = gcl_link_start(move, gcl_server_address(server), &fd, reason, sizeof reason);
	if (err < 0 || fd >= 0)
		gcl_move_linked(move, fd, err < 0 ? reason : "");
}

static void move_go(struct gcl_move *move)
{
	if (gcl_server_drained(&move->worker->broker->moves, move->order.server))
		move_end(move, GCL_MOVE_RESULT_LIMIT, "the server is drained");
	else if (!move->place || gcl_worker_place_has(&move->worker->moves, move->place))
		worker_tell(move, -1);
	else
		link_make(move);
}

/* The first that waits. */
static struct gcl_move *waiting_first(const struct gcl_moves *moves)
{
	gcl_list_for_each (it, &moves->list) {
		struct gcl_move *move = gcl_container_of(it, struct gcl_move, link);

		if (move->phase == GCL_MOVE_WAITING)
			return move;
	}
	return NULL;
}

static void on_turn(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_moves *moves = timer->data;
	struct gcl_move *move;

	(void)loop;
	(void)events;
	if (moves->broker->stopping)
		return;
	/* One that fails at once makes room for the next. */
	while (moves->active < GCL_MOVES_AT_ONCE && (move = waiting_first(moves)))
		move_go(move);
}

/* From the loop: nobody's callback is called before gcl_move_start() returns. */
static void moves_go(struct gcl_moves *moves)
{
	if (!ev_is_active(&moves->turn) && waiting_first(moves))
		ev_timer_start(moves->broker->loop, &moves->turn);
}

/* ------------------------------------------------------------ notes */

/* Its session there ended before it was told to go there again: with a connection it can. */
static bool place_was_left(struct gcl_move *move, uint32_t result)
{
	if (result != GCL_MOVE_LINK || move->linked || !move->place)
		return false;
	gcl_worker_place_remove(&move->worker->moves, move->place);
	ev_timer_stop(move->worker->broker->loop, &move->tick);
	link_make(move);
	return true;
}

static void text_make(const struct gcl_move *move, const struct gcl_note *note, char *text,
		      size_t size)
{
	const struct gcl_worker_process *worker = move->worker;

	if (note->device == GCL_MOVE_LINK && move->linked)
		snprintf(
			text, size,
			"the server can be reached, but gives no session: see guestcld's log, here "
			"and there");
	else if (note->device == GCL_MOVE_OFF && gcl_config_moves(&worker->broker->config))
		snprintf(text, size,
			 "it began before a server was configured, or without %.160s "
			 "(\"client-library\")",
			 worker->broker->config.client_library);
	else
		gcl_move_describe(note->device, note->value, text, size);
}

int gcl_worker_note_moved(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	struct gcl_move *move = worker->moves.now;
	char text[256];

	if (note->device >= GCL_MOVE_RESULT_LIMIT)
		return -EPROTO;
	/* One that nobody asked for. */
	if (!move || (move->phase != GCL_MOVE_TOLD && move->phase != GCL_MOVE_LATE))
		return 0;
	if (move->phase == GCL_MOVE_TOLD && place_was_left(move, note->device))
		return 0;
	if (is_there(note->device))
		gcl_worker_place_moved(&worker->moves, &move->order, move->place);
	text_make(move, note, text, sizeof text);
	move_end(move, note->device, text);
	return 0;
}

int gcl_worker_note_place_left(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	if (note->value <= UINT32_MAX)
		gcl_worker_place_remove(&worker->moves, (uint32_t)note->value);
	return 0;
}

/* ------------------------------------------------------------ the beginning */

int gcl_move_start(struct gcl_worker_process *worker, const struct gcl_move_order *order,
		   gcl_move_done *done, void *data, uint64_t *id, char *reason, size_t reason_size)
{
	struct gcl_moves *moves = &worker->broker->moves;
	struct gcl_move *move;
	uint32_t place;
	int err = gcl_move_check(worker, order, &place, reason, reason_size);

	if (err < 0)
		return err;
	move = calloc(1, sizeof *move);
	if (!move) {
		snprintf(reason, reason_size, "guestcld has no memory left");
		return -ENOMEM;
	}
	move->worker = worker;
	move->id = ++moves->ids;
	move->order = *order;
	move->place = place;
	move->done = done;
	move->data = data;
	gcl_moves_add(moves, move);
	if (id)
		*id = move->id;
	return 0;
}

void gcl_moves_add(struct gcl_moves *moves, struct gcl_move *move)
{
	gcl_list_append(&moves->list, &move->link);
	moves->count++;
	moves->active += is_active(move);
	move->worker->moves.now = move;
	move->changed = gcl_clock();
	tick_start(move);
	moves_go(moves);
}

void gcl_moves_settle(struct gcl_moves *moves)
{
	gcl_list_for_each (it, &moves->list) {
		struct gcl_move *move = gcl_container_of(it, struct gcl_move, link);

		if (move->phase == GCL_MOVE_LINKING && !move->made)
			phase_set(move, GCL_MOVE_WAITING);
	}
	moves_go(moves);
}

void gcl_moves_forget(struct gcl_worker_process *worker)
{
	/* Whoever hears of the end can't begin another one. */
	worker->state = GCL_WORKER_ENDING;
	if (worker->moves.now)
		move_end(worker->moves.now, GCL_MOVE_RESULT_LIMIT, "the session has ended");
}

/* ------------------------------------------------------------ all of them */

void gcl_moves_init(struct gcl_moves *moves, struct gcl_broker *broker)
{
	*moves = (struct gcl_moves){.broker = broker};
	gcl_list_init(&moves->list);
	gcl_list_init(&moves->links);
	gcl_list_init(&moves->places);
	gcl_list_init(&moves->drained);
	ev_timer_init(&moves->turn, on_turn, 0., 0.);
	moves->turn.data = moves;
}

static void places_free(struct gcl_list *list)
{
	gcl_list_for_each_safe (it, next, list)
		free(gcl_container_of(it, struct gcl_move_place, link));
	gcl_list_init(list);
}

void gcl_moves_fini(struct gcl_moves *moves)
{
	gcl_list_for_each_safe (it, next, &moves->list)
		move_destroy(gcl_container_of(it, struct gcl_move, link));
	ev_timer_stop(moves->broker->loop, &moves->turn);
	gcl_links_fini(moves);
	places_free(&moves->places);
	places_free(&moves->drained);
}
