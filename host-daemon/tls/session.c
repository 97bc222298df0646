// SPDX-License-Identifier: MIT
/*
 * One connection, in a process of its own: handshake, who it is, and the relay of its session until
 * that ends or another process takes it over.
 *
 * Must not: believe the guest before its handshake is complete, block without an end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "relay.h"
#include "server.h"

/* How long a guest that is refused has for reading why. */
#define FAREWELL_MS 500

struct process {
	const struct gcl_tls_session *session;
	struct gcl_tls tls;
	struct gcl_tunnel tunnel;
	struct gcl_relay relay;
	struct gcl_tunnel_open open;
	char name[GCL_TLS_NAME_MAX + 1];
	uint8_t mark[GCL_TLS_MARK];
	int memfd;
};

/* What has been said to the guest is lost if its own words are unread when the socket closes. */
static void farewell(const struct process *process)
{
	int64_t end = gcl_relay_now() + FAREWELL_MS, left;
	struct pollfd net = {.fd = process->session->net, .events = POLLIN};
	char rest[4096];

	shutdown(net.fd, SHUT_WR);
	while ((left = end - gcl_relay_now()) > 0 && poll(&net, 1, (int)left) > 0 &&
	       recv(net.fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
		;
}

_Noreturn static void refuse(const struct process *process, const char *what)
{
	gcl_log_peer(session, "refused %s: %s", process->session->from, what);
	farewell(process);
	_exit(0);
}

/* ------------------------------------------------------------ who it is, and what it wants */

static void greet(struct process *process)
{
	int64_t deadline = gcl_relay_now() + process->session->handshake_ms;
	int err = gcl_relay_handshake(&process->relay, deadline);

	if (err == 0)
		err = gcl_tls_name(&process->tls, process->name);
	if (err == 0)
		err = gcl_tls_mark(&process->tls, process->mark);
	if (err == 0)
		err = gcl_relay_exact(&process->relay, &process->open, sizeof process->open,
				      deadline);
	if (err == -EINTR)
		_exit(0);
	if (err == -ETIMEDOUT)
		refuse(process, "it took too long to say who it is");
	if (err)
		refuse(process, *process->relay.reason ? process->relay.reason : "it hung up");
}

static bool open_valid(const struct gcl_tunnel_open *open)
{
	return open->magic == GCL_TUNNEL_MAGIC && open->version == GCL_TUNNEL_VERSION;
}

static void welcome_say(struct process *process, enum gcl_tunnel_status status,
			const uint8_t token[GCL_TUNNEL_TOKEN])
{
	struct gcl_tunnel_welcome welcome = {
		.magic = GCL_TUNNEL_MAGIC,
		.version = GCL_TUNNEL_VERSION,
		.status = status,
		.window = GCL_TUNNEL_WINDOW,
		.resume_ms = process->session->resume_ms,
	};

	if (process->session->packs)
		welcome.packings = gcl_tunnel_packings() & process->open.packings;
	if (token)
		memcpy(welcome.token, token, sizeof welcome.token);
	if (process->tunnel.state)
		welcome.received = process->tunnel.state->in_end;
	process->tunnel.packings = welcome.packings;
	gcl_relay_say(&process->relay, &welcome, sizeof welcome);
}

_Noreturn static void turn_away(struct process *process, enum gcl_tunnel_status status)
{
	welcome_say(process, status, NULL);
	gcl_tls_bye(&process->tls);
	gcl_tls_flush(&process->tls);
	_exit(0);
}

/* Asks the listener for a session, new or old, and waits for its answer. */
static void session_get(struct process *process)
{
	static const uint8_t none[GCL_TUNNEL_TOKEN];
	struct gcl_session_record record = {.said = GCL_SESSION_NEW};
	int control = process->session->control, fds[2];
	unsigned count;
	ssize_t n;

	if (memcmp(process->open.token, none, sizeof none) != 0)
		record.said = GCL_SESSION_RESUME;
	memcpy(record.token, process->open.token, sizeof record.token);
	memcpy(record.name, process->name, sizeof process->name);
	memcpy(record.mark, process->mark, sizeof record.mark);
	if (gcl_fds_send(control, &record, sizeof record, 0, NULL, 0) < 0)
		_exit(1);
	do
		n = gcl_fds_receive(control, &record, sizeof record, 0, fds, 2, &count);
	while (n == -EINTR);
	if (n != sizeof record)
		_exit(1);
	if (record.said == GCL_SESSION_GONE)
		turn_away(process, GCL_TUNNEL_GONE);
	if (record.said != GCL_SESSION_START || count != 2)
		turn_away(process, GCL_TUNNEL_BUSY);
	process->memfd = fds[0];
	process->relay.plain = fds[1];
	if (gcl_tunnel_init(&process->tunnel, process->memfd) < 0 ||
	    gcl_tunnel_connected(&process->tunnel, process->open.window, process->open.received) <
		    0)
		turn_away(process, GCL_TUNNEL_GONE);
	memcpy(process->tunnel.state->token, record.token, sizeof record.token);
	welcome_say(process, GCL_TUNNEL_OK, record.token);
}

/* ------------------------------------------------------------ the session */

/* Something is at the control socket: give the session up to another process, or the listener is
 * gone. Return: only if that is nothing to end for. */
static void control_heed(struct process *process)
{
	int fds[] = {process->memfd, process->relay.plain};
	struct gcl_session_record record;
	int n = gcl_record_receive(process->session->control, &record, sizeof record);

	if (n == 1 && record.said == GCL_SESSION_YIELD) {
		record.said = GCL_SESSION_YIELDED;
		gcl_fds_send(process->session->control, &record, sizeof record, 0, fds, 2);
		_exit(0);
	}
	/* Without a listener the session goes on for as long as its connection does. */
	if (n < 0)
		process->relay.wake = -1;
}

/* The connection has dropped: wait until the guest comes back, by another process. */
static void drop_wait(struct process *process)
{
	int64_t end = gcl_relay_now() + process->session->resume_ms, left;
	struct pollfd control = {.fd = process->relay.wake, .events = POLLIN};

	shutdown(process->session->net, SHUT_RDWR);
	gcl_log_info(session, "the connection dropped; the session waits for %u ms",
		     process->session->resume_ms);
	while (process->relay.wake >= 0 && (left = end - gcl_relay_now()) > 0) {
		if (poll(&control, 1, (int)left) > 0)
			control_heed(process);
	}
	gcl_log_info(session, "nobody came back");
}

static void session_relay(struct process *process)
{
	enum gcl_relay_result result;

	while ((result = gcl_relay_run(&process->relay)) == GCL_RELAY_WOKEN)
		control_heed(process);
	if (result == GCL_RELAY_DROPPED)
		drop_wait(process);
	else if (*process->relay.reason)
		gcl_log_peer(session, "ended: %s", process->relay.reason);
}

static void context_set(const struct process *process)
{
	char context[160];

	snprintf(context, sizeof context, "%s from %s", process->name, process->session->from);
	gcl_log_context_set(context);
}

_Noreturn void gcl_tls_session_run(const struct gcl_tls_session *session)
{
	static struct process process;

	process = (struct process){
		.session = session,
		.memfd = -1,
		.relay = {.tls = &process.tls,
			  .tunnel = &process.tunnel,
			  .plain = -1,
			  .wake = session->control},
	};
	gcl_relay_socket_prepare(session->net);
	if (gcl_tls_init(&process.tls, true, session->net, session->credentials, NULL) < 0)
		_exit(1);
	gcl_tls_rights_seal();
	greet(&process);
	context_set(&process);
	if (!open_valid(&process.open))
		turn_away(&process, GCL_TUNNEL_OTHER_VERSION);
	session_get(&process);
	session_relay(&process);
	_exit(0);
}
