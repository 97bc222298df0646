#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Add up the tests of some builds: summary.py [--broken STEP]... BUILD...

Reads each build's meson-logs/testlog*.json. A test that speaks TAP counts as its subtests. The last
line is "N passed, N failed"; the exit status is 0 when nothing failed. Skipped tests are named, and
count as failed when CI=true. What failed tests printed last stands before the names: whoever sees
only the end sees why.
"""

import argparse
import json
import os
import pathlib
import re
import sys

TAP = re.compile(r"^(ok|not ok)\b(?:.*#\s*(SKIP|TODO)\b)?", re.IGNORECASE | re.MULTILINE)
PASSED = {"OK", "EXPECTEDFAIL"}

# Lines of what a failed test printed; and tests so shown.
TAIL = 25
SHOWN = 10


class Sum:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []
        self.tails = {}

    def add(self, name, entry):
        subtests = TAP.findall(entry.get("stdout", ""))
        ok = sum(result.lower() == "ok" and not directive for result, directive in subtests)
        bad = sum(result.lower() != "ok" and not directive for result, directive in subtests)
        if entry["result"] == "SKIP":
            self.skipped.append(name)
        elif entry["result"] in PASSED:
            self.passed += max(ok, 1)
        else:
            self.passed += ok
            self.failed += [name] * max(bad, 1)
            self.tails[name] = [
                line
                for stream in ("stdout", "stderr")
                for line in entry.get(stream, "").splitlines()[-TAIL:]
            ]

    def read(self, build):
        for log in sorted((build / "meson-logs").glob("testlog*.json")):
            for line in log.read_text().splitlines():
                entry = json.loads(line)
                self.add(f"{build.name}: {entry['name']}", entry)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broken", action="append", default=[], metavar="STEP")
    parser.add_argument("build", nargs="+", type=pathlib.Path)
    options = parser.parse_args()

    total = Sum()
    for build in options.build:
        total.read(build)
    total.failed += options.broken
    for name, tail in list(total.tails.items())[:SHOWN]:
        print(f"== the end of {name}", *tail, sep="\n  ")
    for name in total.skipped:
        print(f"SKIPPED {name}")
    if os.environ.get("CI") == "true":
        total.failed += total.skipped
    for name in dict.fromkeys(total.failed):
        print(f"FAILED {name}")
    print(f"{total.passed} passed, {len(total.failed)} failed")
    sys.exit(1 if total.failed or not total.passed else 0)


main()
