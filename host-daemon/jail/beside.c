// SPDX-License-Identifier: MIT
/*
 * What the programs that serve beside guestcld give up, which are no workers.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jail.h"

/* Root only; others stay who they are. */
static int user_become(const char *name)
{
	struct gcl_jail_user user;
	int err = gcl_jail_user_find(name, &user);

	if (geteuid() != 0 || err < 0)
		return err;
	/* Device nodes' groups are of no use here. */
	user.group_count = 0;
	return gcl_jail_user_switch(&user);
}

void gcl_jail_keeps(const char *name, const char *what, int err)
{
	if (err < 0)
		gcl_log_warn(broker, "%s keeps %s: %s", name, what, strerror(-err));
}

void gcl_jail_beside(const struct gcl_jail_beside *beside)
{
	static const char *const none[] = {NULL};
	const struct rlimit no_core = {0};
	const char *name = beside->name;

	setrlimit(RLIMIT_CORE, &no_core);
	/* Sockets that are passed in work where they were made. */
	if (beside->unconnected && geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0)
		gcl_jail_keeps(name, "its network", -errno);
	if (beside->user)
		gcl_jail_keeps(name, "its user", user_become(beside->user));
	gcl_jail_keeps(name, "its capabilities", gcl_jail_rights());
	if (GCL_JAIL_SANITIZED)
		return;
	gcl_jail_keeps(name, "its files", gcl_jail_shut(beside->files ? beside->files : none));
	if (beside->alone)
		gcl_jail_keeps(name, "its system calls", gcl_jail_alone());
	prctl(PR_SET_DUMPABLE, 0);
}

void gcl_jail_beside_resolves(const char *name, const char *user)
{
	/* What getaddrinfo() looks at, with the modules that it loads. */
	static const char *const files[] = {
		"/etc/gai.conf",
		"/etc/host.conf",
		"/etc/hosts",
		"/etc/nsswitch.conf",
		"/etc/services",
		"/etc/resolv.conf",
		"/run/resolvconf",
		"/run/systemd/resolve",
		"/lib",
		"/lib64",
		"/usr/lib",
		"/etc/ld.so.cache",
		NULL,
	};

	gcl_jail_beside(&(struct gcl_jail_beside){
		.name = name, .user = user, .files = files, .alone = true});
}
