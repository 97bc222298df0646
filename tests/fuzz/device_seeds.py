# SPDX-License-Identifier: MIT
"""The seeds of vhost_fuzz and control_fuzz: what a sane VMM and guest say, one conversation a file.

"device_seeds.py CORPUS" writes them, "device_seeds.py --check CORPUS" compares what is there with
what would be written. The names of steps and places are those of the harnesses.
"""

import pathlib
import struct
import sys

PAGE, CHUNK = 4096, 2 << 20
RINGS = 4096 + 2 * 131072
WINDOWS = 64 << 30
HELLO, PING, OPEN, CLOSE, ADD, REMOVE = range(1, 7)
(SERVE, REFUSE, ANSWER, FAIL, LIE, DIE, REAP, WAKE, PAUSED, EXPIRE, CHOKE, WRITABLE,
 KICK, KICK_EVENT) = range(14)  # fmt: skip
MORE, MORE_EVENTS, PAUSE, REBOOT, STOP_EVENTS, HANG_UP = range(14, 20)
NEXT, WRITE = 1, 2


def request(kind, session=0, rest=b""):
    return struct.pack("<II", kind, session) + rest


def segments(*pairs):
    return b"".join(struct.pack("<QQ", *pair) for pair in pairs)


def hello(instance=7):
    return request(HELLO, 0, struct.pack("<Q", instance))


def open_(*pieces):
    pieces = pieces or ((0x10000, RINGS),)
    fixed = struct.pack("<6IQ56s", 1, 131072, 131072, 77, 1000, len(pieces), 64 * CHUNK, b"fuzz")
    return request(OPEN, 0, fixed + segments(*pieces))


def memory(kind, session, offset, length, *pieces):
    return request(kind, session,
                   struct.pack("<QQII", offset, length, 0, len(pieces)) + segments(*pieces))  # fmt: skip


class Guest:
    """Memory with queues of 16 descriptors; see control_fuzz.c for where."""

    def __init__(self, requests, events=4):
        self.bytes = bytearray(0x2000)
        place = 0x600
        for number, body in enumerate(requests[:8]):
            self.put(place, body)
            head = 2 * number
            self.put(16 * head, struct.pack("<QIHH", place, len(body), NEXT, head + 1))
            self.put(16 * head + 16, struct.pack("<QIHH", 0x8000 + 256 * number, 256, WRITE, 0))
            place += len(body) + 15 & ~15
        heads = [2 * number for number in range(len(requests))] + [0] * (16 - len(requests))
        self.put(0x100, struct.pack("<HH16H", 0, 0, *heads))
        for number in range(16):
            self.put(0x200 + 16 * number, struct.pack("<QIHH", 0x9000 + 8 * number, 8, WRITE, 0))
        self.put(0x300, struct.pack("<HH16H", 0, events, *range(16)))
        self.size = place

    def put(self, at, data):
        self.bytes[at : at + len(data)] = data

    def file(self, *steps):
        return bytes(steps) + b"\xff" + bytes(self.bytes[: self.size])


def control():
    one = (MORE, KICK)
    up = (*one, *one, SERVE, ANSWER)
    heap = memory(ADD, 1, 0, CHUNK, (0, 1 << 20), (0, 1 << 20))
    window = memory(ADD, 1, WINDOWS, 2 * PAGE, (0x20000, PAGE), (0x40000, PAGE))
    yield "open-close", Guest([hello(), open_(), request(PING), request(CLOSE, 1)]).file(
        *up, *one, *one, REAP, KICK)  # fmt: skip
    yield "refused", Guest([hello(), open_(), open_()]).file(*one, *one, REFUSE, *one, SERVE, FAIL)
    yield "memory", Guest(
        [hello(), open_(), heap, memory(REMOVE, 1, 0, CHUNK), heap, request(CLOSE, 1)]
    ).file(*up, *one, ANSWER, *one, ANSWER, *one, FAIL, *one, REAP)
    yield "windows", Guest(
        [hello(), open_(), window, memory(ADD, 1, WINDOWS + 2 * PAGE, PAGE, (0, PAGE)),
         memory(REMOVE, 1, WINDOWS, 3 * PAGE)]
    ).file(*up, *one, *one, ANSWER, ANSWER, *one, ANSWER)  # fmt: skip
    yield "remove-fails", Guest([hello(), open_(), heap, memory(REMOVE, 1, 0, CHUNK)]).file(
        *up, *one, ANSWER, *one, FAIL, REAP, WAKE)  # fmt: skip
    yield "choked", Guest([hello(), open_(), heap, window]).file(
        *up, CHOKE, *one, *one, WRITABLE, ANSWER, ANSWER)  # fmt: skip
    yield "dies", Guest([hello(), open_(), heap, request(CLOSE, 1)]).file(
        *up, *one, DIE, *one, KICK_EVENT)  # fmt: skip
    yield "wakes", Guest([hello(), open_(), open_()], 1).file(
        *up, WAKE, WAKE, *one, SERVE, ANSWER, WAKE, MORE_EVENTS, KICK_EVENT, LIE)  # fmt: skip
    yield "pause", Guest([hello(), open_(), heap, request(PING)]).file(
        *up, *one, WAKE, PAUSE, PAUSED, ANSWER, WAKE, PAUSE, ANSWER, *one, STOP_EVENTS, WAKE)  # fmt: skip
    yield "suspend", Guest([hello(), open_(), heap]).file(*up, *one, PAUSE, PAUSED, REBOOT, KICK, MORE, MORE, KICK, ANSWER)
    yield "reboot", Guest([hello(), open_(), hello(8), open_()]).file(
        *up, PAUSE, EXPIRE, PAUSE, *one, REAP, *one, SERVE, ANSWER)  # fmt: skip
    yield "hang-up", Guest([hello(), open_(), heap]).file(*up, *one, HANG_UP, REAP, KICK, SERVE)
    yield "unknown", Guest([request(9), request(0), b"\0" * 4, request(PING)]).file(
        *one, *one, *one, *one)  # fmt: skip
    yield "pieces", Guest([hello(), open_((0x10000, PAGE), (0x30000, RINGS - PAGE)),
                           memory(ADD, 1, CHUNK, 2 * CHUNK, *((0, 1 << 20) for _ in range(4)))]).file(
        *up, *one, ANSWER)  # fmt: skip


