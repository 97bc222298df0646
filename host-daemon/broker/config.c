// SPDX-License-Identifier: MIT
/*
 * Settings' values from text, and what has to be given together.
 *
 * Must not: log, read files. Errors go back as text, so that the caller can say where the value
 * stood.
 */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Digits only, as strtoul would also take signs, blanks and trailing words. */
static bool number_parse(const char *text, unsigned base, unsigned *value, const char **end)
{
	uint64_t sum = 0;

	*end = text;
	while (isdigit((unsigned char)**end) && (unsigned)(**end - '0') < base) {
		sum = sum * base + (unsigned)(**end - '0');
		if (sum > UINT32_MAX)
			return false;
		(*end)++;
	}
	*value = (unsigned)sum;
	return *end != text;
}

static bool duration_parse(const char *text, unsigned *ms)
{
	static const struct {
		const char *name;
		unsigned ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}};
	unsigned count;
	const char *unit;

	if (!number_parse(text, 10, &count, &unit))
		return false;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].name) == 0)
			return !__builtin_mul_overflow(count, units[i].ms, ms);
	}
	return false;
}

static bool size_parse(const char *text, uint64_t *size)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
	unsigned count;
	const char *unit;

	if (!number_parse(text, 10, &count, &unit))
		return false;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].name) == 0)
			return !__builtin_mul_overflow(count, 1ull << units[i].shift, size);
	}
	return false;
}

static bool choice_parse(const struct gcl_setting *setting, const char *text, unsigned *choice)
{
	for (*choice = 0; setting->choices[*choice]; ++*choice) {
		if (strcmp(text, setting->choices[*choice]) == 0)
			return true;
	}
	return false;
}

/* getaddrinfo() takes 99999 for 34463. */
static bool port_is(const char *text)
{
	unsigned port;
	const char *end;

	return number_parse(text, 10, &port, &end) && !*end && port >= 1 && port <= 65535;
}

bool gcl_endpoint_parse(const char *text, char host[GCL_ENDPOINT_MAX], char port[GCL_ENDPOINT_MAX])
{
	const char *colon = strrchr(text, ':');
	unsigned char address[16];
	size_t length;

	if (!colon || !port_is(colon + 1) || strlen(text) >= GCL_ENDPOINT_MAX)
		return false;
	length = (size_t)(colon - text);
	memcpy(port, colon + 1, strlen(colon + 1) + 1);
	*host = '\0';
	if (!length)
		return true;
	if (*text == '[' && length > 2 && colon[-1] == ']') {
		memcpy(host, text + 1, length - 2);
		host[length - 2] = '\0';
		return inet_pton(AF_INET6, host, address) == 1;
	}
	memcpy(host, text, length);
	host[length] = '\0';
	return inet_pton(AF_INET, host, address) == 1;
}

static bool text_valid(const struct gcl_setting *setting, const char *value)
{
	char host[GCL_ENDPOINT_MAX], port[GCL_ENDPOINT_MAX];

	if (setting->kind == GCL_SETTING_ENDPOINT && *value &&
	    !gcl_endpoint_parse(value, host, port))
		return false;
	if (setting->valid && *value && !setting->valid(value))
		return false;
	return strlen(value) >= setting->min && strlen(value) < setting->max;
}

static bool setting_parse(const struct gcl_setting *setting, const char *text, unsigned *value)
{
	const char *end;

	switch (setting->kind) {
	case GCL_SETTING_CHOICE:
		return choice_parse(setting, text, value);
	case GCL_SETTING_DURATION:
		return duration_parse(text, value) && *value >= setting->min &&
		       *value <= setting->max;
	case GCL_SETTING_MODE:
		return number_parse(text, 8, value, &end) && !*end && *value <= setting->max;
	default:
		return number_parse(text, 10, value, &end) && !*end && *value >= setting->min &&
		       *value <= setting->max;
	}
}

void gcl_setting_describe(const struct gcl_setting *setting, char *text, size_t size)
{
	size_t length = 0;

	switch (setting->kind) {
	case GCL_SETTING_TEXT:
		if (setting->form)
			snprintf(text, size, "%s", setting->form);
		else
			snprintf(text, size, "%s of less than %u bytes",
				 setting->min ? "text" : "text, or nothing,", setting->max);
		break;
	case GCL_SETTING_MODE:
		snprintf(text, size, "octal, up to %04o", setting->max);
		break;
	case GCL_SETTING_DURATION:
		snprintf(text, size, "%ums to %ums, such as 500ms or 2s", setting->min,
			 setting->max);
		break;
	case GCL_SETTING_COUNT:
		snprintf(text, size, "%u to %u", setting->min, setting->max);
		break;
	case GCL_SETTING_ENDPOINT:
		snprintf(text, size, "ADDRESS:PORT, [ADDRESS]:PORT, :PORT, or nothing");
		break;
	case GCL_SETTING_SIZE:
		snprintf(text, size, "bytes, such as 512MiB or 2GiB");
		break;
	case GCL_SETTING_CHOICE:
		for (size_t i = 0; setting->choices[i] && length < size; i++)
			length += (size_t)snprintf(text + length, size - length, "%s%s",
						   i ? " or " : "", setting->choices[i]);
		break;
	}
}

