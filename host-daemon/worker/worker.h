/*
 * The worker: one process that runs one guest process's OpenCL on the real runtime.
 *
 * Theory of operation. The session thread receives frames, copies them out, unpacks them into an
 * arena and calls the message's handler. Handlers look ids up, call the real runtime through the
 * ICD loader, and never wait in it: commands are enqueued, completions come back by event callbacks
 * on the runtime's threads, builds run on a pool. What goes back to the guest goes through the
 * outbox, which any thread may use.
 *
 * A handler returns 0, or a negative errno when the guest broke the protocol (unknown id, wrong
 * kind, a range outside the heap): that ends the session, and only it. An OpenCL call that fails is
 * no such thing: it is told to the guest by gcl_command_end() or gcl_object_failed().
 *
 * Locks: queue.lock and printer.lock are taken one at a time, outbox.lock inside either; all of
 * them are leaves as far as the runtime is concerned: none is held while it is called. Tables and
 * objects belong to the session thread alone; what a callback or the build pool needs is copied
 * into its own allocation beforehand.
 */
#ifndef GCL_WORKER_H
#define GCL_WORKER_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS

#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "channel.h"
#include "end.h"
#include "gate.h"
#include "messages.h"
#include "meter.h"
#include "note.h"
#include "page.h"
#include "quota.h"
#include "sides.h"

struct gcl_jobs;
struct gcl_printer;
struct gcl_watch;

/* One received message on its way through the stages. */
struct gcl_call {
	const struct gcl_frame
		*head; /* private copy; payload range already checked against the heap */
	const ProtobufCMessage *message;
	const void
		*payload; /* of a message that is done again (replay.c); else it is in the heap */
};

struct gcl_worker;

/* A stage does something and calls the next; the last is the message's handler. */
typedef int gcl_handler(struct gcl_worker *worker, const struct gcl_call *call);

/* ------------------------------------------------------------ objects (table.c) */

/* What stands behind an id. A tombstone (failed != 0) is an object the runtime refused to make. */
struct gcl_entry {
	uint64_t id;   /* 0: free */
	void *handle;  /* cl_context, cl_command_queue... by kind; NULL in a tombstone */
	void *detail;  /* struct gcl_queue and so on, or NULL; owned by the kind's file */
	cl_int failed; /* CL_SUCCESS, or what the runtime said */
};

struct gcl_table {
	struct gcl_entry **chunks; /* of GCL_TABLE_CHUNK entries each, made when first used; entries
				      never move */
	size_t chunk_count;
	size_t live;
};

#define GCL_TABLE_CHUNK 1024u

/** gcl_table_add() - a new entry for @id, which the guest picked. NULL: wrong kind, index too
 * large, or in use (-EPROTO for the caller), no memory. */
struct gcl_entry *gcl_table_add(struct gcl_worker *worker, uint64_t id, enum gcl_kind kind);

/** gcl_table_find() - the entry for @id, tombstones included, or NULL when there is none of that
 * kind and generation. */
struct gcl_entry *gcl_table_find(struct gcl_worker *worker, uint64_t id, enum gcl_kind kind);

/* Every entry of @table, tombstones included. */
#define gcl_table_for_each(entry, table)                                                           \
	for (struct gcl_entry *entry = gcl_table_next(table, NULL); entry;                         \
	     entry = gcl_table_next(table, entry))

/** gcl_table_next() - the entry behind @entry, or the first one; NULL at the end. */
struct gcl_entry *gcl_table_next(const struct gcl_table *table, const struct gcl_entry *entry);

/** gcl_table_remove() - forget the entry; does not release what it holds. */
void gcl_table_remove(struct gcl_worker *worker, struct gcl_entry *entry);

/*
 * Release by kind: give back what @entry holds (runtime object, detail, temporary memory), which
 * may be a tombstone. The caller removes the entry. Called for RELEASE and at the end of the
 * session.
 */
void gcl_device_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_context_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_queue_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_event_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_mem_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_sampler_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_program_release(struct gcl_worker *worker, struct gcl_entry *entry);
void gcl_kernel_release(struct gcl_worker *worker, struct gcl_entry *entry);

/** gcl_object_release() - the release of its kind. */
void gcl_object_release(struct gcl_worker *worker, struct gcl_entry *entry);

/** gcl_tables_fini() - release every object of the session and the tables themselves. */
void gcl_tables_fini(struct gcl_worker *worker);

