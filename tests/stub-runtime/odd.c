// SPDX-License-Identifier: MIT
/*
 * What goes wrong inside a call.
 */
#include "odd.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *word_find(const char *what)
{
	const char *words = getenv("STUB_ODD");
	size_t length = strlen(what);

	while (words && *words) {
		if (strncmp(words, what, length) == 0 && strchr(",:", words[length]))
			return words + length;
		words += strcspn(words, ",");
		words += *words == ',';
	}
	return NULL;
}

bool odd_has(const char *what)
{
	return word_find(what);
}

unsigned odd_number(const char *what)
{
	const char *found = word_find(what);

	return found && *found == ':' ? (unsigned)strtoul(found + 1, NULL, 10) : 0;
}

/* Is it in @call that @what happens? */
static bool happens(const char *what, const char *call)
{
	const char *found = word_find(what);
	size_t length = strlen(call);

	return found && *found == ':' && strncmp(found + 1, call, length) == 0 &&
	       strchr(",", found[1 + length]);
}

/* By a write: the first process of a PID namespace is sent no signals that it doesn't handle. */
static void crash(void)
{
	volatile char *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*page = 1;
}

static void *thread_crash(void *unused)
{
	(void)unused;
	crash();
	return NULL;
}

static void process_end(const char *call)
{
	pthread_t thread;

	/* A sanitizer would make exits of these. abort(), too, comes to it where no SIGABRT does.
	 */
	if (happens("abort", call) || happens("crash", call) || happens("thread", call))
		signal(SIGSEGV, SIG_DFL);
	if (happens("exit", call))
		exit(0);
	if (happens("abort", call))
		abort();
	if (happens("crash", call))
		crash();
	if (happens("thread", call) && pthread_create(&thread, NULL, thread_crash, NULL) == 0)
		pthread_detach(thread);
}

cl_int odd_enter(const char *call)
{
	static atomic_uint calls;
	unsigned every = odd_number("fail");
	unsigned count = atomic_fetch_add(&calls, 1) + 1;

	if (odd_has("print"))
		printf("stub: %s\n", call);
	process_end(call);
	if (!every || count % every)
		return CL_SUCCESS;
	return count / every % 2 ? CL_OUT_OF_RESOURCES : CL_OUT_OF_HOST_MEMORY;
}
