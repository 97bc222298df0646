# SPDX-License-Identifier: MIT
"""What the tests in VMs have in common: the build folder, a daemon, VMs, and looking at the host."""

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import host
import machine
import served
from program import PATIENCE, Program


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--carrier", choices=("shell", "generic"), default="shell")
    parser.add_argument("--channel", choices=("virtio", "vsock"), default="virtio")
    parser.add_argument("--short", action="store_true", help="a few programs of each kind")
    parser.add_argument("--long", action="store_true", help="all of them")
    options, rest = parser.parse_known_args()
    options.build = options.build.resolve()
    sys.argv[1:] = rest
    return options


def main():
    unittest.main(verbosity=2, failfast=False)


def wait_until(condition, what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return answer


class VmCase(unittest.TestCase):
    """A daemon for VMs of some names, and whatever of them a class or a test starts."""

    options = None  # of the command line
    names = ("one",)
    settings = ()

    @classmethod
    def setUpClass(cls):
        cls.guest = machine.image(cls.options.build)
        cls.places = contextlib.ExitStack()
        cls.addClassCleanup(cls.places.close)
        # A folder that host and guests see in the same place.
        cls.shared = pathlib.Path(
            cls.places.enter_context(tempfile.TemporaryDirectory(prefix="guestcl-vmtest-"))
        )
        cls.host = cls.places.enter_context(
            host.Host(cls.options.build, cls.names, ["log-level=debug", *cls.settings])
        )

    @classmethod
    def vm(cls, name="one", wait=True, **options):
        """A VM of that name, started; it ends with the class, or as the test wants."""
        options.setdefault("channel", cls.options.channel)
        options.setdefault("carrier", cls.options.carrier)
        options.setdefault("shares", [cls.shared, machine.TOP, *outside(cls.options.build)])
        vm = cls.places.enter_context(host.vm(cls.host, name, cls.guest, **options))
        vm.start()
        return vm.wait_ready() if wait else vm

    def run(self, result=None):
        """A failure is told with what the daemon and the VMs said."""
        before, begin = len(result.failures) + len(result.errors), time.monotonic()
        super().run(result)
        print(f"  {time.monotonic() - begin:.1f} s", flush=True)
        if len(result.failures) + len(result.errors) > before:
            self.tell()
        return result

    def tell(self):
        for line in self.host.log_text().splitlines()[-30:]:
            print(f"  guestcld| {line}")

    # The host.

    def expect_log(self, pattern, seconds=PATIENCE):
        """The daemon has said so, or does before long."""
        return wait_until(
            lambda: re.search(pattern, self.host.log_text()),
            lambda: f"{pattern} in the log:\n{self.host.log_text()}",
            seconds,
        )

    @staticmethod
    def driver_sessions(vm):
        """What the guest's driver says of each session that it has."""
        return vm.shell("tail -n +3 /sys/kernel/debug/virtio-cl/sessions").splitlines()

    def idle(self):
        """Waits until the daemon serves nobody; returns what it then has open, sorted."""
        wait_until(lambda: not self.host.sessions(), "the end of all sessions")
        wait_until(self.host.settled, "the spare workers")
        return self.host.descriptors()


def outside(build):
    """The build folder, where it is not in the project's."""
    return [] if build.is_relative_to(machine.TOP) else [build]


def in_vm(vm, folder, command, timeout=300, env=None):
    """Runs a command of the host's whose programs, by tests/vm/in-vm, run in the VM."""
    with contextlib.closing(served.Served(vm, folder / f"in-vm-{os.getpid()}")) as server:
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, "GUESTCL_VM": server.path, "TMPDIR": str(folder), **(env or {})},
            cwd=folder, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    return done


IN_VM = str(machine.HERE / "in-vm")
