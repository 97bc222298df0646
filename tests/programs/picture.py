# SPDX-License-Identifier: MIT
"""The example renders the same picture, byte by byte: picture.py PATH-OF-EXAMPLE."""

import twice


def compare(native, guest):
    if not native.read("picture.png").startswith(b"\x89PNG"):
        yield "native: not a PNG"
    if native.read("picture.png") != guest.read("picture.png"):
        yield "the pictures differ"


twice.main(lambda options: [*options.program, "-g", "320x180", "-s", "2"], compare)
