// SPDX-License-Identifier: MIT
/*
 * guestcld.conf: lines of the form "key = value" and sections of VMs and servers, read by
 * libconfuse.
 *
 * libconfuse knows every setting as a string; what the string may be is config.c's business, which
 * is asked while the line is being read, so that the error names it.
 */
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"

#define FILE_MAX_BYTES (256u * 1024u)

static void cleanup_cfg(cfg_t **cfg)
{
	if (*cfg)
		cfg_free(*cfg);
}

static void report(cfg_t *cfg, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void report(cfg_t *cfg, const char *format, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof text, format, args);
	gcl_log_error(config, "%s:%d: %s", cfg->filename, cfg->line, text);
}

/* Where these were read: for what is wrong with them and others together. */
static const char *const lined[GCL_LINES] = {
	[GCL_LINE_LISTEN_TLS] = "listen-tls",
	[GCL_LINE_ETCD] = "etcd",
	[GCL_LINE_ANNOUNCE] = "announce",
};
static int lines[GCL_LINES];

static void line_note(cfg_t *cfg, cfg_opt_t *opt)
{
	for (size_t i = 0; i < GCL_LINES; i++) {
		if (strcmp(cfg_opt_name(opt), lined[i]) == 0)
			lines[i] = *cfg_opt_getstr(opt) ? cfg->line : 0;
	}
}

static int value_check(cfg_t *cfg, cfg_opt_t *opt)
{
	struct gcl_config scratch;
	char error[256];

	if (gcl_config_set(&scratch, cfg_opt_name(opt), cfg_opt_getstr(opt), error, sizeof error) <
	    0) {
		cfg_error(cfg, "%s", error);
		return -1;
	}
	line_note(cfg, opt);
	return 0;
}

/* The file that is being read: libconfuse hands its callbacks nothing of ours. */
static cfg_t *file_now;

static const char *value_of(cfg_t *section, const char *name)
{
	cfg_opt_t *opt = cfg_getopt(section, name);

	return cfg_opt_size(opt) ? cfg_opt_getstr(opt) : NULL;
}

/* A setting that no two VMs may have the same, and in whose place. NULL: there is none. */
struct identity {
	const char *name, *others[2]; /* which settings the value may be in already */
};

static const struct identity *identity_find(const char *name)
{
	static const struct identity list[] = {
		{"cid", {"cid", NULL}},
		{"socket", {"socket", "local-socket"}},
		{"local-socket", {"socket", "local-socket"}},
	};

	for (size_t i = 0; i < GCL_ARRAY_SIZE(list); i++) {
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	}
	return NULL;
}

/* Numbers as they are meant: 7 is 07. */
static bool identity_same(const char *name, const char *one, const char *other)
{
	if (!other)
		return false;
	if (strcmp(name, "cid") == 0)
		return strtoul(one, NULL, 10) && strtoul(one, NULL, 10) == strtoul(other, NULL, 10);
	return *one && strcmp(one, other) == 0;
}

/* The setting @opt of @section was read: no setting before it may have its value. */
static int identity_check(cfg_t *section, cfg_opt_t *opt)
{
	const struct identity *identity = identity_find(cfg_opt_name(opt));
	const char *value = cfg_opt_getstr(opt);

	for (unsigned i = 0; identity && i < cfg_size(file_now, "vm"); i++) {
		cfg_t *other = cfg_getnsec(file_now, "vm", i);

		for (size_t k = 0; k < 2 && identity->others[k]; k++) {
			const char *name = identity->others[k];

			if ((other == section && strcmp(name, identity->name) == 0) ||
			    !identity_same(name, value, value_of(other, name)))
				continue;
			cfg_error(section, "VMs \"%s\" and \"%s\" have the same %s, %s",
				  cfg_title(other), cfg_title(section),
				  strcmp(name, "cid") == 0 ? name : "socket", value);
			return -1;
		}
	}
	return 0;
}

