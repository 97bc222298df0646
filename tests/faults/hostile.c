// SPDX-License-Identifier: MIT
/*
 * A guest program whose kernel is hostile native code: it makes the system calls that it is told, a
 * line at a time, in its worker. Where kernels are not native code for x86-64 it says so and ends.
 *
 * A line has steps, separated by ';', each of words. In order:
 *
 * call NUMBER ARGUMENT...   a system call
 * repeat N NUMBER ARGUMENT...  the same until it fails, N times at most; how often it succeeded
 * forks N / threads N       so many that do nothing for a while; how many there were
 * memory N                  so many MiB, touched; how many there were
 *
 * An argument is a number, "'TEXT" (bytes, %XX for others), or "=N": the result of step N. The
 * answer is "results" and one number for each step, as the kernel returns it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define STEPS_MAX 16u
#define WORDS	  9u /* kind, count, number, six arguments */
#define DATA_SIZE (4u << 20)
#define ARGUMENTS 6u

enum { CALL, REPEAT, FORKS, THREADS, MEMORY };

struct step {
	cl_long kind, count, number;
	cl_long arguments[ARGUMENTS];
	cl_long data, earlier; /* bit N: what argument N is */
};

static const char source[] =
	"struct step { long kind, count, number, arguments[6], data, earlier; };\n"
	"long enter(long number, long a, long b, long c, long d, long e, long f)\n"
	"{\n"
	"	long result;\n"
	"	__asm__ volatile(\"movq %5, %%r10; movq %6, %%r8; movq %7, %%r9; syscall\"\n"
	"		: \"=a\"(result)\n"
	"		: \"a\"(number), \"D\"(a), \"S\"(b), \"d\"(c), \"r\"(d), \"r\"(e), "
	"\"r\"(f)\n"
	"		: \"rcx\", \"r11\", \"r10\", \"r8\", \"r9\", \"memory\");\n"
	"	return result;\n"
	"}\n"
	/* The child, on whatever stack, has itself ended in 20 seconds, and waits. */
	"long split(long flags, long stack, long seconds)\n"
	"{\n"
	"	long result;\n"
	"	__asm__ volatile(\"xorl %%r10d, %%r10d; xorl %%r8d, %%r8d; syscall\\n\"\n"
	"		\"testq %%rax, %%rax; jnz 2f\\n\"\n"
	"		\"movl $37, %%eax; movq %4, %%rdi; syscall\\n\"\n"
	"		\"1: movl $34, %%eax; syscall; jmp 1b; 2:\\n\"\n"
	"		: \"=a\"(result)\n"
	"		: \"a\"(56l), \"D\"(flags), \"S\"(stack), \"r\"(seconds), \"d\"(0l)\n"
	"		: \"rcx\", \"r11\", \"r10\", \"r8\", \"memory\");\n"
	"	return result;\n"
	"}\n"
	"long splits(global const struct step *step, long stack)\n"
	"{\n"
	"	long made = 0;\n"
	/* SIGCHLD; or all that threads share, and no signal for anyone. */
	"	for (long i = 0; i < step->count; i++) {\n"
	"		long got = step->kind == 2 ? split(17, 0, 20) : split(0x10f00, stack, 0);\n"
	"		if (got < 0) break;\n"
	"		made++;\n"
	"	}\n"
	"	return made;\n"
	"}\n"
	"long hoard(long count)\n"
	"{\n"
	"	for (long i = 0; i < count; i++) {\n"
	"		long at = enter(9, 0, 1 << 20, 3, 0x22, -1, 0);\n"
	"		if (at < 0 && at > -4096) return i;\n"
	"		for (long page = 0; page < 1 << 20; page += 4096)\n"
	"			*(volatile char *)(at + page) = 1;\n"
	"	}\n"
	"	return count;\n"
	"}\n"
	"kernel void hostile(global const struct step *steps, int count, global char *data,\n"
	"		    global long *results)\n"
	"{\n"
	"	for (int i = 0; i < count; i++) {\n"
	"		global const struct step *step = &steps[i];\n"
	"		long a[6], done = 0, got = 0;\n"
	"		for (int n = 0; n < 6; n++) {\n"
	"			a[n] = step->arguments[n];\n"
	"			if (step->data >> n & 1) a[n] += (long)data;\n"
	"			if (step->earlier >> n & 1) a[n] = results[a[n]];\n"
	"		}\n"
	"		if (step->kind == 2 || step->kind == 3)\n"
	"			done = splits(step, (long)data + (4 << 20) - 64);\n"
	"		else if (step->kind == 4)\n"
	"			done = hoard(step->count);\n"
	"		else\n"
	"			do got = enter(step->number, a[0], a[1], a[2], a[3], a[4], a[5]);\n"
	"			while (got >= 0 && ++done < step->count);\n"
	"		results[i] = step->kind ? done : got;\n"
	"	}\n"
	"}\n";

static cl_context context;
static cl_command_queue queue;
static cl_kernel kernel;
static cl_mem steps_memory, data_memory, results_memory;

