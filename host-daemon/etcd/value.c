// SPDX-License-Identifier: MIT
/*
 * A server's value in etcd: JSON, which later versions may add to.
 *
 *	{"version": 1, "address": "gpu1:17228", "guestcl": "0.1.0", "load": 12, "sessions": 3,
 *	 "devices": [{"name": "...", "memory": 17179869184, "free": 8589934592, "load": 12}]}
 *
 * Sizes are in bytes, loads in percent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "etcd.h"

#define VERSION 1

static void add_number(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

char *gcl_value_write(const struct gcl_server_info *info)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	const char *text;
	char *copy = NULL;

	add_number(object, "version", VERSION);
	gcl_json_add_text(object, "address", info->address);
	gcl_json_add_text(object, "guestcl", info->version);
	add_number(object, "load", info->load);
	add_number(object, "sessions", info->sessions);
	for (unsigned i = 0; i < info->device_count; i++) {
		struct json_object *device = json_object_new_object();

		gcl_json_add_text(device, "name", info->devices[i].name);
		add_number(device, "memory", info->devices[i].memory);
		add_number(device, "free", info->devices[i].free);
		add_number(device, "load", info->devices[i].load);
		json_object_array_add(list, device);
	}
	json_object_object_add(object, "devices", list);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	if (text)
		copy = strdup(text);
	json_object_put(object);
	return copy;
}

/* Negative ones are none. */
static uint64_t number(struct json_object *object, const char *key)
{
	struct json_object *value = gcl_json_member(object, key);

	return json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : 0;
}

static uint32_t small_number(struct json_object *object, const char *key)
{
	return (uint32_t)GCL_MIN(number(object, key), UINT32_MAX);
}

static void text(struct json_object *object, const char *key, char *copy, size_t size)
{
	snprintf(copy, size, "%s", gcl_json_text(object, key));
}

static const char *devices_read(struct gcl_server_info *info, struct json_object *list)
{
	if (!json_object_is_type(list, json_type_array))
		return "it has no devices";
	if (json_object_array_length(list) > GCL_PAGE_DEVICES_MAX)
		return "it has too many devices";
	info->device_count = (uint32_t)json_object_array_length(list);
	for (unsigned i = 0; i < info->device_count; i++) {
		struct json_object *object = json_object_array_get_idx(list, i);
		struct gcl_server_device *device = &info->devices[i];

		if (!json_object_is_type(object, json_type_object))
			return "a device is none";
		text(object, "name", device->name, sizeof device->name);
		device->memory = number(object, "memory");
		device->free = number(object, "free");
		device->load = small_number(object, "load");
	}
	return NULL;
}

static const char *object_read(struct gcl_server_info *info, struct json_object *object)
{
	const char *wrong;

	if (!object)
		return "it is no JSON object";
	if (number(object, "version") != VERSION)
		return "it is of another version";
	if (strlen(gcl_json_text(object, "address")) >= sizeof info->address ||
	    !gcl_server_address_valid(gcl_json_text(object, "address")))
		return "its address is none";
	text(object, "address", info->address, sizeof info->address);
	text(object, "guestcl", info->version, sizeof info->version);
	info->load = small_number(object, "load");
	info->sessions = small_number(object, "sessions");
	wrong = devices_read(info, gcl_json_member(object, "devices"));
	if (!wrong && !gcl_server_info_clean(info))
		wrong = "it is no server's";
	return wrong;
}

int gcl_value_read(struct gcl_server_info *info, const char *name, const char *value,
		   const char **why)
{
	struct json_object *object = NULL;

	memset(info, 0, sizeof *info);
	*why = NULL;
	if (!gcl_server_name_valid(name)) {
		*why = "no server can be called that";
		return -EINVAL;
	}
	snprintf(info->name, sizeof info->name, "%s", name);
	if (strlen(value) >= GCL_VALUE_MAX) {
		*why = "it is too long";
		return -EINVAL;
	}
	object = gcl_json_parse(value, strlen(value));
	*why = object_read(info, object);
	json_object_put(object);
	return *why ? -EINVAL : 0;
}

int gcl_kv_read(struct gcl_server_info *info, struct json_object *kv, const char *prefix,
		const char **why)
{
	char key[GCL_ETCD_PREFIX_MAX + GCL_SERVER_NAME_MAX + 1], value[GCL_VALUE_MAX];
	size_t skip = strlen(prefix);
	int err;

	memset(info, 0, sizeof *info);
	if (gcl_base64_decode(gcl_json_text(kv, "key"), key, sizeof key) < 0 ||
	    strncmp(key, prefix, skip) != 0 || !gcl_server_name_valid(key + skip)) {
		*why = "no server can be called that";
		return -EINVAL;
	}
	snprintf(info->name, sizeof info->name, "%.*s", (int)GCL_SERVER_NAME_MAX, key + skip);
	err = gcl_base64_decode(gcl_json_text(kv, "value"), value, sizeof value);
	if (err < 0) {
		*why = err == -EMSGSIZE ? "it is too long" : "it is no text";
		return -EINVAL;
	}
	return gcl_value_read(info, key + skip, value, why);
}
