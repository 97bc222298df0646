# SPDX-License-Identifier: MIT
"""Virtual machines for ./run --vm and for the tests: QEMU, its guest, and the host's folders in it."""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import agent

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
CACHE = TOP / "build" / "vm"
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
PROBE_SECONDS = 20
BOOT_SECONDS = 300
QMP_SECONDS = 60
HELPER_SECONDS = 60
VSOCK_CID = 3
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Where nothing of the host's can be put, since the guest has its own.
GUESTS_OWN = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr", "var")

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class MachineError(Exception):
    pass


def die_with_parent():
    """For children: Ctrl-C at a terminal is not for them, and our own death is theirs."""
    os.setpgid(0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclasses.dataclass
class Image:
    """What a guest boots from: see tests/vm/image."""

    kernel: str
    initrd: str
    root: str
    release: str


def image(build, packages=(), plain=False):
    """Makes the image where it is not there yet; progress is on stderr.

    @plain: without the programs that packages.txt has for guests
    """
    command = [HERE / "image", "--build", build, *(["--plain"] if plain else [])]
    command += [word for package in packages for word in ("--with", package)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise MachineError("the guest's image could not be made")
    return Image(**dict(line.split("=", 1) for line in done.stdout.splitlines()))


@dataclasses.dataclass
class Qemu:
    """A QEMU program: the system's, or one that lies elsewhere with libraries of its own."""

    command: tuple = ("qemu-system-x86_64",)
    variables: dict = dataclasses.field(default_factory=dict)

    def run(self, arguments, **options):
        environment = {**os.environ, **self.variables}
        return subprocess.Popen([*self.command, *arguments], env=environment, **options)


SYSTEM_QEMU = Qemu()


def newer(what, program):
    """A program of a later Debian, which is fetched where it is not there yet: the command that
    runs it with its own libraries, and the folder usr that it lies in."""
    done = subprocess.run([HERE / "newer", what], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"no newer {what} could be had")
    usr = pathlib.Path(done.stdout.strip()) / "usr"
    libraries = usr / "lib" / "x86_64-linux-gnu"
    command = [usr / "lib64" / "ld-linux-x86-64.so.2", "--library-path", libraries]
    return [str(word) for word in [*command, usr / "bin" / program]], usr


def newer_qemu():
    """One that knows the generic vhost-user device."""
    command, usr = newer("qemu", "qemu-system-x86_64")
    command += ["-L", str(usr / "share" / "qemu"), "-L", str(usr / "share" / "seabios")]
    modules = usr / "lib" / "x86_64-linux-gnu" / "qemu"
    return Qemu(tuple(command), {"QEMU_MODULE_DIR": str(modules)})


# ------------------------------------------------------------ KVM or TCG


def acceleration(qemu, guest):
    """QEMU's options for the CPU: KVM's where a guest was seen to run in it. What was seen holds
    until the host or the guest's kernel is another one."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    seen = CACHE / "acceleration"
    here = f"{boot} {guest.release} {os.access('/dev/kvm', os.R_OK | os.W_OK)}"
    with contextlib.suppress(OSError):
        for line in seen.read_text().splitlines():
            key, _, answer = line.rpartition(" ")
            if key == here:
                return OPTIONS[answer]
    answer = "kvm" if kvm_works(qemu, guest) else "tcg"
    seen.write_text(f"{here} {answer}\n")
    return OPTIONS[answer]


OPTIONS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    # Without the two, which promise that "rep movsb" is fast: emulated, it moves byte by byte.
    "tcg": ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,erms=off,fsrm=off"],
}


def kvm_works(qemu, guest):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    arguments = [*OPTIONS["kvm"], "-machine", "q35", "-m", "256M", "-smp", "2", "-nodefaults"]
    arguments += ["-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    arguments += ["-kernel", guest.kernel, "-initrd", guest.initrd]
    arguments += ["-append", "console=ttyS0 quiet panic=-1 guestcl.probe=1"]
    process = qemu.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        printed, _ = process.communicate(timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    return process.returncode == 0 and b"guest: it runs" in printed


# ------------------------------------------------------------ QMP


class Qmp:
    """QEMU's control socket; events are kept in the order in which they came."""

    def __init__(self, path, alive):
        self.socket = connect(path, QMP_SECONDS, alive)
        self.socket.settimeout(QMP_SECONDS)
        self.lines = self.socket.makefile("rb")
        self.events = []
        self.read()
        self("qmp_capabilities")

    def read(self):
        line = self.lines.readline()
        if not line:
            raise MachineError("QEMU has closed its control socket")
        return json.loads(line)

    def __call__(self, command, **arguments):
        message = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self.read()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise MachineError(f"QEMU, told to {command}: {answer['error']['desc']}")
            elif "return" in answer:
                return answer["return"]

    def close(self):
        self.lines.close()
        self.socket.close()

    def wait_event(self, name, timeout=30):
        """Takes the next event of that name, one that came before too."""
        end = time.monotonic() + timeout
        while True:
            for at, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[: at + 1]
                    return event
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                answer = self.read()
            except TimeoutError:
                raise MachineError(f"QEMU did not say {name} within {timeout} s") from None
            finally:
                self.socket.settimeout(QMP_SECONDS)
            if "event" in answer:
                self.events.append(answer)


def connect(path, timeout, alive):
    end = time.monotonic() + timeout
    while True:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(str(path))
            return one
        except OSError as error:
            one.close()
            if not alive() or time.monotonic() > end:
                raise MachineError(f"no connection to {path}: {error.strerror}") from error
            time.sleep(0.01)


# ------------------------------------------------------------ folders of the host


def sharer():
    """The command that gives a folder to a VM, or None."""
    for program in VIRTIOFSD:
        if os.access(program, os.X_OK):
            return program
    return shutil.which("virtiofsd")


def may_share(folder):
    """Whether the guest can have the host's folder in the same place."""
    return len(folder.parts) > 1 and folder.parts[1] not in GUESTS_OWN


def sandbox():
    """What virtiofsd can lock itself in with: in a chroot there is no mount that it could replace."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return "namespace" if any(line.split()[4] == "/" for line in mounts) else "chroot"


def share_command(program, folder, path):
    if program.startswith("/usr/lib/qemu/"):  # as it came with QEMU 7
        return [program, f"--socket-path={path}", "-o", f"source={folder}", "-o", "cache=auto",
                "-o", f"announce_submounts,log_level=err,sandbox={sandbox()}"]  # fmt: skip
    return [program, f"--socket-path={path}", f"--shared-dir={folder}", "--log-level=error",
            f"--sandbox={sandbox()}"]  # fmt: skip


# ------------------------------------------------------------ the machine


class Machine:
    """One VM. devices: further arguments of QEMU's, such as virtio_cl() gives. vsock: the path to
    which "_PORT" is added for what the guest connects to on its host. first: the module that is
    loaded before all others. module=False: virtio_cl is not loaded by itself."""

    def __init__(self, guest, *, name="vm", memory="512M", shares=(), devices=(), vsock=None,
                 first="", module=True, qemu=SYSTEM_QEMU, append="", accelerator=None):  # fmt: skip
        self.guest, self.name, self.memory, self.qemu = guest, name, memory, qemu
        self.shares = list(shares)
        self.devices = list(devices)
        self.vsock = vsock
        self.append = f"{append} guestcl.name={name} guestcl.first={first}"
        self.append += "" if module else " guestcl.module=none"
        self.accelerator = accelerator or acceleration(qemu, guest)
        self.nonce = secrets.token_bytes(agent.NONCE_SIZE)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="guestcl-vm-"))
        self.console = self.directory / "console"
        self.log = self.directory / "log"
        self.process = None
        self.helpers = []
        self.agent = None
        self.qmp = None

    def arguments(self):
        yield from self.accelerator
        # A guest with one possible CPU loses its fences under TCG; with two its clock would be
        # the slow one without tsc=reliable.
        yield from ("-machine", "q35,memory-backend=mem", "-m", self.memory, "-smp", "2")
        yield from ("-object", f"memory-backend-memfd,id=mem,size={self.memory},share=on")
        yield from ("-nodefaults", "-no-user-config", "-display", "none", "-name", self.name)
        yield from ("-kernel", self.guest.kernel, "-initrd", self.guest.initrd, "-append")
        yield (
            "console=ttyS0 quiet panic=1 tsc=reliable nokaslr "
            f"guestcl.nonce={self.nonce.hex()} {self.append}"
        )
        yield from ("-serial", f"file:{self.console}")
        yield from ("-qmp", f"unix:{self.directory}/qmp,server=on,wait=off")
        yield from ("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=guestcl.agent")
        yield from ("-chardev", f"socket,id=agent,path={self.directory}/agent,server=on,wait=off")
        yield from ("-drive", f"if=none,id=root,format=raw,readonly=on,file={self.guest.root}")
        yield from ("-device", "virtio-blk-pci,drive=root,serial=guestcl-root")
        yield from ("-device", "virtio-rng-pci")
        yield from self.devices

    def share_arguments(self):
        """Starts what gives the host's folders away, and yields QEMU's side of it."""
        program = sharer()
        listed = self.directory / "shares"
        lines = []
        for number, folder in enumerate(self.shares if program else []):
            path = self.directory / f"share{number}.sock"
            self.helper(share_command(program, folder, path), path)
            yield from ("-chardev", f"socket,id=share{number},path={path}")
            yield from ("-device", f"vhost-user-fs-pci,chardev=share{number},tag=share{number}")
            lines.append(f"share{number} {folder}\n")
        listed.write_text("".join(lines))
        yield from ("-fw_cfg", f"name=opt/guestcl/shares,file={listed}")

    def vsock_arguments(self):
        """A host without vhost-vsock has a program in its place."""
        if self.vsock:
            path = self.directory / "vsock.sock"
            command, _ = newer("vsock", "vhost-device-vsock")
            options = f"guest-cid={VSOCK_CID},socket={path},uds-path={self.vsock}"
            self.helper([*command, "--vm", options], path)
            yield from ("-chardev", f"socket,id=vsock,path={path}")
            yield from ("-device", "vhost-user-vsock-pci,chardev=vsock")

    def helper(self, command, path):
        """Starts a program that QEMU needs, and waits until it listens at that path."""
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", preexec_fn=die_with_parent,
            )  # fmt: skip
        self.helpers.append(process)
        end = time.monotonic() + HELPER_SECONDS
        while not path.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise MachineError(f"{command[0]} did not start:\n{self.log_text()}")
            time.sleep(0.01)

    def start(self):
        arguments = [*self.arguments(), *self.share_arguments(), *self.vsock_arguments()]
        with open(self.log, "ab") as log:
            self.process = self.qemu.run(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            self.agent = agent.Agent(self.directory / "agent", self.nonce)
            self.agent.connect(QMP_SECONDS, self.alive)
            self.qmp = Qmp(self.directory / "qmp", self.alive)
        except (agent.AgentError, OSError) as error:
            raise MachineError(f"QEMU did not start: {self.log_text() or error}") from error
        return self

    def wait_ready(self, timeout=BOOT_SECONDS):
        """Seen once in a hundred boots under TCG: a kernel that hangs before its first process. It
        is told where, and begins anew."""
        try:
            self.agent.wait_greeting(timeout / 2, self.alive)
            return self
        except agent.AgentError:
            if self.alive() and not self.console_text():
                print(f"{self.name} hangs in its kernel and is reset:\n{self.where()}", file=sys.stderr)
                self.qmp("system_reset")
        try:
            self.agent.wait_greeting(timeout, self.alive)
        except agent.AgentError as error:
            raise MachineError(f"{error}\n{self.log_text()}{self.console_text()}") from error
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    # What runs in the guest.

    def popen(self, arguments, *, env=None, **options):
        environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
        return self.agent.run([str(word) for word in arguments], env=environment, **options)

    def run(self, arguments, *, timeout=240, stdin=b"", check=False, **options):
        """Runs a command to its end. Returns status, stdout and stderr (as text)."""
        command = self.popen(arguments, **options)
        with contextlib.suppress(BrokenPipeError, agent.Lost):
            command.write(stdin)
            command.close_stdin()
        try:
            status = command.wait(timeout)
        except TimeoutError as error:
            with contextlib.suppress(agent.Lost):
                command.signal(signal.SIGKILL)
            texts = (text.decode(errors="replace")[-1000:] for text in (command.out, command.err))
            raise TimeoutError(f"{arguments}: {error}\n{''.join(texts)}") from None
        out, err = (text.decode(errors="replace") for text in (command.out, command.err))
        done = subprocess.CompletedProcess(arguments, status, out, err)
        if check and status != 0:
            raise MachineError(f"{arguments} in the guest: status {status}\n{out}{err}")
        return done

    def shell(self, script, **options):
        """Runs a script in the guest and returns what it prints; it must succeed."""
        return self.run(["/bin/sh", "-c", script], check=True, **options).stdout

    def put(self, path, folder="/usr/local/bin"):
        """Copies a program of the host's into the guest; returns where it is there."""
        there = f"{folder}/{pathlib.Path(path).name}"
        self.run(["install", "-m", "755", "/dev/stdin", there],
                 stdin=pathlib.Path(path).read_bytes(), check=True)  # fmt: skip
        return there

    # Texts for those who look for a fault.

    def where(self):
        """Where the guest's CPUs are; names are in System.map."""
        texts = []
        with contextlib.suppress(MachineError, OSError):
            for line in ("info status", "info registers -a"):
                texts.append(self.qmp("human-monitor-command", **{"command-line": line}))
        return "\n".join(re.findall(r".*(?:status|CPU#|RIP=).*", "\n".join(texts)))

    def console_text(self):
        with contextlib.suppress(OSError):
            return self.console.read_text(errors="replace")
        return ""

    def log_text(self):
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace")
        return ""

    # Its end.

    def kill(self):
        """As if QEMU had crashed."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def destroy(self):
        self.kill()
        for one in (self.agent, self.qmp):
            if one:
                one.close()
        for process in self.helpers:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()


def virtio_cl(path, number=0, carrier="shell", doorbells=2):
    """QEMU's arguments for our device, behind the socket of a guestcld."""
    chardev = f"socket,id=cl{number},path={path}"
    queues = 2 + doorbells
    if carrier == "shell":
        return ["-chardev", f"{chardev},reconnect=1",
                "-device", f"vhost-user-blk-pci,id=virtiocl{number},chardev=cl{number},"
                f"num-queues={queues},queue-size=128"]  # fmt: skip
    return ["-chardev", chardev,
            "-device", f"vhost-user-test-device-pci,id=virtiocl{number},chardev=cl{number},"
            f"virtio-id=38,num_vqs={queues},vq_size=128,config_size=40"]  # fmt: skip
