/* SPDX-License-Identifier: MIT */
/*
 * Tables of wrong arguments: for each entry point a call that is right, and what may be wrong with
 * it, in the order in which the errors are looked for.
 *
 * errors_check() makes the right call, the call with each fault alone, and the call with each two
 * faults of different arguments at once. Each fault has the code that the specification gives for
 * it; of two faults the one that stands first in the table must be told. What does not agree with
 * the table fails the program through guestcl; natively it is only printed, for `compare`.
 *
 * A fault that a runtime need not survive (an object of another kind, or one that is gone) is made
 * through guestcl only; natively the table's code is printed in its place.
 */
#ifndef GCL_TESTS_BEHAVIOUR_ERRORS_H
#define GCL_TESTS_BEHAVIOUR_ERRORS_H

#include "harness.h"

#define FAULT_SETS_MAX 2

struct fault {
	const char *name;
	cl_int code;
	bool guest_only;
	/* Which arguments are changed; of one set the second is the same as the first. */
	struct {
		unsigned arg;
		uintptr_t value;
	} sets[FAULT_SETS_MAX];
};

/* Makes the call with the arguments in @a. */
typedef cl_int errors_call(const uintptr_t *a);

/* What of a row the native runtime survives. */
enum errors_native {
	NATIVE_ALL,
	NATIVE_SINGLES, /* but not each two faults at once */
	NATIVE_NONE,
};

struct row {
	const char *function;
	errors_call *call;
	enum errors_native native;
	/* What the right call gives: CL_SUCCESS, unless no device here can do such things. */
	cl_int code;
	const uintptr_t *right;
	size_t arg_count;
	const struct fault *faults;
	size_t fault_count;
};

#define V(value) ((uintptr_t)(value))

#define FAULT_(name, code, guest, arg, value, arg2, value2)                                        \
	{                                                                                          \
		name, code, guest,                                                                 \
		{                                                                                  \
			{arg, V(value)},                                                           \
			{                                                                          \
				arg2, V(value2)                                                    \
			}                                                                          \
		}                                                                                  \
	}
#define FAULT(name, code, arg, value) FAULT_(name, code, false, arg, value, arg, value)
#define FAULT_PAIR(name, code, arg, value, arg2, value2)                                           \
	FAULT_(name, code, false, arg, value, arg2, value2)
#define FAULT_GUEST(name, code, arg, value) FAULT_(name, code, true, arg, value, arg, value)
#define FAULT_GUEST_PAIR(name, code, arg, value, arg2, value2)                                     \
	FAULT_(name, code, true, arg, value, arg2, value2)

/* An argument that must be an object: NULL, an object of another kind, and one that is gone. */
#define FAULTS_OBJECT(what, code, arg, another, gone)                                              \
	FAULT(what " NULL", code, arg, 0),                                                         \
		FAULT_GUEST(what " of another kind", code, arg, another),                          \
		FAULT_GUEST(what " released", code, arg, gone)

/* The same where a runtime may not survive NULL, either. */
#define FAULTS_OBJECT_GUEST(what, code, arg, another, gone)                                        \
	FAULT_GUEST(what " NULL", code, arg, 0),                                                   \
		FAULT_GUEST(what " of another kind", code, arg, another),                          \
		FAULT_GUEST(what " released", code, arg, gone)

#define FAULTS_CONTEXT(arg)                                                                        \
	FAULTS_OBJECT("context", CL_INVALID_CONTEXT, arg, on.queue, on.gone_context)
#define FAULTS_DEVICE(arg)                                                                         \
	FAULT("device NULL", CL_INVALID_DEVICE, arg, 0),                                           \
		FAULT_GUEST("device of another kind", CL_INVALID_DEVICE, arg, on.context)
#define FAULTS_QUEUE(arg)                                                                          \
	FAULTS_OBJECT("queue", CL_INVALID_COMMAND_QUEUE, arg, on.buffer, on.gone_queue)
#define FAULTS_BUFFER(what, arg)                                                                   \
	FAULTS_OBJECT(what, CL_INVALID_MEM_OBJECT, arg, on.event, on.gone_buffer)
/* Behind the first argument, which a loader looks into. */
#define FAULTS_NONE(what, code, arg) FAULT_GUEST(what " that is none", code, arg, on.none)
#define FAULTS_PROGRAM(arg)                                                                        \
	FAULTS_OBJECT("program", CL_INVALID_PROGRAM, arg, on.kernel, on.gone_program)
#define FAULTS_KERNEL(arg)                                                                         \
	FAULTS_OBJECT("kernel", CL_INVALID_KERNEL, arg, on.program, on.gone_kernel)
#define FAULTS_EVENT(what, code, arg) FAULTS_OBJECT(what, code, arg, on.buffer, on.gone_event)

