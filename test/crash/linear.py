# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Clients on a few shared keys, and the search for an order of what they did that explains every answer.

An operation takes effect at one instant between its call and its answer; one whose answer was lost, at any instant from
its call on, or never (Herlihy, Wing: Linearizability, 1990). The search is Wing and Gong's with Lowe's memory of what was
tried (Lowe: Testing for linearizability, 2017), one key at a time.
"""
import itertools
import random
import threading
import time

from client import LOST, Client, content, md5

NEVER = float('inf')
SIZES = [1, 400, 3000, 9000, 70000, 300000]


class Operation:
    """`apply(state)` gives the state after it, or False where the answer cannot have come in that state."""

    def __init__(self, kind, value=None, expected=None):
        self.kind, self.value, self.expected = kind, value, expected
        self.call, self.answer, self.refused = time.monotonic(), NEVER, False

    def answered(self, refused=False):
        self.answer, self.refused = time.monotonic(), refused

    def apply(self, state):
        lost = self.answer == NEVER
        if self.kind == 'get':
            return state if lost or self.value == state else False
        if self.kind in ('put', 'delete'):
            return self.value
        holds = state is None if self.kind == 'put new' else state == self.expected
        if not lost and self.refused == holds:
            return False
        return self.value if holds else state

    def __repr__(self):
        return '%s %s%s %.6f..%.6f' % (self.kind, self.value, ', refused' if self.refused else '', self.call, self.answer)


def explained(operations):
    """Whether an order explains them all, beginning with an absent key."""
    operations = sorted(operations, key=lambda o: o.call)
    answered = [i for i, o in enumerate(operations) if o.answer != NEVER]
    stack, seen = [(0, None)], set()
    while stack:
        done, state = stack.pop()
        if (done, state) in seen:
            continue
        seen.add((done, state))
        left = [i for i in answered if not done >> i & 1]
        if not left:
            return True
        first_answer = min(operations[i].answer for i in left[:64])
        for i, o in enumerate(operations):
            if o.call > first_answer:
                break
            if not done >> i & 1:
                after = o.apply(state)
                if after is not False:
                    stack.append((done | 1 << i, after))
    return False


class SharedKeys:
    """Workers that record what they did; goes on over restarts of the server."""

    def __init__(self, server, bucket, seed, keys=4):
        self.server, self.bucket = server, bucket
        self.histories = {'shared-%d' % k: [] for k in range(keys)}
        self.random = random.Random(seed)
        self.seeds = itertools.count(self.random.getrandbits(40))
        self.stopping = threading.Event()
        self.problems, self.threads = [], []

    def one(self, c, r):
        key = r.choice(list(self.histories))
        history = self.histories[key]
        kind = r.choice(['put', 'put', 'put new', 'put match', 'delete', 'get', 'get', 'get'])
        if kind == 'get':
            return self.read(c, key, history)
        if kind == 'delete':
            operation = Operation('delete')
            history.append(operation)
            return self.finish(operation, c.delete(self.bucket, key), (204,), ())
        body = content(next(self.seeds), r.choice(SIZES))
        headers, expected = [('x-amz-meta-of', 'test')], None
        if kind == 'put new':
            headers.append(('If-None-Match', '*'))
        if kind == 'put match':
            expected = r.choice([o.value for o in history[-8:] if o.value] or ['0' * 32])
            headers.append(('If-Match', '"%s"' % expected))
        operation = Operation(kind, md5(body), expected)
        history.append(operation)
        return self.finish(operation, c.put(self.bucket, key, body, headers), (200,), (412, 404, 409))

    def read(self, c, key, history):
        operation = Operation('get')
        reply = c.get(self.bucket, key)
        if reply.status == 200:
            operation.value = md5(reply.body)
        elif reply.status != 404:
            self.problems.append('GET: %r' % reply)
            return
        operation.answered()
        history.append(operation)

    def finish(self, operation, reply, good, refused):
        if reply.status in good:
            operation.answered()
        elif operation.kind in ('put new', 'put match') and reply.status in refused and reply.status != 409:
            operation.answered(refused=True)
        elif reply.status != 409:  # another write was under way: it may have been either
            self.problems.append('%s: %r' % (operation, reply))

    def own(self, c, r, worker):
        """A key of this worker's own: what was acknowledged before is what a listing says, at once."""
        key, body = 'own-%d/%d' % (worker, r.randrange(20)), content(next(self.seeds), r.choice(SIZES))
        there = r.random() < 0.7
        reply = c.put(self.bucket, key, body) if there else c.delete(self.bucket, key)
        if reply.status not in (200, 204):
            self.problems.append('%s: %r' % (key, reply))
            return
        listed = self.list_one(c, key)
        if listed != (md5(body) if there else None):
            self.problems.append('%s is listed as %s just after it was %s' % (key, listed, 'put' if there else 'deleted'))

    def list_one(self, c, key):
        reply = c.call('GET', '/' + self.bucket, 'list-type=2&max-keys=1&prefix=' + key.replace('/', '%2F'))
        if reply.status != 200:
            self.problems.append('LIST: %r' % reply)
        etag = reply.body.decode().partition('<ETag>')[2].partition('</ETag>')[0]
        found = '<Key>%s</Key>' % key in reply.body.decode()
        return etag.replace('&quot;', '').strip('"') if found else None

    def work(self, worker, seed):
        r = random.Random(seed)
        with Client(self.server) as c:
            while not self.stopping.is_set():
                try:
                    self.one(c, r) if r.random() < 0.8 else self.own(c, r, worker)
                except LOST as e:
                    if not self.stopping.wait(30):
                        self.problems.append('the connection broke while the server ran: %r' % e)

    def start(self, workers=5):
        self.stopping.clear()
        self.threads = [threading.Thread(target=self.work, args=(n, self.random.getrandbits(64))) for n in range(workers)]
        for t in self.threads:
            t.start()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()

    def verify(self):
        assert not self.problems, '%d problems:\n%s' % (len(self.problems), '\n'.join(self.problems[:20]))
        for key, history in self.histories.items():
            assert explained(history), '%s: no order explains\n%s' % (key, '\n'.join(map(repr, history)))
        return sum(map(len, self.histories.values()))
