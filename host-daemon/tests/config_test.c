// SPDX-License-Identifier: MIT
/*
 * Settings: values and ranges, errors with their line, and that file and man page list what the
 * table has. GUESTCLD_CONF and GUESTCLD_MAN name the two.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "test.h"

/* Reads @text as a configuration file, with what is logged in @log. */
static int read_text(struct gcl_config *config, const char *text, char *log, size_t log_size)
{
	char path[] = "/tmp/guestcl-config-XXXXXX";
	_cleanup_close_ int file = mkstemp(path);
	_cleanup_close_ int stderr_before = dup(STDERR_FILENO);
	int ends[2], err;
	ssize_t n;

	assert_true(file >= 0 && pipe(ends) == 0);
	assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	err = gcl_config_read(config, path, true);
	dup2(stderr_before, STDERR_FILENO);
	n = read(ends[0], log, log_size - 1);
	log[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	unlink(path);
	return err;
}

static void test_initial(void **state)
{
	struct gcl_config config;
	char error[256];

	(void)state;
	for (size_t i = 0; i < gcl_setting_count; i++) {
		const struct gcl_setting *setting = &gcl_settings[i];

		assert_int_equal(gcl_config_set(&config, setting->name, setting->initial, error,
						sizeof error),
				 0);
		if (setting->initial_user)
			assert_int_equal(gcl_config_set(&config, setting->name,
							setting->initial_user, error, sizeof error),
					 0);
	}
	setenv("XDG_CACHE_HOME", "/home/x/cache", 1);
	gcl_config_init(&config, false);
	assert_string_equal(config.cache_dir, "/home/x/cache/guestcl");
	assert_int_equal(config.socket_mode, 0600);
	gcl_config_init(&config, true);
	assert_string_equal(config.cache_dir, "/var/cache/guestcl");
	assert_string_equal(config.socket_group, "render");
	assert_int_equal(config.socket_mode, 0660);
	assert_int_equal(config.start_timeout, 8000);
	assert_string_equal(gcl_resident_name(&config), "auto");
	/* With a server there is something to move to. */
	config.server_count = 1;
	assert_true(gcl_config_moves(&config));
	assert_string_equal(gcl_resident_name(&config), "never");
	config.client_library[0] = '\0';
	assert_string_equal(gcl_resident_name(&config), "auto");
}

static void test_values(void **state)
{
	static const struct {
		const char *pair;
		bool good;
	} cases[] = {
		{"spare-workers=0", true},
		{"spare-workers=64", true},
		{"spare-workers=65", false},
		{"spare-workers=-1", false},
		{"spare-workers=", false},
		{"spare-workers= 1", false},
		{"spare-workers=1x", false},
		{"spare-workers=99999999999999999999", false},
		{"start-timeout=100ms", true},
		{"start-timeout=9s", true},
		{"start-timeout=99ms", false},
		{"start-timeout=1min", false},
		{"start-timeout=1000", false},
		{"start-timeout=4294968s", false},
		{"greeting-timeout=1min", true},
		{"socket-mode=0666", true},
		{"socket-mode=666", true},
		{"socket-mode=1777", false},
		{"socket-mode=0668", false},
		{"socket-group=", true},
		{"socket=", false},
		{"resident-buffers=never", true},
		{"resident-buffers=sometimes", false},
		{"program-sizes=always", true},
		{"program-sizes=sometimes", false},
		{"log-level=debug", true},
		{"etcd=", true},
		{"etcd=https://a:2379", true},
		{"etcd=http://127.0.0.1:1,https://[::1]:2379,http://c", true},
		{"etcd=a:2379", false},
		{"etcd=https://a:2379,", false},
		{"etcd=https://a:2379, https://b:2379", false},
		{"etcd=https://a:2379/v3", false},
		{"etcd=https://u:p@a:2379", false},
		{"etcd=ftp://a:2379", false},
		{"etcd=http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://"
		 "a,http://a",
		 false},
		{"etcd-prefix=/", false},
		{"etcd-prefix=/a/", true},
		{"etcd-prefix=/a", false},
		{"etcd-prefix=a/", false},
		{"etcd-prefix=/a b/", false},
		{"etcd-lease=3s", true},
		{"etcd-lease=2s", false},
		{"announce=gpu1", true},
		{"announce=gpu1.example:17228", true},
		{"announce=[::1]", true},
		{"announce=[::1]:1", true},
		{"announce=::1", false},
		{"announce=[::1", false},
		{"announce=[127.0.0.1]:1", false},
		{"announce=gpu1:", false},
		{"announce=gpu1:0", false},
		{"announce=gpu1:65536", false},
		{"announce=gpu1:+1", false},
		{"announce=:1", false},
		{"announce=-x:1", false},
		{"announce=a b:1", false},
		{"announce-name=gpu_1.x-y", true},
		{"announce-name=.gpu", false},
		{"announce-name=a/b", false},
		{"nothing=1", false},
		{"nothing", false},
		{"=", false},
	};
	struct gcl_config config;
	char error[256];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		int err = gcl_config_set_pair(&config, cases[i].pair, error, sizeof error);

		if ((err == 0) != cases[i].good)
			fail_msg("%s was %s", cases[i].pair, err ? error : "taken");
	}
	gcl_config_set_pair(&config, "start-timeout=2s", error, sizeof error);
	assert_int_equal(config.start_timeout, 2000);
	gcl_config_set_pair(&config, "socket-mode=0640", error, sizeof error);
	assert_int_equal(config.socket_mode, 0640);
	gcl_config_set_pair(&config, "log-level=debug", error, sizeof error);
	assert_int_equal(config.log_level, GCL_LOG_DEBUG);
}

