// SPDX-License-Identifier: MIT
/*
 * HTTP, by libmicrohttpd: which request gets what.
 *
 * A request is checked in this order: method, Host, token, path. Nothing is told before the token.
 */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "web.h"

#define CONNECTIONS_MAX	  64u
#define CONNECTION_MEMORY 32768u
#define IDLE_SECONDS	  15u

typedef enum MHD_Result result;

/* Of every response: no other origin's scripts, frames or caches. */
static const struct {
	const char *name, *value;
} headers[] = {
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "
				    "img-src data:; connect-src 'self'; "
				    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cache-Control", "no-store"},
};

/* Takes over @response. */
static result respond(struct MHD_Connection *connection, unsigned status, const char *type,
		      struct MHD_Response *response)
{
	result queued;

	if (!response)
		return MHD_NO;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(headers); i++)
		MHD_add_response_header(response, headers[i].name, headers[i].value);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static result respond_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return respond(
		connection, status, "text/plain; charset=utf-8",
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY));
}

/* ------------------------------------------------------------ who asks */

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static result refuse_token(struct MHD_Connection *connection)
{
	static char text[] =
		"guestcl: this takes the token of guestcl-web.\n\n"
		"In a browser, open this address with ?token=TOKEN once; programs send the header\n"
		"\"Authorization: Bearer TOKEN\". web-token-file in guestcld.conf says where it "
		"is.\n";
	struct MHD_Response *response =
		MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);

	if (response)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	return respond(connection, MHD_HTTP_UNAUTHORIZED, "text/plain; charset=utf-8", response);
}

/* The token leaves the address, and a cookie is there instead. */
static result log_in(struct gcl_web *web, struct MHD_Connection *connection)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	char cookie[160];

	snprintf(cookie, sizeof cookie, GCL_WEB_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict",
		 web->access.cookie);
	if (response) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_SET_COOKIE, cookie);
		MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, "/");
	}
	return respond(connection, MHD_HTTP_SEE_OTHER, "text/plain; charset=utf-8", response);
}

static bool is_known(const struct gcl_web *web, struct MHD_Connection *connection)
{
	return gcl_web_bearer_is(&web->access, header(connection, MHD_HTTP_HEADER_AUTHORIZATION)) ||
	       gcl_web_cookie_is(
		       &web->access,
		       MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, GCL_WEB_COOKIE));
}

/* ------------------------------------------------------------ what is asked for */

static result no_status(struct gcl_web *web, struct MHD_Connection *connection)
{
	char text[600];

	snprintf(text, sizeof text, "%s\n", web->status.client.error);
	return respond_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static result status_get(struct gcl_web *web, struct MHD_Connection *connection)
{
	struct json_object *status = gcl_web_status_get(&web->status);
	const char *text;
	size_t size;

	if (!status)
		return no_status(web, connection);
	text = json_object_to_json_string_length(status, JSON_C_TO_STRING_PLAIN, &size);
	return respond(
		connection, MHD_HTTP_OK, "application/json",
		text ? MHD_create_response_from_buffer(size, (void *)text, MHD_RESPMEM_MUST_COPY)
		     : NULL);
}

static result metrics_get(struct gcl_web *web, struct MHD_Connection *connection)
{
	struct json_object *status = gcl_web_status_get(&web->status);
	struct MHD_Response *response;
	size_t size;
	char *text;

	if (!status)
		return no_status(web, connection);
	text = gcl_web_metrics(status, &size);
	response = text ? MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE) : NULL;
	if (!response)
		free(text);
	return respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
		       response);
}

static result path_get(struct gcl_web *web, struct MHD_Connection *connection, const char *url)
{
	if (strcmp(url, "/metrics") == 0)
		return metrics_get(web, connection);
	if (strcmp(url, "/api/status") == 0)
		return status_get(web, connection);
	for (size_t i = 0; i < GCL_WEB_FILES; i++) {
		const struct gcl_web_file *file = &web->files[i];

		if (file->data && strcmp(url, file->url) == 0)
			return respond(connection, MHD_HTTP_OK, file->type,
				       MHD_create_response_from_buffer(file->size, file->data,
								       MHD_RESPMEM_PERSISTENT));
	}
	return respond_text(connection, MHD_HTTP_NOT_FOUND, "guestcl: there is nothing here\n");
}

static result request_answer(struct gcl_web *web, struct MHD_Connection *connection,
			     const char *url, const char *method)
{
	const char *token;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return respond_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
				    "guestcl: there is only GET here\n");
	if (!gcl_web_host_is(&web->access, header(connection, MHD_HTTP_HEADER_HOST)))
		return respond_text(
			connection, MHD_HTTP_MISDIRECTED_REQUEST,
			"guestcl: this host is known by its address, as localhost or by a "
			"name given with --host\n");
	token = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "token");
	if (strcmp(url, "/") == 0 && gcl_web_token_is(&web->access, token))
		return log_in(web, connection);
	if (!is_known(web, connection))
		return refuse_token(connection);
	return path_get(web, connection, url);
}

/* ------------------------------------------------------------ the daemon of libmicrohttpd */

/* First with the headers, then with a body in parts, if there is one; nobody reads it. */
static result on_request(void *data, struct MHD_Connection *connection, const char *url,
			 const char *method, const char *version, const char *body,
			 size_t *body_size, void **state)
{
	static char begun;

	(void)version;
	(void)body;
	if (!*state) {
		*state = &begun;
		return MHD_YES;
	}
	if (*body_size) {
		*body_size = 0;
		return MHD_YES;
	}
	return request_answer(data, connection, url, method);
}

/* What peers send wrong is no line of the log's. */
static void on_log(void *data, const char *format, va_list arguments)
{
	char text[256];

	(void)data;
	vsnprintf(text, sizeof text, format, arguments);
	text[strcspn(text, "\n")] = '\0';
	gcl_log_debug(broker, "libmicrohttpd: %s", text);
}

int gcl_web_serve(struct gcl_web *web, int listener)
{
	web->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, web,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_END);
	return web->daemon ? 0 : -EIO;
}

void gcl_web_stop(struct gcl_web *web)
{
	if (web->daemon)
		MHD_stop_daemon(web->daemon);
	web->daemon = NULL;
}
