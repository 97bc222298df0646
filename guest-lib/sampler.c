/*
 * Samplers.
 */
#include "memory.h"

static bool addressing_valid(cl_addressing_mode mode, cl_bool normalized)
{
	switch (mode) {
	case CL_ADDRESS_NONE:
	case CL_ADDRESS_CLAMP_TO_EDGE:
	case CL_ADDRESS_CLAMP:
		return true;
	case CL_ADDRESS_REPEAT:
	case CL_ADDRESS_MIRRORED_REPEAT:
		return normalized;
	default:
		return false;
	}
}

static void sampler_free(cl_sampler sampler)
{
	gcl_context_put(sampler->context);
	gcl_object_free(sampler);
}

static cl_int sampler_create(cl_sampler sampler)
{
	Gcl__SamplerCreate message = GCL__SAMPLER_CREATE__INIT;

	message.id = sampler->base.id;
	message.context = sampler->context->base.id;
	message.normalized = sampler->normalized;
	message.addressing = sampler->addressing;
	message.filter = sampler->filter;
	return gcl_post(sampler->base.session, GCL_SAMPLER_CREATE, &message.base);
}

/* What a sampler is created with. */
struct wanted {
	cl_sampler_properties normalized, addressing, filter;
	const cl_sampler_properties *list; /* or NULL */
	size_t list_size;		   /* in bytes, with the final 0 */
};

static cl_int wanted_check(cl_context context, const struct wanted *wanted)
{
	REFUSE_IF(wanted->normalized != CL_TRUE && wanted->normalized != CL_FALSE,
		  CL_INVALID_VALUE);
	REFUSE_IF(!addressing_valid((cl_addressing_mode)wanted->addressing,
				    (cl_bool)wanted->normalized),
		  CL_INVALID_VALUE);
	REFUSE_IF(wanted->filter != CL_FILTER_NEAREST && wanted->filter != CL_FILTER_LINEAR,
		  CL_INVALID_VALUE);
	REFUSE_IF(!gcl_image_supported(context), CL_INVALID_OPERATION);
	return CL_SUCCESS;
}

/* The context was checked. */
static cl_sampler sampler_make(cl_context context, const struct wanted *wanted, cl_int *errcode_ret)
{
	cl_sampler sampler;
	cl_int status = wanted_check(context, wanted);

	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	sampler = gcl_object_new(GCL_KIND_SAMPLER, context->base.session);
	REFUSE_NULL_IF(!sampler, CL_OUT_OF_HOST_MEMORY);
	gcl_object_get(context);
	sampler->context = context;
	sampler->normalized = (cl_bool)wanted->normalized;
	sampler->addressing = (cl_addressing_mode)wanted->addressing;
	sampler->filter = (cl_filter_mode)wanted->filter;
	if (wanted->list)
		memcpy(sampler->list, wanted->list, wanted->list_size);
	sampler->list_size = wanted->list_size;
	status = sampler_create(sampler);
	if (status != CL_SUCCESS)
		sampler_free(sampler);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	gcl_set_error(errcode_ret, CL_SUCCESS);
	return sampler;
}

CL_API_ENTRY cl_sampler CL_API_CALL clCreateSampler(cl_context context, cl_bool normalized,
						    cl_addressing_mode addressing,
						    cl_filter_mode filter, cl_int *errcode_ret)
{
	const struct wanted wanted = {normalized, addressing, filter, NULL, 0};

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	return sampler_make(context, &wanted, errcode_ret);
}

static cl_int list_get(const cl_sampler_properties *list, struct wanted *wanted)
{
	size_t i;

	*wanted = (struct wanted){CL_TRUE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, list, 0};
	if (!list)
		return CL_SUCCESS;
	for (i = 0; list[i]; i += 2) {
		for (size_t j = 0; j < i; j += 2)
			REFUSE_IF(list[j] == list[i], CL_INVALID_VALUE);
		switch (list[i]) {
		case CL_SAMPLER_NORMALIZED_COORDS:
			wanted->normalized = list[i + 1];
			break;
		case CL_SAMPLER_ADDRESSING_MODE:
			wanted->addressing = list[i + 1];
			break;
		case CL_SAMPLER_FILTER_MODE:
			wanted->filter = list[i + 1];
			break;
		default:
			REFUSE_IF(true, CL_INVALID_VALUE);
		}
	}
	wanted->list_size = (i + 1) * sizeof *list;
	return CL_SUCCESS;
}

CL_API_ENTRY cl_sampler CL_API_CALL clCreateSamplerWithProperties(
	cl_context context, const cl_sampler_properties *properties, cl_int *errcode_ret)
{
	struct wanted wanted;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	status = list_get(properties, &wanted);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	return sampler_make(context, &wanted, errcode_ret);
}

CL_API_ENTRY cl_int CL_API_CALL clRetainSampler(cl_sampler sampler)
{
	REFUSE_IF(!gcl_valid(sampler, GCL_KIND_SAMPLER), CL_INVALID_SAMPLER);
	gcl_object_get(sampler);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clReleaseSampler(cl_sampler sampler)
{
	REFUSE_IF(!gcl_valid(sampler, GCL_KIND_SAMPLER), CL_INVALID_SAMPLER);
	if (!gcl_object_put(sampler))
		return CL_SUCCESS;
	gcl_post_release(sampler->base.session, sampler->base.id);
	sampler_free(sampler);
	return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL clGetSamplerInfo(cl_sampler sampler, cl_sampler_info param_name,
						 size_t param_value_size, void *param_value,
						 size_t *param_value_size_ret)
{
	REFUSE_IF(!gcl_valid(sampler, GCL_KIND_SAMPLER), CL_INVALID_SAMPLER);
	switch (param_name) {
	case CL_SAMPLER_REFERENCE_COUNT:
		GCL_INFO_VALUE(cl_uint, sampler->base.refs);
	case CL_SAMPLER_CONTEXT:
		GCL_INFO_VALUE(cl_context, sampler->context);
	case CL_SAMPLER_NORMALIZED_COORDS:
		GCL_INFO_VALUE(cl_bool, sampler->normalized);
	case CL_SAMPLER_ADDRESSING_MODE:
		GCL_INFO_VALUE(cl_addressing_mode, sampler->addressing);
	case CL_SAMPLER_FILTER_MODE:
		GCL_INFO_VALUE(cl_filter_mode, sampler->filter);
	case CL_SAMPLER_PROPERTIES:
		return gcl_info(sampler->list, sampler->list_size, param_value_size, param_value,
				param_value_size_ret);
	default:
		return CL_INVALID_VALUE;
	}
}
