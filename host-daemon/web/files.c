// SPDX-License-Identifier: MIT
/*
 * The page's files, which are held in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "web.h"

#define FILE_MAX_SIZE (4u << 20)

static const struct {
	const char *url, *type, *name; /* name: in the page's folder */
} known[GCL_WEB_FILES] = {
	[GCL_WEB_INDEX] = {"/", "text/html; charset=utf-8", "index.html"},
	[GCL_WEB_SCRIPT] = {"/view.js", "text/javascript; charset=utf-8", "view.js"},
	[GCL_WEB_STYLE] = {"/view.css", "text/css; charset=utf-8", "view.css"},
	[GCL_WEB_CHART] = {"/chart.js", "text/javascript; charset=utf-8", NULL},
};

static int file_read(struct gcl_web_file *file, const char *path)
{
	_cleanup_fclose_ FILE *stream = fopen(path, "re");
	_cleanup_free_ char *data = malloc(FILE_MAX_SIZE);

	if (!stream || !data)
		return stream ? -ENOMEM : -errno;
	file->size = fread(data, 1, FILE_MAX_SIZE, stream);
	if (ferror(stream) || file->size == 0 || file->size == FILE_MAX_SIZE)
		return -EIO;
	file->data = realloc(data, file->size);
	if (file->data)
		data = NULL;
	return file->data ? 0 : -ENOMEM;
}

int gcl_web_files_read(struct gcl_web *web, const char *page, const char *chart)
{
	for (size_t i = 0; i < GCL_WEB_FILES; i++) {
		struct gcl_web_file *file = &web->files[i];
		char path[4096];
		int err;

		file->url = known[i].url;
		file->type = known[i].type;
		snprintf(path, sizeof path, "%s%s%s", known[i].name ? page : chart,
			 known[i].name ? "/" : "", known[i].name ? known[i].name : "");
		err = file_read(file, path);
		if (err < 0 && known[i].name) {
			gcl_log_error(broker, "can't read %s: %s", path, strerror(-err));
			return err;
		}
		if (err < 0)
			gcl_log_warn(broker,
				     "no charts, only tables: %s: %s; install libjs-chart.js", path,
				     strerror(-err));
	}
	return 0;
}

void gcl_web_files_free(struct gcl_web *web)
{
	for (size_t i = 0; i < GCL_WEB_FILES; i++)
		free(web->files[i].data);
	memset(web->files, 0, sizeof web->files);
}
