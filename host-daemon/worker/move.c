// SPDX-License-Identifier: MIT
/*
 * Moves: from the broker's note to its answer.
 *
 * The watch thread takes the note and wakes the session thread, which begins between two messages,
 * and goes on there whenever job or events are done: preparing and copying ahead cost the program
 * nothing else. Then it stands for the rest. Until the switch, the last thing that is done, nothing
 * has changed for the program: whatever fails before is told, and forgotten.
 */
#include "moving.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gather.h"
#include "hasher.h"
#include "jobs.h"

/* Commands that a copy waits for may wait for the program themselves; for so long at most. */
#define WAIT_MS 20000u

/* Copying is cancelled that makes no progress, and then its connection is cut. */
#define STILL_NS 10000000000u
#define CUT_NS	 12000000000u

/* For tests: the point at which moves fail. */
#define FAIL_VARIABLE "GUESTCL_MOVE_FAILS_AT"

struct gcl_asked {
	struct gcl_asked *next;
	struct gcl_note note;
	int fd;
};

/* ------------------------------------------------------------ the watch thread */

static void poll_want(struct gcl_worker *worker)
{
	atomic_store(&worker->sides.poll, true);
	gcl_channel_interrupt(worker->channel);
}

static int asked_add(struct gcl_worker *worker, const struct gcl_note *note)
{
	struct gcl_asked *asked = calloc(1, sizeof *asked);

	if (!asked)
		return -ENOMEM;
	asked->note = *note;
	asked->fd = worker->note_fd;
	worker->note_fd = -1;
	asked->next = atomic_load(&worker->sides.asked);
	while (!atomic_compare_exchange_weak(&worker->sides.asked, &asked->next, asked))
		;
	poll_want(worker);
	return 0;
}

int gcl_note_move(struct gcl_worker *worker, const struct gcl_note *note)
{
	return asked_add(worker, note);
}

int gcl_note_move_home(struct gcl_worker *worker, const struct gcl_note *note)
{
	return asked_add(worker, note);
}

static void answer(struct gcl_worker *worker, enum gcl_move_result result, uint64_t value)
{
	const struct gcl_note note = {.type = GCL_NOTE_MOVED, .device = result, .value = value};

	gcl_note_send(worker, &note);
}

/* ------------------------------------------------------------ jobs and events */

static void move_wake(struct gcl_move *move)
{
	pthread_cond_broadcast(&move->wake);
	pthread_mutex_unlock(&move->lock);
}

struct work {
	struct gcl_job job;
	struct gcl_move *move;
	void (*run)(struct gcl_move *move);
};

static void work_end(struct work *work)
{
	struct gcl_move *move = work->move;
	struct gcl_worker *worker = move->worker;

	free(work);
	pthread_mutex_lock(&move->lock);
	move->working = false;
	move_wake(move);
	poll_want(worker);
}

static void work_run(struct gcl_job *job)
{
	struct work *work = gcl_container_of(job, struct work, job);

	work->run(work->move);
	work_end(work);
}

static void work_drop(struct gcl_job *job)
{
	struct work *work = gcl_container_of(job, struct work, job);

	work->move->result = GCL_MOVE_LOST;
	work_end(work);
}

bool gcl_move_work(struct gcl_move *move, void (*run)(struct gcl_move *move))
{
	struct gcl_sides *sides = &move->worker->sides;
	struct work *work = calloc(1, sizeof *work);

	if (!sides->moving)
		sides->moving = gcl_jobs_create("move");
	if (!work || !sides->moving) {
		free(work);
		return false;
	}
	*work = (struct work){{.run = work_run, .drop = work_drop}, move, run};
	move->working = true;
	if (!gcl_jobs_post(sides->moving, &work->job))
		return true;
	move->working = false;
	free(work);
	return false;
}

static void move_free(struct gcl_move *move)
{
	pthread_mutex_destroy(&move->lock);
	pthread_cond_destroy(&move->wake);
	free(move);
}

