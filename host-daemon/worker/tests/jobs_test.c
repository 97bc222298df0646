/*
 * Jobs on threads: their order, and what becomes of them at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "jobs.h"

#define COUNT 100u

struct work {
	struct gcl_job job;
	unsigned number;
};

static _Atomic unsigned ran, dropped, wrapped, out_of_order;
static _Atomic bool held, begun;
static struct work works[COUNT];

static void pause_a_little(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void work_run(struct gcl_job *job)
{
	struct work *work = gcl_container_of(job, struct work, job);

	atomic_store(&begun, true);
	while (atomic_load(&held))
		pause_a_little();
	if (work->number != atomic_fetch_add(&ran, 1))
		atomic_fetch_add(&out_of_order, 1);
}

static void work_drop(struct gcl_job *job)
{
	(void)job;
	atomic_fetch_add(&dropped, 1);
}

static void work_wrap(struct gcl_job *job, void *arg)
{
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
	job->run(job);
}

static int setup(void **state)
{
	(void)state;
	ran = dropped = wrapped = out_of_order = 0;
	held = begun = false;
	for (unsigned i = 0; i < COUNT; i++)
		works[i] = (struct work){{.run = work_run, .drop = work_drop}, i};
	return 0;
}

static void one_thread_runs_jobs_in_order(void **state)
{
	struct gcl_jobs *jobs = gcl_jobs_create("test");

	(void)state;
	assert_non_null(jobs);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(gcl_jobs_post(jobs, &works[i].job), 0);
	while (atomic_load(&ran) < COUNT)
		pause_a_little();
	gcl_jobs_destroy(jobs);
	assert_int_equal(out_of_order, 0);
	assert_int_equal(dropped, 0);
}

static void *let_go_soon(void *arg)
{
	(void)arg;
	while (!atomic_load(&dropped))
		pause_a_little();
	atomic_store(&held, false);
	return NULL;
}

static void the_end_drops_what_has_not_begun(void **state)
{
	struct gcl_jobs *jobs = gcl_jobs_create("test");
	pthread_t thread;

	(void)state;
	atomic_store(&held, true);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(gcl_jobs_post(jobs, &works[i].job), 0);
	while (!atomic_load(&begun))
		pause_a_little();
	assert_int_equal(pthread_create(&thread, NULL, let_go_soon, NULL), 0);
	gcl_jobs_destroy(jobs); /* waits for the first */
	assert_int_equal(ran, 1);
	assert_int_equal(dropped, COUNT - 1);
	pthread_join(thread, NULL);
	gcl_jobs_destroy(gcl_jobs_create("test"));
	gcl_jobs_destroy(NULL);
}

static void kinds_wrap_and_bound(void **state)
{
	struct gcl_jobs *jobs = gcl_jobs_create_kind(&(struct gcl_jobs_kind){
		.name = "test",
		.threads = 1,
		.pending_count = 5,
		.run = work_wrap,
		.arg = &wrapped,
	});
	unsigned posted = 1;

	(void)state;
	atomic_store(&held, true);
	assert_int_equal(gcl_jobs_post(jobs, &works[0].job), 0);
	while (!atomic_load(&begun))
		pause_a_little();
	while (gcl_jobs_post(jobs, &works[posted].job) == 0)
		posted++;
	assert_int_equal(posted, 6);
	assert_int_equal(gcl_jobs_post(jobs, &works[posted].job), -EAGAIN);
	atomic_store(&held, false);
	while (atomic_load(&ran) < posted)
		pause_a_little();
	gcl_jobs_destroy(jobs);
	assert_int_equal(wrapped, posted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_thread_runs_jobs_in_order, setup),
		cmocka_unit_test_setup(the_end_drops_what_has_not_begun, setup),
		cmocka_unit_test_setup(kinds_wrap_and_bound, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
