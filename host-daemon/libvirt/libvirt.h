/* SPDX-License-Identifier: MIT */
/*
 * guestcl-libvirt: what ties guestcl to libvirt's domains. The only program that links libvirt.
 *
 * Theory of operation. A domain is attached by editing its persistent definition: memory that
 * QEMU can share with guestcld, one device for the channel, and an element of ours in the domain's
 * metadata. That element (record.c) holds the limits and what was changed, so that detaching takes
 * back exactly that. definition.c decides on the text of a definition and calls no libvirt, so
 * every kind of domain can be tested as text; attach.c and detach.c ask libvirt for the text and
 * give it back. follow.c tells guestcld which domains are attached, and what becomes of them.
 *
 * Nothing of ours is kept outside libvirt: who copies or migrates the definition has it all.
 */
#ifndef GCL_LIBVIRT_H
#define GCL_LIBVIRT_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "document.h"

/* The name of our element's namespace; a new number if its meaning changes. */
#define GCL_METADATA_URI    "urn:guestcl:domain:1"
#define GCL_METADATA_PREFIX "guestcl"

/* Aliases of users' own begin with "ua-"; libvirt keeps them. */
#define GCL_DEVICE_ALIAS "ua-guestcl"

/* The file in vm-dir, of a UUID. It is named as libvirt names the AppArmor profile of the domain's
 * QEMU, so that one rule for all lets each reach its own (apparmor). */
#define GCL_SOCKET_FORMAT "libvirt-%s.sock"

#define GCL_REASON_MAX 512

/* Exit statuses; 64 is argp's for a wrong command line. */
enum gcl_exit {
	GCL_EXIT_OK = 0,
	GCL_EXIT_FAILED = 1,
	GCL_EXIT_NO_CONNECTION = 2,
	GCL_EXIT_NO_DOMAIN = 3,
	GCL_EXIT_UNSUITABLE = 4, /* the domain can't have what was asked for */
};

/* ------------------------------------------------------------ what we remember (record.c) */

enum gcl_channel_kind { GCL_CHANNEL_VIRTIO, GCL_CHANNEL_VSOCK };

struct gcl_limits {
	uint64_t memory; /* bytes of device memory; 0: no limit */
	unsigned weight; /* share of device time; 0: as guestcld.conf says */
};

/* What a change of the definition was about. */
enum gcl_change_kind {
	GCL_CHANGE_BACKING, /* <memoryBacking> */
	GCL_CHANGE_SOURCE,  /* its <source> */
	GCL_CHANGE_ACCESS,  /* its <access> */
	GCL_CHANGE_CELL,    /* memAccess of a <cell> */
	GCL_CHANGE_MODULE,  /* access of a <memory> device */
	GCL_CHANGE_DISK,
	GCL_CHANGE_VSOCK,
	GCL_CHANGE_CONTROLLER, /* PCI controller that libvirt added for the device */
	GCL_CHANGE_COUNT
};

struct gcl_change {
	enum gcl_change_kind kind;
	unsigned id;  /* of the cell, the memory device or the controller */
	char was[32]; /* the value before; "" if we added it */
};

struct gcl_record {
	bool attached;
	enum gcl_channel_kind channel;
	struct gcl_limits limits;
	char socket[108]; /* of guestcld for this domain; "" for vsock */
	struct gcl_change *changes;
	size_t change_count;
};

void gcl_record_fini(struct gcl_record *record);

/** gcl_record_add() - remember a change; @was is NULL for what was not there. Return: 0 or -ENOMEM.
 */
int gcl_record_add(struct gcl_record *record, enum gcl_change_kind kind, unsigned id,
		   const char *was);

/** gcl_record_find() - our element in a definition, or NULL; lends it. */
xmlNode *gcl_record_find(const struct gcl_document *document);

/** gcl_record_read() - what the element says; NULL: not attached. What is unknown in it is left
 * out. Return: 0 or -ENOMEM. */
int gcl_record_read(struct gcl_record *record, const xmlNode *element);

/**
 * gcl_record_format() - the element as text, several lines.
 * @qualified: with our namespace and its prefix, as in a definition; virDomainSetMetadata() takes
 *             it without.
 *
 * Return: the text, or NULL without memory.
 */
char *gcl_record_format(const struct gcl_record *record, bool qualified);

const char *gcl_channel_kind_name(enum gcl_channel_kind channel);

/* ------------------------------------------------------------ definitions (definition.c) */

/* What libvirt said of itself. */
struct gcl_host {
	char driver[32];       /* virConnectGetType() */
	unsigned long libvirt; /* version of the daemon, 1000000 * major + 1000 * minor + micro */
	unsigned long hypervisor; /* the same of QEMU; 0 if unknown */
};

struct gcl_wish {
	const char *socket;	/* of guestcld for this domain */
	const char *channel;	/* "auto", "virtio", "vsock" */
	const uint64_t *memory; /* NULL: leave the limit as it is */
	const unsigned *weight;
};

