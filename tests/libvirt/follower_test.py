# SPDX-License-Identifier: MIT
"""What guestcld makes of the lines of the program that follows libvirt: follower_test.py BUILD.

The program is a pretender that copies what the test writes into a pipe.
"""

import contextlib
import os
import pathlib
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "vm"))
import host  # noqa: E402

BUILD = pathlib.Path(sys.argv.pop(1))
SECONDS = 60
ONE, TWO, THREE = (f"5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e0{number}" for number in (1, 2, 3))

PRETENDER = """#!/bin/sh
echo "$@" >>"$0.arguments"
exec cat "$0.fifo"
"""


class Lines(unittest.TestCase):
    def setUp(self):
        self.host = host.Host(BUILD, vms=[THREE])
        self.program = self.host.daemon.directory / "pretender"
        self.program.write_text(PRETENDER)
        self.program.chmod(0o755)
        os.mkfifo(f"{self.program}.fifo")
        self.config = self.host.daemon.directory / "guestcld.conf"
        self.sections = self.config.read_text()
        self.configure("some://where")
        self.enterContext(self.host)
        self.pipe = None
        self.pretender = None
        self.addCleanup(self.end)

    def configure(self, uri):
        self.config.write_text(
            f'{self.sections}libvirt = "{uri}"\nlibvirt-program = "{self.program}"\n'
        )

    def follower(self):
        """Waits for the next pretender. One that is being killed might still take what it is told."""
        self.end()
        last = self.pretender
        self.wait("no other pretender", lambda: self.pretenders() - {last} and last not in self.pretenders())
        self.pretender = self.pretenders().pop()
        self.pipe = open(f"{self.program}.fifo", "w", encoding="utf-8")

    def end(self):
        if self.pipe:
            self.pipe.close()
        self.pipe = None

    def say(self, *lines):
        for line in lines:
            self.pipe.write(f"{line}\n")
        self.pipe.flush()

    def wait(self, what, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                self.fail(f"{what} within {SECONDS} s:\n{self.host.log_text()}")
            time.sleep(0.01)

    def wait_log(self, text, times=1):
        self.wait(f'no "{text}"', lambda: len(re.findall(re.escape(text), self.host.log_text())) >= times)

    def sockets(self):
        return {path.name.removesuffix(".sock").removeprefix("libvirt-") for path in self.host.vm_dir.glob("*.sock")}

    def wait_sockets(self, *wanted):
        wanted = {*wanted, THREE}
        self.wait(f"not {wanted}", lambda: self.sockets() == wanted)

    def test_coming_and_going(self):
        self.follower()
        self.wait_sockets()
        self.say(f"vm {ONE} web1 libvirt-{ONE}.sock memory=4294967296 weight=2", "listed")
        self.wait_log("VM web1: device memory 4096 MiB, weight 2")
        self.wait_log("following libvirt's domains at some://where; attached: 1")
        self.wait_sockets(ONE)
        self.say(f"vm {ONE} other%20name libvirt-{ONE}.sock weight=3", f"vm {TWO} two -")
        self.wait_log("VM web1: is called other name now")
        self.wait_log("VM other name: device memory without limit, weight 3")
        self.wait_sockets(ONE, TWO)
        self.say(f"stopped {ONE}", f"stopped {ONE[:-1]}9")
        self.wait_log("VM other name: has stopped; sessions: 0")
        self.say(f"gone {ONE}", f"gone {ONE}")
        self.wait_sockets(TWO)
        arguments = pathlib.Path(f"{self.program}.arguments").read_text()
        self.assertEqual(arguments, f"follow --connect some://where --vm-dir {self.host.vm_dir}\n")

    def test_lines_that_are_none(self):
        self.follower()
        self.say("nonsense", f"vm {ONE} web1 ../libvirt-{ONE}.sock", "vm " + 5000 * "x" + f" gone {ONE}")
        self.say(f"vm {ONE} web1 libvirt-{ONE}.sock")
        self.wait_sockets(ONE)
        self.wait_log('guestcl-libvirt said "nonsense", which is left out')
        self.wait_log("guestcl-libvirt said a line that is too long")
        line = f"vm {TWO} two libvirt-{TWO}.sock\n"
        for part in (line[:1], line[1:50], line[50:]):
            self.pipe.write(part)
            self.pipe.flush()
            time.sleep(0.02)
        self.wait_sockets(ONE, TWO)

    def test_a_new_follower(self):
        """VMs stay while there is none; those that it doesn't list are gone."""
        self.follower()
        self.say(f"vm {ONE} web1 libvirt-{ONE}.sock", f"vm {TWO} two libvirt-{TWO}.sock", "listed")
        self.wait_sockets(ONE, TWO)
        self.end()
        self.wait_log("guestcl-libvirt ended with status 0: tried again after 1 s")
        self.follower()
        self.say(f"vm {TWO} two libvirt-{TWO}.sock")
        time.sleep(0.1)
        self.assertEqual(self.sockets(), {ONE, TWO, THREE})
        self.say("listed")
        self.wait_sockets(TWO)
        os.kill(self.pretender, signal.SIGKILL)
        self.wait_log("guestcl-libvirt ended with signal 9")
        self.wait_sockets(TWO)

    def pretenders(self):
        children = pathlib.Path(f"/proc/{self.host.pid}/task/{self.host.pid}/children").read_text()
        found = set()
        for pid in map(int, children.split()):
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "cat":
                    found.add(pid)
        return found

    def test_the_configuration_is_stronger(self):
        self.follower()
        self.say(f"vm {THREE} mine libvirt-{THREE}.sock memory=1", "listed", f"gone {THREE}")
        self.wait_log(f"VM {THREE}: guestcld.conf says what it may, not libvirt")
        self.say(f"vm {ONE} web1 libvirt-{ONE}.sock")
        self.wait_sockets(ONE)

    def test_configured_anew(self):
        self.follower()
        self.say(f"vm {ONE} web1 libvirt-{ONE}.sock", "listed")
        self.wait_sockets(ONE)
        self.end()
        self.configure("some://where/else")
        os.kill(self.host.pid, signal.SIGHUP)
        self.wait_sockets()
        self.follower()
        self.say(f"vm {TWO} two libvirt-{TWO}.sock", "listed")
        self.wait_log("following libvirt's domains at some://where/else; attached: 1")
        self.configure("")
        os.kill(self.host.pid, signal.SIGHUP)
        self.wait_sockets()
        self.wait("a pretender", lambda: not self.pretenders())

    def test_no_program(self):
        self.follower()
        self.program.rename(f"{self.program}.gone")
        self.end()
        self.wait_log(f"can't start {self.program}: No such file or directory")
        pathlib.Path(f"{self.program}.gone").rename(self.program)
        self.follower()
        self.say(f"vm {ONE} web1 libvirt-{ONE}.sock", "listed")
        self.wait_sockets(ONE)


if __name__ == "__main__":
    unittest.main()
