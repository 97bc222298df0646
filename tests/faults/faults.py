#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What guests see, and what stays behind on the host, when something dies or runs out.

faults.py [-v] [CLASS[.test]...]: GUESTCL_BUILD is the build folder; GUESTCL_SANITIZED tells that it
was built with a sanitizer, whose programs can't live with little memory.
"""

import contextlib
import grp
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import host
from host import Guest, Host, alive, wait_until

# How long a call may take to fail once its host is gone: some ms where a CPU is free, and less than the 10 s
# and more after which guests give up by themselves.
PROMPT = 8.0

# How long a call must have been blocked before its host is killed.
SETTLE = 0.1

SANITIZED = bool(os.environ.get("GUESTCL_SANITIZED"))

QUEUE_CALLS = [
    "finish",
    "finish-loose",
    "wait-command",
    "read",
    "read-small",
    "read-waits",
    "write",
    "write-small",
    "read-rect",
    "write-rect",
    "map",
    "read-image",
    "write-image",
    "map-image",
    "callback",
    "poll",
]
CASES = (
    [(call, gate) for gate in ("user", "kernel", "stopped") for call in QUEUE_CALLS]
    + [(call, "user") for call in ("wait-gate", "wait-both", "many")]
    + [(call, "none") for call in ("build", "compile")]
    + [(call, "stopped") for call in ("build", "compile", "link", "binaries", "sub-devices")]
    + [("many", "stopped")]
)


class Fault(unittest.TestCase):
    def assert_clean(self, running):
        """Nothing of past sessions is left on the host."""
        left = []

        def clean():
            left[:] = running.leftovers()
            return not left

        if wait_until(clean) is None:
            self.fail(f"left behind: {left}")

    def descriptors_settled(self, running):
        """How many the daemon has open when nothing changes any more: what prepares a worker, or looks
        through caches, has some for a moment."""
        seen = [host.descriptors(running.process.pid)]

        def settled():
            time.sleep(0.3)
            seen.append(host.descriptors(running.process.pid))
            return sorted(seen[-1]) == sorted(seen[-2])

        if wait_until(settled) is None:
            self.fail(f"never the same: {seen[-2:]}")
        return len(seen[-1])

    def assert_descriptors(self, running, count):
        """The daemon has as many open as before; a session's are closed when its worker ends."""
        running.spare()
        pid = running.process.pid
        if wait_until(lambda: len(host.descriptors(pid)) == count) is None:
            self.fail(f"not {count}: {host.descriptors(pid)}")

    def assert_gone(self, pid, since):
        if wait_until(lambda: not alive(pid)) is None:
            self.fail(f"worker {pid} was still there after {time.monotonic() - since:.1f} s")

    def assert_served(self, running):
        """The daemon still does what it is for."""
        with Guest(running, "guest", "work") as guest:
            guest.expect("prepared")
            self.assertEqual(guest.ask(), 0)
            self.assertEqual(guest.end(), 0)

    def assert_refused(self, running, *words):
        """A guest sees no devices, and one line that says why."""
        with Guest(running, "guest", "devices") as guest:
            self.assertEqual(guest.expect("devices").text, "devices 0")
            self.assertEqual(guest.end(), 0)
            self.assertEqual(len(guest.errors), 1, guest.errors)
            for word in words:
                self.assertIn(word, guest.errors[0])


