/*
 * The journal: what is in it, what breaks it, what becomes of what is released; and that all of it
 * is done again. The side that is away has the runtime of the host itself: what a journal does
 * depends on where queues are said to be, and a replay makes everything at home.
 */
#include "guest.h"

#include <unistd.h>

#define AWAY 1u
#define SIZE 4096u

static struct gcl_queue *queue_of(struct guest *guest)
{
	return gcl_table_find(&guest->worker, guest->queue, GCL_KIND_QUEUE)->detail;
}

static struct gcl_mem *mem_of(struct guest *guest, uint64_t id)
{
	return gcl_table_find(&guest->worker, id, GCL_KIND_MEM)->detail;
}

/* The guest's queue is away, and a journal begins. */
static void leave(struct guest *guest)
{
	struct gcl_worker *worker = &guest->worker;
	struct gcl_queue *queue = queue_of(guest);

	worker->client = "";
	worker->replay_memory = 1u << 20;
	worker->replay_time = 1000000000;
	worker->sides.active = true;
	worker->sides.side[AWAY].open = true;
	worker->sides.side[AWAY].queues = 1;
	queue->side = AWAY;
	atomic_store(&worker->page->move.away, 1);
	gcl_journal_begin(worker);
}

static int setup(void **state)
{
	int err = guest_setup(state);

	if (!err)
		leave(*state);
	return err;
}

/* As if it had never been away. */
static int teardown(void **state)
{
	struct guest *guest = *state;
	struct gcl_worker *worker = &guest->worker;

	gcl_journal_break(worker, GCL_REPLAY_OFF);
	queue_of(guest)->side = GCL_HOME;
	worker->sides.side[AWAY] = (struct gcl_side){0};
	return guest_teardown(state);
}

/* A message as it comes, without its handler. */
static void add(struct guest *guest, enum gcl_message number, const ProtobufCMessage *message,
		uint64_t payload_offset, uint64_t payload_size)
{
	const struct gcl_frame head = {
		.number = number,
		.sequence = ++guest->sequence,
		.payload_offset = payload_offset,
		.payload_size = payload_size,
	};
	const struct gcl_call call = {.head = &head, .message = message};
	uint8_t body[1024];

	assert_true(protobuf_c_message_get_packed_size(message) <= sizeof body);
	if (guest->worker.sides.journal)
		gcl_journal_add(&guest->worker, &call, body,
				protobuf_c_message_pack(message, body));
}

static void write_add(struct guest *guest, uint64_t mem, uint64_t offset, uint64_t size)
{
	Gcl__Command command = guest_command(guest, 0);
	Gcl__BufferWrite message = GCL__BUFFER_WRITE__INIT;

	message.command = &command;
	message.mem = mem;
	message.size = size;
	add(guest, GCL_BUFFER_WRITE, &message.base, offset, size);
}

static void use(struct guest *guest, uint64_t mem, enum gcl_access access, unsigned side)
{
	const struct gcl_use used = {mem_of(guest, mem), access};

	if (guest->worker.sides.journal)
		gcl_journal_use(&guest->worker, side, &used);
}

static enum gcl_replay state_of(const struct guest *guest)
{
	assert_int_equal(guest->worker.sides.journal != NULL,
			 guest->worker.sides.replay == GCL_REPLAY_POSSIBLE);
	assert_int_equal(atomic_load(&guest->worker.page->move.replay), guest->worker.sides.replay);
	return guest->worker.sides.replay;
}

static void begins_and_ends(void **state)
{
	struct guest *guest = *state;
	struct gcl_worker *worker = &guest->worker;

	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	worker->sides.side[AWAY].queues = 0;
	atomic_store(&worker->page->move.away, 0);
	gcl_journal_break(worker, GCL_REPLAY_OFF);
	gcl_journal_look(worker, 0);
	assert_int_equal(state_of(guest), GCL_REPLAY_NONE);
	worker->sides.side[AWAY].queues = 1;
	worker->replay_memory = 0;
	gcl_journal_begin(worker);
	assert_int_equal(state_of(guest), GCL_REPLAY_OFF);
	worker->replay_memory = SIZE;
	worker->may_print = true;
	gcl_journal_begin(worker);
	assert_int_equal(state_of(guest), GCL_REPLAY_PRINTS);
	worker->may_print = false;
	worker->sides.side[2].open = true;
	worker->sides.side[2].queues = 1;
	gcl_journal_begin(worker);
	assert_int_equal(state_of(guest), GCL_REPLAY_PLACES);
	worker->sides.side[2] = (struct gcl_side){0};
	gcl_journal_begin(worker);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
}

