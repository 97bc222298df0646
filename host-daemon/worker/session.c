/*
 * The session thread: receive, put together, dispatch, until the guest goes or breaks the rules.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jobs.h"
#include "program.h"

/* Room for a message of several frames that is kept from one to the next. */
#define PARTS_KEPT (1u << 20)

/* How long a command's failure can go unnoticed when the runtime calls no callback for it. */
#define SWEEP_MS 100

void gcl_worker_init(struct gcl_worker *worker)
{
	memset(worker, 0, sizeof *worker);
	worker->broker = -1;
	worker->note_fd = -1;
	worker->page = &worker->own_page;
	gcl_quota_init(&worker->quota);
	gcl_timing_init(&worker->timing);
	gcl_gate_init(worker);
	gcl_arena_init(&worker->arena);
	gcl_outbox_init(&worker->outbox);
	gcl_list_init(&worker->queues);
	gcl_list_init(&worker->closing);
	gcl_sides_init(&worker->sides);
}

void gcl_worker_fini(struct gcl_worker *worker)
{
	gcl_jobs_destroy(worker->builder);
	gcl_timing_fini(worker);
	gcl_meter_fini(&worker->meter);
	gcl_programs_refused_drop(worker);
	gcl_journal_free(worker, steal_pointer(&worker->sides.journal));
	gcl_replay_fini(worker);
	gcl_gated_lose(worker, GCL_SIDES);
	gcl_tables_fini(worker);
	gcl_completions_fini(worker);
	gcl_quota_fini(&worker->quota);
	gcl_queues_prune(worker, true);
	gcl_sides_fini(worker);
	gcl_outbox_fini(&worker->outbox);
	gcl_arena_fini(&worker->arena);
	if (worker->welcome)
		protobuf_c_message_free_unpacked(&worker->welcome->base, NULL);
	free(worker->parts);
	if (worker->page != &worker->own_page)
		munmap(worker->page, sizeof *worker->page);
}

static int parts_append(struct gcl_worker *worker, const void *body, size_t size)
{
	size_t wanted = worker->parts_size + size;

	/* The channel has checked that this is the next part of the same message; the sum is
	 * checked here too, because it is here that memory is taken. */
	if (wanted > GCL_MESSAGE_MAX)
		return -EMSGSIZE;
	if (wanted >= worker->parts_room) {
		size_t room = GCL_MIN(GCL_MAX(2 * wanted, 4 * GCL_FRAME_MAX), GCL_MESSAGE_MAX);
		uint8_t *parts = realloc(worker->parts, room);

		if (!parts)
			return -ENOMEM;
		worker->parts = parts;
		worker->parts_room = room;
	}
	memcpy(worker->parts + worker->parts_size, body, size);
	worker->parts_size = wanted;
	return 0;
}

static int parts_dispatch(struct gcl_worker *worker, const struct gcl_frame *head)
{
	int err = gcl_dispatch(worker, head, worker->parts, worker->parts_size);

	worker->parts_size = 0;
	if (worker->parts_room > PARTS_KEPT) {
		free(steal_pointer(&worker->parts));
		worker->parts_room = 0;
	}
	return err;
}

static int frame_take(struct gcl_worker *worker, const struct gcl_frame *head)
{
	size_t size = head->length - sizeof *head;
	bool more = head->flags & GCL_FRAME_MORE;
	int err;

	gcl_page_add(&worker->page->counts.bytes_from_guest, head->length + head->payload_size);
	if (!more && worker->parts_size == 0)
		return gcl_dispatch(worker, head, worker->body, size);
	err = parts_append(worker, worker->body, size);
	if (err || more)
		return err;
	return parts_dispatch(worker, head);
}

/*
 * Waits until there is a frame. While commands are under way, looks now and then for some that
 * failed in silence.
 *
 * When there is nothing to do until the runtime has done something, the thread sleeps at once, so
 * that the runtime's threads get its CPU, and is woken by the next completion: the guest will say
 * more soon, and finds the thread looking.
 */
static int frame_wait(struct gcl_worker *worker)
{
	struct gcl_completion_pool *completions = &worker->completions;
	int64_t idle_since = 0;
	bool outstanding;
	int err, most_ms;

	gcl_completions_reap(worker);
	most_ms = gcl_gate_idle(worker);
	if (!most_ms)
		return 0;
	gcl_channel_patient(worker->channel, true); /* pairs with tell_locked() */
	outstanding = atomic_load(&completions->outstanding) > 0;
	if (!outstanding || atomic_load(&completions->told) != completions->told_before)
		gcl_channel_patient(worker->channel, false);
	if (!outstanding)
		idle_since = gcl_meter_clock();
	gcl_progress(worker, false);
	err = gcl_channel_wait(worker->channel, false,
			       most_ms > 0			     ? most_ms
			       : outstanding || worker->sides.active ? SWEEP_MS
								     : -1);
	gcl_progress(worker, true);
	if (idle_since)
		gcl_page_add(&worker->page->task.idle_time,
			     (uint64_t)(gcl_meter_clock() - idle_since));
	gcl_channel_patient(worker->channel, false);
	if (err != -ETIMEDOUT)
		return err;
	gcl_completions_sweep(worker);
	gcl_queues_prune(worker, false);
	return 0;
}

/* The operator may have paused the session: what it says waits. The watch thread goes on, so that
 * guest and broker find the process alive. */
static void pause_wait(struct gcl_worker *worker)
{
	_Atomic uint32_t *word = &worker->page->paused;
	uint32_t paused;

	if (!atomic_load_explicit(word, memory_order_relaxed))
		return;
	gcl_gate_leave(worker);
	gcl_progress(worker, false);
	while ((paused = atomic_load_explicit(word, memory_order_relaxed)))
		syscall(SYS_futex, word, FUTEX_WAIT, paused, NULL, NULL, 0);
	gcl_progress(worker, true);
}

int gcl_session_run(struct gcl_worker *worker)
{
	struct gcl_channel *channel = worker->channel;
	struct gcl_frame head;
	int err;

	gcl_progress(worker, true);
	for (;;) {
		gcl_outbox_flush(worker);
		gcl_move_poll(worker);
		err = gcl_channel_receive(channel, &head, worker->body, sizeof worker->body);
		if (err == 0) {
			err = frame_wait(worker);
		} else if (err > 0) {
			pause_wait(worker);
			worker->completions.told_before = worker->completions.told;
			err = frame_take(worker, &head);
		}
		if (err)
			break;
	}
	gcl_channel_kill(channel, err);
	return err == -EPIPE ? 0 : err;
}
