# SPDX-License-Identifier: MIT
"""clang-tidy finds nothing: tidy.py BUILD.

A file that was clean is not looked at again until it, its command, a header, or the configuration
changes: what was seen lies in BUILD/tidy.

GUESTCL_TIDY_NODES   how far the analyzer goes in each function (8000; its own default, 225000, takes
                     many times as long)
"""

import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import sys

import source

NODES = os.environ.get("GUESTCL_TIDY_NODES", "8000")

# gcc's options that clang does not know say nothing about the code.
OPTIONS = ["-Wno-unknown-warning-option"]
OPTIONS += ["-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}"]


def digest(*parts):
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def common_digest(build):
    """What every file's result depends on: headers, generated ones too, and configurations."""
    # Other tests make and remove folders beside these.
    generated = [path for name in ("examples", "proto") for path in (build / name).rglob("*.h")]
    paths = [*source.files(".h"), *sorted(generated)]
    paths += [source.TOP / ".clang-tidy", source.TOP / "tests" / ".clang-tidy"]
    return digest(NODES.encode(), *(path.read_bytes() for path in paths)).encode()


def check(path, build, entry, common):
    """Returns what clang-tidy says about one file, "" for nothing."""
    key = digest(common, entry["command"].encode(), path.read_bytes())
    seen = build / "tidy" / source.name(path).replace("/", "-")
    if seen.is_file() and seen.read_text() == key:
        return ""
    command = ["clang-tidy", "--quiet", "-p", build, *(f"--extra-arg={word}" for word in OPTIONS)]
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        seen.write_text(key)
        return ""
    return done.stdout + (done.stderr if "error:" not in done.stdout else "")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    (build / "tidy").mkdir(exist_ok=True)
    commands = source.compile_commands(build)
    common = common_digest(build)
    with concurrent.futures.ThreadPoolExecutor(source.workers()) as pool:
        answers = pool.map(lambda path: check(path, build, commands[path], common), commands)
        faults = [answer for answer in answers if answer]
    source.finish(faults, f"clang-tidy finds nothing in {len(commands)} files")


main()
