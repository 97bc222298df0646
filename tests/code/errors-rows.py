# SPDX-License-Identifier: MIT
"""Fails when an entry point of the library's dispatch table has no row in the tables of wrong
arguments, tests/behaviour/errors-*.c, or when a row is of a function that isn't there.

Extensions' entry points need none: programs don't get to those of what no device has.
"""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^\t\.(cl\w+) = (\w+),$", re.MULTILINE)
ROW = re.compile(r"\bROW\w*\((cl\w+),")
EXTENSION = re.compile(r"(KHR|EXT)$|GL[A-Z]?")


def main():
    entries = {
        name
        for name, function in ENTRY.findall((TOP / "guest-lib/icd.c").read_text())
        if not EXTENSION.search(name)
    }
    rows = set()
    for path in (TOP / "tests/behaviour").glob("errors-*.c"):
        rows.update(ROW.findall(path.read_text()))
    for name in sorted(entries - rows):
        print(f"{name}: no row of wrong arguments in tests/behaviour/errors-*.c")
    for name in sorted(rows - entries):
        print(f"{name}: has a row, but is not in the dispatch table of guest-lib/icd.c")
    print(f"{len(entries)} entry points, {len(rows)} rows")
    return 1 if entries != rows or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