/**
 * gcl_object_made() - finish the creation of an object: store the handle, or make a tombstone and
 * tell the guest.
 * @status: what the runtime's create call returned
 */
void gcl_object_made(struct gcl_worker *worker, struct gcl_entry *entry, void *handle,
		     cl_int status);

/* ------------------------------------------------------------ outbox (outbox.c) */

/* Messages that found no room in the ring wait here, in order, so that no thread of the runtime
 * ever blocks. */
/* What the ring keeps free for the last message, gcl_outbox_end()'s: a guest that does not read
 * what it is sent finds there why its session was ended. */
#define GCL_OUTBOX_LAST_ROOM 1024u

/* Of a message that has to be sent in pieces. */
#define GCL_OUTBOX_PART_MAX (GCL_FRAME_BODY_MAX - GCL_OUTBOX_LAST_ROOM)

struct gcl_outbox {
	pthread_mutex_t lock;
	struct gcl_list pending; /* struct outbox_item */
	_Atomic size_t
		pending_count;	 /* at most GCL_PENDING_COMPLETIONS_MAX; then the session ends */
	_Atomic uint64_t pushed; /* counts frames of these that found room */
	_Atomic size_t pending_bytes; /* at most GCL_PENDING_BYTES_MAX, as well */
	bool closed;		      /* nothing is sent any more: the session is being ended */
};

void gcl_outbox_init(struct gcl_outbox *outbox);
void gcl_outbox_fini(struct gcl_outbox *outbox);

/** gcl_send() - send a message to the guest from any thread; never blocks. @payload_size 0 for no
 * payload. */
void gcl_send(struct gcl_worker *worker, enum gcl_message number, const ProtobufCMessage *message,
	      uint64_t payload_offset, uint64_t payload_size);

/** gcl_outbox_end() - the last message: what waits and has not begun is given up, so that the guest
 * gets this one soon. */
void gcl_outbox_end(struct gcl_worker *worker, enum gcl_message number,
		    const ProtobufCMessage *message);

/** gcl_outbox_flush() - push what is pending into the ring, from any thread. Return: true when
 * nothing is left. */
bool gcl_outbox_flush(struct gcl_worker *worker);

/* ------------------------------------------------------------ queues and commands (queue.c,
 * command.c) */

/*
 * Detail of a GCL_KIND_QUEUE entry, of a tombstone as well. Belongs to the session thread, which
 * frees it when the entry is released and no completion is outstanding.
 *
 * Completions that the guest is told of stand in @awaited in the order of their commands. On an
 * in-order queue they go out in this order, whichever callback comes first, so that a command is
 * never seen complete before one that it follows; QUEUE_DONE stands in the same list, so that it
 * goes out after everything it covers on any queue.
 */
struct gcl_queue {
	struct gcl_list link;	     /* in worker.queues, or worker.closing after its release */
	cl_command_queue handle;     /* where it is now; NULL in a tombstone */
	cl_command_queue home;	     /* at home; the queue's own reference */
	unsigned side;		     /* where it is now */
	struct gcl_context *context; /* a reference */
	cl_device_id device;
	uint64_t id;
	unsigned page_index; /* of the device; GCL_PAGE_DEVICES_MAX: it is a server's */
	unsigned home_index; /* the same, when it is at home */
	cl_command_queue_properties properties;
	bool in_order;
	bool profiling;
	bool replayed; /* commands are on it that replay.c watches */
	bool kept;     /* released, but by a journal's ghost */
	bool follows;  /* made during a move: it goes where the others are when that has ended */
	cl_event last; /* of the last command since QUEUE_SYNC, on in-order queues; or NULL */

	pthread_mutex_t lock;	 /* protects what follows */
	struct gcl_list awaited; /* struct gcl_completion */
	unsigned outstanding;	 /* completions whose callback may still come */
	cl_ulong queued, ended;	 /* times of the last command that the guest was told of */
	cl_int failed;		 /* first failure since the last QUEUE_DONE */
};

/** gcl_queue_bit() - of the queue with this id, in gcl_contents.users. */
static inline uint64_t gcl_queue_bit(uint64_t id)
{
	return 1ull << (id & 63);
}

