// SPDX-License-Identifier: MIT
/*
 * guestcld.conf: lines of the form "key = value", read by libconfuse.
 *
 * libconfuse knows every setting as a string; what the string may be is config.c's business, which
 * is asked while the line is being read, so that the error names it.
 */
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

static int value_check(cfg_t *cfg, cfg_opt_t *opt)
{
	struct gcl_config scratch;
	char error[256];

	if (gcl_config_set(&scratch, cfg_opt_name(opt), cfg_opt_getstr(opt), error, sizeof error) <
	    0) {
		cfg_error(cfg, "%s", error);
		return -1;
	}
	return 0;
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

int gcl_config_read(struct gcl_config *config, const char *path, bool required)
{
	_cleanup_free_ char *text = malloc(FILE_MAX_BYTES);
	_cleanup_(cleanup_cfg) cfg_t *cfg = NULL;
	_cleanup_free_ cfg_opt_t *opts = calloc(gcl_setting_count + 1, sizeof *opts);
	_cleanup_fclose_ FILE *file = NULL;

	ssize_t size;

	if (!opts || !text)
		return -ENOMEM;
	for (size_t i = 0; i < gcl_setting_count; i++)
		opts[i] = (cfg_opt_t)CFG_STR(gcl_settings[i].name, NULL, CFGF_NODEFAULT);
	opts[gcl_setting_count] = (cfg_opt_t)CFG_END();
	size = file_read(path, text, FILE_MAX_BYTES);
	if (size == -ENOENT && !required)
		return 0;
	if (size < 0) {
		gcl_log_error(config, "can't read %s: %s", path, strerror((int)-size));
		return (int)size;
	}
	file = fmemopen(text, (size_t)size, "r");
	cfg = cfg_init(opts, CFGF_NONE);
	if (!cfg || !file)
		return -ENOMEM;
	cfg_set_error_function(cfg, report);
	for (size_t i = 0; i < gcl_setting_count; i++)
		cfg_set_validate_func(cfg, gcl_settings[i].name, value_check);
	cfg->filename = strdup(path); /* freed with cfg */
	if (cfg_parse_fp(cfg, file) != CFG_SUCCESS)
		return -EINVAL;
	values_take(config, cfg);
	return 0;
}
