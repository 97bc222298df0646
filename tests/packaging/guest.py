#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A VM that has nothing but the packages uses the host's OpenCL, and no longer when they are purged.

Usage: guest.py FOLDER RUN-VM BUILD
"""

import subprocess
import sys

# In the guest, whose system has a guestcl of the build's already: that goes first.
SCRIPT = r"""
set -eu
rm -f /etc/OpenCL/vendors/guestcl.icd /usr/local/bin/guestcl
unset OCL_ICD_VENDORS
platforms() {
	clinfo --raw 2>/dev/null | sed -n 's/^#PLATFORMS *//p'
}
test "$(platforms)" = 0 || { echo "there are platforms before the packages"; exit 1; }
dpkg -i "$1"/guestcl-guest_*.deb "$1"/guestcl_*.deb
clinfo --list
test "$(platforms)" = 1
grep guestcl/libguestcl.so /etc/OpenCL/vendors/guestcl.icd
guestcl doctor
dpkg --purge guestcl-guest guestcl
test "$(platforms)" = 0 || { echo "there are platforms after the purge"; exit 1; }
"""


def main():
    folder, run_vm, build = sys.argv[1:4]
    done = subprocess.run(
        [run_vm, "--build", build, "--", "sh", "-c", SCRIPT, "-", folder], check=False
    )
    return done.returncode


sys.exit(main())
