# SPDX-License-Identifier: MIT
"""What tests/bench/migration measures: each part yields tables, (title, rows)."""

import contextlib
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import moving
from host import paths
from moving import PATIENCE, World

MIB = 1 << 20
LOOPS = 200  # of a kernel of compute and memory; some ms
APART_S = 0.5  # programs of memory begin so long after each other
RETRY_S = 0.1  # as migrant.c has it
ALLOWED_S = 0.050  # of a pause, beside what the link takes for the rest

# What others have published of partial migration.
PUBLISHED = {"compute": "1.82 times", "memory": "14% saved"}


def progress(*words):
    print("#", *words, file=sys.stderr, flush=True)


# ------------------------------------------------------------ compute, memory


class Program:
    """A program of "work", and when it began and ended."""

    def __init__(self, world, number, mib, count, pause_us):
        self.guest = world.guest("work", mib, LOOPS, count, pause_us)
        self.number = number
        self.began = self.ended = self.failed = None
        self.shorts = 0
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def go(self, after):
        time.sleep(after)
        self.start = time.monotonic()
        self.guest.say("go")
        self.thread.start()

    def watch(self):
        while not self.ended and not self.failed:
            line = self.guest.next(PATIENCE)
            if not line or not line.text:
                self.failed = f"program {self.number} did not end: {self.guest.errors[-3:]}"
            elif line.text == "short":
                self.shorts += 1
            elif line.text == "began":
                self.began = line.time - self.start
            elif line.text == "done":
                self.ended = line.time - self.start

    def join(self):
        self.thread.join()
        if self.failed:
            raise RuntimeError(self.failed)


def programs_run(world, sizes, mover=None, apart=0):
    """@sizes: (MiB, kernels, pause) of each; @apart: s between beginnings. Return: what gain_rows() takes."""
    programs = [Program(world, i, *size) for i, size in enumerate(sizes)]
    meter = moving.Meter(world)
    for program in programs:
        program.go(apart if program.number else 0)
    if mover:
        mover(world, programs)
    for program in programs:
        program.join()
    took, devices, others = meter.stop()
    total = max(program.start + program.ended for program in programs) - programs[0].start
    return {
        "total": total,
        "mean": statistics.mean(program.ended for program in programs),
        "moves": world.control.done("status")["moves"]["done"] if world.way else 0,
        "shorts": sum(program.shorts for program in programs),
        "shares": [seconds / took for seconds in devices],
        # What would be left of it if nothing else had run where it had to: of those devices that
        # were used at all the one that lost least.
        "alone": total - min(other for other, own in zip(others, devices) if own > 0.05 * took),
    }


def kernels_calibrate(options, pause_us=0):
    """How many kernels a program alone does in the wanted time."""
    count = 100
    while True:
        with World(options, way=None) as world:
            took = programs_run(world, [(16, count, pause_us)])["total"]
        if took >= 1 or count > 1e6:
            return max(10, int(count / took * options.seconds))
        count *= 4


def half_move(world, programs):
    """What an operator would do: every other program to the server."""
    for program in programs[1::2]:
        world.move(program.guest, moving.SERVER)


def spread(values):
    """The median, and the range."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def gain_rows(cases, published):
    """@cases: {name: runs}; the first is compared with, run by run, since what else the machine does
    changes slowly. @published: % more work in the same time, or less time."""
    first, rows = next(iter(cases.values())), []
    for name, runs in cases.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in ("total", "mean", "moves", "shorts")}
        shares = (statistics.median(column) for column in zip(*(run["shares"] for run in runs)))
        pairs = list(zip(first, runs))
        rows.append({
            "case": name, "total s": middle["total"], "mean s": middle["mean"],
            "times as fast": spread([base["total"] / run["total"] for base, run in pairs]),
            "less what others took": spread([base["alone"] / run["alone"] for base, run in pairs]),
            "time saved %": 100 * (1 - statistics.median(run["total"] / base["total"] for base, run in pairs)),
            "mean saved %": 100 * (1 - statistics.median(run["mean"] / base["mean"] for base, run in pairs)),
            "published": published,
            "CPU of each device": " ".join(f"{share:.2f}" for share in shares),
            "moves": middle["moves"], "failed allocations": middle["shorts"],
        })  # fmt: skip
    return rows


def moved_cases(options, by_hand):
    """(name, placement, what moves)"""
    cases = [("half moved by command", "stay", by_hand)]
    if moving.automatic():
        cases.append((f"placement = {options.placement}", options.placement, None))
    return cases


def part_compute(options):
    count = kernels_calibrate(options)
    sizes = [(64, count, 0)] * options.programs
    runs = {"all at home": []}
    for number in range(options.rounds):
        progress(f"compute, round {number + 1} of {options.rounds}")
        with World(options) as world:
            runs["all at home"].append(programs_run(world, sizes))
        for name, placement, by_hand in moved_cases(options, half_move):
            with World(options, placement=placement) as world:
                runs.setdefault(name, []).append(programs_run(world, sizes, by_hand))
    yield (
        f"compute: {options.programs} programs that keep the device busy, each {options.seconds:g} s alone",
        gain_rows(runs, PUBLISHED["compute"]),
    )


def short_move(world, programs):
    """Whenever one doesn't get its memory, one that has it moves, until half of them did."""
    left = programs[:]
    while any(not program.began and not program.failed for program in programs):
        short = [program for program in programs if program.shorts and not program.began]
        movable = [program for program in left if program.began and not program.ended]
        if short and movable:
            left.remove(movable[0])
            try:
                world.move(movable[0].guest, moving.SERVER, free=True)
            except (AssertionError, RuntimeError) as error:
                progress(f"memory: program {movable[0].number} did not move: {error}")
            time.sleep(2 * RETRY_S)
        time.sleep(0.02)


