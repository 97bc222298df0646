// SPDX-License-Identifier: MIT
/*
 * The guest's side: a module that libguestcl loads to reach a GPU server.
 *
 * Theory of operation. gcl_tls_module.open connects and shows who this machine is, in the calling
 * thread, so that what is wrong there is said at once. Then a thread of the module's own relays. If
 * the connection drops it connects again, for as long as the server keeps the session, while the
 * channel at the plain socket notices nothing but time. It ends with either socket.
 *
 * A forked child has no such thread: it closes what it has got of it. So descriptors are made and
 * closed under the lock that a fork takes: one that a child kept would keep the session. At the
 * program's exit all threads are stopped before the TLS library is.
 *
 * Must not: print, raise a signal in the program, use descriptors 0 to 2, wait without an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "relay.h"
#include "shm.h"
#include "tls.h"

#define ADDRESSES_MAX 8

/* Pauses between attempts to connect again. */
#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS   1000

/* How long one attempt may take. */
#define ATTEMPT_MS 5000

/* How long the program's exit waits for the threads. */
#define EXIT_SECONDS 1

struct address {
	struct sockaddr_storage address;
	socklen_t size;
	int family;
};

struct gcl_tls_client {
	struct gcl_list link;	 /* in clients, for as long as it may have descriptors */
	_Atomic unsigned owners; /* the thread, and who opened it */
	char *host;
	struct address addresses[ADDRESSES_MAX];
	size_t address_count;
	struct gcl_tls_credentials credentials;
	struct gcl_tls tls;
	struct gcl_tunnel tunnel;
	struct gcl_relay relay;
	struct gcl_tunnel_welcome welcome;
	bool welcomed;
	int net, plain, wake;
	char reason[sizeof((struct gcl_relay *)0)->reason]; /* when the thread has ended */
};

/* All clients of this process, for fork and exit. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t gone;
	struct gcl_list list;
} clients = {.lock = PTHREAD_MUTEX_INITIALIZER,
	     .gone = PTHREAD_COND_INITIALIZER,
	     .list = GCL_LIST_INIT(clients.list)};

static void client_put(struct gcl_tls_client *client)
{
	if (atomic_fetch_sub(&client->owners, 1) != 1)
		return;
	gcl_tunnel_fini(&client->tunnel);
	free(client->host);
	free(client);
}

/* ------------------------------------------------------------ fork and exit */

static void fork_prepare(void)
{
	pthread_mutex_lock(&clients.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&clients.lock);
}

static void descriptors_close(struct gcl_tls_client *client)
{
	int *const all[] = {&client->net, &client->plain, &client->wake};

	for (size_t i = 0; i < GCL_ARRAY_SIZE(all); i++) {
		gcl_cleanup_close(all[i]);
		*all[i] = -1;
	}
}

/* The connections are the parent's: kept open here they would outlive it. */
static void fork_child(void)
{
	gcl_list_for_each_safe (it, next, &clients.list) {
		struct gcl_tls_client *client = gcl_container_of(it, struct gcl_tls_client, link);

		descriptors_close(client);
		gcl_list_remove(it);
	}
	pthread_mutex_unlock(&clients.lock);
}

static void fork_register(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* Return: 0 or -errno. */
static int client_add(struct gcl_tls_client *client)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int err = 0;

	pthread_once(&once, fork_register);
	pthread_mutex_lock(&clients.lock);
	client->wake = gcl_shm_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (client->wake < 0)
		err = -errno;
	gcl_list_append(&clients.list, &client->link);
	pthread_mutex_unlock(&clients.lock);
	return err;
}

/* It does nothing more, with TLS least of all. */
static void client_remove(struct gcl_tls_client *client)
{
	gcl_tls_fini(&client->tls);
	gcl_tls_credentials_fini(&client->credentials);
	pthread_mutex_lock(&clients.lock);
	memcpy(client->reason, client->relay.reason, sizeof client->reason);
	descriptors_close(client);
	gcl_list_remove(&client->link);
	pthread_cond_broadcast(&clients.gone);
	pthread_mutex_unlock(&clients.lock);
}

