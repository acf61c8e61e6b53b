# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""A file system of fixed size, filled up: writes get 507, the rest goes on, and space that comes back is used."""
import os
import signal
import subprocess
import time

import pytest

from client import Client, content, md5, metrics, start_ready

MIB = 1 << 20
DISK_MIB = 768


def mount(folder, kept='0'):
    """A small file system of its own: ext4 in a file, `kept` percent of it for root, or tmpfs where loop devices are not to
    be had."""
    image, point = os.path.join(folder, 'image'), os.path.join(folder, 'disk')
    os.mkdir(point)
    with open(image, 'wb') as f:
        f.truncate(DISK_MIB * MIB)
    attempts = [[['mkfs.ext4', '-q', '-F', '-m', kept, image], ['mount', '-o', 'loop', image, point]],
                [['mount', '-t', 'tmpfs', '-o', 'size=%dm' % DISK_MIB, 'tmpfs', point]]]
    for commands in attempts:
        if all(subprocess.run(c, capture_output=True).returncode == 0 for c in commands):
            return point
    return None


def check_when_there_is_room(server):
    """No faults; the index of needles takes writes again only some seconds after there is room, which a check waits for."""
    check = server.admin('check', '--deep', check=False)
    assert check.returncode == 0 and 'check: 0 faults' in check.stdout, check.stdout[-2000:] + check.stderr


@pytest.fixture
def small_disk(tmp_path, request):
    point = mount(str(tmp_path), getattr(request, 'param', '0'))
    if not point:
        pytest.skip('neither a loop device nor a tmpfs can be mounted here: run as root to test a full disk')
    yield point
    subprocess.run(['umount', '-l', point], check=True)
    image = os.path.join(os.path.dirname(point), 'image')
    if os.path.exists(image):
        os.remove(image)  # pytest keeps the folders of the last runs, and this is as large as a disk


@pytest.fixture
def server(make_server, small_disk, tmp_path):
    s = make_server(folder=small_disk, options=['--compact-interval', '1'])
    s.log_path = str(tmp_path / 'server.log')
    start_ready(s)
    yield s
    if s.process.poll() is None:
        check_when_there_is_room(s)
        assert s.stop() == 0, s.log_tail()


def is_full(reply):
    assert reply.status in (200, 507), reply
    assert reply.status == 200 or reply.code == 'CairnStorageFull', reply
    return reply.status == 507