def memory_measure(options, title, count, pause_us):
    limit = ["user-memory=512MiB"]
    sizes = [(200, count, pause_us)] * options.programs
    runs = {"wait and try again": []}
    for number in range(options.rounds):
        progress(f"memory, {title}, round {number + 1} of {options.rounds}")
        with World(options, way=None, settings=[*limit, "resident-buffers=never"]) as world:
            runs["wait and try again"].append(programs_run(world, sizes, apart=APART_S))
        for name, placement, by_hand in moved_cases(options, short_move):
            name = name.replace("half moved", "moved")
            with World(options, placement=placement, settings=limit) as world:
                runs.setdefault(name, []).append(programs_run(world, sizes, by_hand, APART_S))
    return (
        f"memory: {options.programs} programs of 200 MiB, 512 MiB for all; {title}",
        gain_rows(runs, PUBLISHED["memory"]),
    )


def part_memory(options):
    """Of the whole device for each program, and of a third of it."""
    yield memory_measure(options, "each keeps the device busy", kernels_calibrate(options), 0)
    pause_us = 20000
    count = kernels_calibrate(options, pause_us)
    yield memory_measure(options, f"each pauses {pause_us // 1000} ms after a kernel", count, pause_us)


# ------------------------------------------------------------ pause

# (MiB, MiB of a buffer, permille that is written in a round)
TASKS = [
    (256, 16, 10), (256, 16, 50), (256, 16, 1000),
    (1024, 16, 10), (1024, 16, 50), (1024, 16, 1000),
    (256, 256, 10),
]  # fmt: skip


def figures(guest):
    """What a program of rounds says: {"rounds": ..., "gap": ...}, ns."""
    guest.say("stop")
    words = guest.expect("rounds", PATIENCE).text.split()
    return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}


def pause_once(world, guest, where):
    guest.say("go")
    time.sleep(0.6)
    moved = world.move(guest, where)
    time.sleep(0.6)
    seen = figures(guest)
    ahead, rest = moved["ahead_bytes"], moved["rest_bytes"] + moved.get("behind_bytes", 0)
    return {
        "seen": (seen["gap"] - seen["usual"]) / 1e9,
        "pause": moved["pause_ns"] / 1e9,
        "took": moved["took_ns"] / 1e9, "prepare": moved["prepare_s"],
        "ahead": ahead, "rest": rest, "usual": seen["usual"] / 1e9,
    }  # fmt: skip


def pause_row(task, where, runs, rate):
    mib, part, permille = task
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    dirty = mib * MIB * permille / 1000
    return {
        "task": f"{mib} MiB of {part}, {permille / 10:g}% written, {where}",
        "usual ms": middle["usual"] * 1e3,
        "seen ms": middle["seen"] * 1e3,
        "pause ms": middle["pause"] * 1e3,
        "aim ms": (ALLOWED_S + dirty / rate) * 1e3,
        "seen / aim": middle["seen"] / (ALLOWED_S + dirty / rate),
        "worst ms": max(run["seen"] for run in runs) * 1e3,
        "move s": middle["took"], "of that prepared": middle["prepare"],
        "ahead MiB": middle["ahead"] / MIB,
        "then MiB": middle["rest"] / MIB,
        "ahead %": 100 * (1 - middle["rest"] / (mib * MIB)),
    }


