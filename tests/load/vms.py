# SPDX-License-Identifier: MIT
"""VMs that run a random mix of programs, some of which are harmed: groups of processes, and real ones."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import tempfile

import host
import machine
from control_test import Control
from host import PATIENCE, Guest, paths, wait_until
from program import Program

HARMED = 0.25  # of the programs that work line by line, or their workers

# What a daemon says to guests for which no worker was there in time.
OVERLOADED = "the host is overloaded"

PICTURE = ["-g", "64x48", "-s", "1", "picture.png"]


def native_picture():
    """What each VM's has to be like."""
    with tempfile.TemporaryDirectory() as folder:
        vendors = os.environ.get("GUESTCL_HOST_VENDORS", "/etc/OpenCL/vendors")
        environment = {**os.environ, "OCL_ICD_VENDORS": vendors, "POCL_CACHE_DIR": folder}
        command = [host.BUILD / "examples" / "picture", *PICTURE]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        return (pathlib.Path(folder) / "picture.png").read_bytes()


class Broken(Exception):
    """A program that nobody has harmed did something wrong."""


class Refused(Exception):
    """The daemon had nothing for a new program, and said so."""


class Vm:
    """Runs a program after another; how, its kinds know."""

    def __init__(self, running, name, seed, picture):
        self.running = running
        self.name = name
        self.right_picture = picture
        self.chance = random.Random(f"{seed} {name}")
        self.good = self.harmed = self.refused = 0

    def run_one(self):
        try:
            self.chance.choice([self.work, self.work, self.build, self.vectors, self.picture])()
        except Refused:
            self.refused += 1

    def broken(self, what):
        kind = Refused if OVERLOADED in what else Broken
        return kind(f"{self.name}: {what}")

    def prepared(self, program):
        try:
            program.expect("prepared")
        except AssertionError as error:
            program.end()
            raise self.broken(f"{error}; in the end {program.errors}") from error

    # Programs that work once for each line; some are harmed half way.

    def lines(self, mode, rounds):
        with self.started(mode) as program:
            self.prepared(program)
            victim = self.chance.random() < HARMED
            for i in range(rounds):
                if victim and i == rounds // 2:
                    self.harm(program)
                    return
                code = program.ask()
                if code != 0:
                    raise self.broken(f"{mode} {i}: {code} {program.errors}")
            status = program.end()
            if status != 0:
                raise self.broken(f"{mode} ended with {status}")
        self.good += 1

    def harm(self, program):
        self.harmed += 1
        if self.chance.random() < 0.5:
            program.kill()
            return
        worker = self.worker_of(program)
        if worker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        if wait_until(lambda: program.ask() < 0) is None:
            raise self.broken("a program did not notice its worker's end")
        if program.end() != 0:
            raise self.broken("a program without a worker ended with an error")

    def work(self):
        self.lines("work", self.chance.randrange(2, 40))

    def build(self):
        self.lines("build", self.chance.randrange(2, 4))

    def worker_of(self, program):
        """None when a new daemon is just taking over."""
        with contextlib.suppress(OSError, TypeError, AssertionError), Control(self.running) as control:
            return self.session(control, program)["worker_pid"]
        return None

    # Programs as they are.

    def vectors(self):
        if self.output("vector-add") != b"1024 sums are right\n":
            raise self.broken("vector-add is wrong")
        self.good += 1

    def picture(self):
        if self.picture_made() != self.right_picture:
            raise self.broken("the picture is another")
        self.good += 1


class Group(Vm):
    """Processes of the host's that are a VM by the socket they come by."""

    SECTION = 'vm "{0}" {{ local-socket = "@folder@/{0}.sock" memory = 64MiB session-rate = 0 }}\n'

    @property
    def environment(self):
        socket = str(self.running.folder / f"{self.name}.sock")
        channel = {"GUESTCL_CHANNEL": f"stream:{socket}"} if host.STREAM else {}
        return {"GUESTCL_SOCKET": socket, **channel}

    def started(self, mode):
        return Guest(self.running, "guest", mode, environment=self.environment)

    def session(self, control, program):
        return control.session(program)

    def output(self, name, *arguments, **options):
        done = subprocess.run(
            [host.BUILD / "examples" / name, *arguments],
            capture_output=True, timeout=PATIENCE, check=False,
            env={**os.environ, "OCL_ICD_VENDORS": paths()["vendors"], **self.environment},
            **options,
        )  # fmt: skip
        if done.returncode != 0:
            raise self.broken(f"{name}: {done.returncode} {done.stderr}")
        return done.stdout

    def picture_made(self):
        with tempfile.TemporaryDirectory() as folder:
            self.output("picture", *PICTURE, cwd=folder)
            return (pathlib.Path(folder) / "picture.png").read_bytes()


class Real(Vm):
    """One in QEMU."""

    SECTION = 'vm "{0}" {{ memory = 64MiB session-rate = 0 }}\n'

    def boot(self, image):
        socket = self.running.folder / "vm" / f"{self.name}.sock"
        self.machine = machine.Machine(image, name=self.name, devices=machine.virtio_cl(socket))
        self.machine.start()

    def wait_ready(self):
        self.machine.wait_ready()
        self.machine.put(host.PROGRAMS / "guest")

    @contextlib.contextmanager
    def started(self, mode):
        program = Program(self.machine, "guest", mode)
        try:
            yield program
        finally:
            if not program.command.ended.is_set():
                program.kill()

    def session(self, control, program):
        """It runs one at a time: the newest, where an older one has not gone yet."""
        del program
        sessions = control.done("status")["sessions"]
        mine = [session for session in sessions if f"VM {self.name}," in session["who"]]
        assert mine, "the VM has no session"
        return max(mine, key=lambda session: session["id"])

    def command(self, *words, **options):
        command = self.machine.popen(words, **options)
        status = command.wait(PATIENCE)
        if status != 0:
            raise self.broken(f"{words[0]}: {status} {command.err}")
        return command.out

    def output(self, name, *arguments, **options):
        return self.command(f"guestcl-{name}", *arguments, **options)

    def picture_made(self):
        self.output("picture", *PICTURE, cwd="/tmp")
        return self.command("cat", "/tmp/picture.png")

    def driver_sessions(self):
        """What its driver still has of any."""
        return self.machine.shell("tail -n +3 /sys/kernel/debug/virtio-cl/sessions").splitlines()

    def destroy(self):
        self.machine.destroy()
