// SPDX-License-Identifier: MIT
/*
 * What guestcl-web gives up before the first request: it may listen, and talk to guestcld, and that
 * is all.
 *
 * guestcld knows its process by its id and tells it nothing but the status; so it must not become
 * another process.
 */
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jail/jail.h"
#include "web.h"

/* What a sanitizer does at the end takes files and another process. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void told(const char *what, int err)
{
	if (err < 0)
		gcl_log_warn(broker, "guestcl-web keeps %s: %s", what, strerror(-err));
}

void gcl_web_rights_drop(void)
{
	const struct rlimit none = {0};

	setrlimit(RLIMIT_CORE, &none);
	told("its capabilities", gcl_jail_rights());
	if (SANITIZED)
		return;
	told("its files", gcl_jail_shut());
	told("its system calls", gcl_jail_alone());
	prctl(PR_SET_DUMPABLE, 0);
}
