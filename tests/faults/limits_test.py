#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sessions that are ended because of a limit: each alone, with an error that names the limit.

limits_test.py [-v] [CLASS[.test]...]: environment as for faults.py.
"""

import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import time
import unittest

from control_test import Control
from faults import SANITIZED, Fault, Hoard
from host import PATIENCE, PROGRAMS, STREAM, Guest, Host, wait_until

# CL_DEVICE_NOT_AVAILABLE
NOT_AVAILABLE = -2

# A runtime that hangs in some calls.
STUCK = {"LD_PRELOAD": str(PROGRAMS / "stuck.so")}

# How long a worker may take to tell its guest and to go: much less where a CPU is free.
TOLD = 20


class Ended(Fault):
    def assert_told(self, guest, *words):
        """It has printed one line, which says why its session is over."""
        said = [line for line in guest.errors if "guestcl" in line]
        self.assertEqual(len(said), 1, guest.errors)
        for word in ("guestcld has ended this session", "CL_DEVICE_NOT_AVAILABLE", *words):
            self.assertIn(word, said[0])

    def check(self, running, guest, *words, within=TOLD):
        """The call that @guest is in fails, for a reason with @words; another's session goes on."""
        line = guest.expect("returned", within)
        self.assertEqual(int(line.text.split()[2]), NOT_AVAILABLE)
        while (line := guest.next()) and line.text and line.text.startswith("later"):
            self.assertLess(int(line.text.split()[2]), 0, line.text)
        self.assertEqual(guest.end(), 0)
        self.assert_told(guest, *words)
        running.expect(": is ended: .*" + words[0])


