// SPDX-License-Identifier: MIT
/*
 * Memory that QEMU shares with guestcld: <memoryBacking>, NUMA cells and memory devices.
 *
 * A cell or a memory device that says whether it is shared is stronger than <memoryBacking>; what
 * says nothing follows <access>. Where the memory comes from stays the domain's own choice:
 * files and memfd can be shared (huge pages can't, by the page: definition.c refuses them). Only
 * where nothing is said, or anonymous memory is asked for, which no other process can map, it
 * becomes a memfd.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

#define SOURCE "<source type='memfd'/>"
#define ACCESS "<access mode='shared'/>"

/* Iterates over all cells or all memory devices, with the number by which a change names each. */
struct part {
	xmlNode *node;
	unsigned id;
};

static const struct part_kind {
	enum gcl_change_kind change;
	const char *parent, *name, *attribute;
	const char *id; /* the attribute that numbers them; NULL: their order */
} cells = {GCL_CHANGE_CELL, "cpu/numa", "cell", "memAccess", "id"},
  modules = {GCL_CHANGE_MODULE, "devices", "memory", "access", NULL};

static struct part part_first(const struct gcl_document *document, const struct part_kind *kind)
{
	const xmlNode *parent = gcl_path(gcl_document_root(document), kind->parent);
	struct part part = {.node = parent ? gcl_child(parent, kind->name) : NULL};
	char id[16];

	if (kind->id && gcl_attribute(part.node, kind->id, id, sizeof id))
		part.id = (unsigned)strtoul(id, NULL, 10);
	return part;
}

static struct part part_next(struct part part, const struct part_kind *kind)
{
	char id[16];

	part.node = gcl_next(part.node, kind->name);
	part.id++;
	if (kind->id && gcl_attribute(part.node, kind->id, id, sizeof id))
		part.id = (unsigned)strtoul(id, NULL, 10);
	return part;
}

/* Changes each part that asks for private memory; @undecided counts those that say nothing. */
static int parts_share(struct gcl_document *document, struct gcl_record *record,
		       const struct part_kind *kind, size_t *undecided)
{
	for (struct part part = part_first(document, kind); part.node;
	     part = part_next(part, kind)) {
		char access[32];
		int err;

		if (!gcl_attribute(part.node, kind->attribute, access, sizeof access)) {
			++*undecided;
			continue;
		}
		if (strcmp(access, "shared") == 0)
			continue;
		err = gcl_document_set(document, part.node, kind->attribute, "shared");
		if (err == 0)
			err = gcl_record_add(record, kind->change, part.id, access);
		if (err < 0)
			return err;
	}
	return 0;
}

static int parts_unshare(struct gcl_document *document, const struct gcl_change *change,
			 const struct part_kind *kind)
{
	for (struct part part = part_first(document, kind); part.node;
	     part = part_next(part, kind)) {
		if (part.id == change->id && gcl_attribute_is(part.node, kind->attribute, "shared"))
			return gcl_document_set(document, part.node, kind->attribute, change->was);
	}
	return 0;
}

static int backing_insert(struct gcl_document *document, struct gcl_record *record)
{
	static const char xml[] = "<memoryBacking>\n  " SOURCE "\n  " ACCESS "\n</memoryBacking>";
	const xmlNode *root = gcl_document_root(document);
	const xmlNode *vcpu = gcl_child(root, "vcpu"), *memory = gcl_child(root, "memory");
	int err;

	if (vcpu)
		err = gcl_document_insert_before(document, vcpu, xml);
	else if (memory)
		err = gcl_document_insert_after(document, memory, xml);
	else
		err = gcl_document_insert_into(document, root, xml);
	return err < 0 ? err : gcl_record_add(record, GCL_CHANGE_BACKING, 0, NULL);
}

/* Where libvirt would print <source> or <access> itself. */
static int backing_child_insert(struct gcl_document *document, const xmlNode *backing,
				const char *xml)
{
	static const char *const before[] = {"source", "locked", "nosharepages"};

	for (size_t i = 0; i < GCL_ARRAY_SIZE(before); i++) {
		const xmlNode *node = gcl_child(backing, before[i]);

		if (node)
			return gcl_document_insert_after(document, node, xml);
	}
	return gcl_document_insert_into(document, backing, xml);
}

