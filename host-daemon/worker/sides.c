// SPDX-License-Identifier: MIT
/*
 * Sessions at GPU servers, by libguestcl.so.
 *
 * The library is loaded while files can still be opened, and does nothing before it is given a
 * connection; in the process's list of platforms it isn't.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "copy.h"
#include "guestcl_ext.h"
#include "jobs.h"
#include "worker.h"

/* How long a session at a server is kept that nothing needs. */
#define LINGER_NS 5000000000u

#define LOOK_NS 100000000u

/* The library's; set once, before there are threads. */
static clGuestclOpenPlatform_fn platform_open;
static clGuestclPlatformLost_fn platform_lost;
static clGuestclClosePlatform_fn platform_close;
static clGuestclCreateSVMBuffer_fn svm_create;

typedef void *(CL_API_CALL *address_fn)(const char *name);

void gcl_sides_init(struct gcl_sides *sides)
{
	gcl_list_init(&sides->crossings);
	gcl_list_init(&sides->gated);
	gcl_list_init(&sides->contexts);
	gcl_list_init(&sides->mems);
	gcl_list_init(&sides->samplers);
	gcl_list_init(&sides->programs);
	gcl_list_init(&sides->replays);
	pthread_mutex_init(&sides->tells.lock, NULL);
}

void gcl_sides_fini(struct gcl_worker *worker)
{
	struct gcl_sides *sides = &worker->sides;

	gcl_jobs_destroy(sides->moving);
	gcl_jobs_destroy(sides->lending);
	gcl_crossings_sweep(worker);
	for (unsigned i = 1; i < GCL_SIDES; i++)
		gcl_side_close(&sides->side[i]);
	gcl_copy_room_destroy(sides->room);
	free(sides->tells.list);
	pthread_mutex_destroy(&sides->tells.lock);
}

static bool functions_find(void *library)
{
	address_fn address = (address_fn)dlsym(library, "clGetExtensionFunctionAddress");

	if (!address)
		return false;
	platform_open = (clGuestclOpenPlatform_fn)address("clGuestclOpenPlatform");
	platform_lost = (clGuestclPlatformLost_fn)address("clGuestclPlatformLost");
	platform_close = (clGuestclClosePlatform_fn)address("clGuestclClosePlatform");
	svm_create = (clGuestclCreateSVMBuffer_fn)address("clGuestclCreateSVMBuffer");
	return platform_open && platform_lost && platform_close && svm_create;
}

cl_mem gcl_side_svm(cl_context there, cl_mem_flags flags, uint64_t size, void *address,
		    cl_int *status)
{
	return svm_create(there, flags, size, address, status);
}

const char *gcl_sides_load(const char *path)
{
	/* Never closed: its threads may run until the end. */
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return dlerror();
	return functions_find(library) ? NULL : "it is not the libguestcl.so of this version";
}

static cl_device_id device_get(cl_platform_id platform, uint32_t index)
{
	_cleanup_free_ cl_device_id *devices = NULL;
	cl_device_id found = NULL;
	cl_uint count = 0;

	if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count) || index >= count)
		return NULL;
	devices = calloc(count, sizeof(cl_device_id));
	if (devices && !clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices, NULL))
		found = devices[index];
	return found;
}

enum gcl_move_result gcl_sides_open(int fd, uint32_t index, struct gcl_side *side)
{
	cl_platform_id platform = NULL;
	char reason[256] = "";

	if (!platform_open) {
		close(fd);
		return GCL_MOVE_OFF;
	}
	side->socket = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (platform_open(fd, &platform, reason, sizeof reason) != CL_SUCCESS) {
		gcl_log_error(session, "no session at the GPU server: %s", reason);
		gcl_side_close(side);
		return GCL_MOVE_LINK;
	}
	side->platform = platform;
	side->device = device_get(platform, index);
	if (side->device)
		return GCL_MOVE_DONE;
	gcl_side_close(side);
	return GCL_MOVE_NO_DEVICE;
}

void gcl_side_close(struct gcl_side *side)
{
	if (side->platform)
		platform_close(side->platform);
	if (side->socket > 0)
		close(side->socket);
	*side = (struct gcl_side){0};
}

void gcl_side_cut(const struct gcl_side *side)
{
	if (side->socket > 0)
		shutdown(side->socket, SHUT_RDWR);
}

bool gcl_side_lost(const struct gcl_side *side)
{
	return side->platform && platform_lost(side->platform);
}

bool gcl_side_withholds(const struct gcl_worker *worker, unsigned side)
{
	return side != GCL_HOME && atomic_load(&worker->sides.withholds) == side &&
	       gcl_side_lost(&worker->sides.side[side]);
}

/* ------------------------------------------------------------ the end of a side */