static bool is_text(const struct gcl_setting *setting)
{
	return setting->kind == GCL_SETTING_TEXT || setting->kind == GCL_SETTING_ENDPOINT;
}

/* @values: the struct that the setting is part of. */
static int setting_set(void *values, const struct gcl_setting *setting, const char *value,
		       char *error, size_t error_size)
{
	char *field = (char *)values + setting->offset;
	unsigned number;
	char range[128];

	if (setting->kind == GCL_SETTING_SIZE && size_parse(value, (uint64_t *)(void *)field))
		return 0;
	if (is_text(setting) && text_valid(setting, value)) {
		memcpy(field, value, strlen(value) + 1);
		return 0;
	}
	if (!is_text(setting) && setting->kind != GCL_SETTING_SIZE &&
	    setting_parse(setting, value, &number)) {
		memcpy(field, &number, sizeof number);
		return 0;
	}
	gcl_setting_describe(setting, range, sizeof range);
	snprintf(error, error_size, "%s can't be \"%.40s\": it takes %s", setting->name, value,
		 range);
	return -EINVAL;
}

int gcl_config_set(struct gcl_config *config, const char *key, const char *value, char *error,
		   size_t error_size)
{
	for (size_t i = 0; i < gcl_setting_count; i++) {
		if (strcmp(key, gcl_settings[i].name) == 0)
			return setting_set(config, &gcl_settings[i], value, error, error_size);
	}
	snprintf(error, error_size, "there is no setting \"%.40s\"; guestcld --help lists them",
		 key);
	return -ENOENT;
}

const struct gcl_setting *gcl_vm_setting_find(const char *key)
{
	for (size_t i = 0; i < gcl_vm_setting_count; i++) {
		if (strcmp(key, gcl_vm_settings[i].name) == 0)
			return &gcl_vm_settings[i];
	}
	return NULL;
}

int gcl_vm_config_set(struct gcl_vm_config *vm, const char *key, const char *value, char *error,
		      size_t error_size)
{
	const struct gcl_setting *setting = gcl_vm_setting_find(key);

	if (setting)
		return setting_set(vm, setting, value, error, error_size);
	snprintf(error, error_size, "a VM has no setting \"%.40s\"; guestcld --help lists them",
		 key);
	return -ENOENT;
}

int gcl_vm_config_init(struct gcl_vm_config *vm, const char *id, char *error, size_t error_size)
{
	memset(vm, 0, sizeof *vm);
	if (!gcl_vm_id_valid(id)) {
		snprintf(error, error_size,
			 "a VM can't be called \"%.40s\": its name takes up to %u letters, "
			 "digits, \".\", \"_\" and \"-\"",
			 id, GCL_VM_ID_MAX);
		return -EINVAL;
	}
	snprintf(vm->id, sizeof vm->id, "%s", id);
	snprintf(vm->name, sizeof vm->name, "%s", id);
	for (size_t i = 0; i < gcl_vm_setting_count; i++)
		setting_set(vm, &gcl_vm_settings[i], gcl_vm_settings[i].initial, error, error_size);
	return 0;
}

int gcl_server_config_init(struct gcl_server_config *server, const char *name, char *error,
			   size_t error_size)
{
	memset(server, 0, sizeof *server);
	if (gcl_server_name_valid(name)) {
		snprintf(server->name, sizeof server->name, "%s", name);
		return 0;
	}
	snprintf(error, error_size,
		 "a server can't be called \"%.40s\": its name takes up to %u letters, digits, "
		 "\".\", "
		 "\"_\" and \"-\"",
		 name, GCL_SERVER_NAME_MAX);
	return -EINVAL;
}

int gcl_server_config_set(struct gcl_server_config *server, const char *key, const char *value,
			  char *error, size_t error_size)
{
	for (size_t i = 0; i < gcl_server_setting_count; i++) {
		if (strcmp(key, gcl_server_settings[i].name) == 0)
			return setting_set(server, &gcl_server_settings[i], value, error,
					   error_size);
	}
	snprintf(error, error_size, "a server has no setting \"%.40s\"; guestcld --help lists them",
		 key);
	return -ENOENT;
}

