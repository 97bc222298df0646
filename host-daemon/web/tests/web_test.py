# SPDX-License-Identifier: MIT
"""guestcl-web as programs see it: web_test.py GUESTCL_WEB PAGE [TEST...]."""

import http.client
import json
import os
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time
import unittest

import server
from fake_control import Server, device, session, status, vm
from server import PATIENCE, Web

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    print("python3-prometheus-client is not installed")
    sys.exit(77)

NASTY = 'a"b\\c\n{}=,# d\x1b'


def sample():
    return status(
        devices=[device(0, name='GPU "0" \\ \n', memory=3 << 30, busy=12_345_678_901, waiting=6), device(1)],
        vms=[
            vm("anna", memory=2 << 30, busy=1_500_000_000, calls=7, errors=2, traffic=1000, memory_limit=4 << 30),
            {**vm("x", "paused"), "name": NASTY},
        ],
        sessions=[{**session(1, "anna"), "queues_away": 2, "places": [{"server": "a", "device": 0}]}],
        moves={"under_way": 1, "done": 5, "failed": 2, "bytes": 1 << 20, "pause_ns": 1_500_000_000, "links": 1},
        etcd={"state": "down", "state_s": 3.5, "error": "x"},
        servers=[{"name": name, "state": state} for name, state in (("a", "stale"), ("b", "stale"), ("c", "known"))],
    )


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def served(self, answer=None):
        """A control socket and a guestcl-web, until the test ends."""
        control = Server(self.folder, answer or (lambda _: sample()))
        control.__enter__()
        self.addCleanup(control.__exit__)
        web = Web(self.folder)
        web.__enter__()
        self.addCleanup(web.__exit__)
        return web, control


class Metrics(Case):
    def families(self, web):
        code, headers, body = web.get("/metrics")
        self.assertEqual(code, 200, body)
        self.assertIn("version=0.0.4", headers["Content-Type"])
        return {family.name: family for family in text_string_to_metric_families(body.decode())}

    def value(self, families, name, **labels):
        family = families[name.removesuffix("_total")]
        found = [
            one.value for one in family.samples
            if one.name == name and labels.items() <= one.labels.items()
        ]  # fmt: skip
        self.assertEqual(len(found), 1, (name, labels, family))
        return found[0]

    def test_values(self):
        web, _ = self.served()
        families = self.families(web)
        for name, labels, value in [
            ("guestcl_sessions", {}, 1),
            ("guestcl_guests_refused_total", {}, 3),
            ("guestcl_build_info", {"version": "0.0.fake"}, 1),
            ("guestcl_device_held_bytes", {"device": "0"}, 3 << 30),
            ("guestcl_device_sessions_waiting", {"device": "0"}, 6),
            ("guestcl_device_sessions_waiting", {"device": "1"}, 0),
            ("guestcl_device_time_seconds_total", {"device": "0"}, 12.345678901),
            ("guestcl_vm_memory_bytes", {"vm": "anna", "device": "0"}, 2 << 30),
            ("guestcl_vm_device_time_seconds_total", {"vm": "anna", "device": "0"}, 1.5),
            ("guestcl_vm_wait_seconds_total", {"vm": "anna"}, 0.75),
            ("guestcl_vm_memory_limit_bytes", {"vm": "anna"}, 4 << 30),
            ("guestcl_vm_received_bytes_total", {"vm": "anna"}, 1000),
            ("guestcl_vm_calls_total", {"vm": "anna"}, 7),
            ("guestcl_vm_errors_total", {"vm": "anna"}, 2),
            ("guestcl_vm_paused", {"vm": "anna"}, 0),
            ("guestcl_vm_paused", {"id": "vm-x"}, 1),
            ("guestcl_servers", {"state": "stale"}, 2),
            ("guestcl_servers", {"state": "known"}, 1),
            ("guestcl_servers", {"state": "up"}, 0),
            ("guestcl_etcd_up", {}, 0),
            ("guestcl_queues_away", {}, 2),
            ("guestcl_moves_under_way", {}, 1),
            ("guestcl_moves_total", {}, 5),
            ("guestcl_moves_failed_total", {}, 2),
            ("guestcl_moved_bytes_total", {}, 1 << 20),
            ("guestcl_move_pause_seconds_total", {}, 1.5),
            ("guestcl_links", {}, 1),
        ]:
            self.assertAlmostEqual(self.value(families, name, **labels), value, msg=name)

    def test_form(self):
        """Counters are counters, gauges are gauges, and each has a help."""
        web, _ = self.served()
        for name, family in self.families(web).items():
            self.assertRegex(name, r"^guestcl_[a-z_]+$")
            self.assertIn(family.type, {"counter", "gauge"})
            self.assertTrue(family.documentation)
            total = any(one.name.endswith("_total") for one in family.samples)
            self.assertEqual(total or not family.samples, family.type == "counter" or not family.samples, name)
            keys = [tuple(sorted(one.labels.items())) for one in family.samples]
            self.assertEqual(len(keys), len(set(keys)), name)

    def test_names(self):
        """Any name is one label."""
        web, _ = self.served()
        families = self.families(web)
        names = {one.labels["vm"] for one in families["guestcl_vm_sessions"].samples}
        self.assertEqual(names, {"anna", 'a"b\\c?{}=,# d?'})

    def test_odd_status(self):
        for odd in (
            {"ok": True}, {"ok": True, "vms": 1, "devices": [None, 5], "daemon": []},
            {"ok": True, "vms": [{}, {"devices": [[], {}] * 100}], "sessions": {}},
        ):  # fmt: skip
            with self.subTest(odd):
                self.setUp()
                web, _ = self.served(lambda _, odd=odd: odd)
                self.families(web)


