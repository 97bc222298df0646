/* SPDX-License-Identifier: MIT */
/*
 * What the tests of opened platforms share: the functions of the library, connections to the
 * daemon, and one of each kind of object on some platform.
 *
 * Calls go through the ICD loader, which knows the host's own platform and nothing of guestcl.
 */
#ifndef GCL_TESTS_EXT_SIDE_H
#define GCL_TESTS_EXT_SIDE_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include "guestcl_ext.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define ITEMS 65536u
#define BYTES (ITEMS * sizeof(cl_uint))

/* So long an answer may take, with sanitizers and a busy machine. */
#define PATIENCE_MS 60000

extern clGuestclOpenPlatform_fn open_platform;
extern clGuestclPlatformLost_fn platform_lost;
extern clGuestclClosePlatform_fn close_platform;

/* One platform's objects; the kernel adds its second argument to each item of its first. */
struct side {
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
	cl_program program;
	cl_kernel kernel;
	cl_mem buffer; /* BYTES */
};

/** library_load() - from @path; the process has no guestcl platform of its own. */
void library_load(const char *path);

/** must() - end the program with a line on stderr unless @code is CL_SUCCESS. */
void must(const char *what, cl_int code);

/** check() - the same unless @holds. */
void check(const char *what, bool holds);

/** daemon_connect() - a stream socket to the daemon of with-guestcld. */
int daemon_connect(void);

/** daemon_workers_signal() - to all of its workers. */
void daemon_workers_signal(int number);

/** platform_open() - over a connection of its own. */
cl_platform_id platform_open(void);

/** platform_open_on() - over this one, which is taken over. */
cl_platform_id platform_open_on(int conn);

/** platform_native() - the host's first. */
cl_platform_id platform_native(void);

void side_init(struct side *side, cl_platform_id platform);
void side_fini(struct side *side);

/** items_make() - BYTES of memory, freed by the caller. */
cl_uint *items_make(void);

/** side_launch() - enqueue the kernel, adding @added. */
cl_event side_launch(const struct side *side, cl_uint added, cl_event after);

/** side_check() - do all items of the buffer have this value? */
void side_check(const struct side *side, cl_uint value);

/* A thing that another thread has to do. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool open;
};

void gate_init(struct gate *gate);
void gate_open(struct gate *gate);

/** gate_wait() - for PATIENCE_MS at most; ends the program then. */
void gate_wait(const char *what, struct gate *gate);

#endif
