# SPDX-License-Identifier: MIT
"""A guestcld that serves guests by TLS, and what stands between it and them."""

import contextlib
import os
import pathlib
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("GUESTCL_BUILD", TOP / "build"))
PATHS = dict(line.split("=", 1) for line in (BUILD / "scripts/paths").read_text().splitlines())
READY_SECONDS = 60


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Server:
    """guestcld with two VMs: "one", which has a certificate, and "two", which has a key."""

    def __init__(self, folder, address="127.0.0.1", settings=(), wrapper=(), servers=()):
        self.folder = pathlib.Path(folder)
        self.address = address
        self.pki = self.folder / "pki"
        self.settings = dict(settings)
        self.servers = dict(servers)  # name: address, that its sessions can move to
        self.wrapper = list(wrapper)
        self.port = int(self.settings.pop("port", 0)) or free_port()
        self.log = self.folder / "guestcld.log"
        self.control = self.folder / "control.sock"
        self.process = None
        if not self.pki.exists():
            self.make("init")
            self.make("server", address, "gpu.example", "127.0.0.1")
            self.make("client", "one")
            self.make("client", "stranger")
            self.make("psk", "two")

    def make(self, *words, folder=None):
        command = [PATHS["pki"], *words, "--folder", folder or self.pki]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def configuration(self, **changes):
        files = self.pki / "servers" / self.address
        values = {
            "listen-tls": f"{self.address}:{self.port}",
            "tls-certificate": files / "certificate.pem",
            "tls-key": files / "key.pem",
            "tls-ca": files / "ca.pem",
            "tls-crl": self.pki / "crl.pem",
            "tls-psk-file": self.pki / "clients/two/psk",
            "tls-program": PATHS["tls"],
            "tls-resume-time": "5s",
            "vm-dir": self.folder / "vm",
            "socket": self.folder / "guestcld.sock",
            "control-socket": self.control,
            "worker": PATHS["worker"],
            "cache-dir": self.folder / "cache",
            "client-library": PATHS["library"],
            "link-program": PATHS["link"],
            **self.settings,
            **changes,
        }
        lines = [f'{key} = "{value}"' for key, value in values.items() if value is not None]
        lines += [f'vm "{name}" {{ session-rate = 0 }}' for name in ("one", "two")]
        lines += [f'server "{name}" {{ address = "{where}" }}' for name, where in self.servers.items()]
        path = self.folder / "guestcld.conf"
        path.write_text("\n".join(lines) + "\n")
        return path

    def start(self, **changes):
        environment = {
            **os.environ,
            "OCL_ICD_VENDORS": os.environ.get("GUESTCL_HOST_VENDORS", "/etc/OpenCL/vendors"),
        }
        environment.pop("GUESTCL_WORKER", None)
        command = [*self.wrapper, PATHS["guestcld"], "--config", self.configuration(**changes)]
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait_log("ready", begin)

    def wait_log(self, text, begin=0, seconds=READY_SECONDS):
        end = time.monotonic() + seconds
        while text not in self.log.read_text(errors="replace")[begin:]:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no {text!r} in the log:\n{self.log.read_text()}")
            time.sleep(0.02)

    def mark(self):
        return len(self.log.read_text(errors="replace"))

    def stop(self):
        """Return: its exit status."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None

    def environment(self, name="one", port=None, address=None, files=None):
        return {
            **os.environ,
            "OCL_ICD_VENDORS": PATHS["vendors"],
            "GUESTCL_CHANNEL": f"tls://{address or self.address}:{port or self.port}",
            "GUESTCL_TLS": str(files or self.pki / "clients" / name),
            "GUESTCL_TLS_MODULE": PATHS["tls_module"],
            # LeakSanitizer can't always stop the threads of a program that ends, and takes its output
            # with it then.
            "ASAN_OPTIONS": "detect_leaks=0",
        }

    def processes(self):
        """Those of the daemon's that end TLS: the listener and one for each connection."""
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError):
                name, _, rest = stat.read_text().rpartition(")")
                if name.endswith("(guestcl-tls") and rest.split()[0] != "Z":
                    found.append((int(stat.parent.name), int(rest.split()[1])))
        listeners = [pid for pid, parent in found if parent == self.process.pid]
        return [pid for pid, parent in found if pid in listeners or parent in listeners]


class Proxy:
    """Carries connections to a server's port, and drops them when told to."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs = []
        self.lock = threading.Lock()
        self.refusing = False
        self.stopping = False
        self.connections = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            with self.lock:
                # Read before what a drop closes is forgotten.
                ends = {end: other for pair in self.pairs for end, other in (pair, pair[::-1])}
            with contextlib.suppress(OSError, ValueError):
                readable, _, _ = select.select([self.listener, *ends], [], [], 0.02)
                for one in readable:
                    if one is self.listener:
                        self.accept()
                    else:
                        self.carry(one, ends[one])

    def accept(self):
        near, _ = self.listener.accept()
        if self.refusing:
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self.target))
        self.connections += 1
        with self.lock:
            self.pairs.append((near, far))

    def carry(self, one, other):
        try:
            data = one.recv(1 << 16)
            other.settimeout(1)
            if data:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self.forget(one)

    def forget(self, one):
        with self.lock:
            for pair in [pair for pair in self.pairs if one in pair]:
                self.pairs.remove(pair)
                for end in pair:
                    end.close()

    def source(self):
        """The port that the latest connection comes from, for the server."""
        with self.lock:
            return self.pairs[-1][1].getsockname()[1] if self.pairs else 0

    def drop(self, reset=False):
        """Ends all connections, with a reset or without."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    if reset:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    else:
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()
        return len(pairs)

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.drop()
        self.listener.close()


def temporary():
    return tempfile.TemporaryDirectory(prefix="gcl-")
