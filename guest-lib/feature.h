/*
 * Between device.c and feature.c.
 */
#ifndef GCL_FEATURE_H
#define GCL_FEATURE_H

#include "guest.h"

/** gcl_extension_kept() - is it one that programs see where the host's device has it? */
bool gcl_extension_kept(const char *name);

/** gcl_device_has_extension() - does the device show it? */
bool gcl_device_has_extension(const struct _cl_device_id *device, const char *name);

/** gcl_feature_info() - clGetDeviceInfo for what came after 1.2, and for extensions. */
cl_int gcl_feature_info(const struct _cl_device_id *device, cl_device_info param_name,
			size_t param_value_size, void *param_value, size_t *param_value_size_ret);

#endif
