#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""guestcld serves its numbers by HTTP, whatever becomes of the process that does it.

web_faults.py [-v] [CLASS[.test]...]: environment as for faults.py.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import sys
import tempfile
import unittest

import host
from control_test import USER, Control
from faults import Fault, Hoard
from host import Host, alive, wait_until

PROGRAM = host.BUILD / "host-daemon" / "web" / "guestcl-web"
MIB = 1 << 10  # KiB

# In place of guestcl-web: does what it shouldn't, and writes down what it is told.
GREEDY = r"""#!/usr/bin/python3
import json, socket, sys
path = sys.argv[sys.argv.index("--control") + 1]
told = []
with socket.socket(socket.AF_UNIX) as control:
    control.connect(path)
    file = control.makefile("rb")
    for asked in ({"do": "status"}, {"do": "pause", "vm": "%USER%"}, {"do": "end", "vm": "%USER%"},
                  {"do": "set", "vm": "%USER%", "values": {"memory": "1MiB"}}, {"do": "restart"},
                  {"do": "trace", "session": 1}):
        control.sendall(json.dumps(asked).encode() + b"\n")
        told.append(json.loads(file.readline()))
open(path + ".told", "w").write(json.dumps([(one["ok"], one.get("error")) for one in told]))
sys.stdin.read()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served(Host):
    """A daemon whose numbers are served."""

    def __init__(self, *settings, program=PROGRAM):
        self.port = free_port()
        self.token_file = pathlib.Path(tempfile.mkdtemp(prefix="guestcl-web-")) / "token"
        super().__init__(
            f"web-listen=127.0.0.1:{self.port}", f"web-token-file={self.token_file}",
            f"web-program={program}", *settings,
        )  # fmt: skip

    def __exit__(self, *_):
        super().__exit__()
        self.token_file.unlink(missing_ok=True)
        self.token_file.parent.rmdir()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            token = self.token_file.read_text().strip()
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def serves(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/metrics")[0] == 200
        return False

    def web(self):
        """The process."""
        for pid in self.workers():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "guestcl-web\n":
                    return pid
        return None


class Web(Fault):
    def test_numbers(self):
        with Served() as running, Hoard(running) as guest:
            self.assertEqual(guest.take(10 * MIB), 0)
            self.assertIsNotNone(wait_until(running.serves))

            def value(name):
                found = re.search(rf'(?m)^{name}{{id="{USER}".*}} ([0-9.]+)$', running.get("/metrics")[1])
                return float(found[1])

            self.assertIsNotNone(wait_until(lambda: value("guestcl_vm_memory_bytes") == 10 * MIB << 10))
            self.assertEqual(value("guestcl_vm_sessions"), 1)
            self.assertGreater(value("guestcl_vm_calls_total"), 0)
            status = json.loads(running.get("/api/status")[1])
            self.assertEqual(status["sessions"][0]["program"], "hoard")
            self.assertIn("canvas", running.get("/")[1])
            self.assertEqual(guest.end(), 0)
        self.assertFalse(running.serves())

    def test_killed(self):
        """Another one comes, and sessions know nothing of it."""
        with Served() as running, Hoard(running) as guest:
            self.assertIsNotNone(wait_until(running.serves))
            first = running.web()
            os.kill(first, signal.SIGKILL)
            running.expect("guestcl-web ended with signal 9: tried again after 1 s")
            self.assertIsNotNone(wait_until(running.serves))
            self.assertNotEqual(running.web(), first)
            self.assertEqual(guest.take(1 * MIB), 0)

    def test_daemon_killed(self):
        """None is left behind."""
        with Served() as running:
            self.assertIsNotNone(wait_until(running.serves))
            web = running.web()
            os.kill(running.process.pid, signal.SIGKILL)
            self.assertIsNotNone(wait_until(lambda: not alive(web)))
            running.process.wait()

    def test_taken_over(self):
        with Served() as running, Hoard(running) as guest:
            self.assertIsNotNone(wait_until(running.serves))
            first = running.web()
            running.process.send_signal(signal.SIGUSR2)
            running.expect("took over; sessions: 1")
            self.assertIsNotNone(wait_until(lambda: running.serves() and running.web() != first))
            self.assertFalse(alive(first))
            self.assertEqual(guest.take(1 * MIB), 0)

    def test_switched(self):
        """On and off while sessions run, by the configuration alone."""
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            listening = (
                f'web-listen = "127.0.0.1:{port}"\nweb-token-file = "{folder}/token"\n'
                f'web-program = "{PROGRAM}"\n'
            )
            with Host() as running:
                probe = Served()
                probe.token_file.parent.rmdir()
                probe.port, probe.token_file = port, pathlib.Path(folder) / "token"
                for text in (listening, "", listening):
                    running.config.write_text(text)
                    running.process.send_signal(signal.SIGHUP)
                    self.assertIsNotNone(wait_until(lambda text=text: probe.serves() == bool(text)))

    def test_absent(self):
        """Guests are served without it."""
        with Served(program="/nonexistent/guestcl-web") as running:
            running.expect("can't start /nonexistent/guestcl-web")
            self.assert_served(running)

    def test_port_taken(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            late = Served()
            late.settings = (f"web-listen=127.0.0.1:{other.getsockname()[1]}", *late.settings[1:])
            with late:
                late.expect("in use")
                late.expect("tried again after 1 s")
                self.assert_served(late)

    def test_only_reads(self):
        """Were it taken over by whom it talks to, it could change nothing."""
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "greedy"
            program.write_text(GREEDY.replace("%USER%", USER))
            program.chmod(0o755)
            with Served(program=program) as running, Hoard(running) as guest:
                file = running.folder / "control.sock.told"
                self.assertIsNotNone(wait_until(lambda: file.exists() and file.read_text()))
                told = json.loads(file.read_text())
                self.assertEqual(told[0], [True, None])
                self.assertEqual(told[1:], [[False, "guestcl-web only reads"]] * 5)
                self.assertEqual(guest.take(10 * MIB), 0)
                with Control(running) as control:  # others may
                    control.done("pause", vm=USER)
                    control.done("resume", vm=USER)

    @unittest.skipIf("GUESTCL_SANITIZED" in os.environ, "a sanitizer needs rights")
    def test_no_other_process(self):
        """It can't fork, nor execute: its process id is what it is known by."""
        with Served() as running:
            self.assertIsNotNone(wait_until(running.serves))
            lines = pathlib.Path(f"/proc/{running.web()}/status").read_text()
            self.assertRegex(lines, r"(?m)^Seccomp:\s+2$")
            self.assertRegex(lines, r"(?m)^CapEff:\s+0+$")


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
