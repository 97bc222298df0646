# SPDX-License-Identifier: MIT
"""ffmpeg's OpenCL filters turn a test picture into the same frames, compared by their MD5."""

import twice

# Images written, read, copied between planes; kernels of several programs on one queue.
FILTERS = ",".join(
    [
        "format=yuv420p",
        "hwupload",
        "avgblur_opencl=sizeX=3",
        "unsharp_opencl=lx=5:ly=5:la=1.5",
        "transpose_opencl=dir=clock",
        "sobel_opencl=planes=6",
        "hwdownload",
        "format=yuv420p",
    ]
)


def command(options):
    words = ["ffmpeg", "-nostdin", "-v", "error"]
    words += ["-init_hw_device", "opencl=ocl", "-filter_hw_device", "ocl"]
    words += ["-f", "lavfi", "-i", "testsrc2=size=320x240:duration=0.6"]
    return words + ["-vf", FILTERS, "-f", "framemd5", "-"]


def compare(native, guest):
    frames = [line for line in native.out.splitlines() if line and not line.startswith("#")]
    if len(frames) != 15 or len({frame.split()[-1] for frame in frames}) < 10:
        yield f"native: {len(frames)} frames where 15 different ones were expected"
    yield from twice.same_lines(native.out, guest.out)


twice.main(command, compare, ["ffmpeg"])
