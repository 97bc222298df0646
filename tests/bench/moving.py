# SPDX-License-Identifier: MIT
"""A host and a GPU server on one machine, each with a device of its own, and programs that move.

The device of each is one CPU: daemon and workers are pinned to it, and PoCL has one thread. Their
network namespaces are joined by a link; what crosses it crosses it by TLS.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "net"), str(HERE.parent / "faults"), str(HERE)]

import net
import network
import server
from control_test import Control
from host import BUILD, Guest, Host, paths

MIGRANT = str(BUILD / "tests/bench/migrant")
LINK = BUILD / "tests/net/link"
PATIENCE = 300
SERVER = "gpu"
SERVER_MEMORY = "8GiB"


class Wire(network.Network):
    """Without length a pair of devices of the kernel's, which costs less CPU time than link.c."""

    def __init__(self, delay, width):
        """@delay: of a round trip in ms; @width: Gbit/s."""
        super().__init__(LINK, int(delay * 500), int(width * 1000))

    def wire_make(self, program, delay_us, mbit):
        if delay_us or not self.pair_make(mbit):
            super().wire_make(program, delay_us, mbit)

    def pair_make(self, mbit):
        """Return: whether this kernel has what it takes."""
        one, two = (holder.pid for holder in self.holders)
        shape = f"tc qdisc add dev link0 root tbf rate {mbit}mbit burst 1m latency 20ms".split()
        try:
            network.run(*f"ip link add link0 netns {one} type veth peer name link0 netns {two}".split())
            network.run(*self.inside(0), *shape)
            network.run(*self.inside(1), *shape)
        except network.Unavailable:
            with contextlib.suppress(network.Unavailable):
                network.run(*self.inside(0), *"ip link del link0".split())
            return False
        return True


def pinned(cpu):
    """What comes before a daemon's command, so that its device is this CPU."""
    return ["env", "POCL_MAX_PTHREAD_COUNT=1", "taskset", "-c", str(cpu)]


def cpus():
    """The host's and the server's."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


def automatic():
    """Does this guestcld move sessions by itself?"""
    command = [paths()["guestcld"], "--check-config", "--set", "placement=stay"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def process_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def thread_seconds(pid):
    """The same, exactly: of all its threads."""
    times = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in times) / 1e9


def cpu_seconds(cpu):
    """Time that the CPU was at programs' work, or lent to other machines."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, steal = (int(fields[i]) for i in (0, 1, 2, 7))
            return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"no CPU {cpu}")


class Meter:
    """What the devices of a world had of their CPUs, and what others took of these."""

    def __init__(self, world):
        self.world = world
        self.begin = time.monotonic()
        self.before = self.read()

    def read(self):
        devices = self.world.device_seconds()
        return devices, [cpu_seconds(cpu) for cpu, _ in zip(cpus(), devices)]

    def stop(self):
        """Return: s, CPU time of each device, that of others on its CPU."""
        took = time.monotonic() - self.begin
        devices, busy = (
            [after - before for after, before in zip(*pair)] for pair in zip(self.read(), self.before)
        )
        return took, devices, [max(0, all - own) for all, own in zip(busy, devices)]


class World:
    """A host, its programs, and, with @way "tls" or "unix", a server to move them to."""

    def __init__(self, options, way="tls", settings=(), placement="stay"):
        self.options, self.way, self.placement = options, way, placement
        self.settings = list(settings)
        self.stack = contextlib.ExitStack()
        self.net = self.server = self.host = self.control = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            config, wrapper = "", []
            if self.way:
                config, wrapper = self.server_start(stack)
            self.host = Host(
                "log-level=info", *self.settings, config=config, wrapper=[*wrapper, *pinned(cpus()[0])]
            )
            stack.push(self.host)
            self.host.start()
            self.host.ready()
            self.control = stack.enter_context(Control(self.host))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def server_start(self, stack):
        """Return: the host's configuration for it, and what its command begins with."""
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gcl-"))
        there, here, address = [], [], "127.0.0.1"
        if self.way == "tls":
            self.net = Wire(*self.options.link)
            stack.callback(self.net.stop)
            there, here = self.net.inside(0), self.net.inside(1)
            address = network.ADDRESSES[0]
        self.server = server.Server(
            folder, address=address, settings={"socket-group": "", "log-level": "info"},
            wrapper=[*there, *pinned(cpus()[1])],
        )  # fmt: skip
        self.server.start()
        stack.callback(self.server.stop)
        return self.server_named(f"{address}:{self.server.port}"), here

    def server_named(self, address):
        if self.way == "unix":
            address = f"unix:{self.server.folder}/guestcld.sock"
        self.settings += [
            f"client-library={paths()['library']}", f"link-program={paths()['link']}",
            f"servers-tls={self.server.pki}/clients/one",
        ]  # fmt: skip
        memory = ""
        if automatic():
            self.settings += [f"placement={self.placement}", *self.uplink()]
            memory = f"memory = {SERVER_MEMORY}"
        return f'server "{SERVER}" {{\naddress = "{address}"\n{memory}\n}}'

    def uplink(self):
        """What an operator would say of the link, where it has a width: bytes a second."""
        width = int(self.options.link[1] * 1e9 / 8)
        return [f"placement-uplink={width}"] if width else []

    # ------------------------------------------------------------ programs

    def guest(self, *words, cpu=None):
        """A program, which waits for a line; on that CPU alone, or where there is room."""
        guest = Guest(self.host, MIGRANT, *map(str, words))
        self.stack.enter_context(guest)
        if cpu is not None:
            for thread in os.listdir(f"/proc/{guest.pid}/task"):
                os.sched_setaffinity(int(thread), {cpu})
        guest.expect("ready", PATIENCE)
        for session in self.control.done("status")["sessions"]:
            if f"pid {guest.pid}," in session["who"]:
                guest.session = session["id"]
        return guest

    def worker(self, guest):
        sessions = self.control.done("status")["sessions"]
        return next(session["worker_pid"] for session in sessions if session["id"] == guest.session)

    def device_seconds(self):
        """CPU time of the sessions' workers, the devices' threads: here and on the server."""
        daemons = [self.control]
        with contextlib.ExitStack() as stack:
            if self.way:
                daemons.append(stack.enter_context(Control(self.server)))
            return [
                sum(process_seconds(session["worker_pid"]) for session in control.done("status")["sessions"])
                for control in daemons
            ]

    # ------------------------------------------------------------ moves

    def move(self, guest, where, free=False):
        """Return: the move's figures, and "prepare_s", until it began to copy."""
        request = {"session": guest.session, "queue": 0}
        if where != "home":
            request.update(server=SERVER, device=0, free=free)
        begin = time.monotonic()
        begun = self.control.done("move", **request)
        prepared = None
        while True:
            state = self.control.done("move-state", session=guest.session, move=begun["move"])
            now = time.monotonic()
            if not prepared and state["state"] in ("copying", "stopped", "moved"):
                prepared = now - begin
            if state["state"] == "moved":
                return {**state, "prepare_s": prepared}
            if state["state"] == "failed" or now > begin + PATIENCE:
                raise RuntimeError(f"no move to {where}: {state}")
            time.sleep(0.002)

    def floor(self):
        """The link's round trip in us, and GB/s of plain TCP over it."""
        return net.floor(self.net)
