// SPDX-License-Identifier: MIT
/*
 * guestcl-web: its options, its rights, its end.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "web.h"

#define LISTEN_INITIAL "127.0.0.1:9490"
#define CHART_INITIAL  "/usr/share/javascript/chart.js/chart.min.js"

struct command {
	struct gcl_command common;
	struct gcl_web *web;
	const char *listen, *token, *page, *chart;
	bool until_eof;
};

/* ------------------------------------------------------------ the command line */

enum { KEY_PAGE = 256, KEY_CHART, KEY_UNTIL_EOF };

static const struct argp_option options[] = {
	{"listen", 'l', "ADDRESS:PORT", 0, "Where to serve (initially " LISTEN_INITIAL ")", 0},
	{"token-file", 't', "FILE", 0, "The token; made if it is missing", 0},
	{"host", 'H', "NAME", 0, "A name that browsers know this host by; may be repeated", 0},
	{"chart", KEY_CHART, "FILE", 0, "Chart.js (initially " CHART_INITIAL ")", 0},
	{"page", KEY_PAGE, "FOLDER", 0, "The page's files", 0},
	{"until-eof", KEY_UNTIL_EOF, NULL, 0, "End at the end of standard input", 0},
	{0},
};

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;
	struct gcl_web_access *access = &command->web->access;

	switch (key) {
	case 'l':
		command->listen = arg;
		return 0;
	case 't':
		command->token = arg;
		return 0;
	case 'H':
		if (access->host_count == GCL_WEB_HOSTS_MAX)
			argp_error(state, "--host can't be given more than %u times",
				   GCL_WEB_HOSTS_MAX);
		access->hosts[access->host_count++] = arg;
		return 0;
	case KEY_CHART:
		command->chart = arg;
		return 0;
	case KEY_PAGE:
		command->page = arg;
		return 0;
	case KEY_UNTIL_EOF:
		command->until_eof = true;
		return 0;
	case ARGP_KEY_END:
		if (!command->token)
			argp_error(state, "--token-file is missing");
		return 0;
	default:
		return gcl_command_parse(key, arg, state);
	}
}

const char *argp_program_version = "guestcl-web " GUESTCL_VERSION;

static void command_parse(struct command *command, int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = option_parse,
		.doc = "Serves guestcld's numbers: a page for browsers, /api/status as JSON, "
		       "/metrics "
		       "for Prometheus.",
		.children = gcl_command_children,
	};

	argp_err_exit_status = EX_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, command);
	command->common.path = gcl_control_path(command->common.path);
}

/* ------------------------------------------------------------ the socket */

/* getaddrinfo() takes 99999 for 34463. */
static bool port_is(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= 5 && !text[digits] && strtoul(text, NULL, 10) <= 65535;
}

/* "127.0.0.1:9490", "[::1]:9490": names are not asked for. */
static struct addrinfo *address_parse(const char *text)
{
	static const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	const char *colon = strrchr(text, ':');
	struct addrinfo *found = NULL;
	char host[128];
	size_t length;

	if (!colon || colon == text || colon - text >= (ptrdiff_t)sizeof host ||
	    !port_is(colon + 1))
		return NULL;
	length = (size_t)(colon - text);
	if (*text == '[' && length > 2 && colon[-1] == ']') {
		text++;
		length -= 2;
	}
	snprintf(host, sizeof host, "%.*s", (int)length, text);
	return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)
				     ->sin_addr.s_addr) >>
			       24 ==
		       127;
	return IN6_IS_ADDR_LOOPBACK(
		&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Return: a listening socket, or -errno; logged. */
static int listener_open(const char *text)
{
	struct addrinfo *address = address_parse(text);
	int fd, on = 1, err = 0;

	if (!address) {
		gcl_log_error(broker,
			      "can't listen on \"%s\": that is an address and a port, such "
			      "as " LISTEN_INITIAL " or [::1]:9490",
			      text);
		return -EINVAL;
	}
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, address->ai_addr, address->ai_addrlen) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		err = -errno;
		gcl_log_error(broker, "can't listen on %s: %s", text, strerror(errno));
		gcl_cleanup_close(&fd);
	} else if (!is_loopback(address->ai_addr)) {
		gcl_log_warn(broker,
			     "%s can be reached from other machines, and neither numbers nor the "
			     "token are encrypted: better put a TLS proxy before it",
			     text);
	}
	freeaddrinfo(address);
	return err < 0 ? err : fd;
}

static void address_log(int listener, const char *token)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	char host[64] = "", port[16] = "";

	if (getsockname(listener, (struct sockaddr *)&address, &size) == 0)
		getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
			    NI_NUMERICHOST | NI_NUMERICSERV);
	gcl_log_info(broker, "serving http://%s%s%s:%s/ for who knows the token in %s",
		     strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port, token);
}

/* ------------------------------------------------------------ */

/* Until a signal, or the end of standard input. */
static void wait_end(const sigset_t *signals, bool until_eof)
{
	_cleanup_close_ int fd = signalfd(-1, signals, SFD_CLOEXEC);
	struct pollfd polled[] = {{.fd = fd, .events = POLLIN},
				  {.fd = until_eof ? STDIN_FILENO : -1, .events = POLLIN}};
	char byte;

	for (;;) {
		if (poll(polled, GCL_ARRAY_SIZE(polled), -1) < 0 && errno != EINTR)
			return;
		if (polled[0].revents)
			return;
		if (polled[1].revents && read(STDIN_FILENO, &byte, 1) <= 0)
			return;
	}
}

static int web_run(struct command *command)
{
	struct gcl_web *web = command->web;
	char error[512];
	sigset_t signals;
	int listener;

	if (gcl_web_access_init(&web->access, command->token, error, sizeof error) < 0) {
		gcl_log_error(broker, "%s", error);
		return EXIT_FAILURE;
	}
	if (gcl_web_files_read(web, command->page, command->chart) < 0)
		return EXIT_FAILURE;
	listener = listener_open(command->listen);
	if (listener < 0)
		return EXIT_FAILURE;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	gcl_web_rights_drop();
	if (gcl_web_serve(web, listener) < 0) {
		gcl_log_error(broker, "libmicrohttpd can't start");
		close(listener);
		return EXIT_FAILURE;
	}
	address_log(listener, command->token);
	wait_end(&signals, command->until_eof);
	gcl_web_stop(web);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct gcl_web web;
	const char *page = getenv("GUESTCL_WEB_PAGE");
	struct command command = {
		.web = &web,
		.listen = LISTEN_INITIAL,
		.page = page ? page : GUESTCL_WEB_PAGE,
		.chart = CHART_INITIAL,
	};
	int status;

	gcl_log_init("guestcl-web");
	command_parse(&command, argc, argv);
	gcl_web_status_init(&web.status, command.common.path);
	status = web_run(&command);
	gcl_web_status_fini(&web.status);
	gcl_web_files_free(&web);
	return status;
}
