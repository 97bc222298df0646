/* SPDX-License-Identifier: MIT */
/*
 * Where tasks run: the state that a policy sees, and what it decides.
 *
 * Theory of operation. A task is a command queue with the objects that it reaches. It runs at a
 * place: a device of this host or one of a GPU server. Whoever calls fills a view with what was
 * measured here and what servers announce, says what happened (an event), and gets a plan: a list
 * of decisions, each a task, where it goes, why, and the figures behind that. Nothing is moved
 * here.
 *
 * What may happen. An allocation that doesn't fit moves the task that frees most for least, or the
 * one that asks, instead of failing. A task that waits for a busy device moves when what it would
 * save is more than the move costs (cost.h). It comes back to its home, the device that its program
 * chose, when that has room again; the thresholds of going and coming lie apart, a task stays for a
 * while where it is, and moves no more than a few times in a span: nothing flaps. A server that is
 * lost or being drained is left, whatever that costs.
 *
 * What servers say is a claim: a number that can't be (check.c) makes the place no target, and a
 * task with such numbers stays where it is. Sums of claims are doubles of bounded terms. A number
 * that can be may still be a lie: what was measured of a server counts instead of what it says, and
 * a speed that nobody has seen yet counts as GCL_COST_UNPROVEN at most.
 *
 * Must not: block, read a clock, allocate but in gcl_place_plan_create(), keep anything between two
 * calls. The same view, event and policy make the same plan. Times are seconds, moments are seconds
 * of any clock that doesn't go back, memory is in bytes, bandwidth in bytes a second.
 */
#ifndef GCL_PLACE_PLACE_H
#define GCL_PLACE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view with more is refused. */
#define GCL_PLACE_PLACES_MAX 4096
#define GCL_PLACE_TASKS_MAX  65536

/* What one plan has room for; what is left over is decided next time. */
#define GCL_PLACE_DECISIONS_MAX 64

/* How many of its last moves are known of each task. */
#define GCL_PLACE_HISTORY 8

#define GCL_PLACE_NONE UINT32_MAX

/* A device, here or on a server. */
struct gcl_place {
	const char *name; /* lent; for explanations */
	bool remote;	  /* on a server: memory, free, demand and speed are what that announced */
	bool lost;	  /* nobody answers there */
	bool draining;	  /* the operator wants it empty */
	double age;	  /* s since what it announced was measured; 0 here */
	double avoid_until; /* a move there failed: not before that moment again; 0: none did */
	uint64_t memory;    /* bytes that there are for tasks */
	uint64_t free;	    /* of these, neither held nor promised to tasks that are on their way */
	double demand;	    /* the sum of the parts of the device that its tasks would use, each
			       being alone there: above 1 somebody waits */
	double speed;	    /* of kernels, compared with a device of this host; 1: the same */
	double speed_seen;  /* what kernels of this host have shown of that; 0: nothing yet */
	double rtt;	    /* s; 0 here */
	double bandwidth;   /* bytes/s of its link, or to and from the device here */
	unsigned moves;	    /* under way to it or from it */
	uint64_t can;	    /* what tasks may need of a device: bits that the caller defines */
};

/* Why a task can't be moved. */
enum gcl_place_hold {
	GCL_PLACE_FREE,	  /* it can */
	GCL_PLACE_PINNED, /* the operator said so */
	GCL_PLACE_SHARED, /* what it uses is used by others at the same time */
	GCL_PLACE_UNFIT,  /* it uses what can't be carried */
	GCL_PLACE_MOVING, /* it is being moved */
	GCL_PLACE_FAILED, /* a move of it failed lately */
	GCL_PLACE_STANDS, /* it stands still: paused, or waiting for memory */
	GCL_PLACE_HOLDS
};

struct gcl_place_task {
	uint64_t id;   /* for explanations: the session's number, say */
	uint32_t vm;   /* its VM: any number below the plan's count of VMs */
	double weight; /* of its VM */
	enum gcl_place_hold hold;
	uint32_t home;	/* index of the place that its program chose, which is here */
	uint32_t where; /* index of the place where it runs */
	uint32_t to;	/* while it is being moved: where to */
	bool kept;	/* should that place be lost: all that it needs is here, too */
	double started; /* moment since when it has been at work */
	double since;	/* moment when it came to where it is */
	double moved[GCL_PLACE_HISTORY]; /* moments of its last moves, in any order; 0: none */

	uint64_t memory;     /* bytes that it holds where it is, and frees when it goes */
	uint64_t bytes;	     /* of these, those that a move has to carry */
	uint64_t bytes_home; /* and those that a move home has to carry */
	double dirty;	     /* bytes/s that it writes while it runs */
	double build;	     /* s to build its programs elsewhere; 0: they are there already */

	uint64_t wants; /* what it needs of a device: only where place.can has it all may it go */

