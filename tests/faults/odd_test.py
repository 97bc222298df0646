#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runtimes of the host's that behave oddly: what their guests see, and that others go on.

The stub runtime is the host's only one, and STUB_ODD in the daemon's environment says how it behaves
(tests/stub-runtime/odd.h). Where it lives, native is right.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import faults
import host
from host import Guest, Host, wait_until

ICD = str(host.BUILD / "tests/stub-runtime/stub.icd")
LIBRARY = host.BUILD / "tests/stub-runtime/stub-icd.so"
# An interpreter, whose package lists it nowhere.
OCLGRIND = "/usr/lib/oclgrind/liboclgrind-rt-icd.so"
# What a runtime leaks, or deletes as something else, is not ours.
LENIENT = {"ASAN_OPTIONS": "detect_leaks=0:new_delete_type_mismatch=0"}
NATIVE = {**os.environ, **LENIENT}
DEVICE_NOT_AVAILABLE = -2
# What the stub fails with, and what a program may be told for it.
SHORT = {-4, -5, -6}
# As many devices can be accounted for (host-daemon/page.h).
OFFERED = 32
# The first process of a namespace gets no SIGABRT, so abort() has to run into a wrong instruction.
ABORTED = r"was ended by signal (?:6|11) \((?:Aborted|Segmentation fault)\)"


def stub(odd, **more):
    return Host(vendors=ICD, environment={"STUB_ODD": odd}, **more)


def native(odd, *command):
    """The lines of the program natively."""
    environment = {**NATIVE, "OCL_ICD_VENDORS": ICD, "STUB_ODD": odd}
    command = [host.PROGRAMS / "odd", *command]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=host.PATIENCE, check=True
    )
    return done.stdout.splitlines()


def through(running, *command, environment=None):
    """The lines of the program through guestcl, and what it said of errors."""
    with Guest(running, "odd", *command, environment=environment) as guest:
        lines = []
        while (line := guest.next()) and line.text is not None:
            lines.append(line.text)
        status = guest.end()
        if status != 0:
            raise AssertionError(f"exit status {status}: {lines[-4:]} {guest.errors}")
        return lines, guest.errors


def guestcl(running, *command):
    """The tool, told where the daemon's sockets are."""
    environment = {
        **os.environ,
        "GUESTCL_CONTROL": str(running.folder / "control.sock"),
        "GUESTCL_SOCKET": str(running.socket),
        "OCL_ICD_VENDORS": host.paths()["vendors"],
    }
    command = [host.BUILD / "host-daemon/tool/guestcl", *command]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=host.PATIENCE, check=False
    )


class Odd(faults.Fault):
    def check_same(self, odd, *command):
        with stub(odd) as running:
            lines, errors = through(running, *command)
            self.assertEqual(lines, native(odd, *command))
            self.assertEqual(errors, [])
            self.assert_clean(running)

    def assert_goes_on(self, running):
        with Guest(running, "odd", "steady") as guest:
            guest.expect("prepared")
            self.assertEqual(guest.ask(), 0)
            self.assertEqual(guest.end(), 0)


