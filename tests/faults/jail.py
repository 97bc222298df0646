#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What native code of a guest's can do to others from its worker: with the jail nothing.

jail.py [-v] [CLASS[.test]...]: GUESTCL_BUILD is the build folder. Each attempt is made three times. In
the whole jail it must fail; without the list of system calls the other stages must stop it
alone, as far as they are meant to; and without a jail it must succeed, or the test would show nothing
(unless this user of this host can't do it anyway). Meanwhile another session goes on.
"""

import contextlib
import itertools
import os
import pathlib
import platform
import re
import socket
import struct
import subprocess
import sys
import unittest


from host import Guest, Host, alive, wait_until

SKIPPED = 77

SANITIZED = bool(os.environ.get("GUESTCL_SANITIZED"))

MEBIBYTE = 1 << 20
PROCESSES = 64
MEMORY = 1024  # MiB
FILE = 64  # MiB
TEMPORARY = 128  # MiB, as in host-daemon/jail/namespaces.c

# Linux on x86-64.
WRITE, OPEN, MMAP, SOCKET, CONNECT, KILL, UNLINK = 1, 2, 9, 41, 42, 62, 87
PTRACE, MKNOD, PERSONALITY, MOUNT, UMOUNT, SETAFFINITY, TGKILL = 101, 133, 135, 165, 166, 203, 234
KEYCTL, UNSHARE, PERF_EVENT, PRLIMIT, VM_READ = 250, 272, 298, 302, 310
BPF, USERFAULTFD, PIDFD_OPEN, IO_URING = 321, 323, 434, 425

O_RDWR_CREATE = os.O_RDWR | os.O_CREAT


def text(value):
    """Bytes as an argument: a pointer to them."""
    raw = value.encode() if isinstance(value, str) else value
    return "'" + "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02x}" for b in raw)


def call(*words):
    return "call " + " ".join(str(word) for word in words)


def iovec(address, size):
    return text(struct.pack("=QQ", address, size))


class Attempt:
    """Steps, of which the last tells: its result is an error, or, of a count, less than @most."""

    def __init__(self, name, *steps, most=None, parts=True):
        self.name = name
        self.line = ";".join(steps)
        self.most = most
        self.parts = parts  # whether it fails without the list of system calls, too

    def succeeds(self, guest):
        guest.say(self.line)
        results = [int(word) for word in guest.expect("results").text.split()[1:]]
        return results[-1] >= (self.most or 0)


def unix(address):
    raw = struct.pack("=H", socket.AF_UNIX) + address
    return [call(SOCKET, 1, 1, 0), call(CONNECT, "=0", text(raw), len(raw))]


def internet(port):
    raw = struct.pack("=H", socket.AF_INET) + struct.pack("!H4sQ", port, b"\x7f\0\0\1", 0)
    return [call(SOCKET, 2, 1, 0), call(CONNECT, "=0", text(raw), len(raw))]


def writable_address(pid):
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        if " rw-p " in line:
            return int(line.split("-")[0], 16)
    raise AssertionError(f"process {pid} has no memory of its own")


def files(scene, broker, other):
    yield Attempt("/etc/shadow", call(OPEN, text("/etc/shadow"), 0))
    yield Attempt("daemon's files", call(OPEN, text(os.path.abspath(__file__)), 0))
    yield Attempt("other's cache", call(OPEN, text(str(scene.secret)), 0))
    yield Attempt("other's cache, written", call(OPEN, text(str(scene.secret)), os.O_RDWR))
    yield Attempt("daemon's log", call(OPEN, text(str(scene.running.log)), os.O_WRONLY))
    yield Attempt("broker's memory", call(OPEN, text(f"/proc/{broker}/mem"), os.O_RDONLY))
    yield Attempt("other's memory", call(OPEN, text(f"/proc/{other}/mem"), os.O_RDWR))
    yield Attempt("broker's environment", call(OPEN, text(f"/proc/{broker}/environ"), 0))
    vendor = pathlib.Path(scene.running.vendors) / "pocl.icd"
    yield Attempt("runtime, written", call(OPEN, text(str(vendor)), os.O_RDWR))
    node = text(f"/tmp/guestcl-{os.getpid()}-node")
    yield Attempt("device node", call(MKNOD, node, 0o20666, 0x103), call(UNLINK, node))


def connections(scene, _broker, _other):
    path = str(scene.running.socket).encode() + b"\0"
    yield Attempt("daemon's socket", *unix(path))
    yield Attempt("abstract socket", *unix(b"\0" + scene.abstract))
    yield Attempt("TCP", *internet(scene.port))


def processes(_scene, broker, other):
    seize, free = 0x4206, 0x200000000000
    yield Attempt("trace other", call(PTRACE, seize, other, 0, 0))
    yield Attempt("trace broker", call(PTRACE, seize, broker, 0, 0))
    yield Attempt(
        "read other",
        call(MMAP, free, 4096, 3, 0x32, -1, 0),
        call(VM_READ, other, iovec(free, 8), 1, iovec(writable_address(other), 8), 1, 0),
    )
    # Signal 0 asks whether another could be sent.
    yield Attempt("signal broker", call(KILL, broker, 0))
    yield Attempt("signal other", call(KILL, other, 0))
    yield Attempt("signal a thread", call(TGKILL, other, other, 0))
    yield Attempt("signal the first", call(KILL, 1, 0), parts=False)
    yield Attempt("signal all", call(KILL, -1, 0))
    yield Attempt("limits of broker", call(PRLIMIT, broker, 7, 0, text(bytes(16))))
    yield Attempt("CPUs of broker", call(SETAFFINITY, broker, 8, text(b"\xff" * 8)))
    yield Attempt("descriptor of broker", call(PIDFD_OPEN, broker, 0))


def kernel(scene, _broker, _other):
    # What is done without a jail is done to this machine: nothing that anyone could notice.
    folder = text(str(scene.running.folder))
    bind = 4096
    yield Attempt("mount", call(MOUNT, folder, folder, 0, bind, 0), call(UMOUNT, folder, 0))
    yield Attempt("namespace", call(UNSHARE, 0x04000000))
    # What is worth nothing outside, unless the kernel has a fault.
    yield Attempt("keys", call(KEYCTL, 0, -3, 1), parts=False)
    yield Attempt("personality", call(PERSONALITY, 0), parts=False)
    yield Attempt("io_uring", call(IO_URING, 1, text(bytes(120))), parts=False)
    yield Attempt("userfaultfd", call(USERFAULTFD, 1), parts=False)
    yield Attempt("BPF", call(BPF, 0, text(struct.pack("=IIII", 2, 4, 4, 1) + bytes(56)), 72))
    counter = struct.pack("=IIQQ", 1, 112, 0, 0) + bytes(88)
    yield Attempt("counters", call(PERF_EVENT, text(counter), -1, 0, -1, 0))


def amounts(scene, _broker, _other):
    many = 3 * PROCESSES
    yield Attempt("threads", f"threads {many}", most=many)
    yield Attempt("processes", f"forks {many}", most=many)
    size = FILE + 16
    path = scene.running.cache / f"uid-{os.getuid()}" / "hostile"
    yield Attempt(
        "large file",
        call(OPEN, text(str(path)), O_RDWR_CREATE, 0o600),
        f"repeat {size} {WRITE} =0 'x {MEBIBYTE}",
        most=size,
    )
    size = FILE - 4
    steps = []
    for i in range(TEMPORARY // size + 1):
        path = text(f"/tmp/guestcl-hostile-{os.getpid()}-{i}")
        steps.append(call(OPEN, path, O_RDWR_CREATE, 0o600))
        steps.append(call(UNLINK, path))
        steps.append(f"repeat {size} {WRITE} ={3 * i} 'x {MEBIBYTE}")
    yield Attempt("temporary files", *steps, most=size)
    if not SANITIZED:
        yield Attempt("memory", f"memory {2 * MEMORY}", most=2 * MEMORY)


class Scene:
    """A daemon, a session that is to notice nothing, a hostile one, and what that is after."""

    def __init__(self, *settings):
        limits = [
            f"worker-processes={PROCESSES}",
            f"worker-memory={0 if SANITIZED else MEMORY}MiB",
            f"worker-file-size={FILE}MiB",
        ]
        if os.getuid() == 0:
            limits.append("worker-user=nobody")
        self.running = Host(*limits, *settings)
        self.secret = self.running.cache / "vm-other" / "secret"
        self.abstract = f"guestcl-hostile-{os.getpid()}".encode()
        self.port = None
        self.other = self.guest = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.running)
            self.secret.parent.mkdir(parents=True)
            self.secret.write_text("of another VM")
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            self.port = listener.getsockname()[1]
            abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
            abstract.bind(b"\0" + self.abstract)
            abstract.listen()
            self.other = stack.enter_context(Guest(self.running, "guest", "work"))
            self.other.expect("prepared")
            self.guest = stack.enter_context(Guest(self.running, "hostile"))
            if self.guest.next().text != "prepared":
                raise unittest.SkipTest("kernels are no native code here")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def workers(self):
        return self.running.worker_of(self.guest), self.running.worker_of(self.other)

    def attempts(self, kind):
        return list(kind(self, self.running.process.pid, self.workers()[1]))

    def lacks(self):
        """What the jail lacks on this host."""
        found = re.search(r"jailed without: (.*);", self.running.text())
        return found[1] if found else ""


def descendants(pid):
    """All processes below it."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(state[1])
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


class Hostile(unittest.TestCase):
    def outcomes(self, kind, *settings):
        """The attempts, and the names of those that succeeded; the other session goes on."""
        with Scene(*settings) as scene:
            lacks = scene.lacks()
            if lacks and "jail=off" not in settings:
                self.skipTest(f"this host has no whole jail: {lacks}")
            made, successes = scene.attempts(kind), set()
            for attempt in made:
                if attempt.succeeds(scene.guest):
                    successes.add(attempt.name)
                self.assertEqual(scene.other.ask(), 0, f"after {attempt.name}")
            below = descendants(scene.workers()[0])
            self.assertEqual(scene.guest.end(), 0)
            if "jail=off" not in settings:
                gone = wait_until(lambda: not any(map(alive, below)))
                self.assertIsNotNone(gone, "the worker's processes outlive it")
            self.assertEqual(scene.other.ask(), 0)
            self.assertEqual(scene.other.end(), 0)
            return made, successes

    def check(self, kind):
        attempts, free = self.outcomes(kind, "jail=off")
        _, whole = self.outcomes(kind, "jail=auto")
        _, apart = self.outcomes(kind, "jail=auto", "seccomp=off")
        self.assertTrue(free, "no attempt succeeds without a jail")
        self.assertEqual(whole, set(), "succeed in the jail")
        unaided = {attempt.name for attempt in attempts if attempt.parts}
        self.assertEqual(apart & unaided, set(), "are stopped by the list of calls alone")
        vain = {attempt.name for attempt in attempts} - free
        if vain:
            print(f"fail without a jail, too: {', '.join(sorted(vain))}", file=sys.stderr)

    def test_files(self):
        self.check(files)

    def test_connections(self):
        self.check(connections)

    def test_processes(self):
        self.check(processes)

    def test_kernel(self):
        self.check(kernel)

    def test_amounts(self):
        self.check(amounts)

    def test_disk(self):
        """A worker that fills its owner's cache: its session ends, the cache goes, others go on."""
        with Scene("cache-limit=48MiB") as scene:
            cache = scene.running.cache / f"uid-{os.getuid()}"
            path = text(str(cache / "hostile"))
            write = f"repeat 60 {WRITE} =0 'x {MEBIBYTE}"
            scene.guest.say(f"{call(OPEN, path, O_RDWR_CREATE, 0o600)};{write}")
            # It may be ended before it has written all of that, or before it could say so.
            self.assertIn(scene.guest.expect(("results", "failed")).text.split()[-1], ("60", "-2"))
            scene.running.expect("is ended: .*cache-limit")
            scene.running.expect("cache of .* is larger than cache-limit: removed")
            gone = wait_until(lambda: not (cache / "hostile").exists())
            self.assertIsNotNone(gone, "the file is still there")
            left = wait_until(lambda: not list(scene.running.cache.glob(".removed-*")))
            self.assertIsNotNone(left, "what was removed is still there")
            with Guest(scene.running, "guest", "work") as next_one:
                next_one.expect("prepared")
                self.assertEqual(next_one.ask(), 0)
                self.assertEqual(next_one.end(), 0)

    def test_lacks(self):
        """Where there are no user namespaces: the log says so, the rest holds; strict serves nobody."""
        forbid = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\""
        wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh"]
        if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
            self.skipTest("user namespaces can't be forbidden here")
        with Host("worker-user=", wrapper=wrapper) as running:
            running.expect("jailed without: namespaces")
            with Guest(running, "hostile") as guest:
                guest.expect("prepared")
                for line in (call(OPEN, text(str(running.log)), 0), call(SOCKET, 1, 1, 0)):
                    guest.say(line)
                    self.assertLess(int(guest.expect("results").text.split()[1]), 0)
        with contextlib.ExitStack() as stack:
            running = Host("worker-user=", "jail=strict", wrapper=wrapper).start()
            stack.push(running)
            running.expect("jail = strict, and the host lacks: namespaces")
            with Guest(running, "guest", "devices") as guest:
                self.assertEqual(guest.expect("devices").text, "devices 0")
                guest.end()
                self.assertIn("strict", guest.errors[0])

    def test_crash(self):
        """A worker that is the first of its processes still dies of what it does wrong."""
        with Scene("jail=auto") as scene:
            scene.guest.say(call(TGKILL, "0", 0, 0) + ";" + call(231, 7))
            self.assertTrue(scene.guest.expect("failed"))
            self.assertEqual(scene.other.ask(), 0)


def main():
    if platform.machine() != "x86_64":
        print("the attempts are made of x86-64's system calls")
        return SKIPPED
    program = unittest.main(exit=False)
    skipped = program.result.skipped
    for _, why in itertools.islice(skipped, 1):
        print(f"skipped: {why}")
    if not program.result.wasSuccessful():
        return 1
    return SKIPPED if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
