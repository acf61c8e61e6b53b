# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""The audit log: who changed what, or tried to; filters, exports, and that it cannot be altered unseen."""
import csv
import glob
import io
import json
import os
import re
import time
import uuid

import pytest

from conftest import make_client
from raw import Signer, request
from server import ROOT_PASSWORD, Server

SECRET = 'a-users-very-secret'


@pytest.fixture(scope='module')
def audited():
    s = Server(options=['--audit', 'required', '--trusted-proxies', '127.0.0.1,10.0.0.0/8'])
    s.start()
    yield s
    status = s.stop()
    text = ''.join(open(f, errors='replace').read() for f in glob.glob(s.data + '/audit/*.log'))
    log = s.log()
    verify = s.admin('audit', 'verify', '--dir', s.data + '/audit', check=False)
    s.remove()
    assert getattr(s, 'refused', None) is None or '%d more since' % s.refused in text
    assert status == 0 and verify.returncode == 0, verify.stderr + log[-2000:]
    assert SECRET not in text and ROOT_PASSWORD not in text and SECRET not in log


def records(s, *filters):
    return [json.loads(line) for line in s.admin('audit', '--json', *filters).stdout.splitlines()]


def make_bucket(client):
    name = 'au-' + uuid.uuid4().hex[:12]
    client.create_bucket(Bucket=name)
    return name


def test_changes_are_recorded_and_reading_is_not(audited):
    client = make_client(audited)
    bucket = make_bucket(client)
    client.put_object(Bucket=bucket, Key='a/1', Body=b'hello')
    client.get_object(Bucket=bucket, Key='a/1')
    client.list_objects_v2(Bucket=bucket)
    client.copy_object(Bucket=bucket, Key='b', CopySource=bucket + '/a/1')
    client.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': 'b'}, {'Key': 'a/1'}]})
    client.delete_bucket(Bucket=bucket)
    got = records(audited, '--bucket', bucket, '--outcome', 'done')
    assert [(r['operation'], r.get('key')) for r in got] == [
        ('CreateBucket', None), ('PutObject', 'a/1'), ('CopyObject', 'b'), ('DeleteObjects', 'b'), ('DeleteObjects', 'a/1'),
        ('DeleteObjects', None), ('DeleteBucket', None)]
    put = got[1]
    assert put['user'] == 'root' and put['access_key'] == audited.access_key and put['source'] == '127.0.0.1'
    assert put['status'] == 200 and put['bytes'] == 5 and 'Boto3' in put['agent'] and put['request_id']
    begun = records(audited, '--bucket', bucket, '--outcome', 'begun', '--operation', 'PutObject')
    assert [r['key'] for r in begun] == ['a/1'] and begun[0]['seq'] < put['seq'], 'before it was done'
    assert [r['key'] for r in records(audited, '--bucket', bucket, '--prefix', 'a/', '--operation', 'PutObject', '--outcome', 'done')] == ['a/1']


def test_what_is_denied_is_recorded_with_whoever_tried(audited):
    client = make_client(audited)
    bucket = make_bucket(client)
    user = 'eve' + uuid.uuid4().hex[:6]
    audited.admin('user', 'add', user, '--access-key', user, '--secret-key', SECRET)
    r = request(audited, 'PUT', '/%s/k' % bucket, body=b'x', signer=Signer(user, SECRET))
    assert r.status == 403
    request(audited, 'DELETE', '/%s/k' % bucket, signer=False)
    denied, deadline = [], time.monotonic() + 60
    while len(denied) < 2 and time.monotonic() < deadline:  # a refusal is told before it is recorded
        denied = records(audited, '--bucket', bucket, '--outcome', 'failed')
    assert {(r['operation'], r.get('user'), r['error'], r['status']) for r in denied} == {
        ('PutObject', user, 'AccessDenied', 403), ('DeleteObject', None, 'AccessDenied', 403)} and len(denied) == 2
    assert [r['operation'] for r in records(audited, '--user', user)] == ['PutObject']
    added = [r for r in records(audited, '--outcome', 'done') if r['operation'] == 'admin:POST /-/admin/v1/users' and user in r['after']]
    assert len(added) == 1 and SECRET not in json.dumps(added) and added[0]['user'] == 'root'


