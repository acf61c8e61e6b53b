# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Disks that fail under the file system: a sync that says EIO, and a mirror of the metadata without room."""
import fcntl
import json
import os
import subprocess

import pytest

from client import Client, content, md5, metrics
from test_disks_change import wait_for
from test_full_disk import check_when_there_is_room, eat, small_disk  # noqa: F401

MIB = 1 << 20
SIZES = [100, 2000, 9000, 70000, 300000, MIB]
F_ADD_SEALS, F_SEAL_WRITE = 1033, 8


class FailingDisk:
    """A block device of memory, mounted; from fail() on each of its writes is an I/O error, and reads go on."""

    def __init__(self, folder):
        self.point = os.path.join(folder, 'failing')
        os.mkdir(self.point)
        self.fd = os.memfd_create('failing-disk', os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.truncate(self.fd, 512 * MIB)
        path = '/proc/%d/fd/%d' % (os.getpid(), self.fd)
        # Without a journal, whose failure would turn the file system read-only before a sync can fail.
        commands = [['mkfs.ext4', '-q', '-F', '-m', '0', '-O', '^has_journal', path], ['mount', '-o', 'loop', path, self.point]]
        self.mounted = all(subprocess.run(c, capture_output=True).returncode == 0 for c in commands)

    def fail(self):
        fcntl.fcntl(self.fd, F_ADD_SEALS, F_SEAL_WRITE)

    def release(self):
        if self.mounted:
            subprocess.run(['umount', '-l', self.point], check=True)
            self.mounted = False
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


@pytest.fixture
def failing_disk(tmp_path):
    disk = FailingDisk(str(tmp_path))
    if not disk.mounted:
        disk.release()
        pytest.skip('no loop device can be mounted here: run as root to test a disk whose syncs fail')
    yield disk
    disk.release()


def body_of(i):
    return content(i, SIZES[i % len(SIZES)])


def put(server, first, last):
    with Client(server) as c:
        for i in range(first, last):
            reply = c.put('failing', 'k%d' % i, body_of(i))
            assert reply.status == 200, (i, reply)


def verify(server, last):
    with Client(server) as c:
        for i in range(last):
            reply = c.get('failing', 'k%d' % i)
            assert reply.status == 200 and md5(reply.body) == md5(body_of(i)), (i, reply)


def mirrors(server):
    return json.loads(server.admin('info', '--json').stdout)['redundancy']['metadata_mirrors']


def start(make_server, folder):
    """Four disks, the first below the folder: a mirror of the metadata is on it, and a copy of the audit log."""
    server = make_server(disks=4, options=['--audit', 'required'])
    server.dirs[0] = os.path.join(folder, 'd0')
    server.start()
    with Client(server) as c:
        assert c.make_bucket('failing').status == 200
    put(server, 0, 24)
    assert mirrors(server) == ['in'] * 3
    return server


def test_a_sync_that_fails_is_believed(make_server, failing_disk):
    """What is acknowledged after a failed sync is on the other disks; the failed one is done without and replaced."""
    server = start(make_server, failing_disk.point)
    failing_disk.fail()
    put(server, 24, 48)
    verify(server, 48)
    wait_for(lambda: 'lost' in mirrors(server))
    wait_for(lambda: metrics(server)['cairn_audit_copies_behind'] == 1)
    server.kill()
    failing_disk.release()  # what its page cache had goes with it
    server.start()
    verify(server, 48)
    put(server, 48, 60)
    new = server.dirs[1] + '.new'
    server.admin('disk', 'replace', '0', new)
    server.dirs[0] = new
    wait_for(lambda: server.admin('check', check=False).returncode == 0)
    wait_for(lambda: mirrors(server) == ['in'] * 3)
    verify(server, 60)
    check = server.admin('check', '--deep', check=False)
    assert check.returncode == 0, check.stdout[-2000:] + check.stderr
    assert json.loads(server.admin('audit', 'verify', '--json').stdout)['sound']
    assert server.stop() == 0


def test_a_mirror_without_room_holds_up_nobody(make_server, small_disk):  # noqa: F811
    """Another's file fills the disk of a mirror, to the last block, over a restart: the others go on, and it follows later."""
    server = start(make_server, small_disk)
    ballast = eat(small_disk)
    put(server, 24, 48)
    assert server.stop() == 0
    server.start()
    put(server, 48, 72)
    verify(server, 72)
    assert mirrors(server).count('in') >= 2
    assert metrics(server)['cairn_audit_copies'] - metrics(server)['cairn_audit_copies_behind'] >= 2
    os.remove(ballast)
    wait_for(lambda: mirrors(server) == ['in'] * 3)
    wait_for(lambda: metrics(server)['cairn_audit_copies_behind'] == 0)
    wait_for(lambda: server.admin('check', check=False).returncode == 0)
    check_when_there_is_room(server)
    verify(server, 72)
    assert json.loads(server.admin('audit', 'verify', '--json').stdout)['sound']
    assert server.stop() == 0
