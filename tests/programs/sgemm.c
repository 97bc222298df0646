/* SPDX-License-Identifier: MIT */
/*
 * Multiplies matrices with CLBlast's SGEMM and checks them against a multiplication of its own.
 */
#include "first-device.h"

#include <clblast_c.h>

static void reference(const float *a, const float *b, float *c, size_t m, size_t n, size_t k)
{
	for (size_t row = 0; row < m; row++) {
		for (size_t column = 0; column < n; column++) {
			double sum = 0;

			for (size_t i = 0; i < k; i++)
				sum += (double)a[row * k + i] * (double)b[i * n + column];
			c[row * n + column] =
				(float)(1.5 * sum + 0.5 * (double)c[row * n + column]);
		}
	}
}

/* Small sizes take CLBlast's direct kernel, large ones are padded and transposed first. */
static void multiply(struct first_device *d, size_t m, size_t n, size_t k)
{
	float *a = floats_make(m * k, 1), *b = floats_make(k * n, 2), *c = floats_make(m * n, 3);
	float *result = floats_make(m * n, 4);
	cl_mem a_buffer = floats_upload(d, a, m * k);
	cl_mem b_buffer = floats_upload(d, b, k * n);
	cl_mem c_buffer = floats_upload(d, c, m * n);
	cl_event done;
	char name[64];

	snprintf(name, sizeof name, "sgemm %zux%zux%zu", m, n, k);
	check(CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, m, n, k,
			   1.5f, a_buffer, 0, k, b_buffer, 0, n, 0.5f, c_buffer, 0, n, &d->queue,
			   &done),
	      name);
	check(clWaitForEvents(1, &done), "clWaitForEvents");
	check(clReleaseEvent(done), "clReleaseEvent");
	floats_download(d, c_buffer, result, m * n);
	reference(a, b, c, m, n, k);
	floats_check(name, result, c, m * n, 1e-3f);
	floats_print(name, result, m * n);
	clReleaseMemObject(a_buffer);
	clReleaseMemObject(b_buffer);
	clReleaseMemObject(c_buffer);
	free(a);
	free(b);
	free(c);
	free(result);
}

int main(void)
{
	struct first_device d = first_device_open();

	multiply(&d, 37, 29, 61);
	multiply(&d, 256, 200, 300);
	multiply(&d, 768, 512, 640);
	check(CLBlastClearCache(), "CLBlastClearCache");
	first_device_close(&d);
	return 0;
}
