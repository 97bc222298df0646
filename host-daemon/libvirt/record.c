// SPDX-License-Identifier: MIT
/*
 * Our element in a domain's metadata: limits, channel, and what attaching changed.
 *
 *   <guestcl:domain xmlns:guestcl="urn:guestcl:domain:1" channel="virtio" socket="...">
 *     <guestcl:limit memory="4294967296" weight="100"/>
 *     <guestcl:added what="memoryBacking"/>
 *     <guestcl:changed what="cell" id="0" was="private"/>
 *   </guestcl:domain>
 *
 * Who may edit the domain may edit this too, so it is read with care: a change that it claims is
 * only ever taken back on elements that gcl_definition_attach() touches.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

static const char *const change_names[GCL_CHANGE_COUNT] = {
	[GCL_CHANGE_BACKING] = "memoryBacking", [GCL_CHANGE_SOURCE] = "source",
	[GCL_CHANGE_ACCESS] = "access",		[GCL_CHANGE_CELL] = "cell",
	[GCL_CHANGE_MODULE] = "memory",		[GCL_CHANGE_DISK] = "disk",
	[GCL_CHANGE_VSOCK] = "vsock",		[GCL_CHANGE_CONTROLLER] = "controller",
};

static bool change_has_id(enum gcl_change_kind kind)
{
	return kind == GCL_CHANGE_CELL || kind == GCL_CHANGE_MODULE ||
	       kind == GCL_CHANGE_CONTROLLER;
}

const char *gcl_channel_kind_name(enum gcl_channel_kind channel)
{
	return channel == GCL_CHANNEL_VSOCK ? "vsock" : "virtio";
}

void gcl_record_fini(struct gcl_record *record)
{
	free(record->changes);
	*record = (struct gcl_record){0};
}

int gcl_record_add(struct gcl_record *record, enum gcl_change_kind kind, unsigned id,
		   const char *was)
{
	struct gcl_change *changes;

	/* Attached again after somebody had removed it: what was before the first time counts. */
	for (size_t i = 0; i < record->change_count; i++) {
		if (record->changes[i].kind == kind && record->changes[i].id == id)
			return 0;
	}
	changes = reallocarray(record->changes, record->change_count + 1, sizeof *changes);
	if (!changes)
		return -ENOMEM;
	record->changes = changes;
	changes[record->change_count] = (struct gcl_change){.kind = kind, .id = id};
	if (was)
		snprintf(changes[record->change_count].was,
			 sizeof changes[record->change_count].was, "%s", was);
	record->change_count++;
	return 0;
}

/* virDomainGetMetadata() takes the namespaces away. */
static bool is_ours(const xmlNode *node, const char *name, bool bare)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0 &&
	       (node->ns ? strcmp((const char *)node->ns->href, GCL_METADATA_URI) == 0 : bare);
}

xmlNode *gcl_record_find(const struct gcl_document *document)
{
	const xmlNode *metadata = gcl_child(gcl_document_root(document), "metadata");

	for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
		if (is_ours(node, "domain", false))
			return node;
	}
	return NULL;
}

static uint64_t number_attribute(const xmlNode *node, const char *name, uint64_t most)
{
	char text[32], *end;
	uint64_t value;

	if (!gcl_attribute(node, name, text, sizeof text))
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	return errno || *end || *text == '-' || value > most ? 0 : value;
}

static int change_read(struct gcl_record *record, const xmlNode *node, bool added)
{
	char what[32], was[sizeof((struct gcl_change *)0)->was];
	unsigned id = (unsigned)number_attribute(node, "id", UINT32_MAX);

	if (!gcl_attribute(node, "what", what, sizeof what) ||
	    (!added && !gcl_attribute(node, "was", was, sizeof was)))
		return 0;
	for (enum gcl_change_kind kind = 0; kind < GCL_CHANGE_COUNT; kind++) {
		if (strcmp(what, change_names[kind]) == 0)
			return gcl_record_add(record, kind, id, added ? NULL : was);
	}
	return 0;
}

int gcl_record_read(struct gcl_record *record, const xmlNode *element)
{
	int err = 0;

	*record = (struct gcl_record){.attached = element != NULL};
	if (!element)
		return 0;
	if (gcl_attribute_is(element, "channel", "vsock"))
		record->channel = GCL_CHANNEL_VSOCK;
	gcl_attribute(element, "socket", record->socket, sizeof record->socket);
	for (const xmlNode *node = element->children; node && err == 0; node = node->next) {
		if (is_ours(node, "limit", !element->ns)) {
			record->limits.memory = number_attribute(node, "memory", UINT64_MAX);
			record->limits.weight =
				(unsigned)number_attribute(node, "weight", UINT32_MAX);
		} else if (is_ours(node, "added", !element->ns)) {
			err = change_read(record, node, true);
		} else if (is_ours(node, "changed", !element->ns)) {
			err = change_read(record, node, false);
		}
	}
	return err;
}

static void change_format(FILE *file, const char *prefix, const struct gcl_change *change)
{
	_cleanup_free_ char *was = gcl_escape(change->was);

	fprintf(file, "  <%s%s what=\"%s\"", prefix, *change->was ? "changed" : "added",
		change_names[change->kind]);
	if (change_has_id(change->kind))
		fprintf(file, " id=\"%u\"", change->id);
	if (*change->was)
		fprintf(file, " was=\"%s\"", was ? was : "");
	fputs("/>\n", file);
}

/* libvirt prints metadata with these quotes and this indentation, so a dry run shows what comes. */
char *gcl_record_format(const struct gcl_record *record, bool qualified)
{
	const char *prefix = qualified ? GCL_METADATA_PREFIX ":" : "";
	_cleanup_free_ char *socket = gcl_escape(record->socket);
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fprintf(file, "<%sdomain", prefix);
	if (qualified)
		fputs(" xmlns:" GCL_METADATA_PREFIX "=\"" GCL_METADATA_URI "\"", file);
	fprintf(file, " version=\"" GUESTCL_VERSION "\" channel=\"%s\"",
		gcl_channel_kind_name(record->channel));
	if (socket && *socket)
		fprintf(file, " socket=\"%s\"", socket);
	fputs(">\n", file);
	if (record->limits.memory || record->limits.weight) {
		fprintf(file, "  <%slimit", prefix);
		if (record->limits.memory)
			fprintf(file, " memory=\"%" PRIu64 "\"", record->limits.memory);
		if (record->limits.weight)
			fprintf(file, " weight=\"%u\"", record->limits.weight);
		fputs("/>\n", file);
	}
	for (size_t i = 0; i < record->change_count; i++)
		change_format(file, prefix, &record->changes[i]);
	fprintf(file, "</%sdomain>", prefix);
	return fclose(file) == 0 ? text : NULL;
}
