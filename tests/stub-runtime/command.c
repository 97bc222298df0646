/*
 * Commands on memory: really done, byte by byte, inside the call.
 *
 * The host's side is taken as it is: what the worker passes wrongly, a sanitizer finds.
 */
#include <string.h>

#include "stub.h"

/* A box of bytes, rows and slices in some memory. */
struct box {
	unsigned char *data;
	size_t row, slice;
};

static void boxes_copy(struct box dst, struct box src, const size_t region[3])
{
	for (size_t z = 0; z < region[2]; z++)
		for (size_t y = 0; y < region[1]; y++)
			memmove(dst.data + z * dst.slice + y * dst.row,
				src.data + z * src.slice + y * src.row, region[0]);
}

static bool inside(size_t offset, size_t size, size_t limit)
{
	return size && offset <= limit && size <= limit - offset;
}

static cl_int buffer_check(cl_command_queue queue, cl_mem mem, size_t offset, size_t size)
{
	STUB_REFUSE(!stub_get(mem, STUB_MEM) || mem->image, CL_INVALID_MEM_OBJECT);
	STUB_REFUSE(mem->context != queue->context, CL_INVALID_CONTEXT);
	STUB_REFUSE(!inside(offset, size, mem->size), CL_INVALID_VALUE);
	return CL_SUCCESS;
}

/* A rectangle of a buffer; pitches must be given. */
static cl_int rect_get(cl_command_queue queue, cl_mem mem, const size_t origin[3],
		       const size_t region[3], size_t row, size_t slice, struct box *box)
{
	size_t start = origin[2] * slice + origin[1] * row + origin[0];
	size_t end;
	cl_int status;

	STUB_REFUSE(!region[0] || !region[1] || !region[2], CL_INVALID_VALUE);
	STUB_REFUSE(row < region[0] || slice < row * region[1], CL_INVALID_VALUE);
	end = start + (region[2] - 1) * slice + (region[1] - 1) * row + region[0];
	status = buffer_check(queue, mem, start, end - start);
	if (status == CL_SUCCESS)
		*box = (struct box){mem->data + start, row, slice};
	return status;
}

/* A region of an image; @bytes is the region with its width in bytes. */
static cl_int image_get(cl_command_queue queue, cl_mem image, const size_t origin[3],
			const size_t region[3], struct box *box, size_t bytes[3])
{
	STUB_REFUSE(!stub_get(image, STUB_MEM) || !image->image, CL_INVALID_MEM_OBJECT);
	STUB_REFUSE(image->context != queue->context, CL_INVALID_CONTEXT);
	for (int i = 0; i < 3; i++)
		STUB_REFUSE(!inside(origin[i], region[i], image->extent[i]), CL_INVALID_VALUE);
	bytes[0] = region[0] * image->element;
	bytes[1] = region[1];
	bytes[2] = region[2];
	*box = (struct box){image->data + origin[2] * image->slice + origin[1] * image->row +
				    origin[0] * image->element,
			    image->row, image->slice};
	return CL_SUCCESS;
}

#define CHECK(call)                                                                                \
	do {                                                                                       \
		cl_int status_ = (call);                                                           \
		STUB_REFUSE(status_ != CL_SUCCESS, status_);                                       \
	} while (0)

cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocking, size_t offset,
			   size_t size, void *host, cl_uint count, const cl_event *waits,
			   cl_event *event)
{
	(void)blocking;
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(buffer_check(queue, mem, offset, size));
	memmove(host, mem->data + offset, size);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocking, size_t offset,
			    size_t size, const void *host, cl_uint count, const cl_event *waits,
			    cl_event *event)
{
	(void)blocking;
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(buffer_check(queue, mem, offset, size));
	memmove(mem->data + offset, host, size);
	return stub_enqueue(queue, count, waits, event);
}

static struct box host_box(const void *host, const size_t origin[3], size_t row, size_t slice)
{
	return (struct box){(unsigned char *)host + origin[2] * slice + origin[1] * row + origin[0],
			    row, slice};
}

