/*
 * The beginning and the end of sessions: finding the daemon, greeting, the snapshot; and what a
 * fork does to them.
 *
 * The process's own session lives as long as it: objects, and the device handles that programs
 * keep, refer to it. Those of opened platforms end when these are closed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "connect.h"
#include "guest.h"
#include "session-private.h"
#include "stream.h"

/* How long to wait for the snapshot after the greeting was answered, and between two tries to find
 * a daemon. */
#define WELCOME_TIMEOUT_MS 10000
#define RETRY_NS	   1000000000ll

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gcl_list opened = GCL_LIST_INIT(opened); /* struct gcl_session.link */
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
	gcl_notifier_destroy(session->notifier);
	gcl_heap_destroy(session->heap);
	gcl_channel_close(session->channel);
	if (session->welcome)
		gcl__welcome__free_unpacked(session->welcome, NULL);
	gcl_arena_fini(&session->arena);
	pthread_mutex_destroy(&session->tx_lock);
	pthread_mutex_destroy(&session->rx_lock);
	pthread_mutex_destroy(&session->change_lock);
	pthread_cond_destroy(&session->change);
	pthread_mutex_destroy(&session->request_lock);
	free(session->partial);
	free(session->body);
	free(session);
}

static void session_cleanup(struct gcl_session **session)
{
	session_destroy(*session);
}

/* The first message must be the snapshot. @end: of CLOCK_MONOTONIC, ns */
static int welcome_receive(struct gcl_session *session, int64_t end)
{
	for (;;) {
		int64_t left;
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
		left = end - now_ns();
		if (left < 0)
			return -ETIMEDOUT;
		err = gcl_channel_wait(session->channel, false, (int)(left / 1000000));
		if (err && err != -EPIPE) /* what came before the end is still to be read */
			return err;
	}
}

/* A session without a channel yet. */
static struct gcl_session *session_new(void)
{
	struct gcl_session *session = calloc(1, sizeof *session);

	if (!session)
		return NULL;
	pthread_mutex_init(&session->tx_lock, NULL);
	pthread_mutex_init(&session->rx_lock, NULL);
	pthread_mutex_init(&session->change_lock, NULL);
	pthread_cond_init(&session->change, NULL);
	pthread_mutex_init(&session->request_lock, NULL);
	gcl_list_init(&session->requests);
	gcl_arena_init(&session->arena);
	gcl_list_init(&session->link);
	session->body = malloc(GCL_FRAME_BODY_MAX);
	if (!session->body || !(session->notifier = gcl_notifier_create(session))) {
		session_destroy(session);
		return NULL;
	}
	return session;
}

/* The channel is there. @end: as above */
static int session_begin(struct gcl_session *session, int64_t end, char *reason, size_t reason_size)
{
	int err;

	snprintf(reason, reason_size,
		 "the daemon accepted the session but sent no list of devices; see its log");
	err = welcome_receive(session, end);
	if (err)
		return err;
	snprintf(reason, reason_size, "out of memory");
	if (session->welcome->heap_limit)
		gcl_channel_heap_limit(session->channel, session->welcome->heap_limit);
	err = gcl_heap_create(session->channel, &session->heap);
	if (err)
		return err;
	session->resident =
		session->welcome->resident_buffers && gcl_channel_shared(session->channel);
	return 0;
}

static int session_create(struct gcl_session **out, char *reason, size_t reason_size)
{
	_cleanup_(session_cleanup) struct gcl_session *session = session_new();
	int err;

	snprintf(reason, reason_size, "out of memory");
	if (!session)
		return -ENOMEM;
	err = gcl_connect(&session->channel, reason, reason_size);
	if (!err)
		err = session_begin(session, now_ns() + WELCOME_TIMEOUT_MS * 1000000ll, reason,
				    reason_size);
	if (err)
		return err;
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
 * CL_DEVICE_NOT_AVAILABLE; new contexts get a session of the child's own, but not those of opened
 * platforms.
 */
static void session_abandon(struct gcl_session *session)
{
	atomic_store(&session->lost, true);
	gcl_channel_abandon(session->channel);
}

static void fork_child(void)
{
	if (current)
		session_abandon(current);
	current = NULL;
	gcl_list_for_each (it, &opened)
		session_abandon(gcl_container_of(it, struct gcl_session, link));
	gcl_list_init(&opened);
	retry_at = 0;
	gcl_object_fork_done();
	pthread_mutex_unlock(&current_lock);
}

/* Before the first session. */
static void sessions_init(void)
{
	gcl_log_init("guestcl");
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static pthread_once_t sessions_once = PTHREAD_ONCE_INIT;

struct gcl_session *gcl_session_current(void)
{
	char reason[GCL_CONNECT_REASON_MAX];
	struct gcl_session *session;

	if (!gcl_connect_wanted())
		return NULL;
	pthread_once(&sessions_once, sessions_init);
	pthread_mutex_lock(&current_lock);
	if (!current && now_ns() >= retry_at) {
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

/* ------------------------------------------------------------ opened platforms' */

/* Takes @conn over. */
static int opened_connect(struct gcl_session *session, int conn, char *reason, size_t reason_size)
{
	int64_t end = now_ns() + WELCOME_TIMEOUT_MS * 1000000ll;
	int err =
		gcl_stream_adopt(conn, WELCOME_TIMEOUT_MS, &session->channel, reason, reason_size);

	if (!err)
		err = session_begin(session, end, reason, reason_size);
	if (err)
		return err;
	/* The program need never wait for anything, and its callbacks have to come all the same. */
	snprintf(reason, reason_size, "no thread for callbacks: raise the limit of processes");
	return gcl_notifier_arm(session);
}

int gcl_session_open(int conn, struct gcl_session **out, char *reason, size_t reason_size)
{
	_cleanup_(session_cleanup) struct gcl_session *session = NULL;
	int err;

	pthread_once(&sessions_once, sessions_init);
	session = session_new();
	if (!session) {
		close(conn);
		snprintf(reason, reason_size, "out of memory");
		return -ENOMEM;
	}
	session->opened = true;
	session->pid = getpid();
	err = opened_connect(session, conn, reason, reason_size);
	if (err)
		return err;
	pthread_mutex_lock(&current_lock);
	gcl_list_append(&opened, &session->link);
	pthread_mutex_unlock(&current_lock);
	*out = steal_pointer(&session);
	return 0;
}

int gcl_session_end(struct gcl_session *session)
{
	atomic_store(&session->closing, true);
	/* What has come so far still counts. */
	gcl_session_drain(session);
	/* Whoever receives, the notifier most likely, lets go of the lock. */
	gcl_channel_kill(session->channel, -EPIPE);
	gcl_session_lose(session, -EPIPE);
	return gcl_notifier_end(session);
}

void gcl_session_destroy(struct gcl_session *session)
{
	pthread_mutex_lock(&current_lock);
	gcl_list_remove(&session->link);
	pthread_mutex_unlock(&current_lock);
	session_destroy(session);
}
