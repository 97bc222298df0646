/*
 * Build, compile and link: one question to the host each, waited for here or answered by a
 * callback.
 *
 * The call that started a build owns program->building until the answer is taken in.
 */
#include <stdlib.h>

#include "guest.h"
#include "include.h"
#include "program.h"

typedef void(CL_CALLBACK *gcl_build_notify)(cl_program program, void *data);

/* A build under way with a callback. */
struct build_job {
	struct gcl_request request;
	cl_program program;
	cl_uint device_count;
	cl_device_id *devices; /* that it builds for */
	char *options;
	gcl_build_notify notify;
	void *data;
};

/* ------------------------------------------------------------ taking the answer in */

/* Arguments are numbered through all kernels: the kernel's first is the count of those before. */
static struct gcl_build *build_create(Gcl__BuildAnswer *answer)
{
	struct gcl_build *build = calloc(1, sizeof *build);
	size_t args = 0;

	if (!build)
		return NULL;
	for (size_t i = 0; i < answer->n_kernels; i++)
		args += answer->kernels[i]->n_args;
	build->probes = calloc(args + 1, sizeof *build->probes);
	if (!build->probes) {
		free(build);
		return NULL;
	}
	atomic_init(&build->refs, 1);
	build->answer = answer;
	return build;
}

static void device_answer_locked(cl_program program, const Gcl__ProgramDevice *told)
{
	for (cl_uint i = 0; i < program->device_count; i++) {
		struct gcl_program_device *built = &program->per_device[i];

		if (program->devices[i]->host->id != told->device)
			continue;
		built->status = told->build_status;
		built->binary_type = told->binary_type;
		built->variables_size = told->variables_size;
		built->executable = told->build_status == CL_BUILD_SUCCESS &&
				    (told->binary_type == CL_PROGRAM_BINARY_TYPE_EXECUTABLE ||
				     told->binary_type == CL_PROGRAM_BINARY_TYPE_NONE);
		free(built->log);
		built->log = told->log.len ? strndup((char *)told->log.data, told->log.len) : NULL;
	}
}

void gcl_program_answer(cl_program program, Gcl__BuildAnswer *answer, const char *options)
{
	struct gcl_build *old = NULL;

	pthread_mutex_lock(&program->lock);
	for (size_t i = 0; i < answer->n_devices; i++)
		device_answer_locked(program, answer->devices[i]);
	for (cl_uint i = 0; options && i < program->device_count; i++)
		if (program->per_device[i].status == CL_BUILD_IN_PROGRESS)
			program->per_device[i].status = CL_BUILD_ERROR;
	gcl_binaries_drop_locked(program);
	if (answer->status == CL_SUCCESS) {
		struct gcl_build *build = build_create(answer);

		old = program->build;
		program->build = build;
		if (!build)
			gcl__build_answer__free_unpacked(answer, NULL);
	} else {
		gcl__build_answer__free_unpacked(answer, NULL);
	}
	program->building = false;
	pthread_mutex_unlock(&program->lock);
	gcl_build_put(old);
}

/* The host is gone: nothing is being built any more. */
static void build_abandon(cl_program program)
{
	pthread_mutex_lock(&program->lock);
	for (cl_uint i = 0; i < program->device_count; i++)
		if (program->per_device[i].status == CL_BUILD_IN_PROGRESS)
			program->per_device[i].status = CL_BUILD_ERROR;
	program->building = false;
	pthread_mutex_unlock(&program->lock);
}

/* Return: what the host's call returned. */
static cl_int answer_take(cl_program program, ProtobufCMessage *reply, const char *options)
{
	Gcl__BuildAnswer *answer = (Gcl__BuildAnswer *)reply;
	cl_int status;

	if (!answer) {
		build_abandon(program);
		return CL_DEVICE_NOT_AVAILABLE;
	}
	status = answer->status;
	gcl_program_answer(program, answer, options);
	return status;
}

/* ------------------------------------------------------------ asking, with and without a callback
 */

static void job_free(struct build_job *job)
{
	free(job->options);
	free(job);
}

