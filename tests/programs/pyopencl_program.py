# SPDX-License-Identifier: MIT
"""What a program with python3-pyopencl does: arrays, reductions, scans, images, events, maps."""

import numpy as np
import pyopencl as cl
import pyopencl.array as cl_array
from pyopencl.elementwise import ElementwiseKernel
from pyopencl.reduction import ReductionKernel
from pyopencl.scan import InclusiveScanKernel

SOURCE = """
__kernel void saxpy(float a, __global const float *x, __global float *y)
{
    size_t i = get_global_id(0);
    y[i] += a * x[i];
}

__kernel void turn(read_only image2d_t in, write_only image2d_t out, sampler_t nearest)
{
    int2 at = (int2)(get_global_id(0), get_global_id(1));
    write_imageui(out, at.yx, read_imageui(in, nearest, at));
}

__kernel void sum_groups(__global const int *in, __global int *out, __local int *part)
{
    int i = get_local_id(0);
    part[i] = in[get_global_id(0)];
    for (int half_size = get_local_size(0) / 2; half_size > 0; half_size /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (i < half_size)
            part[i] += part[i + half_size];
    }
    if (i == 0)
        out[get_group_id(0)] = part[0];
}
"""


def buffers(context, queue, program):
    x = np.arange(4096, dtype=np.float32)
    y = np.ones_like(x)
    flags = cl.mem_flags
    x_buffer = cl.Buffer(context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=x)
    y_buffer = cl.Buffer(context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=y)
    event = program.saxpy(queue, x.shape, None, np.float32(0.5), x_buffer, y_buffer)
    cl.enqueue_copy(queue, y, y_buffer, wait_for=[event])
    assert np.array_equal(y, 1 + 0.5 * x)
    mapped, _ = cl.enqueue_map_buffer(
        queue, y_buffer, cl.map_flags.WRITE, 64, (16,), np.float32, is_blocking=True
    )
    mapped[:] = -1
    mapped.base.release(queue)
    cl.enqueue_copy(queue, y, y_buffer)
    print("buffers", y[:20].tolist(), y[16:33].tolist(), float(y.sum()))


def images(context, queue, program):
    size = 48
    picture = np.arange(size * size * 4, dtype=np.uint8).reshape(size, size, 4)
    image = cl.image_from_array(context, picture, 4)
    layout = cl.ImageFormat(cl.channel_order.RGBA, cl.channel_type.UNSIGNED_INT8)
    turned = cl.Image(context, cl.mem_flags.WRITE_ONLY, layout, shape=(size, size))
    sampler = cl.Sampler(context, False, cl.addressing_mode.CLAMP, cl.filter_mode.NEAREST)
    program.turn(queue, (size, size), None, image, turned, sampler)
    result = np.empty_like(picture)
    cl.enqueue_copy(queue, result, turned, origin=(0, 0), region=(size, size))
    print("images", np.array_equal(result, picture.transpose(1, 0, 2)), int(result.sum()))


def local_memory(context, queue, program):
    values = cl_array.to_device(queue, np.arange(1024, dtype=np.int32))
    sums = cl_array.zeros(queue, 16, np.int32)
    program.sum_groups(queue, (1024,), (64,), values.data, sums.data, cl.LocalMemory(64 * 4))
    print("local memory", sums.get().tolist())


def generated_kernels(context, queue):
    a = cl_array.arange(queue, 10000, dtype=np.int32)
    b = (a * 3 + 1).astype(np.float32)
    swap = ElementwiseKernel(context, "float *v, float k", "v[i] = k - v[i]", "swap_sign")
    swap(b, np.float32(7))
    dot = ReductionKernel(
        context, np.float32, "0", "a + b", map_expr="x[i] * y[i]",
        arguments="__global float *x, __global float *y",
    )
    running = InclusiveScanKernel(context, np.int32, "a + b", neutral="0")
    running(a)
    print("elementwise", b.get()[:5].tolist())
    print("reduction", float(dot(b[:100], b[:100]).get()))
    print("scan", a.get()[[0, 1, 99, 9999]].tolist())


def errors(context):
    try:
        cl.Program(context, "__kernel void broken(").build()
    except cl.RuntimeError as error:
        print("a broken program is refused with", error.code)
    try:
        cl.Buffer(context, cl.mem_flags.READ_WRITE, 0)
    except cl.LogicError as error:
        print("an empty buffer is refused with", error.code)


def main():
    context = cl.Context(cl.get_platforms()[0].get_devices())
    queue = cl.CommandQueue(
        context, properties=cl.command_queue_properties.PROFILING_ENABLE
    )
    program = cl.Program(context, SOURCE).build()
    print("kernels", sorted(kernel.function_name for kernel in program.all_kernels()))
    buffers(context, queue, program)
    images(context, queue, program)
    local_memory(context, queue, program)
    generated_kernels(context, queue)
    errors(context)


main()
