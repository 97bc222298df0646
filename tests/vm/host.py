# SPDX-License-Identifier: MIT
"""A guestcld that serves VMs, and the channels between them: the host's side of ./run --vm and of
the tests in VMs."""

import argparse
import importlib.machinery
import importlib.util
import os
import pathlib
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


class Host:
    """One guestcld with a socket for each of the VMs named."""

    def __init__(self, build, vms, settings=(), daemon_build=None):
        options = argparse.Namespace(
            build=pathlib.Path(build), daemon_build=daemon_build, config=None,
            set=list(settings), staging=False, may_die=False,
        )  # fmt: skip
        self.daemon = with_guestcld.Daemon(options)
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

    def restart(self):
        """After kill(): the log goes on in the same file."""
        self.daemon.start()

    def descriptors(self):
        return sorted(os.listdir(f"/proc/{self.pid}/fd"), key=int)

    def workers(self):
        """Pids of the daemon's children and of what was left of dead daemons."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text() if entry.name.isdigit() else ""
            except OSError:
                continue
            if fields and int(fields.rsplit(")", 1)[1].split()[1]) in (self.pid, os.getpid()):
                if fields.split("(", 1)[1].startswith("guestcl-worker"):
                    found.append(int(entry.name))
        return found

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
