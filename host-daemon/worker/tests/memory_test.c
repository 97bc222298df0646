/*
 * Buffers: resident and not, sub-buffers, migration, and what a hostile guest says of them.
 */
#include "guest.h"

#include <errno.h>
#include <string.h>

#define SIZE 4096u

static Gcl__BufferCreate resident_message(struct guest *guest, uint64_t size)
{
	Gcl__BufferCreate message = GCL__BUFFER_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.context = guest->context;
	message.flags = CL_MEM_READ_WRITE | CL_MEM_HOST_READ_ONLY;
	message.size = size;
	message.resident = true;
	message.heap_offset = guest_heap(guest, SIZE);
	return message;
}

static void fill(struct guest *guest, uint64_t mem, uint64_t size, uint8_t value)
{
	Gcl__BufferFill message = GCL__BUFFER_FILL__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.mem = mem;
	message.pattern.data = &value;
	message.pattern.len = 1;
	message.size = size;
	assert_int_equal(guest_send(guest, GCL_BUFFER_FILL, &message), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
}

static void resident(void **state)
{
	struct guest *guest = *state;
	Gcl__BufferCreate message = resident_message(guest, SIZE);
	const uint8_t *heap = guest->channel.heap + message.heap_offset;

	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
	fill(guest, message.id, SIZE, 0x5a);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(heap[i], 0x5a);
	assert_null(guest_wait(guest, GCL_MEM_FREED, message.id, 0));
	guest_release(guest, message.id);
	assert_true(guest_freed(guest, message.id));
}

static void resident_failed(void **state)
{
	struct guest *guest = *state;
	Gcl__BufferCreate message = resident_message(guest, 0);

	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_INVALID_BUFFER_SIZE);
	assert_true(guest_freed(guest, message.id));
	guest_release(guest, message.id);
}

static void sub_buffers(void **state)
{
	struct guest *guest = *state;
	Gcl__BufferCreate parent = resident_message(guest, SIZE);
	Gcl__SubBufferCreate message = GCL__SUB_BUFFER_CREATE__INIT;
	const uint8_t *heap = guest->channel.heap + parent.heap_offset;

	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &parent), 0);
	message.id = guest_id(guest, GCL_KIND_MEM);
	message.parent = parent.id;
	message.origin = 1024;
	message.size = 512;
	assert_int_equal(guest_send(guest, GCL_SUB_BUFFER_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_SUCCESS);
	fill(guest, message.id, 512, 7);
	assert_int_equal(heap[1023], 0);
	assert_int_equal(heap[1024], 7);
	assert_int_equal(heap[1535], 7);
	assert_int_equal(heap[1536], 0);

	/* The parent's memory is the sub-buffer's as well. */
	guest_release(guest, parent.id);
	assert_null(guest_wait(guest, GCL_MEM_FREED, parent.id, 0));
	guest_release(guest, message.id);
	assert_true(guest_freed(guest, parent.id));
}

static void sub_buffers_refused(void **state)
{
	struct guest *guest = *state;
	Gcl__SubBufferCreate message = GCL__SUB_BUFFER_CREATE__INIT;

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.parent = guest_buffer(guest, SIZE, 0, 0);
	message.origin = 1;
	message.size = 64;
	assert_int_equal(guest_send(guest, GCL_SUB_BUFFER_CREATE, &message), 0);
	assert_int_equal(guest_failed(guest, message.id), CL_MISALIGNED_SUB_BUFFER_OFFSET);

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.origin = SIZE - 63;
	assert_int_equal(guest_send(guest, GCL_SUB_BUFFER_CREATE, &message), -EPROTO);
	message.origin = UINT64_MAX - 32;
	assert_int_equal(guest_send(guest, GCL_SUB_BUFFER_CREATE, &message), -EPROTO);
	message.origin = 0;
	message.parent = gcl_id(GCL_KIND_MEM, 1, 999);
	assert_int_equal(guest_send(guest, GCL_SUB_BUFFER_CREATE, &message), -EPROTO);
}