class Killed(Fault):
    """Daemon or worker is killed while the guest is inside a blocking call."""

    def enter(self, running, guest, gate):
        """Follows the guest into its call. Returns its worker."""
        if gate == "stopped":
            guest.expect("stop")
            worker = running.worker_of(guest)
            os.kill(worker, signal.SIGSTOP)
            guest.say("go on")
        guest.expect("entering")
        return running.worker_of(guest)

    def check_end(self, guest, killed):
        """The call fails in time, later ones too, and the program ends by itself."""
        line = guest.expect("returned")
        code = int(line.text.split()[2])
        took = line.time - killed
        self.assertLess(took, PROMPT, "the call took too long to fail")
        self.assertLess(code, 0, "the call succeeded")
        last = line.time
        while (line := guest.next()) and line.text and line.text.startswith("later"):
            self.assertLess(line.time - last, PROMPT, line.text)
            self.assertLess(int(line.text.split()[2]), 0, line.text)
            last = line.time
        self.assertEqual(line.text if line else None, "ends")
        self.assertEqual(guest.end(), 0)

    def check(self, running, call, gate, kill):
        with Guest(running, "blocked", call, gate) as guest:
            worker = self.enter(running, guest, gate)
            early = guest.next(SETTLE)
            if early:
                self.fail(f"not blocked: {early.text} {guest.errors}")
            kill(running, worker)
            killed = time.monotonic()
            self.check_end(guest, killed)
            self.assert_gone(worker, killed)

    def test_worker(self):
        with Host() as running:
            running.spare()
            before = self.descriptors_settled(running)
            for call, gate in CASES:
                with self.subTest(call=call, gate=gate):
                    self.check(running, call, gate, kill_worker)
                    running.expect(r"was ended by signal 9")
            self.assert_clean(running)
            self.assert_served(running)
            self.assert_descriptors(running, before)

    def test_daemon(self):
        with folder() as cache:
            for call, gate in CASES:
                with self.subTest(call=call, gate=gate), Host(cache=cache) as running:
                    self.check(running, call, gate, kill_daemon)
                    self.assert_clean(running)
            # The next daemon finds what compilers had to leave.
            with Host(cache=cache) as running:
                self.assert_served(running)
                self.assert_clean(running)

    def test_daemon_stops(self):
        """SIGTERM is an orderly end for the daemon, and the same for its guests."""
        for call, gate in [("finish", "user"), ("read", "kernel"), ("build", "none")]:
            with self.subTest(call=call, gate=gate), Host() as running:
                self.check(running, call, gate, stop_daemon)
                self.assert_clean(running)
                self.assertFalse(running.socket.exists())

    def test_daemon_comes_back(self):
        """A new daemon takes the place of the killed one."""
        with Host() as running:
            kill_daemon(running, None)
            self.assertTrue(running.socket.exists())
            self.assert_refused(running, "start guestcld")
            running.start()
            running.expect("replacing")
            if wait_until(lambda: running.text().count(" ready") == 2) is None:
                self.fail(running.text())
            self.assert_served(running)


def folder():
    return tempfile.TemporaryDirectory(prefix="guestcl-faults-")


def kill_worker(_, worker):
    os.kill(worker, signal.SIGKILL)


def kill_daemon(running, _):
    running.process.kill()
    running.process.wait()


def stop_daemon(running, _):
    running.process.terminate()
    if running.process.wait(5) != 0:
        raise AssertionError(running.text())


class Absent(Fault):
    def test_no_daemon(self):
        with contextlib.ExitStack() as stack:
            never_started = Host()
            stack.push(never_started)
            self.assert_refused(never_started, "start guestcld on the host")

    def test_no_daemon_wanted(self):
        """Whoever says that there is none is not told so."""
        with Host() as running:
            silent = {"GUESTCL_SOCKET": "none"}
            with Guest(running, "guest", "devices", environment=silent) as guest:
                self.assertEqual(guest.expect("devices").text, "devices 0")
                self.assertEqual(guest.end(), 0)
                self.assertEqual(guest.errors, [])

    def test_no_runtime(self):
        running = Host(vendors="/nonexistent").start()
        with contextlib.ExitStack() as stack:
            stack.push(running)
            running.expect("no OpenCL platform: install")
            self.assert_refused(running, "no OpenCL platform: install")


class Crash(Fault):
    """What a guest's kernel does wrong is seen by that guest alone."""

    def check(self, mode, how):
        with Host() as running, Guest(running, "guest", "work") as other:
            other.expect("prepared")
            with Guest(running, "guest", mode) as guest:
                guest.expect("entering")
                line = guest.expect("returned")
                self.assertLess(int(line.text.split()[2]), 0)
                self.assertLess(int(guest.expect("later").text.split()[2]), 0)
                guest.expect("ends")
                self.assertEqual(guest.end(), 0)
            running.expect(f"was ended by signal .*{how}.*other sessions go on")
            self.assertEqual(other.ask(), 0)
            self.assert_served(running)
            self.assertEqual(other.end(), 0)
            self.assert_clean(running)

    @unittest.skipIf(SANITIZED, "the sanitizer's handler exits instead")
    def test_wild_pointer(self):
        self.check("wild", "Segmentation fault")

    @unittest.skipIf(SANITIZED, "the sanitizer's handler exits instead")
    def test_trap(self):
        self.check("trap", "Illegal instruction")


