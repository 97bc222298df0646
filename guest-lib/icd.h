/*
 * Between icd.c, platform.c and absent.c: exported functions, and what stands in the dispatch
 * table for functions without a prototype.
 */
#ifndef GCL_ICD_H
#define GCL_ICD_H

#include "guest.h"

/* Loaders look these up by name; libguestcl.map lists them. */
#define GCL_EXPORTED __attribute__((visibility("default")))

cl_int gcl_absent_command(void);
void *gcl_absent_object(void);

#endif
