/*
 * Greetings as a hostile or broken guest might send them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local-channel.h"
#include "pair.h"
#include "test.h"

struct fixture {
	int fds_before;
	int sockets[2]; /* the guest's end, the broker's end */
	struct gcl_greeting sent;
	struct gcl_greeting got;
};

static int memfd(uint64_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void fd_replace(int *place, int fd)
{
	assert_true(fd >= 0);
	close(*place);
	*place = fd;
}

static int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof *fix);
	struct gcl_greeting *sent = &fix->sent;

	fix->fds_before = fds_open();
	gcl_greeting_init(sent);
	gcl_greeting_init(&fix->got);
	sent->hello = (struct gcl_hello){
		.magic = GCL_HELLO_MAGIC,
		.version = GCL_HELLO_VERSION,
		.commands_size = GCL_RING_COMMANDS_SIZE,
		.completions_size = GCL_RING_COMPLETIONS_SIZE,
		.heap_size = GCL_HEAP_CHUNK,
	};
	sent->fds[GCL_FD_RING] = memfd(gcl_local_rings_size(&sent->hello), GCL_LOCAL_SEALS);
	sent->fds[GCL_FD_HEAP] = memfd(GCL_HEAP_CHUNK, GCL_LOCAL_SEALS);
	sent->fds[GCL_FD_WAKE_GUEST] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sent->fds[GCL_FD_WAKE_WORKER] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = fix;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fix->sockets);
}

static int teardown(void **state)
{
	struct fixture *fix = *state;
	int leaked;

	gcl_greeting_fini(&fix->sent);
	gcl_greeting_fini(&fix->got);
	close(fix->sockets[0]);
	close(fix->sockets[1]);
	leaked = fds_open() - fix->fds_before;
	free(fix);
	return leaked;
}

/* Sends what the fixture holds and says what the check thinks of it. */
static int check(struct fixture *fix, char *reason, size_t size)
{
	gcl_greeting_fini(&fix->got);
	assert_int_equal(gcl_greeting_send(&fix->sent, fix->sockets[0]), 0);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), 1);
	return gcl_greeting_check(&fix->got, reason, size);
}

static void expect_refused(struct fixture *fix, const char *because)
{
	char reason[128] = "";

	assert_int_equal(check(fix, reason, sizeof reason), -EINVAL);
	if (!strstr(reason, because))
		fail_msg("\"%s\" instead of \"%s\"", reason, because);
}

static void test_good(void **state)
{
	struct fixture *fix = *state;
	struct gcl_channel *channel = NULL;
	char reason[128];

	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), 0);
	assert_int_equal(check(fix, reason, sizeof reason), 0);
	assert_int_equal(fix->got.conn, -1);
	fix->got.conn = dup(fix->sockets[1]);
	assert_int_equal(gcl_local_accept(&fix->got, &channel), 0);
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++)
		assert_int_equal(fix->got.fds[i], -1);
	assert_int_equal(channel->heap_size, GCL_HEAP_CHUNK);
	gcl_channel_close(channel);
}

static void test_in_pieces(void **state)
{
	struct fixture *fix = *state;
	const char *bytes = (const char *)&fix->sent.hello;
	char reason[128];

	for (size_t i = 0; i < sizeof fix->sent.hello; i++) {
		assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), 0);
		assert_int_equal(send(fix->sockets[0], bytes + i, 1, 0), 1);
	}
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), 1);
	assert_memory_equal(&fix->got.hello, &fix->sent.hello, sizeof fix->got.hello);
	assert_int_equal(gcl_greeting_check(&fix->got, reason, sizeof reason), -EINVAL);
	assert_non_null(strstr(reason, "ring is missing"));
}

