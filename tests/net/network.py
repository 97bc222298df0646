# SPDX-License-Identifier: MIT
"""Two network namespaces, and a link between them that is as long as told.

The kernel's netem would do as well, where there is one; link.c needs no more than TUN devices.
"""

import contextlib
import os
import pathlib
import signal
import subprocess

ADDRESSES = ("10.99.0.1", "10.99.0.2")
MTU = 9000


class Unavailable(Exception):
    """This machine can't have such a network; the text says why."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Network:
    def __init__(self, program, delay_us, mbit=0):
        """@delay_us: one way; @mbit: 0 for as fast as it goes."""
        self.holders = []
        self.link = None
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        if not pathlib.Path("/dev/net/tun").exists():
            raise Unavailable("there is no /dev/net/tun")
        try:
            self.start(program, delay_us, mbit)
        except (OSError, Unavailable):
            self.stop()
            raise

    def start(self, program, delay_us, mbit):
        self.spaces_make()
        self.wire_make(program, delay_us, mbit)
        self.addresses_set()

    def spaces_make(self):
        for _ in ADDRESSES:
            holder = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            self.holders.append(holder)
            if holder.stdout.readline() != "ready\n":
                raise Unavailable(f"unshare --net: {holder.stderr.read().strip()}")

    def wire_make(self, program, delay_us, mbit):
        pids = [str(holder.pid) for holder in self.holders]
        self.link = subprocess.Popen(
            [program, *pids, str(delay_us), str(mbit)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self.link.stdout.readline() != "ready\n":
            raise Unavailable(self.link.stderr.read().strip())

    def addresses_set(self):
        for index, address in enumerate(ADDRESSES):
            run(*self.inside(index), "ip", "link", "set", "lo", "up")
            run(*self.inside(index), "ip", "address", "add", f"{address}/24", "dev", "link0")
            run(*self.inside(index), "ip", "link", "set", "link0", "up", "mtu", str(MTU))

    def inside(self, index):
        """What to put before a command that is to run in one of the two."""
        return ["nsenter", f"--target={self.holders[index].pid}", "--net"]

    def cut(self):
        """Or mend it."""
        self.link.send_signal(signal.SIGUSR1)

    def stop(self):
        for process in [self.link, *self.holders]:
            if process:
                process.kill()
                process.wait()
                with contextlib.suppress(OSError):
                    process.stdout.close()
                    process.stderr.close()
