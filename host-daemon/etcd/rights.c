// SPDX-License-Identifier: MIT
/*
 * What guestcl-etcd gives up before it hears of etcd.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "etcd.h"
#include "jail/jail.h"

/* What a sanitizer does at the end takes files and another process. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void told(const char *what, int err)
{
	if (err < 0)
		gcl_log_warn(broker, "guestcl-etcd keeps %s: %s", what, strerror(-err));
}

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

void gcl_etcd_rights_drop(const char *user)
{
	/* What getaddrinfo() looks at, with the modules that it loads. */
	static const char *const names[] = {
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
	const struct rlimit none = {0};

	setrlimit(RLIMIT_CORE, &none);
	told("its user", user_become(user));
	told("its capabilities", gcl_jail_rights());
	if (SANITIZED)
		return;
	told("its files", gcl_jail_shut_but(names));
	told("its system calls", gcl_jail_alone());
	prctl(PR_SET_DUMPABLE, 0);
}
