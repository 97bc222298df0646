# SPDX-License-Identifier: MIT
"""A host and its GPU servers, all of them guestclds of this machine; and programs that are moved."""

import contextlib
import os
import pathlib
import subprocess
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "faults"))

import host
from control_test import Control
from host import PATIENCE, Guest, Host, paths, wait_until

WORKLOAD = host.BUILD / "tests/move/workload"
SANITIZED = bool(os.environ.get("GUESTCL_SANITIZED"))

# How many rounds each mode does for one comparison.
ROUNDS = {
    "order": 6,
    "shared": 9,
    "parts": 7,
    "images": 7,
    "programs": 5,
    "times": 8,
    "churn": 9,
    "svm": 7,
    "whole": 6,
    "gates": 8,
}

# Compiled kernels are kept from run to run. Tests that run at a time have their own.
CACHES = host.BUILD / "tests/move/caches" / os.environ.get("GUESTCL_MOVE_CACHE", "common")

# What the native runtime leaks is not ours.
NATIVE = {
    "OCL_ICD_VENDORS": "/etc/OpenCL/vendors",
    "ASAN_OPTIONS": "detect_leaks=0",
    "POCL_CACHE_DIR": str(CACHES / "native"),
}


class Places:
    """The host, which programs use, and its servers s1, s2..., which only it knows."""

    def __init__(
        self, servers=1, settings=(), environment=None, server_settings=(), memory=0
    ):
        """memory: of each server, in MiB, for sessions that move there by themselves."""
        self.stack = contextlib.ExitStack()
        self.servers = {
            f"s{i}": Host(*server_settings, cache=CACHES / f"s{i}")
            for i in range(1, servers + 1)
        }
        sections = [
            f'server "{name}" {{ address = "unix:{server.socket}" memory = {memory}MiB }}'
            for name, server in self.servers.items()
        ]
        self.host = Host(
            f"client-library={paths()['library']}",
            f"link-program={paths()['link']}",
            *settings,
            config="\n".join(sections),
            cache=CACHES / "home",
            environment=environment,
        )
        self.controls = {}

    def all(self):
        return {"home": self.host, **self.servers}

    def __enter__(self):
        CACHES.mkdir(parents=True, exist_ok=True)
        for place in self.all().values():
            place.start()
            self.stack.callback(place.__exit__)
        for name, place in self.all().items():
            place.ready()
            self.connect(name)
        return self

    def __exit__(self, *_):
        self.stack.close()

    def connect(self, name):
        """To its control socket, anew after it was another guestcld."""
        place = self.all()[name]
        if wait_until((place.folder / "control.sock").exists) is None:
            raise AssertionError(f"{name} is not there:\n{place.text()}")
        self.controls[name] = self.stack.enter_context(Control(place))

    @property
    def control(self):
        return self.controls["home"]

    # ------------------------------------------------------------ programs

    def guest(self, mode):
        guest = Workload(self.host, mode)
        self.stack.enter_context(guest)
        guest.expect("ready")
        guest.session = self.control.session(guest)["id"]
        return guest

    # ------------------------------------------------------------ moves

    def begin(self, session, where, queue=0):
        """Returns what the broker answers."""
        request = {"session": session, "queue": queue}
        if where != "home":
            request.update(server=where, device=0)
        return self.control.ask("move", **request)

    def state(self, session, move):
        return self.control.ask("move-state", session=session, move=move)

    def wait(self, session, move, seconds=PATIENCE):
        """Until it has ended. Returns the last state, whose "state" is "moved" or "failed"."""
        end = time.monotonic() + seconds
        while True:
            state = self.state(session, move)
            if state.get("state") in ("moved", "failed"):
                return state
            if not state["ok"]:
                return {"state": "failed", "text": state["error"]}
            if time.monotonic() > end:
                raise AssertionError(f"move {move} of session {session} does not end: {state}")
            time.sleep(0.001)

    def move(self, session, where, queue=0):
        """Returns how it ended, a refusal included."""
        begun = self.begin(session, where, queue)
        if not begun["ok"]:
            return {"state": "refused", "text": begun["error"]}
        return self.wait(session, begun["move"])

    def moved(self, session, where, queue=0):
        state = self.move(session, where, queue)
        if state["state"] != "moved":
            raise AssertionError(f"not moved to {where}: {state}\n{self.text()}")
        return state

    def session(self, number):
        for session in self.control.done("status")["sessions"]:
            if session["id"] == number:
                return session
        return None

    def sessions(self, name):
        return self.controls[name].done("status")["sessions"]

    # ------------------------------------------------------------ what is left

    def text(self):
        """The end of each log."""
        return "\n".join(
            f"--- {name}\n" + "\n".join(place.text().splitlines()[-30:])
            for name, place in self.all().items()
        )

    def empty(self, name):
        """Nobody is there, and nothing is accounted for."""
        status = self.controls[name].done("status")
        return not status["sessions"] and not any(vm["memory_bytes"] for vm in status["vms"])

    def faults(self):
        """Yields what is wrong when no program runs any more."""
        for name, place in self.all().items():
            if wait_until(lambda: self.empty(name)) is None:
                yield f"{name} is not empty: {self.controls[name].done('status')}"
            left = []

            # The cache is that of several guestclds, and of runs whose workers were killed.
            def clean():
                left[:] = [text for text in place.leftovers() if not text.endswith("in the cache")]
                return not left

            if wait_until(clean) is None:
                yield f"{name}: {left}"


