#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""guestcld.service under a systemd that is the first process of a machine of its own.

systemd_test.py BUILD: the files that the build installs are put into a guest whose programs use the
guest's own guestcld, by its local socket, and PoCL there.
"""

import pathlib
import re
import subprocess
import tempfile
import unittest

import case
import machine

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "pocl-opencl-icd",
    "ocl-icd-libopencl1",
    "libev4",
    "libconfuse2",
    "libseccomp2",
    "libxxhash0",
)
SOCKET = "/run/guestcl/guestcld.sock"
ENVIRONMENT = {"OCL_ICD_VENDORS": "/etc/OpenCL/vendors/guestcl.icd", "GUESTCL_CHANNEL": "local"}
TRIES = 5


class Systemd(unittest.TestCase):
    options = None  # of the command line

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="guestcl-")))
        subprocess.run(
            ["meson", "install", "-C", cls.options.build, "--no-rebuild", "--destdir", folder / "files"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        guest = machine.image(cls.options.build, PACKAGES, plain=True)
        cls.machine = cls.enterClassContext(
            machine.Machine(guest, memory="1G", shares=[folder], append="guestcl.init=systemd")
        )
        cls.machine.start().wait_ready()
        cls.until(cls, "systemctl is-system-running | grep -E 'running|degraded'")
        # As the package does it.
        cls.machine.shell(
            f"cp -a {folder}/files/. / && ldconfig && systemctl daemon-reload && systemd-sysusers && "
            "systemd-tmpfiles --create && systemctl enable --now guestcld.socket"
        )
        # The runtime is slow to load where the CPU is emulated.
        cls.machine.shell("echo 'start-timeout = 9500ms' >> $(find /etc /usr/local/etc -name guestcld.conf)")
        cls.program = cls.machine.put(cls.options.build / "tests" / "faults" / "guest")

    # What the tests are put together from.

    def shell(self, script, **options):
        return self.machine.shell(script, **options).strip()

    def until(self, script):
        """Runs a script again until it succeeds."""
        return case.wait_until(
            lambda: (done := self.machine.run(["/bin/sh", "-c", script])).returncode == 0 and done,
            script,
        ).stdout.strip()

    def property(self, name):
        return self.shell(f"systemctl show --value -p {name} guestcld.service")

    def session(self):
        """A program that has begun a session and works when it is told to.

        A guest waits for 10 s, in which a machine that is busy and emulates this one's CPU may not even
        load the runtime: whoever hears that nobody answers tries again, as a user would.
        """
        for left in reversed(range(TRIES)):
            program = case.Program(self.machine, self.program, "work", env=ENVIRONMENT)
            self.addCleanup(program.end)
            try:
                program.expect("prepared")
                return program
            except AssertionError:
                if not left or "does not answer" not in program.errors:
                    raise

    def worker(self):
        """Of the one session that there is."""
        (pid,) = re.findall(r'"worker_pid": *(\d+)', self.shell("guestcl status --json"))
        return int(pid)

    # The tests, in the order of their names.

    def test_1_units(self):
        self.assertEqual(
            self.shell("systemd-analyze verify --man=no guestcld.service guestcld.socket 2>&1"), ""
        )

    def test_2_users_and_folders(self):
        self.shell("getent passwd guestcl && getent group render")
        self.assertEqual(self.shell("stat -c '%a %U' /run/guestcl"), "755 root")
        self.assertEqual(self.shell("stat -c '%a %U' /var/cache/guestcl"), "711 root")
        self.assertEqual(self.shell(f"stat -c '%a %G' {SOCKET}"), "660 render")

    def test_3_activation(self):
        """The first program that comes starts it; its worker has a part of the service's cgroup."""
        self.assertEqual(self.property("ActiveState"), "inactive")
        program = self.session()
        self.assertEqual(program.ask(), 0)
        self.assertEqual(self.property("ActiveState"), "active")
        group = self.shell(f"cat /proc/{self.worker()}/cgroup")
        self.assertRegex(group, r"/system\.slice/guestcld\.service/.+")
        self.assertEqual(self.property("Delegate"), "yes")
        log = self.shell("journalctl -u guestcld -o cat")
        self.assertIsNone(re.search(r"jailed without|warning|error", log), log)
        self.assertEqual(program.end(), 0)

    def test_4_takeover(self):
        """An upgrade's way: the session goes on."""
        program = self.session()
        worker, main = self.worker(), self.property("MainPID")
        self.shell("guestcl restart")
        self.assertEqual(program.ask(), 0)
        self.assertEqual(self.property("MainPID"), main)
        self.shell(f"test -d /proc/{worker}")
        self.assertEqual(program.end(), 0)

    def test_5_killed(self):
        """systemd brings it back; the socket stays, and a program that comes meanwhile waits."""
        main = self.property("MainPID")
        self.shell("systemctl kill --kill-whom=main -s KILL guestcld.service")
        self.assertEqual(self.session().ask(), 0)
        self.until("systemctl is-active guestcld.service")
        self.assertNotEqual(self.property("MainPID"), main)

    def test_6_stop(self):
        """Its sessions end with it, and nothing is left of them."""
        program = self.session()
        self.shell("systemctl stop guestcld.service")
        self.assertLess(program.ask(), 0)
        self.assertEqual(self.shell("pgrep guestcl || true"), "")
        self.assertEqual(self.property("Result"), "success")


if __name__ == "__main__":
    Systemd.options = case.arguments()
    case.main()
