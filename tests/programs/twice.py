# SPDX-License-Identifier: MIT
"""Run a program natively and through guestcl, in each of some modes, and compare what it says.

A case is a file that calls main() with the programs it needs and two functions: command(case)
returns the command line, compare(native, guest) yields what differs. Each run has a directory of
its own, which is also its HOME, so that no run finds what the other left. Only compiled kernels,
which take long, are kept: those of the native run where the caller says, those of the daemon's
workers where with-guestcld keeps them.
"""

import argparse
import dataclasses
import difflib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
NATIVE_VENDORS = "/etc/OpenCL/vendors"

# with-guestcld's options.
MODES = {"resident": [], "staging": ["--staging"], "stream": ["--channel", "stream"]}


@dataclasses.dataclass
class Run:
    """One run of the program: how it ended, what it printed, where it ran."""

    title: str
    status: int
    out: str
    err: str
    directory: pathlib.Path

    def read(self, name):
        return (self.directory / name).read_bytes()


def environment(options, directory):
    return {
        **os.environ,
        "GUESTCL_BUILD": str(options.build),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "XDG_CACHE_HOME": str(directory),
        "POCL_CACHE_DIR": str(options.native_cache),
        "OCL_ICD_VENDORS": NATIVE_VENDORS,
        "LC_ALL": "C.UTF-8",
    }


def run(title, command, directory, options):
    directory.mkdir()
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment(options, directory),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=options.timeout,
        )
    except subprocess.TimeoutExpired as late:
        texts = [(text or b"").decode(errors="replace") for text in (late.stdout, late.stderr)]
        texts[1] += f"\ndid not end within {options.timeout} s"
        return Run(title, -1, *texts, directory)
    return Run(title, done.returncode, done.stdout, done.stderr, directory)


def run_guest(command, mode, directory, options):
    through = options.guest_wrapper.split() or [str(HERE.parent / "with-guestcld"), *MODES[mode]]
    return run(f"guestcl ({mode})", through + command, directory / mode, options)


def same_lines(native, guest):
    """Yields a diff of two texts, nothing when they are equal."""
    return difflib.unified_diff(
        native.splitlines(), guest.splitlines(), "native", "guestcl", lineterm="", n=1
    )


def report(one):
    for name, text in (("stdout", one.out), ("stderr", one.err)):
        for line in text.splitlines()[-40:]:
            print(f"  {one.title} {name}: {line}")


def require(programs):
    """Without a program there is nothing to run: a failure in CI, a loud skip elsewhere."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        print(f"NOT RUN: {' '.join(missing)} not installed (scripts/packages.txt, group check)")
        sys.exit(1 if os.environ.get("CI") == "true" else SKIPPED)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True, help="build folder")
    parser.add_argument("--native-cache", type=pathlib.Path, required=True, metavar="FOLDER")
    parser.add_argument("--mode", action="append", choices=MODES, help="of guestcl (resident)")
    parser.add_argument("--guest-wrapper", default="", metavar="CMD", help="not with-guestcld")
    parser.add_argument("--native-only", action="store_true", help="print the native run")
    parser.add_argument("--timeout", type=float, default=300, help="of each run, in seconds")
    parser.add_argument("program", nargs="*", help="what the case runs, where it is built here")
    options = parser.parse_args()
    options.mode = options.mode or ["resident"]
    options.build = options.build.resolve()
    options.native_cache = options.native_cache.resolve()
    options.native_cache.mkdir(parents=True, exist_ok=True)
    # Each run has its own current directory.
    options.program = [
        os.path.abspath(word) if os.path.isfile(word) else word for word in options.program
    ]
    return options


def main(command, compare, programs=(), of_mode=lambda mode, words: words):
    """of_mode: what of the command's words is run in a mode."""
    options = arguments()
    require(programs)
    with tempfile.TemporaryDirectory(prefix="guestcl-programs-") as directory:
        directory = pathlib.Path(directory)
        words = [str(word) for word in command(options)]
        native = run("native", words, directory / "native", options)
        if options.native_only:
            print(native.out, native.err, native.status, sep="\n")
            return
        runs = [native]
        for mode in options.mode:
            runs.append(run_guest(of_mode(mode, words), mode, directory, options))
        faults = [f"{one.title}: exit status {one.status}" for one in runs if one.status]
        if not faults:
            faults = [fault for guest in runs[1:] for fault in compare(native, guest)]
    if faults:
        for one in runs:
            report(one)
        # Last: who shows only the end of this shows what is wrong.
        print("\n".join(faults))
        sys.exit(1)
    print(f"native and guestcl ({', '.join(options.mode)}) agree")
