# SPDX-License-Identifier: MIT
"""A control socket that answers what a test wants, without a daemon behind it."""

import json
import pathlib
import socketserver
import threading
import time

LIMITS = {"memory_bytes": 0, "weight": 100, "max_sessions": 0}


def counts(memory=0, busy=0, calls=0, errors=0, traffic=0):
    return {
        "memory_bytes": memory, "heap_bytes": memory // 2, "device_time_ns": busy, "wait_time_ns": busy // 2,
        "bytes_from_guest": traffic, "bytes_to_guest": traffic // 2, "calls": calls, "errors": errors,
    }  # fmt: skip


def device(number, name="Fake GPU", waiting=0, **used):
    all_of = counts(**used)
    return {
        "id": number, "platform": "Fake platform", "name": name, "type": "gpu", "memory_bytes": 8 << 30,
        "held_bytes": all_of["memory_bytes"], "device_time_ns": all_of["device_time_ns"],
        "wait_time_ns": all_of["wait_time_ns"], "sessions_waiting": waiting,
    }  # fmt: skip


def vm(name, state="running", memory_limit=0, **used):
    all_of = counts(**used)
    parts = {key: all_of[key] for key in ("memory_bytes", "device_time_ns", "wait_time_ns")}
    return {
        "id": f"vm-{name}", "name": name, "kind": "vm", "state": state, "sessions": 1,
        "limits": {**LIMITS, "memory_bytes": memory_limit}, **all_of, "devices": [{"device": 0, **parts}],
    }  # fmt: skip


def session(number, name, program="prog", **used):
    return {
        "id": number, "vm": f"vm-{name}", "who": "VM", "program": program, "worker_pid": 77,
        "channel": "virtio", "state": "running", "age_s": 12.5, **counts(**used),
    }  # fmt: skip


def status(*, devices=(), vms=(), sessions=(), pid=1234, time_ns=None, **more):
    return {
        "version": 1, "time_ns": time.monotonic_ns() if time_ns is None else time_ns,
        "daemon": {
            "pid": pid, "version": "0.0.fake", "uptime_s": 61.0, "workers": 2, "sessions": len(sessions),
            "sessions_served": 9, "refused": 3, "memory_bytes": 5 << 20,
        },
        "devices": list(devices), "vms": list(vms), "sessions": list(sessions), "ok": True,
        **more,
    }  # fmt: skip


class Server:
    """Answers at folder/control.sock: answer(request) gives an object, or bytes as they are."""

    def __init__(self, folder, answer):
        self.path = pathlib.Path(folder) / "control.sock"
        self.requests = []
        self.connections = set()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                outer.connections.add(self.connection)
                try:
                    for line in self.rfile:
                        asked = json.loads(line)
                        outer.requests.append(asked)
                        given = answer(asked)
                        if given is None:
                            return
                        if not isinstance(given, bytes):
                            given = json.dumps(given).encode() + b"\n"
                        self.wfile.write(given)
                except OSError:
                    pass
                finally:
                    outer.connections.discard(self.connection)

        class Unix(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

        self.server = Unix(str(self.path), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        for connection in list(self.connections):
            try:
                connection.shutdown(2)
            except OSError:
                pass
        self.path.unlink(missing_ok=True)
