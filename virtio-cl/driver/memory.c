// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages, and how the host is told of them.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "vcl.h"

static_assert(PAGE_SIZE % VIRTIO_CL_PAGE == 0);

static struct vcl_pages *pages_make(unsigned int count)
{
	struct vcl_pages *pages = kvzalloc(struct_size(pages, page, count), GFP_KERNEL_ACCOUNT);

	if (!pages)
		return NULL;
	INIT_LIST_HEAD(&pages->link);
	return pages;
}

/*
 * Adds a block of pages, each of which counts its users by itself, as it may be mapped. Large
 * blocks are tried but not fought for: they save segments, and translations on the host.
 */
static int pages_grow(struct vcl_pages *pages, unsigned int wanted)
{
	unsigned int order = min_t(unsigned int, ilog2(wanted), ilog2(VCL_CHUNK_PAGES));
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;
	struct page *page = NULL;
	unsigned int i;

	for (; order && !page; order -= !page)
		page = alloc_pages(gfp | __GFP_NORETRY, order);
	if (!page)
		page = alloc_pages(gfp | __GFP_RETRY_MAYFAIL, 0);
	if (!page)
		return -ENOMEM;
	if (order)
		split_page(page, order);
	for (i = 0; i < 1u << order; i++)
		pages->page[pages->count++] = page + i;
	return 0;
}

/*
 * What is free is not all for us: to take the last of it, chunk by chunk and without being killed
 * for it, would have everybody else killed.
 */
static bool pages_to_spare(unsigned int count)
{
	return si_mem_available() > (long)(count + totalram_pages() / 16);
}

/*
 * vcl_pages_alloc() - zeroed pages, in large blocks where there are any
 *
 * Return: an ERR_PTR().
 */
struct vcl_pages *vcl_pages_alloc(unsigned int count)
{
	struct vcl_pages *pages = pages_to_spare(count) ? pages_make(count) : NULL;
	int err = 0;

	if (!pages)
		return ERR_PTR(-ENOMEM);
	while (pages->count < count && !err)
		err = fatal_signal_pending(current) ? -EINTR
						    : pages_grow(pages, count - pages->count);
	if (err) {
		vcl_pages_free(pages);
		return ERR_PTR(err);
	}
	return pages;
}

/* The host must have let go of them. A program that has some mapped keeps these until it unmaps. */
void vcl_pages_free(struct vcl_pages *pages)
{
	unsigned int i;

	if (!pages)
		return;
	if (pages->pinned) {
		vcl_pages_unpin(pages);
	} else {
		for (i = 0; i < pages->count; i++)
			put_page(pages->page[i]);
	}
	kvfree(pages);
}

/*
 * vcl_segments_add() - describe pages
 * @segments: @count are used, and there is room for @max
 * @first: of the pages to describe
 * @added: out: how many pages found room
 *
 * Return: how many segments are used now.
 */
u32 vcl_segments_add(struct virtio_cl_segment *segments, u32 count, u32 max,
		     const struct vcl_pages *pages, unsigned int first, unsigned int *added)
{
	unsigned int i;

	for (i = first; i < pages->count; i++) {
		u64 address = page_to_phys(pages->page[i]);
		struct virtio_cl_segment *last = count ? &segments[count - 1] : NULL;

		if (last && le64_to_cpu(last->address) + le64_to_cpu(last->length) == address) {
			le64_add_cpu(&last->length, PAGE_SIZE);
			continue;
		}
		if (count == max)
			break;
		segments[count].address = cpu_to_le64(address);
		segments[count].length = cpu_to_le64(PAGE_SIZE);
		count++;
	}
	*added = i - first;
	return count;
}

/* Where the next page to add is. */
struct cursor {
	struct vcl_pages *const *pages;
	unsigned int count;
	unsigned int index;
	unsigned int page;
};

