/*
 * Sub-groups: what clGetKernelSubGroupInfo tells depends on sizes that only the call knows, so the
 * host is asked each time.
 */
#include "guest.h"
#include "kernel.h"

#define DIMS_MAX 3u

/* How many sizes a query takes and gives. */
struct shape {
	size_t inputs_least, inputs_most;
	size_t outputs;
};

/* @output_size: of the caller's room, which says how many dimensions it wants to know. */
static bool shape_get(cl_kernel_sub_group_info name, size_t output_size, struct shape *shape)
{
	switch (name) {
	case CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE:
	case CL_KERNEL_SUB_GROUP_COUNT_FOR_NDRANGE:
		*shape = (struct shape){1, DIMS_MAX, 1};
		return true;
	case CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT:
		*shape = (struct shape){1, 1, output_size / sizeof(size_t)};
		return shape->outputs >= 1 && shape->outputs <= DIMS_MAX;
	case CL_KERNEL_MAX_NUM_SUB_GROUPS:
	case CL_KERNEL_COMPILE_NUM_SUB_GROUPS:
		*shape = (struct shape){0, 0, 1};
		return true;
	default:
		return false;
	}
}

static bool device_has_sub_groups(const struct _cl_device_id *device)
{
	cl_uint most = 0;

	return clGetDeviceInfo((cl_device_id)(uintptr_t)device, CL_DEVICE_MAX_NUM_SUB_GROUPS,
			       sizeof most, &most, NULL) == CL_SUCCESS &&
	       most;
}

/* The kernel's only device where none is named; NULL: it isn't one of the kernel's. */
static cl_device_id device_get(const struct _cl_kernel *kernel, cl_device_id device)
{
	const struct _cl_program *program = kernel->program;

	for (cl_uint i = 0; i < program->device_count; i++)
		if ((!device && kernel->info->n_devices == 1) || program->devices[i] == device)
			if (gcl_kernel_device(kernel, program->devices[i]))
				return program->devices[i];
	return NULL;
}

cl_int gcl_sizes_take(ProtobufCMessage *reply, size_t count, size_t *sizes)
{
	const Gcl__SizesAnswer *answer = (const Gcl__SizesAnswer *)reply;
	cl_int status = answer->status;

	if (status == CL_SUCCESS && answer->n_outputs != count)
		status = CL_OUT_OF_RESOURCES;
	for (size_t i = 0; status == CL_SUCCESS && i < count; i++)
		sizes[i] = answer->outputs[i];
	protobuf_c_message_free_unpacked(reply, NULL);
	return status;
}

static cl_int sub_group_ask(cl_kernel kernel, const struct _cl_device_id *device,
			    cl_kernel_sub_group_info name, const struct shape *shape,
			    size_t input_count, const size_t *input, size_t *output)
{
	Gcl__SubGroupAsk message = GCL__SUB_GROUP_ASK__INIT;
	uint64_t inputs[DIMS_MAX];
	ProtobufCMessage *reply;

	for (size_t i = 0; i < input_count; i++)
		inputs[i] = input[i];
	message.kernel = kernel->base.id;
	message.device = device->base.id;
	message.name = name;
	message.n_inputs = input_count;
	message.inputs = inputs;
	message.outputs = (uint32_t)shape->outputs;
	TRY(gcl_ask(kernel->base.session, GCL_SUB_GROUP_ASK, &message.base, GCL_ANSWER_SIZES,
		    &reply));
	return gcl_sizes_take(reply, shape->outputs, output);
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device,
							cl_kernel_sub_group_info param_name,
							size_t input_value_size,
							const void *input_value,
							size_t param_value_size, void *param_value,
							size_t *param_value_size_ret)
{
	size_t input_count = input_value_size / sizeof(size_t);
	size_t output[DIMS_MAX] = {0};
	struct shape shape;

	REFUSE_IF(!gcl_valid(kernel, GCL_KIND_KERNEL), CL_INVALID_KERNEL);
	device = device_get(kernel, device);
	REFUSE_IF(!device, CL_INVALID_DEVICE);
	REFUSE_IF(!device_has_sub_groups(device), CL_INVALID_OPERATION);
	REFUSE_IF(!shape_get(param_name, param_value_size, &shape), CL_INVALID_VALUE);
	REFUSE_IF(shape.inputs_most &&
			  (!input_value || input_value_size % sizeof(size_t) ||
			   input_count < shape.inputs_least || input_count > shape.inputs_most),
		  CL_INVALID_VALUE);
	if (!shape.inputs_most)
		input_count = 0;
	TRY(sub_group_ask(kernel, device, param_name, &shape, input_count, input_value, output));
	return gcl_info(output, shape.outputs * sizeof *output, param_value_size, param_value,
			param_value_size_ret);
}

CL_API_ENTRY cl_int CL_API_CALL clGetKernelSubGroupInfoKHR(
	cl_kernel kernel, cl_device_id device, cl_kernel_sub_group_info param_name,
	size_t input_value_size, const void *input_value, size_t param_value_size,
	void *param_value, size_t *param_value_size_ret)
{
	return clGetKernelSubGroupInfo(kernel, device, param_name, input_value_size, input_value,
				       param_value_size, param_value, param_value_size_ret);
}
