/*
 * What all clGet*Info calls share.
 */
#include "guest.h"

cl_int gcl_info(const void *value, size_t size, size_t param_value_size, void *param_value,
		size_t *size_ret)
{
	REFUSE_IF(param_value && param_value_size < size, CL_INVALID_VALUE);
	if (param_value && size)
		memcpy(param_value, value, size);
	if (size_ret)
		*size_ret = size;
	return CL_SUCCESS;
}

cl_int gcl_info_string(const char *value, size_t param_value_size, void *param_value,
		       size_t *size_ret)
{
	const char *text = value ? value : "";

	return gcl_info(text, strlen(text) + 1, param_value_size, param_value, size_ret);
}
