# SPDX-License-Identifier: MIT
"""What a VM's life does to sessions: reboots, unloading, pauses, suspending: life_test.py BUILD."""

import agent
import case


class Life(case.VmCase):
    options = case.arguments()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # virtiofs can't be suspended.
        cls.one = cls.vm(shares=[])
        cls.put()

    @classmethod
    def put(cls):
        cls.one.put(cls.options.build / "tests" / "faults" / "guest")

    def start(self):
        program = case.Program(self.one, "guest", "work")
        program.expect("prepared")
        self.assertEqual(program.ask(), 0)
        return program

    def assert_served(self):
        program = self.start()
        self.assertEqual(program.end(), 0)

    def test_close(self):
        """A session's end leaves nothing, on the host or in the guest."""
        self.assert_served()
        before, free = self.idle(), self.free()
        for _ in range(8):
            self.assert_served()
        self.assertEqual(self.idle(), before)
        self.assertEqual(self.driver_sessions(self.one), [])
        # A session has more than 16 MiB.
        self.assertGreater(self.free(), free - (16 << 10))

    def free(self):
        """KiB of memory that the guest could use."""
        text = self.one.shell("echo 3 >/proc/sys/vm/drop_caches; grep MemAvailable /proc/meminfo")
        return int(text.split()[1])

    def test_unload(self):
        """The module may go when nobody uses it, and comes back; in use, it stays."""
        program = self.start()
        refused = self.one.run(["rmmod", "virtio_cl"])
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("in use", refused.stderr)
        self.assertEqual(program.ask(), 0)
        self.assertEqual(program.end(), 0)
        before = self.idle()
        for _ in range(3):
            self.one.shell("rmmod virtio_cl && test ! -e /dev/virtio-cl && modprobe virtio_cl")
            self.one.shell("udevadm settle")
            self.assert_served()
        self.assertEqual(self.idle(), before)

    def test_pause(self):
        """A paused VM's program goes on where it was."""
        program = self.start()
        for _ in range(3):
            self.one.qmp("stop")
            program.say()
            self.one.qmp("cont")
            self.assertEqual(int(program.expect("worked").split()[1]), 0)
        self.assertEqual(program.end(), 0)

    def test_takeover(self):
        """Sessions go on with a daemon that has taken over, also one of a VM that is paused; what
        begins and ends later does so there."""
        before = self.idle()
        programs = [self.start() for _ in range(2)]
        for count in range(1, 4):
            if count == 2:
                self.one.qmp("stop")
            self.host.take_over()
            self.expect_log(rf"(?s)(took over; sessions: 2.*){{{count}}}")
            if count == 2:
                self.one.qmp("cont")
            for program in programs:
                self.assertEqual(program.ask(), 0)
            self.assert_served()
        for program in programs:
            self.assertEqual(program.end(), 0)
        self.assertEqual(len(self.idle()), len(before))
        self.assertEqual(self.driver_sessions(self.one), [])

    def test_suspend(self):
        """So does that of a guest that was suspended to memory."""
        program = self.start()
        self.one.qmp.events.clear()
        self.one.popen(["sh", "-c", "echo mem >/sys/power/state"])
        self.one.qmp.wait_event("SUSPEND", 60)
        self.one.qmp("system_wakeup")
        self.assertEqual(program.ask(), 0)
        self.assertEqual(program.end(), 0)
        self.assert_served()

    def test_unbind(self):
        """The device is taken away while a program uses it."""
        program = self.start()
        self.one.shell(
            "cd /sys/bus/virtio/drivers/virtio_cl && ls -d virtio* >/tmp/device &&"
            "cat /tmp/device >unbind"
        )
        self.assertLess(program.ask(), 0)
        self.assertEqual(program.end(), 0)
        done = self.one.run(["clinfo", "--list"])
        self.assertEqual(done.stdout, "")
        self.assertIn("virtio", done.stderr)
        self.one.shell("cat /tmp/device >/sys/bus/virtio/drivers/virtio_cl/bind; udevadm settle")
        self.assert_served()

    def test_zz_reboot(self):
        """A rebooted guest's sessions end, and the next ones work."""
        self.idle()
        before = self.host.descriptors()
        for _ in range(2):
            program = self.start()
            self.one.popen(["busybox", "reboot", "-f"])
            self.one.wait_ready()
            self.put()
            with self.assertRaises(agent.Lost):
                program.command.wait(1)
            self.assert_served()
            self.assertEqual(self.idle(), before)


if __name__ == "__main__":
    case.main()
