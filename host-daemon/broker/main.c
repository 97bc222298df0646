// SPDX-License-Identifier: MIT
/*
 * guestcld: offers this machine's OpenCL devices to guests.
 *
 * Stays in the foreground and logs to stderr. Status 0 after a signal to stop, 1 on failure,
 * 64 for a wrong command line.
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"
#include "options.h"
#include "takeover.h"

/* A socket that became stdin, stdout or stderr would be handed to workers as such. */
static void standard_files_ensure(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	_cleanup_(gcl_options_fini) struct gcl_options options;
	struct gcl_config config;

	gcl_activation_init();
	standard_files_ensure();
	gcl_log_init("guestcld");
	gcl_options_parse(&options, argc, argv);
	if (gcl_options_config(&options, &config) < 0)
		return EXIT_FAILURE;
	if (options.take_over_from)
		return options.take_over_from == gcl_takeover_layout() ? EXIT_SUCCESS
								       : EXIT_FAILURE;
	if (options.check_config) {
		puts("the settings are valid");
		return EXIT_SUCCESS;
	}
	gcl_log_level_set((enum gcl_log_level)config.log_level);
	return gcl_broker_run(&options, &config) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
