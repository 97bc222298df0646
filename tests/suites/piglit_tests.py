# SPDX-License-Identifier: MIT
"""piglit's tests of OpenCL, of Debian's package: programs that try the calls, and kernels with the
values that they should compute. They are those of piglit's profile "cl", run without its runner,
which has no way to tell what became of a test's parts."""

import ast
import glob
import gzip
import json
import pathlib
import xml.etree.ElementTree

import run

TITLE = "piglit"
PACKAGES = ["piglit"]
# Of the kernels, which take long to compile, ./check has every PART_STEP-th each time.
PART_STEP = 165


def folder():
    found = glob.glob("/usr/lib/*/piglit/tests/cl.xml.gz")
    if not found:
        raise run.Missing("piglit")
    return pathlib.Path(found[0]).parent.parent


def outcome(word):
    return {"pass": "pass", "warn": "pass", "skip": "skip", "crash": "crash"}.get(word, "fail")


def reader(name):
    """What piglit's programs print: a line of JSON for each part, one for the whole. Without the
    latter the program did not get to its end."""

    def read(status, text):
        results = {name: "crash"}
        for line in text.splitlines():
            if not line.startswith("PIGLIT: "):
                continue
            said = json.loads(line.removeprefix("PIGLIT: "))
            if "result" in said and not run.crashed(status):
                results[name] = outcome(said["result"])
            for part, word in said.get("subtest", {}).items():
                results[f"{name}@{part}"] = outcome(word)
        return results

    return read


def tests(options):
    top = folder()
    with gzip.open(top / "tests/cl.xml.gz") as packed:
        listed = xml.etree.ElementTree.parse(packed).getroot()
    programs = 0
    for one in listed:
        about = {
            option.get("name"): ast.literal_eval(option.get("value")) for option in one.iter("option")
        }
        name = one.get("name")
        if one.get("type") == "cl":
            command = [top / "bin" / about["command"][0], *about["command"][1:]]
            part = True
        else:
            command = [top / "bin/cl-program-tester", about["filename"]]
            part = programs % PART_STEP == 0
            programs += 1
        yield run.Test(name, [str(word) for word in command], reader(name), part, top)
