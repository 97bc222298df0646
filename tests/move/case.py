# SPDX-License-Identifier: MIT
"""What the tests of moving share: a case, and which number a program's queue has."""

import contextlib
import unittest

from host import wait_until
from world import Native, Places

# gcl_id() of proto/messages.h: the program's first queue, and those after it.
KIND_QUEUE = 4


def queue_id(index):
    return KIND_QUEUE << 56 | 1 << 32 | index


class Case(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, *args, **kwargs):
        self.places = self.stack.enter_context(Places(*args, **kwargs))
        return self.places

    def assert_eventually(self, condition, what):
        if wait_until(condition) is None:
            self.fail(f"never {what}:\n{self.places.text()}")

    def assert_clean(self):
        self.assertEqual(list(self.places.faults()), [], self.places.text())

    def assert_empty(self, *names):
        """Nothing is left of any session at these servers, whatever runs at home."""
        for name in names:
            self.assert_eventually(lambda: self.places.empty(name), f"{name} is empty")

    def assert_refused(self, state, *words):
        self.assertIn(state["state"], ("refused", "failed"), state)
        for word in words:
            self.assertIn(word, state["text"])

    def assert_there(self, state):
        """Nothing had to be done."""
        self.assertEqual((state["state"], state["text"]), ("moved", "it is there already"))

    def assert_sums(self, mode, counts, sums):
        self.assertEqual(sums, Native.run(mode, counts))

    def assert_works(self, guest):
        """So many rounds more, all of which are right: the program sees to that."""
        before, _ = guest.rounds(0)
        after, _ = guest.rounds(2)
        self.assertEqual(after, before + 2)

