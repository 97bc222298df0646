# SPDX-License-Identifier: MIT
"""clpeak runs to its end and prints the same benchmarks; its figures are not compared."""

import os
import re

import twice

TESTS = ["--kernel-latency", "--global-bandwidth"]
# Some 8 GB in each direction, which take minutes over a socket.
if os.environ.get("GUESTCL_TEST_CHANNEL") != "stream":
    TESTS.append("--transfer-bandwidth")
LINES = 12 if "--transfer-bandwidth" in TESTS else 6


def benchmarks(text):
    """The lines of the benchmarks, without their figures."""
    lines = text[text.index("Compute units") :]
    return re.sub(r": (?:[0-9.]+|inf)(?: us)?$", ":", lines, flags=re.MULTILINE)


def figures(text):
    return [float(figure) for figure in re.findall(r": ([0-9.]+|inf)(?: us)?$", text, re.MULTILINE)]


def compare(native, guest):
    yield from twice.same_lines(benchmarks(native.out), benchmarks(guest.out))
    if len(figures(guest.out)) < LINES or not all(figures(guest.out)):
        yield "clpeak through guestcl measured nothing"


twice.main(lambda options: ["clpeak", *TESTS], compare, ["clpeak"])
