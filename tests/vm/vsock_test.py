# SPDX-License-Identifier: MIT
"""Guests that have nothing of ours but the library reach the daemon by vsock: vsock_test.py BUILD."""

import os
import signal
import sys

import case
import machine

TESTS = machine.TOP / "tests"
BEHAVIOUR = ["buffer", "event", "threads", "transfer"]

OPTIONS = case.arguments()
OPTIONS.channel = "vsock"


class Vsock(case.VmCase):
    """Two VMs, each with its own sessions."""

    options = OPTIONS
    names = ("one", "two")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        faults = cls.options.build / "tests" / "faults"
        vms = [cls.vm(name, wait=False, module=False) for name in cls.names]
        for vm in vms:
            vm.wait_ready()
            for name in ("guest", "blocked"):
                vm.put(faults / name)
        cls.one, cls.two = vms

    def start(self, vm, *words):
        program = case.Program(vm, *(words or ("guest", "work")))
        program.expect("entering" if words and words[0] == "blocked" else "prepared")
        return program

    def check(self, command, timeout=400):
        """Runs a test of the host's that runs programs here and, by in-vm, in the guest."""
        done = case.in_vm(self.one, self.shared, command, timeout)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])

    def check_program(self, name, *words):
        cache = self.options.build / "tests" / "native-cache" / f"vm-{name}"
        self.check(
            [sys.executable, TESTS / "programs" / f"{name}.py", "--build", self.options.build,
             "--native-cache", cache, "--guest-wrapper", case.IN_VM, *words]
        )  # fmt: skip

    def check_gone(self):
        """Nothing of the first VM's is left, and both are served as before."""
        case.wait_until(lambda: not self.host.sessions("VM one,"), "the end of one's sessions")
        for vm in (self.one, self.two):
            program = self.start(vm)
            self.assertEqual(program.ask(), 0)
            self.assertEqual(program.end(), 0)
        self.idle()

    def test_no_module(self):
        """By itself, and when asked for; the daemon knows whose it is."""
        text = self.one.run(["sh", "-c", "ls /dev/virtio-cl; lsmod"]).stdout
        self.assertNotIn("virtio-cl", text)
        self.assertNotIn("virtio_cl", text)
        for channel in ({}, {"GUESTCL_CHANNEL": "vsock"}, {"GUESTCL_CHANNEL": "vsock:2:17228"}):
            done = self.one.run(["clinfo", "--raw"], env=channel)
            self.assertIn("(guestcl ", done.stdout, done)
            self.assertEqual(done.stderr, "")
        self.expect_log(r"VM one, vsock, clinfo: served by worker")
        self.assertFalse(self.host.sessions("VM two,"))

    def test_another_port(self):
        """Where nobody listens, and the user says that it is there: one line."""
        done = self.one.run(["clinfo", "--raw"], env={"GUESTCL_CHANNEL": "vsock:2:17229"})
        self.assertNotIn("(guestcl ", done.stdout)
        # The program in place of the host's vhost-vsock says nothing to that.
        self.assertRegex(done.stderr, r"(no daemon listens|nothing answers) at vsock 2:17229")

    def test_clinfo(self):
        self.check_program("clinfo")

    def test_picture(self):
        self.check_program("picture", self.options.build / "examples" / "picture")

    def test_both_at_once(self):
        """Each VM has sessions of its own, with kernels of its own."""
        programs = [self.start(vm) for vm in (self.one, self.two)]
        one, two = self.host.sessions("VM one,"), self.host.sessions("VM two,")
        self.assertEqual((len(one), len(two)), (1, 1))
        self.assertNotEqual(one[0][2], two[0][2])
        for _ in range(20):
            for program in programs:
                program.say()
        for program in programs:
            for _ in range(20):
                self.assertEqual(program.expect("worked"), "worked 0")
            self.assertEqual(program.end(), 0)
        caches = {str(path.parent.name) for path in self.host.daemon.cache.glob("*/*")}
        self.assertLessEqual({"vm-one", "vm-two"}, caches)

    def test_program_killed(self):
        for words in ((), ("guest", "spin"), ("blocked", "many", "user")):
            with self.subTest(words=words):
                program = self.start(self.one, *words)
                self.assertEqual(program.kill(), -signal.SIGKILL)
                self.check_gone()

    def test_worker_killed(self):
        program = self.start(self.one, "blocked", "finish", "user")
        os.kill(self.host.sessions("VM one,")[0][2], signal.SIGKILL)
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertEqual(program.end(), 0)
        self.check_gone()

    def test_zy_daemon_killed(self):
        """The program hears of it; a new one is told, and finds the next daemon."""
        program = self.start(self.one, "blocked", "finish", "user")
        self.host.kill()
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertEqual(program.end(), 0)
        done = self.one.run(["clinfo", "--list"])
        self.assertRegex(done.stderr, r"vsock: (no daemon listens|nothing answers) at vsock 2:17228")
        self.host.restart()
        self.check_gone()

    def test_zz_vm_killed(self):
        program = self.start(self.two)
        self.start(self.one)
        self.start(self.one, "guest", "spin")
        self.one.destroy()
        case.wait_until(lambda: not self.host.sessions("VM one,"), "the end of one's sessions")
        self.assertEqual(program.ask(), 0)
        self.assertEqual(program.end(), 0)


def behaviour(noun):
    def test(self):
        folder = self.options.build / "tests"
        cache = f"POCL_CACHE_DIR={folder}/native-cache/vm-{noun}"
        self.check(
            [TESTS / "behaviour" / "compare", "--timeout", "200", "--native-env", cache,
             "--guest-wrapper", case.IN_VM, folder / "behaviour" / f"behaviour-{noun}"]
        )  # fmt: skip

    return test


for one in BEHAVIOUR:
    setattr(Vsock, f"test_behaviour_{one}", behaviour(one))

if __name__ == "__main__":
    case.main()
