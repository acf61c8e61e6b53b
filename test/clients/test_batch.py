# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""`cairn admin batch`: what a manifest names is deleted, tagged or untagged, each line once and as its user may, and reported."""
import csv
import datetime
import gzip
import hashlib
import io
import json
import os
import subprocess
import time
import urllib.parse
import uuid

import pytest

from conftest import make_client
from raw import request
from server import CAIRN, Server

YEAR = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=365)
OVER = ('done', 'failed', 'cancelled')


@pytest.fixture
def lists(s3):
    """A bucket for manifests and reports."""
    name = 'lists-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name)
    yield name
    empty(s3, name)


def empty(s3, name):
    listed = s3.list_object_versions(Bucket=name)
    for v in listed.get('Versions', []):
        lock = s3.head_object(Bucket=name, Key=v['Key'], VersionId=v['VersionId']).get('ObjectLockLegalHoldStatus')
        if lock == 'ON':
            s3.put_object_legal_hold(Bucket=name, Key=v['Key'], VersionId=v['VersionId'], LegalHold={'Status': 'OFF'})
    for v in listed.get('Versions', []) + listed.get('DeleteMarkers', []):
        s3.delete_object(Bucket=name, Key=v['Key'], VersionId=v['VersionId'], BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def locked(s3):
    """A bucket with object lock, and so with versions."""
    name = 'lock-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    empty(s3, name)


def batch(server, *words, status=0):
    r = server.admin('batch', *words, '--json', check=False)
    assert r.returncode == status, r.stdout + r.stderr
    return json.loads(r.stdout) if r.stdout else r.stderr


def line(bucket, key, *version):
    return ','.join([bucket, urllib.parse.quote_plus(key)] + list(version)) + '\n'


def report_of(s3, job):
    """Every line of the report, as fields."""
    head = json.load(s3.get_object(Bucket=job['report_bucket'], Key=job['report_key'])['Body'])
    assert head['Format'] == 'Report_CSV_20180820' and 'TaskStatus' in head['ReportSchema']
    lines = []
    for part in head['Results']:
        text = s3.get_object(Bucket=part['Bucket'], Key=part['Key'])['Body'].read()
        assert hashlib.md5(text).hexdigest() == part['MD5Checksum']
        lines += list(csv.reader(io.StringIO(text.decode())))
    return lines


def names(s3, bucket):
    return sorted(o['Key'] for o in s3.list_objects_v2(Bucket=bucket).get('Contents', []))


def test_what_a_manifest_names_is_deleted_and_reported(server, s3, bucket, lists, tmp_path):
    keys = ['a', 'b c+d', 'deep/é', 'stays']
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b'x')
    manifest = tmp_path / 'list.csv'
    manifest.write_text(''.join(line(bucket, key) for key in keys[:3] + ['never-there']) + line('no-such-bucket-here', 'k'))
    job = batch(server, 'start', 'delete', '--manifest', lists + '/in/list.csv', '--manifest-file', str(manifest),
                '--report', lists + '/out', '--wait', status=1)
    assert (job['phase'], job['total'], job['done'], job['failed']) == ('done', 5, 4, 1)
    assert names(s3, bucket) == ['stays']
    lines = report_of(s3, job)
    assert [(l[0], urllib.parse.unquote(l[1]), l[3], l[5]) for l in lines[:4]] == [
        (bucket, key, 'succeeded', '204') for key in keys[:3] + ['never-there']]
    assert lines[4][:6] == ['no-such-bucket-here', 'k', '', 'failed', 'NoSuchBucket', '404']
    assert job['report_key'] == 'out/job-%d/manifest.json' % job['id']
    assert batch(server, 'status', str(job['id'])) == job
    assert job['id'] in [j['id'] for j in batch(server, 'list')['jobs']]
    records = server.admin('audit', '--bucket', bucket, '--operation', 'DeleteObject', '--json').stdout
    done = [r for r in map(json.loads, records.splitlines()) if r['outcome'] == 'done' and r.get('agent', '').startswith('cairn batch')]
    assert sorted(r['key'] for r in done) == sorted(keys[:3] + ['never-there'])
    assert {r['access_key'] for r in done} == {server.access_key}
    assert 'done' in server.admin('batch', 'status', str(job['id'])).stdout