/* On the notifier thread. */
static void job_finish(void *arg)
{
	struct build_job *job = arg;
	struct gcl_session *session = job->program->base.session;

	answer_take(job->program, job->request.answer, job->options);
	job->notify(job->program, job->data);
	gcl_program_put(job->program);
	gcl_notifier_disarm(session);
	job_free(job);
}

static void job_answered(struct gcl_request *request)
{
	struct build_job *job = gcl_container_of(request, struct build_job, request);

	if (gcl_notify(job->program->base.session, job_finish, job))
		gcl_log_error(build, "no memory to call the program's build callback");
}

static cl_int ask_later(cl_program program, enum gcl_message number,
			const ProtobufCMessage *message, const char *options,
			gcl_build_notify notify, void *data)
{
	struct gcl_session *session = program->base.session;
	struct build_job *job = calloc(1, sizeof *job);
	cl_int status;

	if (job)
		job->options = strdup(options);
	if (!job || !job->options) {
		free(job);
		build_abandon(program);
		return CL_OUT_OF_HOST_MEMORY;
	}
	gcl_object_get(program);
	job->program = program;
	job->notify = notify;
	job->data = data;
	job->request.on_done = job_answered;
	gcl_notifier_arm(session);
	status = gcl_request_post(session, number, message, GCL_ANSWER_BUILD, &job->request);
	if (status != CL_SUCCESS) {
		gcl_notifier_disarm(session);
		build_abandon(program);
		gcl_program_put(program);
		job_free(job);
	}
	return status;
}

static cl_int ask_now(cl_program program, enum gcl_message number, const ProtobufCMessage *message,
		      const char *options)
{
	ProtobufCMessage *reply = NULL;
	cl_int status = gcl_ask(program->base.session, number, message, GCL_ANSWER_BUILD, &reply);

	if (status != CL_SUCCESS) {
		build_abandon(program);
		return status;
	}
	return answer_take(program, reply, options);
}

static cl_int ask(cl_program program, enum gcl_message number, const ProtobufCMessage *message,
		  const char *options, gcl_build_notify notify, void *data)
{
	if (notify)
		return ask_later(program, number, message, options, notify, data);
	return ask_now(program, number, message, options);
}

/* ------------------------------------------------------------ build and compile */

static bool program_has_device(cl_program program, cl_device_id device)
{
	for (cl_uint i = 0; i < program->device_count; i++)
		if (program->devices[i] == device)
			return true;
	return false;
}

