/* SPDX-License-Identifier: MIT */
/*
 * For tests: a VMM with a guest in it, as the back end and the device see them.
 *
 * It speaks the front end's side of vhost-user, with a memfd as guest memory, and drives the queues
 * like the driver does. The guest's memory is in two regions, VMM_RAM_HALF bytes at 0 and as many
 * at VMM_HIGH. While it waits it calls turn(), which lets the other side run. All functions fail
 * the test themselves.
 */
#ifndef GCL_TESTS_VMM_H
#define GCL_TESTS_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi/virtio_cl.h"
#include "vhost/message.h"

#define VMM_RAM_HALF   (32u << 20)
#define VMM_HIGH       (4ull << 30)
#define VMM_USER       0x7f0000000000ull /* where the VMM has address 0, and so on */
#define VMM_QUEUES     4u
#define VMM_QUEUE_SIZE 32u

/* Free memory of the guest, for sessions. */
#define VMM_FREE (8u << 20)

struct vmm_queue {
	uint64_t descriptors, available, used; /* guest-physical */
	uint16_t next_available;
	uint16_t last_used;
	uint16_t base; /* where the device goes on */
	uint32_t busy; /* a bit for each slot of two descriptors */
	uint32_t done;
	uint32_t lengths[VMM_QUEUE_SIZE / 2];
	int kick, call;
};

struct vmm {
	int socket;
	int ram;	 /* memfd */
	uint8_t *memory; /* all of it, without the gap */
	struct vmm_queue queues[VMM_QUEUES];
	unsigned patience_ms; /* of waits; 5000 */
	void (*turn)(void *data);
	void *turn_data;
};

/** vmm_init() - a guest that has just begun, without a connection. */
void vmm_init(struct vmm *vmm);
void vmm_fini(struct vmm *vmm);

/** vmm_at() - the memory at a guest-physical address. */
void *vmm_at(const struct vmm *vmm, uint64_t address);

/** vmm_reboot() - the guest's queues are new. */
void vmm_reboot(struct vmm *vmm);

/* ------------------------------------------------------------ messages */

/** vmm_attach() - take @socket over, and say what a VMM says first. */
void vmm_attach(struct vmm *vmm, int socket);

/** vmm_detach() - hang up. */
void vmm_detach(struct vmm *vmm);

/** vmm_say() - send a message with descriptors. */
void vmm_say(struct vmm *vmm, enum gcl_vhost_request request, uint32_t flags, const void *body,
	     uint32_t size, const int *fds, unsigned fd_count);

/** vmm_hear() - wait for an answer. Return: its size, or -1 at the end of the connection. */
int vmm_hear(struct vmm *vmm, enum gcl_vhost_request request, void *body, size_t size);

/** vmm_ack() - vmm_say() with a wish for an acknowledgement. Return: what it is; 0 is good. */
uint64_t vmm_ack(struct vmm *vmm, enum gcl_vhost_request request, const void *body, uint32_t size,
		 const int *fds, unsigned fd_count);

void vmm_share_memory(struct vmm *vmm);

/** vmm_start() - start all queues where they are. */
void vmm_start(struct vmm *vmm);

/** vmm_stop() - stop them, as when the VM is paused or reset. */
void vmm_stop(struct vmm *vmm);

/* ------------------------------------------------------------ queues */

/** vmm_post() - make a request available and notify. Return: its slot. */
unsigned vmm_post(struct vmm *vmm, const void *out, uint32_t out_size, uint32_t in_size);

/** vmm_done() - whether the answer has come; @in gets it, the slot is free again then. */
bool vmm_done(struct vmm *vmm, unsigned slot, void *in, uint32_t in_size, uint32_t *length);

/** vmm_finish() - wait for it. Return: its length. */
uint32_t vmm_finish(struct vmm *vmm, unsigned slot, void *in, uint32_t in_size);

/** vmm_request() - post and finish. Return: the status. */
enum virtio_cl_status vmm_request(struct vmm *vmm, const void *out, uint32_t out_size, void *in,
				  uint32_t in_size);

/** vmm_fill_events() - let the device have @count buffers for events. */
void vmm_fill_events(struct vmm *vmm, unsigned count);

/** vmm_event() - wait for an event; its buffer is not given back. */
struct virtio_cl_event vmm_event(struct vmm *vmm);

/** vmm_event_come() - whether there is one now, within @ms. */
bool vmm_event_come(struct vmm *vmm, struct virtio_cl_event *event, unsigned ms);

/** vmm_ring() - notify the device of a doorbell queue. */
void vmm_ring(struct vmm *vmm, unsigned queue);

/* ------------------------------------------------------------ the driver's requests */

/** vmm_hello() - Return: the epoch. */
uint32_t vmm_hello(struct vmm *vmm, uint64_t instance);

enum virtio_cl_status vmm_ping(struct vmm *vmm);

/* A request to open a session with rings at @address of 4096 + 2 * 128 KiB bytes. */
#define VMM_RINGS_SIZE (4096u + 2u * 131072u)
struct vmm_open {
	uint64_t words[(sizeof(struct virtio_cl_open) + sizeof(struct virtio_cl_segment)) / 8];
};
static inline struct virtio_cl_open *vmm_open_of(struct vmm_open *request)
{
	return (struct virtio_cl_open *)request->words;
}
void vmm_open_fill(struct vmm_open *request, uint64_t address);

/** vmm_open() - Return: the status, and the session's number and doorbell in @response. */
enum virtio_cl_status vmm_open(struct vmm *vmm, uint64_t address,
			       struct virtio_cl_open_response *response);
enum virtio_cl_status vmm_close(struct vmm *vmm, uint32_t session);

/* Memory of one segment, with room for another. */
#define VMM_MEMORY_SIZE (sizeof(struct virtio_cl_memory) + sizeof(struct virtio_cl_segment))
struct vmm_memory {
	uint64_t words[(VMM_MEMORY_SIZE + sizeof(struct virtio_cl_segment)) / 8];
};
static inline struct virtio_cl_memory *vmm_memory_of(struct vmm_memory *request)
{
	return (struct virtio_cl_memory *)request->words;
}
void vmm_add_fill(struct vmm_memory *request, uint32_t session, uint64_t offset, uint64_t address,
		  uint64_t length);
enum virtio_cl_status vmm_add(struct vmm *vmm, uint32_t session, uint64_t offset, uint64_t address,
			      uint64_t length);
enum virtio_cl_status vmm_remove(struct vmm *vmm, uint32_t session, uint64_t offset,
				 uint64_t length);

/** vmm_until() - turn until @condition is true; the test fails when that takes too long. */
#define vmm_until(vmm, condition)                                                                  \
	do {                                                                                       \
		int64_t end_ = vmm_clock_ms() + (vmm)->patience_ms;                                \
		while (!(condition)) {                                                             \
			if (vmm_clock_ms() > end_)                                                 \
				fail_msg("it never came to %s", #condition);                       \
			(vmm)->turn((vmm)->turn_data);                                             \
		}                                                                                  \
	} while (0)
int64_t vmm_clock_ms(void);

#endif
