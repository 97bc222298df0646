/* SPDX-License-Identifier: MIT */
/*
 * A simulation of hosts and GPU servers whose tasks are moved by a policy of host-daemon/place.
 *
 * Theory of operation. Time goes from event to event (queue.c). Between two events everything
 * flows: a device is shared by its tasks as the scheduler shares it (device.c), a link by the moves
 * on it (move.c). Each host has a policy of its own, which sees its own tasks and devices as they
 * are, and servers as these announced themselves some seconds ago (host.c). A program whose
 * allocation fails ends, and is begun again later, from its beginning.
 *
 * Not simulated: single commands and their latencies, transfers of commands on links beside moves.
 *
 * Everything follows from the trace, the world and the seed: no clock, no other random numbers.
 * Times are seconds, sizes bytes.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "place.h"

#define SIM_TICK     1.
#define SIM_ANNOUNCE 5.	 /* between two announcements of a server */
#define SIM_RETRY    10. /* until a program that failed is begun again */
#define SIM_AVOID    20. /* a server at which a move failed */
#define SIM_END	     2e5 /* nothing goes on for longer */
#define SIM_NONE     UINT32_MAX

/* ------------------------------------------------------------ what is given */

/* A task as it would be alone on its home. */
struct sim_spec {
	double at; /* it begins */
	uint32_t host, vm;
	uint64_t memory, grow; /* that it allocates at first, and later */
	double grow_at;	       /* that is after this part of its commands */
	double commands;
	double kernel, think, trips, carried, dirty, build;
	bool kept; /* a lost server doesn't take it along */
};

struct sim_trace {
	struct sim_spec *specs;
	uint32_t count;
	uint32_t hosts, vms; /* one more than the largest numbers */
};

struct sim_world {
	const char *name, *about;
	uint32_t hosts, servers, vms, tasks;
	double load;	    /* of the hosts' devices, by all tasks */
	double pressure;    /* on their memory: above 1 it is short on average */
	uint64_t memory;    /* of a host's device; 0: from @pressure */
	double server_room; /* of a server, as a multiple of that of a host's device */
	double speed[2];    /* of servers: from, to */
	double rtt[2];
	double bandwidth[2]; /* of a server's link */
	double uplink;	     /* of a host's */
	double burst;	     /* part of the tasks that come in bursts */
	double deaths;	     /* of each server, a second */
	double liars;	     /* part of the servers that are slow and say that they are fast */
	double length[2];    /* of tasks; 0: from 10 s to 2000 s */
};

/* ------------------------------------------------------------ what happens */

enum sim_event_kind {
	SIM_ARRIVE, /* a task begins, or begins again */
	SIM_DEVICE, /* a task of a device comes to the end of what it does */
	SIM_HOST,   /* a tick of a host's policy */
	SIM_SERVER, /* a server announces itself */
	SIM_MOVES,  /* a move comes to the end of a round */
	SIM_DIE,
	SIM_RISE,
};

struct sim_event {
	double at;
	uint64_t order; /* among those at the same time */
	enum sim_event_kind kind;
	uint32_t index, version;
};

struct sim_queue {
	struct sim_event *events;
	uint32_t count, room;
	uint64_t order;
};

/* ------------------------------------------------------------ state */

enum sim_state {
	SIM_AWAITED, /* not there yet, or to begin again */
	SIM_RUNS,
	SIM_BLOCKED, /* its allocation waits for moves */
	SIM_STOPPED, /* the last round of its move */
	SIM_LOST,    /* its server is */
	SIM_DONE,
};

struct sim_task {
	const struct sim_spec *spec;
	struct gcl_place_task seen; /* what the policy sees, but for what changes all the time */
	enum sim_state state;
	uint32_t device; /* where it is */
	uint32_t slot;	 /* its index among the device's tasks, SIM_NONE: not on it */
	uint32_t move;	 /* index, SIM_NONE: none */
	uint32_t active; /* index among its host's */
	double done;	 /* commands */
	double rate;	 /* commands/s */
	double waited;	 /* s for each */
	double measured; /* the same, averaged over some seconds */
	bool grown;
	uint64_t asks; /* bytes, while it is blocked */
	uint64_t held;
	double end;
};

struct sim_device {
	char name[24];
	bool remote, dead, lies;
	uint64_t memory, free;
	double speed, rtt, bandwidth;
	double demand;
	uint32_t *tasks;
	uint32_t count, room, version;
	unsigned moves;
	double settled; /* its tasks are as they were then */
	/* What a server said last. */
	double said_demand, said_speed, said_at;
	uint64_t said_free;
};

struct sim_host {
	struct gcl_place_plan *plan;
	struct gcl_place *places;
	struct gcl_place_task *view_tasks;
	double *avoid;	  /* of each server */
	double *seen;	  /* speed of each place, as its tasks have shown it */
	uint32_t *active; /* tasks */
	uint32_t active_count, active_room;
	unsigned moving;
	uint64_t draws;
};