class Alive(Odd):
    def test_usual(self):
        self.check_same("", "work", "3")
        self.check_same("", "args")

    def test_tools(self):
        """A runtime whose calls fail is there, and what failed is counted."""
        with stub("fail:4") as running:
            lines, _ = through(running, "work", "10")
            self.assertNotEqual(lines, ["worked 0 contents"] * 10)
            self.assertEqual(guestcl(running, "doctor").returncode, 0)

            def status():
                return json.loads(guestcl(running, "status", "--json").stdout)

            self.assertEqual(status()["daemon"]["worker_error"], "")
            self.assertEqual(len(status()["devices"]), 1)
            counted = wait_until(lambda: any(vm["errors"] for vm in status()["vms"]))
            self.assertIsNotNone(counted)

    def test_many_devices(self):
        self.check_same(f"devices:{OFFERED}", "list")
        self.check_same(f"devices:{OFFERED}", "each")

    def test_too_many_devices(self):
        """Those that no limit would hold for aren't offered, and the log names them."""
        more = OFFERED + 40
        with stub(f"devices:{more}") as running:
            found = running.expect(r"not offered,.*: (stub .*)")[1]
            self.assertTrue(found.startswith(f"stub {OFFERED}, stub {OFFERED + 1}, "), found)
            self.assertTrue(found.endswith("... (40 in all)"), found)
            lines, errors = through(running, "list")
            self.assertEqual(lines, native(f"devices:{OFFERED}", "list"))
            self.assertEqual(errors, [])
            owner = "test" if host.TLS else f"uid-{os.getuid()}"
            told = guestcl(running, "set", owner, "--memory", "8MiB")
            self.assertEqual(told.returncode, 0, told.stderr)
            lines, _ = through(running, "fill")
            self.assertEqual(lines, ["filled 8"] * OFFERED)
            status = json.loads(guestcl(running, "status", "--json").stdout)
            self.assertEqual(len(status["devices"]), OFFERED)
            self.assertEqual(status["daemon"]["devices_left_out"], 40)
            self.assertIn("devices that are not offered: 40;", guestcl(running, "status").stdout)
            # Once, however many workers there are.
            self.assertEqual(running.text().count("not offered"), 1)
            self.assert_clean(running)

    def test_no_argument_info(self):
        """What an argument is given says what it is."""
        self.check_same("no-arg-info", "args")
        with stub("no-arg-info") as running:
            lines, errors = through(running, "wild")
            self.assertEqual(lines, ["returned -38", "worked 0 clFinish"])
            self.assertEqual(errors, [])

    def test_suggested_sizes(self):
        """What only the runtime knows is asked; its kernel has the arguments that were set last."""
        self.check_same("", "suggest")

    def test_events(self):
        self.check_same("", "events")

    def test_forgotten_callbacks(self):
        """Commands that have ended are known to, though nobody calls back."""
        self.check_same("forget", "events")

    def test_slow_build(self):
        """The session next door doesn't wait for it."""
        with stub("slow:2") as running, Guest(running, "odd", "steady") as other:
            other.expect("prepared")
            with Guest(running, "odd", "work", "1") as guest:
                running.expect("session 2: .* served by worker")
                turns = 0
                while guest.lines.empty():
                    self.assertEqual(other.ask(), 0)
                    turns += 1
                guest.expect("worked 0")
                self.assertEqual(guest.end(), 0)
            self.assertGreater(turns, 9)
            self.assertEqual(other.end(), 0)

    def test_failing_calls(self):
        """Each failure is an error of the call or of a later one, and of nothing else."""
        for every in (3, 4, 7, 11, 19):
            with self.subTest(every=every), stub(f"fail:{every}") as running:
                # It may be its turn while a worker is prepared.
                lines, _ = through(running, "work", "60")
                codes = [int(line.split()[1]) for line in lines]
                self.assertEqual(len(codes), 60)
                self.assertLessEqual(set(codes) - {0}, SHORT, lines)
                self.assertLess(min(codes), 0)
                if every > 8:  # as many calls as there are in a round
                    self.assertIn(0, codes)
                self.assertNotIn("other sessions go on", running.text())
                self.assert_clean(running)

    def test_prints(self):
        """What it prints in its calls is its program's, as natively; before, the log's."""
        with stub("print") as running:
            lines, errors = through(running, "work", "2")
            running.expect(r"(?m)^stub: load$")
            said = [line for line in lines if not line.startswith("stub: ")]
            self.assertEqual(said, ["worked 0 contents"] * 2)
            self.assertIn("stub: clBuildProgram", lines)
            self.assertNotIn("stub: load", lines)
            self.assertEqual(errors, [])
            self.assert_clean(running)


class Several(Odd):
    """Several runtimes at once: each platform has its own devices, and a program may use any."""

    ICDS = ("/etc/OpenCL/vendors/pocl.icd", ICD)

    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.vendors = f"{folder}/"
        for icd in self.ICDS:
            shutil.copy(icd, folder)
        if not os.path.exists(OCLGRIND):
            self.fail(f"no {OCLGRIND}: install oclgrind")
        pathlib.Path(folder, "oclgrind.icd").write_text(OCLGRIND + "\n")

    def both(self, running, *command, **more):
        """The program's lines natively and through guestcl, and what it said of errors."""
        own = {**NATIVE, **running.environment, **more, "OCL_ICD_VENDORS": self.vendors}
        done = subprocess.run(
            [host.PROGRAMS / "odd", *command],
            env=own, capture_output=True, text=True, timeout=host.PATIENCE, check=True,
        )  # fmt: skip
        lines, errors = through(running, *command, environment=more)
        return done.stdout.splitlines(), lines, errors

    def test_platforms(self):
        environment = {**LENIENT, "STUB_ODD": "devices:3"}
        with Host(vendors=self.vendors, environment=environment) as running:
            native_lines, lines, errors = self.both(running, "list")
            self.assertEqual(lines, native_lines)
            self.assertEqual(lines[0], "platforms 0 3")
            self.assertEqual(errors, [])
            for platform in ("Stub", "Oclgrind", "Portable"):
                with self.subTest(platform):
                    native_lines, lines, errors = self.both(
                        running, "each", ODD_PLATFORM=platform
                    )
                    self.assertEqual(lines, native_lines)
                    self.assertEqual(set(lines), {"worked 0 contents"})
                    self.assertEqual(errors, [])
            self.assert_clean(running)

    def test_one_without_devices(self):
        """It is left out, and the others are there."""
        environment = {**LENIENT, "STUB_ODD": "no-devices"}
        with Host(vendors=self.vendors, environment=environment) as running:
            native_lines, lines, errors = self.both(running, "list")
            left_out = native_lines.index("platform Stub")
            self.assertEqual(native_lines[left_out + 1], "devices -1 0")
            del native_lines[left_out : left_out + 2]
            self.assertEqual(lines[1:], native_lines[1:])
            self.assertEqual(errors, [])


