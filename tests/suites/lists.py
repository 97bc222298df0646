# SPDX-License-Identifier: MIT
"""The lists that are committed: what native gives, and where guestcl may differ."""

import collections
import sys

OUTCOMES = ("pass", "fail", "skip", "crash")


def counts(results):
    """In words: how many passed, failed, and so on."""
    numbers = collections.Counter(results.values())
    return ", ".join(f"{numbers[outcome]} {outcome}" for outcome in OUTCOMES if numbers[outcome])


def expected_read(path):
    """{name: outcome} of lines "outcome name"."""
    expected = {}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        outcome, _, name = line.partition(" ")
        if line.startswith("#") or not line:
            continue
        if outcome not in OUTCOMES or not name or name in expected:
            sys.exit(f"{path}:{number}: not `outcome name`, or twice")
        expected[name] = outcome
    return expected


def expected_write(path, expected, native, whole, varying):
    """The whole list anew, or only what ran."""
    results = {name: outcome for name, outcome in native.items() if name not in varying}
    results = results if whole else {**expected, **results}
    path.parent.mkdir(exist_ok=True)
    lines = [f"{outcome} {name}\n" for name, outcome in sorted(results.items())]
    path.write_text("".join(["# What native PoCL gives: tests/suites/compare.py --update\n", *lines]))


def expected_compare(expected, native, whole, varying):
    """Yields where native is not what the list says, as (name, text). What isn't listed has to pass."""
    for name, outcome in native.items():
        if name in varying:
            if name in expected:
                yield name, "is in the expected list and said to vary natively"
        elif outcome != expected.get(name, "pass"):
            yield name, f"native gives {outcome}, the list says {expected.get(name, 'nothing')}"
    for name in expected if whole else ():
        if name not in native:
            yield name, "is in the list, but there is no such test"


class Differences:
    """Lines `suite name: native | guestcl | reason`. "*" for native's outcome: it varies there."""

    def __init__(self, path, suite):
        self.listed = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("#") or not line.strip():
                continue
            values = [value.strip() for value in line.rsplit(" | ", 2)]
            name, colon, outcome = values[0].rpartition(": ")
            if len(values) != 3 or not colon or not all(values):
                sys.exit(f"{path}:{number}: not `suite name: native | guestcl | reason`")
            if name.split(" ", 1)[0] == suite:
                self.listed[name.split(" ", 1)[1]] = (outcome, values[1])
        self.varying = {name for name, (outcome, _) in self.listed.items() if outcome == "*"}

    def compare(self, native, guest, whole):
        """Yields what differs and isn't meant to, and lines that are not true, as (name, text)."""
        for name in {**native, **guest}:
            seen = (native.get(name, "no result"), guest.get(name, "no result"))
            meant = self.listed.get(name)
            if not meant and seen[0] != seen[1]:
                yield name, f"native gives {seen[0]}, guestcl {seen[1]}"
            elif meant and any(one not in ("*", what) for one, what in zip(meant, seen)):
                yield name, f"native gives {seen[0]}, guestcl {seen[1]}, listed as {meant}"
        for name in self.listed if whole else ():
            if name not in native and name not in guest:
                yield name, "is in differences.txt, but there is no such test"