__attribute__((destructor)) static void clients_stop(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += EXIT_SECONDS;
	pthread_mutex_lock(&clients.lock);
	gcl_list_for_each (it, &clients.list)
		eventfd_write(gcl_container_of(it, struct gcl_tls_client, link)->wake, 1);
	while (!gcl_list_empty(&clients.list) &&
	       pthread_cond_timedwait(&clients.gone, &clients.lock, &end) == 0)
		;
	pthread_mutex_unlock(&clients.lock);
}

void gcl_tls_clients_wait(void)
{
	pthread_mutex_lock(&clients.lock);
	while (!gcl_list_empty(&clients.list))
		pthread_cond_wait(&clients.gone, &clients.lock);
	pthread_mutex_unlock(&clients.lock);
}

/* ------------------------------------------------------------ connecting */

/* Return: 0, -ETIMEDOUT, -EINTR when woken, -errno. */
static int connected_wait(struct gcl_tls_client *client, int fd, int64_t deadline)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLOUT},
			       {.fd = client->wake, .events = POLLIN}};
	socklen_t size = sizeof(int);
	int err = 0;

	for (;;) {
		int64_t left = deadline - gcl_relay_now();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(fds, GCL_ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -EINTR;
		if (!fds[0].revents)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
			return -errno;
		return -err;
	}
}

static void net_close(struct gcl_tls_client *client)
{
	gcl_tls_fini(&client->tls);
	pthread_mutex_lock(&clients.lock);
	gcl_cleanup_close(&client->net);
	client->net = -1;
	pthread_mutex_unlock(&clients.lock);
}

static int net_make(struct gcl_tls_client *client, int family)
{
	int err = 0;

	pthread_mutex_lock(&clients.lock);
	client->net = gcl_shm_fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (client->net < 0)
		err = -errno;
	pthread_mutex_unlock(&clients.lock);
	return err;
}