class GuestKilled(Fault):
    def check(self, *command, prepared="prepared"):
        with Host() as running:
            running.spare()
            before = self.descriptors_settled(running)
            with Guest(running, *command) as guest:
                guest.expect(prepared)
                worker = running.worker_of(guest)
                guest.process.kill()
                killed = time.monotonic()
                self.assert_gone(worker, killed)
            self.assert_clean(running)
            self.assert_served(running)
            self.assert_descriptors(running, before)

    def test_idle(self):
        self.check("guest", "work")

    def test_kernel_runs(self):
        self.check("guest", "spin")

    def test_in_finish(self):
        self.check("blocked", "finish", "kernel", prepared="entering")

    def test_in_build(self):
        self.check("blocked", "build", "none", prepared="entering")

    def test_many(self):
        """A posting guest dies with the ring full."""
        self.check("blocked", "many", "user", prepared="entering")


class Shortage(Fault):
    """The daemon or a worker runs out of something: others go on."""

    @contextlib.contextmanager
    def with_other(self, *settings, **options):
        """A host with a session that must not notice anything."""
        with Host(*settings, **options) as running, Guest(running, "guest", "work") as other:
            other.expect("prepared")
            self.assertEqual(other.ask(), 0)
            yield running
            self.assertEqual(other.ask(), 0)
            self.assertEqual(other.end(), 0)
            self.assert_served(running)

    def test_descriptors_of_daemon(self):
        with self.with_other() as running:
            running.spare()
            pid = running.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
            first_free = next(number for number in range(1 << 20) if number not in used)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, before[1]))
            self.assert_refused(running, "too many open files")
            running.expect("can't accept guests: Too many open files")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    def spare_limited(self, running, limit, value):
        """Gives the spare worker a limit just below what a session needs."""
        spare = running.spare()
        resource.prlimit(spare, limit, (value(spare), value(spare)))

    def test_descriptors_of_worker(self):
        with self.with_other() as running:
            self.spare_limited(
                running, resource.RLIMIT_NOFILE, lambda pid: len(host.descriptors(pid)) + 2
            )
            self.assert_refused(running)

    @unittest.skipIf(SANITIZED, "a sanitizer needs address space")
    def test_memory_of_worker(self):
        """A worker that can't map the guest's memory says so."""
        with self.with_other() as running:
            self.spare_limited(
                running, resource.RLIMIT_AS, lambda pid: memory(pid, "VmSize") + (1 << 20)
            )
            self.assert_refused(running, "memory")

    @unittest.skipIf(SANITIZED, "a sanitizer needs address space")
    def test_no_memory_to_start(self):
        """Workers that can't even load the runtime: one clear line, and refusals."""

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20))

        running = Host(before=limit).start()
        with contextlib.ExitStack() as stack:
            stack.push(running)
            running.expect("error: broker: ")
            self.assert_refused(running)
            time.sleep(1)
            self.assertLess(running.text().count("error: broker: "), 4)

    @unittest.skipIf(SANITIZED, "a sanitizer needs address space")
    def test_memory_of_session(self):
        """A session that runs out of memory: errors or the end of it, and never a hang."""
        with self.with_other() as running, Guest(running, "guest", "build") as guest:
            guest.expect("prepared")
            worker = running.worker_of(guest)
            # No more than it has: what its allocator keeps in hand does not build a program.
            size = memory(worker, "VmSize")
            resource.prlimit(worker, resource.RLIMIT_AS, (size, size))
            self.assertLess(guest.ask(), 0)
            guest.end()

    def test_disk(self):
        """No room for compiled kernels: an error, or the end of the session, and no hang."""
        with contextlib.ExitStack() as stack:
            disk = stack.enter_context(small_disk())
            with self.with_other(cache=f"{disk}/cache") as running:
                ballast = fill(disk)
                with Guest(running, "guest", "build") as guest:
                    first = guest.next()
                    if first and first.text == "prepared":
                        guest.say()
                        self.assertIsNotNone(guest.next(), "the build hangs")
                    self.assertIsNotNone(guest.end(), "the program hangs")
                for path in ballast:
                    path.unlink()

    def test_disk_for_new_user(self):
        """No room for a cache folder: refused, with words."""
        with small_disk() as disk:
            fill(disk)
            running = Host(cache=f"{disk}/cache").start()
            with contextlib.ExitStack() as stack:
                stack.push(running)
                running.expect("No space left on device; make room or set cache-dir")
                self.assert_refused(running, "No space left on device")


