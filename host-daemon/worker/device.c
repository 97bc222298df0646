/*
 * Sub-devices.
 */
#include <errno.h>
#include <string.h>

#include "worker.h"

/* Splits the device. @made: as many handles as @message has ids, NULL where there is no device. */
static cl_int sub_devices_make(struct gcl_worker *worker, const Gcl__SubDevicesCreate *message,
			       cl_device_id device, cl_device_id *made, cl_uint *count)
{
	/* A list of sizes ends with a 0 of its own; with two there is an end in any case. */
	size_t size = (message->n_properties + 2) * sizeof(cl_device_partition_property);
	cl_device_partition_property *properties = gcl_arena_alloc(&worker->arena, size);

	if (!properties)
		return CL_OUT_OF_HOST_MEMORY;
	memset(properties, 0, size);
	for (size_t i = 0; i < message->n_properties; i++)
		properties[i] = (cl_device_partition_property)message->properties[i];
	return clCreateSubDevices(device, properties, (cl_uint)message->n_ids, made, count);
}

/* Gives the devices their ids and describes them. On failure those without an id are released. */
static int sub_devices_enter(struct gcl_worker *worker, const Gcl__SubDevicesCreate *message,
			     const cl_device_id *made, Gcl__SubDevicesAnswer *answer)
{
	int err = 0;

	for (size_t i = 0; i < answer->n_devices; i++) {
		struct gcl_entry *entry = NULL;

		if (!err)
			entry = gcl_table_add(worker, message->ids[i], GCL_KIND_DEVICE);
		if (!entry) {
			clReleaseDevice(made[i]);
			err = -EPROTO;
			continue;
		}
		entry->handle = made[i];
		answer->devices[i] = gcl_snapshot_device(worker, made[i], message->ids[i]);
		if (!answer->devices[i])
			err = -ENOMEM;
	}
	return err;
}

int gcl_handle_sub_devices_create(struct gcl_worker *worker, const struct gcl_call *call)
{
	const Gcl__SubDevicesCreate *message = (const Gcl__SubDevicesCreate *)call->message;
	const struct gcl_entry *parent = gcl_table_find(worker, message->device, GCL_KIND_DEVICE);
	Gcl__SubDevicesAnswer answer = GCL__SUB_DEVICES_ANSWER__INIT;
	cl_device_id *made;
	cl_uint count = 0;
	int err;

	if (!parent || message->n_ids == 0)
		return -EPROTO;
	made = gcl_arena_alloc(&worker->arena, message->n_ids * sizeof(cl_device_id));
	answer.devices = gcl_arena_alloc(&worker->arena, message->n_ids * sizeof *answer.devices);
	if (!made || !answer.devices)
		return -EPROTO;
	memset(answer.devices, 0, message->n_ids * sizeof *answer.devices);
	answer.status = parent->failed;
	if (!answer.status)
		answer.status = sub_devices_make(worker, message, parent->handle, made, &count);
	if (!answer.status)
		answer.n_devices = GCL_MIN(count, message->n_ids);
	answer.request = call->head->sequence;
	err = sub_devices_enter(worker, message, made, &answer);
	if (!err)
		gcl_send(worker, GCL_ANSWER_SUB_DEVICES, &answer.base, 0, 0);
	for (size_t i = 0; i < answer.n_devices; i++)
		if (answer.devices[i])
			protobuf_c_message_free_unpacked(&answer.devices[i]->base, NULL);
	return err;
}

/* For the host's own devices, clReleaseDevice does nothing. */
void gcl_device_release(struct gcl_worker *worker, struct gcl_entry *entry)
{
	(void)worker;
	if (entry->handle)
		clReleaseDevice(entry->handle);
}
