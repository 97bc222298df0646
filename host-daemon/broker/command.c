// SPDX-License-Identifier: MIT
/*
 * Requests that change something while guestcld runs: limits, pauses, ends of sessions.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control.h"
#include "takeover.h"
#include "vm.h"

/* ------------------------------------------------------------ who is meant */

static const char *text_of(const struct gcl_control_request *request, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(request->asked, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static bool is_user(const char *name)
{
	size_t digits = strlen(name) > 4 ? strspn(name + 4, "0123456789") : 0;

	return strncmp(name, "uid-", 4) == 0 && digits > 0 && digits <= 10 && !name[4 + digits];
}

/* A VM by its name, id or owner's name ("vm-ID"); or a user, "uid-N". */
static int owner_find(struct gcl_broker *broker, const char *name, struct gcl_owner *owner)
{
	gcl_list_for_each (it, &broker->vms) {
		const struct gcl_vm *vm = gcl_container_of(it, struct gcl_vm, link);

		if (vm->removed)
			continue;
		if (strcmp(vm->config.name, name) == 0 || strcmp(vm->config.id, name) == 0 ||
		    strcmp(vm->owner.name, name) == 0) {
			*owner = vm->owner;
			return 0;
		}
	}
	if (!is_user(name))
		return -ENOENT;
	snprintf(owner->name, sizeof owner->name, "%s", name);
	return 0;
}

struct gcl_account *gcl_control_account(struct gcl_control_request *request)
{
	const char *name = text_of(request, "vm");
	struct gcl_account *account;
	struct gcl_owner owner;

	if (!name) {
		snprintf(request->error, sizeof request->error, "the request names no VM");
		return NULL;
	}
	if (owner_find(request->broker, name, &owner) < 0) {
		snprintf(request->error, sizeof request->error,
			 "there is no VM \"%.80s\": guestcl status lists them; a user of this host "
			 "is called uid-N",
			 name);
		return NULL;
	}
	account = gcl_account_get(request->broker, &owner);
	if (!account)
		snprintf(request->error, sizeof request->error, "guestcld has no memory left");
	return account;
}

struct gcl_worker_process *gcl_control_session(struct gcl_control_request *request)
{
	struct gcl_worker_process *worker;
	struct json_object *value;
	uint64_t number;

	if (!json_object_object_get_ex(request->asked, "session", &value) ||
	    !json_object_is_type(value, json_type_int)) {
		snprintf(request->error, sizeof request->error, "the request names no session");
		return NULL;
	}
	number = json_object_get_uint64(value);
	worker = number ? gcl_workers_find(&request->broker->workers, number) : NULL;
	if (worker && !worker->end_reason)
		return worker;
	snprintf(request->error, sizeof request->error,
		 "there is no session %ju: guestcl status lists them", (uintmax_t)number);
	return NULL;
}

static bool names_session(const struct gcl_control_request *request)
{
	return json_object_object_get_ex(request->asked, "session", NULL);
}

/* ------------------------------------------------------------ limits */

/* All are checked before one is changed. */
int gcl_control_set(struct gcl_control_request *request)
{
	struct gcl_account *account = gcl_control_account(request);
	struct json_object *values;
	int err = 0;

	if (!account)
		return -ENOENT;
	if (!json_object_object_get_ex(request->asked, "values", &values) ||
	    !json_object_is_type(values, json_type_object) ||
	    json_object_object_length(values) == 0) {
		snprintf(request->error, sizeof request->error, "the request sets nothing");
		return -EINVAL;
	}
	json_object_object_foreach(values, key, value)
	{
		err = gcl_override_check(key, json_object_get_string(value) ?: "", request->error,
					 sizeof request->error);
		if (err < 0)
			return err;
	}
	json_object_object_foreach(values, name, wanted)
	{
		const char *text = json_object_get_string(wanted);

		err = gcl_override_set(request->broker, &account->owner, name, text);
		if (err < 0)
			snprintf(request->error, sizeof request->error, "%s is not set: %s", name,
				 strerror(-err));
		else
			gcl_log_info(broker, "%s: %s = %s, until guestcld stops",
				     account->owner.name, name, text);
	}
	gcl_accounts_configure(request->broker);
	json_object_object_add(request->answer, "limits", gcl_status_limits(&account->limits));
	return err;
}

/* ------------------------------------------------------------ pauses and ends */

static int pause_set(struct gcl_control_request *request, bool paused)
{
	const char *what = paused ? "is paused" : "goes on";
	struct gcl_worker_process *worker;
	struct gcl_account *account;

	if (names_session(request)) {
		worker = gcl_control_session(request);
		if (!worker)
			return -ENOENT;
		worker->paused = paused;
		gcl_worker_pause_tell(worker);
		gcl_log_info(broker, "session %ju: %s", (uintmax_t)worker->session, what);
		return 0;
	}
	account = gcl_control_account(request);
	if (!account)
		return -ENOENT;
	account->paused = paused;
	gcl_list_for_each (it, &request->broker->workers.list) {
		worker = gcl_container_of(it, struct gcl_worker_process, link);
		if (worker->account == account)
			gcl_worker_pause_tell(worker);
	}
	gcl_log_info(broker, "%s %s", account->owner.name, what);
	return 0;
}

int gcl_control_pause(struct gcl_control_request *request)
{
	return pause_set(request, true);
}

int gcl_control_resume(struct gcl_control_request *request)
{
	return pause_set(request, false);
}

/* One session, or all of a VM. */
int gcl_control_end(struct gcl_control_request *request)
{
	struct gcl_worker_process *only = NULL;
	struct gcl_account *account = NULL;
	uint64_t count = 0;

	if (names_session(request))
		only = gcl_control_session(request);
	else
		account = gcl_control_account(request);
	if (!only && !account)
		return -ENOENT;
	gcl_list_for_each_safe (it, next, &request->broker->workers.list) {
		struct gcl_worker_process *worker =
			gcl_container_of(it, struct gcl_worker_process, link);

		if (worker->state != GCL_WORKER_SERVING ||
		    (worker != only && worker->account != account))
			continue;
		count += gcl_worker_end_because(worker, GCL_END_OPERATOR, 0) == 0;
	}
	json_object_object_add(request->answer, "ended", json_object_new_uint64(count));
	return 0;
}

/* It happens when it can; "generation" of status tells. */
int gcl_control_restart(struct gcl_control_request *request)
{
	gcl_takeover_begin(request->broker);
	json_object_object_add(request->answer, "generation",
			       json_object_new_uint64(request->broker->takeover.generation));
	return 0;
}
