#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs that move by themselves: which of them, when, and that they notice nothing.

placing_test.py [-v] [CLASS[.test]...]: GUESTCL_BUILD is the build folder.
"""

import json
import pathlib
import subprocess
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "move"), str(TESTS / "faults")]

import host
from case import Case
from control_test import TOOL
from host import PATIENCE, Guest

BUSY = host.BUILD / "tests/move/busy"

# Home and server are one CPU here, so nothing is faster by moving, and what a device is wanted for
# beside other work isn't much.
EAGER = ["placement-stay=5s", "placement-busy=60", "placement-faster=100", "placement-margin=0"]


class Busy(Guest):
    """A program of busy.c."""

    def __init__(self, places, megabytes=1):
        super().__init__(places.host, BUSY, str(megabytes))
        places.stack.enter_context(self)
        self.expect("ready")
        self.session = places.control.session(self)["id"]

    def finish(self):
        self.process.stdin.close()
        self.expect("end")
        status = self.end()
        if status or self.errors:
            raise AssertionError(f"ended with {status}: {self.errors}")


class Alone(Case):
    def why(self, session):
        control = f"--control={self.places.host.folder}/control.sock"
        done = subprocess.run(
            [TOOL, "why", control, "--json", str(session)],
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def away(self, guests):
        return [g for g in guests if self.places.session(g.session)["queues_away"]]

    def goes(self, guests):
        self.assert_eventually(lambda: self.away(guests), "one is away")
        return self.away(guests)[0]

    def test_waiting(self):
        """One of two that keep the device busy goes; it comes home when the other one has ended."""
        places = self.start(memory=1024, settings=EAGER)
        guests = [Busy(places) for _ in range(2)]
        gone = self.goes(guests)
        why = self.why(gone.session)
        self.assertEqual(why["last"]["why"], "waiting", why)
        self.assertEqual((why["last"]["from"], why["last"]["to"]), ("home/0", "s1/0"))
        self.assertGreater(why["last"]["waiting"], 0)
        other = guests[1] if gone is guests[0] else guests[0]
        other.finish()

        # What it took at home it took beside all else that this machine did then: if that was much,
        # home looks slower now than the server is.
        def decided():
            return not self.away([gone]) or self.why(gone.session)["now"]["why"] == "no-faster"

        self.assert_eventually(decided, "it is home, or faster where it is")
        if not self.away([gone]):
            why = self.why(gone.session)
            # Or it flees from a server that is much slower, as one CPU can be beside other work.
            self.assertIn(why["last"]["why"], ("home", "waiting"), why)
            self.assertEqual(why["last"]["to"], "home/0", why)
        gone.finish()
        self.assert_clean()

    def test_room(self):
        """An allocation that the limit doesn't hold is waited for until another session has gone."""
        places = self.start(memory=1024, settings=["user-memory=96MiB", "placement=memory"])
        guests = [Busy(places, 64), Busy(places, 8)]
        guests[1].say("more 64")
        guests[1].expect("more 0")
        self.assertEqual([g.session for g in self.away(guests)], [guests[0].session])
        self.assertEqual(self.why(guests[0].session)["last"]["why"], "room")
        for guest in guests:
            guest.finish()
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
