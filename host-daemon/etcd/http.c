// SPDX-License-Identifier: MIT
/*
 * Requests to etcd's gateway: libcurl's multi interface on a libev loop.
 *
 * libcurl's own callbacks only note what came. What it means is told afterwards, from pump(), so
 * that whoever is told may begin and cancel requests.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "etcd.h"

#define CONNECT_MS   2000L
#define FILE_BYTES   (1u << 20)
#define ROOM_INITIAL 4096u

struct gcl_http_request {
	struct gcl_list link;
	struct gcl_http *http;
	CURL *easy;
	struct curl_slist *headers;
	gcl_http_item *item;
	gcl_http_done *done;
	void *data;
	char *came;		   /* the answer, or what of a stream hasn't been told */
	size_t used, room, looked; /* of it; looked at for the end of a line */
	bool ended;
	CURLcode how; /* it did */
	char reason[CURL_ERROR_SIZE];
};

/* A socket of libcurl's. */
struct watched {
	struct gcl_http *http;
	struct ev_io io;
};

static void pump(struct gcl_http *http);

/* ------------------------------------------------------------ libcurl and the loop */

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct watched *watched = io->data;
	struct gcl_http *http = watched->http;
	int running, action = (events & EV_READ ? CURL_CSELECT_IN : 0) |
			      (events & EV_WRITE ? CURL_CSELECT_OUT : 0);

	(void)loop;
	curl_multi_socket_action(http->multi, io->fd, action, &running);
	pump(http);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct gcl_http *http = timer->data;
	int running;

	(void)loop;
	(void)events;
	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	pump(http);
}

static int socket_follow(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
	struct gcl_http *http = data;
	struct watched *watched = known;

	(void)easy;
	if (watched)
		ev_io_stop(http->loop, &watched->io);
	if (what == CURL_POLL_REMOVE) {
		free(watched);
		curl_multi_assign(http->multi, fd, NULL);
		return 0;
	}
	if (!watched) {
		watched = calloc(1, sizeof *watched);
		if (!watched)
			return -1;
		watched->http = http;
		ev_init(&watched->io, on_socket);
		watched->io.data = watched;
		curl_multi_assign(http->multi, fd, watched);
	}
	ev_io_set(&watched->io, fd,
		  (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(http->loop, &watched->io);
	return 0;
}

static int timer_follow(CURLM *multi, long ms, void *data)
{
	struct gcl_http *http = data;

	(void)multi;
	ev_timer_stop(http->loop, &http->timer);
	if (ms >= 0) {
		ev_timer_set(&http->timer, (double)ms / 1000., 0.);
		ev_timer_start(http->loop, &http->timer);
	}
	return 0;
}

/* ------------------------------------------------------------ what came */

static size_t on_bytes(char *bytes, size_t one, size_t size, void *data)
{
	struct gcl_http_request *request = data;

	(void)one;
	if (size > GCL_ANSWER_MAX - request->used) {
		snprintf(request->reason, sizeof request->reason, "its answer is too long");
		return 0;
	}
	if (request->used + size > request->room) {
		size_t room = GCL_MAX(2 * request->room, request->used + size + ROOM_INITIAL);
		char *more = realloc(request->came, room);

		if (!more)
			return 0;
		request->came = more;
		request->room = room;
	}
	memcpy(request->came + request->used, bytes, size);
	request->used += size;
	return size;
}

/* Tells of the first whole line of a stream. Return: whether there was one. */
static bool line_tell(struct gcl_http_request *request)
{
	struct json_object *answer;
	char *end;
	size_t size;

	if (!request->item || request->looked == request->used)
		return false;
	end = memchr(request->came + request->looked, '\n', request->used - request->looked);
	request->looked = request->used;
	if (!end)
		return false;
	size = (size_t)(end - request->came);
	answer = gcl_json_parse(request->came, size);
	request->used -= size + 1;
	request->looked = 0;
	memmove(request->came, end + 1, request->used);
	/* Line by line: what isn't JSON is told as nothing. */
	request->item(request->data, answer);
	json_object_put(answer);
	return true;
}

/* A reason may be anything that a peer said; @text is not request->reason. */
static void reason_set(struct gcl_http_request *request, const char *text)
{
	snprintf(request->reason, sizeof request->reason, "%s", text);
	for (char *c = request->reason; *c; c++)
		*c = (char)(isprint((unsigned char)*c) ? *c : '?');
}

/* The gateway's errors: {"error": "...", "code": 5}, and in streams {"error": {"grpc_code": 5,
 * "message": "..."}}. */
static void error_read(struct gcl_http_request *request, struct json_object *answer,
		       struct gcl_http_result *result)
{
	struct json_object *error = gcl_json_member(answer, "error");
	bool nested = json_object_is_type(error, json_type_object);
	const char *text =
		nested ? gcl_json_text(error, "message") : gcl_json_text(answer, "error");
	int64_t code =
		nested ? gcl_json_integer(error, "grpc_code") : gcl_json_integer(answer, "code");

	reason_set(request, *text ? text : "etcd refuses it");
	result->code = code > 0 && code < 100 ? (int)code : 0;
	result->error = request->reason;
}

/* Return: the answer, the caller's, or NULL and an error in @result. */
static struct json_object *result_make(struct gcl_http_request *request,
				       struct gcl_http_result *result)
{
	struct json_object *answer;
	char text[64];
	long status = 0;

	if (request->how != CURLE_OK) {
		if (!*request->reason)
			reason_set(request, curl_easy_strerror(request->how));
		result->error = request->reason;
		return NULL;
	}
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	answer = gcl_json_parse(request->came ? request->came : "", request->used);
	if (gcl_json_member(answer, "error")) {
		error_read(request, answer, result);
	} else if (status != 200 || (!answer && !request->item)) {
		snprintf(text, sizeof text, "it answers like no etcd (HTTP %ld)", status);
		reason_set(request, text);
		result->error = request->reason;
	}
	if (!result->error && !request->item)
		return answer;
	json_object_put(answer);
	return NULL;
}

static void request_free(struct gcl_http_request *request)
{
	gcl_list_remove(&request->link);
	curl_multi_remove_handle(request->http->multi, request->easy);
	curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->headers);
	free(request->came);
	free(request);
}

static void end_tell(struct gcl_http_request *request)
{
	struct gcl_http_result result = {0};
	struct json_object *answer = result_make(request, &result);
	gcl_http_done *done = request->done;
	void *data = request->data;
	char reason[sizeof request->reason];

	if (result.error) {
		memcpy(reason, request->reason, sizeof reason);
		result.error = reason;
	}
	result.answer = answer;
	request_free(request);
	done(data, &result);
	json_object_put(answer);
}

static void ends_note(struct gcl_http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct gcl_http_request *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		if (!request)
			continue;
		request->ended = true;
		request->how = message->data.result;
	}
}

