// SPDX-License-Identifier: MIT
/*
 * A line of the follower.
 *
 * It comes from a program of ours, but names and numbers in it come from whoever may edit a domain:
 * nothing is taken as it is.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

#define UUID_LENGTH 36u

static const char *const verbs[] = {
	[GCL_LIBVIRT_VM] = "vm",
	[GCL_LIBVIRT_STOPPED] = "stopped",
	[GCL_LIBVIRT_GONE] = "gone",
	[GCL_LIBVIRT_LISTED] = "listed",
};

static bool uuid_valid(const char *text)
{
	return strlen(text) == UUID_LENGTH && strspn(text, "0123456789abcdef-") == UUID_LENGTH &&
	       gcl_vm_id_valid(text);
}

static int hex(char digit)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *at = digit ? strchr(digits, digit) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* For people: what could spoil a line of the log becomes '?', and what is too long is cut. */
static void name_decode(char *name, size_t size, const char *text)
{
	size_t used = 0;

	while (*text && used < size - 1) {
		unsigned char c = (unsigned char)*text++;

		if (c == '%' && hex(text[0]) >= 0 && hex(text[1]) >= 0) {
			c = (unsigned char)(hex(text[0]) * 16 + hex(text[1]));
			text += 2;
		}
		name[used++] = (char)(c < ' ' || c == 0x7f ? '?' : c);
	}
	name[used] = '\0';
}

/* Bytes: more than the configuration file's numbers without a unit can say. */
static int memory_take(struct gcl_vm_config *vm, const char *value)
{
	char *end;

	if (!isdigit((unsigned char)*value))
		return -EINVAL;
	errno = 0;
	vm->memory = strtoull(value, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

/* KEY=VALUE; a key of a later follower is left out. */
static int pair_take(struct gcl_vm_config *vm, char *pair)
{
	char *value = strchr(pair, '=');
	char error[128];

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (strcmp(pair, "memory") == 0)
		return memory_take(vm, value);
	if (strcmp(pair, "weight") == 0 || strcmp(pair, "cid") == 0)
		return gcl_vm_config_set(vm, pair, value, error, sizeof error);
	return 0;
}

static int vm_take(struct gcl_vm_config *vm, char *rest)
{
	const char *name = strsep(&rest, " "), *file = strsep(&rest, " ");

	/* The name has one form only; the domain says whether it has one. */
	snprintf(vm->socket, sizeof vm->socket, "libvirt-%s.sock", vm->id);
	if (!name || !*name || !file || (strcmp(file, "-") != 0 && strcmp(file, vm->socket) != 0))
		return -EINVAL;
	name_decode(vm->name, sizeof vm->name, name);
	for (char *pair = strsep(&rest, " "); pair; pair = strsep(&rest, " ")) {
		if (pair_take(vm, pair) < 0)
			return -EINVAL;
	}
	return 0;
}

int gcl_libvirt_parse(const char *text, struct gcl_libvirt_line *line)
{
	char copy[GCL_LIBVIRT_LINE_MAX], error[128];
	char *rest = copy;
	const char *verb, *uuid;

	if (strlen(text) >= sizeof copy)
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	verb = strsep(&rest, " ");
	for (line->verb = 0; line->verb < GCL_ARRAY_SIZE(verbs); line->verb++) {
		if (strcmp(verb, verbs[line->verb]) == 0)
			break;
	}
	if (line->verb == GCL_ARRAY_SIZE(verbs))
		return -EINVAL;
	if (line->verb == GCL_LIBVIRT_LISTED)
		return rest ? -EINVAL : 0;
	uuid = strsep(&rest, " ");
	if (!uuid || !uuid_valid(uuid) ||
	    gcl_vm_config_init(&line->vm, uuid, error, sizeof error) < 0)
		return -EINVAL;
	if (line->verb == GCL_LIBVIRT_VM)
		return rest ? vm_take(&line->vm, rest) : -EINVAL;
	return rest ? -EINVAL : 0;
}