static void awaited(void *arg, cl_int status)
{
	struct gcl_move *move = arg;
	struct gcl_worker *worker = move->worker;
	bool last;

	pthread_mutex_lock(&move->lock);
	move->awaits--;
	move->awaited = GCL_MIN(move->awaited, GCL_MIN(status, CL_COMPLETE));
	last = move->over && !move->awaits;
	move_wake(move);
	if (last)
		move_free(move);
	else
		poll_want(worker);
}

bool gcl_move_await(struct gcl_move *move, const cl_event *events, size_t count)
{
	pthread_mutex_lock(&move->lock);
	move->awaits++;
	move->awaited = CL_COMPLETE;
	move->since = gcl_trace_now();
	pthread_mutex_unlock(&move->lock);
	if (!gcl_gather(events, count, awaited, move))
		return true;
	pthread_mutex_lock(&move->lock);
	move->awaits--;
	pthread_mutex_unlock(&move->lock);
	return false;
}

bool gcl_move_busy(struct gcl_move *move)
{
	bool busy;

	pthread_mutex_lock(&move->lock);
	busy = move->working || move->awaits;
	pthread_mutex_unlock(&move->lock);
	return busy;
}

static void deadline_in(struct timespec *deadline, unsigned ms)
{
	clock_gettime(CLOCK_REALTIME, deadline);
	deadline->tv_nsec += (long)ms * 1000000;
	deadline->tv_sec += deadline->tv_nsec / 1000000000;
	deadline->tv_nsec %= 1000000000;
}

bool gcl_move_wait(struct gcl_move *move, unsigned ms)
{
	uint64_t progress = atomic_load(&move->progress);
	struct timespec deadline;
	bool busy = true;
	int err = 0;

	deadline_in(&deadline, ms);
	pthread_mutex_lock(&move->lock);
	while ((busy = move->working || move->awaits) && !err) {
		err = pthread_cond_timedwait(&move->wake, &move->lock, &deadline);
		if (err && atomic_load(&move->progress) != progress) {
			progress = atomic_load(&move->progress);
			deadline_in(&deadline, ms);
			err = 0;
		}
	}
	pthread_mutex_unlock(&move->lock);
	return !busy;
}

void gcl_move_step(struct gcl_move *move, enum gcl_move_step step)
{
	move->step = step;
	atomic_store_explicit(&move->worker->page->move.step, step, memory_order_relaxed);
}

bool gcl_move_injected(struct gcl_move *move, unsigned point)
{
	if (move->worker->sides.fails_at != point)
		return false;
	move->result = GCL_MOVE_INJECTED;
	move->value = point;
	return true;
}

void gcl_sides_inject(struct gcl_sides *sides)
{
	const char *text = getenv(FAIL_VARIABLE);

	sides->fails_at = text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* ------------------------------------------------------------ its queues */

struct gcl_queue *gcl_move_queue(const struct gcl_move *move, size_t index)
{
	struct gcl_entry *entry =
		gcl_table_find(move->worker, move->queues[index].id, GCL_KIND_QUEUE);

	return entry ? entry->detail : NULL;
}

uint64_t gcl_move_bits(const struct gcl_move *move)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < move->queue_count; i++)
		bits |= gcl_queue_bit(move->queues[i].id);
	return bits;
}

/* ------------------------------------------------------------ the end */

static void items_free(struct gcl_move *move)
{
	for (size_t i = 0; i < move->item_count; i++) {
		struct gcl_moving_item *item = &move->items[i];

		if (item->copying)
			gcl_copy_fini(&item->copy);
		gcl_item_arrived(item);
		gcl_mem_put(item->root);
	}
	free(move->items);
}

/* What it waited for in vain may still come. */
static void move_let_go(struct gcl_move *move)
{
	bool last;

	pthread_mutex_lock(&move->lock);
	move->over = true;
	last = !move->awaits;
	pthread_mutex_unlock(&move->lock);
	if (last)
		move_free(move);
}