/**
 * gcl_definition_attach() - edit a definition so that the domain has guestcl.
 * @record: what it says of us; becomes what it will say
 * @changed: whether there is any edit but of the record
 * @reason: why not, and what to do
 *
 * Return: 0, -ENOTSUP when this domain can't, -ENOMEM.
 */
int gcl_definition_attach(struct gcl_document *document, const struct gcl_host *host,
			  const struct gcl_wish *wish, struct gcl_record *record, bool *changed,
			  char *reason, size_t reason_size);

/**
 * gcl_definition_detach() - take back what @record says was changed.
 * @kept: what stays because something else needs it by now; "" for nothing
 */
int gcl_definition_detach(struct gcl_document *document, const struct gcl_record *record,
			  char *kept, size_t kept_size);

/** gcl_definition_device() - our device in a definition, or NULL; lends it. */
xmlNode *gcl_definition_device(const struct gcl_document *document,
			       const struct gcl_record *record);

/** gcl_definition_shared() - whether all memory of the domain can be shared already. */
bool gcl_definition_shared(const struct gcl_document *document);

/** gcl_device_format() - the device's XML for a channel; NULL without memory. */
char *gcl_device_format(const struct gcl_document *document, enum gcl_channel_kind channel,
			const char *socket);

/* ------------------------------------------------------------ memory (memory.c) */

/** gcl_memory_share() - make all memory of the domain shareable. Return: 0 or -ENOMEM. */
int gcl_memory_share(struct gcl_document *document, struct gcl_record *record);

/** gcl_memory_unshare() - take that back. */
int gcl_memory_unshare(struct gcl_document *document, const struct gcl_record *record);

/** gcl_memory_needed() - another device that needs shared memory ("filesystem"), or NULL. */
const char *gcl_memory_needed(const struct gcl_document *document, const xmlNode *ours);

/* ------------------------------------------------------------ libvirt (connect.c) */

struct gcl_command {
	const char *uri;     /* NULL: libvirt's default */
	const char *domain;  /* NULL where none is named */
	const char *vm_dir;  /* NULL: by the connection */
	const char *channel; /* "auto", "virtio", "vsock" */
	bool has_memory, has_weight;
	struct gcl_limits limits;
	bool dry_run, live, json;
};

/* The domain that a command is about. */
struct gcl_target {
	virConnect *conn;
	virDomain *domain;
	const char *name;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct gcl_host host;
	bool local; /* its domains run on this host */
	bool running;
};

/** gcl_connect() - open a connection; NULL and (unless @quiet) a line on stderr. @uri NULL:
 * libvirt's default. */
virConnect *gcl_connect(const char *uri, bool read_only, bool quiet);

/** gcl_target_open() - connect and find the domain; errors are told. fini frees in any case. */
enum gcl_exit gcl_target_open(struct gcl_target *target, const struct gcl_command *command);
void gcl_target_fini(struct gcl_target *target);

/**
 * gcl_target_document() - the definition of the domain and what it says of us.
 * @flags: of virDomainGetXMLDesc()
 *
 * Return: GCL_EXIT_OK, or a line on stderr. Both are to be freed in any case.
 */
enum gcl_exit gcl_target_document(const struct gcl_target *target, unsigned flags,
				  struct gcl_document *document, struct gcl_record *record);

/** gcl_record_of() - what the domain's metadata say of us: of a running domain those that it was
 * started with, if there are such; a domain that is detached while it runs keeps what it has.
 * Return: 0 or -errno; a domain that is gone is one that is not attached. */
int gcl_record_of(virDomain *domain, struct gcl_record *record);

/** gcl_target_define() - give libvirt the edited definition. Errors are told. */
enum gcl_exit gcl_target_define(struct gcl_target *target, const char *xml);

/** gcl_socket_path() - guestcld's socket for the domain. Return: 0, or -1 and a line on stderr. */
int gcl_socket_path(const struct gcl_target *target, const char *vm_dir, char *path, size_t size);

/** gcl_socket_served() - whether guestcld listens on the socket, or does so within a few seconds;
 * true if that can't be known. */
bool gcl_socket_served(const struct gcl_target *target, const char *path);

/** gcl_connection_close() - virConnectClose() for cleanup attributes; accepts NULL. */
void gcl_connection_close(virConnect **conn);
void gcl_domain_free(virDomain **domain);

/* ------------------------------------------------------------ commands */

/** gcl_say() - a line on stderr: "guestcl: ...". */
void gcl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** gcl_say_libvirt() - the same, and what libvirt said last. */
void gcl_say_libvirt(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum gcl_exit gcl_attach(const struct gcl_command *command);
enum gcl_exit gcl_detach(const struct gcl_command *command);
enum gcl_exit gcl_list(const struct gcl_command *command);
enum gcl_exit gcl_follow(const struct gcl_command *command);

/** gcl_diff() - print how the texts differ, as diff -u does. Return: 0 or -errno. */
int gcl_diff(const char *before, const char *after, const char *name);

#endif
