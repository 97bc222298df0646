# SPDX-License-Identifier: MIT
"""pyopencl's own tests, with Debian's pyopencl. They are of a newer version than that is: what it lacks
fails natively as well."""

import pathlib
import subprocess

import run

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = ("trixie", "pyopencl", "2025.1-1")
PYTHON = "/usr/bin/python3"
# The others have hundreds of kernels to compile.
PART = ("test_wrapper.py",)


def read(status, text):
    results = {}
    for line in text.splitlines():
        if line.startswith("RESULT "):
            _, outcome, name = line.split(" ", 2)
            results[name] = outcome if results.get(name) in (None, "crash", "pass") else "fail"
    return results


def tests(options):
    needed = [PYTHON, "-c", "import pyopencl, pytest, mako"]
    if subprocess.run(needed, check=False, stderr=subprocess.DEVNULL).returncode:
        raise run.Missing("python3-pyopencl, python3-pytest or python3-mako")
    found = subprocess.run([HERE / "source", *SOURCE], stdout=subprocess.PIPE, text=True, check=True)
    folder = pathlib.Path(found.stdout.strip()) / "test"
    command = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-p", "each_result", "-s", "-q", "-W", "ignore", "--tb", "short"]
    for path in sorted(folder.glob("test_*.py")):
        yield run.Test(
            path.name,
            [*command, str(path)],
            read,
            path.name in PART,
            folder,
            {"PYTHONPATH": str(HERE), "PYOPENCL_NO_CACHE": "1"},
        )
