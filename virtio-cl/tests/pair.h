/*
 * For tests: both ends of a channel, in one process or in two.
 */
#ifndef GCL_TEST_PAIR_H
#define GCL_TEST_PAIR_H

#include <pthread.h>
#include <sys/types.h>

#include "stream.h"

struct virtio_twin;

struct pair {
	struct gcl_channel *guest;
	struct gcl_channel *worker; /* NULL when it lives in another process */
	pid_t pid;		    /* of that process */
	struct virtio_twin *twin;   /* what is between them, if it is virtio */
	pthread_t server;	    /* of a worker in this process, for gcl_channel_serve() */
};

/* The kind is "stream". */
extern bool pair_stream;

/** listener_open() - a listening socket; @path (of at least 64 bytes) is set to where it is. */
int listener_open(char *path, size_t path_size);
void listener_close(int fd, const char *path);

/** listener_accept() - take one guest in, the way broker and worker do together. */
struct gcl_channel *listener_accept(int fd);

/** pair_kind_set() - of the pairs from here on: "local", "virtio" or "stream". */
void pair_kind_set(const char *kind);

/** pair_open() - both ends in this process. */
struct pair pair_open(void);

/** pair_fork() - the worker's end in a child that runs @worker and then closes the channel. */
struct pair pair_fork(void (*worker)(struct gcl_channel *channel));

/** pair_close() - close what is open; a child must have ended well. */
void pair_close(struct pair *pair);

/** message_receive() - wait for a whole message and put it together. Return: as
 * gcl_channel_receive(), or what the wait returned; @size is set to its length. */
int message_receive(struct gcl_channel *channel, struct gcl_frame *head, void *body,
		    size_t body_max, size_t *size, int timeout_ms);

/** fds_open() - how many descriptors this process has open. */
int fds_open(void);

#endif
