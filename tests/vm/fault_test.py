# SPDX-License-Identifier: MIT
"""Programs, guests, VMs and daemons that die, with another VM beside that must not notice:
fault_test.py BUILD.

After each: workers are gone, the daemon has nothing more open than before, the guest's driver holds
no memory, and whoever is left was told in words.
"""

import os
import signal

import agent
import case


class Fault(case.VmCase):
    options = case.arguments()
    names = ("one", "two")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.faults = cls.options.build / "tests" / "faults"
        cls.one, cls.two = cls.boot("one", "two")
        cls.witness = cls.start(cls.two)
        cls.addClassCleanup(cls.two.destroy)

    @classmethod
    def boot(cls, *names):
        """VMs without folders of the host's, which would have to be given up when they die."""
        vms = [cls.vm(name, shares=[], wait=False) for name in names]
        for vm in vms:
            vm.wait_ready()
            for name in ("guest", "blocked"):
                vm.put(cls.faults / name)
        return vms

    @classmethod
    def start(cls, vm, *words):
        program = case.Program(vm, *(words or ("guest", "work")))
        program.expect("entering" if words and words[0] == "blocked" else "prepared")
        return program

    def setUp(self):
        self.assertEqual(self.witness.ask(), 0)
        self.before = self.quiet()

    def quiet(self):
        """What the daemon has open when only the witness is served."""
        case.wait_until(lambda: not self.host.sessions("VM one,"), "the end of one's sessions")
        case.wait_until(self.host.settled, "the spare workers")
        return self.host.descriptors()

    def check_after(self):
        """Nothing is left, the other VM goes on, and so does this one."""
        self.assertEqual(self.witness.ask(), 0)
        program = self.start(self.one)
        self.assertEqual(program.ask(), 0)
        self.assertEqual(program.end(), 0)
        case.wait_until(lambda: self.quiet() == self.before, self.host.descriptors)
        self.assertEqual(self.driver_sessions(self.one), [])

    def check_killed(self, *words):
        program = self.start(self.one, *words)
        self.assertEqual(program.kill(), -signal.SIGKILL)
        self.check_after()

    def check_told(self, program, reason):
        """It hears why its session is over, in one line, and its calls fail."""
        self.assertEqual(int(program.expect("returned").split()[2]), -2)
        self.assertEqual(program.end(), 0)
        said = [line for line in program.errors.splitlines() if "guestcl" in line]
        self.assertEqual(len(said), 1, program.errors)
        self.assertIn(reason, said[0])
        self.check_after()

    def test_ended(self):
        """By the operator, whatever it waits for."""
        program = self.start(self.one, "blocked", "finish", "kernel")
        self.assertEqual(self.host.control(do="end", vm="one")["ended"], 1)
        self.check_told(program, "the operator of the host has ended it")

    def test_kernel_time(self):
        """By the VM's own limit."""
        limit = {"kernel-time": "500ms"}
        self.assertTrue(self.host.control(do="set", vm="one", values=limit)["ok"])
        program = self.start(self.one, "blocked", "finish", "kernel")
        self.check_told(program, "kernel-time, 500 ms")
        self.host.control(do="set", vm="one", values={"kernel-time": "default"})

    def test_own_sessions_alone(self):
        """Each VM has its own: in the daemon's log, and in what its driver knows."""
        program = self.start(self.one)
        one, two = self.host.sessions("VM one,"), self.host.sessions("VM two,")
        self.assertEqual((len(one), len(two)), (1, 1))
        self.assertNotEqual(one[0][2], two[0][2])
        for vm in (self.one, self.two):
            self.assertEqual(len(self.driver_sessions(vm)), 1)
        caches = {str(path.parent.name) for path in self.host.daemon.cache.glob("*/*")}
        self.assertLessEqual({"vm-one", "vm-two"}, caches)
        for _ in range(20):
            program.say()
            self.witness.say()
        for _ in range(20):
            self.assertEqual(program.expect("worked"), "worked 0")
            self.assertEqual(self.witness.expect("worked"), "worked 0")
        self.assertEqual(program.end(), 0)

    def test_program_killed(self):
        self.check_killed("guest", "work")

    def test_program_killed_while_a_kernel_runs(self):
        self.check_killed("guest", "spin")

    def test_program_killed_with_a_full_ring(self):
        self.check_killed("blocked", "many", "user")

    def test_kernel_that_crashes(self):
        """The worker dies: the program hears of it, in time and as an error of OpenCL's."""
        program = case.Program(self.one, "guest", "wild")
        program.expect("entering")
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertLess(int(program.expect("later").split()[2]), 0)
        program.expect("ends")
        self.assertEqual(program.end(), 0)
        self.expect_log(r"VM one,.*was ended by signal")
        self.check_after()

    def test_worker_killed(self):
        program = self.start(self.one, "blocked", "finish", "user")
        os.kill(self.host.sessions("VM one,")[0][2], signal.SIGKILL)
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertEqual(program.end(), 0)
        self.check_after()

    def test_worker_killed_with_a_buffer_mapped(self):
        """The memory goes, but its addresses stay good: the program hears of it from OpenCL."""
        program = self.start(self.one, "guest", "mapped")
        os.kill(self.host.sessions("VM one,")[0][2], signal.SIGKILL)
        program.say()
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertEqual(program.expect("touched"), "touched 7")
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertEqual(program.end(), 0)
        self.check_after()

    def test_guest_panics(self):
        self.start(self.one)
        self.one.popen(["sh", "-c", "echo c >/proc/sysrq-trigger"])
        self.one.wait_ready()
        self.assertIn("sysrq triggered crash", self.one.console_text())
        for name in ("guest", "blocked"):
            self.one.put(self.faults / name)
        self.check_after()

    def test_guest_panics_and_its_vm_ends(self):
        self.start(self.one)
        self.one.popen(["sh", "-c", "echo c >/proc/sysrq-trigger"])
        case.wait_until(lambda: "sysrq triggered crash" in self.one.console_text(), "the panic")
        self.check_vm_killed()

    def test_vm_killed(self):
        self.start(self.one)
        self.start(self.one, "guest", "spin")
        self.check_vm_killed()

    def check_vm_killed(self):
        self.one.kill()
        self.quiet()
        case.wait_until(
            lambda: len(self.host.memories()) == 1, lambda: f"memory given up: {self.host.memories()}"
        )
        self.assertEqual(self.witness.ask(), 0)
        type(self).one = self.boot("one")[0]
        self.check_after()

    def test_zz_daemon_killed(self):
        """While programs wait: they are told, and new ones work with the next daemon, in guests
        that went on all the time."""
        programs = [self.start(vm, "blocked", "finish", "user") for vm in (self.one, self.two)]
        self.host.kill()
        for program in programs:
            self.assertLess(int(program.expect("returned").split()[2]), 0)
            self.assertEqual(program.end(), 0)
        refused = self.one.run(["clinfo", "--list"], timeout=case.PATIENCE)
        self.assertEqual(refused.stdout, "")
        self.assertIn("guestcld", refused.stderr)
        case.wait_until(lambda: not self.host.workers_left(), self.host.workers_left)
        self.host.restart()
        case.wait_until(lambda: self.devices(self.one) and self.devices(self.two), "devices again")
        self.assertLess(self.witness.ask(), 0)
        self.witness.end()
        type(self).witness = self.start(self.two)
        self.before = self.quiet()
        self.check_after()

    def test_zz_daemon_restarted_at_once(self):
        """So fast that nobody asked meanwhile."""
        program = self.start(self.one, "blocked", "finish", "user")
        self.host.kill()
        self.host.restart()
        self.assertLess(int(program.expect("returned").split()[2]), 0)
        self.assertEqual(program.end(), 0)
        self.assertLess(self.witness.ask(), 0)
        self.witness.end()
        case.wait_until(lambda: self.devices(self.one) and self.devices(self.two), "devices again")
        type(self).witness = self.start(self.two)
        self.before = self.quiet()
        self.check_after()

    @staticmethod
    def devices(vm):
        return "devices 1" in vm.run(["guest", "devices"]).stdout


if __name__ == "__main__":
    case.main()