static struct step steps[STEPS_MAX];
static char data[DATA_SIZE];
static size_t data_used;

/* Copies "'TEXT" into the data. Return: where. */
static cl_long text_take(const char *text)
{
	size_t begin = data_used;

	for (; *text; text++) {
		char digits[3] = {0};

		if (*text == '%' && text[1] && text[2]) {
			memcpy(digits, text + 1, 2);
			data[data_used++] = (char)strtoul(digits, NULL, 16);
			text += 2;
		} else {
			data[data_used++] = *text;
		}
	}
	data[data_used++] = '\0';
	data_used = (data_used + 7) & ~(size_t)7;
	return (cl_long)begin;
}

static void argument_take(struct step *step, size_t n, const char *word)
{
	if (word[0] == '\'') {
		step->arguments[n] = text_take(word + 1);
		step->data |= (cl_long)1 << n;
	} else if (word[0] == '=') {
		step->arguments[n] = strtoll(word + 1, NULL, 0);
		step->earlier |= (cl_long)1 << n;
	} else {
		step->arguments[n] = (cl_long)strtoull(word, NULL, 0);
	}
}

static void step_take(struct step *step, char *text)
{
	static const char *const kinds[] = {"call", "repeat", "forks", "threads", "memory"};
	char *at = NULL, *word = strtok_r(text, " ", &at);
	size_t n = 0;

	*step = (struct step){.count = 1};
	for (cl_long kind = 0; word && kind < 5; kind++) {
		if (strcmp(word, kinds[kind]) == 0)
			step->kind = kind;
	}
	if (step->kind != CALL)
		step->count = strtoll(strtok_r(NULL, " ", &at), NULL, 0);
	word = strtok_r(NULL, " ", &at);
	if (word)
		step->number = strtoll(word, NULL, 0);
	while ((word = strtok_r(NULL, " ", &at)) && n < ARGUMENTS)
		argument_take(step, n++, word);
}

static cl_int run(size_t count, cl_long *results)
{
	const size_t one = 1;
	cl_int number = (cl_int)count, err;

	err = clEnqueueWriteBuffer(queue, steps_memory, CL_TRUE, 0, sizeof steps, steps, 0, NULL,
				   NULL);
	if (!err)
		err = clEnqueueWriteBuffer(queue, data_memory, CL_TRUE, 0, DATA_SIZE, data, 0, NULL,
					   NULL);
	if (!err)
		err = clSetKernelArg(kernel, 1, sizeof number, &number);
	if (!err)
		err = clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, &one, 0, NULL, NULL);
	if (!err)
		err = clEnqueueReadBuffer(queue, results_memory, CL_TRUE, 0,
					  count * sizeof *results, results, 0, NULL, NULL);
	return err;
}

static void line_do(char *line)
{
	cl_long results[STEPS_MAX] = {0};
	char *at = NULL, *text, answer[STEPS_MAX * 24] = "";
	size_t count = 0, used = 0;
	cl_int err;

	data_used = 0;
	while (count < STEPS_MAX && (text = strtok_r(count ? NULL : line, ";\n", &at)))
		step_take(&steps[count++], text);
	err = run(count, results);
	if (err) {
		say("failed %d", err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(answer + used, sizeof answer - used, " %" PRId64,
					 (int64_t)results[i]);
	say("results%s", answer);
}

static void objects_make(cl_device_id device)
{
	const char *text = source;
	cl_program program;
	cl_int err;

	context = clCreateContext(NULL, 1, &device, NULL, NULL, &err);
	must("context", err);
	queue = clCreateCommandQueue(context, device, 0, &err);
	must("queue", err);
	program = clCreateProgramWithSource(context, 1, &text, NULL, &err);
	must("program", err);
	if (clBuildProgram(program, 1, &device, "", NULL, NULL)) {
		say("foreign");
		exit(EXIT_SUCCESS);
	}
	kernel = clCreateKernel(program, "hostile", &err);
	must("kernel", err);
	steps_memory = clCreateBuffer(context, CL_MEM_READ_WRITE, sizeof steps, NULL, &err);
	must("steps", err);
	data_memory = clCreateBuffer(context, CL_MEM_READ_WRITE, DATA_SIZE, NULL, &err);
	must("data", err);
	results_memory =
		clCreateBuffer(context, CL_MEM_READ_WRITE, STEPS_MAX * sizeof(cl_long), NULL, &err);
	must("results", err);
	must("argument", clSetKernelArg(kernel, 0, sizeof steps_memory, &steps_memory));
	must("argument", clSetKernelArg(kernel, 2, sizeof data_memory, &data_memory));
	must("argument", clSetKernelArg(kernel, 3, sizeof results_memory, &results_memory));
}

int main(void)
{
	static char line[65536];
	cl_platform_id platform;
	cl_device_id device;

	must("platform", clGetPlatformIDs(1, &platform, NULL));
	must("device", clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
	objects_make(device);
	say("prepared");
	while (fgets(line, sizeof line, stdin))
		line_do(line);
	return EXIT_SUCCESS;
}
