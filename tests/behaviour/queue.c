/* SPDX-License-Identifier: MIT */
/*
 * Command queues.
 */
#include "harness.h"

INFO_QUERY(clGetCommandQueueInfo, cl_command_queue)

#define BOTH (CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE)

static void creation_check(const struct fixture *fix)
{
	const struct {
		const char *name;
		cl_command_queue_properties properties;
	} kinds[] = {
		{"plain", 0},
		{"out of order", CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE},
		{"profiling", CL_QUEUE_PROFILING_ENABLE},
		{"out of order and profiling", BOTH},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct info infos[] = {
			INFO_IS(CL_QUEUE_CONTEXT, fix->context),
			INFO_IS(CL_QUEUE_DEVICE, fix->device),
			INFO(CL_QUEUE_PROPERTIES, INFO_BITS),
			INFO(CL_QUEUE_REFERENCE_COUNT, INFO_UINT),
		};
		cl_command_queue queue = clCreateCommandQueue(fix->context, fix->device,
							      kinds[i].properties, &call_err);

		check_made(kinds[i].name, queue != NULL);
		check_infos(kinds[i].name, query_clGetCommandQueueInfo, queue, infos,
			    ARRAY_SIZE(infos));
		check_code(named("%s finish", kinds[i].name), clFinish(queue));
		check_code(named("%s retain", kinds[i].name), clRetainCommandQueue(queue));
		check_infos(named("%s retained", kinds[i].name), query_clGetCommandQueueInfo, queue,
			    &infos[3], 1);
		check_code(named("%s release", kinds[i].name), clReleaseCommandQueue(queue));
		check_code(named("%s release for good", kinds[i].name),
			   clReleaseCommandQueue(queue));
	}
}

static void creation_wrong(const struct fixture *fix)
{
	static const cl_device_partition_property one[] = {CL_DEVICE_PARTITION_BY_COUNTS, 1, 0, 0};
	cl_device_id part = NULL;
	cl_context context;

	WRONG_MADE("context NULL", clCreateCommandQueue(NULL, fix->device, 0, &call_err));
	WRONG_MADE("device NULL", clCreateCommandQueue(fix->context, NULL, 0, &call_err));
	WRONG_MADE("unknown property",
		   clCreateCommandQueue(fix->context, fix->device, 1 << 20, &call_err));
	WRONG_MADE("unknown property beside known ones",
		   clCreateCommandQueue(fix->context, fix->device, BOTH | 1 << 20, &call_err));
	MUST(clCreateSubDevices(fix->device, one, 1, &part, NULL));
	context = MUST_MAKE(clCreateContext(NULL, 1, &part, NULL, NULL, &call_err));
	WRONG_MADE("device that is not in the context",
		   clCreateCommandQueue(context, fix->device, 0, &call_err));
	WRONG_MADE("sub-device that is not in the context",
		   clCreateCommandQueue(fix->context, part, 0, &call_err));
	MUST(clReleaseContext(context));
	MUST(clReleaseDevice(part));
	wrong_infos("queue", query_clGetCommandQueueInfo, fix->queue, CL_QUEUE_CONTEXT, true);
	wrong_code("retain NULL", clRetainCommandQueue(NULL));
	wrong_code("release NULL", clReleaseCommandQueue(NULL));
	wrong_code("flush NULL", clFlush(NULL));
	wrong_code("finish NULL", clFinish(NULL));
}

#define LIST(...) ((const cl_queue_properties[]){__VA_ARGS__, 0})

static void properties_check(const struct fixture *fix)
{
	const struct {
		const char *name;
		const cl_queue_properties *list;
	} lists[] = {
		{"no properties", NULL},
		{"empty properties", (const cl_queue_properties[]){0}},
		{"properties 0", LIST(CL_QUEUE_PROPERTIES, 0)},
		{"property out of order",
		 LIST(CL_QUEUE_PROPERTIES, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)},
		{"property both", LIST(CL_QUEUE_PROPERTIES, BOTH)},
	};
	const struct info infos[] = {
		INFO(CL_QUEUE_PROPERTIES, INFO_BITS),  INFO(CL_QUEUE_PROPERTIES_ARRAY, INFO_SIZES),
		INFO(CL_QUEUE_SIZE, INFO_UINT),	       INFO_IS(CL_QUEUE_DEVICE_DEFAULT, NULL),
		INFO_IS(CL_QUEUE_DEVICE, fix->device),
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		cl_command_queue queue = clCreateCommandQueueWithProperties(
			fix->context, fix->device, lists[i].list, &call_err);

		check_made(lists[i].name, queue != NULL);
		check_infos(lists[i].name, query_clGetCommandQueueInfo, queue, infos,
			    ARRAY_SIZE(infos));
		check_code(named("%s finish", lists[i].name), clFinish(queue));
		MUST(clReleaseCommandQueue(queue));
	}
	check_infos("created without a list", query_clGetCommandQueueInfo, fix->queue, &infos[1],
		    1);
}

