/* SPDX-License-Identifier: MIT */
/*
 * Where guests of VMs come in: a listening socket, of one VM or of all.
 *
 * A VM has two of its own, both Unix sockets: for guests that its VMM hands on from vsock, and for
 * a group of processes on this host that count as that VM. Who may connect to one (its permissions)
 * is that VM, whatever user runs the program. On the AF_VSOCK socket, which is all VMs', the peer's
 * CID tells.
 */
#ifndef GCL_BROKER_ENTRANCE_H
#define GCL_BROKER_ENTRANCE_H

#include "broker.h"

/** gcl_entrance_open() - the Unix socket of one VM at @place, whose guests are of @kind.
 * @name: how they come, for the log; lent for good
 * Return: 0 or -errno; errors are logged. */
int gcl_entrance_open(struct gcl_entrance *entrance, struct gcl_vm *vm, enum gcl_greeting_kind kind,
		      const char *name, const struct gcl_socket_place *place);

/** gcl_entrance_listen() - accept on @fd, a listening socket of AF_VSOCK, which is taken over. */
void gcl_entrance_listen(struct gcl_entrance *entrance, struct gcl_broker *broker, int fd);

/** gcl_entrance_close() - stop listening; may be called twice, and for one that wasn't opened. */
void gcl_entrance_close(struct gcl_entrance *entrance);

#endif
