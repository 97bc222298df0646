// SPDX-License-Identifier: MIT
/*
 * guestcl-etcd: started by guestcld, not by hand.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "beside.h"
#include "etcd.h"
#include "jail/jail.h"

int main(int argc, char **argv)
{
	const char *user = gcl_beside_begin(
		argc, argv, "guestcl-etcd",
		"Asks etcd for GPU servers, and announces this one. Started by guestcld, which is "
		"at its standard input.");

	gcl_log_init("guestcl-etcd");
	gcl_jail_beside_resolves("guestcl-etcd", user);
	return gcl_etcd_run(STDIN_FILENO) ? EXIT_FAILURE : EXIT_SUCCESS;
}