/* What a callback needs to tell the guest of a completion. */
struct gcl_completion {
	struct gcl_list link; /* in queue.awaited until it is told */
	struct gcl_completion *next_free;
	struct gcl_worker *worker;
	struct gcl_queue *queue;
	cl_event event;	   /* kept until the session thread reaps the completion; or NULL */
	uint64_t event_id; /* 0: a QUEUE_SYNC */
	uint64_t sync;	   /* its sequence */
	uint64_t payload_offset, payload_size;
	bool prints;
	bool done;     /* status and times are known */
	bool swept;    /* by gcl_completions_sweep(): its callback may still come, or never */
	bool called;   /* its callback came, or will not */
	bool withheld; /* how it ended isn't told before the session thread has decided */
	cl_int status;
	unsigned side;	   /* of its event */
	cl_ulong times[4]; /* queued, submitted, started, ended */
	cl_ulong known;	   /* sides.known when the command was given */
};

/* Unused completions: the session thread takes from @own, callbacks give back to @returned. */
struct gcl_completion_pool {
	struct gcl_completion *own;
	struct gcl_completion *_Atomic returned;
	_Atomic size_t outstanding; /* completions that the guest has not been told of */
	_Atomic uint32_t told;	    /* counts those that it was told of, wrapping */
	uint32_t told_before;	    /* session thread: told, when the last frame was handled */
};

/**
 * gcl_completion_await() - tell the guest when @event completes.
 * @what: queue, event_id, sync, payload and prints; copied
 * @event: taken over; NULL: it is complete
 *
 * Return: 0, -ENOMEM.
 */
int gcl_completion_await(struct gcl_worker *worker, const struct gcl_completion *what,
			 cl_event event);

/** gcl_completions_freeze() - whatever becomes of the completions of @side that aren't done, nobody
 * is told; @each is called for each. */
void gcl_completions_freeze(struct gcl_worker *worker, unsigned side,
			    void (*each)(struct gcl_completion *completion, void *arg), void *arg);

/** gcl_completions_lose() - tell what became of all that are still withheld. */
void gcl_completions_lose(struct gcl_worker *worker, unsigned side);

/**
 * gcl_completion_renew() - a frozen one is that of another event, at home.
 * @event: taken over; NULL: it is over, with @status
 */
void gcl_completion_renew(struct gcl_worker *worker, struct gcl_completion *completion,
			  cl_event event, cl_int status);

/** gcl_completions_reap() - session thread: release events whose completion was told. */
void gcl_completions_reap(struct gcl_worker *worker);

/** gcl_completions_sweep() - session thread: find commands that are over and whose callback does
 * not come. */
void gcl_completions_sweep(struct gcl_worker *worker);

void gcl_completions_fini(struct gcl_worker *worker);

/** gcl_event_failed() - the negative status of a failed event, else CL_SUCCESS. */
cl_int gcl_event_failed(cl_event event);

/** gcl_queue_fail() - remember the queue's first failure, and tell the guest. */
void gcl_queue_fail(struct gcl_worker *worker, struct gcl_queue *queue, cl_int status,
		    const char *text);

/** gcl_queue_retire() - the guest has released it: it is nowhere but at home. @keep: and will be
 * released for good later. */
void gcl_queue_retire(struct gcl_worker *worker, struct gcl_queue *queue, bool keep);

/** gcl_queues_prune() - free released queues without outstanding completions (@all: with them). */
void gcl_queues_prune(struct gcl_worker *worker, bool all);

/* A command between its message and the runtime. Filled by begin; the handler passes the four
 * fields to clEnqueue*. */
struct gcl_command {
	struct gcl_queue *queue;
	unsigned side;	      /* the queue's */
	struct gcl_use *uses; /* in the arena; where sessions can move only */
	unsigned use_count, use_room;
	const uint64_t *gates; /* in the arena: user events that it waits for; likewise */
	unsigned gate_count;
	bool bars;		 /* what its queue is given later waits for it */
	struct gcl_gated *gated; /* until gcl_gated_note(), or NULL */
	bool settled;
	cl_uint wait_count;
	const cl_event *waits;	       /* in the arena; NULL when wait_count is 0 */
	cl_event event;		       /* set by clEnqueue*: always pass &command.event */
	struct gcl_entry *event_entry; /* of the event the guest wants, or NULL */
	uint64_t payload_offset,
		payload_size; /* heap range that the command fills, told with its EVENT_DONE */
	bool prints;	      /* a kernel launch: what it printed goes out before its completion */
	bool told;	      /* it is done again, and the guest knows that it is complete */
	bool kernel;	      /* a kernel launch, whose time is limited */
	uint64_t work; /* what the device has to do, for gate and meter; 0: next to nothing */
	cl_int failed; /* set by begin when queue or a wait is a tombstone: skip the call and end
			  with it */
};

