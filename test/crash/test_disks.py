# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Disks that are pulled, replaced, damaged, brought back old, while clients work: nothing acknowledged is lost or wrong."""
import json
import os
import random
import shutil
import time

import pytest

from client import Client, content, metrics
from conftest import SOAK
from load import Load
from oracle import Oracle
from server import crc32c
from test_full_disk import check_when_there_is_room, eat, small_disk  # noqa: F401

SEED = int(os.environ.get('CAIRN_SEED') or random.randrange(1 << 32))
# Inline, beside the record, copied, striped, several stripes.
SIZES = [0, 100, 5000, 17000, 70000, 262143, 262144, 700000, (1 << 20) + 1, 3 << 20]


def start_load(server):
    print('CAIRN_SEED=%d' % SEED)
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
    return Load(server, Oracle(), 'disks', SEED, sizes=SIZES)


def redundancy(server):
    return json.loads(server.admin('disk', 'list', '--json').stdout)['redundancy']


def wait_for(what, seconds=240):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, 'not within %d s' % seconds
        time.sleep(0.1)


def whole(server):
    """Nothing waits for repair, and the check finds nothing; a pass may be under way, so more than once."""
    return server.admin('check', check=False).returncode == 0


def check_deep(server):
    result = server.admin('check', '--deep', check=False)
    assert result.returncode == 0 and 'check: 0 faults' in result.stdout, result.stdout[-2000:] + result.stderr


def pull(server, disk):
    os.rename(server.dirs[disk], server.dirs[disk] + '.pulled')


def test_two_of_six_disks_are_pulled_under_load_and_replaced(make_server, figure):
    server = make_server(disks=6)
    server.start()
    load = start_load(server)
    load.start()
    time.sleep(3)
    r = random.Random(SEED)
    first, second = r.sample(range(6), 2)
    pull(server, first)
    time.sleep(r.uniform(0, 2))
    pull(server, second)
    wait_for(lambda: metrics(server)['cairn_disks_usable'] == 4)
    time.sleep(3)
    load.stop()
    load.verify()
    assert redundancy(server)['losses_survived'] == 0
    load.start(workers=3)
    begin = time.monotonic()
    server.admin('disk', 'replace', str(first), server.dirs[first])
    elsewhere = server.dirs[second] + '.new'
    server.admin('disk', 'replace', str(second), elsewhere)
    server.dirs[second] = elsewhere
    time.sleep(3)
    load.stop()
    wait_for(lambda: whole(server))
    seconds = time.monotonic() - begin
    load.verify()
    check_deep(server)
    assert redundancy(server)['losses_survived'] == 2
    disks = json.loads(server.admin('disk', 'list', '--json').stdout)['disks']
    # Repair or rebalance, whichever came to a chunk first, has filled the new ones.
    assert [d['needles'] > 0 for d in disks if d['role'] == 'active'] == [True] * 6, disks
    figure('two of six disks replaced under load: whole after %.1f s; %s' % (seconds, load.done))
    assert server.stop() == 0
    for d in server.dirs:  # what is left of the old ones counts no more
        shutil.rmtree(d + '.pulled', ignore_errors=True)
    random.Random(SEED).shuffle(server.dirs)
    server.start()
    load.verify()
    check_deep(server)
    assert server.stop() == 0


def test_disk_that_comes_back_old_serves_nothing_stale(make_server):
    """Overwritten, deleted and new objects while it was away: what it still has is never given out."""
    server = make_server(disks=4)
    server.start()
    load = start_load(server)
    load.start()
    time.sleep(2)
    for _ in range(6 if SOAK else 2):
        disk = random.Random(SEED).randrange(4)
        pull(server, disk)
        wait_for(lambda: metrics(server)['cairn_disks_usable'] == 3)
        time.sleep(2)
        os.rename(server.dirs[disk] + '.pulled', server.dirs[disk])
        wait_for(lambda: metrics(server)['cairn_disks_usable'] == 4)
        time.sleep(1)
    load.stop()
    load.verify()
    wait_for(lambda: whole(server))
    check_deep(server)
    assert server.stop() == 0


