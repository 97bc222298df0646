# SPDX-License-Identifier: MIT
"""The driver has the form that the kernel asks for: checkpatch.py. Skipped without the script."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FOLDERS = (HERE.parent.parent / "virtio-cl" / "driver", HERE.parent / "vm" / "hostile")
SKIPPED = 77

# The driver is built for several kernels, with the older form of a comparison in one place.
IGNORED = "LINUX_VERSION_CODE,CONSTANT_COMPARISON"


def main():
    found = subprocess.run(
        [HERE / "kernel", "checkpatch"], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode:
        print("SKIPPED: no checkpatch.pl, see above")
        sys.exit(SKIPPED)
    files = [path for folder in FOLDERS for path in sorted(folder.glob("*.[ch]"))]
    done = subprocess.run(
        [
            "perl",
            found.stdout.strip(),
            "--no-tree",
            "--strict",
            "--terse",
            "--no-summary",
            "--max-line-length=100",
            f"--ignore={IGNORED}",
            "--file",
            *files,
        ],
        check=False,
    )
    if done.returncode:
        sys.exit("checkpatch.pl found something")
    print(f"checkpatch.pl finds nothing in {len(files)} files")


main()
