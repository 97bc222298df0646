#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run a public suite of OpenCL tests natively and through guestcl, and compare test by test.

What each test's outcome has to be natively stands in expected/SUITE.txt, written by --update. A
test that comes out otherwise through guestcl is a failure unless differences.txt says why it may;
lines of either file that are not true any more are failures, too.
"""

import argparse
import importlib
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import lists
import run

HERE = pathlib.Path(__file__).resolve().parent
SUITES = ("piglit", "pyopencl", "clfft", "clblast")
SKIPPED = 77
SHOWN = 40


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument(
        "--build", type=pathlib.Path, default=HERE.parent.parent / "build", help="build folder"
    )
    parser.add_argument("--full", action="store_true", help="the whole suite, not the quick part")
    parser.add_argument("--only", metavar="TEXT", help="tests whose name has this in it")
    parser.add_argument("--update", action="store_true", help="write what native gives as expected")
    parser.add_argument("--list", action="store_true", help="print the tests' names")
    parser.add_argument("--timeout", type=float, help="of each program, in seconds (600; 7200 with --full)")
    parser.add_argument(
        "--with-guestcld", default="", metavar="OPTIONS", help="options of tests/with-guestcld"
    )
    parser.add_argument("--gather", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--title", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.timeout = options.timeout or (7200 if options.full else 600)
    return options


def chosen(options):
    suite = importlib.import_module(f"{options.suite}_tests")
    return [
        test
        for test in suite.tests(options)
        if (options.full or test.part) and (not options.only or options.only in test.name)
    ]


def start(side, directory, options):
    """Another of this program, which only gathers: natively, or with guestcl as its platform."""
    path = directory / side
    command = [sys.executable, "-B", __file__, options.suite, "--build", options.build]
    command += ["--gather", path, "--title", f"{options.suite} {side}"]
    command += ["--timeout", options.timeout, *(["--full"] if options.full else [])]
    command += ["--only", options.only] if options.only else []
    environment = {**os.environ, "GUESTCL_BUILD": str(options.build)}
    if side == "native":
        cache = options.build / "tests/native-cache" / f"suite-{options.suite}"
        cache.mkdir(parents=True, exist_ok=True)
        environment.update(POCL_CACHE_DIR=str(cache), OCL_ICD_VENDORS=run.NATIVE_VENDORS)
    else:
        command = [HERE.parent / "with-guestcld", *options.with_guestcld.split(), *command]
    # It ends with us, however we end.
    command = ["setpriv", "--pdeathsig", "TERM", *command]
    return path, subprocess.Popen([str(word) for word in command], env=environment)


def both(directory, options):
    """Side by side: one waits while the other computes."""
    started = {side: start(side, directory, options) for side in ("native", "guestcl")}
    sides, faults = {}, []
    for side, (path, process) in started.items():
        if process.wait():
            faults.append(f"{side}: ended with {process.returncode}")
        sides[side] = run.gathered(path) if path.exists() else ({}, {})
    return sides["native"], sides["guestcl"], faults


def judge(native, guest, options):
    """Yields what is wrong, each with the name of the result."""
    differences = lists.Differences(HERE / "differences.txt", options.suite)
    expected = lists.expected_read(HERE / "expected" / f"{options.suite}.txt")
    whole = options.full and not options.only
    yield from differences.compare(native, guest, whole)
    if options.update:
        lists.expected_write(HERE / "expected" / f"{options.suite}.txt", expected, native, whole,
                             differences.varying)  # fmt: skip
    else:
        yield from lists.expected_compare(expected, native, whole, differences.varying)


def report(faults, native_tails, guest_tails):
    shown = []
    for name, _ in faults[:SHOWN]:
        for side, tails in (("native", native_tails), ("guestcl", guest_tails)):
            tail = tails.get(name, [])
            if tail not in shown:
                print("\n".join(f"  {name}, {side}: {line}" for line in tail))
                shown.append(tail)
    # Last: who shows only the end of this shows what is wrong.
    for name, text in faults:
        print(f"{name}: {text}")


def main():
    options = arguments()
    try:
        tests = chosen(options)
    except run.Missing as missing:
        print(f"NOT RUN: {missing} is not there (scripts/packages.txt, group check)")
        return 1 if os.environ.get("CI") == "true" else SKIPPED
    if options.list:
        print("\n".join(test.name for test in tests))
        return 0
    if options.gather:
        run.gather(tests, options.gather, options.title, options.timeout)
        return 0
    with tempfile.TemporaryDirectory(prefix="guestcl-suites-") as directory:
        native, guest, broken = both(pathlib.Path(directory), options)
    faults = [("run", text) for text in broken]
    faults += judge(native[0], guest[0], options)
    report(faults, native[1], guest[1])
    counts = lists.counts(native[0])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{options.suite}: {len(native[0])} results natively ({counts}), {len(faults)} faults, "
        f"{used.ru_utime + used.ru_stime:.0f} CPU seconds"
    )
    return 1 if faults or not native[0] else 0


if __name__ == "__main__":
    sys.exit(main())
