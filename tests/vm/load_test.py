# SPDX-License-Identifier: MIT
"""Three VMs that share the host, whose workers and programs are killed while new daemons take over.

load_test.py BUILD: GUESTCL_LOAD_SECONDS says how long (12), GUESTCL_SEED repeats a run.
"""

import os
import random
import signal
import time

import case

SECONDS = float(os.environ.get("GUESTCL_LOAD_SECONDS", "12"))
SEED = int(os.environ.get("GUESTCL_SEED", os.getpid()))
TAKEOVER_SECONDS = 5


class Load(case.VmCase):
    options = case.arguments()
    names = ("one", "two", "three")
    settings = ("user-session-rate=0",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vms = [cls.vm(name, wait=False) for name in cls.names]
        for vm in cls.vms:
            vm.wait_ready()
            vm.put(cls.options.build / "tests" / "faults" / "guest")

    def start(self, vm):
        program = case.Program(vm, "guest", "work")
        program.expect("prepared")
        return program

    def worker_of(self, vm):
        """That of the session that began last in the VM."""
        return max(self.host.sessions(f"VM {vm.name},"))[2]

    def harm(self, vm, program, chance):
        if chance.random() < 0.5:
            program.kill()
            return
        os.kill(self.worker_of(vm), signal.SIGKILL)
        case.wait_until(lambda: program.ask() < 0, "the program hears of its worker's end")
        self.assertEqual(program.end(), 0)

    def test_all(self):
        print(f"seed {SEED} (GUESTCL_SEED repeats it)")
        chance = random.Random(SEED)
        before = self.idle()
        # One that goes on all the time, and one that may be harmed: it began after the other.
        lasting = [self.start(vm) for vm in self.vms]
        others = [self.start(vm) for vm in self.vms]
        end, next_takeover = time.monotonic() + SECONDS, time.monotonic() + TAKEOVER_SECONDS
        rounds = takeovers = harmed = 0
        while time.monotonic() < end:
            for program in lasting + others:
                program.say()
            for program in lasting + others:
                self.assertEqual(int(program.expect("worked").split()[1]), 0)
            rounds += 1
            if chance.random() < 0.2:
                place = chance.randrange(len(self.vms))
                self.harm(self.vms[place], others[place], chance)
                others[place] = self.start(self.vms[place])
                harmed += 1
            if time.monotonic() > next_takeover:
                self.host.take_over()
                takeovers += 1
                next_takeover += TAKEOVER_SECONDS
        print(f"{rounds} rounds of {2 * len(self.vms)}, {harmed} harmed, {takeovers} new daemons")
        for program in lasting + others:
            self.assertEqual(program.end(), 0)
        self.assertEqual(len(self.idle()), len(before))
        for vm in self.vms:
            self.assertEqual(self.driver_sessions(vm), [])


if __name__ == "__main__":
    case.main()
