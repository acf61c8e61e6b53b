# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""The audit log is on three disks: whichever of them is lost, no record of an acknowledged change is."""
import json
import os
import shutil

from client import Client, metrics
from test_disks_change import wait_for


def put_some(server, prefix, count=20):
    with Client(server) as c:
        for i in range(count):
            assert c.put('audited', '%s/%d' % (prefix, i), b'x').status == 200


def recorded(server, *filters):
    lines = server.admin('audit', '--json', '--bucket', 'audited', '--operation', 'PutObject', '--outcome', 'begun', *filters).stdout
    return [json.loads(line)['key'] for line in lines.splitlines()]


def copies(server):
    return json.loads(server.admin('info', '--json').stdout)['redundancy']['audit_copies']


def all_in(server):
    return [c['state'] for c in copies(server)] == ['in'] * 3


def last(folder):
    """The end of a copy."""
    files = sorted(os.listdir(folder))
    with open(os.path.join(folder, files[-1]), 'rb') as f:
        return f.read().splitlines()[-1]


def test_no_record_goes_with_a_disk(make_server):
    server = make_server(disks=4, options=['--audit', 'required'])
    server.start()
    with Client(server) as c:
        assert c.make_bucket('audited').status == 200
    put_some(server, 'whole')
    assert all_in(server)
    holders = [os.path.dirname(c['path']) for c in copies(server)]
    assert set(holders) < set(server.dirs)
    server.kill()
    # One is lost while nothing runs; the next while the server writes.
    wanted = ['whole/%d' % i for i in range(20)]
    os.rename(holders[0], holders[0] + '.pulled')
    server.start()
    assert recorded(server) == wanted
    wait_for(lambda: all_in(server))  # the fourth disk has it now
    os.rename(holders[1], holders[1] + '.pulled')
    wait_for(lambda: metrics(server)['cairn_audit_copies_behind'] == 1)
    assert 'audit log on 3: ' in server.admin('info').stdout
    assert 'note: a copy of the audit log is behind' in server.admin('check', check=False).stdout
    put_some(server, 'degraded')
    wanted += ['degraded/%d' % i for i in range(20)]
    assert recorded(server) == wanted
    server.kill()
    shutil.rmtree(holders[0] + '.pulled')  # for good
    os.mkdir(holders[0])
    os.rename(holders[1] + '.pulled', holders[1])  # old
    server.start()
    assert recorded(server) == wanted
    server.admin('disk', 'replace', '%d' % server.dirs.index(holders[0]), holders[0])
    wait_for(lambda: all_in(server))
    assert json.loads(server.admin('audit', 'verify', '--json').stdout)['sound']
    held = [c['path'] for c in copies(server)]
    assert server.stop() == 0
    assert len({last(folder) for folder in held}) == 1