/** gcl_command_begin() - look up queue and waits. Return: 0 or -EPROTO. */
int gcl_command_begin(struct gcl_worker *worker, const Gcl__Command *message,
		      struct gcl_command *command);

/** gcl_command_skipped() - it only reads what the guest has had before. */
bool gcl_command_skipped(const struct gcl_command *command);

/** gcl_command_mark() - enqueue a marker in its place. Return: what the runtime said. */
cl_int gcl_command_mark(struct gcl_command *command);

/**
 * gcl_command_end() - keep the event and ask for its completion, or, with a negative @status, make
 * the failure known.
 *
 * On failure the guest gets QUEUE_FAILED, and the event id becomes a user event with that status,
 * so that commands that wait on it are poisoned by the runtime as for any failed command.
 * @what: name of the runtime's call, for the message. Return: 0 or a negative errno that ends the
 * session.
 */
int gcl_command_end(struct gcl_worker *worker, struct gcl_command *command, cl_int status,
		    const char *what);

/* ------------------------------------------------------------ memory objects (memory.c, image.c)
 */

/* Detail of a GCL_KIND_CONTEXT entry, of a tombstone as well. Owned by the session thread. */
struct gcl_context {
	unsigned refs;			    /* the entry, queues, memory objects, samplers */
	uint32_t devices;		    /* as gcl_quota_devices() has it */
	bool svm;			    /* its devices offer coarse-grained SVM */
	cl_context handles[GCL_SIDES];	    /* owned; NULL where it isn't */
	cl_command_queue copies[GCL_SIDES]; /* for what goes from side to side; made when needed */
	struct gcl_hasher *hashers[GCL_SIDES]; /* for what goes from there; a move's; or NULL */
	bool memory;			       /* at home it is this host's memory; known with
						* copies[GCL_HOME] */
	struct gcl_list twins;		       /* in sides.contexts, once it has any */
	struct gcl_list allocations;	       /* struct gcl_mem: its SVM, by svm_link */
};

struct gcl_context *gcl_context_get(struct gcl_context *context);

/** gcl_svm_offered() - does one of them offer coarse-grained SVM? */
bool gcl_svm_offered(const cl_device_id *devices, size_t count);

/** gcl_context_put() - accepts NULL. */
void gcl_context_put(struct gcl_context *context);

/* Detail of a GCL_KIND_MEM entry; a tombstone has one too, so that ranges are checked all the same.
 */
struct gcl_mem {
	unsigned refs;		     /* the entry, parts of it, kernels' arguments, a move */
	cl_mem handles[GCL_SIDES];   /* owned; NULL where it isn't, and in a tombstone */
	cl_int failed;		     /* of a tombstone */
	struct gcl_context *context; /* a reference; NULL: not known yet */
	struct gcl_mem *parent;	     /* of a part of a buffer, an image of one: a reference */
	uint64_t size;		     /* of a buffer; bounds are checked against it */
	cl_mem_object_type type;     /* CL_MEM_OBJECT_BUFFER, or which kind of image */
	size_t element_size;	     /* of an image */
	size_t extent[3]; /* of an image, layers of an array in its last dimension, unused ones 1 */
	bool resident;
	bool ghost;		  /* the guest has released it, and a journal keeps it */
	cl_mem_flags flags;	  /* as the runtime got them, without host pointers */
	uint64_t origin;	  /* of a part of a buffer */
	cl_image_format format;	  /* of an image */
	void *svm;		  /* shared virtual memory: where it is; of a buffer that is a part
				   * of such, as well; else NULL */
	struct gcl_list svm_link; /* in context.allocations */
	struct gcl_contents contents;
	struct gcl_list twins; /* in sides.mems, once it has any */
};

/** gcl_mem_use() - memory object @id for a command that does @access with it; a tombstone or one of
 * another context sets command->failed. Return: NULL when there is no such thing (-EPROTO). */
struct gcl_mem *gcl_mem_use(struct gcl_worker *worker, uint64_t id, struct gcl_command *command,
			    enum gcl_access access);

