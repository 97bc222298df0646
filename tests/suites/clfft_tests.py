# SPDX-License-Identifier: MIT
"""clFFT's own tests, with Debian's clFFT: those of its calls, and of its transforms' accuracy every
STEP-th, since each compiles kernels of its own."""

import fcntl
import os
import pathlib
import subprocess

import run

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = ("bookworm", "clfft", "2.12.2-3.2")
CALLS = "clfft_UnitTest"
# Files of the tests, without those that are variations of the same transforms by the thousand.
FILES = (
    *("tests/" + name for name in ("test_constants", "buffer_memory", "buffer", "unit_test")),
    *("tests/accuracy_test_" + name for name in ("common", "mixed_radices", "directed", "random")),
    *("tests/gtest_main", "client/openCL.misc"),
)
LIBRARIES = ("clFFT", "boost_program_options", "gtest", "fftw3", "fftw3f", "OpenCL")
STEP = 60
GROUP = 10


MARKS = {"[ RUN      ] ": "crash", "[       OK ] ": "pass", "[  FAILED  ] ": "fail"}


def read(status, text):
    """What gtest prints: a test that only began ended the program."""
    results = {}
    for line in text.splitlines():
        outcome = MARKS.get(line[:13])
        name = line[13:].split(" (")[0].split(", where")[0]
        # Those that failed are named again at the end.
        if outcome and (outcome == "crash" or name in results):
            results[name] = outcome
    return results


def compiled(options):
    """The program of all tests, made once."""
    found = subprocess.run([HERE / "source", *SOURCE], stdout=subprocess.PIPE, text=True, check=True)
    source = pathlib.Path(found.stdout.strip()) / "src"
    folder = options.build / "suites"
    program = folder / "clfft-tests"
    folder.mkdir(exist_ok=True)
    with open(folder / "clfft-tests.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            command = ["g++", "-w", "-O0", "-std=c++14", "-DCL_TARGET_OPENCL_VERSION=300"]
            command += [f"-I{source}/include", *(f"{source}/{name}.cpp" for name in FILES)]
            command += ["-o", f"{program}.new", *(f"-l{name}" for name in LIBRARIES)]
            subprocess.run(command, check=True)
            os.rename(f"{program}.new", program)
    return program


def names(program):
    """Of all its tests, as gtest lists them: cases, and their tests below."""
    said = subprocess.run(
        [program, "--gtest_list_tests"],
        env={**os.environ, "OCL_ICD_VENDORS": run.NATIVE_VENDORS},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout
    case = None
    for line in said.splitlines():
        word = line.split("#")[0].strip()
        if line.startswith("  ") and case:
            yield case + word
        else:
            case = word if word.endswith(".") and " " not in word else None


def tests(options):
    program = compiled(options)
    yield run.Test("calls", [str(program), f"--gtest_filter={CALLS}.*"], read)
    transforms = [name for name in names(program) if not name.startswith(CALLS)][::STEP]
    for first in range(0, len(transforms), GROUP):
        chosen = ":".join(transforms[first : first + GROUP])
        command = [str(program), f"--gtest_filter={chosen}"]
        yield run.Test(f"transforms {first}", command, read, part=False)
