#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What operators see and change over the control socket while guests run.

control_test.py [-v] [CLASS[.test]...]: environment as for faults.py.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import host
from faults import Fault, Hoard
from host import PATIENCE, Guest, Host, wait_until

TOOL = host.BUILD / "host-daemon" / "tool" / "guestcl"
USER = f"uid-{os.getuid()}"
MIB = 1 << 10  # KiB
REFUSED = -4  # CL_MEM_OBJECT_ALLOCATION_FAILURE

# A call that is held is seen to be by nothing happening for so long.
HELD = 0.5


class Control:
    """One connection to the control socket."""

    def __init__(self, running):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(running.folder / "control.sock"))
        self.file = self.socket.makefile("rb")

    def line(self, data):
        """Sends a line as it is. Returns the answer, None at the end."""
        self.socket.sendall(data + b"\n")
        answer = self.file.readline()
        return json.loads(answer) if answer else None

    def ask(self, do, **request):
        return self.line(json.dumps({"do": do, **request}).encode())

    def done(self, do, **request):
        answer = self.ask(do, **request)
        assert answer["ok"], answer
        return answer

    def refused(self, do, **request):
        answer = self.ask(do, **request)
        assert not answer["ok"], answer
        return answer["error"]

    def user(self):
        for vm in self.done("status")["vms"]:
            if vm["id"] == USER:
                return vm
        raise AssertionError("the user is not there")

    def session(self, guest):
        for session in self.done("status")["sessions"]:
            if f"pid {guest.pid}," in session["who"]:
                return session
        raise AssertionError("the guest's session is not there")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


class Kept(Fault):
    """What a program never releases is seen, counted, and gone when it has ended."""

    ROUND = 2 * MIB << 10  # a buffer and an image

    def session_keeps(self, running, control, guest):
        guest.expect("prepared")
        for rounds in range(1, 4):
            self.assertEqual(guest.ask(), 0)
            session = control.session(guest)
            held = session["memory_bytes"]
            self.assertGreaterEqual(held, rounds * self.ROUND)
            # Programs are small.
            self.assertLess(held, rounds * self.ROUND + (MIB << 10))
            self.assertEqual(control.user()["memory_bytes"], held)
            self.assertEqual(control.done("status")["devices"][0]["held_bytes"], held)

    def check(self, end, status):
        with Host("user-memory=8MiB") as running, Control(running) as control:
            running.spare()
            control.done("status")
            before = self.descriptors_settled(running)
            for _ in range(2):
                with Guest(running, "keep") as guest:
                    self.session_keeps(running, control, guest)
                    end(guest)
                    self.assertEqual(guest.end(), status)
                    self.assertEqual(guest.errors, [])
                gone = wait_until(lambda: not control.done("status")["sessions"])
                self.assertIsNotNone(gone)
                self.assertEqual(control.user()["memory_bytes"], 0)
            self.assert_clean(running)
            self.assert_descriptors(running, before)
            # All of the limit is there for others.
            with Hoard(running) as guest:
                self.assertEqual(guest.take(8 * MIB), 0)
                self.assertEqual(guest.take(4), REFUSED)

    def test_end(self):
        self.check(lambda guest: None, 0)

    def test_kill(self):
        self.check(Guest.kill, -signal.SIGKILL)

    def test_limit(self):
        """It is refused what is beyond its limit, and keeps what it has."""
        with Host("user-memory=8MiB") as running, Control(running) as control:
            with Guest(running, "keep") as guest:
                self.session_keeps(running, control, guest)
                while guest.ask() == 0:
                    self.assertLessEqual(control.session(guest)["memory_bytes"], 8 * MIB << 10)
                self.assertGreater(control.session(guest)["errors"], 0)
                self.assertEqual(guest.end(), 0)
            self.assert_clean(running)