def test_locks_hold_and_versions_go_by_their_ids(server, s3, locked, lists):
    put = {}
    for key, more in (('free', {}), ('held', {'ObjectLockLegalHoldStatus': 'ON'}),
                      ('governed', {'ObjectLockMode': 'GOVERNANCE', 'ObjectLockRetainUntilDate': YEAR})):
        put[key] = s3.put_object(Bucket=locked, Key=key, Body=b'x', **more)['VersionId']
    s3.put_object(Bucket=locked, Key='current', Body=b'x')
    text = ''.join(line(locked, key, version) for key, version in put.items()) + line(locked, 'current', '') + line(locked, 'free', 'nonsense')
    s3.put_object(Bucket=lists, Key='list.csv', Body=text.encode())
    job = batch(server, 'start', 'delete', '--manifest', lists + '/list.csv', '--report', lists + '/', '--wait', status=1)
    assert [l[3:5] for l in report_of(s3, job)] == [['succeeded', ''], ['failed', 'AccessDenied'], ['failed', 'AccessDenied'],
                                                     ['succeeded', ''], ['failed', 'NoSuchVersion']]
    listed = s3.list_object_versions(Bucket=locked)
    assert sorted(v['Key'] for v in listed['Versions']) == ['current', 'governed', 'held']
    assert [m['Key'] for m in listed['DeleteMarkers']] == ['current']
    s3.put_object(Bucket=lists, Key='again.csv', Body=''.join(line(locked, key, put[key]) for key in ('held', 'governed')).encode())
    job = batch(server, 'start', 'delete', '--manifest', lists + '/again.csv', '--report', lists + '/', '--bypass-governance', '--wait', status=1)
    assert [l[3] for l in report_of(s3, job)] == ['failed', 'succeeded']
    assert sorted(v['Key'] for v in s3.list_object_versions(Bucket=locked)['Versions']) == ['current', 'held']


def test_tags_are_put_and_taken_away(server, s3, bucket, lists):
    s3.put_object(Bucket=bucket, Key='a', Body=b'x', Tagging='old=1')
    s3.put_object(Bucket=bucket, Key='b', Body=b'x')
    text = line(bucket, 'a') + line(bucket, 'b') + line(bucket, 'absent')
    s3.put_object(Bucket=lists, Key='list.csv', Body=text.encode())
    job = batch(server, 'start', 'tag', '--manifest', lists + '/list.csv', '--tags', 'k=v,other=a b', '--report', lists + '/r', '--wait', status=1)
    assert [l[3:6] for l in report_of(s3, job)] == [['succeeded', '', '200']] * 2 + [['failed', 'NoSuchKey', '404']]
    for key in 'ab':
        assert s3.get_object_tagging(Bucket=bucket, Key=key)['TagSet'] == [{'Key': 'k', 'Value': 'v'}, {'Key': 'other', 'Value': 'a b'}]
    job = batch(server, 'start', 'untag', '--manifest', lists + '/list.csv', '--wait', status=1)
    assert (job['done'], job['failed']) == (2, 1) and 'report_key' not in job
    assert s3.get_object_tagging(Bucket=bucket, Key='a')['TagSet'] == []


def test_it_does_what_its_user_may(server, s3, bucket, lists):
    name = 'batch-' + uuid.uuid4().hex[:12]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret-of-' + name)
    for key in ('mine/1', 'other/1'):
        s3.put_object(Bucket=bucket, Key=key, Body=b'x')
    text = line(bucket, 'mine/1') + line(bucket, 'other/1')
    s3.put_object(Bucket=lists, Key='list.csv', Body=text.encode())
    words = ['start', 'delete', '--manifest', lists + '/list.csv', '--as', name]
    assert 'may not read' in batch(server, *words, status=1)

    def allow(where, *statements):
        s3.put_bucket_policy(Bucket=where, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
            dict(Effect=effect, Principal={'AWS': 'arn:aws:iam:::user/' + name}, Action=action,
                 Resource='arn:aws:s3:::%s/%s' % (where, keys)) for effect, action, keys in statements]}))
    allow(lists, ('Allow', 's3:GetObject', '*'))
    assert 'may not write' in batch(server, *words, '--report', lists + '/r', status=1)
    allow(bucket, ('Allow', 's3:DeleteObject', '*'), ('Deny', 's3:DeleteObject', 'other/*'))
    job = batch(server, *words, '--wait', status=1)
    assert (job['done'], job['failed'], job['user']) == (1, 1, name)
    assert names(s3, bucket) == ['other/1']
    s3.delete_bucket_policy(Bucket=bucket)
    server.admin('user', 'rm', name)
    assert 'no such user' in batch(server, *words, status=1)


