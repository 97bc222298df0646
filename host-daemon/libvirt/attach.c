// SPDX-License-Identifier: MIT
/*
 * guestcl attach: gives a domain the host's OpenCL devices, or other limits.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

/* One run of the command. */
struct attach {
	struct gcl_target target;
	struct gcl_document document; /* persistent */
	struct gcl_record before, record;
	char *xml; /* what the definition becomes */
	bool changed;
};

static void attach_fini(struct attach *attach)
{
	free(attach->xml);
	gcl_record_fini(&attach->record);
	gcl_record_fini(&attach->before);
	gcl_document_fini(&attach->document);
	gcl_target_fini(&attach->target);
}

/* The definition with its secrets only where it goes back to libvirt, not where it is shown. */
static enum gcl_exit attach_read(struct attach *attach, const struct gcl_command *command)
{
	unsigned flags = VIR_DOMAIN_XML_INACTIVE;
	enum gcl_exit status = gcl_target_open(&attach->target, command);
	int err;

	if (!command->dry_run)
		flags |= VIR_DOMAIN_XML_SECURE;
	if (status == GCL_EXIT_OK)
		status = gcl_target_document(&attach->target, flags, &attach->document,
					     &attach->before);
	if (status != GCL_EXIT_OK)
		return status;
	err = gcl_record_read(&attach->record, gcl_record_find(&attach->document));
	return err < 0 ? GCL_EXIT_FAILED : GCL_EXIT_OK;
}

static enum gcl_exit attach_edit(struct attach *attach, const struct gcl_command *command)
{
	char socket[sizeof attach->record.socket], reason[GCL_REASON_MAX] = "";
	struct gcl_wish wish = {
		.socket = socket,
		.channel = command->channel,
		.memory = command->has_memory ? &command->limits.memory : NULL,
		.weight = command->has_weight ? &command->limits.weight : NULL,
	};
	char *slash = strrchr(attach->before.socket, '/');
	const char *vm_dir = command->vm_dir;
	int err;

	/* It stays where it is, unless told otherwise. */
	if (!vm_dir && slash) {
		*slash = '\0';
		vm_dir = attach->before.socket;
	}
	if (gcl_socket_path(&attach->target, vm_dir, socket, sizeof socket) < 0)
		return GCL_EXIT_FAILED;
	err = gcl_definition_attach(&attach->document, &attach->target.host, &wish, &attach->record,
				    &attach->changed, reason, sizeof reason);
	if (err == -ENOTSUP) {
		gcl_say("%s can't be attached: %s", attach->target.name, reason);
		return GCL_EXIT_UNSUITABLE;
	}
	if (err == 0)
		err = gcl_document_write(&attach->document, &attach->xml);
	if (err < 0) {
		gcl_say("can't edit the definition of %s: %s", attach->target.name, strerror(-err));
		return GCL_EXIT_FAILED;
	}
	return GCL_EXIT_OK;
}

/* Puts our element alone into the definition, and into the running domain if it has one. */
static enum gcl_exit record_store(struct attach *attach, bool live)
{
	_cleanup_free_ char *xml = gcl_record_format(&attach->record, false);
	unsigned flags = VIR_DOMAIN_AFFECT_CONFIG | (live ? VIR_DOMAIN_AFFECT_LIVE : 0u);

	if (!xml || virDomainSetMetadata(attach->target.domain, VIR_DOMAIN_METADATA_ELEMENT, xml,
					 GCL_METADATA_PREFIX, GCL_METADATA_URI, flags) < 0) {
		gcl_say_libvirt("can't set the limits of %s", attach->target.name);
		return GCL_EXIT_FAILED;
	}
	return GCL_EXIT_OK;
}

static bool runs_attached(const struct gcl_target *target)
{
	_cleanup_free_ char *xml = NULL;

	if (target->running)
		xml = virDomainGetMetadata(target->domain, VIR_DOMAIN_METADATA_ELEMENT,
					   GCL_METADATA_URI, VIR_DOMAIN_AFFECT_LIVE);
	return xml != NULL;
}

static bool has_controller(const struct gcl_document *document, const char *index)
{
	const xmlNode *node = gcl_path(gcl_document_root(document), "devices/controller");

	for (; node; node = gcl_next(node, "controller")) {
		if (gcl_attribute_is(node, "type", "pci") && gcl_attribute_is(node, "index", index))
			return true;
	}
	return false;
}

/* libvirt adds PCI controllers when there is no slot free; detaching takes them away again. */
static enum gcl_exit controllers_remember(struct attach *attach)
{
	_cleanup_(gcl_document_fini) struct gcl_document now = {0};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	enum gcl_exit status =
		gcl_target_document(&attach->target, VIR_DOMAIN_XML_INACTIVE, &now, &record);
	size_t known = attach->record.change_count;
	const xmlNode *node;

