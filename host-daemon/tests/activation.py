#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""guestcld serves on a socket that a service manager has opened, and leaves its file alone.

Usage: activation.py GUESTCLD WORKER
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

SECONDS = 60


def start(command, path, passed):
    """The daemon with `passed` as descriptor 3, told as sd_listen_fds(3) says."""

    def place():
        os.dup2(passed, 3)

    script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    return subprocess.Popen(
        ["sh", "-c", script, "-", *command, "--socket", path],
        pass_fds=[3, passed],
        preexec_fn=place,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(daemon):
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=SECONDS)
    return daemon.returncode, log


def connected(path):
    """Whether the daemon has taken a connection: it ends one that says nothing sensible."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(SECONDS)
    client.connect(path)
    client.sendall(b"x" * 4096)
    return client.recv(1) != b""


def check(name, good, number):
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
    return good


def main():
    guestcld, worker = sys.argv[1:3]
    good = True
    print("1..5")
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "guestcld.sock")
        command = [guestcld, "--worker", worker, "--set", f"cache-dir={folder}/cache"]
        command += ["--set", "jail=off"]
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        # A guest that came before the daemon.
        early = socket.socket(socket.AF_UNIX)
        early.settimeout(SECONDS)
        early.connect(path)
        early.sendall(b"x" * 4096)
        daemon = start(command, path, listener.fileno())
        answered = early.recv(1) != b""
        good &= check("a guest that came before the daemon is answered", answered, 1)
        good &= check("so is one that comes later", connected(path), 2)
        status, log = stop(daemon)
        good &= check("it ends with 0, and says whose the socket is",
                      status == 0 and "opened by the service manager" in log, 3)
        good &= check("the file is still there", os.path.exists(path), 4)
        # Another path than the configured one is no business of the daemon's.
        daemon = start(command, path + "2", listener.fileno())
        end = time.monotonic() + SECONDS
        while not os.path.exists(path + "2") and time.monotonic() < end:
            time.sleep(0.01)
        served = connected(path + "2")
        status, log = stop(daemon)
        own = "opened by the service manager" not in log and not os.path.exists(path + "2")
        good &= check("another socket is not taken for it", served and own and status == 0, 5)
        if not good:
            print(log, file=sys.stderr)
    return 0 if good else 1


sys.exit(main())
