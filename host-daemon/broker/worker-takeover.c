// SPDX-License-Identifier: MIT
/*
 * What of a worker that serves goes into the state that a new program takes over.
 *
 * Both functions have one order, which MEANING of takeover-state.c stands for as well.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "broker.h"

void gcl_worker_save(const struct gcl_worker_process *worker, struct gcl_state *state)
{
	GCL_STATE_PUT(state, worker->pid);
	GCL_STATE_PUT(state, worker->owner);
	GCL_STATE_PUT(state, worker->allowance);
	GCL_STATE_PUT(state, worker->session);
	GCL_STATE_PUT(state, worker->title);
	GCL_STATE_PUT(state, worker->program);
	GCL_STATE_PUT(state, worker->channel);
	GCL_STATE_PUT(state, worker->peer);
	GCL_STATE_PUT(state, worker->paused);
	GCL_STATE_PUT(state, worker->heap_given);
	GCL_STATE_PUT(state, worker->stopped);
	GCL_STATE_PUT(state, worker->end_reason);
	GCL_STATE_PUT(state, worker->since);
	GCL_STATE_PUT(state, worker->serving_since);
	gcl_worker_moves_save(&worker->moves, state);
	GCL_STATE_PUT(state, worker->placed);
	gcl_state_put_fd(state, worker->socket);
	gcl_state_put_fd(state, worker->page_fd);
}

int gcl_worker_restore(struct gcl_workers *workers, struct gcl_state *state)
{
	_cleanup_free_ struct gcl_worker_process *worker = calloc(1, sizeof *worker);
	int err;

	if (!worker)
		return -ENOMEM;
	worker->broker = workers->broker;
	GCL_STATE_GET(state, worker->pid);
	GCL_STATE_GET(state, worker->owner);
	GCL_STATE_GET(state, worker->allowance);
	GCL_STATE_GET(state, worker->session);
	GCL_STATE_GET(state, worker->title);
	GCL_STATE_GET(state, worker->program);
	GCL_STATE_GET(state, worker->channel);
	GCL_STATE_GET(state, worker->peer);
	GCL_STATE_GET(state, worker->paused);
	GCL_STATE_GET(state, worker->heap_given);
	GCL_STATE_GET(state, worker->stopped);
	GCL_STATE_GET(state, worker->end_reason);
	GCL_STATE_GET(state, worker->since);
	GCL_STATE_GET(state, worker->serving_since);
	gcl_worker_moves_restore(&worker->moves, state);
	GCL_STATE_GET(state, worker->placed);
	/* What servers' bits mean is not kept. */
	worker->placed.refused = 0;
	worker->socket = gcl_state_get_fd(state);
	worker->page_fd = gcl_state_get_fd(state);
	worker->account = state->bad ? NULL : gcl_account_take(workers->broker, &worker->owner);
	if (worker->account)
		worker->account->heap_given += worker->heap_given;
	err = gcl_worker_adopt(worker);
	if (err < 0)
		return err;
	atomic_store(&worker->page->trace.wanted, 0); /* who looked is gone */
	steal_pointer(&worker);
	return 0;
}
