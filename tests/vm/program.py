# SPDX-License-Identifier: MIT
"""A program in a guest that is told what to do, and answers, line by line."""

import contextlib
import queue
import signal

import agent

PATIENCE = 60


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

    def expect(self, start, seconds=PATIENCE):
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            line = f"nothing within {seconds} s"
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
