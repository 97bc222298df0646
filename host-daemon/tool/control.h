/* SPDX-License-Identifier: MIT */
/*
 * A client of guestcld's control socket (host-daemon/broker/control.h): one line of JSON there, one
 * back.
 */
#ifndef GCL_TOOL_CONTROL_H
#define GCL_TOOL_CONTROL_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define GCL_CONTROL_DEFAULT  "/run/guestcl/control.sock"
#define GCL_CONTROL_VARIABLE "GUESTCL_CONTROL"

struct gcl_control_client {
	int fd;	    /* -1: not connected */
	char *line; /* what has come, with its room; owned */
	size_t used, room;
	char error[512]; /* of the last call that failed: one line, for the user */
};

/** gcl_control_path() - @option, or the variable's value, or the default. */
const char *gcl_control_path(const char *option);

/** gcl_control_init() - not connected; fini closes and frees. */
void gcl_control_init(struct gcl_control_client *client);
void gcl_control_fini(struct gcl_control_client *client);

/** gcl_control_connect() - again, too. Return: 0, or -errno and error. */
int gcl_control_connect(struct gcl_control_client *client, const char *path);

/**
 * gcl_control_ask() - send a request and wait for its answer, ten seconds at most.
 * @request: lent
 * @answer: the caller's; NULL after an error
 *
 * Return: 0; -ECANCELED when guestcld refuses; another -errno when it can't be talked to; error
 * says why.
 */
int gcl_control_ask(struct gcl_control_client *client, struct json_object *request,
		    struct json_object **answer);

/** gcl_control_read() - one more line of the kind. Return: as gcl_control_ask(). */
int gcl_control_read(struct gcl_control_client *client, struct json_object **answer);

/** gcl_control_run() - one request on a connection of its own, for a command: prints what is wrong
 * as "guestcl: ...". @path: --control, or NULL. Return: 0, or an exit status. */
int gcl_control_run(const char *path, struct json_object *request, struct json_object **answer);

/** gcl_control_request() - {"do": name}; the caller's. */
struct json_object *gcl_control_request(const char *name);

/** gcl_json_number() - @object's number @key; 0 if it has none. */
uint64_t gcl_json_number(struct json_object *object, const char *key);

/** gcl_json_print() - @object, for people and programs, on stdout. */
void gcl_json_print(struct json_object *object);

/* ------------------------------------------------------------ command lines */

/* What is alike in all of them. */
struct gcl_command {
	const char *takes; /* what is named, for people; NULL: nothing */
	bool optional;	   /* or nothing is */
	const char *path;  /* --control; NULL: not said */
	const char *whom;  /* that was named, or NULL */
	bool json;	   /* --json, of those that have it */
};

enum { GCL_COMMAND_JSON = 512 };

/** gcl_command_parse() - argp's parser of a command, or what its own leaves to this. state->input
 * is a struct gcl_command, or begins with one; argp has gcl_command_children, for --control. */
error_t gcl_command_parse(int key, char *arg, struct argp_state *state);

extern const struct argp_child gcl_command_children[];

/* The commands: argv[0] is "guestcl NAME". Return: the exit status. */
int gcl_status_run(int argc, char **argv);
int gcl_servers_run(int argc, char **argv);
int gcl_top_run(int argc, char **argv);
int gcl_set_run(int argc, char **argv);
int gcl_pause_run(int argc, char **argv);
int gcl_resume_run(int argc, char **argv);
int gcl_end_run(int argc, char **argv);
int gcl_restart_run(int argc, char **argv);
int gcl_trace_run(int argc, char **argv);
int gcl_move_run(int argc, char **argv);
int gcl_drain_run(int argc, char **argv);
int gcl_why_run(int argc, char **argv);

#endif