def test_settings_before_and_after(audited):
    client = make_client(audited)
    bucket = make_bucket(client)
    for word in ('BucketOwnerPreferred', 'ObjectWriter'):
        client.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={'Rules': [{'ObjectOwnership': word}]})
    client.delete_bucket_ownership_controls(Bucket=bucket)
    put = records(audited, '--bucket', bucket, '--operation', 'PutBucketOwnershipControls', '--outcome', 'done')
    assert 'BucketOwnerPreferred' in put[1]['before'] and 'ObjectWriter' in put[1]['after'] and 'before' not in put[0]
    gone = records(audited, '--bucket', bucket, '--operation', 'DeleteBucketOwnershipControls', '--outcome', 'done')
    assert 'ObjectWriter' in gone[0]['before'] and 'after' not in gone[0]


@pytest.mark.parametrize('forwarded,seen', [
    (['203.0.113.9'], '203.0.113.9'), (['198.51.100.1, 203.0.113.9'], '203.0.113.9'), (['203.0.113.9, 10.1.2.3'], '203.0.113.9'),
    (['1.2.3.4', '203.0.113.9, 10.1.2.3'], '203.0.113.9'), (['nonsense'], '127.0.0.1'), (['203.0.113.9, nonsense'], '127.0.0.1'),
    (['10.9.9.9'], '10.9.9.9'), ([], '127.0.0.1'), (['2001:db8::1'], '2001:db8::1')])
def test_forwarded_for_is_believed_from_trusted_proxies(audited, forwarded, seen):
    bucket = make_bucket(make_client(audited))
    request(audited, 'PUT', '/%s/k' % bucket, headers=[('X-Forwarded-For', f) for f in forwarded], body=b'')
    assert [r['source'] for r in records(audited, '--bucket', bucket, '--operation', 'PutObject', '--outcome', 'done')] == [seen]


def test_forwarded_for_of_anybody_else_is_forged(server):
    client = make_client(server)
    bucket = make_bucket(client)
    request(server, 'PUT', '/%s/k' % bucket, headers=[('X-Forwarded-For', '203.0.113.9')], body=b'')
    assert [r['source'] for r in records(server, '--bucket', bucket, '--operation', 'PutObject')] == ['127.0.0.1']
    client.delete_object(Bucket=bucket, Key='k')
    client.delete_bucket(Bucket=bucket)


def test_export_to_csv(audited):
    client = make_client(audited)
    bucket = make_bucket(client)
    key = '=cmd|"x",\n\'1'
    client.put_object(Bucket=bucket, Key=key, Body=b'')
    rows = list(csv.DictReader(io.StringIO(audited.admin('audit', '--csv', '--bucket', bucket, '--outcome', 'done').stdout, newline='')))
    assert [r['operation'] for r in rows] == ['CreateBucket', 'PutObject']
    assert rows[1]['key'] == "'" + key and rows[1]['status'] == '200' and re.fullmatch('[0-9a-f]{64}', rows[1]['hash'])


def test_what_strangers_write_is_no_command_to_a_terminal(audited):
    """Whoever may not even sign has their key told to the administrator: ESC, and its like of two bytes."""
    name = 'esc-' + uuid.uuid4().hex[:12]
    for key in ('%1B%5D0;title%07', 'c1%C2%9B31m'):
        r = request(audited, 'PUT', '/%s/%s' % (name, key), body=b'x', signer=False)
        assert r.status in (403, 404)
    wrong = Signer('no-' + name, 'x' * 20)
    assert request(audited, 'PUT', '/%s/plain' % name, body=b'x', headers=[('User-Agent', '\x9b31m')], signer=wrong).status == 403
    text = audited.admin('audit').stdout
    assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f]', text), text
    assert '\\x1b]0;title\\x07' in text and 'c1\\x9b31m' in text
    assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f]', audited.log())


