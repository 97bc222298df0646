# SPDX-License-Identifier: MIT
"""./run --vm from outside: streams, folders, status and Ctrl-C: run_test.py BUILD [TEST...]."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import machine

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
RUN = [str(machine.HERE / "run-vm"), "--build", str(BUILD)]
PATIENCE = 120


class Run(unittest.TestCase):
    def setUp(self):
        machine.image(BUILD)
        folder = tempfile.TemporaryDirectory(prefix="guestcl run ")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *words):
        return subprocess.Popen(
            [*RUN, *map(str, words)], cwd=self.folder, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def test_streams_folder_and_status(self):
        data = os.urandom(100_000)
        (self.folder / "in").write_bytes(data)
        script = "cat; cat in >&2; cp in out; clinfo --raw >list; exit 77"
        process = self.start("sh", "-c", script)
        out, err = process.communicate(data[::-1], PATIENCE)
        self.assertEqual(process.returncode, 77, err[:2000])
        self.assertEqual(out, data[::-1])
        self.assertEqual(err, data)
        self.assertEqual((self.folder / "out").read_bytes(), data)
        self.assertIn("(guestcl ", (self.folder / "list").read_text())

    def test_program_of_the_folder(self):
        """And a death by signal."""
        program = self.folder / "program"
        program.write_text("#!/bin/sh\necho here\nkill -SEGV $$\n")
        program.chmod(0o755)
        process = self.start("./program")
        out, err = process.communicate(b"", PATIENCE)
        self.assertEqual((process.returncode, out, err), (-signal.SIGSEGV, b"here\n", b""))

    def test_no_such_program(self):
        process = self.start("no-such-program")
        out, err = process.communicate(b"", PATIENCE)
        self.assertEqual((process.returncode, out), (127, b""))
        self.assertIn(b"no-such-program", err)

    def test_interrupt(self):
        """Ctrl-C ends the program, and everything with it."""
        process = self.start("sh", "-c", "echo begun; exec sleep 1000")
        self.assertEqual(process.stdout.readline(), b"begun\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_interrupt_that_the_program_ignores(self):
        process = self.start("sh", "-c", "trap 'echo no' INT; echo begun; while :; do sleep 1; done")
        self.assertEqual(process.stdout.readline(), b"begun\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.stdout.readline(), b"no\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, -signal.SIGINT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
