# SPDX-License-Identifier: MIT
"""shellcheck finds nothing in the scripts."""

import subprocess
import sys

import source

SCRIPTS = ["run", "check", ".ci/run", "scripts/steps.sh"]
SCRIPTS += ["tests/vm/image", "tests/vm/newer", "tests/vm/guest-init", "tests/vm/guest-start"]


def main():
    command = ["shellcheck", "--external-sources", *SCRIPTS]
    if subprocess.run(command, cwd=source.TOP, check=False).returncode:
        sys.exit("shellcheck found something")
    source.finish([], f"shellcheck finds nothing in {len(SCRIPTS)} scripts")


main()
