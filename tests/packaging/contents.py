#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Debian packages hold what they should, and lintian has nothing to say of them.

Usage: contents.py FOLDER: makes the packages in it first.
"""

import fnmatch
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]

# What has to be in each package, and nothing beside its documents.
WANTED = {
    "guestcl-guest": [
        "etc/OpenCL/vendors/guestcl.icd",
        "usr/lib/*/guestcl/guestcl-tls.so",
        "usr/lib/*/guestcl/libguestcl.so",
        "usr/lib/udev/rules.d/60-virtio-cl.rules",
    ],
    "guestcl-dkms": [
        "usr/src/virtio-cl-*/Kbuild",
        "usr/src/virtio-cl-*/Makefile",
        "usr/src/virtio-cl-*/dkms.conf",
        "usr/src/virtio-cl-*/*.[ch]",
    ],
    "guestcld": [
        "etc/apparmor.d/abstractions/libvirt-qemu.d/guestcl",
        "etc/guestcl/guestcld.conf",
        "lib/systemd/system/guestcld.service",
        "lib/systemd/system/guestcld.socket",
        "usr/lib/sysusers.d/guestcl.conf",
        "usr/lib/tmpfiles.d/guestcl.conf",
        "usr/libexec/guestcl/guestcl-etcd",
        "usr/libexec/guestcl/guestcl-libvirt",
        "usr/libexec/guestcl/guestcl-link",
        "usr/libexec/guestcl/guestcl-pki",
        "usr/libexec/guestcl/guestcl-tls",
        "usr/libexec/guestcl/guestcl-web",
        "usr/libexec/guestcl/guestcl-worker",
        "usr/sbin/guestcld",
        "usr/share/bash-completion/completions/guestcld",
        "usr/share/guestcl/web/*.*",
        "usr/share/man/man5/guestcld.conf.5.gz",
        "usr/share/man/man8/guestcl*.8.gz",
    ],
    "guestcl": [
        "usr/bin/guestcl",
        "usr/share/bash-completion/completions/guestcl",
        "usr/share/man/man1/guestcl*.1.gz",
    ],
}
# What the build leaves out where it is missing, and packages are not to be without: TLS and its packing, etcd.
# Depends says so, since it is made of what programs and libraries need.
NEEDED = {
    "guestcl-guest": ["libgnutls30", "libzstd1"],
    "guestcld": ["libcurl3-gnutls", "libgnutls30", "libzstd1"],
    "guestcl": ["libgnutls30"],
}
# A mailbox of the packages' own is for whoever publishes them to set.
UNTOLD = "bogus-mail-host,bogus-mail-host-in-debian-changelog"


def contents(package):
    listed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True
    )
    names = subprocess.run(
        ["tar", "--list"], input=listed.stdout, stdout=subprocess.PIPE, check=True
    )
    return [
        name.removeprefix("./")
        for name in names.stdout.decode().splitlines()
        if not name.endswith("/")
    ]


def depends(package):
    """The names of the packages that it depends on, without versions and alternatives."""
    done = subprocess.run(
        ["dpkg-deb", "--field", package, "Depends"], stdout=subprocess.PIPE, check=True, text=True
    )
    return {part.split()[0] for part in done.stdout.split(",") if part.strip()}


def faults_of(package, wanted, needed):
    names = contents(package)
    for name in set(needed) - depends(package):
        yield f"{package.name} does not depend on {name}: it was built without what takes that"
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            yield f"{package.name} lacks {pattern}"
    for name in names:
        known = any(fnmatch.fnmatch(name, pattern) for pattern in wanted)
        if not known and not name.startswith("usr/share/doc/"):
            yield f"{package.name} has {name}, which no one expects there"


def lintian(folder):
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error,warning", "--suppress-tags", UNTOLD,
         *folder.glob("*.changes")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [done.stdout] if done.returncode else []


def main():
    folder = pathlib.Path(sys.argv[1])
    subprocess.run([TOP / "scripts" / "make-packages", folder], check=True, stdout=sys.stderr)
    faults = []
    for name, wanted in WANTED.items():
        packages = list(folder.glob(f"{name}_*.deb"))
        if len(packages) != 1:
            faults.append(f"{len(packages)} packages {name}")
            continue
        faults += faults_of(packages[0], wanted, NEEDED.get(name, []))
    faults += lintian(folder)
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