int gcl_config_set_pair(struct gcl_config *config, const char *pair, char *error, size_t error_size)
{
	const char *equals = strchr(pair, '=');
	char key[64];

	if (!equals) {
		snprintf(error, error_size, "\"%.40s\" is not of the form KEY=VALUE", pair);
		return -EINVAL;
	}
	snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
	return gcl_config_set(config, key, equals + 1, error, error_size);
}

/* The base directory specification of freedesktop.org: $XDG_CACHE_HOME, else $HOME/.cache. */
static const char *expand(const char *text, char *buffer, size_t size)
{
	static const char variable[] = "$XDG_CACHE_HOME";
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	if (strncmp(text, variable, sizeof variable - 1) != 0)
		return text;
	text += sizeof variable - 1;
	if (cache && cache[0] == '/')
		snprintf(buffer, size, "%s%s", cache, text);
	else
		snprintf(buffer, size, "%s/.cache%s", home && home[0] == '/' ? home : "/tmp", text);
	return buffer;
}

void gcl_config_init(struct gcl_config *config, bool root)
{
	char buffer[PATH_MAX], error[256];

	memset(config, 0, sizeof *config);
	for (size_t i = 0; i < gcl_setting_count; i++) {
		const struct gcl_setting *setting = &gcl_settings[i];
		const char *value =
			!root && setting->initial_user ? setting->initial_user : setting->initial;

		/* A test sets every initial value, so this can't fail. */
		setting_set(config, setting, expand(value, buffer, sizeof buffer), error,
			    sizeof error);
	}
}

const char *gcl_setting_initial(const char *name)
{
	for (size_t i = 0; i < gcl_setting_count; i++) {
		const struct gcl_setting *setting = &gcl_settings[i];

		if (strcmp(name, setting->name) == 0)
			return geteuid() != 0 && setting->initial_user ? setting->initial_user
								       : setting->initial;
	}
	return "";
}

/* What "listen-tls" lacks; NULL: nothing. */
static const char *listen_tls_lacks(const struct gcl_config *config)
{
	unsigned given = !!*config->tls_certificate + !!*config->tls_key + !!*config->tls_ca;

	if (*config->listen_tls && given == 0 && !*config->tls_psk_file)
		return "listen-tls needs tls-certificate, tls-key and tls-ca, or tls-psk-file: "
		       "guestcl pki makes such files";
	if (*config->listen_tls && given > 0 && given < 3)
		return "listen-tls needs tls-certificate, tls-key and tls-ca together: guestcl pki "
		       "makes such files";
	if (*config->listen_tls && given == 0 && *config->tls_crl)
		return "listen-tls needs tls-certificate, tls-key and tls-ca with tls-crl: guestcl "
		       "pki makes such files";
	return NULL;
}

static const char *etcd_lacks(const struct gcl_config *config)
{
	bool https = strstr(config->etcd, "https:") != NULL;

	if (!*config->etcd)
		return NULL;
	if (!*config->etcd_prefix)
		return "etcd needs etcd-prefix";
	if (https && !*config->etcd_ca)
		return "etcd by https needs etcd-ca, the authority that vouches for its members";
	if (!!*config->etcd_certificate != !!*config->etcd_key)
		return "etcd needs etcd-certificate and etcd-key together, or neither";
	if (!!*config->etcd_user != !!*config->etcd_password_file)
		return "etcd needs etcd-user and etcd-password-file together, or neither";
	if (*config->etcd_password_file && strstr(config->etcd, "http:"))
		return "etcd-password-file is for https only: by http all could read it";
	return NULL;
}

static const char *announce_lacks(const struct gcl_config *config)
{
	if (*config->announce && !*config->etcd)
		return "announce needs etcd, which is told";
	if (*config->announce && !*config->listen_tls)
		return "announce needs listen-tls, by which this host is reached";
	return NULL;
}

int gcl_config_check(const struct gcl_config *config, int *line, char *error, size_t error_size)
{
	const char *const lacks[GCL_LINES] = {
		[GCL_LINE_LISTEN_TLS] = listen_tls_lacks(config),
		[GCL_LINE_ETCD] = etcd_lacks(config),
		[GCL_LINE_ANNOUNCE] = announce_lacks(config),
	};

	for (size_t i = 0; i < GCL_LINES; i++) {
		if (!lacks[i])
			continue;
		*line = config->lines[i];
		snprintf(error, error_size, "%s", lacks[i]);
		return -EINVAL;
	}
	return 0;
}