static void test_long_text(void **state)
{
	struct gcl_config config;
	char value[256], error[256];

	(void)state;
	memset(value, 'x', sizeof value);
	value[sizeof config.socket] = '\0';
	assert_int_equal(gcl_config_set(&config, "socket", value, error, sizeof error), -EINVAL);
	value[sizeof config.socket - 1] = '\0';
	assert_int_equal(gcl_config_set(&config, "socket", value, error, sizeof error), 0);
}

static void test_file(void **state)
{
	struct gcl_config config;
	char log[1024];

	(void)state;
	gcl_config_init(&config, true);
	assert_int_equal(read_text(&config,
				   "# a comment\n"
				   "socket = \"/tmp/a b\"\n"
				   "cache-dir = /tmp/c\n"
				   "max-sessions = 7\n"
				   "start-timeout = 500ms\n",
				   log, sizeof log),
			 0);
	assert_string_equal(log, "");
	assert_string_equal(config.socket, "/tmp/a b");
	assert_string_equal(config.cache_dir, "/tmp/c");
	assert_int_equal(config.max_sessions, 7);
	assert_int_equal(config.start_timeout, 500);
	assert_int_equal(config.spare_workers, 1);
}

static void test_vms(void **state)
{
	struct gcl_config config;
	char log[1024];

	(void)state;
	gcl_config_init(&config, true);
	assert_int_equal(read_text(&config,
				   "vm \"web1\" {\n"
				   "  memory = 2GiB\n"
				   "  weight = 3\n"
				   "  cid = 42\n"
				   "}\n"
				   "vm db.2 {\n"
				   "  socket = \"/tmp/db\"\n"
				   "  local-socket = \"/tmp/local\"\n"
				   "  max-sessions = 2\n"
				   "  cid = 0\n"
				   "  cid = 7\n"
				   "  cid = 7\n"
				   "}\n"
				   "vm none {\n"
				   "  cid = 0\n"
				   "  socket = \"\"\n"
				   "  local-socket = \"\"\n"
				   "}\n",
				   log, sizeof log),
			 0);
	assert_string_equal(log, "");
	assert_int_equal(config.vm_count, 3);
	assert_string_equal(config.vms[0].id, "web1");
	assert_string_equal(config.vms[0].name, "web1");
	assert_string_equal(config.vms[0].socket, "");
	assert_int_equal(config.vms[0].memory, 2ull << 30);
	assert_int_equal(config.vms[0].weight, 3);
	assert_int_equal(config.vms[0].cid, 42);
	assert_int_equal(config.vms[0].max_sessions, 64);
	assert_string_equal(config.vms[1].id, "db.2");
	assert_string_equal(config.vms[1].socket, "/tmp/db");
	assert_string_equal(config.vms[1].local_socket, "/tmp/local");
	assert_int_equal(config.vms[1].max_sessions, 2);
	assert_int_equal(config.vms[1].weight, 1);
	assert_int_equal(read_text(&config, "", log, sizeof log), 0);
	assert_int_equal(config.vm_count, 0);
}

