/*
 * The guest's end of a session: posting messages, receiving what comes back, waiting.
 *
 * Theory of operation. Any thread posts (tx_lock). Nobody receives in the background unless
 * callbacks are due or the session is an opened platform's: a thread that waits takes rx_lock,
 * receives and handles messages for everyone (it leads), and wakes the others (they follow) when
 * something changed. The notifier thread (callback.c) leads while callbacks are awaited and nobody
 * else waits, and is the only thread that runs the program's callbacks.
 *
 * Lock order: queue->lock, kernel->lock, program->lock, mem->lock, rx_lock, (event->lock),
 * request_lock, tx_lock, heap, pools. Message handlers (gcl_on_*) run with rx_lock held: they never
 * take queue, kernel or program locks, never wait, never run callbacks.
 */
#ifndef GCL_SESSION_H
#define GCL_SESSION_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_2_0_APIS
#define CL_USE_DEPRECATED_OPENCL_2_1_APIS
#define CL_USE_DEPRECATED_OPENCL_2_2_APIS

#include <CL/cl.h>
#include <pthread.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "channel.h"
#include "heap.h"
#include "messages.h"
#include "object.h"

struct gcl_notifier;

struct gcl_session {
	struct gcl_channel *channel;
	struct gcl_heap *heap;
	_Atomic bool
		lost;  /* dead channel, or a fork's copy: every call that needs the host fails */
	bool resident; /* host keeps CPU devices' memory objects in the heap */
	bool opened;   /* an opened platform's, which may end before the process does */
	_Atomic bool closing;  /* its end is meant */
	pid_t pid;	       /* of an opened one: the process that opened it */
	struct gcl_list link;  /* of an opened one: connect.c's list of them */
	Gcl__Welcome *welcome; /* kept for the session's life: info values point into it */
	struct gcl_notifier *notifier;

	pthread_mutex_t tx_lock;
	_Atomic unsigned posts; /* under tx_lock; every now and then a poster drains */

	pthread_mutex_t rx_lock;
	char ended[256]; /* why the host has ended the session, if it has said so */
	struct gcl_arena arena;
	uint8_t *body;	  /* one frame */
	uint8_t *partial; /* a message being put together from frames */
	size_t partial_size;

	pthread_mutex_t change_lock; /* followers wait for change */
	pthread_cond_t change;
	_Atomic unsigned followers; /* changed under change_lock */
	_Atomic bool leader_waits;  /* the leader is, or is about to be, in gcl_channel_wait() */

	pthread_mutex_t request_lock;
	struct gcl_list requests; /* struct gcl_request.link */

	_Atomic size_t expected; /* blocks that the host has to let go of; see block.c */
};

/**
 * gcl_session_current() - this process's session, connected at the first call; NULL without a host.
 * After a failure it tries again at most once a second. A forked child gets a session of its own.
 */
struct gcl_session *gcl_session_current(void);

/**
 * gcl_session_open() - a session beside the process's own, for one platform.
 * @conn: a connected stream socket, taken over in any case
 *
 * Its notifier always receives when no other thread does. Return: 0, or -errno and a line for
 * people.
 */
int gcl_session_open(int conn, struct gcl_session **out, char *reason, size_t reason_size);

/**
 * gcl_session_end() - end an opened session: all that is under way fails, and the callbacks have
 * run when this returns. May be called again.
 * Return: 0, or -EDEADLK from one of those callbacks.
 */
int gcl_session_end(struct gcl_session *session);

/** gcl_session_destroy() - free an opened session that was ended and has no object any more. */
void gcl_session_destroy(struct gcl_session *session);

/** gcl_session_lose() - the channel is of no use any more, for the reason @err. */
void gcl_session_lose(struct gcl_session *session, int err);

/** gcl_session_drain() - handle what has arrived, if no other thread is at it; never waits. */
void gcl_session_drain(struct gcl_session *session);

/**
 * gcl_session_wait() - wait until @done(@arg) is true.
 * @done is called often, from this thread only, without locks.
 * Return: CL_SUCCESS, or CL_DEVICE_NOT_AVAILABLE when the session was lost and @done is still
 * false.
 */
cl_int gcl_session_wait(struct gcl_session *session, bool (*done)(const void *arg),
			const void *arg);

/** gcl_session_wake() - let waiting threads look at what they wait for again: something changed in
 * the guest itself. */
void gcl_session_wake(struct gcl_session *session);

/**
 * gcl_session_lead() - notifier thread: lead until something was handled or nobody needs it.
 * Return: false when another thread leads (or the session is lost).
 */
bool gcl_session_lead(struct gcl_session *session);

/**
 * gcl_post() - send a message; waits only for room in the ring.
 * @payload_size: bytes of the heap at @payload_offset that go with it, 0 for none
 * @sequence: set to the message's number, may be NULL
 *
 * Return: CL_SUCCESS, CL_DEVICE_NOT_AVAILABLE (session lost), CL_OUT_OF_RESOURCES (message too
 * long).
 */