/* Messages and payloads are there as they were, whatever becomes of the heap. */
static void keeps_payloads(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), offset = guest_heap(guest, SIZE);
	char *heap = gcl_channel_heap_ptr(&guest->channel, offset, SIZE);
	const struct gcl_journal *journal = guest->worker.sides.journal;
	const struct gcl_journal_note *note;

	memset(heap, 7, SIZE);
	write_add(guest, mem, offset, SIZE);
	memset(heap, 8, SIZE);
	assert_int_equal(gcl_list_count(&journal->notes), 1);
	note = gcl_list_first(&journal->notes, struct gcl_journal_note, link);
	assert_true(note->away);
	assert_int_equal(note->head.number, GCL_BUFFER_WRITE);
	assert_int_equal(note->head.payload_size, SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(note->bytes[gcl_journal_payload(note->size) + i], 7);
	assert_true(journal->bytes > SIZE);
}

static void memory_is_bounded(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), offset = guest_heap(guest, SIZE);

	for (unsigned i = 0; i < (1u << 20) / SIZE - 10; i++)
		write_add(guest, mem, offset, SIZE);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	for (unsigned i = 0; i < 20; i++)
		write_add(guest, mem, offset, SIZE);
	assert_int_equal(state_of(guest), GCL_REPLAY_MEMORY);
}

static void time_is_bounded(void **state)
{
	struct guest *guest = *state;
	struct gcl_worker *worker = &guest->worker;

	gcl_journal_look(worker, 2000000000);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	atomic_store(&worker->sides.side[AWAY].completions, 1);
	gcl_journal_look(worker, 900000000);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	gcl_journal_look(worker, 200000000);
	atomic_store(&worker->sides.side[AWAY].completions, 0);
	assert_int_equal(worker->sides.replay, GCL_REPLAY_TIME);
}

/* Whoever changes the home copies that it begins from breaks it. */
static void contents_stay(void **state)
{
	struct guest *guest = *state;
	struct gcl_worker *worker = &guest->worker;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), other = guest_buffer(guest, SIZE, 0, 0);

	use(guest, other, GCL_ACCESS_WRITE, GCL_HOME);
	use(guest, mem, GCL_ACCESS_READ, AWAY);
	use(guest, mem, GCL_ACCESS_READ, GCL_HOME);
	use(guest, other, GCL_ACCESS_WRITE, GCL_HOME);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	use(guest, mem, GCL_ACCESS_WRITE, GCL_HOME);
	assert_int_equal(state_of(guest), GCL_REPLAY_SHARED);
	gcl_journal_begin(worker);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	use(guest, mem, GCL_ACCESS_WRITE, GCL_HOME);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
}

/* What isn't at home at first may be written wholly, and nothing else. */
static void base_is_needed(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), other = guest_buffer(guest, SIZE, 0, 0);

	mem_of(guest, mem)->contents.valid = 1u << AWAY;
	mem_of(guest, other)->contents.valid = 1u << AWAY;
	use(guest, mem, GCL_ACCESS_REPLACE, AWAY);
	use(guest, mem, GCL_ACCESS_READ, AWAY);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	use(guest, other, GCL_ACCESS_WRITE, AWAY);
	assert_int_equal(state_of(guest), GCL_REPLAY_BASE);
}

/* Its address may be another's when it is done again. */
static void no_shared_virtual_memory(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0);
	struct gcl_mem *root = mem_of(guest, mem);

	root->svm = guest;
	use(guest, mem, GCL_ACCESS_READ, GCL_HOME);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	use(guest, mem, GCL_ACCESS_READ, AWAY);
	root->svm = NULL;
	assert_int_equal(state_of(guest), GCL_REPLAY_SVM);
}

static void one_context(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), offset = guest_heap(guest, SIZE);
	struct gcl_queue *queue = queue_of(guest);
	struct gcl_context *context = queue->context, other = *context;

	write_add(guest, mem, offset, SIZE);
	assert_int_equal(state_of(guest), GCL_REPLAY_POSSIBLE);
	queue->context = &other;
	write_add(guest, mem, offset, SIZE);
	queue->context = context;
	assert_int_equal(state_of(guest), GCL_REPLAY_CONTEXTS);
}

