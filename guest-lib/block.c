/*
 * Blocks of the heap: getting them, and those that the host has to let go of first.
 *
 * MEM_FREED{id} may come long after the object's handle is gone and its slot has another
 * generation, so blocks waited for are kept here by id. The table's lock is a leaf but for the
 * heap's.
 */
#include <stdlib.h>
#include <time.h>

#include "memory.h"

#define BUCKETS 4096u

/* A full heap may only be full because the host is a little behind: how often to look again, in
 * steps of how long. */
#define FULL_RETRIES  200
#define FULL_SLEEP_NS 500000

struct expected {
	struct expected *next;
	struct gcl_session *session;
	uint64_t id;
	uint64_t offset;
	cl_mem mem;
};

static struct {
	pthread_mutex_t lock;
	struct expected *buckets[BUCKETS];
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The child has a session of its own: what its parent waits for does not concern it. */
static void forked(void)
{
	pthread_mutex_init(&table.lock, NULL);
	memset(table.buckets, 0, sizeof table.buckets);
}

static void prepare(void)
{
	pthread_atfork(NULL, NULL, forked);
}

static struct expected **bucket_of(uint64_t id)
{
	return &table.buckets[(gcl_id_index(id) ^ gcl_id_generation(id) * 31u) % BUCKETS];
}

static uint64_t alloc_when_freed(struct gcl_session *session, size_t size)
{
	const struct timespec pause = {.tv_nsec = FULL_SLEEP_NS};
	uint64_t offset;

	gcl_session_drain(session);
	offset = gcl_heap_alloc(session->heap, size);
	for (int i = 0; i < FULL_RETRIES && offset == GCL_HEAP_NONE && session->expected; i++) {
		nanosleep(&pause, NULL);
		gcl_session_drain(session);
		offset = gcl_heap_alloc(session->heap, size);
	}
	return offset;
}

uint64_t gcl_block_alloc(struct gcl_session *session, size_t size, uint8_t **memory)
{
	uint64_t offset = gcl_heap_alloc(session->heap, size);

	if (offset == GCL_HEAP_NONE && size <= GCL_HEAP_MAX)
		offset = alloc_when_freed(session, size);
	if (offset == GCL_HEAP_NONE)
		gcl_log_debug(mem, "no room for %zu bytes in the heap", size);
	else if (memory)
		*memory = gcl_channel_heap_ptr(session->channel, offset, size);
	return offset;
}

bool gcl_block_keeps(const struct gcl_session *session, size_t size)
{
	uint64_t room = session->channel->heap_limit / 2;

	return !session->channel->heap_limit ||
	       (size <= room && gcl_heap_used(session->heap) <= room - size);
}

void gcl_block_free(struct gcl_session *session, uint64_t offset)
{
	if (offset == GCL_HEAP_NONE)
		return;
	if (gcl_block_pinned(offset))
		gcl_channel_unpin(session->channel, offset);
	else
		gcl_heap_free(session->heap, offset);
}

/* What GUESTCL_PIN says: from how many bytes on, whatever they are for, or "never". */
static size_t pin_min_set = SIZE_MAX - 1;

static void pin_min_read(void)
{
	const char *text = getenv("GUESTCL_PIN");

	if (text && strcmp(text, "never") == 0)
		pin_min_set = SIZE_MAX;
	else if (text && *text)
		pin_min_set = strtoull(text, NULL, 0);
}

static size_t pin_min(size_t usual)
{
	static pthread_once_t read_once = PTHREAD_ONCE_INIT;

	pthread_once(&read_once, pin_min_read);
	return pin_min_set == SIZE_MAX - 1 ? usual : pin_min_set;
}

bool gcl_block_pin(struct gcl_session *session, const void *memory, size_t size, size_t least,
		   bool write, uint64_t *offset)
{
	return gcl_channel_pins(session->channel) && size >= pin_min(least) &&
	       gcl_channel_pin(session->channel, (void *)memory, size, write, offset) == 0;
}

static void table_add(struct expected *expected)
{
	struct expected **bucket = bucket_of(expected->id);

	pthread_once(&once, prepare);
	pthread_mutex_lock(&table.lock);
	expected->next = *bucket;
	*bucket = expected;
	expected->session->expected++;
	pthread_mutex_unlock(&table.lock);
}

static struct expected *table_take(const struct gcl_session *session, uint64_t id)
{
	struct expected *found = NULL;

	pthread_mutex_lock(&table.lock);
	for (struct expected **at = bucket_of(id); *at; at = &(*at)->next) {
		if ((*at)->id != id || (*at)->session != session)
			continue;
		found = *at;
		*at = found->next;
		found->session->expected--;
		break;
	}
	pthread_mutex_unlock(&table.lock);
	return found;
}

static void expected_end(struct expected *expected)
{
	gcl_block_free(expected->session, expected->offset);
	if (expected->mem) {
		gcl_notifier_disarm(expected->session);
		gcl_mem_finish(expected->mem);
	}
	free(expected);
}

void gcl_block_expect(struct gcl_session *session, uint64_t id, uint64_t offset, cl_mem mem)
{
	struct expected *expected = malloc(sizeof *expected);

	/* Without memory to remember it, the block stays in use. */
	if (!expected) {
		if (mem)
			gcl_mem_finish(mem);
		return;
	}
	*expected = (struct expected){.session = session, .id = id, .offset = offset, .mem = mem};
	if (mem)
		gcl_notifier_arm(session);
	table_add(expected);
	if (session->lost) /* after gcl_blocks_lose(), perhaps */
		gcl_block_forget(session, id);
}

void gcl_block_forget(struct gcl_session *session, uint64_t id)
{
	struct expected *expected = table_take(session, id);

	if (expected)
		expected_end(expected);
}

void gcl_on_mem_freed(struct gcl_session *session, const struct gcl_frame *head,
		      const Gcl__MemFreed *message)
{
	(void)head;
	gcl_block_forget(session, message->id);
}

void gcl_blocks_lose(struct gcl_session *session)
{
	struct expected *lost = NULL;

	pthread_mutex_lock(&table.lock);
	for (size_t i = 0; i < BUCKETS; i++) {
		struct expected **at = &table.buckets[i];

		while (*at) {
			struct expected *expected = *at;

			if (expected->session != session) {
				at = &expected->next;
				continue;
			}
			*at = expected->next;
			expected->next = lost;
			lost = expected;
			session->expected--;
		}
	}
	pthread_mutex_unlock(&table.lock);
	while (lost) {
		struct expected *next = lost->next;

		expected_end(lost);
		lost = next;
	}
}
