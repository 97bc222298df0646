// SPDX-License-Identifier: MIT
/*
 * Commands that wait for the program's user events while sides are in use: which do, and that what
 * they do counts from the moment in which the last of these is set. All is at home here; tests/move
 * has them on several sides.
 */
#include "guest.h"

#include <errno.h>

#define SIZE 4096u

static int setup(void **state)
{
	int err = guest_setup(state);
	struct guest *guest = *state;

	if (!err) {
		guest->worker.client = "";
		guest->worker.sides.active = true;
	}
	return err;
}

static size_t gated(const struct guest *guest)
{
	return gcl_list_count(&guest->worker.sides.gated);
}

static const struct gcl_contents *contents_of(struct guest *guest, uint64_t mem)
{
	struct gcl_mem *detail = gcl_table_find(&guest->worker, mem, GCL_KIND_MEM)->detail;

	return &detail->contents;
}

/* Return: its event. @wait 0: none. */
static uint64_t fill(struct guest *guest, uint64_t queue, uint64_t mem, uint64_t wait)
{
	Gcl__Command command = GCL__COMMAND__INIT;
	Gcl__BufferFill message = GCL__BUFFER_FILL__INIT;
	uint8_t pattern = 7;

	command.queue = queue;
	command.event = guest_id(guest, GCL_KIND_EVENT);
	command.waits = &wait;
	command.n_waits = wait != 0;
	message.command = &command;
	message.mem = mem;
	message.pattern = (ProtobufCBinaryData){1, &pattern};
	message.size = SIZE;
	assert_int_equal(guest_send(guest, GCL_BUFFER_FILL, &message), 0);
	return command.event;
}

/* Onto itself, which runtimes refuse; as fill(). */
static uint64_t copy(struct guest *guest, uint64_t queue, uint64_t mem, uint64_t wait)
{
	Gcl__Command command = GCL__COMMAND__INIT;
	Gcl__BufferCopy message = GCL__BUFFER_COPY__INIT;

	command.queue = queue;
	command.event = guest_id(guest, GCL_KIND_EVENT);
	command.waits = &wait;
	command.n_waits = wait != 0;
	message.command = &command;
	message.src = message.dst = mem;
	message.dst_offset = 1;
	message.size = SIZE / 2;
	assert_int_equal(guest_send(guest, GCL_BUFFER_COPY, &message), 0);
	return command.event;
}

/* A marker or a barrier; as fill(). */
static uint64_t order(struct guest *guest, enum gcl_message number, uint64_t queue, uint64_t wait)
{
	Gcl__Command command = GCL__COMMAND__INIT;
	Gcl__Marker marker = GCL__MARKER__INIT;
	Gcl__Barrier barrier = GCL__BARRIER__INIT;

	command.queue = queue;
	command.event = guest_id(guest, GCL_KIND_EVENT);
	command.waits = &wait;
	command.n_waits = wait != 0;
	marker.command = barrier.command = &command;
	assert_int_equal(guest_send(guest, number,
				    number == GCL_MARKER ? (void *)&marker : (void *)&barrier),
			 0);
	return command.event;
}

static void flush(struct guest *guest, uint64_t queue)
{
	Gcl__QueueFlush message = GCL__QUEUE_FLUSH__INIT;

	message.queue = queue;
	assert_int_equal(guest_send(guest, GCL_QUEUE_FLUSH, &message), 0);
}

/* How the command ended. */
static cl_int ended(struct guest *guest, uint64_t queue, uint64_t event)
{
	const struct mail *mail;

	flush(guest, queue);
	mail = guest_wait(guest, GCL_EVENT_DONE, event, 30);
	assert_non_null(mail);
	return ((const Gcl__EventDone *)mail->message)->status;
}

/* Nothing is known of its uses before the event is set; others go on meanwhile. */
static void uses_count_late(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), second = guest_queue(guest, 0);
	uint64_t gate = guest_user_event(guest), held, early, before;

	before = contents_of(guest, mem)->written;
	held = fill(guest, second, mem, gate);
	assert_int_equal(gated(guest), 1);
	assert_int_equal(contents_of(guest, mem)->written, before);
	assert_int_equal(contents_of(guest, mem)->writer_count, 0);
	early = fill(guest, guest->queue, mem, 0);
	assert_int_equal(gated(guest), 1);
	assert_int_equal(ended(guest, guest->queue, early), CL_COMPLETE);
	before = contents_of(guest, mem)->written;
	guest_user_event_set(guest, gate, CL_COMPLETE);
	assert_int_equal(gated(guest), 0);
	assert_int_equal(contents_of(guest, mem)->written, before + 1);
	assert_int_equal(ended(guest, second, held), CL_COMPLETE);
	guest_release(guest, mem);
	guest_release(guest, second);
}

