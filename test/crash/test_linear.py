# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Linearizability of each key and listings after writes, with clients at once, over kills, on several disks."""
import os
import random
import time

from client import Client, start_ready
from conftest import SOAK
from linear import Operation, SharedKeys, explained
from load import Load
from oracle import Oracle

SEED = int(os.environ.get('CAIRN_SEED') or random.randrange(1 << 32))


def history(*operations):
    """Of (kind, value, call, answer) or with `refused` behind."""
    made = []
    for kind, value, call, answer, *refused in operations:
        o = Operation(kind, value, 'a')
        o.call, o.answer, o.refused = call, answer if answer else float('inf'), bool(refused)
        made.append(o)
    return made


def test_the_search_finds_an_order_and_none_where_there_is_none():
    assert explained(history(('put', 'a', 1, 2), ('get', 'a', 3, 4)))
    assert explained(history(('put', 'a', 1, 9), ('get', None, 2, 3), ('get', 'a', 4, 5)))
    assert explained(history(('put', 'a', 1, None), ('get', None, 5, 6), ('get', 'a', 7, 8)))
    assert explained(history(('put', 'a', 1, 2), ('put new', 'b', 3, 4, 'refused'), ('get', 'a', 5, 6)))
    assert explained(history(('put', 'a', 1, 2), ('put match', 'b', 3, 4), ('get', 'b', 5, 6)))
    assert not explained(history(('put', 'a', 1, 2), ('get', None, 3, 4)))
    assert not explained(history(('put', 'a', 1, 9), ('get', 'a', 2, 3), ('get', None, 4, 5)))
    assert not explained(history(('put', 'a', 1, None), ('get', 'a', 5, 6), ('get', None, 7, 8)))
    assert not explained(history(('put', 'a', 1, 2), ('put', 'b', 3, 4), ('get', 'a', 5, 6)))
    assert not explained(history(('put', 'a', 1, 2), ('put new', 'b', 3, 4), ('get', 'b', 5, 6)))
    assert not explained(history(('put', 'b', 1, 2), ('put match', 'c', 3, 4), ('get', 'c', 5, 6)))


def test_each_key_is_linearizable_over_kills_on_four_disks(make_server, figure):
    print('CAIRN_SEED=%d' % SEED)
    server, moments, count = make_server(disks=4), random.Random(SEED), 0
    start_ready(server)
    for n in range(12 if SOAK else 3):
        with Client(server) as c:
            assert c.make_bucket('linear-%d' % n).status == 200
        clients = SharedKeys(server, 'linear-%d' % n, SEED + n)
        for last in (False, True):
            clients.start()
            time.sleep(moments.uniform(0.5, 2))
            if not last:
                server.kill()
            clients.stop()
            if not last:
                start_ready(server)
        count += clients.verify()
    figure('%d operations on shared keys explained' % count)
    check = server.admin('check', '--deep', check=False)
    assert check.returncode == 0, check.stdout + check.stderr
    assert server.stop() == 0


def test_killed_under_load_on_six_disks(make_server):
    """As on one disk: striped, copied, in rows that lie on three; a disk is away in one of the lives."""
    print('CAIRN_SEED=%d' % SEED)
    server, moments = make_server(disks=6), random.Random(SEED)
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('crash').status == 200
    load = Load(server, Oracle(), 'crash', SEED)
    away = server.dirs[moments.randrange(6)]
    for n in range(12 if SOAK else 3):
        load.start(workers=4)
        time.sleep(moments.uniform(0.5, 3))
        server.kill()
        load.stop()
        if n == 1:
            os.rename(away, away + '.away')
        start_ready(server)
        load.verify()
        if n == 1:
            os.rename(away + '.away', away)
    deadline = time.monotonic() + 240  # what was written without that disk is made whole
    while server.admin('check', '--deep', check=False).returncode:
        assert time.monotonic() < deadline, server.admin('check', check=False).stdout
        time.sleep(0.5)
    load.verify()
    assert server.stop() == 0
