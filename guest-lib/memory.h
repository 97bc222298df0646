/*
 * What the files about memory objects share: memory.c, block.c, transfer.c and so on.
 *
 * Must not be included by others: what they need is in guest.h.
 */
#ifndef GCL_MEMORY_H
#define GCL_MEMORY_H

#include "guest.h"

/* Work that does not come from or go to the program's memory is left to the host beyond these
 * sizes: there it costs the program no time, but to wake the device takes as long as this. */
#define GCL_DIRECT_COPY_MAX (1024u * 1024u)
#define GCL_DIRECT_FILL_MAX (64u * 1024u)

/*
 * Memory of the program's from these sizes on is pinned for the host's use, where the channel can,
 * instead of being copied. To pin and unpin takes two trips to the host and a page's work for each
 * page: in a VM under TCG (medians of transfer_bench without resident buffers) that gave 0.3 times
 * the throughput of copying at 1 MiB, 0.5 to 0.7 at 4 MiB, 0.7 to 1.3 at 16 MiB, and 1.6 to 2.1 at
 * 64 MiB. A buffer is pinned once, and then mapped for nothing. Not measured under KVM.
 */
#define GCL_PIN_TRANSFER_MIN (32u * 1024u * 1024u)
#define GCL_PIN_BUFFER_MIN   (1024u * 1024u)

#define GCL_MEM_HOST_PTR_FLAGS (CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR)
#define GCL_MEM_ACCESS_FLAGS   (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY)
#define GCL_MEM_HOST_ACCESS_FLAGS                                                                  \
	(CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)

static inline void gcl_set_error(cl_int *errcode_ret, cl_int status)
{
	if (errcode_ret)
		*errcode_ret = status;
}

/* Do @size units at @offset lie within @limit? */
static inline bool gcl_inside(size_t offset, size_t size, size_t limit)
{
	return size <= limit && offset <= limit - size;
}

/* ------------------------------------------------------------ block.c */

/**
 * gcl_block_alloc() - memory of the heap. When the heap is full, what the host let go of meanwhile
 * is taken back first.
 * @memory: set to its address, may be NULL
 *
 * Return: the offset, or GCL_HEAP_NONE.
 */
uint64_t gcl_block_alloc(struct gcl_session *session, size_t size, uint8_t **memory);

/** gcl_block_keeps() - may a resident object have that much? A heap that the host limits keeps half
 * of its room for what is under way. */
bool gcl_block_keeps(const struct gcl_session *session, size_t size);

/** gcl_block_free() - GCL_HEAP_NONE is accepted. */
void gcl_block_free(struct gcl_session *session, uint64_t offset);

/**
 * gcl_block_pin() - make a block of the program's own memory, where the channel can; the caller
 * must do without where it can't.
 * @least: smaller ones are better copied, unless GUESTCL_PIN says otherwise
 * @write: the host may write to it
 */
bool gcl_block_pin(struct gcl_session *session, const void *memory, size_t size, size_t least,
		   bool write, uint64_t *offset);

/** gcl_block_pinned() - is it the program's memory? */
static inline bool gcl_block_pinned(uint64_t offset)
{
	return offset >= GCL_HEAP_MAX && offset != GCL_HEAP_NONE;
}

/**
 * gcl_block_expect() - the block at @offset stays in use until MEM_FREED names @id. Call before the
 * message that leads to it is posted.
 * @mem: to be freed for good then, destructors and all; or NULL. Taken over.
 */
void gcl_block_expect(struct gcl_session *session, uint64_t id, uint64_t offset, cl_mem mem);

/** gcl_block_forget() - that message was not posted: free the block now. */
void gcl_block_forget(struct gcl_session *session, uint64_t id);

/* ------------------------------------------------------------ memory.c */

/** gcl_mem_flags_valid() - only known flags, and none that exclude each other. */
bool gcl_mem_flags_valid(cl_mem_flags flags);

/** gcl_mem_host_ptr_valid() - is there a host pointer just when @flags want one? */
bool gcl_mem_host_ptr_valid(cl_mem_flags flags, const void *host_ptr);

/** gcl_mem_sub_flags_valid() - may a part of an object with the flags @parent have these? */
bool gcl_mem_sub_flags_valid(cl_mem_flags parent, cl_mem_flags flags);