/* Tells of one thing. Return: whether there was one; the list of requests may be another now. */
static bool tell_one(struct gcl_http *http)
{
	gcl_list_for_each (it, &http->requests) {
		struct gcl_http_request *request =
			gcl_container_of(it, struct gcl_http_request, link);

		if (line_tell(request))
			return true;
		if (request->ended) {
			end_tell(request);
			return true;
		}
	}
	return false;
}

static void pump(struct gcl_http *http)
{
	ends_note(http);
	while (tell_one(http))
		;
}

/* ------------------------------------------------------------ requests */

static void options_set(struct gcl_http_request *request, const char *url, const char *body)
{
	const struct gcl_http *http = request->http;
	CURL *easy = request->easy;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->reason);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
			 request->item ? 0L : (long)(http->seconds * 1000.));
	/* Those that were given, and no authority of the system's. */
	curl_easy_setopt(easy, CURLOPT_CAPATH, (char *)NULL);
	curl_easy_setopt(easy, CURLOPT_CAINFO,
			 *http->files[GCL_ETCD_CA] ? http->files[GCL_ETCD_CA] : NULL);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (*http->files[GCL_ETCD_CERTIFICATE]) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, http->files[GCL_ETCD_CERTIFICATE]);
		curl_easy_setopt(easy, CURLOPT_SSLKEY, http->files[GCL_ETCD_KEY]);
	}
}

static int headers_make(struct gcl_http_request *request)
{
	char line[sizeof request->http->token + 32];
	struct curl_slist *more;

	/* No waiting for "100 Continue". */
	snprintf(line, sizeof line, "Authorization: %s", request->http->token);
	for (unsigned i = 0; i < 3; i++) {
		const char *const lines[] = {"Content-Type: application/json", "Expect:", line};

		if (i == 2 && !*request->http->token)
			break;
		more = curl_slist_append(request->headers, lines[i]);
		if (!more)
			return -ENOMEM;
		request->headers = more;
	}
	return 0;
}

