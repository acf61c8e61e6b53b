# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""The scrub over files with flipped bits: it names what is lost, keeps the list, and its place over kills."""
import json
import os
import random
import time

from client import Client, content, metrics, start_ready
from test_corruption import HEADER, flip, needles, volumes

SEED = int(os.environ.get('CAIRN_SEED') or random.randrange(1 << 32))


def status(server):
    return json.loads(server.admin('scrub', 'status', '--json', check=False).stdout)


def fill(server, count, size):
    with Client(server) as c:
        assert c.make_bucket('rot').status == 200
        for seed in range(count):
            assert c.put('rot', 'k/%d' % seed, content(seed, size)).status == 200


def test_flipped_bits_are_named_and_stay_listed(make_server):
    print('CAIRN_SEED=%d' % SEED)
    server = make_server()
    start_ready(server)
    fill(server, 30, 70000)
    clean = server.admin('scrub', 'start', '--wait')
    assert 'last whole pass ended' in clean.stdout and ' 0 damaged' in clean.stdout
    assert server.stop() == 0
    rng = random.Random(SEED)
    [path] = volumes(server)
    where = needles(path)
    victims = sorted(rng.sample(sorted(where), 5))
    for seed in victims:
        at, length = where[seed]
        flip(path, at + HEADER + rng.randrange(length), rng.randrange(8))
    names = sorted('k/%d' % seed for seed in victims)
    start_ready(server)
    found = server.admin('scrub', 'start', '--wait', check=False)
    assert found.returncode == 1
    for name in names:
        assert 'rot/%s: ' % name in found.stdout, found.stdout
    assert metrics(server)['cairn_damages{state="lost"}'] == 5
    assert '5 shards or records are lost' in server.admin('info').stdout
    server.kill()
    start_ready(server)
    deadline = time.monotonic() + 240
    while status(server)['damages']['lost'] != 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sorted(d['key'] for d in status(server)['list']) == names
    with Client(server) as c:
        for seed in victims:
            assert c.put('rot', 'k/%d' % seed, content(seed, 5000)).status == 200
    healed = server.admin('scrub', 'start', '--wait')
    assert healed.returncode == 0 and 'lost' not in healed.stdout
    assert server.stop() == 0


def test_its_place_survives_kills(make_server):
    server = make_server(options=['--scrub-days', '0'])
    start_ready(server)
    fill(server, 24, 4 << 20)
    server.admin('scrub', 'start')
    passes = set()
    for _ in range(4):
        time.sleep(random.Random(SEED).uniform(0.05, 0.3))
        server.kill()
        start_ready(server)
        passes.add(status(server)['pass'])
    deadline = time.monotonic() + 240
    while not status(server)['last']['ended_ms'] and time.monotonic() < deadline:
        server.admin('scrub', 'start')
        time.sleep(0.5)
    done = status(server)
    assert done['last']['bytes'] == 24 << 22 and done['last']['damaged'] == 0 and not done['list']
    assert server.stop() == 0


def test_stop_is_kept_and_start_goes_on(make_server):
    server = make_server()
    start_ready(server)
    assert 'paused' in server.admin('scrub', 'stop').stdout
    assert server.stop() == 0
    start_ready(server)
    assert status(server)['job']['state'] == 'paused'
    assert server.admin('scrub', 'start', '--wait').returncode == 0
    assert status(server)['job']['state'] != 'paused'
    assert server.stop() == 0
