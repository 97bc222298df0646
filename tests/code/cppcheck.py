# SPDX-License-Identifier: MIT
"""cppcheck finds nothing: cppcheck.py BUILD. cppcheck.txt lists what is not asked for."""

import json
import pathlib
import subprocess
import sys

import source


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    state = build / "cppcheck"
    state.mkdir(exist_ok=True)
    # Only our own files: what protoc-c generates is not for us to change.
    commands = source.compile_commands(build)
    project = state / "compile_commands.json"
    project.write_text(json.dumps(list(commands.values())))
    done = subprocess.run(
        [
            "cppcheck",
            "--quiet",
            "--enable=warning,performance,portability",
            "--inline-suppr",
            "--error-exitcode=1",
            "--library=posix",
            f"--suppressions-list={source.TOP / 'tests' / 'code' / 'cppcheck.txt'}",
            f"--cppcheck-build-dir={state}",
            f"-j{source.workers()}",
            f"--project={project}",
        ],
        check=False,
    )
    if done.returncode:
        sys.exit("cppcheck found something")
    source.finish([], f"cppcheck finds nothing in {len(commands)} files")


main()
