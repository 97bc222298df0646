// SPDX-License-Identifier: MIT
/*
 * Starting the programs that serve beside the broker: guestcl-libvirt, guestcl-web, guestcl-tls,
 * guestcl-etcd.
 *
 * Must not: wait for them, know what they are for.
 */
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "broker.h"

int gcl_helper_spawn(pid_t *pid, const char *program, char *const arguments[], int in, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int err;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	/* A session of its own: Ctrl-C at the daemon's terminal is for the daemon. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSID);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	err = posix_spawn(pid, program, &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (err)
		*pid = 0;
	return -err;
}
