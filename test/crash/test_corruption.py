# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Damaged files: a read gives the right bytes or an error, the check names what is lost, and the rest is served."""
import glob
import json
import os
import random
import shutil
import struct
import subprocess
import time

import pytest

from client import LOST, Client, content, md5, metrics, start_ready
from server import CAIRN

NEEDLE = 20000  # objects as long as this have a needle, the shorter ones here lie in rows
SIZES = [0, 700, 3000, NEEDLE, 70000, 262144, 300000, 2 << 20]
MAGIC = struct.pack('<Q', 0x4c44454e52494143)
HEADER, CELL = 96, 65536
SEED = int(os.environ.get('CAIRN_SEED') or random.randrange(1 << 32))


@pytest.fixture
def store(make_server):
    """A stopped server over forty objects: (server, {key: seed}). Those of NEEDLE bytes or more have a needle."""
    s = make_server()
    start_ready(s)
    with Client(s) as c:
        assert c.make_bucket('rot').status == 200
        stored = write(c, range(40))
    assert s.stop() == 0
    return s, stored


def write(c, seeds):
    stored = {}
    for seed in seeds:
        key = 'k/%d' % seed
        assert c.put('rot', key, body_of(seed)).status == 200
        stored[key] = seed
    return stored


def body_of(seed):
    return content(seed, SIZES[seed % len(SIZES)])


def volumes(server):
    return sorted(glob.glob(os.path.join(server.data, 'volumes', '*.vol')))


def needles(path):
    """{seed: (offset, length)} of the needles in a volume file."""
    with open(path, 'rb') as f:
        data = f.read()
    found, at = {}, data.find(MAGIC)
    while at >= 0:
        length, = struct.unpack_from('<Q', data, at + 40)
        if length:
            found[int(data[at + HEADER:at + HEADER + 16], 16)] = (at, length)
        at = data.find(MAGIC, at + 64)
    return found


def flip(path, offset, bit=0):
    with open(path, 'r+b') as f:
        f.seek(offset)
        old = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([old ^ 1 << bit]))


def read(c, key):
    """'right', 'error' or 'wrong'."""
    try:
        reply = c.get('rot', key)
    except LOST:
        return 'error'
    if reply.status != 200:
        return 'absent' if reply.status == 404 else 'error'
    return 'right' if reply.body == body_of(int(key[2:])) else 'wrong'


def read_all(server, stored):
    """{key: outcome}; nothing is ever wrong or forgotten."""
    with Client(server) as c:
        outcome = {key: read(c, key) for key in stored}
        assert set(outcome.values()) <= {'right', 'error'}, outcome
        assert set(c.list('rot')) == set(stored), 'listing is of records: damage does not change it'
    return outcome


def damaged(outcome):
    return {key for key, what in outcome.items() if what != 'right'}


