/* SPDX-License-Identifier: MIT */
/*
 * For tests: what stands between guest and worker of a virtio channel, without a VM: a device file
 * as the driver's, and the broker behind it. Guest memory is a memfd, given out in scattered
 * pieces.
 *
 * There is one at a time.
 */
#ifndef GCL_TEST_VIRTIO_TWIN_H
#define GCL_TEST_VIRTIO_TWIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio-device.h"
#include "worker-link.h"

struct virtio_twin {
	int worker; /* socket that workers take their guest from */
	int ram;
	uint64_t ram_used;
	uint64_t random;
	int device; /* the guest's descriptor */
	int host;   /* its other side */
	int link;   /* to the worker */
	int kick, wake;
	uint8_t *heap; /* the guest's */
	uint64_t heap_size;
	pthread_mutex_t lock; /* one request at a time */
	pthread_t broker;
	bool broker_runs;
	_Atomic uint64_t doorbells;
	_Atomic uint64_t wakes;
	_Atomic uint64_t chunks; /* populated now */
	_Atomic uint64_t populates, releases;
	uint8_t *program; /* memory of the program's, as virtio_twin_program() made it */
	uint64_t program_size;
	struct gcl_link_segment program_segments[VIRTIO_CL_SEGMENTS_MAX];
	unsigned program_count;
	struct {
		uint64_t offset, length; /* of the pages; length 0: free */
	} windows[VIRTIO_CL_WINDOWS];
	uint64_t chunks_max; /* then the guest's memory is used up; 0: no limit */
	const char *refusal; /* of sessions */
};

/** virtio_twin_init() - @worker: as above; taken over. */
struct virtio_twin *virtio_twin_init(int worker);
void virtio_twin_fini(void);

/** virtio_twin_calls() - what the guest's end is to use in place of the system's. */
const struct gcl_virtio_calls *virtio_twin_calls(void);

/** virtio_twin_memory() - @length bytes of guest memory, in pieces. Return: how many. */
unsigned virtio_twin_memory(struct virtio_twin *twin, uint64_t length,
			    struct gcl_link_segment *segments);

/** virtio_twin_program() - make memory for the program that can be pinned; the rest can't. */
uint8_t *virtio_twin_program(struct virtio_twin *twin, uint64_t length);

/** virtio_twin_ask() - one request to the worker. Return: its answer, or -EPIPE. */
int virtio_twin_ask(struct virtio_twin *twin, enum gcl_link_op op, uint64_t offset, uint64_t length,
		    const struct gcl_link_segment *segments, unsigned count, int fd);

#endif