class Status(Fault):
    def test_counts(self):
        with Host() as running, Control(running) as control:
            before = control.done("status")
            self.assertEqual(before["version"], 1)
            self.assertEqual(before["sessions"], [])
            self.assertEqual(before["daemon"]["pid"], running.process.pid)
            self.assertGreater(before["devices"][0]["memory_bytes"], 1 << 20)
            with Hoard(running) as guest:
                self.assertEqual(guest.take(10 * MIB), 0)
                session = control.session(guest)
                self.assertEqual(session["program"], "hoard")
                self.assertEqual(session["worker_pid"], running.worker_of(guest))
                self.assertEqual(session["memory_bytes"], 10 * MIB << 10)
                self.assertEqual(control.user()["memory_bytes"], 10 * MIB << 10)
                self.assertGreater(session["calls"], 0)
                self.assertGreater(session["bytes_from_guest"], 0)
                self.assertGreater(session["bytes_to_guest"], 0)
                self.assertEqual(guest.end(), 0)
            self.assertIsNotNone(wait_until(lambda: not control.done("status")["sessions"]))
            after = control.user()
            self.assertEqual((after["sessions"], after["memory_bytes"]), (0, 0))
            self.assertGreaterEqual(after["calls"], session["calls"])

    def test_errors(self):
        with Host("user-memory=1MiB") as running, Control(running) as control:
            with Hoard(running) as guest:
                self.assertEqual(guest.take(1 * MIB), 0)
                self.assertEqual(guest.take(1 * MIB), REFUSED)
                self.assertIsNotNone(wait_until(lambda: control.session(guest)["errors"] > 0))


class Set(Fault):
    @staticmethod
    def refused(guest, kib):
        """The worker hears of a new limit a moment later."""
        code = guest.take(kib)
        assert code in (0, REFUSED), code
        if code == 0:
            guest.free(len(guest.held) - 1)
        return code == REFUSED

    def test_memory(self):
        with Host() as running, Control(running) as control:
            with Hoard(running) as guest:
                self.assertEqual(guest.take(10 * MIB), 0)
                answer = control.done("set", vm=USER, values={"memory": "16MiB"})
                self.assertEqual(answer["limits"]["memory_bytes"], 16 << 20)
                self.assertIsNotNone(wait_until(lambda: self.refused(guest, 10 * MIB)))
                self.assertEqual(guest.take(6 * MIB), 0)
                control.done("set", vm=USER, values={"memory": "default"})
                self.assertEqual(guest.take(10 * MIB), 0)
                self.assertEqual(control.user()["limits"]["memory_bytes"], 0)

    def test_sessions(self):
        with Host() as running, Control(running) as control:
            control.done("set", vm=USER, values={"max-sessions": "1"})
            with Hoard(running):
                self.assert_refused(running, "1 sessions of this user")
                control.done("set", vm=USER, values={"max-sessions": "2"})
                self.assert_served(running)

    def test_kept(self):
        """Over a session's end, and when the configuration is read again."""
        with Host() as running, Control(running) as control:
            control.done("set", vm="uid-12345", values={"memory": "1GiB", "weight": "7"})
            running.process.send_signal(1)
            running.expect("settings read again")
            answer = control.done("set", vm="uid-12345", values={"weight": "8"})
            self.assertEqual(answer["limits"]["memory_bytes"], 1 << 30)
            self.assertEqual(answer["limits"]["weight"], 8)

    def test_wrong(self):
        """One that is wrong leaves all as they were."""
        with Host() as running, Control(running) as control:
            for values, words in [
                ({"memory": "1GiB", "weight": "0"}, "weight can't be"),
                ({"memory": "much"}, "it takes bytes"),
                ({"socket": "/tmp/x"}, "can't be set"),
                ({"memory": "1" * 100}, "too long"),
                ({"memory": None}, "it takes bytes"),
                ({}, "sets nothing"),
            ]:
                self.assertIn(words, control.refused("set", vm="uid-7", values=values))
            answer = control.done("set", vm="uid-7", values={"weight": "2"})
            self.assertEqual(answer["limits"]["memory_bytes"], 0)
            self.assertIn("guestcl status", control.refused("set", vm="nobody", values={}))


