/*
 * Image formats: how large a pixel is, which ones there may be, which ones a context has.
 */
#include "memory.h"

#include <stdlib.h>

/* Of newer versions: their runtimes list such formats for every program. */
#define ORDER_SRGB		0x10BF
#define ORDER_SRGBX		0x10C0
#define ORDER_SRGBA		0x10C1
#define ORDER_SBGRA		0x10C2
#define ORDER_ABGR		0x10C3
#define TYPE_UNORM_INT_101010_2 0x10E0

#define BIT(type) (1u << ((type)-CL_SNORM_INT8))

#define NORMALIZED                                                                                 \
	(BIT(CL_SNORM_INT8) | BIT(CL_SNORM_INT16) | BIT(CL_UNORM_INT8) | BIT(CL_UNORM_INT16))
#define FLOATS (BIT(CL_HALF_FLOAT) | BIT(CL_FLOAT))
#define INTEGERS                                                                                   \
	(BIT(CL_SIGNED_INT8) | BIT(CL_SIGNED_INT16) | BIT(CL_SIGNED_INT32) |                       \
	 BIT(CL_UNSIGNED_INT8) | BIT(CL_UNSIGNED_INT16) | BIT(CL_UNSIGNED_INT32))
#define BYTES                                                                                      \
	(BIT(CL_SNORM_INT8) | BIT(CL_UNORM_INT8) | BIT(CL_SIGNED_INT8) | BIT(CL_UNSIGNED_INT8))
#define ANY    (NORMALIZED | FLOATS | INTEGERS)
#define PACKED (BIT(CL_UNORM_SHORT_565) | BIT(CL_UNORM_SHORT_555) | BIT(CL_UNORM_INT_101010))
#define SRGB   BIT(CL_UNORM_INT8)

/* Which channel types go with an order: tables 5.6 and 5.7 of the specification. */
static const struct {
	cl_channel_order order;
	unsigned channels;
	unsigned types;
} orders[] = {
	{CL_R, 1, ANY},
	{CL_A, 1, ANY},
	{CL_RG, 2, ANY},
	{CL_RA, 2, ANY},
	{CL_RGB, 3, PACKED},
	{CL_RGBA, 4, ANY | BIT(TYPE_UNORM_INT_101010_2)},
	{CL_BGRA, 4, BYTES},
	{CL_ARGB, 4, BYTES},
	{CL_INTENSITY, 1, NORMALIZED | FLOATS},
	{CL_LUMINANCE, 1, NORMALIZED | FLOATS},
	{CL_Rx, 1, ANY},
	{CL_RGx, 2, ANY},
	{CL_RGBx, 3, PACKED},
	{CL_DEPTH, 1, BIT(CL_UNORM_INT16) | BIT(CL_FLOAT)},
	{ORDER_SRGB, 3, SRGB},
	{ORDER_SRGBX, 4, SRGB},
	{ORDER_SRGBA, 4, SRGB},
	{ORDER_SBGRA, 4, SRGB},
	{ORDER_ABGR, 4, BYTES},
};

/* Bytes of a channel, or of a pixel where channels are packed. */
static const struct {
	cl_channel_type type;
	unsigned bytes;
	bool packed;
} types[] = {
	{CL_SNORM_INT8, 1, false},	{CL_SNORM_INT16, 2, false},
	{CL_UNORM_INT8, 1, false},	{CL_UNORM_INT16, 2, false},
	{CL_UNORM_SHORT_565, 2, true},	{CL_UNORM_SHORT_555, 2, true},
	{CL_UNORM_INT_101010, 4, true}, {TYPE_UNORM_INT_101010_2, 4, true},
	{CL_SIGNED_INT8, 1, false},	{CL_SIGNED_INT16, 2, false},
	{CL_SIGNED_INT32, 4, false},	{CL_UNSIGNED_INT8, 1, false},
	{CL_UNSIGNED_INT16, 2, false},	{CL_UNSIGNED_INT32, 4, false},
	{CL_HALF_FLOAT, 2, false},	{CL_FLOAT, 4, false},
};

