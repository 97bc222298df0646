// SPDX-License-Identifier: MIT
/*
 * The tables of settings: their names, where their values are kept, and what these may be.
 *
 * guestcld.conf(5) describes each key; tests/config_test.c holds page, file and tables together.
 */
#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "jail/jail.h"
#include "local.h"
#include "share.h"

enum { RESIDENT_AUTO, RESIDENT_NEVER };
static const char *const resident_choices[] = {
	[RESIDENT_AUTO] = "auto", [RESIDENT_NEVER] = "never", [RESIDENT_NEVER + 1] = NULL};
static const char *const program_sizes_choices[] = {"auto", "always", "never", NULL};
static const char *const switch_choices[] = {"off", "on", NULL};
static const char *const compression_choices[] = {"off", "zstd", NULL};
static const char *const priority_choices[] = {
	[GCL_SHARE_HIGH] = "high",
	[GCL_SHARE_NORMAL] = "normal",
	[GCL_SHARE_LOW] = "low",
	[GCL_SHARE_LOW + 1] = NULL,
};
/* Of gcl_place_policies(): a test compares. */
static const char *const placement_choices[] = {"two", "balance", "memory", "greedy", "stay", NULL};
static const char *const vsock_choices[] = {"auto", "always", "never", NULL};
static const char *const level_choices[] = {
	[GCL_LOG_ERROR] = "error", [GCL_LOG_WARN] = "warning", [GCL_LOG_INFO] = "info",
	[GCL_LOG_DEBUG] = "debug", [GCL_LOG_DEBUG + 1] = NULL,
};

/* A guest that waits for a worker must hear from us before it gives up by itself. */
#define START_TIMEOUT_MAX (GCL_HELLO_TIMEOUT_MS - 500)

/* The longest duration that a limit may be. */
#define DAY_MS (24u * 60u * 60u * 1000u)

/* Of a session's moves so many are known (GCL_PLACE_HISTORY). */
#define GCL_PLACEMENT_MOVES_MAX 8

#define TEXT(key, field, least, value, user, words)                                                \
	{                                                                                          \
		.name = (key), .kind = GCL_SETTING_TEXT,                                           \
		.offset = offsetof(struct gcl_config, field), .min = (least),                      \
		.max = sizeof(((struct gcl_config *)0)->field), .initial = (value),                \
		.initial_user = (user), .help = (words)                                            \
	}
#define NUMBER(key, type, field, least, most, value, words)                                        \
	{                                                                                          \
		.name = (key), .kind = GCL_SETTING_##type,                                         \
		.offset = offsetof(struct gcl_config, field), .min = (least), .max = (most),       \
		.initial = (value), .help = (words)                                                \
	}
#define CHOICE(key, field, list, value, words)                                                     \
	{                                                                                          \
		.name = (key), .kind = GCL_SETTING_CHOICE,                                         \
		.offset = offsetof(struct gcl_config, field), .choices = (list),                   \
		.initial = (value), .help = (words)                                                \
	}

#define FORMED(key, field, value, check, words_of_form, words)                                     \
	{                                                                                          \
		.name = (key), .kind = GCL_SETTING_TEXT,                                           \
		.offset = offsetof(struct gcl_config, field), .initial = (value),                  \
		.max = sizeof(((struct gcl_config *)0)->field), .valid = (check),                  \
		.form = (words_of_form), .help = (words)                                           \
	}

/* Keys are its text with a name behind it. */
static bool prefix_valid(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (!isgraph((unsigned char)*c))
			return false;
	}
	return text[0] == '/' && text[1] && text[strlen(text) - 1] == '/';
}