static void move_fini(struct gcl_move *move)
{
	items_free(move);
	for (size_t i = 0; i < move->queue_count; i++)
		if (move->queues[i].twin)
			clReleaseCommandQueue(move->queues[i].twin);
	for (size_t i = 0; i < move->program_count; i++) {
		if (move->programs[i].there)
			clReleaseProgram(move->programs[i].there);
		gcl_recipe_put(move->programs[i].recipe);
	}
	for (size_t i = 0; i < move->context_count; i++) {
		if (move->contexts[i].there)
			clReleaseContext(move->contexts[i].there);
		gcl_hasher_put(move->contexts[i].hashers[0]);
		gcl_hasher_put(move->contexts[i].hashers[1]);
		gcl_context_put(move->contexts[i].context);
	}
	free(move->queues);
	free(move->contexts);
	free(move->programs);
	if (move->fd >= 0)
		close(move->fd);
	gcl_side_close(&move->side);
	move_let_go(move);
}

static void figures_tell(const struct gcl_move *move, enum gcl_move_result result)
{
	struct gcl_page_move *page = &move->worker->page->move;
	uint64_t now = gcl_trace_now();

	atomic_store_explicit(&page->step, GCL_MOVE_STEP_NONE, memory_order_relaxed);
	atomic_store_explicit(&page->rounds, move->rounds, memory_order_relaxed);
	atomic_store_explicit(&page->took, now - move->began, memory_order_relaxed);
	atomic_store_explicit(&page->pause, move->stopped ? now - move->stopped : 0,
			      memory_order_relaxed);
	atomic_fetch_add_explicit(result == GCL_MOVE_DONE ? &page->done : &page->failed, 1,
				  memory_order_relaxed);
}

void gcl_move_ends(struct gcl_move *move, enum gcl_move_result result, uint64_t value)
{
	struct gcl_worker *worker = move->worker;
	char text[GCL_MOVE_TEXT_MAX];

	figures_tell(move, result);
	gcl_move_describe(result, value, text, sizeof text);
	gcl_log_info(session, "move: %s", text);
	worker->sides.move = NULL;
	move_fini(move);
	gcl_sides_prune(worker);
	answer(worker, result, value);
}

/* ------------------------------------------------------------ the beginning */

/* The side for @place: open, or free for it. Return: GCL_SIDES: there is none. */
static unsigned side_find(const struct gcl_sides *sides, uint32_t place)
{
	for (unsigned i = 1; i < GCL_SIDES; i++)
		if (sides->side[i].open && sides->side[i].place == place)
			return i;
	for (unsigned i = 1; i < GCL_SIDES; i++)
		if (!sides->side[i].open)
			return i;
	return GCL_SIDES;
}

static bool queue_wanted(const struct gcl_move *move, const struct gcl_queue *queue)
{
	const struct gcl_side *sides = move->worker->sides.side;
	uint32_t from = move->to == GCL_HOME ? GCL_MOVE_PLACE(move->note.extra) : 0;

	if (from && (queue->side == GCL_HOME || sides[queue->side].place != from))
		return false;
	return queue->handle && (!move->note.value || queue->id == move->note.value);
}

static bool sub_device(const struct gcl_queue *queue)
{
	cl_device_id parent = NULL;

	return !clGetDeviceInfo(queue->device, CL_DEVICE_PARENT_DEVICE, sizeof parent, &parent,
				NULL) &&
	       parent;
}

