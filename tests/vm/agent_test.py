# SPDX-License-Identifier: MIT
"""Commands in a guest behave as they do on the host: agent_test.py BUILD."""

import os
import pathlib
import signal
import socket
import sys
import tempfile
import unittest

import agent
import machine

BUILD = pathlib.Path(sys.argv.pop(1))


class Commands(unittest.TestCase):
    """Of one guest, without anything of guestcl's but the image."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="guestcl share ")
        cls.shared = pathlib.Path(cls.folder.name)
        cls.vsock = cls.shared / "vsock"
        cls.vm = machine.Machine(machine.image(BUILD), shares=[cls.shared], vsock=cls.vsock)
        cls.addClassCleanup(cls.folder.cleanup)
        cls.addClassCleanup(cls.vm.destroy)
        cls.vm.start().wait_ready()

    def test_streams_are_apart_and_binary(self):
        data = os.urandom(300_000)
        command = self.vm.popen(["sh", "-c", "tee /dev/stderr"])
        command.write(data)
        command.close_stdin()
        self.assertEqual(command.wait(60), 0)
        self.assertEqual(command.out, data)
        self.assertEqual(command.err, data)

    def test_status(self):
        for script, status in (("exit 0", 0), ("exit 77", 77), ("kill -SEGV $$", -signal.SIGSEGV)):
            with self.subTest(script=script):
                self.assertEqual(self.vm.run(["sh", "-c", script]).returncode, status)

    def test_no_such_program(self):
        with self.assertRaisesRegex(FileNotFoundError, "no-such-program"):
            self.vm.run(["no-such-program"])
        with self.assertRaises(PermissionError):
            self.vm.run(["/etc/passwd"])
        with self.assertRaises(FileNotFoundError):
            self.vm.run(["true"], cwd="/no/such/folder")

    def test_variables_folder_and_user(self):
        done = self.vm.run(["sh", "-c", 'echo "$ONE" "$PWD" $(id -u) $(id -g)'], cwd="/var",
                           env={"ONE": "a b"}, uid=65534, gid=65534)  # fmt: skip
        self.assertEqual(done.stdout, "a b /var 65534 65534\n")

    def test_stdin_that_nobody_reads(self):
        with self.assertRaises(BrokenPipeError):
            command = self.vm.popen(["sleep", "0.5"])
            command.write(bytes(1_000_000))
        self.assertEqual(command.wait(10), 0)

    def test_slow_reader_does_not_hold_others_up(self):
        slow = self.vm.popen(["sleep", "60"])
        slow.write(bytes(agent.STDIN_MAX))
        self.assertEqual(self.vm.run(["cat"], stdin=b"quick").stdout, "quick")
        slow.signal(signal.SIGTERM)
        self.assertEqual(slow.wait(10), -signal.SIGTERM)

    def test_signal_reaches_the_group(self):
        command = self.vm.popen(["sh", "-c", "sleep 60 & sleep 60"])
        command.signal(signal.SIGINT)
        self.assertEqual(command.wait(10), -signal.SIGINT)
        self.assertEqual(self.vm.shell("pgrep -x sleep || echo none"), "none\n")

    def test_terminal(self):
        command = self.vm.popen(["sh", "-c", "test -t 0 && stty size; cat"], terminal=(33, 99))
        command.write(b"word\n\x04")
        self.assertEqual(command.wait(10), 0)
        self.assertIn(b"33 99\r\n", command.out)
        self.assertIn(b"word\r\nword\r\n", command.out.replace(b"33 99\r\n", b""))

    def test_many_at_once(self):
        commands = [self.vm.popen(["sh", "-c", f"seq {n} 2000 | tail -n 1; exit {n}"]) for n in range(20)]
        for number, command in enumerate(commands):
            self.assertEqual(command.wait(60), number)
            self.assertEqual(command.out, b"2000\n")

    def test_folder_of_the_host(self):
        (self.shared / "from-host").write_bytes(b"\0host")
        done = self.vm.run(["sh", "-c", "cat from-host && echo guest >from-guest"], cwd=self.shared)
        self.assertEqual(done.stdout, "\0host")
        self.assertEqual((self.shared / "from-guest").read_text(), "guest\n")

    def test_vsock(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self.vsock}_17228")
            listener.listen()
            script = (
                "import socket; s = socket.socket(socket.AF_VSOCK); s.connect((2, 17228));"
                "s.sendall(s.recv(100) * 2)"
            )
            command = self.vm.popen(["python3", "-c", script])
            listener.settimeout(60)
            with listener.accept()[0] as connection:
                connection.sendall(b"word ")
                self.assertEqual(connection.recv(100), b"word word ")
            self.assertEqual(command.wait(60), 0)

    def test_zz_reboot(self):
        """The last one, since it takes the others' guest away."""
        boot = "cat /proc/sys/kernel/random/boot_id"
        before = self.vm.shell(boot)
        command = self.vm.popen(["sh", "-c", "busybox reboot -f; sleep 60"])
        self.vm.wait_ready()
        with self.assertRaises(agent.Lost):
            command.wait(1)
        self.assertNotEqual(self.vm.shell(boot), before)
        command = self.vm.popen(["sleep", "60"])
        self.vm.kill()
        with self.assertRaises(agent.Lost):
            command.wait(10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
