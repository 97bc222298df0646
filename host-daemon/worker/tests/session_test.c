/*
 * Sessions: frames put together, malformed messages, and how a session ends.
 */
#include "guest.h"

#include <errno.h>
#include <string.h>

#define FRAMES_MAX 16

/* A guest whose frames are all there from the beginning. */
struct script {
	struct gcl_channel channel; /* first */
	struct gcl_worker worker;
	struct {
		struct gcl_frame head;
		const void *body;
	} frames[FRAMES_MAX];
	unsigned count, next;
	unsigned sent; /* by the worker */
	uint8_t frame[GCL_FRAME_MAX];
	uint8_t heap[4096];
};

static int reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	(void)body_max;
	*body = gcl_container_of(channel, struct script, channel)->frame;
	return 0;
}

static void commit(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size)
{
	(void)head;
	(void)body_size;
	gcl_container_of(channel, struct script, channel)->sent++;
}

static int receive(struct gcl_channel *channel, struct gcl_frame *head, void *body, size_t body_max)
{
	struct script *script = gcl_container_of(channel, struct script, channel);

	if (script->next == script->count)
		return -EPIPE;
	*head = script->frames[script->next].head;
	assert_true(head->length - sizeof *head <= body_max);
	memcpy(body, script->frames[script->next].body, head->length - sizeof *head);
	script->next++;
	return 1;
}

static void kill_channel(struct gcl_channel *channel)
{
	(void)channel;
}

static const struct gcl_channel_ops ops = {
	.name = "script",
	.shared = true,
	.reserve = reserve,
	.commit = commit,
	.receive = receive,
	.kill = kill_channel,
};

static int setup(void **state)
{
	struct script *script = calloc(1, sizeof *script);

	assert_non_null(script);
	script->channel.ops = &ops;
	script->channel.heap = script->heap;
	script->channel.heap_size = sizeof script->heap;
	gcl_worker_init(&script->worker);
	script->worker.channel = &script->channel;
	*state = script;
	return 0;
}

static int teardown(void **state)
{
	struct script *script = *state;

	gcl_worker_fini(&script->worker);
	free(script);
	return 0;
}

static void frame(struct script *script, unsigned number, const void *body, size_t size,
		  uint64_t sequence, unsigned flags)
{
	assert_true(script->count < FRAMES_MAX);
	script->frames[script->count].head = (struct gcl_frame){
		.length = (uint32_t)(sizeof(struct gcl_frame) + size),
		.number = (uint16_t)number,
		.flags = (uint16_t)flags,
		.sequence = sequence,
	};
	script->frames[script->count++].body = body;
}

/* A message without effect: setting a user event that is a tombstone. */
static size_t harmless(struct script *script, uint8_t body[64])
{
	Gcl__UserEventSet message = GCL__USER_EVENT_SET__INIT;

	message.id = gcl_id(GCL_KIND_EVENT, 1, 1);
	message.status = -1;
	if (!gcl_table_find(&script->worker, message.id, GCL_KIND_EVENT))
		assert_non_null(gcl_table_add(&script->worker, message.id, GCL_KIND_EVENT));
	return gcl__user_event_set__pack(&message, body);
}

static void guest_leaves(void **state)
{
	struct script *script = *state;

	assert_int_equal(gcl_session_run(&script->worker), 0);
}

static void parts_are_put_together(void **state)
{
	struct script *script = *state;
	uint8_t body[64];
	size_t size = harmless(script, body);

	frame(script, GCL_USER_EVENT_SET, body, 3, 1, GCL_FRAME_MORE);
	frame(script, GCL_USER_EVENT_SET, "", 0, 1, GCL_FRAME_MORE);
	frame(script, GCL_USER_EVENT_SET, body + 3, size - 3, 1, 0);
	frame(script, GCL_USER_EVENT_SET, body, size, 2, 0);
	assert_int_equal(gcl_session_run(&script->worker), 0);
	assert_int_equal(script->next, 4);
}

static void only_empty_parts(void **state)
{
	struct script *script = *state;

	/* An empty message has the id 0, which stands for nothing. */
	frame(script, GCL_QUEUE_FLUSH, "", 0, 1, GCL_FRAME_MORE);
	frame(script, GCL_QUEUE_FLUSH, "", 0, 1, 0);
	assert_int_equal(gcl_session_run(&script->worker), -EPROTO);
}

static void ended_by(struct script *script, unsigned number, const void *body, size_t size)
{
	frame(script, number, body, size, 1, 0);
	frame(script, number, body, size, 2, 0);
	assert_int_equal(gcl_session_run(&script->worker), -EPROTO);
	assert_int_equal(script->next, 1);
	assert_int_equal(gcl_channel_dead(&script->channel), -EPROTO);
}

static void unknown_number(void **state)
{
	ended_by(*state, 0, "", 0);
}

static void number_beyond_all(void **state)
{
	ended_by(*state, UINT16_MAX, "", 0);
}

static void message_to_a_guest(void **state)
{
	ended_by(*state, GCL_QUEUE_DONE, "", 0);
}

static void malformed_body(void **state)
{
	ended_by(*state, GCL_MARKER, "\xff\xff\xff\xff\xff\xff", 6);
}

static void body_cut_short(void **state)
{
	uint8_t body[64];
	size_t size = harmless(*state, body);

	ended_by(*state, GCL_USER_EVENT_SET, body, size - 1);
}

static void no_command(void **state)
{
	ended_by(*state, GCL_MARKER, "", 0);
}

static void unknown_queue(void **state)
{
	Gcl__QueueSync message = GCL__QUEUE_SYNC__INIT;
	uint8_t body[64];

	message.queue = gcl_id(GCL_KIND_QUEUE, 0, 0);
	ended_by(*state, GCL_QUEUE_SYNC, body, gcl__queue_sync__pack(&message, body));
}

/* Very many empty parts in a small frame: unpacked they would take far more than they weigh. */
static void blown_up_body(void **state)
{
	static uint8_t body[GCL_FRAME_BODY_MAX];

	for (size_t i = 0; i + 1 < sizeof body; i += 2) {
		body[i] = 3 << 3 | 2; /* field 3, Launch.args, empty */
		body[i + 1] = 0;
	}
	ended_by(*state, GCL_LAUNCH, body, sizeof body);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(guest_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(parts_are_put_together, setup, teardown),
		cmocka_unit_test_setup_teardown(only_empty_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_number, setup, teardown),
		cmocka_unit_test_setup_teardown(number_beyond_all, setup, teardown),
		cmocka_unit_test_setup_teardown(message_to_a_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(malformed_body, setup, teardown),
		cmocka_unit_test_setup_teardown(body_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(no_command, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(blown_up_body, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
