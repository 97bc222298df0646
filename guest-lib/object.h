/*
 * What all OpenCL objects of the guest have in common: dispatch table, kind, id, reference count.
 *
 * Objects come from pools of their kind that never give memory back, so that a handle of a released
 * object can still be recognised as such. The pool's slot number is the id's index; each reuse is
 * another generation.
 */
#ifndef GCL_OBJECT_H
#define GCL_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

struct gcl_session;

struct gcl_object {
	const void *dispatch;	/* first, for the ICD loader */
	_Atomic uint32_t magic; /* gcl_magic(kind) while alive */
	_Atomic uint32_t refs;
	uint64_t id;
	struct gcl_session *session; /* platforms and devices: the one they were found by; lent */
	_Atomic int failed;	     /* OBJECT_FAILED's status, 0 while all is well */
};

static inline uint32_t gcl_magic(enum gcl_kind kind)
{
	return 0x67636c00u | kind;
}

/* Is @handle a live object of @kind? NULL is not. Works on every handle's type: the object is its
 * first member. */
#define gcl_valid(handle, kind)                                                                    \
	gcl_object_valid((const struct gcl_object *)(const void *)(handle), kind)

static inline bool gcl_object_valid(const struct gcl_object *object, enum gcl_kind kind)
{
	return object &&
	       atomic_load_explicit(&object->magic, memory_order_acquire) == gcl_magic(kind);
}

/**
 * gcl_object_new() - a zeroed object of @kind with one reference and a new id.
 * Return: NULL when there are GCL_OBJECTS_MAX of them or memory is short (CL_OUT_OF_HOST_MEMORY).
 */
void *gcl_object_new(enum gcl_kind kind, struct gcl_session *session);

/** gcl_object_free() - back to the pool; does not tell the host (see gcl_post_release()). */
void gcl_object_free(void *object);

static inline void gcl_object_get(void *object)
{
	atomic_fetch_add_explicit(&((struct gcl_object *)object)->refs, 1, memory_order_relaxed);
}

/** gcl_object_put() - drop a reference. Return: true when it was the last and the caller must tear
 * the object down. */
static inline bool gcl_object_put(void *object)
{
	return atomic_fetch_sub_explicit(&((struct gcl_object *)object)->refs, 1,
					 memory_order_acq_rel) == 1;
}

/** gcl_object_exists() - whether @address, which may be anything, is that of a live object. */
bool gcl_object_exists(const void *address, enum gcl_kind kind);

/** gcl_object_lookup() - @session's live object with @id and a new reference to it, or NULL. */
void *gcl_object_lookup(const struct gcl_session *session, uint64_t id, enum gcl_kind kind);

/** gcl_object_each() - call @visit for each live object of @session's of that kind, with a
 * reference held, without any lock held. */
void gcl_object_each(const struct gcl_session *session, enum gcl_kind kind,
		     void (*visit)(void *object, void *data), void *data);

/** gcl_object_count() - how many objects of any kind @session has. */
size_t gcl_object_count(const struct gcl_session *session);

/** For pthread_atfork: take and drop the pools' locks around a fork. */
void gcl_object_fork_prepare(void);
void gcl_object_fork_done(void);

extern const struct _cl_icd_dispatch gcl_dispatch; /* icd.c */

#endif