static cl_int build_list_check(cl_program program, cl_uint count, const cl_device_id *devices,
			       gcl_build_notify notify, const void *data)
{
	REFUSE_IF(!gcl_valid(program, GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
	REFUSE_IF((count == 0) != !devices, CL_INVALID_VALUE);
	REFUSE_IF(!notify && data, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++)
		REFUSE_IF(!gcl_valid(devices[i], GCL_KIND_DEVICE) ||
				  !program_has_device(program, devices[i]),
			  CL_INVALID_DEVICE);
	return CL_SUCCESS;
}

/* Takes program->building for the devices, and remembers the options. */
static cl_int build_begin(cl_program program, cl_uint count, const cl_device_id *devices,
			  const char *options)
{
	cl_int status = CL_SUCCESS;

	pthread_mutex_lock(&program->lock);
	if (program->building || program->kernels)
		status = CL_INVALID_OPERATION;
	for (cl_uint i = 0; status == CL_SUCCESS && i < program->device_count; i++) {
		struct gcl_program_device *built = &program->per_device[i];
		bool wanted = count == 0;

		for (cl_uint j = 0; j < count; j++)
			wanted |= devices[j] == program->devices[i];
		if (!wanted)
			continue;
		built->status = CL_BUILD_IN_PROGRESS;
		built->executable = false;
		free(built->options);
		built->options = strdup(options);
		program->building = true;
	}
	pthread_mutex_unlock(&program->lock);
	return status;
}

/*
 * With the guest's headers in it, or without them again: the source that the host is to take for
 * what it has, or none. @text is what is to be freed. The caller owns program->building.
 */
static ProtobufCBinaryData build_source(cl_program program, const char *options, size_t count,
					const char *const *names, char **text)
{
	const char *source = *text = gcl_include(program->source, options, count, names);

	if (!source && program->included)
		source = program->source;
	program->included = *text;
	return (ProtobufCBinaryData){
		.len = source ? strlen(source) : 0,
		.data = (uint8_t *)(uintptr_t)source,
	};
}

cl_int CL_API_CALL clBuildProgram(cl_program program, cl_uint num_devices,
				  const cl_device_id *device_list, const char *options,
				  gcl_build_notify pfn_notify, void *user_data)
{
	Gcl__ProgramBuild message = GCL__PROGRAM_BUILD__INIT;
	_cleanup_free_ uint64_t *ids = NULL;
	_cleanup_free_ char *text = NULL;

	TRY(build_list_check(program, num_devices, device_list, pfn_notify, user_data));
	REFUSE_IF(program->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	if (num_devices == 0) {
		num_devices = program->device_count;
		device_list = program->devices;
	}
	options = options ? options : "";
	ids = gcl_device_ids(num_devices, device_list);
	REFUSE_IF(!ids, CL_OUT_OF_HOST_MEMORY);
	TRY(build_begin(program, num_devices, device_list, options));
	message.program = program->base.id;
	message.n_devices = num_devices;
	message.devices = ids;
	message.options = (char *)(uintptr_t)options;
	message.source = build_source(program, options, 0, NULL, &text);
	return ask(program, GCL_PROGRAM_BUILD, &message.base, options, pfn_notify, user_data);
}

static cl_int headers_check(cl_uint count, const cl_program *headers, const char **names)
{
	REFUSE_IF(count == 0 && (headers || names), CL_INVALID_VALUE);
	REFUSE_IF(count != 0 && (!headers || !names), CL_INVALID_VALUE);
	for (cl_uint i = 0; i < count; i++) {
		REFUSE_IF(!gcl_valid(headers[i], GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
		REFUSE_IF(!names[i], CL_INVALID_VALUE);
	}
	return CL_SUCCESS;
}

cl_int CL_API_CALL clCompileProgram(cl_program program, cl_uint num_devices,
				    const cl_device_id *device_list, const char *options,
				    cl_uint num_input_headers, const cl_program *input_headers,
				    const char **header_include_names, gcl_build_notify pfn_notify,
				    void *user_data)
{
	Gcl__ProgramCompile message = GCL__PROGRAM_COMPILE__INIT;
	_cleanup_free_ uint64_t *header_ids = NULL;
	_cleanup_free_ uint64_t *ids = NULL;
	_cleanup_free_ char *text = NULL;

	TRY(build_list_check(program, num_devices, device_list, pfn_notify, user_data));
	TRY(headers_check(num_input_headers, input_headers, header_include_names));
	REFUSE_IF(!program->source && !program->il, CL_INVALID_OPERATION);
	REFUSE_IF(program->base.session->lost, CL_DEVICE_NOT_AVAILABLE);
	if (num_devices == 0) {
		num_devices = program->device_count;
		device_list = program->devices;
	}
	options = options ? options : "";
	ids = gcl_device_ids(num_devices, device_list);
	header_ids = calloc(num_input_headers + 1, sizeof *header_ids);
	REFUSE_IF(!ids || !header_ids, CL_OUT_OF_HOST_MEMORY);
	for (cl_uint i = 0; i < num_input_headers; i++)
		header_ids[i] = input_headers[i]->base.id;
	TRY(build_begin(program, num_devices, device_list, options));
	message.program = program->base.id;
	message.n_devices = num_devices;
	message.devices = ids;
	message.options = (char *)(uintptr_t)options;
	message.n_headers = num_input_headers;
	message.headers = header_ids;
	message.n_header_names = num_input_headers;
	message.header_names = (char **)(uintptr_t)header_include_names;
	message.source =
		build_source(program, options, num_input_headers, header_include_names, &text);
	return ask(program, GCL_PROGRAM_COMPILE, &message.base, options, pfn_notify, user_data);
}

/* ------------------------------------------------------------ link */

static cl_int link_check(cl_context context, cl_uint device_count, const cl_device_id *devices,
			 cl_uint input_count, const cl_program *inputs, gcl_build_notify notify,
			 const void *data)
{
	REFUSE_IF(!gcl_valid(context, GCL_KIND_CONTEXT), CL_INVALID_CONTEXT);
	REFUSE_IF((device_count == 0) != !devices, CL_INVALID_VALUE);
	REFUSE_IF(input_count == 0 || !inputs, CL_INVALID_VALUE);
	for (cl_uint i = 0; i < input_count; i++) {
		REFUSE_IF(!gcl_valid(inputs[i], GCL_KIND_PROGRAM), CL_INVALID_PROGRAM);
		REFUSE_IF(inputs[i]->context != context, CL_INVALID_PROGRAM);
	}
	REFUSE_IF(!notify && data, CL_INVALID_VALUE);
	if (device_count)
		TRY(gcl_devices_check(context, device_count, devices));
	return CL_SUCCESS;
}

/* Waits for the link; with a callback the wait is the same, and the callback comes after it. */
static cl_int link_ask(cl_program program, const Gcl__ProgramLink *message, const char *options,
		       bool *exists)
{
	ProtobufCMessage *reply = NULL;
	cl_int status = gcl_ask(program->base.session, GCL_PROGRAM_LINK, &message->base,
				GCL_ANSWER_BUILD, &reply);

	*exists = false;
	if (status != CL_SUCCESS)
		return status;
	*exists = ((Gcl__BuildAnswer *)reply)->exists;
	return answer_take(program, reply, options);
}

struct link_notice {
	gcl_build_notify notify;
	cl_program program;
	void *data;
};

static void link_notify(void *arg)
{
	struct link_notice *notice = arg;
	struct gcl_session *session = notice->program->base.session;

	notice->notify(notice->program, notice->data);
	gcl_program_put(notice->program);
	gcl_notifier_disarm(session);
	free(notice);
}

static cl_int link_notify_later(cl_program program, gcl_build_notify notify, void *data)
{
	struct link_notice *notice = malloc(sizeof *notice);

	REFUSE_IF(!notice, CL_OUT_OF_HOST_MEMORY);
	*notice = (struct link_notice){notify, program, data};
	gcl_object_get(program);
	gcl_notifier_arm(program->base.session);
	if (gcl_notify(program->base.session, link_notify, notice) == 0)
		return CL_SUCCESS;
	gcl_notifier_disarm(program->base.session);
	gcl_program_put(program);
	free(notice);
	return CL_OUT_OF_HOST_MEMORY;
}

cl_program CL_API_CALL clLinkProgram(cl_context context, cl_uint num_devices,
				     const cl_device_id *device_list, const char *options,
				     cl_uint num_input_programs, const cl_program *input_programs,
				     gcl_build_notify pfn_notify, void *user_data,
				     cl_int *errcode_ret)
{
	Gcl__ProgramLink message = GCL__PROGRAM_LINK__INIT;
	_cleanup_free_ uint64_t *inputs = NULL;
	_cleanup_free_ uint64_t *ids = NULL;
	cl_program program;
	bool exists;
	cl_int status = link_check(context, num_devices, device_list, num_input_programs,
				   input_programs, pfn_notify, user_data);

	REFUSE_NULL_IF(status != CL_SUCCESS, status);
	if (num_devices == 0) {
		num_devices = context->device_count;
		device_list = context->devices;
	}
	ids = gcl_device_ids(num_devices, device_list);
	inputs = calloc(num_input_programs, sizeof *inputs);
	program = ids && inputs ? gcl_program_new(context, num_devices, device_list) : NULL;
	REFUSE_NULL_IF(!program, CL_OUT_OF_HOST_MEMORY);
	for (cl_uint i = 0; i < num_input_programs; i++)
		inputs[i] = input_programs[i]->base.id;
	options = options ? options : "";
	program->origin = GCL_PROGRAM_LINKED;
	build_begin(program, num_devices, device_list, options);
	message.id = program->base.id;
	message.context = context->base.id;
	message.n_devices = num_devices;
	message.devices = ids;
	message.options = (char *)(uintptr_t)options;
	message.n_inputs = num_input_programs;
	message.inputs = inputs;
	status = link_ask(program, &message, options, &exists);
	if (exists && pfn_notify && link_notify_later(program, pfn_notify, user_data) != CL_SUCCESS)
		status = CL_OUT_OF_HOST_MEMORY;
	if (errcode_ret)
		*errcode_ret = status;
	if (exists)
		return program;
	gcl_program_put(program);
	return NULL;
}
