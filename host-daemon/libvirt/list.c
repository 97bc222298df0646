// SPDX-License-Identifier: MIT
/*
 * guestcl list: the domains that are attached.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

static const char *state_name(virDomain *domain)
{
	int state = VIR_DOMAIN_NOSTATE;

	virDomainGetState(domain, &state, NULL, 0);
	switch (state) {
	case VIR_DOMAIN_SHUTOFF:
		return "shut off";
	case VIR_DOMAIN_CRASHED:
		return "crashed";
	case VIR_DOMAIN_PAUSED:
	case VIR_DOMAIN_PMSUSPENDED:
		return "paused";
	default:
		return "running";
	}
}

/* One line, or one object; the limit is absent from the object when there is none. */
static void domain_print(virDomain *domain, const struct gcl_record *record)
{
	char memory[32] = "-", weight[16] = "-";

	if (record->limits.memory)
		snprintf(memory, sizeof memory, "%" PRIu64 " MiB", record->limits.memory >> 20);
	if (record->limits.weight)
		snprintf(weight, sizeof weight, "%u", record->limits.weight);
	printf("%-24s %-9s %-7s %12s %7s  %s\n", virDomainGetName(domain), state_name(domain),
	       gcl_channel_kind_name(record->channel), memory, weight, record->socket);
}

static struct json_object *domain_object(virDomain *domain, const struct gcl_record *record)
{
	struct json_object *object = json_object_new_object();
	char uuid[VIR_UUID_STRING_BUFLEN] = "";

	virDomainGetUUIDString(domain, uuid);
	json_object_object_add(object, "name", json_object_new_string(virDomainGetName(domain)));
	json_object_object_add(object, "uuid", json_object_new_string(uuid));
	json_object_object_add(object, "state", json_object_new_string(state_name(domain)));
	json_object_object_add(object, "channel",
			       json_object_new_string(gcl_channel_kind_name(record->channel)));
	if (*record->socket)
		json_object_object_add(object, "socket", json_object_new_string(record->socket));
	if (record->limits.memory)
		json_object_object_add(object, "memory",
				       json_object_new_uint64(record->limits.memory));
	if (record->limits.weight)
		json_object_object_add(object, "weight",
				       json_object_new_uint64(record->limits.weight));
	return object;
}

static void domain_list(virDomain *domain, struct json_object *array, size_t *attached)
{
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};

	if (gcl_record_of(domain, &record) < 0 || !record.attached)
		return;
	if (array)
		json_object_array_add(array, domain_object(domain, &record));
	else if (++*attached == 1)
		printf("%-24s %-9s %-7s %12s %7s  %s\n", "NAME", "STATE", "CHANNEL", "MEMORY",
		       "WEIGHT", "SOCKET");
	if (!array)
		domain_print(domain, &record);
}

enum gcl_exit gcl_list(const struct gcl_command *command)
{
	_cleanup_(gcl_connection_close) virConnect *conn = gcl_connect(command->uri, true, false);
	struct json_object *array = command->json ? json_object_new_array() : NULL;
	virDomain **domains = NULL;
	size_t attached = 0;
	int count;

	if (!conn)
		return GCL_EXIT_NO_CONNECTION;
	count = virConnectListAllDomains(conn, &domains, 0);
	if (count < 0) {
		gcl_say_libvirt("can't list the domains");
		return GCL_EXIT_FAILED;
	}
	for (int i = 0; i < count; i++) {
		domain_list(domains[i], array, &attached);
		virDomainFree(domains[i]);
	}
	free(domains);
	if (array)
		puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	else if (attached == 0)
		puts("no domain is attached; guestcl attach DOMAIN does it");
	json_object_put(array);
	return GCL_EXIT_OK;
}
