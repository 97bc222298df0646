// SPDX-License-Identifier: MIT
/*
 * Clients of the control socket: their lines, and what goes back.
 *
 * Must not: block, believe a client's sizes, let one that doesn't read hold memory for long.
 */
#include "control.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"

/* How long a client may take to read its answer. */
#define WRITE_SECONDS 10.

/* How often a client that traces hears more. */
#define TICK_SECONDS 0.05

/* Objects in objects that a request may have. */
#define DEPTH_MAX 8

static const struct {
	const char *name;
	gcl_control_handler *handler;
} requests[] = {
	{"status", gcl_control_status}, {"set", gcl_control_set},
	{"pause", gcl_control_pause},	{"resume", gcl_control_resume},
	{"end", gcl_control_end},	{"restart", gcl_control_restart},
	{"trace", gcl_control_trace},	{"move", gcl_control_move},
	{"drain", gcl_control_drain},	{"move-state", gcl_control_move_state},
	{"why", gcl_control_why},
};

struct client {
	struct gcl_list link;
	struct gcl_control *control;
	int fd;
	bool reader; /* guestcl-web, which is to change nothing */
	struct ev_io readable, writable;
	struct ev_timer overdue;
	struct gcl_tracing tracing;
	struct ev_timer tick;		 /* while it traces */
	size_t used;			 /* of line */
	struct json_object *answer;	 /* being written; NULL: none */
	size_t written;			 /* bytes of it */
	char line[GCL_CONTROL_LINE_MAX]; /* what came of the next request */
};

static void client_destroy(struct client *client)
{
	struct ev_loop *loop = client->control->broker->loop;

	ev_io_stop(loop, &client->readable);
	ev_io_stop(loop, &client->writable);
	ev_timer_stop(loop, &client->overdue);
	ev_timer_stop(loop, &client->tick);
	gcl_trace_end(client->control->broker, &client->tracing);
	gcl_list_remove(&client->link);
	client->control->count--;
	json_object_put(client->answer);
	close(client->fd);
	free(client);
}

/* ------------------------------------------------------------ one request */

static int request_run(struct gcl_control_request *request)
{
	struct json_object *name;
	const char *text;

	if (!json_object_object_get_ex(request->asked, "do", &name) ||
	    !json_object_is_type(name, json_type_string)) {
		snprintf(request->error, sizeof request->error, "the request has no \"do\"");
		return -EINVAL;
	}
	text = json_object_get_string(name);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(requests); i++) {
		if (strcmp(text, requests[i].name) != 0)
			continue;
		if (!request->reader || requests[i].handler == gcl_control_status)
			return requests[i].handler(request);
		snprintf(request->error, sizeof request->error, "guestcl-web only reads");
		return -EPERM;
	}
	snprintf(request->error, sizeof request->error, "this guestcld can't do \"%.40s\"", text);
	return -ENOTSUP;
}

static struct json_object *line_parse(const char *line, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *object = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, line, (int)size);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

/* Return: the answer, which the caller owns; NULL without memory. */
static struct json_object *line_answer(struct client *client, const char *line, size_t size)
{
	struct gcl_control_request request = {
		.broker = client->control->broker,
		.reader = client->reader,
		.error = "no memory",
	};
	int err = -EINVAL;

	request.answer = json_object_new_object();
	if (!request.answer)
		return NULL;
	request.asked = line_parse(line, size);
	if (request.asked)
		err = request_run(&request);
	else
		snprintf(request.error, sizeof request.error, "a request is one JSON object");
	json_object_put(request.asked);
	json_object_object_add(request.answer, "ok", json_object_new_boolean(err == 0));
	if (err < 0)
		json_object_object_add(request.answer, "error",
				       json_object_new_string(request.error));
	if (request.trace.session) {
		gcl_trace_end(request.broker, &client->tracing);
		client->tracing = request.trace;
		ev_timer_again(request.broker->loop, &client->tick);
	}
	return request.answer;
}

/* ------------------------------------------------------------ in and out */

static void answer_start(struct client *client, struct json_object *answer)
{
	struct ev_loop *loop = client->control->broker->loop;

	client->answer = answer;
	client->written = 0;
	ev_io_stop(loop, &client->readable);
	ev_io_start(loop, &client->writable);
	ev_timer_set(&client->overdue, WRITE_SECONDS, 0.);
	ev_timer_start(loop, &client->overdue);
}

/* One that doesn't read loses what the ring doesn't keep, and hears how much that was. */
static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct client *client = timer->data;
	struct json_object *more = NULL;

	(void)events;
	if (client->answer)
		return;
	more = gcl_trace_more(client->control->broker, &client->tracing);
	if (!client->tracing.session)
		ev_timer_stop(loop, timer);
	if (more)
		answer_start(client, more);
}

/* Answers the first whole line, if there is one and nothing else is under way. */
static void line_take(struct client *client)
{
	char *end = memchr(client->line, '\n', client->used);
	size_t size;

	if (client->answer || !end)
		return;
	size = (size_t)(end - client->line);
	answer_start(client, line_answer(client, client->line, size));
	client->used -= size + 1;
	memmove(client->line, end + 1, client->used);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct client *client = io->data;
	ssize_t n = recv(client->fd, client->line + client->used,
			 sizeof client->line - client->used, MSG_DONTWAIT);

	(void)loop;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (client->used + (size_t)n == sizeof client->line &&
		       !memchr(client->line, '\n', sizeof client->line))) {
		client_destroy(client);
		return;
	}
	client->used += (size_t)n;
	line_take(client);
}

