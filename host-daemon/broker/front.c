// SPDX-License-Identifier: MIT
/*
 * Guests of other machines: the process that ends their TLS, and what it hands over.
 *
 * guestcl-tls opens nothing itself: what it listens on and what it shows it gets from here, over a
 * socket by which it then hands over guests, each with its name. The name is a VM's, or the guest
 * is told that there is no such VM. A guest's greeting is read as that of any other guest of its
 * VM.
 *
 * Must not: read from the network, know TLS.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "broker.h"
#include "jail/jail.h"
#include "vm.h"

#define BACKLOG 128

/* Guests taken before other events get their turn. */
#define BATCH 16

#define REST_SECONDS 0.1

/* Pauses before what has failed is tried again; a process that ran for long ended for a new reason.
 */
#define PAUSE_FIRST  1.
#define PAUSE_MAX    60.
#define LONG_SECONDS 60.

/* ------------------------------------------------------------ guests */

static void refuse(int conn, const struct gcl_front_guest *guest)
{
	char text[GCL_REASON_MAX];

	snprintf(text, sizeof text,
		 "guestcld knows no VM called \"%s\": write vm \"%s\" {} into guestcld.conf on the "
		 "server",
		 guest->name, guest->name);
	gcl_log_peer(vm, "refused a guest from %s: %s", guest->from, text);
	gcl_hello_answer(conn, GCL_HELLO_FAILED, text);
	close(conn);
}

static void guest_take(struct gcl_front *front, struct gcl_front_guest *guest, int conn)
{
	char who[sizeof((struct gcl_guest *)0)->who];
	struct gcl_peer peer = {.number = guest->number};
	const struct gcl_vm *vm;

	vm = gcl_vm_id_valid(guest->name) ? gcl_vms_find(front->broker, guest->name) : NULL;
	if (!vm || vm->removed) {
		if (!gcl_vm_id_valid(guest->name))
			snprintf(guest->name, sizeof guest->name, "?");
		refuse(conn, guest);
		return;
	}
	fcntl(conn, F_SETFL, O_NONBLOCK);
	snprintf(who, sizeof who, "VM %s, tls, %s", vm->config.name, guest->from);
	memcpy(peer.from, guest->from, sizeof peer.from);
	gcl_conn_accept_of(front->broker, conn, GCL_GREETING_STREAM, &vm->owner, who, &peer);
}

/* One that has no worker yet goes on as it came; guestcl-tls ends its connection itself if need be.
 */
static void session_heed(struct gcl_front *front, const struct gcl_front_guest *guest)
{
	gcl_list_for_each_safe (it, next, &front->broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (!guest->number || worker->peer.number != guest->number)
			continue;
		if (guest->said == GCL_FRONT_REVOKED) {
			gcl_worker_end_because(worker, GCL_END_REVOKED, 0);
			continue;
		}
		memcpy(worker->peer.from, guest->from, sizeof worker->peer.from);
		gcl_log_info(broker, "session %ju: goes on from %s", (uintmax_t)worker->session,
			     guest->from);
	}
}

/* Return: whether it was what guestcl-tls says. */
static bool said_take(struct gcl_front *front, struct gcl_front_guest *guest, int conn)
{
	guest->name[sizeof guest->name - 1] = guest->from[sizeof guest->from - 1] = '\0';
	if (guest->said == GCL_FRONT_NEW && conn >= 0)
		guest_take(front, guest, conn);
	else if ((guest->said == GCL_FRONT_MOVED || guest->said == GCL_FRONT_REVOKED) && conn < 0)
		session_heed(front, guest);
	else
		return false;
	return true;
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_front *front = io->data;
	const struct gcl_broker *broker = front->broker;

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct gcl_front_guest guest;
		unsigned count;
		int conn = -1;
		ssize_t n;

		if (gcl_conns_wait(broker)) {
			ev_io_stop(loop, io);
			ev_timer_set(&front->rest, REST_SECONDS, 0.);
			ev_timer_start(loop, &front->rest);
			return;
		}
		n = gcl_fds_receive(io->fd, &guest, sizeof guest, MSG_DONTWAIT, &conn, 1, &count);
		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n == sizeof guest && said_take(front, &guest, count ? conn : -1))
			continue;
		gcl_cleanup_close(&conn);
		if (n == -EPROTO)
			continue;     /* no descriptor was left for it; its guest finds it closed */
		ev_io_stop(loop, io); /* on_reaped() does the rest */
		return;
	}
}

