/* SPDX-License-Identifier: MIT */
/*
 * What the files of the stream channel share: its struct, and how it is put together.
 */
#ifndef GCL_STREAM_CHANNEL_H
#define GCL_STREAM_CHANNEL_H

#include <pthread.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "hello.h"
#include "shm.h"
#include "stream-input.h"
#include "stream-queue.h"
#include "stream.h"

/* Frames of the carrier's own that may wait to be sent. */
#define GCL_STREAM_CONTROLS 64u

/* Signs of life: how often a worker that was asked for them gives one, and for how many that the
 * guest does not answer. A guest that has heard nothing for so many periods gives up. */
#define GCL_STREAM_BEAT_MS  2000
#define GCL_STREAM_BEATS    1024u
#define GCL_STREAM_SILENCES 4u

struct gcl_stream_sender {
	struct gcl_stream_queue queue;
	_Atomic bool busy;    /* some thread is at the socket's writing end; see stream-sender.c */
	_Atomic bool failed;  /* the peer takes nothing any more */
	_Atomic bool dozing;  /* the thread will look at the queue soon; see stream-sender.c */
	_Atomic unsigned run; /* frames queued since this side last waited for some */
	bool gathers;	      /* it may let frames wait for others, if only for a moment */

	pthread_mutex_t lock; /* protects what follows; a leaf */
	pthread_cond_t wake;  /* of the thread */
	pthread_cond_t room;  /* there is some, or there never will be */
	pthread_t thread;
	_Atomic bool started;
	bool wanted; /* there is something to do for the thread */
	bool doze;   /* it need not do it at once */
	bool ending;
	_Atomic unsigned waiters; /* for room */
	unsigned beats;		  /* signs of life that the thread may give yet */
	int beat_ms;		  /* how often */
	_Atomic unsigned control_count;
	struct gcl_frame controls[GCL_STREAM_CONTROLS];

	/* Of whoever is busy: what is on its way to the socket of these. */
	struct gcl_frame control[GCL_STREAM_CONTROLS];
	size_t control_size, control_done;
};

struct gcl_stream {
	struct gcl_channel channel;
	struct gcl_stream_io io;
	struct gcl_stream_sender sender;
	uint64_t begun;		  /* sequence of the last message whose first frame is queued */
	int bell;		  /* eventfd: wakes the waiter for frames */
	_Atomic bool interrupted; /* the wait for frames is to return */
	_Atomic bool sleeps;	  /* it has to be woken by the bell */
	uint32_t spin_ns;	  /* how long it looks before it sleeps */
	unsigned looks_paid;	  /* how often that was right of late; see look_learn() */
	unsigned waits;		  /* counts waits, wrapping */
	pid_t pid;		  /* who may end the connection for all */
	bool guest;		  /* which side this is */
	bool listens;		  /* for signs of life: without, the peer is as good as gone */
	unsigned silences;	  /* periods without any */
	int64_t silent_since;	  /* the beginning of the present one, CLOCK_MONOTONIC ns */
	unsigned beats_answered;
	struct gcl_stream_input input;
};

static inline struct gcl_stream *gcl_stream_of(struct gcl_channel *channel)
{
	return gcl_container_of(channel, struct gcl_stream, channel);
}

/** gcl_stream_greet() - guest: greet on a connected socket, which is taken over in any case. */
int gcl_stream_greet(int conn, const char *where, int timeout_ms, struct gcl_channel **out,
		     char *reason, size_t reason_size);

/** gcl_stream_connect_within() - gcl_stream_connect() with a timeout for connecting and one for the
 * answer. */
int gcl_stream_connect_within(const char *path, int timeout_ms, struct gcl_channel **out,
			      char *reason, size_t reason_size);

/** gcl_stream_heap_map() - a heap of one's own. Return: NULL and errno. */
void *gcl_stream_heap_map(uint64_t size);

/**
 * gcl_stream_create() - a channel over a connected socket.
 * @guest: which side this is
 * @greeting: sizes are read; the connection is taken over on success
 * @heap: by gcl_stream_heap_map(); taken over on success
 */
int gcl_stream_create(bool guest, struct gcl_greeting *greeting, void *heap,
		      struct gcl_channel **out);

int gcl_stream_sender_init(struct gcl_stream *stream, uint64_t queue_size);

/** gcl_stream_sender_fini() - the connection has been ended; waits for the thread if @own (it isn't
 * there in a forked child). */
void gcl_stream_sender_fini(struct gcl_stream *stream, bool own);

/** gcl_stream_send() - something was put into the queue: send what the socket takes, and leave the
 * rest to the thread. Never blocks. */
void gcl_stream_send(struct gcl_stream *stream);

/** gcl_stream_post() - the same for a frame that may wait for others for a moment. */
void gcl_stream_post(struct gcl_stream *stream);

/** gcl_stream_trim() - tell the peer, when something else is sent or now, that this range of the
 * heap isn't used any more. Any thread. */
void gcl_stream_trim(struct gcl_stream *stream, uint64_t offset, uint64_t size);

/** gcl_stream_beat() - give a sign of life, when something else is sent or now. */
void gcl_stream_beat(struct gcl_stream *stream);

/** gcl_stream_beats_start() - worker: have the thread give signs of life. */
void gcl_stream_beats_start(struct gcl_stream *stream);

/** gcl_stream_listen() - guest: ask the worker for signs of life, and rely on them. */
void gcl_stream_listen(struct gcl_stream *stream);

/** gcl_stream_room_wait() - until there is room for the largest frame. Return: as
 * gcl_channel_wait(). */
int gcl_stream_room_wait(struct gcl_stream *stream, int timeout_ms);

/** gcl_stream_stuck() - is something left to send that nobody looks after? (There was no thread to
 * be had.) Then whoever waits does. */
bool gcl_stream_stuck(struct gcl_stream *stream);

/** gcl_stream_sender_wake() - let all threads that wait here look at the channel's end. */
void gcl_stream_sender_wake(struct gcl_stream *stream);

#endif
