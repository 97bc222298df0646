// SPDX-License-Identifier: MIT
/*
 * What a move waits for: jobs of the mover thread, and events. The session thread is woken when
 * they are done, or stands until then. The move goes once nothing is awaited any more, in vain or
 * not.
 */
#include "moving.h"

#include <stdlib.h>

#include "gather.h"
#include "jobs.h"

static void move_wake(struct gcl_move *move)
{
	pthread_cond_broadcast(&move->wake);
	pthread_mutex_unlock(&move->lock);
}

struct work {
	struct gcl_job job;
	struct gcl_move *move;
	void (*run)(struct gcl_move *move);
};

static void work_end(struct work *work)
{
	struct gcl_move *move = work->move;
	struct gcl_worker *worker = move->worker;

	free(work);
	pthread_mutex_lock(&move->lock);
	move->working = false;
	move_wake(move);
	gcl_move_want(worker);
}

static void work_run(struct gcl_job *job)
{
	struct work *work = gcl_container_of(job, struct work, job);

	work->run(work->move);
	work_end(work);
}

static void work_drop(struct gcl_job *job)
{
	struct work *work = gcl_container_of(job, struct work, job);

	work->move->result = GCL_MOVE_LOST;
	work_end(work);
}

bool gcl_move_work(struct gcl_move *move, void (*run)(struct gcl_move *move))
{
	struct gcl_sides *sides = &move->worker->sides;
	struct work *work = calloc(1, sizeof *work);

	if (!sides->moving)
		sides->moving = gcl_jobs_create("move");
	if (!work || !sides->moving) {
		free(work);
		return false;
	}
	*work = (struct work){{.run = work_run, .drop = work_drop}, move, run};
	move->working = true;
	if (!gcl_jobs_post(sides->moving, &work->job))
		return true;
	move->working = false;
	free(work);
	return false;
}

static void move_free(struct gcl_move *move)
{
	pthread_mutex_destroy(&move->lock);
	pthread_cond_destroy(&move->wake);
	free(move);
}

static void awaited(void *arg, cl_int status)
{
	struct gcl_move *move = arg;
	struct gcl_worker *worker = move->worker;
	bool last;

	pthread_mutex_lock(&move->lock);
	move->awaits--;
	move->awaited = GCL_MIN(move->awaited, GCL_MIN(status, CL_COMPLETE));
	last = move->over && !move->awaits;
	move_wake(move);
	if (last)
		move_free(move);
	else
		gcl_move_want(worker);
}

bool gcl_move_await(struct gcl_move *move, const cl_event *events, size_t count)
{
	pthread_mutex_lock(&move->lock);
	move->awaits++;
	move->awaited = CL_COMPLETE;
	move->since = gcl_trace_now();
	pthread_mutex_unlock(&move->lock);
	if (!gcl_gather(events, count, awaited, move))
		return true;
	pthread_mutex_lock(&move->lock);
	move->awaits--;
	pthread_mutex_unlock(&move->lock);
	return false;
}

bool gcl_move_busy(struct gcl_move *move)
{
	bool busy;

	pthread_mutex_lock(&move->lock);
	busy = move->working || move->awaits;
	pthread_mutex_unlock(&move->lock);
	return busy;
}

static void deadline_in(struct timespec *deadline, unsigned ms)
{
	clock_gettime(CLOCK_REALTIME, deadline);
	deadline->tv_nsec += (long)ms * 1000000;
	deadline->tv_sec += deadline->tv_nsec / 1000000000;
	deadline->tv_nsec %= 1000000000;
}

bool gcl_move_wait(struct gcl_move *move, unsigned ms)
{
	uint64_t progress = atomic_load(&move->progress);
	struct timespec deadline;
	bool busy = true;
	int err = 0;

	deadline_in(&deadline, ms);
	pthread_mutex_lock(&move->lock);
	while ((busy = move->working || move->awaits) && !err) {
		err = pthread_cond_timedwait(&move->wake, &move->lock, &deadline);
		if (err && atomic_load(&move->progress) != progress) {
			progress = atomic_load(&move->progress);
			deadline_in(&deadline, ms);
			err = 0;
		}
	}
	pthread_mutex_unlock(&move->lock);
	return !busy;
}

void gcl_move_let_go(struct gcl_move *move)
{
	bool last;

	pthread_mutex_lock(&move->lock);
	move->over = true;
	last = !move->awaits;
	pthread_mutex_unlock(&move->lock);
	if (last)
		move_free(move);
}
