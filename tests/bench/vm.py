# SPDX-License-Identifier: MIT
"""bench --vm: clbench in a VM, over virtio-cl and over vsock, against native on the host; the ring
in the VM against the ring between two processes; and what the guest's own memory and CPU do.

All of a table comes from one run, round by round. Where the guest's CPU is emulated, its share of
each figure is slow for that reason alone: the floors at the end tell how much.
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vm"))

import host
import machine

RUN_SECONDS = 1500
POCL = {"OCL_ICD_VENDORS": "/etc/OpenCL/vendors/pocl.icd", "GUESTCL_CHANNEL": "none"}

FLOOR_PROGRAM = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}
static void copy(const char *name, size_t size)
{
	char *from = malloc(size), *to = malloc(size);
	double start, took[11];
	memset(from, 1, size);
	memset(to, 2, size);
	for (int i = 0; i < 11; i++) {
		start = now();
		memcpy(to, from, size);
		__asm__ volatile("" ::"r"(to) : "memory");
		took[i] = now() - start;
	}
	qsort(took, 11, sizeof *took, compare);
	printf("floor.memcpy_%s %g GB/s\\n", name, (double)size / took[5] / 1e9);
	free(from);
	free(to);
}
int main(void)
{
	volatile unsigned x = 0;
	double start;
	copy("1MiB", 1 << 20);
	copy("16MiB", 16 << 20);
	copy("256MiB", 256 << 20);
	start = now();
	for (int i = 0; i < 100000; i++)
		syscall(SYS_getppid);
	printf("floor.syscall %g us\\n", (now() - start) * 10);
	start = now();
	for (int i = 0; i < 20000000; i++)
		x = x * 3 + 1;
	printf("floor.loop %g us\\n", (now() - start) / 20);
}
"""


def floor_build(directory):
    source, program = directory / "floor.c", directory / "floor"
    source.write_text(FLOOR_PROGRAM)
    subprocess.run(["cc", "-O2", source, "-o", program], check=True)
    return program


def lines_read(text):
    """{metric: (value, unit)} and the lines that tell of failures."""
    values, wrong = {}, []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[1] in ("FAIL", "WRONG"):
            wrong.append(line)
        elif len(words) == 3 and not line.startswith("#"):
            values[words[0]] = (float(words[1]), words[2])
    return values, wrong


