// SPDX-License-Identifier: MIT
/*
 * Connections from this host to GPU servers, one for each session and place.
 *
 * By TLS each is a process of its own, guestcl-link, which finds the server's address, connects,
 * and relays. It gets the files with what this host shows from here; it ends when the worker's end
 * or the server's does. A server of this host ("unix:/PATH") is connected to at once.
 *
 * Must not: wait, read from the network, know TLS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "broker.h"
#include "jail/jail.h"
#include "tls-link.h"
#include "tls.h"

/* How long connecting may take, and the process for saying how that went. */
#define CONNECT_MS	10000
#define OVERDUE_SECONDS 15.

struct gcl_link {
	struct gcl_list link;
	struct gcl_moves *moves;
	struct gcl_move *move; /* that waits for it; or NULL */
	struct gcl_helper helper;
	struct ev_io readable;
	struct ev_timer overdue;
};

static struct gcl_link *link_of(struct gcl_list *link)
{
	return gcl_container_of(link, struct gcl_link, link);
}

/* It has said what it has to say, or never will. */
static void quiet(struct gcl_link *link)
{
	struct ev_loop *loop = link->helper.broker->loop;

	ev_io_stop(loop, &link->readable);
	ev_timer_stop(loop, &link->overdue);
	gcl_helper_close(&link->helper);
}

static void link_destroy(struct gcl_link *link)
{
	quiet(link);
	gcl_list_remove(&link->link);
	free(link);
}

/* Tells who waits. */
static void answer(struct gcl_link *link, int fd, const char *reason)
{
	struct gcl_move *move = steal_pointer(&link->move);

	quiet(link);
	if (!move) {
		gcl_cleanup_close(&fd);
		return;
	}
	move->made = NULL;
	gcl_move_linked(move, fd, reason);
}

/* ------------------------------------------------------------ what it says */

static void text_clean(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_link *link = io->data;
	struct gcl_link_said said = {0};
	unsigned count;
	int fd = -1;
	ssize_t n = gcl_fds_receive(io->fd, &said, sizeof said, MSG_DONTWAIT, &fd, 1, &count);

	(void)loop;
	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (!count)
		fd = -1;
	if (n == sizeof said && !said.failed && fd >= 0) {
		answer(link, fd, "");
		return;
	}
	gcl_cleanup_close(&fd);
	if (n != sizeof said || !said.failed)
		snprintf(said.reason, sizeof said.reason,
			 "guestcl-link failed: see guestcld's log");
	text_clean(said.reason, sizeof said.reason);
	answer(link, -1, said.reason);
}

static void on_overdue(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_link *link = timer->data;

	(void)loop;
	(void)events;
	gcl_helper_kill(&link->helper);
	answer(link, -1, "the server does not answer in time");
}

/* ------------------------------------------------------------ the process */

static bool link_gone(struct gcl_helper *helper)
{
	struct gcl_link *link = gcl_container_of(helper, struct gcl_link, helper);

	/* What it said last may not have been read. */
	if (link->move && helper->socket >= 0)
		on_readable(helper->broker->loop, &link->readable, EV_READ);
	if (link->move)
		answer(link, -1, "guestcl-link failed: see guestcld's log");
	link_destroy(link);
	return false;
}

static void link_again(struct gcl_helper *helper)
{
	(void)helper;
}

static struct gcl_link *link_create(struct gcl_moves *moves, struct gcl_move *move)
{
	static const struct gcl_helper_kind kind = {
		.name = "guestcl-link",
		.setting = "client-library",
		.meanwhile = "",
		.again = link_again,
		.gone = link_gone,
	};
	struct gcl_link *link = calloc(1, sizeof *link);

	if (!link)
		return NULL;
	link->moves = moves;
	link->move = move;
	gcl_helper_init(&link->helper, &kind, moves->broker);
	ev_io_init(&link->readable, on_readable, -1, EV_READ);
	ev_timer_init(&link->overdue, on_overdue, OVERDUE_SECONDS, 0.);
	link->readable.data = link->overdue.data = link;
	gcl_list_append(&moves->links, &link->link);
	return link;
}

static void link_follow(struct gcl_link *link)
{
	struct ev_loop *loop = link->helper.broker->loop;

	ev_io_set(&link->readable, link->helper.socket, EV_READ);
	ev_io_start(loop, &link->readable);
	ev_timer_start(loop, &link->overdue);
}

/* ------------------------------------------------------------ what it is given */

/* Return: 0, or -errno and @reason. */
static int file_open(const char *folder, unsigned file, int *fd, char *reason, size_t size)
{
	char path[PATH_MAX + 32];
	int err = 0;

	snprintf(path, sizeof path, "%s/%s", folder, gcl_tls_place_names[file]);
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*fd < 0)
		err = -errno;
	if (err == -ENOENT && (file == GCL_TLS_PLACE_PSK || file == GCL_TLS_PLACE_CRL))
		return 0;
	if (err)
		snprintf(reason, size,
			 "can't read %.120s: %s; guestcl pki client makes what belongs there, or "
			 "set \"servers-tls\" to another folder",
			 path, strerror(-err));
	return err;
}

/* A pre-shared key is enough. */
static int files_open(const char *folder, int fds[GCL_TLS_PLACE_FILES], char *reason, size_t size)
{
	int err = 0;

	for (unsigned i = 0; i < GCL_TLS_PLACE_FILES && err == 0; i++) {
		if (fds[GCL_TLS_PLACE_PSK] < 0)
			err = file_open(folder, i, &fds[i], reason, size);
	}
	return err;
}

