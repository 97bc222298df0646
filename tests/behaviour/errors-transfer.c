/* SPDX-License-Identifier: MIT */
/*
 * Wrong arguments to commands on buffers and images.
 */
#include "errors.h"

#define SIZE 64

/* ------------------------------------------------------------ buffers */

CALL(clEnqueueReadBuffer, P(0), P(1), U(2), U(3), U(4), P(5), U(6), P(7), NULL)
CALL(clEnqueueWriteBuffer, P(0), P(1), U(2), U(3), U(4), P(5), U(6), P(7), NULL)
CALL(clEnqueueCopyBuffer, P(0), P(1), P(2), U(3), U(4), U(5), U(6), P(7), NULL)
CALL(clEnqueueFillBuffer, P(0), P(1), P(2), U(3), U(4), U(5), U(6), P(7), NULL)
CALL(clEnqueueReadBufferRect, P(0), P(1), U(2), P(3), P(4), P(5), U(6), U(7), U(8), U(9), P(10),
     U(11), P(12), NULL)
CALL(clEnqueueWriteBufferRect, P(0), P(1), U(2), P(3), P(4), P(5), U(6), U(7), U(8), U(9), P(10),
     U(11), P(12), NULL)
CALL(clEnqueueCopyBufferRect, P(0), P(1), P(2), P(3), P(4), P(5), U(6), U(7), U(8), U(9), U(10),
     P(11), NULL)

/* A buffer, which must be the queue's context's. */
#define FAULTS_OPERAND(what, arg)                                                                  \
	FAULTS_NONE(what, CL_INVALID_MEM_OBJECT, arg), FAULTS_BUFFER(what, arg),                   \
		FAULT(what " of another context", CL_INVALID_CONTEXT, arg, on.foreign)

#define FAULTS_OPERAND_GUEST(what, arg)                                                            \
	FAULTS_NONE(what, CL_INVALID_MEM_OBJECT, arg),                                             \
		FAULTS_OBJECT_GUEST(what, CL_INVALID_MEM_OBJECT, arg, on.event, on.gone_buffer),   \
		FAULT(what " of another context", CL_INVALID_CONTEXT, arg, on.foreign)

