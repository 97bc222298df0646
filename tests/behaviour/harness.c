/* SPDX-License-Identifier: MIT */
/*
 * The transcript of a behaviour program, and the objects most checks need.
 *
 * Standard output is line buffered so that what kernels print by printf stands between the checks
 * where it came out.
 */
#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* How much of the data is looked at, or made, at a time. */
#define BLOCK 4096u

#define TRANSCRIPT_CHECKS_MAX 4096
#define TRANSCRIPT_TEXTS_MAX  16384
#define INFO_VALUE_MAX	      16384

_Thread_local cl_int call_err;

static struct {
	const char *noun;
	char *names[TRANSCRIPT_CHECKS_MAX];
	unsigned count;
	unsigned wrong;
	bool repeated;
	/* What named() gave out. */
	char *texts[TRANSCRIPT_TEXTS_MAX];
	unsigned texts_count;
} transcript;

static const struct {
	cl_int code;
	const char *name;
} codes[] = {
#define CODE(code)                                                                                 \
	{                                                                                          \
		code, #code                                                                        \
	}
	CODE(CL_SUCCESS),
	CODE(CL_DEVICE_NOT_FOUND),
	CODE(CL_DEVICE_NOT_AVAILABLE),
	CODE(CL_COMPILER_NOT_AVAILABLE),
	CODE(CL_MEM_OBJECT_ALLOCATION_FAILURE),
	CODE(CL_OUT_OF_RESOURCES),
	CODE(CL_OUT_OF_HOST_MEMORY),
	CODE(CL_PROFILING_INFO_NOT_AVAILABLE),
	CODE(CL_MEM_COPY_OVERLAP),
	CODE(CL_IMAGE_FORMAT_MISMATCH),
	CODE(CL_IMAGE_FORMAT_NOT_SUPPORTED),
	CODE(CL_BUILD_PROGRAM_FAILURE),
	CODE(CL_MAP_FAILURE),
	CODE(CL_MISALIGNED_SUB_BUFFER_OFFSET),
	CODE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
	CODE(CL_COMPILE_PROGRAM_FAILURE),
	CODE(CL_LINKER_NOT_AVAILABLE),
	CODE(CL_LINK_PROGRAM_FAILURE),
	CODE(CL_DEVICE_PARTITION_FAILED),
	CODE(CL_KERNEL_ARG_INFO_NOT_AVAILABLE),
	CODE(CL_INVALID_VALUE),
	CODE(CL_INVALID_DEVICE_TYPE),
	CODE(CL_INVALID_PLATFORM),
	CODE(CL_INVALID_DEVICE),
	CODE(CL_INVALID_CONTEXT),
	CODE(CL_INVALID_QUEUE_PROPERTIES),
	CODE(CL_INVALID_COMMAND_QUEUE),
	CODE(CL_INVALID_HOST_PTR),
	CODE(CL_INVALID_MEM_OBJECT),
	CODE(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR),
	CODE(CL_INVALID_IMAGE_SIZE),
	CODE(CL_INVALID_SAMPLER),
	CODE(CL_INVALID_BINARY),
	CODE(CL_INVALID_BUILD_OPTIONS),
	CODE(CL_INVALID_PROGRAM),
	CODE(CL_INVALID_PROGRAM_EXECUTABLE),
	CODE(CL_INVALID_KERNEL_NAME),
	CODE(CL_INVALID_KERNEL_DEFINITION),
	CODE(CL_INVALID_KERNEL),
	CODE(CL_INVALID_ARG_INDEX),
	CODE(CL_INVALID_ARG_VALUE),
	CODE(CL_INVALID_ARG_SIZE),
	CODE(CL_INVALID_KERNEL_ARGS),
	CODE(CL_INVALID_WORK_DIMENSION),
	CODE(CL_INVALID_WORK_GROUP_SIZE),
	CODE(CL_INVALID_WORK_ITEM_SIZE),
	CODE(CL_INVALID_GLOBAL_OFFSET),
	CODE(CL_INVALID_EVENT_WAIT_LIST),
	CODE(CL_INVALID_EVENT),
	CODE(CL_INVALID_OPERATION),
	CODE(CL_INVALID_GL_OBJECT),
	CODE(CL_INVALID_BUFFER_SIZE),
	CODE(CL_INVALID_MIP_LEVEL),
	CODE(CL_INVALID_GLOBAL_WORK_SIZE),
	CODE(CL_INVALID_PROPERTY),
	CODE(CL_INVALID_IMAGE_DESCRIPTOR),
	CODE(CL_INVALID_COMPILER_OPTIONS),
	CODE(CL_INVALID_LINKER_OPTIONS),
	CODE(CL_INVALID_DEVICE_PARTITION_COUNT),
#undef CODE
};

const char *named(const char *format, ...)
{
	char *name = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&name, format, args) < 0 || transcript.texts_count == TRANSCRIPT_TEXTS_MAX)
		abort();
	va_end(args);
	transcript.texts[transcript.texts_count++] = name;
	return name;
}

