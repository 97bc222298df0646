// SPDX-License-Identifier: MIT
/*
 * Runs commands in the guest for the host: agent PORT NONCE.
 *
 * It is process 1 of the guest, so it reaps what nobody else does and must not exit. One thread,
 * one poll(): the port, the ends of the commands' pipes, and SIGCHLD. Writing to the port may
 * block, since the host always reads; reading a command's output never does.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMANDS_MAX  64
#define STRINGS_MAX   1024
#define REOPEN_PERIOD 200000 /* microseconds */

struct command {
	uint32_t id;
	pid_t pid; /* 0: this entry is free */
	int in;
	int out; /* a terminal's other side: both ways */
	int err;
	bool terminal;
	bool in_ends;
	bool exited;
	int status;
	size_t pending; /* of stdin */
	char stdin_data[AGENT_STDIN_MAX];
};

static struct command commands[COMMANDS_MAX];
static int port = -1;
static char frame_data[AGENT_PAYLOAD_MAX + 1];

static void write_all(int fd, const void *data, size_t size)
{
	const char *from = data;

	while (size > 0) {
		ssize_t done = write(fd, from, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* the host is gone: the next read says so, too */
		from += done;
		size -= (size_t)done;
	}
}

static void send_frame(uint32_t id, enum agent_type type, const void *data, size_t size)
{
	struct agent_frame frame = {.command = id, .type = type, .length = (uint32_t)size};

	write_all(port, &frame, sizeof frame);
	write_all(port, data, size);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct command *command_find(uint32_t id)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		if (commands[i].pid && commands[i].id == id)
			return &commands[i];
	return NULL;
}

/* ------------------------------------------------------------ starting one */

struct start {
	bool terminal;
	struct winsize window;
	uid_t uid;
	gid_t gid;
	const char *folder;
	char *environment[STRINGS_MAX];
	char *arguments[STRINGS_MAX];
};

/* The next string of the payload; NULL when there is none. */
static char *string_next(char **at, const char *end)
{
	char *string = *at;
	char *zero = string < end ? memchr(string, 0, (size_t)(end - string)) : NULL;

	if (!zero)
		return NULL;
	*at = zero + 1;
	return string;
}

static unsigned long number_next(char **at, const char *end)
{
	const char *string = string_next(at, end);

	return string ? strtoul(string, NULL, 10) : 0;
}

static bool start_read(struct start *start, char *data, size_t size)
{
	char *at = data;
	const char *end = data + size;
	const char *terminal = string_next(&at, end);
	size_t count;
	size_t used = 0;

	*start = (struct start){.terminal = terminal && *terminal};
	start->window.ws_row = (unsigned short)number_next(&at, end);
	start->window.ws_col = (unsigned short)number_next(&at, end);
	start->uid = (uid_t)number_next(&at, end);
	start->gid = (gid_t)number_next(&at, end);
	start->folder = string_next(&at, end);
	count = number_next(&at, end);
	if (count >= STRINGS_MAX)
		return false;
	for (size_t i = 0; i < count; i++)
		start->environment[i] = string_next(&at, end);
	while (used < STRINGS_MAX - 1 && (start->arguments[used] = string_next(&at, end)))
		used++;
	return used > 0 && start->folder;
}

/* In the child, which answers on the pipe if it can't go on. */
static _Noreturn void child_run(const struct start *start, int answer)
{
	const char *what = start->folder;
	sigset_t none;
	char text[512];
	int length;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (chdir(start->folder))
		goto failed;
	what = "setting the user";
	if ((start->gid || start->uid) &&
	    (setgroups(0, NULL) || setgid(start->gid) || setuid(start->uid)))
		goto failed;
	what = start->arguments[0];
	environ = (char **)start->environment;
	execvp(start->arguments[0], start->arguments);
failed:
	length = snprintf(text, sizeof text, "%d %s: %s", errno, what, strerror(errno));
	write_all(answer, text, (size_t)length);
	_exit(127);
}

static pid_t spawn_pipes(struct command *command, const struct start *start, int answer)
{
	int pipes[3][2];
	pid_t pid;

	for (int i = 0; i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC))
			return -1; /* there are some thousand to be had */
	pid = fork();
	if (pid == 0) {
		setsid();
		dup2(pipes[0][0], 0);
		dup2(pipes[1][1], 1);
		dup2(pipes[2][1], 2);
		child_run(start, answer);
	}
	close(pipes[0][0]);
	close(pipes[1][1]);
	close(pipes[2][1]);
	command->in = pipes[0][1];
	command->out = pipes[1][0];
	command->err = pipes[2][0];
	fcntl(command->in, F_SETFL, O_NONBLOCK);
	fcntl(command->out, F_SETFL, O_NONBLOCK);
	fcntl(command->err, F_SETFL, O_NONBLOCK);
	return pid;
}

