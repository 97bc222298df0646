/*
 * Versions: what becomes of the host's.
 */
#include "version.h"

#include <stdio.h>
#include <stdlib.h>

#define VERSION_FULL CL_MAKE_VERSION(3, 0, 0) /* all of it, less what is optional */
#define VERSION_HALF CL_MAKE_VERSION(1, 2, 0) /* what is shown of 2.x */

cl_version gcl_version_shown(cl_version host)
{
	if (host >= VERSION_FULL)
		return VERSION_FULL;
	return GCL_MIN(host, VERSION_HALF);
}

cl_version gcl_version_of(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);
	unsigned long major, minor;
	char *end;

	if (strncmp(text, prefix, length) != 0)
		return 0;
	major = strtoul(text + length, &end, 10);
	minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return CL_MAKE_VERSION(GCL_MIN(major, 1023u), GCL_MIN(minor, 1023u), 0);
}

char *gcl_version_text(const char *host, const char *prefix)
{
	cl_version version = gcl_version_of(host, prefix);
	cl_version shown = gcl_version_shown(version);
	const char *rest = version ? strchr(host + strlen(prefix), ' ') : NULL;
	char *text;

	if (shown == version || !rest)
		return strdup(host);
	if (asprintf(&text, "%s%u.%u%s", prefix, CL_VERSION_MAJOR(shown), CL_VERSION_MINOR(shown),
		     rest) < 0)
		return NULL;
	return text;
}

cl_int gcl_name_versions(const Gcl__Info *info, bool (*kept)(const cl_name_version *entry),
			 size_t param_value_size, void *param_value, size_t *param_value_size_ret)
{
	_cleanup_free_ cl_name_version *list = malloc(info->value.len + sizeof *list);
	size_t count = 0;

	REFUSE_IF(!list, CL_OUT_OF_HOST_MEMORY);
	for (size_t at = 0; at + sizeof *list <= info->value.len; at += sizeof *list) {
		memcpy(&list[count], info->value.data + at, sizeof *list);
		list[count].name[CL_NAME_VERSION_MAX_NAME_SIZE - 1] = '\0';
		if (kept(&list[count]))
			count++;
	}
	return gcl_info(list, count * sizeof *list, param_value_size, param_value,
			param_value_size_ret);
}
