/* SPDX-License-Identifier: MIT */
/*
 * fork() in a program that used OpenCL before, and the parent afterwards.
 *
 * A child may exit, may exec, and may not hang for ever when it uses OpenCL itself; more is not
 * promised, natively either.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that hangs natively takes so long; one that does not may be slow. */
enum { SIZE = 4096, CHILD_SECONDS = 20 };

static const struct fixture *parent;
static cl_mem parents_buffer;
static const char *self;

static bool in_child;

/* LeakSanitizer asks. In a child it would wait for ever for what another thread of the parent had
 * locked in the allocator. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return in_child;
}

/* Runs `body` in a child and returns its wait status. */
static int child(void (*body)(void))
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		in_child = true;
		alarm(CHILD_SECONDS);
		body();
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

static void check_child(const char *name, int status)
{
	if (WIFEXITED(status))
		check_text(name, named("exit status %d", WEXITSTATUS(status)));
	else
		check_text(name, named("signal %d", WTERMSIG(status)));
}

static void leave(void)
{
}

static void leave_by_exit(void)
{
	exit(3);
}

static void leave_by_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	_exit(9);
}

/* The program itself, which uses OpenCL from its start. */
static void leave_by_exec_of_self(void)
{
	execl(self, self, "child", (char *)NULL);
	_exit(9);
}

/* The parent's objects are not the child's: what comes back does not matter, that it does, does. */
static void use_parents_objects(void)
{
	unsigned char data[SIZE];

	clEnqueueReadBuffer(parent->queue, parents_buffer, CL_TRUE, 0, SIZE, data, 0, NULL, NULL);
	clFinish(parent->queue);
}

static void use_anew(void)
{
	struct fixture fix;
	cl_mem buffer;

	fixture_open(&fix);
	buffer = buffer_patterned(&fix, SIZE, 1);
	clReleaseMemObject(buffer);
	fixture_close(&fix);
}

static void release_parents_objects(void)
{
	clReleaseMemObject(parents_buffer);
	clReleaseCommandQueue(parent->queue);
	clReleaseContext(parent->context);
}

/* The parent's objects work as before, and new ones can be made. */
static void check_parent(const char *name)
{
	cl_mem buffer = buffer_patterned(parent, SIZE, 2);
	cl_event done;

	check_code(named("copy after %s", name),
		   clEnqueueCopyBuffer(parent->queue, buffer, parents_buffer, 0, 0, SIZE / 2, 0,
				       NULL, &done));
	check_code(named("wait after %s", name), clWaitForEvents(1, &done));
	check_buffer_sum(named("content after %s", name), parent->queue, parents_buffer, SIZE);
	MUST(clReleaseEvent(done));
	MUST(clReleaseMemObject(buffer));
}

/* Whether a child that used OpenCL came to an end before its alarm. */
static void check_bounded(const char *name, int status)
{
	bool alarmed = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;

	check_text(name, alarmed ? "hung" : "ended");
}

static int child_main(void)
{
	struct fixture fix;
	unsigned char data[SIZE];
	cl_mem buffer;

	fixture_open(&fix);
	buffer = buffer_patterned(&fix, SIZE, 3);
	MUST(clEnqueueReadBuffer(fix.queue, buffer, CL_TRUE, 0, SIZE, data, 0, NULL, NULL));
	MUST(clReleaseMemObject(buffer));
	fixture_close(&fix);
	return (int)(sum(data, SIZE) % 100);
}

int main(int argc, char **argv)
{
	struct fixture fix;

	if (argc == 2 && !strcmp(argv[1], "child"))
		return child_main();
	self = "/proc/self/exe";
	transcript_begin("fork");
	check_child("child before any OpenCL", child(use_anew));
	fixture_open(&fix);
	parent = &fix;
	parents_buffer = buffer_patterned(&fix, SIZE, 1);
	check_buffer_sum("content before", fix.queue, parents_buffer, SIZE);

	check_child("child that leaves", child(leave));
	check_parent("a child that left");
	check_child("child that calls exit", child(leave_by_exit));
	check_parent("a child that called exit");
	check_child("child that execs", child(leave_by_exec));
	check_parent("a child that execed");
	check_child("child that execs this program", child(leave_by_exec_of_self));
	check_parent("a child that execed this program");
	check_bounded("child that uses OpenCL anew", child(use_anew));
	check_parent("a child that used OpenCL anew");
	check_bounded("child that uses its parent's objects", child(use_parents_objects));
	check_parent("a child that used its parent's objects");
	check_bounded("child that releases its parent's objects", child(release_parents_objects));
	check_parent("a child that released its parent's objects");

	MUST(clReleaseMemObject(parents_buffer));
	fixture_close(&fix);
	return transcript_end();
}