def test_times(audited):
    client = make_client(audited)
    bucket = make_bucket(client)
    last = records(audited, '--bucket', bucket, '--outcome', 'done')[-1]
    assert records(audited, '--bucket', bucket, '--to', '2020-01-01T00:00:00Z') == []
    assert records(audited, '--bucket', bucket, '--from', last['time'], '--outcome', 'done')[-1] == last
    assert len(records(audited, '--max', '1')) == 1
    assert audited.admin('audit', '--from', 'yesterday', check=False).returncode == 1


def test_a_forged_record_is_found(audited):
    sound = json.loads(audited.admin('audit', 'verify', '--json').stdout)
    assert sound['sound'] and sound['first_seq'] == 1 and sound['records'] == sound['last_seq']
    path = sorted(glob.glob(audited.data + '/audit/*.log'))[0]
    text = open(path, 'rb').read()
    try:
        with open(path, 'r+b') as f:
            f.write(text.replace(b'"outcome":"done"', b'"outcome":"DONE"', 1))
        broken = audited.admin('audit', 'verify', check=False)
        assert broken.returncode == 1 and 'BROKEN' in broken.stderr and 'altered' in broken.stderr
    finally:
        with open(path, 'r+b') as f:
            f.write(text)
    assert audited.admin('audit', 'verify').returncode == 0


def test_without_a_required_log_the_server_does_not_start():
    s = Server(options=['--audit', 'required', '--audit-dir', '/proc/nowhere'])
    s.launch()
    assert s.process.wait(60) == 1 and 'audit' in s.log()
    s.remove()


def test_a_kill_leaves_a_sound_log():
    s = Server()
    try:
        s.start()
        client = make_client(s)
        bucket = make_bucket(client)
        for i in range(50):
            client.put_object(Bucket=bucket, Key='k%d' % i, Body=b'')
        first = records(s, '--bucket', bucket, '--operation', 'PutObject')
        assert len(first) == 50
        s.kill()
        with open(sorted(glob.glob(s.data + '/audit/*.log'))[-1], 'ab') as f:
            f.write(b'{"time":"2026')
        s.start()
        client = make_client(s)
        client.put_object(Bucket=bucket, Key='again', Body=b'')
        assert records(s, '--bucket', bucket, '--operation', 'PutObject')[:50] == first
        assert json.loads(s.admin('audit', 'verify', '--json').stdout)['sound']
        assert [r['operation'] for r in records(s) if r['operation'].startswith('audit:')] == ['audit:start', 'audit:cut', 'audit:start']
        assert s.stop() == 0
    finally:
        s.remove()


def test_switched_off_there_is_none():
    s = Server(options=['--audit', 'off'])
    try:
        s.start()
        assert not os.path.exists(s.data + '/audit')
        assert s.admin('audit', check=False).returncode == 1
        assert s.stop() == 0
    finally:
        s.remove()


def test_wrong_signatures_are_recorded_but_cannot_fill_the_log(audited):
    key = 'nobody' + uuid.uuid4().hex[:6]
    before = sum('hash' in r for r in records(audited))
    for i in range(40):
        r = request(audited, ('GET', 'PUT')[i % 2], '/b/secret-name-%d?x=y' % i, signer=Signer(key, SECRET))
        assert r.status == 403
    now = records(audited)
    got = [r for r in now if r.get('access_key') == key]
    assert 1 <= len(got) <= 16 and len(now) - before == len(got)
    assert {(r['operation'], r['outcome'], r['error'], r['source'], r['status']) for r in got} == {
        ('Authenticate', 'failed', 'InvalidAccessKeyId', '127.0.0.1', 403)}
    assert got[0]['after'] == 'GET /b/secret-name-0' and all('user' not in r for r in got)
    assert records(audited, '--user', key) == got
    r = request(audited, 'GET', '/-/admin/v1/users', signer=Signer(key, SECRET))
    assert r.status == 403
    metrics = request(audited, 'GET', '/metrics', signer=False).body.decode()
    assert int(re.search(r'^cairn_audit_refused_total (\d+)', metrics, re.M).group(1)) >= 41
    audited.refused = 40 - len(got)  # told when the server stops
