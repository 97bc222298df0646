// SPDX-License-Identifier: MIT
/*
 * What attaching and detaching do to a domain's definition.
 *
 * Must not: call libvirt. What it has to know of the host stands in struct gcl_host, so that every
 * kind of domain and host is a test of this file.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

/* <disk type='vhostuser'> with <reconnect>, and the QEMU that was tried with it. */
#define LIBVIRT_VHOST_USER_DISK 7001000
#define QEMU_VHOST_USER_BLK	7002000

/* Guests whose programs see numbers the other way round than their host. */
static const char *const big_endian[] = {"s390", "s390x",  "ppc",  "ppc64", "sparc", "sparc64",
					 "mips", "mips64", "m68k", "hppa",  "armv7b"};

static bool is_qemu(const struct gcl_host *host)
{
	/* libvirt's own test driver takes whatever QEMU's does. */
	return strcmp(host->driver, "QEMU") == 0 || strcmp(host->driver, "TEST") == 0;
}

/* The most vCPUs that the domain can have. */
static unsigned long vcpus(const struct gcl_document *document)
{
	const xmlNode *vcpu = gcl_child(gcl_document_root(document), "vcpu");
	_cleanup_(gcl_cleanup_free) xmlChar *text = vcpu ? xmlNodeGetContent(vcpu) : NULL;

	return text ? strtoul((const char *)text, NULL, 10) : 1;
}

static bool suits(const struct gcl_document *document, const struct gcl_host *host, char *reason,
		  size_t reason_size)
{
	const xmlNode *root = gcl_document_root(document);
	char arch[32];

	if (!is_qemu(host)) {
		snprintf(reason, reason_size,
			 "libvirt's driver %s has no device for it; docs/libvirt-and-qemu.md says "
			 "what other virtual machine monitors can do",
			 host->driver);
		return false;
	}
	gcl_attribute(gcl_path(root, "os/type"), "arch", arch, sizeof arch);
	for (size_t i = 0; i < GCL_ARRAY_SIZE(big_endian); i++) {
		if (strcmp(arch, big_endian[i]) != 0)
			continue;
		snprintf(reason, reason_size,
			 "guests of architecture %s see numbers the other way round than the host",
			 arch);
		return false;
	}
	if (gcl_attribute_is(root, "type", "qemu") && vcpus(document) == 1) {
		snprintf(reason, reason_size,
			 "it is emulated (type='qemu') and can have one vCPU only, for which QEMU "
			 "leaves the guest's memory barriers out, and calls would hang: give it "
			 "<vcpu current='1'>2</vcpu> or more");
		return false;
	}
	return true;
}

static int channel_choose(const struct gcl_document *document, const struct gcl_host *host,
			  const struct gcl_wish *wish, struct gcl_record *record, char *reason,
			  size_t reason_size)
{
	/* The test driver has no QEMU to be too old. */
	bool tested = strcmp(host->driver, "TEST") == 0;
	bool disk = host->libvirt >= LIBVIRT_VHOST_USER_DISK &&
		    (tested || host->hypervisor == 0 || host->hypervisor >= QEMU_VHOST_USER_BLK);
	enum gcl_channel_kind wanted = disk ? GCL_CHANNEL_VIRTIO : GCL_CHANNEL_VSOCK;

	if (strcmp(wish->channel, "auto") == 0)
		wanted = record->attached ? record->channel : wanted;
	else
		wanted = strcmp(wish->channel, "vsock") == 0 ? GCL_CHANNEL_VSOCK
							     : GCL_CHANNEL_VIRTIO;
	if (wanted == GCL_CHANNEL_VIRTIO && !disk) {
		snprintf(reason, reason_size,
			 "the virtio channel needs libvirt 7.1 and QEMU 7.2 or later; use "
			 "--channel vsock");
		return -ENOTSUP;
	}
	if (wanted == GCL_CHANNEL_VIRTIO &&
	    gcl_path(gcl_document_root(document), "memoryBacking/hugepages")) {
		snprintf(
			reason, reason_size,
			"its memory is on huge pages, of which no single pages can be shared: take "
			"<hugepages/> away, or use --channel vsock");
		return -ENOTSUP;
	}
	if (record->attached && wanted != record->channel) {
		snprintf(reason, reason_size,
			 "it is attached by %s: detach it first to change the channel",
			 gcl_channel_kind_name(record->channel));
		return -ENOTSUP;
	}
	record->channel = wanted;
	return 0;
}

