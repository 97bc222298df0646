/*
 * The session's messages: posting, receiving, waiting. See session.h for how threads share the
 * work.
 *
 * Must not: hold tx_lock while handling messages (handlers post), run the program's callbacks.
 */
#include "session.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest.h"
#include "session-private.h"

/* A thread that only posts looks for what came back now and then, so that the host need not keep
 * it. */
#define POSTS_PER_DRAIN 256u

/* How long a poster sleeps before it looks for room in the ring again. */
#define ROOM_SLEEP_NS 50000

/* How long a follower looks before it sleeps. */
#define FOLLOW_SPINS 20

static void changed(struct gcl_session *session)
{
	atomic_thread_fence(memory_order_seq_cst); /* pairs with follow(): state, then followers */
	if (!atomic_load_explicit(&session->followers, memory_order_relaxed))
		return;
	pthread_mutex_lock(&session->change_lock);
	pthread_cond_broadcast(&session->change);
	pthread_mutex_unlock(&session->change_lock);
}

/* ------------------------------------------------------------ requests */

static struct gcl_request *request_take(struct gcl_session *session, uint64_t sequence)
{
	struct gcl_request *found = NULL;

	pthread_mutex_lock(&session->request_lock);
	gcl_list_for_each (it, &session->requests) {
		struct gcl_request *request = gcl_container_of(it, struct gcl_request, link);

		if (request->sequence == sequence) {
			found = request;
			gcl_list_remove(&found->link);
			break;
		}
	}
	pthread_mutex_unlock(&session->request_lock);
	return found;
}

/* Takes @answer over; the request is the waiter's as soon as done is set. */
static void request_finish(struct gcl_request *request, ProtobufCMessage *answer)
{
	request->answer = answer;
	if (request->on_done)
		request->on_done(request);
	else
		atomic_store_explicit(&request->done, true, memory_order_release);
}

static void requests_lose(struct gcl_session *session)
{
	struct gcl_list lost = GCL_LIST_INIT(lost);

	pthread_mutex_lock(&session->request_lock);
	gcl_list_take_all(&lost, &session->requests);
	pthread_mutex_unlock(&session->request_lock);
	gcl_list_for_each_safe (it, next, &lost) {
		struct gcl_request *request = gcl_container_of(it, struct gcl_request, link);

		gcl_list_remove(it);
		request_finish(request, NULL);
	}
}

static uint64_t answered_request(unsigned number, const ProtobufCMessage *message)
{
	switch (number) {
	case GCL_ANSWER_SUB_DEVICES:
		return ((const Gcl__SubDevicesAnswer *)message)->request;
	case GCL_ANSWER_BUILD:
		return ((const Gcl__BuildAnswer *)message)->request;
	case GCL_ANSWER_BINARIES:
		return ((const Gcl__BinariesAnswer *)message)->request;
	case GCL_ANSWER_ARG_PROBE:
		return ((const Gcl__ArgProbeAnswer *)message)->request;
	case GCL_ANSWER_SVM:
		return ((const Gcl__SvmAnswer *)message)->request;
	case GCL_ANSWER_SIZES:
		return ((const Gcl__SizesAnswer *)message)->request;
	case GCL_ANSWER_SPECIALIZE:
		return ((const Gcl__SpecializeAnswer *)message)->request;
	default:
		return 0;
	}
}

static bool is_answer(unsigned number)
{
	return (number >= GCL_ANSWER_SUB_DEVICES && number <= GCL_ANSWER_ARG_PROBE) ||
	       number == GCL_ANSWER_SVM || number == GCL_ANSWER_SIZES ||
	       number == GCL_ANSWER_SPECIALIZE;
}

static int handle_answer(struct gcl_session *session, unsigned number, const void *body,
			 size_t size)
{
	ProtobufCMessage *answer =
		protobuf_c_message_unpack(gcl_message_descriptor(number), NULL, size, body);
	struct gcl_request *request;

	if (!answer)
		return -EPROTO;
	request = request_take(session, answered_request(number, answer));
	if (!request || request->answer_number != number) {
		protobuf_c_message_free_unpacked(answer, NULL);
		if (request)
			request_finish(request, NULL);
		return -EPROTO;
	}
	request_finish(request, answer);
	return 0;
}

