/* SPDX-License-Identifier: MIT */
/*
 * For tests: the worker's side of moves, without anything that moves.
 */
#ifndef GCL_TESTS_FAKE_MOVE_H
#define GCL_TESTS_FAKE_MOVE_H

/** fake_move_serve() - until guest or broker is gone. @how: what is done when told to move:
 * "well": begin a session at the other end, and answer; "slow MS": the same, after some time;
 * "result N": answer that; "never": nothing; "surplus": say what nobody asked for, too. */
void fake_move_serve(int broker, int guest, const char *how);

#endif