class Api(Case):
    def test_status(self):
        web, _ = self.served()
        code, headers, body = web.get("/api/status")
        self.assertEqual(code, 200)
        self.assertEqual(headers["Content-Type"], "application/json")
        expected = sample()
        got = json.loads(body)
        self.assertEqual(got["vms"], expected["vms"])

    def test_only_status(self):
        web, control = self.served()
        for path in ("/metrics", "/api/status", "/"):
            web.get(path)
        self.assertEqual({asked["do"] for asked in control.requests}, {"status"})

    def test_rarely(self):
        """Many who ask don't keep guestcld busy."""
        web, control = self.served()
        start = time.monotonic()
        for _ in range(100):
            self.assertEqual(web.get("/metrics")[0], 200)
        self.assertLessEqual(len(control.requests), 2 + (time.monotonic() - start) * 4)

    def test_daemon_restarts(self):
        web, control = self.served()
        self.assertEqual(web.get("/metrics")[0], 200)
        control.__exit__()
        time.sleep(0.3)
        for path in ("/metrics", "/api/status"):
            code, _, body = web.get(path)
            self.assertEqual(code, 503)
            self.assertRegex(body.decode(), "can't reach guestcld|ended the connection")
        self.assertEqual(web.get("/")[0], 200)
        again = Server(self.folder, lambda _: sample())
        with again:
            time.sleep(0.3)
            self.assertEqual(web.get("/metrics")[0], 200)

    def test_silent_daemon(self):
        """One that hangs costs those who ask a while, not the server."""
        silent = threading.Event()
        web, _ = self.served(lambda _: silent.wait())
        self.addCleanup(silent.set)
        self.assertEqual(web.get("/metrics")[0], 503)