def test_started_without_a_disk_and_in_another_order(make_server):
    server = make_server(disks=6)
    server.start()
    load = start_load(server)
    load.start(workers=3)
    time.sleep(2)
    load.stop()
    assert server.stop() == 0
    pull(server, 0)
    random.Random(SEED).shuffle(server.dirs)
    server.start()
    assert redundancy(server)['usable'] == 5
    load.verify()
    load.start(workers=3)
    time.sleep(1)
    load.stop()
    load.verify()
    assert server.stop() == 0


def flip_bytes(folder, r):
    """A byte in every 20 KiB of every volume."""
    volumes = os.path.join(folder, 'volumes')
    for name in os.listdir(volumes):
        path = os.path.join(volumes, name)
        with open(path, 'r+b') as f:
            for at in range(8192, os.path.getsize(path), 20000):
                f.seek(at + r.randrange(20000))
                byte = f.read(1)
                if byte:
                    f.seek(-1, 1)
                    f.write(bytes([byte[0] ^ 1 << r.randrange(8)]))


def test_disk_full_of_flipped_bits_is_read_around_and_repaired(make_server):
    server = make_server(disks=6)
    server.start()
    bodies = {}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for i in range(40):
            bodies['k%d' % i] = content(i, SIZES[2 + i % 8])
            assert c.put('disks', 'k%d' % i, bodies['k%d' % i]).status == 200
        for disk in (1, 4):
            flip_bytes(server.dirs[disk], random.Random(SEED + disk))
        for _ in range(2):  # the second time around some are repaired
            for key, body in bodies.items():
                reply = c.get('disks', key)
                assert reply.status == 200 and reply.body == body, key
            assert metrics(server)['cairn_blob_damaged_shards_total'] > 0
    assert server.stop() == 0


def test_strange_and_unusable_directories_are_refused(make_server):
    server, other = make_server(disks=2), make_server(disks=2)
    for s in (server, other):
        s.start()
        assert s.stop() == 0
    ours = list(server.dirs)
    for dirs, words in (([ours[0], other.dirs[0]], 'two different stores'), ([ours[0]], '--force-metadata')):
        server.dirs = dirs
        server.launch()
        assert server.process.wait(60) != 0
        assert words in server.log_tail(), server.log_tail()
    server.dirs = ours
    empty = os.path.join(server.folder, 'empty')
    os.mkdir(empty)
    server.dirs = ours + [empty]
    server.start()
    assert redundancy(server)['disks'] == 2  # it is no disk by itself
    refused = server.admin('disk', 'replace', '0', empty, check=False)
    assert refused.returncode != 0 and 'only a disk that is gone' in refused.stderr
    server.admin('disk', 'add', empty + '.more')
    assert redundancy(server)['disks'] == 3
    assert server.stop() == 0


def harm_identity(folder, how):
    path = os.path.join(folder, 'disk.id')
    if how == 'delete':
        return os.remove(path)
    with open(path, 'r+b') as f:
        if how == 'cut':
            f.truncate(20)
        elif how == 'flip':
            f.seek(30)
            f.write(b'#')
        elif how == 'grow':
            f.write(b'x' * 100000)


@pytest.mark.parametrize('disks', [1, 4])
def test_an_identity_that_is_lost_or_damaged_is_known_from_what_the_disk_holds(make_server, disks):
    """From the mirror of the metadata while there are no volumes, from the volumes later."""
    server = make_server(disks=disks)
    server.start()
    bodies = {'k%d' % i: content(i, SIZES[i]) for i in range(3)}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for key, body in bodies.items():
            assert c.put('disks', key, body).status == 200
    for harms in (['delete'], ['cut', 'grow', 'flip', 'delete'][:disks], ['delete'] * disks):
        assert server.stop() == 0
        for folder, how in zip(server.dirs, harms):
            harm_identity(folder, how)
        server.start()
        with Client(server) as c:
            for key, body in bodies.items():
                assert c.get('disks', key).body == body, key
            for i in range(len(bodies), len(bodies) + len(SIZES)):
                bodies['k%d' % i] = content(i, SIZES[i % len(SIZES)])
                assert c.put('disks', 'k%d' % i, bodies['k%d' % i]).status == 200
        assert redundancy(server)['usable'] == disks, server.log()
    assert server.log().count('the identity of a disk was gone or damaged') == 1 + 2 * disks
    check_deep(server)
    assert server.stop() == 0


