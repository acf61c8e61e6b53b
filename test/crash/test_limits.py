# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""File descriptors and memory run out: requests wait or get 503, the process lives and recovers."""
import os
import resource
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import LOST, Client, begin_upload, content, element, md5, metrics, start_ready
from raw import Connection

MIB = 1 << 20
UNLIMITED = resource.RLIM_INFINITY


def limit(server, what, value):
    """Of the running server; what it was."""
    soft, hard = resource.prlimit(server.process.pid, what)
    resource.prlimit(server.process.pid, what, (value, hard))
    return soft


def open_files(server):
    return len(os.listdir('/proc/%d/fd' % server.process.pid))


def status_kib(server, name):
    with open('/proc/%d/status' % server.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith(name + ':'))


def acceptable(reply):
    assert reply.status == 200 or reply.status == 503 and 'retry-after' in reply.headers, reply
    return reply.status == 200


def eventually(attempt, seconds=240):
    """The limit is gone: what failed works again, without a restart."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if attempt():
                return
        except LOST:
            pass
        assert time.monotonic() < deadline, 'the server did not recover'
        time.sleep(0.2)


def test_out_of_file_descriptors_connections_wait_and_old_ones_are_served(server):
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        assert c.put('bucket', 'before', content(1, 3 * MIB)).status == 200
        usual = limit(server, resource.RLIMIT_NOFILE, open_files(server) + 20)
        crowd = [Connection(server) for _ in range(200)]
        time.sleep(0.5)
        for i in range(50):
            assert md5(c.get('bucket', 'before').body) == md5(content(1, 3 * MIB))
            assert acceptable(c.put('bucket', 'during/%d' % i, content(i, [100, 70000, MIB][i % 3])))
        assert server.process.poll() is None
        for other in crowd:
            other.close()
        with Client(server) as new:
            eventually(lambda: new.put('bucket', 'after', b'x').status == 200)
        # The crowd may be on its way out still, and what ran out of files in the background tries again in a second.
        limit(server, resource.RLIMIT_NOFILE, usual)
        eventually(lambda: server.admin('check', check=False).returncode == 0)


def test_connections_leave_descriptors_to_the_store(make_server):
    """Few are allowed from the start, and clients take all they get: the store still opens what it needs."""
    server = make_server()
    server.wrapper = ['prlimit', '--nofile=400:400']
    start_ready(server)
    clients = [Client(server) for _ in range(6)]
    assert clients[0].make_bucket('bucket').status == 200
    for i, c in enumerate(clients):
        assert c.put('bucket', 'first/%d' % i, b'').status == 200
    crowd = [Connection(server) for _ in range(600)]

    def write(worker):
        """Enough for several logs and tables of the metadata."""
        return {'%d/%d' % (worker, i): clients[worker].put('bucket', '%d/%d' % (worker, i), content(i, 2000)).status
                for i in range(2500)}
    with ThreadPoolExecutor(6) as pool:
        stored = {}
        for part in pool.map(write, range(6)):
            stored.update(part)
    assert set(stored.values()) == {200}
    assert clients[0].put('bucket', 'large', content(1, 9 * MIB)).status == 200
    for c in crowd + clients:
        c.close()
    with Client(server) as c:
        eventually(lambda: c.put('bucket', 'after', b'x').status == 200)
        assert len(c.list('bucket')) == len(stored) + 6 + 2
    assert server.stop() == 0


def upload_many(server, count, size, prefix):
    """That many uploads: {key: taken}; None where the connection was cut. The rest of each is sent when all have got
    so far: so they are under way at once however slow the machine is."""
    all_are_there = threading.Barrier(count)

    def one(i):
        key, data = '%s/%d' % (prefix, i), content(i, size)
        first = min(size, 3 * MIB) - 1
        with Client(server) as c, begin_upload(server, c, '/bucket/' + key, data, first) as upload:
            all_are_there.wait(300)
            try:
                upload.send(data[first:])
            except OSError:
                pass
            reply = upload.reply('PUT')
            return key, reply and acceptable(reply)
    with ThreadPoolExecutor(count) as pool:
        return dict(pool.map(one, range(count)))


def test_memory_of_many_uploads_is_bounded(server, figure):
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        idle = status_kib(server, 'VmRSS')
        assert all(upload_many(server, 64, 8 * MIB, 'up').values())
        peak = status_kib(server, 'VmHWM')
        figure('resident: %.0f MiB idle, %.0f MiB at most during 64 uploads of 8 MiB at once' % (idle / 1024, peak / 1024))
        assert peak < 300 * 1024
        for i in range(0, 64, 9):
            assert md5(c.get('bucket', 'up/%d' % i).body) == md5(content(i, 8 * MIB))
    assert all(upload_many(server, 64, 8 * MIB, 'again').values())
    assert status_kib(server, 'VmHWM') < 300 * 1024, 'it grows with what was uploaded'


def refused_by_memory(server):
    found = metrics(server)
    return found['cairn_memory_refused_total'] + found['cairn_memory_reserve_served_total']


class Mixed:
    """Clients of all kinds at once. What they were told must hold when memory is back."""

    def __init__(self, server, prefix, workers, rounds):
        self.server, self.prefix, self.rounds = server, prefix, rounds
        self.told = {}  # key: (seed, size, whether it was stored; None where nobody said)
        self.answers = Counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(self.work, range(workers)))

    def ask(self, call, *args):
        """The reply, None where the connection was cut."""
        try:
            reply = call(*args)
        except LOST:
            self.answers['cut'] += 1
            return None
        assert reply.status in (200, 204, 404) or reply.status == 503 and 'retry-after' in reply.headers, reply
        self.answers[reply.status] += 1
        return reply

    def put(self, c, key, seed, size):
        reply = self.ask(c.put, 'bucket', key, content(seed, size))
        self.told[key] = seed, size, reply and reply.status == 200
        return self.told[key][2]

    def check(self, c, key):
        """Gives it back, or says that it cannot now."""
        reply = self.ask(c.get, 'bucket', key)
        assert not reply or reply.status == 503 or md5(reply.body) == md5(content(*self.told[key][:2])), reply

    def upload(self, c, key, seed, size):
        begun = self.ask(c.upload_begin_reply, 'bucket', key)
        if not begun or begun.status != 200:
            return
        upload = element(begun, 'UploadId')
        part = self.ask(c.upload_part, 'bucket', key, upload, 1, content(seed, size))
        if not part or part.status != 200:
            self.ask(c.upload_abort, 'bucket', key, upload)
            return
        done = self.ask(c.upload_complete, 'bucket', key, upload, {1: part.headers['etag']})
        self.told[key] = seed, size, done and done.status == 200

    def work(self, worker):
        with Client(self.server) as c:
            for i in range(self.rounds):
                seed, key = worker * 1000 + i, '%s/%d/%d' % (self.prefix, worker, i)
                if self.put(c, key, seed, [100, 2048, 20480, 70000, MIB][(worker + i) % 5]):
                    self.check(c, key)
                if i % 4 == 0:
                    self.upload(c, key + '/parts', seed, [3000, 300000][worker % 2])
                if i % 4 == 2:
                    self.ask(c.call, 'GET', '/bucket', 'list-type=2&max-keys=100&prefix=' + self.prefix)
                if self.server.process.poll() is not None:
                    return

    def verify(self, c):
        for key, (seed, size, stored) in self.told.items():
            reply = c.get('bucket', key)
            assert reply.status in (200, 404), reply
            assert stored is None or (reply.status == 200) == stored, (key, stored, reply)
            assert reply.status == 404 or md5(reply.body) == md5(content(seed, size)), key


def starve(server, c, name, room, size, workers, rounds):
    """So much address space is left, and clients of all kinds want it; then there is enough again."""
    before = refused_by_memory(server)
    limit(server, resource.RLIMIT_AS, status_kib(server, 'VmSize') * 1024 + room)
    outcome = upload_many(server, 64, size, name)
    mixed = Mixed(server, name + '-mixed', workers, rounds)
    assert server.process.poll() is None, server.log_tail()
    limit(server, resource.RLIMIT_AS, UNLIMITED)
    eventually(lambda: c.put('bucket', name + '/after', content(1, 4 * MIB)).status == 200)
    if room <= 8 * MIB:
        assert not all(outcome.values()) and refused_by_memory(server) > before, 'memory never was short'
    mixed.verify(c)
    for i in range(0, 64, 7):
        key = '%s/%d' % (name, i)
        reply = c.get('bucket', key)
        if outcome[key] is not None:
            assert (reply.status == 200) == outcome[key]
        assert reply.status == 404 or md5(reply.body) == md5(content(i, size))
    return mixed.answers


def test_out_of_memory_requests_are_refused_and_the_process_lives(server, figure):
    """At several distances from the end, since who meets it first is another each time."""
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        assert all(upload_many(server, 4, MIB, 'before').values())
        for i, (room, size) in enumerate([(0, MIB), (MIB, 70000), (8 * MIB, 4 * MIB)]):
            answers = starve(server, c, 'short-%d' % i, room, size, 16, 8)
            figure('with %d MiB left: %s' % (room / MIB, dict(answers)))


@pytest.mark.soak
def test_out_of_memory_at_every_distance(make_server, figure):
    for disks in 1, 4:
        server = make_server(disks=disks)
        server.start()
        with Client(server) as c:
            assert c.make_bucket('bucket').status == 200
            for i in range(16):
                room = [0, 256 << 10, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB][i % 8]
                answers = starve(server, c, 'short-%d' % i, room, 4 * MIB, 32, 30)
                figure('%d disks, %.1f MiB left: %s' % (disks, room / MIB, dict(answers)))
        # Where a shard found no memory, repair has to come first.
        eventually(lambda: server.admin('check', '--deep', check=False).returncode == 0)
        assert server.stop() == 0
