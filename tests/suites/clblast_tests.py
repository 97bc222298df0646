# SPDX-License-Identifier: MIT
"""CLBlast's own tests, with Debian's CLBlast. They are of a newer version than that is: what it lacks
fails natively as well. Each routine has a program; a result is what came of all sizes with the same
options, with how many of them passed, so that one more or less is another result."""

import fcntl
import glob
import os
import pathlib
import re
import subprocess

import run

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = ("trixie", "clblast", "1.6.3-1")
# What is in all of the programs.
COMMON = (
    *("test/test_utilities", "test/correctness/tester", "test/correctness/testblas"),
    *("src/utilities/utilities", "src/utilities/compile", "src/kernel_preprocessor"),
)
LIBRARIES = ("clblast", "blas", "OpenCL")
# Each takes some seconds to compile; some, minutes to run.
PART = ("xaxpy",)

LINES = {
    "routine": re.compile(r"\* (?:Starting tests|Testing \w+) for(?: the)? '(\w+)'"),
    "group": re.compile(r"\* Testing '(.+)' for '(.+)':"),
    "counts": re.compile(r"Pass rate .*: (\d+) passed / (\d+) skipped / (\d+) failed"),
    "skipped": re.compile(r"\* All tests skipped: (.+)"),
}


def group_outcome(passed, skipped, failed):
    if int(failed):
        return "fail"
    return "pass" if int(passed) or not int(skipped) else "skip"


def reader(program):
    """Of what a program prints; its own result is that of its exit status."""

    def read(status, text):
        results = {program: run.outcome_of(status)}
        routine = group = program
        for line in text.splitlines():
            found = {what: pattern.search(line) for what, pattern in LINES.items()}
            if found["routine"]:
                routine = found["routine"][1]
            elif found["group"]:
                group = " ".join(found["group"].groups())
            elif found["skipped"]:
                results[f"{routine} ({found['skipped'][1]})"] = "skip"
            elif found["counts"]:
                counts = found["counts"].groups()
                name = f"{routine} {group} ({'/'.join(counts)})"
                results[name] = group_outcome(*counts)
        return results

    return read


def compiled(path, command):
    """Once; a half written one never has the name."""
    if not path.exists():
        subprocess.run([*map(str, command), "-o", f"{path}.new"], check=True)
        os.rename(f"{path}.new", path)
    return path


def maker(source, folder, name, file):
    """Return: makes that program, and what is in all of them."""

    def make():
        flags = ["g++", "-w", "-std=c++11", "-O0", "-DOPENCL_API", "-DCLBLAST_REF_CBLAS"]
        flags += [f"-I{source}/{below}" for below in ("include", "src", ".")]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            objects = [
                compiled(folder / f"{pathlib.Path(common).name}.o", [*flags, "-c", f"{source}/{common}.cpp"])
                for common in COMMON
            ]
            links = [f"-l{library}" for library in LIBRARIES]
            compiled(folder / name, [*flags, file, *objects, *links])

    return make


def built(source):
    """Names of those that CLBlast builds itself: some of what is there is for what it doesn't have yet."""
    lists = re.findall(r"set\((?:LEVEL._ROUTINES|MISC_TESTS) ([^)]*)\)", (source / "CMakeLists.txt").read_text())
    return {word for words in lists for word in words.split()}


def tests(options):
    if not all(glob.glob(header) for header in ("/usr/include/clblast.h", "/usr/include/*/cblas.h")):
        raise run.Missing("libclblast-dev or libblas-dev")
    found = subprocess.run([HERE / "source", *SOURCE], stdout=subprocess.PIPE, text=True, check=True)
    source = pathlib.Path(found.stdout.strip())
    folder = options.build / "suites/clblast-tests"
    names = built(source)
    for file in sorted((source / "test/correctness").glob("*/**/*.cpp")):
        name = file.stem
        if name not in names:
            continue
        make = maker(source, folder, name, file)
        yield run.Test(name, [str(folder / name)], reader(name), name in PART, make=make)
