// SPDX-License-Identifier: MIT
/*
 * Moves of sessions' queues to GPU servers: what workers say of them.
 */
#include "broker.h"

#include <errno.h>

int gcl_worker_note_moved(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	(void)worker;
	return note->device < GCL_MOVE_RESULT_LIMIT ? 0 : -EPROTO;
}

int gcl_worker_note_place_left(struct gcl_worker_process *worker, const struct gcl_note *note)
{
	(void)worker;
	(void)note;
	return 0;
}
