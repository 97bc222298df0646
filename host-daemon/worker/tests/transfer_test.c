/*
 * Transfers of buffers: what they move, and that no range gets past the checks.
 */
#include "guest.h"

#include <errno.h>
#include <string.h>

#define SIZE 4096u

static uint8_t *heap(struct guest *guest, uint64_t offset)
{
	return guest->channel.heap + offset;
}

/* A buffer of SIZE bytes that count up. */
static uint64_t counting(struct guest *guest)
{
	uint64_t offset = guest_heap(guest, SIZE);

	for (size_t i = 0; i < SIZE; i++)
		heap(guest, offset)[i] = (uint8_t)(i + i / 256);
	return guest_buffer(guest, SIZE, offset, SIZE);
}

static uint8_t counted(size_t i)
{
	return (uint8_t)(i + i / 256);
}

static int read_range(struct guest *guest, uint64_t mem, uint64_t offset, uint64_t size,
		      uint64_t heap_offset)
{
	Gcl__BufferRead message = GCL__BUFFER_READ__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.mem = mem;
	message.offset = offset;
	message.size = size;
	message.heap_offset = heap_offset;
	return guest_send(guest, GCL_BUFFER_READ, &message);
}

static int write_range(struct guest *guest, uint64_t mem, uint64_t offset, uint64_t size,
		       uint64_t payload_offset, uint64_t payload_size)
{
	Gcl__BufferWrite message = GCL__BUFFER_WRITE__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.mem = mem;
	message.offset = offset;
	message.size = size;
	return guest_send_payload(guest, GCL_BUFFER_WRITE, &message, payload_offset, payload_size);
}

static void read_and_write(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0);
	uint64_t from = guest_heap(guest, SIZE), to = guest_heap(guest, SIZE);

	memcpy(heap(guest, from), "guest", 5);
	assert_int_equal(write_range(guest, mem, 100, 5, from, 5), 0);
	assert_int_equal(read_range(guest, mem, 101, 4, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "uest", 4);
}

static void bad_ranges(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0);

	assert_int_equal(read_range(guest, mem, 0, SIZE + 1, 0), -EPROTO);
	assert_int_equal(read_range(guest, mem, SIZE, 1, 0), -EPROTO);
	assert_int_equal(read_range(guest, mem, UINT64_MAX, 2, 0), -EPROTO);
	assert_int_equal(read_range(guest, mem, 0, UINT64_MAX, 0), -EPROTO);
	assert_int_equal(read_range(guest, mem, 0, 2, GUEST_HEAP_SIZE - 1), -EPROTO);
	assert_int_equal(read_range(guest, mem, 0, 2, UINT64_MAX), -EPROTO);
	assert_int_equal(read_range(guest, gcl_id(GCL_KIND_MEM, 7, 0), 0, 1, 0), -EPROTO);
	assert_int_equal(read_range(guest, guest->queue, 0, 1, 0), -EPROTO);
	assert_int_equal(write_range(guest, mem, 0, 16, 0, 15), -EPROTO);
	assert_int_equal(write_range(guest, mem, SIZE - 15, 16, 0, 16), -EPROTO);
	assert_int_equal(write_range(guest, mem, 0, 16, 0, 0), -EPROTO);
}

/* What that means is for the runtime to say. */
static void empty(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0);

	assert_int_equal(read_range(guest, mem, 0, 0, 0), 0);
	guest_finish(guest);
}

static int read_rect(struct guest *guest, uint64_t mem, const uint64_t box[6], uint64_t row,
		     uint64_t slice, uint64_t heap_offset)
{
	Gcl__BufferReadRect message = GCL__BUFFER_READ_RECT__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box origin = GCL__BOX__INIT, region = GCL__BOX__INIT;

	origin.x = box[0];
	origin.y = box[1];
	origin.z = box[2];
	region.x = box[3];
	region.y = box[4];
	region.z = box[5];
	message.command = &command;
	message.mem = mem;
	message.origin = &origin;
	message.region = &region;
	message.row_pitch = row;
	message.slice_pitch = slice;
	message.heap_offset = heap_offset;
	return guest_send(guest, GCL_BUFFER_READ_RECT, &message);
}

static void rectangles(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = counting(guest), to = guest_heap(guest, SIZE);

	assert_int_equal(read_rect(guest, mem, (uint64_t[]){3, 2, 1, 4, 2, 2}, 32, 512, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	for (size_t z = 0; z < 2; z++)
		for (size_t y = 0; y < 2; y++)
			for (size_t x = 0; x < 4; x++)
				assert_int_equal(heap(guest, to)[z * 8 + y * 4 + x],
						 counted((z + 1) * 512 + (y + 2) * 32 + x + 3));
}

static void bad_rectangles(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = counting(guest), big = 1ull << 33;

	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, 0, 0, SIZE, 2, 1}, 0, 0, 0),
			 -EPROTO);
	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, 0, 0, 0, 1, 1}, 0, 0, 0), -EPROTO);
	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, 0, 1, 1, 1, 1}, 64, SIZE, 0),
			 -EPROTO);
	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, 0, 0, big, big, 1}, 0, 0, 0),
			 -EPROTO);
	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, big, 0, 1, 1, 1}, big, 0, 0),
			 -EPROTO);
	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, 0, 0, 16, 16, 1}, 8, 0, 0), -EPROTO);
	assert_int_equal(read_rect(guest, mem, (uint64_t[]){0, 0, 0, 16, 16, 1}, 0, 0,
				   GUEST_HEAP_SIZE - 255),
			 -EPROTO);
}

