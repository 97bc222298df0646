/*
 * Images: creation, and how they lie in memory.
 *
 * A resident image lies in the heap with the pitches that the program is told, so that it is mapped
 * as it lies; others are on the device alone. One that shows a buffer has no memory of its own. The
 * layers of a 1D image array are counted as rows, as origins and regions do, though the pitch
 * between them is called slice pitch.
 */
#include "memory.h"

bool gcl_image_type_valid(cl_mem_object_type type)
{
	switch (type) {
	case CL_MEM_OBJECT_IMAGE1D:
	case CL_MEM_OBJECT_IMAGE1D_BUFFER:
	case CL_MEM_OBJECT_IMAGE1D_ARRAY:
	case CL_MEM_OBJECT_IMAGE2D:
	case CL_MEM_OBJECT_IMAGE2D_ARRAY:
	case CL_MEM_OBJECT_IMAGE3D:
		return true;
	default:
		return false;
	}
}

/* ------------------------------------------------------------ places */

/* In pixels, rows and slices. */
static void image_extent(const struct _cl_mem *image, size_t extent[3])
{
	extent[0] = image->width;
	extent[1] = image->height;
	extent[2] = 1;
	if (image->type == CL_MEM_OBJECT_IMAGE1D_ARRAY)
		extent[1] = image->array_size;
	else if (image->type == CL_MEM_OBJECT_IMAGE2D_ARRAY)
		extent[2] = image->array_size;
	else if (image->type == CL_MEM_OBJECT_IMAGE3D)
		extent[2] = image->depth;
	if (extent[1] == 0)
		extent[1] = 1;
}

void gcl_image_box_pitches(const struct _cl_mem *image, size_t *row_pitch, size_t *slice_pitch)
{
	size_t extent[3];

	image_extent(image, extent);
	*row_pitch =
		image->type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? image->slice_pitch : image->row_pitch;
	*slice_pitch = extent[2] > 1 ? image->slice_pitch : *row_pitch * extent[1];
}

bool gcl_image_region_valid(cl_mem image, const size_t *origin, const size_t *region)
{
	size_t extent[3];

	if (!origin || !region)
		return false;
	image_extent(image, extent);
	for (int i = 0; i < 3; i++)
		if (region[i] == 0 || !gcl_inside(origin[i], region[i], extent[i]))
			return false;
	return true;
}

/* ------------------------------------------------------------ limits */

static size_t device_limit(const struct _cl_device_id *device, cl_device_info name)
{
	const Gcl__Info *info = gcl_host_info(device->host->infos, device->host->n_infos, name);
	size_t value = 0;

	if (info && info->value.len == sizeof value)
		memcpy(&value, info->value.data, sizeof value);
	return value;
}

bool gcl_image_fits(const struct _cl_mem *image, const struct _cl_device_id *device)
{
	cl_device_info width = CL_DEVICE_IMAGE2D_MAX_WIDTH, height = CL_DEVICE_IMAGE2D_MAX_HEIGHT;

	if (image->type == CL_MEM_OBJECT_IMAGE1D_BUFFER)
		width = CL_DEVICE_IMAGE_MAX_BUFFER_SIZE;
	if (image->type == CL_MEM_OBJECT_IMAGE3D) {
		width = CL_DEVICE_IMAGE3D_MAX_WIDTH;
		height = CL_DEVICE_IMAGE3D_MAX_HEIGHT;
	}
	return image->width <= device_limit(device, width) &&
	       image->height <= device_limit(device, height) &&
	       image->depth <= device_limit(device, CL_DEVICE_IMAGE3D_MAX_DEPTH) &&
	       image->array_size <= device_limit(device, CL_DEVICE_IMAGE_MAX_ARRAY_SIZE);
}

static bool fits_some_device(const struct _cl_mem *image, const struct _cl_context *context)
{
	for (cl_uint i = 0; i < context->device_count; i++)
		if (context->devices[i]->image_support &&
		    gcl_image_fits(image, context->devices[i]))
			return true;
	return false;
}

/* ------------------------------------------------------------ creation */