/* ------------------------------------------------------------ devices */

/* The number of a disk's name, vda being 0 and vdaa 26, or -1. */
static int disk_index(const char *name)
{
	int index = 0;

	if (strncmp(name, "vd", 2) != 0 || !name[2] || strlen(name) > 6)
		return -1;
	for (name += 2; *name; name++) {
		if (*name < 'a' || *name > 'z')
			return -1;
		index = index * 26 + (*name - 'a' + 1);
	}
	return index - 1;
}

/*
 * The name after the last. libvirt sorts disks by name and boots from the first: with a name
 * before a real disk's the guest would be told to boot from ours.
 */
static void target_choose(const struct gcl_document *document, char *name, size_t size)
{
	const xmlNode *devices = gcl_child(gcl_document_root(document), "devices");
	const xmlNode *disk = devices ? gcl_child(devices, "disk") : NULL;
	char letters[8], *first = letters + sizeof letters - 1;
	int index = -1;

	for (; disk; disk = gcl_next(disk, "disk")) {
		char target[32];

		gcl_attribute(gcl_child(disk, "target"), "dev", target, sizeof target);
		index = GCL_MAX(index, disk_index(target));
	}
	*first = '\0';
	for (index += 2; index > 0; index = (index - 1) / 26)
		*--first = (char)('a' + (index - 1) % 26);
	snprintf(name, size, "vd%s", first);
}

char *gcl_device_format(const struct gcl_document *document, enum gcl_channel_kind channel,
			const char *socket)
{
	_cleanup_free_ char *path = gcl_escape(socket);
	char target[16], *xml = NULL;
	int n;

	if (channel == GCL_CHANNEL_VSOCK)
		return strdup("<vsock model='virtio'>\n"
			      "  <cid auto='yes'/>\n"
			      "  <alias name='" GCL_DEVICE_ALIAS "'/>\n"
			      "</vsock>");
	target_choose(document, target, sizeof target);
	n = asprintf(&xml,
		     "<disk type='vhostuser' device='disk' snapshot='no'>\n"
		     "  <driver name='qemu' type='raw' queues='4'/>\n"
		     "  <source type='unix' path='%s'>\n"
		     "    <reconnect enabled='yes' timeout='1'/>\n"
		     "  </source>\n"
		     "  <target dev='%s' bus='virtio'/>\n"
		     "  <alias name='" GCL_DEVICE_ALIAS "'/>\n"
		     "</disk>",
		     path ? path : "", target);
	return n < 0 ? NULL : xml;
}

xmlNode *gcl_definition_device(const struct gcl_document *document, const struct gcl_record *record)
{
	bool vsock = record->channel == GCL_CHANNEL_VSOCK;
	const char *name = vsock ? "vsock" : "disk";
	const xmlNode *devices = gcl_child(gcl_document_root(document), "devices");
	xmlNode *node = devices ? gcl_child(devices, name) : NULL;
	char path[sizeof record->socket];

	for (; node; node = gcl_next(node, name)) {
		if (gcl_attribute_is(gcl_child(node, "alias"), "name", GCL_DEVICE_ALIAS))
			return node;
		/* A domain has one vsock at most, and any will do. */
		if (vsock)
			return node;
		if (gcl_attribute_is(node, "type", "vhostuser") &&
		    gcl_attribute(gcl_child(node, "source"), "path", path, sizeof path) &&
		    strcmp(path, record->socket) == 0)
			return node;
	}
	return NULL;
}

