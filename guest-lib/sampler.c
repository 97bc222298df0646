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

CL_API_ENTRY cl_sampler CL_API_CALL clCreateSampler(cl_context context, cl_bool normalized,
						    cl_addressing_mode addressing,
						    cl_filter_mode filter, cl_int *errcode_ret)
{
	cl_sampler sampler;
	cl_int status;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(normalized != CL_TRUE && normalized != CL_FALSE, CL_INVALID_VALUE);
	REFUSE_NULL_IF(!addressing_valid(addressing, normalized), CL_INVALID_VALUE);
	REFUSE_NULL_IF(filter != CL_FILTER_NEAREST && filter != CL_FILTER_LINEAR, CL_INVALID_VALUE);
	REFUSE_NULL_IF(!gcl_image_supported(context), CL_INVALID_OPERATION);
	sampler = gcl_object_new(GCL_KIND_SAMPLER, context->base.session);
	REFUSE_NULL_IF(!sampler, CL_OUT_OF_HOST_MEMORY);
	gcl_object_get(context);
	sampler->context = context;
	sampler->normalized = normalized;
	sampler->addressing = addressing;
	sampler->filter = filter;
	status = sampler_create(sampler);
	if (status != CL_SUCCESS)
		sampler_free(sampler);
	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	gcl_set_error(errcode_ret, CL_SUCCESS);
	return sampler;
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
	default:
		return CL_INVALID_VALUE;
	}
}
