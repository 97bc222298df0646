// SPDX-License-Identifier: MIT
/*
 * Shared virtual memory: lists whose pointers the program writes, and the kernels follow and turn
 * round. Allocations come and go while the queue is anywhere.
 */
#define CL_TARGET_OPENCL_VERSION 200
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <stdlib.h>

#include "workload.h"

#define LISTS 3u
#define NODES 500u

/* From the last node to the first: each points to the one before it then. */
static const char source[] = "struct node { global struct node *next; uint value; };\n"
			     "kernel void turn(global struct node *global *head, uint number)\n"
			     "{\n"
			     "	global struct node *done = 0, *it = *head;\n"
			     "\n"
			     "	while (it) {\n"
			     "		global struct node *next = it->next;\n"
			     "\n"
			     "		it->value = it->value * 1664525u + number;\n"
			     "		it->next = done;\n"
			     "		done = it;\n"
			     "		it = next;\n"
			     "	}\n"
			     "	*head = done;\n"
			     "}\n";

struct node {
	struct node *next;
	uint32_t value;
};

/* Nodes in two allocations, which take turns in the list. */
struct chain {
	struct node **head;
	struct node *nodes[2];
	cl_kernel turn;
	uint32_t values[NODES]; /* from the head on, as they should be */
};

struct svm {
	cl_program program;
	struct chain chains[LISTS];
};

static void *svm_make(struct workload *w, size_t size)
{
	void *memory = clSVMAlloc(w->context, CL_MEM_READ_WRITE, size, 0);

	if (!memory)
		wrong("clSVMAlloc: no memory");
	return memory;
}

static void map(struct workload *w, void *memory, size_t size, cl_map_flags flags)
{
	must("clEnqueueSVMMap",
	     clEnqueueSVMMap(w->queue, CL_TRUE, flags, memory, size, 0, NULL, NULL));
}

static void unmap(struct workload *w, void *memory)
{
	must("clEnqueueSVMUnmap", clEnqueueSVMUnmap(w->queue, memory, 0, NULL, NULL));
}

#define HALF (NODES / 2 * sizeof(struct node))

static void chain_make(struct workload *w, struct svm *self, struct chain *chain)
{
	struct node *next = NULL;
	cl_int err;

	chain->head = svm_make(w, sizeof *chain->head);
	for (int i = 0; i < 2; i++) {
		chain->nodes[i] = svm_make(w, HALF);
		map(w, chain->nodes[i], HALF, CL_MAP_WRITE_INVALIDATE_REGION);
	}
	for (unsigned i = NODES; i--;) {
		struct node *node = &chain->nodes[i % 2][i / 2];

		chain->values[i] = node->value = chance(w, 1u << 30);
		node->next = next;
		next = node;
	}
	must("clEnqueueSVMMemcpy",
	     clEnqueueSVMMemcpy(w->queue, CL_TRUE, chain->head, &next, sizeof next, 0, NULL, NULL));
	unmap(w, chain->nodes[0]);
	unmap(w, chain->nodes[1]);
	chain->turn = clCreateKernel(self->program, "turn", &err);
	must("clCreateKernel", err);
	must("clSetKernelArgSVMPointer", clSetKernelArgSVMPointer(chain->turn, 0, chain->head));
	must("clSetKernelExecInfo", clSetKernelExecInfo(chain->turn, CL_KERNEL_EXEC_INFO_SVM_PTRS,
							sizeof chain->nodes, chain->nodes));
}

static void chain_free(struct workload *w, struct chain *chain)
{
	void *all[] = {chain->head, chain->nodes[0], chain->nodes[1]};

	must("clEnqueueSVMFree", clEnqueueSVMFree(w->queue, 3, all, NULL, NULL, 0, NULL, NULL));
	must("clReleaseKernel", clReleaseKernel(chain->turn));
}

static void chain_turn(struct workload *w, struct chain *chain)
{
	const uint32_t number = chance(w, 1u << 20);
	const size_t one = 1;

	must("clSetKernelArg", clSetKernelArg(chain->turn, 1, sizeof number, &number));
	must("clEnqueueNDRangeKernel",
	     clEnqueueNDRangeKernel(w->queue, chain->turn, 1, NULL, &one, NULL, 0, NULL, NULL));
	for (unsigned i = 0; i < NODES / 2; i++) {
		uint32_t first = chain->values[i], last = chain->values[NODES - 1 - i];

		chain->values[i] = last * 1664525u + number;
		chain->values[NODES - 1 - i] = first * 1664525u + number;
	}
}

static void chain_check(struct workload *w, struct chain *chain)
{
	const struct node *it;
	uint32_t got[NODES];
	unsigned count = 0;

	map(w, chain->head, sizeof *chain->head, CL_MAP_READ);
	map(w, chain->nodes[0], HALF, CL_MAP_READ);
	map(w, chain->nodes[1], HALF, CL_MAP_READ);
	for (it = *chain->head; it && count < NODES; it = it->next)
		got[count++] = it->value;
	if (it || count != NODES)
		wrong("a list of %u%s", count, it ? " and more" : "");
	unmap(w, chain->nodes[0]);
	unmap(w, chain->nodes[1]);
	unmap(w, chain->head);
	words_check(w, "list", got, chain->values, NODES);
}

static void init(struct workload *w, void *data)
{
	struct svm *self = data;

	self->program = program_make(w, source, "");
	for (unsigned i = 0; i < LISTS; i++)
		chain_make(w, self, &self->chains[i]);
}

static void round_do(struct workload *w, void *data, unsigned number)
{
	struct svm *self = data;

	for (unsigned i = 0; i < LISTS; i++)
		for (unsigned turns = 1 + chance(w, 3); turns; turns--)
			chain_turn(w, &self->chains[i]);
	for (unsigned i = 0; i < LISTS; i++)
		chain_check(w, &self->chains[i]);
	if (number % 3)
		return;
	chain_free(w, &self->chains[number % LISTS]);
	chain_make(w, self, &self->chains[number % LISTS]);
}

static void fini(struct workload *w, void *data)
{
	struct svm *self = data;

	for (unsigned i = 0; i < LISTS; i++)
		chain_free(w, &self->chains[i]);
	must("clFinish", clFinish(w->queue));
	must("clReleaseProgram", clReleaseProgram(self->program));
}

const struct mode mode_svm = {"svm", sizeof(struct svm), init, round_do, fini};
