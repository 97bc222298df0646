// SPDX-License-Identifier: MIT
/*
 * The table of servers: of the configuration and of etcd, in any order, and what is no server; and
 * what this host says of itself.
 */
#include "servers.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "broker.h"
#include "test.h"

static struct gcl_server_info info_of(const char *name, const char *address)
{
	struct gcl_server_info info = {.device_count = 1, .load = 7};

	snprintf(info.name, sizeof info.name, "%s", name);
	snprintf(info.address, sizeof info.address, "%s", address);
	info.devices[0] = (struct gcl_server_device){"A device", 100, 50, 7, 0};
	return info;
}

static int take(struct gcl_servers *servers, const char *name, const char *address)
{
	const struct gcl_server_info info = info_of(name, address);

	return gcl_servers_take(servers, &info, 1.);
}

static void configure(struct gcl_servers *servers, const char *name, const char *address)
{
	static struct gcl_config config;

	memset(&config, 0, sizeof config);
	if (name) {
		config.server_count = 1;
		snprintf(config.servers[0].name, sizeof config.servers[0].name, "%s", name);
		snprintf(config.servers[0].address, sizeof config.servers[0].address, "%s",
			 address);
	}
	gcl_servers_configure(servers, &config);
}

static void test_etcd(void **state)
{
	struct gcl_servers servers;

	(void)state;
	gcl_servers_init(&servers);
	assert_int_equal(take(&servers, "b", "b:1"), 0);
	assert_int_equal(take(&servers, "a", "a:1"), 0);
	assert_int_equal(take(&servers, "b", "b:2"), 0);
	assert_int_equal(servers.count, 2);
	assert_int_equal(servers.announced, 2);
	/* In the order of their names. */
	assert_string_equal(gcl_container_of(servers.list.next, struct gcl_server, link)->name,
			    "a");
	assert_string_equal(gcl_server_address(gcl_server_find(&servers, "b")), "b:2");
	gcl_servers_gone(&servers, "b");
	gcl_servers_gone(&servers, "b");
	gcl_servers_gone(&servers, "../x");
	assert_null(gcl_server_find(&servers, "b"));
	assert_int_equal(servers.announced, 1);
	gcl_servers_fini(&servers);
	assert_int_equal(servers.count, 0);
	assert_int_equal(servers.announced, 0);
}

static void test_listed(void **state)
{
	struct gcl_servers servers;

	(void)state;
	gcl_servers_init(&servers);
	take(&servers, "a", "a");
	take(&servers, "b", "b");
	gcl_servers_listed(&servers);
	assert_int_equal(servers.count, 2);
	/* What isn't told of again is gone, but not before all was told. */
	take(&servers, "b", "b");
	assert_int_equal(servers.count, 2);
	gcl_servers_listed(&servers);
	assert_null(gcl_server_find(&servers, "a"));
	assert_non_null(gcl_server_find(&servers, "b"));
	/* A list that came to nothing. */
	take(&servers, "c", "c");
	gcl_servers_unlist(&servers);
	take(&servers, "b", "b");
	gcl_servers_listed(&servers);
	assert_null(gcl_server_find(&servers, "c"));
	gcl_servers_fini(&servers);
}

static void test_both(void **state)
{
	struct gcl_servers servers;
	struct gcl_server *server;

	(void)state;
	gcl_servers_init(&servers);
	configure(&servers, "a", "here:1");
	server = gcl_server_find(&servers, "a");
	assert_non_null(server);
	assert_false(server->announced);
	take(&servers, "a", "there:1");
	assert_int_equal(servers.count, 1);
	assert_string_equal(gcl_server_address(server), "here:1");
	assert_int_equal(server->info.load, 7);
	gcl_servers_gone(&servers, "a");
	assert_ptr_equal(gcl_server_find(&servers, "a"), server);
	assert_int_equal(server->info.load, 0);
	take(&servers, "a", "there:1");
	configure(&servers, NULL, NULL);
	assert_string_equal(gcl_server_address(gcl_server_find(&servers, "a")), "there:1");
	gcl_servers_unlist(&servers);
	gcl_servers_listed(&servers);
	assert_int_equal(servers.count, 0);
	gcl_servers_fini(&servers);
}

static void test_hostile(void **state)
{
	struct gcl_server_info info = info_of("a", "a");
	struct gcl_servers servers;
	const struct gcl_server *server;

	(void)state;
	gcl_servers_init(&servers);
	assert_int_equal(take(&servers, "", "a"), -EINVAL);
	assert_int_equal(take(&servers, "../a", "a"), -EINVAL);
	assert_int_equal(take(&servers, "a", ""), -EINVAL);
	assert_int_equal(take(&servers, "a", "a:99999"), -EINVAL);
	assert_int_equal(take(&servers, "a", "a\n:1"), -EINVAL);
	info.device_count = GCL_PAGE_DEVICES_MAX + 1;
	assert_int_equal(gcl_servers_take(&servers, &info, 1.), -EINVAL);
	/* Texts without an end, and numbers that can't be. */
	info = info_of("a", "a");
	memset(info.version, '\x1b', sizeof info.version);
	memset(info.devices[0].name, 0xff, sizeof info.devices[0].name);
	info.load = info.devices[0].load = UINT32_MAX;
	info.devices[0].free = UINT64_MAX;
	assert_int_equal(gcl_servers_take(&servers, &info, 1.), 0);
	server = gcl_server_find(&servers, "a");
	assert_int_equal(strspn(server->info.version, "?"), sizeof info.version - 1);
	assert_int_equal(strspn(server->info.devices[0].name, "?"), GCL_PAGE_NAME_MAX - 1);
	assert_int_equal(server->info.load, 100);
	assert_int_equal(server->info.devices[0].load, 100);
	assert_int_equal(server->info.devices[0].free, 100);
	memset(&info, 0xff, sizeof info);
	assert_int_equal(gcl_servers_take(&servers, &info, 1.), -EINVAL);
	gcl_servers_fini(&servers);
}

