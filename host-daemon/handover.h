/* SPDX-License-Identifier: MIT */
/*
 * What broker and worker say to each other on their socketpair.
 *
 * The worker speaks once: GCL_HANDOVER_READY when it is prepared, followed by the names of those
 * stages of its jail that the host lacks (see jail/jail.h), or GCL_HANDOVER_FAILED followed
 * by one line of text (no newline needed) that says why it can't serve and what to do; then it
 * exits. The broker speaks once: gcl_greeting_pass() with the guest. After that notes (note.h) go
 * both ways, and each side watches for the other's end: a worker whose broker is gone exits at
 * once.
 */
#ifndef GCL_HANDOVER_H
#define GCL_HANDOVER_H

#define GCL_HANDOVER_READY  'R'
#define GCL_HANDOVER_FAILED 'F'

/* Bytes of the text after either, at most. */
#define GCL_HANDOVER_TEXT_MAX 200

#endif
