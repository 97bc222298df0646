// SPDX-License-Identifier: MIT
/*
 * Moves: what the broker asks for.
 */
#include "worker.h"

static int move_refuse(struct gcl_worker *worker, enum gcl_move_result result)
{
	const struct gcl_note note = {.type = GCL_NOTE_MOVED, .device = result};

	gcl_note_send(worker, &note);
	return 0;
}

int gcl_note_move(struct gcl_worker *worker, const struct gcl_note *note)
{
	(void)note;
	return move_refuse(worker, GCL_MOVE_OFF);
}

int gcl_note_move_home(struct gcl_worker *worker, const struct gcl_note *note)
{
	(void)note;
	return move_refuse(worker, GCL_MOVE_OFF);
}