/* A count of events and, behind it, the list. */
#define FAULTS_WAITS(arg)	FAULTS_WAITS_(arg, false)
#define FAULTS_WAITS_GUEST(arg) FAULTS_WAITS_(arg, true)
#define FAULTS_WAITS_(arg, guest)                                                                  \
	FAULT_("events without a list", CL_INVALID_EVENT_WAIT_LIST, guest, arg, 1, (arg) + 1, 0),  \
		FAULT_("list of no events", CL_INVALID_EVENT_WAIT_LIST, guest, arg, 0, (arg) + 1,  \
		       on.events),                                                                 \
		FAULT_("event NULL", CL_INVALID_EVENT_WAIT_LIST, guest, arg, 2, (arg) + 1,         \
		       on.events_null),                                                            \
		FAULT_GUEST_PAIR("event of another kind", CL_INVALID_EVENT_WAIT_LIST, arg, 2,      \
				 (arg) + 1, on.events_kind),                                       \
		FAULT_GUEST_PAIR("event that is none", CL_INVALID_EVENT_WAIT_LIST, arg, 2,         \
				 (arg) + 1, on.events_none),                                       \
		FAULT_GUEST_PAIR("event released", CL_INVALID_EVENT_WAIT_LIST, arg, 2, (arg) + 1,  \
				 on.events_gone),                                                  \
		FAULT_("event of another context", CL_INVALID_CONTEXT, guest, arg, 2, (arg) + 1,   \
		       on.events_foreign)

/* An information's name, the size of the room and, behind that, the room. */
#define FAULTS_INFO(arg)                                                                           \
	FAULT("unknown name", CL_INVALID_VALUE, arg, 0x7dea),                                      \
		FAULT("room too small", CL_INVALID_VALUE, (arg) + 1, 1)

#define P(i) ((void *)a[i])
#define U(i) (a[i])

/* The function that makes the call: of a function that returns a code, or gives one beside what it
 * made. */
#define CALL(function, ...)                                                                        \
	static cl_int call_##function(const uintptr_t *a)                                          \
	{                                                                                          \
		return function(__VA_ARGS__);                                                      \
	}
#define CALL_MAKES(function, ...)                                                                  \
	static cl_int call_##function(const uintptr_t *a)                                          \
	{                                                                                          \
		cl_int code = 1;                                                                   \
		__typeof__(function(__VA_ARGS__, &code)) made = function(__VA_ARGS__, &code);      \
                                                                                                   \
		if (made && code == CL_SUCCESS)                                                    \
			RELEASE(made);                                                             \
		return code;                                                                       \
	}

/* One row: the right arguments in parentheses, and then the faults. */
#define RIGHT(...) __VA_ARGS__
#define ROW(function, rights, ...)                                                                 \
	ROW_(function, NATIVE_ALL, CL_SUCCESS, RIGHT(rights), __VA_ARGS__)
#define ROW_GUEST(function, rights, ...)                                                           \
	ROW_(function, NATIVE_NONE, CL_SUCCESS, RIGHT(rights), __VA_ARGS__)
#define ROW_SINGLES(function, rights, ...)                                                         \
	ROW_(function, NATIVE_SINGLES, CL_SUCCESS, RIGHT(rights), __VA_ARGS__)
#define ROW_REFUSED(function, code, rights, ...)                                                   \
	ROW_(function, NATIVE_ALL, code, RIGHT(rights), __VA_ARGS__)
#define ROW_GUEST_REFUSED(function, code, rights, ...)                                             \
	ROW_(function, NATIVE_NONE, code, RIGHT(rights), __VA_ARGS__)
#define ROW_(function, native, code, rights, ...)                                                  \
	do {                                                                                       \
		const uintptr_t right_[] = {rights};                                               \
		const struct fault faults_[] = {__VA_ARGS__};                                      \
                                                                                                   \
		errors_check(&(struct row){#function, call_##function, native, code, right_,       \
					   ARRAY_SIZE(right_), faults_, ARRAY_SIZE(faults_)});     \
	} while (0)

#define HOST_SIZE   4096
#define BUFFER_SIZE 4096
#define IMAGE_SIDE  16

/* What the rows' arguments are made of. `gone` ones were released, `foreign` ones are the other
 * context's. */
struct objects {
	struct fixture fix;
	cl_platform_id platform;
	cl_device_id device;
	cl_context context, gone_context;
	cl_command_queue queue, gone_queue;
	cl_mem buffer, second, gone_buffer, foreign;
	/* What the host may not do. */
	cl_mem unreadable, unwritable;
	cl_mem image, second_image, foreign_image;
	cl_mem float_image;
	cl_sampler sampler, gone_sampler;
	cl_program program, source, gone_program, foreign_program;
	/* `unset` lacks its arguments, `fixed` has a work-group size of its own, of 4. */
	cl_kernel kernel, unset, fixed, gone_kernel, foreign_kernel;
	cl_event event, gone_event, foreign_event;
	cl_event events[1], events_null[2], events_kind[2], events_none[2], events_gone[2],
		events_foreign[2];
	void *svm;
	size_t align; /* of sub-buffers, in bytes */
	size_t max_alloc;
	unsigned char host[HOST_SIZE];
	/* What no object is in. */
	unsigned char none[HOST_SIZE];
};

extern struct objects on;

/* Is it guestcl that is under test? */
bool errors_guest(void);

void errors_check(const struct row *row);

/* Returns whether each row of a guestcl run gave the table's codes. */
bool errors_right(void);

void errors_objects(void);
void errors_memory(void);
void errors_programs(void);
void errors_transfers(void);
void errors_images(void);
void errors_commands(void);
void errors_svm(void);

#endif
