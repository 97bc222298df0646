// SPDX-License-Identifier: MIT
/*
 * What guestcl-web gives up before the first request: it may listen, and talk to guestcld, and that
 * is all.
 *
 * guestcld knows its process by its id and tells it nothing but the status; so it must not become
 * another process.
 */
#include "jail/jail.h"
#include "web.h"

void gcl_web_rights_drop(void)
{
	gcl_jail_beside(&(struct gcl_jail_beside){.name = "guestcl-web", .alone = true});
}
