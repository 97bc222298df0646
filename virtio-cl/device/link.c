// SPDX-License-Identifier: MIT
/*
 * What workers are told about their sessions' memory: checked, put into terms of files, sent in
 * the order of the requests, and answered in that order, too.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "device-parts.h"
#include "shm.h"

bool gcl_segments_valid(const struct gcl_device *device, const struct gcl_request *request,
			uint64_t length)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < request->segment_count; i++) {
		uint64_t address = le64toh(request->segments[i].address);
		uint64_t size = le64toh(request->segments[i].length);
		uint64_t covered = 0;

		if (!size || size > length - sum || (address | size) % VIRTIO_CL_PAGE ||
		    address > UINT64_MAX - size)
			return false;
		while (covered < size) {
			uint64_t part = size - covered, offset;
			unsigned region;

			if (!gcl_guest_memory_file(&device->backend.memory, address + covered,
						   &part, &region, &offset))
				return false;
			covered += part;
		}
		sum += size;
	}
	return sum == length;
}

/* ------------------------------------------------------------ putting together */

/* A message in the device's buffer. */
struct draft {
	struct gcl_link_map *map;
	int fds[GCL_LINK_FDS_MAX];
	unsigned regions[GCL_LINK_FDS_MAX];
	unsigned fd_count;
};

/* Which of the message's descriptors is that of the region. Return: -1 if there are too many. */
static int draft_fd(struct draft *draft, const struct gcl_guest_memory *memory, unsigned region)
{
	unsigned i = 0;

	while (i < draft->fd_count && draft->regions[i] != region)
		i++;
	if (i == GCL_LINK_FDS_MAX)
		return -1;
	if (i == draft->fd_count) {
		draft->regions[i] = region;
		draft->fds[draft->fd_count++] = memory->regions[region].fd;
	}
	return (int)i;
}

/* Adds a piece of a file, to the one before where it goes on there. */
static bool draft_add(struct draft *draft, unsigned fd, uint64_t offset, uint64_t length)
{
	struct gcl_link_map *map = draft->map;
	struct gcl_link_segment *last =
		map->segment_count ? &map->segments[map->segment_count - 1] : NULL;

	if (last && last->fd == fd && last->offset + last->length == offset) {
		last->length += length;
		return true;
	}
	if (map->segment_count == VIRTIO_CL_SEGMENTS_MAX)
		return false;
	map->segments[map->segment_count++] =
		(struct gcl_link_segment){.fd = fd, .offset = offset, .length = length};
	return true;
}

static bool draft_segment(struct draft *draft, const struct gcl_guest_memory *memory,
			  uint64_t address, uint64_t size)
{
	while (size) {
		uint64_t part = size, offset;
		unsigned region;
		int fd;

		if (!gcl_guest_memory_file(memory, address, &part, &region, &offset))
			return false;
		fd = draft_fd(draft, memory, region);
		if (fd < 0 || !draft_add(draft, (unsigned)fd, offset, part))
			return false;
		address += part;
		size -= part;
	}
	return true;
}

