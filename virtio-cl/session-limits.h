/*
 * Every limit of a session, in one place: what is exceeded is refused by name.
 *
 * Sizes are in bytes. A peer that goes over one of these ends its own session, or gets
 * the OpenCL error given beside it; nothing else is touched.
 */
#ifndef GCL_SESSION_LIMITS_H
#define GCL_SESSION_LIMITS_H

/* One frame with its header; longer messages are split (GCL_FRAME_MORE). */
#define GCL_FRAME_MAX (64u * 1024u)

/* One message put together from frames: a program's source, a build log. CL_OUT_OF_RESOURCES
 * beyond. */
#define GCL_MESSAGE_MAX (64u * 1024u * 1024u)

/* Data bytes of the rings, powers of two; a peer may ask for less, never for more. */
#define GCL_RING_COMMANDS_SIZE	  (1u * 1024u * 1024u)
#define GCL_RING_COMPLETIONS_SIZE (256u * 1024u)
#define GCL_RING_SIZE_MIN	  (2u * GCL_FRAME_MAX)
#define GCL_RING_SIZE_MAX	  (16u * 1024u * 1024u)

/* Address space of a session's heap; memory is only taken when touched.
 * CL_MEM_OBJECT_ALLOCATION_FAILURE beyond. */
#define GCL_HEAP_MAX   (64ull << 30)
#define GCL_HEAP_CHUNK (2ull << 20)

/* Live objects of one kind in one session. CL_OUT_OF_HOST_MEMORY beyond. */
#define GCL_OBJECTS_MAX (1u << 20)

/* Completions that a worker keeps for a guest that does not read them; then the session ends. */
#define GCL_PENDING_COMPLETIONS_MAX (1u << 20)
#define GCL_PENDING_BYTES_MAX	    (256u * 1024u * 1024u)

/* Data that travels inside a message instead of in the heap: kernel arguments, fill patterns. */
#define GCL_INLINE_MAX 4096u

/*
 * Addresses that shared virtual memory has on both sides, unless the runtime wants it elsewhere:
 * the kernel puts nothing there by itself, so that what is free in one process is in the other.
 */
#define GCL_SVM_FIRST 0x200000000000ull
#define GCL_SVM_END   0x400000000000ull

/* Where guests like their heap, so that what is allocated in it can have its address on both sides,
 * too. */
#define GCL_SVM_HEAP_FIRST GCL_SVM_END
#define GCL_SVM_HEAP_END   0x500000000000ull

/* One wait list. */
#define GCL_WAITS_MAX 65536u

/*
 * How long a side looks at a ring before it sleeps, in ns. Shorter, and both sides sleep between
 * the commands of a program that waits for each; longer, and a thread of the runtime that was put
 * behind the looking one waits for that long. The worker outlasts the guest, so that it is still
 * there when the guest, woken late, has its next command. (On two CPUs, kernel and clFinish took
 * 7 us with 20 and 30 us, 30 us with 10 and 10, 35 us with 30 and 30.)
 */
#define GCL_SPIN_GUEST_NS  20000u
#define GCL_SPIN_WORKER_NS 30000u

/* How long a guest waits for the daemon's answer to its greeting, in ms. */
#define GCL_HELLO_TIMEOUT_MS 10000

#endif