static void buffers(void)
{
	ROW(clEnqueueReadBuffer, RIGHT(V(on.queue), V(on.buffer), 1, 0, SIZE, V(on.host), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND("buffer", 1),
	    FAULT("beyond the end", CL_INVALID_VALUE, 3, BUFFER_SIZE - SIZE + 1),
	    FAULT("offset that wraps", CL_INVALID_VALUE, 3, SIZE_MAX),
	    FAULT("memory NULL", CL_INVALID_VALUE, 5, 0), FAULTS_WAITS(6),
	    FAULT("unreadable", CL_INVALID_OPERATION, 1, on.unreadable));
	ROW(clEnqueueWriteBuffer, RIGHT(V(on.queue), V(on.buffer), 1, 0, SIZE, V(on.host), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND("buffer", 1),
	    FAULT("beyond the end", CL_INVALID_VALUE, 3, BUFFER_SIZE - SIZE + 1),
	    FAULT("offset that wraps", CL_INVALID_VALUE, 3, SIZE_MAX),
	    FAULT("memory NULL", CL_INVALID_VALUE, 5, 0), FAULTS_WAITS(6),
	    FAULT("unwritable", CL_INVALID_OPERATION, 1, on.unwritable));
	ROW(clEnqueueCopyBuffer, RIGHT(V(on.queue), V(on.buffer), V(on.second), 0, 0, SIZE, 0, 0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND("source", 1), FAULTS_OPERAND("destination", 2),
	    FAULT("size 0", CL_INVALID_VALUE, 5, 0),
	    FAULT("source beyond the end", CL_INVALID_VALUE, 3, BUFFER_SIZE),
	    FAULT("destination beyond the end", CL_INVALID_VALUE, 4, BUFFER_SIZE), FAULTS_WAITS(6),
	    FAULT("onto itself", CL_MEM_COPY_OVERLAP, 2, on.buffer));
	ROW(clEnqueueFillBuffer, RIGHT(V(on.queue), V(on.buffer), V(on.host), 4, 0, SIZE, 0, 0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND("buffer", 1),
	    FAULT("beyond the end", CL_INVALID_VALUE, 4, BUFFER_SIZE),
	    FAULT("pattern NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("pattern of 0 bytes", CL_INVALID_VALUE, 3, 0),
	    FAULT("pattern of 3 bytes", CL_INVALID_VALUE, 3, 3),
	    FAULT("pattern of 256 bytes", CL_INVALID_VALUE, 3, 256),
	    FAULT("odd offset", CL_INVALID_VALUE, 4, 2), FAULT("odd size", CL_INVALID_VALUE, 5, 7),
	    FAULTS_WAITS(6));
}

static const size_t zero[3] = {0, 0, 0};
static const size_t box[3] = {8, 8, 1};
static const size_t empty[3] = {8, 0, 1};
static const size_t huge[3] = {8, BUFFER_SIZE, 1};

#define FAULTS_REGION(arg)                                                                         \
	FAULT("region NULL", CL_INVALID_VALUE, arg, 0),                                            \
		FAULT("region empty", CL_INVALID_VALUE, arg, empty),                               \
		FAULT("region beyond the end", CL_INVALID_VALUE, arg, huge)

#define FAULTS_RECT                                                                                \
	FAULT("buffer's origin NULL", CL_INVALID_VALUE, 3, 0),                                     \
		FAULT("memory's origin NULL", CL_INVALID_VALUE, 4, 0), FAULTS_REGION(5),           \
		FAULT("buffer's rows too short", CL_INVALID_VALUE, 6, 7),                          \
		FAULT("buffer's slices too short", CL_INVALID_VALUE, 7, 7),                        \
		FAULT("memory's rows too short", CL_INVALID_VALUE, 8, 7),                          \
		FAULT("memory's slices too short", CL_INVALID_VALUE, 9, 7),                        \
		FAULT("memory NULL", CL_INVALID_VALUE, 10, 0), FAULTS_WAITS(11)

static void rects(void)
{
	ROW(clEnqueueReadBufferRect,
	    RIGHT(V(on.queue), V(on.buffer), 1, V(zero), V(zero), V(box), 0, 0, 0, 0, V(on.host), 0,
		  0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND("buffer", 1), FAULTS_RECT,
	    FAULT("unreadable", CL_INVALID_OPERATION, 1, on.unreadable));
	ROW(clEnqueueWriteBufferRect,
	    RIGHT(V(on.queue), V(on.buffer), 1, V(zero), V(zero), V(box), 0, 0, 0, 0, V(on.host), 0,
		  0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND("buffer", 1), FAULTS_RECT,
	    FAULT("unwritable", CL_INVALID_OPERATION, 1, on.unwritable));
	ROW(clEnqueueCopyBufferRect,
	    RIGHT(V(on.queue), V(on.buffer), V(on.second), V(zero), V(zero), V(box), 0, 0, 0, 0, 0,
		  0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND_GUEST("source", 1),
	    FAULTS_OPERAND_GUEST("destination", 2),
	    FAULT("source's origin NULL", CL_INVALID_VALUE, 3, 0),
	    FAULT("destination's origin NULL", CL_INVALID_VALUE, 4, 0), FAULTS_REGION(5),
	    FAULT("source's rows too short", CL_INVALID_VALUE, 6, 7),
	    FAULT("destination's slices too short", CL_INVALID_VALUE, 9, 7), FAULTS_WAITS(10),
	    FAULT("onto itself", CL_MEM_COPY_OVERLAP, 2, on.buffer));
}

void errors_transfers(void)
{
	buffers();
	rects();
}

/* ------------------------------------------------------------ images */

CALL(clEnqueueReadImage, P(0), P(1), U(2), P(3), P(4), U(5), U(6), P(7), U(8), P(9), NULL)
CALL(clEnqueueWriteImage, P(0), P(1), U(2), P(3), P(4), U(5), U(6), P(7), U(8), P(9), NULL)
CALL(clEnqueueCopyImage, P(0), P(1), P(2), P(3), P(4), P(5), U(6), P(7), NULL)
CALL(clEnqueueFillImage, P(0), P(1), P(2), P(3), P(4), U(5), P(6), NULL)
CALL(clEnqueueCopyImageToBuffer, P(0), P(1), P(2), P(3), P(4), U(5), U(6), P(7), NULL)
CALL(clEnqueueCopyBufferToImage, P(0), P(1), P(2), U(3), P(4), P(5), U(6), P(7), NULL)

#define FAULTS_IMAGE(what, arg)                                                                    \
	FAULTS_NONE(what, CL_INVALID_MEM_OBJECT, arg),                                             \
		FAULTS_OBJECT(what, CL_INVALID_MEM_OBJECT, arg, on.event, on.gone_buffer),         \
		FAULT(what " a buffer", CL_INVALID_MEM_OBJECT, arg, on.buffer),                    \
		FAULT(what " of another context", CL_INVALID_CONTEXT, arg, on.foreign_image)

#define FAULTS_PLACE(arg)                                                                          \
	FAULT("origin NULL", CL_INVALID_VALUE, arg, 0),                                            \
		FAULT("origin beyond the end", CL_INVALID_VALUE, arg, far),                        \
		FAULTS_REGION((arg) + 1)

static const size_t far[3] = {IMAGE_SIDE, 0, 0};
static const size_t deep[3] = {8, 8, 2};

static void images(void)
{
	ROW(clEnqueueReadImage,
	    RIGHT(V(on.queue), V(on.image), 1, V(zero), V(box), 0, 0, V(on.host), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_IMAGE("image", 1), FAULTS_PLACE(3),
	    FAULT("region of two slices", CL_INVALID_VALUE, 4, deep),
	    FAULT("rows too short", CL_INVALID_VALUE, 5, 7),
	    FAULT("memory NULL", CL_INVALID_VALUE, 7, 0), FAULTS_WAITS(8));
	ROW(clEnqueueWriteImage,
	    RIGHT(V(on.queue), V(on.image), 1, V(zero), V(box), 0, 0, V(on.host), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_IMAGE("image", 1), FAULTS_PLACE(3),
	    FAULT("region of two slices", CL_INVALID_VALUE, 4, deep),
	    FAULT("rows too short", CL_INVALID_VALUE, 5, 7),
	    FAULT("memory NULL", CL_INVALID_VALUE, 7, 0), FAULTS_WAITS(8));
	ROW(clEnqueueFillImage, RIGHT(V(on.queue), V(on.image), V(on.host), V(zero), V(box), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_IMAGE("image", 1), FAULT("color NULL", CL_INVALID_VALUE, 2, 0),
	    FAULTS_PLACE(3), FAULTS_WAITS(5));
	ROW(clEnqueueCopyImage,
	    RIGHT(V(on.queue), V(on.image), V(on.second_image), V(zero), V(zero), V(box), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_IMAGE("source", 1), FAULTS_IMAGE("destination", 2),
	    FAULT("other format", CL_IMAGE_FORMAT_MISMATCH, 2, on.float_image),
	    FAULT("source's origin NULL", CL_INVALID_VALUE, 3, 0),
	    FAULT("source's origin beyond the end", CL_INVALID_VALUE, 3, far), FAULTS_PLACE(4),
	    FAULTS_WAITS(6), FAULT("onto itself", CL_MEM_COPY_OVERLAP, 2, on.image));
}

static void image_buffers(void)
{
	ROW(clEnqueueCopyImageToBuffer,
	    RIGHT(V(on.queue), V(on.image), V(on.buffer), V(zero), V(box), 0, 0, 0),
	    FAULTS_QUEUE(0), FAULTS_IMAGE("source", 1), FAULTS_OPERAND_GUEST("destination", 2),
	    FAULT("destination an image", CL_INVALID_MEM_OBJECT, 2, on.second_image),
	    FAULTS_PLACE(3), FAULT("destination beyond the end", CL_INVALID_VALUE, 5, BUFFER_SIZE),
	    FAULTS_WAITS(6));
	ROW(clEnqueueCopyBufferToImage,
	    RIGHT(V(on.queue), V(on.buffer), V(on.image), 0, V(zero), V(box), 0, 0),
	    FAULTS_QUEUE(0), FAULTS_OPERAND_GUEST("source", 1),
	    FAULT("source an image", CL_INVALID_MEM_OBJECT, 1, on.second_image),
	    FAULTS_IMAGE("destination", 2), FAULTS_PLACE(4),
	    FAULT("source beyond the end", CL_INVALID_VALUE, 3, BUFFER_SIZE), FAULTS_WAITS(6));
}

void errors_images(void)
{
	images();
	image_buffers();
}
