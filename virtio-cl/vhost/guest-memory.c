// SPDX-License-Identifier: MIT
/*
 * Mapping a VM's memory, and finding addresses in it.
 *
 * Must not: read or write it, take a file whose pages could have to be fetched from somewhere.
 */
#include "guest-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define PAGE 4096u

/* Nothing above is an address, so sums of such numbers don't overflow. */
#define ADDRESS_END (1ull << 62)

static struct gcl_list memories = GCL_LIST_INIT(memories);

static bool region_holds(const struct gcl_guest_region *region, const char *address)
{
	const char *map = region->map;

	return map && address >= map && address < map + region->map_size;
}

/* Puts zeros where the file ends. mmap() is but a system call, so it may be called here. */
static bool region_mend(struct gcl_guest_memory *memory, const char *address)
{
	for (unsigned i = 0; i < memory->count; i++) {
		struct gcl_guest_region *region = &memory->regions[i];
		void *zeros;

		if (!region_holds(region, address))
			continue;
		memory->broken = true;
		zeros = mmap(region->map, region->map_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
		if (zeros == MAP_FAILED)
			return false;
		region->map = zeros; /* where it was */
		return true;
	}
	return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	(void)context;
	gcl_list_for_each (it, &memories) {
		if (region_mend(gcl_container_of(it, struct gcl_guest_memory, link), info->si_addr))
			return;
	}
	signal(number, SIG_DFL); /* the instruction runs again, and ends us */
}

void gcl_guest_memory_init(struct gcl_guest_memory *memory)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

	memset(memory, 0, sizeof *memory);
	gcl_list_append(&memories, &memory->link);
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}

static void region_fini(struct gcl_guest_region *region)
{
	if (region->map)
		munmap(region->map, region->map_size);
	gcl_cleanup_close(&region->fd);
	*region = (struct gcl_guest_region){.fd = -1};
}

void gcl_guest_memory_clear(struct gcl_guest_memory *memory)
{
	while (memory->count)
		region_fini(&memory->regions[--memory->count]);
	memory->broken = false;
}

void gcl_guest_memory_fini(struct gcl_guest_memory *memory)
{
	gcl_guest_memory_clear(memory);
	gcl_list_remove(&memory->link);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static const char *place_check(const struct gcl_guest_memory *memory,
			       const struct gcl_vhost_region *place)
{
	if (!place->size ||
	    (place->size | place->guest_address | place->user_address | place->file_offset) % PAGE)
		return "is not made of pages";
	if (place->size >= ADDRESS_END || place->guest_address >= ADDRESS_END ||
	    place->user_address >= ADDRESS_END || place->file_offset >= ADDRESS_END)
		return "is too large";
	for (unsigned i = 0; i < memory->count; i++) {
		const struct gcl_vhost_region *other = &memory->regions[i].place;

		if (overlap(place->guest_address, place->size, other->guest_address, other->size) ||
		    overlap(place->user_address, place->size, other->user_address, other->size))
			return "lies over another one";
	}
	return NULL;
}

static const char *file_check(const struct gcl_vhost_region *place, int fd, bool *huge)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) < 0 ||
	    (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return "is neither a memfd nor a file in /dev/shm or on hugetlbfs: give the VM a "
		       "memory-backend-memfd with share=on";
	if ((uint64_t)st.st_size < place->file_offset + place->size)
		return "is longer than its file";
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return "is not writable";
	*huge = fs.f_type == HUGETLBFS_MAGIC;
	return NULL;
}

int gcl_guest_memory_add(struct gcl_guest_memory *memory, const struct gcl_vhost_region *place,
			 int fd, char *reason, size_t reason_size)
{
	struct gcl_guest_region *region = &memory->regions[memory->count];
	const char *wrong = memory->count == GCL_GUEST_REGIONS_MAX ? "is one too many"
								   : place_check(memory, place);
	bool huge = false;

	if (!wrong)
		wrong = file_check(place, fd, &huge);
	if (wrong) {
		snprintf(reason, reason_size, "memory region of %llu bytes at 0x%llx %s",
			 (unsigned long long)place->size, (unsigned long long)place->guest_address,
			 wrong);
		return -EINVAL;
	}
	/* From the file's beginning on, since offsets of huge pages are multiples of their size. */
	*region = (struct gcl_guest_region){
		.place = *place,
		.fd = -1,
		.map_size = place->file_offset + place->size,
		.skipped = place->file_offset,
		.huge = huge,
	};
	region->map = mmap(NULL, region->map_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (region->map == MAP_FAILED) {
		int err = -errno;

		region->map = NULL;
		snprintf(reason, reason_size, "can't map %zu bytes of the VM's memory: %s",
			 region->map_size, strerror(-err));
		return err;
	}
	madvise(region->map, region->map_size, MADV_DONTDUMP);
	region->fd = fd;
	memory->count++;
	return 0;
}

bool gcl_guest_memory_remove(struct gcl_guest_memory *memory, const struct gcl_vhost_region *place)
{
	for (unsigned i = 0; i < memory->count; i++) {
		struct gcl_guest_region *region = &memory->regions[i];

		if (region->place.guest_address != place->guest_address ||
		    region->place.user_address != place->user_address ||
		    region->place.size != place->size)
			continue;
		region_fini(region);
		*region = memory->regions[--memory->count];
		memory->regions[memory->count] = (struct gcl_guest_region){.fd = -1};
		return true;
	}
	return false;
}

bool gcl_guest_memory_huge(const struct gcl_guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++) {
		if (memory->regions[i].huge)
			return true;
	}
	return false;
}

static char *region_at(const struct gcl_guest_region *region, uint64_t offset)
{
	return (char *)region->map + region->skipped + offset;
}

/* The region that @address is in. */
static const struct gcl_guest_region *region_find(const struct gcl_guest_memory *memory,
						  uint64_t address)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct gcl_vhost_region *place = &memory->regions[i].place;

		if (address >= place->guest_address && address - place->guest_address < place->size)
			return &memory->regions[i];
	}
	return NULL;
}

void *gcl_guest_memory_at(const struct gcl_guest_memory *memory, uint64_t address, uint64_t size)
{
	const struct gcl_guest_region *region = region_find(memory, address);
	uint64_t offset;

	if (!region)
		return NULL;
	offset = address - region->place.guest_address;
	return size <= region->place.size - offset ? region_at(region, offset) : NULL;
}

void *gcl_guest_memory_at_user(const struct gcl_guest_memory *memory, uint64_t address,
			       uint64_t size)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct gcl_guest_region *region = &memory->regions[i];
		uint64_t offset = address - region->place.user_address;

		if (address >= region->place.user_address && offset < region->place.size &&
		    size <= region->place.size - offset)
			return region_at(region, offset);
	}
	return NULL;
}

bool gcl_guest_memory_file(const struct gcl_guest_memory *memory, uint64_t address, uint64_t *size,
			   unsigned *region, uint64_t *offset)
{
	const struct gcl_guest_region *found = region_find(memory, address);
	uint64_t into;

	if (!found)
		return false;
	into = address - found->place.guest_address;
	*size = GCL_MIN(*size, found->place.size - into);
	*region = (unsigned)(found - memory->regions);
	*offset = found->place.file_offset + into;
	return true;
}