class Absent(Odd):
    def check(self, odd, *words):
        with contextlib.ExitStack() as stack:
            running = stub(odd).start()
            stack.push(running)
            found = running.expect(words[0])
            self.assert_refused(running, found[0], *words[1:])
            self.check_tools(running, found[0])

    def check_tools(self, running, why):
        """Operators read the same words, and nothing that wouldn't help."""
        for command in (["status"], ["top", "-n", "1"]):
            with self.subTest(command=command):
                told = guestcl(running, *command, "--json")
                self.assertEqual(told.returncode, 0, told.stderr)
                answer = json.loads(told.stdout)
                self.assertIn(why, answer["daemon"]["worker_error"])
                self.assertEqual(answer["devices"], [])
        told = guestcl(running, "status")
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertRegex(told.stdout, f"(?m)^no worker can be prepared: .*{re.escape(why)}")
        self.check_doctor(running, why)

    def check_doctor(self, running, why):
        told = guestcl(running, "doctor", "--json")
        self.assertEqual(told.returncode, 1, told.stderr)
        answer = json.loads(told.stdout)
        self.assertFalse(answer["works"])
        (local,) = [finding for finding in answer["findings"] if finding["name"] == "local"]
        self.assertEqual((local["state"], local["fix"]), ("bad", None))
        self.assertIn(why, local["text"])
        lines = guestcl(running, "doctor").stdout.splitlines()
        self.assertEqual(len([line for line in lines if why in line]), 1)

    def test_no_platforms(self):
        self.check("no-platforms", "no OpenCL platform: install")

    def test_no_devices(self):
        self.check("no-devices", "no OpenCL device", "Stub")

    def test_ends_at_load(self):
        self.check("exit:load", "ended its process while it was loaded")
        self.check("abort:load", ABORTED + " while it started")
        self.check("crash:load", "by signal 11 .* while it started")
        self.check("crash:clCreateContext", "by signal 11 .* while it started")


class Dying(Odd):
    """Its program is told, another session goes on, and new ones begin."""

    def check_touch(self, odd, how):
        with stub(odd) as running, Guest(running, "odd", "steady") as other:
            other.expect("prepared")
            with Guest(running, "odd", "touch") as guest:
                guest.expect("entering")
                guest.expect("returned clFinish")
                line = guest.expect("later").text.split()
                self.assertEqual(int(line[2]), DEVICE_NOT_AVAILABLE, line)
                guest.expect("ends")
                self.assertEqual(guest.end(), 0)
                self.assertEqual(len(guest.errors), 1, guest.errors)
            running.expect(f"{how}.*other sessions go on")
            self.assertEqual(other.ask(), 0)
            self.assertEqual(other.end(), 0)
            self.assert_goes_on(running)
            self.assert_clean(running)

    def test_exit(self):
        self.check_touch("exit:clEnqueueMigrateMemObjects", "ended with status 1")

    def test_abort(self):
        self.check_touch("abort:clEnqueueMigrateMemObjects", ABORTED)

    def test_crash(self):
        self.check_touch("crash:clEnqueueMigrateMemObjects", "was ended by signal 11")

    def test_thread(self):
        self.check_touch("thread:clEnqueueMigrateMemObjects", "was ended by signal 11")

    def test_in_waited_calls(self):
        """Calls that wait for an answer, and those that don't."""
        for call in ("clBuildProgram", "clEnqueueNDRangeKernel", "clEnqueueReadBuffer"):
            for way in ("exit", "crash"):
                with self.subTest(call=call, way=way), stub(f"{way}:{call}") as running:
                    lines, errors = through(running, "work", "2")
                    codes = [int(line.split()[1]) for line in lines]
                    self.assertEqual(codes, [DEVICE_NOT_AVAILABLE] * 2)
                    self.assertEqual(len(errors), 1, errors)
                    running.expect("other sessions go on")
                    self.assert_clean(running)


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
