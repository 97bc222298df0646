/*
 * The guest's objects, and what its files share.
 *
 * Entry points carry their OpenCL names (hidden by the symbol map; icd.c puts them in the dispatch
 * table), check their arguments in the specification's order with REFUSE_IF, then act. Nothing here
 * blocks but what OpenCL says blocks.
 */
#ifndef GCL_GUEST_H
#define GCL_GUEST_H

#include "object.h"
#include "ranges.h"
#include "session.h"

#include <CL/cl_ext.h>
#include <CL/cl_icd.h>
#include <stddef.h>
#include <string.h>

/* The condition becomes the debug line of GUESTCL_DEBUG=call. */
#define REFUSE_IF(condition, error)                                                                \
	do {                                                                                       \
		if (__builtin_expect(!!(condition), 0)) {                                          \
			gcl_log_debug(call, "%s: %s because %s", __func__, #error, #condition);    \
			return (error);                                                            \
		}                                                                                  \
	} while (0)

/* The same in functions that return an object and set *errcode_ret. */
#define REFUSE_NULL_IF(condition, error)                                                           \
	do {                                                                                       \
		if (__builtin_expect(!!(condition), 0)) {                                          \
			gcl_log_debug(call, "%s: %s because %s", __func__, #error, #condition);    \
			if (errcode_ret)                                                           \
				*errcode_ret = (error);                                            \
			return NULL;                                                               \
		}                                                                                  \
	} while (0)

#define TRY(call)                                                                                  \
	do {                                                                                       \
		cl_int try_ = (call);                                                              \
		if (try_ != CL_SUCCESS)                                                            \
			return try_;                                                               \
	} while (0)

struct _cl_platform_id {
	struct gcl_object base;
	bool opened;		   /* by clGuestclOpenPlatform(): base.session is its own */
	const Gcl__Platform *host; /* of an opened one: the first */
	cl_uint device_count;
	cl_device_id *devices; /* root devices */
	char *version;	       /* the host's, with guestcl's behind it */
	cl_version api;	       /* as in version */
};

/* Every device information of OpenCL 1.2 has a name in this range, every later one (feature.c) lies
 * behind it. */
#define GCL_DEVICE_INFO_FIRST CL_DEVICE_TYPE
#define GCL_DEVICE_INFO_LAST  CL_DEVICE_PRINTF_BUFFER_SIZE
#define GCL_DEVICE_INFO_COUNT (GCL_DEVICE_INFO_LAST - GCL_DEVICE_INFO_FIRST + 1)

struct _cl_device_id {
	struct gcl_object base; /* root devices live as long as their platform */
	cl_platform_id platform;
	const Gcl__Platform *origin; /* the host's platform: an opened one has devices of several */
	cl_device_id parent;	     /* sub-devices hold a reference to it */
	const Gcl__Device *host;
	Gcl__Device *owned;			       /* of a sub-device: freed with it */
	const Gcl__Info *infos[GCL_DEVICE_INFO_COUNT]; /* the host's values by name, NULL: none */
	cl_device_type type;
	bool unified; /* CL_DEVICE_HOST_UNIFIED_MEMORY of a CPU device: memory objects may be
			 resident */
	bool image_support;
	bool non_uniform; /* work-groups may be of different sizes */
	cl_ulong max_alloc;
	cl_uint max_dims;
	size_t max_items[3];
	size_t max_group;
	cl_ulong local_size;
	size_t max_parameter;
	cl_uint base_align; /* bytes */
	cl_command_queue_properties queue_properties;
	char *version;	/* strings that differ from the host's */
	cl_version api; /* as in version */
	char *c_version;
	char *extensions;
	cl_device_partition_property *partition; /* as created, 0-terminated; sub-devices only */
	size_t partition_size;
};

struct gcl_context_destructor {
	struct gcl_context_destructor *next; /* newest first, which is the order they run in */
	void(CL_CALLBACK *fn)(cl_context context, void *data);
	void *data;
};

struct _cl_context {
	struct gcl_object base;
	cl_platform_id platform;
	cl_uint device_count;
	cl_device_id *devices;
	cl_context_properties *properties; /* copy with the final 0, or NULL */
	size_t properties_size;
	void(CL_CALLBACK *notify)(const char *text, const void *info, size_t size, void *data);
	void *notify_data;
	_Atomic(struct gcl_context_destructor *) destructors;
	bool resident; /* all devices share memory with the host: memory objects live in the heap */
	pthread_mutex_t svm_lock; /* a leaf */
	struct gcl_ranges svm;	  /* shared virtual memory: cl_mem by addresses; svm.c */
	_Atomic bool svm_used;	  /* there has been some */
	_Atomic bool svm_apart;	  /* it can't be memory of the heap */
};

struct _cl_command_queue {
	struct gcl_object base;
	cl_context context;
	cl_device_id device;
	cl_command_queue_properties properties;
	cl_queue_properties list[3]; /* as clCreateCommandQueueWithProperties() was given it */
	size_t list_size;	     /* in bytes, with the final 0; 0: there was none */
	bool in_order;
	pthread_mutex_t lock;	 /* order of posting on this queue */
	_Atomic uint64_t posted; /* sequence of the last command posted, 0: none */
	_Atomic uint64_t done;	 /* all commands up to this sequence are done */
	_Atomic cl_int failed;	 /* first failure since the last clFinish; 0: none */
	_Atomic bool unflushed;	 /* commands posted since the last flush */
	bool failure_told;	 /* QUEUE_FAILED came since the last QUEUE_DONE; handlers only */
	_Atomic cl_ulong here;	 /* profiling: when the command done in the guest began */
	_Atomic cl_ulong ended;	 /* profiling: the latest end of a command */
};

struct gcl_mapping {
	struct gcl_list link; /* in mem->mappings, newest last */
	void *ptr;	      /* what the program got */
	cl_map_flags flags;
	uint64_t staging; /* heap block that ptr lies in, GCL_HEAP_NONE when it doesn't */
	size_t origin[3]; /* of the region; a buffer's offset is origin[0] */
	size_t region[3]; /* a buffer's size is region[0] */
	size_t row_pitch, slice_pitch;
};

struct gcl_destructor {
	struct gcl_destructor *next; /* run in reverse order of registration: newest first */
	void(CL_CALLBACK *fn)(cl_mem mem, void *data);
	void *data;
};

struct _cl_mem {
	struct gcl_object base;
	cl_context context;
	cl_mem_object_type type;
	cl_mem_flags flags; /* as CL_MEM_FLAGS returns them */
	bool listed;	    /* created with a list of properties: an empty one, there are none */
	size_t size;
	void *host_ptr; /* of CL_MEM_USE_HOST_PTR (a sub-buffer's includes its origin) */
	cl_mem parent;	/* sub-buffer's buffer, image buffer's buffer, or the SVM that a buffer was
			 * made of; holds a reference */
	bool svm;	/* shared virtual memory, which the program knows by host_ptr */
	bool svm_space; /* and has addresses of this process */
	bool hidden;	/* the program has no handle: the context ends without regard to it */
	size_t origin;
	bool resident;	      /* the contents are at heap; else on the device only */
	uint64_t heap_offset; /* of a resident object; a payload in flight of others; GCL_HEAP_NONE
			       */
	uint8_t *heap;	      /* address of a resident object's first byte */
	cl_image_format format; /* of images, from here on */
	size_t element_size;
	size_t width, height, depth, array_size;
	size_t row_pitch, slice_pitch;
	cl_uint mip_levels, samples;
	_Atomic bool told;    /* the host knows its id */
	pthread_mutex_t lock; /* telling, mappings, destructors */
	struct gcl_list mappings;
	cl_uint map_count;
	struct gcl_destructor *destructors;
};

struct _cl_sampler {
	struct gcl_object base;
	cl_context context;
	cl_bool normalized;
	cl_addressing_mode addressing;
	cl_filter_mode filter;
	cl_sampler_properties list[7]; /* as clCreateSamplerWithProperties() was given it */
	size_t list_size;	       /* in bytes, with the final 0; 0: there was none */
};

/* What a build gave: the kernels' signatures. Shared by the program and its kernels, since a
 * rebuild makes another. */
struct gcl_build {
	_Atomic uint32_t refs;
	Gcl__BuildAnswer *answer; /* owned */
	_Atomic uint64_t *probes; /* for each argument without a known size: the size the host has
				     taken; see kernel.c */
};

struct gcl_program_device {
	cl_build_status status;
	cl_uint binary_type;
	size_t binary_size;
	size_t variables_size; /* of variables of program scope */
	char *options;	       /* of the last build, NULL before */
	char *log;	       /* NULL: none */
	bool executable;
};

enum gcl_program_origin {
	GCL_PROGRAM_SOURCE,
	GCL_PROGRAM_BINARY,
	GCL_PROGRAM_BUILT_IN,
	GCL_PROGRAM_IL,
	GCL_PROGRAM_LINKED
};

struct _cl_program {
	struct gcl_object base;
	enum gcl_program_origin origin;
	cl_context context;
	cl_uint device_count;
	cl_device_id *devices;
	struct gcl_program_device *per_device;
	char *source;	    /* NULL: not from source */
	size_t source_size; /* with the final NUL */
	void *il;	    /* NULL: not from an intermediate language */
	size_t il_size;
	pthread_mutex_t lock;	       /* all below, and per_device */
	struct gcl_build *build;       /* NULL before the first success */
	Gcl__BinariesAnswer *binaries; /* as last fetched since the last build, or NULL */
	bool building;
	bool included;		  /* the host has headers in the source */
	_Atomic uint32_t kernels; /* attached */
};

struct gcl_arg {
	Gcl__Argument wire; /* as the next launch sends it */
	size_t size;	    /* of the value; SIZE_MAX where ArgProbe must say */
	size_t capacity;    /* of wire.data.data */
	bool set;
	bool dirty;   /* set since the last launch */
	bool unknown; /* the host doesn't say what it is: what it is given does */
};

struct _cl_kernel {
	struct gcl_object base;
	cl_program program;
	struct gcl_build *build;
	const Gcl__KernelInfo *info; /* in build */
	_Atomic uint64_t *probes;    /* in build, an entry for each argument */
	pthread_mutex_t lock;	     /* dirty arguments against concurrent launches */
	cl_uint arg_count;
	_Atomic bool dirty; /* some argument is */
	bool complete;	    /* all arguments are set */
	struct gcl_arg *args;
	Gcl__Argument **wire; /* arg_count pointers, for a launch's message */
};

struct gcl_event_callback {
	struct gcl_list link;
	cl_event event; /* holds a reference */
	cl_int status;	/* that it waits for */
	cl_int reached; /* that it is told */
	void(CL_CALLBACK *fn)(cl_event event, cl_int status, void *data);
	void *data;
};

/* What a command leaves to do in the guest when it is done, such as copying read data to the
 * program's memory. */
struct gcl_completion {
	void (*fn)(struct gcl_completion *completion,
		   cl_int status); /* runs as a handler; frees @completion */
};

struct _cl_event {
	struct gcl_object base;
	cl_context context;
	cl_command_queue queue; /* NULL: user event; holds a reference */
	cl_command_type type;
	_Atomic cl_int status;	   /* CL_QUEUED ... CL_COMPLETE, or negative */
	_Atomic bool on_host;	   /* the host knows its id */
	_Atomic uint64_t sequence; /* of the command's message */
	cl_ulong queued, submitted, started, ended;
	pthread_mutex_t lock; /* callbacks against completion */
	struct gcl_list callbacks;
	struct gcl_completion *completion; /* owned; the event is then kept alive by a reference of
					      its own until done */
};

/* ------------------------------------------------------------ info.c */

/** gcl_info() - return a value of a clGet*Info call. @value may be NULL when @size is 0. Return:
 * CL_SUCCESS or CL_INVALID_VALUE. */
cl_int gcl_info(const void *value, size_t size, size_t param_value_size, void *param_value,
		size_t *size_ret);
cl_int gcl_info_string(const char *value, size_t param_value_size, void *param_value,
		       size_t *size_ret);

/* For a switch over param_name: one line a scalar. */
#define GCL_INFO_VALUE(type, expression)                                                           \
	do {                                                                                       \
		type value_ = (expression);                                                        \
		return gcl_info(&value_, sizeof value_, param_value_size, param_value,             \
				param_value_size_ret);                                             \
	} while (0)

/* ------------------------------------------------------------ platform.c, device.c, context.c */

/** gcl_platforms() - the host's platforms, made at first use; count 0 without a host. */
cl_uint gcl_platforms(const cl_platform_id **platforms);

/** gcl_host_info() - a raw info value from the snapshot, or NULL when the host gave none. */
const Gcl__Info *gcl_host_info(Gcl__Info *const *infos, size_t count, cl_uint name);

/** gcl_host_text() - the same as a string of the caller's own ("" when the host gave none); NULL
 * without memory. */
char *gcl_host_text(Gcl__Info *const *infos, size_t count, cl_uint name);

cl_int gcl_platform_init(cl_platform_id platform, const Gcl__Platform *host,
			 struct gcl_session *session);

/** gcl_platform_open() - one platform with all devices of all of @session's, which is its own. */
cl_int gcl_platform_open(struct gcl_session *session, cl_platform_id *out);

/** gcl_platform_free() - an opened platform and its root devices; not the session. NULL is
 * accepted. */
void gcl_platform_free(cl_platform_id platform);

cl_int gcl_device_init(cl_device_id device, cl_platform_id platform, const Gcl__Device *host);

/** gcl_device_type_valid() - is it one that OpenCL knows, or more than one of them? */
bool gcl_device_type_valid(cl_device_type type);

/** gcl_platform_find() - the root devices of some type. Return: how many; up to @num_entries go to
 * @devices. */
cl_uint gcl_platform_find(cl_platform_id platform, cl_device_type type, cl_uint num_entries,
			  cl_device_id *devices);

/** gcl_device_free() - the device's own memory, and back to the pool. */
void gcl_device_free(cl_device_id device);

/** gcl_device_session() - the one that new objects of the device belong to, or NULL without a host:
 * that of its platform if it was opened, else this process's. */
struct gcl_session *gcl_device_session(const struct _cl_device_id *device);

/** gcl_device_known() - does @session's host know the device? After a fork, sub-devices made before
 * are not. */
bool gcl_device_known(const struct _cl_device_id *device, const struct gcl_session *session);

bool gcl_context_has_device(const struct _cl_context *context, const struct _cl_device_id *device);

/** gcl_context_notify() - run the context's pfn_notify on the notifier thread, if there is one. */
void gcl_context_notify(cl_context context, const char *text);

/* Internal references: the object's file does retain/release of its own kind and of what it holds.
 */
void gcl_context_put(cl_context context);
void gcl_queue_put(cl_command_queue queue);
void gcl_mem_put(cl_mem mem);
void gcl_event_put(cl_event event);
void gcl_device_get(cl_device_id device); /* these two have no effect on root devices */
void gcl_device_put(cl_device_id device);
void gcl_program_put(cl_program program);

/* ------------------------------------------------------------ queue.c: enqueueing */

/*
 * A command under construction. Use, after the checks that come first in the specification:
 *
 *	struct gcl_enqueue enqueue;
 *
 *	TRY(gcl_waits_check(queue->context, count, list));
 *	TRY(gcl_enqueue_begin(&enqueue, queue, type, count, list, event || needed));
 *	message.command = &enqueue.command;
 *	return gcl_enqueue_post(&enqueue, GCL_LAUNCH, &message.base, offset, size, event);
 *
 * queue->lock is held from a successful begin to post, or to abort when something in between fails.
 */
struct gcl_enqueue {
	Gcl__Command command;
	cl_command_queue queue;
	cl_event made; /* the command's event, or NULL when none was wanted */
	uint64_t waits_inline[16];
	uint64_t *waits_allocated;
};

/** gcl_waits_check() - CL_INVALID_EVENT_WAIT_LIST, CL_INVALID_CONTEXT for wait lists. */
cl_int gcl_waits_check(cl_context context, cl_uint count, const cl_event *list);

/** gcl_waits_done() - are all events of the list complete (none failed)? Drains first if one isn't.
 */
bool gcl_waits_done(cl_uint count, const cl_event *list);

/**
 * gcl_enqueue_begin() - start a command of a valid queue with a checked wait list.
 * @enqueue: filled; must stay where it is until post or abort
 * @want_event: make an event; the caller may hang a completion on @enqueue->made
 *
 * Return: CL_SUCCESS with queue->lock held, CL_DEVICE_NOT_AVAILABLE, CL_OUT_OF_HOST_MEMORY, or why
 * the host could not make the queue.
 */
cl_int gcl_enqueue_begin(struct gcl_enqueue *enqueue, cl_command_queue queue, cl_command_type type,
			 cl_uint count, const cl_event *list, bool want_event);

/**
 * gcl_enqueue_post() - post the command and release queue->lock.
 * @event: takes the event that begin made; NULL: it is put (a completion keeps it alive until done)
 *
 * When it fails there is no event, and the completion has run with the error.
 */
cl_int gcl_enqueue_post(struct gcl_enqueue *enqueue, enum gcl_message number,
			ProtobufCMessage *message, uint64_t payload_offset, uint64_t payload_size,
			cl_event *event);

/** gcl_marker_post() - a command of @type that only keeps its place. @completion: taken over; or
 * NULL. */
cl_int gcl_marker_post(cl_command_queue queue, cl_command_type type, cl_uint count,
		       const cl_event *list, struct gcl_completion *completion, cl_event *event);

/** gcl_enqueue_abort() - instead of post: free the event and release queue->lock. A completion runs
 * with CL_OUT_OF_RESOURCES. */
void gcl_enqueue_abort(struct gcl_enqueue *enqueue);

/** gcl_enqueue_simple() - MARKER or BARRIER, from begin to post. */
cl_int gcl_enqueue_simple(cl_command_queue queue, enum gcl_message number, cl_command_type type,
			  cl_uint count, const cl_event *list, cl_event *event);

/**
 * gcl_queue_lock_idle() - take queue->lock if the queue has nothing in flight and the wait list is
 * done; drains once if needed. Return: true with the lock held (the caller acts on the heap itself
 * and unlocks), false without.
 */
bool gcl_queue_lock_idle(cl_command_queue queue, cl_uint count, const cl_event *list);

/**
 * gcl_queue_finish() - wait until everything posted so far is done (as clFinish).
 * Return: CL_SUCCESS, the queue's pending failure (which is cleared), or CL_DEVICE_NOT_AVAILABLE.
 */
cl_int gcl_queue_finish(cl_command_queue queue);
cl_int gcl_queue_flush(cl_command_queue queue);

/** gcl_event_new() - event of a command on @queue (or user event: NULL), status CL_QUEUED, one
 * reference. */
cl_event gcl_event_new(cl_context context, cl_command_queue queue, cl_command_type type);

/** gcl_event_done_here() - *@event (if not NULL) becomes the event of a command that was done at
 * once in the guest. */
cl_int gcl_event_done_here(cl_command_queue queue, cl_command_type type, cl_event *event);

/** gcl_event_here_begin() - a command begins that is done in the guest; the caller holds
 * queue->lock. */
void gcl_event_here_begin(cl_command_queue queue);

/** gcl_event_posting() - the next post names @event to the host. @waits: its command has a wait
 * list that isn't done. */
void gcl_event_posting(cl_event event, bool waits);

/** gcl_event_unposted() - the post failed or didn't happen: run the completion, drop the caller's
 * reference. */
void gcl_event_unposted(cl_event event, cl_int status);

/** gcl_queue_done() - everything posted on @queue up to @sequence is done. */
void gcl_queue_done(cl_command_queue queue, uint64_t sequence);

/** gcl_event_wait() - flush its queue and wait for one event. Return: CL_SUCCESS or
 * CL_DEVICE_NOT_AVAILABLE; look at its status. */
cl_int gcl_event_wait(cl_event event);

/* ------------------------------------------------------------ memory.c, image.c */

/** gcl_mem_is_buffer() / gcl_mem_is_image() - a live memory object of that kind? */
bool gcl_mem_is_buffer(cl_mem mem);
bool gcl_mem_is_image(cl_mem mem);

/** gcl_mem_tell() - create the object on the host if that has not been done; before each message
 * that names it. Return: CL_SUCCESS or why it can't be told. */
cl_int gcl_mem_tell(cl_mem mem);

#endif