def kernels_warm(world):
    """A server that has never had these kernels compiles them when they are first launched there."""
    guest = world.guest("write", 32, 16, 750, 4)
    pause_once(world, guest, moving.SERVER)
    pause_once(world, guest, "home")
    guest.end()


def part_pause(options):
    with World(options) as world:
        trip, rate = world.floor()
        kernels_warm(world)
        rows = []
        for task in TASKS:
            mib, part, permille = task
            runs = {"there": [], "back": []}
            for number in range(options.rounds):
                progress(f"pause, {mib} MiB, {permille / 10:g}%, round {number + 1} of {options.rounds}")
                # Another program, since what is still there from an earlier move doesn't go again.
                guest = world.guest("write", mib, part, permille, 4)
                runs["there"].append(pause_once(world, guest, moving.SERVER))
                runs["back"].append(pause_once(world, guest, "home"))
                guest.end()
            rows += [pause_row(task, where, runs[where], rate * 1e9) for where in runs]
        yield f"pause: the link has {rate:.3g} GB/s, {trip:.0f} us there and back", rows


# ------------------------------------------------------------ stayers


def stayer_start(world, loops):
    """On the device's CPU: else it depends on where the program happens to run how long it waits."""
    return world.guest("launch", loops, cpu=moving.cpus()[0])


def stayer_run(world, stayer, seconds, mover=None, pause=0):
    """What the stayer did, while @mover went and came back all the time, @pause s after each move."""
    worker = world.worker(stayer)
    before = moving.thread_seconds(worker)
    stayer.say("go")
    end, moves = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if mover:
            mover.away = not mover.away
            world.move(mover, moving.SERVER if mover.away else "home")
            moves += 1
        time.sleep(max(0, min(pause or 0.05, end - time.monotonic())))
    seen = figures(stayer)
    return {
        "rate": seen["rounds"] / seen["took"] * 1e9,
        "cpu": (moving.thread_seconds(worker) - before) / seen["rounds"] * 1e6,
        "usual": seen["usual"] / 1e3, "late": seen["late"] / 1e3, "moves": moves,
    }  # fmt: skip


def interval(values):
    """The median, and what has it inside with 95% certainty, whatever the distribution is: the order
    statistics between which fewer than 2.5% of fair coins' throws lie on either side."""
    values, count, beyond, cut = sorted(values), len(values), 0, 0
    while cut < count // 2:
        beyond += math.comb(count, cut) / 2**count
        if beyond > 0.025:
            break
        cut += 1
    low, high = values[max(0, cut - 1)], values[min(count - 1, count - cut)]
    return f"{statistics.median(values):.2f} ({low:.2f} to {high:.2f})"


def stayers_row(name, runs, still):
    """Compared pair by pair, which were measured one right after the other."""
    cost = {
        key: [100 * (run[key] / base[key] - 1) for run, base in zip(runs, still)] for key in ("usual", "late", "cpu")
    }
    slower = [100 * (base["rate"] / run["rate"] - 1) for run, base in zip(runs, still)]
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {
        "beside": name, "launches/s": middle["rate"], "median us": middle["usual"], "99% us": middle["late"],
        "CPU us each": middle["cpu"], "CPU more %": interval(cost["cpu"]),
        "slower by %": interval(slower), "median more %": interval(cost["usual"]),
        "99% more %": interval(cost["late"]), "moves": middle["moves"],
    }  # fmt: skip


def stayers_measure(options, loops):
    cases = {"nothing moves": (False, 0.05), "a move each second": (True, 1), "moves without end": (True, 0.001)}
    runs = {name: [] for name in cases}
    with World(options) as world:
        stayer = stayer_start(world, loops)
        mover = world.guest("write", 64, 16, 10, 1)
        world.move(mover, moving.SERVER)
        world.move(mover, "home")
        mover.away = False
        for number in range(options.pairs):
            if number % 10 == 0:
                progress(f"stayers, pair {number + 1} of {options.pairs}")
            # There and back again, so that what changes by itself is in both.
            for name in list(cases)[:: 1 if number % 2 else -1]:
                moves, pause = cases[name]
                runs[name].append(stayer_run(world, stayer, 1, mover if moves else None, pause))
    return [stayers_row(name, runs[name], runs["nothing moves"]) for name in cases]


