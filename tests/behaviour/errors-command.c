/* SPDX-License-Identifier: MIT */
/*
 * Wrong arguments to launches, mappings, markers, migrations, and commands on shared virtual
 * memory.
 */
#include "errors.h"

#define SIZE	      64
#define UNKNOWN_FLAGS (1u << 30)

/* ------------------------------------------------------------ launches */

CALL(clEnqueueNDRangeKernel, P(0), P(1), U(2), P(3), P(4), P(5), U(6), P(7), NULL)
CALL(clEnqueueTask, P(0), P(1), U(2), P(3), NULL)
CALL(clEnqueueNativeKernel, P(0), (void(CL_CALLBACK *)(void *))a[1], P(2), U(3), U(4), P(5), P(6),
     U(7), P(8), NULL)

static void CL_CALLBACK native(void *data)
{
	(void)data;
}

static void launches(void)
{
	static const size_t global[3] = {8, 1, 1};
	static const size_t local[3] = {4, 1, 1};
	static const size_t uneven[3] = {3, 1, 1};
	static const size_t none[3] = {0, 1, 1};
	static const size_t wide[3] = {(size_t)1 << 40, 1, 1};

	ROW(clEnqueueNDRangeKernel,
	    RIGHT(V(on.queue), V(on.kernel), 1, 0, V(global), V(local), 0, 0), FAULTS_QUEUE(0),
	    FAULTS_OBJECT_GUEST("kernel", CL_INVALID_KERNEL, 1, on.program, on.gone_kernel),
	    FAULTS_NONE("kernel", CL_INVALID_KERNEL, 1),
	    FAULT("kernel of another context", CL_INVALID_CONTEXT, 1, on.foreign_kernel),
	    FAULT("arguments not set", CL_INVALID_KERNEL_ARGS, 1, on.unset),
	    FAULT("0 dimensions", CL_INVALID_WORK_DIMENSION, 2, 0),
	    FAULT("4 dimensions", CL_INVALID_WORK_DIMENSION, 2, 4),
	    FAULT("local size 0", CL_INVALID_WORK_GROUP_SIZE, 5, none),
	    FAULT("local size that divides nothing", CL_INVALID_WORK_GROUP_SIZE, 5, uneven),
	    FAULT_PAIR("local size of too many", CL_INVALID_WORK_GROUP_SIZE, 4, wide, 5, wide),
	    FAULT_PAIR("local size not the kernel's", CL_INVALID_WORK_GROUP_SIZE, 1, on.fixed, 5,
		       global),
	    FAULTS_WAITS_GUEST(6));
	ROW(clEnqueueTask, RIGHT(V(on.queue), V(on.kernel), 0, 0), FAULTS_QUEUE(0),
	    FAULTS_OBJECT_GUEST("kernel", CL_INVALID_KERNEL, 1, on.program, on.gone_kernel),
	    FAULTS_NONE("kernel", CL_INVALID_KERNEL, 1),
	    FAULT("kernel of another context", CL_INVALID_CONTEXT, 1, on.foreign_kernel),
	    FAULT("arguments not set", CL_INVALID_KERNEL_ARGS, 1, on.unset),
	    FAULT("size not the kernel's", CL_INVALID_WORK_GROUP_SIZE, 1, on.fixed),
	    FAULTS_WAITS_GUEST(2));
	ROW_REFUSED(clEnqueueNativeKernel, CL_INVALID_OPERATION,
		    RIGHT(V(on.queue), V(native), 0, 0, 0, 0, 0, 0, 0), FAULTS_QUEUE(0),
		    FAULT("function NULL", CL_INVALID_VALUE, 1, 0),
		    FAULT_PAIR("arguments of no size", CL_INVALID_VALUE, 2, on.host, 3, 0),
		    FAULT_PAIR("no arguments of a size", CL_INVALID_VALUE, 2, 0, 3, SIZE));
}

/* ------------------------------------------------------------ mappings */

CALL(clEnqueueMigrateMemObjects, P(0), U(1), P(2), U(3), U(4), P(5), NULL)

/* What was mapped is unmapped. */
static cl_int unmap(cl_mem mem, void *mapped, cl_int code)
{
	if (mapped && code == CL_SUCCESS)
		MUST(clEnqueueUnmapMemObject(on.queue, mem, mapped, 0, NULL, NULL));
	return code;
}

