// SPDX-License-Identifier: MIT
#include "jail.h"

#include <stdio.h>
#include <string.h>

void gcl_jail_lack(struct gcl_jail *jail, const char *stage, int err)
{
	size_t used = strlen(jail->lacks);

	if (err < 0)
		snprintf(jail->lacks + used, sizeof jail->lacks - used, "%s%s (%s)",
			 used ? ", " : "", stage, strerror(-err));
}

void gcl_jail_close(struct gcl_jail *jail)
{
	if (jail->mode == GCL_JAIL_OFF)
		return;
	gcl_jail_lack(jail, "rights", gcl_jail_rights());
	gcl_jail_lack(jail, "Landlock", gcl_jail_landlock(jail));
}

void gcl_jail_seal(struct gcl_jail *jail)
{
	if (jail->mode != GCL_JAIL_OFF && jail->calls != GCL_JAIL_ANY)
		gcl_jail_lack(jail, "seccomp", gcl_jail_calls(jail->calls));
}

bool gcl_jail_holds(const struct gcl_jail *jail)
{
	return jail->mode != GCL_JAIL_STRICT || !*jail->lacks;
}
