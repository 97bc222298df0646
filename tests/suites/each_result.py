# SPDX-License-Identifier: MIT
"""A plugin of pytest's that prints a line for what each test began and came to."""

import re

# Parameters that are named after the device and the platform.
NAMED = re.compile(r"<context factory for <.*?>>|<pyopencl.\w+ '.*?'>")
OUTCOMES = {"passed": "pass", "failed": "fail", "skipped": "skip"}


def said(outcome, nodeid):
    name = NAMED.sub("device", nodeid).replace("\n", " ")
    print(f"\nRESULT {outcome} {name}", flush=True)


def pytest_runtest_logstart(nodeid, location):
    # Until there is more: the process may end in it.
    said("crash", nodeid)


def pytest_runtest_logreport(report):
    # What failed before or behind the test itself stands.
    if report.when == "call" or report.outcome != "passed":
        said(OUTCOMES[report.outcome], report.nodeid)