cl_int clEnqueueReadBufferRect(cl_command_queue queue, cl_mem mem, cl_bool blocking,
			       const size_t *origin, const size_t *host_origin,
			       const size_t *region, size_t row, size_t slice, size_t host_row,
			       size_t host_slice, void *host, cl_uint count, const cl_event *waits,
			       cl_event *event)
{
	struct box box;

	(void)blocking;
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(rect_get(queue, mem, origin, region, row, slice, &box));
	boxes_copy(host_box(host, host_origin, host_row, host_slice), box, region);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueWriteBufferRect(cl_command_queue queue, cl_mem mem, cl_bool blocking,
				const size_t *origin, const size_t *host_origin,
				const size_t *region, size_t row, size_t slice, size_t host_row,
				size_t host_slice, const void *host, cl_uint count,
				const cl_event *waits, cl_event *event)
{
	struct box box;

	(void)blocking;
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(rect_get(queue, mem, origin, region, row, slice, &box));
	boxes_copy(box, host_box(host, host_origin, host_row, host_slice), region);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueCopyBuffer(cl_command_queue queue, cl_mem src, cl_mem dst, size_t src_offset,
			   size_t dst_offset, size_t size, cl_uint count, const cl_event *waits,
			   cl_event *event)
{
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(buffer_check(queue, src, src_offset, size));
	CHECK(buffer_check(queue, dst, dst_offset, size));
	memmove(dst->data + dst_offset, src->data + src_offset, size);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueCopyBufferRect(cl_command_queue queue, cl_mem src, cl_mem dst,
			       const size_t *src_origin, const size_t *dst_origin,
			       const size_t *region, size_t src_row, size_t src_slice,
			       size_t dst_row, size_t dst_slice, cl_uint count,
			       const cl_event *waits, cl_event *event)
{
	struct box from, to;

	CHECK(stub_waits_check(queue, count, waits));
	CHECK(rect_get(queue, src, src_origin, region, src_row, src_slice, &from));
	CHECK(rect_get(queue, dst, dst_origin, region, dst_row, dst_slice, &to));
	boxes_copy(to, from, region);
	return stub_enqueue(queue, count, waits, event);
}

void *clEnqueueMapBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocking, cl_map_flags flags,
			 size_t offset, size_t size, cl_uint count, const cl_event *waits,
			 cl_event *event, cl_int *status)
{
	(void)blocking;
	(void)flags;
	*status = stub_waits_check(queue, count, waits);
	if (*status == CL_SUCCESS)
		*status = buffer_check(queue, mem, offset, size);
	if (*status == CL_SUCCESS)
		*status = stub_enqueue(queue, count, waits, event);
	return *status == CL_SUCCESS ? mem->data + offset : NULL;
}

cl_int clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem mem, void *mapped, cl_uint count,
			       const cl_event *waits, cl_event *event)
{
	CHECK(stub_waits_check(queue, count, waits));
	STUB_REFUSE(!stub_get(mem, STUB_MEM), CL_INVALID_MEM_OBJECT);
	STUB_REFUSE(!mapped, CL_INVALID_VALUE);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueFillBuffer(cl_command_queue queue, cl_mem mem, const void *pattern,
			   size_t pattern_size, size_t offset, size_t size, cl_uint count,
			   const cl_event *waits, cl_event *event)
{
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(buffer_check(queue, mem, offset, size));
	STUB_REFUSE(!pattern_size || size % pattern_size || offset % pattern_size,
		    CL_INVALID_VALUE);
	for (size_t i = 0; i < size; i += pattern_size)
		memcpy(mem->data + offset + i, pattern, pattern_size);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueReadImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
			  const size_t *origin, const size_t *region, size_t row, size_t slice,
			  void *host, cl_uint count, const cl_event *waits, cl_event *event)
{
	size_t bytes[3];
	struct box box;

	(void)blocking;
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(image_get(queue, image, origin, region, &box, bytes));
	row = row ? row : bytes[0];
	slice = slice ? slice : row * bytes[1];
	boxes_copy((struct box){host, row, slice}, box, bytes);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueWriteImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
			   const size_t *origin, const size_t *region, size_t row, size_t slice,
			   const void *host, cl_uint count, const cl_event *waits, cl_event *event)
{
	size_t bytes[3];
	struct box box;

	(void)blocking;
	CHECK(stub_waits_check(queue, count, waits));
	CHECK(image_get(queue, image, origin, region, &box, bytes));
	row = row ? row : bytes[0];
	slice = slice ? slice : row * bytes[1];
	boxes_copy(box, (struct box){(unsigned char *)host, row, slice}, bytes);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueCopyImage(cl_command_queue queue, cl_mem src, cl_mem dst, const size_t *src_origin,
			  const size_t *dst_origin, const size_t *region, cl_uint count,
			  const cl_event *waits, cl_event *event)
{
	struct box from, to;
	size_t bytes[3];

	CHECK(stub_waits_check(queue, count, waits));
	CHECK(image_get(queue, src, src_origin, region, &from, bytes));
	CHECK(image_get(queue, dst, dst_origin, region, &to, bytes));
	boxes_copy(to, from, bytes);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueFillImage(cl_command_queue queue, cl_mem image, const void *color,
			  const size_t *origin, const size_t *region, cl_uint count,
			  const cl_event *waits, cl_event *event)
{
	unsigned char texels[16];
	struct box box;
	size_t bytes[3];

	CHECK(stub_waits_check(queue, count, waits));
	CHECK(image_get(queue, image, origin, region, &box, bytes));
	memcpy(texels, color, sizeof texels);
	for (size_t z = 0; z < bytes[2]; z++)
		for (size_t y = 0; y < bytes[1]; y++)
			memset(box.data + z * box.slice + y * box.row, texels[0], bytes[0]);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueCopyImageToBuffer(cl_command_queue queue, cl_mem src, cl_mem dst,
				  const size_t *origin, const size_t *region, size_t offset,
				  cl_uint count, const cl_event *waits, cl_event *event)
{
	size_t bytes[3];
	struct box box;

	CHECK(stub_waits_check(queue, count, waits));
	CHECK(image_get(queue, src, origin, region, &box, bytes));
	CHECK(buffer_check(queue, dst, offset, bytes[0] * bytes[1] * bytes[2]));
	boxes_copy((struct box){dst->data + offset, bytes[0], bytes[0] * bytes[1]}, box, bytes);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueCopyBufferToImage(cl_command_queue queue, cl_mem src, cl_mem dst, size_t offset,
				  const size_t *origin, const size_t *region, cl_uint count,
				  const cl_event *waits, cl_event *event)
{
	size_t bytes[3];
	struct box box;

	CHECK(stub_waits_check(queue, count, waits));
	CHECK(image_get(queue, dst, origin, region, &box, bytes));
	CHECK(buffer_check(queue, src, offset, bytes[0] * bytes[1] * bytes[2]));
	boxes_copy(box, (struct box){src->data + offset, bytes[0], bytes[0] * bytes[1]}, bytes);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueMigrateMemObjects(cl_command_queue queue, cl_uint mem_count, const cl_mem *mems,
				  cl_mem_migration_flags flags, cl_uint count,
				  const cl_event *waits, cl_event *event)
{
	(void)flags;
	CHECK(stub_waits_check(queue, count, waits));
	STUB_REFUSE(!mem_count || !mems, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < mem_count; i++)
		STUB_REFUSE(!stub_get(mems[i], STUB_MEM), CL_INVALID_MEM_OBJECT);
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *waits,
				   cl_event *event)
{
	CHECK(stub_waits_check(queue, count, waits));
	return stub_enqueue(queue, count, waits, event);
}

cl_int clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *waits,
				    cl_event *event)
{
	return clEnqueueMarkerWithWaitList(queue, count, waits, event);
}
