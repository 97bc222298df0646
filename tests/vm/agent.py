# SPDX-License-Identifier: MIT
"""The host's side of agent.c: runs commands in a guest. agent.h says what goes over the socket."""

import os
import pathlib
import queue
import re
import socket
import struct
import threading
import time

FRAME = struct.Struct("=III")
NONCE_SIZE = 16


def constants():
    """The numbers of agent.h, by name."""
    text = pathlib.Path(__file__).with_name("agent.h").read_text()
    found = {name: int(number) for name, number in re.findall(r"\b(AGENT_\w+) = (\d+),", text)}
    for name, number in re.findall(r"#define (AGENT_\w+_MAX)\s+\((\d+)u << 10\)", text):
        found[name] = int(number) << 10
    return found


AGENT = constants()
PAYLOAD_MAX = AGENT["AGENT_PAYLOAD_MAX"]
STDIN_MAX = AGENT["AGENT_STDIN_MAX"]


class AgentError(Exception):
    pass


class Lost(AgentError):
    """The guest went away, or began anew, while a command ran in it."""


class Command:
    """One command in the guest. Its output is collected, or given to out() and err() as it comes."""

    def __init__(self, agent, number, out, err):
        self.agent = agent
        self.number = number
        self.outputs = {"out": [], "err": []}
        self.takers = {"out": out or self.outputs["out"].append, "err": err or self.outputs["err"].append}
        self.ended = threading.Event()
        self.changed = threading.Condition()
        self.unacknowledged = 0
        self.status = None
        self.failure = None

    def write(self, data):
        """Sends it to the command's stdin, at most as fast as it is read."""
        for at in range(0, len(data), PAYLOAD_MAX):
            part = data[at : at + PAYLOAD_MAX]
            with self.changed:
                self.changed.wait_for(
                    lambda: self.ended.is_set() or self.unacknowledged + len(part) <= STDIN_MAX
                )
                if self.ended.is_set():
                    raise BrokenPipeError("the command has ended")
                self.unacknowledged += len(part)
            self.agent.send(self.number, "STDIN", part)

    def close_stdin(self):
        self.agent.send(self.number, "STDIN", b"")

    def signal(self, number):
        self.agent.send(self.number, "SIGNAL", struct.pack("=I", number))

    def window(self, rows, columns):
        self.agent.send(self.number, "WINDOW", struct.pack("=HH", rows, columns))

    def wait(self, timeout=None):
        """The exit status, negative for a signal, as of subprocess."""
        if not self.ended.wait(timeout):
            raise TimeoutError(f"the command in the guest did not end within {timeout} s")
        if self.failure:
            raise self.failure
        return self.status

    @property
    def out(self):
        return b"".join(self.outputs["out"])

    @property
    def err(self):
        return b"".join(self.outputs["err"])

    def take(self, kind, data):
        if kind == "STDOUT":
            self.takers["out"](data)
        elif kind == "STDERR":
            self.takers["err"](data)
        elif kind == "ACK":
            with self.changed:
                self.unacknowledged -= struct.unpack("=I", data)[0]
                self.changed.notify_all()
        elif kind == "EXIT":
            self.end(os.waitstatus_to_exitcode(struct.unpack("=I", data)[0]))
        elif kind == "FAILED":
            number, _, text = data.decode(errors="replace").partition(" ")
            self.end(None, OSError(int(number) if number.isdigit() else 0, text or number))

    def end(self, status, failure=None):
        with self.changed:
            self.status, self.failure = status, failure
            self.ended.set()
            self.changed.notify_all()


class Agent:
    """The connection to one guest's agent; it lasts over the guest's reboots."""

    def __init__(self, path, nonce):
        self.path = path
        self.nonce = nonce
        self.commands = {}
        self.lock = threading.Lock()
        self.number = 0
        self.greetings = queue.Queue()
        self.names = {AGENT[f"AGENT_{name}"]: name for name in ("STDOUT", "STDERR", "ACK", "EXIT", "FAILED")}
        self.socket = socket.socket(socket.AF_UNIX)

    def connect(self, timeout, alive):
        """alive() tells whether the VM that is to listen still runs."""
        end = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(str(self.path))
                break
            except OSError as error:
                if not alive() or time.monotonic() > end:
                    raise AgentError(f"no connection to the guest's agent: {error}") from error
                time.sleep(0.01)
        threading.Thread(target=self.read_all, daemon=True).start()

    def wait_greeting(self, timeout, alive):
        """The next time that the guest says that it is there."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and alive():
            try:
                return self.greetings.get(timeout=0.1)
            except queue.Empty:
                continue
        raise AgentError(f"the guest was not there within {timeout} s")

    def run(self, arguments, *, env=None, cwd="/", uid=0, gid=0, terminal=None, out=None, err=None):
        """Starts a command; terminal is (rows, columns) for one on a terminal."""
        rows, columns = terminal or (0, 0)
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        strings = ["pty" if terminal else "", rows, columns, uid, gid, cwd, len(variables)]
        strings += [*variables, *arguments]
        data = b"".join(os.fsencode(str(string)) + b"\0" for string in strings)
        if len(data) > PAYLOAD_MAX:
            raise AgentError(f"arguments and environment are longer than {PAYLOAD_MAX} bytes")
        with self.lock:
            self.number += 1
            command = Command(self, self.number, out, err)
            self.commands[command.number] = command
        self.send(command.number, "RUN", data)
        return command

    def send(self, number, kind, data):
        with self.lock:
            try:
                self.socket.sendall(FRAME.pack(number, AGENT[f"AGENT_{kind}"], len(data)) + data)
            except OSError as error:
                raise Lost(f"the guest's agent is gone: {error}") from error

    def read_all(self):
        received = b""
        try:
            while data := self.socket.recv(1 << 16):
                received = self.take(received + data)
        except OSError:
            pass
        self.lose("the VM has ended")

    def take(self, received):
        """Takes what is whole of it and returns the rest."""
        begin = received.rfind(self.nonce)
        if begin >= 0:
            self.lose("the guest has started anew")
            self.greetings.put(True)
            received = received[begin + NONCE_SIZE :]
        at = 0
        while len(received) - at >= FRAME.size:
            number, kind, length = FRAME.unpack_from(received, at)
            if len(received) - at < FRAME.size + length:
                break
            at += FRAME.size
            self.give(number, self.names.get(kind), received[at : at + length])
            at += length
        return received[at:]

    def give(self, number, kind, data):
        command = self.commands.get(number)
        if command:
            command.take(kind, data)
            if command.ended.is_set():
                del self.commands[number]

    def lose(self, why):
        lost, self.commands = list(self.commands.values()), {}
        for command in lost:
            command.end(None, Lost(why))

    def close(self):
        self.socket.close()