/* Return: 0 or -errno; either way there may be a socket. */
static int address_connect(struct gcl_tls_client *client, const struct address *address,
			   int64_t deadline)
{
	int err = net_make(client, address->family);

	if (err)
		return err;
	gcl_relay_socket_prepare(client->net);
	if (connect(client->net, (const struct sockaddr *)&address->address, address->size) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return -errno;
	return connected_wait(client, client->net, deadline);
}

/* To the first address that answers. Return: 0 or -errno of the last. */
static int net_connect(struct gcl_tls_client *client, int64_t deadline)
{
	int err = -ENOENT;

	for (size_t i = 0; i < client->address_count; i++) {
		int64_t left = deadline - gcl_relay_now();
		/* One that doesn't answer must not take the others' time. */
		int64_t part = left / (int64_t)(client->address_count - i);

		err = address_connect(client, &client->addresses[i], gcl_relay_now() + part);
		if (err == 0 || err == -EINTR)
			break;
		net_close(client);
	}
	return err;
}

/* Connects and says who this is. Return: 0 or -errno, and the relay's reason. */
static int net_open(struct gcl_tls_client *client, int64_t deadline)
{
	int err = net_connect(client, deadline);

	*client->relay.reason = '\0';
	if (err)
		return err;
	err = gcl_tls_init(&client->tls, false, client->net, &client->credentials, client->host);
	if (err == 0)
		err = gcl_relay_handshake(&client->relay, deadline);
	return err;
}

static int open_say(struct gcl_tls_client *client)
{
	struct gcl_tunnel_open open = {
		.magic = GCL_TUNNEL_MAGIC,
		.version = GCL_TUNNEL_VERSION,
		.packings = gcl_tunnel_packings(),
		.received = client->tunnel.state->in_end,
		.window = GCL_TUNNEL_WINDOW,
	};

	memcpy(open.token, client->welcome.token, sizeof open.token);
	return gcl_relay_say(&client->relay, &open, sizeof open);
}

static int welcome_check(struct gcl_tls_client *client)
{
	const struct gcl_tunnel_welcome *welcome = &client->welcome;

	if (welcome->magic != GCL_TUNNEL_MAGIC || welcome->status == GCL_TUNNEL_OTHER_VERSION ||
	    welcome->version != GCL_TUNNEL_VERSION) {
		snprintf(client->relay.reason, sizeof client->relay.reason,
			 "it speaks another version of the tunnel: update the older of the two");
		return -EPROTO;
	}
	if (welcome->status == GCL_TUNNEL_GONE)
		return -ESTALE;
	if (welcome->status != GCL_TUNNEL_OK)
		return -EBUSY;
	return 0;
}

/* The first welcome, while the tunnel is in use already. */
static int first_welcome(struct gcl_relay *relay)
{
	struct gcl_tls_client *client = gcl_container_of(relay, struct gcl_tls_client, relay);
	int err = welcome_check(client);

	if (err == 0 && client->welcome.received)
		err = -EPROTO;
	if (err == 0)
		err = gcl_tunnel_window(&client->tunnel, client->welcome.window);
	client->tunnel.packings = client->welcome.packings & gcl_tunnel_packings();
	client->welcomed = err == 0;
	return err ? -EPROTO : 0;
}

/* ------------------------------------------------------------ again */

static bool plain_gone(const struct gcl_tls_client *client)
{
	struct pollfd fd = {.fd = client->plain, .events = POLLRDHUP};

	return poll(&fd, 1, 0) > 0;
}

/* One attempt. Return: 0; -ESTALE, -EINTR, or a certificate that was revoked: it makes no
 * sense to go on; another -errno. */
static int resume_once(struct gcl_tls_client *client, int64_t deadline)
{
	struct gcl_tunnel_welcome welcome = client->welcome;
	int err = net_open(client, deadline);

	if (err == 0)
		err = open_say(client);
	if (err == 0)
		err = gcl_relay_exact(&client->relay, &client->welcome, sizeof client->welcome,
				      deadline);
	if (err == 0)
		err = welcome_check(client);
	if (err == 0 && memcmp(client->welcome.token, welcome.token, sizeof welcome.token) != 0)
		err = -ESTALE;
	if (err == 0 && gcl_tunnel_connected(&client->tunnel, client->welcome.window,
					     client->welcome.received) < 0)
		err = -ESTALE;
	if (err)
		client->welcome = welcome;
	return err;
}

/* Return: whether the session goes on. */
static bool resume(struct gcl_tls_client *client)
{
	int64_t now = gcl_relay_now(), until = now + client->welcome.resume_ms;
	struct pollfd wake = {.fd = client->wake, .events = POLLIN};
	int pause = RETRY_FIRST_MS, err = -ETIMEDOUT;

	for (; now < until && !plain_gone(client); now = gcl_relay_now()) {
		net_close(client);
		err = resume_once(client, GCL_MIN(until, now + ATTEMPT_MS));
		if (err == 0)
			return true;
		if (err == -ESTALE || err == -EINTR || client->tls.revoked ||
		    poll(&wake, 1, pause) > 0)
			break;
		pause = GCL_MIN(2 * pause, RETRY_MAX_MS);
	}
	if (client->tls.revoked)
		return false; /* that is the reason */
	snprintf(client->relay.reason, sizeof client->relay.reason,
		 err == -ESTALE ? "the server has given the session up"
				: "the connection was lost, and couldn't be made again within "
				  "%u ms",
		 client->welcome.resume_ms);
	return false;
}

static void *client_run(void *data)
{
	struct gcl_tls_client *client = data;
	enum gcl_relay_result result;

	do
		result = gcl_relay_run(&client->relay);
	while (result == GCL_RELAY_DROPPED && client->welcomed && resume(client));
	if (result == GCL_RELAY_WOKEN)
		gcl_relay_finish(&client->relay);
	client_remove(client);
	client_put(client);
	return NULL;
}

/* ------------------------------------------------------------ the first time */

static int file_load(const struct gcl_tls_place *place, enum gcl_tls_place_file file,
		     gnutls_datum_t *data)
{
	char path[4096];
	_cleanup_close_ int fd = -1;

	if (place->files)
		return place->files[file] < 0 ? -ENOENT
					      : gcl_tls_file_read(place->files[file], data);
	if (snprintf(path, sizeof path, "%s/%s", place->folder, gcl_tls_place_names[file]) >=
	    (int)sizeof path)
		return -ENAMETOOLONG;
	fd = gcl_shm_fd(open(path, O_RDONLY | O_CLOEXEC));
	return fd < 0 ? -errno : gcl_tls_file_read(fd, data);
}

/* Return: -errno, but not -ENOENT, which would mean that there is no such server. */
static int file_missing(const struct gcl_tls_place *place, enum gcl_tls_place_file file, int err,
			char *reason, size_t size)
{
	snprintf(reason, size,
		 "can't read %s/%s: %s; guestcl pki client makes what belongs there, or set "
		 "GUESTCL_TLS to another folder",
		 place->folder, gcl_tls_place_names[file], strerror(-err));
	return err == -ENOENT ? -EINVAL : err;
}

/* What has to be there, and what may be. */
static int certificates_load(struct gcl_tls_files *files, const struct gcl_tls_place *place,
			     char *reason, size_t size)
{
	gnutls_datum_t *const data[] = {
		[GCL_TLS_PLACE_CA] = &files->ca,
		[GCL_TLS_PLACE_CERTIFICATE] = &files->certificate,
		[GCL_TLS_PLACE_KEY] = &files->private_key,
		[GCL_TLS_PLACE_CRL] = &files->crl,
	};

	for (unsigned i = GCL_TLS_PLACE_CA; i < GCL_TLS_PLACE_FILES; i++) {
		int err = file_load(place, i, data[i]);

		if (err && (err != -ENOENT || i != GCL_TLS_PLACE_CRL))
			return file_missing(place, i, err, reason, size);
	}
	return 0;
}

/* A pre-shared key if there is one, else certificates. */
static int credentials_load(struct gcl_tls_client *client, const struct gcl_tls_place *place,
			    char *reason, size_t size)
{
	_cleanup_(gcl_tls_files_fini) struct gcl_tls_files files = {0};
	int err = file_load(place, GCL_TLS_PLACE_PSK, &files.psk);

	if (err && err != -ENOENT)
		return file_missing(place, GCL_TLS_PLACE_PSK, err, reason, size);
	if (err)
		err = certificates_load(&files, place, reason, size);
	if (err)
		return err;
	return gcl_tls_credentials_init(&client->credentials, false, &files, reason, size);
}

static int addresses_find(struct gcl_tls_client *client, const char *port, char *reason,
			  size_t size)
{
	static const struct addrinfo hints = {
		.ai_flags = AI_ADDRCONFIG,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;
	int err = getaddrinfo(client->host, port, &hints, &found);

	if (err) {
		snprintf(reason, size, "can't find %s: %s", client->host, gai_strerror(err));
		return -EHOSTUNREACH;
	}
	for (const struct addrinfo *it = found; it && client->address_count < ADDRESSES_MAX;
	     it = it->ai_next) {
		struct address *address = &client->addresses[client->address_count++];

		address->family = it->ai_family;
		address->size = it->ai_addrlen;
		memcpy(&address->address, it->ai_addr, it->ai_addrlen);
	}
	freeaddrinfo(found);
	return 0;
}

/* Why there is no connection. */
static void reason_connect(const struct gcl_tls_client *client, const struct gcl_tls_place *place,
			   int err, char *reason, size_t size)
{
	if (*client->relay.reason)
		snprintf(reason, size, "no session with %s port %s: %s", place->host, place->port,
			 client->relay.reason);
	else if (err == -ECONNREFUSED)
		snprintf(reason, size,
			 "nobody listens at %s port %s: start guestcld there with listen-tls%s",
			 place->host, place->port,
			 place->files ? "" : ", or set GUESTCL_CHANNEL to another server");
	else
		snprintf(reason, size, "can't connect to %s port %s: %s", place->host, place->port,
			 strerror(-err));
}

static int client_open(struct gcl_tls_client *client, const struct gcl_tls_place *place,
		       char *reason, size_t size)
{
	int64_t deadline = gcl_relay_now() + place->timeout_ms;
	int err = credentials_load(client, place, reason, size);

	if (err == 0)
		err = addresses_find(client, place->port, reason, size);
	if (err == 0) {
		err = gcl_tunnel_init(&client->tunnel, -1);
		if (err)
			snprintf(reason, size, "%s", strerror(-err));
	}
	if (err)
		return err;
	client->relay = (struct gcl_relay){
		.tunnel = &client->tunnel,
		.tls = &client->tls,
		.wake = client->wake,
		.plain = -1,
		.first = &client->welcome,
		.first_left = sizeof client->welcome,
		.first_done = first_welcome,
	};
	err = net_open(client, deadline);
	if (err == 0)
		err = open_say(client);
	if (err)
		reason_connect(client, place, err, reason, size);
	return err;
}

/* The program's signals are for the program's threads. */
static int thread_start(struct gcl_tls_client *client)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attributes, client_run, client);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -err;
}

