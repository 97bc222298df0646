# SPDX-License-Identifier: MIT
"""What tests/bench/migration measures: each part yields tables, (title, rows)."""

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

# What others have published of partial migration, the time that is saved.
PUBLISHED = {"compute": 82, "memory": 14}


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
    before = world.device_seconds()
    for program in programs:
        program.go(apart if program.number else 0)
    if mover:
        mover(world, programs)
    for program in programs:
        program.join()
    ends = [program.ended for program in programs]
    total = max(program.start + program.ended for program in programs) - programs[0].start
    moves = world.control.done("status")["moves"]["done"] if world.way else 0
    shorts = sum(program.shorts for program in programs)
    return total, statistics.mean(ends), moves, shorts, world.device_seconds() - before


def kernels_calibrate(options, pause_us=0):
    """How many kernels a program alone does in the wanted time."""
    count = 100
    while True:
        with World(options, way=None) as world:
            took = programs_run(world, [(16, count, pause_us)])[0]
        if took >= 1 or count > 1e6:
            return max(10, int(count / took * options.seconds))
        count *= 4


def half_move(world, programs):
    """What an operator would do: every other program to the server."""
    for program in programs[1::2]:
        world.move(program.guest, moving.SERVER)


def gain_rows(cases, published):
    """@cases: {name: [(makespan, mean, moves, shorts, device time)]}; the first is compared with."""
    rows, first = [], None
    for name, runs in cases.items():
        makespan, mean, moves, shorts, device = (statistics.median(run[i] for run in runs) for i in range(5))
        first = first or (makespan, mean)
        rows.append({
            "case": name, "total s": makespan, "mean s": mean,
            "total saved %": 100 * (1 - makespan / first[0]),
            "times as fast": first[0] / makespan,
            "mean saved %": 100 * (1 - mean / first[1]),
            "published %": published, "CPUs had": device / makespan, "moves": moves, "failed allocations": shorts,
            "runs": " ".join(f"{run[0]:.2f}" for run in runs),
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
    ahead, rest = moved["ahead_bytes"], moved["rest_bytes"]
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
        "worst ms": max(run["pause"] for run in runs) * 1e3,
        "move s": middle["took"], "of that prepared": middle["prepare"],
        "ahead MiB": middle["ahead"] / MIB,
        "then MiB": middle["rest"] / MIB,
        "ahead %": 100 * (1 - middle["rest"] / (mib * MIB)),
    }


def part_pause(options):
    with World(options) as world:
        trip, rate = world.floor()
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


def stayer_run(world, stayer, seconds, mover=None, pause=0):
    """Return: what it did each second, its latencies in us, and how many moves there were."""
    stayer.say("go")
    end, moves = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if mover:
            world.move(mover, "home" if moves % 2 else moving.SERVER)
            moves += 1
        time.sleep(pause or 0.05)
    if moves % 2:
        world.move(mover, "home")
    seen = figures(stayer)
    return seen["rounds"] / seen["took"] * 1e9, seen["usual"] / 1e3, seen["late"] / 1e3, moves


def stayers_row(name, runs, still):
    """Other work of the machine only makes rates less: the best of the runs counts."""
    usual, late, moves = (statistics.median(run[i] for run in runs) for i in (1, 2, 3))
    base_usual, base_late = (statistics.median(run[i] for run in still) for i in (1, 2))
    rate, base_rate = (max(run[0] for run in some) for some in (runs, still))
    return {
        "beside": name, "best launches/s": rate, "median us": usual, "99% us": late,
        "rate, ratio": rate / base_rate, "median, ratio": usual / base_usual,
        "99%, ratio": late / base_late, "moves": moves,
    }  # fmt: skip


def stayers_measure(options, loops):
    cases = {"nothing moves": (False, 0.05), "a move each second": (True, 1), "moves without end": (True, 0.001)}
    runs = {name: [] for name in cases}
    with World(options) as world:
        stayer = world.guest("launch", loops)
        mover = world.guest("write", 64, 16, 10, 1)
        world.move(mover, moving.SERVER)
        world.move(mover, "home")
        for number in range(2 * options.rounds):
            progress(f"stayers, round {number + 1} of {2 * options.rounds}")
            for name, (moves, pause) in cases.items():
                runs[name].append(stayer_run(world, stayer, 2, mover if moves else None, pause))
    return [stayers_row(name, runs[name], runs["nothing moves"]) for name in cases]


def movable_launches(options, loops):
    """The same program where it could move, and where it couldn't."""
    worlds = {
        "no server": (None, ()),
        "no server, resident-buffers = never": (None, ("resident-buffers=never",)),
        "a server": ("tls", ()),
    }
    runs = {name: [] for name in worlds}
    for number in range(options.rounds):
        progress(f"stayers, what being movable costs, round {number + 1} of {options.rounds}")
        for name, (way, settings) in worlds.items():
            with World(options, way=way, settings=settings) as world:
                runs[name].append(stayer_run(world, world.guest("launch", loops), 2))
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
