# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""A server that is stopped, ended or left by its clients in the middle of things."""
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from client import LOST, Client, begin_upload, content, md5, metrics, start_ready
from load import Load
from oracle import Oracle
from raw import Connection, request_bytes
from server import CAIRN

MIB = 1 << 20
# What goes up with a request and has to come down with it.
HELD = ['cairn_http_requests_active', 'cairn_store_readers', 'cairn_rt_fibers', 'cairn_http_connections']


def held(server):
    found = metrics(server)
    return {name: found[name] for name in HELD}


def wait_for(what, seconds=240):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_settles(server, before, slack=1):
    """The counts come back to what they were (the request that asks is one itself)."""
    deadline = time.monotonic() + 240
    while True:
        now = held(server)
        if all(now[n] <= before[n] + slack for n in HELD):
            return
        assert time.monotonic() < deadline, (before, now)
        time.sleep(0.2)


def reset(connection):
    """Ends it as a client does that died: with a reset."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()


def wait_active(server, count):
    """Until that many requests are under way, beside the one that asks."""
    wait_for(lambda: metrics(server)['cairn_http_requests_active'] > count)


def test_stopped_server_goes_on_where_it_was(server):
    """SIGSTOP for a while under load: requests wait, none fails, nothing is lost."""
    with Client(server) as c:
        assert c.make_bucket('crash').status == 200
    load = Load(server, Oracle(), 'crash', 1)
    load.start()
    for _ in range(3):
        time.sleep(0.5)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        server.process.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    load.stop()
    load.verify()


@pytest.mark.soak
@pytest.mark.parametrize('disks', [1, 6])
def test_stopped_for_longer_than_an_operation_may_hang(make_server, disks):
    """Its own stop is no fault of the disks: none is given up, nothing is refused."""
    server = make_server(disks=disks)
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('crash').status == 200
    load = Load(server, Oracle(), 'crash', 1)
    load.start()
    time.sleep(2)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(40)
    server.process.send_signal(signal.SIGCONT)
    for _ in range(30):
        time.sleep(0.1)
        assert metrics(server)['cairn_disks_usable'] == disks
    load.stop()
    load.verify()
    assert server.stop() == 0


def launch_with(server, **files):
    """Starts it with other standard files than a test usually gives it."""
    server.process = subprocess.Popen([CAIRN, 'server'] + server.dirs + ['--address', server.host], env=server.env, **files)
    return server.wait_live()


@pytest.mark.parametrize('gone', [True, False])
def test_a_log_whose_reader_stalls_or_goes_ends_nothing(make_server, gone):
    server = make_server()
    reader, writer = os.pipe()
    try:
        launch_with(server, stdout=subprocess.DEVNULL, stderr=writer)
        os.close(writer)
        if gone:
            os.close(reader)
        with Client(server) as c:
            assert c.make_bucket('bucket').status == 200
            for i in range(600):  # their lines are more than a pipe takes
                assert c.put('bucket', 'k%d' % i, b'x').status == 200
            assert len(c.list('bucket')) == 600
        assert server.stop() == 0
    finally:
        if not gone:
            os.close(reader)


def test_standard_files_that_are_closed_are_not_the_stores(make_server):
    """Else what is logged would be written into the first files that the store opens."""
    server = make_server()
    server.wrapper = ['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh']
    start_ready(server)
    files = '/proc/%d/fd/' % server.process.pid
    assert [os.readlink(files + str(n)) for n in range(3)] == ['/dev/null'] * 3
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
    assert server.stop() == 0


def test_clients_that_leave_in_mid_upload_leave_nothing_behind(server):
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        before = held(server)
        r = random.Random(5)
        for i in range(120):
            length = r.choice([100, 4096, 300000, 3 * MIB])
            connection = begin_upload(server, c, '/bucket/left', content(1, length), r.randrange(length))
            time.sleep(r.choice([0, 0, 0.005]))
            reset(connection) if i % 2 else connection.close()
        assert_settles(server, before)
        assert c.get('bucket', 'left').status == 404 and not c.list('bucket')
        wait_for(lambda: metrics(server)['cairn_disk_needles'] == 0)


def test_clients_that_leave_in_mid_download_leave_nothing_behind(server):
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        data = content(2, 9 * MIB)
        assert c.put('bucket', 'large', data).status == 200
        before = held(server)
        for i in range(60):
            connection = Connection(server)
            connection.send(request_bytes('GET', '/bucket/large', c.signed('GET', '/bucket/large')))
            if i % 3:
                connection.socket.recv(1000 * i)
            reset(connection) if i % 2 else connection.close()
        assert_settles(server, before)
        assert md5(c.get('bucket', 'large').body) == md5(data)
        assert c.delete('bucket', 'large').status == 204  # no reader holds it back
        wait_for(lambda: metrics(server)['cairn_disk_needles'] == 0)


def test_slow_and_idle_connections_are_released(server):
    """Half a request head, and connections that say nothing, cost no request and go when their clients go."""
    before = held(server)
    connections = [Connection(server) for _ in range(200)]
    for i, c in enumerate(connections):
        if i % 2:
            c.send(b'GET / HTTP/1.1\r\nHost:')
    wait_for(lambda: metrics(server)['cairn_http_connections_total'] >= 200)  # those of half a head go after ten seconds
    for c in connections:
        c.close()
    assert_settles(server, before)


def end_with_requests_under_way(server, data):
    """Seconds from SIGTERM to the end; an upload that goes on and a download that is being read end well."""
    with Client(server) as c:
        up = begin_upload(server, c, '/bucket/up', content(1, 8 * MIB), 4 * MIB)
        path = '/bucket/down'
        down = Connection(server)
        down.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        down.send(request_bytes('GET', path, c.signed('GET', path)))
        wait_active(server, 2)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.process.poll() is None
        up.send(content(1, 8 * MIB)[4 * MIB:])
        reply = up.reply('PUT')
        assert reply.status == 200 and reply.headers['etag'] == '"%s"' % md5(content(1, 8 * MIB))
        reply = down.reply()
        assert reply.status == 200 and reply.body == data
    assert server.process.wait(60) == 0, server.log_tail()
    return time.monotonic() - begin


def test_sigterm_lets_requests_under_way_finish(make_server):
    """Then the process ends with status 0, and without waiting for the end of its grace time of ten seconds. On a
    busy machine the requests themselves may take as long: then once more."""
    server = make_server()
    start_ready(server)
    data = content(3, 8 * MIB)
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        assert c.put('bucket', 'down', data).status == 200
    seconds = []
    while not seconds or (seconds[-1] > 9 and len(seconds) < 5):
        seconds.append(end_with_requests_under_way(server, data))
        start_ready(server)
        with Client(server) as c:
            assert md5(c.get('bucket', 'up').body) == md5(content(1, 8 * MIB))
    assert seconds[-1] <= 9, seconds
    assert server.stop() == 0


def test_sigterm_does_not_wait_for_ever(make_server):
    """A client that never goes on is cut off at the end of the grace time; what it sent is nowhere."""
    server = make_server()
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
        connection = begin_upload(server, c, '/bucket/stuck', content(1, 5 * MIB), MIB)
        idle = Connection(server)
        wait_active(server, 1)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0, server.log_tail()
        assert time.monotonic() - begin > 5
        connection.close()
        idle.close()
    start_ready(server)
    with Client(server) as c:
        assert c.get('bucket', 'stuck').status == 404
    assert server.stop() == 0


def test_sigterm_under_load_keeps_what_was_acknowledged(make_server, figure):
    server = make_server()
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('crash').status == 200
    load, times = Load(server, Oracle(), 'crash', 2), []
    for _ in range(3):
        load.start()
        time.sleep(1)
        load.stopping.set()  # from here on a lost answer is no problem
        begin = time.monotonic()
        assert server.stop() == 0, server.log_tail()
        times.append(time.monotonic() - begin)
        load.stop()
        start_ready(server)
        load.verify()
        assert server.admin('check', '--deep', check=False).returncode == 0
    figure('SIGTERM under load: ended after %s s' % ', '.join('%.2f' % t for t in times))
    assert server.stop() == 0


def test_sigterm_while_it_starts(make_server):
    server = make_server()
    r = random.Random(4)
    for _ in range(6):
        try:
            server.start()
        except RuntimeError:
            continue
        time.sleep(r.uniform(0, 0.05))
        assert server.stop() == 0, server.log_tail()


def test_second_server_on_the_same_directory_is_refused(server, make_server):
    other = make_server(folder=server.folder)
    other.log_path += '.other'
    try:
        start_ready(other)
        assert False, 'two servers share a directory'
    except RuntimeError as e:
        assert 'another process uses' in str(e)
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200


def hammer(server, seconds, failures):
    """Reads and writes until the time is over; what goes wrong is told."""
    end = time.monotonic() + seconds
    with Client(server) as c:
        while time.monotonic() < end:
            try:
                c.put('bucket', 'hammer', b'x' * 3000)
            except LOST as e:
                failures.append(e)


def test_old_connections_survive_new_ones_that_misbehave(server):
    """Clients at work do not notice those that come and go beside them."""
    with Client(server) as c:
        assert c.make_bucket('bucket').status == 200
    failures = []
    threads = [threading.Thread(target=hammer, args=(server, 2, failures)) for _ in range(3)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        connection = Connection(server)
        connection.send(b'\x16\x03\x01 nonsense\r\n\r\n')
        reset(connection)
    for t in threads:
        t.join()
    assert not failures, failures[:3]
