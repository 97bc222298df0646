/* SPDX-License-Identifier: MIT */
/*
 * For tests: a guestcld with VMs "a" and "b", and VMMs that connect to it.
 */
#ifndef GCL_TESTS_VM_DAEMON_H
#define GCL_TESTS_VM_DAEMON_H

#include "daemon.h"
#include "fake-link.h"
#include "vmm.h"

/** vm_daemon_config() - write a configuration with the section @sections. */
void vm_daemon_config(const struct daemon *daemon, const char *sections);

/** vm_daemon_start() - start it with VMs a and b and no spare workers, which follow @plan. */
void vm_daemon_start(struct daemon *daemon, const char *plan);

/** vm_connect() - a VMM connects as @vm, and starts its queues. */
void vm_connect(struct vmm *vmm, const struct daemon *daemon, const char *vm);

/** vm_boot() - vmm_init(), vm_connect() and HELLO. */
void vm_boot(struct vmm *vmm, const struct daemon *daemon, const char *vm);

/** vm_reconnect() - as QEMU does when the daemon is back. */
void vm_reconnect(struct vmm *vmm, const struct daemon *daemon, const char *vm);

/** vm_session() - open one that must be let in, with its rings at @address. */
uint32_t vm_session(struct vmm *vmm, uint64_t address);

/** vm_rings() - what the worker has left there. */
const volatile struct fake_rings *vm_rings(const struct vmm *vmm, uint64_t address);

/** vm_ticks() - whether the worker behind these rings does something. */
bool vm_ticks(const struct vmm *vmm, uint64_t address);

/** vm_event_but_wakes() - wait for an event of another kind. */
struct virtio_cl_event vm_event_but_wakes(struct vmm *vmm);

/** process_gone() - whether there is no process @pid any more. */
bool process_gone(uint32_t pid);

#endif