/* ------------------------------------------------------------ receiving; all with rx_lock held */

#define HANDLE(constant, type, Type)                                                               \
	case GCL_##constant:                                                                       \
		gcl_on_##type(session, head, (const Gcl__##Type *)message);                        \
		return 0;

static int handle_message(struct gcl_session *session, const struct gcl_frame *head,
			  const void *body, size_t size)
{
	ProtobufCMessage *message;

	if (is_answer(head->number))
		return handle_answer(session, head->number, body, size);
	message = gcl_message_unpack(&session->arena, head->number, body, size);
	if (!message)
		return -EPROTO;
	switch (head->number) {
		HANDLE(CONTEXT_NOTICE, context_notice, ContextNotice)
		HANDLE(PRINT, print, Print)
		HANDLE(OBJECT_FAILED, object_failed, ObjectFailed)
		HANDLE(QUEUE_DONE, queue_done, QueueDone)
		HANDLE(QUEUE_FAILED, queue_failed, QueueFailed)
		HANDLE(EVENT_DONE, event_done, EventDone)
		HANDLE(MEM_FREED, mem_freed, MemFreed)
	case GCL_SESSION_ENDED:
		gcl_on_session_ended(session, (const Gcl__SessionEnded *)message);
		return -ECONNABORTED;
	default:
		return -EPROTO;
	}
}

int gcl_session_assemble(struct gcl_session *session, const struct gcl_frame *head,
			 const void **body, size_t *size)
{
	size_t part = head->length - sizeof *head;

	if (!(head->flags & GCL_FRAME_MORE) && !session->partial_size) {
		*body = session->body;
		*size = part;
		return 1;
	}
	if (session->partial_size + part > GCL_MESSAGE_MAX)
		return -EPROTO;
	if (part) {
		uint8_t *grown = realloc(session->partial, session->partial_size + part);

		if (!grown)
			return -ENOMEM;
		memcpy(grown + session->partial_size, session->body, part);
		session->partial = grown;
		session->partial_size += part;
	}
	if (head->flags & GCL_FRAME_MORE)
		return 0;
	*body = session->partial;
	*size = session->partial_size;
	return 1;
}

void gcl_session_assembled(struct gcl_session *session)
{
	free(session->partial);
	session->partial = NULL;
	session->partial_size = 0;
}

void gcl_on_session_ended(struct gcl_session *session, const Gcl__SessionEnded *message)
{
	snprintf(session->ended, sizeof session->ended, "%s", message->text);
}

static void loss_tell(const struct gcl_session *session, int err)
{
	if (session->opened)
		gcl_log_warn(session, "an opened platform was lost: %s",
			     session->ended[0] ? session->ended
			     : err == -EPIPE   ? "the other side ended"
					       : strerror(-err));
	else if (session->ended[0])
		gcl_log_error(session,
			      "guestcld has ended this session: %s: OpenCL calls fail with "
			      "CL_DEVICE_NOT_AVAILABLE from here on",
			      session->ended);
	else
		gcl_log_error(session,
			      "the connection to guestcld was lost (%s): OpenCL calls fail with "
			      "CL_DEVICE_NOT_AVAILABLE from here on; see the daemon's log, then "
			      "start the "
			      "program again",
			      err == -EPIPE ? "daemon or worker ended" : strerror(-err));
}

static void lose_locked(struct gcl_session *session, int err)
{
	if (atomic_exchange(&session->lost, true))
		return;
	gcl_channel_kill(session->channel, err);
	if (!session->closing)
		loss_tell(session, err);
	requests_lose(session);
	gcl_events_lose(session);
	gcl_blocks_lose(session);
}

