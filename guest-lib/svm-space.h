/* SPDX-License-Identifier: MIT */
/*
 * Where shared virtual memory is in this process: zeroed private pages, which the program sees.
 */
#ifndef GCL_SVM_SPACE_H
#define GCL_SVM_SPACE_H

#include <stdbool.h>
#include <stddef.h>

/** gcl_svm_space_find() - pages for @size bytes, where other processes are likely to have room too.
 * Return: their address, or NULL. */
void *gcl_svm_space_find(size_t size);

/** gcl_svm_space_take() - the same at an address that was given. Pages at its ends may be others'
 * that were got here. Return: false: something else is there. */
bool gcl_svm_space_take(void *address, size_t size);

/** gcl_svm_space_free() - give back what was found or taken. */
void gcl_svm_space_free(void *address);

#endif
