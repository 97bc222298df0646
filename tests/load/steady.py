# SPDX-License-Identifier: MIT
"""VMs that keep the device busy beside whatever load there is, and whether equal ones get the same of it."""

import contextlib
import statistics
import time

from host import Guest

# (rounds of arithmetic, commands under way): many kernels of about 0.1 ms, and few of 10. On a busy machine
# those of short ones want less than their share, since nothing is on the device while their programs and
# workers wait for a CPU. So there are two VMs of each kind, and what they get is compared with each other.
KINDS = [("3000", "64"), ("300000", "2")] * 2

SECTION = 'vm "{0}" {{ local-socket = "@folder@/{0}.sock" memory = 64MiB }}\n'

WINDOWS_S = (2, 10)

# Nobody measures before all of them run.
SETTLE_S = 1


def jain(shares):
    """Jain's index: 1 if all have the same, 1/n if one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


class Steady:
    """VMs of equal weight, one for each of KINDS, and all VMs' device time while they run."""

    names = [f"steady{number}" for number in range(len(KINDS))]
    config = "".join(SECTION.format(name) for name in names)

    def __init__(self, running, seconds):
        self.running = running
        self.seconds = seconds + SETTLE_S
        self.samples = []  # (s, {VM: device time in ns})
        self.back = []  # whose device time became less

    def start(self, name, loops, depth):
        socket = self.running.folder / f"{name}.sock"
        return Guest(self.running, "load", "steady", loops, depth, str(self.seconds), socket=socket)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            named = zip(self.names, KINDS)
            self.guests = [stack.enter_context(self.start(name, *kind)) for name, kind in named]
            for guest in self.guests:
                guest.expect("ready")
            self.stack = stack.pop_all()
        for guest in self.guests:
            guest.say("go")
        self.begin = time.monotonic() + SETTLE_S
        return self

    def __exit__(self, *_):
        self.stack.close()

    def look(self, status):
        """Called again and again with what the daemon says."""
        now = {vm["name"]: vm["device_time_ns"] for vm in status["vms"]}
        if self.samples:
            before = self.samples[-1][1]
            self.back += [name for name, used in before.items() if now.get(name, 0) < used]
        self.samples.append((time.monotonic(), now))

    def finish(self):
        """Waits for their ends. Return: what went wrong."""
        faults = []
        for name, guest in zip(self.names, self.guests):
            while (line := guest.next()) and line.text not in ("end", None):
                pass
            status = guest.end()
            if status != 0 or not line or line.text != "end":
                faults.append(f"{name}: {status} {guest.errors[-4:]}")
        return faults

    # Figures.

    def used(self, first, last):
        """What each got between two samples, in seconds."""
        return [(last[1][name] - first[1][name]) / 1e9 for name in self.names]

    def windows(self, seconds):
        """Jain's index of each window; they begin with every sample."""
        for at, first in enumerate(self.measured):
            last = next((one for one in self.measured[at:] if one[0] >= first[0] + seconds), None)
            if last is None:
                return
            yield jain(self.used(first, last))

    def judge(self, seconds):
        """Prints figures of the seconds in which all were busy.

        Return: the smallest part that one had of what another of its kind had.
        """
        end = self.begin + seconds - SETTLE_S
        self.measured = [one for one in self.samples if self.begin <= one[0] <= end]
        first, last = self.measured[0], self.measured[-1]
        used = self.used(first, last)
        others = [last[1][name] - first[1].get(name, 0) for name in last[1] if name not in self.names]
        index = jain(used)
        print(f"{len(used)} steady VMs for {last[0] - first[0]:.0f} s: Jain's index of device time {index:.4f}; "
              f"smallest/largest {min(used) / max(used):.3f} ({' '.join(f'{one:.2f}' for one in used)} s); "
              f"another VM had {max(others) / 1e9:.2f} s at most")  # fmt: skip
        for length in WINDOWS_S:
            if found := list(self.windows(length)):
                print(f"windows of {length} s: worst {min(found):.4f}, median {statistics.median(found):.4f}")
        return min(self.part(used, kind) for kind in set(KINDS))

    @staticmethod
    def part(used, of):
        same = [time for time, kind in zip(used, KINDS) if kind == of]
        return min(same) / max(same) if any(same) else 0.0