class Pause(Fault):
    def check(self, running, control, **whom):
        with Guest(running, "guest", "work") as guest, Hoard(running) as other:
            guest.expect("prepared")
            self.assertEqual(guest.ask(), 0)
            if "session" in whom:
                whom["session"] = control.session(guest)["id"]
            control.done("pause", **whom)
            self.assertEqual(control.session(guest)["state"], "paused")
            guest.say()
            self.assertIsNone(guest.next(HELD), "it went on")
            if "session" in whom:
                self.assertEqual(other.take(1 * MIB), 0)
            control.done("resume", **whom)
            self.assertEqual(int(guest.expect("worked").text.split()[1]), 0)
            self.assertEqual(control.session(guest)["state"], "running")
            self.assertEqual(guest.ask(), 0)
            self.assertEqual(guest.end(), 0)

    def test_session(self):
        with Host() as running, Control(running) as control:
            self.check(running, control, session=0)

    def test_vm(self):
        with Host() as running, Control(running) as control:
            self.check(running, control, vm=USER)

    def test_later(self):
        """A session that begins while its VM is paused is held, too; one that is held can end."""
        with Host() as running, Control(running) as control:
            control.done("pause", vm=USER)
            with Guest(running, "guest", "work") as guest:
                self.assertIsNone(guest.next(HELD), "it went on")
                guest.process.kill()
                self.assertIsNotNone(wait_until(lambda: not control.done("status")["sessions"]))
            control.done("resume", vm=USER)
            self.assert_served(running)


class End(Fault):
    def test_session(self):
        with Host() as running, Control(running) as control:
            with Guest(running, "guest", "work") as guest, Hoard(running) as other:
                guest.expect("prepared")
                since = time.monotonic()
                number = control.session(guest)["id"]
                worker = running.worker_of(guest)
                self.assertEqual(control.done("end", session=number)["ended"], 1)
                self.assert_gone(worker, since)
                self.assertIsNotNone(wait_until(lambda: guest.ask() < 0))
                self.assertIsNotNone(wait_until(lambda: guest.errors))
                self.assertIn("the operator of the host has ended it", guest.errors[0])
                self.assertEqual(other.take(1 * MIB), 0)
                self.assertIn("no session", control.refused("end", session=number))
            self.assert_clean(running)

    def test_vm(self):
        """Those that are paused, too."""
        with Host() as running, Control(running) as control:
            with Hoard(running) as one, Hoard(running) as other:
                control.done("pause", vm=USER)
                self.assertEqual(control.done("end", vm=USER)["ended"], 2)
                self.assertIsNotNone(wait_until(lambda: not control.done("status")["sessions"]))
                self.assertLess(one.take(1 * MIB), 0)
                self.assertLess(other.take(1 * MIB), 0)