static int device_insert(struct gcl_document *document, struct gcl_record *record)
{
	_cleanup_free_ char *xml = gcl_device_format(document, record->channel, record->socket);
	const xmlNode *root = gcl_document_root(document);
	const xmlNode *devices = gcl_child(root, "devices"), *last = NULL;
	enum gcl_change_kind kind = GCL_CHANGE_DISK;
	int err;

	if (record->channel == GCL_CHANNEL_VSOCK)
		kind = GCL_CHANGE_VSOCK;
	if (!xml)
		return -ENOMEM;
	for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
		/* Disks follow the emulator and each other; <vsock> comes last. */
		if (node->type == XML_ELEMENT_NODE &&
		    (kind == GCL_CHANGE_VSOCK || !last ||
		     strcmp((const char *)node->name, "disk") == 0))
			last = node;
	}
	if (last && kind == GCL_CHANGE_DISK && !gcl_child(devices, "disk") &&
	    strcmp((const char *)last->name, "emulator") != 0)
		err = gcl_document_insert_before(document, last, xml);
	else if (last)
		err = gcl_document_insert_after(document, last, xml);
	else if (devices)
		err = gcl_document_insert_into(document, devices, xml);
	else
		return -EINVAL;
	return err < 0 ? err : gcl_record_add(record, kind, 0, NULL);
}

/* ------------------------------------------------------------ the record in the definition */

/* <metadata> with our element alone. */
static char *metadata_format(const char *element)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fputs("<metadata>\n  ", file);
	for (const char *c = element; *c; c++) {
		fputc(*c, file);
		if (*c == '\n')
			fputs("  ", file);
	}
	fputs("\n</metadata>", file);
	return fclose(file) == 0 ? text : NULL;
}

static int record_write(struct gcl_document *document, const struct gcl_record *record)
{
	static const char *const before[] = {"description", "title", "genid", "uuid", "name"};
	const xmlNode *root = gcl_document_root(document);
	const xmlNode *metadata = gcl_child(root, "metadata"), *ours = gcl_record_find(document);
	_cleanup_free_ char *xml = gcl_record_format(record, true);
	_cleanup_free_ char *whole = NULL;

	if (!xml)
		return -ENOMEM;
	if (ours)
		return gcl_document_replace(document, ours, xml);
	if (metadata)
		return gcl_document_insert_into(document, metadata, xml);
	whole = metadata_format(xml);
	if (!whole)
		return -ENOMEM;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(before); i++) {
		const xmlNode *node = gcl_child(root, before[i]);

		if (node)
			return gcl_document_insert_after(document, node, whole);
	}
	return gcl_document_insert_into(document, root, whole);
}

/*
 * Another socket than the record's: it is to lie elsewhere, or the definition is a copy of another
 * domain's, whose device would speak in that domain's name. The device is made anew.
 */
static int socket_set(struct gcl_document *document, const char *socket, struct gcl_record *record,
		      bool *moved)
{
	const xmlNode *device = gcl_definition_device(document, record);
	int err = 0;

	*moved = device && *record->socket && strcmp(record->socket, socket) != 0;
	if (*moved)
		err = gcl_document_remove(document, device);
	snprintf(record->socket, sizeof record->socket, "%s", socket);
	return err;
}