const char *code_name(cl_int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return named("code %d", code);
}

const char *status_name(cl_int status)
{
	static const char *const names[] = {"CL_COMPLETE", "CL_RUNNING", "CL_SUBMITTED",
					    "CL_QUEUED"};

	if (status >= 0 && (size_t)status < ARRAY_SIZE(names))
		return names[status];
	return code_name(status);
}

void transcript_begin(const char *noun)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	transcript.noun = noun;
}

int transcript_end(void)
{
	printf("end: %u checks, %u with wrong arguments\n", transcript.count, transcript.wrong);
	for (unsigned i = 0; i < transcript.count; i++)
		free(transcript.names[i]);
	for (unsigned i = 0; i < transcript.texts_count; i++)
		free(transcript.texts[i]);
	return transcript.repeated ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void transcript_line(bool wrong, const char *name, const char *value)
{
	for (unsigned i = 0; i < transcript.count; i++)
		if (!strcmp(transcript.names[i], name)) {
			fprintf(stderr, "check '%s' is there twice\n", name);
			transcript.repeated = true;
		}
	if (transcript.count == TRANSCRIPT_CHECKS_MAX || strstr(name, ": ") ||
	    strstr(name, " | ") || strchr(value, '\n'))
		fatal(__FILE__, __LINE__, name, CL_SUCCESS);
	transcript.names[transcript.count++] = strdup(name);
	transcript.wrong += wrong;
	printf("%s%s.%s: %s\n", wrong ? "err " : "", transcript.noun, name, value);
}

void check_code(const char *name, cl_int code)
{
	transcript_line(false, name, code_name(code));
}

void check_status(const char *name, cl_int status)
{
	transcript_line(false, name, status_name(status));
}

void check_number(const char *name, unsigned long long value)
{
	transcript_line(false, name, named("%llu", value));
}

void check_text(const char *name, const char *value)
{
	transcript_line(false, name, value);
}

void check_yes(const char *name, bool value)
{
	transcript_line(false, name, value ? "yes" : "no");
}

void check_sum(const char *name, const void *data, size_t size)
{
	transcript_line(false, name, named("%016llx", (unsigned long long)sum(data, size)));
}

static void made_line(bool wrong, const char *name, bool made)
{
	const char *note = "";

	if (made != (call_err == CL_SUCCESS))
		note = made ? " with an object" : " without an object";
	transcript_line(wrong, name, named("%s%s", code_name(call_err), note));
}

void check_made(const char *name, bool made)
{
	made_line(false, name, made);
}

void wrong_code(const char *name, cl_int code)
{
	transcript_line(true, name, code_name(code));
}

void wrong_made(const char *name, bool made)
{
	made_line(true, name, made);
}

void wrong_text(const char *name, const char *value)
{
	transcript_line(true, name, value);
}

/* The data in pieces: with sanitizers a copy is looked at as a whole, not byte by byte. */
uint64_t sum(const void *data, size_t size)
{
	unsigned char block[BLOCK];
	uint64_t hash = 0;
	size_t count;

	for (size_t i = 0; i < size; i += count) {
		count = size - i < BLOCK ? size - i : BLOCK;
		memcpy(block, (const char *)data + i, count);
		hash = XXH3_64bits_withSeed(block, count, hash);
	}
	return hash;
}

/* Only its own memory. */
__attribute__((no_sanitize_thread)) static uint64_t block_fill(uint64_t *words, uint64_t state)
{
	for (size_t i = 0; i < BLOCK / sizeof *words; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		words[i] = state ^ state >> 33;
	}
	return state;
}

void pattern(void *data, size_t size, unsigned seed)
{
	uint64_t words[BLOCK / sizeof(uint64_t)], state = seed * 2654435761u + 1;
	size_t count;

	for (size_t i = 0; i < size; i += count) {
		count = size - i < BLOCK ? size - i : BLOCK;
		state = block_fill(words, state);
		memcpy((char *)data + i, words, count);
	}
}

void fatal(const char *file, int line, const char *what, cl_int code)
{
	fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, code_name(code));
	exit(2);
}

void fixture_open(struct fixture *fix)
{
	MUST(clGetPlatformIDs(1, &fix->platform, NULL));
	MUST(clGetDeviceIDs(fix->platform, CL_DEVICE_TYPE_ALL, 1, &fix->device, NULL));
	fix->context = MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	fix->queue = MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, 0, &call_err));
	fix->other = MUST_MAKE(clCreateContext(NULL, 1, &fix->device, NULL, NULL, &call_err));
	fix->other_queue = MUST_MAKE(clCreateCommandQueue(fix->other, fix->device, 0, &call_err));
}

void fixture_close(struct fixture *fix)
{
	clReleaseCommandQueue(fix->other_queue);
	clReleaseContext(fix->other);
	clReleaseCommandQueue(fix->queue);
	clReleaseContext(fix->context);
}

