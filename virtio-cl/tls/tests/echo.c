// SPDX-License-Identifier: MIT
#include "echo.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "relay.h"

#define KEY "one:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"

#define HANDSHAKE_MS 20000

struct session {
	struct gcl_list link;
	uint8_t token[GCL_TUNNEL_TOKEN];
	struct gcl_tunnel tunnel;
	int plain, far; /* the relay's end; the echo's */
	int wake;	/* its connection is to let go of it */
	bool busy;	/* it has one */
	bool refusing;
	pthread_t echo;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

void echo_key(const char *folder)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof path, "%s/psk", folder);
	file = fopen(path, "we");
	must(file && fputs(KEY, file) >= 0 && fclose(file) == 0, path);
}

/* ------------------------------------------------------------ sessions */

/* With what the guest says unread, as a daemon does that has heard enough; sooner or later than the
 * relay looks. */
static void refuse(struct session *session)
{
	usleep(session->token[0] % 64 * 20u);
	(void)!write(session->far, ECHO_REFUSAL, sizeof ECHO_REFUSAL);
	close(steal_fd(&session->far));
}

static void *echo_run(void *data)
{
	struct session *session = data;
	char bytes[16384];
	ssize_t n;

	if (session->refusing) {
		refuse(session);
		return NULL;
	}
	while ((n = read(session->far, bytes, sizeof bytes)) > 0) {
		for (ssize_t done = 0, part; done < n; done += part) {
			part = send(session->far, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
			if (part <= 0)
				goto out;
		}
	}
out:
	shutdown(session->far, SHUT_RDWR);
	return NULL;
}

static struct session *session_create(struct echo_server *server)
{
	struct session *session = calloc(1, sizeof *session);
	int pair[2];

	must(session && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "session");
	session->plain = pair[0];
	session->far = pair[1];
	session->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(session->wake >= 0 && gcl_tunnel_init(&session->tunnel, -1) == 0, "session");
	pthread_mutex_lock(&server->lock);
	server->last++;
	memcpy(session->token, &server->last, sizeof server->last);
	session->refusing = server->refusing;
	session->busy = true;
	gcl_list_append(&server->sessions, &session->link);
	pthread_mutex_unlock(&server->lock);
	must(pthread_create(&session->echo, NULL, echo_run, session) == 0, "thread");
	return session;
}

static void session_destroy(struct session *session)
{
	if (!session->refusing)
		shutdown(session->far, SHUT_RDWR);
	pthread_join(session->echo, NULL);
	gcl_cleanup_close(&session->far);
	close(session->plain);
	close(session->wake);
	gcl_tunnel_fini(&session->tunnel);
	free(session);
}

/* With the lock. */
static struct session *session_find(struct echo_server *server, const uint8_t *token)
{
	gcl_list_for_each (it, &server->sessions) {
		struct session *session = gcl_container_of(it, struct session, link);

		if (memcmp(session->token, token, sizeof session->token) == 0)
			return session;
	}
	return NULL;
}

/* From its connection before, if that is there still. Return: NULL if it is gone. */
static struct session *session_take(struct echo_server *server, const uint8_t *token)
{
	struct session *session;
	eventfd_t count;

	pthread_mutex_lock(&server->lock);
	while ((session = session_find(server, token)) && session->busy) {
		eventfd_write(session->wake, 1);
		pthread_cond_wait(&server->changed, &server->lock);
	}
	if (session) {
		session->busy = true;
		eventfd_read(session->wake, &count);
		server->resumed++;
	}
	pthread_mutex_unlock(&server->lock);
	return session;
}

/* What its connection has left of it. */
static void session_give(struct echo_server *server, struct session *session, bool ended)
{
	pthread_mutex_lock(&server->lock);
	session->busy = false;
	if (ended)
		gcl_list_remove(&session->link);
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	if (ended)
		session_destroy(session);
}

/* ------------------------------------------------------------ connections */

static struct session *session_of(struct echo_server *server, const struct gcl_tunnel_open *open)
{
	static const uint8_t none[GCL_TUNNEL_TOKEN];

	if (memcmp(open->token, none, sizeof none) == 0)
		return session_create(server);
	return session_take(server, open->token);
}

static void welcome_say(struct gcl_relay *relay, const struct session *session)
{
	struct gcl_tunnel_welcome welcome = {
		.magic = GCL_TUNNEL_MAGIC,
		.version = GCL_TUNNEL_VERSION,
		.status = session ? GCL_TUNNEL_OK : GCL_TUNNEL_GONE,
		.window = GCL_TUNNEL_WINDOW,
		.resume_ms = ECHO_RESUME_MS,
	};

	if (session) {
		memcpy(welcome.token, session->token, sizeof welcome.token);
		welcome.received = session->tunnel.state->in_end;
	}
	gcl_relay_say(relay, &welcome, sizeof welcome);
}

static void connection_serve(struct echo_server *server, int net)
{
	struct gcl_tls tls;
	struct gcl_relay relay = {.tls = &tls, .plain = -1, .wake = -1};
	int64_t deadline = gcl_relay_now() + HANDSHAKE_MS;
	enum gcl_relay_result result;
	struct gcl_tunnel_open open;
	struct session *session;

	gcl_relay_socket_prepare(net);
	must(gcl_tls_init(&tls, true, net, &server->credentials, NULL) == 0, "TLS");
	if (gcl_relay_handshake(&relay, deadline) == 0 &&
	    gcl_relay_exact(&relay, &open, sizeof open, deadline) == 0) {
		session = session_of(server, &open);
		if (session) {
			relay.tunnel = &session->tunnel;
			relay.plain = session->plain;
			relay.wake = session->wake;
			must(gcl_tunnel_connected(&session->tunnel, open.window, open.received) ==
				     0,
			     "what a guest says that it has");
		}
		welcome_say(&relay, session);
		if (session) {
			result = gcl_relay_run(&relay);
			session_give(server, session, result == GCL_RELAY_ENDED);
		}
	}
	gcl_tls_fini(&tls);
}

static void *connection_run(void *data)
{
	struct echo_connection *connection = data;
	struct echo_server *server = connection->server;
	int net = connection->net;

	connection_serve(server, net);
	pthread_mutex_lock(&server->lock);
	close(net);
	connection->net = -1;
	server->count--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

static void connection_start(struct echo_server *server, int net)
{
	struct echo_connection *connection = server->connections;
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&server->lock);
	while (server->count == ECHO_CONNECTIONS)
		pthread_cond_wait(&server->changed, &server->lock);
	while (connection->net >= 0)
		connection++;
	connection->net = net;
	connection->server = server;
	server->count++;
	must(pthread_create(&thread, &attributes, connection_run, connection) == 0, "thread");
	pthread_mutex_unlock(&server->lock);
	pthread_attr_destroy(&attributes);
}

static void *acceptor_run(void *data)
{
	struct echo_server *server = data;
	int net;

	while ((net = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		connection_start(server, net);
	return NULL;
}

void echo_drop(struct echo_server *server, unsigned number)
{
	int net;

	pthread_mutex_lock(&server->lock);
	net = server->connections[number % ECHO_CONNECTIONS].net;
	if (net >= 0)
		shutdown(net, SHUT_RDWR);
	pthread_mutex_unlock(&server->lock);
}

/* ------------------------------------------------------------ the server */

void echo_start(struct echo_server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	static char key[] = KEY;
	struct gcl_tls_files files = {.psk = {(unsigned char *)key, sizeof key - 1}};
	char reason[256];

	*server = (struct echo_server){.lock = PTHREAD_MUTEX_INITIALIZER,
				       .changed = PTHREAD_COND_INITIALIZER};
	gcl_list_init(&server->sessions);
	for (size_t i = 0; i < ECHO_CONNECTIONS; i++)
		server->connections[i].net = -1;
	must(gcl_tls_credentials_init(&server->credentials, true, &files, reason, sizeof reason) ==
		     0,
	     "credentials");
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(server->listener >= 0 &&
		     bind(server->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
		     listen(server->listener, 64) == 0 &&
		     getsockname(server->listener, (struct sockaddr *)&address, &size) == 0,
	     "listener");
	server->port = ntohs(address.sin_port);
	must(pthread_create(&server->acceptor, NULL, acceptor_run, server) == 0, "thread");
}

void echo_stop(struct echo_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->acceptor, NULL);
	close(server->listener);
	for (unsigned i = 0; i < ECHO_CONNECTIONS; i++)
		echo_drop(server, i);
	pthread_mutex_lock(&server->lock);
	while (server->count)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	gcl_list_for_each_safe (it, next, &server->sessions) {
		gcl_list_remove(it);
		session_destroy(gcl_container_of(it, struct session, link));
	}
	gcl_tls_credentials_fini(&server->credentials);
}
