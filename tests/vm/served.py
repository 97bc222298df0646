# SPDX-License-Identifier: MIT
"""The other end of in-vm: lets processes of the host run commands in a VM that a test has."""

import contextlib
import json
import os
import signal
import socket
import struct
import threading

import agent

CHUNK = 1 << 15


def write_to(fd):
    def write(data):
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(fd, data) :]

    return write


def feed(command, fd):
    with contextlib.suppress(OSError, agent.AgentError):
        while data := os.read(fd, CHUNK):
            command.write(data)
        command.close_stdin()


class Served:
    """Listens at a path until it is closed."""

    def __init__(self, vm, path):
        self.vm = vm
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self.accept_all, daemon=True).start()

    def accept_all(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with client, contextlib.ExitStack() as fds:
            data, streams, _, _ = socket.recv_fds(client, 1 << 16, 3)
            for fd in streams:
                fds.callback(os.close, fd)
            (length,) = struct.unpack_from("=I", data)
            data = data[4:]
            while len(data) < length:
                data += client.recv(length - len(data))
            answer = self.run(json.loads(data), streams, client)
            with contextlib.suppress(OSError):
                client.sendall(json.dumps(answer).encode() + b"\n")

    def run(self, wish, streams, client):
        try:
            command = self.vm.popen(
                wish["arguments"], cwd=wish["cwd"], env=wish["env"],
                out=write_to(streams[1]), err=write_to(streams[2]),
            )  # fmt: skip
            # Reading may last longer than the program: with its own descriptor it may.
            threading.Thread(target=feed, args=[command, os.dup(streams[0])], daemon=True).start()
            threading.Thread(target=self.watch, args=[command, client], daemon=True).start()
            return {"status": command.wait()}
        except (OSError, agent.AgentError) as error:
            return {"status": None, "error": str(error)}

    @staticmethod
    def watch(command, client):
        """Whoever asked has gone: so goes the program."""
        with contextlib.suppress(OSError, agent.AgentError):
            if not client.recv(1) and not command.ended.is_set():
                command.signal(signal.SIGKILL)

    def close(self):
        self.listener.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)
