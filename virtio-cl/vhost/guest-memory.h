/* SPDX-License-Identifier: MIT */
/*
 * A VM's memory, as its VMM has shared it: regions of files, by guest-physical address.
 *
 * The regions are mapped here, for the queues. The files are a VMM's, which can shrink them unless
 * they are sealed: touching what is no longer there would end this process. So gcl_guest_memory_*
 * installs a handler of SIGBUS that puts zeros in the place of the region at fault and marks the
 * memory as broken; whoever uses it looks at @broken from time to time and gives the VM up. A fault
 * anywhere else ends the process as ever.
 *
 * One thread only.
 */
#ifndef GCL_VHOST_GUEST_MEMORY_H
#define GCL_VHOST_GUEST_MEMORY_H

#include <signal.h>
#include <stdbool.h>

#include "base/list.h"
#include "message.h"

/* Memory slots that a VMM may fill one by one. */
#define GCL_GUEST_REGIONS_MAX 32u

struct gcl_guest_region {
	struct gcl_vhost_region place;
	int fd;
	void *map; /* begins @skipped bytes before the region */
	size_t map_size;
	size_t skipped;
	bool huge; /* its file has huge pages: no single ones of it can be mapped */
};

struct gcl_guest_memory {
	struct gcl_list link; /* all that the handler of SIGBUS knows */
	struct gcl_guest_region regions[GCL_GUEST_REGIONS_MAX];
	unsigned count;
	volatile sig_atomic_t broken; /* a file was cut off: nothing in here means anything */
};

void gcl_guest_memory_init(struct gcl_guest_memory *memory);
void gcl_guest_memory_fini(struct gcl_guest_memory *memory);

/** gcl_guest_memory_huge() - is some of it on huge pages (hugetlbfs)? */
bool gcl_guest_memory_huge(const struct gcl_guest_memory *memory);

/** gcl_guest_memory_clear() - unmap all regions. */
void gcl_guest_memory_clear(struct gcl_guest_memory *memory);

/**
 * gcl_guest_memory_add() - map one more region.
 * @fd: taken over on success; tmpfs, hugetlbfs or a memfd, of a size that covers the region
 * @reason: what is wrong with it
 *
 * Return: 0, -EINVAL, or another -errno.
 */
int gcl_guest_memory_add(struct gcl_guest_memory *memory, const struct gcl_vhost_region *place,
			 int fd, char *reason, size_t reason_size);

/** gcl_guest_memory_remove() - unmap the region that lies just there. Return: false if there is
 * none. */
bool gcl_guest_memory_remove(struct gcl_guest_memory *memory, const struct gcl_vhost_region *place);

/** gcl_guest_memory_at() - where @size bytes at a guest-physical address are mapped, lent until the
 * regions change; NULL if they are not in one region. */
void *gcl_guest_memory_at(const struct gcl_guest_memory *memory, uint64_t address, uint64_t size);

/** gcl_guest_memory_at_user() - the same for an address of the VMM's. */
void *gcl_guest_memory_at_user(const struct gcl_guest_memory *memory, uint64_t address,
			       uint64_t size);

/**
 * gcl_guest_memory_file() - which file guest-physical memory is, from @address on.
 * @size: in: bytes wanted; out: those that are in this one region
 * @region: its number
 * @offset: in its file
 *
 * Return: false if nothing is there.
 */
bool gcl_guest_memory_file(const struct gcl_guest_memory *memory, uint64_t address, uint64_t *size,
			   unsigned *region, uint64_t *offset);

#endif