static void on_rest_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_front *front = timer->data;

	(void)events;
	if (front->socket >= 0)
		ev_io_start(loop, &front->readable);
}

/* ------------------------------------------------------------ what it is given */

/* Return: a listening socket, or -errno. */
static int address_listen(const struct addrinfo *address)
{
	_cleanup_close_ int fd =
		socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* Every address is one of IPv6 that takes both kinds, unless the host has none of these. */
static int text_listen(const char *text)
{
	static const char *const every[] = {"::", "0.0.0.0"};
	static const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	char host[GCL_ENDPOINT_MAX], port[GCL_ENDPOINT_MAX];
	struct addrinfo *found = NULL;
	int fd = -EINVAL;

	if (!gcl_endpoint_parse(text, host, port))
		return -EINVAL;
	for (size_t i = 0; fd < 0 && i < (*host ? 1 : GCL_ARRAY_SIZE(every)); i++) {
		if (getaddrinfo(*host ? host : every[i], port, &hints, &found) != 0)
			continue;
		fd = address_listen(found);
		freeaddrinfo(found);
	}
	return fd;
}

static const char *file_of(const struct gcl_config *config, size_t index)
{
	switch (index) {
	case GCL_FRONT_CERTIFICATE:
		return config->tls_certificate;
	case GCL_FRONT_KEY:
		return config->tls_key;
	case GCL_FRONT_CA:
		return config->tls_ca;
	case GCL_FRONT_PSK:
		return config->tls_psk_file;
	case GCL_FRONT_CRL:
		return config->tls_crl;
	default:
		return "";
	}
}

/* Return: 0 or -errno; logged. */
static int files_open(const struct gcl_config *config, int fds[GCL_FRONT_FILES])
{
	for (size_t i = 0; i < GCL_FRONT_FILES; i++) {
		const char *path = file_of(config, i);

		if (!*path)
			continue;
		fds[i] = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fds[i] < 0) {
			int err = -errno;

			gcl_log_error(config, "can't read %s, which guests by TLS need: %s", path,
				      strerror(-err));
			return err;
		}
	}
	return 0;
}

/* Return: 0 or -errno; logged. */
static int setup_send(struct gcl_front *front, bool listen_anew)
{
	const struct gcl_config *config = &front->broker->config;
	struct gcl_front_setup setup = {
		.handshake_ms = config->tls_handshake_timeout,
		.handshakes = config->max_greetings,
		.resume_ms = config->tls_resume_time,
		.packs = config->tls_compression,
		.log_level = config->log_level,
	};
	int fds[GCL_FRONT_FILES], given[GCL_FRONT_FILES], err;
	unsigned count = 0;

	memset(fds, -1, sizeof fds);
	err = files_open(config, fds);
	if (err == 0 && listen_anew) {
		fds[GCL_FRONT_LISTENER] = text_listen(config->listen_tls);
		err = GCL_MIN(fds[GCL_FRONT_LISTENER], 0);
		if (err)
			gcl_log_error(config, "can't listen on %s (listen-tls): %s",
				      config->listen_tls, strerror(-err));
	}
	for (unsigned i = 0; i < GCL_FRONT_FILES; i++) {
		if (fds[i] < 0)
			continue;
		setup.files |= 1u << i;
		given[count++] = fds[i];
	}
	if (err == 0)
		err = gcl_fds_send(front->socket, &setup, sizeof setup, MSG_DONTWAIT, given, count);
	if (err == 0 && listen_anew)
		gcl_log_info(vm, "guests by TLS are served on %s", config->listen_tls);
	for (size_t i = 0; i < GCL_FRONT_FILES; i++)
		gcl_cleanup_close(&fds[i]);
	return err;
}

/* ------------------------------------------------------------ the process */

static void retry_after(struct gcl_front *front)
{
	ev_timer_set(&front->retry, front->pause, 0.);
	ev_timer_start(front->broker->loop, &front->retry);
	front->pause = GCL_MIN(front->pause * 2., PAUSE_MAX);
}

static void socket_close(struct gcl_front *front)
{
	ev_io_stop(front->broker->loop, &front->readable);
	ev_timer_stop(front->broker->loop, &front->rest);
	gcl_cleanup_close(&front->socket);
	front->socket = -1;
}