/** gcl_mem_sub_flags() - @flags with what is inherited. */
cl_mem_flags gcl_mem_sub_flags(cl_mem_flags parent, cl_mem_flags flags);

/** gcl_mem_new() - an object without memory; holds references to @context and @parent (or NULL). */
cl_mem gcl_mem_new(cl_context context, cl_mem_object_type type, cl_mem_flags flags, cl_mem parent);

/** gcl_mem_abandon() - free an object that the host was not told of. */
void gcl_mem_abandon(cl_mem mem);

/** gcl_mem_finish() - run the destructors on the notifier's thread, then free the object. */
void gcl_mem_finish(cl_mem mem);

/** gcl_mem_use() - can @queue work with this checked object? Return: CL_SUCCESS,
 * CL_MISALIGNED_SUB_BUFFER_OFFSET, or why the host could not make the object. */
cl_int gcl_mem_use(cl_command_queue queue, cl_mem mem);

/* ------------------------------------------------------------ box.c */

/* A box in memory: its first byte and its pitches. */
struct gcl_box {
	uint8_t *bytes;
	size_t row_pitch, slice_pitch;
};

/** gcl_box_copy() - copy @size (bytes, rows, slices) between boxes that don't overlap, unless both
 * are one row. */
void gcl_box_copy(const struct gcl_box *to, const struct gcl_box *from, const size_t size[3]);

/** gcl_wire_box() - as messages have it. */
Gcl__Box gcl_wire_box(const size_t values[3]);

/** gcl_box_at() - the box that begins at @at (bytes, rows, slices) in @box. */
struct gcl_box gcl_box_at(const struct gcl_box *box, const size_t at[3]);

/**
 * gcl_box_end() - bytes from the start of memory with these pitches to the end of the box.
 * @origin, @region: in bytes, rows, slices; @origin may be NULL
 *
 * Return: false when that is more than a size_t holds.
 */
bool gcl_box_end(const size_t *origin, const size_t region[3], size_t row_pitch, size_t slice_pitch,
		 size_t *end);

/** gcl_box_pitches() - replace pitches of 0 by the dense ones. Return: false for invalid ones. */
bool gcl_box_pitches(const size_t region[3], size_t *row_pitch, size_t *slice_pitch);

/* ------------------------------------------------------------ staging.c */

enum gcl_shape {
	GCL_SHAPE_LINEAR, /* a buffer's bytes */
	GCL_SHAPE_RECT,	  /* a buffer's rectangle */
	GCL_SHAPE_IMAGE,
};

/* What one command moves between the program's memory and an object. */
struct gcl_transfer {
	cl_command_queue queue;
	cl_mem mem;
	cl_command_type type; /* of the event */
	enum gcl_shape shape;
	bool write; /* to the object */
	bool blocking;
	size_t origin[3];	       /* in the object: bytes (of images: pixels), rows, slices */
	size_t region[3];	       /* bytes, rows, slices */
	size_t row_pitch, slice_pitch; /* of GCL_SHAPE_RECT in the buffer */
	size_t wire_row, wire_slice;   /* of an image's data in the heap; 0: dense */
	struct gcl_box host;	       /* the program's memory, from the region's first byte */
	cl_uint wait_count;
	const cl_event *waits;
	cl_event *event; /* or NULL */
};

/** gcl_transfer_run() - do it: at once where the object is in the heap and its queue idle, else by
 * commands with the data in blocks of the heap. The arguments have been checked. */
cl_int gcl_transfer_run(const struct gcl_transfer *transfer);

/**
 * gcl_transfer_post() - one command for all of it, with the data in a block of the caller's.
 * @block: where the data is, or goes
 * @completion: taken over, run in any case; or NULL
 */
cl_int gcl_transfer_post(const struct gcl_transfer *transfer, uint64_t block,
			 struct gcl_completion *completion);

/** gcl_staged_completion() - a completion that frees @block (or GCL_HEAP_NONE). Return: NULL
 * without memory. */
struct gcl_completion *gcl_staged_completion(struct gcl_session *session, uint64_t block);

/**
 * gcl_staged_copy_to() - let the completion copy a box to the program's memory first, if the
 * command succeeded.
 * @mem: a reference to it is held until then; or NULL
 */
