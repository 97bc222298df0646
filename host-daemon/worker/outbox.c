/*
 * What goes back to the guest, from any thread, without ever waiting for it.
 *
 * While there is room, a message is packed straight into the ring. What finds none is packed into
 * memory and waits, and everything after it waits behind it, so that order is kept. The watch
 * thread (watch.c) pushes what waits; so does the session thread when it comes by.
 *
 * outbox.lock is what serialises the producer side of the channel. Must not: call the runtime, or
 * take another lock, with it held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"
#include "worker.h"

/* A packed message of which @done bytes are in the ring already. */
struct outbox_item {
	struct gcl_list link;
	struct gcl_frame head;
	size_t size;
	size_t done;
	bool last;
	uint8_t body[];
};

void gcl_outbox_init(struct gcl_outbox *outbox)
{
	pthread_mutex_init(&outbox->lock, NULL);
	gcl_list_init(&outbox->pending);
	outbox->pending_count = 0;
	outbox->pending_bytes = 0;
	outbox->pushed = 0;
	outbox->closed = false;
}

void gcl_outbox_fini(struct gcl_outbox *outbox)
{
	gcl_list_for_each_safe (it, next, &outbox->pending)
		free(gcl_container_of(it, struct outbox_item, link));
	pthread_mutex_destroy(&outbox->lock);
}

/* Return: true when the whole of @item is in the ring. */
static bool push_locked(struct gcl_worker *worker, struct outbox_item *item)
{
	struct gcl_channel *channel = worker->channel;
	struct gcl_outbox *outbox = &worker->outbox;

	do {
		size_t size = GCL_MIN(item->size - item->done, GCL_OUTBOX_PART_MAX);
		void *room;

		if (gcl_channel_reserve(channel, size + (item->last ? 0 : GCL_OUTBOX_LAST_ROOM),
					&room) < 0)
			return false;
		if (size)
			memcpy(room, item->body + item->done, size);
		item->done += size;
		item->head.flags = item->done < item->size ? GCL_FRAME_MORE : 0;
		gcl_channel_commit(channel, &item->head, size);
		outbox->pushed++;
	} while (item->done < item->size);
	return true;
}

bool gcl_outbox_flush(struct gcl_worker *worker)
{
	struct gcl_outbox *outbox = &worker->outbox;
	bool all = true;

	if (atomic_load_explicit(&outbox->pending_count, memory_order_relaxed) == 0)
		return true;
	pthread_mutex_lock(&outbox->lock);
	gcl_list_for_each_safe (it, next, &outbox->pending) {
		struct outbox_item *item = gcl_container_of(it, struct outbox_item, link);

		all = push_locked(worker, item);
		if (!all)
			break;
		outbox->pending_count--;
		outbox->pending_bytes -= item->size;
		gcl_list_remove(&item->link);
		free(item);
	}
	pthread_mutex_unlock(&outbox->lock);
	return all;
}

/* Return: true when the message went, or nobody is left to read it. */
static bool send_now_locked(struct gcl_worker *worker, const struct gcl_frame *head,
			    const ProtobufCMessage *message, size_t size)
{
	void *room;
	int err;

	if (worker->outbox.pending_count || size > GCL_OUTBOX_PART_MAX)
		return gcl_channel_dead(worker->channel);
	err = gcl_channel_reserve(worker->channel, size + GCL_OUTBOX_LAST_ROOM, &room);
	if (err == 0) {
		protobuf_c_message_pack(message, room);
		gcl_channel_commit(worker->channel, head, size);
	}
	return err != -EAGAIN;
}

/* Return: true when the watch thread has to be told. */
static bool send_later_locked(struct gcl_worker *worker, const struct gcl_frame *head,
			      const ProtobufCMessage *message, size_t size)
{
	struct gcl_outbox *outbox = &worker->outbox;
	struct outbox_item *item;

	if (size > GCL_MESSAGE_MAX || outbox->pending_count >= GCL_PENDING_COMPLETIONS_MAX ||
	    outbox->pending_bytes >= GCL_PENDING_BYTES_MAX) {
		gcl_log_peer(session, "the guest does not read what it is sent (%zu messages wait)",
			     (size_t)outbox->pending_count);
		outbox->closed = true;
		gcl_worker_end_want(worker, GCL_END_GUEST_BACKLOG, GCL_PENDING_BYTES_MAX);
		return false;
	}
	item = malloc(sizeof *item + size);
	if (!item) {
		gcl_channel_kill(worker->channel, -ENOMEM);
		return false;
	}
	*item = (struct outbox_item){.head = *head, .size = size};
	protobuf_c_message_pack(message, item->body);
	if (outbox->pending_count == 0 && push_locked(worker, item)) {
		free(item);
		return false;
	}
	gcl_list_append(&outbox->pending, &item->link);
	outbox->pending_bytes += size;
	return outbox->pending_count++ == 0;
}

/* What waits and has not begun is given up. */
static void pending_drop_locked(struct gcl_outbox *outbox)
{
	gcl_list_for_each_safe (it, next, &outbox->pending) {
		struct outbox_item *item = gcl_container_of(it, struct outbox_item, link);

		if (item->done)
			continue;
		outbox->pending_count--;
		outbox->pending_bytes -= item->size;
		gcl_list_remove(&item->link);
		free(item);
	}
}

void gcl_outbox_end(struct gcl_worker *worker, enum gcl_message number,
		    const ProtobufCMessage *message)
{
	const struct gcl_frame head = {.number = (uint16_t)number};
	size_t size = protobuf_c_message_get_packed_size(message);
	struct gcl_outbox *outbox = &worker->outbox;
	struct outbox_item *item = malloc(sizeof *item + size);

	if (!item)
		return;
	*item = (struct outbox_item){.head = head, .size = size, .last = true};
	protobuf_c_message_pack(message, item->body);
	pthread_mutex_lock(&outbox->lock);
	outbox->closed = true;
	pending_drop_locked(outbox);
	outbox->pending_count++;
	outbox->pending_bytes += size;
	gcl_list_append(&outbox->pending, &item->link);
	pthread_mutex_unlock(&outbox->lock);
	gcl_outbox_flush(worker);
}

static void sent_note(struct gcl_worker *worker, unsigned number, uint64_t size)
{
	struct gcl_trace_note note;

	gcl_trace_begin(&note, number, size);
	note.to_guest = true;
	gcl_trace_add(&worker->page->trace, &note);
}

void gcl_send(struct gcl_worker *worker, enum gcl_message number, const ProtobufCMessage *message,
	      uint64_t payload_offset, uint64_t payload_size)
{
	const struct gcl_frame head = {
		.number = (uint16_t)number,
		.payload_offset = payload_offset,
		.payload_size = payload_size,
	};
	size_t size = protobuf_c_message_get_packed_size(message);
	bool tell = false;

	gcl_log_debug(call, "to the guest: %s", gcl_message_name(number));
	GCL_PROBE2(sent, number, size + payload_size);
	if (gcl_trace_wanted(&worker->page->trace))
		sent_note(worker, number, sizeof head + size + payload_size);
	pthread_mutex_lock(&worker->outbox.lock);
	gcl_page_add(&worker->page->counts.bytes_to_guest, sizeof head + size + payload_size);
	if (!worker->outbox.closed && !send_now_locked(worker, &head, message, size))
		tell = send_later_locked(worker, &head, message, size);
	pthread_mutex_unlock(&worker->outbox.lock);
	if (tell)
		gcl_watch_wake(worker);
}
