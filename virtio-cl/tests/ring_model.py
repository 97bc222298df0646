#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks ring.pml in full, and that the check finds each of its mutations wrong."""

import pathlib
import re
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).with_name("ring.pml")
ROOMS = ["-DROOM=1", "-DROOM=2", "-DROOM=3", "-DROOM=4"]
MUTATIONS = ["-DNO_SLEEPER_FENCE", "-DNO_WAKER_FENCE", "-DNO_RECHECK", "-DNO_BELL_KEPT"]


def errors(folder, spin, cc, option):
    """How many errors the checker finds in the model with @option; it must get to the end."""

    def run(*command):
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"{command}: {result.stdout}{result.stderr}")
        return result.stdout

    run(spin, option, "-a", MODEL)
    run(*cc, "-w", "-DSAFETY", "-o", "pan", "pan.c")
    out = run("./pan", "-m100000")
    count = int(re.search(r"errors: (\d+)", out).group(1))
    # A search ends at its first error; one that ends before for another reason shows nothing.
    if not count and ("not completed" in out or "depth too small" in out):
        sys.exit(f"{option}: the search was cut short\n{out}")
    return count


def main():
    spin, *cc = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for option in ROOMS + MUTATIONS:
            found = errors(folder, spin, cc, option)
            good = (found > 0) == (option in MUTATIONS)
            print(f"{option}: {found} errors{'' if good else ', which is WRONG'}")
            failed += not good
    return failed


if __name__ == "__main__":
    sys.exit(main())