cl_program program_built(const struct fixture *fix, const char *source, const char *options)
{
	cl_program program =
		MUST_MAKE(clCreateProgramWithSource(fix->context, 1, &source, NULL, &call_err));
	cl_int code = clBuildProgram(program, 1, &fix->device, options, NULL, NULL);

	if (code != CL_SUCCESS) {
		char log[4096] = "";

		clGetProgramBuildInfo(program, fix->device, CL_PROGRAM_BUILD_LOG, sizeof(log), log,
				      NULL);
		fatal(__FILE__, __LINE__, log, code);
	}
	return program;
}

cl_kernel kernel_made(cl_program program, const char *name)
{
	return MUST_MAKE(clCreateKernel(program, name, &call_err));
}

cl_mem buffer_patterned(const struct fixture *fix, size_t size, unsigned seed)
{
	unsigned char *data = malloc(size);
	cl_mem buffer;

	pattern(data, size, seed);
	buffer = MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
					  size, data, &call_err));
	free(data);
	return buffer;
}

void check_buffer_sum(const char *name, cl_command_queue queue, cl_mem buffer, size_t size)
{
	void *data = calloc(1, size);
	cl_int code = clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, size, data, 0, NULL, NULL);

	if (code != CL_SUCCESS)
		check_code(name, code);
	else
		check_sum(name, data, size);
	free(data);
}

static void sizes_print(char *text, size_t room, const void *value, size_t size)
{
	const size_t *sizes = value;
	size_t used = 0;

	for (size_t i = 0; i < size / sizeof(*sizes) && used < room; i++)
		used += (size_t)snprintf(text + used, room - used, "%s%zu", i ? " " : "", sizes[i]);
}

static void info_print(char *text, size_t room, const struct info *info, const void *value,
		       size_t size)
{
	uint64_t number = 0;
	const void *handle = NULL;

	switch (info->kind) {
	case INFO_UINT:
	case INFO_ULONG:
	case INFO_SIZE:
		memcpy(&number, value, size < sizeof(number) ? size : sizeof(number));
		snprintf(text, room, "%llu", (unsigned long long)number);
		break;
	case INFO_BITS:
		memcpy(&number, value, size < sizeof(number) ? size : sizeof(number));
		snprintf(text, room, "%#llx", (unsigned long long)number);
		break;
	case INFO_SIZES:
		sizes_print(text, room, value, size);
		break;
	case INFO_TEXT:
		snprintf(text, room, "%.*s", (int)size, (const char *)value);
		break;
	case INFO_SAME:
		memcpy(&handle, value, size < sizeof(handle) ? size : sizeof(handle));
		snprintf(text, room, "%s", handle == info->same ? "same" : "another");
		break;
	case INFO_VARIES:
		snprintf(text, room, "varies");
		break;
	}
}

void check_infos(const char *what, info_query *query, void *object, const struct info *list,
		 size_t count)
{
	static char value[INFO_VALUE_MAX];
	static char text[INFO_VALUE_MAX];

	for (size_t i = 0; i < count; i++) {
		const char *name = named("%s %s", what, list[i].name);
		size_t size = 0;
		size_t again = 0;
		cl_int code;

		/* The size alone first: the second answer must agree with it. */
		memset(value, 0, sizeof(value));
		code = query(object, list[i].param, 0, NULL, &size);
		if (code == CL_SUCCESS && size <= sizeof(value))
			code = query(object, list[i].param, size, value, &again);
		if (code != CL_SUCCESS || size != again) {
			check_text(name,
				   named("%s, sizes %zu and %zu", code_name(code), size, again));
			continue;
		}
		info_print(text, sizeof(text) - 32, &list[i], value, size);
		if (list[i].kind != INFO_TEXT)
			snprintf(text + strlen(text), 32, " (%zu bytes)", size);
		check_text(name, text);
	}
}

void wrong_infos(const char *what, info_query *query, void *object, cl_uint param, bool null_too)
{
	static char value[INFO_VALUE_MAX];
	size_t size = 0;

	check_code(named("%s info without value and size", what),
		   query(object, param, 0, NULL, NULL));
	MUST(query(object, param, 0, NULL, &size));
	check_code(named("%s info with more room than needed", what),
		   query(object, param, sizeof(value), value, NULL));
	wrong_code(named("%s info one byte too small", what),
		   query(object, param, size - 1, value, NULL));
	wrong_code(named("%s info size 0", what), query(object, param, 0, value, NULL));
	wrong_code(named("%s info unknown parameter", what),
		   query(object, 0x7dea, sizeof(value), value, &size));
	wrong_code(named("%s info unknown parameter, nothing asked", what),
		   query(object, 0, 0, NULL, NULL));
	if (null_too)
		wrong_code(named("%s info of NULL", what),
			   query(NULL, param, sizeof(value), value, NULL));
}