	if (status != GCL_EXIT_OK)
		return status;
	node = gcl_path(gcl_document_root(&now), "devices/controller");
	for (; node; node = gcl_next(node, "controller")) {
		char index[16];

		if (!gcl_attribute_is(node, "type", "pci") ||
		    !gcl_attribute(node, "index", index, sizeof index) ||
		    has_controller(&attach->document, index))
			continue;
		if (gcl_record_add(&attach->record, GCL_CHANGE_CONTROLLER,
				   (unsigned)strtoul(index, NULL, 10), NULL) < 0)
			return GCL_EXIT_FAILED;
	}
	return attach->record.change_count > known ? record_store(attach, false) : GCL_EXIT_OK;
}

static bool limits_equal(const struct gcl_limits *a, const struct gcl_limits *b)
{
	return a->memory == b->memory && a->weight == b->weight;
}

static enum gcl_exit attach_store(struct attach *attach)
{
	const char *name = attach->target.name;
	enum gcl_exit status;

	if (!attach->changed && attach->before.attached) {
		if (limits_equal(&attach->before.limits, &attach->record.limits)) {
			printf("%s is attached already; nothing has changed\n", name);
			return GCL_EXIT_OK;
		}
		status = record_store(attach, runs_attached(&attach->target));
		if (status == GCL_EXIT_OK)
			printf("%s has its new limits\n", name);
		return status;
	}
	status = gcl_target_define(&attach->target, attach->xml);
	if (status == GCL_EXIT_OK)
		status = controllers_remember(attach);
	if (status == GCL_EXIT_OK && *attach->record.socket)
		printf("%s is attached by virtio; guestcld's socket is %s\n", name,
		       attach->record.socket);
	else if (status == GCL_EXIT_OK)
		printf("%s is attached by vsock\n", name);
	return status;
}

/* ------------------------------------------------------------ a running domain */

/* Whether a device can be plugged into the domain as it runs; told before anything is changed. */
static enum gcl_exit live_check(const struct attach *attach)
{
	_cleanup_(gcl_document_fini) struct gcl_document now = {0};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	enum gcl_exit status = gcl_target_document(&attach->target, 0, &now, &record);

	if (status != GCL_EXIT_OK)
		return status;
	if (attach->record.channel == GCL_CHANNEL_VIRTIO && !gcl_definition_shared(&now)) {
		gcl_say("%s runs with memory that guestcld can't map, and that can't be changed "
			"while it runs: attach it without --live, shut it down and start it again",
			attach->target.name);
		return GCL_EXIT_UNSUITABLE;
	}
	return GCL_EXIT_OK;
}

static void say_unserved(const struct attach *attach, const char *effect)
{
	gcl_say("guestcld doesn't serve %s, so %s: is it running, with \"libvirt\" in "
		"guestcld.conf?",
		attach->record.socket, effect);
}

static enum gcl_exit live_plug(struct attach *attach)
{
	_cleanup_(gcl_document_fini) struct gcl_document now = {0};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	_cleanup_free_ char *xml = NULL;
	enum gcl_exit status = gcl_target_document(&attach->target, 0, &now, &record);

	if (status != GCL_EXIT_OK)
		return status;
	if (!gcl_definition_device(&now, &attach->record)) {
		/* QEMU would stop the guest until it has connected. */
		if (*attach->record.socket &&
		    !gcl_socket_served(&attach->target, attach->record.socket)) {
			say_unserved(attach, "the device is not plugged in");
			return GCL_EXIT_FAILED;
		}
		xml = gcl_device_format(&now, attach->record.channel, attach->record.socket);
		if (!xml || virDomainAttachDeviceFlags(attach->target.domain, xml,
						       VIR_DOMAIN_AFFECT_LIVE) < 0) {
			gcl_say_libvirt("can't plug the device into %s as it runs; it will have it "
					"from its next start on",
					attach->target.name);
			return GCL_EXIT_FAILED;
		}
		printf("the device is plugged in\n");
	}
	return record_store(attach, true);
}

enum gcl_exit gcl_attach(const struct gcl_command *command)
{
	_cleanup_(attach_fini) struct attach attach = {0};
	bool live = false;
	enum gcl_exit status = attach_read(&attach, command);

	if (status == GCL_EXIT_OK)
		status = attach_edit(&attach, command);
	if (status != GCL_EXIT_OK)
		return status;
	live = command->live && attach.target.running;
	if (live)
		status = live_check(&attach);
	if (status != GCL_EXIT_OK)
		return status;
	if (command->dry_run) {
		int err = gcl_diff(attach.document.text, attach.xml, attach.target.name);

		if (err < 0)
			gcl_say("can't run diff: %s", strerror(-err));
		return err < 0 ? GCL_EXIT_FAILED : GCL_EXIT_OK;
	}
	status = attach_store(&attach);
	if (status == GCL_EXIT_OK && live)
		return live_plug(&attach);
	if (status != GCL_EXIT_OK || !attach.changed)
		return status;
	if (*attach.record.socket && !gcl_socket_served(&attach.target, attach.record.socket))
		say_unserved(&attach, "the domain will wait for it at its start");
	if (attach.target.running)
		printf("%s is running: it has the device from its next start on (shut it down and "
		       "start it; a reboot from inside isn't enough)\n",
		       attach.target.name);
	return status;
}
