/*
 * Hashes blocks of buffers on a device.
 *
 * A work item hashes a block, eight words at a time, which are XXH3's eight lanes: vectors on a
 * CPU, and on a GPU what two memory transactions bring. There are 16 blocks in a MiB, so even
 * buffers of some MiB keep no GPU busy; it is faster than any link all the same.
 *
 * The algorithm, and its constants, are those of the xxHash specification for long inputs with the
 * default secret, which unaligned words have to be read of: these stand as they are needed.
 */
#include "hasher.h"

#include <stdatomic.h>
#include <stdlib.h>

#define GROUP ((size_t)32)

struct gcl_hasher {
	_Atomic unsigned refs;
	cl_context context;
	cl_program program;
	cl_kernel kernel;
};

_Static_assert(GCL_COPY_BLOCK == 65536, "the kernel is written for it");

static const char source[] =
	"#define STRIPE 8\n"	      /* words */
	"#define RUN (16 * STRIPE)\n" /* stripes between which lanes are scrambled */
	"#define RUNS 64\n"
	"__constant ulong secret[24] = {\n"
	"  0xbe4ba423396cfeb8ul, 0x1cad21f72c81017cul, 0xdb979083e96dd4deul,\n"
	"  0x1f67b3b7a4a44072ul, 0x78e5c0cc4ee679cbul, 0x2172ffcc7dd05a82ul,\n"
	"  0x8e2443f7744608b8ul, 0x4c263a81e69035e0ul, 0xcb00c391bb52283cul,\n"
	"  0xa32e531b8b65d088ul, 0x4ef90da297486471ul, 0xd8acdea946ef1938ul,\n"
	"  0x3f349ce33f76faa8ul, 0x1d4f0bc7c7bbdcf9ul, 0x3159b4cd4be0518aul,\n"
	"  0x647378d9c97e9fc8ul, 0xc3ebd33483acc5eaul, 0xeb6313faffa081c5ul,\n"
	"  0x49daf0b751dd0d17ul, 0x9e68d429265516d3ul, 0xfca1477d58be162bul,\n"
	"  0xce31d07ad1b8f88ful, 0x280416958f3acb45ul, 0x7e404bbbcafbd7aful};\n"
	/* From bytes 121, 11 and 117. */
	"#define LAST (ulong8)(\\\n"
	"  0xea647378d9c97e9ful, 0xc5c3ebd33483acc5ul, 0x17eb6313faffa081ul,\\\n"
	"  0xd349daf0b751dd0dul, 0x2b9e68d429265516ul, 0x8ffca1477d58be16ul,\\\n"
	"  0x45ce31d07ad1b8f8ul, 0xaf280416958f3acbul)\n"
	"#define LOW (ulong8)(\\\n"
	"  0x6dd4de1cad21f72cul, 0xa44072db979083e9ul, 0xe679cb1f67b3b7a4ul,\\\n"
	"  0xd05a8278e5c0cc4eul, 0x4608b82172ffcc7dul, 0x9035e08e2443f774ul,\\\n"
	"  0x52283c4c263a81e6ul, 0x65d088cb00c391bbul)\n"
	"#define HIGH (ulong8)(\\\n"
	"  0xd9c97e9fc83159b4ul, 0x3483acc5ea647378ul, 0xfaffa081c5c3ebd3ul,\\\n"
	"  0xb751dd0d17eb6313ul, 0x29265516d349daf0ul, 0x7d58be162b9e68d4ul,\\\n"
	"  0x7ad1b8f88ffca147ul, 0x958f3acb45ce31d0ul)\n"
	"#define PRIME1 0x9e3779b185ebca87ul\n"
	"#define PRIME2 0xc2b2ae3d27d4eb4ful\n"
	"#define PRIME3 0x165667b19e3779f9ul\n"
	"#define PRIME4 0x85ebca77c2b2ae63ul\n"
	"#define PRIME5 0x27d4eb2f165667c5ul\n"
	"ulong8 add(ulong8 lanes, __global const ulong *at, ulong8 words) {\n"
	"  ulong8 data = vload8(0, at), keyed = data ^ words;\n"
	"  return lanes + data.s10325476 + (keyed & 0xfffffffful) * (keyed >> 32);\n"
	"}\n"
	"ulong8 run(ulong8 lanes, __global const ulong *at, uint stripes) {\n"
	"  for (uint i = 0; i < stripes; i++)\n"
	"    lanes = add(lanes, at + i * STRIPE, vload8(0, secret + i));\n"
	"  return lanes;\n"
	"}\n"
	"ulong fold(ulong one, ulong two) { return one * two ^ mul_hi(one, two); }\n"
	"ulong merge(ulong8 lanes, ulong8 words, ulong sum) {\n"
	"  lanes ^= words;\n"
	"  sum += fold(lanes.s0, lanes.s1) + fold(lanes.s2, lanes.s3) +\n"
	"         fold(lanes.s4, lanes.s5) + fold(lanes.s6, lanes.s7);\n"
	"  sum = (sum ^ sum >> 37) * 0x165667919e3779f9ul;\n"
	"  return sum ^ sum >> 32;\n"
	"}\n"
	"__kernel void hash(__global const ulong *data, uint count, uint step,\n"
	"                   __global ulong2 *hashes) {\n"
	"  uint block = get_global_id(0);\n"
	"  if (block >= count) return;\n"
	"  __global const ulong *at = data + (ulong)block * step * RUNS * RUN;\n"
	"  ulong8 lanes = (ulong8)(0xc2b2ae3dul, PRIME1, PRIME2, PRIME3,\n"
	"                          PRIME4, 0x85ebca77ul, PRIME5, 0x9e3779b1ul);\n"
	"  for (uint i = 0; i < RUNS - 1; i++, at += RUN) {\n"
	"    lanes = run(lanes, at, 16);\n"
	"    lanes ^= lanes >> 47;\n"
	"    lanes ^= vload8(2, secret);\n"
	"    lanes *= 0x9e3779b1ul;\n"
	"  }\n"
	"  lanes = add(run(lanes, at, 15), at + 15 * STRIPE, LAST);\n"
	"  hashes[block] = (ulong2)(merge(lanes, LOW, 65536 * PRIME1),\n"
	"                           merge(lanes, HIGH, ~(65536 * PRIME2)));\n"
	"}\n";

