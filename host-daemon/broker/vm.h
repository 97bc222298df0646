/* SPDX-License-Identifier: MIT */
/*
 * VMs: each has a socket that its VMM connects to, and a virtio-cl device behind it.
 *
 * Theory of operation. The socket is the VM's identity: who may connect to it is that VM, and
 * sees no session but its own. One VMM at a time is connected; its end ends the VM's sessions. The
 * device (virtio-cl/device) knows what is to be done, and vm-session.c does it with workers: a
 * session is a guest (guest.c) whose frames travel in the VM's memory, and whose worker is told of
 * that memory over a socket that stays here.
 *
 * A VM's guests may also come by vsock (vsock.c), or be processes of this host that connect to
 * another socket of the VM's (local-socket). These are guests as any other, whose owner is the VM;
 * they don't depend on its VMM's connection.
 */
#ifndef GCL_BROKER_VM_H
#define GCL_BROKER_VM_H

#include "broker.h"
#include "device/device.h"

/* Descriptors that a VM needs beside its sessions': sockets, memory, queues. */
#define GCL_VM_FILES (5u + GCL_GUEST_REGIONS_MAX + 2u * GCL_BACKEND_QUEUES_MAX)

struct gcl_vm {
	struct gcl_list link;
	struct gcl_broker *broker;
	struct gcl_vm_config config;
	struct gcl_owner owner;
	bool configured; /* by the configuration file */
	bool removed;	 /* goes with its last session */
	struct gcl_socket socket;
	struct ev_io connectable;
	struct ev_timer rest; /* while there is nothing to accept a connection with */
	int conn;	      /* the VMM's; -1 */
	struct ev_io readable;
	struct ev_timer pause; /* how long its workers may take to pause */
	struct ev_io kicks[VIRTIO_CL_QUEUE_DOORBELL];
	struct gcl_entrance vsock; /* its guests that come by vsock */
	struct gcl_entrance local; /* processes of this host that are the VM */
	struct gcl_device device;
};

/* ------------------------------------------------------------ the VMs together (vms.c) */

/** gcl_vms_configure() - have the VMs that the configuration names; others than those that were
 * added at run time go. */
void gcl_vms_configure(struct gcl_broker *broker);

/**
 * gcl_vms_add() - have this VM from now on; one that is there gets its name and limits changed.
 *
 * Return: 0 or -errno; errors are logged.
 */
int gcl_vms_add(struct gcl_broker *broker, const struct gcl_vm_config *config);

/** gcl_vms_remove() - end the VM's sessions and forget it. Return: false if there is none. */
bool gcl_vms_remove(struct gcl_broker *broker, const char *id);

/** gcl_vms_count() - how many there are. */
size_t gcl_vms_count(const struct gcl_broker *broker);

/** gcl_vms_find() - the VM @id, lent; or NULL. */
struct gcl_vm *gcl_vms_find(struct gcl_broker *broker, const char *id);

/** gcl_vms_find_owner() - the VM that @owner is, lent; or NULL. */
struct gcl_vm *gcl_vms_find_owner(struct gcl_broker *broker, const struct gcl_owner *owner);

/** gcl_vms_find_cid() - the VM whose vsock device has this CID, lent; or NULL. */
struct gcl_vm *gcl_vms_find_cid(struct gcl_broker *broker, unsigned cid);

/** gcl_vms_stop() - the broker stops: no VMM may connect any more. */
void gcl_vms_stop(struct gcl_broker *broker);

/** gcl_vms_fini() - forget all; their workers are gone. */
void gcl_vms_fini(struct gcl_broker *broker);

/* ------------------------------------------------------------ one VM (vm.c) */

/** gcl_vm_create() - make its socket and listen. Return: 0 or -errno; errors are logged. */
int gcl_vm_create(struct gcl_broker *broker, const struct gcl_vm_config *config,
		  struct gcl_vm **out);

/** gcl_vm_configure() - its settings have changed: its sessions go on, and where processes of this
 * host connect may have moved. Errors are logged. */
void gcl_vm_configure(struct gcl_vm *vm, const struct gcl_vm_config *config);

/** gcl_vm_deafen() - accept nothing any more; may be called twice. */
void gcl_vm_deafen(struct gcl_vm *vm);

/** gcl_vm_remove() - end it; it is destroyed when its last session has ended. */
void gcl_vm_remove(struct gcl_vm *vm);

/** gcl_vm_destroy() - with all that it has; its workers are gone. */
void gcl_vm_destroy(struct gcl_vm *vm);

/** gcl_vm_restart() - its device was restored (takeover.h): serve its VMM and its queues. */
void gcl_vm_restart(struct gcl_vm *vm);

/** gcl_vm_settle() - after the device was told something: go on, give up a VM without memory, or
 * forget one that was removed. The VM may be gone then. */
void gcl_vm_settle(struct gcl_vm *vm);

/** gcl_vm_disconnect() - end the VMM's connection and all sessions. */
void gcl_vm_disconnect(struct gcl_vm *vm);

/* ------------------------------------------------------------ its sessions (vm-session.c) */

extern const struct gcl_device_ops gcl_vm_device_ops;

/** gcl_vm_sessions_save(), gcl_vm_sessions_restore() - what the device's sessions are for the
 * broker, over exec. Return: false if it is not that. */
void gcl_vm_sessions_save(struct gcl_vm *vm, struct gcl_state *state);
bool gcl_vm_sessions_restore(struct gcl_vm *vm, struct gcl_state *state);

/** gcl_vm_watch() - of gcl_vm_device_ops. */
void gcl_vm_watch(struct gcl_device *device, unsigned queue, int kick);

#endif
