/*
 * Programs in an intermediate language, and their constants.
 */
#include <stdlib.h>

#include "program.h"

/* Does some device take programs in an intermediate language? */
static bool il_offered(cl_uint count, const cl_device_id *devices)
{
	for (cl_uint i = 0; i < count; i++) {
		size_t size = 0;

		/* A list of none is a text with nothing but its end. */
		if (clGetDeviceInfo(devices[i], CL_DEVICE_IL_VERSION, 0, NULL, &size) ==
			    CL_SUCCESS &&
		    size > 1)
			return true;
	}
	return false;
}

static cl_program il_new(cl_context context, const void *il, size_t length)
{
	cl_program program = gcl_program_new(context, context->device_count, context->devices);

	if (!program)
		return NULL;
	program->origin = GCL_PROGRAM_IL;
	program->il = malloc(length);
	if (!program->il) {
		gcl_program_forget(program);
		return NULL;
	}
	memcpy(program->il, il, length);
	program->il_size = length;
	return program;
}

CL_API_ENTRY cl_program CL_API_CALL clCreateProgramWithIL(cl_context context, const void *il,
							  size_t length, cl_int *errcode_ret)
{
	Gcl__ProgramCreateIl message = GCL__PROGRAM_CREATE_IL__INIT;
	cl_program program;

	REFUSE_NULL_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_NULL_IF(!il_offered(context->device_count, context->devices), CL_INVALID_OPERATION);
	REFUSE_NULL_IF(!il || length == 0, CL_INVALID_VALUE);
	program = il_new(context, il, length);
	REFUSE_NULL_IF(!program, CL_OUT_OF_HOST_MEMORY);
	message.id = program->base.id;
	message.context = context->base.id;
	message.il.data = program->il;
	message.il.len = length;
	return gcl_program_ask(program, GCL_PROGRAM_CREATE_IL, &message.base, NULL, errcode_ret);
}

CL_API_ENTRY cl_int CL_API_CALL clSetProgramSpecializationConstant(cl_program program,
								   cl_uint spec_id, size_t size,
								   const void *value)
{
	Gcl__ProgramSpecialize message = GCL__PROGRAM_SPECIALIZE__INIT;
	ProtobufCMessage *reply;
	cl_int status;

	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	REFUSE_IF(!program->il, CL_INVALID_PROGRAM);
	REFUSE_IF(!il_offered(program->device_count, program->devices), CL_INVALID_OPERATION);
	REFUSE_IF(!value || size == 0 || size > GCL_INLINE_MAX, CL_INVALID_VALUE);
	message.program = program->base.id;
	message.constant = spec_id;
	message.value.data = (uint8_t *)(uintptr_t)value;
	message.value.len = size;
	TRY(gcl_ask(program->base.session, GCL_PROGRAM_SPECIALIZE, &message.base,
		    GCL_ANSWER_SPECIALIZE, &reply));
	status = ((const Gcl__SpecializeAnswer *)reply)->status;
	protobuf_c_message_free_unpacked(reply, NULL);
	return status;
}
