/* SPDX-License-Identifier: MIT */
/*
 * What broker and worker say to each other on their socketpair.
 *
 * The worker speaks once: GCL_HANDOVER_READY when it is prepared, or GCL_HANDOVER_FAILED followed
 * by one line of text (no newline needed) that says why it can't serve and what to do; then it
 * exits. The broker speaks once: gcl_greeting_pass() with the guest. After that each side only
 * watches for the other's end: a worker whose broker is gone exits at once.
 */
#ifndef GCL_HANDOVER_H
#define GCL_HANDOVER_H

#define GCL_HANDOVER_READY  'R'
#define GCL_HANDOVER_FAILED 'F'

/* Bytes of the text after GCL_HANDOVER_FAILED, at most. */
#define GCL_HANDOVER_TEXT_MAX 200

#endif