/* Take from the description what the type has. Return: false when a size is missing. */
static bool sizes_get(const cl_image_desc *desc, struct _cl_mem *image)
{
	image->width = desc->image_width;
	switch (desc->image_type) {
	case CL_MEM_OBJECT_IMAGE1D_ARRAY:
		image->array_size = desc->image_array_size;
		return image->width && image->array_size;
	case CL_MEM_OBJECT_IMAGE2D:
		image->height = desc->image_height;
		return image->width && image->height;
	case CL_MEM_OBJECT_IMAGE2D_ARRAY:
		image->height = desc->image_height;
		image->array_size = desc->image_array_size;
		return image->width && image->height && image->array_size;
	case CL_MEM_OBJECT_IMAGE3D:
		image->height = desc->image_height;
		image->depth = desc->image_depth;
		return image->width && image->height && image->depth;
	default:
		return image->width;
	}
}

static bool type_has_slices(cl_mem_object_type type)
{
	return type == CL_MEM_OBJECT_IMAGE1D_ARRAY || type == CL_MEM_OBJECT_IMAGE2D_ARRAY ||
	       type == CL_MEM_OBJECT_IMAGE3D;
}

/* Pitches and size in bytes. Return: false for pitches that can't be. */
static bool pitches_get(const cl_image_desc *desc, bool host_ptr, struct _cl_mem *image)
{
	size_t rows = image->height ? image->height : 1;
	size_t slices = GCL_MAX(GCL_MAX(image->depth, image->array_size), 1);
	size_t dense;

	if (!host_ptr && (desc->image_row_pitch || desc->image_slice_pitch))
		return false;
	if (__builtin_mul_overflow(image->width, image->element_size, &dense))
		return false;
	image->row_pitch = desc->image_row_pitch ? desc->image_row_pitch : dense;
	if (image->row_pitch < dense || image->row_pitch % image->element_size ||
	    __builtin_mul_overflow(image->row_pitch, rows, &dense))
		return false;
	image->size = dense;
	if (!type_has_slices(desc->image_type))
		return true;
	image->slice_pitch = desc->image_slice_pitch ? desc->image_slice_pitch : dense;
	return image->slice_pitch >= dense && image->slice_pitch % image->row_pitch == 0 &&
	       !__builtin_mul_overflow(image->slice_pitch, slices, &image->size);
}

/* Does the description hold together, but for formats? Fills in @image. */
static cl_int desc_get(cl_context context, const cl_image_desc *desc, bool host_ptr,
		       struct _cl_mem *image)
{
	bool of_buffer = desc->image_type == CL_MEM_OBJECT_IMAGE1D_BUFFER;

	REFUSE_IF(!gcl_image_type_valid(desc->image_type), CL_INVALID_IMAGE_DESCRIPTOR);
	image->type = desc->image_type;
	REFUSE_IF(!sizes_get(desc, image), CL_INVALID_IMAGE_DESCRIPTOR);
	REFUSE_IF(desc->num_mip_levels || desc->num_samples, CL_INVALID_IMAGE_DESCRIPTOR);
	REFUSE_IF(of_buffer != (desc->buffer != NULL), CL_INVALID_IMAGE_DESCRIPTOR);
	REFUSE_IF(of_buffer && !gcl_mem_is_buffer(desc->buffer), CL_INVALID_IMAGE_DESCRIPTOR);
	REFUSE_IF(of_buffer && desc->buffer->context != context, CL_INVALID_CONTEXT);
	REFUSE_IF(!fits_some_device(image, context), CL_INVALID_IMAGE_SIZE);
	REFUSE_IF(!pitches_get(desc, host_ptr, image), CL_INVALID_IMAGE_DESCRIPTOR);
	REFUSE_IF(of_buffer && image->size > desc->buffer->size, CL_INVALID_IMAGE_DESCRIPTOR);
	image->parent = of_buffer ? desc->buffer : NULL;
	return CL_SUCCESS;
}

