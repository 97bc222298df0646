# SPDX-License-Identifier: MIT
"""A guestcld of the build folder's in a directory of its own, and guest programs, for faults.py."""

import collections
import contextlib
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import tls

BUILD = pathlib.Path(os.environ.get("GUESTCL_BUILD", "build")).resolve()
PROGRAMS = BUILD / "tests" / "faults"

# How guests reach the daemon: by shared memory or, if it says so, by a stream, or by TLS.
STREAM = os.environ.get("GUESTCL_TEST_CHANNEL") == "stream"
TLS = os.environ.get("GUESTCL_TEST_CHANNEL") == "tls"

# For what has no limit of its own; generous, since machines may be slow.
PATIENCE = 60

SANITIZER = re.compile(r"ERROR: \w+Sanitizer.*|: runtime error: .*")

Line = collections.namedtuple("Line", "time text")


def paths():
    listed = (BUILD / "scripts" / "paths").read_text()
    return dict(line.split("=", 1) for line in listed.splitlines())


def wait_until(condition, seconds=PATIENCE):
    """Returns how long it took until the condition was true, or None."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            return None
        time.sleep(0.002)
    return time.monotonic() - start


def alive(pid):
    """A zombie holds nothing any more, so it counts as gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def descriptors(pid):
    """What a process has open, as /proc names it."""
    found = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(entry))
    return found


class Host:
    """The daemon, its log, and its directories: cache, temp, and the one with the socket."""

    def __init__(self, *settings, cache=None, before=None, vendors=None, config="", program=None, environment=None, wrapper=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="guestcl-f-"))
        self.temp = self.folder / "temp"
        self.temp.mkdir()
        self.cache = cache or self.folder / "cache"
        self.socket = self.folder / "sock"
        self.log = self.folder / "log"
        self.settings = settings
        self.config = self.folder / "guestcld.conf"
        self.tls = tls.Tls(self.folder, paths()) if TLS else None
        config = config.replace("@folder@", str(self.folder))
        self.config.write_text(config + (self.tls.config() if self.tls else ""))
        self.program = program or paths()["guestcld"]
        self.vendors = vendors or os.environ.get("GUESTCL_HOST_VENDORS", "/etc/OpenCL/vendors")
        self.before = before
        self.wrapper = wrapper  # a command that becomes the daemon
        self.environment = environment or {}
        self.process = None

    def start(self):
        environment = {
            **os.environ,
            **self.environment,
            "OCL_ICD_VENDORS": self.vendors,
            "TMPDIR": str(self.temp),
        }
        command = [*self.wrapper, self.program, "--config", self.config, "--socket", self.socket]
        command += ["--worker", paths()["worker"]]
        # Debug lines tell when a worker is prepared.
        settings = ["socket-group=", "log-level=debug", f"cache-dir={self.cache}", *self.settings]
        for setting in settings:
            command += ["--set", setting]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self.before,
            )
        return self

    def ready(self):
        self.expect(r"\bready\b")
        return self

    def __enter__(self):
        return self.start().ready()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def text(self):
        return self.log.read_text(errors="replace")

    def expect(self, pattern, seconds=PATIENCE):
        if wait_until(lambda: re.search(pattern, self.text()), seconds) is None:
            raise AssertionError(f"the daemon's log never had {pattern}:\n{self.text()}")
        return re.search(pattern, self.text())

    def worker_of(self, guest):
        found = self.expect(rf"pid {guest.pid}, .*: served by worker (\d+)")
        return int(found[1])

    def workers(self):
        """All of its processes, idle ones too."""
        listed = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in listed.read_text().split() if alive(pid)]
        except OSError:
            return []

    def spare(self):
        """The one worker that is prepared for the next guest."""
        found = []

        def settled():
            text = self.text()
            prepared = re.findall(r"worker (\d+) for \S+ prepared", text)
            served = re.findall(r"served by worker (\d+)", text)
            found[:] = [int(pid) for pid in prepared if pid not in served and alive(pid)]
            return len(found) == 1

        if wait_until(settled) is None:
            raise AssertionError(f"no single spare worker:\n{self.text()}")
        return found[0]

    def leftovers(self):
        """Yields what sessions have left behind; an idle daemon has nothing of a guest's."""
        for complaint in SANITIZER.findall(self.text()):
            yield f"{complaint} in the log"
        for path in self.temp.rglob("*"):
            yield f"{path.relative_to(self.folder)} in the temporary directory"
        if self.process.poll() is not None:
            return
        # It has the page of each worker.
        shared = [name for name in descriptors(self.process.pid) if "memfd:" in name]
        if len(shared) > len(self.workers()):
            yield f"guestcld has {shared} open"
        # A daemon that was killed leaves these to the next one.
        for path in pathlib.Path(self.cache).rglob("tempfile_*"):
            yield f"{path} in the cache"


class Guest:
    """A guest program, with its lines as they come, each with its time."""

    def __init__(self, host, *command, environment=None, socket=None):
        socket = socket or host.socket
        self.lines = queue.Queue()
        self.seen = []
        channel = {"GUESTCL_CHANNEL": f"stream:{socket}"} if STREAM else {}
        channel = host.tls.guest() if host.tls else channel
        self.process = subprocess.Popen(
            [str(PROGRAMS / command[0]), *command[1:]],
            env={
                **os.environ,
                "OCL_ICD_VENDORS": paths()["vendors"],
                "GUESTCL_SOCKET": str(socket),
                **channel,
                **(environment or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.pid = self.process.pid
        self.errors = []
        self.threads = [
            threading.Thread(target=self.read_lines, daemon=True),
            threading.Thread(target=self.read_errors, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def read_lines(self):
        for text in self.process.stdout:
            self.lines.put(Line(time.monotonic(), text.rstrip("\n")))
        self.lines.put(Line(time.monotonic(), None))

    def read_errors(self):
        for text in self.process.stderr:
            self.errors.append(text.rstrip("\n"))

    def next(self, seconds=PATIENCE):
        """The next line, or None when there is none in time."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        self.seen.append(line.text)
        return line

    def expect(self, start, seconds=PATIENCE):
        line = self.next(seconds)
        if not line or line.text is None or not line.text.startswith(start):
            got = "nothing" if line is None else line.text
            raise AssertionError(
                f'got "{got}" instead of "{start}" after {self.seen[-8:]}; '
                f"stderr: {self.errors[-4:]}"
            )
        return line

    def say(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self):
        """For the programs that do their work once for each line."""
        self.say()
        return int(self.expect("worked").text.split()[1])

    def kill(self):
        self.process.kill()

    def end(self, seconds=PATIENCE):
        """Waits for its end. Returns its exit status, or None when it had to be killed."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        for thread in self.threads:
            thread.join(PATIENCE)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
        self.end()
        self.process.stdout.close()
        self.process.stderr.close()
