/*
 * What the files of the local channel share: how it is put together.
 */
#ifndef GCL_LOCAL_CHANNEL_H
#define GCL_LOCAL_CHANNEL_H

#include <fcntl.h>

#include "hello.h"
#include "local.h"
#include "shm.h"

#define GCL_LOCAL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static inline uint64_t gcl_local_rings_size(const struct gcl_hello *hello)
{
	return gcl_shm_rings_size(hello->commands_size, hello->completions_size);
}

/** gcl_local_heap_map() - map a heap memfd the way both sides do, at @hint if that can be. Return:
 * NULL and errno. */
void *gcl_local_heap_map(int fd, uint64_t size, void *hint);

/** gcl_local_connect_within() - gcl_local_connect() with a timeout for connecting and one for
 * the answer. */
int gcl_local_connect_within(const char *path, int timeout_ms, struct gcl_channel **out,
			     char *reason, size_t reason_size);

/**
 * gcl_local_create() - a channel over mapped memory.
 * @guest: which side this is
 * @greeting: sizes are read; doorbells and connection are taken over on success
 * @rings: the mapped ring memfd, @heap: the mapped heap memfd; taken over on success
 */
int gcl_local_create(bool guest, struct gcl_greeting *greeting, void *rings, void *heap,
		     struct gcl_channel **out);

#endif
