# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""File descriptors and memory run out: requests wait or get 503, the process lives and recovers."""
import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from client import LOST, Client, begin_upload, content, md5, start_ready
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
    peak = status_kib(server, 'VmHWM')
    with Client(server) as c:
        for _ in range(3):
            assert all(upload_many(server, 64, 8 * MIB, 'again').values())
    assert status_kib(server, 'VmHWM') < peak + 64 * 1024, 'it grows with what was uploaded'


def test_out_of_memory_requests_are_refused_and_the_process_lives(server):
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        assert all(upload_many(server, 4, MIB, 'before').values())
        limit(server, resource.RLIMIT_AS, (status_kib(server, 'VmSize') + 8 * 1024) * 1024)
        outcome = upload_many(server, 64, 4 * MIB, 'during')
        assert not all(outcome.values()), 'memory never was short'
        assert server.process.poll() is None, server.log_tail()
        limit(server, resource.RLIMIT_AS, UNLIMITED)
        eventually(lambda: c.put('bucket', 'after', content(1, 4 * MIB)).status == 200)
        for i in range(64):
            reply = c.get('bucket', 'during/%d' % i)
            if outcome['during/%d' % i] is not None:
                assert (reply.status == 200) == outcome['during/%d' % i]
            assert reply.status == 404 or md5(reply.body) == md5(content(i, 4 * MIB))