class Hoard(Guest):
    """A guest that takes device memory, and what it holds, in KiB."""

    def __init__(self, running, **options):
        super().__init__(running, "hoard", **options)
        self.expect("prepared")
        self.held = []

    def sizes(self):
        self.say("sizes")
        return [int(size) for size in self.expect("sizes").text.split()[1:]]

    def do(self, what):
        self.say(what)
        return int(self.expect("worked").text.split()[1])

    def take(self, kib):
        code = self.do(f"take {kib}")
        if code == 0:
            self.held.append(kib)
        return code

    def free(self, index):
        self.held[index] = self.held[-1]
        self.held.pop()
        return self.do(f"free {index}")


class Quota(Fault):
    """All sessions of a user hold no more than the limit, together, and as much as it is."""

    LIMIT = 50 << 10  # KiB
    REFUSED = -4  # CL_MEM_OBJECT_ALLOCATION_FAILURE

    def host(self):
        return Host(f"user-memory={self.LIMIT}KiB")

    def test_sizes(self):
        with self.host() as running, Hoard(running) as guest:
            self.assertEqual(guest.sizes()[0], self.LIMIT << 10)
            self.assertLessEqual(guest.sizes()[1], self.LIMIT << 10)
        with Host() as running, Hoard(running) as guest:
            self.assertGreater(guest.sizes()[0], self.LIMIT << 10)

    def test_shared(self):
        mib = 1 << 10
        with self.host() as running, Hoard(running) as one, Hoard(running) as other:
            for _ in range(4):
                self.assertEqual(one.take(10 * mib), 0)
            self.assertEqual(other.take(11 * mib), self.REFUSED)
            # To the last byte: what the first has in hand and does not use is given back.
            self.assertEqual(other.take(10 * mib), 0)
            self.assertEqual(other.take(4), self.REFUSED)
            self.assertEqual(one.take(4), self.REFUSED)
            self.assertEqual(one.free(0), 0)
            self.assertEqual(other.take(10 * mib), 0)
            os.kill(running.worker_of(one), signal.SIGKILL)
            running.expect(r"was ended by signal 9")
            self.assertEqual(other.take(30 * mib), 0)
            self.assertEqual(other.take(4), self.REFUSED)

    def test_random(self):
        """Refused exactly when it does not fit; the end of each session gives all of it back."""
        seed = int(os.environ.get("GUESTCL_SEED", os.getpid()))
        print(f"seed {seed} (GUESTCL_SEED repeats it)")
        chance = random.Random(seed)
        with self.host() as running, contextlib.ExitStack() as stack:
            guests = [stack.enter_context(Hoard(running)) for _ in range(3)]
            for step in range(400):
                place = chance.randrange(len(guests))
                guest = guests[place]
                if chance.random() < 0.02:
                    self.end_one(running, guest, chance)
                    guests[place] = stack.enter_context(Hoard(running))
                elif guest.held and chance.random() < 0.4:
                    self.assertEqual(guest.free(chance.randrange(len(guest.held))), 0)
                else:
                    kib = 4 * chance.choice([1, 16, chance.randrange(1, 4000)])
                    fits = sum(sum(one.held) for one in guests) + kib <= self.LIMIT
                    self.assertEqual(self.take(guest, kib, fits), fits, f"step {step}")
            for guest in guests:
                self.end_one(running, guest, chance)
            last = stack.enter_context(Hoard(running))
            self.assertEqual(last.take(self.LIMIT), 0, "something was not given back")

    def take(self, guest, kib, fits):
        """A runtime's thread may let go of what was released a moment after it is known as done."""
        codes = []

        def taken():
            codes.append(guest.take(kib))
            self.assertIn(codes[-1], (0, self.REFUSED))
            return codes[-1] == 0

        return wait_until(taken) is not None if fits else taken()

    def end_one(self, running, guest, chance):
        """By its program's end, or its worker's."""
        worker = running.worker_of(guest)
        if chance.random() < 0.5:
            os.kill(worker, signal.SIGKILL)
        else:
            self.assertEqual(guest.end(), 0)
        # Reaped, not only dead: then its memory is given back.
        self.assertIsNotNone(wait_until(lambda: not pathlib.Path(f"/proc/{worker}").exists()))
        guest.held.clear()