class Programs(Fault):
    """Programs count where it is known what they hold."""

    # Some times what PoCL's binary of such a program has.
    LIMIT = 300 << 10
    CONFIG = """
        vm-dir = "vm"
        vm-socket-group = ""
        user-memory = 300KiB
        program-sizes = %s
        vm "red" { local-socket = "@folder@/red" }
        """
    REFUSED = -5  # CL_OUT_OF_RESOURCES

    def fill(self, guest, what):
        """Until it is refused. Returns how many there were."""
        for count in range(1000):
            code = guest.do(what)
            if code:
                self.assertEqual(code, self.REFUSED)
                return count
        raise AssertionError(f"{what} was never refused")

    def held(self, control):
        return control.user()["memory_bytes"]

    def test_asked(self):
        """After a build the runtime is asked: too large a program is as if it had not been built."""
        with Host(config=self.CONFIG % "always") as running, Control(running) as control:
            with Hoard(running) as guest, Hoard(running, socket=running.folder / "red") as red:
                self.assertEqual(guest.do("build"), 0)
                # What has been launched has grown, by the next time that PoCL is asked.
                self.assertEqual(guest.do("build"), 0)
                first = self.held(control)
                self.assertEqual(guest.do("build"), 0)
                each = self.held(control) - first
                self.assertGreater(each, 0)
                self.assertEqual(self.fill(guest, "build"), (self.LIMIT - first - each) // each)
                full = self.held(control)
                self.assertLess(self.LIMIT - each, full)
                self.assertLessEqual(full, self.LIMIT)
                self.assertEqual(guest.do("again"), self.REFUSED)
                self.assertEqual(red.do("build"), 0)
                # Buffers and programs have the same limit.
                self.assertEqual(guest.take(self.LIMIT >> 10), -4)
                self.assertEqual(guest.do("drop"), 0)
                self.assertEqual(self.held(control), 0)
                self.assertEqual(guest.do("again"), 0)
                self.assertEqual(self.held(control), each)
                self.assertEqual(guest.do("drop"), 0)
                self.assertEqual(self.held(control), 0)
                self.assertEqual(guest.take(self.LIMIT >> 10), 0)

    def test_binaries(self):
        """Where asking takes long it is known of those whose binary the program has or gave."""
        with Host(config=self.CONFIG % "auto") as running, Control(running) as control:
            with Hoard(running) as guest:
                self.assertEqual(guest.do("build"), 0)
                self.assertEqual(self.held(control), 0)
                self.assertEqual(guest.do("fetch"), 0)
                each = self.held(control)
                self.assertGreater(each, 0)
                self.assertEqual(1 + self.fill(guest, "load"), self.LIMIT // each)
                self.assertEqual(guest.do("drop"), 0)
                self.assertEqual(self.held(control), 0)
                self.assertEqual(self.fill(guest, "load"), self.LIMIT // each)
                os.kill(running.worker_of(guest), signal.SIGKILL)
                running.expect("was ended by signal 9")
                self.assertEqual(self.held(control), 0)


class Operator(Ended):
    """guestcl end: the same way, without a limit."""

    def test_kernel(self):
        """A session whose program waits for a kernel, which never ends."""
        with Host() as running, Control(running) as control:
            with Guest(running, "guest", "work") as other:
                other.expect("prepared")
                with Guest(running, "blocked", "finish", "kernel") as guest:
                    guest.expect("entering")
                    worker = running.worker_of(guest)
                    since = time.monotonic()
                    control.done("end", session=control.session(guest)["id"])
                    self.check(running, guest, "the operator of the host has ended it")
                    self.assert_gone(worker, since)
                self.assertEqual(other.ask(), 0)
                self.assertEqual(other.end(), 0)
            self.assert_clean(running)

    def test_busy(self):
        """A program that is at something else hears of it when it comes back."""
        with Host() as running, Control(running) as control:
            with Guest(running, "guest", "work") as guest:
                guest.expect("prepared")
                worker = running.worker_of(guest)
                since = time.monotonic()
                control.done("end", session=control.session(guest)["id"])
                self.assert_gone(worker, since)
                self.assertEqual(guest.ask(), NOT_AVAILABLE)
                guest.end()
                self.assert_told(guest, "the operator of the host has ended it")

    def test_stopped(self):
        """A worker that can't tell is killed soon."""
        with Host() as running, Control(running) as control:
            with Guest(running, "blocked", "finish", "stopped") as guest:
                guest.expect("stop")
                worker = running.worker_of(guest)
                os.kill(worker, signal.SIGSTOP)
                guest.say("go on")
                guest.expect("entering")
                control.done("end", session=control.session(guest)["id"])
                self.assertEqual(control.session(guest)["state"], "ending")
                took = wait_until(lambda: not control.done("status")["sessions"])
                self.assertLess(took, TOLD)
                self.assertLess(int(guest.expect("returned").text.split()[2]), 0)
                guest.end()
            self.assert_served(running)


class Kernel(Ended):
    def test_long(self):
        with Host("user-kernel-time=500ms") as running, Guest(running, "guest", "work") as other:
            other.expect("prepared")
            with Guest(running, "blocked", "finish", "kernel") as guest:
                guest.expect("entering")
                self.check(running, guest, "kernel-time, 500 ms")
            self.assertEqual(other.ask(), 0)
            self.assertEqual(other.end(), 0)
            self.assert_clean(running)

    def test_live(self):
        """A limit of a VM's, set while it runs, holds for its next kernel."""
        config = 'vm-dir = "vm" vm-socket-group = "" vm "red" { local-socket = "@folder@/red" }'
        with Host(config=config) as running, Control(running) as control:
            control.done("set", vm="red", values={"kernel-time": "1s"})
            with Guest(running, "guest", "spin") as other:
                other.expect("prepared")
                with Guest(running, "blocked", "finish", "kernel", socket=running.folder / "red") as guest:
                    guest.expect("entering")
                    self.check(running, guest, "kernel-time, 1 s", within=TOLD + 1)
                self.assertTrue(control.session(other))
                self.assertIsNone(other.process.poll())

    def test_waiting(self):
        """What waits takes no time, whatever it waits for; nor does one that is stopped."""
        limits = ("user-kernel-time=400ms", "guest-timeout=400ms", "worker-timeout=3s")
        with Host(*limits) as running:
            with Guest(running, "blocked", "finish-loose", "user") as guest:
                guest.expect("entering")
                with Guest(running, "guest", "work") as other:
                    other.expect("prepared")
                    worker = running.worker_of(other)
                    os.kill(worker, signal.SIGSTOP)
                    other.say()
                    time.sleep(4)
                    os.kill(worker, signal.SIGCONT)
                    self.assertEqual(int(other.expect("worked").text.split()[1]), 0)
                    for _ in range(50):
                        self.assertEqual(other.ask(), 0)
                self.assertIsNone(guest.next(0.1))
                self.assertNotIn("is ended", running.text())


    def test_stopped(self):
        """A kernel grows no older while its worker is stopped, as it is with its VM."""
        with Host("user-kernel-time=2s") as running:
            with Guest(running, "blocked", "finish", "kernel") as guest:
                guest.expect("entering")
                worker = running.worker_of(guest)
                os.kill(worker, signal.SIGSTOP)
                time.sleep(3)
                os.kill(worker, signal.SIGCONT)
                self.assertIsNone(guest.next(0.5))
                self.check(running, guest, "kernel-time, 2 s", within=TOLD + 2)


class Worker(Ended):
    @unittest.skipIf(SANITIZED, "a sanitizer's runtime has to come first")
    def test_stuck(self):
        """A runtime that hangs in a call."""
        with Host("worker-timeout=1s", environment=STUCK) as running:
            with Guest(running, "guest", "work") as other:
                other.expect("prepared")
                with Guest(running, "blocked", "sampler", "none") as guest:
                    guest.expect("entering")
                    self.check(running, guest, "worker-timeout, 1 s", within=TOLD + 1)
                self.assertEqual(other.ask(), 0)
                self.assertEqual(other.end(), 0)


class Build(Ended):
    def test_time(self):
        with contextlib.ExitStack() as stack:
            # What the others build is known before: on a busy machine it may take long, too.
            known = stack.enter_context(tempfile.TemporaryDirectory())
            with Host(cache=known) as running:
                self.assert_served(running)
            running = stack.enter_context(Host("build-time=2s", cache=known))
            other = stack.enter_context(Guest(running, "guest", "work"))
            other.expect("prepared")
            with Guest(running, "blocked", "build", "none") as guest:
                guest.expect("entering")
                self.check(running, guest, "build-time, 2 s", within=PATIENCE)
            self.assertEqual(other.ask(), 0)
            self.assertEqual(other.end(), 0)
            self.assert_served(running)

    @unittest.skipIf(SANITIZED, "a sanitizer's runtime has to come first")
    def test_memory(self):
        with Host("build-memory=400MiB", environment=STUCK) as running:
            with Guest(running, "guest", "build") as other:
                other.expect("prepared")
                self.assertEqual(other.ask(), 0)
                with Guest(running, "blocked", "link", "none") as guest:
                    guest.expect("entering")
                    self.check(running, guest, "build-memory, 400 MiB")
                self.assertEqual(other.ask(), 0)
                self.assertEqual(other.end(), 0)


class Reader(Ended):
    def test_deaf(self):
        """A program that has stopped, with much to read: in the end it finds out why."""
        with Host("guest-timeout=500ms") as running, Guest(running, "guest", "work") as other:
            other.expect("prepared")
            with Guest(running, "blocked", "deaf", "user") as guest:
                guest.expect("entering")
                worker = running.worker_of(guest)
                running.expect("is ended: .*guest-timeout, 500 ms")
                self.assert_gone(worker, time.monotonic())
                os.kill(guest.pid, signal.SIGCONT)
                self.assertEqual(int(guest.expect("returned").text.split()[2]), NOT_AVAILABLE)
                guest.end()
                if not STREAM:
                    self.assert_told(guest, "guest-timeout, 500 ms")
            self.assertEqual(other.ask(), 0)
            self.assertEqual(other.end(), 0)

    def test_slow(self):
        """One that comes back in time has everything."""
        with Host("guest-timeout=1min") as running:
            with Guest(running, "blocked", "deaf", "user") as guest:
                guest.expect("entering")
                self.assert_stopped(guest.pid)
                time.sleep(1)
                os.kill(guest.pid, signal.SIGCONT)
                self.assertEqual(int(guest.expect("returned").text.split()[2]), 0)

    def assert_stopped(self, pid):
        end = time.monotonic() + PATIENCE
        while pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            self.assertLess(time.monotonic(), end, "the program doesn't stop")
            time.sleep(0.05)


class Rate(Fault):
    def test_loop(self):
        """A user whose programs come and come is refused; a VM is not."""
        config = """vm-dir = "vm" vm-socket-group = ""
            vm "red" { local-socket = "@folder@/red" session-rate = 1 }
            vm "blue" { local-socket = "@folder@/blue" session-rate = 0 }"""
        with Host("user-session-rate=3", config=config) as running, Control(running) as control:
            for _ in range(3):
                self.assert_served(running)
            self.assert_refused(running, "no more than 3 sessions of this user in a minute")
            red = running.folder / "red"
            self.assert_devices(running, red, True)
            self.assert_devices(running, red, False)
            for _ in range(5):
                self.assert_devices(running, running.folder / "blue", True)
            # What is set counts at once; a place comes free in a second now.
            control.done("set", vm="red", values={"session-rate": "60"})
            self.assert_devices(running, red, True)

    def assert_devices(self, running, path, there):
        with Guest(running, "guest", "devices", socket=path) as guest:
            self.assertEqual(guest.expect("devices").text == "devices 0", not there)
            self.assertEqual(guest.end(), 0)


class Heap(Fault):
    """Sessions of a VM share what its heaps may take; programs with little of it work."""

    MIB = 1 << 10  # KiB
    CONFIG = """vm-dir = "vm" vm-socket-group = ""
        vm "red" { local-socket = "@folder@/red" heap-memory = 64MiB }"""

    def heap(self, control, name="vm-red"):
        for vm in control.done("status")["vms"]:
            if vm["id"] == name:
                return vm["heap_bytes"] >> 10
        raise AssertionError(f"no {name}")

    def test_shared(self):
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(Host(config=self.CONFIG))
            control = stack.enter_context(Control(running))
            red = running.folder / "red"
            # 32 MiB, 16 MiB and 16 MiB.
            guests = [stack.enter_context(Hoard(running, socket=red)) for _ in range(3)]
            for guest in guests:
                for _ in range(12):
                    self.assertEqual(guest.take(8 * self.MIB), 0)
            self.assertLessEqual(self.heap(control), 64 * self.MIB)
            self.assertGreater(self.heap(control), 0)
            with Guest(running, "guest", "devices", socket=red) as late:
                late.expect("devices 0")
                self.assertEqual(late.end(), 0)
                self.assertIn("64 MiB", late.errors[0])
                self.assertIn("heap-memory", late.errors[0])
            self.assert_served(running)
            # What one gives back another may have; a bigger limit counts for the next.
            guests[1].end()
            self.assertIsNotNone(wait_until(lambda: len(control.done("status")["sessions"]) == 2))
            self.work(running, red)
            control.done("set", vm="red", values={"heap-memory": "1GiB"})
            self.work(running, red)
            for guest in (guests[0], guests[2]):
                self.assertEqual(guest.end(), 0)
            self.assertIsNotNone(wait_until(lambda: not control.done("status")["sessions"]))
            self.assertEqual(self.heap(control), 0)

    def test_given_back(self):
        """However a session ends, or came to nothing."""
        with Host("user-heap-memory=64MiB", "user-session-rate=0") as running:
            for number in range(8):
                with Guest(running, "guest", "work") as guest:
                    guest.expect("prepared")
                    if number % 2:
                        os.kill(running.worker_of(guest), signal.SIGKILL)
                        running.expect(rf"pid {guest.pid}, guest: worker \d+ was ended by signal 9")
            # The first of this one's still gets half of all.
            with Hoard(running) as first, Hoard(running) as second, Hoard(running) as third:
                for guest in (first, second, third):
                    self.assertEqual(guest.take(4), 0)
                self.assert_refused(running, "user-heap-memory")

    def test_taken_over(self):
        """A daemon that takes over knows what its sessions were lent, and where their VM is."""
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(Host(config=self.CONFIG))
            red = running.folder / "red"
            guests = [stack.enter_context(Hoard(running, socket=red))]
            self.assertEqual(guests[0].take(8 * self.MIB), 0)
            os.kill(running.process.pid, signal.SIGUSR2)
            running.expect("took over; sessions: 1")
            self.assertEqual(guests[0].take(8 * self.MIB), 0)
            guests += [stack.enter_context(Hoard(running, socket=red)) for _ in range(2)]
            with Guest(running, "guest", "devices", socket=red) as late:
                late.expect("devices 0")
                self.assertEqual(late.end(), 0)
                self.assertIn("heap-memory", late.errors[0])
            for guest in guests:
                self.assertEqual(guest.end(), 0)
            running.expect("(?s)(: ended after.*){3}")
            self.work(running, red)

    def work(self, running, path):
        with Guest(running, "guest", "work", socket=path) as guest:
            guest.expect("prepared")
            self.assertEqual(guest.ask(), 0)
            self.assertEqual(guest.end(), 0)


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