def test_a_manifest_is_checked_whole_and_may_not_change(server, s3, bucket, lists):
    s3.put_object(Bucket=bucket, Key='a', Body=b'x')
    for text, why in ((line(bucket, 'a') + 'nonsense\n', 'line 2'), (line(bucket, 'a') + bucket + ',%zz\n', 'URL-encoded'),
                      ('Bucket,Key\n' + line(bucket, 'a'), 'line 1')):
        s3.put_object(Bucket=lists, Key='list.csv', Body=text.encode())
        job = batch(server, 'start', 'delete', '--manifest', lists + '/list.csv', '--wait', status=1)
        assert job['phase'] == 'failed' and why in job['error'], job
    server.admin('job', 'pause', 'batch')
    try:
        s3.put_object(Bucket=lists, Key='list.csv', Body=line(bucket, 'b').encode())
        job = batch(server, 'start', 'delete', '--manifest', lists + '/list.csv')
        s3.put_object(Bucket=lists, Key='list.csv', Body=line(bucket, 'a').encode())
    finally:
        server.admin('job', 'resume', 'batch')
    job = until_over(server, job['id'])
    assert job['phase'] == 'failed' and 'not the object that it was' in job['error']
    assert names(s3, bucket) == ['a']


def until_over(server, job):
    state = batch(server, 'status', str(job))
    while state['phase'] not in OVER:
        time.sleep(0.02)
        state = batch(server, 'status', str(job))
    return state


def test_an_inventorys_manifest_names_files(server, s3, bucket, lists):
    """Whose lines without a version id are about the null version: what came after it stays."""
    for i in range(3):
        s3.put_object(Bucket=bucket, Key='k %d' % i, Body=b'x')
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    newer = s3.put_object(Bucket=bucket, Key='k 1', Body=b'newer')['VersionId']
    files = []
    for i in range(2):
        text = '"%s","k%%20%d","","true"\n' % (bucket, i)
        data = gzip.compress(text.encode())
        s3.put_object(Bucket=lists, Key='inv/data/%d.csv.gz' % i, Body=data)
        files.append({'key': 'inv/data/%d.csv.gz' % i, 'size': len(data), 'MD5checksum': hashlib.md5(data).hexdigest()})
    manifest = {'sourceBucket': bucket, 'destinationBucket': 'arn:aws:s3:::' + lists, 'version': '2016-11-30', 'fileFormat': 'CSV',
                'fileSchema': 'Bucket, Key, VersionId, IsLatest', 'files': files}
    s3.put_object(Bucket=lists, Key='inv/manifest.json', Body=json.dumps(manifest).encode())
    job = batch(server, 'start', 'delete', '--manifest', lists + '/inv/manifest.json', '--wait')
    assert (job['total'], job['done']) == (2, 2)
    listed = s3.list_object_versions(Bucket=bucket)
    assert [(v['Key'], v['VersionId']) for v in listed['Versions']] == [('k 1', newer), ('k 2', 'null')]
    assert 'DeleteMarkers' not in listed
    s3.delete_object(Bucket=bucket, Key='k 1', VersionId=newer)
    s3.delete_object(Bucket=bucket, Key='k 2', VersionId='null')
    files[1]['MD5checksum'] = '0' * 32
    s3.put_object(Bucket=lists, Key='inv/manifest.json', Body=json.dumps(manifest).encode())
    job = batch(server, 'start', 'delete', '--manifest', lists + '/inv/manifest.json', '--wait', status=1)
    assert job['phase'] == 'failed' and 'data/1.csv.gz' in job['error']


def test_a_manifest_cannot_name_files_that_the_jobs_user_may_not_read(server, s3, bucket, lists):
    """Else who writes manifests would have anybody's lists read, and told in the report."""
    name = 'm' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name)
    s3.put_object(Bucket=bucket, Key='a', Body=b'x')
    data = line(bucket, 'a').encode()
    s3.put_object(Bucket=bucket, Key='private.csv', Body=data)
    manifest = {'sourceBucket': bucket, 'destinationBucket': 'arn:aws:s3:::' + bucket, 'version': '2016-11-30', 'fileFormat': 'CSV',
                'fileSchema': 'Bucket, Key', 'files': [{'key': 'private.csv', 'size': len(data), 'MD5checksum': hashlib.md5(data).hexdigest()}]}
    s3.put_object(Bucket=lists, Key='manifest.json', Body=json.dumps(manifest).encode())

    def allow(where, action, keys):
        s3.put_bucket_policy(Bucket=where, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [dict(
            Effect='Allow', Principal={'AWS': 'arn:aws:iam:::user/' + name}, Action=action, Resource='arn:aws:s3:::%s/%s' % (where, keys))]}))
    allow(lists, ['s3:GetObject', 's3:PutObject'], '*')
    allow(bucket, 's3:DeleteObject', '*')
    words = ['start', 'delete', '--manifest', lists + '/manifest.json', '--as', name, '--report', lists + '/r', '--wait']
    job = batch(server, *words, status=1)
    assert (job['phase'], job['done'], job['checked']) == ('failed', 0, 0) and 'private.csv: Access Denied' in job['error'], job
    allow(bucket, ['s3:DeleteObject', 's3:GetObject'], '*')
    assert batch(server, *words)['done'] == 1
    s3.delete_bucket_policy(Bucket=bucket)
    server.admin('user', 'rm', name)