/* Return: was anything handled? */
static bool drain_locked(struct gcl_session *session)
{
	bool any = false;

	while (!atomic_load_explicit(&session->lost, memory_order_relaxed)) {
		struct gcl_frame head;
		const void *body;
		size_t size;
		int err = gcl_channel_receive(session->channel, &head, session->body,
					      GCL_FRAME_BODY_MAX);

		if (err == 0)
			break;
		any = true;
		/* It may be what the host made of a post: all that was done before that one is
		 * seen, by program and sanitizers, which don't know of the host's part. */
		(void)atomic_load_explicit(&session->posts, memory_order_acquire);
		if (err > 0)
			err = gcl_session_assemble(session, &head, &body, &size);
		if (err > 0) {
			err = handle_message(session, &head, body, size);
			gcl_session_assembled(session);
		}
		if (err < 0)
			lose_locked(session, err);
	}
	return any;
}

static void wait_locked(struct gcl_session *session, int timeout_ms)
{
	int err = gcl_channel_wait(session->channel, false, timeout_ms);

	if (err == -EPIPE && !drain_locked(session))
		lose_locked(session, err);
}

/* The notifier may have found the lock taken, and gone to sleep. */
static void rx_unlock(struct gcl_session *session)
{
	pthread_mutex_unlock(&session->rx_lock);
	atomic_thread_fence(memory_order_seq_cst); /* pairs with gcl_session_lead() */
	gcl_notifier_poke(session);
}

void gcl_session_drain(struct gcl_session *session)
{
	bool any;

	if (session->lost || pthread_mutex_trylock(&session->rx_lock))
		return;
	any = drain_locked(session);
	rx_unlock(session);
	if (any)
		changed(session);
}

/* ------------------------------------------------------------ waiting */

static void lead(struct gcl_session *session, bool (*done)(const void *arg), const void *arg)
{
	/* Before done() is asked; pairs with gcl_session_wake(). */
	atomic_store(&session->leader_waits, true);
	for (;;) {
		if (drain_locked(session))
			changed(session);
		if (done(arg) || session->lost)
			break;
		wait_locked(session, -1);
	}
	atomic_store_explicit(&session->leader_waits, false, memory_order_relaxed);
}

/* Stopped leading: a follower, or the notifier, goes on. */
static void hand_over(struct gcl_session *session)
{
	changed(session);
	gcl_notifier_poke(session);
}

/* Sleeps until something changed or nobody leads. */
static void follow(struct gcl_session *session, bool (*done)(const void *arg), const void *arg)
{
	for (int i = 0; i < FOLLOW_SPINS; i++) {
		sched_yield();
		if (done(arg))
			return;
	}
	pthread_mutex_lock(&session->change_lock);
	atomic_fetch_add(&session->followers, 1);
	atomic_thread_fence(memory_order_seq_cst); /* pairs with changed() */
	if (!done(arg) && !session->lost) {
		if (pthread_mutex_trylock(&session->rx_lock) == 0)
			pthread_mutex_unlock(
				&session->rx_lock); /* nobody leads: this thread will */
		else
			pthread_cond_wait(&session->change, &session->change_lock);
	}
	atomic_fetch_sub(&session->followers, 1);
	pthread_mutex_unlock(&session->change_lock);
}

cl_int gcl_session_wait(struct gcl_session *session, bool (*done)(const void *arg), const void *arg)
{
	bool followed = false;

	while (!done(arg)) {
		if (session->lost)
			return CL_DEVICE_NOT_AVAILABLE;
		followed = pthread_mutex_trylock(&session->rx_lock) != 0;
		if (followed) {
			follow(session, done, arg);
			continue;
		}
		lead(session, done, arg);
		pthread_mutex_unlock(&session->rx_lock);
		hand_over(session);
	}
	/* follow() has tried the lock, which may have kept the notifier from leading. */
	if (followed)
		gcl_notifier_poke(session);
	return CL_SUCCESS;
}

