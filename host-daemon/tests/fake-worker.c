// SPDX-License-Identifier: MIT
/*
 * A worker without OpenCL, for tests of the broker: it says and does what a file tells it.
 *
 * FAKE_WORKER names the file; it is read anew by each worker. Its first word is one of those in
 * main(). Each start adds a byte to the file of the same name with ".starts" behind it.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "fake-link.h"
#include "fake-load.h"
#include "fake-move.h"
#include "handover.h"
#include "local.h"

#define SOCKET 3

static void start_count(const char *plan)
{
	char path[4096];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof path, "%s.starts", plan);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd >= 0)
		(void)!write(fd, ".", 1);
}

static void say(char letter, const char *text)
{
	char line[512];
	int n = snprintf(line, sizeof line, "%c%s", letter, text);

	(void)!send(SOCKET, line, (size_t)n, MSG_NOSIGNAL);
}

/* Under a sanitizer too, which has a handler of its own. */
static void crash(void)
{
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
}

/* Until guest or broker is gone; a stubborn worker minds neither. @moves: how it does, or NULL. */
static void serve(const char *plan, const char *moves, bool stubborn, bool crashes)
{
	_cleanup_(gcl_greeting_fini) struct gcl_greeting greeting;
	struct pollfd fds[2] = {{.fd = SOCKET, .events = POLLRDHUP}, {.events = POLLRDHUP}};

	gcl_greeting_init(&greeting);
	if (gcl_greeting_take(&greeting, SOCKET) != 1)
		return;
	if (greeting.kind == GCL_GREETING_VIRTIO) {
		fake_link_serve(&greeting, SOCKET, plan);
	} else {
		gcl_hello_answer(greeting.conn, GCL_HELLO_OK, "");
		if (crashes)
			crash();
		fds[1].fd = greeting.conn;
		if (moves)
			fake_move_serve(SOCKET, greeting.conn, moves);
		else
			poll(fds, 2, -1);
	}
	if (stubborn) {
		for (;;)
			pause();
	}
}

/* Tries to be a guest at @path; what it is told stands in the answer file beside it. */
static void intrude(const char *path)
{
	struct gcl_channel *channel = NULL;
	char reason[256] = "let in", answer[512];
	_cleanup_fclose_ FILE *file = NULL;

	gcl_local_connect(path, &channel, reason, sizeof reason);
	snprintf(answer, sizeof answer, "%.200s.answer", path);
	file = fopen(answer, "we");
	if (file)
		fputs(reason, file);
}

int main(void)
{
	const char *path = getenv("FAKE_WORKER");
	_cleanup_fclose_ FILE *file = fopen(path ? path : "/dev/null", "re");
	char plan[32] = "serve", text[256] = "";

	if (file && fscanf(file, "%31s %255[^\n]", plan, text) < 1)
		return 2;
	start_count(path ? path : "/dev/null");
	if (strcmp(plan, "crash") == 0)
		crash();
	if (strcmp(plan, "exit") == 0)
		return atoi(text);
	if (strcmp(plan, "hang") == 0)
		pause();
	if (strcmp(plan, "garbage") == 0)
		say('?', "");
	if (strcmp(plan, "fail") == 0) {
		say(GCL_HANDOVER_FAILED, text);
		return 1;
	}
	if (strcmp(plan, "slow") == 0)
		usleep((useconds_t)atoi(text) * 1000);
	fake_load_begin();
	say(GCL_HANDOVER_READY, "");
	if (strcmp(plan, "intrude") == 0)
		intrude(text);
	serve(plan, strcmp(plan, "move") == 0 ? text : NULL, strcmp(plan, "stubborn") == 0,
	      strcmp(plan, "crash-serving") == 0);
	return 0;
}
