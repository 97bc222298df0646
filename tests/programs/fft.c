/* SPDX-License-Identifier: MIT */
/*
 * Transforms complex numbers with clFFT there and back, and checks one frequency by hand.
 */
#include "first-device.h"

#include <clFFT.h>
#include <math.h>

static void reference_check(const float *in, const float *out, size_t n, size_t frequency)
{
	double re = 0, im = 0;
	float expected[2];

	for (size_t i = 0; i < n; i++) {
		double angle = -2.0 * M_PI * (double)(frequency * i % n) / (double)n;

		re += (double)in[2 * i] * cos(angle) - (double)in[2 * i + 1] * sin(angle);
		im += (double)in[2 * i] * sin(angle) + (double)in[2 * i + 1] * cos(angle);
	}
	expected[0] = (float)re;
	expected[1] = (float)im;
	floats_check("frequency", out + 2 * frequency, expected, 2, 2e-2f);
}

static void transform_back(struct first_device *d, clfftPlanHandle plan, cl_mem buffer,
			   const char *name, const float *in, float *out, size_t n)
{
	check(clfftEnqueueTransform(plan, CLFFT_BACKWARD, 1, &d->queue, 0, NULL, NULL, &buffer,
				    NULL, NULL),
	      name);
	check(clFinish(d->queue), "clFinish");
	floats_download(d, buffer, out, 2 * n);
	floats_check(name, out, in, 2 * n, 1e-4f);
	floats_print(name, out, 2 * n);
}

static void transform(struct first_device *d, clfftDim dim, const size_t *lengths)
{
	size_t n = lengths[0] * (dim == CLFFT_2D ? lengths[1] : 1);
	float *in = floats_make(2 * n, (uint32_t)n), *out = floats_make(2 * n, 0);
	cl_mem buffer = floats_upload(d, in, 2 * n);
	clfftPlanHandle plan;
	char name[64];

	snprintf(name, sizeof name, "fft %zux%zu", lengths[0], n / lengths[0]);
	check(clfftCreateDefaultPlan(&plan, d->context, dim, lengths), "clfftCreateDefaultPlan");
	check(clfftSetLayout(plan, CLFFT_COMPLEX_INTERLEAVED, CLFFT_COMPLEX_INTERLEAVED),
	      "clfftSetLayout");
	check(clfftSetResultLocation(plan, CLFFT_INPLACE), "clfftSetResultLocation");
	check(clfftBakePlan(plan, 1, &d->queue, NULL, NULL), "clfftBakePlan");
	check(clfftEnqueueTransform(plan, CLFFT_FORWARD, 1, &d->queue, 0, NULL, NULL, &buffer, NULL,
				    NULL),
	      name);
	check(clFinish(d->queue), "clFinish");
	floats_download(d, buffer, out, 2 * n);
	if (dim == CLFFT_1D)
		reference_check(in, out, n, 17);
	floats_print(name, out, 2 * n);
	transform_back(d, plan, buffer, name, in, out, n);
	check(clfftDestroyPlan(&plan), "clfftDestroyPlan");
	check(clReleaseMemObject(buffer), "clReleaseMemObject");
	free(in);
	free(out);
}

int main(void)
{
	struct first_device d = first_device_open();
	clfftSetupData setup;

	check(clfftInitSetupData(&setup), "clfftInitSetupData");
	check(clfftSetup(&setup), "clfftSetup");
	transform(&d, CLFFT_1D, (size_t[]){1024});
	transform(&d, CLFFT_1D, (size_t[]){2 * 3 * 5 * 7 * 11});
	transform(&d, CLFFT_2D, (size_t[]){128, 64});
	check(clfftTeardown(), "clfftTeardown");
	first_device_close(&d);
	return 0;
}
