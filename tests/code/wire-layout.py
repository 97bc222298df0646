# SPDX-License-Identifier: MIT
"""The wire layout is the recorded one: wire-layout.py PROGRAM [--record]."""

import difflib
import subprocess
import sys

import source

RECORDED = source.TOP / "tests" / "code" / "wire-layout.txt"


def main():
    program, *flags = sys.argv[1:]
    text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    if flags == ["--record"]:
        RECORDED.write_text(text)
        return
    diff = difflib.unified_diff(
        RECORDED.read_text().splitlines(), text.splitlines(), "recorded", "built", lineterm="", n=2
    )
    faults = list(diff)
    if faults:
        faults.append(
            "The wire layout changed. If it was meant to, raise GCL_HELLO_VERSION where old and new"
        )
        faults.append(f"cannot talk to each other, and record it: {sys.argv[0]} {program} --record")
    source.finish(faults, "the wire layout is the recorded one")


main()