int gcl_definition_attach(struct gcl_document *document, const struct gcl_host *host,
			  const struct gcl_wish *wish, struct gcl_record *record, bool *changed,
			  char *reason, size_t reason_size)
{
	bool moved = false;
	int err;

	if (!suits(document, host, reason, reason_size))
		return -ENOTSUP;
	err = channel_choose(document, host, wish, record, reason, reason_size);
	if (err < 0)
		return err;
	if (record->channel == GCL_CHANNEL_VIRTIO)
		err = socket_set(document, wish->socket, record, &moved);
	if (wish->memory)
		record->limits.memory = *wish->memory;
	if (wish->weight)
		record->limits.weight = *wish->weight;
	record->attached = true;
	if (err == 0 && record->channel == GCL_CHANNEL_VIRTIO)
		err = gcl_memory_share(document, record);
	if (err == 0 && (moved || !gcl_definition_device(document, record)))
		err = device_insert(document, record);
	*changed = document->edit_count > 0;
	return err < 0 ? err : record_write(document, record);
}

/* ------------------------------------------------------------ detaching */

/* Whether a device other than @ours is on the bus of that PCI controller. */
static bool bus_used(const struct gcl_document *document, const xmlNode *ours, unsigned bus)
{
	const xmlNode *devices = gcl_child(gcl_document_root(document), "devices");
	char text[16];

	for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
		if (node->type != XML_ELEMENT_NODE || node == ours)
			continue;
		if (gcl_attribute_is(gcl_child(node, "address"), "type", "pci") &&
		    gcl_attribute(gcl_child(node, "address"), "bus", text, sizeof text) &&
		    strtoul(text, NULL, 0) == bus)
			return true;
	}
	return false;
}

static int controller_remove(struct gcl_document *document, const xmlNode *ours, unsigned index)
{
	const xmlNode *devices = gcl_child(gcl_document_root(document), "devices");
	const xmlNode *node = devices ? gcl_child(devices, "controller") : NULL;
	char text[16];

	for (; node; node = gcl_next(node, "controller")) {
		if (gcl_attribute_is(node, "type", "pci") &&
		    gcl_attribute(node, "index", text, sizeof text) &&
		    strtoul(text, NULL, 10) == index && index > 0)
			return bus_used(document, ours, index)
				       ? 0
				       : gcl_document_remove(document, node);
	}
	return 0;
}

static int device_remove(struct gcl_document *document, const struct gcl_record *record)
{
	const xmlNode *device = gcl_definition_device(document, record);
	int err = 0;

	for (size_t i = 0; i < record->change_count && err == 0; i++) {
		const struct gcl_change *change = &record->changes[i];

		if (change->kind == GCL_CHANGE_CONTROLLER)
			err = controller_remove(document, device, change->id);
		else if (device &&
			 (change->kind == GCL_CHANGE_DISK || change->kind == GCL_CHANGE_VSOCK))
			err = gcl_document_remove(document, device);
	}
	return err;
}

/* Our element, and <metadata> too if it holds nothing else. */
static int record_remove(struct gcl_document *document)
{
	const xmlNode *ours = gcl_record_find(document);
	const xmlNode *only = ours;

	if (!ours)
		return 0;
	for (const xmlNode *node = ours->parent->children; node; node = node->next) {
		if (node->type == XML_ELEMENT_NODE && node != ours)
			only = NULL;
	}
	return gcl_document_remove(document, only ? ours->parent : ours);
}

int gcl_definition_detach(struct gcl_document *document, const struct gcl_record *record,
			  char *kept, size_t kept_size)
{
	const char *needed = gcl_memory_needed(document, gcl_definition_device(document, record));
	int err = device_remove(document, record);

	*kept = '\0';
	if (err == 0 && needed)
		snprintf(kept, kept_size, "memory stays shared: the domain's <%s> needs it",
			 needed);
	else if (err == 0)
		err = gcl_memory_unshare(document, record);
	return err < 0 ? err : record_remove(document);
}

bool gcl_definition_shared(const struct gcl_document *document)
{
	_cleanup_(gcl_document_fini) struct gcl_document copy = {0};
	_cleanup_(gcl_record_fini) struct gcl_record changes = {0};

	return gcl_document_read(&copy, document->text) == 0 &&
	       gcl_memory_share(&copy, &changes) == 0 && copy.edit_count == 0;
}
