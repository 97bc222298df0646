/*
 * What the files about memory objects share: memory.c, image.c, image-transfer.c.
 */
#ifndef GCL_MEMORY_H
#define GCL_MEMORY_H

#include "range.h"

/* What the guest's heap aligns to: the largest OpenCL type. Kernels may rely on it. */
#define GCL_RESIDENT_ALIGN 128u

/** gcl_mem_add() - entry and detail for @id, which the guest picked. Return: NULL on failure; *@out
 * is NULL then when @id can't be used (-EPROTO), and not when memory is short (-ENOMEM). */
struct gcl_mem *gcl_mem_add(struct gcl_worker *worker, uint64_t id, struct gcl_entry **out);

/** gcl_mem_made() - gcl_object_made() for memory objects: fills in the detail too. */
void gcl_mem_made(struct gcl_worker *worker, struct gcl_entry *entry, cl_mem handle, cl_int status);

/**
 * gcl_mem_watch() - when the runtime lets go of @handle, give @charge back.
 * @charge: what was taken for it; corrected to what the runtime holds
 * @id: told to the guest by MEM_FREED then, too; 0: it isn't
 *
 * On failure nobody would ever say when the memory is free, so the object is given up: the handle
 * is released and @charge given back. Return: CL_SUCCESS or why it failed.
 */
cl_int gcl_mem_watch(struct gcl_worker *worker, cl_mem *handle, struct gcl_charge charge,
		     uint64_t id);

/** gcl_mem_freed() - tell the guest that heap memory given with @id is its own again; any thread.
 */
void gcl_mem_freed(struct gcl_worker *worker, uint64_t id);

/**
 * gcl_image_layout() - how a region of @image lies in host memory.
 * @region: in pixels, rows, slices (layers in the dimension behind the last one of the image)
 * @row, @slice: pitches as the guest gave them, 0: dense; set to what the runtime wants for this
 * kind of image
 * @size: set to the bytes from the first to the last pixel
 *
 * Return: false when the region is empty, or pitches are too small or too large.
 */
bool gcl_image_layout(const struct gcl_mem *image, const size_t region[3], size_t *row,
		      size_t *slice, uint64_t *size);

/** gcl_mem_flags() - those of the guest's flags that the runtime gets to see. */
cl_mem_flags gcl_mem_flags(uint64_t flags);

#endif
