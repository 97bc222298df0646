// SPDX-License-Identifier: MIT
/*
 * The table of servers.
 *
 * Must not: believe what it is told of, do anything with a server.
 */
#include "servers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config.h"

void gcl_servers_init(struct gcl_servers *servers)
{
	*servers = (struct gcl_servers){0};
	gcl_list_init(&servers->list);
}

static struct gcl_server *server_of(struct gcl_list *link)
{
	return gcl_container_of(link, struct gcl_server, link);
}

static void server_destroy(struct gcl_servers *servers, struct gcl_server *server)
{
	gcl_list_remove(&server->link);
	servers->count--;
	servers->announced -= server->announced;
	free(server);
}

void gcl_servers_fini(struct gcl_servers *servers)
{
	gcl_list_for_each_safe (it, next, &servers->list)
		server_destroy(servers, server_of(it));
}

struct gcl_server *gcl_server_find(const struct gcl_servers *servers, const char *name)
{
	gcl_list_for_each (it, &servers->list) {
		if (strcmp(server_of(it)->name, name) == 0)
			return server_of(it);
	}
	return NULL;
}

const char *gcl_server_address(const struct gcl_server *server)
{
	return *server->configured ? server->configured : server->info.address;
}

/* In the order of their names, as people look for them. */
static struct gcl_server *server_create(struct gcl_servers *servers, const char *name)
{
	struct gcl_server *server = calloc(1, sizeof *server);
	struct gcl_list *before = &servers->list;

	if (!server)
		return NULL;
	snprintf(server->name, sizeof server->name, "%.*s", (int)GCL_SERVER_NAME_MAX, name);
	gcl_list_for_each (it, &servers->list) {
		if (strcmp(server_of(it)->name, name) > 0) {
			before = it;
			break;
		}
	}
	/* To the end of a list that begins there. */
	gcl_list_append(before, &server->link);
	servers->count++;
	return server;
}

static struct gcl_server *server_get(struct gcl_servers *servers, const char *name)
{
	struct gcl_server *server = gcl_server_find(servers, name);

	return server ? server : server_create(servers, name);
}

/* ------------------------------------------------------------ of the configuration */

void gcl_servers_configure(struct gcl_servers *servers, const struct gcl_config *config)
{
	gcl_list_for_each (it, &servers->list) {
		server_of(it)->configured[0] = '\0';
		server_of(it)->memory = 0;
	}
	for (size_t i = 0; i < config->server_count; i++) {
		struct gcl_server *server = server_get(servers, config->servers[i].name);

		if (!server)
			continue;
		memcpy(server->configured, config->servers[i].address, sizeof server->configured);
		server->memory = config->servers[i].memory;
	}
	gcl_list_for_each_safe (it, next, &servers->list) {
		if (!*server_of(it)->configured && !server_of(it)->announced)
			server_destroy(servers, server_of(it));
	}
}

/* ------------------------------------------------------------ of etcd */

static void server_withdraw(struct gcl_servers *servers, struct gcl_server *server)
{
	servers->announced -= server->announced;
	server->announced = false;
	memset(&server->info, 0, sizeof server->info);
	if (!*server->configured)
		server_destroy(servers, server);
}

int gcl_servers_take(struct gcl_servers *servers, const struct gcl_server_info *info, double now)
{
	struct gcl_server_info copy = *info;
	struct gcl_server *server;

	if (!gcl_server_info_clean(&copy))
		return -EINVAL;
	server = gcl_server_find(servers, copy.name);
	if ((!server || !server->announced) && servers->announced == GCL_SERVERS_MAX)
		return -ENOSPC;
	if (!server)
		server = server_create(servers, copy.name);
	if (!server)
		return -ENOMEM;
	servers->announced += !server->announced;
	server->announced = server->listed = true;
	server->seen = now;
	server->info = copy;
	return 0;
}

void gcl_servers_gone(struct gcl_servers *servers, const char *name)
{
	struct gcl_server *server =
		gcl_server_name_valid(name) ? gcl_server_find(servers, name) : NULL;

	if (server && server->announced)
		server_withdraw(servers, server);
}

void gcl_servers_unlist(struct gcl_servers *servers)
{
	gcl_list_for_each (it, &servers->list)
		server_of(it)->listed = false;
}

void gcl_servers_listed(struct gcl_servers *servers)
{
	gcl_list_for_each_safe (it, next, &servers->list) {
		struct gcl_server *server = server_of(it);

		if (server->announced && !server->listed)
			server_withdraw(servers, server);
	}
	gcl_servers_unlist(servers);
}

/* ------------------------------------------------------------ over exec */

void gcl_servers_save(const struct gcl_servers *servers, struct gcl_state *state)
{
	gcl_state_put_number(state, servers->announced);
	gcl_list_for_each (it, &servers->list) {
		const struct gcl_server *server = server_of(it);

		if (!server->announced)
			continue;
		GCL_STATE_PUT(state, server->seen);
		GCL_STATE_PUT(state, server->info);
	}
}

void gcl_servers_restore(struct gcl_servers *servers, struct gcl_state *state)
{
	uint64_t count = gcl_state_get_number(state);

	for (uint64_t i = 0; i < count && !state->bad; i++) {
		struct gcl_server_info info;
		double seen;

		GCL_STATE_GET(state, seen);
		GCL_STATE_GET(state, info);
		if (!state->bad)
			gcl_servers_take(servers, &info, seen);
	}
}