static void test_file_errors(void **state)
{
	static const struct {
		const char *text, *line, *what;
	} cases[] = {
		{"spare-workers = 1\n\nmax-sessions = 0\n", ":3: ", "it takes 1 to 65536"},
		{"spare-workers = 1\nspareworkers = 1\n", ":2: ", "no such option"},
		{"\n\n\nsocket-mode = 9\nspare-workers = 1\n", ":4: ", "octal"},
		{"max-sessions = 3\nspare-workers 1\n", ":2: ", ""},
		{"resident-buffers = maybe\n", ":1: ", "auto or never"},
		{"max-sessions = { 1 }\n", ":1: ", ""},
		{"vm \"a\" {\n weight = 0\n}\n", ":2: ", "it takes 1 to 10000"},
		{"vm \"a\" {\n\n wait = 0\n}\n", ":3: ", "no such option"},
		{"vm \"a\" {\n memory = 2GB\n}\n", ":2: ", "512MiB"},
		{"vm \"a/b\" {\n}\n", ":2: ", "can't be called \"a/b\""},
		{"vm \"..\" {\n}\n", ":2: ", "can't be called"},
		{"vm {\n}\n", ":1: ", ""},
		{"vm \"a\" {\n}\nvm \"a\" {\n}\n", ":3: ", "duplicate title"},
		{"vm \"a\" {\n cid = 3\n}\nvm \"b\" {\n cid = 3\n}\n",
		 ":5: ", "\"a\" and \"b\" have the same cid, 3"},
		{"vm a {\n}\nvm b {\n cid = 3\n}\nvm c {\n weight = 2\n cid = 03\n memory = 0\n}\n",
		 ":8: ", "\"b\" and \"c\" have the same cid"},
		{"vm \"a\" {\n socket = /s\n}\nvm \"b\" {\n socket = /s\n}\n",
		 ":5: ", "the same socket, /s"},
		{"vm \"a\" {\n local-socket = /s\n}\nvm \"b\" {\n\n socket = /s\n}\n",
		 ":6: ", "the same socket"},
		{"vm \"a\" {\n socket = /s\n local-socket = /s\n}\n", ":3: ", "the same socket"},
		{"server \"a\" {\n address = \"a b\"\n}\n",
		 ":2: ", "HOST, HOST:PORT or unix:/PATH"},
		{"server \"a\" {\n address = \"\"\n}\n", ":2: ", "HOST, HOST:PORT or unix:/PATH"},
		{"server \"a\" {\n address = \"unix:a\"\n}\n", ":2: ", "unix:/PATH"},
		{"server \"a\" {\n\n}\n", ":3: ", "has no address"},
		{"server \"a/b\" {\n address = a\n}\n", ":3: ", "can't be called \"a/b\""},
		{"server \"a\" {\n weight = 1\n}\n", ":2: ", "no such option"},
		{"server a {\n address = a\n}\nserver a {\n address = b\n}\n",
		 ":4: ", "duplicate title"},
		{"\netcd = a\n", ":2: ", "URLs"},
	};
	struct gcl_config config;
	char log[1024];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		gcl_config_init(&config, true);
		assert_int_equal(read_text(&config, cases[i].text, log, sizeof log), -EINVAL);
		if (!strstr(log, cases[i].line) || !strstr(log, cases[i].what))
			fail_msg("%s gave %s", cases[i].text, log);
		assert_int_equal(config.max_sessions, 256);
		assert_int_equal(config.vm_count, 0);
	}
}

static void test_servers(void **state)
{
	struct gcl_config config;
	char log[1024];

	(void)state;
	gcl_config_init(&config, true);
	assert_int_equal(read_text(&config,
				   "server \"gpu1\" {\n"
				   "  address = gpu1.example\n"
				   "}\n"
				   "server gpu.2 {\n"
				   "  address = \"[fe80::1]:7\"\n"
				   "}\n",
				   log, sizeof log),
			 0);
	assert_string_equal(log, "");
	assert_int_equal(config.server_count, 2);
	assert_string_equal(config.servers[0].name, "gpu1");
	assert_string_equal(config.servers[0].address, "gpu1.example");
	assert_string_equal(config.servers[1].name, "gpu.2");
	assert_string_equal(config.servers[1].address, "[fe80::1]:7");
	assert_int_equal(read_text(&config, "", log, sizeof log), 0);
	assert_int_equal(config.server_count, 0);
}

/* What is right by itself, and wrong beside others. */
static void test_together(void **state)
{
	static const struct {
		const char *text;
		int line; /* 0: it is good */
	} cases[] = {
		{"\netcd = http://a\n", 0},
		{"\netcd = https://a\n", 2},
		{"etcd-ca = /ca\netcd = https://a\n", 0},
		{"etcd-key = /k\n\netcd = http://a\n", 3},
		{"etcd-certificate = /c\netcd-key = /k\netcd = http://a\n", 0},
		{"etcd = http://a\netcd-user = u\n", 1},
		{"etcd = http://a\netcd-user = u\netcd-password-file = /p\n", 1},
		{"etcd-ca = /ca\netcd-user = u\netcd-password-file = /p\netcd = https://a\n", 0},
		{"announce = a\n", 1},
		{"etcd = http://a\nannounce = a\n", 2},
		{"etcd = http://a\nannounce = a\nlisten-tls = :1\ntls-psk-file = /p\n", 0},
		{"\nlisten-tls = :1\n", 2},
	};
	struct gcl_config config;
	char log[1024], error[256];

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		int line = 0, err;

		gcl_config_init(&config, true);
		assert_int_equal(read_text(&config, cases[i].text, log, sizeof log), 0);
		err = gcl_config_check(&config, &line, error, sizeof error);
		if ((err == 0) != (cases[i].line == 0) || line != cases[i].line)
			fail_msg("%s: line %d, %s", cases[i].text, line, err ? error : "good");
	}
}

