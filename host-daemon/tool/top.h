/* SPDX-License-Identifier: MIT */
/*
 * guestcl top: the tables (top-table.c), and the screen they are on (top-screen.c).
 */
#ifndef GCL_TOOL_TOP_H
#define GCL_TOOL_TOP_H

#include "control.h"
#include "view.h"

enum gcl_top_style {
	GCL_TOP_PLAIN,
	GCL_TOP_HEAD,	  /* of a table */
	GCL_TOP_SELECTED, /* the VM that keys mean */
	GCL_TOP_TROUBLE,  /* errors, a VM that is paused */
};

/* What the user has chosen. */
struct gcl_top_choice {
	char sort;			  /* 'm', 't', 'b' or 'n' */
	char selected[GCL_VIEW_NAME_MAX]; /* a VM's id, or empty */
};

/* A line of at most the width asked for. */
typedef void gcl_top_put(void *data, enum gcl_top_style style, const char *line);

/** gcl_top_sort() - VMs and sessions in the order of @sort. */
void gcl_top_sort(struct gcl_view *view, char sort);

/** gcl_top_table() - all lines, by @put, each cut off at @width columns. Return: how many lines are
 * before the VMs. */
size_t gcl_top_table(const struct gcl_view *view, const struct gcl_top_choice *choice,
		     unsigned width, gcl_top_put *put, void *data);

/* Where the numbers come from. */
struct gcl_top_source {
	struct gcl_control_client client;
	const char *path;
	struct json_object *status; /* the last answer; NULL: none, and client.error says why */
	struct gcl_view view;
	bool known; /* view is of an answer, perhaps not the last one */
};

/** gcl_top_source_init() - finish with fini. */
void gcl_top_source_init(struct gcl_top_source *source, const char *path);
void gcl_top_source_fini(struct gcl_top_source *source);

/** gcl_top_ask() - the status now, connecting again if need be. Return: 0 or -errno. */
int gcl_top_ask(struct gcl_top_source *source);

/** gcl_top_pause() - pause or resume the VM @id. Return: 0, or -errno and client.error. */
int gcl_top_pause(struct gcl_top_source *source, const char *id);

/** gcl_top_screen() - until the user ends it, or @count refreshes (0: any number). Return: the exit
 * status; -1: this is no terminal for that. */
int gcl_top_screen(struct gcl_top_source *source, struct gcl_top_choice *choice, double interval,
		   unsigned count);

#endif