static bool draft_fill(struct draft *draft, struct gcl_device_session *session,
		       const struct gcl_request *request)
{
	struct gcl_device *device = session->device;

	draft->map = (struct gcl_link_map *)device->message;
	draft->fd_count = 0;
	*draft->map = (struct gcl_link_map){
		.op = request->op, .offset = request->offset, .length = request->length};
	if (request->op == GCL_LINK_DOORBELL) {
		draft->fds[draft->fd_count++] = device->backend.queues[session->doorbell].kick;
		session->door_stale = false;
		return draft->fds[0] >= 0;
	}
	for (uint32_t i = 0; i < request->segment_count; i++) {
		if (!draft_segment(draft, &device->backend.memory,
				   le64toh(request->segments[i].address),
				   le64toh(request->segments[i].length)))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------ sending */

static enum virtio_cl_status status_of(int error)
{
	if (error == 0)
		return VIRTIO_CL_OK;
	return error == -ENOMEM ? VIRTIO_CL_ERR_NO_MEMORY : VIRTIO_CL_ERR_FAILED;
}

/* The worker has done what the request is about, or can't. */
static void request_done(struct gcl_device_session *session, struct gcl_request *request, int error)
{
	struct virtio_cl_open_response response = {0};

	gcl_list_remove(&request->link);
	switch (request->op) {
	case GCL_LINK_MAP_RINGS:
		if (error) {
			session->open_error = error;
			gcl_session_kill(session); /* its end is the answer */
			break;
		}
		session->request = NULL;
		session->state = GCL_SESSION_OPEN;
		response.session = htole32(session->id);
		response.doorbell = htole32(session->doorbell);
		gcl_request_answer(session->device, request, &response, sizeof response);
		if (session->wake)
			gcl_device_wake(session);
		break;
	case GCL_LINK_MAP:
		if (error)
			gcl_ranges_undo(&session->ranges, request->offset, request->length,
					request->segment_count);
		gcl_request_status(session->device, request, status_of(error));
		break;
	case GCL_LINK_UNMAP:
		if (!error) {
			gcl_request_status(session->device, request, VIRTIO_CL_OK);
			break;
		}
		/* The guest may not have its memory back before the worker is gone. */
		gcl_list_append(&session->unanswered, &request->link);
		gcl_session_kill(session);
		break;
	case GCL_LINK_DOORBELL:
		free(request);
		break;
	}
}

/* Return: 0 when the message has gone, or can't be made and is answered as such. */
static int request_send(struct gcl_device_session *session, struct gcl_request *request)
{
	struct draft draft;
	int err;

	if (!draft_fill(&draft, session, request)) {
		request_done(session, request, -EINVAL);
		return 0;
	}
	err = session->device->ops->send(session, draft.map,
					 sizeof *draft.map + draft.map->segment_count *
								     sizeof *draft.map->segments,
					 draft.fds, draft.fd_count);
	if (err == 0) {
		gcl_list_remove(&request->link);
		gcl_list_append(&session->unanswered, &request->link);
	}
	return err;
}

void gcl_link_pump(struct gcl_device_session *session)
{
	int err = 0;

	/* While paused the VM's memory may be another's. */
	while (err == 0 && !session->device->paused && !gcl_list_empty(&session->unsent))
		err = request_send(session,
				   gcl_list_first(&session->unsent, struct gcl_request, link));
	if (err < 0 && err != -EAGAIN)
		gcl_session_kill(session);
}

void gcl_device_link_writable(struct gcl_device_session *session)
{
	gcl_link_pump(session);
}

void gcl_link_rings(struct gcl_device_session *session)
{
	struct gcl_request *request = session->request;

	if (!request)
		return;
	request->op = GCL_LINK_MAP_RINGS;
	request->length =
		gcl_shm_rings_size(session->hello.commands_size, session->hello.completions_size);
	gcl_list_append(&session->unsent, &request->link);
	if (session->door_stale)
		gcl_link_door(session);
	gcl_link_pump(session);
}

void gcl_link_door(struct gcl_device_session *session)
{
	struct gcl_request *request;

	session->door_stale = true;
	if (session->state != GCL_SESSION_OPEN && session->state != GCL_SESSION_MAPPING)
		return;
	request = calloc(1, sizeof *request);
	if (!request) {
		gcl_session_kill(session);
		return;
	}
	request->op = GCL_LINK_DOORBELL;
	request->orphan = true;
	gcl_list_append(&session->unsent, &request->link);
	gcl_link_pump(session);
}

void gcl_link_memory(struct gcl_device_session *session, struct gcl_request *request)
{
	bool add = request->op == GCL_LINK_MAP;
	int err = -EINVAL;

	if (add && request->segment_count &&
	    gcl_segments_valid(session->device, request, request->length))
		err = gcl_ranges_add(&session->ranges, request->offset, request->length,
				     request->segments, request->segment_count);
	else if (!add && !request->segment_count)
		err = gcl_ranges_remove(&session->ranges, request->offset, request->length);
	if (err < 0) {
		gcl_device_log_peer(
			session->device,
			"session %u: can't %s 0x%llx bytes in %u segments at 0x%llx: %s",
			session->id, add ? "add" : "remove", (unsigned long long)request->length,
			request->segment_count, (unsigned long long)request->offset,
			strerror(-err));
		gcl_request_status(session->device, request,
				   err == -ENOSPC ? VIRTIO_CL_ERR_NO_MEMORY
						  : VIRTIO_CL_ERR_INVALID);
		return;
	}
	gcl_list_append(&session->unsent, &request->link);
	gcl_link_pump(session);
}

int gcl_device_answered(struct gcl_device_session *session, const struct gcl_link_answer *answer)
{
	struct gcl_request *request;

	if (gcl_list_empty(&session->unanswered))
		return -EPROTO;
	request = gcl_list_first(&session->unanswered, struct gcl_request, link);
	if (answer->op != (uint32_t)request->op)
		return -EPROTO;
	request_done(session, request, answer->error);
	return 0;
}

static void requests_fail(struct gcl_device_session *session, struct gcl_list *list)
{
	gcl_list_for_each_safe (it, next, list) {
		struct gcl_request *request = gcl_container_of(it, struct gcl_request, link);

		gcl_list_remove(it);
		if (request == session->request)
			continue; /* answered when the worker has ended */
		if (request->op == GCL_LINK_DOORBELL)
			free(request);
		else
			gcl_request_status(session->device, request, VIRTIO_CL_ERR_NO_SESSION);
	}
}

void gcl_link_fini(struct gcl_device_session *session)
{
	requests_fail(session, &session->unanswered);
	requests_fail(session, &session->unsent);
}
