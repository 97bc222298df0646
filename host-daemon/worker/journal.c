// SPDX-License-Identifier: MIT
/*
 * The journal: what is in it, and when there is one. See journal.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker.h"

/* What a ghost, or what a kernel's arguments take beside what is counted. */
#define OBJECT_BYTES 256u

static void state_tell(struct gcl_worker *worker)
{
	struct gcl_page_move *page = &worker->page->move;
	const struct gcl_journal *journal = worker->sides.journal;

	atomic_store_explicit(&page->replay, worker->sides.replay, memory_order_relaxed);
	atomic_store_explicit(&page->journal, journal ? journal->bytes : 0, memory_order_relaxed);
}

/* ------------------------------------------------------------ ghosts */

static struct gcl_ghost **bucket(struct gcl_journal *journal, uint64_t id)
{
	return &journal->ghosts[(id ^ id >> 32) % GCL_GHOST_BUCKETS];
}

struct gcl_entry *gcl_ghost_find(const struct gcl_journal *journal, uint64_t id)
{
	const struct gcl_ghost *ghost = *bucket((struct gcl_journal *)journal, id);

	while (ghost && ghost->entry->id != id)
		ghost = ghost->next;
	return ghost ? ghost->entry : NULL;
}

struct gcl_entry *gcl_ghost_add(struct gcl_journal *journal, const struct gcl_entry *entry)
{
	struct gcl_ghost *ghost = calloc(1, sizeof *ghost + sizeof *entry);
	struct gcl_ghost **at = bucket(journal, entry->id);

	if (!ghost)
		return NULL;
	ghost->entry = (struct gcl_entry *)(ghost + 1);
	*ghost->entry = *entry;
	ghost->next = *at;
	*at = ghost;
	return ghost->entry;
}

void gcl_ghosts_leave(struct gcl_journal *journal, unsigned side)
{
	for (unsigned i = 0; i < GCL_GHOST_BUCKETS; i++) {
		for (struct gcl_ghost *ghost = journal->ghosts[i]; ghost; ghost = ghost->next) {
			enum gcl_kind kind = gcl_id_kind(ghost->entry->id);

			if (kind == GCL_KIND_KERNEL)
				gcl_kernel_leave(ghost->entry->detail, side);
			if (kind != GCL_KIND_EVENT)
				continue;
			gcl_event_lose(ghost->entry, side);
			gcl_event_leave(ghost->entry, side);
		}
	}
}

static void ghosts_free(struct gcl_worker *worker, struct gcl_journal *journal)
{
	for (unsigned i = 0; i < GCL_GHOST_BUCKETS; i++) {
		while (journal->ghosts[i]) {
			struct gcl_ghost *ghost = journal->ghosts[i];

			journal->ghosts[i] = ghost->next;
			if (gcl_id_kind(ghost->entry->id) == GCL_KIND_EVENT)
				gcl_event_lose(ghost->entry, journal->side);
			gcl_object_release(worker, ghost->entry);
			free(ghost);
		}
	}
}

/* An event that is still to come, and isn't of the journal's own commands, which make it again; or
 * one of these for which others wait. */
static bool event_wanted(const struct gcl_journal *journal, const struct gcl_entry *entry)
{
	const struct gcl_event_sides *sides = entry->detail;
	cl_int now = entry->handle ? gcl_event_status(entry->handle) : CL_DEVICE_NOT_AVAILABLE;

	if (sides && sides->side == journal->side)
		return sides->proxies[GCL_HOME] && now != CL_COMPLETE;
	return now > CL_COMPLETE;
}

/* After the loss nobody has looked at what commands use. */
static bool mem_wanted(const struct gcl_worker *worker, struct gcl_mem *mem)
{
	const struct gcl_journal *journal = worker->sides.journal;

	return mem && !gcl_mem_root(mem)->svm &&
	       (gcl_mem_root(mem)->contents.journaled == journal->epoch ||
		gcl_side_withholds(worker, journal->side));
}