static pid_t spawn_terminal(struct command *command, const struct start *start, int answer)
{
	int side;
	pid_t pid = forkpty(&side, NULL, NULL, &start->window);

	if (pid == 0)
		child_run(start, answer);
	if (pid > 0) {
		fcntl(side, F_SETFD, FD_CLOEXEC);
		fcntl(side, F_SETFL, O_NONBLOCK);
		command->out = side;
	}
	return pid;
}

static void command_start(uint32_t id, char *data, size_t size)
{
	static struct start start;
	struct command *command = NULL;
	char text[512] = "too many commands, or too many arguments";
	ssize_t length;
	int answer[2];

	for (size_t i = 0; i < COMMANDS_MAX && !command; i++)
		if (!commands[i].pid)
			command = &commands[i];
	if (!command || !start_read(&start, data, size) || pipe2(answer, O_CLOEXEC)) {
		send_frame(id, AGENT_FAILED, text, strlen(text));
		return;
	}
	memset(command, 0, offsetof(struct command, stdin_data));
	command->id = id;
	command->in = command->out = command->err = -1;
	command->terminal = start.terminal;
	command->pid = start.terminal ? spawn_terminal(command, &start, answer[1])
				      : spawn_pipes(command, &start, answer[1]);
	close(answer[1]);
	length = read(answer[0], text, sizeof text); /* its end: exec() has closed the pipe */
	close(answer[0]);
	if (command->pid > 0 && length <= 0)
		return;
	send_frame(id, AGENT_FAILED, text, length > 0 ? (size_t)length : strlen(text));
	close_fd(&command->in);
	close_fd(&command->out);
	close_fd(&command->err);
	command->pid = 0; /* what there was of a child is reaped like an orphan */
}

/* ------------------------------------------------------------ running ones */

static void stdin_write(struct command *command)
{
	int fd = command->terminal ? command->out : command->in;
	uint32_t gone = 0;

	while (command->pending > 0) {
		ssize_t done = write(fd, command->stdin_data, command->pending);

		if (done < 0 && errno == EAGAIN)
			break;
		if (done <= 0)
			done = (ssize_t)command->pending; /* nobody reads it any more */
		command->pending -= (size_t)done;
		memmove(command->stdin_data, command->stdin_data + done, command->pending);
		gone += (uint32_t)done;
	}
	if (gone)
		send_frame(command->id, AGENT_ACK, &gone, sizeof gone);
	if (command->pending == 0 && command->in_ends)
		close_fd(&command->in);
}

static void stdin_take(struct command *command, const char *data, size_t size)
{
	if (size == 0)
		command->in_ends = true;
	else if (size <= sizeof command->stdin_data - command->pending) {
		memcpy(command->stdin_data + command->pending, data, size);
		command->pending += size;
	}
	stdin_write(command);
}

/* Sends what there is on one of the command's outputs, a frame at a time. */
static bool output_send(struct command *command, int *fd, enum agent_type type)
{
	static char data[AGENT_PAYLOAD_MAX];
	ssize_t size;

	if (*fd < 0)
		return false;
	size = read(*fd, data, sizeof data);
	if (size > 0) {
		send_frame(command->id, type, data, (size_t)size);
		return true;
	}
	if (size == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(fd); /* EIO is a terminal's end */
	return false;
}

/* What other processes still hold of a command's outputs is not waited for. */
static void command_finish(struct command *command)
{
	uint32_t status = (uint32_t)command->status;

	while (output_send(command, &command->out, AGENT_STDOUT))
		continue;
	while (output_send(command, &command->err, AGENT_STDERR))
		continue;
	close_fd(&command->in);
	close_fd(&command->out);
	close_fd(&command->err);
	send_frame(command->id, AGENT_EXIT, &status, sizeof status);
	command->pid = 0;
}

static void children_reap(int signals)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(signals, &info, sizeof info) < 0 && errno != EAGAIN)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < COMMANDS_MAX; i++)
			if (commands[i].pid == pid) {
				commands[i].status = status;
				command_finish(&commands[i]);
			}
}

