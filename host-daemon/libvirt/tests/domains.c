// SPDX-License-Identifier: MIT
#include "domains.h"

char *domain_text(const char *name)
{
	char path[4096];
	_cleanup_fclose_ FILE *file = NULL;
	char *text = NULL;
	size_t size = 0;

	snprintf(path, sizeof path, "%s/%s.xml", getenv("DOMAINS"), name);
	file = fopen(path, "r");
	if (!file || getdelim(&text, &size, '\0', file) < 0)
		fail_msg("can't read %s", path);
	return text;
}

void holds(const char *name, const char *text, const char *part, int times)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, part)); at++)
		count++;
	if (count != times)
		fail_msg("%s: \"%s\" stands %d times, not %d, in:\n%s", name, part, count, times,
			 text);
}

char *replaced(const char *text, const char *part, const char *with)
{
	const char *at = strstr(text, part);
	char *out = NULL;

	assert_non_null(at);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, with, at + strlen(part)) >
		    0);
	return out;
}
