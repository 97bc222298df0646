// SPDX-License-Identifier: MIT
/*
 * What the settings call things: also for programs that have no jail.
 */
#include <string.h>

#include "jail.h"

const char *const gcl_jail_modes[] = {
	[GCL_JAIL_AUTO] = "auto",
	[GCL_JAIL_STRICT] = "strict",
	[GCL_JAIL_OFF] = "off",
	[GCL_JAIL_OFF + 1] = NULL,
};

const char *const gcl_jail_call_lists[] = {
	[GCL_JAIL_RUNTIME] = "runtime",
	[GCL_JAIL_DRIVER] = "driver",
	[GCL_JAIL_ANY] = "off",
	[GCL_JAIL_ANY + 1] = NULL,
};

int gcl_jail_name_find(const char *const *names, const char *name)
{
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}
