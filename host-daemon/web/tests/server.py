# SPDX-License-Identifier: MIT
"""A guestcl-web of its own for a test; argv[1:3] are the program and its page's folder."""

import http.client
import pathlib
import re
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tool" / "tests"))

PROGRAM, PAGE = sys.argv[1:3]
PATIENCE = 30


class Web:
    """Serves what control.sock in the folder says, on a free port."""

    def __init__(self, folder, *words, token=None):
        self.folder = pathlib.Path(folder)
        self.token_file = token or self.folder / "token"
        self.log = self.folder / "web.log"
        self.words = ["--listen", "127.0.0.1:0", "--host", "proxy.example", *words]
        self.port = None
        self.process = None

    def start(self):
        command = [
            PROGRAM, "--token-file", self.token_file, "--control", self.folder / "control.sock", "--page", PAGE,
            *self.words,
        ]  # fmt: skip
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def text(self):
        return self.log.read_text()

    def fails(self):
        """It doesn't start. Returns its status and what it said."""
        self.start()
        try:
            return self.process.wait(PATIENCE), self.text()
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()

    def __enter__(self):
        self.start()
        until = time.monotonic() + PATIENCE
        while not (found := re.search(r"serving http://\S+:(\d+)/", self.text())):
            assert self.process.poll() is None and time.monotonic() < until, self.text()
            time.sleep(0.01)
        self.port = int(found[1])
        self.token = pathlib.Path(self.token_file).read_text().strip()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        assert code == 0, self.text()

    def raw(self, path, headers, method="GET", body=None):
        """Returns code, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path, method="GET", body=None, **headers):
        return self.raw(path, {"Authorization": f"Bearer {self.token}", **headers}, method, body)
