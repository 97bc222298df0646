# SPDX-License-Identifier: MIT
"""Every #include follows an arrow of this list: guest-lib -> virtio-cl -> proto <- host-daemon."""

import re

import source

# folder: the folders whose headers it may include, besides its own; "CL" are OpenCL's headers.
# The longest folder that holds a file is the one that counts.
ARROWS = {
    "proto": set(),
    "virtio-cl": {"virtio-cl/base", "virtio-cl/uapi", "proto"},
    "virtio-cl/base": set(),
    # What the driver says to programs and to the device. It may move into the kernel as it is.
    "virtio-cl/uapi": set(),
    "virtio-cl/driver": {"virtio-cl/uapi"},
    # The back end of vhost-user knows of no device, the device of no process.
    "virtio-cl/vhost": {"virtio-cl/base"},
    "virtio-cl/device": {"virtio-cl/vhost", "virtio-cl", "virtio-cl/base", "virtio-cl/uapi"},
    # The only part of the guest's that knows TLS.
    "virtio-cl/tls": {"virtio-cl", "virtio-cl/base"},
    "virtio-cl/tls/tests": {"virtio-cl/tests", "virtio-cl/tls", "virtio-cl", "virtio-cl/base"},
    "virtio-cl/tests": {
        "virtio-cl/device",
        "virtio-cl/vhost",
        "virtio-cl",
        "virtio-cl/base",
        "virtio-cl/uapi",
        "proto",
    },
    "guest-lib": {"guest-lib/ext", "virtio-cl", "virtio-cl/base", "proto", "CL"},
    # What the library offers beside OpenCL, to programs that know nothing else of it.
    "guest-lib/ext": {"CL"},
    "guest-lib/tests": {"guest-lib", "virtio-cl"},
    "tests/ext": {"guest-lib/ext", "CL"},
    # What broker and worker say to each other.
    "host-daemon": set(),
    # What is taken from a worker, in which nothing of OpenCL is known.
    "host-daemon/jail": {"virtio-cl/base"},
    "host-daemon/jail/tests": {"host-daemon/jail", "virtio-cl/base"},
    # The broker never loads an OpenCL driver and never parses what a guest sent.
    "host-daemon/broker": {
        "host-daemon",
        "host-daemon/jail",
        "host-daemon/place",
        "virtio-cl/device",
        "virtio-cl/vhost",
        "virtio-cl",
        "virtio-cl/base",
        "virtio-cl/uapi",
    },
    "host-daemon/worker": {"host-daemon", "host-daemon/jail", "virtio-cl", "virtio-cl/base", "proto", "CL", "guest-lib/ext"},
    # Where tasks run is decided in plain numbers.
    "host-daemon/place": {"virtio-cl/base"},
    "host-daemon/place/tests": {"host-daemon/place", "virtio-cl/base"},
    "tests/sim": {"host-daemon/place", "virtio-cl/base"},
    # What ties guestcl to libvirt is a program of its own.
    "host-daemon/libvirt": {"virtio-cl/base"},
    "host-daemon/libvirt/tests": {"host-daemon/libvirt", "virtio-cl/base"},
    # The broker's table of settings names the options of "guestcl set".
    "host-daemon/tool": {"host-daemon/broker", "virtio-cl/tls", "virtio-cl", "virtio-cl/base", "virtio-cl/uapi"},
    "host-daemon/tool/tests": {"host-daemon/tool", "virtio-cl", "virtio-cl/base"},
    # Certificates: a program of its own.
    "host-daemon/pki": {"virtio-cl/base"},
    # The end of TLS: a program of its own, which knows guestcld by what they say to each other; and one that is a
    # guest of other servers.
    "host-daemon/tls": {"host-daemon", "host-daemon/jail", "virtio-cl/tls", "virtio-cl", "virtio-cl/base"},
    # What talks to etcd: the same.
    "host-daemon/etcd": {"host-daemon", "host-daemon/jail", "virtio-cl/base"},
    "host-daemon/etcd/tests": {"host-daemon/etcd", "host-daemon", "virtio-cl/base"},
    # It knows guestcld by its control socket alone.
    "host-daemon/web": {"host-daemon/tool", "host-daemon/jail", "virtio-cl/base"},
    "host-daemon/web/tests": {"host-daemon/web", "host-daemon/tool", "virtio-cl/base"},
    "host-daemon/tests": {
        "host-daemon",
        "host-daemon/broker",
        "host-daemon/place",
        "virtio-cl",
        "virtio-cl/base",
        "virtio-cl/tests",
        "virtio-cl/uapi",
    },
    "host-daemon/worker/tests": {
        "host-daemon",
        "host-daemon/worker",
        "virtio-cl",
        "virtio-cl/base",
        "proto",
        "CL",
    },
    "examples": {"CL"},
    # Programs that run natively as well can know nothing of guestcl.
    "tests/behaviour": {"CL"},
    "tests/programs": {"CL"},
    "tests/faults": {"CL"},
    "tests/move": {"CL"},
    "tests/net": {"CL"},
    "tests/move": {"CL"},
    # A runtime under the worker that does nothing, for fuzzing.
    "tests/stub-runtime": {"virtio-cl/base", "CL"},
    "tests/bench": {"host-daemon/worker", "virtio-cl", "virtio-cl/base", "proto", "CL"},
    "tests/code": {"virtio-cl", "virtio-cl/base", "proto"},
    # Programs for a guest, which know the driver.
    "tests/vm": {"virtio-cl/uapi", "CL"},
    "tests/vm/hostile": {"virtio-cl/uapi", "virtio-cl/driver"},
    "tests/fuzz": {
        "tests/sim",
        "tests/stub-runtime",
        "host-daemon",
        "host-daemon/broker",
        "host-daemon/etcd",
        "host-daemon/place",
        "host-daemon/worker",
        "guest-lib",
        "virtio-cl/device",
        "virtio-cl/tls",
        "virtio-cl/vhost",
        "virtio-cl/uapi",
        "virtio-cl",
        "virtio-cl/base",
        "proto",
        "CL",
    },
}

# Headers that a build makes, by their ending.
GENERATED = {".pb-c.h": "proto", ".cl.h": "examples"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def folder_of(path):
    name = source.name(path.parent)
    while name not in ARROWS and "/" in name:
        name = name.rpartition("/")[0]
    return name


def target_of(path, included, allowed):
    """The folder that an include leads to, "CL", or None for the system's headers.

    Several folders can have a header of that name: the compiler is given those that are allowed.
    """
    if included.startswith("CL/"):
        return "CL"
    for ending, folder in GENERATED.items():
        if included.endswith(ending):
            return folder
    for root in [path.parent, *(source.TOP / folder for folder in [*allowed, *ARROWS])]:
        if (root / included).is_file():
            return folder_of((root / included).resolve())
    return None


def faults():
    for path in source.files(".c", ".h"):
        folder = folder_of(path)
        allowed = ARROWS.get(folder)
        if allowed is None:
            yield f"{source.name(path)}: {folder} is not in the list of arrows"
            continue
        for bracket, included in INCLUDE.findall(path.read_text()):
            target = target_of(path, included, allowed)
            if target is None and bracket == '"':
                yield f'{source.name(path)}: "{included}" is nowhere'
            elif target not in {None, folder, *allowed}:
                yield f"{source.name(path)}: {folder} may not include {target} ({included})"
            elif folder == "examples" and target == "CL" and included != "CL/cl.h":
                yield f"{source.name(path)}: examples include no OpenCL header but <CL/cl.h>"


source.finish(list(faults()), "every include follows an arrow")