static bool ghost_wanted(const struct gcl_worker *worker, const struct gcl_entry *entry)
{
	switch (gcl_id_kind(entry->id)) {
	case GCL_KIND_EVENT:
		return event_wanted(worker->sides.journal, entry);
	case GCL_KIND_MEM:
		return mem_wanted(worker, entry->detail);
	case GCL_KIND_QUEUE:
	case GCL_KIND_KERNEL:
	case GCL_KIND_SAMPLER:
		return entry->detail;
	default:
		return false;
	}
}

static void bytes_add(struct gcl_worker *worker, uint64_t bytes)
{
	worker->sides.journal->bytes += bytes;
	if (worker->sides.journal->bytes > worker->replay_memory)
		gcl_journal_break(worker, GCL_REPLAY_MEMORY);
	else
		state_tell(worker);
}

bool gcl_journal_keep(struct gcl_worker *worker, const struct gcl_entry *entry)
{
	struct gcl_journal *journal = worker->sides.journal;
	uint64_t bytes = OBJECT_BYTES;
	struct gcl_mem *mem;

	if (!journal || !ghost_wanted(worker, entry) || !gcl_ghost_add(journal, entry))
		return false;
	if (gcl_id_kind(entry->id) == GCL_KIND_QUEUE)
		gcl_queue_retire(worker, entry->detail, true);
	if (gcl_id_kind(entry->id) == GCL_KIND_MEM) {
		mem = entry->detail;
		mem->ghost = true;
		gcl_mem_haunt(mem);
		bytes += mem->parent ? 0 : gcl_mem_bytes(mem);
	}
	bytes_add(worker, bytes);
	return true;
}

/* ------------------------------------------------------------ what the guest knows */

static void tell_add_locked(struct gcl_tells *tells, struct gcl_tell tell)
{
	struct gcl_tell *grown;

	if (tells->count == tells->room) {
		size_t room = GCL_MAX(2 * tells->room, (size_t)64);

		grown = reallocarray(tells->list, room, sizeof *grown);
		if (!grown) {
			tells->failed = true;
			return;
		}
		tells->list = grown;
		tells->room = room;
	}
	tells->list[tells->count++] = tell;
}

void gcl_tell_add(struct gcl_worker *worker, unsigned side, uint64_t key, bool outside)
{
	struct gcl_tells *tells = &worker->sides.tells;

	if (side == GCL_HOME || atomic_load(&worker->sides.withholds) != side)
		return;
	pthread_mutex_lock(&tells->lock);
	tell_add_locked(tells, (struct gcl_tell){key, outside});
	pthread_mutex_unlock(&tells->lock);
}

static size_t tells_count(struct gcl_worker *worker)
{
	size_t count;

	pthread_mutex_lock(&worker->sides.tells.lock);
	count = worker->sides.tells.count;
	pthread_mutex_unlock(&worker->sides.tells.lock);
	return count;
}

/* Those that belong to a journal that isn't any more may come in until withholds is set anew. */
static void tells_clear(struct gcl_worker *worker)
{
	struct gcl_tells *tells = &worker->sides.tells;

	pthread_mutex_lock(&tells->lock);
	tells->count = 0;
	tells->failed = false;
	pthread_mutex_unlock(&tells->lock);
}

/* ------------------------------------------------------------ messages */

/* Of a command, or of a QUEUE_SYNC; else NULL. */
static const struct gcl_queue *queue_of(struct gcl_worker *worker, const struct gcl_call *call)
{
	const ProtobufCMessageDescriptor *descriptor = call->message->descriptor;
	const ProtobufCFieldDescriptor *first = descriptor->fields;
	const Gcl__Command *command;
	const struct gcl_entry *entry;
	uint64_t id = 0;

	if (call->head->number == GCL_QUEUE_SYNC) {
		id = ((const Gcl__QueueSync *)call->message)->queue;
	} else if (descriptor->n_fields && first->type == PROTOBUF_C_TYPE_MESSAGE &&
		   first->descriptor == &gcl__command__descriptor) {
		command = *(Gcl__Command *const *)((const char *)call->message + first->offset);
		id = command ? command->queue : 0;
	}
	entry = id ? gcl_table_find(worker, id, GCL_KIND_QUEUE) : NULL;
	return entry ? entry->detail : NULL;
}

