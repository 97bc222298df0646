#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print what ninja has to build for the tests of some suites: targets.py [--without FOLDER] BUILD SUITE..."""

import argparse
import json
import pathlib
import subprocess


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", help="leave out what is below this folder: tests get it elsewhere")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("suites", nargs="+", metavar="SUITE")
    args = parser.parse_args()

    known = json.loads(subprocess.check_output(["meson", "introspect", args.build, "--tests", "--targets"]))
    wanted = set()
    for test in known["tests"]:
        if any(suite.split(":")[-1] in args.suites for suite in test["suite"]):
            wanted.update(test["depends"])
    for target in known["targets"]:
        if target["id"] not in wanted:
            continue
        for name in target["filename"]:
            path = pathlib.Path(name).relative_to(args.build.resolve())
            if path.parts[0] != args.without:
                print(path)


if __name__ == "__main__":
    main()