const struct gcl_setting gcl_settings[] = {
	TEXT("socket", socket, 1, GCL_DEFAULT_SOCKET, NULL, "Unix socket that guests connect to"),
	{.name = "socket-mode",
	 .kind = GCL_SETTING_MODE,
	 .offset = offsetof(struct gcl_config, socket_mode),
	 .max = 0777,
	 .initial = "0660",
	 .initial_user = "0600",
	 .help = "permissions of the socket: who may use the devices"},
	TEXT("socket-group", socket_group, 0, "render", "",
	     "group of the socket; empty: the daemon's own"),
	TEXT("control-socket", control_socket, 0, "", NULL,
	     "Unix socket that operators' tools connect to; empty: control.sock beside \"socket\""),
	{.name = "control-socket-mode",
	 .kind = GCL_SETTING_MODE,
	 .offset = offsetof(struct gcl_config, control_socket_mode),
	 .max = 0777,
	 .initial = "0600",
	 .help = "permissions of the control socket: who may change limits and end sessions"},
	TEXT("control-socket-group", control_socket_group, 0, "", NULL,
	     "group of the control socket; empty: the daemon's own"),
	TEXT("worker", worker, 1, GUESTCL_LIBEXECDIR "/guestcl-worker", NULL,
	     "program that serves one guest; GUESTCL_WORKER in the environment is stronger"),
	TEXT("client-library", client_library, 0, GUESTCL_LIBDIR "/libguestcl.so", NULL,
	     "guestcl's own library, by which workers use GPU servers; empty: sessions stay here"),
	NUMBER("replay-memory", SIZE, replay_memory, 0, 0, "64MiB",
	       "how much of what a session does at a GPU server is kept here, to be done again "
	       "should the server be lost; 0: nothing is done again"),
	NUMBER("replay-time", DURATION, replay_time, 0, DAY_MS, "10s",
	       "how long a session may have been at work there for it to be done again"),
	TEXT("icd-vendors", icd_vendors, 0, "", NULL,
	     "OCL_ICD_VENDORS for workers: which OpenCL runtimes they load; empty: as the daemon "
	     "was given it"),
	TEXT("cache-dir", cache_dir, 1, "/var/cache/guestcl", "$XDG_CACHE_HOME/guestcl",
	     "where compiled kernels are kept, in one folder for each user"),
	NUMBER("cache-limit", SIZE, cache_limit, 0, 0, "1GiB",
	       "compiled kernels of one user or VM; beyond it its sessions end and its cache is "
	       "removed; 0: no limit"),
	CHOICE("resident-buffers", resident_buffers, resident_choices, "auto",
	       "whether buffers and images may live in memory that guest and worker share, where "
	       "the "
	       "device uses the host's memory; auto: if there can be no server to move to"),
	CHOICE("program-sizes", program_sizes, program_sizes_choices, "auto",
	       "whether the runtime is asked after each build how much memory the program takes, "
	       "for "
	       "the memory limits; auto: where none of its devices is a CPU, whose runtimes may "
	       "take "
	       "long for it"),
	NUMBER("spare-workers", COUNT, spare_workers, 0, 64, "1",
	       "workers kept prepared, so that a guest need not wait for one"),
	NUMBER("start-timeout", DURATION, start_timeout, 100, START_TIMEOUT_MAX, "8s",
	       "how long a guest waits for a worker before it is refused"),
	NUMBER("greeting-timeout", DURATION, greeting_timeout, 100, 60000, "2s",
	       "how long a connection may take to say who it is"),
	NUMBER("max-sessions", COUNT, max_sessions, 1, 65536, "256", "sessions at one time"),
	NUMBER("max-sessions-per-user", COUNT, max_sessions_per_user, 1, 65536, "64",
	       "sessions of one user at one time"),
	NUMBER("user-memory", SIZE, user_memory, 0, 0, "0",
	       "memory of each device for one user; 0: as much as there is"),
	NUMBER("user-heap-memory", SIZE, user_heap_memory, 0, 0, "0",
	       "host memory for the heaps of one user's sessions; 0: no limit"),
	NUMBER("user-kernel-time", DURATION, user_kernel_time, 0, DAY_MS, "0s",
	       "how long one kernel of a user may run; 0s: no limit"),
	NUMBER("user-session-rate", COUNT, user_session_rate, 0, 65536, "600",
	       "sessions of one user that may begin in a minute; 0: no limit"),
	NUMBER("worker-timeout", DURATION, worker_timeout, 0, DAY_MS, "2min",
	       "how long a worker may be at one call; 0s: no limit"),
	NUMBER("guest-timeout", DURATION, guest_timeout, 0, DAY_MS, "5min",
	       "how long a guest may not read what waits for it; 0s: no limit"),
	NUMBER("build-time", DURATION, build_time, 0, DAY_MS, "10min",
	       "how long one build may take; 0s: no limit"),
	NUMBER("build-memory", SIZE, build_memory, 0, 0, "4GiB",
	       "memory that the builds of a session may take at one time; 0: no limit"),
	CHOICE("scheduler", scheduler, switch_choices, "on",
	       "whether VMs and users take turns on a device, by their weights"),
	NUMBER("concurrent-turns", COUNT, concurrent_turns, 1, 64, "4",
	       "VMs and users whose turn on a device it is at one time, as far as their weights "
	       "let "
	       "them"),
	NUMBER("max-greetings", COUNT, max_greetings, 2, 4096, "64",
	       "connections at one time that have not said who they are; half of them for one "
	       "user"),
	NUMBER("worker-open-files", COUNT, worker_open_files, 64, 1048576, "4096",
	       "files that a worker may have open"),
	CHOICE("jail", jail, gcl_jail_modes, "auto",
	       "what to do without a stage of the workers' jail: log it (auto), serve nobody "
	       "(strict); or no jail"),
	CHOICE("seccomp", seccomp, gcl_jail_call_lists, "runtime",
	       "system calls of workers: those of a runtime on the CPU, of a device's driver, any"),
	TEXT("jail-read", jail_read, 0, "", NULL,
	     "folders that workers may read beside the system's, separated by ':'"),
	TEXT("cgroup", cgroup, 1, "auto", NULL,
	     "control group whose parts limit each user and VM: the daemon's own if it is "
	     "delegated (auto), that folder, or off"),
	NUMBER("user-host-memory", SIZE, user_host_memory, 0, 0, "0",
	       "the host's memory for all workers of one user; 0: no limit"),
	NUMBER("user-host-processes", COUNT, user_host_processes, 0, 4194304, "0",
	       "processes and threads of all workers of one user; 0: no limit"),
	TEXT("worker-user", worker_user, 0, "guestcl", "",
	     "user that workers run as, in a jail, when the daemon is root; empty: as it does"),
	NUMBER("worker-processes", COUNT, worker_processes, 16, 65536, "1024",
	       "processes and threads of a worker"),
	NUMBER("worker-memory", SIZE, worker_memory, 0, 0, "0",
	       "memory that a worker may take, beside what it shares; 0: as much as there is"),
	NUMBER("worker-file-size", SIZE, worker_file_size, 0, 0, "1GiB",
	       "the largest file that a worker may write; 0: any"),
	CHOICE("log-level", log_level, level_choices, "info", "least urgent lines that are logged"),
	TEXT("vm-dir", vm_dir, 1, "/run/guestcl/vm", NULL, "folder of the sockets of VMs"),
	{.name = "vm-socket-mode",
	 .kind = GCL_SETTING_MODE,
	 .offset = offsetof(struct gcl_config, vm_socket_mode),
	 .max = 0777,
	 .initial = "0660",
	 .initial_user = "0600",
	 .help = "permissions of the sockets of VMs: which VMMs may connect"},
	CHOICE("vsock", vsock, vsock_choices, "auto",
	       "whether guests may come by vsock through the host's kernel; auto: where it has "
	       "vhost-vsock"),
	NUMBER("vsock-port", COUNT, vsock_port, 1, UINT32_MAX - 1, "17228",
	       "port of vsock that they come to"),
	TEXT("vm-socket-group", vm_socket_group, 0, "kvm", "",
	     "group of the sockets of VMs; empty: the daemon's own"),
	TEXT("libvirt", libvirt, 0, "", NULL,
	     "libvirt's connection, such as qemu:///system, whose domains become VMs when they are "
	     "attached (guestcl attach); empty: none"),
	TEXT("libvirt-program", libvirt_program, 1, GUESTCL_LIBEXECDIR "/guestcl-libvirt", NULL,
	     "program that follows libvirt's domains"),
	TEXT("web-listen", web_listen, 0, "", NULL,
	     "address and port, such as 127.0.0.1:9490, where a web page and /metrics are served; "
	     "empty: none"),
	TEXT("web-token-file", web_token_file, 1, "/var/lib/guestcl/web-token",
	     "$XDG_CACHE_HOME/guestcl-web/token",
	     "file with the token that web-listen takes; made if it is missing"),
	TEXT("web-program", web_program, 1, GUESTCL_LIBEXECDIR "/guestcl-web", NULL,
	     "program that serves web-listen"),
	{.name = "listen-tls",
	 .kind = GCL_SETTING_ENDPOINT,
	 .offset = offsetof(struct gcl_config, listen_tls),
	 .max = GCL_ENDPOINT_MAX,
	 .initial = "",
	 .help = "address and port, such as :17228 for every address, where guests of other "
		 "machines "
		 "are served by TLS; empty: none"},
	TEXT("tls-certificate", tls_certificate, 0, "", NULL,
	     "this server's certificate, in PEM (guestcl pki server)"),
	TEXT("tls-key", tls_key, 0, "", NULL, "the certificate's key, in PEM"),
	TEXT("tls-ca", tls_ca, 0, "", NULL,
	     "certificate of the authority that vouches for guests, in PEM"),
	TEXT("tls-crl", tls_crl, 0, "", NULL,
	     "certificates that tls-ca has revoked, in PEM (guestcl pki revoke)"),
	TEXT("tls-psk-file", tls_psk_file, 0, "", NULL,
	     "pre-shared keys of guests without certificates, lines of NAME:HEX (guestcl pki psk)"),
	NUMBER("tls-handshake-timeout", DURATION, tls_handshake_timeout, 100, 60000, "10s",
	       "how long a connection by TLS may take to prove who it is"),
	NUMBER("tls-resume-time", DURATION, tls_resume_time, 0, DAY_MS, "30s",
	       "how long a session waits for a guest whose connection dropped; 0s: not at all"),
	CHOICE("tls-compression", tls_compression, compression_choices, "off",
	       "whether what goes by TLS is packed; for slow links and data that get smaller by "
	       "it"),
	TEXT("tls-program", tls_program, 1, GUESTCL_LIBEXECDIR "/guestcl-tls", NULL,
	     "program that serves listen-tls"),
	FORMED("etcd", etcd, "", gcl_server_urls_valid, "URLs without paths, separated by \",\"",
	       "etcd in which GPU servers are announced, such as https://a:2379,https://b:2379; "
	       "empty: none"),
	FORMED("etcd-prefix", etcd_prefix, "/guestcl/servers/", prefix_valid,
	       "text that begins and ends with \"/\"", "where in etcd the servers are"),
	TEXT("etcd-ca", etcd_ca, 0, "", NULL,
	     "certificate of the authority that vouches for etcd's members, in PEM"),
	TEXT("etcd-certificate", etcd_certificate, 0, "", NULL,
	     "certificate that etcd's members are shown, in PEM"),
	TEXT("etcd-key", etcd_key, 0, "", NULL, "the certificate's key, in PEM"),
	TEXT("etcd-user", etcd_user, 0, "", NULL, "user of etcd's, if it asks for one"),
	TEXT("etcd-password-file", etcd_password_file, 0, "", NULL,
	     "file with the user's password"),
	NUMBER("etcd-lease", DURATION, etcd_lease, 3000, 600000, "10s",
	       "how long this host stays announced when nothing is heard of it any more"),
	TEXT("etcd-program", etcd_program, 1, GUESTCL_LIBEXECDIR "/guestcl-etcd", NULL,
	     "program that talks to etcd"),
	FORMED("announce", announce, "", gcl_server_address_valid, "HOST, HOST:PORT or nothing",
	       "where other hosts reach this one's listen-tls, which etcd is told; empty: it is "
	       "not announced"),
	FORMED("announce-name", announce_name, "", gcl_server_name_valid, "a name like a VM's",
	       "as what it is announced; empty: as the host is called"),
	TEXT("servers-tls", servers_tls, 1, "/etc/guestcl/tls", NULL,
	     "folder of what this host shows to GPU servers (guestcl pki client)"),
	TEXT("link-program", link_program, 1, GUESTCL_LIBEXECDIR "/guestcl-link", NULL,
	     "program that connects to GPU servers"),
	NUMBER("move-patience", DURATION, move_patience, 1000, DAY_MS, "3min",
	       "how long a move may not get on before nobody waits for it any more"),
	CHOICE("placement", placement.policy, placement_choices, "two",
	       "what moves sessions to GPU servers and back by itself; stay: nothing"),
	NUMBER("placement-at-once", COUNT, placement.at_once, 1, 8, "4",
	       "moves that this host makes at one time by itself"),
	/* Nothing is known of it before. */
	NUMBER("placement-stay", DURATION, placement.stay, 5000, DAY_MS, "30s",
	       "how long a session stays where it has come to"),
	NUMBER("placement-moves", COUNT, placement.moves, 0, GCL_PLACEMENT_MOVES_MAX, "4",
	       "moves of a session in placement-span"),
	NUMBER("placement-span", DURATION, placement.span, 1000, DAY_MS, "10min",
	       "the time in which a session's moves are counted"),
	NUMBER("placement-busy", COUNT, placement.busy, 0, 10000, "110",
	       "percent: a device that is wanted for more of its time is busy"),
	NUMBER("placement-faster", COUNT, placement.faster, 100, 10000, "120",
	       "percent: who goes to a server has to be as fast there, compared with here"),
	NUMBER("placement-margin", COUNT, placement.margin, 0, 10000, "150",
	       "percent: what a move saves, compared with what it costs"),
	NUMBER("placement-back", COUNT, placement.back, 0, 10000, "80",
	       "percent: for how much of its time a device may be wanted with who comes back"),
	NUMBER("placement-reserve", COUNT, placement.reserve, 0, 100, "10",
	       "percent of a device's memory that stay free when sessions come back"),
	NUMBER("placement-horizon", DURATION, placement.horizon, 1000, DAY_MS, "10min",
	       "how long a session is expected to go on, at most"),
	NUMBER("placement-stale", DURATION, placement.stale, 1000, DAY_MS, "15s",
	       "how long nothing may be heard of servers for sessions to move there"),
	NUMBER("placement-uplink", SIZE, placement.uplink, 0, 0, "120MiB",
	       "bytes a second from this host to all servers together"),
};
const size_t gcl_setting_count = GCL_ARRAY_SIZE(gcl_settings);

