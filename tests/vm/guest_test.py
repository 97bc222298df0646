# SPDX-License-Identifier: MIT
"""Programs in a guest do what they do on the host: guest_test.py BUILD [--carrier ...] [TEST...]."""

import hashlib
import subprocess
import sys
import unittest

import case
import machine

TESTS = machine.TOP / "tests"
# The first ones differ most between channels, the last ones least; those that do nothing but compile
# are left to the host's own tests.
BEHAVIOUR = ["event", "map", "transfer", "buffer", "enqueue", "fork", "image", "imageorder", "large",
             "late", "mixed", "threads", "context", "device", "many", "platform", "queue", "sampler", "texel"]  # fmt: skip
BEHAVIOUR_SHORT = 4
BEHAVIOUR_USUAL = 12
# Again, with every piece of the program's memory pinned that can be; large is so big that some is
# by itself.
PINNED = ["large", "transfer", "map", "image"]
DISK_SIZE = 32 << 20

OPTIONS = case.arguments()


class Guest(case.VmCase):
    """One guest, and all of these in it."""

    options = OPTIONS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.disk = cls.shared / "disk"
        cls.disk.write_bytes(bytes(DISK_SIZE))
        devices = ["-drive", f"if=none,id=real,format=raw,discard=unmap,file={cls.disk}"]
        devices += ["-device", "virtio-blk-pci,drive=real,serial=real-disk,num-queues=2,"
                    "logical_block_size=4096,physical_block_size=4096"]  # fmt: skip
        cls.one = cls.vm(devices=devices, memory="3G", first=cls.first_module())

    @classmethod
    def first_module(cls):
        """With one carrier our module is there before virtio_blk, with the other one after it."""
        return "virtio_cl" if cls.options.carrier == "generic" else ""

    def check(self, command, timeout=300, env=None):
        """Runs a test of the host's that runs programs here and, by in-vm, in the guest."""
        done = case.in_vm(self.one, self.shared, command, timeout, env)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        return done.stdout

    def check_program(self, name, test, *words):
        """test: the one of suite "programs" that has compiled the same kernels for its native run."""
        cache = self.options.build / "tests" / "native-cache" / f"program-{test}"
        self.check(
            [sys.executable, TESTS / "programs" / f"{name}.py", "--build", self.options.build,
             "--native-cache", cache, "--guest-wrapper", case.IN_VM, *words]
        )  # fmt: skip

    def test_device(self):
        """Who may use it: its group, and root."""
        text = self.one.shell("stat -c '%A %U %G' /dev/virtio-cl")
        self.assertEqual(text, "crw-rw---- root render\n")
        render = int(self.one.shell("getent group render | cut -d: -f3"))
        for group, good in ((65534, False), (render, True)):
            done = self.one.run(["clinfo", "--list"], uid=65534, gid=group)
            self.assertEqual("Platform #0" in done.stdout, good, done)
            if not good:
                self.assertIn("render", done.stderr)

    def test_disk(self):
        """A real disk is virtio_blk's, with all its features, and not changed by our module."""
        script = """
            disk=$(grep -l real-disk /sys/block/vd*/serial); disk=${disk%/serial}
            basename $(readlink $disk/device/driver)
            cat $disk/queue/logical_block_size; ls $disk/mq | wc -l; cat $disk/size
            test $(cat $disk/queue/discard_max_bytes) -gt 0 && echo discard
            dev=/dev/${disk##*/}
            head -c 4194304 /dev/urandom >/tmp/data
            dd if=/tmp/data of=$dev bs=64k oflag=direct 2>&1 | grep -v copied | grep -v records
            dd if=$dev bs=64k count=64 iflag=direct 2>/dev/null | cmp - /tmp/data && echo same
            basename -a /sys/bus/virtio/drivers/virtio_cl/virtio* | wc -l
        """
        lines = self.one.shell(script).split()
        self.assertEqual(
            lines, ["virtio_blk", "4096", "2", str(DISK_SIZE // 512), "discard", "same", "1"]
        )
        self.assertTrue(any(self.disk.read_bytes()[: 1 << 20]))

    def test_driver(self):
        program = self.options.build / "tests" / "vm" / "driver-test"
        if not program.exists():
            self.skipTest("NO driver-test")
        done = self.one.run([program], timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_clinfo(self):
        self.check_program("clinfo", "clinfo")
        done = self.one.run(["clinfo"], env={"GUESTCL_CHANNEL": "virtio"})
        through = [TESTS / "with-guestcld", "--build", self.options.build, "clinfo"]
        local = subprocess.run(through, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.splitlines(), local.stdout.splitlines())

    def test_picture(self):
        self.check_program("picture", "picture", self.options.build / "examples" / "picture")

    def test_vector_add(self):
        self.check_program("printed", "vector-add", self.options.build / "examples" / "vector-add")

    @unittest.skipIf(OPTIONS.short, "with the other carrier")
    def test_pyopencl(self):
        program = TESTS / "programs" / "pyopencl_program.py"
        self.check_program("printed", "pyopencl", "/usr/bin/python3", program)

    def test_posted(self):
        """Commands are posted without a system call or an exit, while the worker is awake."""
        done = self.one.run([self.options.build / "tests" / "vm" / "posted"], timeout=120)
        self.assertEqual(done.returncode, 0, done)
        print(f"  {done.stdout.strip()}", file=sys.stderr)

    @unittest.skipIf(OPTIONS.short, "with the other carrier")
    def test_beyond_memory(self):
        done = self.one.run(["/usr/bin/python3", machine.HERE / "beyond-memory.py"], timeout=120)
        self.assertEqual(done.stdout, "fine\n", done)

    @unittest.skipIf(OPTIONS.short, "with the other carrier")
    def test_hashcat(self):
        word = "zap7"
        words = ["hashcat", "--force", "--quiet", "--potfile-disable", "--self-test-disable", "-O",
                 "-m", "0", "-a", "3", hashlib.md5(word.encode()).hexdigest(), "?l?l?l?d"]  # fmt: skip
        done = self.one.run(words, timeout=300)
        self.assertIn(f":{word}\n", done.stdout, done)

    @unittest.skipIf(OPTIONS.short, "with the other carrier")
    def test_clpeak(self):
        done = self.one.run(["clpeak", "--kernel-latency"], timeout=300)
        self.assertRegex(done.stdout, r"Kernel launch latency : [0-9.]+ us", done)

    def behaviour(self, noun, env=None):
        folder = self.options.build / "tests"
        cache = f"POCL_CACHE_DIR={folder}/native-cache/{noun}"
        self.check(
            [TESTS / "behaviour" / "compare", "--timeout", "200", "--native-env", cache,
             "--differences", machine.HERE / "differences.txt", "--guest-wrapper", case.IN_VM, folder / "behaviour" / f"behaviour-{noun}"],
            env=env,
        )  # fmt: skip

    def test_zz_channel(self):
        """All of it came over the channel that was meant, and the kernel has nothing to say."""
        self.expect_log(r"VM one,.*served by worker")
        for word in ("BUG", "WARNING", "Oops", "Call Trace"):
            self.assertNotIn(word, self.one.shell("dmesg"))


def add_behaviour():
    usual = None if OPTIONS.long else BEHAVIOUR_USUAL
    for noun in BEHAVIOUR[: BEHAVIOUR_SHORT if OPTIONS.short else usual]:
        setattr(Guest, f"test_behaviour_{noun}", lambda self, noun=noun: self.behaviour(noun))
    if OPTIONS.short:
        return
    for noun in PINNED:
        setattr(Guest, f"test_pinned_{noun}",
                lambda self, noun=noun: self.behaviour(noun, env={"GUESTCL_PIN": "1"}))  # fmt: skip


add_behaviour()

if __name__ == "__main__":
    case.main()