static int arg_copy(const struct gcl_kernel_arg *arg, struct gcl_kernel_arg *copy)
{
	*copy = *arg;
	if (arg->data) {
		copy->data = malloc(arg->size);
		if (!copy->data) {
			copy->mem = NULL;
			copy->sampler = NULL;
			return -ENOMEM;
		}
		memcpy(copy->data, arg->data, arg->size);
	}
	if (arg->mem)
		gcl_mem_get(arg->mem);
	if (arg->sampler)
		arg->sampler->refs++;
	return 0;
}

static void kernel_note_free(struct gcl_journal_kernel *note)
{
	for (cl_uint i = 0; note->args && i < note->count; i++)
		gcl_arg_forget(&note->args[i]);
	free(note->args);
	free(note);
}

/* What its arguments are before this launch. */
static int kernel_note(struct gcl_journal *journal, uint64_t id, struct gcl_kernel *kernel)
{
	struct gcl_journal_kernel *note = calloc(1, sizeof *note);

	if (!note)
		return -ENOMEM;
	note->id = id;
	note->refused = kernel->refused;
	note->refused_status = kernel->refused_status;
	note->args = calloc(kernel->arg_count + 1, sizeof *note->args);
	while (note->args && note->count < kernel->arg_count) {
		cl_uint i = note->count++;

		if (arg_copy(&kernel->args[i], &note->args[i])) {
			kernel_note_free(note);
			return -ENOMEM;
		}
		journal->bytes += kernel->args[i].data ? kernel->args[i].size : 0;
	}
	if (!note->args) {
		kernel_note_free(note);
		return -ENOMEM;
	}
	journal->bytes += OBJECT_BYTES;
	gcl_list_append(&journal->kernels, &note->link);
	kernel->journaled = journal->epoch;
	return 0;
}

static int launch_note(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__Launch *message = (const Gcl__Launch *)call->message;
	struct gcl_journal *journal = worker->sides.journal;
	const struct gcl_entry *entry = gcl_table_find(worker, message->kernel, GCL_KIND_KERNEL);
	struct gcl_kernel *kernel = entry ? entry->detail : NULL;

	if (!kernel || kernel->journaled == journal->epoch)
		return 0;
	return kernel_note(journal, entry->id, kernel);
}

static int note_add(struct gcl_worker *worker, const struct gcl_call *call, bool away,
		    const void *body, size_t size)
{
	const struct gcl_frame *head = call->head;
	size_t payload = away ? head->payload_size : 0, at = gcl_journal_payload(size);
	struct gcl_journal *journal = worker->sides.journal;
	struct gcl_journal_note *note = malloc(sizeof *note + (payload ? at + payload : size));
	const void *heap = NULL;

	if (payload)
		heap = gcl_channel_heap_ptr(worker->channel, head->payload_offset, payload);
	if (!note || (payload && !heap)) {
		free(note);
		return -ENOMEM;
	}
	note->head = *head;
	note->head.payload_size = payload;
	note->away = away;
	note->tells = tells_count(worker);
	note->size = size;
	memcpy(note->bytes, body, size);
	if (payload)
		memcpy(note->bytes + at, heap, payload);
	gcl_list_append(&journal->notes, &note->link);
	bytes_add(worker, sizeof *note + size + payload);
	return 0;
}

/* Return: false: that is too much for a journal. */
static bool queue_note(struct gcl_worker *worker, const struct gcl_queue *queue)
{
	struct gcl_journal *journal = worker->sides.journal;

	if (!journal->context)
		journal->context = queue->context;
	if (!journal->queue)
		journal->queue = queue->id;
	journal->several |= journal->queue != queue->id || !queue->in_order;
	if (journal->context == queue->context)
		return true;
	gcl_journal_break(worker, GCL_REPLAY_CONTEXTS);
	return false;
}

