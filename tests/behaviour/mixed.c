/* SPDX-License-Identifier: MIT */
/*
 * Random commands on one buffer and one image, on busy queues and idle ones, small and large.
 *
 * The same numbers are drawn in every run. Each command goes through an event to the next, so that
 * their order is the same on queues that keep none. What was read, and what is left in the end, is
 * summed up once a round.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define SIZE	   (6u << 20)
#define SPARE	   (8u << 20)
#define WIDTH	   200
#define HEIGHT	   50
#define DEPTH	   5
#define PIXEL	   4
#define IMAGE_SIZE (WIDTH * HEIGHT * DEPTH * PIXEL)
#define ROUNDS	   6
#define COMMANDS   16

struct state {
	cl_command_queue queue;
	cl_mem buffer;
	cl_mem image;
	cl_mem spare;
	unsigned char *data;		  /* what is written */
	unsigned char *results[COMMANDS]; /* what is read, by command */
	size_t sizes[COMMANDS];
	size_t command;
	cl_event last; /* of the command before */
};

static uint64_t drawn;

static size_t draw(size_t limit)
{
	drawn = drawn * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(drawn >> 33) % limit;
}

/* Mostly small, now and then larger than what goes in one piece. */
static size_t draw_size(void)
{
	return 1 + (draw(4) ? draw(5000) : draw(SIZE / 2));
}

static unsigned char *result(struct state *state, size_t size)
{
	unsigned char *memory = calloc(1, size);

	state->results[state->command] = memory;
	state->sizes[state->command] = size;
	return memory;
}

static unsigned char *data(struct state *state)
{
	/* Not waited for here: what was written before must have left this memory. */
	MUST(clWaitForEvents(1, &state->last));
	pattern(state->data, SIZE, (unsigned)draw(1000));
	return state->data;
}

/* The new command's event takes the place of the one it waited for. */
static void follow(struct state *state, cl_event event)
{
	MUST(clReleaseEvent(state->last));
	state->last = event;
}

static void write_some(struct state *state)
{
	size_t size = draw_size(), offset = draw(SIZE - size);
	cl_event event;

	MUST(clEnqueueWriteBuffer(state->queue, state->buffer, (cl_bool)draw(2), offset, size,
				  data(state), 1, &state->last, &event));
	follow(state, event);
}

static void read_some(struct state *state)
{
	size_t size = draw_size(), offset = draw(SIZE - size);
	cl_event event;

	MUST(clEnqueueReadBuffer(state->queue, state->buffer, (cl_bool)draw(2), offset, size,
				 result(state, size), 1, &state->last, &event));
	follow(state, event);
}

static void copy_some(struct state *state)
{
	size_t size = 1 + draw(draw(3) ? 60000 : SIZE / 4);
	size_t from = draw(SIZE / 2 - size), to = SIZE / 2 + draw(SIZE / 2 - size);
	cl_event event;

	MUST(clEnqueueCopyBuffer(state->queue, state->buffer, state->buffer, from, to, size, 1,
				 &state->last, &event));
	follow(state, event);
}

static void fill_some(struct state *state)
{
	size_t unit = (size_t)1 << draw(8);
	size_t size = (1 + draw(draw(2) ? 500 : 5000)) * unit;
	size_t offset = draw((SIZE - size) / unit) * unit;
	unsigned char filling[128];
	cl_event event;

	pattern(filling, sizeof(filling), (unsigned)draw(1000));
	MUST(clEnqueueFillBuffer(state->queue, state->buffer, filling, unit, offset, size, 1,
				 &state->last, &event));
	follow(state, event);
}

static void rect_some(struct state *state)
{
	const size_t region[3] = {1 + draw(300), 1 + draw(30), 1 + draw(6)};
	const size_t origin[3] = {draw(10), draw(3), draw(2)};
	const size_t host_origin[3] = {draw(3), draw(3), draw(2)};
	size_t row = region[0] + draw(50), slice = row * (region[1] + draw(5));
	size_t host_row = region[0] + draw(20), host_slice = host_row * (region[1] + draw(3));
	size_t host_size = host_slice * (region[2] + 2) + host_row * 6;
	cl_bool blocking = (cl_bool)draw(2);
	cl_event event;

	if (draw(2))
		MUST(clEnqueueWriteBufferRect(state->queue, state->buffer, blocking, origin,
					      host_origin, region, row, slice, host_row, host_slice,
					      data(state), 1, &state->last, &event));
	else
		MUST(clEnqueueReadBufferRect(state->queue, state->buffer, blocking, origin,
					     host_origin, region, row, slice, host_row, host_slice,
					     result(state, host_size), 1, &state->last, &event));
	follow(state, event);
}