bool gcl_session_lead(struct gcl_session *session)
{
	atomic_thread_fence(memory_order_seq_cst); /* pairs with rx_unlock(): armed, then rx_lock */
	if (session->lost || pthread_mutex_trylock(&session->rx_lock))
		return false;
	atomic_store(&session->leader_waits, true); /* as in lead() */
	if (!drain_locked(session) && !gcl_notifier_due(session)) {
		wait_locked(session, -1);
		drain_locked(session);
	}
	atomic_store_explicit(&session->leader_waits, false, memory_order_relaxed);
	pthread_mutex_unlock(&session->rx_lock);
	changed(session);
	return true;
}

void gcl_session_wake(struct gcl_session *session)
{
	atomic_thread_fence(memory_order_seq_cst); /* pairs with lead(): state, then leader_waits */
	if (session->leader_waits && !session->lost)
		gcl_channel_interrupt(session->channel);
	changed(session);
}

/* ------------------------------------------------------------ posting */

void gcl_session_lose(struct gcl_session *session, int err)
{
	pthread_mutex_lock(&session->rx_lock);
	/* What the host said before it went still counts. */
	drain_locked(session);
	lose_locked(session, err);
	pthread_mutex_unlock(&session->rx_lock);
	changed(session);
}

/*
 * The ring is full, the host is at work: look for what it says, and sleep a little. Handlers come
 * here too, with rx_lock held by this very thread: then it only sleeps.
 */
static void room_wait(struct gcl_session *session)
{
	static const struct timespec pause = {.tv_nsec = ROOM_SLEEP_NS};

	if (pthread_mutex_trylock(&session->rx_lock) == 0) {
		bool any = drain_locked(session);

		wait_locked(session, 0);
		rx_unlock(session);
		if (any)
			changed(session);
	}
	nanosleep(&pause, NULL);
}

/* Packs and commits one message with tx_lock held. Return: 0, -EAGAIN, -EPIPE. */
static int post_frame_locked(struct gcl_session *session, const struct gcl_frame *head,
			     const ProtobufCMessage *message, size_t size, uint64_t *sequence)
{
	void *room;
	int err = gcl_channel_reserve(session->channel, size, &room);

	if (err)
		return err;
	protobuf_c_message_pack(message, room);
	*sequence = gcl_channel_commit(session->channel, head, size);
	return 0;
}

/* A long message, in frames. tx_lock stays held until the last is sent, since no other may come
 * between. */
static int post_long_locked(struct gcl_session *session, const struct gcl_frame *head,
			    const ProtobufCMessage *message, size_t size, uint64_t *sequence)
{
	_cleanup_free_ uint8_t *packed = malloc(size);
	static const struct timespec pause = {.tv_nsec = ROOM_SLEEP_NS};
	size_t done = 0;

	if (!packed)
		return -ENOMEM;
	protobuf_c_message_pack(message, packed);
	while (done < size) {
		struct gcl_frame frame = *head;
		size_t part = GCL_MIN(size - done, GCL_FRAME_BODY_MAX);
		void *room;
		int err = gcl_channel_reserve(session->channel, part, &room);

		if (err == -EAGAIN) {
			nanosleep(&pause, NULL);
			continue;
		}
		if (err)
			return -EPIPE;
		memcpy(room, packed + done, part);
		done += part;
		frame.flags = done < size ? GCL_FRAME_MORE : 0;
		*sequence = gcl_channel_commit(session->channel, &frame, part);
	}
	return 0;
}