static void on_reaped(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_front *front = child->data;
	int status = child->rstatus;

	(void)events;
	ev_child_stop(loop, child);
	front->pid = 0;
	socket_close(front);
	if (front->broker->stopping)
		return;
	if (gcl_clock() - front->since > LONG_SECONDS)
		front->pause = PAUSE_FIRST;
	gcl_log_warn(broker,
		     "guestcl-tls ended with %s %d: sessions go on, but can't be resumed; tried "
		     "again after %.0f s",
		     WIFSIGNALED(status) ? "signal" : "status",
		     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), front->pause);
	retry_after(front);
}

static void process_follow(struct gcl_front *front)
{
	ev_io_set(&front->readable, front->socket, EV_READ);
	ev_io_start(front->broker->loop, &front->readable);
	ev_child_set(&front->child, front->pid, 0);
	ev_child_start(front->broker->loop, &front->child);
}

static int process_spawn(struct gcl_front *front, int in)
{
	struct gcl_config *config = &front->broker->config;
	char *arguments[] = {"guestcl-tls", "--user",
			     config->jail == GCL_JAIL_OFF ? "" : config->worker_user, NULL};

	return gcl_helper_spawn(&front->pid, config->tls_program, arguments, in, -1);
}

static int process_start(struct gcl_front *front)
{
	_cleanup_close_ int ours = -1, its = -1;
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	its = pair[1];
	err = process_spawn(front, its);
	if (err < 0) {
		gcl_log_error(broker,
			      "can't start %s: %s; install it, or set \"listen-tls\" to \"\"",
			      front->broker->config.tls_program, strerror(-err));
		return err;
	}
	front->socket = steal_fd(&ours);
	front->since = gcl_clock();
	process_follow(front);
	return 0;
}

/* Has it run, and know what the configuration says. */
static void front_try(struct gcl_front *front)
{
	const struct gcl_config *config = &front->broker->config;
	bool anew = strcmp(front->listen, config->listen_tls) != 0;
	int err = 0;

	if (!front->pid) {
		err = process_start(front);
		anew = true;
	}
	if (err == 0)
		err = setup_send(front, anew);
	if (err == 0)
		memcpy(front->listen, config->listen_tls, sizeof front->listen);
	else
		retry_after(front);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	front_try(timer->data);
}

void gcl_front_init(struct gcl_front *front, struct gcl_broker *broker)
{
	*front = (struct gcl_front){.broker = broker, .socket = -1, .pause = PAUSE_FIRST};
	ev_io_init(&front->readable, on_readable, -1, EV_READ);
	ev_child_init(&front->child, on_reaped, 0, 0);
	ev_timer_init(&front->rest, on_rest_end, 0., 0.);
	ev_timer_init(&front->retry, on_retry, 0., 0.);
	front->readable.data = front->child.data = front->rest.data = front->retry.data = front;
}

void gcl_front_fini(struct gcl_front *front)
{
	ev_timer_stop(front->broker->loop, &front->retry);
	ev_child_stop(front->broker->loop, &front->child);
	socket_close(front);
	/* It holds nothing that could be lost, and its sessions end with their workers. libev reaps
	 * it. */
	if (front->pid > 0)
		kill(front->pid, SIGKILL);
	front->pid = 0;
	front->listen[0] = '\0';
}

void gcl_front_configure(struct gcl_front *front)
{
	ev_timer_stop(front->broker->loop, &front->retry);
	front->pause = PAUSE_FIRST;
	if (*front->broker->config.listen_tls)
		front_try(front);
	else if (front->pid)
		gcl_front_fini(front);
}

/* ------------------------------------------------------------ over exec */

void gcl_front_save(const struct gcl_front *front, struct gcl_state *state)
{
	GCL_STATE_PUT(state, front->pid);
	GCL_STATE_PUT(state, front->listen);
	gcl_state_put_fd(state, front->socket);
}

void gcl_front_restore(struct gcl_front *front, struct gcl_state *state)
{
	GCL_STATE_GET(state, front->pid);
	GCL_STATE_GET(state, front->listen);
	front->socket = gcl_state_get_fd(state);
	if (front->pid <= 0 || front->socket < 0) {
		front->pid = 0;
		front->listen[0] = '\0';
		return;
	}
	front->since = gcl_clock();
	process_follow(front);
}