static void contents(void **state)
{
	struct guest *guest = *state;
	uint64_t from = guest_heap(guest, SIZE), to = guest_heap(guest, SIZE);
	Gcl__BufferRead message = GCL__BUFFER_READ__INIT;
	uint64_t event = guest_id(guest, GCL_KIND_EVENT);
	Gcl__Command command = guest_command(guest, event);
	const struct mail *done;
	uint64_t mem;

	memset(guest->channel.heap + from, 0x33, SIZE);
	mem = guest_buffer(guest, SIZE, from, SIZE);
	assert_true(guest_freed(guest, mem));
	memset(guest->channel.heap + from, 0, SIZE);

	message.command = &command;
	message.mem = mem;
	message.size = SIZE;
	message.heap_offset = to;
	assert_int_equal(guest_send(guest, GCL_BUFFER_READ, &message), 0);
	done = guest_wait(guest, GCL_EVENT_DONE, event, 10);
	assert_non_null(done);
	assert_int_equal(done->head.payload_offset, to);
	assert_int_equal(done->head.payload_size, SIZE);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(guest->channel.heap[to + i], 0x33);
}

static void hostile(void **state)
{
	struct guest *guest = *state;
	Gcl__BufferCreate message = resident_message(guest, SIZE);

	message.heap_offset = GUEST_HEAP_SIZE - SIZE + 128;
	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), -EPROTO);
	message.heap_offset = 64;
	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), -EPROTO);
	message.heap_offset = 0;
	message.size = UINT64_MAX;
	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), -EPROTO);
	message.size = SIZE;
	message.context = gcl_id(GCL_KIND_CONTEXT, 2, 0);
	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), -EPROTO);
	message.context = guest->context;
	message.id = gcl_id(GCL_KIND_SAMPLER, 1, 0);
	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), -EPROTO);

	message.id = guest_id(guest, GCL_KIND_MEM);
	message.resident = false;
	assert_int_equal(guest_send_payload(guest, GCL_BUFFER_CREATE, &message, 0, SIZE - 1),
			 -EPROTO);
	guest->worker.resident = false;
	message.resident = true;
	assert_int_equal(guest_send(guest, GCL_BUFFER_CREATE, &message), -EPROTO);
	guest->worker.resident = true;
}

static void too_large(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, 1ull << 60, 0, 0);
	Gcl__BufferRead message = GCL__BUFFER_READ__INIT;
	uint64_t event = guest_id(guest, GCL_KIND_EVENT);
	Gcl__Command command = guest_command(guest, event);
	const struct mail *done;

	assert_int_equal(guest_failed(guest, mem), CL_INVALID_BUFFER_SIZE);
	/* The guest may have used it before it knew. */
	message.command = &command;
	message.mem = mem;
	message.size = 16;
	assert_int_equal(guest_send(guest, GCL_BUFFER_READ, &message), 0);
	done = guest_wait(guest, GCL_EVENT_DONE, event, 10);
	assert_non_null(done);
	assert_int_equal(((const Gcl__EventDone *)done->message)->status, CL_INVALID_BUFFER_SIZE);
	assert_int_equal(guest_finish(guest), CL_INVALID_BUFFER_SIZE);
	guest_release(guest, mem);
}

static void migrate(void **state)
{
	struct guest *guest = *state;
	uint64_t mems[] = {guest_buffer(guest, SIZE, 0, 0), guest_buffer(guest, SIZE, 0, 0)};
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Migrate message = GCL__MIGRATE__INIT;

	message.command = &command;
	message.mems = mems;
	message.n_mems = 2;
	message.flags = CL_MIGRATE_MEM_OBJECT_HOST;
	assert_int_equal(guest_send(guest, GCL_MIGRATE, &message), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	message.n_mems = 0;
	assert_int_equal(guest_send(guest, GCL_MIGRATE, &message), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(resident),    cmocka_unit_test(resident_failed),
		cmocka_unit_test(sub_buffers), cmocka_unit_test(sub_buffers_refused),
		cmocka_unit_test(contents),    cmocka_unit_test(hostile),
		cmocka_unit_test(too_large),   cmocka_unit_test(migrate),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