struct gcl_http_request *gcl_http_post(struct gcl_http *http, const char *path,
				       struct json_object *body, gcl_http_item *item,
				       gcl_http_done *done, void *data)
{
	struct gcl_http_request *request = calloc(1, sizeof *request);
	const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);
	char url[sizeof http->members[0] + 64];

	if (request)
		request->easy = curl_easy_init();
	if (!text || !request || !request->easy)
		goto fail;
	*request = (struct gcl_http_request){
		.http = http,
		.easy = request->easy,
		.item = item,
		.done = done,
		.data = data,
	};
	snprintf(url, sizeof url, "%s%s", http->members[http->member], path);
	if (headers_make(request) < 0)
		goto fail;
	options_set(request, url, text);
	if (curl_multi_add_handle(http->multi, request->easy) != CURLM_OK)
		goto fail;
	gcl_list_append(&http->requests, &request->link);
	json_object_put(body);
	return request;
fail:
	if (request) {
		curl_slist_free_all(request->headers);
		curl_easy_cleanup(request->easy);
	}
	free(request);
	json_object_put(body);
	return NULL;
}

void gcl_http_cancel(struct gcl_http_request **request)
{
	if (*request)
		request_free(*request);
	*request = NULL;
}

/* ------------------------------------------------------------ the whole */

int gcl_http_init(struct gcl_http *http, struct ev_loop *loop)
{
	*http = (struct gcl_http){.loop = loop};
	memset(http->fds, -1, sizeof http->fds);
	gcl_list_init(&http->requests);
	ev_timer_init(&http->timer, on_timer, 0., 0.);
	http->timer.data = http;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	http->multi = curl_multi_init();
	if (!http->multi)
		return -ENOMEM;
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_follow);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timer_follow);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return 0;
}

static void files_close(struct gcl_http *http)
{
	for (size_t i = 0; i < GCL_ARRAY_SIZE(http->fds); i++) {
		gcl_cleanup_close(&http->fds[i]);
		http->fds[i] = -1;
		http->files[i][0] = '\0';
	}
}

void gcl_http_fini(struct gcl_http *http)
{
	curl_multi_cleanup(http->multi);
	ev_timer_stop(http->loop, &http->timer);
	files_close(http);
	explicit_bzero(http->token, sizeof http->token);
	curl_global_cleanup();
}

static void members_take(struct gcl_http *http, const char *urls)
{
	http->member_count = http->member = 0;
	while (http->member_count < GCL_MEMBERS_MAX) {
		size_t length = strcspn(urls, ",");

		snprintf(http->members[http->member_count++], sizeof http->members[0], "%.*s",
			 (int)length, urls);
		if (!urls[length])
			break;
		urls += length + 1;
	}
}

/* A copy in memory: files can't be opened any more when libcurl wants them, by their paths. */
static int file_take(struct gcl_http *http, size_t index, int fd)
{
	_cleanup_close_ int copy = memfd_create("guestcl-etcd", MFD_CLOEXEC);
	_cleanup_free_ char *bytes = malloc(FILE_BYTES);
	ssize_t size;

	if (copy < 0 || !bytes)
		return -ENOMEM;
	size = pread(fd, bytes, FILE_BYTES, 0);
	if (size < 0 || write(copy, bytes, (size_t)size) != size)
		return -errno;
	explicit_bzero(bytes, (size_t)size);
	http->fds[index] = steal_fd(&copy);
	snprintf(http->files[index], sizeof http->files[index], "/proc/self/fd/%d",
		 http->fds[index]);
	return 0;
}

int gcl_http_configure(struct gcl_http *http, const struct gcl_etcd_setup *setup,
		       int fds[GCL_ETCD_FILES])
{
	int err = 0;

	files_close(http);
	members_take(http, setup->urls);
	http->token[0] = '\0';
	http->seconds = GCL_MIN(GCL_MAX(setup->lease_ms / 3000., 2.), 5.);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(http->fds) && err == 0; i++) {
		if (fds[i] >= 0)
			err = file_take(http, i, fds[i]);
	}
	return err;
}