#define VM_NUMBER(key, type, field, least, most, value, words, change)                             \
	{                                                                                          \
		.name = (key), .kind = GCL_SETTING_##type,                                         \
		.offset = offsetof(struct gcl_vm_config, field), .min = (least), .max = (most),    \
		.initial = (value), .help = (words), .live = (change)                              \
	}

const struct gcl_setting gcl_vm_settings[] = {
	{.name = "socket",
	 .kind = GCL_SETTING_TEXT,
	 .offset = offsetof(struct gcl_vm_config, socket),
	 .max = sizeof((struct gcl_vm_config *)0)->socket,
	 .initial = "",
	 .help = "Unix socket that its VMM connects to; empty: NAME.sock in vm-dir"},
	{.name = "local-socket",
	 .kind = GCL_SETTING_TEXT,
	 .offset = offsetof(struct gcl_vm_config, local_socket),
	 .max = sizeof((struct gcl_vm_config *)0)->local_socket,
	 .initial = "",
	 .help = "Unix socket whose guests, processes of this host, are this VM; empty: none"},
	{.name = "local-socket-group",
	 .kind = GCL_SETTING_TEXT,
	 .offset = offsetof(struct gcl_vm_config, local_socket_group),
	 .max = sizeof((struct gcl_vm_config *)0)->local_socket_group,
	 .initial = "",
	 .help = "group of local-socket; empty: vm-socket-group"},
	VM_NUMBER("max-sessions", COUNT, max_sessions, 1, 65536, "64", "sessions at one time",
		  true),
	VM_NUMBER("cid", COUNT, cid, 0, UINT32_MAX - 1, "0",
		  "context id of its vsock device; 0: it has none", false),
	VM_NUMBER("weight", COUNT, weight, 1, 10000, "1",
		  "share of a device's time, against other VMs'", true),
	{.name = "priority",
	 .kind = GCL_SETTING_CHOICE,
	 .offset = offsetof(struct gcl_vm_config, priority),
	 .choices = priority_choices,
	 .initial = "normal",
	 .help = "how its weight counts: 16 times (high), or a 16th (low)",
	 .live = true},
	VM_NUMBER("ceiling", COUNT, ceiling, 0, 100, "0",
		  "percent of a device's time that it never has more than; 0: none", true),
	VM_NUMBER("memory", SIZE, memory, 0, 0, "0", "device memory; 0: as much as there is", true),
	VM_NUMBER("heap-memory", SIZE, heap_memory, 0, 0, "0",
		  "host memory for the heaps of its sessions; 0: no limit", true),
	VM_NUMBER("kernel-time", DURATION, kernel_time, 0, DAY_MS, "0s",
		  "how long one kernel may run; 0s: no limit", true),
	VM_NUMBER("host-memory", SIZE, host_memory, 0, 0, "0",
		  "the host's memory for all its workers; 0: no limit", true),
	VM_NUMBER("host-processes", COUNT, host_processes, 0, 4194304, "0",
		  "processes and threads of all its workers; 0: no limit", true),
	VM_NUMBER("session-rate", COUNT, session_rate, 0, 65536, "600",
		  "sessions that may begin in a minute; 0: no limit", true),
};
const size_t gcl_vm_setting_count = GCL_ARRAY_SIZE(gcl_vm_settings);