/* By their place in a queue, by events, by barriers, by markers. */
static void through_others(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), second = guest_queue(guest, 0);
	uint64_t loose = guest_queue(guest, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	uint64_t gate = guest_user_event(guest), held, last;

	held = fill(guest, second, mem, gate);
	fill(guest, second, mem, 0);
	assert_int_equal(gated(guest), 2);
	/* A queue without order: what waits for that, and nothing else, */
	fill(guest, loose, mem, 0);
	fill(guest, loose, mem, held);
	fill(guest, loose, mem, 0);
	assert_int_equal(gated(guest), 3);
	/* before there is a barrier; a marker of everything waits, and nobody for it. */
	order(guest, GCL_MARKER, loose, 0);
	fill(guest, loose, mem, 0);
	assert_int_equal(gated(guest), 4);
	order(guest, GCL_BARRIER, loose, held);
	last = fill(guest, loose, mem, 0);
	assert_int_equal(gated(guest), 6);
	flush(guest, second);
	guest_user_event_set(guest, gate, CL_COMPLETE);
	assert_int_equal(gated(guest), 0);
	assert_int_equal(ended(guest, loose, last), CL_COMPLETE);
	guest_release(guest, mem);
	guest_release(guest, second);
	guest_release(guest, loose);
}

static void two_gates(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0);
	uint64_t loose = guest_queue(guest, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	uint64_t first = guest_user_event(guest), second = guest_user_event(guest), one, both;

	one = fill(guest, loose, mem, first);
	order(guest, GCL_BARRIER, loose, second);
	both = fill(guest, loose, mem, one);
	assert_int_equal(gated(guest), 3);
	guest_user_event_set(guest, second, CL_COMPLETE);
	assert_int_equal(gated(guest), 2);
	guest_user_event_set(guest, first, CL_COMPLETE);
	assert_int_equal(gated(guest), 0);
	assert_int_equal(ended(guest, loose, both), CL_COMPLETE);
	guest_release(guest, mem);
	guest_release(guest, loose);
}

/* What the runtime refuses isn't there; what fails with its gate is over. */
static void failures(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), second = guest_queue(guest, 0);
	uint64_t gate = guest_user_event(guest), held;

	assert_true(ended(guest, second, copy(guest, second, mem, gate)) < 0);
	assert_int_equal(gated(guest), 0);
	held = fill(guest, second, mem, gate);
	guest_user_event_set(guest, gate, CL_OUT_OF_RESOURCES);
	assert_int_equal(gated(guest), 0);
	assert_true(ended(guest, second, held) < 0);
	guest_release(guest, mem);
	guest_release(guest, second);
}

/* The guest has released all that it may. */
static void released(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), second = guest_queue(guest, 0);
	uint64_t gate = guest_user_event(guest), held = fill(guest, second, mem, gate);

	flush(guest, second);
	guest_release(guest, mem);
	guest_release(guest, second);
	guest_user_event_set(guest, gate, CL_COMPLETE);
	guest_release(guest, gate);
	assert_int_equal(gated(guest), 0);
	assert_non_null(guest_wait(guest, GCL_EVENT_DONE, held, 30));
}

/* They keep their side in use. */
static void keeps_side(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), gate = guest_user_event(guest);

	assert_false(gcl_gated_on(&guest->worker, GCL_HOME));
	fill(guest, guest->queue, mem, gate);
	gcl_gated_lose(&guest->worker, 1);
	assert_int_equal(gated(guest), 1);
	assert_true(gcl_gated_on(&guest->worker, GCL_HOME));
	assert_false(gcl_gated_on(&guest->worker, 1));
	guest_user_event_set(guest, gate, CL_COMPLETE);
	assert_false(gcl_gated_on(&guest->worker, GCL_HOME));
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	guest_release(guest, mem);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(uses_count_late, setup, guest_teardown),
		cmocka_unit_test_setup_teardown(through_others, setup, guest_teardown),
		cmocka_unit_test_setup_teardown(two_gates, setup, guest_teardown),
		cmocka_unit_test_setup_teardown(failures, setup, guest_teardown),
		cmocka_unit_test_setup_teardown(released, setup, guest_teardown),
		cmocka_unit_test_setup_teardown(keeps_side, setup, guest_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