static void test_many(void **state)
{
	struct gcl_servers servers;
	char name[16];

	(void)state;
	gcl_servers_init(&servers);
	for (unsigned i = 0; i < GCL_SERVERS_MAX; i++) {
		snprintf(name, sizeof name, "s%u", i);
		assert_int_equal(take(&servers, name, "a"), 0);
	}
	assert_int_equal(take(&servers, "more", "a"), -ENOSPC);
	assert_int_equal(take(&servers, "s7", "b"), 0);
	configure(&servers, "more", "a");
	assert_int_equal(take(&servers, "more", "a"), -ENOSPC);
	gcl_servers_gone(&servers, "s7");
	assert_int_equal(take(&servers, "more", "a"), 0);
	gcl_servers_fini(&servers);
}

static void test_exec(void **state)
{
	struct gcl_servers servers, after;
	struct gcl_state kept = {0};

	(void)state;
	gcl_servers_init(&servers);
	gcl_servers_init(&after);
	configure(&servers, "c", "c:1");
	take(&servers, "a", "a:1");
	take(&servers, "b", "b:1");
	gcl_servers_save(&servers, &kept);
	gcl_servers_restore(&after, &kept);
	assert_false(kept.bad);
	assert_int_equal(after.count, 2);
	assert_string_equal(gcl_server_address(gcl_server_find(&after, "b")), "b:1");
	assert_null(gcl_server_find(&after, "c"));
	gcl_state_fini(&kept);
	gcl_servers_fini(&servers);
	gcl_servers_fini(&after);
}

/* ------------------------------------------------------------ what is announced */

static void broker_init(struct gcl_broker *broker)
{
	memset(broker, 0, sizeof *broker);
	gcl_list_init(&broker->accounts);
	gcl_list_init(&broker->workers.list);
	broker->devices.count = 1;
	broker->devices.list[0] = (struct gcl_page_device){"P", "Device", 4, 6400};
	strcpy(broker->config.announce, "gpu1:1");
	strcpy(broker->config.announce_name, "gpu1");
}

static void test_announced(void **state)
{
	static struct gcl_broker broker;
	static struct gcl_worker_process worker;
	static struct gcl_page page;
	struct gcl_announcement said = {0};

	(void)state;
	broker_init(&broker);
	worker.page = &page;
	assert_true(gcl_announcement_update(&said, &broker, 10.));
	assert_string_equal(said.info.name, "gpu1");
	assert_string_equal(said.info.devices[0].name, "Device");
	assert_int_equal(said.info.devices[0].free, 6400);
	assert_false(gcl_announcement_update(&said, &broker, 11.));

	/* Memory: what is held or promised, whichever is more. */
	gcl_list_append(&broker.workers.list, &worker.link);
	gcl_page_add(&page.held[0], 1000);
	assert_true(gcl_announcement_update(&said, &broker, 12.));
	assert_int_equal(said.info.devices[0].free, 5400);
	worker.allowance.given[0] = 6400;
	assert_true(gcl_announcement_update(&said, &broker, 13.));
	assert_int_equal(said.info.devices[0].free, 0);
	atomic_store(&page.held[0], UINT64_MAX);
	assert_false(gcl_announcement_update(&said, &broker, 14.));
	worker.allowance.given[0] = -5;
	atomic_store(&page.held[0], 6400 - 200);
	assert_true(gcl_announcement_update(&said, &broker, 15.));
	assert_int_equal(said.info.devices[0].free, 200);

	/* What changed a little is told after a while. */
	atomic_store(&page.held[0], 6400 - 201);
	assert_false(gcl_announcement_update(&said, &broker, 16.));
	assert_true(gcl_announcement_update(&said, &broker, 21.));

	/* Load: busy all the time, and then not at all. */
	for (int now = 22; now < 40; now++) {
		gcl_page_add(&page.counts.device_time[0], 1000000000u);
		gcl_announcement_update(&said, &broker, (double)now);
	}
	assert_in_range(said.info.load, 99, 100);
	for (int now = 40; now < 60; now++)
		gcl_announcement_update(&said, &broker, (double)now);
	assert_in_range(said.info.load, 0, 1);
	/* A counter that went back, and one that was made up. */
	atomic_store(&page.counts.device_time[0], 0);
	gcl_announcement_update(&said, &broker, 61.);
	atomic_store(&page.counts.device_time[0], UINT64_MAX);
	gcl_announcement_update(&said, &broker, 62.);
	assert_in_range(said.info.load, 0, 100);

	/* Nothing more is said by one that stops. */
	broker.stopping = true;
	assert_true(gcl_announcement_update(&said, &broker, 63.));
	assert_string_equal(said.info.name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_etcd),	  cmocka_unit_test(test_listed),
		cmocka_unit_test(test_both),	  cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_many),	  cmocka_unit_test(test_exec),
		cmocka_unit_test(test_announced),
	};

	return cmocka_run_group_tests_name("servers", tests, NULL, NULL);
}
