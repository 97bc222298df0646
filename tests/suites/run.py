# SPDX-License-Identifier: MIT
"""Runs tests of a suite one after another, and says what came of each.

A suite is a module with tests(options), which yields these tests, and TITLE. A test is one program;
it may have many results, each with a name: "pass", "fail", "skip", or "crash" when the program
ended by a signal or not at all.
"""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import typing

NATIVE_VENDORS = "/etc/OpenCL/vendors"
PROGRESS_SECONDS = 20
TAIL_LINES = 30
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Missing(Exception):
    """What a suite needs isn't there."""


@dataclasses.dataclass
class Test:
    """One program: what runs, and how its output becomes results."""

    name: str
    command: list
    # read(status, text) -> {name: outcome}
    read: typing.Callable
    # Whether it belongs to the part that ./check runs each time.
    part: bool = True
    cwd: pathlib.Path = None
    environment: dict = dataclasses.field(default_factory=dict)
    # Makes the program, if it isn't there.
    make: typing.Callable = None


def ended(status):
    return "did not end in time" if status is None else f"exit status {status}"


def crashed(status):
    return status is None or status < 0 or status >= 128


def outcome_of(status):
    """Of a program that says only by its exit status how it went."""
    if crashed(status):
        return "crash"
    return "fail" if status else "pass"


def execute(test, environment, timeout):
    """Returns exit status, None for one that did not end, and what the program said."""
    with tempfile.TemporaryDirectory(prefix="guestcl-suite-") as home:
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                test.command,
                cwd=test.cwd or home,
                env={**environment, "HOME": home, "TMPDIR": home, **test.environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                # Nothing of it stays, when its time is over or we are told to end.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            said.seek(0)
            return status, COLOUR.sub("", said.read().decode(errors="replace"))


def gather(tests, path, title, timeout):
    """Runs them all. A line of JSON for each goes to the file."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    signal.signal(signal.SIGTERM, lambda received, _: sys.exit(128 + received))
    said = time.monotonic()
    with open(path, "w", encoding="utf-8") as out:
        for number, test in enumerate(tests, 1):
            if test.make:
                test.make()
            status, text = execute(test, environment, timeout)
            tail = [*text.splitlines()[-TAIL_LINES:], ended(status)]
            line = {"test": test.name, "results": test.read(status, text), "tail": tail}
            print(json.dumps(line), file=out, flush=True)
            if number == len(tests) or time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                print(f"{title}: {number} of {len(tests)}", file=sys.stderr, flush=True)


def gathered(path):
    """What gather() wrote: {name: outcome}, and the end of each result's output."""
    results, tails = {}, {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        for name, outcome in one["results"].items():
            results[name] = outcome
            tails[name] = one["tail"]
    return results, tails
