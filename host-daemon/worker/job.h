/*
 * A piece of work for some other thread; lies inside its owner.
 */
#ifndef GCL_JOB_H
#define GCL_JOB_H

#include "base/list.h"

struct gcl_job {
	struct gcl_list link;
	void (*run)(struct gcl_job *job);  /* on such a thread; frees the job */
	void (*drop)(struct gcl_job *job); /* instead of run, when the end comes first */
};

#endif
