/*
 * Queues and events: order of what the guest is told, poisoned commands, tombstones, releases
 * before completion.
 */
#include "guest.h"

#include <errno.h>

#define EVENTS 200u

/* A marker on @queue that waits for @wait, if that isn't 0. Return: its event. */
static uint64_t marker(struct guest *guest, uint64_t queue, uint64_t wait)
{
	Gcl__Command command = guest_command(guest, guest_id(guest, GCL_KIND_EVENT));
	Gcl__Marker message = GCL__MARKER__INIT;

	command.queue = queue;
	command.n_waits = wait != 0;
	command.waits = &wait;
	message.command = &command;
	assert_int_equal(guest_send(guest, GCL_MARKER, &message), 0);
	return command.event;
}

static cl_int event_status(struct guest *guest, uint64_t event)
{
	const struct mail *mail = guest_wait(guest, GCL_EVENT_DONE, event, 10);

	assert_non_null(mail);
	return ((const Gcl__EventDone *)mail->message)->status;
}

static uint64_t sync_post(struct guest *guest, uint64_t queue)
{
	Gcl__QueueSync message = GCL__QUEUE_SYNC__INIT;

	message.queue = queue;
	assert_int_equal(guest_send(guest, GCL_QUEUE_SYNC, &message), 0);
	return guest->sequence;
}

static cl_int sync_status(struct guest *guest, uint64_t sync)
{
	const struct mail *mail = guest_wait(guest, GCL_QUEUE_DONE, sync, 10);

	assert_non_null(mail);
	return ((const Gcl__QueueDone *)mail->message)->status;
}

/* Place of a message in the inbox, counted from 0. */
static size_t place(struct guest *guest, enum gcl_message number, uint64_t id)
{
	const struct mail *mail = guest_wait(guest, number, id, 10);
	size_t count = 0;

	assert_non_null(mail);
	pthread_mutex_lock(&guest->lock);
	gcl_list_for_each (it, &guest->inbox) {
		if (it == &mail->link)
			break;
		count++;
	}
	pthread_mutex_unlock(&guest->lock);
	return count;
}

static void in_order_is_told_in_order(void **state)
{
	struct guest *guest = *state;
	uint64_t events[EVENTS], sync;

	for (size_t i = 0; i < EVENTS; i++)
		events[i] = marker(guest, guest->queue, 0);
	sync = sync_post(guest, guest->queue);
	assert_int_equal(sync_status(guest, sync), CL_SUCCESS);
	for (size_t i = 1; i < EVENTS; i++)
		assert_true(place(guest, GCL_EVENT_DONE, events[i - 1]) <
			    place(guest, GCL_EVENT_DONE, events[i]));
	assert_true(place(guest, GCL_EVENT_DONE, events[EVENTS - 1]) <
		    place(guest, GCL_QUEUE_DONE, sync));
}

