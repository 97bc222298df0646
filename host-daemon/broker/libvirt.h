/* SPDX-License-Identifier: MIT */
/*
 * VMs that libvirt knows: a follower process tells of them, line by line.
 *
 * Theory of operation. guestcld links no libvirt. "guestcl-libvirt follow" (host-daemon/libvirt)
 * is started with a pipe for its input, whose end tells it to go, and one for its output. The lines
 * are those of host-daemon/libvirt/follow.h. What it has told stays in force while it is away:
 * VMs run on when libvirtd restarts, and so do their sessions. A new follower lists all domains,
 * and "listed" makes those go that it has not named.
 */
#ifndef GCL_BROKER_LIBVIRT_H
#define GCL_BROKER_LIBVIRT_H

#include "broker.h"

/* Domains that are followed at one time. */
#define GCL_LIBVIRT_VMS_MAX 1024u

enum gcl_libvirt_verb {
	GCL_LIBVIRT_VM,
	GCL_LIBVIRT_STOPPED,
	GCL_LIBVIRT_GONE,
	GCL_LIBVIRT_LISTED,
};

/* What a line says. */
struct gcl_libvirt_line {
	enum gcl_libvirt_verb verb;
	struct gcl_vm_config
		vm; /* its id alone, except with GCL_LIBVIRT_VM; its socket within vm-dir */
};

/** gcl_libvirt_parse() - read a line without its '\n'. Return: 0 or -EINVAL: it is none of ours. */
int gcl_libvirt_parse(const char *text, struct gcl_libvirt_line *line);

#endif
