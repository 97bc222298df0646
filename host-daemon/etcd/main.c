// SPDX-License-Identifier: MIT
/*
 * guestcl-etcd: started by guestcld, not by hand.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "beside.h"
#include "etcd.h"

int main(int argc, char **argv)
{
	gcl_log_init("guestcl-etcd");
	gcl_etcd_rights_drop(gcl_beside_begin(
		argc, argv, "guestcl-etcd",
		"Asks etcd for GPU servers, and announces this one. Started by guestcld, which is "
		"at its standard input."));
	return gcl_etcd_run(STDIN_FILENO) ? EXIT_FAILURE : EXIT_SUCCESS;
}
