/* SPDX-License-Identifier: MIT */
/*
 * Sockets of the broker: of guests, of operators, of VMs; made here, or by the service manager.
 */
#ifndef GCL_SOCKETS_H
#define GCL_SOCKETS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/list.h"
#include "base/state.h"
#include "local.h"

struct gcl_broker;

/* ------------------------------------------------------------ the socket (socket.c) */

/* A bound and listening socket and its file, which is removed only if it is still ours. */
struct gcl_socket {
	struct gcl_list link; /* all that are open */
	int fd;
	bool lent; /* by the service manager: the file is its own */
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	dev_t device;
	ino_t inode;
};

/* Where a socket is to be, and who may connect. */
struct gcl_socket_place {
	const char *path;
	unsigned mode;
	const char *group;	   /* empty: the daemon's own */
	const char *initial_group; /* which may be missing on this host */
	const char *setting;	   /* that the path comes from */
	const char *group_setting;
};

/**
 * gcl_socket_open() - bind and listen.
 *
 * One that the service manager has opened at that path is used as it is. A socket file that no one
 * serves is replaced. Return: 0 or -errno; errors are logged.
 */
int gcl_socket_open(struct gcl_socket *sock, const struct gcl_socket_place *place);

/** gcl_sockets_save() - all that are open, for gcl_sockets_restore(). */
void gcl_sockets_save(struct gcl_state *state);

/** gcl_sockets_restore() - gcl_socket_open() finds these; gcl_sockets_settle() closes the rest. */
void gcl_sockets_restore(struct gcl_state *state);
void gcl_sockets_settle(void);

/** gcl_socket_close() - stop listening and remove the file; may be called twice. */
void gcl_socket_close(struct gcl_socket *sock);

/* ------------------------------------------------------------ socket activation (activation.c) */

/** gcl_activation_init() - take note of the sockets that the service manager passes, once, before
 * anything is opened. */
void gcl_activation_init(void);

/** gcl_activation_take() - a listening socket that was passed for @path; owned by the caller.
 * Return: -1 if there is none. */
int gcl_activation_take(const char *path);

/* ------------------------------------------------------------ accepting (listener.c) */

struct gcl_listener {
	struct gcl_broker *broker;
	struct gcl_socket socket;
	int reserve; /* a descriptor to give up, so that a guest can be told there are none */
	bool starved;
	struct ev_io readable;
	struct ev_timer pause;
};

/** gcl_listener_open() - listen and accept. Return: 0 or -errno; errors are logged. */
int gcl_listener_open(struct gcl_listener *listener, struct gcl_broker *broker);
void gcl_listener_close(struct gcl_listener *listener);

/** gcl_listener_hold() - accept no more until gcl_listener_resume(). */
void gcl_listener_hold(struct gcl_listener *listener);
void gcl_listener_resume(struct gcl_listener *listener);

/* ------------------------------------------------------------ operators (control.h) */

struct gcl_control {
	struct gcl_broker *broker;
	struct gcl_socket socket;
	struct ev_io readable;
	struct ev_timer pause; /* while there is nothing to accept with */
	struct gcl_list clients;
	size_t count;
};

/* ------------------------------------------------------------ guests of VMs (entrance.h) */

struct gcl_vm;

/* A socket for guests of one VM, or of all. */
struct gcl_entrance {
	struct gcl_broker *broker; /* NULL: it isn't open */
	struct gcl_vm *vm;	   /* NULL: the peer's CID tells */
	enum gcl_greeting_kind kind;
	const char *name;	  /* how its guests come, for the log */
	struct gcl_socket socket; /* AF_VSOCK has no path */
	struct ev_io readable;
	struct ev_timer pause;
};

#endif
