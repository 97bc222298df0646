// SPDX-License-Identifier: MIT
/*
 * What is under the prefix: listed, and watched from there.
 *
 * https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "etcd.h"

/* Pauses before what has failed is tried again. A watch that lived for long ended for a new reason.
 */
#define PAUSE_FIRST  0.2
#define PAUSE_MAX    5.
#define LONG_SECONDS 10.

static void list_next(struct gcl_etcd *etcd);

static void answered(struct gcl_etcd *etcd)
{
	etcd->follow.answered = ev_now(etcd->loop);
}

/* ------------------------------------------------------------ a key and its value */

/* Of the key, which isn't empty. FNV-1a. */
static uint64_t hash(const char *text)
{
	uint64_t value = 14695981039346656037u;

	for (; *text; text++)
		value = (value ^ (uint8_t)*text) * 1099511628211u;
	return value;
}

/* Once for each key, until its value is one. */
static void bad_warn(struct gcl_follow *follow, struct json_object *kv, const char *why)
{
	char name[96] = "";
	uint64_t key = hash(gcl_json_text(kv, "key"));
	ptrdiff_t size = gcl_base64_decode_bytes(gcl_json_text(kv, "key"), name, sizeof name - 1);

	/* Of what isn't base64 nothing is shown. */
	size = GCL_MAX(size, 0);
	for (unsigned i = 0; i < follow->bad_count; i++) {
		if (follow->bad[i] == key)
			return;
	}
	if (follow->bad_count == GCL_KEYS_MAX)
		follow->bad_count = 0;
	follow->bad[follow->bad_count++] = key;
	name[size] = '\0';
	for (char *c = name; c < name + size; c++)
		*c = (char)(*c > ' ' && *c < 0x7f ? *c : '?');
	gcl_log_peer(broker, "what etcd has at \"%s\" is left out: %s", name, why);
}

static void bad_forget(struct gcl_follow *follow, struct json_object *kv)
{
	uint64_t key = hash(gcl_json_text(kv, "key"));

	for (unsigned i = 0; i < follow->bad_count; i++) {
		if (follow->bad[i] == key)
			follow->bad[i--] = follow->bad[--follow->bad_count];
	}
}

static void kv_take(struct gcl_etcd *etcd, struct json_object *kv)
{
	struct gcl_server_info info;
	const char *why;

	if (gcl_kv_read(&info, kv, etcd->setup.prefix, &why) < 0) {
		bad_warn(&etcd->follow, kv, why);
		/* What it said before it says no more. */
		if (*info.name)
			gcl_link_say(etcd, GCL_ETCD_GONE, "", &info);
		return;
	}
	bad_forget(&etcd->follow, kv);
	gcl_link_say(etcd, GCL_ETCD_SERVER, "", &info);
	gcl_announce_seen(etcd, info.name, gcl_json_integer(kv, "lease"));
}

static void kv_gone(struct gcl_etcd *etcd, struct json_object *kv)
{
	struct gcl_server_info info;
	const char *why;

	bad_forget(&etcd->follow, kv);
	gcl_kv_read(&info, kv, etcd->setup.prefix, &why);
	if (!*info.name)
		return;
	gcl_link_say(etcd, GCL_ETCD_GONE, "", &info);
	gcl_announce_seen(etcd, info.name, 0);
}

/* ------------------------------------------------------------ trouble */

void gcl_follow_end(struct gcl_etcd *etcd)
{
	struct gcl_follow *follow = &etcd->follow;

	ev_timer_stop(etcd->loop, &follow->retry);
	gcl_http_cancel(&follow->request);
	gcl_http_cancel(&follow->watch);
	gcl_announce_end(etcd);
	follow->listed = false;
}

static void retry_after(struct gcl_etcd *etcd, double seconds)
{
	ev_timer_set(&etcd->follow.retry, seconds, 0.);
	ev_timer_start(etcd->loop, &etcd->follow.retry);
}

static void pause_then_retry(struct gcl_etcd *etcd)
{
	struct gcl_follow *follow = &etcd->follow;

	retry_after(etcd, follow->pause);
	follow->pause = GCL_MIN(follow->pause * 1.5, PAUSE_MAX);
}

static void member_next(struct gcl_etcd *etcd)
{
	gcl_follow_end(etcd);
	etcd->http.member = (etcd->http.member + 1) % etcd->http.member_count;
}

void gcl_follow_trouble(struct gcl_etcd *etcd, const char *error)
{
	struct gcl_follow *follow = &etcd->follow;
	char reason[sizeof((struct gcl_etcd_said *)0)->reason];

	snprintf(reason, sizeof reason, "%.100s: %.90s", etcd->http.members[etcd->http.member],
		 error);
	gcl_log_debug(broker, "etcd: %s", reason);
	member_next(etcd);
	if (++follow->failed < etcd->http.member_count) {
		retry_after(etcd, 0.);
		return;
	}
	follow->failed = 0;
	/* For as long as a lease it may be choosing another leader, and nothing is lost by that. */
	if (!follow->down &&
	    ev_now(etcd->loop) - follow->answered >= etcd->setup.lease_ms / 1000.) {
		gcl_link_say(etcd, GCL_ETCD_DOWN, reason, NULL);
		follow->down = true;
	}
	pause_then_retry(etcd);
}

