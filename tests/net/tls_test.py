#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests of another machine: who gets in, who doesn't, and what becomes of a dropped connection.

tls_test.py STEPS [-v] [CLASS[.test]...]: STEPS is the program of steps.c; GUESTCL_BUILD is the build
folder.
"""

import json
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import unittest

from server import BUILD, PATHS, Proxy, Server, temporary

STEPS = sys.argv.pop(1)
GUESTCL = BUILD / "host-daemon/tool/guestcl"
COMPLAINT = re.compile(r"ERROR: \w+Sanitizer|: runtime error: ")
NATIVE = {**os.environ, "OCL_ICD_VENDORS": "/etc/OpenCL/vendors"}
SANITIZED = bool(os.environ.get("GUESTCL_SANITIZED"))
DROPPED_STEPS = "320" if SANITIZED else "2400"
SLOW = 120  # seconds that nothing takes, even on a machine that has much else to do


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Case(unittest.TestCase):
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.directory = temporary()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.server = Server(cls.directory.name, settings=cls.settings)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)

    @classmethod
    def tearDownClass(cls):
        status = cls.server.stop()
        text = cls.server.log.read_text(errors="replace")
        if status or COMPLAINT.search(text):
            raise AssertionError(f"guestcld ended with {status}:\n{text}")

    def run_guest(self, *command, environment=None, **where):
        return subprocess.run(
            command or (STEPS, "16"),
            env=environment or self.server.environment(**where),
            capture_output=True, text=True, timeout=SLOW, check=False,
        )  # fmt: skip

    def assert_served(self, **where):
        done = self.run_guest(**where)
        self.assertIn("16 steps: ", done.stdout, done.stderr)

    def assert_refused(self, *words, **where):
        """With a reason, and no device."""
        done = self.run_guest(**where)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("no OpenCL devices"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def files(self, name, source="one", **replaced):
        """A client's folder with some files of another one's, or without (None)."""
        folder = pathlib.Path(self.directory.name) / name
        folder.mkdir()
        for path in (self.server.pki / "clients" / source).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        for key, path in replaced.items():
            target = folder / key.replace("_", ".")
            target.unlink(missing_ok=True)
            if path:
                target.write_bytes(pathlib.Path(path).read_bytes())
        return folder


class Identity(Case):
    def test_program(self):
        """Unmodified; it was not built with a sanitizer, as the library may be."""
        if SANITIZED:
            self.skipTest("clinfo has no sanitizer")
        done = self.run_guest("clinfo", "--raw")
        self.assertIn("(guestcl ", done.stdout, done.stderr)

    def test_certificate(self):
        begin = self.server.mark()
        self.assert_served()
        self.server.wait_log("VM one, tls, 127.0.0.1 port", begin)

    def test_key(self):
        begin = self.server.mark()
        self.assert_served(name="two")
        self.server.wait_log("VM two, tls, 127.0.0.1 port", begin)

    def test_name_without_vm(self):
        self.assert_refused('no VM called "stranger"', name="stranger")

    def test_own_authority(self):
        other = pathlib.Path(self.directory.name) / "other"
        self.server.make("init", folder=other)
        self.server.make("client", "one", folder=other)
        files = self.files("foreign", certificate_pem=other / "clients/one/certificate.pem",
                           key_pem=other / "clients/one/key.pem")  # fmt: skip
        self.assert_refused(files=files)
        # And a server that it doesn't know.
        self.assert_refused("not trusted", files=other / "clients/one")

    def test_expired(self):
        pki = self.server.pki
        template = pki / "template"
        template.write_text(
            'cn = "one"\ntls_www_client\nsigning_key\n'
            'activation_date = "2020-01-01"\nexpiration_date = "2021-01-01"\n'
        )
        certificate = pki / "expired.pem"
        subprocess.run(
            ["certtool", "--generate-certificate", "--load-privkey", pki / "clients/one/key.pem",
             "--load-ca-certificate", pki / "ca.pem", "--load-ca-privkey", pki / "ca-key.pem",
             "--template", template, "--outfile", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.assert_refused(files=self.files("expired", certificate_pem=certificate))

    def test_server_certificate(self):
        """A server's certificate is none for a client."""
        servers = self.server.pki / "servers/127.0.0.1"
        files = self.files("server", certificate_pem=servers / "certificate.pem",
                           key_pem=servers / "key.pem")  # fmt: skip
        self.assert_refused(files=files)

    def test_no_files(self):
        empty = pathlib.Path(self.directory.name) / "empty"
        empty.mkdir()
        self.assert_refused("ca.pem", "guestcl pki client", files=empty)

    def test_wrong_key(self):
        wrong = pathlib.Path(self.directory.name) / "wrong-psk"
        wrong.write_text("two:" + 32 * "ab" + "\n")
        self.assert_refused(files=self.files("wrong", source="two", psk=wrong))
        wrong.write_text("nobody:" + 32 * "ab" + "\n")
        self.assert_refused(files=self.files("nobody", source="two", psk=wrong))

    def test_other_name(self):
        """The server is another one than was meant."""
        self.assert_refused("not trusted", address="localhost")

    def test_nobody_listens(self):
        self.assert_refused("nobody listens", port=1)

    def test_reload(self):
        """Keys that are added while guestcld runs."""
        keys = pathlib.Path(self.directory.name) / "keys"
        self.server.make("psk", "one")
        lines = [(self.server.pki / f"clients/{name}/psk").read_text() for name in ("one", "two")]
        keys.write_text("".join(lines))
        self.server.configuration(**{"tls-psk-file": keys})
        self.server.process.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: self.served_as("one"), SLOW))
        (self.server.pki / "clients/one/psk").unlink()
        self.server.configuration()
        self.server.process.send_signal(signal.SIGHUP)
        self.assert_served()

    def served_as(self, name):
        return self.run_guest(name=name).returncode == 0


