#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""beyond-memory.py: buffers that are larger than the machine that asks for them.

Fills each, runs a kernel over its end, copies parts within it, and maps one. Says "fine" if all of
it is as it should be."""

import os

import numpy
import pyopencl as cl

PART = 1 << 20
SOURCE = """
kernel void add(global uint *a, ulong first, uint value) { a[first + get_global_id(0)] += value; }
"""


def check(context, queue, add, size):
    """One buffer of that size; it is returned, so that it stays."""
    buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, size)
    words = numpy.zeros(PART // 4, numpy.uint32)
    last = size - PART
    cl.enqueue_fill_buffer(queue, buffer, numpy.uint32(5), last, PART)
    add(queue, (PART // 4,), None, buffer, numpy.uint64(last // 4), numpy.uint32(37))
    cl.enqueue_copy(queue, buffer, buffer, byte_count=PART, src_offset=last, dst_offset=0)
    cl.enqueue_copy(queue, words, buffer, src_offset=last)
    assert (words == 42).all(), words
    words[:] = 0
    cl.enqueue_copy(queue, words, buffer)
    assert (words == 42).all(), words
    mapped, _ = cl.enqueue_map_buffer(
        queue, buffer, cl.map_flags.READ | cl.map_flags.WRITE, last, (PART // 4,), numpy.uint32
    )
    assert (mapped == 42).all(), mapped
    mapped[:] = 7
    mapped.base.release(queue)
    cl.enqueue_copy(queue, words, buffer, src_offset=last)
    assert (words == 7).all(), words
    return buffer


def main():
    context = cl.create_some_context(interactive=False)
    queue = cl.CommandQueue(context)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = context.devices[0].max_mem_alloc_size
    # One buffer, if the device makes one so large; else as few as it takes.
    count = -(-(machine + 512 * PART) // limit)
    size = (machine // count // PART + 512) * PART
    assert size <= limit, f"the device has too little memory for {size} bytes: {limit}"
    add = cl.Program(context, SOURCE).build().add
    held = [check(context, queue, add, size) for _ in range(count)]
    assert sum(buffer.size for buffer in held) > machine
    print("fine")


main()
