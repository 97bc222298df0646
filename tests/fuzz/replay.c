/*
 * Runs a fuzz harness over every file of the folders given, without a fuzzer.
 *
 * With "-r SECONDS" it goes on with random changes of those files for that long: no substitute for
 * a fuzzer that sees what is reached, but it runs wherever a compiler does.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

#define FILES_MAX 4096
#define SIZE_MAX_ (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
	uint8_t *data;
	size_t size;
};

static struct file files[FILES_MAX];
static unsigned file_count;

static void file_run(const char *folder, const char *name)
{
	static uint8_t buffer[SIZE_MAX_];
	struct file *file = &files[file_count];
	_cleanup_fclose_ FILE *stream = NULL;
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	stream = fopen(path, "rb");
	if (!stream || file_count == FILES_MAX) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(1);
	}
	file->size = fread(buffer, 1, sizeof buffer, stream);
	/* In memory of exactly its size, so that reads beyond it are seen. */
	file->data = malloc(file->size ? file->size : 1);
	memcpy(file->data, buffer, file->size);
	file_count++;
	LLVMFuzzerTestOneInput(file->data, file->size);
}

static void folder_run(const char *folder)
{
	DIR *stream = opendir(folder);
	struct dirent *entry;

	if (!stream) {
		fprintf(stderr, "cannot read %s\n", folder);
		exit(1);
	}
	while ((entry = readdir(stream))) {
		if (entry->d_name[0] != '.')
			file_run(folder, entry->d_name);
	}
	closedir(stream);
}

static uint64_t random_next(void)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* A file with some bytes changed, and perhaps the end of another behind it. */
static void changed_run(void)
{
	const struct file *one = &files[random_next() % file_count];
	const struct file *two = &files[random_next() % file_count];
	size_t cut = random_next() % (one->size + 1);
	size_t from = random_next() % 2 ? two->size : random_next() % (two->size + 1);
	size_t size = cut + two->size - from;
	uint8_t *data = malloc(size ? size : 1);

	memcpy(data, one->data, cut);
	memcpy(data + cut, two->data + from, two->size - from);
	for (unsigned i = size ? random_next() % 8 : 0; i > 0; i--)
		data[random_next() % size] = (uint8_t)random_next();
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

int main(int argc, char **argv)
{
	double seconds = 0;
	uint64_t runs = 0;
	time_t end;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-r") == 0 && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			folder_run(argv[i]);
	}
	end = time(NULL) + (time_t)seconds;
	while (seconds > 0 && file_count && time(NULL) < end) {
		changed_run();
		runs++;
	}
	printf("%u files, %llu changed ones\n", file_count, (unsigned long long)runs);
	for (unsigned i = 0; i < file_count; i++)
		free(files[i].data);
	return file_count == 0;
}
