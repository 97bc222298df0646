# SPDX-License-Identifier: MIT
"""clang-format leaves no diff."""

import subprocess
import sys

import source


def main():
    files = list(source.files(".c", ".h", ".cl"))
    command = ["clang-format", "--dry-run", "--Werror", *files]
    done = subprocess.run(command, cwd=source.TOP, check=False)
    if done.returncode:
        sys.exit("run: clang-format -i on these files")
    source.finish([], f"{len(files)} files are formatted")


main()
