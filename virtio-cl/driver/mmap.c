// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The program's mappings of rings and heap: pages come in when they are touched, a chunk at a time.
 *
 * All files of the device share an address_space, in which each session has a slot of its own: the
 * mappings of one can be zapped without looking for the programs that have them.
 */
#include <linux/fs.h>

#include "compat.h"
#include "vcl.h"

#define SLOT_SHIFT  41
#define SLOT_PAGES  (1ul << (SLOT_SHIFT - PAGE_SHIFT))
#define RINGS_INDEX (VIRTIO_CL_MMAP_RINGS >> PAGE_SHIFT)

static_assert(VIRTIO_CL_MMAP_RINGS + VCL_RINGS_MAX <= 1ull << SLOT_SHIFT);
static_assert(VIRTIO_CL_HEAP_MAX <= VIRTIO_CL_MMAP_RINGS);

/* The pages that hold the one with this index, of which the first has index @first. */
static struct vcl_pages *pages_at(struct vcl_session *session, pgoff_t index, pgoff_t *first)
{
	struct vcl_pages *pages;

	if (index >= RINGS_INDEX) {
		*first = RINGS_INDEX;
		pages = session->rings;
	} else {
		*first = round_down(index, VCL_CHUNK_PAGES);
		pages = xa_load(&session->chunks, index / VCL_CHUNK_PAGES);
	}
	return pages && index - *first < pages->count ? pages : NULL;
}

/* Maps all of the pages that the mapping covers, or, where some are mapped already, just one. */
static vm_fault_t pages_insert(struct vm_fault *vmf, struct vcl_pages *pages, pgoff_t first,
			       pgoff_t index, pgoff_t base)
{
	struct vm_area_struct *vma = vmf->vma;
	pgoff_t vma_first = vma->vm_pgoff - base;
	pgoff_t begin = max(first, vma_first);
	pgoff_t end = min(first + pages->count, vma_first + vma_pages(vma));
	unsigned long count = end - begin;
	unsigned long address = vma->vm_start + ((begin - vma_first) << PAGE_SHIFT);

	if (!vm_insert_pages(vma, address, &pages->page[begin - first], &count))
		return VM_FAULT_NOPAGE;
	return vmf_insert_page(vma, vmf->address & PAGE_MASK, pages->page[index - first]);
}

/*
 * The session is over and its memory is gone, but the program may not know yet, or may have mapped
 * buffers still: it is told by its OpenCL calls, not by a signal. It gets an empty page of its own.
 */
static vm_fault_t blank_insert(struct vm_fault *vmf)
{
	struct page *page = alloc_page(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT);
	vm_fault_t result;

	if (!page)
		return VM_FAULT_OOM;
	result = vmf_insert_page(vmf->vma, vmf->address & PAGE_MASK, page);
	put_page(page); /* the mapping has a reference of its own */
	return result;
}

static vm_fault_t vcl_fault(struct vm_fault *vmf)
{
	struct vcl_session *session = vmf->vma->vm_private_data;
	pgoff_t base = session->slot * SLOT_PAGES;
	pgoff_t index = vmf->pgoff - base;
	vm_fault_t result = VM_FAULT_SIGBUS;
	struct vcl_pages *pages;
	pgoff_t first;

	down_read(&session->memory);
	pages = pages_at(session, index, &first);
	if (pages)
		result = pages_insert(vmf, pages, first, index, base);
	else if (READ_ONCE(session->leaving) || READ_ONCE(session->ended))
		result = blank_insert(vmf);
	up_read(&session->memory);
	return result;
}

static const struct vm_operations_struct vcl_vm_ops = {
	.fault = vcl_fault,
};

/* The file, which the mapping holds on to, holds on to the session. */
int vcl_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vcl_session *session = file->private_data;
	bool rings = vma->vm_pgoff >= RINGS_INDEX;
	u64 first = rings ? vma->vm_pgoff - RINGS_INDEX : vma->vm_pgoff;
	u64 end = first + vma_pages(vma);
	u64 limit = 0;
	int err;

	err = vcl_session_check(session);
	if (err)
		return err;
	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	down_read(&session->memory);
	if (!rings)
		limit = session->heap_size >> PAGE_SHIFT;
	else if (session->rings)
		limit = session->rings->count;
	up_read(&session->memory);
	if (end < first || end > limit)
		return -EINVAL;
	vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYEXEC);
	vma->vm_pgoff += session->slot * SLOT_PAGES;
	vma->vm_private_data = session;
	vma->vm_ops = &vcl_vm_ops;
	return 0;
}

/*
 * vcl_unmap() - take a range out of all mappings
 *
 * The caller has the session's memory for writing, so that no fault brings it back.
 */
void vcl_unmap(struct vcl_session *session, u64 offset, u64 length)
{
	unmap_mapping_range(session->mapping, ((loff_t)session->slot << SLOT_SHIFT) + offset,
			    length, 1);
}