static bool context_add(struct gcl_move *move, struct gcl_context *context)
{
	struct gcl_moving_context *grown;

	for (size_t i = 0; i < move->context_count; i++)
		if (move->contexts[i].context == context)
			return true;
	grown = reallocarray(move->contexts, move->context_count + 1, sizeof *grown);
	if (!grown)
		return false;
	move->contexts = grown;
	grown += move->context_count++;
	*grown = (struct gcl_moving_context){
		.context = gcl_context_get(context),
		.there = context->handles[move->to],
		.hashers = {gcl_hasher_get(context->hashers[GCL_HOME]),
			    gcl_hasher_get(context->hashers[move->to])},
	};
	if (grown->there)
		clRetainContext(grown->there);
	return true;
}

static bool queue_add(struct gcl_move *move, const struct gcl_queue *queue)
{
	struct gcl_moving_queue *grown =
		reallocarray(move->queues, move->queue_count + 1, sizeof *grown);
	size_t i = 0;

	if (!grown)
		return false;
	move->queues = grown;
	grown[move->queue_count++] = (struct gcl_moving_queue){.id = queue->id};
	while (i < move->home_count && move->homes[i] != queue->device)
		i++;
	if (i == GCL_PAGE_DEVICES_MAX)
		return false;
	move->homes[i] = queue->device;
	move->home_count = GCL_MAX(move->home_count, i + 1);
	return context_add(move, queue->context);
}

static enum gcl_move_result queues_find(struct gcl_move *move)
{
	bool any = false;

	gcl_list_for_each (it, &move->worker->queues) {
		const struct gcl_queue *queue = gcl_container_of(it, struct gcl_queue, link);

		if (!queue_wanted(move, queue))
			continue;
		any = true;
		if (queue->side == move->to)
			continue;
		if (sub_device(queue))
			return GCL_MOVE_SUB_DEVICE;
		if (!queue_add(move, queue))
			return GCL_MOVE_MEMORY_HERE;
	}
	if (move->queue_count || (move->to == GCL_HOME && !move->note.value))
		return GCL_MOVE_DONE;
	return any ? GCL_MOVE_THERE : GCL_MOVE_NO_QUEUE;
}

static bool program_add(struct gcl_move *move, struct gcl_recipe *recipe, size_t context)
{
	struct gcl_moving_program *grown;

	if (gcl_program_there(move->worker, recipe, move->to))
		return true;
	for (size_t i = 0; i < move->program_count; i++)
		if (move->programs[i].recipe == recipe)
			return true;
	grown = reallocarray(move->programs, move->program_count + 1, sizeof *grown);
	if (!grown)
		return false;
	move->programs = grown;
	grown[move->program_count++] =
		(struct gcl_moving_program){.recipe = gcl_recipe_get(recipe), .context = context};
	return true;
}

/* All kernels of these contexts: whichever the queues may run. */
static enum gcl_move_result kernel_add(struct gcl_move *move, const struct gcl_kernel *kernel)
{
	size_t i = 0;

	while (i < move->context_count && move->contexts[i].context != kernel->owner)
		i++;
	if (i == move->context_count)
		return GCL_MOVE_DONE;
	/* Nobody knows how it was made. */
	if (!gcl_recipe_executable(kernel->recipe))
		return GCL_MOVE_PROGRAM;
	return program_add(move, kernel->recipe, i) ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
}

static enum gcl_move_result programs_find(struct gcl_move *move)
{
	enum gcl_move_result result = GCL_MOVE_DONE;

	gcl_table_for_each (entry, &move->worker->tables[GCL_KIND_KERNEL])
		if (entry->detail && result == GCL_MOVE_DONE)
			result = kernel_add(move, entry->detail);
	return result;
}

static enum gcl_move_result target_find(struct gcl_move *move)
{
	struct gcl_sides *sides = &move->worker->sides;

	if (move->note.type == GCL_NOTE_MOVE_HOME)
		return GCL_MOVE_DONE;
	move->to = side_find(sides, GCL_MOVE_PLACE(move->note.extra));
	if (move->to == GCL_SIDES)
		return GCL_MOVE_PLACES;
	move->opens = !sides->side[move->to].open;
	return move->opens && move->fd < 0 ? GCL_MOVE_LINK : GCL_MOVE_DONE;
}

