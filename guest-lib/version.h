/*
 * Versions, as programs are told them.
 *
 * What remoting doesn't carry (pipes, queues on devices) is optional in OpenCL 3.0 and 1.2, but not
 * in between: a host of 2.x is shown as one of 1.2.
 */
#ifndef GCL_VERSION_H
#define GCL_VERSION_H

#include "guest.h"

/** gcl_version_shown() - of the API, or of OpenCL C: 1.0, 1.1, 1.2 or 3.0. */
cl_version gcl_version_shown(cl_version host);

/** gcl_version_text() - "OpenCL 2.1 rest" becomes "OpenCL 1.2 rest" where @prefix is "OpenCL ";
 * by malloc. NULL without memory. */
char *gcl_version_text(const char *host, const char *prefix);

/** gcl_version_of() - of such a text; 0 for another one. */
cl_version gcl_version_of(const char *text, const char *prefix);

/**
 * gcl_name_versions() - answer a query for a list of cl_name_version.
 * @kept: which of the host's entries programs see
 */
cl_int gcl_name_versions(const Gcl__Info *info, bool (*kept)(const cl_name_version *entry),
			 size_t param_value_size, void *param_value, size_t *param_value_size_ret);

#endif
