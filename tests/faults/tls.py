# SPDX-License-Identifier: MIT
"""What a daemon and its guests need for TLS, for host.py."""

import socket
import subprocess


class Tls:
    """Certificates in @folder, and a port of this machine; the guest is a VM's of its own."""

    def __init__(self, folder, paths):
        self.paths = paths
        self.folder = folder
        self.pki = folder / "pki"
        for words in (["init"], ["server", "127.0.0.1"], ["client", "test"]):
            command = [paths["pki"], *words, "--folder", self.pki]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def config(self):
        files = self.pki / "servers/127.0.0.1"
        return f"""
listen-tls = "127.0.0.1:{self.port}"
tls-certificate = "{files}/certificate.pem"
tls-key = "{files}/key.pem"
tls-ca = "{files}/ca.pem"
tls-program = "{self.paths["tls"]}"
vm-dir = "{self.folder}/vm"
vm "test" {{ session-rate = 0 }}
"""

    def guest(self):
        return {
            "GUESTCL_CHANNEL": f"tls://127.0.0.1:{self.port}",
            "GUESTCL_TLS": str(self.pki / "clients/test"),
            "GUESTCL_TLS_MODULE": self.paths["tls_module"],
        }
