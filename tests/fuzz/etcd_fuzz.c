// SPDX-License-Identifier: MIT
/*
 * Fuzzes what etcd answers: pages of the list, events of the watch, leases, errors; and what
 * becomes of the table of servers that guestcld keeps of it.
 *
 * An input is lines, of a step each: a letter, and JSON behind it. Requests are not made but kept
 * here; a line answers one that is under way, if there is one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "etcd.h"
#include "servers.h"

#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ------------------------------------------------------------ in place of http.c and link.c */

struct gcl_http_request {
	struct gcl_list link;
	gcl_http_item *item;
	gcl_http_done *done;
	void *data;
};

static struct gcl_list requests;
static struct gcl_servers servers;

struct gcl_http_request *gcl_http_post(struct gcl_http *http, const char *path,
				       struct json_object *body, gcl_http_item *item,
				       gcl_http_done *done, void *data)
{
	struct gcl_http_request *request = calloc(1, sizeof *request);

	(void)http;
	(void)path;
	json_object_put(body);
	if (!request)
		return NULL;
	*request = (struct gcl_http_request){.item = item, .done = done, .data = data};
	gcl_list_append(&requests, &request->link);
	return request;
}

void gcl_http_cancel(struct gcl_http_request **request)
{
	if (*request)
		gcl_list_remove(&(*request)->link);
	free(*request);
	*request = NULL;
}

void gcl_link_say(struct gcl_etcd *etcd, enum gcl_etcd_said_kind kind, const char *reason,
		  const struct gcl_server_info *server)
{
	(void)etcd;
	(void)reason;
	if (kind == GCL_ETCD_SERVER && gcl_servers_take(&servers, server, 0.) == -EINVAL)
		abort(); /* guestcl-etcd tells of none that is none */
	if (kind == GCL_ETCD_GONE)
		gcl_servers_gone(&servers, server->name);
	if (kind == GCL_ETCD_LISTED)
		gcl_servers_listed(&servers);
}

/* ------------------------------------------------------------ steps */

/* The last that was made, a stream or not. */
static struct gcl_http_request *request_find(bool stream)
{
	struct gcl_http_request *found = NULL;

	gcl_list_for_each (it, &requests) {
		struct gcl_http_request *request =
			gcl_container_of(it, struct gcl_http_request, link);

		if ((request->item != NULL) == stream)
			found = request;
	}
	return found;
}

static void end(struct gcl_http_request *request, struct json_object *answer, int code)
{
	const struct gcl_http_result result = {
		.answer = answer,
		.error = answer ? NULL : "error",
		.code = code,
	};
	gcl_http_done *done = request->done;
	void *data = request->data;

	gcl_list_remove(&request->link);
	free(request);
	done(data, &result);
}

static void retry(struct gcl_etcd *etcd)
{
	if (!ev_is_active(&etcd->follow.retry))
		return;
	ev_timer_stop(etcd->loop, &etcd->follow.retry);
	ev_invoke(etcd->loop, &etcd->follow.retry, EV_TIMER);
}

static void own_set(struct gcl_etcd *etcd, struct json_object *answer)
{
	struct gcl_server_info own;
	const char *why;

	if (gcl_value_read(&own, gcl_json_text(answer, "name"), json_object_to_json_string(answer),
			   &why) == 0)
		gcl_announce_set(etcd, &own);
}

static void step(struct gcl_etcd *etcd, char what, struct json_object *answer)
{
	struct gcl_http_request *stream = request_find(true), *request = request_find(false);

	switch (what) {
	case 'p':
		if (request)
			end(request, answer, 0);
		break;
	case 'w':
		if (stream)
			stream->item(stream->data, answer);
		break;
	case 'e':
		if (request)
			end(request, NULL, (int)gcl_json_integer(answer, "code"));
		break;
	case 'c':
		if (stream)
			end(stream, NULL, 0);
		break;
	case 'a':
		own_set(etcd, answer);
		break;
	case 't':
		etcd->announce.put_at = etcd->announce.kept_at = etcd->follow.answered = -1e6;
		etcd->announce.not_before = 0.;
		gcl_announce_tick(etcd);
		gcl_follow_tick(etcd);
		break;
	default:
		break;
	}
	retry(etcd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gcl_etcd etcd = {
		.loop = ev_default_loop(EVFLAG_NOENV),
		.setup = {.prefix = "/p/", .urls = "http://a,http://b", .lease_ms = 3000},
		.ready = true,
		.http = {.members = {"http://a", "http://b"}, .member_count = 2},
	};

	gcl_log_level_set(GCL_LOG_ERROR);
	gcl_list_init(&requests);
	gcl_servers_init(&servers);
	gcl_follow_init(&etcd);
	gcl_follow_begin(&etcd);
	retry(&etcd);
	for (int i = 0; i < STEPS_MAX && size; i++) {
		const uint8_t *line_end = memchr(data, '\n', size);
		size_t length = line_end ? (size_t)(line_end - data) : size;
		struct json_object *answer =
			length ? gcl_json_parse((const char *)data + 1, length - 1) : NULL;

		if (length)
			step(&etcd, (char)data[0], answer);
		json_object_put(answer);
		length += line_end != NULL;
		data += length;
		size -= length;
	}
	gcl_follow_end(&etcd);
	while (!gcl_list_empty(&requests)) {
		struct gcl_http_request *request =
			gcl_container_of(requests.next, struct gcl_http_request, link);

		gcl_http_cancel(&request);
	}
	gcl_servers_fini(&servers);
	return 0;
}
