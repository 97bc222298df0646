// SPDX-License-Identifier: MIT
#include "device-stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Messages to a worker that are not answered yet, of which the first are kept. */
#define OPS_MAX 64u

struct stub_session {
	struct gcl_device_session session;
	bool waiting, served, ending, pausing, paused;
	uint32_t ops[OPS_MAX];
	unsigned op_count;
};

static struct stub_session *own(struct gcl_device_session *session)
{
	return gcl_container_of(session, struct stub_session, session);
}

static void require(bool truth)
{
	if (!truth)
		abort();
}

static struct gcl_device_session *on_create(struct gcl_device *device)
{
	struct stub_session *session = calloc(1, sizeof *session);

	(void)device;
	return session ? &session->session : NULL;
}

static void on_destroy(struct gcl_device_session *session)
{
	gcl_list_remove(&session->link);
	free(own(session));
}

static void on_open(struct gcl_device_session *session, int doorbell)
{
	require(doorbell >= 0);
	require(gcl_ring_size_valid(session->hello.commands_size));
	own(session)->waiting = true;
}

static bool on_end(struct gcl_device_session *session, bool kill)
{
	(void)kill;
	own(session)->waiting = false;
	own(session)->ending = true;
	own(session)->op_count = 0;
	return own(session)->served;
}

static bool on_pause(struct gcl_device_session *session)
{
	if (!own(session)->served || own(session)->paused)
		return false;
	own(session)->pausing = true;
	return true;
}

static void on_resume(struct gcl_device_session *session)
{
	own(session)->pausing = own(session)->paused = false;
}

/* What a worker is told must lie in the files that come with it. */
static int on_send(struct gcl_device_session *session, const struct gcl_link_map *message,
		   size_t size, const int *fds, unsigned fd_count)
{
	const struct device_stub *stub =
		gcl_container_of(session->device, struct device_stub, device);
	struct stub_session *it = own(session);
	uint64_t sum = 0;

	if (it->ending)
		return -EPIPE;
	if (stub->choked || it->op_count == OPS_MAX)
		return -EAGAIN;
	require(!it->paused && !session->device->paused && it->served);
	require(fd_count <= GCL_LINK_FDS_MAX && size <= GCL_LINK_SIZE_MAX);
	require(size == sizeof *message + message->segment_count * sizeof *message->segments);
	for (unsigned i = 0; i < fd_count; i++)
		require(fcntl(fds[i], F_GETFD) >= 0);
	for (uint32_t i = 0; i < message->segment_count; i++) {
		const struct gcl_link_segment *segment = &message->segments[i];

		require(segment->fd < fd_count && segment->length &&
			!((segment->offset | segment->length) % VIRTIO_CL_PAGE));
		sum += segment->length;
	}
	require(!message->segment_count || sum == message->length);
	it->ops[it->op_count++] = message->op;
	return 0;
}

static void on_watch(struct gcl_device *device, unsigned queue, int kick)
{
	(void)device;
	require(queue < VIRTIO_CL_QUEUE_DOORBELL);
	require(kick < 0 || fcntl(kick, F_GETFD) >= 0);
}

static const struct gcl_device_ops stub_ops = {
	.create = on_create,
	.destroy = on_destroy,
	.open = on_open,
	.end = on_end,
	.pause = on_pause,
	.resume = on_resume,
	.send = on_send,
	.watch = on_watch,
};

static void serve(struct stub_session *session, bool refuse)
{
	if (!session->waiting)
		return;
	session->waiting = false;
	if (refuse) {
		gcl_device_refused(&session->session, GCL_HELLO_FAILED, "no worker");
		return;
	}
	session->served = true;
	gcl_device_served(&session->session);
}

static void answer(struct stub_session *session, int error)
{
	struct gcl_link_answer answer = {.error = error};

	if (!session->op_count || session->paused)
		return;
	answer.op = session->ops[0];
	memmove(session->ops, session->ops + 1, --session->op_count * sizeof *session->ops);
	require(gcl_device_answered(&session->session, &answer) == 0);
}

static void lie(struct stub_session *session)
{
	const struct gcl_link_answer answer = {.op = 77};

	if (session->served && !session->ending)
		require(gcl_device_answered(&session->session, &answer) < 0);
}

static void end(struct stub_session *session)
{
	if (!session->served)
		return;
	session->served = false;
	session->ending = true;
	session->op_count = 0;
	gcl_device_ended(&session->session);
}

static void session_step(struct stub_session *session, enum device_stub_step step)
{
	switch (step) {
	case STUB_SERVE:
	case STUB_REFUSE:
		serve(session, step == STUB_REFUSE);
		break;
	case STUB_ANSWER:
	case STUB_FAIL:
		answer(session, step == STUB_FAIL ? -ENOMEM : 0);
		break;
	case STUB_LIE:
		lie(session);
		break;
	case STUB_DIE:
		end(session);
		break;
	case STUB_REAP:
		if (session->ending)
			end(session);
		break;
	case STUB_WAKE:
		if (session->served)
			gcl_device_wake(&session->session);
		break;
	case STUB_PAUSED:
		if (session->pausing) {
			session->pausing = false;
			session->paused = true;
			(void)gcl_device_paused(&session->session);
		}
		break;
	default:
		gcl_device_link_writable(&session->session);
		break;
	}
}

void device_stub_step(struct device_stub *stub, enum device_stub_step step)
{
	if (step == STUB_EXPIRE) {
		(void)gcl_device_pause_expired(&stub->device);
		return;
	}
	if (step == STUB_CHOKE || step == STUB_WRITABLE)
		stub->choked = step == STUB_CHOKE;
	gcl_list_for_each_safe (it, next, &stub->device.sessions) {
		session_step(own(gcl_container_of(it, struct gcl_device_session, link)), step);
		if (step == STUB_DIE)
			return; /* one at a time */
	}
}

void device_stub_init(struct device_stub *stub)
{
	gcl_log_level_set(GCL_LOG_ERROR);
	memset(stub, 0, sizeof *stub);
	gcl_device_init(&stub->device, &stub_ops, "fuzz", STUB_SESSIONS_MAX);
}

void device_stub_fini(struct device_stub *stub)
{
	gcl_device_disconnected(&stub->device);
	for (unsigned i = 0; !gcl_list_empty(&stub->device.sessions); i++) {
		require(i < 2);
		device_stub_step(stub, STUB_REAP);
	}
	require(stub->device.session_count == 0 && stub->device.pausing == 0);
	gcl_device_fini(&stub->device);
}