/* ------------------------------------------------------------ the watch */

/* Some end by themselves: of a member that is stopped, or when the revision was compacted. */
static void watch_again(struct gcl_etcd *etcd, const char *why)
{
	struct gcl_follow *follow = &etcd->follow;

	gcl_log_debug(broker, "etcd: the watch of %s ended: %s",
		      etcd->http.members[etcd->http.member], why);
	if (ev_now(etcd->loop) - follow->watched_at > LONG_SECONDS)
		follow->pause = PAUSE_FIRST;
	member_next(etcd);
	pause_then_retry(etcd);
}

static void events_take(struct gcl_etcd *etcd, struct json_object *events)
{
	size_t count =
		json_object_is_type(events, json_type_array) ? json_object_array_length(events) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *event = json_object_array_get_idx(events, i);
		struct json_object *kv = gcl_json_member(event, "kv");

		if (strcmp(gcl_json_text(event, "type"), "DELETE") == 0)
			kv_gone(etcd, kv);
		else
			kv_take(etcd, kv);
	}
}

static void watch_created(struct gcl_follow *follow)
{
	follow->watching = true;
	follow->failed = 0;
}

static void on_watch_item(void *data, struct json_object *answer)
{
	struct gcl_etcd *etcd = data;
	struct json_object *result = gcl_json_member(answer, "result");

	if (!result) {
		watch_again(etcd, "it says nothing that a watch says");
	} else if (json_object_get_boolean(gcl_json_member(result, "canceled"))) {
		watch_again(etcd, "etcd cancelled it");
	} else {
		if (json_object_get_boolean(gcl_json_member(result, "created")))
			watch_created(&etcd->follow);
		events_take(etcd, gcl_json_member(result, "events"));
	}
}

static void on_watch_done(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;

	etcd->follow.watch = NULL;
	watch_again(etcd, result->error ? result->error : "it was closed");
}

/* All keys that begin with the prefix, whose last byte is '/'. */
static void range_add(struct json_object *object, const char *prefix)
{
	char end[GCL_ETCD_PREFIX_MAX];

	snprintf(end, sizeof end, "%s", prefix);
	end[strlen(end) - 1]++;
	gcl_json_add_bytes(object, "range_end", end);
}

static void watch_begin(struct gcl_etcd *etcd)
{
	struct json_object *body = json_object_new_object(), *create = json_object_new_object();
	struct gcl_follow *follow = &etcd->follow;

	gcl_json_add_bytes(create, "key", etcd->setup.prefix);
	range_add(create, etcd->setup.prefix);
	gcl_json_add_integer(create, "start_revision", follow->revision + 1);
	json_object_object_add(body, "create_request", create);
	follow->watched_at = ev_now(etcd->loop);
	follow->watching = false;
	follow->watch =
		gcl_http_post(&etcd->http, "/v3/watch", body, on_watch_item, on_watch_done, etcd);
	if (!follow->watch)
		gcl_follow_trouble(etcd, strerror(ENOMEM));
}

/* ------------------------------------------------------------ the list */

static void listed(struct gcl_etcd *etcd)
{
	struct gcl_follow *follow = &etcd->follow;

	gcl_link_say(etcd, GCL_ETCD_LISTED, "", NULL);
	follow->down = false;
	follow->listed = true;
	watch_begin(etcd);
	if (follow->listed)
		gcl_announce_tick(etcd);
}

/* The first key behind @kv's; of one that is too long, behind those that begin as it does. */
static void next_set(struct gcl_follow *follow, struct json_object *kv)
{
	size_t room = (sizeof follow->next - 4) / 3 * 3;
	ptrdiff_t size = gcl_base64_decode_bytes(gcl_json_text(kv, "key"), follow->next, room);

	follow->next_size = (size_t)GCL_MAX(size, 0);
	follow->next[follow->next_size++] = (char)((size_t)size == room ? 0xff : 0);
}

static void page_take(struct gcl_etcd *etcd, struct json_object *answer)
{
	struct gcl_follow *follow = &etcd->follow;
	struct json_object *kvs = gcl_json_member(answer, "kvs");
	size_t count =
		json_object_is_type(kvs, json_type_array) ? json_object_array_length(kvs) : 0;
	bool more = json_object_get_boolean(gcl_json_member(answer, "more"));

	/* All pages are of the revision of the first. */
	if (follow->keys == 0)
		follow->revision =
			GCL_MIN(gcl_json_integer(gcl_json_member(answer, "header"), "revision"),
				INT64_MAX - 1);
	for (size_t i = 0; i < count; i++) {
		kv_take(etcd, json_object_array_get_idx(kvs, i));
		next_set(follow, json_object_array_get_idx(kvs, i));
	}
	follow->keys += (unsigned)GCL_MIN(count, GCL_KEYS_MAX);
	if (more && count && follow->keys < GCL_KEYS_MAX) {
		list_next(etcd);
		return;
	}
	if (more && !follow->many_told)
		gcl_log_warn(broker, "etcd has more than %u keys under %s: the rest is left out",
			     GCL_KEYS_MAX, etcd->setup.prefix);
	follow->many_told = more;
	listed(etcd);
}

