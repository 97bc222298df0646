/* SPDX-License-Identifier: MIT */
/*
 * Limits that were set at run time: they are stronger than the configuration, until they are set
 * back ("default") or guestcld stops. A VM that goes and comes again finds them again.
 */
#ifndef GCL_BROKER_OVERRIDE_H
#define GCL_BROKER_OVERRIDE_H

#include <stddef.h>

#include "base/list.h"
#include "config.h"
#include "owner.h"

struct gcl_broker;

#define GCL_OVERRIDE_VALUE_MAX 64u

struct gcl_override {
	struct gcl_list link; /* in broker.overrides */
	struct gcl_owner owner;
	const struct gcl_setting *setting;
	char value[GCL_OVERRIDE_VALUE_MAX];
};

/** gcl_limits_get() - what @owner may have now: the configuration, and what was set since. A VM
 * that was removed has the built-in limits. */
void gcl_limits_get(struct gcl_broker *broker, const struct gcl_owner *owner,
		    struct gcl_vm_config *limits);

/**
 * gcl_override_check() - whether a VM's setting @key can be set to @value at run time.
 *
 * Return: 0, or -errno and @error.
 */
int gcl_override_check(const char *key, const char *value, char *error, size_t error_size);

/** gcl_override_set() - note a pair that passed gcl_override_check(); "default" forgets it.
 * gcl_accounts_configure() puts it into force. Return: 0, -ENOMEM, or -E2BIG: there are too many.
 */
int gcl_override_set(struct gcl_broker *broker, const struct gcl_owner *owner, const char *key,
		     const char *value);

/** gcl_overrides_fini() - forget all. */
void gcl_overrides_fini(struct gcl_broker *broker);

#endif