class Workload(Guest):
    """A program of workload.c."""

    session = None  # its number

    def __init__(self, running, mode):
        super().__init__(running, WORKLOAD, mode)
        self.mode = mode
        self.printed = 0  # lines of kernels
        self.lossy = []  # "failed" and "renewed" lines, as lists of words

    def answer(self, start, seconds=PATIENCE):
        """The next line that is the program's own. What kernels print has to be in order."""
        while True:
            line = self.next(seconds)
            if line and line.text and line.text.startswith("printed "):
                if line.text != f"printed {self.printed}":
                    raise AssertionError(f"{line.text} instead of {self.printed}")
                self.printed += 1
                continue
            if line and line.text and line.text.startswith(("failed ", "renewed ")):
                self.lossy.append(line.text.split())
                continue
            if not line or not line.text or not line.text.startswith(start):
                got = line.text if line else "nothing"
                raise AssertionError(
                    f'got "{got}" instead of "{start}" after {self.seen[-8:]}; '
                    f"stderr: {self.errors[-4:]}"
                )
            return line.text

    def rounds(self, count):
        """Returns the sum so far."""
        self.say(str(count))
        return self.did()

    def change_queue(self):
        self.say("queue")
        self.answer("queue")

    def did(self):
        _, total, total_sum = self.answer("did").split()
        return int(total), total_sum

    def run(self):
        self.say("run")
        self.answer("running")

    def stop(self):
        """After run()."""
        return self.rounds(0) if self.did() else None

    def finish(self):
        """Returns the last sum; the program ended by itself, with nothing wrong."""
        self.process.stdin.close()
        _, total, total_sum = self.answer("end").split()
        status = self.end()
        if status or self.errors:
            raise AssertionError(f"ended with {status}: {self.errors}")
        return int(total), total_sum


class Native:
    """What the host's own platform makes of so many rounds; asked once."""

    lock = threading.Lock()
    known = {}

    @classmethod
    def run(cls, mode, counts):
        """The sums after each of these counts of rounds, and at the end."""
        lines = "".join(f"{count}\n" for count in counts)
        done = subprocess.run(
            [WORKLOAD, mode], input=lines, env={**os.environ, **NATIVE}, capture_output=True,
            text=True, timeout=10 * PATIENCE, check=True,
        )  # fmt: skip
        words = [line.split() for line in done.stdout.splitlines()]
        return [
            (int(line[1]), line[2]) for line in words if line and line[0] in ("did", "end")
        ]