void gcl_staged_copy_to(struct gcl_completion *completion, const struct gcl_box *to,
			const struct gcl_box *from, const size_t size[3], cl_mem mem);

/** gcl_staged_keep() - hold a reference to @mem until the completion has run. */
void gcl_staged_keep(struct gcl_completion *completion, cl_mem mem);

/** gcl_staged_also_free() - one more block that the completion frees. */
void gcl_staged_also_free(struct gcl_completion *completion, uint64_t block);

/* ------------------------------------------------------------ direct.c */

/**
 * gcl_direct_lock() - may a command on resident objects be done in the guest, now?
 * @blocking: waits for that as the command would wait, where waiting helps
 * @locked: set when it may; the caller does it and calls gcl_direct_unlock()
 *
 * Return: CL_SUCCESS, or the error that a blocking command returns.
 */
cl_int gcl_direct_lock(cl_command_queue queue, bool blocking, cl_uint count, const cl_event *list,
		       const cl_event *event, bool *locked);

static inline cl_int gcl_direct_unlock(cl_command_queue queue, cl_command_type type,
				       cl_event *event)
{
	pthread_mutex_unlock(&queue->lock);
	return gcl_event_done_here(queue, type, event);
}

/** gcl_blocking_wait() - the end of a blocking command: wait for its event. Return: CL_SUCCESS or
 * what the call returns. */
cl_int gcl_blocking_wait(cl_event event, cl_uint count, const cl_event *list);

/** gcl_posted_end() - the end of a command that was posted: its event @made is waited for if the
 * command blocks, then given to the program or put. */
cl_int gcl_posted_end(cl_event made, bool blocking, cl_uint count, const cl_event *list,
		      cl_event *event);

/** gcl_order() - a command of @type that does nothing but keep its place in the queue.
 * @completion: taken over; or NULL */
cl_int gcl_order(cl_command_queue queue, cl_mem mem, cl_command_type type, bool blocking,
		 cl_uint count, const cl_event *list, struct gcl_completion *completion,
		 cl_event *event);

/* ------------------------------------------------------------ transfer.c */

/** gcl_buffer_check() - the checks that commands on a buffer begin with. */
cl_int gcl_buffer_check(cl_command_queue queue, cl_mem buffer);

/** gcl_transfer_check() - those they end with: wait list, object, host access (@refused: flags of
 * objects that the call is not for). */
cl_int gcl_transfer_check(cl_command_queue queue, cl_mem mem, cl_mem_flags refused, cl_uint count,
			  const cl_event *list);

/* ------------------------------------------------------------ image-format.c */

/** gcl_image_element_size() - bytes of a pixel, or 0 where order and type don't go together. */
size_t gcl_image_element_size(const cl_image_format *format);

/** gcl_image_supported() - does a device of @context know images? */
bool gcl_image_supported(const struct _cl_context *context);

/** gcl_image_format_supported() - do all of its devices that know images have this format? */
bool gcl_image_format_supported(const struct _cl_context *context, cl_mem_object_type type,
				cl_mem_flags flags, const cl_image_format *format);

/* ------------------------------------------------------------ image.c, image-transfer.c */

bool gcl_image_type_valid(cl_mem_object_type type);

/** gcl_image_fits() - is the image within the limits of @device? */
bool gcl_image_fits(const struct _cl_mem *image, const struct _cl_device_id *device);

/** gcl_image_region_valid() - is it inside the image, with the zeros and ones that its type asks
 * for? */
bool gcl_image_region_valid(cl_mem image, const size_t *origin, const size_t *region);

/** gcl_image_box_pitches() - the pitches between rows and slices as regions count them. */
void gcl_image_box_pitches(const struct _cl_mem *image, size_t *row_pitch, size_t *slice_pitch);

/** gcl_image_check() - the checks that commands on an image begin with. */
cl_int gcl_image_check(cl_command_queue queue, cl_mem image);

/** gcl_image_device_check() - can the queue's device work with the image? */
cl_int gcl_image_device_check(cl_command_queue queue, cl_mem image);

/** gcl_image_transfer() - set the shape of a transfer of pixels, which may be a buffer's bytes. */
void gcl_image_transfer(struct gcl_transfer *transfer);

#endif
