#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Servers, or the host itself, die or hang while queues move or are away: nothing hangs, what isn't
there goes on, and what was there, and is not done again (replay_test.py), is told and can be made anew.

lost_test.py [-v] [CLASS[.test]...]: environment as for move_test.py.
"""

import os
import pathlib
import signal
import sys
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "move"), str(TESTS / "faults")]

from case import Case, queue_id
from host import alive, wait_until

# The queue of "lossy" that goes away; the other one stays.
GOES = queue_id(0)

STEPS = ("preparing", "copying", "stopped")


class Lost(Case):
    def setUp(self):
        super().setUp()
        self.stopped = []
        self.addCleanup(self.go_on)

    def go_on(self):
        for pid in self.stopped:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)

    def server_worker(self):
        """The process of the session at the server."""
        sessions = []

        def there():
            sessions[:] = self.places.sessions("s1")
            return sessions

        self.assert_eventually(there, "a session at s1")
        return sessions[0]["worker_pid"]

    def hurt(self, pid, number):
        if number == signal.SIGSTOP:
            self.stopped.append(pid)
        os.kill(pid, number)

    def hurt_worker(self, number):
        self.hurt(self.server_worker(), number)

    def kill_daemon(self, _):
        self.places.servers["s1"].process.kill()
        self.places.servers["s1"].process.wait()

    def assert_told(self, guest):
        """The queue that stays has lost nothing; the other one goes on with what was written anew."""
        self.assertTrue(guest.lossy, self.places.text())
        self.assertEqual({words[1] for words in guest.lossy}, {"0"}, guest.lossy)
        codes = {int(words[2]) for words in guest.lossy if words[0] == "failed"}
        self.assertLess(max(codes), 0, guest.lossy)
        self.assertEqual(guest.lossy[-1], ["renewed", "0", "0"], guest.lossy)

    def assert_goes_on(self, guest):
        """Soon: that a server is lost is looked for several times a second."""

        def right():
            guest.lossy.clear()
            guest.rounds(1)
            return not guest.lossy

        self.assert_eventually(right, "right again")
        self.assert_works(guest)
        self.assertEqual(guest.lossy, [], self.places.text())


class Away(Lost):
    """While a queue is there."""

    def check(self, hurt, number, idle):
        places = self.start(settings=("replay-memory=0",))
        guest = places.guest("lossy")
        other = places.guest("order")
        other.run()
        places.moved(guest.session, "s1", GOES)
        guest.rounds(2)
        if not idle:
            guest.run()
        hurt(number)
        if idle:
            time.sleep(0.2)  # it may be noticed before anything is asked
            guest.say("40")
        else:
            line = guest.next()
            self.assertTrue(line and line.text.startswith("failed 0"), (line, guest.errors))
            guest.lossy.append(line.text.split())
            guest.say("40")
            guest.did()
        guest.did()
        self.assert_told(guest)
        self.assert_goes_on(guest)
        self.assertEqual(places.session(guest.session)["queues_away"], 0)
        other.say("0")
        other.did()
        other.did()
        other.finish()
        return places, guest

    def again(self, places, guest):
        """Where the server is still there, it can be moved to anew."""
        places.moved(guest.session, "s1", GOES)
        self.assert_goes_on(guest)
        guest.finish()
        self.assert_clean()

    def test_worker_killed(self):
        self.again(*self.check(self.hurt_worker, signal.SIGKILL, False))

    def test_worker_killed_idle(self):
        self.again(*self.check(self.hurt_worker, signal.SIGKILL, True))

    def test_daemon_killed(self):
        places, guest = self.check(self.kill_daemon, None, False)
        self.assert_refused(places.move(guest.session, "s1", GOES), "can't connect")
        places.servers["s1"].start()
        self.assert_eventually(lambda: self.reachable(places, guest), "s1 is back")
        self.assert_goes_on(guest)
        guest.finish()

    def reachable(self, places, guest):
        return places.move(guest.session, "s1", GOES)["state"] == "moved"


class During(Lost):
    """While a queue moves: it has moved, or it has not, and then nothing is lost."""

    def settle(self, guest, move):
        """Whatever became of it: the program is told, if anything was lost, and goes on."""
        state = self.places.wait(guest.session, move)
        guest.say("30")
        guest.did()
        guest.did()
        if state["state"] == "failed":
            self.assertEqual(guest.lossy, [], state)
        self.assert_goes_on(guest)
        return state

    def check(self, step, number):
        """In this step, as far as it can be seen to be in it."""
        places = self.start()
        guest = places.guest("lossy")
        guest.run()
        begun = places.begin(guest.session, "s1")
        reached = ("moved", "failed", *STEPS[STEPS.index(step) :])
        wait_until(lambda: places.state(guest.session, begun["move"])["state"] in reached)
        if places.sessions("s1"):
            self.hurt_worker(number)
        self.settle(guest, begun["move"])
        guest.finish()

    def test_killed(self):
        for step in STEPS:
            with self.subTest(step=step):
                self.check(step, signal.SIGKILL)

    def test_stopped(self):
        """It hangs: that is noticed after some time."""
        self.check("copying", signal.SIGSTOP)

    def test_no_greeting(self):
        """The server takes the connection, and dies without a word."""
        places = self.start()
        guest = places.guest("lossy")
        guest.run()
        server = places.servers["s1"].process
        self.hurt(server.pid, signal.SIGSTOP)
        begun = places.begin(guest.session, "s1")
        self.assert_eventually(
            lambda: places.state(guest.session, begun["move"])["state"] == "preparing", "begun"
        )
        self.kill_daemon(None)
        self.assertEqual(self.settle(guest, begun["move"])["state"], "failed")
        guest.finish()


class Host(Lost):
    def test_killed(self):
        """The host's guestcld dies: so does the session, at the server, too."""
        places = self.start()
        guest = places.guest("lossy")
        places.moved(guest.session, "s1")
        worker = self.server_worker()
        guest.rounds(2)
        places.host.process.kill()

        # Its workers end soon, not at once.
        def failed():
            guest.rounds(1)
            return guest.lossy

        self.assert_eventually(failed, "told")
        self.assertEqual(guest.lossy[0][0], "failed")
        self.assert_eventually(lambda: not alive(worker), "the session at s1 ended")
        self.assert_empty("s1")
        guest.process.stdin.close()
        guest.answer("end")
        self.assertEqual(guest.end(), 0)

    def test_takeover(self):
        """A new guestcld takes over while a session moves."""
        places = self.start()
        guest = places.guest("programs")
        guest.run()
        begun = places.begin(guest.session, "s1")
        taken = places.host.text().count("took over")
        places.host.process.send_signal(signal.SIGUSR2)
        self.assert_eventually(
            lambda: places.host.text().count("took over") > taken, "another guestcld"
        )
        places.connect("home")
        state = places.wait(guest.session, begun["move"])
        self.assertEqual(state["state"], "moved", (state, places.text()))
        places.moved(guest.session, "home")
        guest.say("1")
        self.assertEqual(guest.did()[0] + 1, guest.did()[0])
        guest.finish()
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
