# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Disks added and drained under load, killed in between: every byte stays, and a drained disk ends empty."""
import glob
import json
import os
import random
import time

import pytest

from client import Client, content, start_ready
from test_scrub import status

SEED = int(os.environ.get('CAIRN_SEED') or random.randrange(1 << 32))
SIZES = [100, 3000, 40000, 300000, 1 << 20]


def server_on(make_server, count):
    """A server over directories data, data1, data2 ..."""
    server = make_server()
    server.options += [server.data + str(i) for i in range(1, count)]
    start_ready(server)
    return server


def disks(server):
    return json.loads(server.admin('disk', 'list', '--json').stdout)['disks']


def wait_for(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def body_of(seed):
    return content(seed, SIZES[seed % len(SIZES)])


def fill(server, count):
    with Client(server) as c:
        assert c.make_bucket('move').status == 200
        for seed in range(count):
            assert c.put('move', 'k/%d' % seed, body_of(seed)).status == 200


def verify(server, count):
    with Client(server) as c:
        for seed in range(count):
            reply = c.get('move', 'k/%d' % seed)
            assert reply.status == 200 and reply.body == body_of(seed), seed
    check = server.admin('check', '--deep', check=False)
    assert check.returncode == 0, check.stdout + check.stderr


def role(server, number):
    return [d['role'] for d in disks(server) if d['number'] == number][0]


def add(server):
    """A fifth disk, which gets its share; where it is."""
    added = server.data + '9'
    assert 'is active' in server.admin('disk', 'add', added).stdout
    assert len(disks(server)) == 5
    wait_for(lambda: [d for d in disks(server) if d['number'] == 4][0]['needles'] > 10)
    verify(server, 100)
    return added


def drain_second(server):
    server.admin('disk', 'drain', server.data + '2')
    wait_for(lambda: role(server, 2) == 'gone')
    verify(server, 100)


def restart_with(server, directories):
    """Everything is there without those that are not named."""
    assert server.stop() == 0
    server.options = directories
    start_ready(server)
    verify(server, 100)
    assert server.admin('scrub', 'start', '--wait').returncode == 0
    assert not status(server)['list']
    assert server.stop() == 0


def test_a_disk_is_added(make_server):
    server = server_on(make_server, 4)
    fill(server, 100)
    restart_with(server, server.options + [add(server)])


def test_a_disk_is_drained(make_server):
    server = server_on(make_server, 5)
    fill(server, 100)
    drain_second(server)
    restart_with(server, [d for d in server.options if d != server.data + '2'])


@pytest.mark.soak
def test_a_disk_is_added_and_another_drained_at_once(make_server):
    """For the second change the store waits until the garbage of the first has gone: a minute."""
    server = server_on(make_server, 4)
    fill(server, 100)
    added = add(server)
    drain_second(server)
    restart_with(server, [d for d in server.options if d != server.data + '2'] + [added])


def test_killed_while_a_disk_is_drained(make_server):
    print('CAIRN_SEED=%d' % SEED)
    rng = random.Random(SEED)
    server = server_on(make_server, 4)
    fill(server, 150)
    server.admin('disk', 'drain', '3')
    for _ in range(6):
        time.sleep(rng.uniform(0.05, 5.6))
        server.kill()
        start_ready(server)
    wait_for(lambda: role(server, 3) == 'gone')
    verify(server, 150)
    assert server.stop() == 0


def test_what_is_no_disk_is_refused(make_server):
    server = server_on(make_server, 2)
    for words in (['add', server.data], ['add', '/proc/none'], ['drain', '7'],
                  ['replace', '1', server.data + '8'], ['drain', '/nowhere']):
        refused = server.admin('disk', *words, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith('cairn: '), refused.stderr
    others = server.data + '-others'
    os.makedirs(others + '/lost+found')
    with open(others + '/notes', 'w') as f:
        f.write('somebody has this directory')
    refused = server.admin('disk', 'add', others, check=False)
    assert refused.returncode == 1 and 'is not empty' in refused.stderr
    assert sorted(os.listdir(others)) == ['lost+found', 'notes']
    server.admin('disk', 'drain', '1')
    assert server.admin('disk', 'drain', '0', check=False).returncode == 1  # the last
    assert server.admin('disk', 'drain', '1', '--cancel', check=False).returncode in (0, 1)
    assert server.stop() == 0
