# SPDX-License-Identifier: MIT
"""A domain of a real libvirt, attached, started, renamed, and more: domain_test.py BUILD PROGRAM.

PROGRAM is guestcl-libvirt. The domain's guest is that of the tests in VMs, emulated.
"""

import json
import pathlib
import re
import secrets
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "vm"))
import agent  # noqa: E402
import host  # noqa: E402
import libvirtd  # noqa: E402
import machine  # noqa: E402

PROGRAM = pathlib.Path(sys.argv.pop(2)).resolve()
BUILD = pathlib.Path(sys.argv.pop(1))
SECONDS = 60
BOOT_SECONDS = 300

DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <metadata>
    <app:of xmlns:app="urn:another">theirs</app:of>
  </metadata>
  <memory unit='MiB'>512</memory>
  {backing}
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=1 tsc=reliable guestcl.nonce={nonce} guestcl.name=guest guestcl.first=</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>256</tb-cache></tcg></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{root}'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
      <serial>guestcl-root</serial>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{directory}/console'/></serial>
    <channel type='unix'>
      <source mode='bind' path='{directory}/agent'/>
      <target type='virtio' name='guestcl.agent'/>
    </channel>
    <memballoon model='none'/>
  </devices>
</domain>
"""
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


class Domains(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guest = machine.image(BUILD)
        cls.libvirt = libvirtd.Libvirtd()
        cls.addClassCleanup(cls.libvirt.destroy)
        cls.libvirt.start()
        # QEMU runs as another user here, and may not look into the daemon's directory elsewhere.
        settings = [f"libvirt={cls.libvirt.uri}", f"libvirt-program={PROGRAM}", "vm-socket-mode=0666"]
        cls.host = host.Host(BUILD, vms=[], settings=settings)
        cls.host.daemon.directory.chmod(0o755)
        cls.host.start()
        cls.addClassCleanup(cls.host.__exit__, None, None, None)

    def setUp(self):
        self.agent = None
        self.domains = set()
        self.addCleanup(self.undefine)

    def undefine(self):
        if self.agent:
            self.agent.close()
        for name in self.domains:
            self.libvirt.virsh("destroy", name, check=False)
            self.libvirt.virsh("undefine", name, check=False)

    # The host's side.

    def define(self, name, backing=""):
        self.nonce = secrets.token_bytes(agent.NONCE_SIZE)
        path = self.libvirt.directory / "domain.xml"
        path.write_text(
            DOMAIN.format(
                name=name, backing=backing, nonce=self.nonce.hex(), directory=self.libvirt.directory,
                kernel=self.libvirt.place(self.guest.kernel),
                initrd=self.libvirt.place(self.guest.initrd),
                root=self.libvirt.place(self.guest.root),
            )  # fmt: skip
        )
        self.libvirt.virsh("define", str(path))
        self.domains.add(name)

    def guestcl(self, command, *arguments, status=0):
        command = [PROGRAM, command, "-c", self.libvirt.uri, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def attach(self, *arguments, **options):
        return self.guestcl("attach", f"--vm-dir={self.host.vm_dir}", *arguments, **options)

    def definition(self, name):
        """What there is of elements: libvirt puts controllers into another order at times."""
        return sorted(self.libvirt.virsh("dumpxml", "--inactive", name).splitlines())

    def log_size(self):
        return len(self.host.log_text())

    def wait_log(self, text, since=0):
        end = time.monotonic() + SECONDS
        while not re.search(text, self.host.log_text()[since:]):
            if time.monotonic() > end:
                self.fail(f'no "{text}" within {SECONDS} s:\n{self.host.log_text()}')
            time.sleep(0.02)

    # The guest's.

    def boot(self, name):
        (self.libvirt.directory / "agent").unlink(missing_ok=True)
        self.libvirt.virsh("start", name)
        if self.agent:
            self.agent.close()
        self.agent = agent.Agent(self.libvirt.directory / "agent", self.nonce)
        self.agent.connect(SECONDS, lambda: True)
        self.agent.wait_greeting(BOOT_SECONDS, lambda: True)

    def start_in_guest(self, *words):
        return self.agent.run(words, env={"PATH": machine.PATH, "HOME": "/root"})

    def in_guest(self, *words):
        command = self.start_in_guest(*words)
        status = command.wait(60)
        self.assertEqual(status, 0, command.out + command.err)
        return command.out.decode()

    def test_life(self):
        self.define("first")
        before = self.definition("first")
        self.assertIn("+    <disk type='vhostuser'", self.attach("-n", "first"))
        self.assertEqual(self.definition("first"), before)
        self.assertIn("is attached by virtio", self.attach("-m", "1G", "-w", "7", "first"))
        self.wait_log("VM first: device memory 1024 MiB, weight 7")

        self.boot("first")
        self.assertIn("(guestcl ", self.in_guest("clinfo", "--raw"))
        self.assertIn("1024 sums are right", self.in_guest("guestcl-vector-add"))

        with self.subTest("other limits as it runs"):
            self.assertIn("new limits", self.attach("-w", "9", "first"))
            self.wait_log("VM first: device memory 1024 MiB, weight 9")
            self.assertIn("nothing has changed", self.attach("first"))

        with self.subTest("libvirtd goes and comes back"):
            self.libvirt.kill()
            self.in_guest("clinfo", "-l")
            since = self.log_size()
            self.libvirt.start()
            self.wait_log("following libvirt's domains at .*; attached: 1", since)
            self.in_guest("clinfo", "-l")
            self.assertNotIn("is no longer served", self.host.log_text())

        with self.subTest("its end is the end of its sessions"):
            self.start_in_guest("sh", "-c", "while guestcl-vector-add; do :; done")
            self.wait_log(r"guestcl-vector-add: served by worker \d+\n(?!.*ended)")
            self.libvirt.virsh("destroy", "first")
            self.wait_log("VM first: has stopped")
            self.wait_log(r"sessions: \d+")
            self.wait_workers_gone()

        with self.subTest("another name, the same limits and socket"):
            self.libvirt.virsh("domrename", "first", "second one")
            self.domains.add("second one")
            self.wait_log("VM first: is called second one now")
            listed = json.loads(self.guestcl("list", "--json"))
            self.assertEqual([(one["name"], one["memory"], one["weight"]) for one in listed],
                             [("second one", 1 << 30, 9)])  # fmt: skip
            self.boot("second one")
            self.assertIn("(guestcl ", self.in_guest("clinfo", "--raw"))

        with self.subTest("detached while it runs, it keeps what it has"):
            self.assertIn("keeps the device until", self.guestcl("detach", "second one"))
            self.assertIn("(guestcl ", self.in_guest("clinfo", "--raw"))
            self.libvirt.virsh("destroy", "second one")
            self.wait_log("VM second one: is no longer served")
            renamed = [line.replace("<name>first<", "<name>second one<") for line in before]
            self.assertEqual(self.definition("second one"), sorted(renamed))

    def wait_workers_gone(self):
        """None serves: those that are left are prepared ones."""
        end = time.monotonic() + SECONDS
        while True:
            text = self.host.log_text()
            begun = set(re.findall(r"session (\d+): .*served by", text))
            if begun <= set(re.findall(r"session (\d+): .*(?:ended after|worker \d+ )(?!.*served)", text)):
                return
            if time.monotonic() > end:
                self.fail(f"sessions are left:\n{text}")
            time.sleep(0.05)

    def test_live(self):
        """Plugged in and out while it runs, where its memory is shared."""
        self.define("plain")
        self.libvirt.virsh("start", "--paused", "plain")
        self.assertIn("attach it without --live", self.attach("--live", "plain", status=4))
        self.libvirt.virsh("destroy", "plain")
        self.guestcl("detach", "plain")

        self.define("shared", SHARED)
        self.boot("shared")
        self.assertIn("the device is plugged in", self.attach("--live", "shared"))
        self.wait_guest("test -c /dev/virtio-cl")
        self.assertIn("(guestcl ", self.in_guest("clinfo", "--raw"))
        self.assertIn("let go of the device", self.guestcl("detach", "--live", "shared"))
        self.wait_guest("test ! -e /dev/virtio-cl")
        # QEMU tells libvirt a moment after the guest has let go.
        end = time.monotonic() + SECONDS
        while "vhostuser" in (text := self.libvirt.virsh("dumpxml", "shared")):
            self.assertLess(time.monotonic(), end, text)
            time.sleep(0.1)

    def wait_guest(self, condition):
        script = f"for i in $(seq 100); do {condition} && exit; sleep 0.2; done; exit 1"
        self.in_guest("sh", "-c", script)

    def test_errors(self):
        self.assertRegex(self.guestcl("attach", "nobody", status=3), '^guestcl: there is no domain "nobody"')
        done = subprocess.run(
            [PROGRAM, "attach", "-c", "qemu+unix:///session?socket=/nonexistent", "x"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "^guestcl: can't connect to .*is libvirtd running?")
        self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    if libvirtd.missing():
        print(f"SKIP: there is no {', '.join(libvirtd.missing())}: see scripts/packages.txt")
        sys.exit(77)
    unittest.main(verbosity=2)
