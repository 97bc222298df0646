/*
 * Kernel signatures: what each argument is.
 *
 * The runtime says it in words of OpenCL C (clGetKernelArgInfo), if the program was built with
 * -cl-kernel-arg-info. Images and samplers are told by what only they have: an access qualifier,
 * the type's name.
 */
#include "program.h"

#include <ctype.h>
#include <string.h>

/* By name and elements; the names that clang gives and those that a program may have written. */
static const struct {
	const char *name;
	size_t size;
} types[] = {
	{"char", 1},	      {"uchar", 1},	     {"unsigned char", 1}, {"short", 2},
	{"ushort", 2},	      {"unsigned short", 2}, {"int", 4},	   {"uint", 4},
	{"unsigned int", 4},  {"unsigned", 4},	     {"long", 8},	   {"ulong", 8},
	{"unsigned long", 8}, {"half", 2},	     {"float", 4},	   {"double", 8},
};

/* Elements of a vector type from what follows its element's name; a vector of 3 takes 4. */
static size_t vector_size(const char *digits)
{
	static const struct {
		const char *digits;
		size_t size;
	} sizes[] = {{"", 1}, {"2", 2}, {"3", 4}, {"4", 4}, {"8", 8}, {"16", 16}};

	for (size_t i = 0; i < GCL_ARRAY_SIZE(sizes); i++) {
		if (!strcmp(digits, sizes[i].digits))
			return sizes[i].size;
	}
	return 0;
}

size_t gcl_type_size(const char *name)
{
	size_t length = strlen(name);

	while (length && isdigit((unsigned char)name[length - 1]))
		length--;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(types); i++) {
		if (strlen(types[i].name) == length && !memcmp(name, types[i].name, length))
			return types[i].size * vector_size(name + length);
	}
	return 0;
}

static enum gcl_arg_kind kind_from_info(cl_uint address, cl_uint access, const char *type)
{
	if (access != CL_KERNEL_ARG_ACCESS_NONE)
		return GCL_ARG_IMAGE;
	if (!strcmp(type, "sampler_t"))
		return GCL_ARG_SAMPLER;
	switch (address) {
	case CL_KERNEL_ARG_ADDRESS_GLOBAL:
	case CL_KERNEL_ARG_ADDRESS_CONSTANT:
		return GCL_ARG_BUFFER;
	case CL_KERNEL_ARG_ADDRESS_LOCAL:
		return GCL_ARG_LOCAL;
	default:
		return GCL_ARG_VALUE;
	}
}

enum gcl_arg_kind gcl_arg_kind(cl_kernel kernel, cl_uint index)
{
	cl_kernel_arg_address_qualifier address;
	cl_kernel_arg_access_qualifier access;
	char type[sizeof "sampler_t"];

	if (clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof address,
			       &address, NULL) != CL_SUCCESS ||
	    clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ACCESS_QUALIFIER, sizeof access,
			       &access, NULL) != CL_SUCCESS)
		return GCL_ARG_UNKNOWN;
	/* A name that doesn't fit is not the one looked for. */
	if (clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_NAME, sizeof type, type, NULL) !=
	    CL_SUCCESS)
		type[0] = '\0';
	return kind_from_info(address, access, type);
}

enum gcl_access gcl_arg_access(cl_kernel kernel, cl_uint index)
{
	cl_kernel_arg_address_qualifier address = 0;
	cl_kernel_arg_access_qualifier access = 0;
	cl_kernel_arg_type_qualifier type = 0;

	clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof address, &address,
			   NULL);
	clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ACCESS_QUALIFIER, sizeof access, &access,
			   NULL);
	clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_QUALIFIER, sizeof type, &type, NULL);
	if (address == CL_KERNEL_ARG_ADDRESS_CONSTANT || access == CL_KERNEL_ARG_ACCESS_READ_ONLY ||
	    type & CL_KERNEL_ARG_TYPE_CONST)
		return GCL_ACCESS_READ;
	return GCL_ACCESS_WRITE;
}

void gcl_arg_describe(struct gcl_arena *arena, cl_kernel kernel, cl_uint index, Gcl__ArgInfo *info)
{
	cl_kernel_arg_type_qualifier type_qualifier = 0;
	char *name, *type_name;
	size_t length;

	info->kind = gcl_arg_kind(kernel, index);
	if (info->kind == GCL_ARG_UNKNOWN)
		return;
	clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof info->address,
			   &info->address, NULL);
	clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ACCESS_QUALIFIER, sizeof info->access,
			   &info->access, NULL);
	clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_QUALIFIER, sizeof type_qualifier,
			   &type_qualifier, NULL);
	info->type_qualifier = type_qualifier;
	type_name = GCL_INFO_BYTES(arena, &length, clGetKernelArgInfo, kernel, index,
				   CL_KERNEL_ARG_TYPE_NAME);
	name = GCL_INFO_BYTES(arena, &length, clGetKernelArgInfo, kernel, index,
			      CL_KERNEL_ARG_NAME);
	if (type_name)
		info->type_name = type_name;
	if (name)
		info->name = name;
	info->has_info = type_name && name;
	if (info->kind == GCL_ARG_VALUE && type_name)
		info->size = gcl_type_size(type_name);
}