static void test_file_missing(void **state)
{
	struct gcl_config config;

	(void)state;
	assert_int_equal(gcl_config_read(&config, "/nonexistent/guestcld.conf", false), 0);
	assert_int_equal(gcl_config_read(&config, "/", true), -EISDIR);
}

static char *slurp(const char *variable)
{
	const char *path = getenv(variable);
	char *text = calloc(1, 1 << 16);
	_cleanup_fclose_ FILE *file = fopen(path ? path : "", "re");

	if (!file || !text || !fread(text, 1, (1 << 16) - 1, file))
		fail_msg("%s is not readable", variable);
	return text;
}

/* The installed file has every setting, commented out, with its initial value. */
static void test_installed_file(void **state)
{
	_cleanup_free_ char *text = slurp("GUESTCLD_CONF");
	char *line, *rest = text;
	struct gcl_config config, initial;
	char log[1024], line_wanted[4300];

	(void)state;
	for (size_t i = 0; i < gcl_setting_count; i++) {
		snprintf(line_wanted, sizeof line_wanted, "\n#%s = %s\n", gcl_settings[i].name,
			 *gcl_settings[i].initial ? gcl_settings[i].initial : "\"\"");
		if (!strstr(text, line_wanted))
			fail_msg("the file lacks the line%s", line_wanted);
	}
	while ((line = strsep(&rest, "\n"))) {
		if (line[0] == '#' && line[1] != ' ' && line[1])
			line[0] = ' ';
		if (rest)
			rest[-1] = '\n';
	}
	for (size_t i = 0; i < gcl_vm_setting_count; i++) {
		snprintf(line_wanted, sizeof line_wanted, "\n#     %s = %s\n",
			 gcl_vm_settings[i].name,
			 *gcl_vm_settings[i].initial ? gcl_vm_settings[i].initial : "\"\"");
		if (!strstr(text, line_wanted))
			fail_msg("the file lacks the line%s", line_wanted);
	}
	gcl_config_init(&config, true);
	gcl_config_init(&initial, true);
	assert_int_equal(read_text(&config, text, log, sizeof log), 0);
	assert_memory_equal(&config, &initial, sizeof config);
}

/* The page has a paragraph on every setting, with its initial value. */
static void page_check(const char *plain, const struct gcl_setting *settings, size_t count)
{
	char wanted[256];

	for (size_t i = 0; i < count; i++) {
		const struct gcl_setting *setting = &settings[i];
		bool prefix = strncmp(setting->initial, GUESTCL_LIBEXECDIR, 4) == 0;
		const char *initial = !*setting->initial || prefix ? "" : setting->initial;

		snprintf(wanted, sizeof wanted, ".BR %s \" (%s%s", setting->name,
			 setting == gcl_settings ? "initially " : "", initial);
		if (!strstr(plain, wanted))
			fail_msg("the page lacks \"%s\"", wanted);
	}
}

static void test_man_page(void **state)
{
	_cleanup_free_ char *text = slurp("GUESTCLD_MAN");
	_cleanup_free_ char *plain = calloc(1, strlen(text) + 1);
	size_t length = 0;

	(void)state;
	for (const char *c = text; *c; c++) {
		if (*c != '\\')
			plain[length++] = *c;
	}
	page_check(plain, gcl_settings, gcl_setting_count);
	page_check(plain, gcl_vm_settings, gcl_vm_setting_count);
	page_check(plain, gcl_server_settings, gcl_server_setting_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initial),	     cmocka_unit_test(test_values),
		cmocka_unit_test(test_long_text),    cmocka_unit_test(test_file),
		cmocka_unit_test(test_servers),	     cmocka_unit_test(test_together),
		cmocka_unit_test(test_vms),	     cmocka_unit_test(test_file_errors),
		cmocka_unit_test(test_file_missing), cmocka_unit_test(test_installed_file),
		cmocka_unit_test(test_man_page),
	};

	gcl_log_init("config_test");
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