def test_an_only_disk_without_its_identity_takes_another_beside_it(make_server):
    """Nothing on it tells its name but the table of disks, which is read from it: the mirror has that name, too."""
    server = make_server()
    server.start()
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
    assert server.stop() == 0
    harm_identity(server.dirs[0], 'delete')
    server.start()
    assert 'a mirror of the metadata cannot be made' not in server.log()
    second = server.dirs[0] + '.second'
    server.admin('disk', 'add', second)

    def mirrors():
        return json.loads(server.admin('info', '--json').stdout)['redundancy']['metadata_mirrors']
    wait_for(lambda: mirrors() == ['in'] * 2)
    assert server.stop() == 0
    server.dirs.append(second)
    server.start()
    assert mirrors() == ['in'] * 2
    assert server.stop() == 0


def test_a_disk_that_cannot_be_told_from_others_is_a_missing_one(make_server):
    """No identity, and nothing that would say whose it is: the others serve, and it is not touched."""
    server = make_server(disks=4)
    server.start()
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
    assert server.stop() == 0
    harm_identity(server.dirs[3], 'cut')  # without a mirror, and without a volume as yet
    server.start()
    assert redundancy(server)['usable'] == 3
    assert 'it cannot be told whose disk a directory is' in server.log()
    with Client(server) as c:
        for i, size in enumerate(SIZES):
            assert c.put('disks', 'k%d' % i, content(i, size)).status == 200
    server.admin('disk', 'replace', '3', server.dirs[3] + '.new')
    server.dirs[3] += '.new'
    wait_for(lambda: whole(server))
    check_deep(server)
    assert server.stop() == 0


def test_a_directory_that_was_being_taken_in_holds_up_nobody(make_server):
    """The server was killed between writing its identity and writing the table of disks: it is as good as empty."""
    server = make_server(disks=2)
    server.start()
    begun = os.path.join(server.folder, 'begun')
    os.mkdir(begun)
    with open(os.path.join(server.dirs[0], 'disk.id')) as f:
        store = [line for line in f if line.startswith('store ')][0]
    text = 'cairn disk 2\ndisk %032x\n%snumber 2\n' % (random.getrandbits(128), store)
    with open(os.path.join(begun, 'disk.id'), 'w') as f:
        f.write(text + 'crc %08x\n' % crc32c(text.encode()))
    assert server.stop() == 0
    server.dirs.append(begun)
    server.start()
    assert redundancy(server)['disks'] == 2
    assert server.stop() == 0
    server.dirs.pop()  # its lock would be in the way
    server.start()
    assert 'is active' in server.admin('disk', 'add', begun).stdout
    assert redundancy(server)['disks'] == 3
    assert server.stop() == 0
    server.dirs.append(begun)
    server.start()
    assert redundancy(server)['usable'] == 3
    assert server.stop() == 0


def flip_table(folder):
    """A byte in every 100 of the mirror's tables: one opens, and is found damaged when it is read."""
    for name in os.listdir(folder):
        if name.endswith('.sst'):
            path = os.path.join(folder, name)
            with open(path, 'r+b') as f:
                for at in range(50, min(4096, os.path.getsize(path) - 2048), 100):
                    f.seek(at)
                    f.write(b'#')


def lose_manifest(folder):
    for name in os.listdir(folder):
        if name.startswith('MANIFEST'):
            os.remove(os.path.join(folder, name))


def lose_log(folder):
    for name in os.listdir(folder):
        if name.endswith('.log'):
            os.remove(os.path.join(folder, name))