/* Return: bytes that are left; -errno. */
static ssize_t answer_write(struct client *client)
{
	size_t size;
	const char *text =
		json_object_to_json_string_length(client->answer, JSON_C_TO_STRING_PLAIN, &size);
	struct iovec parts[] = {
		{(char *)text + GCL_MIN(client->written, size),
		 size - GCL_MIN(client->written, size)},
		{"\n", 1},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n = text ? sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;

	if (n < 0)
		return text && (errno == EAGAIN || errno == EINTR) ? 1 : -EPIPE;
	client->written += (size_t)n;
	return (ssize_t)(size + 1 - client->written);
}

static void on_writable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct client *client = io->data;
	ssize_t left = client->answer ? answer_write(client) : -ENOMEM;

	(void)events;
	if (left < 0)
		client_destroy(client);
	if (left != 0)
		return;
	json_object_put(client->answer);
	client->answer = NULL;
	ev_io_stop(loop, &client->writable);
	ev_timer_stop(loop, &client->overdue);
	ev_io_start(loop, &client->readable);
	line_take(client);
}

static void on_overdue(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	client_destroy(timer->data);
}

static void client_create(struct gcl_control *control, int fd, bool reader)
{
	struct client *client = calloc(1, sizeof *client);

	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	client->reader = reader;
	ev_io_init(&client->readable, on_readable, fd, EV_READ);
	ev_io_init(&client->writable, on_writable, fd, EV_WRITE);
	ev_timer_init(&client->overdue, on_overdue, WRITE_SECONDS, 0.);
	ev_timer_init(&client->tick, on_tick, 0., TICK_SECONDS);
	client->readable.data = client->writable.data = client;
	client->overdue.data = client->tick.data = client;
	gcl_list_append(&control->clients, &client->link);
	control->count++;
	ev_io_start(control->broker->loop, &client->readable);
}

/* ------------------------------------------------------------ the socket */

static void refuse(int fd, const char *why)
{
	char text[160];
	int n = snprintf(text, sizeof text, "{\"ok\":false,\"error\":\"%s\"}\n", why);

	(void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void on_connect(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_control *control = io->data;
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t size = sizeof peer;

	(void)events;
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* It stays readable: guests' listener says what is short. */
		ev_io_stop(loop, io);
		ev_timer_again(loop, &control->pause);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    peer.pid == control->broker->etcd.helper.pid ||
	    gcl_links_own(&control->broker->moves, peer.pid) ||
	    gcl_workers_owns(&control->broker->workers, peer.pid)) {
		gcl_log_peer(broker, "a worker (%d) tried to use the control socket",
			     (int)peer.pid);
		refuse(fd, "workers can't control guestcld");
	} else if (control->count == GCL_CONTROL_CLIENTS_MAX) {
		refuse(fd, "guestcld has too many control connections: close one");
	} else {
		client_create(control, fd, peer.pid == control->broker->web.helper.pid);
	}
}

static void on_pause(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_control *control = timer->data;

	(void)events;
	ev_timer_stop(loop, timer);
	ev_io_start(loop, &control->readable);
}

void gcl_control_path(const struct gcl_config *config, char *path, size_t size)
{
	char copy[sizeof config->socket];

	memcpy(copy, config->socket, sizeof copy);
	if (*config->control_socket)
		snprintf(path, size, "%s", config->control_socket);
	else
		snprintf(path, size, "%s/control.sock", dirname(copy));
}

void gcl_control_open(struct gcl_control *control, struct gcl_broker *broker)
{
	char path[sizeof broker->config.socket + sizeof "/control.sock"];
	const struct gcl_socket_place place = {
		.path = path,
		.mode = broker->config.control_socket_mode,
		.group = broker->config.control_socket_group,
		.initial_group = "",
		.setting = "control-socket",
		.group_setting = "control-socket-group",
	};

	control->broker = broker;
	control->socket.fd = -1;
	gcl_list_init(&control->clients);
	gcl_control_path(&broker->config, path, sizeof path);
	if (strlen(path) >= sizeof control->socket.path) {
		gcl_log_error(broker, "%s is too long for a socket: set \"control-socket\"", path);
		return;
	}
	if (gcl_socket_open(&control->socket, &place) < 0) {
		gcl_log_warn(broker, "guests are served, but guestcl status, top and set won't "
				     "work: see the line before");
		return;
	}
	ev_io_init(&control->readable, on_connect, control->socket.fd, EV_READ);
	ev_timer_init(&control->pause, on_pause, 0., 0.5);
	control->readable.data = control->pause.data = control;
	ev_io_start(broker->loop, &control->readable);
}

void gcl_control_close(struct gcl_control *control)
{
	if (control->socket.fd < 0)
		return;
	ev_io_stop(control->broker->loop, &control->readable);
	ev_timer_stop(control->broker->loop, &control->pause);
	gcl_socket_close(&control->socket);
	gcl_list_for_each_safe (it, next, &control->clients)
		client_destroy(gcl_container_of(it, struct client, link));
}