class Restart(Fault):
    """The daemon takes its own place, and sessions go on."""

    def restart(self, running, generation=1):
        pid = running.process.pid
        with Control(running) as control:
            control.done("restart")

        def done():
            try:
                with Control(running) as control:
                    return control.done("status")["daemon"]["generation"] == generation
            except (OSError, TypeError):
                return False

        self.assertIsNotNone(wait_until(done), running.text())
        self.assertEqual(running.process.pid, pid)
        self.assertIsNone(running.process.poll())

    def test_sessions(self):
        with Host() as running:
            with Control(running) as control:
                control.done("set", vm=USER, values={"memory": "32MiB", "weight": "7"})
            with Guest(running, "guest", "work") as guest, Hoard(running) as hoard:
                guest.expect("prepared")
                self.assertEqual(hoard.take(10 * MIB), 0)
                with Control(running) as control:
                    before = [control.session(one) for one in (guest, hoard)]
                for generation in (1, 2, 3):
                    self.restart(running, generation)
                    self.assertEqual(guest.ask(), 0)
                with Control(running) as control:
                    for one, old in zip((guest, hoard), before):
                        new = control.session(one)
                        for key in ("id", "worker_pid", "who", "memory_bytes", "channel"):
                            self.assertEqual(new[key], old[key])
                        self.assertGreaterEqual(new["calls"], old["calls"])
                        self.assertGreaterEqual(new["age_s"], old["age_s"])
                    self.assertEqual(control.user()["limits"]["weight"], 7)
                self.assertEqual(hoard.take(20 * MIB), REFUSED)
                self.assertEqual(hoard.take(10 * MIB), 0)
                self.assert_served(running)
                # It is still their parent.
                with Control(running) as control:
                    control.done("end", session=before[0]["id"])
                self.assertIsNotNone(wait_until(lambda: guest.ask() < 0))
                self.assertEqual(hoard.end(), 0)
            with Control(running) as control:
                self.assertIsNotNone(wait_until(lambda: not control.done("status")["sessions"]))
                self.assertEqual(control.user()["memory_bytes"], 0)
                self.assertGreater(control.user()["calls"], 0)
            self.assert_clean(running)

    def test_cache(self):
        """Of a session that was taken over, too, while no worker has been started since."""
        with Host("spare-workers=0", "cache-limit=48MiB") as running:
            cache = running.cache / USER
            with Guest(running, "guest", "work") as guest:
                guest.expect("prepared")
                self.restart(running)
                left = cache / "tempfile_left"
                left.touch()
                os.kill(running.worker_of(guest), signal.SIGKILL)
                self.assertIsNotNone(wait_until(lambda: not left.exists()), running.text())
            with Guest(running, "guest", "work") as guest:
                guest.expect("prepared")
                self.restart(running, 2)
                (cache / "large").write_bytes(bytes(64 << 20))
                running.expect("is ended: .*cache-limit")
                self.assertIsNotNone(wait_until(lambda: not (cache / "large").exists()))

    def test_descriptors(self):
        """None is lost, none is left."""
        with Host() as running, Hoard(running) as hoard:
            running.spare()
            count = self.descriptors_settled(running)
            for generation in range(1, 6):
                self.restart(running, generation)
            self.assertEqual(hoard.take(1 * MIB), 0)
            self.assert_descriptors(running, count)
            self.assertEqual(hoard.end(), 0)

    def test_blocked(self):
        """A guest inside a blocking call, and a worker that dies at that moment."""
        with Host() as running:
            with Guest(running, "blocked", "finish", "user") as guest, Hoard(running) as hoard:
                guest.expect("entering")
                killed = running.worker_of(hoard)
                os.kill(killed, 9)
                self.restart(running)
                self.assertLess(hoard.take(1 * MIB), 0)
                worker = running.worker_of(guest)
                since = time.monotonic()
                os.kill(worker, 9)
                self.assertLess(int(guest.expect("returned").text.split()[2]), 0)
                self.assert_gone(worker, since)
            with Control(running) as control:
                self.assertIsNotNone(wait_until(lambda: not control.done("status")["sessions"]))

    def test_load(self):
        """Guests come and go all the time; each works or is refused, and none is lost half way."""
        with Host() as running:
            guests = []
            for generation in range(1, 4):
                guests += [Guest(running, "guest", "work") for _ in range(3)]
                self.restart(running, generation)
            for guest in guests:
                with guest:
                    guest.expect("prepared")
                    self.assertEqual(guest.ask(), 0)
                    self.assertEqual(guest.end(), 0)

    def test_crowd(self):
        """There is always somebody at a VM's socket who says nothing: the next ones have to wait."""
        config = 'vm-dir = "vm" vm-socket-group = "" vm "red" { local-socket = "@folder@/red" }'
        with Host("greeting-timeout=500ms", config=config) as running, Hoard(running) as hoard:
            stop = threading.Event()

            def come():
                while not stop.is_set():
                    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as silent:
                        silent.connect(str(running.folder / "red"))
                        silent.settimeout(2)
                        silent.recv(1)

            threads = [threading.Thread(target=come) for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                self.restart(running)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            self.assertEqual(hoard.take(1 * MIB), 0)

    def test_signal(self):
        with Host() as running, Hoard(running) as hoard:
            running.process.send_signal(signal.SIGUSR2)
            running.expect("took over; sessions: 1")
            self.assertEqual(hoard.take(1 * MIB), 0)

    def test_unable(self):
        """The program was replaced by one that can't: this one goes on."""
        for content, words in [("#!/bin/sh\nexit 1\n", "can't take"), ("nothing", "can't start")]:
            with self.subTest(content), tempfile.TemporaryDirectory() as folder:
                program = pathlib.Path(folder) / "guestcld"
                shutil.copy(host.paths()["guestcld"], program)
                with Host(program=program) as running, Hoard(running) as hoard:
                    program.unlink()
                    program.write_text(content)
                    program.chmod(0o755)
                    with Control(running) as control:
                        control.done("restart")
                        running.expect(f"goes on: {words}" if words == "can't start" else words)
                        status = control.done("status")["daemon"]
                        self.assertIn(words, status["restart_error"])
                        self.assertEqual(status["generation"], 0)
                    self.assertEqual(hoard.take(1 * MIB), 0)
                    self.assert_served(running)


class Tool(Fault):
    """The same by guestcl(1), as operators do it."""

    def guestcl(self, running, *words, status=0):
        done = subprocess.run(
            [TOOL, *words],
            env={**os.environ, "GUESTCL_CONTROL": str(running.folder / "control.sock")},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1 if status and status != 64 else done.stderr.count("\n"))
        return done.stdout if status == 0 else done.stderr

    def test_all(self):
        with Host() as running, Guest(running, "guest", "work") as guest:
            guest.expect("prepared")
            status = json.loads(self.guestcl(running, "status", "--json"))
            session = status["sessions"][0]["id"]
            text = self.guestcl(running, "status")
            self.assertRegex(text, rf"(?m)^{session} +{USER} +(local|stream) +running ")
            self.assertRegex(text, rf"(?m)^{USER} +running ")
            self.assertRegex(text, r"(?m)^0 +(cpu|gpu) .* m?s +\d+  \w")
            self.assertIn(str(session), self.guestcl(running, "status", USER))
            self.assertIn("no VM", self.guestcl(running, "status", "nobody", status=1))
            text = self.guestcl(running, "set", USER, "--memory", "2GiB", "--weight=3")
            self.assertRegex(text, r"(?m)^memory_bytes +2147483648$")
            self.assertRegex(text, r"(?m)^weight +3$")
            self.assertIn("it takes", self.guestcl(running, "set", USER, "--weight", "no", status=1))
            self.guestcl(running, "set", "--weight", "3", status=64)
            self.guestcl(running, "set", USER, "--socket", "3", status=64)
            for whom in (str(session), USER):
                self.guestcl(running, "pause", whom)
                self.assertRegex(self.guestcl(running, "status"), rf"(?m)^{session} .* paused ")
                self.guestcl(running, "resume", whom)
            self.guestcl(running, "restart")
            self.assertEqual(guest.ask(), 0)
            self.assertIn("1", self.guestcl(running, "end", str(session)))
            self.assertIsNotNone(wait_until(lambda: guest.ask() < 0))
            self.assertIn("no session", self.guestcl(running, "end", str(session), status=1))

    def test_top(self):
        """Rates of a real daemon's, over its restart, too."""
        with Host() as running, Guest(running, "guest", "work") as guest:
            guest.expect("prepared")
            text = self.guestcl(running, "top", "-n", "2", "-i", "0.1")
            self.assertEqual(len(re.findall(rf"(?m)^{USER} +running ", text)), 2)
            self.assertRegex(text, r"(?m)^0 +(cpu|gpu) .*%")
            command = [TOOL, "top", "--json", "-n", "40", "-i", "0.1", "-C", running.folder / "control.sock"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as top:
                answers = [json.loads(top.stdout.readline()) for _ in range(2)]
                self.assertEqual(guest.ask(), 0)
                self.guestcl(running, "restart")
                answers += [json.loads(line) for line in top.stdout]
            rates = [vm["per_second"] for one in answers for vm in one["vms"] if "per_second" in vm]
            self.assertGreaterEqual(min(value for rate in rates for value in rate.values()), 0)
            self.assertGreater(max(rate["calls"] for rate in rates), 0)
            self.assertEqual({one["daemon"]["generation"] for one in answers}, {0, 1})

    def test_unreachable(self):
        running = Host()
        self.assertIn("is it running", self.guestcl(running, "status", status=69))
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(running.folder / "control.sock"))
            silent.listen()
            thread = threading.Thread(target=lambda: silent.accept()[0].close())
            thread.start()
            self.assertIn("without an answer", self.guestcl(running, "status", status=69))
            thread.join()
        running.__exit__()


class Trace(Fault):
    def test_calls(self):
        """In order, with times, none missing; nothing more once nobody looks."""
        with Host() as running, Guest(running, "guest", "work") as guest:
            guest.expect("prepared")
            with Control(running) as control, Control(running) as tracer:
                number = control.session(guest)["id"]
                self.assertEqual(tracer.done("trace", session=number)["session"], number)
                before = control.session(guest)["calls"]
                for _ in range(5):
                    self.assertEqual(guest.ask(), 0)
                calls = []
                while control.session(guest)["calls"] - before > sum(not c["to_guest"] for c in calls):
                    line = json.loads(tracer.file.readline())
                    self.assertEqual(line["lost"], 0)
                    calls += line["calls"]
                names = [call["call"] for call in calls]
                self.assertEqual(names.count("launch"), 5, names)
                self.assertIn("kernel_create", names)
                self.assertTrue(any(call["to_guest"] for call in calls))
                times = [call["time_ns"] for call in calls if not call["to_guest"]]
                self.assertEqual(times, sorted(times))
                self.assertLess(max(call["took_ns"] for call in calls), 10**10)
                self.assertEqual(guest.end(), 0)
                while True:
                    line = json.loads(tracer.file.readline())
                    if "ended" in line:
                        break
                self.assertIn("no session", control.refused("trace", session=number))

    def test_lost(self):
        """A client that doesn't read delays nobody, and is told what it has missed."""
        with Host() as running, Guest(running, "guest", "work") as guest:
            guest.expect("prepared")
            with Control(running) as control, Control(running) as tracer:
                number = control.session(guest)["id"]
                # Alone with the device it asks nobody from then on.
                for _ in range(3):
                    self.assertEqual(guest.ask(), 0)
                tracer.done("trace", session=number)
                os.kill(running.process.pid, signal.SIGSTOP)
                for _ in range(2000):
                    self.assertEqual(guest.ask(), 0)
                os.kill(running.process.pid, signal.SIGCONT)
                self.assertGreater(json.loads(tracer.file.readline())["lost"], 0)

    def test_tool(self):
        with Host() as running, Guest(running, "guest", "work") as guest:
            guest.expect("prepared")
            with Control(running) as control:
                number = str(control.session(guest)["id"])
            command = [host.BUILD / "host-daemon" / "tool" / "guestcl", "trace", "-n", "4", number]
            command += ["--control", running.folder / "control.sock"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tool:
                while tool.poll() is None:
                    self.assertEqual(guest.ask(), 0)
                    time.sleep(0.01)
                text = tool.stdout.read()
            self.assertEqual(tool.returncode, 0)
            self.assertEqual(text.count("\n"), 4, text)
            self.assertRegex(text, r"(?m)^ +\d+\.\d{6}  -> \w+ +[\d.]+ us +\d+ B$")

    def test_probes(self):
        notes = subprocess.run(
            ["readelf", "-n", host.paths()["worker"]], capture_output=True, text=True, check=True
        ).stdout
        for probe in ("call__begin", "call__end", "sent"):
            self.assertRegex(notes, rf"Provider: guestcl\s+Name: {probe}\b")


class Hostile(Fault):
    """What comes over the socket loses nobody else anything."""

    def test_lines(self):
        with Host() as running, Control(running) as control:
            for line in [
                b"", b"{", b"[]", b"null", b"{}", b'{"do":1}', b'{"do":"x"}', b"\0\xff\xfe",
                b"[" * 1000, b'{"do":"end","session":-1}', b'{"do":"end","session":1e99}',
                b'{"do":"pause","vm":{}}', b'{"do":"set","vm":"uid-1","values":[]}',
                b'{"do":"set","vm":"uid-99999999999","values":{}}',
            ]:  # fmt: skip
                answer = control.line(line)
                self.assertFalse(answer["ok"], line)
                self.assertTrue(answer["error"], line)
            self.assertTrue(control.ask("status")["ok"])

    def test_long(self):
        with Host() as running, Control(running) as control:
            with contextlib.suppress(OSError):
                control.socket.sendall(b"x" * (1 << 20))
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(control.file.readline(), b"")
            self.assert_served(running)

    def test_many(self):
        """More connections than there may be, and many requests that nobody reads the answers of."""
        with Host() as running, contextlib.ExitStack() as stack:
            controls = [stack.enter_context(Control(running)) for _ in range(64)]
            self.assertTrue(controls[-1].ask("status")["ok"])
            with Control(running) as late:
                self.assertIn("too many", json.loads(late.file.readline())["error"])
            for control in controls:
                control.socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    for _ in range(1000):
                        control.socket.sendall(b'{"do":"status"}\n')
            self.assert_served(running)
            controls[0].__exit__()

            def room():
                with Control(running) as again:
                    return again.ask("status")["ok"]

            self.assertIsNotNone(wait_until(room))

    def test_mode(self):
        with Host() as running:
            self.assertEqual((running.folder / "control.sock").stat().st_mode & 0o777, 0o600)


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