def zero_log(folder):
    """The last frame of the newest: what lies in it, the others have."""
    path = max((os.path.join(folder, name) for name in os.listdir(folder) if name.endswith('.log')), key=os.path.getmtime)
    with open(path, 'r+b') as f:
        f.seek((len(f.read().rstrip(b'\0')) - 1) // 4096 * 4096)
        f.write(bytes(4096))


def shorten_manifest(folder):
    path, = [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith('MANIFEST')]
    os.truncate(path, os.path.getsize(path) - 100)


@pytest.mark.parametrize('harm', [flip_table, lose_manifest, shorten_manifest, lose_log, zero_log])
def test_a_damaged_mirror_of_the_metadata_is_made_anew(make_server, harm):
    """There are only three disks, so no other one can take its place."""
    server = make_server(disks=3)
    server.start()
    bodies = {'k%d' % i: content(i, SIZES[i % 4]) for i in range(80)}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for key, body in bodies.items():
            assert c.put('disks', key, body).status == 200
    assert server.stop() == 0
    server.start()  # what was in the log is in a table now
    if harm in (lose_log, zero_log):
        server.kill()
    else:
        assert server.stop() == 0  # all know the same: the first is read
    harm(os.path.join(server.dirs[0], 'meta'))  # which is read
    server.start()

    def mirrors():
        return json.loads(server.admin('info', '--json').stdout)['redundancy']['metadata_mirrors']
    with Client(server) as c:
        for key, body in bodies.items():
            assert c.get('disks', key).body == body
    wait_for(lambda: mirrors() == ['in'] * 3 and 'a damaged mirror of the metadata is made anew' in server.log())
    server.kill()
    for disk in (1, 2):  # what was made anew is all that there is
        pull(server, disk)
    server.dirs, ours = [server.dirs[0]], server.dirs
    server.options.append('--force-metadata')
    server.start()
    with Client(server) as c:
        assert sorted(c.list('disks')) == sorted(bodies)
        for key, body in bodies.items():
            if len(body) <= 8192:
                assert c.get('disks', key).body == body
    server.kill()
    server.dirs = ours


def test_two_copies_of_a_disk_are_refused_before_anything_is_written(make_server):
    server = make_server(disks=3)
    server.start()
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        assert c.put('disks', 'k', b'as it was').status == 200
    assert server.stop() == 0
    copy = server.dirs[1] + '.copy'
    shutil.copytree(server.dirs[1], copy)
    ours = server.dirs
    server.dirs = [copy] + ours
    server.launch()
    assert server.process.wait(60) != 0
    assert 'are copies of one disk' in server.log_tail(), server.log_tail()
    server.dirs = ours
    server.start()
    with Client(server) as c:
        assert c.get('disks', 'k').body == b'as it was'
    assert json.loads(server.admin('info', '--json').stdout)['redundancy']['metadata_mirrors'] == ['in'] * 3
    assert server.stop() == 0


def test_a_copy_that_only_its_mirror_names_is_refused(make_server):
    """Without its disk.id it is known when its metadata are open: the disk's own must not be joined by them."""
    server = make_server(disks=3)
    server.start()
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
    assert server.stop() == 0
    copy = server.dirs[1] + '.copy'
    shutil.copytree(server.dirs[1], copy)
    harm_identity(copy, 'delete')
    ours = server.dirs
    for dirs in ([copy] + ours, ours + [copy]):
        server.dirs = dirs
        server.launch()
        assert server.process.wait(60) != 0
        assert 'are copies of one disk' in server.log_tail(), server.log_tail()
        assert not os.path.exists(os.path.join(copy, 'disk.id'))
    server.dirs = ours
    server.start()
    assert json.loads(server.admin('info', '--json').stdout)['redundancy']['metadata_mirrors'] == ['in'] * 3
    assert server.stop() == 0


def test_metadata_that_nothing_names_join_no_others(make_server):
    """Neither a folder of that name, nor metadata that were always alone."""
    server, alone = make_server(disks=2), make_server()
    server.start()
    assert server.stop() == 0
    alone.start()
    assert alone.stop() == 0
    harm_identity(alone.data, 'delete')
    junk = os.path.join(server.folder, 'junk')
    os.makedirs(os.path.join(junk, 'meta'))
    with open(os.path.join(junk, 'meta', 'x'), 'w') as f:
        f.write('not ours')
    ours = server.dirs
    server.dirs = [junk, alone.data] + ours
    server.start()
    assert json.loads(server.admin('info', '--json').stdout)['redundancy']['metadata_mirrors'] == ['in'] * 2
    assert server.log().count('it cannot be told whose disk a directory is') == 2
    assert os.listdir(os.path.join(junk, 'meta')) == ['x']
    assert server.stop() == 0
    server.dirs = ours
    server.start()
    assert server.stop() == 0
    alone.start()  # by itself it is what it was
    assert alone.stop() == 0


def snapshot(folder):
    """{path: (length, when it was written)} of all that lies in it."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            s = os.stat(os.path.join(where, name))
            found[os.path.join(where, name)] = s.st_size, s.st_mtime_ns
    return found


def test_a_copied_store_leaves_the_disks_of_the_original_alone(make_server):
    """One that is not named is not looked for where the original has it, which is where the table says."""
    server = make_server(disks=4)
    server.start()
    bodies = {'k%d' % i: content(i, SIZES[i % len(SIZES)]) for i in range(20)}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for key, body in bodies.items():
            assert c.put('disks', key, body).status == 200
    assert server.stop() == 0
    original, server.dirs = server.dirs, [d + '.copy' for d in server.dirs]
    for old, new in zip(original, server.dirs):
        shutil.copytree(old, new)
    before = [snapshot(d) for d in original]
    last = server.dirs.pop()
    server.launch()
    assert server.process.wait(60) != 0
    assert 'is not named' in server.log_tail() and original[3] in server.log_tail(), server.log_tail()
    os.mkdir(last + '.empty')
    for more in ([last + '.empty'], []):  # the second time the place is forgotten
        server.dirs += more
        server.start()
        assert redundancy(server)['usable'] == 3
        with Client(server) as c:
            for key, body in bodies.items():
                assert c.get('disks', key).body == body
            bodies['k0'] = b'in the copy'
            assert c.put('disks', 'k0', b'in the copy').status == 200
        assert server.stop() == 0
        server.dirs = server.dirs[:3]
    assert [snapshot(d) for d in original] == before
    server.dirs.append(last)
    server.start()
    wait_for(lambda: redundancy(server)['usable'] == 4 and whole(server))
    with Client(server) as c:
        for key, body in bodies.items():
            assert c.get('disks', key).body == body
    check_deep(server)
    assert server.stop() == 0
    assert [snapshot(d) for d in original] == before


def test_a_disk_that_was_added_comes_back_without_being_named(make_server):
    """While the others are where they were, under whatever names; moved, it is to be named as well."""
    server = make_server(disks=2)
    server.start()
    added = os.path.join(server.folder, 'added')
    server.admin('disk', 'add', added)
    assert server.stop() == 0
    named = server.dirs
    links = [d + '.link' for d in named]
    for d, link in zip(named, links):
        os.symlink(d, link)
    for dirs in (named, links, [d + '/' for d in named]):
        server.dirs = dirs
        server.start()
        assert redundancy(server)['usable'] == 3
        assert server.stop() == 0
    server.dirs = [named[0] + '.moved', named[1]]
    os.rename(named[0], server.dirs[0])
    server.launch()
    assert server.process.wait(60) != 0
    assert 'is not named' in server.log_tail() and added in server.log_tail()
    server.dirs.append(added)
    server.start()
    assert redundancy(server)['usable'] == 3
    assert server.stop() == 0


def test_a_disk_comes_back_to_a_place_that_is_named_though_others_changed_theirs(make_server):
    """Two mounts are exchanged and a third is missing: when that is there again it is taken in, without a new start."""
    server = make_server(disks=4)
    server.start()
    assert server.stop() == 0
    first, second, third = server.dirs[:3]
    for old, new in ((first, first + '.x'), (second, first), (first + '.x', second)):
        os.rename(old, new)
    pull(server, 2)
    for there in ('nothing', 'an empty directory'):
        if there != 'nothing':
            os.mkdir(third)
        server.start()
        assert redundancy(server)['usable'] == 3
        if there == 'nothing':
            assert server.stop() == 0
    shutil.rmtree(third)
    os.rename(third + '.pulled', third)
    wait_for(lambda: redundancy(server)['usable'] == 4)
    assert server.stop() == 0


def test_mount_point_without_its_disk_is_no_disk(make_server):
    """Unmounted, what is left is an empty directory in its place: nothing is written there, nothing is read from it."""
    server = make_server(disks=4)
    server.start()
    bodies = {'k%d' % i: content(i, SIZES[i % len(SIZES)]) for i in range(20)}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for key in list(bodies)[:10]:
            assert c.put('disks', key, bodies[key]).status == 200
    pull(server, 2)
    os.mkdir(server.dirs[2])
    wait_for(lambda: metrics(server)['cairn_disks_usable'] == 3)
    with Client(server) as c:
        for key in list(bodies)[10:]:
            assert c.put('disks', key, bodies[key]).status == 200
    assert server.stop() == 0
    assert os.listdir(server.dirs[2]) == []
    server.start()
    assert redundancy(server)['usable'] == 3
    with Client(server) as c:
        for key, body in bodies.items():
            assert c.get('disks', key).body == body
    assert os.listdir(server.dirs[2]) == ['lock']  # so that nobody else begins a store there meanwhile
    shutil.rmtree(server.dirs[2])
    os.rename(server.dirs[2] + '.pulled', server.dirs[2])
    wait_for(lambda: metrics(server)['cairn_disks_usable'] == 4 and whole(server))
    with Client(server) as c:
        for key, body in bodies.items():
            assert c.get('disks', key).body == body
    check_deep(server)
    assert server.stop() == 0


def test_scrub_repairs_flipped_bits_from_the_other_disks(make_server):
    """Nobody reads the objects: the scrub alone finds what is wrong on one of four disks, and nothing is lost."""
    server = make_server(disks=4)
    server.start()
    bodies = {'k%d' % i: content(i, [70000, 300000, 1 << 20][i % 3]) for i in range(30)}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for key, body in bodies.items():
            assert c.put('disks', key, body).status == 200
    assert server.stop() == 0
    flip_bytes(server.dirs[1], random.Random(SEED))
    server.start()
    server.admin('scrub', 'start', '--wait', check=False)  # what it tells of meanwhile is repaired, or about to be
    wait_for(lambda: server.admin('check', '--deep', check=False).returncode == 0)
    wait_for(lambda: metrics(server)['cairn_repair_chunks_total'] > 0)  # told at the end of a round
    assert server.admin('scrub', 'start', '--wait').returncode == 0
    assert not json.loads(server.admin('scrub', 'status', '--json').stdout)['list']
    shutil.rmtree(server.dirs[2])  # two of the others suffice now
    with Client(server) as c:
        for key, body in bodies.items():
            assert c.get('disks', key).body == body
    assert server.stop() == 0


def test_one_full_disk_of_four_is_written_around(make_server, small_disk):
    """Another's file fills it: what is new goes to the others, what is there is read and deleted."""
    server = make_server(disks=4)
    server.dirs[3] = os.path.join(small_disk, 'd3')
    server.start()
    bodies = {'k%d' % i: content(i, SIZES[i % len(SIZES)]) for i in range(40)}
    with Client(server) as c:
        assert c.make_bucket('disks').status == 200
        for key in list(bodies)[:20]:
            assert c.put('disks', key, bodies[key]).status == 200
        ballast = eat(small_disk)
        for key in list(bodies)[20:]:
            assert c.put('disks', key, bodies[key]).status == 200
        for key, body in bodies.items():
            assert c.get('disks', key).body == body
        for key in list(bodies)[:10]:
            assert c.delete('disks', key).status == 204
        os.remove(ballast)
    wait_for(lambda: whole(server))
    check_when_there_is_room(server)
    assert server.stop() == 0
