# SPDX-License-Identifier: MIT
"""A program in a guest that is told what to do, and answers, line by line."""

import contextlib
import queue
import signal
import time

import agent

# For what has no limit of its own; generous, since machines may be slow.
PATIENCE = 240
LOOK_SECONDS = 0.2


class Program:
    """A program of tests/faults in a guest: it does its work once for each line it is sent."""

    def __init__(self, vm, path, *words, **options):
        self.lines = queue.Queue()
        self.rest = b""
        self.command = vm.popen([path, *words], out=self.take, **options)

    def take(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.lines.put(line.decode(errors="replace"))

    def next(self, seconds):
        """The next line, or why there is none."""
        end = time.monotonic() + seconds
        while True:
            # What it printed has come before its end.
            ended = self.command.ended.is_set()
            try:
                return self.lines.get(timeout=0.01 if ended else LOOK_SECONDS)
            except queue.Empty:
                if ended:
                    return "nothing before its end"
                if time.monotonic() > end:
                    return f"nothing within {seconds} s"

    def expect(self, start, seconds=PATIENCE):
        line = self.next(seconds)
        if not line.startswith(start):
            raise AssertionError(f'got "{line}" instead of "{start}"; stderr: {self.errors}')
        return line

    @property
    def errors(self):
        return self.command.err.decode(errors="replace")

    def say(self, text=""):
        self.command.write(text.encode() + b"\n")

    def ask(self, seconds=PATIENCE):
        """One piece of work: 0, or the error that it ended with."""
        self.say()
        return int(self.expect("worked", seconds).split()[1])

    def end(self, seconds=PATIENCE):
        with contextlib.suppress(agent.AgentError):
            self.command.close_stdin()
        return self.command.wait(seconds)

    def kill(self):
        self.command.signal(signal.SIGKILL)
        return self.command.wait(PATIENCE)