void gcl_journal_add(struct gcl_worker *worker, const struct gcl_call *call, const void *body,
		     size_t size)
{
	const struct gcl_journal *journal = worker->sides.journal;
	const struct gcl_queue *queue = queue_of(worker, call);
	bool launch = call->head->number == GCL_LAUNCH, away;
	int err = 0;

	if (!queue)
		return;
	away = queue->side == journal->side;
	if (!away && (!launch || !((const Gcl__Launch *)call->message)->n_args))
		return;
	if (away && !queue_note(worker, queue))
		return;
	if (away && launch && worker->may_print) {
		gcl_journal_break(worker, GCL_REPLAY_PRINTS);
		return;
	}
	if (away && call->head->payload_size > worker->replay_memory - journal->bytes) {
		gcl_journal_break(worker, GCL_REPLAY_MEMORY);
		return;
	}
	if (launch)
		err = launch_note(worker, call);
	if (err || note_add(worker, call, away, body, size))
		gcl_journal_break(worker, GCL_REPLAY_MEMORY);
}

/* ------------------------------------------------------------ contents */

void gcl_journal_spoil(struct gcl_worker *worker, const struct gcl_mem *root)
{
	const struct gcl_journal *journal = worker->sides.journal;

	if (journal && root->contents.journaled == journal->epoch)
		gcl_journal_break(worker, GCL_REPLAY_SHARED);
}

void gcl_journal_use(struct gcl_worker *worker, unsigned side, const struct gcl_use *use)
{
	const struct gcl_journal *journal = worker->sides.journal;
	struct gcl_mem *root = gcl_mem_root(use->mem);

	if (side == GCL_HOME) {
		if (use->access & GCL_ACCESS_WRITE)
			gcl_journal_spoil(worker, root);
		return;
	}
	/* Nobody else may have its address meanwhile, should it be freed. */
	if (root->svm) {
		gcl_journal_break(worker, GCL_REPLAY_SVM);
		return;
	}
	if (root->contents.journaled == journal->epoch)
		return;
	/* What is written wholly needs nothing to begin from. */
	if (use->access != GCL_ACCESS_REPLACE &&
	    (!gcl_contents_on(root, GCL_HOME) || root->contents.arriving[GCL_HOME])) {
		gcl_journal_break(worker, GCL_REPLAY_BASE);
		return;
	}
	root->contents.journaled = journal->epoch;
}

/* ------------------------------------------------------------ beginning and end */

void gcl_journal_free(struct gcl_worker *worker, struct gcl_journal *journal)
{
	if (!journal)
		return;
	gcl_list_for_each_safe (it, next, &journal->notes)
		free(gcl_container_of(it, struct gcl_journal_note, link));
	gcl_list_for_each_safe (it, next, &journal->kernels)
		kernel_note_free(gcl_container_of(it, struct gcl_journal_kernel, link));
	ghosts_free(worker, journal);
	free(journal);
}

static void journal_end(struct gcl_worker *worker, enum gcl_replay state)
{
	struct gcl_journal *journal = worker->sides.journal;

	worker->sides.journal = NULL;
	worker->sides.replay = state;
	atomic_store(&worker->sides.withholds, 0);
	gcl_journal_free(worker, journal);
	state_tell(worker);
}

void gcl_journal_break(struct gcl_worker *worker, enum gcl_replay reason)
{
	if (!worker->sides.journal)
		return;
	gcl_log_info(session, "no replay, should the server be lost: %s", gcl_replay_text(reason));
	journal_end(worker, reason);
}

bool gcl_journal_yield(struct gcl_worker *worker)
{
	bool any = worker->sides.journal && worker->sides.journal->bytes;

	if (any)
		gcl_journal_break(worker, GCL_REPLAY_MEMORY_HERE);
	return any;
}

