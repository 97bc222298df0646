/*
 * What the files about a copy share: copy.c, copy-room.c, copy-look.c.
 */
#ifndef GCL_COPYING_H
#define GCL_COPYING_H

#include "copy-box.h"
#include "hasher.h"

/* A chunk on its way. */
struct gcl_slot {
	char *bytes; /* of its own */
	char *at;    /* where the chunk is: there, or in memory that is mapped */
	struct gcl_copy_box box;
	size_t block;	  /* its first one */
	bool *wanted;	  /* of its blocks: to be copied; with sums */
	size_t sent;	  /* bytes */
	cl_event *reads;  /* under way or, after the copy, failed; NULL in between */
	cl_event *writes; /* the same */
	unsigned read_count, write_count;
};

struct gcl_copy_room {
	size_t chunk;
	unsigned count;
	_Atomic uint64_t rate; /* bytes/s; 0: any */
	int64_t ready_ns;      /* when what has gone is paid for */
	char *bytes;
	cl_event *events;
	bool *wanted;
	struct gcl_slot slots[];
};

struct gcl_copying {
	struct gcl_copy *copy;
	struct gcl_copy_room *room;
	struct gcl_copy_grid chunks, blocks;
	char *from, *to;	     /* mapped, or NULL */
	struct gcl_copy_hash *found; /* of whole blocks, from the device; or NULL */
	size_t chunk, block;	     /* the next ones to be looked at */
	size_t reads, writes, ends;  /* slots of which that has begun, begun, been seen */
	bool full;		     /* no room for another read, before something is over */
	cl_int status;
};

/** gcl_copy_room_clean() - let go of events of what failed in the copy before. */
void gcl_copy_room_clean(struct gcl_copy_room *room);

/** gcl_copy_pace_wait() - until what has gone is paid for, or the copy is cancelled. */
void gcl_copy_pace_wait(const struct gcl_copying *copying);

/** gcl_copy_pace_charge() - @size bytes go. */
void gcl_copy_pace_charge(const struct gcl_copying *copying, size_t size);

bool gcl_copy_cancelled(const struct gcl_copy *copy);

/** gcl_copy_look_begin() - map what can be, and have the device hash what would be read from it. */
void gcl_copy_look_begin(struct gcl_copying *copying);

/** gcl_copy_look_end() - when nothing of the copy is under way any more. */
cl_int gcl_copy_look_end(struct gcl_copying *copying);

/** gcl_copy_look() - which blocks of @slot's box have to be copied, the next ones of all. Return:
 * whether there are any. */
bool gcl_copy_look(struct gcl_copying *copying, struct gcl_slot *slot);

/** gcl_copy_block_next() - the block of that index, if it is part of @chunk. */
bool gcl_copy_block_next(const struct gcl_copying *copying, const struct gcl_copy_box *chunk,
			 size_t index, struct gcl_copy_box *block);

#endif
