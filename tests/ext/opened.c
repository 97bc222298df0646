// SPDX-License-Identifier: MIT
/*
 * Platforms that a program opens beside the host's own: opened LIBRARY TEST, under with-guestcld.
 */
#include "side.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CYCLES	     200
#define CYCLES_FIRST 20 /* after which what is kept for good is there */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ------------------------------------------------------------ work that crosses sides */

/*
 * The contents of one side's buffer go to another's when a command there is done, and a command
 * here waits for them; nobody waits in a call. @from is at @done, @to goes on at @arrived.
 */
struct crossing {
	const struct side *from, *to;
	cl_event arrived; /* user event of @to's */
	cl_event read, written;
	cl_uint *items;
};

static void CL_CALLBACK crossing_written(cl_event event, cl_int status, void *data)
{
	const struct crossing *crossing = data;
	cl_event arrived = crossing->arrived;

	(void)event;
	must("clSetUserEventStatus", clSetUserEventStatus(arrived, status));
	/* Its own reference: who waits for the event gives all back before that call has returned.
	 */
	clReleaseEvent(arrived);
}

static void CL_CALLBACK crossing_read(cl_event event, cl_int status, void *data)
{
	struct crossing *crossing = data;
	const struct side *to = crossing->to;

	(void)event;
	must("what was read", status);
	must("clEnqueueWriteBuffer",
	     clEnqueueWriteBuffer(to->queue, to->buffer, CL_FALSE, 0, BYTES, crossing->items, 0,
				  NULL, &crossing->written));
	must("clSetEventCallback",
	     clSetEventCallback(crossing->written, CL_COMPLETE, crossing_written, crossing));
	must("clFlush", clFlush(to->queue));
}

/* @after: what @from's command waits for the end of. */
static void crossing_begin(struct crossing *crossing, const struct side *from,
			   const struct side *to, cl_event after)
{
	cl_int code;

	*crossing = (struct crossing){.from = from, .to = to, .items = items_make()};
	crossing->arrived = clCreateUserEvent(to->context, &code);
	must("clCreateUserEvent", code);
	must("clRetainEvent", clRetainEvent(crossing->arrived));
	must("clEnqueueReadBuffer",
	     clEnqueueReadBuffer(from->queue, from->buffer, CL_FALSE, 0, BYTES, crossing->items, 1,
				 &after, &crossing->read));
	must("clSetEventCallback",
	     clSetEventCallback(crossing->read, CL_COMPLETE, crossing_read, crossing));
	must("clFlush", clFlush(from->queue));
}

static void crossing_end(struct crossing *crossing)
{
	clReleaseEvent(crossing->arrived);
	clReleaseEvent(crossing->read);
	clReleaseEvent(crossing->written);
	free(crossing->items);
}

static void CL_CALLBACK gate_callback(cl_event event, cl_int status, void *data)
{
	(void)event;
	must("the last command", status);
	gate_open(data);
}

static void start_values(const struct side *side)
{
	cl_uint *items = items_make();

	for (cl_uint i = 0; i < ITEMS; i++)
		items[i] = i;
	must("clEnqueueWriteBuffer", clEnqueueWriteBuffer(side->queue, side->buffer, CL_TRUE, 0,
							  BYTES, items, 0, NULL, NULL));
	free(items);
}

/* One side adds 1 when a user event says so, the next 10, and the first 100. The queues are out of
 * the way of the transfers: a command that waits would hold back what it waits for. */
