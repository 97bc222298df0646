// SPDX-License-Identifier: MIT
/*
 * guestcl-link: the connection of one session to one GPU server. Started by guestcld, not by hand.
 *
 * It connects as a guest does (virtio-cl/tls/client.c), hands guestcld a socket for the worker, and
 * relays until either end ends; a connection that drops is made again meanwhile. It opens nothing
 * itself: what it shows it gets from guestcld.
 *
 * Must not: outlive guestcld, keep guestcld waiting without an end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/log.h"
#include "beside.h"
#include "jail/jail.h"
#include "tls-link.h"
#include "tls.h"

/* The module's, which this program has in itself. */
extern const struct gcl_tls_module gcl_tls_module;

static void rights_drop(const char *user)
{
	gcl_jail_beside_resolves("guestcl-link", user);
	/* Behind a change of the user, which makes the kernel forget it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Return: 0, or -errno: guestcld is gone, or is none. */
static int order_take(struct gcl_link_order *order, int files[GCL_TLS_PLACE_FILES])
{
	int came[GCL_TLS_PLACE_FILES];
	unsigned count, next = 0;
	ssize_t n;

	do
		n = gcl_fds_receive(STDIN_FILENO, order, sizeof *order, 0, came,
				    GCL_TLS_PLACE_FILES, &count);
	while (n == -EINTR);
	if (n != sizeof *order)
		return n < 0 ? (int)n : -EPROTO;
	for (unsigned i = 0; i < GCL_TLS_PLACE_FILES; i++)
		files[i] = order->files & (1u << i) && next < count ? came[next++] : -1;
	order->host[sizeof order->host - 1] = order->port[sizeof order->port - 1] = '\0';
	return 0;
}

/* Return: the socket for the worker, or -1 and the reason. */
static int link_open(const struct gcl_link_order *order, const int files[GCL_TLS_PLACE_FILES],
		     struct gcl_link_said *said)
{
	const struct gcl_tls_place place = {
		.host = order->host,
		.port = order->port,
		.folder = "servers-tls",
		.files = files,
		.timeout_ms = (int)order->timeout_ms,
	};
	struct gcl_tls_client *client;
	int plain = -1;

	said->failed = gcl_tls_module.open(&place, &plain, &client, said->reason,
					   sizeof said->reason) != 0;
	if (said->failed)
		return -1;
	gcl_tls_module.release(client);
	return plain;
}

int main(int argc, char **argv)
{
	struct gcl_link_said said = {0};
	struct gcl_link_order order;
	int files[GCL_TLS_PLACE_FILES], plain, err;

	gcl_log_init("guestcl-link");
	rights_drop(gcl_beside_begin(
		argc, argv, "guestcl-link",
		"Connects a session to a GPU server. Started by guestcld, which is at its standard "
		"input."));
	if (order_take(&order, files) < 0)
		return EXIT_FAILURE;
	gcl_log_level_set((enum gcl_log_level)order.log_level);
	plain = link_open(&order, files, &said);
	for (unsigned i = 0; i < GCL_TLS_PLACE_FILES; i++)
		gcl_cleanup_close(&files[i]);
	err = gcl_fds_send(STDIN_FILENO, &said, sizeof said, 0, &plain, plain >= 0);
	gcl_cleanup_close(&plain);
	if (err == 0)
		gcl_tls_clients_wait();
	return err || said.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
