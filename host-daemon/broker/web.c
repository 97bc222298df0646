// SPDX-License-Identifier: MIT
/*
 * The process that serves our numbers by HTTP.
 *
 * It asks over the control socket, as any tool does, but can do nothing there (control.c). It ends
 * at the end of its standard input, so that none is left when we die.
 */
#include <string.h>

#include "base/cleanup.h"
#include "control.h"

static void web_try(struct gcl_helper *helper)
{
	struct gcl_web *web = gcl_container_of(helper, struct gcl_web, helper);
	char control[sizeof helper->broker->config.socket + sizeof "/control.sock"];
	char *arguments[] = {"guestcl-web",  "--until-eof",   "--listen",
			     web->listen,    "--control",     control,
			     "--token-file", web->token_file, NULL};

	gcl_control_path(&helper->broker->config, control, sizeof control);
	if (gcl_helper_start(helper, web->program, arguments, -1) < 0)
		gcl_helper_retry(helper);
}

static bool web_gone(struct gcl_helper *helper)
{
	gcl_helper_close(helper);
	return true;
}

void gcl_web_init(struct gcl_web *web, struct gcl_broker *broker)
{
	static const struct gcl_helper_kind kind = {
		.name = "guestcl-web",
		.setting = "web-listen",
		.meanwhile = "",
		.again = web_try,
		.gone = web_gone,
	};

	*web = (struct gcl_web){0};
	gcl_helper_init(&web->helper, &kind, broker);
}

void gcl_web_fini(struct gcl_web *web)
{
	gcl_helper_end(&web->helper);
}

void gcl_web_configure(struct gcl_web *web)
{
	const struct gcl_config *config = &web->helper.broker->config;

	if (strcmp(web->listen, config->web_listen) == 0 &&
	    strcmp(web->token_file, config->web_token_file) == 0 &&
	    strcmp(web->program, config->web_program) == 0)
		return;
	gcl_web_fini(web);
	memcpy(web->listen, config->web_listen, sizeof web->listen);
	memcpy(web->token_file, config->web_token_file, sizeof web->token_file);
	memcpy(web->program, config->web_program, sizeof web->program);
	gcl_helper_anew(&web->helper);
	if (*web->listen)
		web_try(&web->helper);
}
