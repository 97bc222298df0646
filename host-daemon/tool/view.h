/* SPDX-License-Identifier: MIT */
/*
 * guestcld's status as numbers and names to show, and rates from two of them.
 *
 * Names come from guests: what would command a terminal or a reader's eye is replaced by '?'.
 * What is missing in the JSON is 0 or empty.
 */
#ifndef GCL_TOOL_VIEW_H
#define GCL_TOOL_VIEW_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GCL_VIEW_NAME_MAX  96u
#define GCL_VIEW_PARTS_MAX 32u

/* Totals, but for memory and heap, which are now. */
struct gcl_view_counts {
	uint64_t memory, heap; /* bytes */
	uint64_t busy, wait;   /* ns that devices worked, or were waited for */
	uint64_t from_guest, to_guest;
	uint64_t calls, errors;
};

/* What happened in a second. */
struct gcl_view_rate {
	double busy, wait; /* seconds: 1 is one command all the time */
	double from_guest, to_guest;
	double calls, errors;
};

/* A VM's share of one device. */
struct gcl_view_part {
	uint64_t device;
	uint64_t memory, busy, wait;
};

/* A device, a VM or user, or a session. */
struct gcl_view_row {
	char id[GCL_VIEW_NAME_MAX];
	char name[GCL_VIEW_NAME_MAX];	   /* device, VM; a session's program */
	char state[16];			   /* a device's type */
	char kind[16];			   /* a VM's; a session's channel */
	char peer[72];			   /* a session's, on another machine */
	char owner[GCL_VIEW_NAME_MAX];	   /* a session's VM, a device's platform */
	uint64_t limit;			   /* of memory; 0: none */
	uint64_t weight, sessions;	   /* a VM's */
	uint64_t waiting;		   /* sessions that wait for their turn on a device */
	double age;			   /* a session's, seconds */
	char at[GCL_VIEW_NAME_MAX];	   /* servers that a session's queues are on; empty: home */
	char move[GCL_VIEW_NAME_MAX + 32]; /* its move that is under way; empty: none */
	uint64_t away;			   /* queues there */
	struct gcl_view_counts counts;
	struct gcl_view_rate rate;
	struct gcl_view_part parts[GCL_VIEW_PARTS_MAX]; /* a VM's */
	size_t part_count;
};

struct gcl_view_rows {
	struct gcl_view_row *rows; /* owned */
	size_t count;
};

struct gcl_view {
	uint64_t time; /* ns, CLOCK_MONOTONIC */
	uint64_t pid, workers, sessions, served, refused, memory, left_out;
	double uptime;
	char version[32];
	char worker_error[256];				   /* why no worker can be prepared; "" */
	uint64_t servers_up, servers_stale, servers_known; /* as guestcl-servers(1) has them */
	struct gcl_view_moves {
		uint64_t under_way, done, failed, bytes, pause, links;
		uint64_t away; /* queues */
	} moves;
	char etcd[16];	 /* its state; empty: not said */
	double etcd_age; /* of that, seconds */
	char etcd_error[GCL_VIEW_NAME_MAX * 2];
	bool rated; /* the rates are known */
	struct gcl_view_rows devices, vms, items;
};

/** gcl_view_read() - of the answer @status, lent. Return: 0, or -ENOMEM. fini after both. */
int gcl_view_read(struct gcl_view *view, struct json_object *status);

void gcl_view_fini(struct gcl_view *view);

/**
 * gcl_view_rate() - rates since @before, which may be any older view, of another daemon too.
 *
 * What is new, or has gone back, has a rate of 0. None is negative or infinite.
 */
void gcl_view_rate(struct gcl_view *view, const struct gcl_view *before);

/** gcl_view_clean() - copy as much of @text as fits; see above. @text may be NULL. */
void gcl_view_clean(char *copy, size_t size, const char *text);

/* ------------------------------------------------------------ for people */

/* Return: @text. */
char *gcl_view_bytes(double bytes, char *text, size_t size);
char *gcl_view_count(double count, char *text, size_t size);
char *gcl_view_percent(double part, char *text, size_t size);
char *gcl_view_time(uint64_t ns, char *text, size_t size);
char *gcl_view_age(double seconds, char *text, size_t size);

#endif