static cl_int call_clEnqueueMapBuffer(const uintptr_t *a)
{
	cl_int code = 1;
	void *mapped = clEnqueueMapBuffer(P(0), P(1), (cl_bool)a[2], a[3], a[4], a[5],
					  (cl_uint)a[6], P(7), NULL, &code);

	return unmap(P(1), mapped, code);
}

static cl_int call_clEnqueueMapImage(const uintptr_t *a)
{
	cl_int code = 1;
	void *mapped = clEnqueueMapImage(P(0), P(1), (cl_bool)a[2], a[3], P(4), P(5), P(6), P(7),
					 (cl_uint)a[8], P(9), NULL, &code);

	return unmap(P(1), mapped, code);
}

/* The address that is right is that of a new mapping. */
static cl_int call_clEnqueueUnmapMemObject(const uintptr_t *a)
{
	cl_int code;
	void *mapped = clEnqueueMapBuffer(on.queue, on.buffer, CL_TRUE, CL_MAP_READ, 0, SIZE, 0,
					  NULL, NULL, &call_err);

	MUST(call_err);
	code = clEnqueueUnmapMemObject(P(0), P(1), a[2] == 1 ? mapped : P(2), (cl_uint)a[3], P(4),
				       NULL);
	if (code != CL_SUCCESS)
		unmap(on.buffer, mapped, CL_SUCCESS);
	return code;
}

#define FAULTS_FLAGS(arg)                                                                          \
	FAULT("unknown flags", CL_INVALID_VALUE, arg, UNKNOWN_FLAGS),                              \
		FAULT("to write and to overwrite", CL_INVALID_VALUE, arg,                          \
		      CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)

