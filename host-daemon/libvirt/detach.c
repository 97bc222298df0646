// SPDX-License-Identifier: MIT
/*
 * guestcl detach: takes back what attach did to a domain.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "libvirt.h"

/* Takes device and metadata from the running domain; its memory stays as it is. */
static enum gcl_exit live_unplug(const struct gcl_target *target)
{
	if (virDomainDetachDeviceAlias(target->domain, GCL_DEVICE_ALIAS, VIR_DOMAIN_AFFECT_LIVE) <
	    0) {
		gcl_say_libvirt(
			"can't unplug the device from %s as it runs; it is gone at its next "
			"start",
			target->name);
		return GCL_EXIT_FAILED;
	}
	virDomainSetMetadata(target->domain, VIR_DOMAIN_METADATA_ELEMENT, NULL, GCL_METADATA_PREFIX,
			     GCL_METADATA_URI, VIR_DOMAIN_AFFECT_LIVE);
	printf("the guest is asked to let go of the device\n");
	return GCL_EXIT_OK;
}

static enum gcl_exit detach_store(struct gcl_target *target, const struct gcl_command *command,
				  const char *xml)
{
	enum gcl_exit status = gcl_target_define(target, xml);

	if (status != GCL_EXIT_OK)
		return status;
	printf("%s is detached\n", target->name);
	if (target->running && command->live)
		return live_unplug(target);
	if (target->running)
		printf("%s is running: it keeps the device until it is shut down\n", target->name);
	return GCL_EXIT_OK;
}

enum gcl_exit gcl_detach(const struct gcl_command *command)
{
	_cleanup_(gcl_target_fini) struct gcl_target target;
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	_cleanup_free_ char *xml = NULL;
	unsigned flags = VIR_DOMAIN_XML_INACTIVE;
	enum gcl_exit status = gcl_target_open(&target, command);
	char kept[128];
	int err;

	if (!command->dry_run)
		flags |= VIR_DOMAIN_XML_SECURE;
	if (status == GCL_EXIT_OK)
		status = gcl_target_document(&target, flags, &document, &record);
	if (status != GCL_EXIT_OK)
		return status;
	if (!record.attached) {
		printf("%s isn't attached; nothing has changed\n", target.name);
		return GCL_EXIT_OK;
	}
	err = gcl_definition_detach(&document, &record, kept, sizeof kept);
	if (err == 0)
		err = gcl_document_write(&document, &xml);
	if (err == 0 && command->dry_run)
		err = gcl_diff(document.text, xml, target.name);
	if (err < 0) {
		gcl_say("can't edit the definition of %s: %s", target.name, strerror(-err));
		return GCL_EXIT_FAILED;
	}
	if (!command->dry_run)
		status = detach_store(&target, command, xml);
	if (status == GCL_EXIT_OK && *kept)
		printf("%s\n", kept);
	return status;
}
