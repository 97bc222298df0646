# SPDX-License-Identifier: MIT
"""A guestcld that serves VMs, and the channels between them: the host's side of ./run --vm and of
the tests in VMs."""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import sys

import machine


def load_program(path):
    """tests/with-guestcld has no ending, since it is a program first of all."""
    loader = importlib.machinery.SourceFileLoader("with_guestcld", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


with_guestcld = load_program(machine.TOP / "tests" / "with-guestcld")
STATUS_FAULT = with_guestcld.STATUS_DAEMON
die_like = with_guestcld.die_like


class HostError(Exception):
    pass


def alive(pid):
    """A zombie holds nothing any more, so it counts as gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Host:
    """One guestcld with a socket for each of the VMs named. worker: another program in place of
    guestcl-worker."""

    def __init__(self, build, vms, settings=(), daemon_build=None, worker=None):
        options = argparse.Namespace(
            build=pathlib.Path(build), daemon_build=daemon_build, config=None,
            set=["socket-group=", *settings], staging=False, may_die=False,
            channel="local",
        )  # fmt: skip
        self.daemon = with_guestcld.Daemon(options)
        if worker:
            self.daemon.paths["worker"] = str(worker)
        self.vm_dir = self.daemon.directory / "vm"
        self.vm_dir.mkdir()
        config = self.daemon.directory / "guestcld.conf"
        sections = "".join(f'vm "{name}" {{\n}}\n' for name in vms)
        config.write_text(f'vm-dir = "{self.vm_dir}"\n{sections}')
        self.daemon.arguments += ["--config", str(config)]
        self.quiet = True

    def start(self):
        with_guestcld.libc.prctl(with_guestcld.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            self.daemon.start()
        except (with_guestcld.DaemonError, OSError) as error:
            self.daemon.log_print()
            self.daemon.destroy()
            raise HostError(str(error)) from error
        return self

    def socket(self, name):
        return self.vm_dir / f"{name}.sock"

    def vsock(self, name):
        """The listener for what a guest sends to port 17228 of its host: PATH_PORT."""
        return self.vm_dir / f"{name}.vsock"

    # For tests.

    @property
    def pid(self):
        return self.daemon.process.pid

    def log_text(self):
        return self.daemon.log_text()

    def kill(self):
        """As if it had crashed."""
        self.daemon.process.kill()
        self.daemon.process.wait()

    def take_over(self):
        """The same program again, in its own place."""
        self.daemon.process.send_signal(signal.SIGUSR2)

    def control(self, **request):
        """One request of an operator's. Returns the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.daemon.directory / "control.sock"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(connection.makefile("rb").readline())

    def restart(self):
        """After kill(): the log goes on in the same file."""
        self.daemon.start()

    def descriptors(self):
        """What the daemon has open, as /proc names it, without numbers that change."""
        found = []
        for entry in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(re.sub(r"\d+", "N", os.readlink(entry)))
        return sorted(found)

    def memories(self):
        """Those of VMs that it has; the pages of workers are no such."""
        names = self.descriptors()
        return [n for n in names if n.startswith("/memfd:") and "guestcl-page" not in n]

    def workers_left(self):
        """Workers of dead daemons, which have become our own children."""
        return [pid for pid, _ in with_guestcld.orphaned_programs()]

    def served(self):
        """Sessions of the log so far: number, who, and the worker's pid."""
        pattern = r"session (\d+): (.*): served by worker (\d+)"
        return [(int(one), who, int(pid)) for one, who, pid in re.findall(pattern, self.log_text())]

    def sessions(self, who=""):
        """Those that still have a worker, of a VM where its name is given."""
        return [one for one in self.served() if who in one[1] and alive(one[2])]

    def settled(self):
        """Whether each worker that serves nobody is prepared, and how many there are is enough."""
        text = self.log_text()
        prepared = {int(pid) for pid in re.findall(r"worker (\d+) for .* prepared", text)}
        served = {pid for _, _, pid in self.served()}
        spares = [pid for pid in self.workers() if pid not in served]
        return bool(spares) and all(pid in prepared for pid in spares)

    def workers(self):
        """Pids of the daemon's children."""
        try:
            listed = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in listed.split() if alive(int(pid))]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        faults = list(self.daemon.stop())
        if faults or (kind and not self.quiet):
            self.daemon.log_print()
        self.daemon.destroy()
        if faults and not kind:
            raise HostError("\n".join(faults))
        for fault in faults:
            print(f"guestcld: {fault}", file=sys.stderr)


def vm(host, name, guest, *, channel="virtio", carrier="shell", **options):
    """A VM that reaches the host's guestcld by a channel."""
    qemu = machine.newer_qemu() if carrier == "generic" else machine.SYSTEM_QEMU
    devices = list(options.pop("devices", []))
    if channel == "virtio":
        devices += machine.virtio_cl(host.socket(name), carrier=carrier)
    else:
        options["vsock"] = host.vsock(name)
    return machine.Machine(guest, name=name, devices=devices, qemu=qemu, **options)
