# SPDX-License-Identifier: MIT
"""hashcat finds the words whose MD5 and SHA-256 are known: hashcat.py md5|sha256."""

import hashlib

import twice

# name: hashcat's mode, the word, a mask that holds it
HASHES = {
    "md5": ("0", "zap7", "?l?l?l?d"),
    "sha256": ("1400", "q7z", "?l?d?l"),
}


def expected(name):
    word = HASHES[name][1]
    return f"{hashlib.new(name, word.encode()).hexdigest()}:{word}"


def command(options):
    (name,) = options.program
    mode, word, mask = HASHES[name]
    # --force: hashcat refuses PoCL as such. The self-test, and optimized kernels (-O), of which there
    # are more, would only compile for longer.
    words = ["hashcat", "--force", "--quiet", "--potfile-disable", "--self-test-disable"]
    words += ["--session", f"guestcl-{name}", "-m", mode, "-a", "3"]
    return [*words, hashlib.new(name, word.encode()).hexdigest(), mask]


def compare(native, guest):
    known = [expected(name) for name in HASHES]
    for one in (native, guest):
        found = one.out.split()
        if len(found) != 1 or found[0] not in known:
            yield f"{one.title}: hashcat printed {found}"
    yield from twice.same_lines(native.out, guest.out)


twice.main(command, compare, ["hashcat"])
