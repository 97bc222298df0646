/* SPDX-License-Identifier: MIT */
/*
 * A decision and what it rests on, for people and for programs.
 *
 * @view is the one that it was made for: names and ids are taken from there. Names are shown with
 * what isn't printable ASCII replaced, since servers chose them.
 */
#ifndef GCL_PLACE_EXPLAIN_H
#define GCL_PLACE_EXPLAIN_H

#include "place.h"

/* Every explanation fits, of names up to GCL_EXPLAIN_NAME_MAX; longer ones are cut off. */
#define GCL_EXPLAIN_MAX	     2048
#define GCL_EXPLAIN_NAME_MAX 64

/**
 * gcl_explain_text() - some lines of text, each with its end.
 *
 * Return: characters, as snprintf().
 */
int gcl_explain_text(const struct gcl_place_view *view, const struct gcl_place_decision *decision,
		     char *buffer, size_t size);

/** gcl_explain_json() - the same as one JSON object, without end of line; times in s, sizes in
 * bytes. */
int gcl_explain_json(const struct gcl_place_view *view, const struct gcl_place_decision *decision,
		     char *buffer, size_t size);

#endif
