# SPDX-License-Identifier: MIT
"""clbench by TLS, over links of several lengths and widths, beside native and beside what the link
itself allows: the floor.

The link is that of tests/net: two network namespaces, and a program between them.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "net"))

import network  # noqa: E402
import server  # noqa: E402

NATIVE_VENDORS = os.environ.get("GUESTCL_HOST_VENDORS", "/etc/OpenCL/vendors")
SKIPPED = 77

# Delay of a round trip in ms, Gbit/s.
LINKS = [(delay, width) for width in (1, 10) for delay in (0, 1, 10, 30)]

# What a link has to do with.
GROUPS = ["init", "rate", "roundtrip", "small", "bw", "build"]

FLOOR_BYTES = 256 << 20
FLOOR_TRIPS = 20
FLOOR_TRIES = 3

# Both ends of a plain TCP connection: who is called says how long a byte there and back takes, and at
# how many GB/s bytes come.
FLOOR_SERVER = """
import socket, sys
listener = socket.create_server((sys.argv[1], 17229))
print("ready", flush=True)
conn = listener.accept()[0]
conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for _ in range(int(sys.argv[2])):
    conn.sendall(conn.recv(1))
buffer = bytearray(1 << 20)
for _ in range(2):
    left = int(sys.argv[3])
    while left:
        left -= conn.recv_into(buffer, min(left, len(buffer)))
    conn.sendall(b"x")
"""
FLOOR_CLIENT = """
import socket, sys, time
conn = socket.create_connection((sys.argv[1], 17229))
conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
times = []
for _ in range(int(sys.argv[2])):
    start = time.monotonic()
    conn.sendall(b"x")
    conn.recv(1)
    times.append(time.monotonic() - start)
# The first time TCP finds out how much the link takes.
piece, count = bytes(1 << 16), int(sys.argv[3]) >> 16
for _ in range(2):
    start = time.monotonic()
    for _ in range(count):
        conn.sendall(piece)
    conn.recv(1)
print(min(times) * 1e6, int(sys.argv[3]) / (time.monotonic() - start) / 1e9)
"""


def floor(net):
    """The link's round trip in us, and GB/s; the best of some, since it is to be the floor."""
    tries = [floor_once(net) for _ in range(FLOOR_TRIES)]
    return min(trip for trip, _ in tries), max(rate for _, rate in tries)


def floor_once(net):
    words = [network.ADDRESSES[0], str(FLOOR_TRIPS), str(FLOOR_BYTES)]
    called = subprocess.Popen(
        [*net.inside(0), sys.executable, "-c", FLOOR_SERVER, *words],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    called.stdout.readline()
    done = subprocess.run(
        [*net.inside(1), sys.executable, "-c", FLOOR_CLIENT, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    called.wait()
    called.stdout.close()
    trip, rate = done.stdout.split()
    return float(trip), float(rate)


def clbench_run(command, environment, figures, wrong, side):
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    for line in done.stdout.splitlines():
        words = line.split()
        if line.startswith("#") or len(words) < 2:
            continue
        if words[1] in ("FAIL", "WRONG"):
            wrong.append(f"{side}: {line}")
        elif len(words) == 3:
            figures.setdefault(words[0], {"unit": words[2]}).setdefault(side, []).append(float(words[1]))
    if done.returncode:
        wrong.append(f"{side}: exit status {done.returncode}: {done.stderr.strip()[-300:]}")


def link_measure(options, clbench, directory, link, program):
    """Return: figures, {metric: {side: [values]}}, and the floor."""
    delay, width = link
    figures, wrong = {}, []
    net = network.Network(program, int(delay * 500), int(width * 1000))
    place = server.Server(directory, address=network.ADDRESSES[0], wrapper=net.inside(0),
                          settings={"tls-compression": options.compression})  # fmt: skip
    try:
        place.start()
        least = floor(net)
        scale = {"CLBENCH_SCALE": str(options.scale)}
        for number in range(options.rounds):
            salt = {"CLBENCH_SALT": str(os.getpid() * 1000 + number * 10 + width)}
            native = {**os.environ, **scale, **salt, "OCL_ICD_VENDORS": NATIVE_VENDORS}
            groups = options.groups or GROUPS
            clbench_run([clbench, *groups], native, figures, wrong, "native")
            guest = {**place.environment(), **scale, **salt}
            clbench_run([*net.inside(1), clbench, *groups], guest, figures, wrong, "guestcl")
    finally:
        place.stop()
        net.stop()
    return figures, least, wrong


def link_print(link, figures, least):
    trip, rate = least
    print(f"\n{link[0]} ms there and back, {link[1]} Gbit/s; TCP alone: {trip:.0f} us, {rate:.3g} GB/s")
    print(f"{'metric':38} {'native':>11} {'guestcl':>11} {'unit':5} {'to the floor':>12}")
    for name, sides in figures.items():
        if "native" not in sides or "guestcl" not in sides:
            continue
        native, guest = (statistics.median(sides[side]) for side in ("native", "guestcl"))
        unit = sides["unit"]
        to_floor = ""
        if unit == "GB/s":
            to_floor = f"{guest / rate:.3f}"
        elif unit in ("us", "ms", "ns") and trip:
            us = guest * {"us": 1, "ms": 1e3, "ns": 1e-3}[unit]
            to_floor = f"{us / trip:.2f} trips"
        print(f"{name:38} {native:11.4g} {guest:11.4g} {unit:5} {to_floor:>12}")


def main(options, clbench_build):
    program = options.build / "tests" / "net" / "link"
    if not program.exists():
        print(f"SKIPPED: {program} is not built")
        return SKIPPED
    links = options.link or LINKS
    report, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="gcl-") as name:
        clbench = clbench_build(options.clbench, pathlib.Path(name))
        for link in links:
            try:
                figures, least, failed = link_measure(options, clbench, name, link, program)
            except network.Unavailable as error:
                print(f"SKIPPED: no network of two namespaces here: {error}")
                return SKIPPED
            wrong += failed
            link_print(link, figures, least)
            report.append({"link": link, "floor": least, "figures": figures})
    for line in wrong:
        print(f"WRONG {line}")
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 1 if wrong else 0