static void cross(struct side *a, struct side *b)
{
	struct crossing there, back;
	struct side a2 = *a, b2 = *b;
	cl_event begin, first, second, third;
	struct gate gate;
	cl_int code;

	gate_init(&gate);
	start_values(a);
	a2.queue = clCreateCommandQueue(a->context, a->device, 0, &code);
	must("clCreateCommandQueue", code);
	b2.queue = clCreateCommandQueue(b->context, b->device, 0, &code);
	must("clCreateCommandQueue", code);
	begin = clCreateUserEvent(a->context, &code);
	must("clCreateUserEvent", code);
	first = side_launch(a, 1, begin);
	crossing_begin(&there, a, &b2, first);
	second = side_launch(b, 10, there.arrived);
	crossing_begin(&back, b, &a2, second);
	third = side_launch(a, 100, back.arrived);
	must("clSetEventCallback", clSetEventCallback(third, CL_COMPLETE, gate_callback, &gate));
	must("clSetUserEventStatus", clSetUserEventStatus(begin, CL_COMPLETE));
	gate_wait("the last callback comes", &gate);
	side_check(a, 111);
	side_check(b, 11);
	crossing_end(&there);
	crossing_end(&back);
	clReleaseEvent(begin);
	clReleaseEvent(first);
	clReleaseEvent(second);
	clReleaseEvent(third);
	must("clReleaseCommandQueue", clReleaseCommandQueue(a2.queue));
	must("clReleaseCommandQueue", clReleaseCommandQueue(b2.queue));
}

static void test_cross(void)
{
	struct side native, one, two;

	side_init(&native, platform_native());
	side_init(&one, platform_open());
	side_init(&two, platform_open());
	for (int i = 0; i < 20; i++) {
		cross(&native, &one);
		cross(&one, &two);
		cross(&two, &native);
	}
	side_fini(&one);
	close_platform(one.platform);
	cross(&two, &native);
	check("an open platform isn't lost", !platform_lost(two.platform));
	side_fini(&two);
	close_platform(two.platform);
	side_fini(&native);
	close_platform(NULL);
}

/* ------------------------------------------------------------ again and again */