# ------------------------------------------------------------ messages

RAM, EVENT, NULL, SOCKET = range(4)
USER = 0x7F0000000000
STEP = 0x80


def message(number, body=b"", fds=0, kind=RAM, flags=1, more=0):
    return struct.pack("BBBBB", number, flags, fds | kind << 4, len(body), more) + body


def u64(number, value, **options):
    return message(number, struct.pack("<Q", value), **options)


def vring(number, index, value, **options):
    return message(number, struct.pack("<II", index, value), **options)


def table(*regions, **options):
    body = struct.pack("<II", len(regions), 0) + b"".join(struct.pack("<4Q", *r) for r in regions)
    return message(5, body, fds=len(regions), flags=9, **options)


def queue(index, base=0, rings=0x1000):
    at = USER + rings * (index + 1)
    return (vring(8, index, 16) + vring(10, index, base)
            + message(9, struct.pack("<IIQQQQ", index, 0, at, at + 0x200, at + 0x100, 0))
            + u64(12, index, fds=1, kind=EVENT) + u64(13, index, fds=1, kind=EVENT))  # fmt: skip


def vhost():
    greet = (message(1) + message(15) + u64(16, 1 << 0 | 1 << 3 | 1 << 9 | 1 << 15) + message(17)
             + message(3) + u64(2, 1 << 6 | 1 << 30 | 1 << 32))  # fmt: skip
    whole = (0, 1 << 20, USER, 0)
    start = b"".join(queue(index) for index in range(4))
    enable = b"".join(vring(18, index, 1, flags=9) for index in range(4))
    stop = b"".join(vring(18, i, 0) for i in range(4)) + b"".join(vring(11, i, 0) for i in range(4))
    kick = bytes([STEP + KICK, STEP + KICK_EVENT])
    yield "start-stop", greet + table(whole) + start + enable + kick + stop + start + enable + kick
    yield "config", greet + message(24, struct.pack("<III", 0, 60, 0) + bytes(60)) + message(
        25, struct.pack("<III", 32, 1, 0) + b"\1")  # fmt: skip
    yield "slots", greet + message(36) + message(
        37, struct.pack("<5Q", 0, *whole), fds=1, flags=9) + start + enable + kick + message(
        38, struct.pack("<5Q", 0, *whole), flags=9) + kick + stop  # fmt: skip
    yield "regions", greet + table((0, 4096, USER, 0), (8192, 4096, USER + 8192, 4096)) + start + enable
    yield "refused", greet + table(whole, kind=NULL) + u64(12, 1, fds=1, kind=NULL) + u64(
        12, 0x101) + vring(8, 99, 16, flags=9) + message(20, flags=9) + u64(16, 1 << 5, flags=9)  # fmt: skip
    yield "cut", greet + table(whole) + start + enable + kick + bytes([STEP + MORE]) + kick
    yield "raw", greet + bytes([STEP + MORE + 1, 4, 1, 0, 0, 0]) + message(1, more=9)
    yield "reset", greet + table(whole) + start + enable + message(34, flags=9) + message(
        4) + bytes([STEP + MORE + 2]) + greet  # fmt: skip
    yield "unasked", greet + message(1, fds=9, kind=RAM) + message(2, bytes(8), fds=3, kind=SOCKET)


def main():
    check = sys.argv[1] == "--check"
    corpus = pathlib.Path(sys.argv[-1])
    wrong = []
    for folder, seeds in (("control", control()), ("vhost", vhost())):
        for name, data in seeds:
            path = corpus / folder / name
            if not check:
                path.write_bytes(data)
            elif not path.is_file() or path.read_bytes() != data:
                wrong.append(f"{path} is not what device_seeds.py writes: run it")
    sys.exit("\n".join(wrong) or None)


main()
