/*
 * The beginning of a session: finding the daemon, greeting, the snapshot; and what a fork does to
 * it.
 *
 * A session lives as long as its process: objects, and the device handles that programs keep, refer
 * to it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "connect.h"
#include "guest.h"
#include "session-private.h"

/* How long to wait for the snapshot after the greeting was answered, and between two tries to find
 * a daemon. */
#define WELCOME_TIMEOUT_MS 10000
#define RETRY_NS	   1000000000ll

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gcl_session *current;
static int64_t retry_at; /* CLOCK_MONOTONIC ns; no try before */
static bool said;	 /* the line about a missing host was printed */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void session_destroy(struct gcl_session *session)
{
	if (!session)
		return;
	gcl_heap_destroy(session->heap);
	gcl_channel_close(session->channel);
	if (session->welcome)
		gcl__welcome__free_unpacked(session->welcome, NULL);
	gcl_arena_fini(&session->arena);
	free(session->partial);
	free(session->body);
	free(session);
}

static void session_cleanup(struct gcl_session **session)
{
	session_destroy(*session);
}

/* The first message must be the snapshot. */
static int welcome_receive(struct gcl_session *session)
{
	int64_t end = now_ns() + WELCOME_TIMEOUT_MS * 1000000ll;

	for (;;) {
		struct gcl_frame head;
		const void *body;
		size_t size;
		int err = gcl_channel_receive(session->channel, &head, session->body,
					      GCL_FRAME_BODY_MAX);

		if (err > 0)
			err = gcl_session_assemble(session, &head, &body, &size);
		if (err < 0)
			return err;
		if (err > 0) {
			if (head.number == GCL_WELCOME)
				session->welcome = gcl__welcome__unpack(NULL, size, body);
			gcl_session_assembled(session);
			return session->welcome ? 0 : -EPROTO;
		}
		if (now_ns() > end)
			return -ETIMEDOUT;
		err = gcl_channel_wait(session->channel, false, WELCOME_TIMEOUT_MS);
		if (err && err != -EPIPE) /* what came before the end is still to be read */
			return err;
	}
}

static int session_create(struct gcl_session **out, char *reason, size_t reason_size)
{
	_cleanup_(session_cleanup) struct gcl_session *session = calloc(1, sizeof *session);
	int err;

	snprintf(reason, reason_size, "out of memory");
	if (!session)
		return -ENOMEM;
	pthread_mutex_init(&session->tx_lock, NULL);
	pthread_mutex_init(&session->rx_lock, NULL);
	pthread_mutex_init(&session->change_lock, NULL);
	pthread_cond_init(&session->change, NULL);
	pthread_mutex_init(&session->request_lock, NULL);
	gcl_list_init(&session->requests);
	gcl_arena_init(&session->arena);
	session->body = malloc(GCL_FRAME_BODY_MAX);
	if (!session->body)
		return -ENOMEM;
	err = gcl_connect(&session->channel, reason, reason_size);
	if (err)
		return err;
	snprintf(reason, reason_size,
		 "the daemon accepted the session but sent no list of devices; see its log");
	err = welcome_receive(session);
	if (err)
		return err;
	snprintf(reason, reason_size, "out of memory");
	if (session->welcome->heap_limit)
		gcl_channel_heap_limit(session->channel, session->welcome->heap_limit);
	err = gcl_heap_create(session->channel, &session->heap);
	if (err)
		return err;
	session->notifier = gcl_notifier_create(session);
	if (!session->notifier)
		return -ENOMEM;
	session->resident =
		session->welcome->resident_buffers && gcl_channel_shared(session->channel);
	*out = steal_pointer(&session);
	return 0;
}

/* ------------------------------------------------------------ forks */

static void fork_prepare(void)
{
	pthread_mutex_lock(&current_lock);
	gcl_object_fork_prepare();
}

static void fork_parent(void)
{
	gcl_object_fork_done();
	pthread_mutex_unlock(&current_lock);
}

/*
 * The child must not speak on the parent's session, nor keep its sockets open: the host tells by
 * their end that the parent is gone. What the child has of the parent's objects fails with
 * CL_DEVICE_NOT_AVAILABLE; new contexts get a session of the child's own.
 */
static void fork_child(void)
{
	if (current) {
		atomic_store(&current->lost, true);
		gcl_channel_abandon(current->channel);
		current = NULL;
	}
	retry_at = 0;
	gcl_object_fork_done();
	pthread_mutex_unlock(&current_lock);
}

static void register_fork(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

struct gcl_session *gcl_session_current(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char reason[GCL_CONNECT_REASON_MAX];
	struct gcl_session *session;

	if (!gcl_connect_wanted())
		return NULL;
	pthread_once(&once, register_fork);
	pthread_mutex_lock(&current_lock);
	if (!current && now_ns() >= retry_at) {
		gcl_log_init("guestcl");
		if (session_create(&current, reason, sizeof reason)) {
			retry_at = now_ns() + RETRY_NS;
			if (!said)
				gcl_log_error(session, "no OpenCL devices: %s", reason);
			said = true;
		}
	}
	session = current;
	pthread_mutex_unlock(&current_lock);
	return session;
}
