/*
 * The headers that a program's source includes: they are files of the guest's, which the host's
 * compiler doesn't see. What is found in the folders of the -I options, or in the current one, is
 * put in the place of its #include; what isn't is left to the host's compiler.
 *
 * The text is not preprocessed: what stands in a comment is left alone, and what conditions leave
 * out is put in and left out by the compiler. An #include of a macro is left, too.
 *
 * Must not: know of programs or sessions.
 */
#include "include.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Beyond them the source goes as it is. */
#define TEXT_MAX    (16u << 20)
#define DEPTH_MAX   64u
#define FOLDERS_MAX 256u

/* A header that is being put in, and what it was included from. */
struct level {
	const struct level *from;
	const char *path; /* NULL: the source */
	size_t folder;	  /* bytes of the path that are its folder's */
	dev_t device;
	ino_t file;
	unsigned depth;
};

struct expansion {
	const char *const *skipped; /* names that the program has headers of its own for */
	size_t skipped_count;
	char *folders[FOLDERS_MAX + 1];
	size_t folder_count;
	FILE *out;
	size_t written;
	unsigned found;
	bool failed; /* no memory, or too much of it */
};

static void put(struct expansion *to, const char *text, size_t size)
{
	to->written += size;
	if (to->written > TEXT_MAX || fwrite(text, 1, size, to->out) != size)
		to->failed = true;
}

static void put_line(struct expansion *to, unsigned line, const char *path)
{
	char text[PATH_MAX + 32];
	const char *name = strpbrk(path, "\"\\\n") ? "header" : path;
	int size = snprintf(text, sizeof text, "#line %u \"%s\"\n", line, name);

	put(to, text, (size_t)size);
}

/* ------------------------------------------------------------ folders */

static const char *word_end(const char *word, char quote)
{
	while (*word && (quote ? *word != quote : !isspace((unsigned char)*word)))
		word++;
	return word;
}

/* Takes "-I folder" and "-Ifolder" out of the options; a folder may stand in quotes. */
static bool folders_find(struct expansion *to, const char *options)
{
	const char *at = options;

	while (*(at += strspn(at, " \t\n"))) {
		bool wanted = strncmp(at, "-I", 2) == 0;
		const char *end;
		char quote;

		if (wanted)
			at += 2 + strspn(at + 2, " \t\n");
		quote = '\0';
		if (*at == '"' || *at == '\'')
			quote = *at++;
		end = word_end(at, quote);
		if (wanted && end > at && to->folder_count < FOLDERS_MAX) {
			to->folders[to->folder_count] = strndup(at, (size_t)(end - at));
			if (!to->folders[to->folder_count++])
				return false;
		}
		at = end + (quote && *end);
	}
	to->folders[to->folder_count] = strdup(".");
	return to->folders[to->folder_count++];
}

/* ------------------------------------------------------------ files */

/* Return: the text of a regular file, with a NUL behind it, or NULL. */
static char *file_read(const char *path, struct stat *about, size_t *size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	ssize_t got = 1;

	if (fd < 0 || fstat(fd, about) || !S_ISREG(about->st_mode) ||
	    about->st_size > (off_t)TEXT_MAX)
		return NULL;
	text = malloc((size_t)about->st_size + 1);
	for (*size = 0; text && got > 0 && *size < (size_t)about->st_size; *size += (size_t)got)
		got = read(fd, text + *size, (size_t)about->st_size - *size);
	if (!text || got < 0)
		return NULL;
	text[*size] = '\0';
	return steal_pointer(&text);
}

static char *file_in(const char *folder, size_t length, const char *name, char path[PATH_MAX],
		     struct stat *about, size_t *size)
{
	int need = *name == '/' ? snprintf(path, PATH_MAX, "%s", name)
				: snprintf(path, PATH_MAX, "%.*s/%s", (int)length, folder, name);

	return need < PATH_MAX ? file_read(path, about, size) : NULL;
}

/* In quotes it is looked for beside the header that includes it first. */
static char *file_find(const struct expansion *to, const struct level *from, bool quoted,
		       const char *name, char path[PATH_MAX], struct stat *about, size_t *size)
{
	char *text = NULL;

	if (quoted && from->path)
		text = file_in(from->path, from->folder, name, path, about, size);
	for (size_t i = 0; !text && i < to->folder_count; i++)
		text = file_in(to->folders[i], strlen(to->folders[i]), name, path, about, size);
	return text;
}

/* ------------------------------------------------------------ text */

static void text_expand(struct expansion *to, const struct level *level, const char *text);

/* A header that includes itself has seen to it that it comes once. */
static bool under_way(const struct level *level, const struct stat *about)
{
	for (; level; level = level->from)
		if (level->path && level->device == about->st_dev && level->file == about->st_ino)
			return true;
	return false;
}