/* @other: the caller's end. Return: 0 or -errno. */
static int plain_make(struct gcl_tls_client *client, int *other)
{
	int pair[2], err = 0;

	pthread_mutex_lock(&clients.lock);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
	} else {
		*other = gcl_shm_fd(pair[0]);
		client->plain = client->relay.plain = gcl_shm_fd(pair[1]);
		err = *other < 0 || client->plain < 0 ? -EMFILE : 0;
	}
	pthread_mutex_unlock(&clients.lock);
	return err;
}

/* The rest is the thread's. Return: 0 or -errno and @reason. */
static int client_start(struct gcl_tls_client *client, int *plain, char *reason, size_t size)
{
	_cleanup_close_ int other = -1;
	int err = plain_make(client, &other);

	client->owners = 2;
	if (err == 0)
		err = thread_start(client);
	if (err) {
		client->owners = 1;
		snprintf(reason, size, "can't start a thread for TLS: %s", strerror(-err));
		return err;
	}
	*plain = steal_fd(&other);
	return 0;
}

static int module_open(const struct gcl_tls_place *place, int *plain, struct gcl_tls_client **out,
		       char *reason, size_t reason_size)
{
	struct gcl_tls_client *client = calloc(1, sizeof *client);
	int err;

	if (!client)
		return -ENOMEM;
	client->owners = 1;
	client->net = client->plain = client->wake = client->tls.fd = -1;
	client->host = strdup(place->host);
	err = client_add(client);
	if (err == 0 && !client->host)
		err = -ENOMEM;
	if (err)
		snprintf(reason, reason_size, "%s", strerror(-err));
	else
		err = client_open(client, place, reason, reason_size);
	if (err == 0)
		err = client_start(client, plain, reason, reason_size);
	if (err) {
		client_remove(client);
		client_put(client);
		return err;
	}
	*out = client;
	return 0;
}

static void module_reason(struct gcl_tls_client *client, char *reason, size_t reason_size)
{
	pthread_mutex_lock(&clients.lock);
	snprintf(reason, reason_size, "%s", client->reason);
	pthread_mutex_unlock(&clients.lock);
}

extern const struct gcl_tls_module gcl_tls_module;

__attribute__((visibility("default"))) const struct gcl_tls_module gcl_tls_module = {
	.version = GCL_TLS_MODULE_VERSION,
	.open = module_open,
	.reason = module_reason,
	.release = client_put,
};
