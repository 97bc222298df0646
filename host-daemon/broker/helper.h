/* SPDX-License-Identifier: MIT */
/*
 * A program that serves beside the broker: its process, the way to it, and the next try.
 *
 * Whoever needs one has a struct gcl_helper among its own things. When the process ends, another is
 * started after a pause, which grows for as long as each ends soon.
 */
#ifndef GCL_BROKER_HELPER_H
#define GCL_BROKER_HELPER_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

struct gcl_broker;
struct gcl_helper;

struct gcl_helper_kind {
	const char *name;      /* of the program, "guestcl-web" */
	const char *setting;   /* without which there need be none, "web-listen" */
	const char *meanwhile; /* how it is while there is none, "; VMs go on"; or "" */

	/* A try is due: start it, or have it do what failed. */
	void (*again)(struct gcl_helper *helper);

	/* The process has ended, and @socket is still to be closed, by gcl_helper_close(). Return:
	 * whether there is to be another one. */
	bool (*gone)(struct gcl_helper *helper);
};

struct gcl_helper {
	struct gcl_broker *broker;
	const struct gcl_helper_kind *kind;
	pid_t pid;	 /* 0: there is none */
	int socket;	 /* the other end of its standard input; -1 */
	ev_tstamp since; /* its start, gcl_clock() */
	ev_tstamp pause; /* before the next try */
	struct ev_child child;
	struct ev_timer retry;
};

void gcl_helper_init(struct gcl_helper *helper, const struct gcl_helper_kind *kind,
		     struct gcl_broker *broker);

/**
 * gcl_helper_start() - start @program in a session of its own, with signals as they are initially.
 * @arguments: the first is the kind's name, whatever it is
 * @out: its standard output; -1: ours
 *
 * All our other descriptors that close on exec close in it. Return: 0 or -errno, which is logged.
 */
int gcl_helper_start(struct gcl_helper *helper, const char *program, char *arguments[], int out);

/** gcl_helper_follow() - what was started before is watched. */
void gcl_helper_follow(struct gcl_helper *helper);

/** gcl_helper_retry() - what was tried has failed: kind->again() is called after the pause. */
void gcl_helper_retry(struct gcl_helper *helper);

/** gcl_helper_anew() - no try is due, and the next pause is a short one. */
void gcl_helper_anew(struct gcl_helper *helper);

/** gcl_helper_close() - close the socket, whose end the process takes for its own. */
void gcl_helper_close(struct gcl_helper *helper);

/** gcl_helper_kill() - end the process; another is started after a while, if we live. */
void gcl_helper_kill(struct gcl_helper *helper);

/** gcl_helper_end() - end it for good, as long as none is started; may be called twice. */
void gcl_helper_end(struct gcl_helper *helper);

#endif