/* @request, if any, is entered under its sequence before the host can answer. */
static int post(struct gcl_session *session, const struct gcl_frame *head,
		const ProtobufCMessage *message, struct gcl_request *request, uint64_t *sequence)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	bool drain = false;
	unsigned posts;
	int err;

	if (size > GCL_MESSAGE_MAX)
		return -EMSGSIZE;
	for (;;) {
		if (session->lost)
			return -EPIPE;
		pthread_mutex_lock(&session->tx_lock);
		posts = atomic_load_explicit(&session->posts, memory_order_relaxed) + 1;
		atomic_store_explicit(&session->posts, posts, memory_order_release);
		if (request) {
			pthread_mutex_lock(&session->request_lock);
			request->sequence = session->channel->sent + 1;
			if (!request->entered)
				gcl_list_append(&session->requests, &request->link);
			request->entered = true;
			pthread_mutex_unlock(&session->request_lock);
		}
		if (size <= GCL_FRAME_BODY_MAX)
			err = post_frame_locked(session, head, message, size, sequence);
		else
			err = post_long_locked(session, head, message, size, sequence);
		drain = !err && posts % POSTS_PER_DRAIN == 0;
		pthread_mutex_unlock(&session->tx_lock);
		if (err != -EAGAIN)
			break;
		room_wait(session);
	}
	if (drain)
		gcl_session_drain(session);
	return err;
}

static cl_int post_result(struct gcl_session *session, int err)
{
	if (err == 0)
		return CL_SUCCESS;
	if (err == -EMSGSIZE)
		return CL_OUT_OF_RESOURCES;
	if (err == -ENOMEM)
		return CL_OUT_OF_HOST_MEMORY;
	if (!session->lost)
		gcl_session_lose(session, err);
	return CL_DEVICE_NOT_AVAILABLE;
}

cl_int gcl_post_payload(struct gcl_session *session, enum gcl_message number,
			const ProtobufCMessage *message, uint64_t payload_offset,
			uint64_t payload_size, uint64_t *sequence)
{
	struct gcl_frame head = {
		.number = (uint16_t)number,
		.payload_offset = payload_offset,
		.payload_size = payload_size,
	};
	uint64_t posted;
	int err = post(session, &head, message, NULL, &posted);

	if (err)
		return post_result(session, err);
	if (sequence)
		*sequence = posted;
	return CL_SUCCESS;
}

void gcl_post_release(struct gcl_session *session, uint64_t id)
{
	struct gcl_frame head = {.number = GCL_RELEASE};
	Gcl__Release message = GCL__RELEASE__INIT;
	uint64_t posted;

	message.id = id;
	/* Handlers release too: they hold rx_lock, and a dead session is theirs to notice. */
	post(session, &head, &message.base, NULL, &posted);
}

cl_int gcl_request_post(struct gcl_session *session, enum gcl_message number,
			const ProtobufCMessage *message, enum gcl_message answer_number,
			struct gcl_request *request)
{
	struct gcl_frame head = {.number = (uint16_t)number};
	uint64_t posted;
	bool ended;
	int err;

	gcl_list_init(&request->link);
	request->entered = false;
	request->answer_number = answer_number;
	request->answer = NULL;
	atomic_init(&request->done, false);
	err = post(session, &head, message, request, &posted);
	if (!err)
		return CL_SUCCESS;
	pthread_mutex_lock(&session->request_lock);
	ended = request->entered && gcl_list_empty(&request->link);
	gcl_list_remove(&request->link);
	pthread_mutex_unlock(&session->request_lock);
	/* A session lost meanwhile has ended the request as any other. */
	return ended ? CL_SUCCESS : post_result(session, err);
}

static bool request_done(const void *arg)
{
	const struct gcl_request *request = arg;

	return atomic_load_explicit(&request->done, memory_order_acquire);
}

cl_int gcl_ask(struct gcl_session *session, enum gcl_message number,
	       const ProtobufCMessage *message, enum gcl_message answer_number,
	       ProtobufCMessage **answer)
{
	struct gcl_request request = {.on_done = NULL};
	cl_int status = gcl_request_post(session, number, message, answer_number, &request);

	if (status != CL_SUCCESS)
		return status;
	status = gcl_session_wait(session, request_done, &request);
	if (status != CL_SUCCESS) {
		/* Lost: requests_lose() finishes it under rx_lock, and may be doing so right now.
		 */
		pthread_mutex_lock(&session->rx_lock);
		pthread_mutex_unlock(&session->rx_lock);
	}
	if (!request.answer)
		return CL_DEVICE_NOT_AVAILABLE;
	*answer = request.answer;
	return CL_SUCCESS;
}