static void test_hang_up(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(send(fix->sockets[0], &fix->sent.hello, 20, 0), 20);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), 0);
	shutdown(fix->sockets[0], SHUT_WR);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), -EPIPE);
	assert_int_equal(gcl_hello_answer(fix->sockets[1], GCL_HELLO_FAILED, "too late"), 0);
	close(fix->sockets[0]);
	fix->sockets[0] = -1;
	assert_int_equal(gcl_hello_answer(fix->sockets[1], GCL_HELLO_FAILED, NULL), -EPIPE);
}

static void test_noise(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(send(fix->sockets[0], "GET / HTTP/1.1\r\n", 16, 0), 16);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), -EPROTO);
}

/* Another version's greeting may be shorter: nothing but its version is needed to refuse it. */
static void test_other_version(void **state)
{
	struct fixture *fix = *state;
	const uint32_t hello[] = {GCL_HELLO_MAGIC, GCL_HELLO_VERSION + 1};
	char reason[128];

	assert_int_equal(send(fix->sockets[0], hello, sizeof hello, 0), sizeof hello);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), 1);
	assert_int_equal(gcl_greeting_check(&fix->got, reason, sizeof reason), -EPROTONOSUPPORT);
	assert_non_null(strstr(reason, "version 2"));
}

static void test_missing_descriptors(void **state)
{
	static const char *const names[] = {"ring", "heap", "guest's doorbell",
					    "worker's doorbell"};
	struct fixture *fix = *state;
	char reason[128];

	for (unsigned i = 0; i < GCL_HELLO_FDS; i++) {
		int fd;

		assert_int_equal(check(fix, reason, sizeof reason), 0);
		fd = fix->got.fds[i];
		fix->got.fds[i] = -1;
		assert_int_equal(gcl_greeting_check(&fix->got, reason, sizeof reason), -EINVAL);
		fix->got.fds[i] = fd;
		assert_ptr_equal(strstr(reason, names[i]), reason + strlen("the "));
		assert_non_null(strstr(reason, "is missing"));
	}
}

/* A fifth descriptor is not for the guest to send; none of the five stays open. */
static void test_too_many_descriptors(void **state)
{
	struct fixture *fix = *state;

	fix->sent.conn = dup(fix->sockets[0]);
	assert_int_equal(gcl_greeting_pass(&fix->sent, fix->sockets[0]), 0);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), -EPROTO);
	assert_int_equal(fix->got.conn, -1);
}

/* More than the kernel hands over at once is as bad. */
static void test_truncated_descriptors(void **state)
{
	struct fixture *fix = *state;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(100 * sizeof(int))];
	struct iovec data = {&fix->sent.hello, sizeof fix->sent.hello};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(100 * sizeof(int));
	for (unsigned i = 0; i < 100; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fix->sent.fds[0], sizeof(int));
	assert_int_equal(sendmsg(fix->sockets[0], &message, 0), sizeof fix->sent.hello);
	assert_int_equal(gcl_greeting_receive(&fix->got, fix->sockets[1]), -EPROTO);
}

