/* SPDX-License-Identifier: MIT */
/*
 * guestcl-etcd: which GPU servers etcd knows, and that this one is there.
 *
 * Theory of operation. One thread, one loop. guestcld says over a socket which etcd there is and
 * what to announce (link.c), and is told of servers. All requests are of etcd's JSON gateway, by
 * libcurl (http.c), to one of etcd's members at a time, each within a time limit.
 *
 * Following (follow.c): read what is under the prefix, in pages of one revision; tell of all;
 * watch from the revision behind that. Whatever goes wrong (a request fails or takes too long, the
 * watch ends, the revision is compacted) ends all of it, and it begins anew with the next member.
 * When each member in turn has failed, it is tried at growing intervals; when none has answered for
 * as long as a lease lives, etcd is down.
 * A watch that is silent may be one of a member that has lost the others, or of a user that may no
 * longer read, so a count, which takes the leader's word, has to be answered every third of a
 * lease.
 *
 * Announcing (announce.c): a lease, and a key with it. It is put anew when its value changes, once
 * a second at most, and when the lease was lost.
 *
 * What comes from etcd is hostile: whoever may write under the prefix chooses it. Sizes and counts
 * are limited before anything is parsed; a value that is none is left out, with one warning.
 */
#ifndef GCL_ETCD_H
#define GCL_ETCD_H

#include <curl/curl.h>
#include <ev.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "etcd-link.h"

/* Bytes of a server's value; some 4 KiB are what 32 devices take. */
#define GCL_VALUE_MAX 16384u

/* Keys under the prefix that are looked at, and how many of them are asked for at once: etcd lets
 * each have 1.5 MiB. */
#define GCL_KEYS_MAX  512u
#define GCL_PAGE_KEYS 8u

/* Bytes of an answer, or of a line of the watch. */
#define GCL_ANSWER_MAX (24u << 20)

#define GCL_MEMBERS_MAX 8u

/* ------------------------------------------------------------ JSON and base64 */

/** gcl_base64_encode() - the caller's; NULL without memory. */
char *gcl_base64_encode(const void *data, size_t size);

/** gcl_base64_decode() - as text, of @size bytes at most with its end. Return: 0; -EMSGSIZE,
 * -EINVAL (bytes of 0 too), -ENOMEM. */
int gcl_base64_decode(const char *text, char *out, size_t size);

/** gcl_base64_decode_bytes() - as much of it as there is room for. Return: bytes, or -EINVAL,
 * -ENOMEM. */
ptrdiff_t gcl_base64_decode_bytes(const char *text, void *out, size_t room);

/** gcl_json_parse() - one object, the caller's; NULL for anything else. */
struct json_object *gcl_json_parse(const char *text, size_t size);

/** gcl_json_member() - lent; NULL if @object is none or lacks it. */
struct json_object *gcl_json_member(struct json_object *object, const char *key);

/** gcl_json_text() - lent; "" if it is no text. */
const char *gcl_json_text(struct json_object *object, const char *key);

/** gcl_json_integer() - of a number, or of one in a text, as the gateway has them; 0 for none. */
int64_t gcl_json_integer(struct json_object *object, const char *key);

/** gcl_json_add_text(), gcl_json_add_integer() - the latter as the gateway has them. */
void gcl_json_add_text(struct json_object *object, const char *key, const char *text);
void gcl_json_add_integer(struct json_object *object, const char *key, int64_t number);

/** gcl_json_add_bytes() - in base64. */
void gcl_json_add_bytes(struct json_object *object, const char *key, const char *text);

/* ------------------------------------------------------------ a server's value (value.c) */

/** gcl_value_write() - what is put into etcd; the caller's, NULL without memory. */
char *gcl_value_write(const struct gcl_server_info *info);

/**
 * gcl_value_read() - what was found there.
 * @name: the key without the prefix
 * @why: what is wrong, for people; lent for good
 *
 * Return: 0 or -EINVAL.
 */
int gcl_value_read(struct gcl_server_info *info, const char *name, const char *value,
		   const char **why);

/**
 * gcl_kv_read() - the same of an object of etcd's, with key and value in base64.
 * @info: the name is set if the key has one, also when this fails; else empty
 */
int gcl_kv_read(struct gcl_server_info *info, struct json_object *kv, const char *prefix,
		const char **why);

/* ------------------------------------------------------------ requests (http.c) */

struct gcl_http {
	struct ev_loop *loop;
	CURLM *multi;
	struct ev_timer timer;
	struct gcl_list requests;
	char members[GCL_MEMBERS_MAX][GCL_SERVER_ADDRESS_MAX + 8];
	unsigned member_count, member;	   /* which one is asked now */
	char files[GCL_ETCD_PASSWORD][32]; /* paths of what TLS needs; empty: none */
	int fds[GCL_ETCD_PASSWORD];
	char token[512]; /* of etcd's user; empty: none */
	double seconds;	 /* that a request may take */
};

/* How a request ended. */
struct gcl_http_result {
	struct json_object *answer; /* lent; NULL after an error, and of a stream */
	const char *error;	    /* for people; NULL: there was none */
	int code; /* gRPC's, of an error of etcd's; 0: it wasn't etcd that said so */
};