static int vm_value_check(cfg_t *cfg, cfg_opt_t *opt)
{
	struct gcl_vm_config scratch;
	char error[256];

	if (gcl_vm_config_set(&scratch, cfg_opt_name(opt), cfg_opt_getstr(opt), error,
			      sizeof error) < 0) {
		cfg_error(cfg, "%s", error);
		return -1;
	}
	return identity_check(cfg, opt);
}

/* The last section has been read. */
static int vm_check(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	struct gcl_vm_config scratch;
	char error[256];

	if (cfg_opt_size(opt) > GCL_CONFIG_VMS_MAX) {
		cfg_error(cfg, "there are more than %u VMs", GCL_CONFIG_VMS_MAX);
		return -1;
	}
	if (gcl_vm_config_init(&scratch, cfg_title(section), error, sizeof error) < 0) {
		cfg_error(cfg, "%s", error);
		return -1;
	}
	return 0;
}

static int server_value_check(cfg_t *cfg, cfg_opt_t *opt)
{
	struct gcl_server_config scratch;
	char error[256];

	if (gcl_server_config_set(&scratch, cfg_opt_name(opt), cfg_opt_getstr(opt), error,
				  sizeof error) == 0)
		return 0;
	cfg_error(cfg, "%s", error);
	return -1;
}

/* The last section has been read. */
static int server_check(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	struct gcl_server_config scratch;
	char error[256];

	if (cfg_opt_size(opt) > GCL_CONFIG_SERVERS_MAX)
		snprintf(error, sizeof error, "there are more than %u servers",
			 GCL_CONFIG_SERVERS_MAX);
	else if (gcl_server_config_init(&scratch, cfg_title(section), error, sizeof error) == 0 &&
		 value_of(section, "address"))
		return 0;
	else if (*scratch.name)
		snprintf(error, sizeof error, "server \"%s\" has no address", scratch.name);
	cfg_error(cfg, "%s", error);
	return -1;
}

static void servers_take(struct gcl_config *config, cfg_t *cfg)
{
	char error[256];

	config->server_count = cfg_size(cfg, "server");
	for (unsigned i = 0; i < config->server_count; i++) {
		cfg_t *section = cfg_getnsec(cfg, "server", i);

		gcl_server_config_init(&config->servers[i], cfg_title(section), error,
				       sizeof error);
		for (size_t j = 0; j < gcl_server_setting_count; j++) {
			const char *value = value_of(section, gcl_server_settings[j].name);

			if (value)
				gcl_server_config_set(&config->servers[i],
						      gcl_server_settings[j].name, value, error,
						      sizeof error);
		}
	}
}

static void vm_take(struct gcl_vm_config *vm, cfg_t *section)
{
	char error[256];

	gcl_vm_config_init(vm, cfg_title(section), error, sizeof error);
	for (size_t i = 0; i < gcl_vm_setting_count; i++) {
		cfg_opt_t *opt = cfg_getopt(section, gcl_vm_settings[i].name);

		if (cfg_opt_size(opt) > 0)
			gcl_vm_config_set(vm, gcl_vm_settings[i].name, cfg_opt_getstr(opt), error,
					  sizeof error);
	}
}

static void vms_take(struct gcl_config *config, cfg_t *cfg)
{
	config->vm_count = cfg_size(cfg, "vm");
	for (unsigned i = 0; i < config->vm_count; i++)
		vm_take(&config->vms[i], cfg_getnsec(cfg, "vm", i));
}

static void values_take(struct gcl_config *config, cfg_t *cfg)
{
	char error[256];

	for (size_t i = 0; i < gcl_setting_count; i++) {
		cfg_opt_t *opt = cfg_getopt(cfg, gcl_settings[i].name);

		if (cfg_opt_size(opt) > 0)
			gcl_config_set(config, gcl_settings[i].name, cfg_opt_getstr(opt), error,
				       sizeof error);
	}
}

