// SPDX-License-Identifier: MIT
/*
 * Servers' names and addresses, and what comes from other machines made safe.
 */
#include "server-info.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define URLS_MAX 8u

bool gcl_server_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strnlen(name, GCL_SERVER_NAME_MAX + 1);

	return length > 0 && length <= GCL_SERVER_NAME_MAX && strspn(name, allowed) == length &&
	       name[0] != '.' && name[0] != '-';
}

/* strtoul() takes signs and blanks, too. */
static bool port_is(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= 5 && !text[digits] && strtoul(text, NULL, 10) >= 1 &&
	       strtoul(text, NULL, 10) <= 65535;
}

static bool host_is(const char *text, size_t length, bool bracketed)
{
	char copy[GCL_SERVER_HOST_MAX];
	unsigned char address[16];

	if (length == 0 || length >= sizeof copy - 2)
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (bracketed)
		return inet_pton(AF_INET6, copy, address) == 1;
	return strspn(copy, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
		       length &&
	       copy[0] != '-' && copy[0] != '.';
}

bool gcl_server_address_parse(const char *text, char host[GCL_SERVER_HOST_MAX], char port[8])
{
	bool bracketed = *text == '[';
	size_t length = strcspn(text += bracketed, bracketed ? "]" : ":");
	const char *rest = text + length;

	if (!host_is(text, length, bracketed) || (bracketed && *rest++ != ']') ||
	    (*rest && (*rest != ':' || !port_is(rest + 1))))
		return false;
	if (host)
		snprintf(host, GCL_SERVER_HOST_MAX, "%.*s", (int)length, text);
	if (port)
		snprintf(port, 8, "%s", *rest ? rest + 1 : GCL_SERVER_PORT);
	return true;
}

bool gcl_server_address_valid(const char *text)
{
	return gcl_server_address_parse(text, NULL, NULL);
}

const char *gcl_server_path(const char *text)
{
	static const char scheme[] = "unix:";

	return strncmp(text, scheme, sizeof scheme - 1) == 0 ? text + sizeof scheme - 1 : NULL;
}

bool gcl_server_place_valid(const char *text)
{
	const char *path = gcl_server_path(text);

	if (!path)
		return gcl_server_address_valid(text);
	return path[0] == '/' && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

static bool url_is(const char *text, size_t length)
{
	static const char *const schemes[] = {"https://", "http://"};
	char copy[GCL_SERVER_ADDRESS_MAX + 8];

	if (length >= sizeof copy)
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	for (size_t i = 0; i < 2; i++) {
		size_t skip = strlen(schemes[i]);

		if (strncmp(copy, schemes[i], skip) == 0)
			return gcl_server_address_valid(copy + skip);
	}
	return false;
}

bool gcl_server_urls_valid(const char *text)
{
	for (unsigned i = 0; i < URLS_MAX; i++) {
		size_t length = strcspn(text, ",");

		if (!url_is(text, length))
			return false;
		if (!text[length])
			return true;
		text += length + 1;
	}
	return false;
}

/* It may be shown on a terminal, and stand in a log. */
static void text_clean(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++) {
		if (!isprint((unsigned char)*text))
			*text = '?';
	}
}

static uint32_t percent(uint32_t value)
{
	return value > 100 ? 100 : value;
}

bool gcl_server_info_clean(struct gcl_server_info *info)
{
	text_clean(info->name, sizeof info->name);
	text_clean(info->address, sizeof info->address);
	text_clean(info->version, sizeof info->version);
	info->load = percent(info->load);
	if (!gcl_server_name_valid(info->name) || !gcl_server_address_valid(info->address) ||
	    info->device_count > GCL_PAGE_DEVICES_MAX)
		return false;
	for (unsigned i = 0; i < info->device_count; i++) {
		struct gcl_server_device *device = &info->devices[i];

		text_clean(device->name, sizeof device->name);
		device->load = percent(device->load);
		device->free = device->free > device->memory ? device->memory : device->free;
	}
	return true;
}