static void request_failed(struct gcl_etcd *etcd, const struct gcl_http_result *result)
{
	if (result->code == GCL_GRPC_UNAUTHENTICATED)
		etcd->http.token[0] = '\0';
	gcl_follow_trouble(etcd, result->error);
}

static void on_page(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;

	etcd->follow.request = NULL;
	if (result->error) {
		request_failed(etcd, result);
		return;
	}
	answered(etcd);
	page_take(etcd, result->answer);
}

static void list_next(struct gcl_etcd *etcd)
{
	struct json_object *body = json_object_new_object();
	struct gcl_follow *follow = &etcd->follow;
	_cleanup_free_ char *key = gcl_base64_encode(follow->next, follow->next_size);

	gcl_json_add_text(body, "key", key ? key : "");
	range_add(body, etcd->setup.prefix);
	gcl_json_add_integer(body, "limit", GCL_PAGE_KEYS);
	if (follow->keys)
		gcl_json_add_integer(body, "revision", follow->revision);
	follow->request = gcl_http_post(&etcd->http, "/v3/kv/range", body, NULL, on_page, etcd);
	if (!follow->request)
		gcl_follow_trouble(etcd, strerror(ENOMEM));
}

static void list_begin(struct gcl_etcd *etcd)
{
	struct gcl_follow *follow = &etcd->follow;

	follow->keys = 0;
	follow->next_size = strlen(etcd->setup.prefix);
	memcpy(follow->next, etcd->setup.prefix, follow->next_size);
	list_next(etcd);
}

/* ------------------------------------------------------------ the beginning */

static void on_login(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;
	const char *token = gcl_json_text(result->answer, "token");

	etcd->follow.request = NULL;
	/* It becomes a line of the request's head. */
	if (result->error || !*token || strlen(token) >= sizeof etcd->http.token ||
	    strpbrk(token, "\r\n")) {
		gcl_follow_trouble(etcd, result->error ? result->error : "it gives no token");
		return;
	}
	snprintf(etcd->http.token, sizeof etcd->http.token, "%s", token);
	list_begin(etcd);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_etcd *etcd = timer->data;
	struct json_object *body;

	(void)loop;
	(void)events;
	if (!*etcd->setup.user || *etcd->http.token) {
		list_begin(etcd);
		return;
	}
	body = json_object_new_object();
	gcl_json_add_text(body, "name", etcd->setup.user);
	gcl_json_add_text(body, "password", etcd->password);
	etcd->follow.request =
		gcl_http_post(&etcd->http, "/v3/auth/authenticate", body, NULL, on_login, etcd);
	if (!etcd->follow.request)
		gcl_follow_trouble(etcd, strerror(ENOMEM));
}

void gcl_follow_init(struct gcl_etcd *etcd)
{
	ev_timer_init(&etcd->follow.retry, on_retry, 0., 0.);
	etcd->follow.retry.data = etcd;
}

void gcl_follow_begin(struct gcl_etcd *etcd)
{
	etcd->follow.failed = 0;
	etcd->follow.down = false;
	etcd->follow.pause = PAUSE_FIRST;
	retry_after(etcd, 0.);
}

/* ------------------------------------------------------------ signs of life */

static void on_count(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;

	etcd->follow.request = NULL;
	if (result->error)
		request_failed(etcd, result);
	else
		answered(etcd);
}

void gcl_follow_tick(struct gcl_etcd *etcd)
{
	struct gcl_follow *follow = &etcd->follow;
	struct json_object *body;

	/* Some of the keys were left out, and there may be fewer now. */
	if (follow->listed && follow->many_told &&
	    ev_now(etcd->loop) - follow->watched_at > LONG_SECONDS) {
		watch_again(etcd, "there were too many keys");
		return;
	}
	if (follow->listed && !follow->watching &&
	    ev_now(etcd->loop) - follow->watched_at > etcd->http.seconds) {
		gcl_follow_trouble(etcd, "it doesn't begin to watch");
		return;
	}
	if (!follow->listed || follow->request ||
	    ev_now(etcd->loop) - follow->answered < etcd->setup.lease_ms / 3000.)
		return;
	body = json_object_new_object();
	gcl_json_add_bytes(body, "key", etcd->setup.prefix);
	json_object_object_add(body, "count_only", json_object_new_boolean(true));
	follow->request = gcl_http_post(&etcd->http, "/v3/kv/range", body, NULL, on_count, etcd);
}
