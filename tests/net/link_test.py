#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests of another machine over a long link: what waits for how many round trips, and what becomes
of a link that is cut.

link_test.py LINK TRIPS STEPS [-v] [CLASS[.test]...]: the programs of link.c, trips.c and steps.c.
"""

import os
import subprocess
import sys
import time
import unittest

from network import ADDRESSES, Network, Unavailable
from server import Server, temporary

LINK, TRIPS, STEPS = (sys.argv.pop(1) for _ in range(3))
SLOW = 240
SKIPPED = 77

# One way: a short link and a long one. What takes longer over the long one are round trips.
DELAYS_MS = (50, 250)

# Round trips, at most: TCP, TLS and greeting; a build with all that is asked of kernels.
TRIPS_MAX = {"start": 3, "build": 2, "binary": 1, "binary-build": 1, "finish": 1, "read": 1, "posted": 0}

# What a busy machine adds, in round trips of the difference; and how often that may be tried.
NOISE = 0.4
ATTEMPTS = 4

NATIVE = {**os.environ, "OCL_ICD_VENDORS": "/etc/OpenCL/vendors"}


class Case(unittest.TestCase):
    def serve(self, delay_ms):
        network = Network(LINK, delay_ms * 1000)
        self.addCleanup(network.stop)
        directory = temporary()
        self.addCleanup(directory.cleanup)
        server = Server(directory.name, address=ADDRESSES[0], wrapper=network.inside(0),
                        settings={"tls-resume-time": "20s"})  # fmt: skip
        server.start()
        self.addCleanup(server.stop)
        return network, server

    def start(self, network, server, *command):
        return subprocess.Popen([*network.inside(1), *command], env=server.environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip

    def native(self, *command):
        return subprocess.run(command, env=NATIVE, capture_output=True, text=True, check=True,
                              timeout=SLOW).stdout  # fmt: skip


class Trips(Case):
    def measure(self, where, least):
        guest = self.start(*where, TRIPS)
        out, err = guest.communicate(timeout=SLOW)
        self.assertEqual(guest.returncode, 0, err)
        for name, us in (line.split() for line in out.splitlines()):
            least[name] = min(float(us), least.get(name, float("inf")))

    def test_trips(self):
        places = [self.serve(delay_ms) for delay_ms in DELAYS_MS]
        least = [{}, {}]
        longer = 2 * (DELAYS_MS[1] - DELAYS_MS[0]) * 1000
        for _ in range(ATTEMPTS):
            for place, times in zip(places, least):
                self.measure(place, times)
            trips = {name: (least[1][name] - least[0][name]) / longer for name in TRIPS_MAX}
            if all(trips[name] <= most + NOISE for name, most in TRIPS_MAX.items()):
                break
        shown = ", ".join(f"{name} {count:.2f}" for name, count in trips.items())
        print(f"(round trips: {shown}) ", end="", file=sys.stderr)
        for name, most in TRIPS_MAX.items():
            self.assertLessEqual(trips[name], most + NOISE, shown)


class Cut(Case):
    def begin(self, *command):
        network, server = self.serve(1)
        guest = self.start(network, server, *command)
        server.wait_log("served by worker")
        time.sleep(0.5)
        network.cut()
        return network, server, guest

    def test_mended(self):
        """Cut for a while: the program goes on, as if nothing had been."""
        wanted = self.native(STEPS, "2400")
        network, server, guest = self.begin(STEPS, "2400")
        time.sleep(16)
        network.cut()
        out, err = guest.communicate(timeout=SLOW)
        self.assertEqual(out, wanted, err + server.log.read_text())

    def test_dead(self):
        """Cut for good: both sides notice, and end, within the time that they have."""
        _, server, guest = self.begin(STEPS, "10000000")
        # 12 s of silence, and 20 to come back.
        _, err = guest.communicate(timeout=SLOW)
        self.assertNotEqual(guest.returncode, 0, err)
        server.wait_log("nobody came back", seconds=SLOW)


if __name__ == "__main__":
    try:
        Network(LINK, 1000).stop()
    except (OSError, Unavailable) as error:
        print(f"SKIPPED: no network of two namespaces here: {error}", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
