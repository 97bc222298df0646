/*
 * Cleanup attributes: locals that free themselves when they go out of scope.
 *
 * steal_pointer() and steal_fd() hand the value on and disarm the local.
 */
#ifndef GCL_BASE_CLEANUP_H
#define GCL_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void gcl_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void gcl_cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void gcl_cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_(fn)	 __attribute__((cleanup(fn)))
#define _cleanup_free_	 _cleanup_(gcl_cleanup_free)
#define _cleanup_close_	 _cleanup_(gcl_cleanup_close)
#define _cleanup_fclose_ _cleanup_(gcl_cleanup_fclose)

#define steal_pointer(p)                                                                           \
	({                                                                                         \
		__typeof__(*(p)) stolen_ = *(p);                                                   \
		*(p) = NULL;                                                                       \
		stolen_;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define GCL_ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))
#define GCL_MIN(a, b)	  ((a) < (b) ? (a) : (b))
#define GCL_MAX(a, b)	  ((a) > (b) ? (a) : (b))

#define gcl_container_of(ptr, type, member)                                                        \
	((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))

#endif
