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

#include "etcd-link.h"
#include "owner.h"
#include "server-info.h"

#define GCL_CONFIG_PATH GUESTCL_SYSCONFDIR "/guestcl/guestcld.conf"

/* VMs that the configuration file may name. */
#define GCL_CONFIG_VMS_MAX 256u

/* GPU servers that it may name. */
#define GCL_CONFIG_SERVERS_MAX 64u

/* Room for an address and a port. */
#define GCL_ENDPOINT_MAX 64u

/* The setting vsock. */
enum { GCL_VSOCK_AUTO, GCL_VSOCK_ALWAYS, GCL_VSOCK_NEVER };

/* A section vm "NAME" { ... }, or a VM that came at run time. */
struct gcl_vm_config {
	char id[GCL_VM_ID_MAX + 1]; /* its sockets' name in vm-dir, and that of its kernel cache */
	char name[GCL_VM_ID_MAX + 1];				/* for people */
	char socket[sizeof((struct sockaddr_un *)0)->sun_path]; /* empty: ID.sock in vm-dir */
	/* Processes that connect to it are this VM; empty: there is none. */
	char local_socket[sizeof((struct sockaddr_un *)0)->sun_path];
	char local_socket_group[64]; /* empty: vm_socket_group */
	unsigned max_sessions;
	unsigned cid;	      /* of its vsock; 0: none */
	unsigned weight;      /* share of a device's time, against other VMs' */
	unsigned priority;    /* enum gcl_share_priority */
	unsigned ceiling;     /* percent of a device's time; 0: none */
	uint64_t memory;      /* device memory in bytes; 0: no limit */
	uint64_t heap_memory; /* bytes of host memory for the heaps of its sessions; 0: no limit */
	unsigned kernel_time; /* ms that one kernel may run; 0: no limit */
	uint64_t host_memory; /* bytes that all its workers may take; 0: no limit */
	unsigned host_processes; /* of all its workers, with threads; 0: no limit */
	unsigned session_rate;	 /* sessions that may begin in a minute; 0: no limit */
};

/* A section server "NAME" { ... }. */
struct gcl_server_config {
	char name[GCL_SERVER_NAME_MAX + 1];
	char address[GCL_SERVER_ADDRESS_MAX];
	uint64_t memory; /* bytes there that are this host's to use, if it isn't announced */
};

/* Settings that are wrong together are told of by the line of one of them. */
enum gcl_config_line { GCL_LINE_LISTEN_TLS, GCL_LINE_ETCD, GCL_LINE_ANNOUNCE, GCL_LINES };

/* What decides which sessions move to servers by themselves: place.h has what these mean. Ratios
 * are in percent, durations in ms. */
struct gcl_placement_config {
	unsigned policy; /* index into the setting's choices, which are policies' names */
	unsigned at_once, stay, span, moves, busy, faster, margin, back, reserve, horizon, stale;
	uint64_t uplink; /* bytes/s */
};

