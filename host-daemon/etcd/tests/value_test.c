// SPDX-License-Identifier: MIT
/*
 * Servers' values in etcd, right and wrong ones, and the JSON and base64 around them.
 */
#include "etcd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define PREFIX "/p/"

#define EIGHT	 "{},{},{},{},{},{},{},{},"
#define TOO_MANY "{\"version\":1,\"address\":\"a\",\"devices\":[" EIGHT EIGHT EIGHT EIGHT "{}]}"

static int kv_read(struct gcl_server_info *info, const char *key, const char *value)
{
	struct json_object *kv = json_object_new_object();
	const char *why = NULL;
	int err;

	gcl_json_add_bytes(kv, "key", key);
	gcl_json_add_bytes(kv, "value", value);
	err = gcl_kv_read(info, kv, PREFIX, &why);
	assert_true((err == 0) == (why == NULL));
	json_object_put(kv);
	return err;
}

static void test_there_and_back(void **state)
{
	struct gcl_server_info info = {.load = 12, .sessions = 3, .device_count = 2}, back;
	_cleanup_free_ char *value = NULL;

	(void)state;
	strcpy(info.name, "gpu1");
	strcpy(info.address, "[::1]:17228");
	strcpy(info.version, "0.1.0");
	info.devices[0] =
		(struct gcl_server_device){"A \"device\" \\ 1", UINT64_MAX, UINT64_MAX - 1, 100, 0};
	info.devices[1] = (struct gcl_server_device){"", 1, 0, 0, 0};
	value = gcl_value_write(&info);
	assert_non_null(value);
	assert_true(strlen(value) < GCL_VALUE_MAX);
	assert_int_equal(kv_read(&back, PREFIX "gpu1", value), 0);
	assert_memory_equal(&info, &back, sizeof info);
}

/* As long as it can be. */
static void test_longest(void **state)
{
	struct gcl_server_info info = {
		.load = 100,
		.sessions = UINT32_MAX,
		.device_count = GCL_PAGE_DEVICES_MAX,
	};
	_cleanup_free_ char *value = NULL;

	(void)state;
	memset(info.name, 'n', sizeof info.name - 1);
	memset(info.address, 'a', GCL_SERVER_HOST_MAX - 3);
	memset(info.version, '"', sizeof info.version - 1);
	for (unsigned i = 0; i < info.device_count; i++) {
		memset(info.devices[i].name, '"', sizeof info.devices[i].name - 1);
		info.devices[i].memory = info.devices[i].free = UINT64_MAX;
	}
	value = gcl_value_write(&info);
	assert_non_null(value);
	assert_true(strlen(value) < GCL_VALUE_MAX);
}

static void test_wrong(void **state)
{
	static const char *const values[] = {
		"",
		"x",
		"1",
		"[]",
		"{",
		"{}",
		"{} x",
		"{\"version\":1}",
		"{\"version\":2,\"address\":\"a\",\"devices\":[]}",
		"{\"version\":\"1\",\"address\":\"a\",\"devices\":[]}",
		"{\"version\":1,\"address\":\"\",\"devices\":[]}",
		"{\"version\":1,\"address\":7,\"devices\":[]}",
		"{\"version\":1,\"address\":\"a b\",\"devices\":[]}",
		"{\"version\":1,\"address\":\"a:0\",\"devices\":[]}",
		"{\"version\":1,\"address\":\"a\"}",
		"{\"version\":1,\"address\":\"a\",\"devices\":{}}",
		"{\"version\":1,\"address\":\"a\",\"devices\":[1]}",
		"{\"version\":1,\"address\":\"a\",\"devices\":[null]}",
		TOO_MANY,
	};
	static const char *const names[] = {
		"gpu1",
		"/p",
		"/p/",
		"/p/a/b",
		"/p/.a",
		"/p/-a",
		"/p/a b",
		"/q/a",
		"/p/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct gcl_server_info info;

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(values); i++) {
		if (kv_read(&info, PREFIX "a", values[i]) != -EINVAL)
			fail_msg("%s was taken", values[i]);
		assert_string_equal(info.name, "a");
	}
	for (size_t i = 0; i < GCL_ARRAY_SIZE(names); i++) {
		if (kv_read(&info, names[i], "{\"version\":1,\"address\":\"a\",\"devices\":[]}") !=
		    -EINVAL)
			fail_msg("%s was taken", names[i]);
		assert_string_equal(info.name, "");
	}
}

/* Whoever writes it may write anything. */
static void test_strange(void **state)
{
	struct gcl_server_info info;
	_cleanup_free_ char *deep = malloc(8001), *long_one = malloc(60000);

	(void)state;
	assert_int_equal(kv_read(&info, PREFIX "a",
				 "{\"version\":1,\"address\":\"a\",\"load\":-1,\"sessions\":1e99,"
				 "\"more\":{},\"devices\":[{\"name\":\"\\u0000x\",\"memory\":-5,"
				 "\"free\":99999999999999999999999,\"load\":1e400}]}"),
			 0);
	assert_int_equal(info.load, 0);
	assert_int_equal(info.sessions, 0);
	assert_int_equal(info.devices[0].free, 0);
	assert_string_equal(info.devices[0].name, "");
	assert_int_equal(kv_read(&info, PREFIX "a",
				 "{\"version\":1,\"address\":\"a\",\"guestcl\":\"\\u001b[2J\xff\","
				 "\"devices\":[]}"),
			 0);
	assert_string_equal(info.version, "?[2J?");
	memset(deep, '[', 8000);
	deep[8000] = '\0';
	assert_int_equal(kv_read(&info, PREFIX "a", deep), -EINVAL);
	memset(long_one, ' ', 59999);
	long_one[59999] = '\0';
	assert_int_equal(kv_read(&info, PREFIX "a", long_one), -EINVAL);
	assert_string_equal(info.name, "a");
	assert_int_equal(kv_read(&info, long_one, "{}"), -EINVAL);
}

static void test_base64(void **state)
{
	char text[8];

	(void)state;
	assert_int_equal(gcl_base64_decode("", text, sizeof text), 0);
	assert_string_equal(text, "");
	assert_int_equal(gcl_base64_decode("YWJjZGVmZw==", text, sizeof text), 0);
	assert_string_equal(text, "abcdefg");
	assert_int_equal(gcl_base64_decode("YWJjZGVmZ2g=", text, sizeof text), -EMSGSIZE);
	assert_int_equal(gcl_base64_decode("YQBi", text, sizeof text), -EINVAL);
	assert_int_equal(gcl_base64_decode("****", text, sizeof text), -EINVAL);
	assert_int_equal(gcl_base64_decode_bytes("YQBi", text, sizeof text), 3);
	assert_memory_equal(text, "a\0b", 3);
	assert_int_equal(gcl_base64_decode_bytes("YWJjZGVmZ2g=", text, 6), 6);
	assert_int_equal(gcl_base64_decode_bytes("****", text, sizeof text), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_longest),
		cmocka_unit_test(test_wrong),	       cmocka_unit_test(test_strange),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests_name("etcd-value", tests, NULL, NULL);
}