static bool once(const char *text)
{
	const char *pragma = strstr(text, "#pragma once");

	return pragma && (pragma == text || pragma[-1] == '\n');
}

static void header_put(struct expansion *to, const struct level *from, const char *path,
		       const struct stat *about, const char *text)
{
	const char *slash = strrchr(path, '/');
	const struct level level = {
		.from = from,
		.path = path,
		.folder = slash ? (size_t)(slash - path) : 0,
		.device = about->st_dev,
		.file = about->st_ino,
		.depth = from->depth + 1,
	};
	char guard[128];

	to->found++;
	if (under_way(from, about))
		return;
	if (level.depth > DEPTH_MAX) {
		to->failed = true;
		return;
	}
	if (once(text)) {
		int size = snprintf(guard, sizeof guard,
				    "#ifndef GCL_ONCE_%jx_%jx\n#define GCL_ONCE_%jx_%jx\n",
				    (uintmax_t)about->st_dev, (uintmax_t)about->st_ino,
				    (uintmax_t)about->st_dev, (uintmax_t)about->st_ino);
		put(to, guard, (size_t)size);
	}
	put_line(to, 1, path);
	text_expand(to, &level, text);
	/* The header may end with a backslash. */
	put(to, "\n\n", 2);
	if (once(text))
		put(to, "#endif\n", strlen("#endif\n"));
}

static bool name_skipped(const struct expansion *to, const char *name)
{
	for (size_t i = 0; i < to->skipped_count; i++)
		if (strcmp(to->skipped[i], name) == 0)
			return true;
	return false;
}

/*
 * @at: the beginning of a line. Return: behind the name that it includes, which has been put in, or
 * @at when it is anything else.
 */
static const char *include_put(struct expansion *to, const struct level *level, unsigned line,
			       const char *at)
{
	const char *word = at + strspn(at, " \t");
	_cleanup_free_ char *text = NULL;
	char name[PATH_MAX];
	char path[PATH_MAX];
	struct stat about;
	const char *end;
	size_t size;
	bool quoted;

	if (*word++ != '#')
		return at;
	word += strspn(word, " \t");
	if (strncmp(word, "include", strlen("include")) != 0)
		return at;
	word += strlen("include");
	word += strspn(word, " \t");
	quoted = *word == '"';
	if (!quoted && *word != '<')
		return at;
	word++;
	end = word + strcspn(word, quoted ? "\"\n" : ">\n");
	if (*end == '\n' || !*end || end == word || end - word >= PATH_MAX)
		return at;
	snprintf(name, sizeof name, "%.*s", (int)(end - word), word);
	if (name_skipped(to, name))
		return at;
	text = file_find(to, level, quoted, name, path, &about, &size);
	if (!text)
		return at;
	header_put(to, level, path, &about, text);
	put_line(to, line, level->path ? level->path : "program.cl");
	return end + 1;
}

/* Return: behind a piece of text that no directive begins in: a comment, a string, a character. */
static const char *piece_end(const char *at, unsigned *line)
{
	const char *end = at + 1;

	if (strncmp(at, "/*", 2) == 0) {
		end = strstr(at + 2, "*/");
		end = end ? end + 2 : at + strlen(at);
	} else if (strncmp(at, "//", 2) == 0) {
		while (*end && (*end != '\n' || end[-1] == '\\'))
			end++;
	} else if (*at == '"' || *at == '\'') {
		while (*end && *end != *at && *end != '\n')
			end += *end == '\\' && end[1] ? 2 : 1;
		end += *end == *at;
	} else if (*at == '\\' && at[1]) {
		end++;
	}
	for (const char *c = at; c < end; c++)
		*line += *c == '\n';
	return end;
}

static void text_expand(struct expansion *to, const struct level *level, const char *text)
{
	bool begins = true;
	unsigned line = 1;

	while (*text && !to->failed) {
		const char *end = begins ? include_put(to, level, line, text) : text;

		begins = false;
		if (end == text) {
			begins = *text == '\n';
			end = piece_end(text, &line);
			put(to, text, (size_t)(end - text));
		}
		text = end;
	}
}

char *gcl_include(const char *source, const char *options, size_t count, const char *const *names)
{
	struct expansion to = {.skipped = names, .skipped_count = count};
	char *text = NULL;
	size_t size;

	if (!source || !strstr(source, "include"))
		return NULL;
	to.out = open_memstream(&text, &size);
	if (!to.out)
		return NULL;
	if (folders_find(&to, options))
		text_expand(&to, &(struct level){0}, source);
	else
		to.failed = true;
	for (size_t i = 0; i < to.folder_count; i++)
		free(to.folders[i]);
	if (fclose(to.out) || to.failed || !to.found) {
		free(text);
		return NULL;
	}
	return text;
}