static enum gcl_move_result move_begin(struct gcl_move *move)
{
	struct gcl_worker *worker = move->worker;
	enum gcl_move_result result;

	if (!worker->client)
		return GCL_MOVE_OFF;
	if (worker->resident)
		return GCL_MOVE_RESIDENT;
	result = target_find(move);
	if (result == GCL_MOVE_DONE)
		result = queues_find(move);
	if (result == GCL_MOVE_DONE && move->to != GCL_HOME)
		result = programs_find(move);
	if (result != GCL_MOVE_DONE)
		return result;
	worker->sides.active = true;
	gcl_move_step(move, GCL_MOVE_STEP_PREPARE);
	return gcl_move_work(move, gcl_move_prepare) ? GCL_MOVE_DONE : GCL_MOVE_MEMORY_HERE;
}

static void asked_take(struct gcl_worker *worker, const struct gcl_asked *asked)
{
	struct gcl_move *move = worker->sides.move ? NULL : calloc(1, sizeof *move);
	enum gcl_move_result result;

	if (!move) {
		if (asked->fd >= 0)
			close(asked->fd);
		answer(worker, worker->sides.move ? GCL_MOVE_BUSY : GCL_MOVE_MEMORY_HERE, 0);
		return;
	}
	move->worker = worker;
	move->note = asked->note;
	move->fd = asked->fd;
	move->began = gcl_trace_now();
	pthread_mutex_init(&move->lock, NULL);
	pthread_cond_init(&move->wake, NULL);
	worker->sides.move = move;
	result = move_begin(move);
	if (result != GCL_MOVE_DONE)
		gcl_move_ends(move, result, move->value);
}

/* The latest is first. */
static void asked_take_all(struct gcl_worker *worker)
{
	struct gcl_asked *asked = atomic_exchange(&worker->sides.asked, NULL);
	struct gcl_asked *first = NULL;

	while (asked) {
		struct gcl_asked *next = asked->next;

		asked->next = first;
		first = asked;
		asked = next;
	}
	while (first) {
		struct gcl_asked *next = first->next;

		asked_take(worker, first);
		free(first);
		first = next;
	}
}

/* Job or events are done: what is next? */
static void move_go_on(struct gcl_move *move)
{
	if (gcl_move_busy(move))
		return;
	if (move->step == GCL_MOVE_STEP_PREPARE)
		gcl_move_prepared(move);
	else
		gcl_move_rounds(move);
}

/* Copying ahead, of which no byte comes through, must not last either. */
static void copy_look(struct gcl_move *move, uint64_t now)
{
	uint64_t progress = atomic_load(&move->progress);

	if (!move->copying || progress != move->seen || !move->changed) {
		move->seen = progress;
		move->changed = now;
		return;
	}
	if (now - move->changed < STILL_NS)
		return;
	atomic_store(&move->cancel, true);
	if (now - move->changed >= CUT_NS)
		gcl_move_cut(move);
}

void gcl_move_look(struct gcl_move *move, uint64_t now)
{
	unsigned long long waited = (now - move->since) / 1000000;
	bool awaits;

	pthread_mutex_lock(&move->lock);
	awaits = move->awaits && !move->working;
	pthread_mutex_unlock(&move->lock);
	if (awaits && waited >= WAIT_MS)
		gcl_move_ends(move, GCL_MOVE_WAITS, waited);
	else
		copy_look(move, now);
}

void gcl_move_poll(struct gcl_worker *worker)
{
	struct gcl_sides *sides = &worker->sides;

	if (atomic_load_explicit(&sides->poll, memory_order_relaxed)) {
		atomic_store(&sides->poll, false);
		asked_take_all(worker);
		if (sides->move)
			move_go_on(sides->move);
	}
	if (sides->active)
		gcl_sides_look(worker);
}
