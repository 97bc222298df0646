# SPDX-License-Identifier: MIT
"""An etcd of three members on loopback, whose members can be killed and started again."""

import json
import pathlib
import signal
import subprocess
import time
import urllib.request
from base64 import b64encode

from server import free_port

SLOW = 120  # seconds that nothing takes, even on a machine that has much else to do
# Without a common name: that would be a user of etcd's, whom its JSON gateway doesn't take.
TEMPLATE = """dns_name = "localhost"
ip_address = "127.0.0.1"
tls_www_server
tls_www_client
signing_key
encryption_key
expiration_days = 10
"""


def certtool(*words):
    subprocess.run(["certtool", *map(str, words)], check=True, capture_output=True)


class Authority:
    """Makes certificates that are good on both sides, as members need them among each other."""

    def __init__(self, folder, name="etcd"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        template = self.folder / "ca.template"
        template.write_text(f'cn = "{name}"\nca\ncert_signing_key\nexpiration_days = 10\n')
        self.ca, self.key = self.folder / "ca.pem", self.folder / "ca-key.pem"
        certtool("--generate-privkey", "--key-type=ecdsa", "--outfile", self.key)
        certtool("--generate-self-signed", "--load-privkey", self.key, "--template", template,
                 "--outfile", self.ca)  # fmt: skip

    def make(self, name):
        """Return: certificate and key."""
        template = self.folder / f"{name}.template"
        template.write_text(TEMPLATE)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        certtool("--generate-privkey", "--key-type=ecdsa", "--outfile", key)
        certtool("--generate-certificate", "--load-privkey", key, "--template", template,
                 "--load-ca-certificate", self.ca, "--load-ca-privkey", self.key,
                 "--outfile", certificate)  # fmt: skip
        return certificate, key


class Cluster:
    def __init__(self, folder, tls=False, count=3):
        self.folder = pathlib.Path(folder)
        self.scheme = "https" if tls else "http"
        self.members = [(f"m{i}", free_port(), free_port()) for i in range(count)]
        self.processes, self.frozen = {}, set()
        self.logs = {}
        self.options, self.settings, self.control = [], {}, []
        if tls:
            self.authority = Authority(self.folder / "etcd-pki")
            ca, (certificate, key) = self.authority.ca, self.authority.make("member")
            for kind in ("", "peer-"):
                self.options += [f"--{kind}cert-file={certificate}", f"--{kind}key-file={key}",
                                 f"--{kind}trusted-ca-file={ca}", f"--{kind}client-cert-auth"]  # fmt: skip
            certificate, key = self.authority.make("guestcld")
            self.settings = {"etcd-ca": ca, "etcd-certificate": certificate, "etcd-key": key}
            self.control = [f"--cacert={ca}", f"--cert={certificate}", f"--key={key}"]

    def url(self, port):
        return f"{self.scheme}://127.0.0.1:{port}"

    @property
    def awake(self):
        """What a member that hangs is sent it does when it goes on: nothing that tests want."""
        return ",".join(self.url(client) for name, client, _ in self.members if name not in self.frozen)

    @property
    def urls(self):
        return ",".join(self.url(client) for _, client, _ in self.members)

    def start(self, *names):
        cluster = ",".join(f"{name}={self.url(peer)}" for name, _, peer in self.members)
        for name, client, peer in self.members:
            if names and name not in names:
                continue
            self.logs[name] = self.folder / f"etcd-{name}.log"
            with self.logs[name].open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    ["etcd", f"--name={name}", f"--data-dir={self.folder / name}",
                     f"--listen-client-urls={self.url(client)}",
                     f"--advertise-client-urls={self.url(client)}",
                     f"--listen-peer-urls={self.url(peer)}",
                     f"--initial-advertise-peer-urls={self.url(peer)}",
                     f"--initial-cluster={cluster}", "--initial-cluster-state=new",
                     # It shares the machine's CPUs with all that is tested beside it.
                     "--heartbeat-interval=150", "--election-timeout=1500",
                     *self.options],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip

    def ctl(self, *words, seconds=SLOW):
        """Return: what it prints. There may be no leader for a moment."""
        end = time.monotonic() + seconds
        while True:
            done = subprocess.run(
                ["etcdctl", f"--endpoints={self.awake}", "--command-timeout=10s",
                 "--dial-timeout=5s", *self.control, *words],
                env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}, text=True, check=False,
                capture_output=True, timeout=SLOW,
            )  # fmt: skip
            if done.returncode == 0:
                return done.stdout
            if time.monotonic() > end:
                raise RuntimeError(f"etcdctl {words}: {done.stderr}")
            time.sleep(0.2)

    def leader(self):
        """Return: its name."""
        for one in json.loads(self.ctl("endpoint", "status", "--write-out=json")):
            status = one["Status"]
            if status["leader"] == status["header"]["member_id"]:
                ports = {self.url(client): name for name, client, _ in self.members}
                return ports[one["Endpoint"]]
        return self.members[0][0]

    def put(self, values):
        """Bytes by their keys, of up to 120: any that there are, as no command line has them. Without
        TLS."""
        puts = [
            {"requestPut": {"key": b64encode(key).decode(), "value": b64encode(value).decode()}}
            for key, value in values.items()
        ]  # fmt: skip
        request = urllib.request.Request(
            self.url(self.members[0][1]) + "/v3/kv/txn", json.dumps({"success": puts}).encode()
        )
        with urllib.request.urlopen(request, timeout=SLOW) as answer:
            answer.read()

    def clean(self, prefix, *kept):
        """Leaves nothing but these, in their order."""
        ends = [prefix.encode(), *(name.encode() for name in kept), prefix[:-1].encode() + b"0"]
        for first, end in zip(ends, ends[1:], strict=False):
            first += b"" if first == ends[0] else b"\0"
            body = {"key": b64encode(first).decode(), "range_end": b64encode(end).decode()}
            request = urllib.request.Request(
                self.url(self.members[0][1]) + "/v3/kv/deleterange", json.dumps(body).encode()
            )
            with urllib.request.urlopen(request, timeout=SLOW) as answer:
                answer.read()

    def keys(self, prefix="/guestcl/servers/"):
        return self.ctl("get", "--prefix", "--keys-only", prefix).split()

    def signal(self, number, *names):
        for name in names or list(self.processes):
            process = self.processes.pop(name)
            process.send_signal(number)
            process.wait(30)

    def kill(self, *names):
        self.signal(signal.SIGKILL, *names)

    def freeze(self, name):
        """It holds its connections, and answers nothing."""
        self.processes[name].send_signal(signal.SIGSTOP)
        self.frozen.add(name)

    def thaw(self, name):
        self.processes[name].send_signal(signal.SIGCONT)
        self.frozen.discard(name)

    def stop(self):
        self.kill()
