# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""What every key may hold, given which requests were sent and which were answered.

Each key is a register. An operation sets it to a value (None: absent) at some instant between its request and
its answer; one whose answer was lost, at any instant from its request on, or never. So an operation may have been the
last unless another was answered that began after its own answer.
"""
import threading
import time


class Operation:
    def __init__(self, value, start):
        self.value, self.start, self.end = value, start, None

    def hidden_by(self, operations, before):
        """Whether an answered operation certainly came after this one, and before the given instant."""
        return self.end is not None and any(
            o.end is not None and o.start > self.end and o.end < before for o in operations)


class Oracle:
    def __init__(self):
        self.lock = threading.Lock()
        self.keys = {}
        self.problems = []

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    def begin(self, key, value):
        with self.lock:
            operations = self.keys.setdefault(key, [self._settled(None)])
            operations.append(Operation(value, time.monotonic()))
            return operations[-1]

    def answered(self, operation):
        operation.end = time.monotonic()

    def refused(self, key, operation):
        """The server answered that it did nothing."""
        with self.lock:
            self.keys[key].remove(operation)

    def possible(self, key, since=None):
        """The values that a read may give that began at `since` and ends now; nothing is settled by it."""
        now = time.monotonic()
        with self.lock:
            operations = self.keys.get(key, [self._settled(None)])
            return {o.value for o in operations if not o.hidden_by(operations, now if since is None else since)}

    def settle(self, key, value):
        """After a restart: what was read is what the key holds."""
        with self.lock:
            self.keys[key] = [self._settled(value)]

    def known(self):
        with self.lock:
            return list(self.keys)

    @staticmethod
    def _settled(value):
        operation = Operation(value, float('-inf'))
        operation.end = float('-inf')
        return operation