class Revoked(Case):
    settings = {"tls-resume-time": "60s"}

    def reload(self, text="", **changes):
        """Until guestcld has read its files again."""
        begin = self.server.mark()
        self.server.configuration(**changes)
        self.server.process.send_signal(signal.SIGHUP)
        if text:
            self.server.wait_log(text, begin)
        return begin

    def again(self, name):
        """A new certificate of a name whose first one was revoked."""
        for path in (self.server.pki / "clients" / name).iterdir():
            path.unlink()
        self.server.make("client", name)

    def test_refused(self):
        """Only whose certificate was revoked, whether its VM exists or not."""
        self.server.make("revoke", "stranger")
        self.reload()
        begin = self.server.mark()

        def refused():
            return "has been revoked" in self.run_guest(name="stranger").stderr

        self.assertTrue(wait_until(refused, SLOW))
        self.server.wait_log('the certificate of "stranger" has been revoked', begin)
        self.assert_served()
        self.assert_served(name="two")

    def test_running(self):
        """Its session ends with the reload, and comes back no more; another one's goes on."""
        begin = self.server.mark()
        guest = subprocess.Popen([STEPS, "1000000"], env=self.server.environment(),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.addCleanup(guest.kill)
        self.server.wait_log("VM one, tls", begin)
        other = subprocess.Popen([STEPS, "1000000"], env=self.server.environment(name="two"),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.addCleanup(other.kill)
        self.server.wait_log("VM two, tls", begin)
        self.server.make("revoke", "one")
        self.addCleanup(self.again, "one")
        self.reload("one from 127.0.0.1 port")
        _, err = guest.communicate(timeout=50)
        self.assertNotEqual(guest.returncode, 0)
        self.assertIn("ended this session: this machine's certificate has been revoked", err)
        self.assertIsNone(other.poll())
        other.kill()
        other.communicate()
        self.assert_refused("certificate has been revoked")

    def test_dropped(self):
        """Of one whose connection is away at that time: it finds its session no more."""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.stop)
        begin = self.server.mark()
        guest = subprocess.Popen([STEPS, "1000000"], env=self.server.environment(port=proxy.port),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.addCleanup(guest.kill)
        self.server.wait_log("served by worker", begin)
        proxy.refusing = True
        proxy.drop()
        self.server.wait_log("the session waits", begin)
        self.server.make("revoke", "one")
        self.addCleanup(self.again, "one")
        self.reload("one from 127.0.0.1 port")
        proxy.refusing = False
        guest.communicate(timeout=50)
        self.assertNotEqual(guest.returncode, 0)
        self.server.wait_log("ended after", begin)

    def test_server(self):
        """A client that has the list refuses a revoked server."""
        files = self.files("with-list", crl_pem=self.server.pki / "crl.pem")
        self.assert_served(files=files)
        other = pathlib.Path(self.directory.name) / "revoked.pem"
        lists = self.server.pki / "crl.pem"
        before = lists.read_bytes()
        self.server.make("revoke", self.server.address)
        other.write_bytes(lists.read_bytes())
        lists.write_bytes(before)
        files = self.files("with-it-in", crl_pem=other)
        self.assert_refused("has been revoked", files=files)

    def certtool_list(self, name, ca, *days):
        path = pathlib.Path(self.directory.name) / name
        template = pathlib.Path(self.directory.name) / "template"
        template.write_text("\n".join(days) + "\n")
        subprocess.run(
            ["certtool", "--generate-crl", "--load-ca-certificate", ca / "ca.pem", "--load-ca-privkey",
             ca / "ca-key.pem", "--load-certificate", self.server.pki / "clients/stranger/certificate.pem",
             "--template", template, "--outfile", path],
            check=True, capture_output=True,
        )  # fmt: skip
        return path

    def test_out_of_date(self):
        """An old list stays in force, and keeps nobody else out."""
        old = self.certtool_list("old.pem", self.server.pki, 'crl_this_update_date = "2020-01-01"',
                                 'crl_next_update_date = "2020-02-01"')  # fmt: skip
        self.reload("(tls-crl) is out of date", **{"tls-crl": old})
        self.assert_served()
        self.assert_refused("has been revoked", name="stranger")
        self.assert_served(files=self.files("with-old-list", crl_pem=old))
        self.reload()

    def test_no_list(self):
        """A file that is no list, or another authority's, changes nothing."""
        other = pathlib.Path(self.directory.name) / "others"
        self.server.make("init", folder=other)
        bad = pathlib.Path(self.directory.name) / "bad.pem"
        bad.write_text("-----BEGIN X509 CRL-----\nbm8gbGlzdA==\n-----END X509 CRL-----\n")
        empty = pathlib.Path(self.directory.name) / "empty.pem"
        empty.write_text("")
        for path in (other / "crl.pem", bad, empty):
            self.reload("shown what they were before: the list of revoked certificates",
                        **{"tls-crl": path})  # fmt: skip
            self.assert_served()
            files = self.files(f"with-{path.name}-{path.parent.name}", crl_pem=path)
            self.assert_refused("the list of revoked certificates", files=files)
        self.reload("can't read", **{"tls-crl": "/nonexistent/crl.pem"})
        self.assert_served()
        self.reload()


class Doctor(Case):
    """guestcl doctor, in a guest and on the server."""

    def doctor(self, *options, **environment):
        done = subprocess.run(
            [GUESTCL, "doctor", "--json", *options], env={**os.environ, **environment},
            capture_output=True, text=True, timeout=SLOW, check=False,
        )  # fmt: skip
        self.assertEqual(done.stderr, "")
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["works"] else 1)
        return answer["findings"]

    def guest(self, **where):
        return self.doctor(**self.server.environment(**where))

    def server_side(self, *options):
        root = pathlib.Path(self.directory.name) / "root"
        (root / "run/guestcl").mkdir(parents=True, exist_ok=True)
        (root / "etc/guestcl").mkdir(parents=True, exist_ok=True)
        # Files are looked for below the root; the test's lie elsewhere.
        for link, target in ((self.directory.name, self.directory.name), ("etc/guestcl/pki", self.server.pki)):
            place = root / link.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.symlink_to(target)
        return self.doctor("--root", str(root), "--config", str(self.server.folder / "guestcld.conf"),
                           "--vm-dir", "/none", *options, GUESTCL_CHANNEL="none")  # fmt: skip

    def assert_found(self, findings, name, state, text, fix=None):
        found = [finding for finding in findings if finding["name"] == name]
        self.assertTrue(
            [finding for finding in found if finding["state"] == state and text in finding["text"]
             and (fix is None or fix in (finding["fix"] or ""))],
            findings,
        )  # fmt: skip

    def assert_not_found(self, findings, name, state):
        self.assertNotIn((name, state), [(finding["name"], finding["state"]) for finding in findings])

    def certificate(self, name, days, source="one"):
        """A folder like that of @source with a certificate that begins and ends so many days from now."""
        begin, end = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 86400 * day)) for day in days)
        template, path = (pathlib.Path(self.directory.name) / f"{name}.{kind}" for kind in ("template", "pem"))
        template.write_text(
            f'cn = "{source}"\ntls_www_client\nsigning_key\n'
            f'activation_date = "{begin}"\nexpiration_date = "{end}"\n'
        )
        pki = self.server.pki
        subprocess.run(
            ["certtool", "--generate-certificate", "--load-privkey", pki / f"clients/{source}/key.pem",
             "--load-ca-certificate", pki / "ca.pem", "--load-ca-privkey", pki / "ca-key.pem",
             "--template", template, "--outfile", path],
            check=True, capture_output=True,
        )  # fmt: skip
        return self.files(name, source=source, certificate_pem=path)

    def test_good(self):
        findings = self.guest()
        self.assert_found(findings, "tls-files", "ok", "a certificate and its key")
        self.assert_found(findings, "tls-cert", "ok", '"one", good until 20')
        self.assert_found(findings, "tls-port", "ok", "a round trip takes ")
        self.assert_found(findings, "tls-server", "ok", "gpu.example, 127.0.0.1")
        self.assert_found(findings, "tls", "ok", "the host takes sessions at ")
        self.assertNotIn("warning", [finding["state"] for finding in findings])
        findings = self.guest(name="two")
        self.assert_found(findings, "tls-files", "ok", "a pre-shared key")
        self.assert_found(findings, "tls-server", "ok", "the same key")
        self.assert_found(findings, "tls", "ok", "")

    def test_files(self):
        empty = pathlib.Path(self.directory.name) / "nothing"
        empty.mkdir()
        self.assert_found(self.guest(files=empty), "tls-files", "bad", "ca.pem: No such file", "guestcl pki client")
        files = self.files("open")
        (files / "key.pem").chmod(0o644)
        findings = self.guest(files=files)
        self.assert_found(findings, "tls-key", "warning", "open to every user", "chmod o= ")
        self.assert_found(findings, "tls", "ok", "")
        (files / "key.pem").write_bytes((self.server.pki / "ca-key.pem").read_bytes())
        self.assert_found(self.guest(files=files), "tls-files", "bad", "the certificate and its key")

    def test_dates(self):
        findings = self.guest(files=self.certificate("soon", (-1, 5.5)))
        self.assert_found(findings, "tls-cert", "warning", '"one" ends in 5 days', "guestcl pki client")
        self.assert_found(findings, "tls", "ok", "")
        for name, days, text in (("past", (-9, -1), "has ended"), ("coming", (1, 9), "on only")):
            findings = self.guest(files=self.certificate(name, days))
            self.assert_found(findings, "tls-cert", "bad", text)
            self.assert_found(findings, "tls", "bad", "no session with")

    def test_authority(self):
        other = pathlib.Path(self.directory.name) / "another"
        self.server.make("init", folder=other)
        findings = self.guest(files=self.files("other-ca", ca_pem=other / "ca.pem"))
        self.assert_found(findings, "tls-cert", "bad", "not by the authority")
        self.assert_found(findings, "tls-server", "bad", "not trusted", "copy ca.pem")

    def test_way(self):
        self.assert_found(self.guest(port=1), "tls-port", "bad", "Connection refused", "listen-tls = ")
        self.assert_found(self.guest(address="none.invalid"), "tls-host", "bad", "can't find none.invalid", "DNS")
        self.assert_found(self.guest(address="localhost"), "tls-server", "bad", "not trusted",
                          "names: 127.0.0.1, gpu.example")  # fmt: skip

    def test_stranger(self):
        findings = self.guest(name="stranger")
        self.assert_found(findings, "tls-server", "ok", "has proved")
        self.assert_found(findings, "tls", "bad", 'no VM called "stranger"', "server's log")

    def test_silent(self):
        """A server that takes connections and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            findings = self.guest(port=silent.getsockname()[1])
        self.assert_found(findings, "tls-server", "bad", "doesn't answer", "log")

    def test_server(self):
        findings = self.server_side()
        self.assert_found(findings, "tls-cert", "ok", f'"{self.server.address}", good until 20')
        self.assert_found(findings, "tls-port", "ok", f"served on 127.0.0.1:{self.server.port}")
        self.assert_found(findings, "tls-crl", "ok", "crl.pem are refused")
        self.assert_found(findings, "tls-vm", "warning", '"stranger" has a certificate, but is no VM',
                          'vm "stranger" {}')  # fmt: skip
        self.assert_not_found(findings, "tls-key", "warning")
        self.assertEqual([finding["name"] for finding in findings].count("tls-vm"), 1)
        keys = pathlib.Path(self.directory.name) / "keys"
        keys.write_text("two:" + 32 * "ab" + "\nthree:" + 32 * "cd" + "\n")
        keys.chmod(0o644)
        self.server.make("revoke", "stranger")
        self.addCleanup(self.server.configuration)
        self.server.configuration(**{"tls-psk-file": keys, "listen-tls": "127.0.0.1:1"})
        findings = self.server_side()
        self.assert_found(findings, "tls-key", "warning", f"{keys} is open to every user")
        self.assert_found(findings, "tls-port", "bad", "nobody listens on 127.0.0.1:1")
        self.assert_found(findings, "tls-vm", "warning", '"three" has a pre-shared key')
        self.assertEqual([finding["name"] for finding in findings].count("tls-vm"), 1)
        self.server.make("revoke", "--days", "3")
        self.assert_found(self.server_side(), "tls-crl", "warning", "should be followed by a newer list")
        self.server.make("revoke")
        self.server.configuration(**{"tls-crl": None})
        self.assert_found(self.server_side(), "tls-crl", "absent", "no list of revoked", "tls-crl")
        self.server.configuration(**{"tls-key": self.server.pki / "ca-key.pem"})
        self.assert_found(self.server_side(), "tls-files", "bad", "the certificate and its key")
        self.server.configuration(**{"tls-key": "/nonexistent"})
        self.assert_found(self.server_side(), "tls-files", "bad", "/nonexistent: No such file")


class Hostile(Case):
    settings = {"tls-handshake-timeout": "10s" if SANITIZED else "3s", "max-greetings": "8"}

    def connect(self, source="127.0.0.1"):
        where = (self.server.address, self.server.port)
        return socket.create_connection(where, timeout=SLOW, source_address=(source, 0))

    def context(self, version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        files = self.server.pki / "clients/one"
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(files / "ca.pem")
        context.load_cert_chain(files / "certificate.pem", files / "key.pem")
        return context

    def tearDown(self):
        """Whatever came, others are served, and nothing stays."""
        self.assert_served()
        quiet = wait_until(lambda: len(self.server.processes()) == 1, 20)
        self.assertTrue(quiet, f"left: {self.server.processes()}")

    def test_old_version(self):
        with self.connect() as conn, self.assertRaises((ssl.SSLError, OSError)):
            self.context(ssl.TLSVersion.TLSv1_2).wrap_socket(conn, server_hostname="127.0.0.1")

    def test_no_certificate(self):
        context = self.context(ssl.TLSVersion.TLSv1_3)
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.load_verify_locations(self.server.pki / "ca.pem")
        with self.connect() as conn, self.assertRaises((ssl.SSLError, OSError)):
            # TLS 1.3: a client hears of it when it reads.
            with bare.wrap_socket(conn, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"x" * 100)
                if not tls.recv(1):
                    raise OSError("closed")
        # With one the handshake is done, so that the rest of what is tried here means something.
        with self.connect() as conn:
            context.wrap_socket(conn, server_hostname="127.0.0.1").close()

    def test_garbage(self):
        generator = random.Random(1)
        for size in (1, 5, 100, 100000):
            with self.connect() as conn:
                try:
                    conn.sendall(generator.randbytes(size))
                    conn.shutdown(socket.SHUT_WR)
                    while conn.recv(4096):
                        pass
                except OSError:
                    pass

    def test_garbage_inside(self):
        """Of one who has proved who it is."""
        generator = random.Random(2)
        context = self.context(ssl.TLSVersion.TLSv1_3)
        for size in (1, 47, 48, 49, 5000, 500000):
            with self.connect() as conn, context.wrap_socket(
                conn, server_hostname="127.0.0.1"
            ) as tls:
                try:
                    tls.sendall(generator.randbytes(size))
                    tls.unwrap()
                except OSError:
                    pass

    def test_stalled(self):
        """Handshakes that don't go on take no more than half of the places, and not for long."""
        stalled = [self.connect("127.0.0.2") for _ in range(20)]
        for conn in stalled[::2]:
            conn.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.assertLessEqual(len(self.server.processes()), 1 + 4)
        self.assert_served()
        for conn in stalled:
            try:
                while conn.recv(4096):
                    pass
            except TimeoutError:
                self.fail("a handshake that doesn't go on keeps its place")
            except OSError:
                pass
            conn.close()

    def test_many(self):
        guests = [
            subprocess.Popen([STEPS, "16"], env=self.server.environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(12)
        ]  # fmt: skip
        served = 0
        for guest in guests:
            out, err = guest.communicate(timeout=SLOW)
            served += guest.returncode == 0
            # More than half of the places at one time: the rest is told so by the end of it.
            self.assertTrue("16 steps: " in out or "no OpenCL devices" in err, out + err)
        self.assertGreaterEqual(served, 4)


class Resume(Case):
    # Where the build has zstd, its packing is in the way of all that comes here.
    settings = {"tls-resume-time": "20s", "tls-compression": "zstd"}

    def setUp(self):
        self.proxy = Proxy(self.server.port)
        self.addCleanup(self.proxy.stop)

    def start(self, *command):
        return subprocess.Popen(command, env=self.server.environment(port=self.proxy.port),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip

    def native(self, *command):
        done = subprocess.run(command, env=NATIVE, capture_output=True, text=True, check=True,
                              timeout=SLOW)  # fmt: skip
        return done.stdout

    def wait_resumed(self, guest, begin):
        """Until the session of @guest, which began at @begin of the log, has a connection."""

        def resumed():
            text = self.server.log.read_text(errors="replace")[begin:]
            return text.rfind("the session goes on") >= text.rfind("the session waits")

        wait_until(lambda: resumed() or guest.poll() is not None, SLOW)

    def drop_through(self, reset):
        """Each command runs exactly once, however often the connection drops."""
        wanted = self.native(STEPS, DROPPED_STEPS)
        generator = random.Random(int(reset))
        begin = self.server.mark()
        guest = self.start(STEPS, DROPPED_STEPS)
        self.server.wait_log("served by worker", begin)
        drops = 0
        while guest.poll() is None:
            # Mostly when the session goes on; sometimes in the middle of a handshake.
            if generator.random() < 0.8:
                self.wait_resumed(guest, begin)
            time.sleep(generator.uniform(0.005, 0.2))
            drops += self.proxy.drop(reset)
        out, err = guest.communicate(timeout=SLOW)
        self.assertEqual(out, wanted, err + self.server.log.read_text())
        self.assertGreater(self.proxy.connections, 2)
        print(f"(dropped {drops} connections) ", end="", file=sys.stderr)

    def test_closed(self):
        self.drop_through(False)

    def test_reset(self):
        self.drop_through(True)

    def test_too_long(self):
        """A server that is away for longer than it may be: the program gets errors, and ends."""
        self.server.configuration(**{"tls-resume-time": "1s"})
        self.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        begin = self.server.mark()
        guest = self.start(STEPS, "1000000")
        self.server.wait_log("VM one", begin)
        time.sleep(1)
        self.proxy.refusing = True
        self.proxy.drop()
        _, err = guest.communicate(timeout=30)
        self.assertNotEqual(guest.returncode, 0)
        self.assertIn("error", err)
        self.server.wait_log("nobody came back", begin)
        self.server.configuration()
        self.server.process.send_signal(signal.SIGHUP)

    def test_killed_process(self):
        """The server's process of a session dies: the session ends, and no other."""
        guest = self.start(STEPS, "1000000")
        self.assertTrue(wait_until(lambda: len(self.server.processes()) == 2, SLOW))
        time.sleep(0.5)
        own = max(self.server.processes())
        os.kill(own, signal.SIGKILL)
        _, err = guest.communicate(timeout=60)
        self.assertNotEqual(guest.returncode, 0, err)
        self.assert_served()

    def test_worker_ends(self):
        """The end of a session is told through the tunnel."""
        begin = self.server.mark()
        guest = self.start(STEPS, "1000000")
        self.server.wait_log("served by worker", begin)
        text = self.server.log.read_text()[begin:]
        worker = int(text.partition("served by worker ")[2].split()[0])
        time.sleep(0.5)
        os.kill(worker, signal.SIGKILL)
        _, err = guest.communicate(timeout=20)
        self.assertNotEqual(guest.returncode, 0, err)

    def test_guest_killed(self):
        """A guest that dies takes its session with it, after the time to come back at most."""
        self.server.configuration(**{"tls-resume-time": "1s"})
        self.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        guest = self.start(STEPS, "1000000")
        self.assertTrue(wait_until(lambda: len(self.server.processes()) == 2, SLOW))
        time.sleep(0.5)
        guest.kill()
        guest.communicate()
        self.assertTrue(wait_until(lambda: len(self.server.processes()) == 1, 20))
        self.server.configuration()
        self.server.process.send_signal(signal.SIGHUP)


class Takeover(Case):
    def sessions(self):
        """Of guestcld's status: way and address of each."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.server.control))
            control.sendall(b'{"do": "status"}\n')
            answer = json.loads(control.makefile().readline())
        return [(session["channel"], session.get("peer")) for session in answer["sessions"]]

    def told_of(self, proxy):
        """One session, and it comes from there."""
        return self.sessions() == [("tls", f"127.0.0.1 port {proxy.source()}")]

    def test_status(self):
        """What it comes by, and from where, is known over a takeover and another connection."""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.stop)
        begin = self.server.mark()
        guest = subprocess.Popen([STEPS, "1000000"], env=self.server.environment(port=proxy.port),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        self.addCleanup(guest.wait)
        self.addCleanup(guest.kill)
        self.assertTrue(wait_until(lambda: self.told_of(proxy), SLOW), self.sessions())
        self.server.process.send_signal(signal.SIGUSR2)
        self.server.wait_log("took over; sessions: 1", begin)
        self.assertTrue(self.told_of(proxy), self.sessions())
        proxy.drop()
        self.server.wait_log(": goes on from 127.0.0.1 port", begin)
        self.assertTrue(wait_until(lambda: self.told_of(proxy), SLOW), self.sessions())

    def test_restart(self):
        """Another guestcld takes over: sessions go on, can be resumed, and new ones begin."""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.stop)
        wanted = subprocess.run([STEPS, "1600"], env=NATIVE, capture_output=True, text=True,
                                check=True, timeout=SLOW).stdout  # fmt: skip
        begin = self.server.mark()
        guest = subprocess.Popen([STEPS, "1600"], env=self.server.environment(port=proxy.port),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.server.wait_log("served by worker", begin)
        self.server.process.send_signal(signal.SIGUSR2)
        self.server.wait_log("took over; sessions: 1", begin)
        proxy.drop()
        self.assert_served()
        out, err = guest.communicate(timeout=SLOW)
        self.assertEqual(out, wanted, err + self.server.log.read_text())


class Settings(unittest.TestCase):
    def check(self, text):
        with temporary() as folder:
            path = pathlib.Path(folder) / "guestcld.conf"
            path.write_text(text)
            done = subprocess.run([PATHS["guestcld"], "--check-config", "--config", path],
                                  capture_output=True, text=True, check=False, timeout=SLOW)  # fmt: skip
            return done.returncode, done.stdout + done.stderr.replace(str(path), "FILE")

    def test_right(self):
        for where in (":17228", "10.0.0.1:17228", "[::1]:1", "0.0.0.0:65535"):
            status, text = self.check(f'listen-tls = "{where}"\ntls-psk-file = /x\n')
            self.assertEqual(status, 0, text)

    def test_wrong(self):
        for where in ("17228", "localhost:17228", ":0", ":65536", "[::1:17", "::1:17228", ":x"):
            status, text = self.check(f'\nlisten-tls = "{where}"\ntls-psk-file = /x\n')
            self.assertNotEqual(status, 0, text)
            self.assertIn("FILE:2: listen-tls can't be", text)

    def test_together(self):
        for more in ("", "tls-key = /x\n", "tls-key = /x\ntls-ca = /y\ntls-psk-file = /z\n"):
            status, text = self.check(f'\n\nlisten-tls = ":17228"\n{more}')
            self.assertNotEqual(status, 0, text)
            self.assertIn("FILE:3: listen-tls needs", text)
        status, text = self.check('listen-tls = ":1"\ntls-psk-file = /x\ntls-crl = /y\n')
        self.assertNotEqual(status, 0, text)
        self.assertIn("with tls-crl", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