class Access(Case):
    def test_token(self):
        web, _ = self.served()
        for path in ("/", "/metrics", "/api/status", "/view.js", "/view.css", "/chart.js", "/nothing"):
            for headers in (
                {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
                {"Authorization": "Bearer " + "0" * 64}, {"Authorization": f"Basic {web.token}"},
                {"Authorization": f"Bearer {web.token}0"}, {"Authorization": f"Bearer {web.token[:-1]}"},
                {"Authorization": f"Bearer {web.token} "[:-2]},
                {"Cookie": "guestcl="}, {"Cookie": f"guestcl={web.token}"}, {"Cookie": "guestcl=" + "0" * 64},
            ):  # fmt: skip
                code, given, body = web.raw(path, headers)
                self.assertEqual(code, 401, (path, headers))
                self.assertEqual(given["WWW-Authenticate"], "Bearer")
                self.assertNotIn(web.token.encode(), body)
                self.assertNotIn(b"anna", body)
            self.assertEqual(web.raw(path + "?token=wrong", {})[0], 401)
        for path in ("/metrics", "/api/status", "/view.js", "/chart.js"):
            self.assertEqual(web.get(path)[0], 200, path)
            # Only the page turns it into a cookie.
            self.assertEqual(web.raw(f"{path}?token={web.token}", {})[0], 401)
        self.assertEqual(web.get("/nothing")[0], 404)
        self.assertEqual(web.get("/../etc/passwd")[0], 404)

    def test_cookie(self):
        web, _ = self.served()
        code, headers, _ = web.raw(f"/?token={web.token}", {})
        self.assertEqual((code, headers["Location"]), (303, "/"))
        cookie = headers["Set-Cookie"]
        self.assertRegex(cookie, r"^guestcl=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Strict$")
        self.assertNotIn(web.token, cookie)
        self.assertEqual(web.raw("/", {"Cookie": cookie.split(";")[0]})[0], 200)
        self.assertEqual(web.raw("/api/status", {"Cookie": "a=b; " + cookie.split(";")[0]})[0], 200)
        self.assertEqual(web.raw("/", {"Cookie": cookie.split(";")[0][:-1]})[0], 401)

    def test_headers(self):
        web, _ = self.served()
        for answer in (web.get("/"), web.get("/metrics"), web.raw("/", {}), web.get("/nothing")):
            headers = answer[1]
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["X-Frame-Options"], "DENY")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertEqual(headers["Cache-Control"], "no-store")
            self.assertIsNone(headers["Access-Control-Allow-Origin"])

    def test_hosts(self):
        """A name that isn't ours, as DNS rebinding would have it, gets nothing even with the token."""
        web, _ = self.served()
        for host, code in [
            ("127.0.0.1", 200), ("127.0.0.1:1234", 200), ("localhost", 200), ("LOCALHOST:80", 200),
            ("[::1]:9490", 200), ("192.168.1.2", 200), ("proxy.example", 200),
            ("evil.example", 421), ("evil.example:9490", 421), ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example", 421), ("", 421), ("[::1].evil", 421), ("127.0.0.1:x", 421),
            ("[evil]", 421), ("[", 421), ("a" * 5000, 421),
        ]:  # fmt: skip
            self.assertEqual(web.get("/metrics", Host=host)[0], code, host)

    def test_methods(self):
        web, _ = self.served()
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"):
            self.assertEqual(web.get("/api/status", method=method, body=b"x" * 100000)[0], 405, method)
        code, headers, body = web.get("/metrics", method="HEAD")
        self.assertEqual((code, body), (200, b""))
        self.assertGreater(int(headers["Content-Length"]), 1000)
        self.assertEqual(web.get("/metrics", body=b"x" * 100000)[0], 200)

    def test_garbage(self):
        """What is no HTTP harms nobody."""
        web, _ = self.served()
        for data in (
            b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50000 + b"\r\n", b"\x16\x03\x01\x02\x00\x01",
            b"GET /%00?token=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):  # fmt: skip
            with socket.create_connection(("127.0.0.1", web.port), PATIENCE) as peer:
                try:
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)
                    peer.settimeout(1)
                    while peer.recv(65536):
                        pass
                except OSError:
                    pass
            self.assertEqual(web.get("/metrics")[0], 200)

    def test_many_connections(self):
        """Those beyond the limit are turned away, and there is room again when the others go."""
        web, _ = self.served()
        peers = [socket.create_connection(("127.0.0.1", web.port), PATIENCE) for _ in range(100)]
        time.sleep(0.2)
        self.assertLess(len(os.listdir(f"/proc/{web.process.pid}/fd")), 90)
        for peer in peers:
            peer.close()
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.assertEqual(web.get("/metrics")[0], 200)
                return
            except (OSError, http.client.HTTPException):
                self.assertLess(time.monotonic(), until)


