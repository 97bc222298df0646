#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sessions that move to a GPU server by TLS and back, while their program runs.

move_test.py STEPS [-v] [CLASS[.test]...]: STEPS is the program of steps.c, whose last line is right only if each of its
kernels has run once, and on the contents that the one before left.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

from server import BUILD, Proxy, Server, temporary

STEPS = sys.argv.pop(1)
GUESTCL = BUILD / "host-daemon/tool/guestcl"
COMPLAINT = re.compile(r"ERROR: \w+Sanitizer|: runtime error: ")
NATIVE = {**os.environ, "OCL_ICD_VENDORS": "/etc/OpenCL/vendors"}
COUNT, REST = "4800", "60"  # for some 20 s, if nothing takes long
SLOW = 240  # seconds that nothing takes, even on a machine that has much else to do


class Moves(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.expected = subprocess.run([STEPS, COUNT], env=NATIVE, capture_output=True, text=True, check=True).stdout

    def setUp(self):
        self.far = self.server("far")
        self.far.start()
        self.proxy = Proxy(self.far.port)
        self.addCleanup(self.proxy.stop)
        self.home = self.server(
            "home",
            settings={"servers-tls": self.far.pki / "clients/one"},
            servers={"far": f"127.0.0.1:{self.proxy.port}", "dead": "127.0.0.1:1"},
        )
        self.home.start()

    def server(self, name, **more):
        folder = temporary()
        self.addCleanup(folder.cleanup)
        server = Server(folder.name, **more)
        self.addCleanup(self.end, server, name)
        return server

    def end(self, server, name):
        status = server.stop()
        text = server.log.read_text(errors="replace")
        if status or COMPLAINT.search(text):
            raise AssertionError(f"{name}'s guestcld ended with {status}:\n{text}")

    def guestcl(self, *words, status=0):
        done = subprocess.run(
            [GUESTCL, *words, "--control", self.home.control],
            capture_output=True, text=True, timeout=SLOW, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stdout + done.stderr + self.home.log.read_text())
        return done.stdout + done.stderr

    def session(self):
        """What status says of the one session; it has begun."""
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            sessions = json.loads(self.guestcl("status", "--json"))["sessions"]
            if sessions and sessions[0]["device_time_ns"]:
                return sessions[0]
            time.sleep(0.02)
        raise AssertionError("no session")

    def steps(self):
        """STEPS, when its kernels run."""
        program = subprocess.Popen(
            [STEPS, COUNT, REST], env=self.home.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(program.kill)
        self.session()
        return program

    def assert_right(self, program):
        out, errors = program.communicate(timeout=SLOW)
        self.assertEqual(out, self.expected, errors)

    def test_there_and_back(self):
        program = self.steps()
        self.guestcl("move", "1", "far")
        self.assertEqual(self.session()["places"], [{"server": "far", "device": 0}])
        self.assertIn(", on far", self.guestcl("status"))
        self.guestcl("move", "1", "dead", status=1)
        self.guestcl("move", "1", "home")
        self.assertEqual(self.session()["queues_away"], 0)
        self.assert_right(program)

    def test_drop(self):
        """The connection to the server drops while the session is there, and is made again."""
        program = self.steps()
        self.guestcl("move", "1", "far")
        before = self.proxy.connections
        self.assertTrue(self.proxy.drop(reset=True))
        self.assert_right(program)
        self.assertGreater(self.proxy.connections, before)
        self.assertNotIn("was lost", self.home.log.read_text())

    def test_link_killed(self):
        """The process that connects the session to the server dies: what was done there is done again."""
        program = self.steps()
        self.guestcl("move", "1", "far")
        self.kill_link()
        self.assert_right(program)
        self.assertIn("are done again here", self.home.log.read_text())

    def kill_link(self):
        """That of the home's guestcld."""
        wanted = ("guestcl-link", str(self.home.process.pid))
        killed = 0
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                lines = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
                if (lines["Name"], lines["PPid"]) == wanted:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        self.assertEqual(killed, 1)

    def test_takeover(self):
        """A new guestcld knows where the session is, and brings it home."""
        program = self.steps()
        self.guestcl("move", "1", "far")
        self.guestcl("restart")
        self.assertEqual(self.session()["places"], [{"server": "far", "device": 0}])
        self.guestcl("drain", "far")
        self.assertEqual(self.session()["queues_away"], 0)
        self.assert_right(program)


if __name__ == "__main__":
    unittest.main()
