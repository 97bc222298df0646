#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn a text file into a C header with one string: embed.py INPUT OUTPUT.

picture.cl becomes: static const char picture_cl[] = "...";
"""

import pathlib
import re
import sys


def main():
    source, header = map(pathlib.Path, sys.argv[1:])
    name = re.sub(r"\W", "_", source.name)
    lines = source.read_text().splitlines()
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    body = "\n".join(f'\t"{line}\\n"' for line in escaped)
    header.write_text(f"static const char {name}[] =\n{body};\n")


main()
