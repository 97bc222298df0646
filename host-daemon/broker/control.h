/* SPDX-License-Identifier: MIT */
/*
 * The control socket: what operators' tools ask and tell the broker.
 *
 * A client sends requests, each one line of JSON, {"do": "status", ...}, and gets one line for
 * each:
 * {"ok": true, ...} or {"ok": false, "error": "..."}. guestcl(1) has a command for each request.
 *
 * Who can connect can do all of it: the socket's permissions are the only check, besides that no
 * worker may.
 */
#ifndef GCL_BROKER_CONTROL_H
#define GCL_BROKER_CONTROL_H

#include <ev.h>
#include <json-c/json.h>
#include <stddef.h>

#include "base/list.h"
#include "broker.h"

/* One line of a request, in bytes. */
#define GCL_CONTROL_LINE_MAX 65536u

/* Clients at one time. */
#define GCL_CONTROL_CLIENTS_MAX 64u

/** gcl_control_open() - listen where the configuration says. Errors are logged: guests are served
 * without it. */
void gcl_control_open(struct gcl_control *control, struct gcl_broker *broker);

/** gcl_control_close() - and end the clients; may be called twice. */
void gcl_control_close(struct gcl_control *control);

/** gcl_control_path() - where the socket is: "control-socket", or beside the guests'. */
void gcl_control_path(const struct gcl_config *config, char *path, size_t size);

/* ------------------------------------------------------------ requests */

/* Where a request stands: what was asked, what is answered. */
struct gcl_tracing {
	uint64_t session; /* whose messages are looked at; 0: none */
	uint64_t next;	  /* note of its ring */
};

struct gcl_control_request {
	struct gcl_broker *broker;
	struct json_object *asked;  /* an object, lent */
	struct json_object *answer; /* an object; "ok" is not the handler's */
	struct gcl_tracing trace;   /* what the client wants to go on hearing */
	bool reader;		    /* may have the status alone */
	char error[256];
};

/* Return: 0, or -errno and error. */
typedef int gcl_control_handler(struct gcl_control_request *request);

/* What a request names; NULL and an error if it names none that there is. Lent. */
struct gcl_account *gcl_control_account(struct gcl_control_request *request);
struct gcl_worker_process *gcl_control_session(struct gcl_control_request *request);

gcl_control_handler gcl_control_status; /* status.c */
gcl_control_handler gcl_control_set;	/* command.c, and what follows */
gcl_control_handler gcl_control_pause;
gcl_control_handler gcl_control_resume;
gcl_control_handler gcl_control_end;
gcl_control_handler gcl_control_restart;
gcl_control_handler gcl_control_trace; /* trace-read.c */
gcl_control_handler gcl_control_move;  /* move-control.c, and what follows */
gcl_control_handler gcl_control_move_state;
gcl_control_handler gcl_control_drain;
gcl_control_handler gcl_control_why; /* place-why.c */

/** gcl_trace_more() - what has passed since: one more line, the caller's; NULL: nothing. At the
 * session's end it says so, and the tracing is over. */
struct json_object *gcl_trace_more(struct gcl_broker *broker, struct gcl_tracing *tracing);

/** gcl_trace_end() - nobody looks any more; for none, too. */
void gcl_trace_end(struct gcl_broker *broker, struct gcl_tracing *tracing);

/** gcl_status_limits() - @limits as an object, which the caller owns. */
struct json_object *gcl_status_limits(const struct gcl_vm_config *limits);

#endif