def named_by_check(server, offline=False):
    """The keys that `cairn admin check --deep` complains of."""
    words = ['check', '--deep', '--json']
    result = subprocess.run([CAIRN, 'admin'] + words + ['--dir', server.data], capture_output=True, text=True) \
        if offline else server.admin(*words, check=False)
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{')]
    faults = [line for line in lines if line.get('fault')]
    assert (result.returncode == 0) == (not faults), result.stdout + result.stderr
    return {f['key'] for f in faults if f['key']}


def assert_goes_on(server):
    """New objects are taken, read, and deleted."""
    with Client(server) as c:
        new = write(c, range(1000, 1000 + len(SIZES)))
        for key in new:
            assert read(c, key) == 'right'
            assert c.delete('rot', key).status == 204


PLACES = {
    'magic': lambda length: 0,
    'chunk id': lambda length: 20,
    'length': lambda length: 41,
    'incarnation': lambda length: 70,
    'header crc': lambda length: 93,
    'first byte': lambda length: HEADER,
    'middle': lambda length: HEADER + length // 2,
    'last byte': lambda length: HEADER + length - 1,
    'footer magic': lambda length: HEADER + length,
    'digest': lambda length: HEADER + length + 9,
    'footer crc': lambda length: HEADER + length + 29,
    'cell crc': lambda length: HEADER + length + 33,
}


def test_flipped_bits_are_never_served_and_are_named(store):
    server, stored = store
    path, = volumes(server)
    found = needles(path)
    victims = {}
    for n, place in enumerate(PLACES):
        seed = sorted(found)[n * 2]
        offset, length = found[seed]
        flip(path, offset + PLACES[place](length), n % 8)
        victims['k/%d' % seed] = place
    assert named_by_check(server, offline=True) == set(victims)
    start_ready(server)
    outcome = read_all(server, stored)
    assert damaged(outcome) == set(victims), {k: victims.get(k) for k in damaged(outcome) ^ set(victims)}
    assert named_by_check(server) == set(victims)
    assert_goes_on(server)
    with Client(server) as c:  # what is overwritten is well again
        for key, seed in stored.items():
            if key in victims:
                assert c.put('rot', key, body_of(seed)).status == 200
    assert not damaged(read_all(server, stored)) and not named_by_check(server)
    assert server.stop() == 0


def test_damage_beside_the_range_that_is_read_does_no_harm(store):
    """A range of undamaged cells is served; one that touches the damage is not."""
    server, stored = store
    path, = volumes(server)
    seed = 7  # 2 MiB
    offset, length = needles(path)[seed]
    flip(path, offset + HEADER + 10 * CELL + 5)
    start_ready(server)
    with Client(server) as c:
        for first, last, good in ((0, 99, True), (0, 10 * CELL - 1, True), (11 * CELL, length - 1, True),
                                  (10 * CELL, 10 * CELL, False), (0, length - 1, False)):
            try:
                reply = c.get('rot', 'k/7', [('Range', 'bytes=%d-%d' % (first, last))])
                right = reply.status == 206 and reply.body == body_of(seed)[first:last + 1]
                assert right or reply.status >= 500, reply
            except LOST:
                right = False
            assert right == good, (first, last)
    assert server.stop() == 0


def test_many_random_flips_never_give_a_wrong_byte(store):
    server, stored = store
    r = random.Random(SEED)
    print('CAIRN_SEED=%d' % SEED)
    for _ in range(5):
        for path in volumes(server):
            size = os.path.getsize(path)
            for _ in range(8):
                flip(path, r.randrange(8192, size), r.randrange(8))
        start_ready(server)
        outcome = read_all(server, stored)
        assert named_by_check(server) >= damaged(outcome)
        assert_goes_on(server)
        server.kill()


def test_random_flips_with_the_index_lost_too(store):
    """The rebuild meets the damage: what is whole is served, what is not is an error."""
    server, stored = store
    r = random.Random(SEED)
    path, = volumes(server)
    for _ in range(10):
        flip(path, r.randrange(8192, os.path.getsize(path)), r.randrange(8))
    shutil.rmtree(os.path.join(server.data, 'index'))
    start_ready(server)
    lost = damaged(read_all(server, stored))
    assert len(lost) <= 10
    assert named_by_check(server) == lost
    assert_goes_on(server)
    assert server.stop() == 0


def sst_files(folder):
    return sorted(glob.glob(os.path.join(folder, '*.sst')))


def index_removed(index):
    shutil.rmtree(index)


def index_without_manifest(index):
    os.remove(glob.glob(os.path.join(index, 'MANIFEST-*'))[0])


def index_with_half_a_manifest(index):
    """Its last words name the newest table."""
    path, = glob.glob(os.path.join(index, 'MANIFEST-*'))
    os.truncate(path, os.path.getsize(path) // 2)


def index_without_tables(index):
    for path in sst_files(index):
        os.remove(path)


def index_with_a_damaged_table(index):
    for path in sst_files(index):
        for offset in range(0, os.path.getsize(path), 97):
            flip(path, offset)


def index_of_garbage(index):
    for path in glob.glob(os.path.join(index, '*')):
        with open(path, 'wb') as f:
            f.write(b'garbage' * 100)


@pytest.mark.parametrize('harm', [index_removed, index_without_manifest, index_with_half_a_manifest, index_without_tables,
                                  index_with_a_damaged_table, index_of_garbage], ids=lambda f: f.__name__)
def test_the_needle_index_is_made_anew(store, harm):
    server, stored = store
    harm(os.path.join(server.data, 'index'))
    start_ready(server)
    assert not damaged(read_all(server, stored))
    assert not named_by_check(server)
    assert_goes_on(server)
    assert server.stop() == 0
    assert not named_by_check(server, offline=True)


def test_a_cut_tail_costs_what_lay_there(store):
    server, stored = store
    path, = volumes(server)
    cut = os.path.getsize(path) - (3 << 20)
    lost = {'k/%d' % seed for seed, (offset, length) in needles(path).items() if offset + HEADER + length + 32 > cut}
    assert lost and len(lost) < len(stored)
    os.truncate(path, cut)
    start_ready(server)
    assert damaged(read_all(server, stored)) == lost
    assert named_by_check(server) == lost
    assert_goes_on(server)
    server.kill()
    start_ready(server)
    assert damaged(read_all(server, stored)) == lost
    assert server.stop() == 0


@pytest.mark.parametrize('copies', [[0], [4096], [0, 4096]], ids=['first', 'second', 'both'])
def test_superblocks_zeroed(store, copies):
    """One copy is enough; without both the index still knows whose needles they are."""
    server, stored = store
    path, = volumes(server)
    with open(path, 'r+b') as f:
        for offset in copies:
            f.seek(offset)
            f.write(bytes(512))
    start_ready(server)
    assert not damaged(read_all(server, stored))
    assert_goes_on(server)
    server.kill()
    start_ready(server)
    assert not damaged(read_all(server, stored))
    assert server.stop() == 0


def test_an_older_copy_of_a_volume_is_not_believed(store, tmp_path):
    """What was written after the copy was made is an error, not an older state; deleted objects stay deleted."""
    server, stored = store
    path, = volumes(server)
    old = str(tmp_path / 'old')
    shutil.copy(path, old)
    start_ready(server)
    with Client(server) as c:
        later = write(c, range(100, 120))
        assert c.put('rot', 'k/3', body_of(11)).status == 200  # the same size as before, other bytes
        assert c.delete('rot', 'k/4').status == 204
    stored.pop('k/4')
    server.kill()
    shutil.copy(old, path)
    start_ready(server)
    with Client(server) as c:
        assert read(c, 'k/4') == 'absent'
        try:
            assert c.get('rot', 'k/3').status == 500, 'an older state was served'
        except LOST:
            pass
    stored.update(later)
    lost = damaged(read_all(server, stored))
    assert lost == {'k/3'} | {k for k, seed in later.items() if len(body_of(seed)) >= NEEDLE}
    assert named_by_check(server) == lost
    assert_goes_on(server)
    assert server.stop() == 0


def test_a_volume_of_another_disk_or_name_is_left_alone(store, make_server):
    server, stored = store
    path, = volumes(server)
    other = make_server()
    start_ready(other)
    with Client(other) as c:
        assert c.make_bucket('rot').status == 200
        write(c, range(500, 520))
    assert other.stop() == 0
    folder = os.path.dirname(path)
    shutil.copy(volumes(other)[0], os.path.join(folder, '00000070.vol'))
    shutil.copy(path, os.path.join(folder, '00000080.vol'))
    with open(os.path.join(folder, 'notes.txt'), 'w') as f:
        f.write('not ours')
    start_ready(server)
    assert not damaged(read_all(server, stored))
    assert_goes_on(server)
    assert server.stop() == 0
    assert os.path.exists(os.path.join(folder, '00000080.vol')) and os.path.exists(os.path.join(folder, 'notes.txt'))


def test_a_damaged_metadata_log_is_not_cut_short_in_silence(store):
    """Records after the damage were acknowledged: the server says so and does not start without them."""
    server, stored = store
    start_ready(server)
    with Client(server) as c:
        write(c, range(200, 260))
    server.kill()
    log = max(glob.glob(os.path.join(server.data, 'meta', '*.log')), key=os.path.getsize)
    whole = open(log, 'rb').read()
    used = len(whole.rstrip(b'\0'))  # behind that it is written ahead
    flip(log, used // 2 // 4096 * 4096 + 60)  # in a frame's first bytes: its end is padding
    with pytest.raises(RuntimeError, match='meta'):
        start_ready(server)
    with open(log, 'wb') as f:
        f.write(whole)
    start_ready(server)
    stored.update({'k/%d' % seed: seed for seed in range(200, 260)})
    assert not damaged(read_all(server, stored))
    assert server.stop() == 0


def cut(path, length):
    with open(path, 'r+b') as f:
        f.truncate(length)


def zero(path, begin, end):
    with open(path, 'r+b') as f:
        f.seek(begin)
        f.write(bytes(end - begin))


def last_frames(path, count):
    """Where the last so many frames of a log that was written ahead begin, and where they end; each here has one block."""
    end = (len(open(path, 'rb').read().rstrip(b'\0')) + 4095) // 4096 * 4096
    return end - 4096 * count, end


LOG_LOSSES = {
    'all of it': os.remove,
    'its bytes': lambda log: cut(log, 0),
    'half of it': lambda log: cut(log, os.path.getsize(log) // 2),
    'the last byte': lambda log: cut(log, os.path.getsize(log) - 1),
    'the last frame': lambda log: zero(log, *last_frames(log, 1)),
    'many frames': lambda log: zero(log, *last_frames(log, 30)),
}


def refused(server, words):
    """It does not start, and says why."""
    with pytest.raises(RuntimeError, match='meta'):
        start_ready(server)
    assert any(words in line for line in server.log_tail().splitlines()), server.log_tail()


def test_a_metadata_log_that_is_gone_or_cut_short_is_missed(store):
    """What was acknowledged lies in it, and nothing else would tell: the server does not start without it."""
    server, stored = store
    start_ready(server)
    with Client(server) as c:
        write(c, range(300, 360))
        for i in range(31):
            assert c.put('rot', 'more', b'%d' % i).status == 200
    server.kill()
    stored.update({'k/%d' % seed: seed for seed in range(300, 360)})
    meta = os.path.join(server.data, 'meta')
    log = max(glob.glob(os.path.join(meta, '*.log')), key=os.path.getmtime)
    whole = open(log, 'rb').read()
    for name, lose in LOG_LOSSES.items():
        lose(log)
        refused(server, 'is gone. Bring it back; to go on without what was in it, remove log.known')
        with open(log, 'wb') as f:
            f.write(whole)
    with open(os.path.join(meta, 'log.known'), 'r+b') as f:  # as a power cut may leave it: it is written now and then
        known = f.read()
        f.seek(40)
        f.write(bytes(8))
    start_ready(server)
    server.kill()
    assert known != open(os.path.join(meta, 'log.known'), 'rb').read()
    for _ in range(2):  # the second time around after a clean end, which gives back what the log had ahead
        start_ready(server)
        with Client(server) as c:
            assert c.get('rot', 'more').body == b'30'
        assert server.stop() == 0
    start_ready(server)
    with Client(server) as c:
        assert c.delete('rot', 'more').status == 204
    assert not damaged(read_all(server, stored))
    assert server.stop() == 0


def test_an_older_metadata_log_that_is_gone_is_missed(store):
    """It lies beside a newer one for as long as something in it is in no table yet."""
    server, stored = store
    start_ready(server)
    with Client(server) as c:
        write(c, range(300, 330))
    server.kill()
    meta = os.path.join(server.data, 'meta')
    logs = sorted(glob.glob(os.path.join(meta, '*.log')))
    assert len(logs) > 1, logs
    os.rename(logs[0], logs[0] + '.away')
    refused(server, '%s is gone' % os.path.basename(logs[0]))
    os.rename(logs[0] + '.away', logs[0])
    start_ready(server)
    stored.update({'k/%d' % seed: seed for seed in range(300, 330)})
    assert not damaged(read_all(server, stored))
    assert server.stop() == 0


@pytest.mark.parametrize('ending', ['stopped', 'killed'])
def test_a_list_of_tables_cut_short_is_missed(store, ending):
    """RocksDB takes what is left of its manifest for the whole, and throws away the tables that were named behind it."""
    server, stored = store
    start_ready(server)
    with Client(server) as c:
        write(c, range(300, 330))
    assert not (server.kill() if ending == 'killed' else server.stop())
    stored.update({'k/%d' % seed: seed for seed in range(300, 330)})
    manifest, = glob.glob(os.path.join(server.data, 'meta', 'MANIFEST-*'))
    whole = open(manifest, 'rb').read()
    for lose in (lambda: cut(manifest, len(whole) - 20), lambda: cut(manifest, len(whole) - 200),
                 lambda: zero(manifest, len(whole) - 200, len(whole))):
        lose()
        refused(server, 'the end of MANIFEST-')
        with open(manifest, 'wb') as f:
            f.write(whole)
    start_ready(server)
    assert not damaged(read_all(server, stored))
    assert server.stop() == 0


@pytest.mark.parametrize('emptied', [False, True])
def test_metadata_that_are_gone_from_the_only_disk_are_missed(make_server, emptied):
    """Small objects lie in them, so that there may be no volume: what is left of a store is no place for a new one."""
    server = make_server()
    start_ready(server)
    with Client(server) as c:
        assert c.make_bucket('rot').status == 200
        write(c, range(2))
    assert server.stop() == 0
    meta = os.path.join(server.data, 'meta')
    os.rename(meta, meta + '.away')
    if emptied:
        os.mkdir(meta)
    with pytest.raises(RuntimeError, match='none of the directories has the metadata'):
        start_ready(server)
    if emptied:
        os.rmdir(meta)
    os.rename(meta + '.away', meta)
    start_ready(server)
    assert not damaged(read_all(server, {'k/0': 0, 'k/1': 1}))
    assert server.stop() == 0


def test_a_metadata_log_deleted_under_the_server_takes_nothing_more(store):
    """No start would find what is written to it: so nothing is acknowledged."""
    server, stored = store
    start_ready(server)
    for log in glob.glob(os.path.join(server.data, 'meta', '*.log')):
        os.remove(log)
    with Client(server) as c:
        for i in range(5):
            assert c.put('rot', 'after/%d' % i, b'x').status in (500, 503)
        for key in stored:
            assert read(c, key) == 'right'
    server.kill()


def test_what_is_acknowledged_after_a_volume_was_deleted_is_kept(store):
    server, stored = store
    start_ready(server)
    folder = os.path.join(server.data, 'volumes')
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    time.sleep(0.6)  # it is looked at now and then
    kept = {}
    with Client(server) as c:
        for seed in range(400, 430):
            if c.put('rot', 'k/%d' % seed, body_of(seed)).status == 200:
                kept['k/%d' % seed] = seed
    assert len(kept) >= 25 and metrics(server)['cairn_disk_sync_errors_total'] > 0
    server.kill()
    start_ready(server)
    with Client(server) as c:
        assert {key: read(c, key) for key in kept} == {key: 'right' for key in kept}
    server.kill()


def test_damaged_metadata_tables_give_errors_not_lies(store):
    server, stored = store
    tables = sst_files(os.path.join(server.data, 'meta'))
    if not tables:  # the log alone held it; another start writes it out
        start_ready(server)
        assert server.stop() == 0
        tables = sst_files(os.path.join(server.data, 'meta'))
    for path in tables:
        flip(path, os.path.getsize(path) // 3)
    try:
        start_ready(server)
    except RuntimeError:
        return
    with Client(server) as c:
        for key in stored:
            assert read(c, key) in ('right', 'error')
    server.kill()
