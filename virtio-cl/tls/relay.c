// SPDX-License-Identifier: MIT
/*
 * The relay's loop. Each round takes what there is from both sides and gives what they take; only a
 * round that moves nothing sleeps.
 *
 * The end. A side whose plain socket has ended says so when all before was sent, and waits for the
 * other's word for a moment, so that what is under way arrives. That word is the tunnel's, or TLS's
 * own (close_notify); a connection that ends without it has dropped.
 */
#include "relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"

/* Silence: after so many seconds the kernel asks, so often, and gives up after so long. */
#define IDLE_SECONDS  5
#define PROBE_SECONDS 2
#define SILENT_MS     12000

/* How long the other side's word is waited for at the end. */
#define LINGER_MS 1000

/* How long what is left may take to go out at the end of the program. */
#define FINISH_MS 200

/* Of one read of the plain socket. */
#define READ_MAX (256u << 10)

/* Chunks and reads of one round, so that both sides get their turn. */
#define ROUND_CHUNKS 8
#define ROUND_READS  16

/* Rounds in a row after which wake is looked at. */
#define LOOK_ROUNDS 64u

int64_t gcl_relay_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void gcl_relay_socket_prepare(int fd)
{
	const int on = 1, idle = IDLE_SECONDS, probe = PROBE_SECONDS, count = 4;
	const unsigned silent = SILENT_MS;

	/* All of these are wishes. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof probe);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof silent);
}

/* ------------------------------------------------------------ before the tunnel */

/* Waits for the network. Return: 0, -ETIMEDOUT, -EINTR. */
static int net_wait(struct gcl_relay *relay, int64_t deadline)
{
	struct pollfd fds[] = {
		{.fd = relay->tls->fd, .events = POLLIN},
		{.fd = relay->wake, .events = POLLIN},
	};
	int64_t left = deadline - gcl_relay_now();

	if (gcl_tls_flush(relay->tls) == -EAGAIN)
		fds[0].events |= POLLOUT;
	if (left <= 0)
		return -ETIMEDOUT;
	if (poll(fds, GCL_ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
		return -errno;
	return fds[1].revents ? -EINTR : 0;
}

int gcl_relay_handshake(struct gcl_relay *relay, int64_t deadline)
{
	int err;

	while ((err = gcl_tls_handshake(relay->tls, relay->reason, sizeof relay->reason)) ==
	       -EAGAIN) {
		err = net_wait(relay, deadline);
		if (err)
			return err;
	}
	return err;
}

int gcl_relay_exact(struct gcl_relay *relay, void *data, size_t size, int64_t deadline)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = gcl_tls_receive(relay->tls, (uint8_t *)data + done, size - done,
					    relay->reason, sizeof relay->reason);

		if (n == -EAGAIN)
			n = net_wait(relay, deadline);
		else if (n == 0)
			n = -EPIPE;
		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

int gcl_relay_say(struct gcl_relay *relay, const void *data, size_t size)
{
	int err = gcl_tls_send(relay->tls, data, size);

	if (err == 0 && gcl_tls_flush(relay->tls) == -EPIPE)
		err = -EPROTO;
	return err;
}

/* ------------------------------------------------------------ a round */

struct round {
	bool moved;
	bool net_full;	 /* the network takes nothing at present */
	bool plain_full; /* the plain socket doesn't */
	int err;
};

static void plain_read(struct gcl_relay *relay, struct round *round)
{
	struct iovec iov[2];
	struct msghdr message = {.msg_iov = iov};
	int count = gcl_tunnel_room(relay->tunnel, iov);
	ssize_t n;

	if (count == 0)
		return;
	iov[0].iov_len = GCL_MIN(iov[0].iov_len, READ_MAX);
	message.msg_iovlen = iov[0].iov_len == READ_MAX ? 1 : (size_t)count;
	n = recvmsg(relay->plain, &message, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	round->moved = true;
	if (n > 0)
		gcl_tunnel_filled(relay->tunnel, (size_t)n);
	else
		gcl_tunnel_plain_ended(relay->tunnel);
}

static void plain_write(struct gcl_relay *relay, struct round *round)
{
	struct iovec iov[2];
	struct msghdr message = {.msg_iov = iov};
	int count = gcl_tunnel_ready(relay->tunnel, iov);
	ssize_t n;

	if (count == 0)
		return;
	message.msg_iovlen = (size_t)count;
	n = sendmsg(relay->plain, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)) {
		round->plain_full = true;
		return;
	}
	round->moved = true;
	if (n > 0) {
		gcl_tunnel_delivered(relay->tunnel, (size_t)n);
		return;
	}
	/* Nobody is there to read: what comes is for nobody. What was said before that (such as why
	 * a guest is refused) is still to be read, and then the end. */
	gcl_tunnel_delivered(relay->tunnel, iov[0].iov_len + (count > 1 ? iov[1].iov_len : 0));
}

static void net_write(struct gcl_relay *relay, struct round *round)
{
	uint8_t data[GCL_TUNNEL_OUTPUT_MAX];

	for (int i = 0; i < ROUND_CHUNKS && gcl_tls_has_room(relay->tls); i++) {
		size_t size = gcl_tunnel_output(relay->tunnel, data);

		if (size == 0)
			break;
		round->moved = true;
		round->err = gcl_tls_send(relay->tls, data, size);
		if (round->err)
			return;
	}
	round->err = gcl_tls_flush(relay->tls);
	round->net_full = round->err == -EAGAIN;
	if (round->net_full)
		round->err = 0;
}

/* Bytes of the other side's: what it says first, then the tunnel's. */
static int input(struct gcl_relay *relay, const uint8_t *data, size_t size)
{
	size_t part = GCL_MIN(size, relay->first_left);
	int err = 0;

	if (part) {
		memcpy(relay->first, data, part);
		relay->first = (uint8_t *)relay->first + part;
		relay->first_left -= part;
		if (relay->first_left == 0)
			err = relay->first_done(relay);
	}
	return err ? err : gcl_tunnel_input(relay->tunnel, data + part, size - part);
}

static void net_read(struct gcl_relay *relay, struct round *round)
{
	uint8_t data[16384 + 64];

	for (int i = 0; i < ROUND_READS && round->err == 0 && !relay->tunnel->ended; i++) {
		ssize_t n = gcl_tls_receive(relay->tls, data, sizeof data, relay->reason,
					    sizeof relay->reason);

		if (n == -EAGAIN)
			return;
		round->moved = true;
		/* A broken record is a broken connection. */
		if (n > 0)
			round->err = input(relay, data, (size_t)n);
		else if (n == 0)
			relay->tunnel->ended = true;
		else
			round->err = -EPIPE;
		if (n <= 0)
			return;
	}
}

/* Has the session ended, as far as this side has to do with it? */
static bool ended(const struct gcl_relay *relay, int64_t since)
{
	const struct gcl_tunnel *tunnel = relay->tunnel;
	struct iovec iov[2];

	/* The other side's last bytes have been handed on. */
	if (tunnel->ended && gcl_tunnel_ready(tunnel, iov) == 0)
		return true;
	return since && gcl_relay_now() - since >= LINGER_MS;
}

/* Return: whether there is something at wake. */
static bool round_sleep(struct gcl_relay *relay, const struct round *round, int timeout_ms)
{
	struct iovec iov[2];
	struct pollfd fds[] = {
		{.fd = relay->tls->fd, .events = POLLIN},
		{.fd = relay->plain},
		{.fd = relay->wake, .events = POLLIN},
	};

	if (round->net_full)
		fds[0].events |= POLLOUT;
	if (gcl_tunnel_room(relay->tunnel, iov))
		fds[1].events |= POLLIN;
	if (round->plain_full)
		fds[1].events |= POLLOUT;
	/* A socket that has hung up would be reported for ever. */
	if (!fds[1].events)
		fds[1].fd = -1;
	poll(fds, GCL_ARRAY_SIZE(fds), timeout_ms);
	return fds[2].revents;
}

void gcl_relay_finish(struct gcl_relay *relay)
{
	int64_t end = gcl_relay_now() + FINISH_MS;
	struct round round = {0};

	gcl_tunnel_plain_ended(relay->tunnel);
	do {
		struct pollfd out = {.fd = relay->tls->fd, .events = POLLOUT};

		round.moved = false;
		net_write(relay, &round);
		if (round.net_full)
			poll(&out, 1, FINISH_MS);
	} while (round.err == 0 && (round.moved || round.net_full) && gcl_relay_now() < end);
	gcl_tls_bye(relay->tls);
	gcl_tls_flush(relay->tls);
}

/* Does something go on after this round? @result: otherwise. */
static bool goes_on(struct gcl_relay *relay, const struct round *round, int64_t end_since,
		    enum gcl_relay_result *result)
{
	*result = GCL_RELAY_ENDED;
	if (ended(relay, end_since)) {
		gcl_tls_bye(relay->tls);
		gcl_tls_flush(relay->tls);
		return false;
	}
	if (round->err == -EPROTO && !*relay->reason)
		snprintf(relay->reason, sizeof relay->reason, "it breaks the rules of the tunnel");
	if (round->err == -EPIPE && !end_since)
		*result = GCL_RELAY_DROPPED;
	return round->err == 0;
}

static bool woken(struct gcl_relay *relay, const struct round *round, unsigned rounds,
		  int64_t end_since)
{
	if (!round->moved)
		return round_sleep(relay, round, end_since ? LINGER_MS : -1);
	if (rounds % LOOK_ROUNDS)
		return false;
	return poll(&(struct pollfd){.fd = relay->wake, .events = POLLIN}, 1, 0) > 0;
}

enum gcl_relay_result gcl_relay_run(struct gcl_relay *relay)
{
	enum gcl_relay_result result;
	int64_t end_since = 0;

	for (unsigned rounds = 0;; rounds++) {
		struct round round = {0};

		plain_read(relay, &round);
		net_write(relay, &round);
		if (round.err == 0)
			net_read(relay, &round);
		plain_write(relay, &round);
		if (!goes_on(relay, &round, end_since, &result))
			return result;
		if (relay->tunnel->end_sent && (!end_since || round.moved))
			end_since = gcl_relay_now();
		if (woken(relay, &round, rounds, end_since))
			return GCL_RELAY_WOKEN;
	}
}