/* Everything that can be wrong. @image: filled in like an object, but isn't one. */
static cl_int image_check(cl_context context, cl_mem_flags flags, const cl_image_format *format,
			  const cl_image_desc *desc, const void *host_ptr, struct _cl_mem *image)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_IF(!gcl_mem_flags_valid(flags), CL_INVALID_VALUE);
	REFUSE_IF(!format, CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
	image->format = *format;
	image->element_size = gcl_image_element_size(format);
	REFUSE_IF(!image->element_size, CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
	REFUSE_IF(!desc, CL_INVALID_IMAGE_DESCRIPTOR);
	REFUSE_IF(!gcl_image_supported(context), CL_INVALID_OPERATION);
	TRY(desc_get(context, desc, host_ptr, image));
	REFUSE_IF(!gcl_mem_host_ptr_valid(flags, host_ptr), CL_INVALID_HOST_PTR);
	image->flags = flags;
	if (image->parent) {
		REFUSE_IF(!gcl_mem_sub_flags_valid(image->parent->flags, flags), CL_INVALID_VALUE);
		image->flags = gcl_mem_sub_flags(image->parent->flags, flags);
		REFUSE_IF(image->parent->base.failed, image->parent->base.failed);
	}
	REFUSE_IF(!gcl_image_format_supported(context, image->type, image->flags, format),
		  CL_IMAGE_FORMAT_NOT_SUPPORTED);
	REFUSE_IF(context->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	return CL_SUCCESS;
}

static cl_mem image_new(cl_context context, const struct _cl_mem *like)
{
	cl_mem image = gcl_mem_new(context, like->type, like->flags, like->parent);

	if (!image)
		return NULL;
	image->size = like->size;
	image->format = like->format;
	image->element_size = like->element_size;
	image->width = like->width;
	image->height = like->height;
	image->depth = like->depth;
	image->array_size = like->array_size;
	image->row_pitch = like->row_pitch;
	image->slice_pitch = like->slice_pitch;
	return image;
}

/* Copies the contents, densely, to a block that the host lets go of when the image is made. */
static cl_int contents_stage(cl_mem image, const void *contents, uint64_t *block, size_t *size)
{
	struct gcl_box from = {.bytes = (uint8_t *)contents}, to;
	size_t extent[3];

	image_extent(image, extent);
	extent[0] *= image->element_size;
	*size = extent[0] * extent[1] * extent[2];
	*block = gcl_block_alloc(image->base.session, *size, &to.bytes);
	REFUSE_IF(*block == GCL_HEAP_NONE, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	gcl_image_box_pitches(image, &from.row_pitch, &from.slice_pitch);
	to.row_pitch = extent[0];
	to.slice_pitch = extent[0] * extent[1];
	gcl_box_copy(&to, &from, extent);
	gcl_block_expect(image->base.session, image->base.id, *block, NULL);
	return CL_SUCCESS;
}

/*
 * The heap has it where the host works on it in place, contents and all. Otherwise, and where there
 * is no room, it is the host's alone.
 */
static void image_place(cl_mem image, const void *contents)
{
	struct gcl_session *session = image->base.session;
	struct gcl_box from = {.bytes = (uint8_t *)contents}, to;
	size_t extent[3];
	uint64_t block;

	if (image->parent || !image->context->resident || !session->welcome->resident_images ||
	    !gcl_block_keeps(session, image->size))
		return;
	block = gcl_block_alloc(session, image->size, &to.bytes);
	if (block == GCL_HEAP_NONE)
		return;
	image->resident = true;
	image->heap = to.bytes;
	image->heap_offset = block;
	if (!contents)
		return;
	image_extent(image, extent);
	extent[0] *= image->element_size;
	gcl_image_box_pitches(image, &from.row_pitch, &from.slice_pitch);
	to.row_pitch = from.row_pitch;
	to.slice_pitch = from.slice_pitch;
	gcl_box_copy(&to, &from, extent);
}

static cl_int image_create(cl_mem image, const void *contents)
{
	struct gcl_session *session = image->base.session;
	Gcl__ImageCreate message = GCL__IMAGE_CREATE__INIT;
	uint64_t block = 0;
	size_t size = 0;
	cl_int status;

	if (image->parent)
		TRY(gcl_mem_tell(image->parent));
	image_place(image, contents);
	if (contents && !image->resident)
		TRY(contents_stage(image, contents, &block, &size));
	message.id = image->base.id;
	message.context = image->context->base.id;
	message.flags = image->flags & ~(cl_mem_flags)GCL_MEM_HOST_PTR_FLAGS;
	message.channel_order = image->format.image_channel_order;
	message.channel_type = image->format.image_channel_data_type;
	message.type = image->type;
	message.width = image->width;
	message.height = image->height;
	message.depth = image->depth;
	message.array_size = image->array_size;
	message.buffer = image->parent ? image->parent->base.id : 0;
	message.resident = image->resident;
	if (image->resident) {
		message.heap_offset = image->heap_offset;
		gcl_image_box_pitches(image, &message.row_pitch, &message.slice_pitch);
	}
	status = gcl_post_payload(session, GCL_IMAGE_CREATE, &message.base, block, size, NULL);
	image->told = status == CL_SUCCESS;
	if (status != CL_SUCCESS && !image->resident)
		gcl_block_forget(session, image->base.id);
	return status;
}

static cl_int image_make(cl_context context, cl_mem_flags flags, const cl_image_format *format,
			 const cl_image_desc *desc, void *host_ptr, cl_mem *out)
{
	struct _cl_mem like = {0};
	cl_int status;
	cl_mem image;

	TRY(image_check(context, flags, format, desc, host_ptr, &like));
	image = image_new(context, &like);
	REFUSE_IF(!image, CL_OUT_OF_HOST_MEMORY);
	image->host_ptr = flags & CL_MEM_USE_HOST_PTR ? host_ptr : NULL;
	status = image_create(image, host_ptr);
	if (status == CL_SUCCESS)
		*out = image;
	else
		gcl_mem_abandon(image);
	return status;
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateImage(cl_context context, cl_mem_flags flags,
					      const cl_image_format *format,
					      const cl_image_desc *desc, void *host_ptr,
					      cl_int *errcode_ret)
{
	cl_mem image = NULL;
	cl_int status = image_make(context, flags, format, desc, host_ptr, &image);

	gcl_set_error(errcode_ret, status);
	return image;
}

/* Before 1.2 there were no descriptions; what is wrong with one was wrong with the size. */
static cl_mem image_make_old(cl_context context, cl_mem_flags flags, const cl_image_format *format,
			     const cl_image_desc *desc, void *host_ptr, cl_int *errcode_ret)
{
	cl_mem image = NULL;
	cl_int status = image_make(context, flags, format, desc, host_ptr, &image);

	if (status == CL_INVALID_IMAGE_DESCRIPTOR)
		status = CL_INVALID_IMAGE_SIZE;
	gcl_set_error(errcode_ret, status);
	return image;
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateImage2D(cl_context context, cl_mem_flags flags,
						const cl_image_format *format, size_t width,
						size_t height, size_t row_pitch, void *host_ptr,
						cl_int *errcode_ret)
{
	const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D,
				    .image_width = width,
				    .image_height = height,
				    .image_row_pitch = row_pitch};

	return image_make_old(context, flags, format, &desc, host_ptr, errcode_ret);
}

CL_API_ENTRY cl_mem CL_API_CALL clCreateImage3D(cl_context context, cl_mem_flags flags,
						const cl_image_format *format, size_t width,
						size_t height, size_t depth, size_t row_pitch,
						size_t slice_pitch, void *host_ptr,
						cl_int *errcode_ret)
{
	const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE3D,
				    .image_width = width,
				    .image_height = height,
				    .image_depth = depth,
				    .image_row_pitch = row_pitch,
				    .image_slice_pitch = slice_pitch};

	return image_make_old(context, flags, format, &desc, host_ptr, errcode_ret);
}

/* ------------------------------------------------------------ information */

CL_API_ENTRY cl_int CL_API_CALL clGetImageInfo(cl_mem image, cl_image_info param_name,
					       size_t param_value_size, void *param_value,
					       size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_mem_is_image(image), CL_INVALID_MEM_OBJECT);
	switch (param_name) {
	case CL_IMAGE_FORMAT:
		GCL_INFO_VALUE(cl_image_format, image->format);
	case CL_IMAGE_ELEMENT_SIZE:
		GCL_INFO_VALUE(size_t, image->element_size);
	case CL_IMAGE_ROW_PITCH:
		GCL_INFO_VALUE(size_t, image->row_pitch);
	case CL_IMAGE_SLICE_PITCH:
		GCL_INFO_VALUE(size_t, image->slice_pitch);
	case CL_IMAGE_WIDTH:
		GCL_INFO_VALUE(size_t, image->width);
	case CL_IMAGE_HEIGHT:
		GCL_INFO_VALUE(size_t, image->height);
	case CL_IMAGE_DEPTH:
		GCL_INFO_VALUE(size_t, image->depth);
	case CL_IMAGE_ARRAY_SIZE:
		GCL_INFO_VALUE(size_t, image->array_size);
	case CL_IMAGE_BUFFER:
		GCL_INFO_VALUE(cl_mem, image->parent);
	case CL_IMAGE_NUM_MIP_LEVELS:
		GCL_INFO_VALUE(cl_uint, image->mip_levels);
	case CL_IMAGE_NUM_SAMPLES:
		GCL_INFO_VALUE(cl_uint, image->samples);
	default:
		return CL_INVALID_VALUE;
	}
}
