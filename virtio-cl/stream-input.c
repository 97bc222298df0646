// SPDX-License-Identifier: MIT
/*
 * The decoder of a stream channel.
 *
 * Bytes are read into a buffer, many small frames at a time. What a payload lacks then is read
 * straight to its place in the heap, together with what comes behind it. While that goes on, the
 * frame's body stays where it is in the buffer.
 *
 * Must not: block, write to the heap before the frame that says so was checked.
 */
#include "stream-input.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

/* No more of a payload than this is read into the buffer, and copied once more. */
#define READ_AHEAD GCL_FRAME_MAX

_Static_assert(GCL_STREAM_BUFFER >= GCL_FRAME_MAX + READ_AHEAD, "there is room to read on");

void gcl_stream_input_init(struct gcl_stream_input *input, struct gcl_stream_io *io,
			   struct gcl_channel *channel, bool trims)
{
	input->io = io;
	input->channel = channel;
	input->trims = trims;
	input->whole = input->begun = input->bad = input->short_read = input->ended = false;
	input->heard = false;
	input->beats = 0;
	input->payload_done = 0;
	input->begin = input->next = input->end = 0;
}

/* Gives the memory of a range that the peer doesn't use any more back, as far as whole pages of
 * this machine go. Return: false when it breaks the rules. */
static bool trim(struct gcl_stream_input *input, const struct gcl_frame *head)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t from = (head->payload_offset + page - 1) & ~(page - 1);
	uint64_t to = (head->payload_offset + head->payload_size) & ~(page - 1);

	if (!input->trims || head->flags != GCL_FRAME_TRIM || head->length != sizeof *head ||
	    head->number || head->sequence || !head->payload_size ||
	    !gcl_channel_heap_trimmed(input->channel, head->payload_offset, head->payload_size))
		return false;
	if (from < to && madvise(input->channel->heap + from, to - from, MADV_DONTNEED) < 0)
		gcl_log_debug(mem, "cannot trim the heap: errno %d", errno);
	return true;
}

static bool beat(struct gcl_stream_input *input, const struct gcl_frame *head)
{
	const struct gcl_frame right = {.length = sizeof right, .flags = GCL_FRAME_BEAT};

	input->beats++;
	return memcmp(head, &right, sizeof right) == 0;
}

/* Only the first fragment of a message is followed by its payload. */
static uint64_t payload_follows(const struct gcl_stream_input *input)
{
	return input->channel->part.flags & GCL_FRAME_MORE ? 0 : input->head.payload_size;
}

/* Takes as much of the payload as is in the buffer already. */
static void payload_begin(struct gcl_stream_input *input)
{
	uint64_t size = payload_follows(input);
	size_t here = (size_t)GCL_MIN(size, input->end - input->next);

	if (here)
		memcpy(input->channel->heap + input->head.payload_offset,
		       input->buffer + input->next, here);
	input->next += here;
	input->payload_done = here;
	input->begun = true;
	if (here == size) {
		input->whole = true;
		return;
	}
	/* All of the buffer behind the body went to the heap: it is free again. */
	input->next = input->end = input->begin + input->head.length;
}

/* Looks at what is in the buffer. Return: GCL_STREAM_FRAME, GCL_STREAM_GOES_ON after a frame that
 * isn't handed on, GCL_STREAM_STARVED, -EPROTO. */
static int parse(struct gcl_stream_input *input)
{
	size_t got = input->end - input->begin;

	if (input->whole)
		return GCL_STREAM_FRAME;
	if (input->begun || got < sizeof input->head)
		return GCL_STREAM_STARVED;
	memcpy(&input->head, input->buffer + input->begin, sizeof input->head);
	if (input->head.length < sizeof input->head || input->head.length > GCL_FRAME_MAX)
		return -EPROTO;
	if (input->head.flags & (GCL_FRAME_TRIM | GCL_FRAME_BEAT)) {
		if (!(input->head.flags & GCL_FRAME_TRIM ? trim : beat)(input, &input->head))
			return -EPROTO;
		input->begin += sizeof input->head;
		return GCL_STREAM_GOES_ON;
	}
	if (gcl_channel_frame_wrong(input->channel, &input->head)) {
		/* The channel says so when it is handed on, and ends. */
		input->bad = input->whole = true;
		return GCL_STREAM_FRAME;
	}
	if (got < input->head.length)
		return GCL_STREAM_STARVED;
	input->next = input->begin + input->head.length;
	payload_begin(input);
	return input->whole ? GCL_STREAM_FRAME : GCL_STREAM_STARVED;
}

/* Makes room to read to, behind what the buffer holds. */
static void buffer_move(struct gcl_stream_input *input)
{
	size_t held = input->end - input->begin;

	if (held == 0) {
		input->begin = input->end = 0;
	} else if (sizeof input->buffer - input->end < READ_AHEAD) {
		memmove(input->buffer, input->buffer + input->begin, held);
		input->begin = 0;
		input->end = held;
	}
	if (input->begun)
		input->next = input->end;
}

/* One read. Return: GCL_STREAM_GOES_ON, GCL_STREAM_STARVED, -EPIPE, -errno. */
static int fill(struct gcl_stream_input *input)
{
	uint64_t lacks = input->begun ? payload_follows(input) - input->payload_done : 0;
	struct iovec iov[2];
	size_t wanted = READ_AHEAD, direct;
	int count = 0;
	ssize_t n;

	if (input->ended)
		return -EPIPE;
	/* Said once: who asks again without having waited means it. */
	if (input->short_read) {
		input->short_read = false;
		return GCL_STREAM_STARVED;
	}
	buffer_move(input);
	if (lacks) {
		uint64_t at = input->head.payload_offset + input->payload_done;

		iov[count++] = (struct iovec){input->channel->heap + at, lacks};
		wanted += lacks;
	}
	iov[count++] = (struct iovec){input->buffer + input->end, READ_AHEAD};
	n = input->io->ops->read(input->io, iov, count);
	if (n == -EAGAIN)
		return GCL_STREAM_STARVED;
	if (n == 0)
		input->ended = true;
	if (n <= 0)
		return n ? (int)n : -EPIPE;
	input->short_read = (size_t)n < wanted && !input->io->ops->pending(input->io);
	input->heard = true;
	direct = (size_t)GCL_MIN((uint64_t)n, lacks);
	input->payload_done += direct;
	input->end += (size_t)n - direct;
	if (lacks && direct == lacks)
		input->whole = true;
	return GCL_STREAM_GOES_ON;
}

int gcl_stream_input_step(struct gcl_stream_input *input)
{
	int step = parse(input);

	if (step != GCL_STREAM_STARVED)
		return step;
	step = fill(input);
	if (step != GCL_STREAM_GOES_ON)
		return step;
	step = parse(input);
	return step == GCL_STREAM_STARVED && !input->short_read ? GCL_STREAM_GOES_ON : step;
}

int gcl_stream_input_take(struct gcl_stream_input *input, struct gcl_frame *head, void *body,
			  size_t body_max)
{
	size_t size = input->head.length - sizeof *head;

	if (size > body_max)
		return -EPROTO;
	*head = input->head;
	if (!input->bad) {
		memcpy(body, input->buffer + input->begin + sizeof *head, size);
		input->begin = input->next;
		input->whole = input->begun = false;
	}
	return 1;
}
