/*
 * Sub-devices: the host parts the device and describes the parts.
 */
#include <stdlib.h>

#include "guest.h"

/* Nobody parts a device into more; the host's own limit is in the snapshot. */
#define PARTS_MAX 4096u

struct parts {
	cl_uint count; /* devices prepared */
	cl_device_id *devices;
	int64_t *properties;
	size_t property_count; /* without the final 0 */
	uint64_t *ids;
};

static void device_unused(cl_device_id device)
{
	if (device)
		gcl_object_free(device);
}

static void parts_fini(struct parts *parts)
{
	for (cl_uint i = 0; i < parts->count; i++)
		device_unused(parts->devices[i]);
	free(parts->devices);
	free(parts->properties);
	free(parts->ids);
}

/* The list ends with 0, but the counts of CL_DEVICE_PARTITION_BY_COUNTS end with a 0 of their own.
 */
static size_t properties_length(const cl_device_partition_property *properties)
{
	size_t length = 0;

	if (properties[0] != CL_DEVICE_PARTITION_BY_COUNTS) {
		while (properties[length])
			length += 2;
		return length;
	}
	for (length = 1; properties[length] != CL_DEVICE_PARTITION_BY_COUNTS_LIST_END; length++)
		;
	return length + 1;
}

/* As many ids as the host can need: it tells how many parts a device can have at most. */
static cl_int parts_prepare(struct parts *parts, cl_device_id device, struct gcl_session *session,
			    const cl_device_partition_property *properties)
{
	cl_uint most = PARTS_MAX;
	size_t length = properties_length(properties);

	TRY(clGetDeviceInfo(device, CL_DEVICE_PARTITION_MAX_SUB_DEVICES, sizeof most, &most, NULL));
	/* What can't be parted is asked all the same, for the host's error. */
	most = GCL_MAX(GCL_MIN(most, PARTS_MAX), 1u);
	parts->devices = calloc(most, sizeof(cl_device_id));
	parts->ids = calloc(most, sizeof *parts->ids);
	parts->properties = calloc(length, sizeof *parts->properties);
	REFUSE_IF(!parts->devices || !parts->ids || !parts->properties, CL_OUT_OF_HOST_MEMORY);
	for (size_t i = 0; i < length; i++)
		parts->properties[i] = properties[i];
	parts->property_count = length;
	for (; parts->count < most; parts->count++) {
		cl_device_id part = gcl_object_new(GCL_KIND_DEVICE, session);

		REFUSE_IF(!part, CL_OUT_OF_HOST_MEMORY);
		parts->devices[parts->count] = part;
		parts->ids[parts->count] = part->base.id;
	}
	return CL_SUCCESS;
}

static cl_int parts_ask(struct parts *parts, cl_device_id device, struct gcl_session *session,
			Gcl__SubDevicesAnswer **answer)
{
	Gcl__SubDevicesCreate message = GCL__SUB_DEVICES_CREATE__INIT;
	ProtobufCMessage *base;

	message.device = device->base.id;
	message.n_properties = parts->property_count;
	message.properties = parts->properties;
	message.n_ids = parts->count;
	message.ids = parts->ids;
	TRY(gcl_ask(session, GCL_SUB_DEVICES_CREATE, &message.base, GCL_ANSWER_SUB_DEVICES, &base));
	*answer = (Gcl__SubDevicesAnswer *)base;
	return CL_SUCCESS;
}

static void answer_cleanup(Gcl__SubDevicesAnswer **answer)
{
	gcl__sub_devices_answer__free_unpacked(*answer, NULL);
}

/* Takes the description over. From here on gcl_device_put() gives everything back. */
static cl_int part_init(cl_device_id part, cl_device_id parent, Gcl__Device *described,
			const struct parts *parts)
{
	size_t count = 0;

	part->parent = parent;
	part->origin = parent->origin;
	part->owned = described;
	gcl_device_get(parent);
	/* Runtimes show the list up to its first 0. */
	part->partition = calloc(parts->property_count + 1, sizeof *part->partition);
	while (part->partition && count < parts->property_count && parts->properties[count]) {
		part->partition[count] = parts->properties[count];
		count++;
	}
	part->partition_size = (count + 1) * sizeof *part->partition;
	TRY(gcl_device_init(part, parent->platform, described));
	return part->partition ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
}

/* Turns what was prepared into devices. Return: how many; *@status tells of failure. */
static cl_uint parts_make(struct parts *parts, cl_device_id parent, Gcl__SubDevicesAnswer *answer,
			  cl_int *status)
{
	cl_uint made = 0;

	*status = CL_SUCCESS;
	while (made < answer->n_devices && made < parts->count &&
	       answer->devices[made]->id == parts->ids[made]) {
		cl_int failed = part_init(parts->devices[made], parent,
					  steal_pointer(&answer->devices[made]), parts);

		if (failed != CL_SUCCESS)
			*status = failed;
		made++;
	}
	return made;
}

static cl_int parts_create(struct parts *parts, cl_device_id device, struct gcl_session *session,
			   const cl_device_partition_property *properties, cl_uint num_entries,
			   cl_device_id *out, cl_uint *num_out)
{
	_cleanup_(answer_cleanup) Gcl__SubDevicesAnswer *answer = NULL;
	cl_int status;
	cl_uint made;

	TRY(parts_prepare(parts, device, session, properties));
	TRY(parts_ask(parts, device, session, &answer));
	TRY(answer->status);
	made = parts_make(parts, device, answer, &status);
	if (out && num_entries < made)
		status = CL_INVALID_VALUE;
	for (cl_uint i = 0; i < made; i++) {
		cl_device_id part = steal_pointer(&parts->devices[i]);

		if (out && status == CL_SUCCESS)
			out[i] = part;
		else
			gcl_device_put(part);
	}
	if (num_out && status == CL_SUCCESS)
		*num_out = made;
	return status;
}

CL_API_ENTRY cl_int CL_API_CALL clCreateSubDevices(cl_device_id device,
						   const cl_device_partition_property *properties,
						   cl_uint num_entries, cl_device_id *out_devices,
						   cl_uint *num_devices)
{
	_cleanup_(parts_fini) struct parts parts = {0};
	struct gcl_session *session;

	REFUSE_IF(!gcl_valid(device, GCL_KIND_DEVICE), CL_INVALID_DEVICE);
	REFUSE_IF(!properties || !properties[0], CL_INVALID_VALUE);
	REFUSE_IF(out_devices && num_entries == 0, CL_INVALID_VALUE);
	session = gcl_device_session(device);
	REFUSE_IF(!session || !gcl_device_known(device, session), CL_DEVICE_NOT_AVAILABLE);
	return parts_create(&parts, device, session, properties, num_entries, out_devices,
			    num_devices);
}
