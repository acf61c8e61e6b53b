# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""kill -9 at any moment: every acknowledged write is there, every other one wholly there or wholly absent."""
import os
import random
import statistics
import subprocess
import time

from client import Client, cpu_seconds, metrics, start_ready
from conftest import SOAK
from load import Load
from oracle import Oracle
from server import CAIRN

ROUNDS = 50 if SOAK else 5
SEED = int(os.environ.get('CAIRN_SEED') or random.randrange(1 << 32))


def check(server, *words):
    """`cairn admin check --deep` finds no fault."""
    result = server.admin('check', '--deep', check=False) if not words else subprocess.run(
        [CAIRN, 'admin', 'check', '--deep'] + list(words), capture_output=True, text=True)
    assert result.returncode == 0 and 'check: 0 faults' in result.stdout, result.stdout + result.stderr


def start_load(server, sizes=None, seed=SEED):
    print('CAIRN_SEED=%d' % SEED)
    with Client(server) as c:
        assert c.make_bucket('crash').status == 200
    return Load(server, Oracle(), 'crash', seed, **({'sizes': sizes} if sizes else {}))


def start_timed(server):
    """Seconds that a start takes: of the clock, and of the processor, which a busy machine does not stretch."""
    return start_ready(server), cpu_seconds(server)


def start_empty(make_server):
    """The same over an empty directory."""
    s = make_server()
    seconds = start_timed(s)
    assert s.stop() == 0
    s.remove()
    return seconds


def median_ms(seconds):
    return 1000 * statistics.median(seconds)


def test_killed_under_load_keeps_what_was_acknowledged(make_server, figure):
    server = make_server()
    start_ready(server)
    load = start_load(server)
    moments, restarts, fresh = random.Random(SEED), [], []
    for i in range(ROUNDS):
        load.start()
        time.sleep(moments.uniform(0.3, 4))
        server.kill()
        load.stop()
        if i % 5 == 4:
            check(server, '--dir', server.data)
        restarts.append(start_timed(server))
        fresh.append(start_empty(make_server))
        load.verify()
        check(server)
    assert server.stop() == 0
    wall, cpu = zip(*restarts)
    wall_fresh, cpu_fresh = zip(*fresh)
    figure('%d kills, %s acknowledged; restart median %.0f ms, longest %.0f ms, of the processor %.0f ms (over nothing: %.0f '
           'and %.0f ms)' % (ROUNDS, load.done, median_ms(wall), 1000 * max(wall), median_ms(cpu), median_ms(wall_fresh),
                             median_ms(cpu_fresh)))
    assert median_ms(cpu) < 1000 + 4 * median_ms(cpu_fresh), (restarts, fresh)


def test_killed_while_volumes_are_compacted(make_server, figure):
    """Overwriting makes the volumes mostly dead; small ones and a short interval keep compaction busy."""
    server = make_server(options=['--volume-size', '128', '--compact-interval', '1'])
    start_ready(server)
    load = start_load(server, sizes=[100, 3000, 70000, 262145, 1 << 20, 5 << 20, 9 << 20])
    moments, compactions = random.Random(SEED), 0
    for i in range(20 if SOAK else 3):
        load.start(workers=4, with_boto3=False, mix=[('put', 8), ('delete', 2), ('copy', 1)])
        deadline = time.monotonic() + 240
        while metrics(server)['cairn_jobs_compact_runs_total'] == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.5, 2.5))
        compactions += metrics(server)['cairn_jobs_compact_runs_total']
        server.kill()
        load.stop()
        start_ready(server)
        load.verify()
        check(server)
    assert compactions > 0
    figure('killed during compaction: %d volumes compacted meanwhile' % compactions)
    assert server.stop() == 0


def test_killed_while_it_starts(make_server):
    """The first start makes everything; killed at any moment of it, the next one finishes the work."""
    moments = random.Random(SEED)
    for _ in range(30 if SOAK else 6):
        server = make_server()
        for _ in range(3):
            process = subprocess.Popen([CAIRN, 'server', server.data, '--address', server.host], env=server.env,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(moments.uniform(0, 0.12))
            process.kill()
            process.wait()
        start_ready(server)
        load = start_load(server)
        load.start(workers=2)
        time.sleep(0.3)
        server.kill()
        load.stop()
        start_ready(server)
        load.verify()
        check(server)
        assert server.stop() == 0


def test_killed_while_it_recovers(make_server):
    """Killed again and again within the starts that replay what the first kill left."""
    server = make_server()
    start_ready(server)
    load = start_load(server)
    load.start()
    time.sleep(2)
    server.kill()
    load.stop()
    moments = random.Random(SEED)
    for _ in range(50 if SOAK else 10):
        process = subprocess.Popen([CAIRN, 'server', server.data, '--address', server.host], env=server.env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.wait()
    start_ready(server)
    load.verify()
    check(server)
    assert server.stop() == 0
