#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Queues of running programs move to GPU servers and back; programs notice nothing but time.

move_test.py [-v] [CLASS[.test]...]: GUESTCL_BUILD is the build folder, GUESTCL_SANITIZED tells that
it was built with a sanitizer, and

GUESTCL_MOVE_SECONDS   how long moves are made at random (4)
GUESTCL_SEED           repeats what chance did in a run, which prints it
"""

import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "move"), str(TESTS / "faults")]

import host
from case import Case, queue_id
from control_test import TOOL, Control
from host import PATIENCE
from world import ROUNDS, SANITIZED, Places

SECONDS = float(os.environ.get("GUESTCL_MOVE_SECONDS", "4"))
SEED = int(os.environ.get("GUESTCL_SEED", os.getpid()))

# What a worker may have more after many moves than after the first ones: bytes, and threads that are
# kept once they were needed.
# Some 150 MiB were seen after 1,000 moves and after 7,000: heaps and arenas that are in use by then.
GROWTH = 256 << 20
THREADS = 2


class Modes(Case):
    """One program of each mode, there and back; the sums are native's."""

    def check(self, mode):
        places = self.places
        guest = places.guest(mode)
        some = ROUNDS[mode]
        sums = [guest.rounds(some)]
        places.moved(guest.session, "s1")
        sums.append(guest.rounds(some))
        self.assertGreater(places.session(guest.session)["queues_away"], 0)
        places.moved(guest.session, "home")
        sums.append(guest.rounds(some))
        self.assertEqual(places.session(guest.session)["queues_away"], 0)
        guest.run()
        for where in ("s1", "home", "s1"):
            places.moved(guest.session, where)
        guest.say("0")
        sums.append(guest.did())
        sums.append(guest.did())
        sums.append(guest.finish())
        counts = [some, some, some, sums[3][0] - 3 * some, 0]
        self.assert_sums(mode, counts, sums)

    def test_all(self):
        self.start()
        for mode in ROUNDS:
            with self.subTest(mode=mode):
                self.check(mode)
        self.assert_clean()

    def test_behind(self):
        """What is written as a whole all the time is copied once ahead, and behind."""
        places = self.start()
        guest = places.guest("whole")
        guest.run()
        behind = {"s1": 0, "home": 0}
        # Not each time: it may be in the middle of its buffers, or have waited for the CPU.
        for where in 50 * ("s1", "home"):
            # Moves may follow each other faster than the program writes.
            time.sleep(0.05)
            behind[where] += places.moved(guest.session, where)["behind_bytes"]
            if any(behind.values()):
                break
        self.assertTrue(any(behind.values()), behind)
        guest.say("0")
        sums = [guest.did(), guest.did(), guest.finish()]
        self.assert_sums("whole", [sums[0][0], 0], sums)
        self.assert_clean()

    def test_one_queue(self):
        """One of two that share a buffer's halves; and the other one later."""
        places = self.start(2)
        guest = places.guest("parts")
        sums = [guest.rounds(4)]
        moves = [(0, "s1"), (2, "s1"), (0, "home"), (0, "s2"), (2, "home"), (0, "home")]
        for index, where in moves:
            places.moved(guest.session, where, queue_id(index))
            sums.append(guest.rounds(4))
        sums.append(guest.finish())
        self.assert_sums("parts", [4] * 7, sums)
        self.assert_clean()

    def test_gates(self):
        """What waits for the program, and what it waits for, on several sides."""
        places = self.start(2)
        guest = places.guest("gates")
        sums = [guest.rounds(4)]
        moves = [(0, "s1"), (2, "s1"), (0, "home"), (1, "s1"), (0, "s2"), (2, "home"), (0, "s1")]
        for index, where in moves:
            places.moved(guest.session, where, queue_id(index))
            sums.append(guest.rounds(4))
        sums.append(guest.finish())
        self.assert_sums("gates", [4] * 8, sums)
        self.assert_clean()

    def test_new_queues(self):
        """They are made where all others are, also those that are made during a move."""
        places = self.start()
        guest = places.guest("order")
        sums = [guest.rounds(4)]
        away = []
        for where in ("s1", "home", "s1"):
            places.moved(guest.session, where)
            guest.change_queue()
            sums.append(guest.rounds(4))
            away.append(places.session(guest.session)["queues_away"])
        self.assertEqual(away, [3, 0, 5])
        # Its first queue alone: new ones are made at home, as not all are away.
        places.moved(guest.session, "home")
        places.moved(guest.session, "s1", queue_id(0))
        guest.change_queue()
        sums.append(guest.rounds(4))
        self.assertEqual(places.session(guest.session)["queues_away"], 1)
        sums.append(guest.finish())
        self.assert_sums("order", [4] * 5, sums)
        self.assert_clean()

    def test_queue_meanwhile(self):
        """One that is made during a move follows when that has ended."""
        places = self.start()
        guest = places.guest("order")
        sums = [guest.rounds(4)]
        server = places.servers["s1"].process
        server.send_signal(signal.SIGSTOP)
        try:
            begun = places.begin(guest.session, "s1")
            guest.change_queue()
            sums.append(guest.rounds(4))
            under_way = places.state(guest.session, begun["move"])
        finally:
            server.send_signal(signal.SIGCONT)
        self.assertNotIn(under_way["state"], ("moved", "failed"), under_way)
        self.assertEqual(places.wait(guest.session, begun["move"])["state"], "moved")
        sums.append(guest.rounds(4))
        self.assertEqual(places.session(guest.session)["queues_away"], 3)
        sums.append(guest.finish())
        self.assert_sums("order", [4] * 3, sums)
        self.assert_clean()

    def test_drain(self):
        """Of two servers: what is at the other one stays there."""
        places = self.start(2)
        guest = places.guest("parts")
        sums = [guest.rounds(4)]
        places.moved(guest.session, "s1", queue_id(0))
        places.moved(guest.session, "s2", queue_id(2))
        sums.append(guest.rounds(4))
        begun = places.control.done("drain", server="s1")["moves"]
        for move in begun:
            places.wait(move["session"], move["move"])
        sums.append(guest.rounds(4))
        self.assertEqual(places.session(guest.session)["queues_away"], 1)
        self.assert_empty("s1")
        self.assertEqual(len(places.sessions("s2")), 1)
        sums.append(guest.finish())
        self.assert_sums("parts", [4, 4, 4], sums)
        self.assert_clean()

    def test_programs(self):
        """What is built again there goes when the program has released it."""
        places = self.start()
        guest = places.guest("programs")
        places.moved(guest.session, "s1")

        def held():
            """After so many rounds that each way to a program was gone."""
            most = 0
            for _ in range(12):
                guest.rounds(2)
                most = max(most, places.controls["s1"].done("status")["vms"][0]["memory_bytes"])
            return most

        held()
        first = held()
        for _ in range(2):
            self.assertLessEqual(held(), first * 3 // 2)
        guest.finish()
        self.assert_clean()


class Refused(Case):
    def test_errors(self):
        places = self.start()
        guest = places.guest("order")
        move = places.move
        self.assert_refused(move(99, "s1"), "99")
        self.assert_refused(move(guest.session, "s9"), 'no server "s9"')
        self.assert_refused(move(guest.session, "s1", queue_id(77)), "no such")
        self.assert_there(move(guest.session, "home", queue_id(0)))
        places.moved(guest.session, "s1")
        self.assert_there(move(guest.session, "s1"))
        self.assert_there(move(guest.session, "s1", queue_id(0)))
        places.moved(guest.session, "home")
        self.assert_works(guest)
        guest.finish()
        self.assert_clean()

    def test_tool(self):
        """What operators are told, and by which exit status."""
        places = self.start()
        guest = places.guest("order")

        def tool(*words):
            control = f"--control={places.host.folder}/control.sock"
            return subprocess.run(
                [TOOL, "move", control, *words],
                capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip

        done = tool(str(guest.session), "s1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f"session {guest.session}: moved to s1", done.stdout)
        done = tool(f"{guest.session}/{queue_id(0):#x}", "home")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = tool(str(guest.session), "s9")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("s9", done.stderr)
        self.assert_works(guest)
        guest.finish()
        self.assert_clean()

    def test_busy(self):
        """One of a session at a time. The first one waits for a program that does nothing."""
        places = self.start()
        guest = places.guest("shared")
        guest.rounds(2)  # commands of the last one wait for the program
        first = places.begin(guest.session, "s1")
        self.assert_refused(places.move(guest.session, "s1"), "under way")
        self.assert_refused(places.move(guest.session, "home"), "under way")
        guest.rounds(1)
        places.wait(guest.session, first["move"])
        self.assert_works(guest)
        guest.finish()
        self.assert_clean()

    def test_began_before(self):
        """Its buffers are in memory that both sides have: it stays."""
        places = self.start(0)
        guest = places.guest("order")
        server = self.stack.enter_context(host.Host())
        places.host.config.write_text(f'server "s1" {{ address = "unix:{server.socket}" }}\n')
        places.host.process.send_signal(host.signal.SIGHUP)
        places.host.expect("settings read again")
        self.assert_eventually(
            lambda: "no server" not in places.move(guest.session, "s1")["text"], "known"
        )
        self.assert_refused(places.move(guest.session, "s1"), "began before")
        self.assert_works(guest)
        guest.finish()

    def test_down(self):
        places = self.start()
        guest = places.guest("order")
        places.servers["s1"].process.terminate()
        places.servers["s1"].process.wait(PATIENCE)
        self.assert_refused(places.move(guest.session, "s1"), "can't connect")
        self.assert_works(guest)
        places.servers["s1"].start().ready()
        places.connect("s1")
        places.moved(guest.session, "s1")
        self.assert_works(guest)
        guest.finish()
        self.assert_clean()


class Fails(Case):
    """At each point of a move: the program goes on where it is, and nothing is left there."""

    POINTS = range(1, 9)

    def begin(self, point):
        """Returns the places, the program, and its sums so far."""
        places = self.start(environment={"GUESTCL_MOVE_FAILS_AT": str(point)})
        guest = places.guest("parts")
        sums = [guest.rounds(ROUNDS["parts"])]
        guest.run()
        for _ in range(2):
            self.assert_refused(places.move(guest.session, "s1"), f"at step {point}")
        guest.say(str(ROUNDS["parts"]))
        return places, guest, [*sums, guest.did(), guest.did()]

    def end(self, places, guest, sums):
        self.places = places
        some = ROUNDS["parts"]
        self.assert_empty("s1")
        sums.append(guest.finish())
        self.assert_sums("parts", [some, sums[1][0] - some, some], sums)
        self.assert_clean()

    def test_all(self):
        begun = [(point, *self.begin(point)) for point in self.POINTS]
        for point, *rest in begun:
            with self.subTest(point=point):
                self.end(*rest)


class Mover(threading.Thread):
    """Moves one session at random until it is told to stop."""

    def __init__(self, places, guest, seed):
        super().__init__(daemon=True)
        self.places, self.guest = places, guest
        self.random = random.Random(seed)
        self.stopping = False
        self.done = 0
        self.refused = {}
        self.error = None

    def run(self):
        # The connection is this thread's own.
        places = Places.__new__(Places)
        places.__dict__.update(self.places.__dict__)
        try:
            with Control(self.places.host) as control:
                places.controls = {"home": control}
                while not self.stopping:
                    self.step(places)
        except (AssertionError, OSError, KeyError) as error:
            self.error = error

    def choose(self):
        """Where to, and which queue."""
        one = self.random.random() < 0.3
        return (
            self.random.choice(["home", *self.places.servers]),
            queue_id(2 * self.random.randrange(2)) if one else 0,
        )

    def step(self, places):
        state = places.move(self.guest.session, *self.choose())
        if self.guest.process.poll() is not None:
            raise AssertionError(f"{self.guest.mode} ended: {self.guest.errors}")
        if state["state"] == "moved" and state["text"] == "moved":
            self.done += 1
        else:
            self.refused[state["text"]] = self.refused.get(state["text"], 0) + 1


class Shuttle(Mover):
    """Moves the first queue alone, there and back."""

    def choose(self):
        return ("home" if self.done % 2 else "s1"), queue_id(0)


class Random(Case):
    # Which refusals say nothing but that chance wanted the impossible.
    FINE = ("already", "no such", "wait for the program")

    def held(self, guest):
        """Descriptors, threads and memory of its worker."""
        worker = self.places.host.worker_of(guest)
        status = pathlib.Path(f"/proc/{worker}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines())
        return (
            len(host.descriptors(worker)),
            int(values["Threads"]),
            int(values["VmRSS"].split()[0]) << 10,
        )

    def there_and_back(self, guests):
        for guest in guests:
            for where in (*self.places.servers, "home"):
                self.places.moved(guest.session, where)

    def assert_held(self, guest, before):
        """What it has is what it had."""

        def same():
            after = self.held(guest)
            return after[0] <= before[0] and after[1] <= before[1] + THREADS

        self.assert_eventually(same, f"as before ({before}, {self.held(guest)})")
        # Sanitizers keep what was freed.
        if not os.environ.get("GUESTCL_SANITIZED"):
            self.assertLess(self.held(guest)[2], before[2] + GROWTH)

    def test_random(self):
        print(f"GUESTCL_SEED={SEED}", file=sys.stderr)
        places = self.start(2)
        guests = [places.guest(mode) for mode in ROUNDS]
        for guest in guests:
            guest.rounds(3)
        self.there_and_back(guests)
        before = [self.held(guest) for guest in guests]
        for guest in guests:
            guest.run()
        self.let_move([Mover(places, guest, SEED + i) for i, guest in enumerate(guests)])
        for guest in guests:
            guest.say("3")
            self.assertEqual(guest.did()[0] + 3, guest.did()[0])
        for guest in guests:
            state = places.move(guest.session, "home")
            self.assertIn(state["state"], ("moved", "failed"), state)
            # Its commands may have waited for what it does in its next round.
            if state["state"] == "failed":
                guest.rounds(1)
                places.moved(guest.session, "home")
        self.assert_empty(*places.servers)
        for guest, held in zip(guests, before):
            self.assert_held(guest, held)
            guest.finish()
        self.assert_clean()

    def test_quick(self):
        """As fast as it goes: a queue that stays away keeps the session at the server."""
        places = self.start()
        guests = [places.guest(mode) for mode in ("order", "parts", "shared", "times")]
        for guest in guests:
            places.moved(guest.session, "s1")
            places.moved(guest.session, "home", queue_id(0))
            guest.run()
        movers = [Shuttle(places, guest, 0) for guest in guests]
        self.let_move(movers)
        for guest in guests:
            guest.say("3")
            self.assertEqual(guest.did()[0] + 3, guest.did()[0])
            guest.finish()
        self.assert_clean()

    def let_move(self, movers):
        for mover in movers:
            mover.start()
        time.sleep(SECONDS)
        for mover in movers:
            mover.stopping = True
        for mover in movers:
            mover.join(PATIENCE)
        self.report(movers)

    def report(self, movers):
        errors = [str(mover.error) for mover in movers if mover.error]
        self.assertEqual(errors, [], self.places.text())
        for mover in movers:
            self.assertFalse(mover.is_alive(), self.places.text())
            self.assertGreater(mover.done, 0, mover.refused)
            for text in mover.refused:
                self.assertTrue(any(word in text for word in self.FINE), text)
        counts = ", ".join(f"{mover.guest.mode} {mover.done}" for mover in movers)
        total = sum(mover.done for mover in movers)
        print(f"{total} moves in {SECONDS:g} s: {counts}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