def test_one_that_waits_or_runs_can_be_cancelled(server, s3, bucket, lists):
    s3.put_object(Bucket=bucket, Key='a', Body=b'x')
    text = ''.join(line(bucket, 'never-%d' % i) for i in range(5000)) + line(bucket, 'a')
    s3.put_object(Bucket=lists, Key='list.csv', Body=text.encode())
    first = batch(server, 'start', 'delete', '--manifest', lists + '/list.csv', '--rate', '20', '--report', lists + '/')['id']
    second = batch(server, 'start', 'delete', '--manifest', lists + '/list.csv')['id']
    state = batch(server, 'cancel', str(second))
    assert (state['phase'], state['done']) == ('cancelled', 0)
    while batch(server, 'status', str(first))['done'] == 0:
        time.sleep(0.02)
    state = batch(server, 'cancel', str(first))
    assert state['phase'] == 'cancelled' and 0 < state['done'] < 5001
    assert len(report_of(s3, state)) == state['done']
    assert names(s3, bucket) == ['a']
    assert 'over already' in batch(server, 'cancel', str(first), status=1)
    assert 'no such batch job' in batch(server, 'status', '17', status=1)


def test_what_is_not_understood_is_refused(server, bucket):
    for words in (['delete'], ['delete', '--manifest', 'nokey'], ['tag', '--manifest', bucket + '/k'], ['wipe', '--manifest', bucket + '/k'],
                  ['delete', '--manifest', bucket + '/absent'], ['delete', '--manifest', bucket + '/k', '--tags', 'a=b'],
                  ['tag', '--manifest', bucket + '/k', '--tags', 'novalue']):
        assert server.admin('batch', 'start', *words, check=False).returncode == 1, words
    for what in ({'acton': 'delete'}, {'bypass_governance': 'yes'}, {'tags': 'a=b'}, {'rate': -1}, {'user': 7}):
        body = dict({'action': 'delete', 'manifest_bucket': bucket, 'manifest_key': 'k'}, **what)
        assert request(server, 'POST', '/-/admin/v1/batch', body=json.dumps(body).encode()).status == 400, what


def test_after_a_crash_each_line_is_done_once():
    """Killed in the midst, again and again: one marker a line, the locked stays, the report has every line once."""
    server = Server()
    try:
        server.start()
        s3 = make_client(server)
        s3.create_bucket(Bucket='lists')
        s3.create_bucket(Bucket='data', ObjectLockEnabledForBucket=True)
        count = 700
        held = s3.put_object(Bucket='data', Key='held', Body=b'x', ObjectLockLegalHoldStatus='ON')['VersionId']
        text = ''.join(line('data', 'k%04d' % i, '') for i in range(count)) + line('data', 'held', held)
        s3.put_object(Bucket='lists', Key='list.csv', Body=text.encode())
        job = batch(server, 'start', 'delete', '--manifest', 'lists/list.csv', '--report', 'lists/r')['id']
        for i in range(3):
            seen = batch(server, 'status', str(job))
            while seen['phase'] not in OVER and seen['done'] < 200 * i:
                seen = batch(server, 'status', str(job))
            server.kill()
            server.start()
        state = until_over(server, job)
        assert (state['phase'], state['done'], state['failed']) == ('done', count, 1)
        s3 = make_client(server)
        pages = s3.get_paginator('list_object_versions').paginate(Bucket='data')
        markers = [m['Key'] for page in pages for m in page.get('DeleteMarkers', [])]
        assert sorted(markers) == ['k%04d' % i for i in range(count)]
        lines = report_of(s3, state)
        assert [l[1] for l in lines] == ['k%04d' % i for i in range(count)] + ['held']
        assert [l[3] for l in lines].count('succeeded') == count
        assert s3.head_object(Bucket='data', Key='held', VersionId=held)['ContentLength'] == 1
        assert server.admin('check', check=False).returncode == 0
        assert server.stop() == 0
    finally:
        server.remove()