static bool contents_left(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->sides.mems) {
		const struct gcl_mem *mem = gcl_container_of(it, struct gcl_mem, twins);

		if (!mem->parent && mem->contents.valid == 1u << side)
			return true;
	}
	return false;
}

/* Does anything refer to the session there that isn't dropped by gcl_twins_drop()? */
static bool side_used(struct gcl_worker *worker, unsigned side)
{
	struct gcl_sides *sides = &worker->sides;

	gcl_completions_reap(worker);
	return sides->move || sides->side[side].queues || atomic_load(&sides->loans) ||
	       atomic_load(&sides->side[side].completions) || gcl_crossings_of(worker, side) ||
	       gcl_gated_on(worker, side) || contents_left(worker, side);
}

static void side_leave(struct gcl_worker *worker, unsigned side)
{
	const struct gcl_note note = {.type = GCL_NOTE_PLACE_LEFT,
				      .value = worker->sides.side[side].place};

	gcl_twins_drop(worker, side);
	gcl_side_close(&worker->sides.side[side]);
	gcl_note_send(worker, &note);
}

/* Queues that go home often come back soon, and find all as they left it. */
static bool side_over(struct gcl_worker *worker, unsigned index)
{
	struct gcl_side *side = &worker->sides.side[index];
	uint64_t now = gcl_trace_now();

	if (!side->open || side_used(worker, index)) {
		side->idle = 0;
		return false;
	}
	if (!side->idle)
		side->idle = now;
	return side->lost || now - side->idle >= LINGER_NS;
}

void gcl_sides_prune(struct gcl_worker *worker)
{
	struct gcl_sides *sides = &worker->sides;
	bool active = sides->move || sides->lossy || !gcl_list_empty(&sides->replays);

	for (unsigned i = 1; i < GCL_SIDES; i++) {
		if (side_over(worker, i))
			side_leave(worker, i);
		active |= sides->side[i].open;
	}
	sides->active = active;
}

/* From a journal. Return: false: that isn't possible. */
static bool side_replay(struct gcl_worker *worker, unsigned side)
{
	const struct gcl_journal *journal = worker->sides.journal;

	if (!journal || journal->side != side)
		return false;
	if (atomic_load(&worker->sides.failed_away))
		gcl_journal_break(worker, GCL_REPLAY_FAILED);
	return worker->sides.journal && gcl_replay(worker);
}

/* What was there only is lost. */
static void contents_lose(struct gcl_worker *worker, unsigned side)
{
	gcl_list_for_each (it, &worker->sides.mems) {
		struct gcl_contents *contents =
			&gcl_container_of(it, struct gcl_mem, twins)->contents;

		gcl_contents_leave(contents, side);
		worker->sides.lossy |= !contents->valid;
	}
}

/* What was done there is done again at home; or what was under way there fails, and is told so.
 * Queues go on at home with what is left. */
static void side_lose(struct gcl_worker *worker, unsigned side)
{
	worker->sides.side[side].lost = true;
	gcl_gated_lose(worker, side);
	gcl_list_for_each (it, &worker->queues) {
		struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (queue->side != side)
			continue;
		if (queue->last)
			clReleaseEvent(steal_pointer(&queue->last));
		gcl_sides_queue_leave(worker, queue);
	}
	if (!side_replay(worker, side)) {
		gcl_log_error(session,
			      "the connection to a GPU server was lost: what was there only is "
			      "lost, too (no replay: %s)",
			      gcl_replay_text(worker->sides.replay));
		if (worker->sides.journal && worker->sides.journal->side == side)
			gcl_journal_break(worker, GCL_REPLAY_MEMORY_HERE);
	}
	contents_lose(worker, side);
	gcl_completions_lose(worker, side);
	gcl_table_for_each (entry, &worker->tables[GCL_KIND_EVENT])
		gcl_event_lose(entry, side);
	gcl_completions_sweep(worker);
}

bool gcl_sides_any_lost(const struct gcl_sides *sides)
{
	bool any = false;

	for (unsigned i = 1; i < GCL_SIDES; i++)
		any |= sides->side[i].open && !sides->side[i].lost &&
		       gcl_side_lost(&sides->side[i]);
	return any;
}

void gcl_sides_look(struct gcl_worker *worker)
{
	struct gcl_sides *sides = &worker->sides;
	uint64_t now = gcl_trace_now(), passed = now - sides->looked;

	if (!sides->active || (passed < LOOK_NS && (sides->move || !gcl_sides_any_lost(sides))))
		return;
	sides->looked = now;
	gcl_journal_look(worker, passed);
	gcl_replay_look(worker);
	if (sides->move) {
		gcl_move_look(sides->move, now);
		return;
	}
	for (unsigned i = 1; i < GCL_SIDES; i++) {
		struct gcl_side *side = &sides->side[i];

		if (side->open && !side->lost && gcl_side_lost(side))
			side_lose(worker, i);
	}
	gcl_sides_prune(worker);
}
