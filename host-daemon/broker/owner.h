/* SPDX-License-Identifier: MIT */
/*
 * Whose sessions are counted together and share kernels: a user of this host, or a VM.
 *
 * Sessions, prepared workers and kernel caches belong to an owner; none is ever given to another
 * one.
 */
#ifndef GCL_BROKER_OWNER_H
#define GCL_BROKER_OWNER_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* The longest name of a VM: what its sockets are called by, so it has to fit into their paths. */
#define GCL_VM_ID_MAX 64u

struct gcl_owner {
	char name[GCL_VM_ID_MAX + 8]; /* "uid-N" or "vm-ID": a folder's name, too */
};

static inline struct gcl_owner gcl_owner_user(uid_t uid)
{
	struct gcl_owner owner;

	snprintf(owner.name, sizeof owner.name, "uid-%u", (unsigned)uid);
	return owner;
}

/** gcl_owner_vm() - of a VM whose id gcl_vm_id_valid() has passed. */
static inline struct gcl_owner gcl_owner_vm(const char *id)
{
	struct gcl_owner owner;

	snprintf(owner.name, sizeof owner.name, "vm-%.*s", (int)GCL_VM_ID_MAX, id);
	return owner;
}

static inline bool gcl_owner_is_user(const struct gcl_owner *owner)
{
	return strncmp(owner->name, "uid-", 4) == 0;
}

static inline bool gcl_owner_same(const struct gcl_owner *one, const struct gcl_owner *other)
{
	return strcmp(one->name, other->name) == 0;
}

/** gcl_vm_id_valid() - letters, digits, '.', '_' and '-', none of them a hidden file's. */
static inline bool gcl_vm_id_valid(const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(id);

	return length > 0 && length <= GCL_VM_ID_MAX && strspn(id, allowed) == length &&
	       id[0] != '.' && id[0] != '-';
}

#endif
