// SPDX-License-Identifier: MIT
/*
 * What guestcl-etcd gives up before it hears of etcd.
 */
#include "etcd.h"
#include "jail/jail.h"

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

	gcl_jail_beside(&(struct gcl_jail_beside){
		.name = "guestcl-etcd", .user = user, .files = names, .alone = true});
}
