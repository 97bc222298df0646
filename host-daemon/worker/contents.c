// SPDX-License-Identifier: MIT
/*
 * What is known of the contents of a memory object: on which sides they are valid, what is on its
 * way there, and which commands write to them.
 */
#include <errno.h>
#include <stdlib.h>

#include "copy.h"
#include "worker.h"

void gcl_contents_init(struct gcl_contents *contents, bool defined)
{
	contents->valid = defined ? GCL_SIDE_BIT(GCL_HOME) : GCL_SIDES_ALL;
}

static void writers_clear(struct gcl_contents *contents, bool all)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < contents->writer_count; i++) {
		struct gcl_writer writer = contents->writers[i];

		if (!all && gcl_event_status(writer.event) > CL_COMPLETE)
			contents->writers[kept++] = writer;
		else
			clReleaseEvent(writer.event);
	}
	contents->writer_count = kept;
}

void gcl_contents_fini(struct gcl_contents *contents)
{
	writers_clear(contents, true);
	free(contents->writers);
	gcl_copy_sums_destroy(contents->sums);
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (contents->arriving[i])
			clReleaseEvent(contents->arriving[i]);
}

int gcl_contents_write(struct gcl_contents *contents, cl_event event, unsigned side)
{
	if (contents->writer_count == contents->writer_room) {
		uint32_t room = contents->writer_room ? 2 * contents->writer_room : 4;
		struct gcl_writer *grown;

		writers_clear(contents, false);
		if (contents->writer_count > contents->writer_room / 2 || !contents->writers) {
			grown = realloc(contents->writers, room * sizeof *grown);
			if (!grown)
				return -ENOMEM;
			contents->writers = grown;
			contents->writer_room = room;
		}
	}
	clRetainEvent(event);
	contents->writers[contents->writer_count++] = (struct gcl_writer){event, side};
	return 0;
}

size_t gcl_contents_writers(struct gcl_mem *root, cl_event *events)
{
	struct gcl_contents *contents = &root->contents;
	size_t count = 0;

	writers_clear(contents, false);
	for (uint32_t i = 0; i < contents->writer_count; i++)
		events[count++] = contents->writers[i].event;
	for (unsigned i = 0; i < GCL_SIDES; i++)
		if (contents->arriving[i])
			events[count++] = contents->arriving[i];
	return count;
}

void gcl_contents_arrive(struct gcl_contents *contents, unsigned side, cl_event event)
{
	clRetainEvent(event);
	if (contents->arriving[side])
		clReleaseEvent(contents->arriving[side]);
	contents->arriving[side] = event;
}

void gcl_contents_leave(struct gcl_contents *contents, unsigned side)
{
	if (contents->valid != GCL_SIDES_ALL)
		contents->valid &= (uint8_t)~GCL_SIDE_BIT(side);
	contents->summed = 0;
	if (contents->arriving[side])
		clReleaseEvent(contents->arriving[side]);
	contents->arriving[side] = NULL;
	for (uint32_t i = 0; i < contents->writer_count;) {
		if (contents->writers[i].side == side) {
			clReleaseEvent(contents->writers[i].event);
			contents->writers[i] = contents->writers[--contents->writer_count];
		} else {
			i++;
		}
	}
}

/* What came, or didn't. */
static void arrival_look(struct gcl_contents *contents, unsigned side)
{
	cl_event arriving = contents->arriving[side % GCL_SIDES];
	cl_int status = arriving ? gcl_event_status(arriving) : CL_SUBMITTED;

	if (status > CL_COMPLETE)
		return;
	if (status < CL_COMPLETE && contents->valid != GCL_SIDE_BIT(side))
		contents->valid &= (uint8_t)~GCL_SIDE_BIT(side);
	clReleaseEvent(arriving);
	contents->arriving[side % GCL_SIDES] = NULL;
}

bool gcl_contents_on(struct gcl_mem *root, unsigned side)
{
	arrival_look(&root->contents, side);
	return root->contents.valid & GCL_SIDE_BIT(side);
}

bool gcl_contents_arriving(struct gcl_mem *root)
{
	bool any = false;

	for (unsigned i = 0; i < GCL_SIDES; i++) {
		arrival_look(&root->contents, i);
		any |= root->contents.arriving[i] != NULL;
	}
	return any;
}
