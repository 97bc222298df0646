// SPDX-License-Identifier: MIT
/*
 * This host's own key, and the lease that it goes with.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "etcd.h"

/* Between two puts, and before what etcd has refused is tried again. */
#define PUT_SECONDS	1.
#define REFUSED_SECONDS 5.

static void lease_lost(struct gcl_announce *announce)
{
	announce->lease = 0;
	announce->dirty = true;
}

/* What has nothing to do with the member that was asked. */
static bool is_refusal(int code)
{
	static const int codes[] = {3, GCL_GRPC_DENIED, 8,
				    9}; /* invalid, exhausted, precondition */

	for (size_t i = 0; i < GCL_ARRAY_SIZE(codes); i++) {
		if (codes[i] == code)
			return true;
	}
	return false;
}

/* Return: whether there was none. */
static bool error_handle(struct gcl_etcd *etcd, const struct gcl_http_result *result)
{
	struct gcl_announce *announce = &etcd->announce;

	if (!result->error) {
		announce->refused_told = false;
		return true;
	}
	if (result->code == GCL_GRPC_NOT_FOUND) {
		lease_lost(announce);
	} else if (is_refusal(result->code)) {
		announce->not_before = ev_now(etcd->loop) + REFUSED_SECONDS;
		if (!announce->refused_told)
			gcl_log_warn(broker,
				     "etcd doesn't let this host announce itself as \"%s\": %s",
				     announce->own.name, result->error);
		announce->refused_told = true;
	} else {
		if (result->code == GCL_GRPC_UNAUTHENTICATED)
			etcd->http.token[0] = '\0';
		gcl_follow_trouble(etcd, result->error);
	}
	return false;
}

static void key_add(struct json_object *body, const struct gcl_etcd *etcd)
{
	char key[GCL_ETCD_PREFIX_MAX + GCL_SERVER_NAME_MAX + 1];

	snprintf(key, sizeof key, "%s%.*s", etcd->setup.prefix, (int)GCL_SERVER_NAME_MAX,
		 etcd->announce.own.name);
	gcl_json_add_bytes(body, "key", key);
}

/* ------------------------------------------------------------ requests */

static void on_put(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;

	struct gcl_announce *announce = &etcd->announce;

	announce->put = NULL;
	if (result->error)
		announce->dirty = true;
	if (error_handle(etcd, result) && !announce->told) {
		gcl_log_info(broker, "announced in etcd as %s, at %s", announce->own.name,
			     announce->own.address);
		announce->told = true;
	}
}

static void put(struct gcl_etcd *etcd)
{
	struct gcl_announce *announce = &etcd->announce;
	_cleanup_free_ char *value = gcl_value_write(&announce->own);
	struct json_object *body = json_object_new_object();

	key_add(body, etcd);
	gcl_json_add_bytes(body, "value", value ? value : "");
	gcl_json_add_integer(body, "lease", announce->lease);
	announce->put_at = ev_now(etcd->loop);
	announce->put = gcl_http_post(&etcd->http, "/v3/kv/put", body, NULL, on_put, etcd);
	announce->dirty = !announce->put;
}

static void on_granted(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;
	struct gcl_announce *announce = &etcd->announce;

	announce->grant = NULL;
	if (!error_handle(etcd, result))
		return;
	announce->lease = gcl_json_integer(result->answer, "ID");
	announce->kept_at = ev_now(etcd->loop);
	if (announce->lease > 0) {
		announce->dirty = true;
		gcl_announce_tick(etcd);
		return;
	}
	announce->lease = 0;
	gcl_follow_trouble(etcd, "it grants no lease");
}

static void grant(struct gcl_etcd *etcd)
{
	struct json_object *body = json_object_new_object();

	gcl_json_add_integer(body, "TTL", (etcd->setup.lease_ms + 999) / 1000);
	etcd->announce.grant =
		gcl_http_post(&etcd->http, "/v3/lease/grant", body, NULL, on_granted, etcd);
}

static void on_kept(void *data, const struct gcl_http_result *result)
{
	struct gcl_etcd *etcd = data;
	struct gcl_announce *announce = &etcd->announce;

	announce->keep = NULL;
	if (!error_handle(etcd, result))
		return;
	announce->kept_at = ev_now(etcd->loop);
	/* One that has ended has no time to live. */
	if (gcl_json_integer(gcl_json_member(result->answer, "result"), "TTL") > 0)
		return;
	lease_lost(announce);
	gcl_announce_tick(etcd);
}

static void keep(struct gcl_etcd *etcd)
{
	struct json_object *body = json_object_new_object();

	gcl_json_add_integer(body, "ID", etcd->announce.lease);
	etcd->announce.keep =
		gcl_http_post(&etcd->http, "/v3/lease/keepalive", body, NULL, on_kept, etcd);
}

/* ------------------------------------------------------------ when */

void gcl_announce_tick(struct gcl_etcd *etcd)
{
	struct gcl_announce *announce = &etcd->announce;
	double now = ev_now(etcd->loop);

	if (!*announce->own.name || !etcd->follow.listed || now < announce->not_before)
		return;
	if (!announce->lease) {
		if (!announce->grant)
			grant(etcd);
		return;
	}
	if (!announce->keep && now - announce->kept_at >= etcd->setup.lease_ms / 3000. - 0.5)
		keep(etcd);
	if (announce->dirty && !announce->put && now - announce->put_at >= PUT_SECONDS)
		put(etcd);
}

static void on_revoked(void *data, const struct gcl_http_result *result)
{
	(void)data;
	(void)result; /* it ends by itself otherwise */
}

void gcl_announce_set(struct gcl_etcd *etcd, const struct gcl_server_info *own)
{
	struct gcl_announce *announce = &etcd->announce;

	if (strcmp(announce->own.name, own->name) != 0) {
		gcl_announce_end(etcd);
		gcl_announce_revoke(etcd, on_revoked);
		announce->rival_told = announce->told = false;
	}
	announce->own = *own;
	announce->dirty = true;
	gcl_announce_tick(etcd);
}

void gcl_announce_seen(struct gcl_etcd *etcd, const char *name, int64_t lease)
{
	struct gcl_announce *announce = &etcd->announce;

	if (!announce->lease || strcmp(name, announce->own.name) != 0 || lease == announce->lease)
		return;
	if (!lease) {
		announce->dirty = true;
	} else if (!announce->rival_told) {
		gcl_log_warn(broker,
			     "another host announces itself as \"%s\", too: give each one its own "
			     "announce-name",
			     name);
		announce->rival_told = true;
	}
}

void gcl_announce_end(struct gcl_etcd *etcd)
{
	struct gcl_announce *announce = &etcd->announce;

	announce->dirty |= announce->put != NULL;
	gcl_http_cancel(&announce->grant);
	gcl_http_cancel(&announce->put);
	gcl_http_cancel(&announce->keep);
}

bool gcl_announce_revoke(struct gcl_etcd *etcd, gcl_http_done *done)
{
	struct json_object *body;
	int64_t lease = etcd->announce.lease;

	lease_lost(&etcd->announce);
	if (!lease)
		return false;
	body = json_object_new_object();
	gcl_json_add_integer(body, "ID", lease);
	return gcl_http_post(&etcd->http, "/v3/lease/revoke", body, NULL, done, etcd) != NULL;
}
