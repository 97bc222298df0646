# SPDX-License-Identifier: MIT
"""clpeak runs to its end and prints the same benchmarks; its figures are not compared."""

import re

import twice

TESTS = ["--kernel-latency", "--global-bandwidth"]
LINES = 6


def command(options):
    # Some 8 GB in each direction, which take minutes over a socket.
    transfers = [] if "stream" in options.mode else ["--transfer-bandwidth"]
    return ["clpeak", *TESTS, *transfers]


def benchmarks(text):
    """The lines of the benchmarks, without their figures."""
    lines = text[text.index("Compute units") :]
    return re.sub(r": (?:[0-9.]+|inf)(?: us)?$", ":", lines, flags=re.MULTILINE)


def figures(text):
    return [float(figure) for figure in re.findall(r": ([0-9.]+|inf)(?: us)?$", text, re.MULTILINE)]


def compare(native, guest):
    yield from twice.same_lines(benchmarks(native.out), benchmarks(guest.out))
    lines = LINES * (2 if "Transfer bandwidth" in native.out else 1)
    if len(figures(guest.out)) < lines or not all(figures(guest.out)):
        yield "clpeak through guestcl measured nothing"


twice.main(command, compare, ["clpeak"])