static int order_send(struct gcl_link *link, struct gcl_link_order *order, char *reason,
		      size_t size)
{
	const struct gcl_config *config = &link->helper.broker->config;
	int fds[GCL_TLS_PLACE_FILES], given[GCL_TLS_PLACE_FILES], err;
	unsigned count = 0;

	memset(fds, -1, sizeof fds);
	err = files_open(config->servers_tls, fds, reason, size);
	for (unsigned i = 0; i < GCL_TLS_PLACE_FILES; i++) {
		if (fds[i] < 0)
			continue;
		order->files |= 1u << i;
		given[count++] = fds[i];
	}
	if (err == 0) {
		err = gcl_fds_send(link->helper.socket, order, sizeof *order, MSG_DONTWAIT, given,
				   count);
		if (err)
			snprintf(reason, size, "guestcl-link failed: %s; see guestcld's log",
				 strerror(-err));
	}
	for (unsigned i = 0; i < GCL_TLS_PLACE_FILES; i++)
		gcl_cleanup_close(&fds[i]);
	return err;
}

/* Return: 0, or -errno and @reason. */
static int tls_start(struct gcl_move *move, const char *address, char *reason, size_t size)
{
	struct gcl_moves *moves = &move->worker->broker->moves;
	struct gcl_config *config = &moves->broker->config;
	struct gcl_link_order order = {.timeout_ms = CONNECT_MS, .log_level = config->log_level};
	char *arguments[] = {"guestcl-link", "--user",
			     config->jail == GCL_JAIL_OFF ? "" : config->worker_user, NULL};
	struct gcl_link *link;
	int err;

	if (!gcl_server_address_parse(address, order.host, order.port)) {
		snprintf(reason, size, "the server's address is none");
		return -EINVAL;
	}
	link = link_create(moves, move);
	if (!link) {
		snprintf(reason, size, "guestcld has no memory left");
		return -ENOMEM;
	}
	err = gcl_helper_start(&link->helper, config->link_program, arguments, -1);
	if (err < 0) {
		snprintf(reason, size, "can't start %.120s: %s", config->link_program,
			 strerror(-err));
		link_destroy(link);
		return err;
	}
	err = order_send(link, &order, reason, size);
	if (err < 0) {
		/* It ends by the end of its socket, and is reaped. */
		link->move = NULL;
		quiet(link);
		return err;
	}
	move->made = link;
	link_follow(link);
	return 0;
}

/* Return: a connected socket, or -errno. */
static int unix_connect(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof to.sun_path)
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path) + 1);
	/* It is there or it isn't: nothing is waited for. */
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
		return -errno;
	fcntl(fd, F_SETFL, 0);
	return steal_fd(&fd);
}

int gcl_link_start(struct gcl_move *move, const char *address, int *fd, char *reason,
		   size_t reason_size)
{
	const char *path = gcl_server_path(address);

	*fd = -1;
	if (!path)
		return tls_start(move, address, reason, reason_size);
	*fd = unix_connect(path);
	if (*fd >= 0)
		return 0;
	snprintf(reason, reason_size, "can't connect to %s: %s", path, strerror(-*fd));
	return *fd;
}

void gcl_link_cancel(struct gcl_link *link)
{
	if (!link)
		return;
	link->move = NULL;
	quiet(link);
	gcl_helper_kill(&link->helper);
}

/* ------------------------------------------------------------ all of them */

bool gcl_links_own(const struct gcl_moves *moves, pid_t pid)
{
	gcl_list_for_each (it, &moves->links) {
		if (link_of(it)->helper.pid == pid)
			return true;
	}
	return false;
}

size_t gcl_links_count(const struct gcl_moves *moves)
{
	return gcl_list_count(&moves->links);
}

void gcl_links_fini(struct gcl_moves *moves)
{
	gcl_list_for_each_safe (it, next, &moves->links) {
		struct gcl_link *link = link_of(it);

		gcl_helper_end(&link->helper);
		link_destroy(link);
	}
}

/* Of those that relay, only that they are there. */
void gcl_links_save(const struct gcl_moves *moves, struct gcl_state *state)
{
	gcl_state_put_number(state, gcl_links_count(moves));
	gcl_list_for_each (it, &moves->links) {
		const struct gcl_link *link = link_of(it);
		uint64_t id = link->move ? link->move->id : 0;

		GCL_STATE_PUT(state, link->helper.pid);
		GCL_STATE_PUT(state, id);
		gcl_state_put_fd(state, link->helper.socket);
	}
}

static struct gcl_move *move_find(const struct gcl_moves *moves, uint64_t id)
{
	gcl_list_for_each (it, &moves->list) {
		struct gcl_move *move = gcl_container_of(it, struct gcl_move, link);

		if (id && move->id == id && move->phase == GCL_MOVE_LINKING)
			return move;
	}
	return NULL;
}

static void link_restore(struct gcl_moves *moves, struct gcl_state *state)
{
	_cleanup_close_ int socket = -1;
	struct gcl_link *link;
	uint64_t id;
	pid_t pid;

	GCL_STATE_GET(state, pid);
	GCL_STATE_GET(state, id);
	socket = gcl_state_get_fd(state);
	if (state->bad || pid <= 0)
		return;
	link = link_create(moves, move_find(moves, id));
	if (!link)
		return;
	link->helper.pid = pid;
	gcl_helper_follow(&link->helper);
	link->helper.socket = steal_fd(&socket);
	if (link->move && link->helper.socket >= 0) {
		link->move->made = link;
		link_follow(link);
	}
}

void gcl_links_restore(struct gcl_moves *moves, struct gcl_state *state)
{
	uint64_t count = gcl_state_get_number(state);

	for (uint64_t i = 0; i < count && !state->bad; i++)
		link_restore(moves, state);
}
