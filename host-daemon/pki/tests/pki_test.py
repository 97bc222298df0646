# SPDX-License-Identifier: MIT
"""guestcl pki as users call it: pki_test.py GUESTCL-PKI. certtool, where it is, has the last word."""

import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1]
CERTTOOL = shutil.which("certtool")
USAGE = 64


class Pki(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name) / "a" / "pki"

    def pki(self, *words):
        return subprocess.run(
            [PROGRAM, "pki", *words, "--folder", self.folder],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def make(self, *words):
        done = self.pki(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def files(self):
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def certtool(self, *words, path=None):
        done = subprocess.run(
            [CERTTOOL, *words, *(["--infile", path] if path else [])],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_files(self):
        self.make("init")
        self.assertIn("tls-key = ", self.make("server", "gpu1", "10.0.0.1", "::1"))
        self.make("client", "web1")
        self.make("psk", "web2")
        names = self.files()
        issued = {name for name in names if re.fullmatch(r"issued/[0-9a-f]{32}\.pem", name)}
        self.assertEqual({names[name] for name in issued},
                         {names[f"{machine}/certificate.pem"]
                          for machine in ("servers/gpu1", "clients/web1")})  # fmt: skip
        self.assertEqual(
            set(names) - issued,
            {"ca.pem", "ca-key.pem", "crl.pem", "clients/web2/psk"}
            | {f"{machine}/{file}" for machine in ("servers/gpu1", "clients/web1")
               for file in ("ca.pem", "certificate.pem", "key.pem")},
        )  # fmt: skip
        for name in names:
            mode = stat.S_IMODE((self.folder / name).stat().st_mode)
            self.assertEqual(mode, 0o600, name)
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.assertEqual(names["ca.pem"], names["clients/web1/ca.pem"])
        self.assertRegex(names["clients/web2/psk"].decode(), r"^web2:[0-9a-f]{64}\n$")

    def test_nothing_is_overwritten(self):
        self.make("init")
        self.make("server", "gpu1")
        self.make("client", "web1")
        self.make("psk", "web1")
        before = self.files()
        for words in (("init",), ("server", "gpu1"), ("client", "web1"), ("psk", "web1")):
            done = self.pki(*words)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("is there already", done.stderr)
        self.assertEqual(self.files(), before)

    def test_half_of_it(self):
        """Where one file is there, none of the others is made."""
        self.make("init")
        folder = self.folder / "clients" / "web1"
        folder.mkdir(parents=True)
        (folder / "ca.pem").write_text("mine")
        self.assertEqual(self.pki("client", "web1").returncode, 1)
        self.assertEqual([path.name for path in folder.iterdir()], ["ca.pem"])
        self.assertEqual((folder / "ca.pem").read_text(), "mine")

    def test_wrong(self):
        for words in ((), ("cure",), ("client",), ("server",), ("client", "a", "b"), ("client", "a/b"),
                      ("client", "x" * 65), ("client", ".."), ("init", "--days", "0"), ("psk", "a:b"),
                      ("init", "--days", "9999999999999999999999")):  # fmt: skip
            done = self.pki(*words)
            self.assertEqual(done.returncode, USAGE, words)
        self.assertEqual(self.pki("list", "web1").returncode, USAGE)
        self.assertFalse(self.folder.exists())
        for words in (("revoke", "web1"), ("revoke",)):
            self.assertIn("guestcl pki init", self.pki(*words).stderr)
        self.assertIn("guestcl pki init", self.pki("client", "web1").stderr)

    def listed(self):
        """What the list says of each name: (what it is for, its state)."""
        lines = self.make("list").splitlines()
        self.assertRegex(lines[0], r"^NAME +FOR +UNTIL +STATE +SERIAL$")
        return [re.match(r"(\S+) +(\S+) +\S+ +(\w+)", line).groups() for line in lines[1:]]

    def test_revoke(self):
        self.make("init")
        self.make("server", "gpu1")
        self.make("client", "web1")
        self.make("client", "web2")
        self.assertEqual(sorted(self.listed()), [("gpu1", "server", "good"), ("web1", "client", "good"),
                                                 ("web2", "client", "good")])  # fmt: skip
        done = self.make("revoke", "web1")
        self.assertIn('of "web1"', done)
        self.assertIn("systemctl reload guestcld", done)
        # A second time changes nothing but the list's number and date.
        self.assertIn("was revoked before", self.make("revoke", "web1"))
        # A file; and one whose own folder is gone.
        self.make("revoke", self.folder / "servers/gpu1/certificate.pem")
        shutil.rmtree(self.folder / "clients/web2")
        self.make("revoke", "web2")
        self.assertEqual({state for _, _, state in self.listed()}, {"revoked"})
        self.assertEqual(stat.S_IMODE((self.folder / "crl.pem").stat().st_mode), 0o600)
        # Another certificate of the name is good; the name then means both.
        self.make("client", "web2")
        self.assertEqual(sorted(state for name, _, state in self.listed() if name == "web2"),
                         ["good", "revoked"])  # fmt: skip
        self.make("revoke", "web2")
        self.assertNotIn("good", [state for _, _, state in self.listed()])

    def test_revoke_wrong(self):
        self.make("init")
        self.make("client", "web1")
        other = self.folder.parent / "other"
        for words in (("init",), ("client", "web1")):
            done = subprocess.run([PROGRAM, *words, "--folder", other], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0)
        before = self.files()
        for name, reason in (("web2", "has made no certificate"), ("./web2", "No such file"),
                             (self.folder / "ca-key.pem", "can't"),
                             (other / "clients/web1/certificate.pem", "is not by the authority")):  # fmt: skip
            # What is right beside it is not done, either.
            done = self.pki("revoke", "web1", name)
            self.assertEqual(done.returncode, 1, name)
            self.assertIn(reason, done.stderr)
            self.assertEqual(self.files(), before)

    def test_revoke_at_once(self):
        """Several at one time: none is lost."""
        self.make("init")
        for name in "abcdef":
            self.make("client", name)
        running = [subprocess.Popen([PROGRAM, "revoke", name, "--folder", self.folder],
                                    stdout=subprocess.DEVNULL) for name in "abcdef"]  # fmt: skip
        self.assertEqual([process.wait(60) for process in running], 6 * [0])
        self.assertEqual([state for _, _, state in self.listed()], 6 * ["revoked"])

    @unittest.skipUnless(CERTTOOL, "no certtool")
    def test_list_of_revoked(self):
        self.make("init")
        self.make("client", "web1")
        ca, crl = self.folder / "ca.pem", self.folder / "crl.pem"
        numbers = []
        for words in ((), ("revoke", "web1"), ("revoke",), ("revoke", "--days", "7")):
            if words:
                self.make(*words)
            text = self.certtool("--crl-info", path=crl)
            self.assertIn(f"Revoked certificates ({1 if words else 0})" if words else "No revoked", text)
            numbers.append(int(re.search(r"CRL Number.*: ([0-9a-f]+)", text).group(1), 16))
            self.certtool("--verify-crl", "--load-ca-certificate", ca, path=crl)
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_broken_list(self):
        """It is told, and stays as it is."""
        self.make("init")
        self.make("client", "web1")
        crl = self.folder / "crl.pem"
        crl.write_text("no list")
        done = subprocess.run([PROGRAM, "revoke", "web1", "--folder", self.folder],
                              capture_output=True, text=True)  # fmt: skip
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("list of revoked certificates", done.stderr)
        self.assertIn("nothing was revoked", done.stderr)
        self.assertEqual(crl.read_text(), "no list")

    @unittest.skipUnless(CERTTOOL, "no certtool")
    def test_certificates(self):
        self.make("init", "ours")
        self.make("server", "gpu1.example.org", "10.0.0.1", "--days", "30")
        self.make("client", "web1")
        for machine, purpose, other in (
            ("servers/gpu1.example.org", "TLS WWW Server", "TLS WWW Client"),
            ("clients/web1", "TLS WWW Client", "TLS WWW Server"),
        ):
            path = self.folder / machine / "certificate.pem"
            text = self.certtool("--certificate-info", path=path)
            self.assertIn(f"\t\t\t{purpose}", text)
            self.assertNotIn(other, text)
            self.assertIn("Issuer: CN=ours", text)
            self.assertIn("Certificate Authority (CA): FALSE", text)
            self.certtool("--verify", "--load-ca-certificate", self.folder / "ca.pem", path=path)
        text = self.certtool("--certificate-info", path=self.folder / "servers/gpu1.example.org/certificate.pem")
        self.assertIn("DNSname: gpu1.example.org", text)
        self.assertIn("IPAddress: 10.0.0.1", text)
        text = self.certtool("--certificate-info", path=self.folder / "ca.pem")
        self.assertIn("Certificate Authority (CA): TRUE", text)
        self.assertTrue(re.search(r"Certificate signing", text))


unittest.main(argv=sys.argv[:1])