	/* Means of its commands, measured lately. */
	double kernel;	     /* s on its home */
	double kernel_there; /* s on the place @there; 0: not known yet */
	uint32_t there;
	double think;	/* s between two commands in which it wants nothing of the device */
	double trips;	/* times that the program waits for the device */
	double carried; /* bytes between program and device */
	double waited;	/* s that the command waited for others where it is; not for a ceiling */
};

/* What a policy goes by. Zeros are taken as they stand: begin with gcl_place_settings. */
struct gcl_place_settings {
	unsigned moves_at_once; /* that this host makes */
	double stay_min;	/* s in a place before the next move */
	double span;		/* s */
	unsigned moves_in_span; /* of a task; GCL_PLACE_HISTORY at most */
	double go_demand;	/* a place whose demand is above that is busy */
	double go_ratio;	/* commands must be faster there by that */
	double flee_ratio;	/* from a slow server to a busy home: by that */
	double go_margin;	/* what is saved must be that many times the cost */
	double back_demand;	/* of home, the task there again, at most, */
	double back_idle;	/* or of the others there: one that fills a device alone must be
				   able to come home, too */
	double back_ratio;	/* commands must be faster at home by that */
	double back_worth;	/* part of its time that a task gives for being at home: it
				   depends on no link, and is in nobody's way elsewhere */
	double back_reserve;	/* part of home's memory that must stay free */
	double horizon;		/* s that are looked ahead, at most */
	double stale;		/* s after which nothing new goes to a server that says nothing */
};

/* What is used unless somebody says otherwise. */
extern const struct gcl_place_settings gcl_place_settings;

struct gcl_place_view {
	double now;
	const struct gcl_place *places;
	const struct gcl_place_task *tasks;
	uint32_t place_count, task_count;
	const struct gcl_place_settings *settings;
	double uplink;	 /* bytes/s from this host to all servers together */
	unsigned moving; /* moves that this host has under way */
	uint64_t draw;	 /* random, another one for each plan: hosts must not all choose alike */
};

enum gcl_place_event_kind {
	GCL_PLACE_TICK,	      /* time has passed, about a second */
	GCL_PLACE_ALLOCATION, /* @bytes that @task wants don't fit where it is */
	GCL_PLACE_LOST,	      /* places are lost */
	GCL_PLACE_DRAIN,      /* places are draining */
	GCL_PLACE_ORDER,      /* the operator moves @task to @to */
};

struct gcl_place_event {
	enum gcl_place_event_kind kind;
	uint32_t task, to;
	uint64_t bytes;
	bool quota; /* what doesn't hold @bytes is the VM's quota: only its own tasks make room */
	uint64_t quota_left; /* bytes of that */
};

/* Why a task goes, or why it stays. */
enum gcl_place_why {
	GCL_PLACE_GO_WAITING, /* what it waits is more than the move costs */
	GCL_PLACE_GO_ROOM,    /* it makes room for an allocation of another task */
	GCL_PLACE_GO_ASKING,  /* its own allocation doesn't fit */
	GCL_PLACE_GO_HOME,    /* there is room at home again */
	GCL_PLACE_GO_LOST,    /* its server is lost */
	GCL_PLACE_GO_DRAIN,
	GCL_PLACE_GO_ORDER,
	GCL_PLACE_STAY_HELD,	  /* it can't be moved: its hold */
	GCL_PLACE_STAY_ODD,	  /* numbers that can't be */
	GCL_PLACE_STAY_GONE,	  /* its server is lost, and what it needs with it */
	GCL_PLACE_STAY_CALM,	  /* its place isn't busy */
	GCL_PLACE_STAY_NEW,	  /* it came just now */
	GCL_PLACE_STAY_MOVED,	  /* it has been moved too often lately */
	GCL_PLACE_STAY_NOWHERE,	  /* no place would have it */
	GCL_PLACE_STAY_NO_FASTER, /* its commands would not be faster there, or not by enough */
	GCL_PLACE_STAY_COST,	  /* they would, but for less than the move costs */
	GCL_PLACE_STAY_SLOTS,	  /* enough moves are under way */
	GCL_PLACE_STAY_AWAY,	  /* its home hasn't enough room yet */
	GCL_PLACE_WHYS
};

/* What a decision rests on. */
struct gcl_place_figures {
	double here, there;	  /* s for a command, all in all, in the old place and in the new */
	double waiting;		  /* s of @here that are waiting */
	double link;		  /* s of @there that the link takes */
	double demand, demand_to; /* of the places, without this decision */
	double copied;		  /* bytes that the move carries */
	unsigned rounds;
	double copying, pause;	/* s: while the task runs on, and while it doesn't */
	double lost;		/* s that the move costs the task */
	double horizon;		/* s that it is expected to go on like this */
	double saved;		/* s of these that it saves in the new place */
	double score;		/* what decisions were ranked by */
	uint64_t memory, needs; /* bytes that it frees, and needs there */
	uint64_t free_to;	/* bytes */
	unsigned moves;		/* of the task in the last span */
};

