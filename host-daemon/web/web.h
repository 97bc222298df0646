/* SPDX-License-Identifier: MIT */
/*
 * guestcl-web: guestcld's numbers by HTTP, for browsers and for Prometheus.
 *
 * Theory of operation. A process of its own, which knows guestcld by its control socket alone, and
 * only asks it for its status. It reads all that it serves when it starts, drops its rights, and
 * opens no file after that. One thread serves all connections. Who asks has to know the token; a
 * browser that has shown it once gets a cookie.
 */
#ifndef GCL_WEB_H
#define GCL_WEB_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "control.h"
#include "view.h"

#define GCL_WEB_HOSTS_MAX 16u

/* ------------------------------------------------------------ who may (access.c) */

#define GCL_WEB_TOKEN_MIN 16u
#define GCL_WEB_TOKEN_MAX 256u
#define GCL_WEB_COOKIE	  "guestcl"

struct gcl_web_access {
	char token[GCL_WEB_TOKEN_MAX + 1];
	char cookie[65];		      /* of this process's time */
	const char *hosts[GCL_WEB_HOSTS_MAX]; /* names beside addresses; lent */
	size_t host_count;
};

/**
 * gcl_web_access_init() - the token of @path, which is made with 0600 if it is missing.
 *
 * Return: 0, or -errno and @error, one line.
 */
int gcl_web_access_init(struct gcl_web_access *access, const char *path, char *error, size_t size);

/** gcl_web_token_is() - whether @text is the token; its time tells nothing of it. */
bool gcl_web_token_is(const struct gcl_web_access *access, const char *text);

/** gcl_web_bearer_is() - of the header Authorization, or NULL. */
bool gcl_web_bearer_is(const struct gcl_web_access *access, const char *header);

/** gcl_web_cookie_is() - of that cookie's value, or NULL. */
bool gcl_web_cookie_is(const struct gcl_web_access *access, const char *value);

/** gcl_web_host_is() - whether the header Host, or NULL, names us by an address, as localhost or by
 * a name that was allowed: a page of another name's can't be turned on us by its DNS. */
bool gcl_web_host_is(const struct gcl_web_access *access, const char *header);

/* ------------------------------------------------------------ what is served */

/* A file, read when the process starts. */
struct gcl_web_file {
	const char *url, *type;
	char *data; /* owned; NULL: it is missing */
	size_t size;
};

/* guestcld's status, asked for when it is wanted, and kept for a moment. */
struct gcl_web_status {
	struct gcl_control_client client;
	const char *path;
	struct json_object *answer; /* NULL: client.error says why */
	double asked;		    /* CLOCK_MONOTONIC, seconds */
};

void gcl_web_status_init(struct gcl_web_status *status, const char *path);
void gcl_web_status_fini(struct gcl_web_status *status);

/** gcl_web_status_get() - lends the status until the next call; NULL: guestcld doesn't say. */
struct json_object *gcl_web_status_get(struct gcl_web_status *status);

/** gcl_web_metrics() - the status in the text format of Prometheus, version 0.0.4. Return: owned by
 * the caller; NULL without memory. */
char *gcl_web_metrics(struct json_object *status, size_t *size);

/** gcl_web_rights_drop() - open no file from here on, and become no other process (rights.c). What
 * can't be given up is logged. */
void gcl_web_rights_drop(void);

/* ------------------------------------------------------------ the server (server.c) */

enum { GCL_WEB_INDEX, GCL_WEB_SCRIPT, GCL_WEB_STYLE, GCL_WEB_CHART, GCL_WEB_FILES };

struct MHD_Daemon;

struct gcl_web {
	struct gcl_web_access access;
	struct gcl_web_status status;
	struct gcl_web_file files[GCL_WEB_FILES];
	struct MHD_Daemon *daemon;
};

/** gcl_web_files_read() - of the folder @page, and Chart.js at @chart, without which there are
 * tables only. Return: 0 or -errno; logged. */
int gcl_web_files_read(struct gcl_web *web, const char *page, const char *chart);
void gcl_web_files_free(struct gcl_web *web);

/** gcl_web_serve() - take @listener over, a listening socket, and serve in a thread until
 * gcl_web_stop(). Return: 0 or -errno. */
int gcl_web_serve(struct gcl_web *web, int listener);
void gcl_web_stop(struct gcl_web *web);

#endif