struct gcl_mem *gcl_mem_get(struct gcl_mem *mem);

/** gcl_mem_haunt() - if nothing but a journal has it any more, it needs no memory elsewhere. */
void gcl_mem_haunt(struct gcl_mem *mem);

/** gcl_mem_put() - accepts NULL. */
void gcl_mem_put(struct gcl_mem *mem);

/* Whose contents those of @mem are a part of. */
static inline struct gcl_mem *gcl_mem_root(struct gcl_mem *mem)
{
	while (mem->parent)
		mem = mem->parent;
	return mem;
}

static inline bool gcl_mem_is_image(const struct gcl_mem *mem)
{
	return mem->type != CL_MEM_OBJECT_BUFFER;
}

/* ------------------------------------------------------------ programs and kernels (program.c,
 * build.c, kernel.c) */

struct gcl_kernel_arg {
	uint8_t kind;	/* enum gcl_arg_kind */
	bool refused;	/* the runtime did not take what the guest gave last */
	uint8_t access; /* enum gcl_access: what the kernel may do with a memory object */
	uint8_t stale;	/* a bit for each side where it has to be set yet */
	/* What it was set to last, where sessions can move. */
	struct gcl_mem *mem;	     /* a reference, or NULL */
	struct gcl_sampler *sampler; /* a reference, or NULL */
	void *data;		     /* of a value; owned */
	uint64_t size;		     /* of a value, or of local memory */
	const void *svm;	     /* a pointer into mem, or anywhere if that is NULL */
	bool svm_set;
};

/* Detail of a GCL_KIND_SAMPLER entry. */
struct gcl_sampler {
	unsigned refs; /* the entry, kernels' arguments */
	cl_sampler handles[GCL_SIDES];
	struct gcl_context *context;
	cl_bool normalized;
	cl_addressing_mode addressing;
	cl_filter_mode filter;
	struct gcl_list twins; /* in sides.samplers, once it has any */
};

/** gcl_sampler_put() - accepts NULL. */
void gcl_sampler_put(struct gcl_sampler *sampler);

/* Detail of a GCL_KIND_KERNEL entry; NULL in a tombstone. */
struct gcl_kernel {
	cl_kernel handle;	    /* at home; the entry's */
	cl_kernel twins[GCL_SIDES]; /* elsewhere; owned */
	uint64_t journaled;	    /* epoch of the last journal that has a launch of it */
	struct gcl_context *owner;  /* a reference */
	cl_context context;
	struct gcl_program *program; /* a reference: the runtime's program lives as long */
	struct gcl_recipe *recipe;   /* how that was made, as it was then; may be NULL */
	cl_uint refused;       /* arguments that are refused: no launch until they are set again */
	cl_int refused_status; /* of the last such argument */
	uint64_t *reach;       /* ids of SVM that it reaches beside its arguments; owned */
	size_t reach_count;
	bool reaches;	     /* it has been said which */
	uint8_t reach_stale; /* a bit for each side that has to be told yet */
	cl_uint arg_count;
	struct gcl_kernel_arg args[];
};

/* Whether the runtime is asked after a build how large the program is; see program-memory.c. */
enum gcl_program_sizes {
	GCL_PROGRAM_SIZES_AUTO,
	GCL_PROGRAM_SIZES_ALWAYS,
	GCL_PROGRAM_SIZES_NEVER,
};
extern const char *const gcl_program_sizes_names[];

/* ------------------------------------------------------------ what may take too long (timing.c) */

#define GCL_BUILD_THREADS_MAX 4u

struct gcl_timing {
	pthread_mutex_t lock; /* a leaf; protects all but what the thread alone has */
	pthread_cond_t wake;
	bool started, stopping;
	bool idle; /* the thread sleeps until it is woken */
	pthread_t thread;
	struct gcl_list incoming; /* launches that the thread has not seen yet */
	struct gcl_list unused;	  /* some that are over */
	unsigned unused_count;
	struct gcl_list launches, over;		 /* the thread's own */
	unsigned builds;			 /* that run */
	int64_t build_ns[GCL_BUILD_THREADS_MAX]; /* how long; -1: none */
	uint64_t build_memory;			 /* before the first of them */
	bool asked;				 /* the thread's own: the session is to be ended */
};

void gcl_timing_init(struct gcl_timing *timing);

