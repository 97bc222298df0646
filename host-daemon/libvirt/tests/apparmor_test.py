# SPDX-License-Identifier: MIT
"""The AppArmor rule gives the QEMU of a domain that domain's socket alone: apparmor_test.py RULE."""

import pathlib
import re
import shutil
import subprocess
import sys

UUID = "5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e01"


def main():
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
    if not parser:
        print("SKIP: there is no apparmor_parser: install apparmor")
        sys.exit(77)
    rule = pathlib.Path(sys.argv[1]).read_text()
    profile = f"profile libvirt-{UUID} flags=(attach_disconnected) {{\n{rule}}}\n"
    done = subprocess.run(
        [parser, "--skip-kernel-load", "--skip-cache", "--debug"],
        input=profile, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(profile, done.stdout, done.stderr)
    names = re.findall(r"Name:\s+\((.*)\)", done.stdout)
    if done.returncode != 0 or names != [f"/run/guestcl/vm/libvirt-{UUID}.sock"]:
        sys.exit(f"the rule lets it reach {names}")


main()
