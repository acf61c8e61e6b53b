# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""A disk that stays gone: the others take over what it held, and its metadata; and it comes back."""
import json
import os

from client import Client, content, start_ready
from test_disks_change import disks, wait_for

SIZES = [100, 3000, 40000, 300000, 1 << 20]
COUNT = 60


def body_of(seed):
    return content(seed, SIZES[seed % len(SIZES)])


def verify(server, count):
    with Client(server) as c:
        for seed in range(count):
            reply = c.get('spare', 'k/%d' % seed)
            assert reply.status == 200 and reply.body == body_of(seed), seed


def put(server, first, last):
    with Client(server) as c:
        for seed in range(first, last):
            assert c.put('spare', 'k/%d' % seed, body_of(seed)).status == 200


def on_disk(server, number, count):
    """Keys of objects that have a shard there."""
    keys = []
    for seed in range(count):
        chunks = json.loads(server.admin('heal', '--dry-run', '--json', 'spare/k/%d' % seed, check=False).stdout)['before']
        if any(s.get('disk') == number for c in chunks for s in c['shards']):
            keys.append(seed)
    return keys


def role(server, number):
    return [d['role'] for d in disks(server) if d['number'] == number][0]


def redundancy(server):
    return json.loads(server.admin('info', '--json').stdout)['redundancy']


def mirrors(server):
    return redundancy(server)['metadata_mirrors']


def test_a_disk_that_stays_gone_is_done_without(make_server):
    server = make_server(disks=5, options=['--spare-after', '2'])
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('spare').status == 200
    put(server, 0, COUNT)
    assert len(on_disk(server, 1, 10)) > 0
    lost, aside = server.dirs[1], server.dirs[1] + '.aside'
    os.rename(lost, aside)
    wait_for(lambda: role(server, 1) == 'away')
    wait_for(lambda: not on_disk(server, 1, COUNT))
    wait_for(lambda: mirrors(server) == ['in'] * 3)
    wait_for(lambda: redundancy(server)['losses_survived'] == 2)
    verify(server, COUNT)
    put(server, COUNT, COUNT + 20)
    assert '4 disks, 4 there, 1 away; 2 + 2 shards, 2 more losses survived' in server.admin('info').stdout

    os.rename(aside, lost)
    wait_for(lambda: role(server, 1) == 'active')
    wait_for(lambda: len(on_disk(server, 1, COUNT + 20)) > 10)
    verify(server, COUNT + 20)
    assert server.stop() == 0
    # One metadata directory more than there are mirrors: the old one is known by its generation.
    assert sum(os.path.isdir(os.path.join(d, 'meta')) for d in server.dirs) >= 3
    start_ready(server)
    verify(server, COUNT + 20)
    wait_for(lambda: mirrors(server) == ['in'] * 3)
    check = server.admin('check', '--deep', check=False)
    assert check.returncode == 0, check.stdout + check.stderr
    assert server.stop() == 0


def test_a_disk_of_less_weight_has_less(make_server):
    server = make_server(disks=5)
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('spare').status == 200
    put(server, 0, 100)
    before = len(on_disk(server, 4, 40))
    assert server.admin('disk', 'set', '4', '--weight', 'much', check=False).returncode == 1
    assert server.admin('disk', 'set', '9', '--weight', '1G', check=False).returncode == 1
    server.admin('disk', 'set', server.dirs[4], '--weight', '1G')
    wait_for(lambda: len(on_disk(server, 4, 40)) < before / 4)
    server.admin('disk', 'set', '4', '--zone', '1')
    verify(server, 100)
    assert server.stop() == 0
    start_ready(server)
    assert [d['weight'] for d in disks(server) if d['number'] == 4] == [1 << 30]
    verify(server, 100)
    assert server.stop() == 0
