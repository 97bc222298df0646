/* SPDX-License-Identifier: MIT */
/*
 * What of the broker goes into the state that a new program takes over.
 */
#ifndef GCL_BROKER_TAKEOVER_STATE_H
#define GCL_BROKER_TAKEOVER_STATE_H

#include "broker.h"

/* Names the state's descriptor to the new program. */
#define GCL_TAKEOVER_VARIABLE "GUESTCLD_STATE"

/** gcl_takeover_save() - all that is known, of a broker in which nothing is half done. */
void gcl_takeover_save(struct gcl_broker *broker, struct gcl_state *state);

/** gcl_takeover_load() - into a broker that has opened nothing. Return: 0, or -EINVAL for what
 * can't be read; what could be is there. */
int gcl_takeover_load(struct gcl_broker *broker, struct gcl_state *state);

#endif