static void out_of_order_sync_is_last(void **state)
{
	struct guest *guest = *state;
	uint64_t queue = guest_queue(guest, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	uint64_t gate = guest_user_event(guest);
	uint64_t waits = marker(guest, queue, gate);
	uint64_t sync = sync_post(guest, queue);

	assert_null(guest_wait(guest, GCL_QUEUE_DONE, sync, 0));
	guest_user_event_set(guest, gate, CL_COMPLETE);
	assert_int_equal(sync_status(guest, sync), CL_SUCCESS);
	assert_true(place(guest, GCL_EVENT_DONE, waits) < place(guest, GCL_QUEUE_DONE, sync));
	guest_release(guest, queue);
}

/* What waits for a user event that fails, fails, and the queue says so once. */
static void poisoned(void **state, uint64_t properties)
{
	struct guest *guest = *state;
	uint64_t queue = guest_queue(guest, properties);
	uint64_t gate = guest_user_event(guest);
	uint64_t first = marker(guest, queue, gate);
	uint64_t second = marker(guest, queue, first);
	uint64_t sync = sync_post(guest, queue);

	guest_user_event_set(guest, gate, -77);
	assert_true(event_status(guest, first) < 0);
	assert_true(event_status(guest, second) < 0);
	assert_true(sync_status(guest, sync) < 0);
	assert_true(place(guest, GCL_EVENT_DONE, second) < place(guest, GCL_QUEUE_DONE, sync));
	assert_int_equal(sync_status(guest, sync_post(guest, queue)), CL_SUCCESS);
	/* Waits for what failed long ago; and what waits for nothing works. */
	assert_true(event_status(guest, marker(guest, queue, first)) < 0);
	assert_true(event_status(guest, marker(guest, queue, gate)) < 0);
	assert_true(sync_status(guest, sync_post(guest, queue)) < 0);
	assert_int_equal(event_status(guest, marker(guest, queue, 0)), CL_COMPLETE);
	assert_int_equal(sync_status(guest, sync_post(guest, queue)), CL_SUCCESS);
	guest_release(guest, queue);
}

static void poisoned_in_order(void **state)
{
	poisoned(state, 0);
}

static void poisoned_out_of_order(void **state)
{
	poisoned(state, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
}

static void profiled(void **state)
{
	struct guest *guest = *state;
	uint64_t queue = guest_queue(guest, CL_QUEUE_PROFILING_ENABLE);
	uint64_t event = marker(guest, queue, 0);
	const struct mail *mail = guest_wait(guest, GCL_EVENT_DONE, event, 10);
	const Gcl__EventDone *done;

	assert_non_null(mail);
	done = (const Gcl__EventDone *)mail->message;
	assert_true(done->queued && done->submitted && done->ended);
	guest_release(guest, queue);
}

static void released_before_completion(void **state)
{
	struct guest *guest = *state;
	uint64_t queue = guest_queue(guest, 0);
	uint64_t gate = guest_user_event(guest);
	uint64_t event = marker(guest, queue, gate);
	uint64_t sync = sync_post(guest, queue);

	guest_release(guest, event);
	guest_release(guest, queue);
	guest_user_event_set(guest, gate, CL_COMPLETE);
	guest_release(guest, gate);
	assert_int_equal(sync_status(guest, sync), CL_SUCCESS);
}

/* A queue that the runtime refuses: everything on it fails, nothing breaks. */
static void dead_queue(void **state)
{
	struct guest *guest = *state;
	uint64_t queue = guest_queue(guest, ~0ull);
	uint64_t event = marker(guest, queue, 0);

	assert_true(guest_failed(guest, queue) < 0);
	assert_int_equal(event_status(guest, event), guest_failed(guest, queue));
	assert_int_equal(sync_status(guest, sync_post(guest, queue)), guest_failed(guest, queue));
	assert_true(event_status(guest, marker(guest, guest->queue, event)) < 0);
	assert_true(guest_finish(guest) < 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	guest_release(guest, event);
	guest_release(guest, queue);
}

static void hostile(void **state)
{
	struct guest *guest = *state;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Marker message = GCL__MARKER__INIT;
	Gcl__UserEventSet set = GCL__USER_EVENT_SET__INIT;
	uint64_t event = marker(guest, guest->queue, 0);
	uint64_t nothing = gcl_id(GCL_KIND_EVENT, 9, 1);

	message.command = &command;
	command.n_waits = 1;
	command.waits = &nothing;
	assert_int_equal(guest_send(guest, GCL_MARKER, &message), -EPROTO);
	command.n_waits = 0;
	command.event = event;
	assert_int_equal(guest_send(guest, GCL_MARKER, &message), -EPROTO);
	command.event = guest->queue;
	assert_int_equal(guest_send(guest, GCL_MARKER, &message), -EPROTO);
	/* Not a user event: the runtime refuses, and that is all. */
	set.id = event;
	set.status = -1;
	assert_int_equal(guest_send(guest, GCL_USER_EVENT_SET, &set), 0);
	set.status = 1;
	assert_int_equal(guest_send(guest, GCL_USER_EVENT_SET, &set), -EPROTO);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_is_told_in_order),
		cmocka_unit_test(out_of_order_sync_is_last),
		cmocka_unit_test(poisoned_in_order),
		cmocka_unit_test(poisoned_out_of_order),
		cmocka_unit_test(profiled),
		cmocka_unit_test(released_before_completion),
		cmocka_unit_test(dead_queue),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
