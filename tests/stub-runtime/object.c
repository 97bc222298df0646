/*
 * References, and what all calls share.
 */
#include <stdio.h>
#include <string.h>

#include "stub.h"

const void *stub_dispatch;

bool stub_get(const void *handle, enum stub_kind kind)
{
	const struct stub_object *object = handle;

	if (!object)
		return false;
	if (object->kind != kind || atomic_load(&object->refs) == 0) {
		fprintf(stderr, "stub runtime: %p is no live object of kind %x\n", handle, kind);
		abort();
	}
	return true;
}

void *stub_new(enum stub_kind kind, size_t size)
{
	struct stub_object *object = calloc(1, size);

	if (object) {
		object->dispatch = stub_dispatch;
		object->kind = kind;
		atomic_init(&object->refs, 1);
	}
	return object;
}

void stub_retain(void *handle, enum stub_kind kind)
{
	if (stub_get(handle, kind))
		atomic_fetch_add(&((struct stub_object *)handle)->refs, 1);
}

bool stub_unref(void *handle, enum stub_kind kind)
{
	return stub_get(handle, kind) &&
	       atomic_fetch_sub(&((struct stub_object *)handle)->refs, 1) == 1;
}

cl_int stub_answer(const void *value, size_t value_size, size_t size, void *out, size_t *size_ret)
{
	if (out && size < value_size)
		return CL_INVALID_VALUE;
	if (out && value_size)
		memcpy(out, value, value_size);
	if (size_ret)
		*size_ret = value_size;
	return CL_SUCCESS;
}

void *stub_make(void *object, cl_int *status, cl_int value)
{
	if (value == CL_SUCCESS && !object)
		value = CL_OUT_OF_HOST_MEMORY;
	if (status)
		*status = value;
	return object;
}
