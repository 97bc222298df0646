/*
 * Between icd.c and absent.c: what stands in the dispatch table for functions without a prototype.
 */
#ifndef GCL_ICD_H
#define GCL_ICD_H

#include "guest.h"

cl_int gcl_absent_command(void);
void *gcl_absent_object(void);

#endif