/* The values in force; plain data, so that it is copied by assignment. Durations are in ms. */
struct gcl_config {
	char socket[sizeof((struct sockaddr_un *)0)->sun_path];
	unsigned socket_mode;
	char socket_group[64]; /* empty: the daemon's own */
	char control_socket[sizeof((struct sockaddr_un *)0)->sun_path]; /* empty: beside socket */
	unsigned control_socket_mode;
	char control_socket_group[64];
	char worker[PATH_MAX];
	char client_library[PATH_MAX]; /* that workers move by; empty: none */
	uint64_t replay_memory;	       /* bytes; 0: nothing is done again */
	unsigned replay_time;	       /* ms */
	char icd_vendors[PATH_MAX];    /* empty: OCL_ICD_VENDORS as the daemon has it */
	char cache_dir[PATH_MAX];
	uint64_t cache_limit;	   /* bytes for one owner; 0: no limit */
	unsigned resident_buffers; /* index into the setting's choices */
	unsigned program_sizes;	   /* the same */
	unsigned spare_workers;
	unsigned start_timeout;
	unsigned greeting_timeout;
	unsigned max_sessions;
	unsigned max_sessions_per_user;
	unsigned max_greetings;
	unsigned scheduler;	   /* whether accounts take turns on a device */
	unsigned concurrent_turns; /* accounts that may use a device at one time */
	uint64_t user_memory;	   /* of each device, for one user; 0: no limit */
	uint64_t user_heap_memory;
	unsigned user_kernel_time, user_session_rate; /* as a VM's */
	/* Of all sessions; 0: no limit. */
	unsigned worker_timeout, guest_timeout, build_time;
	uint64_t build_memory;
	unsigned worker_open_files;
	unsigned jail;		  /* enum gcl_jail_mode */
	unsigned seccomp;	  /* enum gcl_jail_calls */
	char jail_read[PATH_MAX]; /* more folders for workers to read, separated by ':' */
	char cgroup[PATH_MAX];	  /* "auto", "off", or a folder */
	uint64_t user_host_memory;
	unsigned user_host_processes;
	char worker_user[64];	   /* that workers run as; empty: as the daemon */
	unsigned worker_processes; /* with threads */
	uint64_t worker_memory;	   /* bytes of a worker's own; 0: no limit */
	uint64_t worker_file_size; /* bytes; 0: no limit */
	unsigned log_level;	   /* enum gcl_log_level */
	char vm_dir[sizeof((struct sockaddr_un *)0)->sun_path - GCL_VM_ID_MAX - 16];
	unsigned vsock; /* GCL_VSOCK_AUTO..., the setting's choices */
	unsigned vsock_port;
	unsigned vm_socket_mode;
	char vm_socket_group[64];
	char libvirt[256];		/* connection whose domains are followed; empty: none */
	char libvirt_program[PATH_MAX]; /* that follows them */
	char web_listen[64];		/* "127.0.0.1:9490"; empty: none */
	char web_token_file[PATH_MAX];
	char web_program[PATH_MAX];	   /* that serves numbers by HTTP */
	char listen_tls[GCL_ENDPOINT_MAX]; /* "[::1]:17228", ":17228"; empty: nowhere */
	char tls_certificate[PATH_MAX];
	char tls_key[PATH_MAX];
	char tls_ca[PATH_MAX];
	char tls_crl[PATH_MAX];
	char tls_psk_file[PATH_MAX];
	unsigned tls_handshake_timeout, tls_resume_time;
	unsigned tls_compression;     /* whether it is */
	char tls_program[PATH_MAX];   /* that ends TLS */
	char etcd[GCL_ETCD_URLS_MAX]; /* URLs, separated by ','; empty: none */
	char etcd_prefix[GCL_ETCD_PREFIX_MAX];
	char etcd_ca[PATH_MAX];
	char etcd_certificate[PATH_MAX];
	char etcd_key[PATH_MAX];
	char etcd_user[sizeof((struct gcl_etcd_setup *)0)->user];
	char etcd_password_file[PATH_MAX];
	unsigned etcd_lease;
	char etcd_program[PATH_MAX];	       /* that talks to it */
	char announce[GCL_SERVER_ADDRESS_MAX]; /* where this host is reached; empty: it isn't */
	char announce_name[GCL_SERVER_NAME_MAX + 1]; /* empty: as the host is called */
	char servers_tls[PATH_MAX];		     /* folder of what this host shows to servers */
	char link_program[PATH_MAX];		     /* that connects to them */
	unsigned move_patience;
	struct gcl_placement_config placement;
	int lines[GCL_LINES]; /* of the file, by enum gcl_config_line; 0: it is not from there */
	struct gcl_vm_config vms[GCL_CONFIG_VMS_MAX];
	size_t vm_count;
	struct gcl_server_config servers[GCL_CONFIG_SERVERS_MAX];
	size_t server_count;
};

