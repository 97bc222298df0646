# SPDX-License-Identifier: MIT
"""The module builds without a warning, from what is installed: build.py SERIES BUILD [--sparse].

What the kernel's build says of the module with W=1 counts, and with --sparse what sparse says.
Without headers of a kernel of that series this test is skipped.
"""

import argparse
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
COMPLAINT = re.compile(r"\b(warning|error|undefined)\b", re.IGNORECASE)


def headers(series):
    found = subprocess.run(
        [HERE / "kernel", "headers", series], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode:
        print(f"SKIPPED: no headers of Linux {series}: install linux-headers-amd64, or see above")
        sys.exit(SKIPPED)
    return pathlib.Path(found.stdout.strip())


def install(build, folder):
    """Copies what meson installs for DKMS, and nothing else."""
    files = json.loads((build / "meson-info" / "intro-installed.json").read_text())
    for source, target in files.items():
        if "/src/virtio-cl-" in target:
            shutil.copy(source, folder)


def dkms_command(folder, kernel):
    """How dkms.conf says that the module is made."""
    script = f"kernel_source_dir={shlex.quote(str(kernel))}; . ./dkms.conf; echo ${{MAKE[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    return shlex.split(done.stdout)


def hostile_command(folder, kernel):
    """How the module of tests/vm/hostile is made."""
    shutil.copytree(HERE.parent / "vm" / "hostile", folder, dirs_exist_ok=True)
    return ["make", "-C", kernel, f"M={folder}", f"GUESTCL={HERE.parent.parent}", "modules"]


def check(command, folder, module, sparse):
    """Ends the test if the module's build fails, or has something to say."""
    done = subprocess.run(
        [*command, "W=1", *(["C=2"] if sparse else [])],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    faults = [line for line in done.stdout.splitlines() if COMPLAINT.search(line)]
    if done.returncode or faults or not (pathlib.Path(folder) / module).exists():
        sys.exit(done.stdout)
    print(f"{module} builds without a warning")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("series")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--sparse", action="store_true")
    options = parser.parse_args()
    kernel = headers(options.series)
    if options.sparse and not shutil.which("sparse"):
        print("SKIPPED: no sparse: install the package sparse")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        install(options.build, folder)
        command = dkms_command(folder, kernel)
        check(command, folder, "virtio_cl.ko", options.sparse)
    with tempfile.TemporaryDirectory() as folder:
        command = hostile_command(folder, kernel)
        check(command, folder, "virtio_cl_hostile.ko", options.sparse)


main()
