# SPDX-License-Identifier: MIT
"""clinfo says the same of guestcl as of the host's own platform, line by line.

Each line that may differ is in DIFFERENCES, with its reason; any other difference is a failure, and
so is a listed one that isn't there, so that the list stays true.
"""

import re

import twice

# name: (what guestcl's value has to be, None for no such line; the reason). "{}" is native's value.
DIFFERENCES = {
    "CL_PLATFORM_VERSION": ("{} (guestcl .*)", "the platform says what it is"),
    "CL_PLATFORM_EXTENSIONS": ("cl_khr_icd", "no extension of the host's platform is carried"),
    "CL_PLATFORM_EXTENSIONS_WITH_VERSION": (
        "cl_khr_icd:0x400000",
        "no extension of the host's platform is carried",
    ),
    "CL_PLATFORM_ICD_SUFFIX_KHR": ("GCL", "each platform has its own"),
    "CL_DEVICE_SVM_CAPABILITIES": (
        "CL_DEVICE_SVM_COARSE_GRAIN_BUFFER",
        "memory that both see at any time can't be had",
    ),
    "CL_DEVICE_EXECUTION_CAPABILITIES": (
        "CL_EXEC_KERNEL",
        "a function of the guest can't run on the host",
    ),
    "CL_DEVICE_EXTENSIONS": (".*", "only what is carried; compared below"),
    "CL_DEVICE_EXTENSIONS_WITH_VERSION": (".*", "only what is carried; compared below"),
    "CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR": (None, "command buffers are not carried"),
    "CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR": (
        None,
        "command buffers are not carried",
    ),
    "CL_DEVICE_SPIR_VERSIONS": (None, "SPIR 1.2, which SPIR-V replaced, is not carried"),
}

# Extensions of this host's device that guestcl doesn't show, for the same reasons.
ABSENT = {"cl_khr_command_buffer", "cl_khr_spir"}

# The loader's own properties are not about a platform.
LOADER = "OCLICD"


def properties(text):
    """clinfo --raw's values by (device or platform, name), without the platform's suffix."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(?:\[(\w+)/([*\d]+)\])? *(#?[A-Z]\w+) *(.*)", line)
        if match and match[1] != LOADER:
            key = (match[2] or "", match[3])
            # What the platforms have is listed twice: for all of them, and again for each.
            found.setdefault(key, " ".join(match[4].split()))
    return found


def matches(meant, native, ours):
    if meant is None:
        return ours is None
    if "{}" in meant:
        pattern = re.escape(meant).replace(r"\.\*", ".*").replace(r"\{\}", re.escape(native))
        return ours is not None and re.fullmatch(pattern, ours)
    return ours is not None and re.fullmatch(meant, ours)


def extensions(native, ours):
    """Yields what is wrong with a list of extensions, with or without versions."""
    names = [word for word in native.split() if word.partition(":")[0] not in ABSENT]
    if names != ours.split():
        yield f"extensions: native without {sorted(ABSENT)} '{' '.join(names)}', guestcl '{ours}'"


def compare(native, guest):
    theirs, ours = properties(native.out), properties(guest.out)
    if len(theirs) < 100:
        yield f"clinfo printed only {len(theirs)} properties"
    differ = set()
    for key in dict.fromkeys([*theirs, *ours]):
        name = key[1]
        wanted, found = theirs.get(key), ours.get(key)
        if name in DIFFERENCES:
            if wanted != found:
                differ.add(name)
            if wanted is None or not matches(DIFFERENCES[name][0], wanted, found):
                yield f"{name}: native '{wanted}', guestcl '{found}', meant {DIFFERENCES[name]}"
        elif wanted != found:
            yield f"{name}: native '{wanted}', guestcl '{found}'"
        if name.startswith("CL_DEVICE_EXTENSIONS"):
            yield from extensions(wanted or "", found or "")
    for name in sorted(DIFFERENCES.keys() - differ):
        yield f"{name}: listed as different, but it isn't"


twice.main(lambda options: ["clinfo", "--raw"], compare, ["clinfo"])
