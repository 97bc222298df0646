/*
 * Between opened.c, svm.c and icd.c, which hands these functions out by their names.
 */
#ifndef GCL_OPENED_H
#define GCL_OPENED_H

#include "guest.h"

CL_API_ENTRY cl_int CL_API_CALL clGuestclOpenPlatform(int fd, cl_platform_id *platform,
						      char *reason, size_t reason_size);
CL_API_ENTRY cl_bool CL_API_CALL clGuestclPlatformLost(cl_platform_id platform);
CL_API_ENTRY void CL_API_CALL clGuestclClosePlatform(cl_platform_id platform);
CL_API_ENTRY cl_mem CL_API_CALL clGuestclCreateSVMBuffer(cl_context context, cl_mem_flags flags,
							 size_t size, void *address,
							 cl_int *errcode_ret);

#endif
