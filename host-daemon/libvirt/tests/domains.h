/* SPDX-License-Identifier: MIT */
/*
 * What the tests of guestcl-libvirt share: cmocka, and definitions of domains of many kinds.
 *
 * DOMAINS in the environment is the folder of the definitions.
 */
#ifndef GCL_LIBVIRT_TESTS_DOMAINS_H
#define GCL_LIBVIRT_TESTS_DOMAINS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "libvirt.h"

/** domain_text() - the definition of that name; the caller frees it. */
char *domain_text(const char *name);

/** holds() - fails unless @text holds @part as often as said. */
void holds(const char *name, const char *text, const char *part, int times);

/** replaced() - @text with the first @part replaced; the caller frees it. */
char *replaced(const char *text, const char *part, const char *with);

#endif
