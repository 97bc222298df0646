#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""GPU servers in etcd: who is there, what becomes of them when a host or etcd goes, and hostile values.

etcd_test.py STEPS [-v] [CLASS[.test]...]: STEPS is the program of steps.c; GUESTCL_BUILD is the build
folder. Each class has an etcd of three members of its own.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

from etcd_cluster import SLOW, Authority, Cluster
from server import PATHS, Server, temporary

STEPS = sys.argv.pop(1)
COMPLAINT = re.compile(r"ERROR: \w+Sanitizer|: runtime error: ")
DOWN = "etcd can't be reached"
PREFIX = "/guestcl/servers/"
GOOD = json.dumps({"version": 1, "address": "elsewhere:1", "devices": []})


class Host(Server):
    """A guestcld that is announced, and the programs beside it."""

    def __init__(self, folder, name, cluster, pki=None, **settings):
        folder = pathlib.Path(folder) / name
        folder.mkdir()
        if pki:
            (folder / "pki").symlink_to(pki)
        self.name = name
        settings = {
            "etcd": cluster.urls, "etcd-lease": "3s", "etcd-program": PATHS["etcd"],
            "announce-name": name, **cluster.settings, **settings,
        }  # fmt: skip
        super().__init__(folder, settings=settings)
        self.settings.setdefault("announce", f"127.0.0.1:{self.port}")

    def guestcl(self, *words):
        done = subprocess.run(
            [PATHS["guestcl"], *words, "--control", self.folder / "control.sock"],
            capture_output=True, text=True, timeout=SLOW, check=False,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else ""

    def known(self):
        """What guestcl servers says: etcd's state, and each server by its name."""
        answer = json.loads(self.guestcl("servers", "--json") or "{}")
        servers = {server["name"]: server for server in answer.get("servers", ())}
        return answer.get("etcd", {}).get("state"), servers

    def helper(self):
        """The process that talks to etcd; None: there is none now."""
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().rpartition(")")
            except OSError:
                continue
            parent = int(rest.split()[1])
            if name.endswith("(guestcl-etcd") and parent == self.process.pid and rest.split()[0] != "Z":
                return int(stat.parent.name)
        return None

    def reload(self, **changes):
        self.configuration(**changes)
        self.process.send_signal(signal.SIGHUP)

    def said(self, text, begin=0):
        return self.log.read_text(errors="replace")[begin:].count(text)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Case(unittest.TestCase):
    tls = False

    @classmethod
    def setUpClass(cls):
        cls.directory = temporary()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.cluster = Cluster(cls.directory.name, tls=cls.tls)
        cls.cluster.start()
        cls.addClassCleanup(cls.cluster.stop)
        cls.one = Host(cls.directory.name, "gpu1", cls.cluster)
        cls.two = Host(cls.directory.name, "gpu2", cls.cluster, pki=cls.one.pki)
        for host in (cls.one, cls.two):
            host.start()
            cls.addClassCleanup(host.stop)

    @classmethod
    def tearDownClass(cls):
        for host in (cls.one, cls.two):
            status, text = host.stop(), host.log.read_text(errors="replace")
            if status or COMPLAINT.search(text):
                raise AssertionError(f"guestcld ended with {status}:\n{text}")

    def wait(self, condition, what):
        end = time.monotonic() + SLOW
        while not (found := condition()):
            if time.monotonic() > end:
                logs = "\n".join(host.log.read_text(errors="replace") for host in (self.one, self.two))
                self.fail(f"{what} did not come:\n{self.two.known()}\n{logs}")
            time.sleep(0.05)
        return found

    def wait_state(self, state, *hosts):
        for host in hosts or (self.one, self.two):
            self.wait(lambda: host.known()[0] == state, f"{host.name}: {state}")

    def wait_server(self, name, there=True, host=None, **values):
        def is_so():
            server = (host or self.two).known()[1].get(name)
            if not there or not server:
                return not there and not server
            return all(server.get(key) == value for key, value in values.items())

        self.wait(is_so, f"{name} {values} {there}")

    def wait_both(self):
        """Each knows both, from etcd, as they are now."""
        for host in (self.one, self.two):
            for name in ("gpu1", "gpu2"):
                self.wait_server(name, host=host, state="up")

    def setUp(self):
        self.wait_both()
        self.mark = self.two.mark()


class Life(Case):
    """Servers come and go."""

    def test_appear(self):
        _, servers = self.two.known()
        self.assertEqual(servers["gpu1"]["address"], f"127.0.0.1:{self.one.port}")
        self.assertEqual(servers["gpu1"]["source"], "etcd")
        self.assertEqual([servers[name]["self"] for name in ("gpu1", "gpu2")], [False, True])
        status = json.loads(self.one.guestcl("status", "--json"))
        wanted = [(one["name"], one["memory_bytes"]) for one in status["devices"]]
        told = [(one["name"], one["memory_bytes"]) for one in servers["gpu1"]["devices"]]
        self.assertEqual(told, wanted)
        self.assertTrue(wanted)
        text = self.two.guestcl("servers")
        self.assertRegex(text, r"(?m)^gpu1 +127\.0\.0\.1:\d+ +etcd +up ")
        self.assertRegex(text, r"(?m)^gpu2 .* this host$")
        self.assertIn("2 GPU servers are known", self.two.guestcl("status"))

    def test_values(self):
        """A session, and its end."""
        guest = subprocess.Popen(
            (STEPS, "100000000"), env=self.one.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self.wait(lambda: self.two.known()[1]["gpu1"]["sessions"] > 0, "a session")
            self.wait(lambda: self.two.known()[1]["gpu1"]["load_percent"] > 0, "load")
        finally:
            guest.kill()
            guest.wait()
        self.wait(lambda: self.two.known()[1]["gpu1"]["load_percent"] == 0, "rest")

    def test_host_dies(self):
        """At once where something is left to say so, else with its lease."""
        self.one.kill()
        self.wait_server("gpu1", there=False)
        self.one.start()
        self.wait_both()
        helper = self.one.helper()
        os.kill(helper, signal.SIGSTOP)
        self.one.kill()
        os.kill(helper, signal.SIGKILL)
        self.assertIn(PREFIX + "gpu1", self.cluster.keys())
        self.wait_server("gpu1", there=False)
        self.one.start()
        self.wait_both()

    def test_lease_lost(self):
        """Somebody takes the key away, or the lease with it: it is put again."""
        self.cluster.ctl("del", PREFIX + "gpu1")
        self.wait(lambda: PREFIX + "gpu1" in self.cluster.keys(), "the key")
        for lease in re.findall(r"(?m)^([0-9a-f]{8,})$", self.cluster.ctl("lease", "list")):
            self.cluster.ctl("lease", "revoke", lease)
        self.wait(lambda: len(self.cluster.keys()) == 2, "the keys")
        self.wait_both()

    def test_stop(self):
        """It takes back what it announced."""
        self.assertEqual(self.one.stop(), 0)
        self.assertNotIn(PREFIX + "gpu1", self.cluster.keys())
        self.wait_server("gpu1", there=False)
        self.one.start()
        self.wait_both()


class Members(Case):
    """etcd's members go, one or all, and come back."""

    def changes_are_heard_of(self, name):
        """And nothing is lost meanwhile."""
        self.cluster.ctl("put", PREFIX + name, GOOD)
        self.wait_server(name, state="up")
        for host in (self.one, self.two):
            self.assertLessEqual({"gpu1", "gpu2"}, set(host.known()[1]))

    def test_member_killed(self):
        leader = self.cluster.leader()
        self.cluster.kill(leader)
        self.changes_are_heard_of("killed")
        self.cluster.start(leader)
        self.cluster.ctl("del", PREFIX + "killed")
        self.wait_server("killed", there=False)
        self.assertLessEqual({PREFIX + "gpu1", PREFIX + "gpu2"}, set(self.cluster.keys()))

    def test_member_hangs(self):
        leader = self.cluster.leader()
        self.cluster.freeze(leader)
        try:
            self.changes_are_heard_of("frozen")
        finally:
            self.cluster.thaw(leader)
        self.cluster.ctl("del", PREFIX + "frozen")
        self.wait_server("frozen", there=False)

    def test_etcd_down(self):
        """What is known stays, and is told to be old; a server that goes meanwhile is gone afterwards."""
        self.cluster.kill()
        self.wait_state("down")
        for host in (self.one, self.two):
            _, servers = host.known()
            self.assertEqual(servers["gpu1"]["state"], "stale")
            self.assertTrue(servers["gpu1"]["devices"])
        self.assertEqual(self.two.said(DOWN, self.mark), 1)
        self.assertIn('"etcd" in guestcld.conf', self.two.log.read_text()[self.mark :])
        self.assertIn(DOWN, self.two.guestcl("status"))
        text = self.two.guestcl("servers")
        self.assertIn(DOWN, text)
        self.assertRegex(text, r"(?m)^gpu1 .* as of \S+ ago$")
        self.one.kill()
        self.cluster.start()
        self.wait_state("up", self.two)
        self.wait_server("gpu1", there=False)
        self.wait_server("gpu2", state="up")
        self.assertEqual(self.two.said(DOWN, self.mark), 1)
        self.one.start()
        self.wait_both()


class Values(Case):
    """Whoever may write into etcd writes anything."""

    def put(self, name, value):
        self.cluster.put({(PREFIX + name).encode(): value})

    def tearDown(self):
        """Others are there all the same, and changes are heard of."""
        self.cluster.clean(PREFIX, PREFIX + "gpu1", PREFIX + "gpu2")
        self.cluster.ctl("put", PREFIX + "zz", GOOD)
        self.wait_server("zz", state="up")
        self.assertEqual({"gpu1", "gpu2", "zz"}, set(self.two.known()[1]))
        self.cluster.ctl("del", PREFIX + "zz")
        self.wait_server("zz", there=False)

    def test_bad(self):
        """None of them is a server, each is told of once."""
        values = {
            "bad-empty": b"", "bad-text": b"x", "bad-binary": bytes(range(256)), "bad-list": b"[]",
            "bad-version": b'{"version": 2}', "bad-deep": b"[" * 5000,
            "bad-address": GOOD.replace("elsewhere:1", "else where").encode(),
            "bad-devices": GOOD.replace("[]", json.dumps([{}] * 33)).encode(),
            "bad-long": GOOD.encode() + b" " * 1_000_000,
            "bad/name": GOOD.encode(), "bad\0\n\x7f": GOOD.encode(), ".bad": GOOD.encode(), "bad" * 100: GOOD.encode(),
        }  # fmt: skip
        for _ in range(2):
            for name, value in values.items():
                self.put(name, value)
        self.put("good", GOOD.encode())
        self.wait_server("good", state="up")
        self.assertFalse({name for name in self.two.known()[1] if "bad" in name})
        text = self.two.log.read_text(errors="replace")[self.mark :]
        warned = re.findall(r'what etcd has at "(.*)" is left out', text)
        # The limit of lines in a second may have taken some.
        self.assertGreaterEqual(len(warned), 8, text)
        self.assertEqual(len(warned), len(set(warned)), text)
        # One that was good, and is bad now, is no server any more.
        self.put("good", b"x")
        self.wait_server("good", there=False)

    def test_strange(self):
        """What can be made harmless is."""
        device = {"name": "\x1b[2J\u202e" + "x" * 500, "memory": 5, "free": 9, "load": 1000}
        value = {"version": 1, "address": "h", "devices": [device], "load": -4, "more": [[{}]]}
        self.put("strange", json.dumps(value).encode())
        self.wait_server("strange", state="up")
        told = self.two.known()[1]["strange"]["devices"][0]
        self.assertRegex(told["name"], r"^[\x20-\x7e]{60,63}$")
        self.assertEqual((told["free_bytes"], told["load_percent"]), (5, 100))

    def test_flood(self):
        """More keys than anyone has servers: what has no room comes back when there is some."""
        for part in range(5):
            names = [f"{PREFIX}flood{part}-{i}".encode() for i in range(120)]
            self.cluster.put({name: GOOD.encode() for name in names})
        self.put("zy", GOOD.encode())
        self.two.stop()
        self.two.start()
        self.wait(lambda: len(self.two.known()[1]) == 256, "as many as are taken")
        self.wait(lambda: self.two.said("more than 256 servers", self.mark) == 2, "the warnings")
        self.wait(lambda: self.two.said("more than 512 keys", self.mark) == 1, "the warning")
        self.cluster.ctl("del", "--prefix", PREFIX + "flood")
        self.wait_both()
        self.wait_server("zy")

    def test_rival(self):
        """Two hosts of one name: both are told of."""
        self.two.reload(**{"announce-name": "gpu1"})
        self.wait(lambda: self.one.said("announces itself as") or self.two.said("announces itself as"),
                  "the warning")  # fmt: skip
        self.two.reload()
        self.wait_server("gpu2", state="up")


class Control(Case):
    """By TLS; and what operators do."""

    tls = True

    def test_members_are_checked(self):
        """By their certificates: of another authority, they aren't believed."""
        other = Authority(pathlib.Path(self.directory.name) / "other")
        self.two.reload(**{"etcd-ca": other.ca})
        self.wait_state("down", self.two)
        self.assertIn("gpu1", self.two.known()[1])
        certificate, key = other.make("stranger")
        self.two.reload(**{"etcd-certificate": certificate, "etcd-key": key})
        self.wait(lambda: self.two.said(DOWN, self.mark) >= 1, "the warning")
        self.wait_state("down", self.two)
        self.two.reload()
        self.wait_state("up", self.two)
        self.wait_both()

    def test_user(self):
        password = pathlib.Path(self.directory.name) / "password"
        password.write_text("secret\n")
        user = {"etcd-user": "root", "etcd-password-file": password}
        self.cluster.ctl("user", "add", "root:secret")
        self.cluster.ctl("user", "grant-role", "root", "root")
        self.cluster.ctl("auth", "enable")
        self.cluster.control.append("--user=root:secret")
        try:
            self.wait_state("down")
            self.one.reload(**user)
            self.two.reload(**user)
            self.wait_both()
            password.write_text("wrong\n")
            self.two.reload(**user)
            self.wait_state("down", self.two)
            self.assertIn("gpu1", self.two.known()[1])
        finally:
            self.cluster.ctl("auth", "disable")
            self.one.reload()
            self.two.reload()
        self.wait_state("up")

    def test_helper_dies(self):
        """The next one goes on where it was."""
        before = self.two.helper()
        os.kill(before, signal.SIGKILL)
        self.wait(lambda: self.two.helper() not in {None, before}, "another process")
        self.assertIn("gpu1", self.two.known()[1])
        self.wait_both()
        self.assertIn(PREFIX + "gpu2", self.cluster.keys())

    def test_takeover(self):
        """A new program knows what the one before knew, at once."""
        begin = self.two.mark()
        self.two.guestcl("restart")
        self.two.wait_log("took over", begin)
        self.wait(lambda: self.two.known()[0], "an answer")
        self.assertLessEqual({"gpu1", "gpu2"}, set(self.two.known()[1]))
        self.wait_both()

    def test_reload(self):
        """Static servers beside those of etcd; and without etcd."""
        path = self.two.configuration()
        text = path.read_text()
        path.write_text(text + 'server "gpu1" { address = here:1 }\nserver "fixed" { address = f }\n')
        self.two.process.send_signal(signal.SIGHUP)
        self.wait_server("gpu1", source="static+etcd", address="here:1", state="up")
        self.wait_server("fixed", source="static", state="known")
        text = re.sub(r"(?m)^(etcd|announce) .*\n", "", path.read_text())
        path.write_text(text)
        self.two.process.send_signal(signal.SIGHUP)
        self.wait_server("gpu1", source="static", state="known")
        self.wait_server("gpu2", there=False)
        self.wait_server("gpu2", there=False, host=self.one)
        self.assertEqual(self.two.known()[0], "off")
        self.wait(lambda: self.two.helper() is None, "the end of the process")
        self.two.reload()
        self.wait_both()
        self.wait_server("fixed", there=False)


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