static cl_map_flags draw_map_flags(void)
{
	static const cl_map_flags flags[] = {CL_MAP_READ, CL_MAP_READ | CL_MAP_WRITE,
					     CL_MAP_WRITE_INVALIDATE_REGION};

	return flags[draw(ARRAY_SIZE(flags))];
}

static void map_some(struct state *state)
{
	size_t size = draw_size(), offset = draw(SIZE - size);
	cl_map_flags flags = draw_map_flags();
	unsigned char *mapped;
	cl_event event;

	mapped = MUST_MAKE(clEnqueueMapBuffer(state->queue, state->buffer, (cl_bool)draw(2), flags,
					      offset, size, 1, &state->last, &event, &call_err));
	follow(state, event);
	MUST(clWaitForEvents(1, &event));
	if (!(flags & CL_MAP_WRITE_INVALIDATE_REGION))
		memcpy(result(state, size), mapped, size);
	if (flags != CL_MAP_READ)
		pattern(mapped, size, (unsigned)draw(1000));
	MUST(clEnqueueUnmapMemObject(state->queue, state->buffer, mapped, 1, &state->last, &event));
	follow(state, event);
}

/* ------------------------------------------------------------ the image */

struct area {
	size_t origin[3];
	size_t region[3];
};

static struct area draw_area(void)
{
	struct area area = {.origin = {draw(WIDTH), draw(HEIGHT), draw(DEPTH)}};

	area.region[0] = 1 + draw(WIDTH - area.origin[0]);
	area.region[1] = 1 + draw(HEIGHT - area.origin[1]);
	area.region[2] = 1 + draw(DEPTH - area.origin[2]);
	return area;
}

static void image_some(struct state *state)
{
	struct area area = draw_area();
	size_t row = (area.region[0] + draw(8)) * PIXEL, slice = row * (area.region[1] + draw(3));
	cl_bool blocking = (cl_bool)draw(2);
	cl_event event;

	if (draw(2))
		MUST(clEnqueueWriteImage(state->queue, state->image, blocking, area.origin,
					 area.region, row, slice, data(state), 1, &state->last,
					 &event));
	else
		MUST(clEnqueueReadImage(
			state->queue, state->image, blocking, area.origin, area.region, row, slice,
			result(state, slice * area.region[2]), 1, &state->last, &event));
	follow(state, event);
}

/* Visits each row of a mapped area: keeps what is there, then changes it. */
static void rows_visit(unsigned char *mapped, const struct area *area, size_t row, size_t slice,
		       unsigned char *keep, bool change)
{
	size_t bytes = area->region[0] * PIXEL;

	for (size_t z = 0; z < area->region[2]; z++) {
		for (size_t y = 0; y < area->region[1]; y++) {
			unsigned char *at = mapped + z * slice + y * row;

			if (keep)
				memcpy(keep + (z * area->region[1] + y) * bytes, at, bytes);
			if (change)
				pattern(at, bytes, (unsigned)(y + z));
		}
	}
}

static void image_map_some(struct state *state)
{
	struct area area = draw_area();
	size_t size = area.region[0] * area.region[1] * area.region[2] * PIXEL;
	cl_map_flags flags = draw_map_flags();
	unsigned char *keep = NULL, *mapped;
	size_t row, slice;
	cl_event event;

	mapped = MUST_MAKE(clEnqueueMapImage(state->queue, state->image, (cl_bool)draw(2), flags,
					     area.origin, area.region, &row, &slice, 1,
					     &state->last, &event, &call_err));
	follow(state, event);
	MUST(clWaitForEvents(1, &event));
	if (!(flags & CL_MAP_WRITE_INVALIDATE_REGION))
		keep = result(state, size);
	rows_visit(mapped, &area, row, slice, keep, flags != CL_MAP_READ);
	MUST(clEnqueueUnmapMemObject(state->queue, state->image, mapped, 1, &state->last, &event));
	follow(state, event);
}

