/* SPDX-License-Identifier: MIT */
/*
 * What an operator can set: one table, from which the configuration file's parser, --set, --help,
 * and the checks of the man page and of the installed guestcld.conf derive.
 *
 * Precedence, lowest first: built-in, configuration file, environment, command line.
 */
#ifndef GCL_BROKER_CONFIG_H
#define GCL_BROKER_CONFIG_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "owner.h"

#define GCL_CONFIG_PATH GUESTCL_SYSCONFDIR "/guestcl/guestcld.conf"

/* VMs that the configuration file may name. */
#define GCL_CONFIG_VMS_MAX 256u

/* The setting vsock. */
enum { GCL_VSOCK_AUTO, GCL_VSOCK_ALWAYS, GCL_VSOCK_NEVER };

/* A section vm "NAME" { ... }, or a VM that came at run time. */
struct gcl_vm_config {
	char id[GCL_VM_ID_MAX + 1]; /* its sockets' name in vm-dir, and that of its kernel cache */
	char name[GCL_VM_ID_MAX + 1];				/* for people */
	char socket[sizeof((struct sockaddr_un *)0)->sun_path]; /* empty: ID.sock in vm-dir */
	unsigned max_sessions;
	unsigned cid;	 /* of its vsock; 0: none */
	unsigned weight; /* share of a device's time, against other VMs' */
	uint64_t memory; /* device memory in bytes; 0: no limit */
};

/* The values in force; plain data, so that it is copied by assignment. Durations are in ms. */
struct gcl_config {
	char socket[sizeof((struct sockaddr_un *)0)->sun_path];
	unsigned socket_mode;
	char socket_group[64]; /* empty: the daemon's own */
	char worker[PATH_MAX];
	char icd_vendors[PATH_MAX]; /* empty: OCL_ICD_VENDORS as the daemon has it */
	char cache_dir[PATH_MAX];
	unsigned resident_buffers; /* index into the setting's choices */
	unsigned spare_workers;
	unsigned start_timeout;
	unsigned greeting_timeout;
	unsigned max_sessions;
	unsigned max_sessions_per_user;
	unsigned max_greetings;
	unsigned worker_open_files;
	unsigned log_level; /* enum gcl_log_level */
	char vm_dir[sizeof((struct sockaddr_un *)0)->sun_path - GCL_VM_ID_MAX - 16];
	unsigned vsock; /* GCL_VSOCK_AUTO..., the setting's choices */
	unsigned vsock_port;
	unsigned vm_socket_mode;
	char vm_socket_group[64];
	char libvirt[256];		/* connection whose domains are followed; empty: none */
	char libvirt_program[PATH_MAX]; /* that follows them */
	struct gcl_vm_config vms[GCL_CONFIG_VMS_MAX];
	size_t vm_count;
};

enum gcl_setting_kind {
	GCL_SETTING_TEXT, /* char[]; min: 1 if it may not be empty, max: its size */
	GCL_SETTING_COUNT,
	GCL_SETTING_DURATION,
	GCL_SETTING_MODE,
	GCL_SETTING_CHOICE,
	GCL_SETTING_SIZE, /* uint64_t */
};

struct gcl_setting {
	const char *name;
	enum gcl_setting_kind kind;
	size_t offset; /* in struct gcl_config or struct gcl_vm_config */
	unsigned min, max;
	const char *const *choices; /* GCL_SETTING_CHOICE: NULL-terminated */
	const char *initial;
	const char *initial_user; /* when the daemon doesn't run as root; NULL: the same */
	const char *help;
};

extern const struct gcl_setting gcl_settings[];
extern const size_t gcl_setting_count;

/* Of a section vm "NAME" { ... }. */
extern const struct gcl_setting gcl_vm_settings[];
extern const size_t gcl_vm_setting_count;

/** gcl_config_init() - the built-in values, for root or for another user. */
void gcl_config_init(struct gcl_config *config, bool root);

/**
 * gcl_config_set() - give one setting a value from text.
 * @error: one line, without a file's name, when it is refused
 *
 * Return: 0, -ENOENT for an unknown key, -EINVAL.
 */
int gcl_config_set(struct gcl_config *config, const char *key, const char *value, char *error,
		   size_t error_size);

/** gcl_vm_config_init() - the built-in values. Return: 0, or -EINVAL and @error for a name that no
 * VM may have. */
int gcl_vm_config_init(struct gcl_vm_config *vm, const char *id, char *error, size_t error_size);

/** gcl_vm_config_set() - gcl_config_set() for one VM. */
int gcl_vm_config_set(struct gcl_vm_config *vm, const char *key, const char *value, char *error,
		      size_t error_size);

/** gcl_config_set_pair() - the same for text of the form KEY=VALUE. */
int gcl_config_set_pair(struct gcl_config *config, const char *pair, char *error,
			size_t error_size);

/** gcl_setting_describe() - the values a setting takes, in words ("1 to 64", "auto or never"). */
void gcl_setting_describe(const struct gcl_setting *setting, char *text, size_t size);

/** gcl_setting_initial() - the built-in value of a setting, for the user that we run as. */
const char *gcl_setting_initial(const char *name);

/** gcl_resident_name() - the chosen value of resident-buffers, as a worker takes it. */
const char *gcl_resident_name(const struct gcl_config *config);

/**
 * gcl_config_read() - take the settings of a file over into @config.
 * @required: false lets the file be missing
 *
 * Each error is logged as "file:line: what". Return: 0 or -errno, with @config as it was.
 */
int gcl_config_read(struct gcl_config *config, const char *path, bool required);

#endif
