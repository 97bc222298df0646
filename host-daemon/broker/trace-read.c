// SPDX-License-Identifier: MIT
/*
 * The request "trace": which session, and what there is of its messages each time.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

/* Notes in one line: what doesn't fit waits for the next. */
#define NOTES_MAX 1024u

int gcl_control_trace(struct gcl_control_request *request)
{
	struct gcl_worker_process *worker = gcl_control_session(request);

	if (!worker)
		return -ENOENT;
	request->trace.session = worker->session;
	request->trace.next =
		atomic_load_explicit(&worker->page->trace.written, memory_order_relaxed) + 1;
	atomic_fetch_add(&worker->page->trace.wanted, 1);
	json_object_object_add(request->answer, "session", json_object_new_uint64(worker->session));
	return 0;
}

void gcl_trace_end(struct gcl_broker *broker, struct gcl_tracing *tracing)
{
	struct gcl_worker_process *worker =
		tracing->session ? gcl_workers_find(&broker->workers, tracing->session) : NULL;

	if (worker)
		atomic_fetch_sub(&worker->page->trace.wanted, 1);
	*tracing = (struct gcl_tracing){0};
}

static struct json_object *note_json(const struct gcl_trace_note *note)
{
	struct json_object *object = json_object_new_object();
	char name[sizeof note->name];

	for (size_t i = 0; i < sizeof name; i++)
		name[i] = (char)(!note->name[i] || isprint((unsigned char)note->name[i])
					 ? note->name[i]
					 : '?');
	json_object_object_add(object, "time_ns", json_object_new_uint64(note->time));
	json_object_object_add(object, "took_ns", json_object_new_uint64(note->took));
	json_object_object_add(object, "bytes", json_object_new_uint64(note->size));
	json_object_object_add(object, "to_guest", json_object_new_boolean(note->to_guest != 0));
	json_object_object_add(object, "call", json_object_new_string(name));
	return object;
}

/* Which notes there may be: the worker says, but no more than the ring has. */
static uint64_t first_left(const struct gcl_tracing *tracing, uint64_t written)
{
	uint64_t oldest = written > GCL_TRACE_SLOTS ? written - GCL_TRACE_SLOTS + 1 : 1;

	return tracing->next > written || tracing->next < oldest ? oldest : tracing->next;
}

struct json_object *gcl_trace_more(struct gcl_broker *broker, struct gcl_tracing *tracing)
{
	const struct gcl_worker_process *worker =
		gcl_workers_find(&broker->workers, tracing->session);
	struct json_object *answer, *list;
	struct gcl_trace_note note;
	uint64_t written, number, lost = 0;

	if (worker) {
		written = atomic_load_explicit(&worker->page->trace.written, memory_order_acquire);
		if (written + 1 == tracing->next)
			return NULL;
	}
	answer = json_object_new_object();
	json_object_object_add(answer, "ok", json_object_new_boolean(1));
	if (!worker) {
		json_object_object_add(answer, "ended", json_object_new_boolean(1));
		*tracing = (struct gcl_tracing){0};
		return answer;
	}
	list = json_object_new_array();
	number = first_left(tracing, written);
	lost = number > tracing->next ? number - tracing->next : 0;
	for (unsigned i = 0; i < NOTES_MAX && number <= written; i++, number++) {
		if (gcl_trace_read(&worker->page->trace, number, &note))
			json_object_array_add(list, note_json(&note));
		else
			lost++;
	}
	tracing->next = number;
	json_object_object_add(answer, "calls", list);
	json_object_object_add(answer, "lost", json_object_new_uint64(lost));
	return answer;
}