static void commands_end(void)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		if (commands[i].pid)
			kill(-commands[i].pid, SIGKILL);
}

/* ------------------------------------------------------------ the port */

static bool read_all(void *data, size_t size)
{
	char *to = data;

	while (size > 0) {
		ssize_t done = read(port, to, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		to += done;
		size -= (size_t)done;
	}
	return true;
}

static bool frame_take(void)
{
	struct agent_frame frame;
	struct command *command;

	if (!read_all(&frame, sizeof frame) || frame.length > AGENT_PAYLOAD_MAX ||
	    !read_all(frame_data, frame.length))
		return false;
	if (frame.type == AGENT_RUN) {
		command_start(frame.command, frame_data, frame.length);
		return true;
	}
	command = command_find(frame.command);
	if (!command)
		return true; /* it has ended meanwhile */
	if (frame.type == AGENT_STDIN) {
		stdin_take(command, frame_data, frame.length);
	} else if (frame.type == AGENT_SIGNAL && frame.length == sizeof(uint32_t)) {
		uint32_t number;

		memcpy(&number, frame_data, sizeof number);
		kill(-command->pid, (int)number);
	} else if (frame.type == AGENT_WINDOW && frame.length == 2 * sizeof(uint16_t)) {
		uint16_t sizes[2];
		struct winsize window = {0};

		memcpy(sizes, frame_data, sizeof sizes);
		window.ws_row = sizes[0];
		window.ws_col = sizes[1];
		if (command->terminal)
			ioctl(command->out, TIOCSWINSZ, &window);
	}
	return true;
}

/* One round of waiting. Returns false when the host has gone. */
static bool serve(int signals)
{
	struct pollfd polled[2 + 3 * COMMANDS_MAX] = {
		{.fd = port, .events = POLLIN},
		{.fd = signals, .events = POLLIN},
	};

	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		const struct command *command = &commands[i];
		struct pollfd *its = &polled[2 + 3 * i];
		short more = command->pending ? POLLOUT : 0;

		its[0].fd = command->pid && more ? command->in : -1;
		its[0].events = POLLOUT;
		its[1].fd = command->pid ? command->out : -1;
		its[1].events = (short)(POLLIN | (command->terminal ? more : 0));
		its[2].fd = command->pid ? command->err : -1;
		its[2].events = POLLIN;
	}
	if (poll(polled, 2 + 3 * COMMANDS_MAX, -1) < 0)
		return errno == EINTR;
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		const struct pollfd *its = &polled[2 + 3 * i];

		if ((its[0].revents | its[1].revents) & POLLOUT || its[0].revents)
			stdin_write(&commands[i]);
		if (its[1].revents & ~POLLOUT)
			output_send(&commands[i], &commands[i].out, AGENT_STDOUT);
		if (its[2].revents)
			output_send(&commands[i], &commands[i].err, AGENT_STDERR);
	}
	if (polled[1].revents)
		children_reap(signals);
	return !polled[0].revents || frame_take();
}

static bool nonce_read(const char *text, unsigned char *nonce)
{
	if (strlen(text) != 2 * (size_t)AGENT_NONCE)
		return false;
	for (int i = 0; i < AGENT_NONCE; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], 0};

		nonce[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return true;
}

int main(int argc, char **argv)
{
	unsigned char nonce[AGENT_NONCE];
	sigset_t child;
	int signals;

	if (argc != 3 || !nonce_read(argv[2], nonce)) {
		fprintf(stderr, "usage: agent PORT NONCE\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		port = open(argv[1], O_RDWR | O_CLOEXEC);
		if (port >= 0) {
			write_all(port, nonce, sizeof nonce);
			while (serve(signals))
				continue;
			commands_end();
			close_fd(&port);
		}
		usleep(REOPEN_PERIOD);
	}
}