static void write_rectangle(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = counting(guest), from = guest_heap(guest, SIZE);
	Gcl__BufferWriteRect message = GCL__BUFFER_WRITE_RECT__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box region = GCL__BOX__INIT;
	uint64_t to = guest_heap(guest, SIZE);

	memset(heap(guest, from), 0xee, 6);
	region.x = 3;
	region.y = 2;
	region.z = 1;
	message.command = &command;
	message.mem = mem;
	message.region = &region;
	message.row_pitch = 16;
	assert_int_equal(guest_send_payload(guest, GCL_BUFFER_WRITE_RECT, &message, from, 6), 0);
	assert_int_equal(read_range(guest, mem, 0, 32, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(heap(guest, to)[i], i % 16 < 3 ? 0xee : counted(i));
	assert_int_equal(guest_send_payload(guest, GCL_BUFFER_WRITE_RECT, &message, from, 5),
			 -EPROTO);
}

static int copy(struct guest *guest, uint64_t src, uint64_t dst, uint64_t src_offset,
		uint64_t dst_offset, uint64_t size)
{
	Gcl__BufferCopy message = GCL__BUFFER_COPY__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.src = src;
	message.dst = dst;
	message.src_offset = src_offset;
	message.dst_offset = dst_offset;
	message.size = size;
	return guest_send(guest, GCL_BUFFER_COPY, &message);
}

static void copies(void **state)
{
	struct guest *guest = *state;
	uint64_t src = counting(guest), dst = guest_buffer(guest, SIZE, 0, 0);
	uint64_t to = guest_heap(guest, SIZE);

	assert_int_equal(copy(guest, src, dst, 10, 20, 30), 0);
	assert_int_equal(read_range(guest, dst, 20, 30, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	for (size_t i = 0; i < 30; i++)
		assert_int_equal(heap(guest, to)[i], counted(i + 10));

	/* Overlap is for the runtime to judge. */
	assert_int_equal(copy(guest, src, src, 0, 8, 16), 0);
	assert_int_equal(guest_finish(guest), CL_MEM_COPY_OVERLAP);
	assert_int_equal(copy(guest, src, dst, SIZE - 3, 0, 4), -EPROTO);
	assert_int_equal(copy(guest, src, dst, 0, SIZE - 3, 4), -EPROTO);
	assert_int_equal(copy(guest, src, dst, 0, UINT64_MAX, 4), -EPROTO);
}

static void copy_rectangle(void **state)
{
	struct guest *guest = *state;
	uint64_t src = counting(guest), dst = guest_buffer(guest, SIZE, 0, 0);
	uint64_t to = guest_heap(guest, SIZE);
	Gcl__BufferCopyRect message = GCL__BUFFER_COPY_RECT__INIT;
	Gcl__Command command = guest_command(guest, 0);
	Gcl__Box region = GCL__BOX__INIT, origin = GCL__BOX__INIT;

	origin.y = 1;
	region.x = 8;
	region.y = 4;
	region.z = 1;
	message.command = &command;
	message.src = src;
	message.dst = dst;
	message.src_origin = &origin;
	message.region = &region;
	message.src_row_pitch = 64;
	assert_int_equal(guest_send(guest, GCL_BUFFER_COPY_RECT, &message), 0);
	assert_int_equal(read_range(guest, dst, 0, 32, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(heap(guest, to)[i], counted((i / 8 + 1) * 64 + i % 8));
	message.dst_row_pitch = SIZE;
	assert_int_equal(guest_send(guest, GCL_BUFFER_COPY_RECT, &message), -EPROTO);
}

static int fill(struct guest *guest, uint64_t mem, size_t length, uint64_t offset, uint64_t size)
{
	static uint8_t pattern[256] = {1, 2, 3, 4};
	Gcl__BufferFill message = GCL__BUFFER_FILL__INIT;
	Gcl__Command command = guest_command(guest, 0);

	message.command = &command;
	message.mem = mem;
	message.pattern.data = pattern;
	message.pattern.len = length;
	message.offset = offset;
	message.size = size;
	return guest_send(guest, GCL_BUFFER_FILL, &message);
}

static void fills(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), to = guest_heap(guest, SIZE);

	assert_int_equal(fill(guest, mem, 1, 0, SIZE), 0);
	assert_int_equal(fill(guest, mem, 4, 8, 8), 0);
	assert_int_equal(read_range(guest, mem, 0, 20, to), 0);
	assert_int_equal(guest_finish(guest), CL_SUCCESS);
	assert_memory_equal(heap(guest, to), "\1\1\1\1\1\1\1\1\1\2\3\4\1\2\3\4\1\1\1\1", 20);
	assert_int_equal(fill(guest, mem, 0, 0, 8), -EPROTO);
	assert_int_equal(fill(guest, mem, 3, 0, 9), -EPROTO);
	assert_int_equal(fill(guest, mem, 256, 0, 256), -EPROTO);
	assert_int_equal(fill(guest, mem, 4, 2, 8), -EPROTO);
	assert_int_equal(fill(guest, mem, 4, 0, 6), -EPROTO);
	assert_int_equal(fill(guest, mem, 4, 0, SIZE + 4), -EPROTO);
}

static void no_command(void **state)
{
	struct guest *guest = *state;
	Gcl__BufferRead message = GCL__BUFFER_READ__INIT;

	message.mem = guest_buffer(guest, SIZE, 0, 0);
	message.size = 1;
	assert_int_equal(guest_send(guest, GCL_BUFFER_READ, &message), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_write), cmocka_unit_test(bad_ranges),
		cmocka_unit_test(empty),	  cmocka_unit_test(rectangles),
		cmocka_unit_test(bad_rectangles), cmocka_unit_test(write_rectangle),
		cmocka_unit_test(copies),	  cmocka_unit_test(copy_rectangle),
		cmocka_unit_test(fills),	  cmocka_unit_test(no_command),
	};

	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
