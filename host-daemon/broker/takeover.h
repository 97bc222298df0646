/* SPDX-License-Identifier: MIT */
/*
 * A new guestcld takes the place of the running one, and its sessions: after an upgrade, or when
 * asked to (guestcl restart, SIGUSR2).
 *
 * Theory of operation. The process stays: it executes the program anew, so workers stay its
 * children, and sockets stay open. First the new program is asked whether it can take over what
 * this one has (--take-over-from); then no guest is let in any more, and as soon as nothing is half
 * done (a greeting, a session that begins or ends, a request of a driver), everything that is known
 * is written into a memfd (base/state.h), whose descriptor GUESTCLD_STATE names to the new program.
 * Sessions run on meanwhile: they talk to their workers. What fails leaves all as it was, up to the
 * moment of exec.
 */
#ifndef GCL_BROKER_TAKEOVER_H
#define GCL_BROKER_TAKEOVER_H

#include "broker.h"

/** gcl_takeover_layout() - a number that two builds share if one can read the other's state. */
unsigned gcl_takeover_layout(void);

void gcl_takeover_init(struct gcl_broker *broker);

/** gcl_takeover_begin() - start a takeover, unless one is under way. */
void gcl_takeover_begin(struct gcl_broker *broker);

/** gcl_takeover_restore() - if this program takes another's place, take what it had. Before
 * anything is opened; gcl_takeover_settle() afterwards. */
void gcl_takeover_restore(struct gcl_broker *broker);
void gcl_takeover_settle(struct gcl_broker *broker);

#endif
