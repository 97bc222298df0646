/*
 * What the files about programs share: program.c, build.c, builder.c, build-answer.c, signature.c,
 * program-memory.c.
 */
#ifndef GCL_PROGRAM_H
#define GCL_PROGRAM_H

#include "job.h"
#include "recipe.h"
#include "worker.h"

/*
 * The result of clLinkProgram on its way from the build pool to the session thread, which alone may
 * touch the entry: kept with a program until it is first used. Freed by whoever
 * drops it last.
 */
struct gcl_link {
	_Atomic unsigned refs; /* the program, the build */
	_Atomic bool done;     /* released after the rest was written, acquired before it is read */
	cl_program handle;     /* owned until the entry takes it over */
	cl_int status;	       /* when there is no handle */
};

void gcl_link_put(struct gcl_link *link); /* accepts NULL */

/* Detail of a GCL_KIND_PROGRAM entry: with what its program holds, which is counted until the last
 * of its kernels has gone as well. */
struct gcl_program {
	_Atomic unsigned refs; /* the entry, its kernels, its builds, the list of refused ones */
	struct gcl_worker *worker;
	struct gcl_entry *entry;     /* session thread: until its release */
	struct gcl_context *context; /* session thread: a reference, until the entry's release */
	struct gcl_link *link;	     /* session thread: of a linked one, until it is first used */
	pthread_mutex_t lock;	     /* protects what follows; the quota's is taken under it */
	struct gcl_recipe *recipe;   /* see recipe.h; may be NULL */
	uint64_t bytes[GCL_PAGE_DEVICES_MAX]; /* charged */
	_Atomic bool refused;		      /* it is in worker.refused, or about to be */
	struct gcl_program *next_refused;
};

/** gcl_program_find() - the entry for @id, tombstones included; NULL when there is none or the
 * guest did not wait for the answer to PROGRAM_LINK (-EPROTO). */
struct gcl_entry *gcl_program_find(struct gcl_worker *worker, uint64_t id);

/** gcl_program_text_seen() - look at source or options: may kernels made of it print? */
void gcl_program_text_seen(struct gcl_worker *worker, const char *text, size_t length);

/**
 * gcl_program_renew() - from here on the program is one of this source, if there is any: the guest
 * has put its headers in. The one before is released: kernels and builds of it have references of
 * their own, to what is charged for it as well. Return: CL_SUCCESS or what the runtime said.
 */
cl_int gcl_program_renew(struct gcl_worker *worker, struct gcl_entry *entry,
			 const ProtobufCBinaryData *source);

/** The devices of a program or context, with the guest's ids (0 where it has released its own). */
struct gcl_device_list {
	cl_uint count;
	cl_device_id *handles;
	uint64_t *ids;
};

/** gcl_devices_of() - all devices of @program, or, when that is NULL, of @context. Memory from
 * @arena. Return: CL_SUCCESS or what the runtime said. */
cl_int gcl_devices_of(struct gcl_worker *worker, struct gcl_arena *arena, cl_program program,
		      cl_context context, struct gcl_device_list *list);

/** gcl_devices_named() - the devices that a message names; an empty list for none. Return: 0,
 * -EPROTO, -ENOMEM. */
int gcl_devices_named(struct gcl_worker *worker, struct gcl_arena *arena, const uint64_t *ids,
		      size_t count, struct gcl_device_list *list);

/* ------------------------------------------------------------ program-memory.c */

/** gcl_program_create() - the detail of @entry, set there. Return: NULL without memory. */
struct gcl_program *gcl_program_create(struct gcl_worker *worker, struct gcl_entry *entry,
				       struct gcl_context *context);

/* Both accept NULL. The last one who puts it gives back what was charged. */
struct gcl_program *gcl_program_get(struct gcl_program *program);
void gcl_program_put(struct gcl_program *program);

/** gcl_program_charge() - from now on it holds @sizes bytes of @devices, and nothing of others; any
 * thread. Return: CL_SUCCESS, or CL_OUT_OF_RESOURCES beyond the limit: then, for some device, what
 * was charged before. */
