/*
 * The headers that a program's source includes.
 */
#ifndef GCL_INCLUDE_H
#define GCL_INCLUDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * gcl_include() - @source with the guest's files in the place of what it includes.
 * @options: of the build, which may name folders
 * @names: @count names that are not looked for, as the program has headers of these
 *
 * Return: by malloc; NULL when no file was found, when they are too large, or without memory.
 */
char *gcl_include(const char *source, const char *options, size_t count, const char *const *names);

#endif
