# SPDX-License-Identifier: MIT
"""clpeak runs to its end and prints the same benchmarks; its figures are not compared."""

import re

import twice

TESTS = ["--kernel-latency", "--global-bandwidth"]
TRANSFERS = "--transfer-bandwidth"
LINES = 6


def command(_):
    return ["clpeak", *TESTS, TRANSFERS]


def of_mode(mode, words):
    """Some 8 GB in each direction take minutes over a socket."""
    return [word for word in words if mode != "stream" or word != TRANSFERS]


def benchmarks(text):
    """The lines of the benchmarks, without their figures."""
    lines = text[text.index("Compute units") :]
    return re.sub(r": (?:[0-9.]+|inf)(?: us)?$", ":", lines, flags=re.MULTILINE)


def figures(text):
    return [float(figure) for figure in re.findall(r": ([0-9.]+|inf)(?: us)?$", text, re.MULTILINE)]


def without_transfers(text):
    return re.sub(r" *Transfer bandwidth.*?\n\n", "", text, flags=re.DOTALL)


def compare(native, guest):
    transfers = "Transfer bandwidth" in guest.out
    wanted = native.out if transfers else without_transfers(native.out)
    yield from twice.same_lines(benchmarks(wanted), benchmarks(guest.out))
    if len(figures(guest.out)) < LINES * (2 if transfers else 1) or not all(figures(guest.out)):
        yield "clpeak through guestcl measured nothing"


twice.main(command, compare, ["clpeak"], of_mode)