cl_int gcl_program_charge(struct gcl_program *program, const struct gcl_device_list *devices,
			  const size_t *sizes);

/** gcl_program_weigh() - after a build: charge what the runtime says that @handle holds, if asking
 * is cheap; for the pool. Return: as gcl_program_charge(), or CL_OUT_OF_HOST_MEMORY. */
cl_int gcl_program_weigh(struct gcl_program *program, cl_program handle, struct gcl_arena *arena,
			 const struct gcl_device_list *devices);

/** gcl_program_refuse() - the pool: it is too large; what has been built has to go. */
void gcl_program_refuse(struct gcl_program *program);

/** gcl_programs_refused_drop() - session thread: let go of those. */
void gcl_programs_refused_drop(struct gcl_worker *worker);

/* ------------------------------------------------------------ builder.c */

/** gcl_builder_post() - have @job run on the pool, which is made with its first job. Return: 0 and
 * it is the pool's, or -EAGAIN, -ENOMEM. */
int gcl_builder_post(struct gcl_worker *worker, struct gcl_job *job);

/* ------------------------------------------------------------ build-answer.c */

/**
 * gcl_build_answer() - collect what the guest needs to know of a program, and send it.
 * @arena: for the message; must have no limit of a message's
 * @request: sequence of the message that is answered
 * @program: NULL when there is none
 * @status: what the runtime's call returned
 * @binary_status: for each of @devices, or NULL
 *
 * From any thread. Kernels are described when @program is executable on some device.
 */
void gcl_build_answer(struct gcl_worker *worker, struct gcl_arena *arena, uint64_t request,
		      cl_program program, const struct gcl_device_list *devices, cl_int status,
		      const cl_int *binary_status);

/** gcl_binaries_answer() - collect and send a program's binaries, whose sizes are charged to
 * @program (taken over; may be NULL); may compile, so it is for the pool. */
void gcl_binaries_answer(struct gcl_worker *worker, struct gcl_arena *arena, uint64_t request,
			 cl_program handle, struct gcl_program *program,
			 const struct gcl_device_list *devices, cl_int status);

/* ------------------------------------------------------------ signature.c */

/** gcl_arg_kind() - what argument @index of @kernel is, GCL_ARG_UNKNOWN when the runtime doesn't
 * say. */
enum gcl_arg_kind gcl_arg_kind(cl_kernel kernel, cl_uint index);

/**
 * gcl_arg_access() - what @kernel may do with a memory object as argument @index.
 *
 * A kernel that casts const away and writes breaks its promise (OpenCL C 1.2, 6.5.3), and what it
 * writes may be lost when its queue moves.
 */
enum gcl_access gcl_arg_access(cl_kernel kernel, cl_uint index);

/** gcl_arg_describe() - everything the guest is told of an argument; strings from @arena. */
void gcl_arg_describe(struct gcl_arena *arena, cl_kernel kernel, cl_uint index, Gcl__ArgInfo *info);

/** gcl_type_size() - bytes of an argument of a built-in OpenCL C type, 0 for other types. */
size_t gcl_type_size(const char *name);

/**
 * GCL_INFO_BYTES() - a value of a clGet*Info call, in @arena and with a NUL behind it.
 * @length: set to its size in bytes
 *
 * The function's arguments up to param_name follow its name. NULL when the runtime gives none.
 */
#define GCL_INFO_BYTES(arena, length, function, ...)                                               \
	({                                                                                         \
		char *bytes_ = NULL;                                                               \
                                                                                                   \
		*(length) = 0;                                                                     \
		if (function(__VA_ARGS__, 0, NULL, (length)) == CL_SUCCESS)                        \
			bytes_ = gcl_arena_alloc(arena, *(length) + 1);                            \
		if (bytes_ && function(__VA_ARGS__, *(length), bytes_, NULL) != CL_SUCCESS)        \
			bytes_ = NULL;                                                             \
		if (bytes_)                                                                        \
			bytes_[*(length)] = '\0';                                                  \
		else                                                                               \
			*(length) = 0;                                                             \
		bytes_;                                                                            \
	})

#endif