cl_int gcl_post_payload(struct gcl_session *session, enum gcl_message number,
			const ProtobufCMessage *message, uint64_t payload_offset,
			uint64_t payload_size, uint64_t *sequence);

static inline cl_int gcl_post(struct gcl_session *session, enum gcl_message number,
			      const ProtobufCMessage *message)
{
	return gcl_post_payload(session, number, message, 0, 0, NULL);
}

/** gcl_post_release() - tell the host that the object is gone. Errors don't matter: then the host
 * is gone. */
void gcl_post_release(struct gcl_session *session, uint64_t id);

/* A message that is answered. Lies where the caller likes until done. */
struct gcl_request {
	struct gcl_list link;
	uint64_t sequence;
	enum gcl_message answer_number;
	bool entered;		  /* was put in the session's list */
	ProtobufCMessage *answer; /* by malloc: free with protobuf_c_message_free_unpacked(answer,
				     NULL); NULL when lost */
	_Atomic bool done;
	void (*on_done)(struct gcl_request *request); /* or NULL; runs as a handler does; @request
							 is the callee's from then on */
};

/** gcl_request_post() - post a question; @request is done later (at once when it fails: then
 * on_done is not called). */
cl_int gcl_request_post(struct gcl_session *session, enum gcl_message number,
			const ProtobufCMessage *message, enum gcl_message answer_number,
			struct gcl_request *request);

/** gcl_ask() - post a question and wait for its answer. Return: CL_SUCCESS and *@answer (the caller
 * frees it), or an error. */
cl_int gcl_ask(struct gcl_session *session, enum gcl_message number,
	       const ProtobufCMessage *message, enum gcl_message answer_number,
	       ProtobufCMessage **answer);

/* Handlers of messages from the host, each in the file of its noun; message valid during the call.
 * Answers go to requests (session.c). */
void gcl_on_context_notice(struct gcl_session *session, const struct gcl_frame *head,
			   const Gcl__ContextNotice *message);
void gcl_on_print(struct gcl_session *session, const struct gcl_frame *head,
		  const Gcl__Print *message);
void gcl_on_object_failed(struct gcl_session *session, const struct gcl_frame *head,
			  const Gcl__ObjectFailed *message);
void gcl_on_queue_done(struct gcl_session *session, const struct gcl_frame *head,
		       const Gcl__QueueDone *message);
void gcl_on_queue_failed(struct gcl_session *session, const struct gcl_frame *head,
			 const Gcl__QueueFailed *message);
void gcl_on_event_done(struct gcl_session *session, const struct gcl_frame *head,
		       const Gcl__EventDone *message);
void gcl_on_mem_freed(struct gcl_session *session, const struct gcl_frame *head,
		      const Gcl__MemFreed *message);

/** gcl_on_session_ended() - note why; the caller ends the session. */
void gcl_on_session_ended(struct gcl_session *session, const Gcl__SessionEnded *message);

/* The session is lost: end all that is under way (event.c, memory.c). Called once, with rx_lock
 * held. */
void gcl_events_lose(struct gcl_session *session);
void gcl_blocks_lose(struct gcl_session *session);

/* ------------------------------------------------------------ callbacks (callback.c) */

/**
 * gcl_notify() - run @fn(@arg) on the notifier thread, in order; starts the thread when needed.
 * May be called from handlers. Return: 0 or -ENOMEM / -EAGAIN.
 */
int gcl_notify(struct gcl_session *session, void (*fn)(void *arg), void *arg);

/** gcl_notifier_arm() / disarm() - a callback is awaited: someone must receive even if no thread of
 * the program does. Counted. Return: -errno where there is no thread for it. */
int gcl_notifier_arm(struct gcl_session *session);
void gcl_notifier_disarm(struct gcl_session *session);

/** gcl_notifier_poke() - a thread stopped leading: the notifier may have to take over. Cheap when
 * nothing is armed. */
void gcl_notifier_poke(struct gcl_session *session);

/** gcl_notifier_due() - must the notifier look after something else than receiving? */
bool gcl_notifier_due(const struct gcl_session *session);

/** gcl_notifier_self() - is this the notifier thread? */
bool gcl_notifier_self(const struct gcl_session *session);

/** gcl_notifier_create() - without a thread yet. */
struct gcl_notifier *gcl_notifier_create(struct gcl_session *session);

/** gcl_notifier_end() - let the thread run the jobs that are left, and wait for its end; none
 * starts again. Return: 0, or -EDEADLK on that thread itself. */
int gcl_notifier_end(struct gcl_session *session);

/** gcl_notifier_destroy() - ended, or never started. */
void gcl_notifier_destroy(struct gcl_notifier *notifier);

#endif
