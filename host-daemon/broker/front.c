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
#include <string.h>
#include <sys/socket.h>

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

	vm = gcl_vm_id_valid(guest->name) ? gcl_vms_find(front->helper.broker, guest->name) : NULL;
	if (!vm || vm->removed) {
		if (!gcl_vm_id_valid(guest->name))
			snprintf(guest->name, sizeof guest->name, "?");
		refuse(conn, guest);
		return;
	}
	fcntl(conn, F_SETFL, O_NONBLOCK);
	snprintf(who, sizeof who, "VM %s, tls, %s", vm->config.name, guest->from);
	memcpy(peer.from, guest->from, sizeof peer.from);
	gcl_conn_accept_of(front->helper.broker, conn, GCL_GREETING_STREAM, &vm->owner, who, &peer);
}

/* One that has no worker yet goes on as it came; guestcl-tls ends its connection itself if need be.
 */
static void session_heed(struct gcl_front *front, const struct gcl_front_guest *guest)
{
	gcl_list_for_each_safe (it, next, &front->helper.broker->workers.list) {
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
	const struct gcl_broker *broker = front->helper.broker;

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct gcl_front_guest guest = {0};
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
		ev_io_stop(loop, io); /* front_gone() does the rest */
		return;
	}
}

static void on_rest_end(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_front *front = timer->data;

	(void)events;
	if (front->helper.socket >= 0)
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
	const struct gcl_config *config = &front->helper.broker->config;
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
		err = gcl_fds_send(front->helper.socket, &setup, sizeof setup, MSG_DONTWAIT, given,
				   count);
	if (err == 0 && listen_anew)
		gcl_log_info(vm, "guests by TLS are served on %s", config->listen_tls);
	for (size_t i = 0; i < GCL_FRONT_FILES; i++)
		gcl_cleanup_close(&fds[i]);
	return err;
}

/* ------------------------------------------------------------ the process */

static struct gcl_front *front_of(struct gcl_helper *helper)
{
	return gcl_container_of(helper, struct gcl_front, helper);
}

static void socket_close(struct gcl_front *front)
{
	ev_io_stop(front->helper.broker->loop, &front->readable);
	ev_timer_stop(front->helper.broker->loop, &front->rest);
	gcl_helper_close(&front->helper);
}

static bool front_gone(struct gcl_helper *helper)
{
	socket_close(front_of(helper));
	return true;
}

static void socket_follow(struct gcl_front *front)
{
	ev_io_set(&front->readable, front->helper.socket, EV_READ);
	ev_io_start(front->helper.broker->loop, &front->readable);
}

/* Return: 0 or -errno; logged. */
static int process_start(struct gcl_front *front)
{
	struct gcl_config *config = &front->helper.broker->config;
	char *arguments[] = {"guestcl-tls", "--user",
			     config->jail == GCL_JAIL_OFF ? "" : config->worker_user, NULL};
	int err = gcl_helper_start(&front->helper, config->tls_program, arguments, -1);

	if (err == 0)
		socket_follow(front);
	return err;
}

/* Has it run, and know what the configuration says. */
static void front_try(struct gcl_helper *helper)
{
	struct gcl_front *front = front_of(helper);
	const struct gcl_config *config = &helper->broker->config;
	bool anew = strcmp(front->listen, config->listen_tls) != 0;
	int err = 0;

	if (!helper->pid) {
		err = process_start(front);
		anew = true;
	}
	if (err == 0)
		err = setup_send(front, anew);
	if (err == 0)
		memcpy(front->listen, config->listen_tls, sizeof front->listen);
	else
		gcl_helper_retry(helper);
}

void gcl_front_init(struct gcl_front *front, struct gcl_broker *broker)
{
	static const struct gcl_helper_kind kind = {
		.name = "guestcl-tls",
		.setting = "listen-tls",
		.meanwhile = "; sessions go on, but can't be resumed",
		.again = front_try,
		.gone = front_gone,
	};

	*front = (struct gcl_front){0};
	gcl_helper_init(&front->helper, &kind, broker);
	ev_io_init(&front->readable, on_readable, -1, EV_READ);
	ev_timer_init(&front->rest, on_rest_end, 0., 0.);
	front->readable.data = front->rest.data = front;
}

void gcl_front_fini(struct gcl_front *front)
{
	socket_close(front);
	/* Its sessions end with their workers. */
	gcl_helper_end(&front->helper);
	front->listen[0] = '\0';
}

void gcl_front_configure(struct gcl_front *front)
{
	gcl_helper_anew(&front->helper);
	if (*front->helper.broker->config.listen_tls)
		front_try(&front->helper);
	else if (front->helper.pid)
		gcl_front_fini(front);
}

/* ------------------------------------------------------------ over exec */

void gcl_front_save(const struct gcl_front *front, struct gcl_state *state)
{
	GCL_STATE_PUT(state, front->helper.pid);
	GCL_STATE_PUT(state, front->listen);
	gcl_state_put_fd(state, front->helper.socket);
}

void gcl_front_restore(struct gcl_front *front, struct gcl_state *state)
{
	GCL_STATE_GET(state, front->helper.pid);
	GCL_STATE_GET(state, front->listen);
	front->helper.socket = gcl_state_get_fd(state);
	if (front->helper.pid <= 0 || front->helper.socket < 0) {
		front->helper.pid = 0;
		front->listen[0] = '\0';
		return;
	}
	gcl_helper_follow(&front->helper);
	socket_follow(front);
}