def fill(c, size, prefix):
    """PUTs until one is refused: {key: data's MD5} of those that were taken."""
    stored = {}
    for i in range(DISK_MIB * MIB // size):
        data = content(i, size)
        if is_full(c.put('full', '%s/%06d' % (prefix, i), data)):
            return stored
        stored['%s/%06d' % (prefix, i)] = md5(data)
    pytest.fail('the disk never was full')


def eat(point, name='ballast', leave=0):
    """Another's file takes all that is left, to the last block, or all but so much."""
    path = os.path.join(point, name)
    s = os.statvfs(point)
    if leave:
        with open(path, 'wb') as f:
            os.posix_fallocate(f.fileno(), 0, s.f_bavail * s.f_frsize - leave)
        return path
    with open(path, 'wb', buffering=0) as f:
        try:
            if s.f_bavail:
                os.posix_fallocate(f.fileno(), 0, s.f_bavail * s.f_frsize)
            f.seek(0, os.SEEK_END)
            while True:  # and what is kept for root
                f.write(b'x' * 4096)
        except OSError:
            pass
    return path


def assert_all_read(c, stored, every=1):
    """The listing is whole; each object, or one in so many, has its bytes."""
    for key, digest in list(stored.items())[::every]:
        reply = c.get('full', key)
        assert reply.status == 200 and md5(reply.body) == digest, (key, reply)
    listing = c.list('full')
    assert {k: v[0] for k, v in listing.items()} == stored
    for key in list(stored)[::50]:
        assert c.head('full', key).status == 200


def assert_data_refused(c, stored):
    """What needs a chunk gets 507; what was there stays, what was refused is not."""
    old = next(iter(stored))
    for size in (2049, 70000, 300000, 5 * MIB):
        for key in ('refused/%d' % size, old):
            reply = c.put('full', key, content(1, size))
            assert (reply.status, reply.code) == (507, 'CairnStorageFull'), (size, reply)
        assert c.get('full', 'refused/%d' % size).status == 404
    assert md5(c.get('full', old).body) == stored[old]


def assert_refused_wholly(c, stored):
    """Just full: a log that goes may let a little in again, but what gets 507 changes nothing."""
    old, refused = next(iter(stored)), 0
    for size in (2049, 70000, 300000, 5 * MIB) * 3:
        key, data = 'refused/%d' % size, content(1, size)
        if is_full(c.put('full', key, data)):
            assert c.get('full', key).status == 404
            refused += 1
        else:
            assert c.delete('full', key).status == 204
        if is_full(c.put('full', old, data)):
            assert md5(c.get('full', old).body) == stored[old]
        else:
            stored[old] = md5(data)
    assert refused


def assert_writes_refused(c, stored, upload):
    """So does everything else that would take space."""
    assert_data_refused(c, stored)
    old = next(iter(stored))
    for size in (0, 100, 2048):
        assert is_full(c.put('full', 'refused/%d' % size, content(1, size)))
        assert is_full(c.put('full', old, content(2, size)))
    assert is_full(c.put('full', 'refused/meta', b'', [('x-amz-meta-a', 'b' * 500)]))
    assert is_full(c.copy('full', old, 'refused/copy'))
    assert is_full(c.make_bucket('refused'))
    assert is_full(c.upload_begin('full', 'refused/upload')[0])
    assert is_full(c.upload_part('full', 'upload', upload, 2, content(3, 5 * MIB)))
    for key in ('refused/0', 'refused/2048', 'refused/meta', 'refused/copy'):
        assert c.get('full', key).status == 404
    assert 2 not in c.parts('full', 'upload', upload)


def wait_until_written(c, seconds=240):
    """Until a large and a small PUT are taken again; both are removed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_full(c.put('full', 'probe', content(4, 5 * MIB))) and not is_full(c.put('full', 'probe', b'small')):
            assert c.delete('full', 'probe').status == 204
            return
        time.sleep(0.2)
    pytest.fail('the space did not come back in %d s: %s' % (seconds, {
        k: v for k, v in metrics(c.server).items() if k.startswith(('cairn_disk', 'cairn_jobs', 'cairn_store_gc'))}))


def prepare(server):
    c = Client(server)
    assert c.make_bucket('full').status == 200
    _, upload = c.upload_begin('full', 'upload')
    assert c.upload_part('full', 'upload', upload, 1, content(9, 5 * MIB)).status == 200
    return c, upload


def test_full_disk_refuses_writes_and_deleting_makes_room(server, figure):
    c, upload = prepare(server)
    stored = fill(c, 3 * MIB, 'large')
    used = len(stored) * 3
    assert used > DISK_MIB / 2, 'full after %d MiB' % used
    stored.update(fill(c, 70000, 'middle'))
    stored.update(fill(c, 2049, 'small'))
    assert_refused_wholly(c, stored)
    assert_all_read(c, stored)
    for key in [k for i, k in enumerate(stored) if i % 2]:
        assert c.delete('full', key).status == 204
        stored.pop(key)
    begin = time.monotonic()
    wait_until_written(c)
    figure('full disk of %d MiB held %d MiB; room again %.1f s after half was deleted' % (
        DISK_MIB, used, time.monotonic() - begin))
    deadline = time.monotonic() + 240
    for i in range(30):  # as fast as compaction makes room
        key, data = 'again/%d' % i, content(i, 3 * MIB)
        while is_full(c.put('full', key, data)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        stored[key] = md5(data)
    assert c.upload_complete('full', 'upload', upload, {1: md5(content(9, 5 * MIB))}).status == 200
    stored['upload'] = md5(content(9, 5 * MIB))
    assert md5(c.get('full', 'upload').body) == stored.pop('upload')
    assert c.delete('full', 'upload').status == 204
    assert_all_read(c, stored)


def test_full_disk_recovers_when_anothers_file_goes(server, small_disk):
    """Not one block is left; the reserve alone lets deletions through."""
    c, upload = prepare(server)
    stored = {}
    for i in range(40):
        for size in (100, 70000, MIB):
            data = content(i, size)
            assert c.put('full', '%d/%d' % (size, i), data).status == 200
            stored['%d/%d' % (size, i)] = md5(data)
    ballast = eat(small_disk)
    assert_writes_refused(c, stored, upload)
    for key in list(stored)[::7]:
        assert c.delete('full', key).status == 204
        stored.pop(key)
    gone = list(stored)[:5]
    assert c.delete_many('full', gone).body.count(b'<Deleted>') == 5
    for key in gone:
        stored.pop(key)
    assert_all_read(c, stored)
    os.remove(ballast)
    wait_until_written(c)
    assert_all_read(c, stored)


def test_start_on_a_full_disk_serves_reads_and_deletes(server, small_disk):
    """Another's file fills it. Without that file there is room again whatever of ours is compacted."""
    c, upload = prepare(server)
    stored = {}
    for i in range(60):
        data = content(i, 5 * MIB)
        assert c.put('full', 'large/%d' % i, data).status == 200
        stored['large/%d' % i] = md5(data)
    os.kill(server.process.pid, signal.SIGSTOP)  # or a write of its own gives the reserve up before all else is eaten
    ballast = eat(small_disk)
    server.kill()
    for ending in (server.stop, server.kill, server.stop):
        c.close()
        start_ready(server)
        assert_writes_refused(c, stored, upload)
        key = next(iter(stored))
        assert c.delete('full', key).status == 204
        stored.pop(key)
        assert_all_read(c, stored, every=8)
        assert not ending()
    c.close()
    start_ready(server)
    os.remove(ballast)
    wait_until_written(c)
    assert_all_read(c, stored, every=8)


def eat_the_reserve(server, c, point):
    """The server gives its reserve up for a deletion, and others take that as well: their files, and what was deleted."""
    files, gone = [eat(point)], []
    for i in range(100):
        reply = c.delete('full', 'small/%d' % i)
        assert reply.status in (204, 507), reply
        gone += ['small/%d' % i] if reply.status == 204 else []
        files.append(eat(point, 'ballast%d' % i))
        if reply.status == 507 and not os.path.exists(server.data + '/meta.reserve'):
            return files, gone
    pytest.fail('the reserve was never gone')


def start_or_say_why(server):
    """Whether it serves; otherwise its last line says what for want of which it does not."""
    try:
        server.start()
    except RuntimeError:
        assert 'cannot open the metadata' in server.log().splitlines()[-1], server.log_tail()
        return False
    server.kill()
    return True


def test_a_store_under_another_path_is_served_over_a_full_disk(make_server, small_disk, tmp_path):
    """Where it lies now is written down another time; whatever room there is, no start ends without a word."""
    server = make_server(folder=small_disk)
    server.log_path = str(tmp_path / 'server.log')
    server.start()
    assert server.stop() == 0
    for room in (16, 18, 20, 22, 24, 26, 100):
        here, there = server.dirs[0], server.data + str(room)
        for end in ('.reserve', '.start'):
            if os.path.exists(here + '/meta' + end):
                os.remove(here + '/meta' + end)
        os.rename(here, there)
        server.dirs = [there]
        ballast = eat(small_disk, leave=room * MIB)
        served = start_or_say_why(server)
        os.remove(ballast)
    assert served


@pytest.mark.parametrize('small_disk', ['0', '5'], indirect=True)
def test_start_on_a_full_disk_without_the_reserve_serves_reads_and_deletes(server, small_disk):
    """What is kept for the start alone opens the store, and lets deletions make room."""
    c, upload = prepare(server)
    stored = {}
    for i in range(100):
        for size, name in ((1000, 'small'), (MIB, 'large')):
            assert c.put('full', '%s/%d' % (name, i), content(i, size)).status == 200
            stored['%s/%d' % (name, i)] = md5(content(i, size))
    files, gone = eat_the_reserve(server, c, small_disk)
    for key in gone:
        del stored[key]
    start = server.data + '/meta.start'
    whole = os.path.getsize(start)
    for turn in range(2):
        if turn:
            files.append(eat(small_disk, 'last'))  # others take what the first start has left
        before = os.path.getsize(start)
        server.kill()
        c.close()
        start_ready(server)
        assert not os.path.exists(start) or os.path.getsize(start) < before
        assert_writes_refused(c, stored, upload)
    for key in [key for key in stored if key.startswith('large/')][:90]:
        assert c.delete('full', key).status == 204
        del stored[key]
    assert_all_read(c, stored, every=8)
    os.remove(files[0])
    wait_until_written(c)
    deadline = time.monotonic() + 60
    while not os.path.exists(start) or os.path.getsize(start) < whole:  # it is taken again
        assert time.monotonic() < deadline
        assert c.delete('full', 'none').status == 204  # what is written looks at the disk
    assert not is_full(c.put('full', 'again', b'x'))
    stored['again'] = md5(b'x')
    assert_all_read(c, stored, every=8)


def test_full_disk_under_concurrent_load_keeps_what_was_acknowledged(server):
    """The disk fills under several writers: some get 507, nothing else goes wrong, nothing acknowledged is missing."""
    from concurrent.futures import ThreadPoolExecutor
    with Client(server) as c:
        assert c.make_bucket('full').status == 200

    def write(worker):
        stored, refused, size = {}, 0, [900, 40000, 250000, 2 * MIB][worker]
        with Client(server) as c:
            for i in range(1500):  # the smallest need not be refused
                data = content(i * 4 + worker, size)
                key = '%d/%d' % (worker, i)
                if is_full(c.put('full', key, data)):
                    refused += 1
                    if refused > 20:
                        break
                else:
                    stored[key] = md5(data)
        return stored
    stored = {}
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(write, range(4)):
            stored.update(part)
    with Client(server) as c:
        assert_all_read(c, stored)
        for key in stored:
            if key.startswith(('2/', '3/')):
                assert c.delete('full', key).status == 204
        wait_until_written(c)
        assert_all_read(c, {k: v for k, v in stored.items() if not k.startswith(('2/', '3/'))})
