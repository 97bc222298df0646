# SPDX-License-Identifier: MIT
"""Where the C code is, for the checks beside this file."""

import json
import os
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PARTS = ("proto", "virtio-cl", "guest-lib", "host-daemon", "examples", "tests")


def files(*endings):
    """The files of all parts with one of the endings, sorted; never what a build generated."""
    for part in PARTS:
        for path in sorted((TOP / part).rglob("*")):
            if path.suffix in endings and path.is_file():
                yield path


def compile_commands(build):
    """The compile command of each of our own C files, by path."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(TOP) and not path.is_relative_to(build):
            commands[path] = entry
    return commands


def name(path):
    return str(path.relative_to(TOP))


def finish(faults, what):
    """Prints the faults, or what is in order, and ends the check."""
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(1)
    print(what)


def workers():
    return os.cpu_count() or 1
