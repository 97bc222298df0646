// SPDX-License-Identifier: MIT
/*
 * Tests the driver's file, /dev/virtio-cl, from inside a guest: right uses, wrong ones and hostile
 * ones. Prints TAP and exits with 1 if something failed.
 *
 * The host is guestcld, whose protocol version --protocol says, or with --loopback a test's back
 * end that does as host.c says.
 */
#include "driver-test.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct options options = {.path = "/dev/virtio-cl", .protocol = 1, .seconds = 3};

static unsigned checks, failures;

void check(bool good, const char *format, ...)
{
	va_list arguments;

	checks++;
	failures += !good;
	printf("%sok %u - ", good ? "" : "not ", checks);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

void check_ioctl(int expected, int fd, unsigned long request, void *argument, const char *what)
{
	int n = ioctl(fd, request, argument);
	int err = n < 0 ? errno : 0;

	check(err == expected && n <= 0, "%s: %s%s%s", what, strerror(err),
	      err == expected ? "" : ", expected ", err == expected ? "" : strerror(expected));
}

void fatal(const char *format, ...)
{
	va_list arguments;

	printf("Bail out! ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf(": %s\n", strerror(errno));
	exit(1);
}

int device_open(void)
{
	int fd = open(options.path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fatal("cannot open %s", options.path);
	return fd;
}

struct virtio_cl_ioc_open open_default(void)
{
	return (struct virtio_cl_ioc_open){
		.protocol = options.protocol,
		.commands_size = COMMANDS_SIZE,
		.completions_size = COMPLETIONS_SIZE,
		.heap_size = HEAP_SIZE,
		.program = "driver-test",
	};
}

struct session session_make(void)
{
	struct virtio_cl_ioc_open ask = open_default();
	struct session session = {.fd = device_open()};

	if (ioctl(session.fd, VIRTIO_CL_IOC_OPEN, &ask) < 0)
		fatal("no session (%s)", ask.text);
	session.rings = mmap(NULL, RINGS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, session.fd,
			     (off_t)VIRTIO_CL_MMAP_RINGS);
	session.heap = mmap(NULL, HEAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, session.fd, 0);
	if (session.rings == MAP_FAILED || session.heap == MAP_FAILED)
		fatal("cannot map a session");
	return session;
}

void session_end(struct session *session)
{
	munmap(session->rings, RINGS_SIZE);
	munmap(session->heap, HEAP_SIZE);
	close(session->fd);
}

uint32_t sessions_now(void)
{
	struct virtio_cl_ioc_info info = {0};
	int fd = device_open();

	if (ioctl(fd, VIRTIO_CL_IOC_INFO, &info) < 0)
		fatal("no VIRTIO_CL_IOC_INFO");
	close(fd);
	return info.sessions;
}

bool sessions_wait(uint32_t count)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (sessions_now() == count)
			return true;
		usleep(10000);
	}
	return false;
}

struct virtio_cl_ioc_counters counters_of(int fd)
{
	struct virtio_cl_ioc_counters counters = {0};

	if (ioctl(fd, VIRTIO_CL_IOC_COUNTERS, &counters) < 0)
		fatal("no VIRTIO_CL_IOC_COUNTERS");
	return counters;
}

int range_ioctl(int fd, unsigned long request, uint64_t offset, uint64_t length)
{
	struct virtio_cl_ioc_range range = {offset, length};

	return ioctl(fd, request, &range) < 0 ? errno : 0;
}

static __thread sigjmp_buf fault_jump;

static void on_fault(int number)
{
	siglongjmp(fault_jump, number);
}

int peek(const volatile uint8_t *address)
{
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	return sigsetjmp(fault_jump, 1) ? -1 : *address;
}

int in_child(int (*function)(void *data), void *data)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fatal("cannot fork");
	if (pid == 0)
		_exit(function(data));
	while (waitpid(pid, &status, 0) < 0)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"protocol", required_argument, NULL, 'p'},
		{"loopback", no_argument, NULL, 'l'},
		{"seconds", required_argument, NULL, 's'},
		{"device", required_argument, NULL, 'd'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "p:ls:d:", long_options, NULL)) != -1) {
		switch (option) {
		case 'p':
			options.protocol = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'l':
			options.loopback = true;
			break;
		case 's':
			options.seconds = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			options.path = optarg;
			break;
		default:
			fprintf(stderr, "usage: driver-test [--protocol N] [--loopback] "
					"[--seconds N] [--device PATH]\n");
			return 2;
		}
	}
	test_session();
	test_heap();
	test_pin();
	test_processes();
	test_races();
	if (options.loopback)
		test_loopback();
	else
		test_worker();
	check(sessions_wait(0), "no session is left");
	printf("1..%u\n", checks);
	return failures ? 1 : 0;
}