/* Puts as much as one request can say into it. Return: bytes. */
static u64 request_fill(struct vcl_request *request, u32 max, struct cursor *at)
{
	struct virtio_cl_memory *out = request->out;
	u32 segments = 0;
	u64 length = 0;

	while (at->index < at->count) {
		const struct vcl_pages *pages = at->pages[at->index];
		__le64 *last = segments ? &out->segments[segments - 1].length : NULL;
		__le64 last_length = last ? *last : 0;
		u32 before = segments;
		unsigned int added;

		segments = vcl_segments_add(out->segments, segments, max, pages, at->page, &added);
		if (!pages->pinned && added < pages->count) { /* chunks are not divided */
			segments = before;
			if (last)
				*last = last_length;
			break;
		}
		length += (u64)added << PAGE_SHIFT;
		at->page += added;
		if (at->page < pages->count)
			break;
		at->index++;
		at->page = 0;
	}
	out->length = cpu_to_le64(length);
	out->segment_count = cpu_to_le32(segments);
	request->out_size = struct_size(out, segments, segments);
	return length;
}

static struct vcl_request *memory_request(struct vcl_session *session, u32 type, u64 offset,
					  u32 segments)
{
	struct virtio_cl_memory *out;
	struct vcl_request *request =
		vcl_request_alloc(type, session->id, struct_size(out, segments, segments),
				  sizeof(struct virtio_cl_response), GFP_KERNEL);

	if (request) {
		out = request->out;
		out->offset = cpu_to_le64(offset);
	}
	return request;
}

/*
 * vcl_memory_add() - make the host map pages
 * @offset: in the session's address space, where the first of @pages is to be
 * @pages: @count of them
 * @unsure: out: whether the host may have some of them after an error
 *
 * Return: 0, -errno.
 */
int vcl_memory_add(struct vcl_session *session, u64 offset, struct vcl_pages *const *pages,
		   unsigned int count, bool *unsure)
{
	u32 max = session->device->max_segments;
	struct cursor at = {.pages = pages, .count = count};
	u64 done = 0;
	int err = 0;

	*unsure = false;
	while (at.index < count && !err) {
		struct vcl_request *request =
			memory_request(session, VIRTIO_CL_MEMORY_ADD, offset + done, max);
		u64 length;

		if (!request) {
			err = -ENOMEM;
			break;
		}
		length = request_fill(request, max, &at);
		err = vcl_request_call(session, request, VCL_TICKS_CALL);
		if (!err)
			done += length;
		else
			*unsure = vcl_request_is_unsure(request);
		vcl_request_put(request);
	}
	if (err && !*unsure && done)
		*unsure = vcl_memory_remove(session, offset, done) != 0;
	return err;
}

/*
 * vcl_memory_remove() - make the host let go of a range
 *
 * Return: 0 when it has; -errno when that is not known.
 */
int vcl_memory_remove(struct vcl_session *session, u64 offset, u64 length)
{
	struct vcl_request *request = memory_request(session, VIRTIO_CL_MEMORY_REMOVE, offset, 0);
	struct virtio_cl_memory *out;
	int err;

	if (!request)
		return -ENOMEM;
	out = request->out;
	out->length = cpu_to_le64(length);
	err = vcl_request_call(session, request, VCL_TICKS_CALL);
	vcl_request_put(request);
	return err;
}

/* What the host may use still, though the session does not: kept until the session is closed. */
void vcl_limbo_add(struct vcl_session *session, struct vcl_pages *pages)
{
	down_write(&session->memory);
	list_add(&pages->link, &session->limbo);
	up_write(&session->memory);
}

/*
 * vcl_memory_free() - give everything back
 *
 * The host must have let go of it.
 */
void vcl_memory_free(struct vcl_session *session)
{
	struct vcl_pages *pages, *next;
	unsigned long index;
	unsigned int i;

	down_write(&session->memory);
	vcl_pages_free(session->rings);
	session->rings = NULL;
	xa_for_each(&session->chunks, index, pages) {
		xa_erase(&session->chunks, index);
		atomic64_sub(VIRTIO_CL_CHUNK, &session->heap_bytes);
		vcl_pages_free(pages);
		cond_resched();
	}
	for (i = 0; i < VIRTIO_CL_WINDOWS; i++) {
		pages = session->windows[i].pages;
		if (pages)
			atomic64_sub((u64)pages->count << PAGE_SHIFT, &session->pinned_bytes);
		vcl_pages_free(pages);
		session->windows[i].pages = NULL;
	}
	list_for_each_entry_safe(pages, next, &session->limbo, link) {
		list_del(&pages->link);
		vcl_pages_free(pages);
	}
	up_write(&session->memory);
}