static int backing_share(struct gcl_document *document, struct gcl_record *record,
			 const xmlNode *backing)
{
	const xmlNode *source = gcl_child(backing, "source"),
		      *access = gcl_child(backing, "access");
	char mode[32];
	int err = 0;

	if (source && gcl_attribute_is(source, "type", "anonymous")) {
		err = gcl_document_set(document, source, "type", "memfd");
		if (err == 0)
			err = gcl_record_add(record, GCL_CHANGE_SOURCE, 0, "anonymous");
	}
	if (err == 0 && gcl_attribute(access, "mode", mode, sizeof mode)) {
		err = gcl_document_set(document, access, "mode", "shared");
		if (err == 0)
			err = gcl_record_add(record, GCL_CHANGE_ACCESS, 0, mode);
	}
	if (err == 0 && (!source || !access))
		err = backing_child_insert(document, backing,
					   source   ? ACCESS
					   : access ? SOURCE
						    : SOURCE "\n" ACCESS);
	if (err == 0 && !source)
		err = gcl_record_add(record, GCL_CHANGE_SOURCE, 0, NULL);
	if (err == 0 && !access)
		err = gcl_record_add(record, GCL_CHANGE_ACCESS, 0, NULL);
	return err;
}

int gcl_memory_share(struct gcl_document *document, struct gcl_record *record)
{
	const xmlNode *root = gcl_document_root(document);
	const xmlNode *backing = gcl_child(root, "memoryBacking");
	bool has_cells = part_first(document, &cells).node != NULL;
	size_t undecided = !has_cells;
	int err = parts_share(document, record, &cells, &undecided);

	if (err == 0)
		err = parts_share(document, record, &modules, &undecided);
	if (err < 0 || undecided == 0)
		return err;
	if (!backing)
		return backing_insert(document, record);
	if (gcl_attribute_is(gcl_child(backing, "access"), "mode", "shared"))
		return 0;
	return backing_share(document, record, backing);
}

/* Whether @backing holds nothing but what attaching put there. */
static bool backing_is_ours(const xmlNode *backing)
{
	for (const xmlNode *node = backing->children; node; node = node->next) {
		if (node->type == XML_ELEMENT_NODE &&
		    strcmp((const char *)node->name, "source") != 0 &&
		    strcmp((const char *)node->name, "access") != 0)
			return false;
	}
	return true;
}

/* Takes back what was done to a child of <memoryBacking>. */
static int backing_child_restore(struct gcl_document *document, const xmlNode *node,
				 const char *attribute, const char *ours, const char *was)
{
	if (!node || !gcl_attribute_is(node, attribute, ours))
		return 0; /* somebody has changed it since: it is theirs */
	return *was ? gcl_document_set(document, node, attribute, was)
		    : gcl_document_remove(document, node);
}

static int backing_restore(struct gcl_document *document, const struct gcl_change *change,
			   const xmlNode *backing)
{
	const xmlNode *source = gcl_child(backing, "source");
	const xmlNode *access = gcl_child(backing, "access");
	int err = 0;

	if (change->kind == GCL_CHANGE_BACKING && backing_is_ours(backing))
		return gcl_document_remove(document, backing);
	if (change->kind == GCL_CHANGE_BACKING || change->kind == GCL_CHANGE_SOURCE)
		err = backing_child_restore(document, source, "type", "memfd", change->was);
	if (err == 0 && (change->kind == GCL_CHANGE_BACKING || change->kind == GCL_CHANGE_ACCESS))
		err = backing_child_restore(document, access, "mode", "shared", change->was);
	return err;
}

int gcl_memory_unshare(struct gcl_document *document, const struct gcl_record *record)
{
	const xmlNode *backing = gcl_child(gcl_document_root(document), "memoryBacking");
	bool whole = false;
	int err = 0;

	for (size_t i = 0; i < record->change_count && err == 0; i++) {
		const struct gcl_change *change = &record->changes[i];

		if (change->kind == GCL_CHANGE_CELL)
			err = parts_unshare(document, change, &cells);
		else if (change->kind == GCL_CHANGE_MODULE)
			err = parts_unshare(document, change, &modules);
		else if (backing && !whole)
			err = backing_restore(document, change, backing);
		/* What is recorded of its children is then settled. It was recorded first. */
		whole = whole || change->kind == GCL_CHANGE_BACKING;
	}
	return err;
}

const char *gcl_memory_needed(const struct gcl_document *document, const xmlNode *ours)
{
	const xmlNode *devices = gcl_child(gcl_document_root(document), "devices");

	for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
		if (node->type != XML_ELEMENT_NODE || node == ours)
			continue;
		if (gcl_attribute_is(node, "type", "vhostuser") ||
		    gcl_attribute_is(gcl_child(node, "driver"), "type", "virtiofs") ||
		    gcl_attribute_is(gcl_child(node, "driver"), "name", "vhostuser"))
			return (const char *)node->name;
	}
	return NULL;
}
