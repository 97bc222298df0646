// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A session's heap: chunks that come and go.
 *
 * A chunk is the host's before the program can see it, and is out of the program's sight before the
 * host lets go of it.
 */
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "vcl.h"

/* So many chunks are given to the host in one go. */
#define BATCH 64u

static unsigned int heap_mb;
module_param(heap_mb, uint, 0644);
MODULE_PARM_DESC(heap_mb, "MiB of heap that one file may have (0: three quarters of the RAM)");

u64 vcl_heap_limit(void)
{
	u64 limit = (u64)READ_ONCE(heap_mb) << 20;

	if (!limit)
		limit = ((u64)totalram_pages() << PAGE_SHIFT) / 4 * 3;
	return clamp_t(u64, limit, VIRTIO_CL_CHUNK, VIRTIO_CL_HEAP_MAX);
}

static int range_check(struct vcl_session *session, const struct virtio_cl_ioc_range *range)
{
	u64 end;

	if (!range->length || !IS_ALIGNED(range->offset | range->length, VIRTIO_CL_CHUNK) ||
	    check_add_overflow(range->offset, range->length, &end) || end > session->heap_size)
		return -EINVAL;
	return 0;
}

static int batch_alloc(struct vcl_pages **pages, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		pages[i] = vcl_pages_alloc(VCL_CHUNK_PAGES);
		if (IS_ERR(pages[i])) {
			int err = PTR_ERR(pages[i]);

			while (i--)
				vcl_pages_free(pages[i]);
			return err;
		}
	}
	return 0;
}

/* Room in the table for what the host is going to have: it must not fail afterwards. */
static int batch_reserve(struct vcl_session *session, unsigned long first, unsigned int count)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < count && !err; i++)
		err = xa_reserve(&session->chunks, first + i, GFP_KERNEL_ACCOUNT);
	if (err)
		while (i--)
			xa_release(&session->chunks, first + i);
	return err;
}

static int batch_populate(struct vcl_session *session, unsigned long first, unsigned int count)
{
	struct vcl_pages *pages[BATCH];
	bool unsure;
	unsigned int i;
	int err;

	err = batch_reserve(session, first, count);
	if (err)
		return err;
	err = batch_alloc(pages, count);
	if (err)
		goto err_release;
	err = vcl_memory_add(session, (u64)first * VIRTIO_CL_CHUNK, pages, count, &unsure);
	if (err)
		goto err_pages;
	down_write(&session->memory);
	for (i = 0; i < count; i++)
		xa_store(&session->chunks, first + i, pages[i], GFP_NOWAIT); /* was reserved */
	up_write(&session->memory);
	atomic64_add((u64)count * VIRTIO_CL_CHUNK, &session->heap_bytes);
	return 0;

err_pages:
	for (i = 0; i < count; i++) {
		if (unsure)
			vcl_limbo_add(session, pages[i]);
		else
			vcl_pages_free(pages[i]);
	}
err_release:
	for (i = 0; i < count; i++)
		xa_release(&session->chunks, first + i);
	return err;
}

/* How many chunks from @first on, before @end, are all populated, or all not. */
static unsigned int run_of(struct vcl_session *session, unsigned long first, unsigned long end,
			   bool populated)
{
	unsigned int count = 0;

	while (first + count < end && !xa_load(&session->chunks, first + count) != populated)
		count++;
	return count;
}

/*
 * vcl_heap_populate() - put memory into a range of the heap
 *
 * What is populated already is left alone. After an error some of the range may be populated: to
 * try again is safe.
 *
 * Return: 0, -errno; -ENOMEM beyond the file's limit.
 */
int vcl_heap_populate(struct vcl_session *session, const struct virtio_cl_ioc_range *range)
{
	unsigned long at = range->offset / VIRTIO_CL_CHUNK;
	unsigned long end = at + range->length / VIRTIO_CL_CHUNK;
	int err = range_check(session, range);

	while (!err && at < end) {
		unsigned int count = run_of(session, at, end, true);

		if (count) {
			at += count;
			continue;
		}
		count = run_of(session, at, min(end, at + BATCH), false);
		if (atomic64_read(&session->heap_bytes) + (u64)count * VIRTIO_CL_CHUNK >
		    vcl_heap_limit())
			return -ENOMEM;
		err = batch_populate(session, at, count);
		at += count;
		cond_resched();
	}
	return err;
}

/* Takes a run out of the program's sight, then away from the host. */
static int run_release(struct vcl_session *session, unsigned long first, unsigned int count)
{
	u64 offset = (u64)first * VIRTIO_CL_CHUNK;
	u64 length = (u64)count * VIRTIO_CL_CHUNK;
	struct vcl_pages *pages, *next;
	unsigned int i;
	LIST_HEAD(released);
	int err;

	down_write(&session->memory);
	for (i = 0; i < count; i++) {
		pages = xa_erase(&session->chunks, first + i);
		if (pages) /* NULL: the session was closed at this moment */
			list_add(&pages->link, &released);
	}
	vcl_unmap(session, offset, length);
	up_write(&session->memory);
	err = vcl_memory_remove(session, offset, length);
	list_for_each_entry_safe(pages, next, &released, link) {
		list_del_init(&pages->link);
		if (err)
			vcl_limbo_add(session, pages);
		else
			vcl_pages_free(pages);
		atomic64_sub(VIRTIO_CL_CHUNK, &session->heap_bytes);
		cond_resched();
	}
	return err;
}

/*
 * vcl_heap_release() - take the memory out of a range of the heap
 *
 * Return: 0, also where there was none; -errno.
 */
int vcl_heap_release(struct vcl_session *session, const struct virtio_cl_ioc_range *range)
{
	unsigned long at = range->offset / VIRTIO_CL_CHUNK;
	unsigned long end = at + range->length / VIRTIO_CL_CHUNK;
	int err = range_check(session, range);

	while (!err && at < end) {
		unsigned int count = run_of(session, at, end, false);

		if (count) {
			at += count;
			continue;
		}
		count = run_of(session, at, end, true);
		err = run_release(session, at, count);
		at += count;
	}
	return err;
}
