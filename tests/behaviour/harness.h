/* SPDX-License-Identifier: MIT */
/*
 * What every behaviour program shares: the transcript, and the objects most checks need.
 *
 * A behaviour program makes OpenCL calls and prints one line a check, `noun.name: value`, where
 * value is what was observed: an error code by its name, a size, a checksum, a string. It knows
 * nothing of what is right: `compare` runs the program on the host's own OpenCL platform and again
 * through guestcl, and compares the two transcripts line by line.
 *
 * Rules:
 * - A value must be the same in every run on one machine. Times, pointers, free memory and
 *   reference counts that the implementation raises for itself are never printed, only how they
 *   relate.
 * - A name is printed once. It never holds ": " nor " | ".
 * - A check whose call has a wrong argument is made with the wrong_ functions or macros, which put
 *   "err " in front of its name.
 * - Only the program's first thread makes checks.
 */
#ifndef GCL_TESTS_BEHAVIOUR_HARNESS_H
#define GCL_TESTS_BEHAVIOUR_HARNESS_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_2_2_APIS
#include <CL/cl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Where the calls inside MADE(), WRONG_MADE() and MUST_MAKE() put their errcode_ret. */
extern _Thread_local cl_int call_err;

/* The objects most checks need; `other` is a second context on the same device. */
struct fixture {
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
	cl_context other;
	cl_command_queue other_queue;
};

/* Starts the transcript of a program; `noun` is the first part of all its names. */
void transcript_begin(const char *noun);

/* Prints the last line. Returns the program's exit status: 1 if a name was printed twice. */
int transcript_end(void);

/* Formats a check's name, or any text; what is returned lives until transcript_end(). */
const char *named(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns the name of an error code, or of an event's status, which `status_name` accepts too. */
const char *code_name(cl_int code);
const char *status_name(cl_int status);

void check_code(const char *name, cl_int code);
void check_status(const char *name, cl_int status);
void check_number(const char *name, unsigned long long value);
void check_text(const char *name, const char *value);
void check_yes(const char *name, bool value);
/* Prints a hash of `size` bytes. */
void check_sum(const char *name, const void *data, size_t size);
/* Prints whether a call that makes an object gave the object that its code promises. */
void check_made(const char *name, bool made);

void wrong_code(const char *name, cl_int code);
void wrong_made(const char *name, bool made);
void wrong_text(const char *name, const char *value);

/* Returns the hash that check_sum() prints. */
uint64_t sum(const void *data, size_t size);

/* Fills `size` bytes with a pattern that depends on `seed` alone. */
void pattern(void *data, size_t size, unsigned seed);

_Noreturn void fatal(const char *file, int line, const char *what, cl_int code);

/* A call without which the program cannot go on. */
#define MUST(call)                                                                                 \
	do {                                                                                       \
		cl_int must_code_ = (call);                                                        \
                                                                                                   \
		if (must_code_ != CL_SUCCESS)                                                      \
			fatal(__FILE__, __LINE__, #call, must_code_);                              \
	} while (0)

/* The same for a call that makes an object and is given &call_err. */
#define MUST_MAKE(call)                                                                            \
	({                                                                                         \
		__typeof__(call) must_made_ = (call);                                              \
                                                                                                   \
		if (!must_made_ || call_err != CL_SUCCESS)                                         \
			fatal(__FILE__, __LINE__, #call, call_err);                                \
		must_made_;                                                                        \
	})

#define RELEASE(object)                                                                            \
	_Generic((object), cl_device_id                                                            \
		 : clReleaseDevice, cl_context                                                     \
		 : clReleaseContext, cl_command_queue                                              \
		 : clReleaseCommandQueue, cl_mem                                                   \
		 : clReleaseMemObject, cl_sampler                                                  \
		 : clReleaseSampler, cl_program                                                    \
		 : clReleaseProgram, cl_kernel                                                     \
		 : clReleaseKernel, cl_event                                                       \
		 : clReleaseEvent)(object)

/*
 * Checks a call that makes an object and is given &call_err, and releases what it made. What comes
 * beside an error code is not an object to be used: it is told of, and left alone.
 */
#define MAKE_WITH_(check, name, call)                                                              \
	do {                                                                                       \
		__typeof__(call) made_;                                                            \
                                                                                                   \
		call_err = 1;                                                                      \
		made_ = (call);                                                                    \
		check(name, made_ != NULL);                                                        \
		if (made_ && call_err == CL_SUCCESS)                                               \
			RELEASE(made_);                                                            \
	} while (0)
#define MADE(name, call)       MAKE_WITH_(check_made, name, call)
#define WRONG_MADE(name, call) MAKE_WITH_(wrong_made, name, call)

/* Opens the first device of the first platform; fails the program if there is none. */
void fixture_open(struct fixture *fix);
void fixture_close(struct fixture *fix);

/* Builds a program for the fixture's device, or fails the test program with the build log. */
cl_program program_built(const struct fixture *fix, const char *source, const char *options);
cl_kernel kernel_made(cl_program program, const char *name);

/* Makes a buffer of the fixture's context with `size` bytes of pattern(seed) in it. */
cl_mem buffer_patterned(const struct fixture *fix, size_t size, unsigned seed);

/* Reads the first `size` bytes of a buffer, blocking, and prints their sum. */
void check_buffer_sum(const char *name, cl_command_queue queue, cl_mem buffer, size_t size);

/* Every clGet*Info that takes one object, in one shape; INFO_QUERY() makes one of these. */
typedef cl_int info_query(void *object, cl_uint param, size_t size, void *value, size_t *size_ret);

#define INFO_QUERY(function, object_type)                                                          \
	static cl_int query_##function(void *object, cl_uint param, size_t size, void *value,      \
				       size_t *size_ret)                                           \
	{                                                                                          \
		return function((object_type)object, param, size, value, size_ret);                \
	}

enum info_kind {
	INFO_UINT,
	INFO_ULONG,
	INFO_SIZE,
	INFO_SIZES,
	INFO_BITS,
	INFO_TEXT,
	/* A handle or an address: prints whether it is `same`. */
	INFO_SAME,
	/* A value that may differ between runs: only its size is printed. */
	INFO_VARIES,
};

struct info {
	cl_uint param;
	const char *name;
	enum info_kind kind;
	const void *same;
};

#define INFO(param, kind)                                                                          \
	{                                                                                          \
		param, #param, kind, NULL                                                          \
	}
#define INFO_IS(param, value)                                                                      \
	{                                                                                          \
		param, #param, INFO_SAME, value                                                    \
	}

/* Checks value and size of each information in the list; `what` tells the object in the names. */
void check_infos(const char *what, info_query *query, void *object, const struct info *list,
		 size_t count);

/*
 * Checks the ways in which asking for information goes wrong; `param` is one that `object` knows.
 * `null_code` says whether a NULL object may be asked at all.
 */
void wrong_infos(const char *what, info_query *query, void *object, cl_uint param, bool null_too);

#endif
