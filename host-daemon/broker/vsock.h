/* SPDX-License-Identifier: MIT */
/*
 * Listening for guests that come by vsock.
 */
#ifndef GCL_BROKER_VSOCK_H
#define GCL_BROKER_VSOCK_H

#include "broker.h"
#include "stream.h"

struct gcl_vm;

/** gcl_vsock_open_vm() - the Unix socket of one VM, beside the one that its VMM connects to.
 * Return: 0 or -errno; errors are logged. */
int gcl_vsock_open_vm(struct gcl_vm *vm);

/** gcl_vsock_open() - the AF_VSOCK socket, as the configuration says. Going without is no error. */
void gcl_vsock_open(struct gcl_broker *broker);

#endif