static void mappings(void)
{
	static const size_t zero[3] = {0, 0, 0};
	static const size_t far[3] = {IMAGE_SIDE, 0, 0};
	static const size_t box[3] = {8, 8, 1};
	static const size_t empty[3] = {8, 0, 1};
	static size_t pitch;

	ROW(clEnqueueMapBuffer, RIGHT(V(on.queue), V(on.buffer), 1, CL_MAP_READ, 0, SIZE, 0, 0),
	    FAULTS_QUEUE(0), FAULTS_BUFFER("buffer", 1),
	    FAULTS_NONE("buffer", CL_INVALID_MEM_OBJECT, 1),
	    FAULT("an image", CL_INVALID_MEM_OBJECT, 1, on.image),
	    FAULT("buffer of another context", CL_INVALID_CONTEXT, 1, on.foreign), FAULTS_FLAGS(3),
	    FAULT("size 0", CL_INVALID_VALUE, 5, 0),
	    FAULT("beyond the end", CL_INVALID_VALUE, 4, BUFFER_SIZE), FAULTS_WAITS(6),
	    FAULT("unreadable", CL_INVALID_OPERATION, 1, on.unreadable));
	ROW(clEnqueueMapImage,
	    RIGHT(V(on.queue), V(on.image), 1, CL_MAP_READ, V(zero), V(box), V(&pitch), 0, 0, 0),
	    FAULTS_QUEUE(0), FAULTS_BUFFER("image", 1),
	    FAULTS_NONE("image", CL_INVALID_MEM_OBJECT, 1),
	    FAULT("a buffer", CL_INVALID_MEM_OBJECT, 1, on.buffer),
	    FAULT("image of another context", CL_INVALID_CONTEXT, 1, on.foreign_image),
	    FAULTS_FLAGS(3), FAULT("origin NULL", CL_INVALID_VALUE, 4, 0),
	    FAULT("origin beyond the end", CL_INVALID_VALUE, 4, far),
	    FAULT("region NULL", CL_INVALID_VALUE, 5, 0),
	    FAULT("region empty", CL_INVALID_VALUE, 5, empty),
	    FAULT("pitch NULL", CL_INVALID_VALUE, 6, 0), FAULTS_WAITS(8));
	ROW(clEnqueueUnmapMemObject, RIGHT(V(on.queue), V(on.buffer), 1, 0, 0), FAULTS_QUEUE(0),
	    FAULTS_BUFFER("object", 1), FAULTS_NONE("object", CL_INVALID_MEM_OBJECT, 1),
	    FAULT("object of another context", CL_INVALID_CONTEXT, 1, on.foreign), FAULTS_WAITS(3),
	    FAULT("address NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("address of no mapping", CL_INVALID_VALUE, 2, on.host));
}

/* ------------------------------------------------------------ order */

CALL(clEnqueueMarkerWithWaitList, P(0), U(1), P(2), NULL)
CALL(clEnqueueBarrierWithWaitList, P(0), U(1), P(2), NULL)
CALL(clEnqueueWaitForEvents, P(0), U(1), P(2))
CALL(clEnqueueBarrier, P(0))

static cl_int call_clEnqueueMarker(const uintptr_t *a)
{
	cl_event event = NULL;
	cl_int code = clEnqueueMarker(P(0), a[1] ? &event : NULL);

	if (code == CL_SUCCESS && event)
		RELEASE(event);
	return code;
}

static void orders(void)
{
	cl_mem with_null[] = {on.buffer, NULL};
	cl_mem with_kind[] = {on.buffer, (cl_mem)(void *)on.event};
	cl_mem with_gone[] = {on.buffer, on.gone_buffer};
	cl_mem with_foreign[] = {on.buffer, on.foreign};

	ROW(clEnqueueMarkerWithWaitList, RIGHT(V(on.queue), 1, V(on.events)), FAULTS_QUEUE(0),
	    FAULTS_WAITS(1));
	ROW(clEnqueueBarrierWithWaitList, RIGHT(V(on.queue), 0, 0), FAULTS_QUEUE(0),
	    FAULTS_WAITS(1));
	ROW_GUEST(clEnqueueWaitForEvents, RIGHT(V(on.queue), 1, V(on.events)), FAULTS_QUEUE(0),
		  FAULT("no events", CL_INVALID_VALUE, 1, 0),
		  FAULT("list NULL", CL_INVALID_VALUE, 2, 0),
		  FAULT_PAIR("event NULL", CL_INVALID_EVENT, 1, 2, 2, on.events_null),
		  FAULT_GUEST_PAIR("event of another kind", CL_INVALID_EVENT, 1, 2, 2,
				   on.events_kind),
		  FAULT_PAIR("event of another context", CL_INVALID_CONTEXT, 1, 2, 2,
			     on.events_foreign));
	ROW(clEnqueueBarrier, RIGHT(V(on.queue)), FAULTS_QUEUE(0));
	ROW(clEnqueueMarker, RIGHT(V(on.queue), 1), FAULTS_QUEUE(0),
	    FAULT("event NULL", CL_INVALID_VALUE, 1, 0));
	ROW(clEnqueueMigrateMemObjects, RIGHT(V(on.queue), 1, V(&on.buffer), 0, 0, 0),
	    FAULTS_QUEUE(0), FAULT("no objects", CL_INVALID_VALUE, 1, 0),
	    FAULT("objects NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("unknown flags", CL_INVALID_VALUE, 3, UNKNOWN_FLAGS),
	    FAULT_PAIR("object NULL", CL_INVALID_MEM_OBJECT, 1, 2, 2, with_null),
	    FAULT_GUEST_PAIR("object of another kind", CL_INVALID_MEM_OBJECT, 1, 2, 2, with_kind),
	    FAULT_GUEST_PAIR("object released", CL_INVALID_MEM_OBJECT, 1, 2, 2, with_gone),
	    FAULT_PAIR("object of another context", CL_INVALID_CONTEXT, 1, 2, 2, with_foreign),
	    FAULTS_WAITS(4));
}

void errors_commands(void)
{
	launches();
	mappings();
	orders();
}

/* ------------------------------------------------------------ shared virtual memory */

CALL(clEnqueueSVMMemcpy, P(0), U(1), P(2), P(3), U(4), U(5), P(6), NULL)
CALL(clEnqueueSVMMemFill, P(0), P(1), P(2), U(3), U(4), U(5), P(6), NULL)
CALL(clEnqueueSVMUnmap, P(0), P(1), U(2), P(3), NULL)
CALL(clEnqueueSVMMigrateMem, P(0), U(1), P(2), P(3), U(4), U(5), P(6), NULL)

static cl_int call_clSVMAlloc(const uintptr_t *a)
{
	void *made = clSVMAlloc(P(0), a[1], a[2], (cl_uint)a[3]);

	if (made)
		clSVMFree(on.context, made);
	return made ? CL_SUCCESS : CL_INVALID_VALUE;
}

/* It has nothing to tell with; but it must come back. */
static cl_int call_clSVMFree(const uintptr_t *a)
{
	clSVMFree(P(0), P(1));
	return CL_SUCCESS;
}

static void CL_CALLBACK free_not(cl_command_queue queue, cl_uint count, void *list[], void *data)
{
	(void)queue, (void)count, (void)list, (void)data;
}

static cl_int call_clEnqueueSVMFree(const uintptr_t *a)
{
	return clEnqueueSVMFree(P(0), (cl_uint)a[1], P(2), free_not, NULL, (cl_uint)a[3], P(4),
				NULL);
}

static cl_int call_clEnqueueSVMMap(const uintptr_t *a)
{
	cl_int code =
		clEnqueueSVMMap(P(0), (cl_bool)a[1], a[2], P(3), a[4], (cl_uint)a[5], P(6), NULL);

	if (code == CL_SUCCESS)
		MUST(clEnqueueSVMUnmap(on.queue, on.svm, 0, NULL, NULL));
	return code;
}

static void svm_life(void)
{
	ROW(clSVMAlloc, RIGHT(V(on.context), CL_MEM_READ_WRITE, SIZE, 0),
	    FAULT("context NULL", CL_INVALID_VALUE, 0, 0),
	    FAULT_GUEST("context of another kind", CL_INVALID_VALUE, 0, on.queue),
	    FAULT("two accesses", CL_INVALID_VALUE, 1, CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY),
	    FAULT("size 0", CL_INVALID_VALUE, 2, 0),
	    FAULT("size of more than can be", CL_INVALID_VALUE, 2, on.max_alloc + 1),
	    FAULT("odd alignment", CL_INVALID_VALUE, 3, 3));
	ROW(clSVMFree, RIGHT(V(on.context), 0), FAULT("context NULL", CL_SUCCESS, 0, 0),
	    FAULT_GUEST("context of another kind", CL_SUCCESS, 0, on.queue),
	    FAULT_GUEST("of no allocation", CL_SUCCESS, 1, on.host));
	ROW(clEnqueueSVMFree, RIGHT(V(on.queue), 1, V(&on.svm), 0, 0), FAULTS_QUEUE(0),
	    FAULT_PAIR("no pointers", CL_INVALID_VALUE, 1, 0, 2, &on.svm),
	    FAULT_PAIR("list NULL", CL_INVALID_VALUE, 1, 1, 2, 0), FAULTS_WAITS(3));
}

static void svm_commands(void)
{
	unsigned char *svm = on.svm;

	ROW(clEnqueueSVMMemcpy, RIGHT(V(on.queue), 1, V(svm), V(on.host), SIZE, 0, 0),
	    FAULTS_QUEUE(0), FAULT("destination NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("source NULL", CL_INVALID_VALUE, 3, 0), FAULTS_WAITS(5),
	    FAULT("onto itself", CL_MEM_COPY_OVERLAP, 3, svm + 1));
	ROW(clEnqueueSVMMemFill, RIGHT(V(on.queue), V(svm), V(on.host), 4, SIZE, 0, 0),
	    FAULTS_QUEUE(0), FAULT("memory NULL", CL_INVALID_VALUE, 1, 0),
	    FAULT("odd memory", CL_INVALID_VALUE, 1, svm + 1),
	    FAULT_GUEST("pattern NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("pattern of 0 bytes", CL_INVALID_VALUE, 3, 0),
	    FAULT("pattern of 3 bytes", CL_INVALID_VALUE, 3, 3),
	    FAULT("odd size", CL_INVALID_VALUE, 4, 7), FAULTS_WAITS(5));
	ROW(clEnqueueSVMMap, RIGHT(V(on.queue), 1, CL_MAP_READ, V(svm), SIZE, 0, 0),
	    FAULTS_QUEUE(0), FAULT("memory NULL", CL_INVALID_VALUE, 3, 0),
	    FAULT("size 0", CL_INVALID_VALUE, 4, 0), FAULTS_FLAGS(2), FAULTS_WAITS(5));
	ROW(clEnqueueSVMUnmap, RIGHT(V(on.queue), V(svm), 0, 0), FAULTS_QUEUE(0),
	    FAULT("memory NULL", CL_INVALID_VALUE, 1, 0), FAULTS_WAITS(2));
	ROW(clEnqueueSVMMigrateMem, RIGHT(V(on.queue), 1, V(&on.svm), 0, 0, 0, 0), FAULTS_QUEUE(0),
	    FAULT("no pointers", CL_INVALID_VALUE, 1, 0),
	    FAULT("list NULL", CL_INVALID_VALUE, 2, 0),
	    FAULT("unknown flags", CL_INVALID_VALUE, 4, UNKNOWN_FLAGS), FAULTS_WAITS(5));
}

void errors_svm(void)
{
	svm_life();
	svm_commands();
}
