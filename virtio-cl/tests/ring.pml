/*
 * Sleeping and waking over a ring, as ring.c does it, on a machine with store buffers.
 *
 * A producer sends MESSAGES frames through a ring of ROOM places to a consumer; both sleep when
 * they find nothing to do. Each has a store buffer of two entries (as x86 has; a store is seen by
 * the other process only when it leaves the buffer, at any time), which an ordered (seq_cst) store
 * drains. Doorbells count, as an eventfd does. To be shown: both come to their end, whatever the
 * order of steps; a lost wake-up is a state in which nobody can go on.
 *
 * The mutations each leave out one thing, and must be found wrong:
 *
 *   NO_SLEEPER_FENCE  the sleeper's flag is stored without order
 *   NO_WAKER_FENCE    the waker publishes without order
 *   NO_RECHECK        the sleeper doesn't look again after it has set its flag
 *   NO_BELL_KEPT      the doorbell forgets that it rang while nobody slept
 */
#ifndef MESSAGES
#define MESSAGES 7
#endif
#ifndef ROOM
#define ROOM 3
#endif

/* What is in memory. A cell for each variable, so that a store buffer can name it. */
#define HEAD		0
#define TAIL		1
#define CONSUMER_SLEEPS 2
#define PRODUCER_SLEEPS 3
byte memory[4];

/* Two-entry store buffers; a cell of NONE is an empty entry. */
#define NONE 255
#define P    0
#define C    1
byte cell[4]  = NONE;	/* entries 2p and 2p+1 of process p, the older first */
byte value[4];

bool bell[2];		/* the process' doorbell rang since it last slept */
bool asleep[2];

#define EMPTY(p)  (cell[2 * p] == NONE)
#define FULL(p)	  (cell[2 * p + 1] != NONE)

inline buffer_put(p, where, what)
{
	atomic {
		!FULL(p);
		if
		:: EMPTY(p) -> cell[2 * p] = where; value[2 * p] = what
		:: else -> cell[2 * p + 1] = where; value[2 * p + 1] = what
		fi
	}
}

/* A load sees the process' own newest store of the cell, or else memory. */
inline load(p, where, into)
{
	atomic {
		if
		:: cell[2 * p + 1] == where -> into = value[2 * p + 1]
		:: cell[2 * p + 1] != where && cell[2 * p] == where -> into = value[2 * p]
		:: else -> into = memory[where]
		fi
	}
}

inline fence(p)
{
	EMPTY(p)
}

inline store_relaxed(p, where, what)
{
	buffer_put(p, where, what)
}

inline store_ordered(p, where, what)
{
	buffer_put(p, where, what);
	fence(p)
}

#ifdef NO_SLEEPER_FENCE
#define store_flag(p, where, what) store_relaxed(p, where, what)
#else
#define store_flag(p, where, what) store_ordered(p, where, what)
#endif
#ifdef NO_WAKER_FENCE
#define store_index(p, where, what) store_relaxed(p, where, what)
#else
#define store_index(p, where, what) store_ordered(p, where, what)
#endif

/* The hardware: stores leave each buffer in their order, whenever they like. */
active [2] proctype drain()
{
	byte p = _pid;

end:	do
	:: atomic {
		!EMPTY(p) ->
		memory[cell[2 * p]] = value[2 * p];
		cell[2 * p] = cell[2 * p + 1];
		value[2 * p] = value[2 * p + 1];
		cell[2 * p + 1] = NONE;
		value[2 * p + 1] = 0
	   }
	od
}

/* Looks at the other's flag and, if it is set, clears it and rings: an exchange, so atomic. */
inline wake(p, flag, other)
{
	load(p, flag, seen);
	if
	:: seen ->
		atomic {
			EMPTY(p) ->
			seen = memory[flag];
			memory[flag] = 0
		}
		if
		:: seen ->
#ifdef NO_BELL_KEPT
			bell[other] = asleep[other]
#else
			bell[other] = true
#endif
		:: else -> skip
		fi
	:: else -> skip
	fi;
	seen = 0
}

/* A doorbell that rang at any time since the last sleep ends this one. */
inline sleep(p)
{
	asleep[p] = true;
	atomic { bell[p] -> bell[p] = false; asleep[p] = false }
}

active proctype producer()
{
	byte sent, tail, seen;

	do
	:: sent == MESSAGES -> break
	:: else ->
		load(P, TAIL, tail);
		if
		:: sent - tail < ROOM ->
			sent++;
			store_index(P, HEAD, sent);
			wake(P, CONSUMER_SLEEPS, C)
		:: else ->
			store_flag(P, PRODUCER_SLEEPS, 1);
#ifndef NO_RECHECK
			load(P, TAIL, tail);
#endif
			if
			:: sent - tail < ROOM -> skip
			:: else -> sleep(P)
			fi;
			store_relaxed(P, PRODUCER_SLEEPS, 0)
		fi
	od
}

active proctype consumer()
{
	byte received, head, seen;

	do
	:: received == MESSAGES -> break
	:: else ->
		load(C, HEAD, head);
		assert(head >= received && head - received <= ROOM);
		if
		:: head != received ->
			received++;
			store_index(C, TAIL, received);
			load(C, HEAD, head);
			if
			:: head - received <= ROOM / 2 -> wake(C, PRODUCER_SLEEPS, P)
			:: else -> skip
			fi
		:: else ->
			store_flag(C, CONSUMER_SLEEPS, 1);
#ifndef NO_RECHECK
			load(C, HEAD, head);
#endif
			if
			:: head != received -> skip
			:: else -> sleep(C)
			fi;
			store_relaxed(C, CONSUMER_SLEEPS, 0)
		fi
	od
}