static bool device_good(cl_device_id device)
{
	cl_bool little = CL_FALSE, compiler = CL_FALSE;

	clGetDeviceInfo(device, CL_DEVICE_ENDIAN_LITTLE, sizeof little, &little, NULL);
	clGetDeviceInfo(device, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
	return little && compiler;
}

static bool hasher_make(struct gcl_hasher *hasher, cl_device_id device)
{
	const char *text = source;
	cl_int status;

	hasher->program = clCreateProgramWithSource(hasher->context, 1, &text, NULL, &status);
	if (status == CL_SUCCESS)
		status = clBuildProgram(hasher->program, 1, &device, "", NULL, NULL);
	if (status == CL_SUCCESS)
		hasher->kernel = clCreateKernel(hasher->program, "hash", &status);
	return status == CL_SUCCESS;
}

struct gcl_hasher *gcl_hasher_get(struct gcl_hasher *hasher)
{
	if (hasher)
		atomic_fetch_add(&hasher->refs, 1);
	return hasher;
}

void gcl_hasher_put(struct gcl_hasher *hasher)
{
	if (!hasher || atomic_fetch_sub(&hasher->refs, 1) > 1)
		return;
	if (hasher->kernel)
		clReleaseKernel(hasher->kernel);
	if (hasher->program)
		clReleaseProgram(hasher->program);
	clReleaseContext(hasher->context);
	free(hasher);
}

static cl_int hash_enqueue(struct gcl_hasher *hasher, cl_command_queue queue, cl_mem mem,
			   size_t count, size_t step, cl_mem out)
{
	const cl_uint counts[2] = {(cl_uint)count, (cl_uint)step};
	const size_t global = (count + GROUP - 1) / GROUP * GROUP, local = GROUP;
	cl_int status = clSetKernelArg(hasher->kernel, 0, sizeof mem, &mem);

	for (cl_uint i = 0; i < 2 && status == CL_SUCCESS; i++)
		status = clSetKernelArg(hasher->kernel, 1 + i, sizeof counts[i], &counts[i]);
	if (status == CL_SUCCESS)
		status = clSetKernelArg(hasher->kernel, 3, sizeof out, &out);
	if (status == CL_SUCCESS)
		status = clEnqueueNDRangeKernel(queue, hasher->kernel, 1, NULL, &global, &local, 0,
						NULL, NULL);
	return status;
}

cl_int gcl_hasher_run(struct gcl_hasher *hasher, cl_command_queue queue, cl_mem mem, size_t count,
		      size_t step, struct gcl_copy_hash *hashes)
{
	const size_t size = count * sizeof(struct gcl_copy_hash);
	cl_int status;
	cl_mem out;

	if (count == 0)
		return CL_SUCCESS;
	out = clCreateBuffer(hasher->context, CL_MEM_WRITE_ONLY, size, NULL, &status);
	if (status == CL_SUCCESS)
		status = hash_enqueue(hasher, queue, mem, count, step, out);
	if (status == CL_SUCCESS)
		status = clEnqueueReadBuffer(queue, out, CL_TRUE, 0, size, hashes, 0, NULL, NULL);
	if (out)
		clReleaseMemObject(out);
	return status;
}

/* A first run, since runtimes compile for a size of groups then (PoCL): better now than when a
 * program needs the device. */
static bool hasher_try(struct gcl_hasher *hasher, cl_device_id device)
{
	cl_command_queue queue;
	struct gcl_copy_hash hash;
	cl_int status;
	cl_mem mem =
		clCreateBuffer(hasher->context, CL_MEM_READ_ONLY, GCL_COPY_BLOCK, NULL, &status);

	if (!mem)
		return false;
	queue = clCreateCommandQueue(hasher->context, device, 0, &status);
	if (queue)
		status = gcl_hasher_run(hasher, queue, mem, 1, 1, &hash);
	if (queue)
		clReleaseCommandQueue(queue);
	clReleaseMemObject(mem);
	return status == CL_SUCCESS;
}

struct gcl_hasher *gcl_hasher_create(cl_context context, cl_device_id device)
{
	struct gcl_hasher *hasher;

	if (!device_good(device))
		return NULL;
	hasher = calloc(1, sizeof *hasher);
	if (!hasher)
		return NULL;
	hasher->refs = 1;
	hasher->context = context;
	clRetainContext(context);
	if (hasher_make(hasher, device) && hasher_try(hasher, device))
		return hasher;
	gcl_hasher_put(hasher);
	return NULL;
}
