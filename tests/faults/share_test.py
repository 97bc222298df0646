#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""VMs take turns on a device, by their weights. Bounds are wide: others use this machine, too.

share_test.py [-v] [CLASS[.test]...]: environment as for faults.py.
"""

import contextlib
import time
import unittest

from control_test import Control
from faults import Fault
from host import Guest, Host, wait_until

CONFIG = """
    vm-dir = "vm"
    vm-socket-group = ""
    vm "light" { local-socket = "@folder@/light" }
    vm "heavy" { local-socket = "@folder@/heavy" weight = 4 }
    """

# Rounds of arithmetic: kernels of about 0.1 and 1 ms.
SHORT, LONG = "3000", "30000"
SECONDS = 3


class Share(Fault):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, *settings, config=CONFIG):
        self.host = self.stack.enter_context(Host(*settings, config=config))
        self.control = self.stack.enter_context(Control(self.host))

    def load(self, vm, *arguments, seconds=SECONDS):
        guest = Guest(
            self.host, "load", *arguments, str(seconds), socket=self.host.folder / vm
        )
        self.stack.enter_context(guest)
        guest.expect("ready")
        return guest

    def used(self):
        return {vm["name"]: vm["device_time_ns"] for vm in self.control.done("status")["vms"]}

    def waited(self, vm):
        return next(
            found["wait_time_ns"]
            for found in self.control.done("status")["vms"]
            if found["name"] == vm
        )

    def waiting(self):
        return self.control.done("status")["devices"][0]["sessions_waiting"]

    def compare(self, *guests):
        """Device time of heavy, in that of light, while all run."""
        for guest in guests:
            guest.say("go")
        time.sleep(0.3)
        before = self.used()
        time.sleep(SECONDS - 1)
        after = self.used()
        self.finish(*guests)
        return (after["heavy"] - before["heavy"]) / (after["light"] - before["light"])

    def finish(self, *guests):
        for guest in guests:
            while guest.next().text != "end":
                pass
            self.assertEqual(guest.end(), 0)

    def test_weights(self):
        self.start()
        ratio = self.compare(
            self.load("light", "steady", LONG, "4"), self.load("heavy", "steady", LONG, "4")
        )
        self.assertTrue(2.5 < ratio < 6, ratio)
        self.assertGreater(self.waited("light"), 0)

    def test_set(self):
        """While they run; several sessions are no more than one."""
        self.start()
        self.control.done("set", vm="heavy", values={"weight": "1"})
        ratio = self.compare(
            self.load("light", "steady", LONG, "4"),
            *(self.load("heavy", "steady", LONG, "4") for _ in range(3)),
        )
        self.assertTrue(0.6 < ratio < 1.7, ratio)

    def test_queue(self):
        """One has its turn, and the others are in the queue."""
        self.start()
        guests = [self.load("light", "steady", LONG, "4")]
        guests += [self.load("heavy", "steady", LONG, "4") for _ in range(2)]
        self.assertEqual(self.waiting(), 0)
        for guest in guests:
            guest.say("go")
        self.assertIsNotNone(wait_until(lambda: self.waiting() == len(guests) - 1, SECONDS))
        self.finish(*guests)
        self.assertEqual(self.waiting(), 0)

    def test_ceiling(self):
        """Also for one that is alone."""
        self.start()
        self.control.done("set", vm="light", values={"ceiling": "20"})
        guest = self.load("light", "steady", LONG, "4")
        guest.say("go")
        time.sleep(0.3)
        before, start = self.used()["light"], time.monotonic()
        time.sleep(SECONDS - 1)
        part = (self.used()["light"] - before) / 1e9 / (time.monotonic() - start)
        self.finish(guest)
        self.assertTrue(0.05 < part < 0.35, part)

    def test_idle(self):
        """A session that does nothing holds nobody up, nor does one that is stopped."""
        self.start()
        stopped = self.load("heavy", "steady", SHORT, "4")
        idle = self.load("heavy", "steady", SHORT, "4")
        stopped.say("go")
        time.sleep(0.2)
        self.control.done("pause", session=self.control.session(stopped)["id"])
        guest = self.load("light", "light", SHORT, "0")
        guest.say("go")
        done = 0
        while guest.next().text != "end":
            done += 1
        self.assertGreater(done, 20)
        self.control.done("resume", session=self.control.session(stopped)["id"])
        idle.say("go")
        self.finish(stopped, idle)

    def test_holder_dies(self):
        self.start()
        holder = self.load("heavy", "steady", LONG, "16", seconds=600)
        guest = self.load("light", "steady", SHORT, "4", seconds=1)
        holder.say("go")
        guest.say("go")
        time.sleep(0.2)
        holder.process.kill()
        self.finish(guest)
        self.assertIsNotNone(wait_until(lambda: not self.control.done("status")["sessions"]))

    def test_restart(self):
        """A new daemon goes on giving turns."""
        self.start()
        guests = [self.load("heavy", "steady", LONG, "4"), self.load("light", "steady", LONG, "4")]
        for guest in guests:
            guest.say("go")
        time.sleep(0.2)
        self.control.done("restart")
        self.finish(*guests)

    def test_off(self):
        self.start("scheduler=off")
        self.compare(self.load("light", "steady", LONG, "4"), self.load("heavy", "steady", LONG, "4"))
        self.assertLess(self.waited("light"), 50e6)


if __name__ == "__main__":
    unittest.main()
