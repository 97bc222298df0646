// SPDX-License-Identifier: MIT
/*
 * Whether something can be moved as it is ordered, as far as the broker knows.
 *
 * Must not: begin anything.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"

/* Return: 0, or -errno and @reason. */
static int server_check(const struct gcl_worker_process *worker, const struct gcl_move_order *order,
			char *reason, size_t size)
{
	const struct gcl_broker *broker = worker->broker;
	const struct gcl_server *server = gcl_server_find(&broker->servers, order->server);

	if (!server) {
		snprintf(reason, size, "there is no server \"%.64s\": guestcl servers lists them",
			 order->server);
		return -ENOENT;
	}
	if (server->announced && strcmp(server->name, broker->etcd.announcement.info.name) == 0) {
		snprintf(reason, size, "%s is this host", server->name);
		return -EINVAL;
	}
	if (order->device >= GCL_PAGE_DEVICES_MAX ||
	    (server->announced && order->device >= server->info.device_count)) {
		snprintf(reason, size, "%s has no device %u: guestcl servers lists them",
			 server->name, order->device);
		return -ENOENT;
	}
	return 0;
}

/* Return: 0, or -errno and @reason. */
static int order_check(const struct gcl_worker_process *worker, const struct gcl_move_order *order,
		       char *reason, size_t size)
{
	const struct gcl_broker *broker = worker->broker;

	if (worker->state != GCL_WORKER_SERVING || worker->end_reason) {
		snprintf(reason, size, "the session is ending");
		return -ESRCH;
	}
	if (worker->moves.now) {
		gcl_move_describe(GCL_MOVE_BUSY, 0, reason, size);
		return -EBUSY;
	}
	if (*order->server && !gcl_config_moves(&broker->config)) {
		gcl_move_describe(GCL_MOVE_OFF, 0, reason, size);
		return -ENOTSUP;
	}
	if (broker->moves.count >= GCL_MOVES_MAX) {
		snprintf(reason, size, "too many moves are waited for");
		return -EAGAIN;
	}
	return *order->server ? server_check(worker, order, reason, size) : 0;
}

/* Return: 0 and @place (0: home), or -errno and @reason. */
static int place_choose(struct gcl_worker_process *worker, const struct gcl_move_order *order,
			uint32_t *place, char *reason, size_t size)
{
	*place = 0;
	if (!*order->server)
		return 0;
	*place = gcl_place_get(&worker->broker->moves, order->server, order->device);
	if (!*place) {
		snprintf(reason, size, "guestcld has no more numbers for places, or no memory");
		return -ENOMEM;
	}
	if (worker->moves.place_count < GCL_MOVE_PLACES_MAX ||
	    gcl_worker_place_has(&worker->moves, *place))
		return 0;
	gcl_move_describe(GCL_MOVE_PLACES, 0, reason, size);
	return -ENOSPC;
}

int gcl_move_check(struct gcl_worker_process *worker, const struct gcl_move_order *order,
		   uint32_t *place, char *reason, size_t reason_size)
{
	int err = order_check(worker, order, reason, reason_size);

	return err ? err : place_choose(worker, order, place, reason, reason_size);
}