static long entries(const char *path)
{
	DIR *folder = opendir(path);
	long count = 0;

	check(path, folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static long resident_kib(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long size, pages = 0;

	check("statm", statm && fscanf(statm, "%ld %ld", &size, &pages) == 2);
	fclose(statm);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void cycle(void)
{
	cl_platform_id platform = platform_open();
	struct side side;

	side_init(&side, platform);
	start_values(&side);
	clReleaseEvent(side_launch(&side, 5, NULL));
	side_check(&side, 5);
	side_fini(&side);
	close_platform(platform);
}

static void test_cycles(void)
{
	long fds = 0, threads = 0, kib = 0;

	for (int i = 0; i < CYCLES; i++) {
		if (i == CYCLES_FIRST) {
			fds = entries("/proc/self/fd");
			threads = entries("/proc/self/task");
			kib = resident_kib();
		}
		cycle();
	}
	printf("%d cycles: %ld KiB more\n", CYCLES - CYCLES_FIRST, resident_kib() - kib);
	check("no descriptor is left", entries("/proc/self/fd") == fds);
	check("no thread is left", entries("/proc/self/task") == threads);
	/* A sanitizer keeps what was freed for a while. */
	check("no memory is left", getenv("GUESTCL_SANITIZED") || resident_kib() - kib < 2048);
}

/* ------------------------------------------------------------ ends */

static void CL_CALLBACK failed_callback(cl_event event, cl_int status, void *data)
{
	(void)event;
	check("what was lost has failed", status < 0);
	gate_open(data);
}

/* A command that waits for an event of the program's, and a callback for its end. */
static void wait_begin(const struct side *side, cl_event events[2], struct gate *gate)
{
	cl_int code;

	gate_init(gate);
	events[0] = clCreateUserEvent(side->context, &code);
	must("clCreateUserEvent", code);
	events[1] = side_launch(side, 1, events[0]);
	must("clSetEventCallback",
	     clSetEventCallback(events[1], CL_COMPLETE, failed_callback, gate));
}

/* By another worker; spare ones have died as well, which takes the broker a moment to see. */
static void served_again(void)
{
	double end = now() + PATIENCE_MS / 1000.0;
	cl_platform_id platform = NULL;

	while (open_platform(daemon_connect(), &platform, NULL, 0) && now() < end)
		poll(NULL, 0, 20);
	close_platform(platform);
	cycle();
}

static void test_lost(void)
{
	cl_platform_id platform = platform_open();
	double end = now() + PATIENCE_MS / 1000.0;
	cl_event events[2];
	struct side side;
	struct gate gate;
	cl_uint item;

	side_init(&side, platform);
	wait_begin(&side, events, &gate);
	daemon_workers_signal(SIGKILL);
	gate_wait("a callback tells of the loss", &gate);
	while (!platform_lost(platform) && now() < end)
		poll(NULL, 0, 1);
	check("the platform is lost", platform_lost(platform));
	check("a lost queue fails", clFinish(side.queue) == CL_DEVICE_NOT_AVAILABLE);
	check("a lost buffer fails",
	      clEnqueueReadBuffer(side.queue, side.buffer, CL_TRUE, 0, sizeof item, &item, 0, NULL,
				  NULL) == CL_DEVICE_NOT_AVAILABLE);
	clReleaseEvent(events[0]);
	clReleaseEvent(events[1]);
	side_fini(&side);
	close_platform(platform);
	served_again();
}

/* What is under way when a platform is closed fails, and its callbacks have run then. */
static void test_closed(void)
{
	cl_platform_id platform = platform_open();
	cl_event events[2];
	struct side side;
	struct gate gate;

	side_init(&side, platform);
	wait_begin(&side, events, &gate);
	clReleaseEvent(events[0]);
	clReleaseEvent(events[1]);
	close_platform(platform); /* with all the objects left */
	check("the callback has run", gate.open);
	check("a closed platform is lost", platform_lost(platform));
	side_fini(&side);
	close_platform(platform); /* now they have gone */
	cycle();
}

static void test_forked(void)
{
	cl_platform_id platform = platform_open();
	struct side side;
	int status;
	pid_t pid;

	side_init(&side, platform);
	start_values(&side);
	pid = fork();
	if (pid == 0) {
		bool lost =
			platform_lost(platform) && clFinish(side.queue) == CL_DEVICE_NOT_AVAILABLE;

		close_platform(platform);
		_exit(lost ? 0 : 1);
	}
	check("the child sees it lost",
	      waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check("the parent does not", !platform_lost(platform));
	side_check(&side, 0);
	side_fini(&side);
	close_platform(platform);
}

static void test_refused(void)
{
	char reason[128] = "";
	cl_platform_id platform = NULL;
	int pipes[2];

	check("a pipe", pipe(pipes) == 0);
	check("a pipe is no socket",
	      open_platform(pipes[0], &platform, reason, sizeof reason) == CL_DEVICE_NOT_AVAILABLE);
	check("and a reason is given", *reason && close(pipes[0]) < 0);
	close(pipes[1]);
	check("nor is -1",
	      open_platform(-1, &platform, NULL, 0) == CL_DEVICE_NOT_AVAILABLE && !platform);
}

/* ------------------------------------------------------------ calls that wait */

/* A thread in calls that the host's silence stops. */
struct caller {
	const struct side *side;
	cl_int (*call)(const struct side *side);
	_Atomic unsigned calls; /* that have returned */
	struct gate failed;
};

static cl_int call_marker(const struct side *side)
{
	return clEnqueueMarkerWithWaitList(side->queue, 0, NULL, NULL);
}

static cl_int call_finish(const struct side *side)
{
	return clFinish(side->queue);
}

static cl_int call_build(const struct side *side)
{
	cl_program program = clCreateProgramWithSource(
		side->context, 1, &(const char *){"kernel void none() {}"}, NULL, NULL);
	cl_int code = clBuildProgram(program, 0, NULL, "", NULL, NULL);

	clReleaseProgram(program);
	return code;
}

static void *caller_run(void *arg)
{
	struct caller *caller = arg;
	cl_int code;

	while ((code = caller->call(caller->side)) == CL_SUCCESS)
		caller->calls++;
	check("a call ends when the platform is lost", code == CL_DEVICE_NOT_AVAILABLE);
	gate_open(&caller->failed);
	return NULL;
}

/* Returns when no call has returned for some time. */
static void caller_stops(const struct caller *caller)
{
	double end = now() + PATIENCE_MS / 1000.0;
	unsigned before;

	do {
		before = caller->calls;
		poll(NULL, 0, 300);
	} while (caller->calls != before && now() < end);
	check("the call waits", caller->calls == before);
}

/* The workers stand still; then the connection is ended by its copy. */
static void silence(const char *name, cl_int (*call)(const struct side *side))
{
	int conn = daemon_connect(), copy = dup(conn);
	cl_platform_id platform = platform_open_on(conn);
	struct caller caller = {.call = call};
	pthread_t thread;
	struct side side;
	double begin;

	side_init(&side, platform);
	caller.side = &side;
	gate_init(&caller.failed);
	daemon_workers_signal(SIGSTOP);
	if (call != call_marker)
		must("clEnqueueMarkerWithWaitList", call_marker(&side));
	check("a thread", pthread_create(&thread, NULL, caller_run, &caller) == 0);
	caller_stops(&caller);
	begin = now();
	check("the socket's end", shutdown(copy, SHUT_RDWR) == 0);
	gate_wait("the call returns", &caller.failed);
	printf("%s: %u calls, then one of %.3f s\n", name, caller.calls, now() - begin);
	pthread_join(thread, NULL);
	check("the platform is lost", platform_lost(platform));
	side_fini(&side);
	close_platform(platform);
	close(copy);
	daemon_workers_signal(SIGCONT);
}

static void test_silent(void)
{
	silence("marker", call_marker);
	silence("finish", call_finish);
	silence("build", call_build);
}

/* ------------------------------------------------------------ a full heap */

#define PART (16u << 20)

/* With a small heap, what does not fit fails soon, and fits again later. */
static void test_full(void)
{
	cl_platform_id platform = platform_open();
	char *memory = calloc(1, PART);
	cl_event wait;
	struct side side;
	double begin;
	cl_mem large;
	cl_int code;
	int parts = 0;

	side_init(&side, platform);
	large = clCreateBuffer(side.context, CL_MEM_READ_WRITE, PART, NULL, &code);
	must("clCreateBuffer", code);
	wait = clCreateUserEvent(side.context, &code);
	must("clCreateUserEvent", code);
	begin = now();
	while ((code = clEnqueueWriteBuffer(side.queue, large, CL_FALSE, 0, PART, memory, 1, &wait,
					    NULL)) == CL_SUCCESS)
		check("a heap has an end", ++parts < 1000);
	check("it says that memory is short", code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
	printf("%d parts, %.3f s\n", parts, now() - begin);
	must("clSetUserEventStatus", clSetUserEventStatus(wait, CL_COMPLETE));
	must("clFinish", clFinish(side.queue));
	must("clEnqueueWriteBuffer",
	     clEnqueueWriteBuffer(side.queue, large, CL_FALSE, 0, PART, memory, 0, NULL, NULL));
	clReleaseEvent(wait);
	must("clReleaseMemObject", clReleaseMemObject(large));
	side_fini(&side);
	close_platform(platform);
	free(memory);
}

/* ------------------------------------------------------------ */

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		{"cross", test_cross},	 {"cycles", test_cycles}, {"lost", test_lost},
		{"closed", test_closed}, {"forked", test_forked}, {"refused", test_refused},
		{"full", test_full},	 {"silent", test_silent},
	};

	check("usage: opened LIBRARY TEST", argc == 3);
	library_load(argv[1]);
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		if (strcmp(argv[2], tests[i].name) != 0)
			continue;
		tests[i].run();
		return 0;
	}
	check("a test of that name", false);
	return 1;
}
