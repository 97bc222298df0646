# SPDX-License-Identifier: MIT
"""clinfo lists the same devices with the same properties."""

import re

import twice

# What guestcl says differently, and why, is in guest-lib/: names and versions that say that it is
# guestcl, no features of OpenCL 2.x and 3.0, memory as the guest may have it.
COMPARED = """
Device Name
Device Vendor
Device Vendor ID
Driver Version
Device Type
Device Profile
Device Available
Compiler Available
Linker Available
Max compute units
Max clock frequency
Max sub-devices
Max work item dimensions
Max work item sizes
Max work group size
Preferred / native vector sizes
char
short
int
long
half
float
double
Address bits
Endianness
Denormals
Infinity and NANs
Round to nearest
Round to zero
Round to infinity
IEEE754-2008 fused multiply-add
Error Correction support
Global memory size
Max memory allocation
Minimum alignment for any data type
Alignment of base address
Max constant buffer size
Max number of constant args
Max size of kernel argument
Local memory type
Local memory size
Max number of samplers per kernel
Max 1D or 2D image size
Max 2D image size
Max 3D image size
Max number of read image args
Max number of write image args
Profiling timer resolution
printf() buffer size
Built-in kernels
""".strip().splitlines()


def properties(text):
    """The properties of clinfo's human-readable list, by name; a name may come several times."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r" {2,6}(\S.*?) {2,}(\S.*)", line)
        if match:
            found.setdefault(match[1].strip(), []).append(re.sub(r" +", " ", match[2]))
    return found


def compare(native, guest):
    ours, theirs = properties(guest.out), properties(native.out)
    compared = [name for name in COMPARED if name in theirs]
    if len(compared) < 35:
        yield f"clinfo printed only {len(compared)} of the properties to compare"
    for name in compared:
        if ours.get(name) != theirs[name]:
            yield f"{name}: native {theirs[name]}, guestcl {ours.get(name)}"
    if any("(guestcl)" not in name for name in ours.get("Platform Name", [""])):
        yield f"Platform Name: {ours.get('Platform Name')} does not say guestcl"


twice.main(lambda options: ["clinfo"], compare, ["clinfo"])
