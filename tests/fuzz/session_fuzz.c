/*
 * Whole sessions of frames from a hostile guest against the worker, with the stub runtime behind.
 *
 * The channel is plain memory: its heap ends where the allocation ends, so that a sanitizer sees
 * every step beyond. Builds run on the worker's pool; the guest waits for their answers, so that an
 * input always does the same.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "session_fuzz.h"
#include "stub.h"
#include "worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_guest {
	struct gcl_channel channel; /* first */
	struct gcl_worker *worker;
	const uint8_t *data;
	size_t size;
	unsigned refuse; /* every so many reservations there is no room; 0: always room */
	unsigned reserved;
	unsigned asked; /* frames handed out that are answered from the pool */
	_Atomic unsigned answered;
	uint8_t room[GCL_FRAME_MAX];
};

static struct fuzz_guest *guest_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct fuzz_guest, channel);
}

/* The worker's outbox lock is held: one at a time. */
static int fuzz_reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	struct fuzz_guest *guest = guest_of(channel);

	(void)body_max;
	if (guest->refuse && ++guest->reserved % guest->refuse == 0)
		return -EAGAIN;
	*body = guest->room;
	return 0;
}

static void fuzz_commit(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size)
{
	(void)body_size;
	if (!(head->flags & GCL_FRAME_MORE) &&
	    (head->number == GCL_ANSWER_BUILD || head->number == GCL_ANSWER_BINARIES))
		atomic_fetch_add(&guest_of(channel)->answered, 1);
}

static bool is_answered(unsigned number)
{
	switch (number) {
	case GCL_PROGRAM_CREATE_BINARY:
	case GCL_PROGRAM_CREATE_BUILT_IN:
	case GCL_PROGRAM_CREATE_IL:
	case GCL_PROGRAM_BUILD:
	case GCL_PROGRAM_COMPILE:
	case GCL_PROGRAM_LINK:
	case GCL_PROGRAM_BINARIES:
		return true;
	default:
		return false;
	}
}

/* The worker comes for the next frame, so it took the last one, and an answer will come. */
static void answers_wait(struct fuzz_guest *guest)
{
	while (atomic_load(&guest->answered) < guest->asked) {
		gcl_outbox_flush(guest->worker);
		sched_yield();
	}
}

static int fuzz_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
			size_t body_max)
{
	struct fuzz_guest *guest = guest_of(channel);
	struct session_fuzz_record record;
	size_t size;

	answers_wait(guest);
	if (guest->size < sizeof record)
		return -EPIPE;
	memcpy(&record, guest->data, sizeof record);
	guest->data += sizeof record;
	guest->size -= sizeof record;
	size = GCL_MIN(GCL_MIN(record.body_size, guest->size), body_max);
	if (size)
		memcpy(body, guest->data, size);
	guest->data += size;
	guest->size -= size;
	*head = (struct gcl_frame){
		.length = (uint32_t)(sizeof *head + size),
		.number = record.number,
		.flags = record.flags & SESSION_FUZZ_MORE ? GCL_FRAME_MORE : 0,
		.sequence = channel->received + !(channel->part.flags & GCL_FRAME_MORE),
	};
	if (record.flags & SESSION_FUZZ_PAYLOAD) {
		head->payload_offset = record.payload_offset;
		head->payload_size = record.payload_size;
	}
	guest->asked += !head->flags && is_answered(record.number);
	return 1;
}

static int fuzz_wait(struct gcl_channel *channel, bool writable, int timeout_ms)
{
	(void)channel;
	(void)writable;
	(void)timeout_ms;
	return 0;
}

static void fuzz_kill(struct gcl_channel *channel)
{
	(void)channel;
}

static const struct gcl_channel_ops fuzz_ops = {
	.name = "fuzz",
	.shared = true,
	.reserve = fuzz_reserve,
	.commit = fuzz_commit,
	.receive = fuzz_receive,
	.wait = fuzz_wait,
	.kill = fuzz_kill,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gcl_worker worker;
	static struct fuzz_guest guest;
	_cleanup_free_ uint8_t *heap = aligned_alloc(4096, SESSION_FUZZ_HEAP);

	if (size == 0 || !heap)
		return 0;
	if (getenv("GUESTCL_DEBUG"))
		gcl_log_init("session_fuzz");
	else
		gcl_log_level_set(GCL_LOG_ERROR);
	memset(heap, 0, SESSION_FUZZ_HEAP);
	memset(&guest, 0, sizeof guest);
	guest.channel.ops = &fuzz_ops;
	guest.channel.heap = heap;
	guest.channel.heap_size = SESSION_FUZZ_HEAP;
	guest.worker = &worker;
	/* A guest that never leaves room gets no answers. */
	guest.refuse = data[0] == 1 ? 2 : data[0];
	guest.data = data + 1;
	guest.size = size - 1;
	gcl_worker_init(&worker);
	worker.channel = &guest.channel;
	/* Half of the sessions could move. */
	worker.client = size % 2 ? "libguestcl.so" : NULL;
	worker.resident = !worker.client;
	if (gcl_snapshot_make(&worker))
		abort();
	gcl_session_run(&worker);
	stub_events_fail();
	gcl_worker_fini(&worker);
	return 0;
}