struct sim_move {
	uint32_t task, host, to;
	enum gcl_place_why why;
	bool stopped; /* the last round */
	unsigned rounds;
	uint64_t reserved;  /* bytes at its target */
	double round, left; /* bytes */
	double rate;	    /* bytes/s */
	double began;	    /* the round */
	double wait, until; /* s after its last byte, and when these are over */
};

struct sim_result {
	double makespan, waiting, waiting_p95, slowdown, slowdown_p95, fairness;
	uint64_t moves, home, moves_failed, failures, bytes;
	uint32_t unfinished, most_moves;
};

struct sim {
	const struct sim_trace *trace;
	const struct sim_world *world;
	const struct gcl_place_policy *policy;
	const struct gcl_place_settings *settings;
	FILE *log; /* decisions, explained; NULL: no */
	double now;
	uint64_t seed;
	struct sim_queue queue;
	struct sim_task *tasks;
	struct sim_device *devices; /* one of each host, then the servers' */
	uint32_t device_count;
	struct sim_host *hosts;
	struct sim_move *moves;
	uint32_t move_count, move_room, moves_version;
	double moves_settled;
	uint32_t *vm_counts;
	uint32_t done;
	unsigned *task_moves;
	struct sim_result result;
};

/* ------------------------------------------------------------ trace.c, scenario.c */

/** sim_trace_read() - lines of a trace; see tests/sim/trace.c. Return: 0, or the line that is
 * wrong, whose fault is put into @fault. The caller frees trace->specs, whatever is returned. */
unsigned sim_trace_read(FILE *stream, struct sim_trace *trace, const char **fault);
void sim_trace_write(FILE *stream, const struct sim_trace *trace);

/** sim_worlds() - the named scenarios; the list ends with one without a name. */
const struct sim_world *sim_worlds(void);

/** sim_trace_make() - tasks for @world; sets @world's memory where its pressure says it. */
void sim_trace_make(struct sim_world *world, uint64_t seed, struct sim_trace *trace);

/** sim_trace_fit() - memory for @world's hosts, of which @trace asks as its pressure says. */
void sim_trace_fit(struct sim_world *world, const struct sim_trace *trace);

/* ------------------------------------------------------------ random.c */

uint64_t sim_random(uint64_t *state);
double sim_uniform(uint64_t *state, double from, double to);
double sim_log_uniform(uint64_t *state, double from, double to);

/* ------------------------------------------------------------ queue.c */

void sim_queue_add(struct sim_queue *queue, double at, enum sim_event_kind kind, uint32_t index,
		   uint32_t version);
bool sim_queue_take(struct sim_queue *queue, struct sim_event *event);

/* ------------------------------------------------------------ device.c */

void sim_device_add(struct sim *sim, uint32_t device, uint32_t task);
void sim_device_remove(struct sim *sim, uint32_t task);

/** sim_device_share() - something changed: brings tasks up to now, and shares the device anew. */
void sim_device_share(struct sim *sim, uint32_t device);

/** sim_device_event() - a task has done what it was to do. */
void sim_device_event(struct sim *sim, uint32_t device);

/* ------------------------------------------------------------ host.c */

void sim_host_tick(struct sim *sim, uint32_t host);

/** sim_host_allocation() - whether moves will make room for what the task asks. */
bool sim_host_allocation(struct sim *sim, uint32_t task);

/* ------------------------------------------------------------ move.c */

void sim_move_begin(struct sim *sim, uint32_t host, uint32_t task, uint32_t to,
		    enum gcl_place_why why);
void sim_moves_event(struct sim *sim);

/** sim_move_cancel() - of a task that ends; if there is one. */
void sim_move_cancel(struct sim *sim, uint32_t task);

/** sim_moves_fail() - those to and from a device that died. */
void sim_moves_fail(struct sim *sim, uint32_t device);

/* ------------------------------------------------------------ task.c */

void sim_task_arrive(struct sim *sim, uint32_t task);

/** sim_task_proceed() - after its allocation, or a move. */
void sim_task_proceed(struct sim *sim, uint32_t task);
void sim_task_ask(struct sim *sim, uint32_t task, uint64_t bytes);
void sim_task_end(struct sim *sim, uint32_t task);
void sim_task_fail(struct sim *sim, uint32_t task);

/** sim_task_freed() - who waits for memory of @device gets it, if there is enough now. */
void sim_task_freed(struct sim *sim, uint32_t device);

/* ------------------------------------------------------------ run.c, report.c */

/** sim_run() - all of @trace with @policy; @log is lent, NULL: none. */
struct sim_result sim_run(const struct sim_trace *trace, const struct sim_world *world,
			  const struct gcl_place_policy *policy,
			  const struct gcl_place_settings *settings, uint64_t seed, FILE *log);

/** sim_set() - "NAME=VALUE" of a setting of placement. Return: false, there is none. */
bool sim_set(struct gcl_place_settings *settings, const char *text);

void sim_result_sum(struct sim *sim);
void sim_result_print(const char *scenario, const char *policy, const struct sim_result *result,
		      bool json, bool first);

void *sim_alloc(size_t count, size_t size);
void *sim_grow(void *array, uint32_t count, uint32_t *room, size_t size);

#endif
