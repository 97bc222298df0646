/*
 * The outbox: order and contents when the guest's ring has room for little, and the end of
 * patience.
 */
#include "guest.h"

#include <errno.h>
#include <string.h>

/* A channel that takes a number of frames and then is full. */
struct narrow {
	struct gcl_channel channel; /* first */
	struct gcl_worker worker;
	unsigned room;	/* frames that still fit */
	unsigned whole; /* messages that came completely */
	uint64_t sequences[64];
	char text[GCL_FRAME_MAX * 4]; /* all bodies one after the other */
	size_t text_size;
	size_t reserved;
	uint8_t frame[GCL_FRAME_MAX];
};

static int reserve(struct gcl_channel *channel, size_t body_max, void **body)
{
	struct narrow *narrow = gcl_container_of(channel, struct narrow, channel);

	if (narrow->room == 0)
		return -EAGAIN;
	narrow->reserved = body_max;
	*body = narrow->frame;
	return 0;
}

static void commit(struct gcl_channel *channel, const struct gcl_frame *head, size_t body_size)
{
	struct narrow *narrow = gcl_container_of(channel, struct narrow, channel);

	assert_true(body_size <= narrow->reserved);
	assert_true(narrow->text_size + body_size <= sizeof narrow->text);
	memcpy(narrow->text + narrow->text_size, narrow->frame, body_size);
	narrow->text_size += body_size;
	narrow->room--;
	if (!(head->flags & GCL_FRAME_MORE))
		narrow->sequences[narrow->whole++ % 64] = head->sequence;
}

static void kill_channel(struct gcl_channel *channel)
{
	(void)channel;
}

static const struct gcl_channel_ops ops = {
	.name = "narrow",
	.shared = true,
	.reserve = reserve,
	.commit = commit,
	.kill = kill_channel,
};

static int setup(void **state)
{
	struct narrow *narrow = calloc(1, sizeof *narrow);

	assert_non_null(narrow);
	narrow->channel.ops = &ops;
	gcl_worker_init(&narrow->worker);
	narrow->worker.channel = &narrow->channel;
	*state = narrow;
	return 0;
}

static int teardown(void **state)
{
	struct narrow *narrow = *state;

	gcl_worker_fini(&narrow->worker);
	free(narrow);
	return 0;
}

static void print(struct narrow *narrow, const char *text, size_t size)
{
	Gcl__Print message = GCL__PRINT__INIT;

	message.text.data = (uint8_t *)text;
	message.text.len = size;
	gcl_send(&narrow->worker, GCL_PRINT, &message.base, 0, 0);
}

static void straight_when_there_is_room(void **state)
{
	struct narrow *narrow = *state;

	narrow->room = 1;
	print(narrow, "a", 1);
	assert_int_equal(narrow->whole, 1);
	assert_int_equal(narrow->worker.outbox.pending_count, 0);
	assert_true(gcl_outbox_flush(&narrow->worker));
}

static void order_is_kept(void **state)
{
	struct narrow *narrow = *state;
	const char *letters = "abcdef";

	narrow->room = 2;
	for (int i = 0; i < 4; i++)
		print(narrow, letters + i, 1);
	assert_int_equal(narrow->whole, 2);
	assert_int_equal(narrow->worker.outbox.pending_count, 2);
	/* Room for one now, but what is new waits behind what is old. */
	narrow->room = 1;
	print(narrow, letters + 4, 1);
	assert_int_equal(narrow->whole, 2);
	assert_false(gcl_outbox_flush(&narrow->worker));
	assert_int_equal(narrow->whole, 3);
	narrow->room = 10;
	assert_true(gcl_outbox_flush(&narrow->worker));
	print(narrow, letters + 5, 1);
	assert_int_equal(narrow->whole, 6);
	assert_int_equal(narrow->worker.outbox.pending_bytes, 0);
	/* Each body is tag, length, letter. */
	for (int i = 0; i < 6; i++) {
		assert_int_equal(narrow->text[3 * i + 2], letters[i]);
		assert_int_equal(narrow->sequences[i], i + 1);
	}
}

/* A message of three frames, of which one fits at first; nothing gets in between. */
static void long_message_in_pieces(void **state)
{
	struct narrow *narrow = *state;
	size_t size = 2 * GCL_OUTBOX_PART_MAX + 100;
	_cleanup_free_ char *text = malloc(size);
	ProtobufCMessage *message;

	assert_non_null(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + i % 26);
	narrow->room = 1;
	print(narrow, text, size);
	print(narrow, "z", 1);
	assert_int_equal(narrow->whole, 0);
	assert_int_equal(narrow->text_size, GCL_OUTBOX_PART_MAX);
	narrow->room = 2;
	assert_false(gcl_outbox_flush(&narrow->worker));
	assert_int_equal(narrow->whole, 1);
	message = protobuf_c_message_unpack(&gcl__print__descriptor, NULL, narrow->text_size,
					    (uint8_t *)narrow->text);
	assert_non_null(message);
	assert_int_equal(((Gcl__Print *)message)->text.len, size);
	assert_memory_equal(((Gcl__Print *)message)->text.data, text, size);
	protobuf_c_message_free_unpacked(message, NULL);
	narrow->room = 1;
	assert_true(gcl_outbox_flush(&narrow->worker));
	assert_int_equal(narrow->whole, 2);
}

/* Room is kept for the last message, in front of all that has not begun; then nothing is sent. */
static void last_message(void **state)
{
	struct narrow *narrow = *state;
	Gcl__SessionEnded ended = GCL__SESSION_ENDED__INIT;

	ended.text = (char *)"why";
	narrow->room = 2;
	for (int i = 0; i < 4; i++)
		print(narrow, "a", 1);
	assert_int_equal(narrow->reserved, 3 + GCL_OUTBOX_LAST_ROOM);
	assert_int_equal(narrow->worker.outbox.pending_count, 2);
	narrow->room = 1;
	gcl_outbox_end(&narrow->worker, GCL_SESSION_ENDED, &ended.base);
	assert_int_equal(narrow->whole, 3);
	assert_int_equal(narrow->reserved, 5);
	assert_int_equal(narrow->worker.outbox.pending_count, 0);
	narrow->room = 1;
	print(narrow, "b", 1);
	assert_int_equal(narrow->whole, 3);
	assert_int_equal(narrow->worker.outbox.pending_count, 0);
}

static void too_many_end_the_session(void **state)
{
	struct narrow *narrow = *state;

	for (size_t i = 0; i < GCL_PENDING_COMPLETIONS_MAX; i++)
		print(narrow, "a", 1);
	assert_int_equal(gcl_channel_dead(&narrow->channel), 0);
	print(narrow, "a", 1);
	assert_int_equal(gcl_channel_dead(&narrow->channel), -ENOBUFS);
	/* Nobody reads any more: nothing is kept any more. */
	print(narrow, "a", 1);
	assert_int_equal(narrow->worker.outbox.pending_count, GCL_PENDING_COMPLETIONS_MAX);
}

static void too_much_ends_the_session(void **state)
{
	struct narrow *narrow = *state;
	size_t size = 16u << 20;
	_cleanup_free_ char *text = calloc(1, size);

	assert_non_null(text);
	for (size_t i = 0; i <= GCL_PENDING_BYTES_MAX / size; i++)
		print(narrow, text, size);
	assert_int_equal(gcl_channel_dead(&narrow->channel), -ENOBUFS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(straight_when_there_is_room, setup, teardown),
		cmocka_unit_test_setup_teardown(order_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(long_message_in_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(last_message, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_end_the_session, setup, teardown),
		cmocka_unit_test_setup_teardown(too_much_ends_the_session, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
