#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Debian packages install into a fresh Debian, work there, and leave nothing when purged.

Usage: install.py FOLDER: of the packages. Needs root, for a chroot.
"""

import os
import pathlib
import shlex
import subprocess
import sys

SKIP = 77

# As an operator would, in the fresh system. Each line has to succeed.
SCRIPT = r"""
set -eux
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt-get update -q
apt-get install -y -q --no-install-recommends \
	./guestcld_*.deb ./guestcl_*.deb ./guestcl-guest_*.deb ./guestcl-dkms_*.deb \
	gcc make linux-headers-cloud-amd64
guestcld --check-config
guestcld --version
guestcl --help >/dev/null
test "$(systemctl is-enabled guestcld.service guestcld.socket)" = "enabled
enabled"
getent group render
systemd-analyze verify --man=no guestcld.service guestcld.socket

# TLS is in: certificates are made, and guestcl-tls starts with what it needs.
for words in init "server localhost" "client web1" "revoke web1"; do
	guestcl pki $words --folder /tmp/pki
done
guestcl pki list --folder /tmp/pki | grep -w revoked
/usr/libexec/guestcl/guestcl-tls --version

# The module, for the headers that are installed.
kernel=$(basename /lib/modules/*-cloud-amd64)
dkms status -m virtio-cl -k "$kernel" | grep -w installed
modinfo -k "$kernel" virtio_cl | grep -w license

# The guest's library: its platform is asked for, and the host it lacks is named.
test -e "$(cat /etc/OpenCL/vendors/guestcl.icd)"

apt-get purge -y -q guestcld guestcl guestcl-guest guestcl-dkms
left=$(find / -xdev \( -name '*guestcl*' -o -name '*virtio*cl*' \) ! -path '/proc/*' ! -name '*.deb' \
	! -path '/var/log/*' ! -path '/usr/src/linux-headers*')
test -z "$left" || { echo "left behind: $left"; exit 1; }
"""


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    if os.geteuid() != 0:
        print("SKIP: only root can make a fresh system to install into")
        return SKIP
    packages = [path for path in folder.glob("guestcl*.deb") if "dbgsym" not in path.name]
    # mmdebstrap mounts what a chroot needs, also when it is in one itself, and takes it all away.
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=null",
         "--customize-hook=copy-in " + " ".join(shlex.quote(str(path)) for path in packages) + " /",
         '--customize-hook=chroot "$1" sh -c ' + shlex.quote(SCRIPT), "bookworm", "-"],
        cwd="/", stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False,
    )  # fmt: skip
    return done.returncode


sys.exit(main())
