// SPDX-License-Identifier: MIT
/*
 * The control queue: requests, and their answers.
 *
 * A request is copied as a whole before anything of it is looked at. One that breaks the rules is
 * answered as such if there is room for an answer; only a descriptor chain that is none breaks the
 * queue.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "device-parts.h"

/* Requests taken before other events get their turn. */
#define BATCH 64

static struct gcl_request *request_create(const struct gcl_chain *chain, uint32_t segment_count)
{
	struct gcl_request *request =
		calloc(1, sizeof *request + segment_count * sizeof *request->segments);

	if (request) {
		gcl_list_init(&request->link);
		request->chain = *chain;
		request->segment_count = segment_count;
	}
	return request;
}

static void chain_answer(struct gcl_device *device, const struct gcl_chain *chain,
			 const void *response, uint32_t size)
{
	struct gcl_queue *queue = &device->backend.queues[VIRTIO_CL_QUEUE_CONTROL];
	int64_t written = gcl_chain_write(&device->backend.memory, chain, response, size);

	if (written < (int64_t)sizeof(struct virtio_cl_response))
		gcl_device_log_peer(device, "a request has no room for its answer");
	gcl_queue_push(queue, chain->head, written > 0 ? (uint32_t)written : 0);
	gcl_queue_call(queue);
}

static void chain_status(struct gcl_device *device, const struct gcl_chain *chain,
			 enum virtio_cl_status status)
{
	struct virtio_cl_response response = {.status = htole32(status)};

	chain_answer(device, chain, &response, sizeof response);
}

void gcl_request_answer(struct gcl_device *device, struct gcl_request *request,
			const void *response, uint32_t size)
{
	gcl_list_remove(&request->link);
	if (!request->orphan && !device->backend.queues[VIRTIO_CL_QUEUE_CONTROL].running) {
		memcpy(&request->response, response, size);
		request->response_size = size;
		gcl_list_append(&device->deferred, &request->link);
		return;
	}
	if (!request->orphan)
		chain_answer(device, &request->chain, response, size);
	free(request);
}

void gcl_request_status(struct gcl_device *device, struct gcl_request *request,
			enum virtio_cl_status status)
{
	struct virtio_cl_response response = {.status = htole32(status)};

	gcl_request_answer(device, request, &response, sizeof response);
}

void gcl_request_refuse(struct gcl_device *device, struct gcl_request *request,
			enum virtio_cl_status status, const char *text)
{
	struct virtio_cl_open_response response = {.head.status = htole32(status)};

	snprintf(response.text, sizeof response.text, "%s", text);
	gcl_request_answer(device, request, &response, sizeof response);
}

void gcl_control_flush(struct gcl_device *device, bool discard)
{
	gcl_list_for_each_safe (it, next, &device->deferred) {
		struct gcl_request *request = gcl_container_of(it, struct gcl_request, link);

		gcl_list_remove(it);
		if (!discard)
			chain_answer(device, &request->chain, &request->response,
				     request->response_size);
		free(request);
	}
}

/* ------------------------------------------------------------ requests */

/* What has been copied of the request at hand. */
struct input {
	const struct gcl_chain *chain;
	const void *bytes;
	size_t size;
	uint32_t session;
};

static void run_hello(struct gcl_device *device, const struct input *input)
{
	const struct virtio_cl_hello *hello = input->bytes;
	struct gcl_request *request;

	if (!hello->instance) {
		chain_status(device, input->chain, VIRTIO_CL_ERR_INVALID);
		return;
	}
	request = request_create(input->chain, 0);
	if (!request) {
		chain_status(device, input->chain, VIRTIO_CL_ERR_NO_MEMORY);
		return;
	}
	request->type = VIRTIO_CL_HELLO;
	gcl_device_hello(device, request, le64toh(hello->instance));
}

static void run_ping(struct gcl_device *device, const struct input *input)
{
	chain_status(device, input->chain,
		     device->greeted ? VIRTIO_CL_OK : VIRTIO_CL_ERR_NO_SESSION);
}

/* The request with its segments, or NULL when it has been answered. */
static struct gcl_request *segments_take(struct gcl_device *device, const struct input *input,
					 const struct virtio_cl_segment *segments, uint32_t count,
					 size_t head)
{
	struct gcl_request *request;

	if (count > VIRTIO_CL_SEGMENTS_MAX || input->size != head + count * sizeof *segments) {
		gcl_device_log_peer(device, "a request of %zu bytes with %u segments", input->size,
				    count);
		chain_status(device, input->chain, VIRTIO_CL_ERR_INVALID);
		return NULL;
	}
	request = request_create(input->chain, count);
	if (request)
		memcpy(request->segments, segments, count * sizeof *segments);
	else
		chain_status(device, input->chain, VIRTIO_CL_ERR_NO_MEMORY);
	return request;
}

