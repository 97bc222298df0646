// SPDX-License-Identifier: MIT
/*
 * The status of guestcld, for as many readers as there are.
 */
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "web.h"

/* However many ask, guestcld is asked four times a second. */
#define KEPT_SECONDS 0.25

/* All wait meanwhile. */
#define ANSWER_SECONDS 2

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void gcl_web_status_init(struct gcl_web_status *status, const char *path)
{
	memset(status, 0, sizeof *status);
	gcl_control_init(&status->client);
	status->path = path;
	status->asked = -1.;
}

void gcl_web_status_fini(struct gcl_web_status *status)
{
	json_object_put(status->answer);
	status->answer = NULL;
	gcl_control_fini(&status->client);
}

/* A connection may be of a daemon that has gone since: then there is one more try. */
static int ask(struct gcl_web_status *status, bool again)
{
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	struct json_object *request;
	bool old = status->client.fd >= 0;
	int err = old ? 0 : gcl_control_connect(&status->client, status->path);

	if (err < 0)
		return err;
	setsockopt(status->client.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	request = gcl_control_request("status");
	err = gcl_control_ask(&status->client, request, &status->answer);
	json_object_put(request);
	if (err < 0 && err != -ECANCELED && err != -ETIMEDOUT && old && again)
		return ask(status, false);
	return err;
}

struct json_object *gcl_web_status_get(struct gcl_web_status *status)
{
	double time = now();

	if (status->asked >= 0. && time < status->asked + KEPT_SECONDS)
		return status->answer;
	json_object_put(status->answer);
	status->answer = NULL;
	ask(status, true);
	status->asked = now();
	return status->answer;
}