class Identity(Fault):
    """Groups of processes that are VMs, by the socket that they come by: each has its own quota."""

    MIB = 1 << 10  # KiB
    CONFIG = """
        vm-dir = "vm"
        vm-socket-group = ""
        user-memory = 10MiB
        vm "red" { local-socket = "@folder@/red" memory = 30MiB }
        vm "blue" { local-socket = "@folder@/blue" memory = 20MiB }
        """

    def test_quotas(self):
        with Host(config=self.CONFIG) as running, contextlib.ExitStack() as stack:

            def join(vm):
                path = running.folder / vm if vm else None
                return stack.enter_context(Hoard(running, socket=path))

            red, second, blue, user = join("red"), join("red"), join("blue"), join(None)
            for guest, size in ((red, 30), (second, 30), (blue, 20), (user, 10)):
                self.assertEqual(guest.sizes()[0], (size * self.MIB) << 10)
            self.assertEqual(red.take(20 * self.MIB), 0)
            self.assertEqual(second.take(10 * self.MIB), 0)
            self.assertEqual(second.take(4), Quota.REFUSED)
            self.assertEqual(blue.take(20 * self.MIB), 0)
            self.assertEqual(blue.take(4), Quota.REFUSED)
            self.assertEqual(user.take(10 * self.MIB), 0)
            # What one gives back is its own VM's to take.
            self.assertEqual(red.free(0), 0)
            self.assertEqual(blue.take(4), Quota.REFUSED)
            self.assertEqual(user.take(4), Quota.REFUSED)
            self.assertEqual(second.take(20 * self.MIB), 0)
            for guest in (red, second, blue, user):
                self.assertEqual(guest.end(), 0)
            caches = {path.name for path in pathlib.Path(running.cache).iterdir()}
            self.assertEqual(caches, {"vm-red", "vm-blue", f"uid-{os.geteuid()}"})

    @unittest.skipIf(os.geteuid() != 0, "needs root, to be users of different groups")
    def test_who_may(self):
        """A process is the VM whose socket its user may connect to, and can't be another."""
        others = (grp.getgrnam("games").gr_gid, grp.getgrnam("news").gr_gid)
        config = self.CONFIG.replace("30MiB", "30MiB local-socket-group = games")
        config = config.replace("20MiB", "20MiB local-socket-group = news")
        with Host("vm-socket-mode=0660", config=config) as running:
            running.folder.chmod(0o755)
            for vm, group in zip(("red", "blue"), others):
                for name in ("red", "blue"):
                    self.assertEqual(may_connect(running.folder / name, group), name == vm)


def may_connect(path, group):
    """Whether a process of nobody's, in that group, gets in."""
    with socket.socket(socket.AF_UNIX) as probe:
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                os.setgroups([])
                os.setgid(group)
                os.setuid(65534)
                probe.connect(str(path))
                status = 0
            except PermissionError:
                status = 1
            finally:
                os._exit(status)
        return {0: True, 1: False}[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]


def memory(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"{pid} has no {field}")


@contextlib.contextmanager
def small_disk():
    """A file system of 16 MiB, where the test may mount one."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(folder())
        options = ["-t", "tmpfs", "-o", "size=16m,nr_inodes=2000", "none", disk]
        done = subprocess.run(["mount", *options], capture_output=True, check=False)
        if done.returncode:
            raise unittest.SkipTest("may not mount a file system")
        stack.callback(subprocess.run, ["umount", "-l", disk], check=True)
        yield disk


def fill(disk):
    """Uses up all bytes and all inodes. Returns what to remove for room."""
    made = [pathlib.Path(disk) / "ballast"]
    with contextlib.suppress(OSError), open(made[0], "wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)
    with contextlib.suppress(OSError):
        for number in range(10000):
            path = pathlib.Path(disk) / f"entry{number}"
            path.touch()
            made.append(path)
    return made


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
