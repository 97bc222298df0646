#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compiled kernels are kept for their VM: its next process compiles nothing, another VM's all anew.

Counted, not timed: a compiler writes files, each under a new inode.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import faults
import host
from host import Guest, Host

CONFIG = """
    vm-dir = "vm"
    vm-socket-group = ""
    vm "red" { local-socket = "@folder@/red" }
    vm "blue" { local-socket = "@folder@/blue" }
    """
# PoCL's note of when a program was used last; and what each of its processes leaves empty.
USED = "last_accessed"
EMPTY = "tempfile_"


def compiled(cache):
    """What compilers have written there: each file's inode and time by its path."""
    found = {}
    for path in Path(cache).rglob("*"):
        if not path.is_file() or path.name == USED:
            continue
        try:
            about = path.stat()
        except FileNotFoundError:  # the daemon sweeps
            continue
        if about.st_size or not path.name.startswith(EMPTY):
            found[str(path.relative_to(cache))] = (about.st_ino, about.st_mtime_ns, about.st_size)
    return found


class Cache(faults.Fault):
    def run_in(self, running, vm):
        """One process of the VM's. Returns what its cache has afterwards."""
        with Guest(running, "guest", "work", socket=running.folder / vm) as guest:
            guest.expect("prepared")
            self.assertEqual(guest.ask(), 0)
            self.assertEqual(guest.end(), 0)
        return compiled(running.cache / f"vm-{vm}")

    def native(self, cache):
        environment = {
            **os.environ,
            "OCL_ICD_VENDORS": os.environ.get("GUESTCL_HOST_VENDORS", "/etc/OpenCL/vendors"),
            "POCL_CACHE_DIR": cache,
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        command = [host.PROGRAMS / "guest", "work"]
        subprocess.run(
            command, env=environment, input=b"\n", stdout=subprocess.DEVNULL, check=True, timeout=600
        )
        return compiled(cache)

    def test_kept(self):
        with Host(config=CONFIG) as running:
            first = self.run_in(running, "red")
            kernels = {name for name in first if name.endswith("add.so")}
            self.assertEqual(len(kernels), 1, first)
            self.assertEqual(self.run_in(running, "red"), first)
            blue = self.run_in(running, "blue")
            self.assertEqual(len(blue), len(first))
            same = {about[0] for about in blue.values()} & {about[0] for about in first.values()}
            self.assertFalse(same, "files of one VM are another's")
            self.assertEqual(self.run_in(running, "blue"), blue)
            self.assertEqual(compiled(running.cache / "vm-red"), first)
        with tempfile.TemporaryDirectory() as cache:
            self.assertEqual(len(self.native(cache)), len(first))


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