class TokenFile(Case):
    def refused(self, *words):
        web = Web(self.folder, *words)
        code, text = web.fails()
        self.assertEqual(code, 1)
        return text

    def test_made(self):
        """At the first start, for its owner alone; and it stays."""
        token = self.folder / "new" / "token"
        with Web(self.folder, token=token) as web:
            self.assertEqual(token.stat().st_mode & 0o777, 0o600)
            self.assertEqual(token.parent.stat().st_mode & 0o777, 0o700)
            self.assertRegex(token.read_text(), r"^[0-9a-f]{64}\n$")
            first = web.token
            self.assertNotIn(first, web.text())
        with Web(self.folder, token=token) as web:
            self.assertEqual(web.token, first)
        self.assertEqual([file.name for file in token.parent.iterdir()], ["token"])

    def test_own(self):
        token = self.folder / "token"
        token.write_text("My.own_token-of~16\n")
        token.chmod(0o400)
        with Server(self.folder, lambda _: sample()), Web(self.folder) as web:
            self.assertEqual(web.get("/metrics")[0], 200)

    def test_wrong(self):
        token = self.folder / "token"
        for text in ("", "\n", "short", "a b" * 10, "x" * 257, "x" * 10000, "<script>" * 4, "\0" * 64):
            token.write_text(text)
            token.chmod(0o600)
            self.assertIn("holds no token", self.refused())
        token.write_text("x" * 64)
        for mode in (0o640, 0o604, 0o666):
            token.chmod(mode)
            self.assertIn("chmod 600", self.refused())
        token.unlink()
        token.mkdir()
        self.assertIn(str(token), self.refused())
        token.rmdir()
        os.mkfifo(token, 0o600)
        self.assertIn(str(token), self.refused())
        token.unlink()
        token.symlink_to("/nonexistent/folder/token")
        self.assertIn(str(token), self.refused())

    def test_listen(self):
        for address in ("", "9490", "localhost:9490", "127.0.0.1:", "127.0.0.1:99999", "1.2.3.4:1", ":1", "[::1:1"):
            self.assertIn("can't listen", self.refused("--listen", address))
        with Web(self.folder) as web:
            self.assertIn("in use", self.refused("--listen", f"127.0.0.1:{web.port}"))
        with Web(self.folder, "--listen", "0.0.0.0:0") as web:
            self.assertIn("TLS", web.text())
        with Web(self.folder, "--listen", "127.9.9.9:0") as web:
            self.assertNotIn("TLS", web.text())


class Process(Case):
    def test_until_eof(self):
        web = Web(self.folder, "--until-eof")
        with web:
            web.process.stdin.close()
            self.assertEqual(web.process.wait(PATIENCE), 0)

    def test_no_rights(self):
        """No capability is left, no new ones come, and no file can be opened."""
        with Web(self.folder) as web:
            lines = pathlib.Path(f"/proc/{web.process.pid}/status").read_text()
            for name in ("CapPrm", "CapEff", "CapBnd"):
                if name != "CapBnd" or os.getuid() == 0:
                    self.assertRegex(lines, rf"(?m)^{name}:\s+0+$")
            self.assertRegex(lines, r"(?m)^NoNewPrivs:\s+1$")

    def test_no_charts(self):
        with Server(self.folder, lambda _: sample()), Web(self.folder, "--chart", "/nonexistent") as web:
            self.assertIn("libjs-chart.js", web.text())
            self.assertEqual(web.get("/chart.js")[0], 404)
            self.assertEqual(web.get("/")[0], 200)

    def test_page(self):
        """It names no other host, and no code stands in the markup."""
        folder = pathlib.Path(server.PAGE)
        for file in folder.iterdir():
            self.assertNotRegex(file.read_text(), r"https?://(?!www\.w3\.org)", file)
        index = (folder / "index.html").read_text()
        self.assertFalse(re.findall(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=", index))
        self.assertNotIn("innerHTML", (folder / "view.js").read_text())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
