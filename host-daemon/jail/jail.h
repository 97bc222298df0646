/* SPDX-License-Identifier: MIT */
/*
 * The jail: what a worker can't do although its guest's code runs in it.
 *
 * Theory of operation. A kernel is native code on some runtimes, and a driver is no wall, so from
 * its first kernel on a worker is its guest's. It is locked up in stages, each at the first moment
 * when nothing of what comes later needs what it takes away:
 *
 * 0. namespaces (namespaces.c, users.c), between fork and exec: the worker is a user without
 * rights, in a file system that holds what it needs and nothing else, with no network, and sees no
 *    process but its own; limits of memory, processes and files. Must not: run anything of the
 *    worker's.
 * 1. rights (rights.c), before anything of a runtime's is loaded: no capability, no new privilege
 * by exec, no core file, no file beyond a size. Must not: take what a driver needs to find its
 *    device.
 * 2. files (files.c, landlock.c), before the first thread, since it holds for the calling thread
 * and those that it starts: the runtime's files can be read and run, the owner's kernel cache, the
 *    device nodes and what is temporary can be written, nothing else can be opened; nor can a
 *    process outside be signalled or traced, or a TCP port be reached. Must not: name a
 *    file that another guest can write.
 * 3. calls (calls.c), when the runtime is loaded and before the guest comes: system calls that are
 *    not on a list fail. Must not: end a process for a call that an honest library tries.
 *
 * A stage that the host's kernel lacks is named to the broker, which logs it once; with
 * jail = strict no worker serves then. Each stage works where the others are missing.
 */
#ifndef GCL_JAIL_H
#define GCL_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "users.h"

/* The setting jail. */
enum gcl_jail_mode { GCL_JAIL_AUTO, GCL_JAIL_STRICT, GCL_JAIL_OFF };

/* The setting seccomp: which list of system calls. */
enum gcl_jail_calls {
	GCL_JAIL_RUNTIME, /* of a runtime on the CPU */
	GCL_JAIL_DRIVER,  /* of a device's driver, too */
	GCL_JAIL_ANY,
};

extern const char *const gcl_jail_modes[];
extern const char *const gcl_jail_call_lists[];

#define GCL_JAIL_LACKS_MAX 160u

struct gcl_jail {
	unsigned mode;	     /* enum gcl_jail_mode */
	unsigned calls;	     /* enum gcl_jail_calls */
	const char *cache;   /* folder of the owner's kernels; NULL: none */
	const char *read;    /* more folders that may be read, separated by ':'; NULL: none */
	const char *program; /* of the worker; NULL: none is started */
	bool apart;	     /* in namespaces of its own */
	unsigned processes;  /* with threads; 0: any number */
	uint64_t memory;     /* bytes of its own; 0: as much as there is */
	uint64_t file_size;  /* bytes of one file; 0: any */
	/* Stages that are missing, with the reason, in words; empty: none. */
	char lacks[GCL_JAIL_LACKS_MAX];
};

/** gcl_jail_name_find() - index of @name in a NULL-terminated list, or -1. */
int gcl_jail_name_find(const char *const *names, const char *name);

/** gcl_jail_lack() - note that @stage is missing because of -errno @err; 0: it isn't. */
void gcl_jail_lack(struct gcl_jail *jail, const char *stage, int err);

/** gcl_jail_close() - rights and files; the calling thread must be the only one. */
void gcl_jail_close(struct gcl_jail *jail);

/** gcl_jail_seal() - calls, for all threads. */
void gcl_jail_seal(struct gcl_jail *jail);

/** gcl_jail_holds() - whether the worker may serve with what is missing. */
bool gcl_jail_holds(const struct gcl_jail *jail);

/* ------------------------------------------------------------ namespaces (namespaces.c) */

/**
 * gcl_jail_fork() - fork(), into namespaces where the host lets us.
 * @sockets: a pair; the child has closed the first, and the second is as it was
 *
 * The child is to change the user by gcl_jail_enter(); before that it is the caller's. Must not be
 * called with several threads.
 */
pid_t gcl_jail_fork(struct gcl_jail *jail, const struct gcl_jail_user *user, const int sockets[2]);

/** gcl_jail_enter() - in the child: have the worker's root and user. Return: 0, or -errno: the
 * process is good for nothing more than telling. */
int gcl_jail_enter(struct gcl_jail *jail, const struct gcl_jail_user *user);

/** gcl_jail_limit() - in the child, after gcl_jail_enter(): limits of what it takes. */
void gcl_jail_limit(const struct gcl_jail *jail);

/* ------------------------------------------------------------ stages; 0 or -errno */

/** gcl_jail_rights() - drop capabilities, forbid new privileges. */
int gcl_jail_rights(void);

/** gcl_jail_landlock() - let files be opened only as gcl_jail_files() lists them. */
int gcl_jail_landlock(const struct gcl_jail *jail);

/** gcl_jail_shut() - let no file be opened, after gcl_jail_rights(), but these, and what is in
 * these folders, to be read; for programs that are no workers. Their list ends with NULL. To
 * connect to a socket is no opening. */
int gcl_jail_shut(const char *const *paths);

/** gcl_jail_alone() - become no other process, make none, and reach none (alone.c); threads can be
 * made. */
int gcl_jail_alone(void);

/** gcl_jail_calls() - let through the system calls of a list only. */
int gcl_jail_calls(enum gcl_jail_calls calls);

/* ------------------------------------------------------------ files (files.c) */

enum gcl_jail_access {
	GCL_JAIL_READ,	 /* and run */
	GCL_JAIL_WRITE,	 /* files made, changed and removed; not run */
	GCL_JAIL_DEVICE, /* a node, or a folder of them */
};

typedef void gcl_jail_file(void *data, const char *path, enum gcl_jail_access access);

/** gcl_jail_files() - call @each for every file and folder that a worker needs. Some don't exist;
 * one may be named twice. @path is lent for the call. */
void gcl_jail_files(const struct gcl_jail *jail, gcl_jail_file *each, void *data);

/* ------------------------------------------------------------ programs that are no workers
 * (beside.c) */

/* What a sanitizer does at the end takes files and another process. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GCL_JAIL_SANITIZED 1
#else
#define GCL_JAIL_SANITIZED 0
#endif

struct gcl_jail_beside {
	const char *name;	  /* for the log */
	const char *user;	  /* to be, if root started it, or ""; NULL: as it was started */
	const char *const *files; /* for gcl_jail_shut(); NULL: none */
	bool unconnected;	  /* no network but by the sockets that it is given */
	bool alone;		  /* gcl_jail_alone() */
};

/** gcl_jail_beside() - give up all but that. What can't be given up is logged. */
void gcl_jail_beside(const struct gcl_jail_beside *beside);

/** gcl_jail_beside_resolves() - all but what finding hosts by name takes, and the network. */
void gcl_jail_beside_resolves(const char *name, const char *user);

/** gcl_jail_keeps() - log that @what couldn't be given up, if @err says so. */
void gcl_jail_keeps(const char *name, const char *what, int err);

#endif
