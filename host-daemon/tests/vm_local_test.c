// SPDX-License-Identifier: MIT
/*
 * Processes of this host that are a VM, by the socket that they connect to: who they are, what they
 * are limited to, who may be one, and sockets that move.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "stream.h"
#include "vm-daemon.h"

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct daemon daemon_now;
static struct daemon at_a, at_b; /* for guests: the daemon as they see it */
static struct vmm vmm;

static int teardown(void **state)
{
	(void)state;
	vmm_fini(&vmm);
	daemon_fini(&daemon_now);
	memset(&daemon_now, 0, sizeof daemon_now);
	return 0;
}

/* The daemon as a guest knows it that has been given the socket @name. */
static struct daemon place(const char *name)
{
	struct daemon there = daemon_now;

	snprintf(there.socket, sizeof there.socket, "%.60s/%.16s", daemon_now.folder, name);
	return there;
}

/* VMs "a" and "b", with what @a says about a beside its socket. */
static void config_write(const char *a_socket, const char *a)
{
	char text[768];

	snprintf(text, sizeof text,
		 "vm \"a\" {\n local-socket = \"%.60s/%s\"\n %s\n}\n"
		 "vm \"b\" {\n local-socket = \"%.60s/b.local\"\n max-sessions = 1\n}\n",
		 daemon_now.folder, a_socket, a, daemon_now.folder);
	vm_daemon_config(&daemon_now, text);
}

static void start(const char *plan, const char *a, const char *const *settings)
{
	daemon_init(&daemon_now, plan);
	config_write("a.local", a);
	daemon_start(&daemon_now, settings);
	daemon_expect(&daemon_now, "ready");
	at_a = place("a.local");
	at_b = place("b.local");
}

static void test_serves(void **state)
{
	struct gcl_channel *guest;
	struct stat st;
	char path[160];
	unsigned files;

	(void)state;
	start("serve", "", NULL);
	gcl_channel_close(guest_connect(&at_a));
	eventually(daemon_log_count(&daemon_now, ": ended after") == 1);
	files = daemon_files_settled(&daemon_now);
	guest = guest_connect(&at_a);
	daemon_expect(&daemon_now, "session 2: VM a, local, uid");
	snprintf(path, sizeof path, "%.63s/cache/vm-a", daemon_now.folder);
	assert_int_equal(stat(path, &st), 0);
	gcl_channel_close(guest);
	/* One that has no memory to share is the VM as well. */
	assert_int_equal(gcl_stream_connect(at_b.socket, &guest, path, sizeof path), 0);
	daemon_expect(&daemon_now, "session 3: VM b, local, uid");
	gcl_channel_close(guest);
	eventually(daemon_log_count(&daemon_now, ": ended after") == 3);
	eventually(daemon_files(&daemon_now) == files);
	daemon_stop(&daemon_now, 1000);
	assert_int_equal(access(at_a.socket, F_OK), -1);
}

/* However a guest of the VM came, it counts as the VM's; the user that runs it does not matter. */
static void test_one_account(void **state)
{
	struct gcl_channel *local, *stream, *other, *user, *refused;
	struct daemon vsock;
	char reason[256];

	(void)state;
	start("serve", "max-sessions = 3", SETTINGS("max-sessions-per-user=1"));
	vsock = place("vm/a.vsock_17228");
	local = guest_connect(&at_a);
	assert_int_equal(gcl_stream_connect(vsock.socket, &stream, reason, sizeof reason), 0);
	vm_boot(&vmm, &daemon_now, "a");
	vm_session(&vmm, VMM_FREE);
	guest_refused(&at_a, "3 sessions of this VM already");
	assert_true(gcl_stream_connect(vsock.socket, &refused, reason, sizeof reason) < 0);
	assert_non_null(strstr(reason, "3 sessions of this VM already"));
	other = guest_connect(&at_b);
	guest_refused(&at_b, "1 sessions of this VM already");
	user = guest_connect(&daemon_now);
	guest_refused(&daemon_now, "max-sessions-per-user");
	gcl_channel_close(local);
	eventually(daemon_log_count(&daemon_now, "VM a, local, uid") == 3 &&
		   daemon_log_count(&daemon_now, ": ended after") == 1);
	gcl_channel_close(guest_connect(&at_a));
	gcl_channel_close(stream);
	gcl_channel_close(other);
	gcl_channel_close(user);
}