/** gcl_timing_fini() - end the thread and let go of all events. */
void gcl_timing_fini(struct gcl_worker *worker);

/** gcl_timing_launch() - session thread: watch how long a kernel runs, if that is limited. */
void gcl_timing_launch(struct gcl_worker *worker, const struct gcl_queue *queue, cl_event event);

/** gcl_timing_build_begin() - a build begins on this thread. Return: for gcl_timing_build_end(). */
int gcl_timing_build_begin(struct gcl_worker *worker);
void gcl_timing_build_end(struct gcl_worker *worker, int build);

/* ------------------------------------------------------------ the worker itself (main.c,
 * session.c) */

struct gcl_worker {
	struct gcl_channel *channel;
	struct gcl_page *page; /* shared with the broker, or @own_page */
	pid_t pid;
	int broker;	    /* the broker's socket; -1 in tests */
	int note_fd;	    /* watch thread: came with the note that is handled; or -1. Who takes
			       it over sets it to -1, else it is closed */
	const char *client; /* option: libguestcl.so, by which queues move; NULL: they can't */
	uint64_t replay_memory; /* option: bytes that a journal may have; 0: there is none */
	uint64_t replay_time;	/* option: ns that may be done again */
	struct gcl_table tables[GCL_KIND_COUNT];
	struct gcl_arena arena; /* of the message being handled */
	struct gcl_outbox outbox;
	struct gcl_completion_pool completions;
	struct gcl_list queues, closing;     /* struct gcl_queue */
	struct gcl_jobs *builder;	     /* pool for builds (builder.c); or NULL */
	struct gcl_printer *printer;	     /* what kernels print (print.c) */
	Gcl__Welcome *welcome;		     /* snapshot, made before the guest came (snapshot.c) */
	bool resident;			     /* option: buffers may live in the heap */
	unsigned program_sizes;		     /* option: enum gcl_program_sizes */
	struct gcl_program *_Atomic refused; /* too large; see program-memory.c */
	_Atomic bool may_print;		     /* some program of the session can print */
	struct gcl_watch *watch;	     /* the thread that looks after all this (watch.c) */
	uint8_t *parts;			     /* a message of several frames, put together */
	size_t parts_size, parts_room;
	cl_device_id accounted[GCL_PAGE_DEVICES_MAX]; /* the page's devices */
	unsigned accounted_count;
	struct gcl_quota quota;
	struct gcl_timing timing;
	struct gcl_meter meter;
	struct gcl_gate gate;
	struct gcl_sides sides;
	struct gcl_page own_page; /* until there is a shared one */
	uint8_t body[GCL_FRAME_MAX];
};

/** gcl_worker_init() - a worker without channel, threads or snapshot. */
void gcl_worker_init(struct gcl_worker *worker);

/** gcl_worker_fini() - release all objects and memory; no callback may be outstanding. Not on the
 * way out of a real worker, which just exits. */
void gcl_worker_fini(struct gcl_worker *worker);

/** gcl_session_run() - serve the guest until it goes or breaks the rules. Return: 0 or the negative
 * errno that ended it. */
int gcl_session_run(struct gcl_worker *worker);

/** gcl_dispatch() - first stage: unpack and go on to the handler. Also the fuzzer's entry. */
int gcl_dispatch(struct gcl_worker *worker, const struct gcl_frame *head, const void *body,
		 size_t size);

/** gcl_execute() - the message's handler alone. */
int gcl_execute(struct gcl_worker *worker, const struct gcl_call *call);

/** gcl_launch_args() - of a LAUNCH, only set the arguments. */
int gcl_launch_args(struct gcl_worker *worker, const struct gcl_call *call);

/** gcl_call_payload() - @size bytes of the payload; NULL if they aren't wholly in the heap. */
void *gcl_call_payload(const struct gcl_worker *worker, const struct gcl_call *call, uint64_t size);

/** gcl_snapshot_make() - ask the runtime for all platforms and devices, enter their handles in the
 * tables, and fill worker->welcome. Return: 0 or -errno. */
int gcl_snapshot_make(struct gcl_worker *worker);

/** gcl_snapshot_device() - describe one (sub-)device under @id; allocated by malloc in protobuf-c's
 * layout. Return: NULL without memory. */
Gcl__Device *gcl_snapshot_device(const struct gcl_worker *worker, cl_device_id device, uint64_t id);

