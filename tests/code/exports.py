# SPDX-License-Identifier: MIT
"""What the built library exports and what programs link: exports.py LIBRARY MAP BROKER.

The library exports what its symbol map lists and no more. Neither the library, which is loaded by
an ICD loader, nor the broker, which must never load a driver, is linked to one.
"""

import pathlib
import re
import subprocess
import sys

import source

LOADER = re.compile(r"NEEDED.*(libOpenCL[^\]]*)")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported(library):
    lines = output("nm", "--dynamic", "--defined-only", "--format=posix", library).splitlines()
    symbols = (line.split() for line in lines)
    # The name of a version node is an absolute symbol.
    return {symbol[0].partition("@")[0] for symbol in symbols if symbol[1] != "A"}


def listed(symbol_map):
    text = re.sub(r"/\*.*?\*/|#.*", "", pathlib.Path(symbol_map).read_text(), flags=re.DOTALL)
    names = re.search(r"global:(.*?)local:", text, flags=re.DOTALL)[1]
    return {name.strip() for name in names.split(";")} - {""}


def faults(library, symbol_map, broker):
    ours, meant = exported(library), listed(symbol_map)
    for name in sorted(ours - meant):
        yield f"{library} exports {name}, which the map does not list"
    for name in sorted(meant - ours):
        yield f"{library} does not export {name}, which the map lists"
    for program in (library, broker):
        for loader in LOADER.findall(output("readelf", "--dynamic", program)):
            yield f"{program} is linked to {loader}"


source.finish(list(faults(*sys.argv[1:])), "exports and links are as meant")
