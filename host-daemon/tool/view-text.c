// SPDX-License-Identifier: MIT
/*
 * Names that are safe to show, and numbers as people read them.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "view.h"

/* A character of UTF-8 (RFC 3629). Return: its bytes; 0: it is none. */
static size_t character(const unsigned char *text, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size = text[0] < 0x80	       ? 1
		      : (text[0] >> 5) == 0x6  ? 2
		      : (text[0] >> 4) == 0xe  ? 3
		      : (text[0] >> 3) == 0x1e ? 4
					       : 0;

	if (size == 0)
		return 0;
	*code = size == 1 ? text[0] : text[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (text[i] & 0x3f);
	}
	if (*code < least[size] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return size;
}

/* Control characters, and those that turn the direction of what follows. */
static bool is_safe(uint32_t code)
{
	return code >= 0x20 && !(code >= 0x7f && code <= 0x9f) &&
	       !(code >= 0x200b && code <= 0x200f) && !(code >= 0x2028 && code <= 0x202e) &&
	       !(code >= 0x2060 && code <= 0x206f) && code != 0x61c && code != 0xfeff;
}

void gcl_view_clean(char *copy, size_t size, const char *text)
{
	const unsigned char *at = (const unsigned char *)(text ? text : "");
	size_t used = 0, bytes;
	uint32_t code;

	while (*at) {
		bytes = character(at, &code);
		if (used + GCL_MAX(bytes, 1u) >= size)
			break;
		if (bytes && is_safe(code)) {
			memcpy(copy + used, at, bytes);
			used += bytes;
		} else {
			copy[used++] = '?';
		}
		at += GCL_MAX(bytes, 1u);
	}
	copy[used] = '\0';
}

char *gcl_view_bytes(double bytes, char *text, size_t size)
{
	static const char units[] = "BKMGTPE";
	unsigned unit = 0;

	for (; bytes >= 1000. && unit < sizeof units - 2; unit++)
		bytes /= 1024.;
	snprintf(text, size, unit && bytes < 99.95 ? "%.1f%c" : "%.0f%c", bytes, units[unit]);
	return text;
}

char *gcl_view_count(double count, char *text, size_t size)
{
	static const char units[] = " kMGTPE";
	unsigned unit = 0;

	for (; count >= 10000. && unit < sizeof units - 2; unit++)
		count /= 1000.;
	if (unit)
		snprintf(text, size, count < 99.95 ? "%.1f%c" : "%.0f%c", count, units[unit]);
	else
		snprintf(text, size, "%.0f", count);
	return text;
}

char *gcl_view_percent(double part, char *text, size_t size)
{
	double percent = GCL_MIN(part * 100., 99999.);

	snprintf(text, size, percent < 99.95 ? "%.1f%%" : "%.0f%%", percent);
	return text;
}

char *gcl_view_time(uint64_t ns, char *text, size_t size)
{
	double seconds = (double)ns * 1e-9;

	if (seconds >= 3600.)
		snprintf(text, size, "%.1f h", seconds / 3600.);
	else if (seconds >= 1.)
		snprintf(text, size, "%.1f s", seconds);
	else
		snprintf(text, size, "%.1f ms", seconds * 1e3);
	return text;
}

char *gcl_view_age(double seconds, char *text, size_t size)
{
	unsigned long all = seconds > 0. && seconds < 1e12 ? (unsigned long)seconds : 0;

	if (all < 60)
		snprintf(text, size, "%lus", all);
	else if (all < 3600)
		snprintf(text, size, "%lum%02lus", all / 60, all % 60);
	else if (all < 86400)
		snprintf(text, size, "%luh%02lum", all / 3600, all / 60 % 60);
	else
		snprintf(text, size, "%lud%02luh", all / 86400, all / 3600 % 24);
	return text;
}
