#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The units are well formed: systemd-analyze verify has nothing to say about them.

Usage: units.py SYSTEMD-ANALYZE GUESTCLD SERVICE FOLDER
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def main():
    analyze, guestcld, service, folder = sys.argv[1:5]
    with tempfile.TemporaryDirectory() as units:
        text = pathlib.Path(service).read_text()
        # The program is not installed where the unit says.
        text, count = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={guestcld}", text)
        assert count == 1, "one ExecStart="
        (pathlib.Path(units) / "guestcld.service").write_text(text)
        shutil.copy(pathlib.Path(folder) / "guestcld.socket", units)
        names = [str(path) for path in sorted(pathlib.Path(units).iterdir())]
        done = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", *names],
            capture_output=True,
            text=True,
            check=False,
        )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "guestcld" in line]
    print("\n".join(ours), end="")
    return 1 if ours or done.returncode else 0


sys.exit(main())
