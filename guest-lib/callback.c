/*
 * The notifier: one thread for each session, started when first needed, that runs the program's
 * callbacks, and receives while callbacks are awaited and no thread of the program does.
 *
 * Jobs run in the order in which they came, with no lock held. The thread is not waited for when
 * the process exits: it sleeps, or runs the program's code; only the end of an opened platform's
 * session waits for it. A fork's child has no such thread and needs none, since its session is
 * lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "guest.h"

struct job {
	struct gcl_list link;
	void (*fn)(void *arg);
	void *arg;
};

struct gcl_notifier {
	struct gcl_session *session;
	_Atomic unsigned armed; /* callbacks awaited; changed under lock */
	_Atomic unsigned count; /* of jobs; changed under lock */
	pthread_mutex_t lock;	/* all below */
	pthread_cond_t wake;
	struct gcl_list jobs;
	pthread_t thread;
	bool started;
	bool ending; /* the thread runs the jobs that there are, then ends */
	bool ended;
	bool poked;   /* something changed since the thread last looked */
	bool leading; /* the thread may sleep in gcl_session_lead() */
};

struct gcl_notifier *gcl_notifier_create(struct gcl_session *session)
{
	struct gcl_notifier *notifier = calloc(1, sizeof *notifier);

	if (!notifier)
		return NULL;
	notifier->session = session;
	pthread_mutex_init(&notifier->lock, NULL);
	pthread_cond_init(&notifier->wake, NULL);
	gcl_list_init(&notifier->jobs);
	return notifier;
}

void gcl_notifier_destroy(struct gcl_notifier *notifier)
{
	if (!notifier)
		return;
	pthread_mutex_destroy(&notifier->lock);
	pthread_cond_destroy(&notifier->wake);
	free(notifier);
}

static void job_run_locked(struct gcl_notifier *notifier)
{
	struct job *job = gcl_list_first(&notifier->jobs, struct job, link);

	gcl_list_remove(&job->link);
	notifier->count--;
	pthread_mutex_unlock(&notifier->lock);
	job->fn(job->arg);
	free(job);
	pthread_mutex_lock(&notifier->lock);
}

/* Return: was anything received, so that there may be jobs now? */
static bool lead_locked(struct gcl_notifier *notifier)
{
	bool led;

	if (!notifier->armed || notifier->ending)
		return false;
	notifier->leading = true;
	pthread_mutex_unlock(&notifier->lock);
	led = gcl_session_lead(notifier->session);
	pthread_mutex_lock(&notifier->lock);
	notifier->leading = false;
	return led;
}

static void *notifier_run(void *arg)
{
	struct gcl_notifier *notifier = arg;

	pthread_mutex_lock(&notifier->lock);
	for (;;) {
		while (!gcl_list_empty(&notifier->jobs))
			job_run_locked(notifier);
		notifier->poked = false;
		if (lead_locked(notifier))
			continue;
		if (notifier->ending && gcl_list_empty(&notifier->jobs))
			break;
		while (!notifier->poked && gcl_list_empty(&notifier->jobs))
			pthread_cond_wait(&notifier->wake, &notifier->lock);
	}
	notifier->ended = true;
	pthread_mutex_unlock(&notifier->lock);
	return NULL;
}

/* The program's signals are for the program's threads. */
static int start_locked(struct gcl_notifier *notifier)
{
	sigset_t all;
	sigset_t before;
	int err;

	/* The last jobs may bring others, which are run as well. */
	if (notifier->ended || (notifier->ending && !notifier->started))
		return -EPIPE;
	if (notifier->started)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&notifier->thread, NULL, notifier_run, notifier);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	notifier->started = true;
	return 0;
}

/* Return: the thread sleeps in the channel and must be woken there, without the lock. */
static bool poke_locked(struct gcl_notifier *notifier)
{
	notifier->poked = true;
	pthread_cond_signal(&notifier->wake);
	return notifier->leading && !pthread_equal(notifier->thread, pthread_self());
}

int gcl_notify(struct gcl_session *session, void (*fn)(void *arg), void *arg)
{
	struct gcl_notifier *notifier = session->notifier;
	struct job *job = malloc(sizeof *job);
	bool asleep = false;
	int err;

	if (!job)
		return -ENOMEM;
	*job = (struct job){.fn = fn, .arg = arg};
	pthread_mutex_lock(&notifier->lock);
	err = start_locked(notifier);
	if (!err) {
		gcl_list_append(&notifier->jobs, &job->link);
		notifier->count++;
		asleep = poke_locked(notifier);
	}
	pthread_mutex_unlock(&notifier->lock);
	if (err)
		free(job);
	if (asleep)
		gcl_session_wake(session);
	return err;
}

/* Without memory for the thread callbacks come when the program next waits. */
int gcl_notifier_arm(struct gcl_session *session)
{
	struct gcl_notifier *notifier = session->notifier;
	int err;

	pthread_mutex_lock(&notifier->lock);
	notifier->armed++;
	err = start_locked(notifier);
	if (err && err != -EPIPE)
		gcl_log_warn(event, "no thread for callbacks: they may come late");
	poke_locked(notifier);
	pthread_mutex_unlock(&notifier->lock);
	return err;
}

void gcl_notifier_disarm(struct gcl_session *session)
{
	pthread_mutex_lock(&session->notifier->lock);
	session->notifier->armed--;
	pthread_mutex_unlock(&session->notifier->lock);
}

void gcl_notifier_poke(struct gcl_session *session)
{
	struct gcl_notifier *notifier = session->notifier;

	/* Who arms looks for a leader itself. */
	if (!notifier->armed)
		return;
	pthread_mutex_lock(&notifier->lock);
	poke_locked(notifier);
	pthread_mutex_unlock(&notifier->lock);
}

int gcl_notifier_end(struct gcl_session *session)
{
	struct gcl_notifier *notifier = session->notifier;
	bool join;

	if (gcl_notifier_self(session))
		return -EDEADLK;
	pthread_mutex_lock(&notifier->lock);
	join = notifier->started && !notifier->ending;
	notifier->ending = true;
	poke_locked(notifier);
	pthread_mutex_unlock(&notifier->lock);
	if (join)
		pthread_join(notifier->thread, NULL);
	return 0;
}

bool gcl_notifier_due(const struct gcl_session *session)
{
	return session->notifier->count > 0 || session->notifier->armed == 0;
}

bool gcl_notifier_self(const struct gcl_session *session)
{
	const struct gcl_notifier *notifier = session->notifier;

	return notifier->started && pthread_equal(notifier->thread, pthread_self());
}