enum { GCL_GRPC_NOT_FOUND = 5, GCL_GRPC_DENIED = 7, GCL_GRPC_UNAUTHENTICATED = 16 };

typedef void gcl_http_done(void *data, const struct gcl_http_result *result);

/* @answer: one of the stream's objects, lent. It may cancel its own request. */
typedef void gcl_http_item(void *data, struct json_object *answer);

struct gcl_http_request;

int gcl_http_init(struct gcl_http *http, struct ev_loop *loop);
void gcl_http_fini(struct gcl_http *http);

/** gcl_http_configure() - ask these members, with these files, which are taken over, -1 for none;
 * no request may be under way. Return: 0 or -errno. */
int gcl_http_configure(struct gcl_http *http, const struct gcl_etcd_setup *setup,
		       int fds[GCL_ETCD_FILES]);

/**
 * gcl_http_post() - begin a request.
 * @path: "/v3/..."
 * @body: taken over; NULL is no memory
 * @item: makes it a stream, which may take any time; or NULL
 * @done: called when it ends, never before this returns; not if it is cancelled
 *
 * Return: the request, until it is done; NULL without memory.
 */
struct gcl_http_request *gcl_http_post(struct gcl_http *http, const char *path,
				       struct json_object *body, gcl_http_item *item,
				       gcl_http_done *done, void *data);

/** gcl_http_cancel() - end it and set @request to NULL; it may be NULL already. */
void gcl_http_cancel(struct gcl_http_request **request);

/* ------------------------------------------------------------ the whole */

struct gcl_etcd;

/* Following. */
struct gcl_follow {
	struct gcl_http_request *request; /* of the login, the list or a count */
	struct gcl_http_request *watch;
	bool listed;			      /* and the watch is under way */
	bool watching;			      /* etcd has said that it watches */
	int64_t revision;		      /* of the list */
	char next[GCL_ETCD_PREFIX_MAX + 512]; /* key that the next page begins with */
	size_t next_size;
	unsigned keys;	   /* listed so far */
	unsigned failed;   /* members in a row */
	bool down;	   /* guestcld has been told so */
	double pause;	   /* before the next try */
	double watched_at; /* when the watch began, ev_now() */
	double answered;   /* when a member last answered */
	struct ev_timer retry;
	uint64_t bad[GCL_KEYS_MAX]; /* keys whose values were warned of */
	unsigned bad_count;
	bool many_told;
};

/* Announcing. */
struct gcl_announce {
	struct gcl_server_info own; /* without a name: nothing */
	bool dirty;		    /* it isn't in etcd as it is */
	int64_t lease;		    /* 0: none */
	struct gcl_http_request *grant, *put, *keep;
	double put_at, kept_at;		     /* ev_now() */
	double not_before;		     /* of the next try */
	bool told, refused_told, rival_told; /* in the log */
};

struct gcl_etcd {
	struct ev_loop *loop;
	int broker;
	struct gcl_etcd_setup setup;
	char password[256]; /* of setup.user */
	bool ready;	    /* there has been a setup */
	struct gcl_http http;
	struct gcl_follow follow;
	struct gcl_announce announce;
	struct ev_io readable;
	struct ev_timer tick, end;
};

/* link.c */

/** gcl_etcd_run() - until the end of @broker, a socket. Return: 0 or -errno. */
int gcl_etcd_run(int broker);

/** gcl_link_say() - tell guestcld; waits for it to read. */
void gcl_link_say(struct gcl_etcd *etcd, enum gcl_etcd_said_kind kind, const char *reason,
		  const struct gcl_server_info *server);

/* follow.c */
void gcl_follow_init(struct gcl_etcd *etcd);

/** gcl_follow_begin() - list and watch, of a setup that is new. */
void gcl_follow_begin(struct gcl_etcd *etcd);

/** gcl_follow_end() - no request is under way any more. */
void gcl_follow_end(struct gcl_etcd *etcd);

/** gcl_follow_trouble() - a member has failed: begin anew, with the next one. */
void gcl_follow_trouble(struct gcl_etcd *etcd, const char *error);

/** gcl_follow_tick() - see to it that the member is alive. */
void gcl_follow_tick(struct gcl_etcd *etcd);

/* announce.c */

/** gcl_announce_set() - what is said from now on. */
void gcl_announce_set(struct gcl_etcd *etcd, const struct gcl_server_info *own);

/** gcl_announce_tick() - do what is due. */
void gcl_announce_tick(struct gcl_etcd *etcd);

/** gcl_announce_seen() - our key, or somebody's of that name, is there with @lease; 0: it is gone.
 */
void gcl_announce_seen(struct gcl_etcd *etcd, const char *name, int64_t lease);

/** gcl_announce_end() - no request is under way any more. */
void gcl_announce_end(struct gcl_etcd *etcd);

/** gcl_announce_revoke() - take back what was announced; @done is called, or not if there was
 * nothing. Return: whether there was. */
bool gcl_announce_revoke(struct gcl_etcd *etcd, gcl_http_done *done);

#endif
