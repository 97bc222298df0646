// SPDX-License-Identifier: MIT
/*
 * guestcl-tls: started by guestcld, not by hand.
 */
#include <stdlib.h>

#include "base/log.h"
#include "beside.h"
#include "server.h"

int main(int argc, char **argv)
{
	gcl_log_init("guestcl-tls");
	gcl_tls_rights_drop(gcl_beside_begin(
		argc, argv, "guestcl-tls",
		"Ends the TLS of guests that come from other machines. Started by guestcld, which "
		"is at its standard input."));
	return gcl_tls_listener_run() ? EXIT_FAILURE : EXIT_SUCCESS;
}