def movable_launches(options, loops):
    """The same program where it could move, and where it couldn't."""
    worlds = {
        "no server": (None, ()),
        "no server, resident-buffers = never": (None, ("resident-buffers=never",)),
        "a server": ("tls", ()),
    }
    runs = {name: [] for name in worlds}
    with contextlib.ExitStack() as stack:
        stayers = {}
        for name, (way, settings) in worlds.items():
            world = stack.enter_context(World(options, way=way, settings=settings))
            stayers[name] = (world, stayer_start(world, loops))
        for number in range(options.pairs):
            if number % 10 == 0:
                progress(f"stayers, what being movable costs, pair {number + 1} of {options.pairs}")
            for name in list(worlds)[:: 1 if number % 2 else -1]:
                runs[name].append(stayer_run(*stayers[name], 1))
    first = next(iter(worlds))
    return [stayers_row(name, runs[name], runs[first]) for name in worlds]


def clbench_figures(program, world, salt):
    environment = {
        **os.environ, "OCL_ICD_VENDORS": paths()["vendors"], "GUESTCL_SOCKET": str(world.host.socket),
        "CLBENCH_SALT": str(salt), "CLBENCH_SCALE": "0.3",
    }  # fmt: skip
    done = subprocess.run(
        [program, "rate", "roundtrip", "small", "bw"], env=environment,
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    return {words[0]: (float(words[1]), words[2]) for words in lines if len(words) == 3}


def movable_clbench(options):
    worlds = {"no server": (None, ("resident-buffers=never",)), "a server": ("tls", ())}
    values, units = {}, {}
    with tempfile.TemporaryDirectory(prefix="guestcl-bench-") as name:
        program = pathlib.Path(name) / "clbench"
        command = ["cc", "-std=c17", "-O2", options.clbench, "-lOpenCL", "-lm", "-lpthread", "-o", program]
        subprocess.run(command, check=True)
        for number in range(options.rounds):
            progress(f"stayers, clbench, round {number + 1} of {options.rounds}")
            for side, (way, settings) in worlds.items():
                with World(options, way=way, settings=settings) as world:
                    for metric, (value, unit) in clbench_figures(program, world, number + 1).items():
                        values.setdefault(metric, {}).setdefault(side, []).append(value)
                        units[metric] = unit
    rows = []
    for metric, sides in values.items():
        row = {"metric": metric, "unit": units[metric]}
        row.update({side: statistics.median(sides[side]) for side in worlds})
        row["ratio"] = row["a server"] / row["no server"]
        rows.append(row)
    return rows


def part_stayers(options):
    for loops, what in ((1, "small kernels"), (60, "kernels of some 100 us")):
        yield f"stayers: {what} and clFinish, beside a session of 64 MiB", stayers_measure(options, loops)
    yield "movable: small kernels and clFinish, nothing moves", movable_launches(options, 1)
    if options.clbench.exists():
        yield "movable: clbench, no buffers in the heap, nothing moves", movable_clbench(options)


# ------------------------------------------------------------ speed


def speed_of(guest):
    guest.say("go")
    values = {}
    while True:
        words = guest.next(PATIENCE).text.split()
        if words == ["done"]:
            return values
        values[words[0], words[2]] = float(words[1])


def speed_native(options):
    environment = {**os.environ, "OCL_ICD_VENDORS": "/etc/OpenCL/vendors"}
    done = subprocess.run(
        [*moving.pinned(moving.cpus()[0]), moving.MIGRANT, "speed"], env=environment, input="go\ngo\n",
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()]
    return {(words[0], words[2]): float(words[1]) for words in lines if len(words) == 3}


def part_speed(options):
    runs = {"native": [], "at home": [], "moved, unix": [], "moved, TLS": []}
    for number in range(options.rounds):
        progress(f"speed, round {number + 1} of {options.rounds}")
        runs["native"].append(speed_native(options))
        for way in ("unix", "tls"):
            with World(options, way=way) as world:
                guest = world.guest("speed")
                if way == "unix":
                    runs["at home"].append(speed_of(guest))
                world.move(guest, moving.SERVER)
                runs["moved, unix" if way == "unix" else "moved, TLS"].append(speed_of(guest))
    rows = []
    for what in runs["native"][0]:
        row = {"command": what[0], "unit": what[1]}
        row.update({side: statistics.median(run[what] for run in runs[side]) for side in runs})
        row["TLS / home"] = row["moved, TLS"] / row["at home"]
        rows.append(row)
    yield f"speed: link of {options.link[0]:g} ms, {options.link[1]:g} Gbit/s", rows


PARTS = {
    "compute": part_compute,
    "memory": part_memory,
    "pause": part_pause,
    "stayers": part_stayers,
    "speed": part_speed,
}