enum gcl_setting_kind {
	GCL_SETTING_TEXT, /* char[]; min: 1 if it may not be empty, max: its size */
	GCL_SETTING_COUNT,
	GCL_SETTING_DURATION,
	GCL_SETTING_MODE,
	GCL_SETTING_CHOICE,
	GCL_SETTING_SIZE,     /* uint64_t */
	GCL_SETTING_ENDPOINT, /* as GCL_SETTING_TEXT, for gcl_endpoint_parse() if it isn't empty */
};

struct gcl_setting {
	const char *name;
	enum gcl_setting_kind kind;
	size_t offset; /* in struct gcl_config, struct gcl_vm_config or struct gcl_server_config */
	unsigned min, max;
	const char *const *choices; /* GCL_SETTING_CHOICE: NULL-terminated */
	const char *initial;
	const char *initial_user; /* when the daemon doesn't run as root; NULL: the same */
	const char *help;
	bool live; /* of a VM: can be set while guestcld runs (guestcl set) */
	/* GCL_SETTING_TEXT: whether it can be that, if it isn't empty, and what it can be, in
	 * words; or NULL. */
	bool (*valid)(const char *text);
	const char *form;
};

extern const struct gcl_setting gcl_settings[];
extern const size_t gcl_setting_count;

/* Of a section vm "NAME" { ... }. */
extern const struct gcl_setting gcl_vm_settings[];
extern const size_t gcl_vm_setting_count;

/* Of a section server "NAME" { ... }. */
extern const struct gcl_setting gcl_server_settings[];
extern const size_t gcl_server_setting_count;

/** gcl_vm_setting_find() - the VM's setting of that name, or NULL. */
const struct gcl_setting *gcl_vm_setting_find(const char *key);

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

/** gcl_server_config_init() - as gcl_vm_config_init(), for a server. */
int gcl_server_config_init(struct gcl_server_config *server, const char *name, char *error,
			   size_t error_size);

/** gcl_server_config_set() - gcl_config_set() for one server. */
int gcl_server_config_set(struct gcl_server_config *server, const char *key, const char *value,
			  char *error, size_t error_size);

/** gcl_config_set_pair() - the same for text of the form KEY=VALUE. */
int gcl_config_set_pair(struct gcl_config *config, const char *pair, char *error,
			size_t error_size);

/**
 * gcl_endpoint_parse() - "ADDRESS:PORT", "[ADDRESS]:PORT" or ":PORT", which is every address.
 * @host: empty: every
 */
bool gcl_endpoint_parse(const char *text, char host[GCL_ENDPOINT_MAX], char port[GCL_ENDPOINT_MAX]);

/** gcl_config_check() - whether settings go together. Return: 0, or -EINVAL, @error, and in @line
 * the file's line, or 0. */
int gcl_config_check(const struct gcl_config *config, int *line, char *error, size_t error_size);

/** gcl_setting_describe() - the values a setting takes, in words ("1 to 64", "auto or never"). */
void gcl_setting_describe(const struct gcl_setting *setting, char *text, size_t size);

/** gcl_setting_initial() - the built-in value of a setting, for the user that we run as. */
const char *gcl_setting_initial(const char *name);

/** gcl_config_moves() - whether there can be servers that sessions move to. */
bool gcl_config_moves(const struct gcl_config *config);

/** gcl_placement_name() - the policy's name. */
const char *gcl_placement_name(const struct gcl_config *config);

/** gcl_resident_name() - what resident-buffers comes to, as a worker takes it. */
const char *gcl_resident_name(const struct gcl_config *config);

/** gcl_program_sizes_name() - the same of program-sizes. */
const char *gcl_program_sizes_name(const struct gcl_config *config);

/**
 * gcl_config_read() - take the settings of a file over into @config.
 * @required: false lets the file be missing
 *
 * Each error is logged as "file:line: what". Return: 0 or -errno, with @config as it was.
 */
int gcl_config_read(struct gcl_config *config, const char *path, bool required);

#endif
