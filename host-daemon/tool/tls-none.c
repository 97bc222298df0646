// SPDX-License-Identifier: MIT
/*
 * guestcl doctor without a TLS library: the channel's own word has to do.
 */
#include "doctor.h"

void gcl_doctor_tls_guest(struct gcl_doctor *doctor, const char *where)
{
	(void)doctor;
	(void)where;
}

void gcl_doctor_tls_host(struct gcl_doctor *doctor)
{
	(void)doctor;
}