static void run_open(struct gcl_device *device, const struct input *input)
{
	const struct virtio_cl_open *open = input->bytes;
	struct gcl_request *request = segments_take(device, input, open->segments,
						    le32toh(open->segment_count), sizeof *open);

	if (!request)
		return;
	request->type = VIRTIO_CL_SESSION_OPEN;
	if (device->greeted)
		gcl_session_open(device, request, open);
	else
		gcl_request_refuse(device, request, VIRTIO_CL_ERR_BUSY,
				   "guestcld has restarted: try again");
}

static void run_close(struct gcl_device *device, const struct input *input)
{
	struct gcl_request *request = request_create(input->chain, 0);

	if (!request) {
		chain_status(device, input->chain, VIRTIO_CL_ERR_NO_MEMORY);
		return;
	}
	request->type = VIRTIO_CL_SESSION_CLOSE;
	gcl_session_close(device, request, input->session);
}

static void run_memory(struct gcl_device *device, const struct input *input, uint32_t type)
{
	const struct virtio_cl_memory *memory = input->bytes;
	struct gcl_device_session *session = gcl_session_find(device, input->session);
	struct gcl_request *request = segments_take(device, input, memory->segments,
						    le32toh(memory->segment_count), sizeof *memory);

	if (!request)
		return;
	request->type = type;
	request->op = type == VIRTIO_CL_MEMORY_ADD ? GCL_LINK_MAP : GCL_LINK_UNMAP;
	request->offset = le64toh(memory->offset);
	request->length = le64toh(memory->length);
	if (!device->greeted || !session || session->state != GCL_SESSION_OPEN)
		gcl_request_status(device, request, VIRTIO_CL_ERR_NO_SESSION);
	else if (memory->flags)
		gcl_request_status(device, request, VIRTIO_CL_ERR_INVALID);
	else
		gcl_link_memory(session, request);
}

static void run(struct gcl_device *device, uint32_t type, const struct input *input)
{
	static const size_t sizes[] = {
		[VIRTIO_CL_HELLO] = sizeof(struct virtio_cl_hello),
		[VIRTIO_CL_PING] = sizeof(struct virtio_cl_request),
		[VIRTIO_CL_SESSION_OPEN] = sizeof(struct virtio_cl_open),
		[VIRTIO_CL_SESSION_CLOSE] = sizeof(struct virtio_cl_request),
		[VIRTIO_CL_MEMORY_ADD] = sizeof(struct virtio_cl_memory),
		[VIRTIO_CL_MEMORY_REMOVE] = sizeof(struct virtio_cl_memory),
	};

	if (type >= GCL_ARRAY_SIZE(sizes) || !sizes[type]) {
		gcl_device_log_peer(device, "request type %u is unknown", type);
		chain_status(device, input->chain, VIRTIO_CL_ERR_UNSUPPORTED);
	} else if (input->size < sizes[type]) {
		gcl_device_log_peer(device, "a request of type %u of %zu bytes", type, input->size);
		chain_status(device, input->chain, VIRTIO_CL_ERR_INVALID);
	} else if (type == VIRTIO_CL_HELLO) {
		run_hello(device, input);
	} else if (type == VIRTIO_CL_PING) {
		run_ping(device, input);
	} else if (type == VIRTIO_CL_SESSION_OPEN) {
		run_open(device, input);
	} else if (type == VIRTIO_CL_SESSION_CLOSE) {
		run_close(device, input);
	} else {
		run_memory(device, input, type);
	}
}

static void chain_run(struct gcl_device *device, const struct gcl_chain *chain)
{
	const struct virtio_cl_request *head = (const void *)device->buffer;
	int64_t size = gcl_chain_read(&device->backend.memory, chain, device->buffer,
				      sizeof device->buffer);
	struct input input = {.chain = chain, .bytes = device->buffer};
	uint32_t type;

	if (size < (int64_t)sizeof *head || chain->readable_size > sizeof device->buffer) {
		gcl_device_log_peer(device, "a request of %lld bytes",
				    (long long)chain->readable_size);
		chain_status(device, chain, VIRTIO_CL_ERR_INVALID);
		return;
	}
	input.size = (size_t)size;
	input.session = le32toh(head->session);
	type = le32toh(head->type);
	/* A queue that starts at 0 as it stopped at 0: the first request tells which it is. */
	if (device->doubtful && type != VIRTIO_CL_HELLO)
		gcl_device_resume(device, false);
	run(device, type, &input);
}

void gcl_control_run(struct gcl_device *device)
{
	struct gcl_queue *queue = &device->backend.queues[VIRTIO_CL_QUEUE_CONTROL];
	struct gcl_chain chain;
	unsigned count = 0;
	int n = 0;

	while (count < BATCH && (n = gcl_queue_pop(queue, &chain)) > 0) {
		chain_run(device, &chain);
		count++;
	}
	if (n < 0)
		gcl_device_log_peer(device, "the driver broke its control queue: no request is "
					    "served until the driver is loaded again");
	/* Its kick comes again, after everyone else's. */
	if (n > 0 && queue->kick >= 0)
		(void)eventfd_write(queue->kick, 1);
}