def host_run(command, variables):
    done = subprocess.run(
        [str(word) for word in command], env={**os.environ, **variables},
        capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


def guest_run(vm, command, variables):
    done = vm.run(command, env=variables, timeout=RUN_SECONDS)
    return done.stdout, done.stderr, done.returncode


class Figures:
    """values[metric][side]: a list; what went wrong; units."""

    def __init__(self):
        self.values, self.units, self.wrong = {}, {}, []

    def add(self, side, answer):
        out, err, status = answer
        values, wrong = lines_read(out)
        for name, (value, unit) in values.items():
            self.values.setdefault(name, {}).setdefault(side, []).append(value)
            self.units[name] = unit
        if status:
            wrong.append(f"exit status {status}: {err.strip()[-300:]}")
        self.wrong += [f"{side}: {line}" for line in wrong]

    def median(self, name, side):
        found = self.values.get(name, {}).get(side)
        return statistics.median(found) if found else None

    def rows(self):
        for name in self.values:
            yield name, {side: self.median(name, side) for side in self.values[name]}

    def print(self, sides):
        print(f"{'metric':34} {'unit':5} {sides[0]:>10}", end="")
        print("".join(f" {side:>11} {'ratio':>8}" for side in sides[1:]))
        for name, row in self.rows():
            first = row.get(sides[0])
            print(f"{name:34} {self.units[name]:5} {text(first)}", end="")
            for side in sides[1:]:
                value = row.get(side)
                ratio = f"{value / first:8.3g}" if value is not None and first else f"{'-':>8}"
                print(f" {text(value, 11)} {ratio}", end="")
            print()


def text(value, width=10):
    return f"{'-':>{width}}" if value is None else f"{value:{width}.4g}"


def measure(options, clbench, directory, figures):
    """clbench and the floors, on all sides in turn."""
    guest = machine.image(options.build, ["pocl-opencl-icd"] if options.vm_pocl else [])
    with contextlib.ExitStack() as places:
        daemon = places.enter_context(host.Host(options.build, ["bench"]))
        vm = places.enter_context(
            host.vm(daemon, "bench", guest, memory="4G", vsock=daemon.vsock("bench"))
        )
        vm.start().wait_ready()
        vm.put(clbench)
        vm.put(directory / "floor")
        native = {"OCL_ICD_VENDORS": os.environ.get("GUESTCL_HOST_VENDORS", "/etc/OpenCL/vendors"),
                  "POCL_CACHE_DIR": str(directory / "native-cache")}  # fmt: skip
        runs = {
            "native": lambda more: host_run([clbench, *options.groups], {**native, **more}),
            "virtio": lambda more: guest_run(
                vm, ["clbench", *options.groups], {"GUESTCL_CHANNEL": "virtio", **more}
            ),
            "vsock": lambda more: guest_run(
                vm, ["clbench", *options.groups], {"GUESTCL_CHANNEL": "vsock", **more}
            ),
        }
        if options.vm_pocl:
            runs["pocl in guest"] = lambda more: guest_run(
                vm, ["clbench", *options.groups], {**POCL, **more}
            )
        for number in range(-1, options.rounds):
            for side, run in runs.items():
                print(f"# round {number + 1} of {options.rounds}: {side}", file=sys.stderr)
                scale = options.scale if number >= 0 else 0.01
                salt = str(int(time.time()) * 64 + number + 1)
                answer = run({"CLBENCH_SALT": salt, "CLBENCH_SCALE": str(scale)})
                if number >= 0:  # the first fills the caches of compiled kernels
                    figures.add(side, answer)
        figures.add("native", host_run([directory / "floor"], {}))
        figures.add("virtio", guest_run(vm, ["floor"], {}))
        return list(runs), vm.accelerator[1].partition(",")[0]


def ring_measure(options):
    """ring_bench between two processes of the host, and between guest and host."""
    ring = options.build.resolve() / "tests" / "bench" / "ring_bench"
    words = ["--json", "--seconds", "1"]
    figures = {}
    guest = machine.image(options.build)
    with host.Host(options.build, ["ring"], worker=ring) as daemon:
        with host.vm(daemon, "ring", guest) as vm:
            vm.start().wait_ready()
            there = vm.put(ring)
            for _ in range(options.rounds):
                for side, answer in (
                    ("host", host_run([ring, *words], {})),
                    ("guest", guest_run(vm, [there, "--guest", *words], {"GUESTCL_CHANNEL": "virtio"})),
                ):
                    if answer[2]:
                        raise machine.MachineError(f"ring_bench, {side}: {answer[1]}")
                    for name, one in json.loads(answer[0]).items():
                        entry = figures.setdefault(name, {"unit": one["unit"]})
                        entry.setdefault(side, []).append(one["value"])
    return figures


def ring_print(figures):
    print(f"\n{'the ring':34} {'unit':9} {'two procs':>10} {'VM, host':>11} {'ratio':>8}")
    for name, entry in figures.items():
        sides = [statistics.median(entry[side]) if side in entry else None for side in ("host", "guest")]
        ratio = f"{sides[1] / sides[0]:8.3g}" if sides[0] and sides[1] is not None else f"{'-':>8}"
        print(f"{name:34} {entry['unit']:9} {text(sides[0])} {text(sides[1], 11)} {ratio}")


def transfers_print(figures):
    """What large transfers reach of a memcpy in the guest."""
    print(f"\n{'large transfers: GB/s':34} {'virtio':>10} {'memcpy':>11} {'ratio':>8}")
    for size in ("1MiB", "16MiB", "256MiB"):
        floor = figures.median(f"floor.memcpy_{size}", "virtio")
        for way in ("write", "read"):
            value = figures.median(f"bw.{way}_{size}", "virtio")
            if value and floor:
                print(f"{f'bw.{way}_{size}':34} {text(value)} {text(floor, 11)} {value / floor:8.3g}")


def main(options, clbench_build):
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="guestcl-bench-") as name:
        directory = pathlib.Path(name)
        floor_build(directory)
        clbench = clbench_build(options.clbench, directory)
        sides, accelerator = measure(options, clbench, directory, figures)
    ring = ring_measure(options)
    print(f"guest under {accelerator}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    figures.print(sides)
    transfers_print(figures)
    ring_print(ring)
    for line in figures.wrong:
        print(f"WRONG {line}")
    if options.json:
        report = {"rows": dict(figures.rows()), "units": figures.units, "ring": ring,
                  "wrong": figures.wrong, "accelerator": accelerator}  # fmt: skip
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 1 if figures.wrong else 0