const struct gcl_setting gcl_server_settings[] = {
	{.name = "address",
	 .kind = GCL_SETTING_TEXT,
	 .offset = offsetof(struct gcl_server_config, address),
	 .min = 1,
	 .max = sizeof((struct gcl_server_config *)0)->address,
	 .valid = gcl_server_place_valid,
	 .form = "HOST, HOST:PORT or unix:/PATH",
	 .initial = "",
	 .help = "where its listen-tls is reached; the port is initially " GCL_SERVER_PORT
		 "; or the socket of a guestcld of this host"},
	{.name = "memory",
	 .kind = GCL_SETTING_SIZE,
	 .offset = offsetof(struct gcl_server_config, memory),
	 .initial = "0",
	 .help = "memory of its first device for this host's sessions, if it isn't in etcd; 0: "
		 "none "
		 "moves there by itself"},
};
const size_t gcl_server_setting_count = GCL_ARRAY_SIZE(gcl_server_settings);

bool gcl_config_moves(const struct gcl_config *config)
{
	return *config->client_library && (config->server_count || *config->etcd);
}

const char *gcl_placement_name(const struct gcl_config *config)
{
	return placement_choices[config->placement.policy];
}

/* Buffers that are the program's own memory can't be elsewhere. */
const char *gcl_resident_name(const struct gcl_config *config)
{
	return resident_choices[gcl_config_moves(config) ? RESIDENT_NEVER
							 : config->resident_buffers];
}

const char *gcl_program_sizes_name(const struct gcl_config *config)
{
	return program_sizes_choices[config->program_sizes];
}
