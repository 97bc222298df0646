// SPDX-License-Identifier: MIT
/*
 * JSON as etcd's gateway has it: integers of 64 bits are text, bytes are in base64.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "etcd.h"

/* Objects in objects; etcd's have five. */
#define DEPTH_MAX 12

struct json_object *gcl_json_parse(const char *text, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *object = NULL;

	if (!tokener || size > INT32_MAX)
		goto out;
	object = json_tokener_parse_ex(tokener, text, (int)size);
	/* The end of the text tells that there is no more of it. */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		object = json_tokener_parse_ex(tokener, "", 1);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
out:
	json_tokener_free(tokener);
	return object;
}

struct json_object *gcl_json_member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, key, &value);
	return value;
}

const char *gcl_json_text(struct json_object *object, const char *key)
{
	struct json_object *value = gcl_json_member(object, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

int64_t gcl_json_integer(struct json_object *object, const char *key)
{
	struct json_object *value = gcl_json_member(object, key);

	if (json_object_is_type(value, json_type_int))
		return json_object_get_int64(value);
	if (!json_object_is_type(value, json_type_string))
		return 0;
	return strtoll(json_object_get_string(value), NULL, 10);
}

void gcl_json_add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

void gcl_json_add_integer(struct json_object *object, const char *key, int64_t number)
{
	char text[24];

	snprintf(text, sizeof text, "%jd", (intmax_t)number);
	gcl_json_add_text(object, key, text);
}

void gcl_json_add_bytes(struct json_object *object, const char *key, const char *text)
{
	_cleanup_free_ char *coded = gcl_base64_encode(text, strlen(text));

	if (coded)
		gcl_json_add_text(object, key, coded);
}
