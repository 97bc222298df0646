// SPDX-License-Identifier: MIT
/*
 * The worker's end of the page and of the notes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fds.h"
#include "worker.h"

typedef int note_handler(struct gcl_worker *worker, const struct gcl_note *note);

static note_handler *const handlers[GCL_NOTE_LIMIT] = {
#define HANDLER(constant, name) [GCL_NOTE_##constant] = gcl_note_##name,
	GCL_NOTES_TO_WORKER(HANDLER)
#undef HANDLER
};

int gcl_worker_page_map(struct gcl_worker *worker, int fd)
{
	void *page = mmap(NULL, sizeof *worker->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		return -errno;
	worker->page = page;
	return 0;
}

static void page_describe(struct gcl_page_device *described, cl_platform_id platform,
			  cl_device_id device)
{
	char text[1024] = "";

	if (!clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof text - 1, text, NULL))
		snprintf(described->platform, sizeof described->platform, "%.*s",
			 (int)GCL_PAGE_NAME_MAX - 1, text);
	if (!clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof text - 1, text, NULL))
		snprintf(described->name, sizeof described->name, "%.*s",
			 (int)GCL_PAGE_NAME_MAX - 1, text);
	clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof described->type, &described->type, NULL);
	clGetDeviceInfo(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof described->memory,
			&described->memory, NULL);
}

static void left_out_note(struct gcl_page *page, cl_device_id device)
{
	size_t used = strlen(page->left_out);
	char name[GCL_PAGE_LEFT_OUT_MAX] = "?";

	clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name - 1, name, NULL);
	snprintf(page->left_out + used, sizeof page->left_out - used, "%s%s", used ? ", " : "",
		 name);
	page->left_out_count++;
}

bool gcl_worker_page_enter(struct gcl_worker *worker, cl_platform_id platform, cl_device_id device)
{
	struct gcl_page *page = worker->page;

	if (worker->accounted_count == GCL_PAGE_DEVICES_MAX) {
		left_out_note(page, device);
		return false;
	}
	page_describe(&page->devices[worker->accounted_count], platform, device);
	worker->accounted[worker->accounted_count++] = device;
	page->device_count = worker->accounted_count;
	return true;
}

unsigned gcl_worker_page_index(const struct gcl_worker *worker, cl_device_id device)
{
	while (device) {
		cl_device_id parent = NULL;

		for (unsigned i = 0; i < worker->accounted_count; i++) {
			if (worker->accounted[i] == device)
				return i;
		}
		if (clGetDeviceInfo(device, CL_DEVICE_PARENT_DEVICE, sizeof parent, &parent, NULL))
			break;
		device = parent;
	}
	return GCL_PAGE_DEVICES_MAX;
}

int gcl_note_send(struct gcl_worker *worker, const struct gcl_note *note)
{
	if (worker->broker < 0)
		return -ENOTCONN;
	return send(worker->broker, note, sizeof *note, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno
											 : 0;
}

void gcl_worker_end_want(struct gcl_worker *worker, enum gcl_end_reason reason, uint64_t value)
{
	const struct gcl_note note = {.type = GCL_NOTE_END_WANT, .device = reason, .value = value};

	if (gcl_note_send(worker, &note) < 0)
		gcl_channel_kill(worker->channel, -ENOBUFS);
}

int gcl_note_end(struct gcl_worker *worker, const struct gcl_note *note)
{
	Gcl__SessionEnded ended = GCL__SESSION_ENDED__INIT;
	char text[GCL_END_TEXT_MAX];

	gcl_end_describe(note->device, note->value, text, sizeof text);
	ended.reason = note->device;
	ended.value = note->value;
	ended.text = text;
	gcl_outbox_end(worker, GCL_SESSION_ENDED, &ended.base);
	gcl_watch_end(worker);
	return 0;
}

/* Return: 1, 0 when there is none now, -EPIPE at the end, -errno; worker->note_fd is what came. */
static int note_read(struct gcl_worker *worker, struct gcl_note *note)
{
	unsigned count;
	ssize_t n = gcl_fds_receive(worker->broker, note, sizeof *note, MSG_DONTWAIT | MSG_TRUNC,
				    &worker->note_fd, 1, &count);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return n ? (int)n : -EPIPE;
	return (size_t)n == sizeof *note ? 1 : -EPROTO;
}

int gcl_note_receive(struct gcl_worker *worker)
{
	struct gcl_note note;
	int n = note_read(worker, &note);
	bool taken = n > 0;

	if (n > 0 && (note.type >= GCL_NOTE_LIMIT || !handlers[note.type]))
		n = -EPROTO;
	if (n > 0)
		n = handlers[note.type](worker, &note);
	if (worker->note_fd >= 0)
		close(worker->note_fd);
	worker->note_fd = -1;
	return n < 0 ? n : taken;
}