/* ------------------------------------------------------------ rounds */

/* Keeps the queue busy for a while. */
static void delay(const struct state *state)
{
	MUST(clEnqueueCopyBuffer(state->queue, state->spare, state->spare, 0, SPARE / 2, SPARE / 2,
				 0, NULL, NULL));
}

static void command_draw(struct state *state)
{
	static void (*const commands[])(struct state * state) = {
		write_some, read_some, copy_some,  fill_some,
		rect_some,  map_some,  image_some, image_map_some,
	};

	if (draw(3) == 0)
		delay(state);
	commands[draw(ARRAY_SIZE(commands))](state);
}

static void round_check(struct state *state, const char *kind, unsigned number)
{
	uint64_t sums[COMMANDS] = {0};

	for (state->command = 0; state->command < COMMANDS; state->command++)
		command_draw(state);
	MUST(clFinish(state->queue));
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!state->results[i])
			continue;
		sums[i] = sum(state->results[i], state->sizes[i]);
		free(state->results[i]);
		state->results[i] = NULL;
	}
	check_sum(named("%s round %u read", kind, number), sums, sizeof(sums));
	check_buffer_sum(named("%s round %u buffer", kind, number), state->queue, state->buffer,
			 SIZE);
}

static void image_check(const struct state *state, const char *kind)
{
	const size_t origin[3] = {0}, region[3] = {WIDTH, HEIGHT, DEPTH};
	unsigned char *pixels = malloc(IMAGE_SIZE);

	MUST(clEnqueueReadImage(state->queue, state->image, CL_TRUE, origin, region, 0, 0, pixels,
				0, NULL, NULL));
	check_sum(named("%s image", kind), pixels, IMAGE_SIZE);
	free(pixels);
}

static void kind_check(const struct fixture *fix, const char *kind,
		       cl_command_queue_properties properties, cl_mem_flags flags)
{
	const cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
	const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE3D,
				    .image_width = WIDTH,
				    .image_height = HEIGHT,
				    .image_depth = DEPTH};
	unsigned char *memory = malloc(SIZE), *pixels = malloc(IMAGE_SIZE);
	struct state state = {.data = malloc(SIZE)};

	pattern(memory, SIZE, 1);
	pattern(pixels, IMAGE_SIZE, 2);
	state.queue =
		MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, properties, &call_err));
	state.buffer = MUST_MAKE(clCreateBuffer(fix->context, flags, SIZE, memory, &call_err));
	state.image =
		MUST_MAKE(clCreateImage(fix->context, flags, &format, &desc, pixels, &call_err));
	state.spare = buffer_patterned(fix, SPARE, 3);
	MUST(clEnqueueMarkerWithWaitList(state.queue, 0, NULL, &state.last));
	for (unsigned i = 0; i < ROUNDS; i++)
		round_check(&state, kind, i);
	image_check(&state, kind);
	MUST(clReleaseEvent(state.last));
	MUST(clReleaseMemObject(state.spare));
	MUST(clReleaseMemObject(state.image));
	MUST(clReleaseMemObject(state.buffer));
	MUST(clReleaseCommandQueue(state.queue));
	free(state.data);
	free(pixels);
	free(memory);
}

int main(void)
{
	struct fixture fix;

	transcript_begin("mixed");
	fixture_open(&fix);
	kind_check(&fix, "in order", 0, CL_MEM_COPY_HOST_PTR);
	kind_check(&fix, "in order, own memory", 0, CL_MEM_USE_HOST_PTR);
	kind_check(&fix, "profiled", CL_QUEUE_PROFILING_ENABLE, CL_MEM_COPY_HOST_PTR);
	kind_check(&fix, "out of order", CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
		   CL_MEM_COPY_HOST_PTR);
	kind_check(&fix, "out of order, own memory", CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
		   CL_MEM_USE_HOST_PTR);
	fixture_close(&fix);
	return transcript_end();
}