/* The whole file, for libconfuse ends the program when it can't read. Return: its size or -errno.
 */
static ssize_t file_read(const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, text + length, size - length)) > 0)
		length += (size_t)n;
	if (n < 0)
		return -errno;
	return length < size ? (ssize_t)length : -EFBIG;
}

static void options_fill(cfg_opt_t *opts, const struct gcl_setting *settings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		opts[i] = (cfg_opt_t)CFG_STR(settings[i].name, NULL, CFGF_NODEFAULT);
	opts[count] = (cfg_opt_t)CFG_END();
}

static void checks_set(cfg_t *cfg)
{
	char path[64];

	cfg_set_error_function(cfg, report);
	for (size_t i = 0; i < gcl_setting_count; i++)
		cfg_set_validate_func(cfg, gcl_settings[i].name, value_check);
	for (size_t i = 0; i < gcl_vm_setting_count; i++) {
		snprintf(path, sizeof path, "vm|%s", gcl_vm_settings[i].name);
		cfg_set_validate_func(cfg, path, vm_value_check);
	}
	cfg_set_validate_func(cfg, "vm", vm_check);
	for (size_t i = 0; i < gcl_server_setting_count; i++) {
		snprintf(path, sizeof path, "server|%s", gcl_server_settings[i].name);
		cfg_set_validate_func(cfg, path, server_value_check);
	}
	cfg_set_validate_func(cfg, "server", server_check);
}

/* Parses @text into @config, which may be half changed when it fails. */
static int text_parse(struct gcl_config *config, const char *path, char *text, size_t size)
{
	_cleanup_free_ cfg_opt_t *opts = calloc(gcl_setting_count + 3, sizeof *opts);
	_cleanup_free_ cfg_opt_t *vm_opts = calloc(gcl_vm_setting_count + 1, sizeof *vm_opts);
	_cleanup_free_ cfg_opt_t *server_opts =
		calloc(gcl_server_setting_count + 1, sizeof *server_opts);
	_cleanup_(cleanup_cfg) cfg_t *cfg = NULL;
	_cleanup_fclose_ FILE *file = fmemopen(text, size, "r");

	if (!opts || !vm_opts || !server_opts || !file)
		return -ENOMEM;
	options_fill(vm_opts, gcl_vm_settings, gcl_vm_setting_count);
	options_fill(server_opts, gcl_server_settings, gcl_server_setting_count);
	options_fill(opts, gcl_settings, gcl_setting_count);
	opts[gcl_setting_count] =
		(cfg_opt_t)CFG_SEC("vm", vm_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	opts[gcl_setting_count + 1] = (cfg_opt_t)CFG_SEC(
		"server", server_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	opts[gcl_setting_count + 2] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(opts, CFGF_NONE);
	if (!cfg)
		return -ENOMEM;
	checks_set(cfg);
	cfg->filename = strdup(path); /* freed with cfg */
	file_now = cfg;
	memset(lines, 0, sizeof lines);
	if (cfg_parse_fp(cfg, file) != CFG_SUCCESS)
		return -EINVAL;
	values_take(config, cfg);
	vms_take(config, cfg);
	servers_take(config, cfg);
	memcpy(config->lines, lines, sizeof config->lines);
	return 0;
}

int gcl_config_read(struct gcl_config *config, const char *path, bool required)
{
	_cleanup_free_ char *text = malloc(FILE_MAX_BYTES);
	_cleanup_free_ struct gcl_config *read = malloc(sizeof *read);
	ssize_t size;
	int err;

	if (!text || !read)
		return -ENOMEM;
	size = file_read(path, text, FILE_MAX_BYTES);
	if (size == -ENOENT && !required)
		return 0;
	if (size < 0) {
		gcl_log_error(config, "can't read %s: %s", path, strerror((int)-size));
		return (int)size;
	}
	*read = *config;
	err = text_parse(read, path, text, (size_t)size);
	if (err == 0)
		*config = *read;
	return err;
}
