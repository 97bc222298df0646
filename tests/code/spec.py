# SPDX-License-Identifier: MIT
"""SPEC.md says what uapi/virtio_cl.h says: every number, every structure of the device's part."""

import re

import source

HEADER = source.TOP / "virtio-cl" / "uapi" / "virtio_cl.h"
SPEC = source.TOP / "virtio-cl" / "SPEC.md"

# What the header has behind this line is between the driver and programs.
DRIVER_PART = "/dev/virtio-cl */"


def value(text, known):
    """The number that a constant's definition stands for, None if it is none."""
    text = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", text)
    text = re.sub(r"\bVIRTIO_CL_\w+", lambda name: str(known.get(name[0])), text)
    if not re.fullmatch(r"[\s0-9a-fA-Fx()<+*-]+", text):
        return None
    return eval(text, {"__builtins__": {}})


def constants(header):
    found = {}
    pattern = r"#define\s+(VIRTIO_CL_\w+)\s+(.+)|^\s*(VIRTIO_CL_\w+)\s*=\s*(\d+),"
    for define, text, name, number in re.findall(pattern, header, re.MULTILINE):
        number = value(number or text, found)
        if number is not None:
            found[define or name] = number
    return found


def structures(text):
    """The members of each structure, by name, without comments and layout."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"struct (virtio_cl_\w+) \{\n(.*?)\n\};", text, re.DOTALL):
        found[name] = [" ".join(member.split()) for member in body.split(";") if member.strip()]
    return found


def faults():
    header = re.sub(r"/\*(?!.*\*/ *$)", "/*", HEADER.read_text()).split(DRIVER_PART)[0]
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    spec = SPEC.read_text()
    known = constants(header)
    said = dict.fromkeys(known, 0)
    # `NAME` = value in the text, | `NAME` | value | in tables.
    for name, text in re.findall(
        r"`(VIRTIO_CL_\w+)`(?:\s+=\s+|\s*\|\s*)((?:0x)?[0-9][0-9a-f]*(?: << \d+)?)(?=[\s,.|;:)])",
        spec,
    ):
        if name not in known:
            yield f"{name} is not in the header"
        elif value(text, {}) != known[name]:
            yield f"{name} is {known[name]}, but SPEC.md says {text}"
        else:
            said[name] += 1
    yield from (f"SPEC.md does not say what {name} is" for name, count in said.items() if not count)
    for name in set(re.findall(r"VIRTIO_CL_\w+", spec)) - set(known):
        yield f"{name} is not in the header"
    ours, theirs = structures(spec), structures(header)
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield f"struct {name} is not the same in SPEC.md and in the header"


source.finish(list(faults()), "SPEC.md and the header agree")
