# SPDX-License-Identifier: MIT
"""A guest's kernel that breaks every rule of the device, beside a VM that must not notice:
hostile_test.py BUILD.

The module of the folder hostile is loaded in place of virtio_cl. When it has had its way, the device
works for virtio_cl as if nothing had happened.
"""

import pathlib
import shutil
import subprocess
import tempfile

import case
import machine

ROUNDS = 40


def module(release, folder):
    """Builds the hostile driver for the guest's kernel."""
    shutil.copytree(machine.HERE / "hostile", folder, dirs_exist_ok=True)
    headers = f"/usr/src/linux-headers-{release}"
    command = ["make", "-C", headers, f"M={folder}", f"GUESTCL={machine.TOP}", "modules"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return pathlib.Path(folder) / "virtio_cl_hostile.ko"


class Hostile(case.VmCase):
    options = case.arguments()
    names = ("one", "two")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.one = cls.vm("one", wait=False, module=False, shares=[])
        cls.two = cls.vm("two", wait=False, shares=[])
        cls.one.wait_ready()
        cls.two.wait_ready()
        with tempfile.TemporaryDirectory() as folder:
            release = cls.one.shell("uname -r").strip()
            cls.one.put(module(release, folder), "/root")
        cls.one.put(cls.options.build / "tests" / "vm" / "driver-test")
        cls.two.put(cls.options.build / "tests" / "faults" / "guest")
        cls.witness = case.Program(cls.two, "guest", "work")
        cls.witness.expect("prepared")
        # What the first use of a device leaves open on the host is there from here on.
        cls.one.shell("modprobe virtio_cl && timeout 9 clinfo -l; rmmod virtio_cl")

    def quiet(self):
        case.wait_until(lambda: not self.host.sessions("VM one,"), "the end of one's sessions")
        case.wait_until(self.host.settled, "the spare workers")
        return self.host.descriptors()

    def harm(self, seed):
        """Returns what the module says at its end."""
        load = f"insmod /root/virtio_cl_hostile.ko rounds={ROUNDS} seed={seed}"
        said = self.one.shell(
            f"dmesg -C; {load} && rmmod virtio_cl_hostile; dmesg | grep -o 'hostile: done.*'",
            timeout=240,
        )
        self.assertIn(f"done: {ROUNDS} rounds", said)
        self.assertIn("(error 0)", said)
        return said

    def check_after(self):
        self.assertEqual(self.witness.ask(), 0)
        self.one.shell("modprobe virtio_cl")
        try:
            done = self.one.run(["driver-test", "--seconds", "1"], timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        finally:
            self.one.shell("rmmod virtio_cl")

    def check_seed(self, seed):
        self.assertEqual(self.witness.ask(), 0)
        before = self.quiet()
        print(f"  {self.harm(seed).strip()}")
        self.check_after()
        self.assertEqual(self.quiet(), before)

    def test_seed_1(self):
        self.check_seed(1)

    def test_seed_2(self):
        self.check_seed(2)


if __name__ == "__main__":
    case.main()