struct gcl_place_decision {
	uint32_t task, from, to; /* @to: GCL_PLACE_NONE when there is no place to speak of */
	enum gcl_place_why why;
	struct gcl_place_figures figures;
};

/* What the plan's decisions leave of a place. */
struct gcl_place_left {
	double demand;
	uint64_t free;
	unsigned moves;
	uint64_t can;
	bool sane;   /* its numbers can be */
	bool usable; /* as a target */
};

struct gcl_place_plan {
	struct gcl_place_decision decisions[GCL_PLACE_DECISIONS_MAX];
	unsigned count;
	bool refused; /* of an allocation: nothing can be done for it */

	/* Of the policies, while they decide. */
	const struct gcl_place_view *view;
	struct gcl_place_left *left;
	uint32_t *targets; /* indexes of usable places */
	double *held;	   /* bytes of each VM in the place that is short of them */
	uint8_t *marks;	   /* of tasks: enum gcl_plan_mark */
	const struct gcl_place_policy *policy;
	uint32_t target_count, vm_count, places_max, tasks_max;
	unsigned slots; /* moves that may still be begun */
	uint64_t draw;
};

struct gcl_place_policy {
	const char *name, *about;
	/** Looks at all tasks. NULL: nothing moves by itself. */
	void (*tick)(struct gcl_place_plan *plan);
	/** Makes room, or sets plan->refused. NULL: it is refused. */
	void (*allocation)(struct gcl_place_plan *plan, const struct gcl_place_event *event);
	/** Where @task should go of the usable places, needing @needs bytes: index or
	 * GCL_PLACE_NONE. NULL: nothing leaves lost or draining places. */
	uint32_t (*choose)(struct gcl_place_plan *plan, uint32_t task, uint64_t needs);
	/** What it thinks of @task, for an explanation. NULL: nothing. */
	void (*judge)(struct gcl_place_plan *plan, uint32_t task,
		      struct gcl_place_decision *decision);
};

extern const struct gcl_place_policy gcl_place_stay, gcl_place_memory, gcl_place_balance,
	gcl_place_two, gcl_place_greedy;

/** gcl_place_policies() - all of them; the list ends with NULL. */
const struct gcl_place_policy *const *gcl_place_policies(void);

/** gcl_place_policy_find() - by its name; NULL: there is none. */
const struct gcl_place_policy *gcl_place_policy_find(const char *name);

/**
 * gcl_place_plan_create() - room for plans of views of up to so many tasks, places and VMs.
 *
 * Return: 0; -E2BIG: more than GCL_PLACE_TASKS_MAX or _PLACES_MAX; -ENOMEM. The caller destroys it.
 */
int gcl_place_plan_create(uint32_t tasks, uint32_t places, uint32_t vms,
			  struct gcl_place_plan **out);
void gcl_place_plan_destroy(struct gcl_place_plan *plan);

/**
 * gcl_place_decide() - make @plan for @view, in which @event happened.
 *
 * @view and what it points at are lent until the plan's next use. Tasks that left a place since
 * that announced what it has are not counted there; those that came or are on their way are.
 * Takes time in proportion to tasks times usable places (balance, greedy; drains and losses), or
 * to tasks alone (two, and allocations but for the few that make room).
 *
 * Return: 0; -E2BIG: the plan has no room for the view; -EINVAL: now, settings or event make no
 * sense. Then the plan is empty.
 */
int gcl_place_decide(const struct gcl_place_policy *policy, const struct gcl_place_view *view,
		     const struct gcl_place_event *event, struct gcl_place_plan *plan);

/**
 * gcl_place_consider() - why @task doesn't go, or that it would if there was a tick now.
 *
 * Return: as gcl_place_decide(); @plan is empty afterwards.
 */
int gcl_place_consider(const struct gcl_place_policy *policy, const struct gcl_place_view *view,
		       uint32_t task, struct gcl_place_plan *plan,
		       struct gcl_place_decision *decision);

/** gcl_place_moved() - to be told of each move that ended well: @task is at @place since @now. */
void gcl_place_moved(struct gcl_place_task *task, uint32_t place, double now);

/** gcl_place_learn() - @place->speed_seen, from what was measured of @task, which runs there. To be
 * told about once a second. @home: the task's */
void gcl_place_learn(struct gcl_place *place, const struct gcl_place *home,
		     const struct gcl_place_task *task);

/** gcl_place_why_name() - one word, as it stands in JSON. */
const char *gcl_place_why_name(enum gcl_place_why why);

/** gcl_place_goes() - whether a decision of that kind moves the task. */
static inline bool gcl_place_goes(enum gcl_place_why why)
{
	return why < GCL_PLACE_STAY_HELD;
}

#endif
