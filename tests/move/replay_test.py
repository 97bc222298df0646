#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Servers are lost while queues are away, and what was done there is done again at home: the program's
results are native's, and it sees no error. Where that isn't possible it gets CL_DEVICE_NOT_AVAILABLE,
and nothing hangs.

replay_test.py [-v] [CLASS[.test]...]: environment as for move_test.py. GUESTCL_REPLAY_ROUNDS=100 for
more losses.
"""

import os
import pathlib
import random
import signal
import sys
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "move"), str(TESTS / "faults")]

from case import queue_id
from lost_test import GOES, Lost
from world import SANITIZED, Native

LOSSES = int(os.environ.get("GUESTCL_REPLAY_ROUNDS", "6"))


class Replay(Lost):
    def replays(self, guest):
        return self.places.session(guest.session)["replays"]

    def lose(self, guest, seconds):
        """While it is at work there for so long."""
        places = self.places
        self.assert_eventually(
            lambda: places.move(guest.session, "s1")["state"] == "moved", "moved"
        )
        before = self.replays(guest)
        guest.run()
        time.sleep(seconds)
        self.hurt_worker(signal.SIGKILL)
        self.assert_eventually(lambda: self.replays(guest) > before, "done again")
        self.assertIsNone(guest.process.poll(), guest.errors)
        guest.say("0")
        guest.did()
        total, total_sum = guest.did()
        self.assertEqual(guest.lossy, [], places.text())
        self.assertEqual(self.replays(guest), before + 1)
        return total, total_sum


class Same(Replay):
    """The results are native's, whenever the server is lost."""

    def check(self, mode, seed):
        chance = random.Random(seed)
        places = self.start(settings=("replay-time=10min", "replay-memory=1GiB"))
        guest = places.guest(mode)
        # All of its queues are known by then: one that is made during a move is at home until its end.
        done, sums = 0, [guest.rounds(1)]
        for _ in range(LOSSES):
            total, total_sum = self.lose(guest, chance.random() ** 3)
            sums.append((total, total_sum))
            done = total
        self.assertGreater(done, 0)
        sums.append(guest.finish())
        counts, last = [], 0
        for total, _ in sums[:-1]:
            counts.append(total - last)
            last = total
        self.assertEqual(sums, Native.run(mode, counts), places.text())
        self.assert_clean()

    def test_order(self):
        self.check("order", 1)

    def test_replay(self):
        self.check("replay", 2)

    def test_parts(self):
        self.check("parts", 3)

    def test_images(self):
        self.check("images", 4)

    def test_churn(self):
        self.check("churn", 5)

    def test_gates(self):
        self.check("gates", 6)

    def test_many(self):
        """A session that has lost its server often is as large as before."""
        places = self.start()
        guest = places.guest("lossy")
        sizes = []
        for count in range(3 * LOSSES):
            self.lose(guest, 0.02)
            if count % LOSSES == 0:
                sizes.append(self.size(guest))
        guest.finish()
        self.assert_clean()
        if not SANITIZED:
            self.assertLess(sizes[-1] - sizes[1], 8 << 20, sizes)

    def size(self, guest):
        """Resident bytes of its worker."""
        pid = self.places.session(guest.session)["worker_pid"]
        pages = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Impossible(Replay):
    """Each reason why it isn't possible: the program is told of the loss, and goes on."""

    def check(self, reason, *settings, mode="lossy", servers=1, prepare=None):
        places = self.start(servers, settings=settings)
        guest = places.guest(mode)
        places.moved(guest.session, "s1", GOES)
        if prepare:
            prepare(guest)
        guest.rounds(2)
        guest.run()
        self.assert_eventually(
            lambda: places.session(guest.session)["replay"] == reason, f"no replay: {reason}"
        )
        self.hurt_worker(signal.SIGKILL)
        line = guest.next()
        self.assertTrue(line and line.text.startswith("failed 0"), (line, places.text()))
        guest.lossy.append(line.text.split())
        guest.say("40")
        guest.did()
        guest.did()
        self.assert_told(guest)
        self.assert_goes_on(guest)
        self.assertEqual(self.replays(guest), 0)
        guest.finish()
        self.assert_clean()

    def test_off(self):
        self.check("off", "replay-memory=0")

    def test_memory(self):
        self.check("memory", "replay-memory=16KiB")

    def test_time(self):
        self.check("time", "replay-time=200ms")

    def test_shared(self):
        self.check("shared", mode="lossy-shared")

    def test_prints(self):
        self.check("prints", mode="lossy-prints")

    def test_failed(self):
        """A command of the queue that is away; the program has been told."""
        places = self.start()
        guest = places.guest("lossy-fails")
        places.moved(guest.session, "s1", GOES)
        guest.rounds(1)
        self.assert_eventually(
            lambda: places.session(guest.session)["replay"] == "failed", "no replay: failed"
        )
        guest.finish()
        self.assert_clean()

    def test_places(self):
        def other_goes(guest):
            self.places.moved(guest.session, "s2", queue_id(1))

        self.check("places", servers=2, prepare=other_goes)


if __name__ == "__main__":
    unittest.main()
