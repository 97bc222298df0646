// SPDX-License-Identifier: MIT
/*
 * The guest's end of a virtio channel: a session of the driver's device file.
 *
 * Theory of operation: the file is the session. It is watched for wake-ups and for the session's
 * end, an ioctl of it rings the worker's bell, and closing it ends the session; so it is never
 * duplicated, and where a session ends while other threads may be using the descriptor, something
 * harmless is put in its place. Heap memory is guest memory that the host maps: it is taken in
 * chunks when the allocator first hands out a part of one, a little ahead of what is asked for
 * (each request costs the host's attention), and whole chunks are given back.
 *
 * Must not: use descriptors 0 to 2, print anything, take much more of the guest's memory than the
 * program uses.
 */
#include "virtio-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Memory taken ahead: one part in so many of what there is, and no more chunks than this. */
#define AHEAD_PART 8u
#define AHEAD_MAX  8u

static struct gcl_virtio_guest *guest_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct gcl_virtio_guest, shm.channel);
}

int gcl_virtio_ask(const struct gcl_virtio_calls *calls, int fd, unsigned long request,
		   void *argument)
{
	int n;

	do
		n = calls->ioctl(fd, request, argument);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* ------------------------------------------------------------ heap memory; all with the lock held
 */

static bool chunk_there(const struct gcl_virtio_guest *guest, uint64_t chunk)
{
	return guest->populated[chunk / 64] >> chunk % 64 & 1;
}

static void chunks_mark(struct gcl_virtio_guest *guest, uint64_t first, uint64_t end, bool there)
{
	for (uint64_t chunk = first; chunk < end; chunk++) {
		if (there)
			guest->populated[chunk / 64] |= 1ull << chunk % 64;
		else
			guest->populated[chunk / 64] &= ~(1ull << chunk % 64);
	}
}

/* The end of the chunks from @first on, up to @end, that are as @first is. */
static uint64_t chunks_alike(const struct gcl_virtio_guest *guest, uint64_t first, uint64_t end)
{
	uint64_t chunk = first + 1;

	while (chunk < end && chunk_there(guest, chunk) == chunk_there(guest, first))
		chunk++;
	return chunk;
}

static int range_ask(struct gcl_virtio_guest *guest, unsigned long request, uint64_t first,
		     uint64_t end)
{
	struct virtio_cl_ioc_range range = {
		.offset = first * VIRTIO_CL_CHUNK,
		.length = (end - first) * VIRTIO_CL_CHUNK,
	};
	int err = gcl_virtio_ask(guest->calls, guest->shm.conn, request, &range);

	if (!err)
		chunks_mark(guest, first, end, request == VIRTIO_CL_IOC_POPULATE);
	return err;
}

/* Chunks never used before, and some ahead if there is memory. */
static int chunks_extend(struct gcl_virtio_guest *guest, uint64_t first, uint64_t end)
{
	uint64_t limit = guest->shm.channel.heap_size / VIRTIO_CL_CHUNK;
	uint64_t ahead = GCL_MIN(guest->chunks / AHEAD_PART, AHEAD_MAX);
	uint64_t further = GCL_MIN(end + ahead, limit);
	int err = range_ask(guest, VIRTIO_CL_IOC_POPULATE, first, further);

	if (err && further > end) {
		further = end;
		err = range_ask(guest, VIRTIO_CL_IOC_POPULATE, first, further);
	}
	if (!err)
		guest->chunks = further;
	return err;
}

static int chunks_populate(struct gcl_virtio_guest *guest, uint64_t first, uint64_t end)
{
	uint64_t known = GCL_MIN(end, guest->chunks);

	for (uint64_t chunk = first, next; chunk < known; chunk = next) {
		int err;

		next = chunks_alike(guest, chunk, known);
		if (chunk_there(guest, chunk))
			continue;
		err = range_ask(guest, VIRTIO_CL_IOC_POPULATE, chunk, next);
		if (err)
			return err;
	}
	return end > guest->chunks ? chunks_extend(guest, GCL_MAX(first, guest->chunks), end) : 0;
}

static int virtio_heap_populate(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	struct gcl_virtio_guest *guest = guest_of(channel);
	int err;

	pthread_mutex_lock(&guest->lock);
	err = chunks_populate(guest, offset / VIRTIO_CL_CHUNK,
			      (offset + size + VIRTIO_CL_CHUNK - 1) / VIRTIO_CL_CHUNK);
	pthread_mutex_unlock(&guest->lock);
	if (err)
		gcl_log_debug(mem, "no heap memory (%llu bytes at 0x%llx): errno %d",
			      (unsigned long long)size, (unsigned long long)offset, -err);
	return err;
}

static void virtio_heap_trim(struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	struct gcl_virtio_guest *guest = guest_of(channel);
	uint64_t end = (offset + size) / VIRTIO_CL_CHUNK;

	pthread_mutex_lock(&guest->lock);
	end = GCL_MIN(end, guest->chunks);
	for (uint64_t chunk = (offset + VIRTIO_CL_CHUNK - 1) / VIRTIO_CL_CHUNK, next; chunk < end;
	     chunk = next) {
		next = chunks_alike(guest, chunk, end);
		if (chunk_there(guest, chunk) &&
		    range_ask(guest, VIRTIO_CL_IOC_RELEASE, chunk, next))
			gcl_log_debug(mem, "cannot release heap memory");
	}
	pthread_mutex_unlock(&guest->lock);
}

/* ------------------------------------------------------------ windows */

static int virtio_pin(struct gcl_channel *channel, void *address, uint64_t size, bool write,
		      uint64_t *offset)
{
	struct gcl_virtio_guest *guest = guest_of(channel);
	struct virtio_cl_ioc_pin pin = {
		.address = (uintptr_t)address,
		.length = size,
		.flags = write ? VIRTIO_CL_PIN_WRITE : 0,
	};
	int err = gcl_virtio_ask(guest->calls, guest->shm.conn, VIRTIO_CL_IOC_PIN, &pin);

	if (err)
		return err;
	pthread_mutex_lock(&guest->windows_lock);
	guest->windows[(pin.offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE] =
		(struct gcl_virtio_window){pin.offset, size, address};
	pthread_mutex_unlock(&guest->windows_lock);
	*offset = pin.offset;
	return 0;
}

static void virtio_unpin(struct gcl_channel *channel, uint64_t offset)
{
	struct gcl_virtio_guest *guest = guest_of(channel);
	struct virtio_cl_ioc_unpin unpin = {.offset = offset};

	pthread_mutex_lock(&guest->windows_lock);
	guest->windows[(offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE].offset = 0;
	pthread_mutex_unlock(&guest->windows_lock);
	if (gcl_virtio_ask(guest->calls, guest->shm.conn, VIRTIO_CL_IOC_UNPIN, &unpin))
		gcl_log_debug(mem, "cannot unpin memory");
}

/* The program's address of what is pinned. */
static void *window_ptr(struct gcl_virtio_guest *guest, uint64_t offset, uint64_t size)
{
	const struct gcl_virtio_window *window =
		&guest->windows[(offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE];
	void *address = NULL;

	pthread_mutex_lock(&guest->windows_lock);
	if (window->offset && offset >= window->offset && offset - window->offset < window->size &&
	    size <= window->size - (offset - window->offset))
		address = window->address + (offset - window->offset);
	pthread_mutex_unlock(&guest->windows_lock);
	return address;
}

static void *virtio_heap_ptr(const struct gcl_channel *channel, uint64_t offset, uint64_t size)
{
	if (offset >= VIRTIO_CL_WINDOW_BASE && offset < VIRTIO_CL_SPACE_END)
		return window_ptr(guest_of((struct gcl_channel *)channel), offset, size);
	if (offset >= channel->heap_size || size > channel->heap_size - offset)
		return NULL;
	return channel->heap + offset;
}

/* ------------------------------------------------------------ the channel */

void gcl_virtio_bell_ring(struct gcl_shm *shm)
{
	int err = gcl_virtio_ask(guest_of(&shm->channel)->calls, shm->conn, VIRTIO_CL_IOC_DOORBELL,
				 NULL);

	/* A session that has ended is noticed otherwise. */
	if (err)
		gcl_log_debug(ring, "cannot ring the host's bell: errno %d", -err);
}

/*
 * Other threads may be about to use the descriptor, so its number must not become another file's.
 * What takes its place here can be watched, and refuses the rest.
 */
static void virtio_kill(struct gcl_channel *channel)
{
	struct gcl_shm *shm = gcl_shm_of(channel);

	if (dup3(shm->own_bell, shm->conn, O_CLOEXEC) < 0)
		gcl_log_error(session, "cannot end the session: errno %d", errno);
	gcl_shm_interrupt(channel);
}

static void virtio_close(struct gcl_channel *channel)
{
	struct gcl_virtio_guest *guest = guest_of(channel);

	gcl_shm_fini(&guest->shm);
	munmap(channel->heap, channel->heap_size);
	pthread_mutex_destroy(&guest->lock);
	pthread_mutex_destroy(&guest->windows_lock);
	free(guest);
}

const struct gcl_channel_ops gcl_virtio_guest_ops = {
	.name = "virtio",
	GCL_SHM_OPS,
	.heap_ptr = virtio_heap_ptr,
	.heap_populate = virtio_heap_populate,
	.heap_trim = virtio_heap_trim,
	.pin = virtio_pin,
	.unpin = virtio_unpin,
	.kill = virtio_kill,
	.abandon = gcl_shm_abandon,
	.close = virtio_close,
};