static void test_who_may(void **state)
{
	struct group *group = getgrnam("kvm");
	struct stat st;

	(void)state;
	if (geteuid() != 0 || !group) {
		print_message("skipped: needs root and a group kvm\n");
		skip();
	}
	start("serve", "local-socket-group = kvm", SETTINGS("vm-socket-mode=0620"));
	assert_int_equal(stat(at_a.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0620);
	assert_int_equal(st.st_gid, group->gr_gid);
	assert_int_equal(stat(at_b.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0620);
	assert_int_equal(st.st_gid, getegid());
}

/* A group that isn't there leaves the socket away, instead of leaving it to others. */
static void test_no_group(void **state)
{
	(void)state;
	start("serve", "local-socket-group = no-such-group", NULL);
	daemon_expect(&daemon_now, "change \"local-socket-group\"");
	assert_int_equal(access(at_a.socket, F_OK), -1);
	gcl_channel_close(guest_connect(&at_b));
}

static void reload(const char *a_socket, const char *a)
{
	unsigned before = daemon_log_count(&daemon_now, "settings read again");

	config_write(a_socket, a);
	kill(daemon_now.pid, SIGHUP);
	eventually(daemon_log_count(&daemon_now, "settings read again") > before);
}

static void test_moves(void **state)
{
	struct gcl_channel *guest;
	struct daemon moved;
	unsigned files;

	(void)state;
	start("serve", "max-sessions = 1", NULL);
	guest = guest_connect(&at_a);
	daemon_expect(&daemon_now, "session 1: VM a, local");
	files = daemon_files_settled(&daemon_now);
	reload("moved", "max-sessions = 1");
	moved = place("moved");
	assert_int_equal(access(at_a.socket, F_OK), -1);
	guest_refused(&moved, "1 sessions of this VM already");
	assert_int_equal(gcl_channel_wait(guest, false, 50), -ETIMEDOUT);
	eventually(daemon_files(&daemon_now) == files);
	/* It goes, the VM stays. */
	vm_daemon_config(&daemon_now, "vm \"a\" {\n}\n");
	kill(daemon_now.pid, SIGHUP);
	daemon_expect(&daemon_now, "VM b: is no longer served");
	eventually(access(moved.socket, F_OK) < 0 && access(at_b.socket, F_OK) < 0);
	assert_int_equal(gcl_channel_wait(guest, false, 50), -ETIMEDOUT);
	gcl_channel_close(guest);
}

/* What runs in a worker is its guest's code, and must not become another guest. */
static void intruder_refused(const char *socket)
{
	char plan[256], answer[256], text[256] = "";
	FILE *file = NULL;

	snprintf(plan, sizeof plan, "intrude %s/%s", daemon_now.folder, socket);
	snprintf(answer, sizeof answer, "%s/%s.answer", daemon_now.folder, socket);
	daemon_plan(&daemon_now, plan);
	gcl_channel_close(guest_connect(&daemon_now));
	eventually((file = fopen(answer, "re")) && fgets(text, sizeof text, file));
	fclose(file);
	if (!strstr(text, "a worker can't be its own guest"))
		fail_msg("%s: \"%s\"", socket, text);
}

static void test_workers(void **state)
{
	(void)state;
	start("serve", "", NULL);
	intruder_refused("sock");
	intruder_refused("b.local");
	intruder_refused("vm/a.vsock_17228");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_serves, teardown),
		cmocka_unit_test_teardown(test_one_account, teardown),
		cmocka_unit_test_teardown(test_who_may, teardown),
		cmocka_unit_test_teardown(test_no_group, teardown),
		cmocka_unit_test_teardown(test_moves, teardown),
		cmocka_unit_test_teardown(test_workers, teardown),
	};

	return cmocka_run_group_tests_name("vm-local", tests, NULL, NULL);
}
