/* SPDX-License-Identifier: MIT */
/*
 * What a GPU server tells of itself, and how servers are called and reached.
 *
 * Most of it comes from other machines: whoever takes it over checks it first.
 */
#ifndef GCL_SERVER_INFO_H
#define GCL_SERVER_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "page.h"

/* As a VM's name. */
#define GCL_SERVER_NAME_MAX 64u

/* Room for a host's name of 253 bytes and a port. */
#define GCL_SERVER_ADDRESS_MAX 264u
#define GCL_SERVER_HOST_MAX    256u
#define GCL_SERVER_PORT	       "17228"

struct gcl_server_device {
	char name[GCL_PAGE_NAME_MAX];
	uint64_t memory, free; /* bytes; free is no more than memory */
	uint32_t load;	       /* percent of its time that it worked lately */
	uint32_t unused;
};

/* Without gaps, so that two can be compared as bytes. */
struct gcl_server_info {
	char name[GCL_SERVER_NAME_MAX + 8];
	char address[GCL_SERVER_ADDRESS_MAX]; /* HOST or HOST:PORT */
	char version[32];		      /* of its guestcld */
	uint32_t load;			      /* percent, the mean of its devices' */
	uint32_t sessions;
	uint32_t device_count;
	uint32_t unused;
	struct gcl_server_device devices[GCL_PAGE_DEVICES_MAX];
};

/** gcl_server_name_valid() - letters, digits, '.', '_' and '-', none of them a hidden file's. */
bool gcl_server_name_valid(const char *name);

/**
 * gcl_server_address_parse() - "HOST", "HOST:PORT", "[ADDRESS]" or "[ADDRESS]:PORT".
 * @host: a name or an address, without brackets; may be NULL, as may @port
 */
bool gcl_server_address_parse(const char *text, char host[GCL_SERVER_HOST_MAX], char port[8]);

/** gcl_server_address_valid() - the same, for a setting. */
bool gcl_server_address_valid(const char *text);

/** gcl_server_place_valid() - the same, or "unix:/PATH", which no other machine may say. */
bool gcl_server_place_valid(const char *text);

/** gcl_server_path() - the path of "unix:/PATH", lent; NULL: it is another kind of address. */
const char *gcl_server_path(const char *text);

/** gcl_server_urls_valid() - "http://HOST:PORT" or "https://HOST:PORT", several of them separated
 * by
 * ','. */
bool gcl_server_urls_valid(const char *text);

/**
 * gcl_server_info_clean() - make what came from elsewhere safe to use: texts end and are printable,
 * numbers are what they can be.
 *
 * Return: false if name, address or number of devices are none.
 */
bool gcl_server_info_clean(struct gcl_server_info *info);

#endif
