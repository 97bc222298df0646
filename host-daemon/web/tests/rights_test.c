// SPDX-License-Identifier: MIT
/*
 * What guestcl-web can't do any more, and what it still can.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "web.h"

static void *thread(void *data)
{
	*(int *)data = 1;
	return NULL;
}

/* Return: 0, or the number of what is not as it should be. */
static int child(void)
{
	char *arguments[] = {"true", NULL};
	pthread_t id;
	int ran = 0, file;
	pid_t pid;

	gcl_web_rights_drop();
	file = open("/etc/hostname", O_RDONLY);
	if (file >= 0 || errno != EACCES)
		return 1;
	file = open("/tmp/guestcl-web-rights", O_WRONLY | O_CREAT, 0600);
	if (file >= 0)
		return 2;
	pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0 || errno != EPERM)
		return 3;
	if (execv("/bin/true", arguments) == 0 || errno != EPERM)
		return 4;
	if (kill(getppid(), 0) == 0 || errno != EPERM)
		return 5;
	if (pthread_create(&id, NULL, thread, &ran) != 0 || pthread_join(id, NULL) != 0 || !ran)
		return 6;
	file = socket(AF_UNIX, SOCK_STREAM, 0);
	return file >= 0 ? 0 : 7;
}

static void test_rights(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_rights)};

	return cmocka_run_group_tests_name("rights", tests, NULL, NULL);
}
