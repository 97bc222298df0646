// SPDX-License-Identifier: MIT
#include "device-twin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "test.h"

static struct twin *twin_of(struct gcl_device *device)
{
	return gcl_container_of(device, struct twin, device);
}

static struct twin_session *own(struct gcl_device_session *session)
{
	return gcl_container_of(session, struct twin_session, session);
}

static struct gcl_device_session *on_create(struct gcl_device *device)
{
	struct twin_session *session = calloc(1, sizeof *session);

	(void)device;
	gcl_list_init(&session->messages);
	return &session->session;
}

static void messages_drop(struct twin_session *session)
{
	gcl_list_for_each_safe (it, next, &session->messages) {
		gcl_list_remove(it);
		free(gcl_container_of(it, struct twin_message, link));
	}
}

static void on_destroy(struct gcl_device_session *session)
{
	messages_drop(own(session));
	gcl_list_remove(&session->link);
	free(own(session));
}

static void on_open(struct gcl_device_session *session, int doorbell)
{
	struct twin *twin = twin_of(session->device);

	assert_true(doorbell >= 0);
	if (twin->refusal)
		gcl_device_refused(session, GCL_HELLO_BUSY, twin->refusal);
	else
		own(session)->waiting = true;
}

static bool on_end(struct gcl_device_session *session, bool kill)
{
	struct twin_session *it = own(session);

	it->waiting = false;
	it->killed |= kill;
	it->ending = true;
	messages_drop(it);
	return it->served;
}

static bool on_pause(struct gcl_device_session *session)
{
	struct twin_session *it = own(session);

	if (!it->served || it->paused)
		return false;
	it->pausing = true;
	return true;
}

static void on_resume(struct gcl_device_session *session)
{
	own(session)->paused = false;
}

static int on_send(struct gcl_device_session *session, const struct gcl_link_map *message,
		   size_t size, const int *fds, unsigned fd_count)
{
	struct twin *twin = twin_of(session->device);
	struct twin_message *copy;

	if (own(session)->ending)
		return -EPIPE;
	if (twin->choked)
		return -EAGAIN;
	assert_false(own(session)->paused);
	assert_true(fd_count <= GCL_LINK_FDS_MAX);
	assert_int_equal(size,
			 sizeof *message + message->segment_count * sizeof *message->segments);
	for (unsigned i = 0; i < fd_count; i++)
		assert_true(fcntl(fds[i], F_GETFD) >= 0);
	for (uint32_t i = 0; i < message->segment_count; i++)
		assert_true(message->segments[i].fd < fd_count);
	copy = calloc(1, sizeof *copy);
	copy->op = message->op;
	copy->offset = message->offset;
	copy->length = message->length;
	copy->segment_count = message->segment_count;
	copy->fd_count = fd_count;
	if (message->segment_count)
		copy->first = message->segments[0];
	twin->last = *copy;
	twin->sent++;
	twin->doors += message->op == GCL_LINK_DOORBELL;
	gcl_list_append(&own(session)->messages, &copy->link);
	return 0;
}

static void on_watch(struct gcl_device *device, unsigned queue, int kick)
{
	twin_of(device)->kicks[queue] = kick;
}

static const struct gcl_device_ops twin_ops = {
	.create = on_create,
	.destroy = on_destroy,
	.open = on_open,
	.end = on_end,
	.pause = on_pause,
	.resume = on_resume,
	.send = on_send,
	.watch = on_watch,
};

/* What the session's worker does next. The session may be gone afterwards. */
static void worker_turn(struct twin *twin, struct twin_session *session)
{
	if (session->ending && session->served && !twin->undying) {
		gcl_device_ended(&session->session);
	} else if (session->waiting && !twin->busy) {
		session->waiting = false;
		session->served = true;
		gcl_device_served(&session->session);
	} else if (session->pausing && !twin->stubborn) {
		session->pausing = false;
		session->paused = true;
		assert_int_equal(gcl_device_paused(&session->session), 0);
	} else if (!gcl_list_empty(&session->messages) && !twin->silent && !session->paused) {
		struct twin_message *message =
			gcl_list_first(&session->messages, struct twin_message, link);
		struct gcl_link_answer answer = {message->op, twin->answer};

		gcl_list_remove(&message->link);
		free(message);
		assert_int_equal(gcl_device_answered(&session->session, &answer), 0);
	}
}

static void turn(void *data)
{
	struct twin *twin = data;
	int n = 1;

	while (twin->device.backend.socket >= 0 && n > 0)
		n = gcl_backend_receive(&twin->device.backend);
	if (n < 0) {
		int socket = twin->device.backend.socket;

		twin->error = n;
		gcl_device_disconnected(&twin->device);
		close(socket);
	}
	for (unsigned i = 0; i < GCL_ARRAY_SIZE(twin->kicks); i++) {
		eventfd_t count;

		if (twin->kicks[i] >= 0 && eventfd_read(twin->kicks[i], &count) == 0)
			gcl_device_kicked(&twin->device, i);
	}
	gcl_list_for_each_safe (it, next, &twin->device.sessions)
		worker_turn(twin, own(gcl_container_of(it, struct gcl_device_session, link)));
}

void twin_init(struct twin *twin)
{
	memset(twin, 0, sizeof *twin);
	vmm_init(&twin->vmm);
	twin->vmm.turn = turn;
	twin->vmm.turn_data = twin;
	twin->kicks[0] = twin->kicks[1] = -1;
	gcl_device_init(&twin->device, &twin_ops, "twin", TWIN_SESSIONS_MAX);
}

void twin_connect(struct twin *twin)
{
	static uint32_t epoch = 1000;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	twin->error = 0;
	gcl_device_connected(&twin->device, ends[1], ++epoch);
	vmm_attach(&twin->vmm, ends[0]);
	vmm_start(&twin->vmm);
	vmm_fill_events(&twin->vmm, 4);
}

void twin_ready(struct twin *twin)
{
	twin_init(twin);
	twin_connect(twin);
	assert_int_equal(vmm_event(&twin->vmm).type, VIRTIO_CL_EVENT_ALL_ENDED);
	assert_int_equal(vmm_hello(&twin->vmm, 7), twin->device.epoch);
}

void twin_fini(struct twin *twin)
{
	int socket = twin->device.backend.socket;

	if (!twin->device.ops)
		return;
	gcl_device_disconnected(&twin->device);
	if (socket >= 0)
		close(socket);
	twin->undying = false;
	while (!gcl_list_empty(&twin->device.sessions))
		turn(twin);
	gcl_device_fini(&twin->device);
	vmm_fini(&twin->vmm);
	memset(twin, 0, sizeof *twin);
}

struct twin_session *twin_session(struct twin *twin, uint32_t id)
{
	gcl_list_for_each (it, &twin->device.sessions) {
		struct gcl_device_session *session =
			gcl_container_of(it, struct gcl_device_session, link);

		if (session->id == id)
			return own(session);
	}
	return NULL;
}

void twin_worker_dies(struct twin *twin, uint32_t id)
{
	struct twin_session *session = twin_session(twin, id);

	messages_drop(session);
	session->ending = true;
	session->served = false;
	gcl_device_ended(&session->session);
}

unsigned twin_count(struct twin *twin)
{
	return (unsigned)gcl_list_count(&twin->device.sessions);
}
