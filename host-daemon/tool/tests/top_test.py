# SPDX-License-Identifier: MIT
"""guestcl top on terminals and in pipes, of a control socket that says anything: top_test.py GUESTCL."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

import fake_control
from fake_control import device, session, status, vm

try:
    import pyte
except ImportError:
    print("python3-pyte is not installed")
    sys.exit(77)

GUESTCL = sys.argv[1]
PATIENCE = 30
NASTY = "a\x1b[2J\x07\x9b31m\r\nb\u202ec\x7f"


class Terminal:
    """guestcl top in a terminal of that size; text() is what a user sees."""

    def __init__(self, path, *words, rows=30, columns=130, term="xterm"):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = pty.openpty()
        self.size(rows, columns, tell=False)
        self.process = subprocess.Popen(
            [GUESTCL, "top", *words],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "GUESTCL_CONTROL": str(path), "TERM": term, "LC_ALL": "C.UTF-8"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    def size(self, rows, columns, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += data
        self.stream.feed(data)
        return bool(data)

    def text(self):
        return "\n".join(self.screen.display)

    def key(self, keys):
        os.write(self.master, keys.encode())

    def expect(self, pattern):
        until = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text()):
            if time.monotonic() > until or not self.read(0.1):
                raise AssertionError(f"never {pattern}:\n{self.text()}")
        return self.text()

    def end(self):
        self.key("q")
        while self.read(PATIENCE):
            pass
        return self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


class Numbers:
    """Two VMs whose counters grow at a known rate."""

    def __init__(self):
        self.start = time.monotonic_ns()
        self.paused = set()

    def __call__(self, asked):
        if asked["do"] in {"pause", "resume"}:
            (self.paused.add if asked["do"] == "pause" else self.paused.discard)(asked["vm"])
            return {"ok": True}
        now = time.monotonic_ns()
        busy = now - self.start
        state = {name: "paused" if f"vm-{name}" in self.paused else "running" for name in ("anna", "bert")}
        return status(
            time_ns=now,
            devices=[device(0, memory=3 << 30, busy=busy, waiting=6)],
            vms=[
                vm("anna", state["anna"], memory=2 << 30, busy=busy // 4, traffic=busy // 1000, memory_limit=4 << 30),
                vm("bert", state["bert"], memory=1 << 30, busy=busy // 2, traffic=busy // 500),
            ],
            sessions=[session(7, "anna", memory=2 << 30, busy=busy // 4, calls=busy // 10**6)],
        )


def row_of(text, name):
    found = re.search(rf"(?m)^{name}\s.*$", text)
    assert found, f"no row of {name}:\n{text}"
    return found[0].split()


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def server(self, answer):
        return fake_control.Server(self.folder, answer)

    def batch(self, path, *words, check=0):
        done = subprocess.run(
            [GUESTCL, "top", "-i", "0.05", *words],
            env={**os.environ, "GUESTCL_CONTROL": str(path), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, check, done.stderr + done.stdout)
        return done


class Screen(Case):
    def test_tables(self):
        with self.server(Numbers()) as server, Terminal(server.path, "-i", "0.3") as terminal:
            for row in r"0 +gpu +100%", "bert .*50.0%", "anna .*25.0%", "7 .*25.0%.* prog *$":
                text = terminal.expect(rf"(?m)^{row}")
            self.assertIn("guestcld 0.0.fake, process 1234, up 1m01s", text)
            self.assertEqual(row_of(text, "0")[4:7], ["6", "3.0G", "8.0G"])
            row = row_of(text, "anna")
            self.assertEqual(row[1], "running")
            self.assertEqual(row[4:6], ["2.0G", "4.0G"])
            self.assertEqual(row[7:9], ["25.0%", "12.5%"])
            row = row_of(text, "bert")
            self.assertEqual(row[5], "-")
            self.assertRegex(text, r"(?m)^7 +vm-anna +running .* prog *$")
            self.assertEqual(terminal.end(), 0)
            self.assertIn(b"\x1b[?1049l", terminal.raw)  # the terminal as it was

    def test_sort(self):
        with self.server(Numbers()) as server, Terminal(server.path, "-i", "0.2") as terminal:
            for key, first in ("m", "anna"), ("t", "bert"), ("b", "bert"), ("n", "anna"), ("t", "bert"):
                terminal.key(key)
                second = "anna" if first == "bert" else "bert"
                terminal.expect(rf"(?ms)^{first} .*^{second} ")
            self.assertEqual(terminal.end(), 0)

    def test_pause(self):
        numbers = Numbers()
        with self.server(numbers) as server, Terminal(server.path, "-i", "0.2") as terminal:
            terminal.expect("bert")
            terminal.key("p")
            terminal.expect("select a VM first")
            terminal.key("n")
            terminal.key("\x1bOB")  # down: anna
            terminal.key("\x1bOB")  # bert
            terminal.key("p")
            terminal.expect(r"(?m)^bert +paused")
            self.assertEqual(numbers.paused, {"vm-bert"})
            terminal.key("p")
            terminal.expect(r"(?m)^bert +running")
            self.assertEqual(terminal.end(), 0)

    def test_help(self):
        with self.server(Numbers()) as server, Terminal(server.path) as terminal:
            terminal.key("h")
            terminal.expect("pause the selected VM")
            terminal.key(" ")
            terminal.expect("anna")
            self.assertEqual(terminal.end(), 0)

    def test_sizes(self):
        with self.server(Numbers()) as server, Terminal(server.path, "-i", "0.1") as terminal:
            terminal.expect("anna")
            for rows, columns in (1, 1), (2, 5), (5, 20), (60, 300), (1, 300), (60, 1), (30, 130):
                terminal.size(rows, columns)
                until = time.monotonic() + 0.3
                while time.monotonic() < until:
                    terminal.read(0.05)
            self.assertIsNone(terminal.process.poll())
            terminal.expect("(?m)^anna .*\n(.*\n)*7 .*prog")
            self.assertEqual(terminal.end(), 0)

    def test_scroll(self):
        many = status(vms=[vm(f"vm{i:03}") for i in range(200)])
        with self.server(lambda _: many) as server, Terminal(server.path, "-i", "0.2") as terminal:
            terminal.key("n")
            terminal.expect("vm000")
            for _ in range(20):
                terminal.key("\x1b[6~")
            self.assertNotIn("vm000", terminal.expect("vm199"))
            terminal.key("\x1bOH")
            terminal.expect("vm000")
            self.assertEqual(terminal.end(), 0)

    def test_nasty_names(self):
        """What a guest calls itself moves no cursor."""
        answer = status(
            devices=[device(0, name=NASTY)],
            vms=[vm(NASTY), vm("wide\u65e5\u672c" * 40)],
            sessions=[session(1, "x", program=NASTY)],
        )
        with self.server(lambda _: answer) as server, Terminal(server.path, "-i", "0.1") as terminal:
            text = terminal.expect(r"a\?\[2J\?\?31m\?\?b\?c\?")
            self.assertIn("guestcld 0.0.fake", text)
            terminal.read(0.3)
            self.assertEqual(terminal.end(), 0)
            for sequence in b"\x1b[2J\x07", b"\xc2\x9b", "\u202e".encode():
                self.assertNotIn(sequence, terminal.raw)

    def test_daemon_restarts(self):
        server = self.server(Numbers())
        with server, Terminal(server.path, "-i", "0.1") as terminal:
            terminal.expect("anna")
            server.__exit__()
            terminal.expect("can't reach guestcld|ended the connection")
            self.assertIn("anna", terminal.text())
            with self.server(lambda _: status(pid=99, vms=[vm("carl")])):
                terminal.expect("(?s)process 99.*carl")
                self.assertEqual(terminal.end(), 0)
            server = self.server(Numbers())
        server.server.server_close()

    def test_dumb(self):
        with self.server(Numbers()) as server:
            for term in "dumb", "", "no-such-terminal":
                with Terminal(server.path, "-n", "1", term=term) as terminal:
                    terminal.expect("anna")
                    while terminal.read(PATIENCE):
                        pass
                    self.assertEqual(terminal.process.wait(PATIENCE), 0)
                    self.assertNotIn(b"\x1b", terminal.raw)

    def test_hangup(self):
        """It ends with its terminal."""
        with self.server(Numbers()) as server:
            terminal = Terminal(server.path, "-i", "0.1")
            terminal.expect("anna")
            os.close(terminal.master)
            terminal.process.wait(PATIENCE)


class Batch(Case):
    def test_text(self):
        with self.server(Numbers()) as server:
            text = self.batch(server.path, "-n", "3").stdout
            self.assertEqual(len(re.findall("(?m)^anna ", text)), 3)
            self.assertIn("-", row_of(text, "anna")[6:])  # the first has no rates

    def test_json(self):
        with self.server(Numbers()) as server:
            lines = self.batch(server.path, "--json", "-n", "4").stdout.splitlines()
        answers = [json.loads(line) for line in lines]
        self.assertEqual(len(answers), 4)
        self.assertNotIn("per_second", answers[0]["vms"][0])
        for answer in answers[1:]:
            rates = {one["name"]: one["per_second"] for one in answer["vms"]}
            self.assertAlmostEqual(rates["anna"]["device_time_percent"], 25, delta=0.1)
            self.assertAlmostEqual(rates["bert"]["device_time_percent"], 50, delta=0.1)
            self.assertAlmostEqual(rates["bert"]["bytes_from_guest"], 2e6, delta=1e4)
            self.assertAlmostEqual(answer["sessions"][0]["per_second"]["calls"], 1000, delta=30)

    def test_odd_answers(self):
        """Counters that go back, clocks that stand still, and what is no status at all."""
        big = 2**64 - 1
        odd = [
            status(time_ns=1000, vms=[vm("a", busy=10**12, calls=10**9)]),
            status(time_ns=1000, vms=[vm("a", busy=10**13)]),
            status(time_ns=500, vms=[vm("a", busy=5)]),
            status(time_ns=10**9, vms=[vm("a", busy=1)]),
            status(time_ns=10**9 + 1, vms=[vm("a", busy=big, calls=big, traffic=big, memory=big)]),
            status(time_ns=big, vms=[vm("a", busy=0)]),
            status(time_ns=2 * 10**9, pid=2, vms=[vm("a", busy=big)]),
            {"ok": True}, {"ok": True, "vms": 7, "devices": {}, "sessions": [1, None, [], {}], "daemon": []},
            {"ok": True, "time_ns": "x", "vms": [{"id": {}, "name": ["\x1b"], "limits": 3, "devices": [7, {}]}]},
            {"ok": True, "time_ns": -5, "vms": [{"memory_bytes": -1, "calls": 1e300, "sessions": None}]},
            {"ok": True, "sessions": [{"age_s": -1}, {"age_s": 1e400}, {"age_s": "x"}]},
        ]  # fmt: skip
        at = iter(odd * 3)
        for words in ([], ["--json"]):
            at = iter(odd * 3)
            with self.server(lambda _, at=at: next(at)) as server:
                text = self.batch(server.path, "-n", str(len(odd) * 3), *words).stdout
            for wrong in "inf", "nan", "NaN", "\x1b":
                self.assertNotIn(wrong, text.replace("Infinity", "") if words else text)
            self.assertNotRegex(text, r"-\d+(\.\d+)?[%KMG]")
            if words:
                for line in text.splitlines():
                    vms = json.loads(line).get("vms")
                    for item in vms if isinstance(vms, list) else []:
                        for rate in item.get("per_second", {}).values():
                            self.assertGreaterEqual(rate, 0)

    def test_no_daemon(self):
        done = self.batch(self.folder + "/nothing", "-n", "1", check=69)
        self.assertIn("is it running", done.stderr)
        for answer in (b"rubbish\n", b"[]\n", b"{}\n", b'{"ok":', None):
            with self.server(lambda _, answer=answer: answer) as server:
                done = self.batch(server.path, "-n", "1", check=69)
                self.assertRegex(done.stderr, "^guestcl: .*\n$")

    def test_comes_back(self):
        """A pause between two answers costs a line on standard error."""
        answers = iter([status(vms=[vm("a")]), None, None, status(vms=[vm("b")], pid=8)])
        with self.server(lambda _: next(answers)) as server:
            done = self.batch(server.path, "-n", "3")
        self.assertIn("without an answer", done.stderr)
        self.assertRegex(done.stdout, "(?s)\na .*\nb ")

    def test_wrong_options(self):
        for words in (["-i", "0"], ["-i", "x"], ["-i", "nan"], ["-n", "0"], ["-n", "-1"], ["vm"]):
            done = subprocess.run([GUESTCL, "top", *words], capture_output=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 64, words)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
