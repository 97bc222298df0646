# SPDX-License-Identifier: MIT
"""A libvirtd for one test, which touches nothing of the system's: that of a user of its own.

As root it runs as nobody: the system's libvirtd would ask QEMU for its abilities over and over where
it can't use KVM, which takes most of a minute for each domain.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

NOBODY = 65534
START_SECONDS = 60
PROGRAMS = ("/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/qemu-system-x86_64")


class LibvirtError(Exception):
    pass


def missing():
    return [program for program in PROGRAMS if not os.access(program, os.X_OK)]


class Libvirtd:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="guestcl-libvirt-"))
        self.directory.chmod(0o755)
        self.socket = self.directory / "run" / "libvirt" / "libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"
        self.log = self.directory / "libvirtd.log"
        self.process = None
        self.ended = threading.Event()
        threading.Thread(target=self.reap, daemon=True).start()
        for name in ("run", "conf", "cache"):
            self.folder(name)
        # Without it libvirt starts virtlogd, which stays for two minutes.
        settings = self.directory / "conf" / "libvirt"
        settings.mkdir()
        (settings / "qemu.conf").write_text('stdio_handler = "file"\n')
        self.give(settings)
        if os.geteuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)

    def folder(self, name):
        """One that belongs to who runs QEMU."""
        path = self.directory / name
        path.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        return path

    @staticmethod
    def give(path):
        if os.geteuid() == 0:
            for one in [path, *path.rglob("*")]:
                os.chown(one, NOBODY, NOBODY)

    def place(self, path):
        """A file where QEMU may read it, wherever it was."""
        to = self.directory / pathlib.Path(path).name
        if to.exists():
            return to
        try:
            os.link(path, to)
        except OSError:
            shutil.copy(path, to)
        to.chmod(to.stat().st_mode | 0o044)
        return to

    def reap(self):
        """QEMUs have no parent but us, where we take orphans (see host.Host), and libvirtd waits 40 s
        for each that it has killed while it is a zombie."""
        while not self.ended.wait(0.02):
            for task in pathlib.Path("/proc/self/task").iterdir():
                with contextlib.suppress(OSError):
                    for pid in map(int, (task / "children").read_text().split()):
                        if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system"):
                            os.waitpid(pid, os.WNOHANG)

    def start(self):
        command = ["/usr/sbin/libvirtd"]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "XDG_RUNTIME_DIR": str(self.directory / "run"),
            "XDG_CONFIG_HOME": str(self.directory / "conf"),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
        }
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.wait()
        return self

    def wait(self):
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                return
            if self.process.poll() is not None or time.monotonic() > end:
                raise LibvirtError(f"libvirtd did not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def kill(self):
        """QEMUs run on."""
        self.process.kill()
        self.process.wait()

    def virsh(self, *arguments, check=True):
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *arguments],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise LibvirtError(f"virsh {' '.join(arguments)}: {done.stderr}\n{self.log.read_text()}")
        return done.stdout

    def qemus(self):
        """The pids of QEMUs that were started here."""
        for path in (self.directory / "run" / "libvirt" / "qemu" / "run").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                if path.name != "driver.pid" and os.path.exists(f"/proc/{pid}"):
                    yield pid

    def destroy(self):
        for pid in self.qemus():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        self.ended.set()
        shutil.rmtree(self.directory, ignore_errors=True)