size_t gcl_image_element_size(const cl_image_format *format)
{
	size_t order = 0, type = 0;

	while (order < GCL_ARRAY_SIZE(orders) && orders[order].order != format->image_channel_order)
		order++;
	while (type < GCL_ARRAY_SIZE(types) && types[type].type != format->image_channel_data_type)
		type++;
	if (order == GCL_ARRAY_SIZE(orders) || type == GCL_ARRAY_SIZE(types) ||
	    !(orders[order].types & BIT(types[type].type)))
		return 0;
	return types[type].packed ? types[type].bytes : types[type].bytes * orders[order].channels;
}

/* ------------------------------------------------------------ what a context has */

/* The formats that a device has for images of @type that kernels access as @flags say. */
static const Gcl__ImageFormats *device_formats(const struct _cl_device_id *device,
					       cl_mem_object_type type, cl_mem_flags flags)
{
	for (size_t i = 0; i < device->host->n_formats; i++) {
		const Gcl__ImageFormats *formats = device->host->formats[i];

		if (formats->type == type && formats->flags == flags)
			return formats;
	}
	return NULL;
}

static bool device_has_format(const struct _cl_device_id *device, cl_mem_object_type type,
			      cl_mem_flags flags, const cl_image_format *format)
{
	const Gcl__ImageFormats *formats = device_formats(device, type, flags);

	for (size_t at = 0; formats && at + sizeof *format <= formats->formats.len;
	     at += sizeof *format)
		if (!memcmp(formats->formats.data + at, format, sizeof *format))
			return true;
	return false;
}

static bool context_has_format(const struct _cl_context *context, cl_mem_object_type type,
			       cl_mem_flags flags, const cl_image_format *format)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (context->devices[i]->image_support &&
		    !device_has_format(context->devices[i], type, flags, format))
			return false;
	return gcl_image_element_size(format) != 0;
}

static cl_mem_flags access_of(cl_mem_flags flags)
{
	flags &= GCL_MEM_ACCESS_FLAGS | CL_MEM_KERNEL_READ_AND_WRITE;
	return flags ? flags : CL_MEM_READ_WRITE;
}

bool gcl_image_supported(const struct _cl_context *context)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (context->devices[i]->image_support)
			return true;
	return false;
}

bool gcl_image_format_supported(const struct _cl_context *context, cl_mem_object_type type,
				cl_mem_flags flags, const cl_image_format *format)
{
	return gcl_image_supported(context) &&
	       context_has_format(context, type, access_of(flags), format);
}

static const struct _cl_device_id *first_with_images(const struct _cl_context *context)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (context->devices[i]->image_support)
			return context->devices[i];
	return NULL;
}

/* The first device's formats that the others have too. Return: how many there are. */
static cl_uint formats_list(const struct _cl_context *context, cl_mem_object_type type,
			    cl_mem_flags flags, cl_uint room, cl_image_format *out)
{
	const struct _cl_device_id *first = first_with_images(context);
	const Gcl__ImageFormats *formats = first ? device_formats(first, type, flags) : NULL;
	cl_uint count = 0;

	for (size_t at = 0; formats && at + sizeof *out <= formats->formats.len;
	     at += sizeof *out) {
		cl_image_format format;

		memcpy(&format, formats->formats.data + at, sizeof format);
		if (!context_has_format(context, type, flags, &format))
			continue;
		if (out && count < room)
			out[count] = format;
		count++;
	}
	return count;
}

CL_API_ENTRY cl_int CL_API_CALL clGetSupportedImageFormats(cl_context context, cl_mem_flags flags,
							   cl_mem_object_type type, cl_uint room,
							   cl_image_format *formats,
							   cl_uint *count_ret)
{
	cl_uint count;

	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	/* Only this call knows the kernel's access: images are made READ_WRITE for that. */
	REFUSE_IF(flags != CL_MEM_KERNEL_READ_AND_WRITE && !gcl_mem_flags_valid(flags),
		  CL_INVALID_VALUE);
	REFUSE_IF(!gcl_image_type_valid(type), CL_INVALID_VALUE);
	REFUSE_IF(room == 0 && formats, CL_INVALID_VALUE);
	count = formats_list(context, type, access_of(flags), room, formats);
	if (count_ret)
		*count_ret = count;
	return CL_SUCCESS;
}