/* Nothing is on its way there, and nothing that anybody may want is there alone. */
static bool consistent(const struct gcl_worker *worker, unsigned side)
{
	if (atomic_load(&worker->sides.side[side].completions))
		return false;
	gcl_list_for_each (it, &worker->sides.mems) {
		struct gcl_mem *mem = gcl_container_of(it, struct gcl_mem, twins);

		if (mem->parent || (mem->ghost && mem->refs == 1))
			continue;
		if (!gcl_contents_on(mem, GCL_HOME) && mem->contents.valid)
			return false;
		if (mem->contents.arriving[GCL_HOME])
			return false;
	}
	return true;
}

/* The side of all queues that are away. Return: GCL_HOME: there is none; GCL_SIDES: several. */
static unsigned side_find(const struct gcl_worker *worker)
{
	unsigned found = GCL_HOME;

	for (unsigned i = 1; i < GCL_SIDES; i++) {
		const struct gcl_side *side = &worker->sides.side[i];

		if (side->open && !side->lost && (side->queues || atomic_load(&side->completions)))
			found = found == GCL_HOME ? i : GCL_SIDES;
	}
	return found;
}

static void state_set(struct gcl_worker *worker, enum gcl_replay state)
{
	worker->sides.replay = state;
	state_tell(worker);
}

static void journal_start(struct gcl_worker *worker, unsigned side)
{
	struct gcl_journal *journal = calloc(1, sizeof *journal);

	if (!journal)
		return;
	gcl_list_init(&journal->notes);
	gcl_list_init(&journal->kernels);
	journal->side = side;
	journal->epoch = ++worker->sides.epoch;
	worker->sides.journal = journal;
	atomic_store(&worker->sides.failed_away, false);
	tells_clear(worker);
	atomic_store(&worker->sides.withholds, side);
	state_set(worker, GCL_REPLAY_POSSIBLE);
}

void gcl_journal_begin(struct gcl_worker *worker)
{
	unsigned side = side_find(worker);
	const struct gcl_journal *journal = worker->sides.journal;

	if (journal && side != journal->side && side != GCL_HOME)
		gcl_journal_break(worker, GCL_REPLAY_PLACES);
	if (worker->sides.journal || side == GCL_HOME)
		return;
	if (!worker->replay_memory)
		state_set(worker, GCL_REPLAY_OFF);
	else if (side == GCL_SIDES)
		state_set(worker, GCL_REPLAY_PLACES);
	else if (worker->may_print)
		state_set(worker, GCL_REPLAY_PRINTS);
	else if (consistent(worker, side))
		journal_start(worker, side);
	else if (worker->sides.replay == GCL_REPLAY_NONE)
		state_set(worker, GCL_REPLAY_BASE);
}

/* Is it of any use, and does it hold? */
static void journal_watch(struct gcl_worker *worker, uint64_t passed)
{
	struct gcl_journal *journal = worker->sides.journal;
	const struct gcl_side *side = &worker->sides.side[journal->side];

	/* It is needed, though nothing may seem to be there. */
	if (gcl_side_lost(side))
		return;
	if (atomic_load(&side->completions))
		journal->busy += passed;
	if (atomic_load(&worker->sides.failed_away))
		gcl_journal_break(worker, GCL_REPLAY_FAILED);
	else if (journal->busy > worker->replay_time)
		gcl_journal_break(worker, GCL_REPLAY_TIME);
	else if (journal->bytes && consistent(worker, journal->side))
		journal_end(worker, GCL_REPLAY_NONE);
}

void gcl_journal_look(struct gcl_worker *worker, uint64_t passed)
{
	if (worker->sides.journal)
		journal_watch(worker, passed);
	if (!worker->sides.journal && !atomic_load(&worker->page->move.away))
		state_set(worker, GCL_REPLAY_NONE);
	if (!worker->sides.move && !gcl_sides_any_lost(&worker->sides))
		gcl_journal_begin(worker);
}