/** gcl_print_start() - make a pipe of the process's standard output, where the runtime writes what
 * kernels print. Before the runtime is loaded. Return: 0 or -errno. */
int gcl_print_start(struct gcl_worker *worker);

/** gcl_print_flush() - send what kernels have printed so far, from any thread; called before a
 * launch's completion is told. */
void gcl_print_flush(struct gcl_worker *worker);

/** gcl_print_flush_all() - the same even when no program of the session is known to print: what the
 * runtime itself says comes before the answer to the call in which it did. */
void gcl_print_flush_all(struct gcl_worker *worker);

/** gcl_print_drain() - the same of what has left the runtime's stdio already. */
void gcl_print_drain(struct gcl_worker *worker);

/** gcl_print_fd() - readable when something was printed; -1 without a printer. */
int gcl_print_fd(const struct gcl_worker *worker);

/**
 * gcl_watch_start() - start the thread that ends the process as soon as guest or broker is gone,
 * whatever the others are doing, and that keeps pipe and outbox moving.
 * @guest, @broker: sockets whose end tells
 */
int gcl_watch_start(struct gcl_worker *worker, int guest, int broker);

/** gcl_progress() - session thread: it is at something from now on (@busy), or waits for what may
 * take any time. The broker ends a session that is at the same thing for long. */
static inline void gcl_progress(struct gcl_worker *worker, bool busy)
{
	uint64_t steps = gcl_page_read(&worker->page->steps);

	if ((steps & 1) != busy)
		atomic_store_explicit(&worker->page->steps, steps + 1, memory_order_relaxed);
}

/** gcl_watch_end() - watch thread: the last message is sent; exit when the guest is gone, or soon.
 */
void gcl_watch_end(struct gcl_worker *worker);

/** gcl_watch_wake() - something waits in the outbox. */
void gcl_watch_wake(struct gcl_worker *worker);

/** gcl_worker_page_map() - use the page behind @fd from now on. Return: 0 or -errno. */
int gcl_worker_page_map(struct gcl_worker *worker, int fd);

/** gcl_worker_page_enter() - the next of the page's devices is this one. Return: false: there are
 * too many, and it is not to be offered. */
bool gcl_worker_page_enter(struct gcl_worker *worker, cl_platform_id platform, cl_device_id device);

/** gcl_worker_page_index() - which of the page's devices @device is, or a part of;
 * GCL_PAGE_DEVICES_MAX: none. */
unsigned gcl_worker_page_index(const struct gcl_worker *worker, cl_device_id device);

/** gcl_trace_now() - ns of CLOCK_MONOTONIC. */
uint64_t gcl_trace_now(void);

/** gcl_trace_begin() - a note of message @number, of @size bytes, that begins now. */
void gcl_trace_begin(struct gcl_trace_note *note, unsigned number, uint64_t size);

/** gcl_note_send() - tell the broker, from any thread; never waits. Return: 0 or -errno: the broker
 * is gone, or has not looked for long. */
int gcl_note_send(struct gcl_worker *worker, const struct gcl_note *note);

/** gcl_worker_end_want() - a limit was exceeded: have the broker end the session, from any thread.
 * @value: the limit. Where there is no broker the channel is killed. */
void gcl_worker_end_want(struct gcl_worker *worker, enum gcl_end_reason reason, uint64_t value);

/** gcl_note_receive() - watch thread: take one note of the broker's. Return: 1, 0 when there is
 * none now, -EPIPE at the end, -errno. */
int gcl_note_receive(struct gcl_worker *worker);

/* What a note of the broker's does; runs on the watch thread, and must not block. Return: 0, or
 * -errno, which ends the process. */
#define GCL_NOTE_DECLARE(constant, name)                                                           \
	int gcl_note_##name(struct gcl_worker *worker, const struct gcl_note *note);
GCL_NOTES_TO_WORKER(GCL_NOTE_DECLARE)
#undef GCL_NOTE_DECLARE

/* Handlers, one for each message to the worker; each stands in the file of its noun. */
#define GCL_HANDLER_DECLARE(number, constant, type)                                                \
	int gcl_handle_##type(struct gcl_worker *worker, const struct gcl_call *call);
GCL_MESSAGES_TO_WORKER(GCL_HANDLER_DECLARE)
#undef GCL_HANDLER_DECLARE

#endif
