// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Windows: ranges of the program's own memory that the host reads and writes in place.
 */
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "compat.h"
#include "vcl.h"

static unsigned int pin_mb;
module_param(pin_mb, uint, 0644);
MODULE_PARM_DESC(pin_mb, "Memory that one file may have pinned, in MiB (0: a quarter of the RAM)");

static unsigned int pin_total_mb;
module_param(pin_total_mb, uint, 0644);
MODULE_PARM_DESC(pin_total_mb,
		 "Memory that all files together may have pinned, in MiB (0: half of the RAM)");

static atomic64_t pinned_total;

static u64 ram(void)
{
	return (u64)totalram_pages() << PAGE_SHIFT;
}

u64 vcl_pin_limit(void)
{
	u64 limit = (u64)READ_ONCE(pin_mb) << 20;

	return limit ? limit : ram() / 4;
}

static u64 pin_total_limit(void)
{
	u64 limit = (u64)READ_ONCE(pin_total_mb) << 20;

	return limit ? limit : ram() / 2;
}

/* RLIMIT_MEMLOCK is made for other sizes: as with GPU drivers, limits of our own take its place. */
static int pin_account(struct vcl_session *session, u64 bytes)
{
	if (atomic64_read(&session->pinned_bytes) + bytes > vcl_pin_limit())
		return -ENOMEM;
	if (atomic64_add_return(bytes, &pinned_total) > pin_total_limit()) {
		atomic64_sub(bytes, &pinned_total);
		return -ENOMEM;
	}
	return 0;
}

/* Gives the pages back to the program. */
void vcl_pages_unpin(struct vcl_pages *pages)
{
	unpin_user_pages_dirty_lock(pages->page, pages->count, pages->written);
	atomic64_sub((u64)pages->count << PAGE_SHIFT, &pinned_total);
}

static struct vcl_pages *pages_pin(struct vcl_session *session, unsigned long address,
				   unsigned int count, bool write)
{
	unsigned int flags = FOLL_LONGTERM | (write ? FOLL_WRITE : VCL_PIN_READ);
	struct vcl_pages *pages;
	int err;

	err = pin_account(session, (u64)count << PAGE_SHIFT);
	if (err)
		return ERR_PTR(err);
	pages = kvzalloc(struct_size(pages, page, count), GFP_KERNEL_ACCOUNT);
	if (!pages) {
		atomic64_sub((u64)count << PAGE_SHIFT, &pinned_total);
		return ERR_PTR(-ENOMEM);
	}
	INIT_LIST_HEAD(&pages->link);
	pages->pinned = true;
	while (pages->count < count) {
		err = pin_user_pages_fast(address + ((unsigned long)pages->count << PAGE_SHIFT),
					  count - pages->count, flags, pages->page + pages->count);
		if (err <= 0)
			break;
		pages->count += err;
	}
	if (pages->count < count) {
		atomic64_sub((u64)(count - pages->count) << PAGE_SHIFT, &pinned_total);
		vcl_pages_free(pages);
		return ERR_PTR(err < 0 ? err : -EFAULT);
	}
	pages->written = write;
	return pages;
}

static struct vcl_window *window_find(struct vcl_session *session, unsigned int *index)
{
	unsigned int i;

	for (i = 0; i < VIRTIO_CL_WINDOWS; i++) {
		if (!session->windows[i].pages) {
			*index = i;
			return &session->windows[i];
		}
	}
	return NULL;
}

/*
 * vcl_pin() - let the host use some of the program's memory
 * @pin: @pin->offset is set
 *
 * Return: 0, -errno; -ENOMEM beyond a limit, -ENOSPC without a free window, -EFAULT where there is
 * no memory that can be pinned.
 */
int vcl_pin(struct vcl_session *session, struct virtio_cl_ioc_pin *pin)
{
	u64 lead = offset_in_page(pin->address);
	struct vcl_window *window;
	struct vcl_pages *pages;
	unsigned int index;
	bool unsure;
	u64 base, end;
	int err;

	if (!pin->length || pin->flags & ~VIRTIO_CL_PIN_WRITE || pin->reserved ||
	    check_add_overflow(pin->address, pin->length, &end) ||
	    lead + pin->length > VIRTIO_CL_WINDOW_SIZE || (unsigned long)end != end)
		return -EINVAL;
	window = window_find(session, &index);
	if (!window)
		return -ENOSPC;
	pages = pages_pin(session, pin->address - lead,
			  PAGE_ALIGN(lead + pin->length) >> PAGE_SHIFT,
			  pin->flags & VIRTIO_CL_PIN_WRITE);
	if (IS_ERR(pages))
		return PTR_ERR(pages);
	base = VIRTIO_CL_WINDOW_BASE + index * VIRTIO_CL_WINDOW_SIZE;
	err = vcl_memory_add(session, base, &pages, 1, &unsure);
	if (err) {
		if (unsure)
			vcl_limbo_add(session, pages);
		else
			vcl_pages_free(pages);
		return err;
	}
	pin->offset = base + lead;
	down_write(&session->memory);
	window->pages = pages;
	window->offset = pin->offset;
	up_write(&session->memory);
	atomic64_add((u64)pages->count << PAGE_SHIFT, &session->pinned_bytes);
	atomic64_inc(&session->pins);
	return 0;
}

/*
 * vcl_unpin() - take it back
 * @offset: as vcl_pin() said it
 *
 * Return: 0, -ENOENT, -errno.
 */
int vcl_unpin(struct vcl_session *session, u64 offset)
{
	struct vcl_window *window;
	struct vcl_pages *pages;
	u64 bytes;
	int err;

	if (offset < VIRTIO_CL_WINDOW_BASE || offset >= VIRTIO_CL_SPACE_END)
		return -EINVAL;
	window = &session->windows[(offset - VIRTIO_CL_WINDOW_BASE) / VIRTIO_CL_WINDOW_SIZE];
	down_write(&session->memory);
	pages = window->offset == offset ? window->pages : NULL;
	if (pages)
		window->pages = NULL;
	up_write(&session->memory);
	if (!pages)
		return -ENOENT;
	bytes = (u64)pages->count << PAGE_SHIFT;
	err = vcl_memory_remove(session, round_down(offset, VIRTIO_CL_WINDOW_SIZE), bytes);
	if (err)
		vcl_limbo_add(session, pages);
	else
		vcl_pages_free(pages);
	atomic64_sub(bytes, &session->pinned_bytes);
	return err;
}