/* Released objects that it needs are found by a replay alone, and go with it. */
static void ghosts(void **state)
{
	struct guest *guest = *state;
	struct gcl_worker *worker = &guest->worker;
	uint64_t used = guest_buffer(guest, SIZE, 0, 0), unused = guest_buffer(guest, SIZE, 0, 0);
	const struct gcl_mem *mem = mem_of(guest, used);

	use(guest, used, GCL_ACCESS_WRITE, AWAY);
	guest_release(guest, used);
	guest_release(guest, unused);
	assert_null(gcl_table_find(worker, used, GCL_KIND_MEM));
	assert_ptr_equal(gcl_ghost_find(worker->sides.journal, used)->detail, mem);
	assert_null(gcl_ghost_find(worker->sides.journal, unused));
	assert_true(worker->sides.journal->bytes > SIZE);
	assert_true(gcl_journal_yield(worker));
	assert_int_equal(state_of(guest), GCL_REPLAY_MEMORY_HERE);
	assert_false(gcl_journal_yield(worker));
}

/* Messages of queues at home don't count, but for the arguments that they set. */
static void home_is_left_out(void **state)
{
	struct guest *guest = *state;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), offset = guest_heap(guest, SIZE);
	struct gcl_journal *journal = guest->worker.sides.journal;

	queue_of(guest)->side = GCL_HOME;
	write_add(guest, mem, offset, SIZE);
	assert_true(gcl_list_empty(&journal->notes));
	queue_of(guest)->side = AWAY;
	write_add(guest, mem, offset, SIZE);
	assert_int_equal(gcl_list_count(&journal->notes), 1);
	assert_false(journal->several);
}

static void read_check(struct guest *guest, uint64_t mem, uint8_t wanted)
{
	Gcl__Command command = guest_command(guest, guest_id(guest, GCL_KIND_EVENT));
	Gcl__BufferRead message = GCL__BUFFER_READ__INIT;
	uint64_t offset = guest_heap(guest, SIZE);
	const uint8_t *heap = gcl_channel_heap_ptr(&guest->channel, offset, SIZE);

	message.command = &command;
	message.mem = mem;
	message.heap_offset = offset;
	message.size = SIZE;
	assert_int_equal(guest_send(guest, GCL_BUFFER_READ, &message), 0);
	assert_non_null(guest_wait(guest, GCL_EVENT_DONE, command.event, 10));
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(heap[i], wanted);
}

/* What was written away, and got lost, is written at home; and a sync that came with it is told. */
static void done_again(void **state)
{
	struct guest *guest = *state;
	struct gcl_worker *worker = &guest->worker;
	uint64_t mem = guest_buffer(guest, SIZE, 0, 0), offset = guest_heap(guest, SIZE);
	Gcl__QueueSync sync = GCL__QUEUE_SYNC__INIT;
	struct gcl_completion waiting = {.queue = queue_of(guest), .side = AWAY, .withheld = true};

	memset(gcl_channel_heap_ptr(&guest->channel, offset, SIZE), 9, SIZE);
	write_add(guest, mem, offset, SIZE);
	use(guest, mem, GCL_ACCESS_WRITE, AWAY);
	memset(gcl_channel_heap_ptr(&guest->channel, offset, SIZE), 0, SIZE);
	sync.queue = guest->queue;
	add(guest, GCL_QUEUE_SYNC, &sync.base, 0, 0);
	waiting.sync = guest->sequence;
	assert_int_equal(gcl_completion_await(worker, &waiting, NULL), 0);
	assert_null(guest_wait(guest, GCL_QUEUE_DONE, waiting.sync, 0));

	queue_of(guest)->side = GCL_HOME;
	assert_true(gcl_replay(worker));
	assert_null(worker->sides.journal);
	assert_non_null(guest_wait(guest, GCL_QUEUE_DONE, waiting.sync, 10));
	read_check(guest, mem, 9);
	for (int i = 0; i < 1000 && !gcl_list_empty(&worker->sides.replays); i++) {
		gcl_replay_look(worker);
		usleep(1000);
	}
	assert_true(gcl_list_empty(&worker->sides.replays));
	queue_of(guest)->side = AWAY;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(begins_and_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_payloads, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(time_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(contents_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(base_is_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(no_shared_virtual_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(one_context, setup, teardown),
		cmocka_unit_test_setup_teardown(ghosts, setup, teardown),
		cmocka_unit_test_setup_teardown(home_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(done_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