static void test_memory(void **state)
{
	struct fixture *fix = *state;
	const uint64_t rings = gcl_local_rings_size(&fix->sent.hello);
	int *ring = &fix->sent.fds[GCL_FD_RING];
	int *heap = &fix->sent.fds[GCL_FD_HEAP];
	char path[64];

	fd_replace(ring, memfd(rings, 0));
	expect_refused(fix, "ring is not sealed");
	fd_replace(ring, memfd(rings, F_SEAL_GROW | F_SEAL_SHRINK));
	expect_refused(fix, "ring is not sealed");
	fd_replace(ring, memfd(rings - 4096, GCL_LOCAL_SEALS));
	expect_refused(fix, "ring has the wrong size");
	fd_replace(ring, memfd(rings + 4096, GCL_LOCAL_SEALS));
	expect_refused(fix, "ring has the wrong size");
	fd_replace(ring, eventfd(0, EFD_CLOEXEC));
	expect_refused(fix, "ring is not a memfd");
	fd_replace(ring, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	expect_refused(fix, "ring is not a memfd");
	fd_replace(ring, memfd(rings, GCL_LOCAL_SEALS));

	fd_replace(heap, memfd(GCL_HEAP_CHUNK, F_SEAL_GROW | F_SEAL_SEAL));
	expect_refused(fix, "heap is not sealed");
	fd_replace(heap, memfd(0, GCL_LOCAL_SEALS));
	expect_refused(fix, "heap has the wrong size");
	fd_replace(heap, memfd(GCL_HEAP_CHUNK, GCL_LOCAL_SEALS));
	snprintf(path, sizeof path, "/proc/self/fd/%d", *heap);
	fd_replace(heap, open(path, O_RDONLY | O_CLOEXEC));
	expect_refused(fix, "heap is not writable");
}

static void test_doorbells(void **state)
{
	struct fixture *fix = *state;
	int pipe_fds[2];

	fd_replace(&fix->sent.fds[GCL_FD_WAKE_GUEST], eventfd(0, EFD_CLOEXEC));
	expect_refused(fix, "guest's doorbell blocks");
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
	fd_replace(&fix->sent.fds[GCL_FD_WAKE_GUEST], pipe_fds[1]);
	close(pipe_fds[0]);
	expect_refused(fix, "guest's doorbell is not an eventfd");
	fd_replace(&fix->sent.fds[GCL_FD_WAKE_GUEST], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	fd_replace(&fix->sent.fds[GCL_FD_WAKE_WORKER], dup(fix->sent.fds[GCL_FD_RING]));
	expect_refused(fix, "worker's doorbell is not an eventfd");
}

static void test_sizes(void **state)
{
	static const uint32_t rings[] = {0,
					 1,
					 GCL_RING_SIZE_MIN / 2,
					 GCL_RING_SIZE_MAX * 2,
					 GCL_RING_SIZE_MIN + 4096,
					 0x80000000u,
					 UINT32_MAX};
	static const uint64_t heaps[] = {
		0, 4096, GCL_HEAP_CHUNK + 4096, GCL_HEAP_MAX * 2, UINT64_MAX, 1ull << 63};
	struct fixture *fix = *state;

	for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
		fix->sent.hello.commands_size = rings[i];
		expect_refused(fix, "ring sizes");
		fix->sent.hello.commands_size = GCL_RING_COMMANDS_SIZE;
		fix->sent.hello.completions_size = rings[i];
		expect_refused(fix, "ring sizes");
		fix->sent.hello.completions_size = GCL_RING_COMPLETIONS_SIZE;
	}
	for (size_t i = 0; i < sizeof heaps / sizeof *heaps; i++) {
		fix->sent.hello.heap_size = heaps[i];
		expect_refused(fix, "a heap of");
	}
}

static void test_pass_and_take(void **state)
{
	struct fixture *fix = *state;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	/* Without the guest's socket a worker can do nothing. */
	assert_int_equal(gcl_greeting_send(&fix->sent, sockets[0]), 0);
	assert_int_equal(gcl_greeting_take(&fix->got, sockets[1]), -EPROTO);
	gcl_greeting_fini(&fix->got);

	fix->sent.conn = dup(fix->sockets[1]);
	assert_int_equal(gcl_greeting_pass(&fix->sent, sockets[0]), 0);
	close(sockets[0]);
	assert_int_equal(gcl_greeting_take(&fix->got, sockets[1]), 1);
	assert_true(fix->got.conn >= 0);
	for (unsigned i = 0; i < GCL_HELLO_FDS; i++) {
		assert_true(fix->got.fds[i] >= 0);
		assert_int_equal(fcntl(fix->got.fds[i], F_GETFD), FD_CLOEXEC);
	}
	gcl_greeting_fini(&fix->got);
	assert_int_equal(gcl_greeting_take(&fix->got, sockets[1]), 0);
	close(sockets[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doorbells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pass_and_take, setup, teardown),
	};

	return cmocka_run_group_tests_name("greeting", tests, NULL, NULL);
}