static void properties_wrong(const struct fixture *fix)
{
	const struct {
		const char *name;
		const cl_queue_properties *list;
	} lists[] = {
		{"unknown property in a list", LIST(0x7dea, 1)},
		{"unknown bits in a list", LIST(CL_QUEUE_PROPERTIES, 1 << 20)},
		{"property twice", LIST(CL_QUEUE_PROPERTIES, 0, CL_QUEUE_PROPERTIES, 0)},
		{"size of a queue on the host", LIST(CL_QUEUE_SIZE, 16)},
		{"size of an out-of-order queue on the host",
		 LIST(CL_QUEUE_SIZE, 16, CL_QUEUE_PROPERTIES,
		      CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)},
		{"default queue of the host",
		 LIST(CL_QUEUE_PROPERTIES, CL_QUEUE_ON_DEVICE_DEFAULT)},
	};

	WRONG_MADE("context NULL with a list",
		   clCreateCommandQueueWithProperties(NULL, fix->device, NULL, &call_err));
	WRONG_MADE("device NULL with a list",
		   clCreateCommandQueueWithProperties(fix->context, NULL, NULL, &call_err));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		WRONG_MADE(lists[i].name,
			   clCreateCommandQueueWithProperties(fix->context, fix->device,
							      lists[i].list, &call_err));
}

static void flush_check(const struct fixture *fix)
{
	check_code("flush of an empty queue", clFlush(fix->queue));
	check_code("finish of an empty queue", clFinish(fix->queue));
	check_code("flush after finish", clFlush(fix->queue));
	check_code("finish twice", clFinish(fix->queue));
}

/* Work runs to its end although its queue was released right after it was enqueued. */
static void released_early_check(const struct fixture *fix)
{
	cl_command_queue queue =
		MUST_MAKE(clCreateCommandQueue(fix->context, fix->device, 0, &call_err));
	cl_mem buffer = buffer_patterned(fix, 65536, 1);
	cl_mem copy =
		MUST_MAKE(clCreateBuffer(fix->context, CL_MEM_READ_WRITE, 65536, NULL, &call_err));
	cl_event done = NULL;
	cl_int status = CL_QUEUED;

	check_code("copy", clEnqueueCopyBuffer(queue, buffer, copy, 0, 0, 65536, 0, NULL, &done));
	check_code("release with work in it", clReleaseCommandQueue(queue));
	check_code("release source with work on it", clReleaseMemObject(buffer));
	check_code("wait", clWaitForEvents(1, &done));
	MUST(clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
			    NULL));
	check_status("status", status);
	check_buffer_sum("copied", fix->queue, copy, 65536);
	MUST(clReleaseEvent(done));
	MUST(clReleaseMemObject(copy));
}

/* Many writes in order: the last one is what stays. */
static void order_check(const struct fixture *fix)
{
	enum { WRITES = 1000 };
	static int values[WRITES];
	cl_mem buffer = MUST_MAKE(
		clCreateBuffer(fix->context, CL_MEM_READ_WRITE, sizeof(int), NULL, &call_err));
	int answer = 0;

	for (int i = 0; i < WRITES; i++) {
		values[i] = i + 1;
		MUST(clEnqueueWriteBuffer(fix->queue, buffer, CL_FALSE, 0, sizeof(int), &values[i],
					  0, NULL, NULL));
	}
	check_code("read after 1000 writes",
		   clEnqueueReadBuffer(fix->queue, buffer, CL_TRUE, 0, sizeof(int), &answer, 0,
				       NULL, NULL));
	check_number("last of 1000 writes", (unsigned)answer);
	MUST(clReleaseMemObject(buffer));
}

int main(void)
{
	struct fixture fix;

	transcript_begin("queue");
	fixture_open(&fix);
	creation_check(&fix);
	creation_wrong(&fix);
	properties_check(&fix);
	properties_wrong(&fix);
	flush_check(&fix);
	released_early_check(&fix);
	order_check(&fix);
	fixture_close(&fix);
	return transcript_end();
}
