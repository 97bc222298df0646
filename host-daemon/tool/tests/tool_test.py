# SPDX-License-Identifier: MIT
"""guestcl as users call it: tool_test.py GUESTCL BUILD."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

GUESTCL, BUILD = sys.argv[1:3]
TOP = pathlib.Path(__file__).resolve().parents[3]
COMMANDS = ("doctor", "status", "servers", "top", "set", "pause", "resume", "end", "restart", "trace", "move", "drain", "why", "attach", "detach", "list", "pki")
OTHERS = ("attach", "detach", "list")
USAGE, UNAVAILABLE = 64, 69


def guestcl(*arguments, **variables):
    environment = {
        name: value for name, value in os.environ.items()
        if name not in {"GUESTCL_CHANNEL", "GUESTCL_SOCKET", "OCL_ICD_VENDORS"}
    }  # fmt: skip
    return subprocess.run(
        [GUESTCL, *arguments],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Commands(unittest.TestCase):
    def test_help(self):
        done = guestcl("--help")
        self.assertEqual(done.returncode, 0)
        for command in COMMANDS:
            self.assertRegex(done.stdout, rf"(?m)^  {command} ")
        self.assertEqual(guestcl("doctor", "--help").returncode, 0)
        self.assertIn("--json", guestcl("doctor", "--help").stdout)

    def test_version(self):
        self.assertRegex(guestcl("--version").stdout, r"^guestcl \d")

    def test_wrong(self):
        for words in ((), ("cure",), ("doctor", "me"), ("doctor", "--loud")):
            done = guestcl(*words, GUESTCL_CHANNEL="none")
            self.assertEqual(done.returncode, USAGE, words)
            self.assertEqual(done.stdout, "", words)

    def test_other_programs(self):
        with tempfile.TemporaryDirectory() as folder:
            done = guestcl("attach", "vm", GUESTCL_LIBEXEC=folder)
            self.assertEqual(done.returncode, UNAVAILABLE)
            self.assertIn("libvirt-dev", done.stderr)
            self.assertIn("libgnutls28-dev", guestcl("pki", GUESTCL_LIBEXEC=folder).stderr)
            program = pathlib.Path(folder) / "guestcl-libvirt"
            program.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
            program.chmod(0o755)
            for command in OTHERS:
                done = guestcl(command, "--dry-run", "a b", GUESTCL_LIBEXEC=folder)
                self.assertEqual(done.stdout, f"{command} --dry-run a b\n")
                self.assertEqual(done.returncode, 7)

    def test_completion(self):
        """It offers the commands there are."""
        text = (TOP / "host-daemon/completions/guestcl").read_text()
        self.assertIn(f"'{' '.join(sorted(COMMANDS))}'", text)


class Doctor(unittest.TestCase):
    """What the doctor finds in a system made of files."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def file(self, path, text=""):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def link(self, path, target):
        link = self.root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def ask(self, status, **variables):
        variables = {"GUESTCL_SOCKET": "/nonexistent/socket", **variables}
        done = guestcl("doctor", "--json", "--root", str(self.root), **variables)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr, "")
        answer = json.loads(done.stdout)
        self.assertEqual(answer["works"], status == 0)
        self.assertEqual(answer["channel"] is not None, status == 0)
        # People are told the same.
        text = guestcl("doctor", "--root", str(self.root), **variables).stdout
        for finding in answer["findings"]:
            self.assertIn(finding["text"], text)
            if finding["fix"]:
                self.assertIn("-> " + finding["fix"], text)
        return answer

    def finding(self, answer, name):
        found = [finding for finding in answer["findings"] if finding["name"] == name]
        self.assertTrue(found, f"no finding {name} in {answer}")
        return found[-1]

    def expect(self, answer, name, state, text, fix=None):
        finding = self.finding(answer, name)
        self.assertEqual(finding["state"], state, finding)
        self.assertIn(text, finding["text"])
        if fix:
            self.assertIn(fix, finding["fix"])
        else:
            self.assertIsNone(finding["fix"], finding)

    def guest(self):
        self.file("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor lahf_lm\n")
        self.file("/etc/OpenCL/vendors/guestcl.icd", "/usr/lib/libguestcl.so\n")
        self.file("/usr/lib/libguestcl.so")

    def device(self, name, number, driver=None):
        at = f"/sys/bus/virtio/devices/{name}"
        self.file(f"{at}/device", f"0x{number:04x}\n")
        if driver:
            self.file(f"/sys/bus/virtio/drivers/{driver}/bind")
            self.link(f"{at}/driver", f"../../drivers/{driver}")

    # The environment's word.

    def test_asked_for(self):
        answer = self.ask(1)
        self.expect(answer, "local", "bad", "no daemon at /nonexistent/socket", None)
        answer = self.ask(1, GUESTCL_CHANNEL="virtio:/nonexistent/device")
        self.expect(answer, "virtio", "bad", "no /nonexistent/device: give the VM", None)
        answer = self.ask(1, GUESTCL_CHANNEL="smoke")
        self.expect(answer, "channel", "bad", "GUESTCL_CHANNEL is smoke", "unset GUESTCL_CHANNEL")
        answer = self.ask(1, GUESTCL_CHANNEL="none")
        self.expect(answer, "channel", "bad", "no host is wanted", "unset GUESTCL_CHANNEL")

    def test_works(self):
        command = [TOP / "tests/with-guestcld", "--quiet", "--build", BUILD, "--"]
        done = subprocess.run(
            [*command, GUESTCL, "doctor", "--json"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["channel"], "local")
        self.assertIn("GUESTCL_SOCKET is ", answer["why"])
        self.expect(answer, "local", "ok", "the host takes sessions at ")
        self.expect(answer, "library", "ok", "libguestcl.so")

    # Guests.

    def test_no_device(self):
        self.guest()
        self.device("virtio0", 2, driver="virtio_blk")
        self.device("virtio1", 1)
        answer = self.ask(1)
        self.expect(answer, "device", "absent", "no virtio-cl device", "guestcl attach")
        self.expect(answer, "driver", "absent", "not installed")
        self.expect(answer, "library", "ok", "guestcl.icd names /usr/lib/libguestcl.so")

    def test_no_driver(self):
        for number in (38, 2):
            with self.subTest(number):
                self.setUp()
                self.guest()
                self.device("virtio3", number)
                answer = self.ask(1)
                self.expect(answer, "device", "ok", "has a virtio-cl device")
                self.expect(answer, "driver", "bad", "not installed", "dkms install virtio-cl/")
                listed = "updates/dkms/virtio_cl.ko: kernel/x.ko\n"
                self.file(f"/lib/modules/{os.uname().release}/modules.dep", listed)
                answer = self.ask(1)
                self.expect(answer, "driver", "bad", "not loaded", "modprobe virtio_cl")
                self.file("/sys/module/virtio_cl/refcnt")
                answer = self.ask(1)
                self.expect(answer, "driver", "ok", "is loaded")
                self.expect(answer, "device", "bad", "did not take", "dmesg")

    def test_driver(self):
        self.guest()
        self.file("/sys/module/virtio_cl/refcnt")
        self.device("virtio3", 2, driver="virtio_cl")
        answer = self.ask(1)
        self.expect(answer, "device", "ok", "has a virtio-cl device")

    def test_library(self):
        self.guest()
        (self.root / "usr/lib/libguestcl.so").unlink()
        answer = self.ask(1)
        self.expect(answer, "library", "bad", "which can't be read", "install")
        (self.root / "etc/OpenCL/vendors/guestcl.icd").unlink()
        answer = self.ask(1)
        self.expect(answer, "library", "bad", "programs don't find it", "meson install")
        answer = self.ask(1, OCL_ICD_VENDORS="/nonexistent")
        self.expect(answer, "library", "bad", "OCL_ICD_VENDORS is /nonexistent", "unset OCL_")

    # Hosts.

    def test_host(self):
        self.file("/usr/sbin/guestcld")
        answer = self.ask(1)
        self.expect(answer, "guestcld", "bad", "does not run", "systemctl start guestcld")
        self.expect(answer, "runtimes", "bad", "no OpenCL runtime", "pocl-opencl-icd")
        self.expect(answer, "vm", "absent", "no sockets for VMs in /run/guestcl/vm", "guestcl attach")
        self.expect(answer, "vsock", "absent", "no /dev/vhost-vsock", "modprobe vhost_vsock")
        self.expect(answer, "libvirt", "absent", "does not run")
        self.assertNotIn("library", [finding["name"] for finding in answer["findings"]])

        self.file("/run/guestcl/guestcld.sock")
        self.file("/etc/OpenCL/vendors/guestcl.icd", "libguestcl.so\n")
        self.file("/etc/OpenCL/vendors/pocl.icd", "libpocl.so\n")
        self.file("/run/guestcl/vm/desk top.sock")
        self.file("/run/libvirt/libvirt-sock")
        self.file("/dev/vhost-vsock")
        answer = self.ask(1)
        self.expect(answer, "guestcld", "ok", "/run/guestcl/guestcld.sock")
        self.expect(answer, "runtimes", "ok", "1 OpenCL runtime of")
        self.expect(answer, "vm", "absent", "desk top: no VMM is connected")
        self.expect(answer, "vsock", "ok", "guests can come by vsock")
        self.expect(answer, "libvirt", "ok", "libvirt listens")
        self.file(
            "/proc/net/unix",
            "Num       RefCount Protocol Flags    Type St Inode Path\n"
            "0000000000000000: 00000002 00000000 00010000 0001 01 1 /run/guestcl/vm/desk top.sock\n"
            "0000000000000000: 00000003 00000000 00000000 0001 03 2 /run/guestcl/vm/desk top.sock\n",
        )
        answer = self.ask(1)
        self.expect(answer, "vm", "ok", "desk top: its VMM is connected")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
