# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Transitions between storage classes, archived classes and RestoreObject, with days of a second."""
import datetime
import json
import re
import subprocess
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

import raw
from conftest import make_client, serve
from server import CAIRN, Server

DEADLINE = 60
PAST = datetime.datetime(2020, 1, 1)
FAR = 36500
BODY = bytes(range(256)) * 4096


@pytest.fixture(scope='module')
def tiered():
    classes = ['COLD=3+1', 'FROZEN=2+1', 'GLACIER=3+1,archive', 'DEEP_ARCHIVE=2+1,archive']
    options = ['--lifecycle-day', '1'] + [word for c in classes for word in ('--storage-class', c)]
    yield from serve(Server(disks=4, options=options))


@pytest.fixture
def made(tiered):
    s3 = make_client(tiered)
    name = 'tier-' + uuid.uuid4().hex[:16]
    s3.create_bucket(Bucket=name)
    return s3, name


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def code(call, **args):
    with pytest.raises(ClientError) as e:
        call(**args)
    return e.value.response['ResponseMetadata']['HTTPStatusCode'], e.value.response['Error']['Code']


def configure(s3, bucket, **actions):
    rule = {'ID': 'r', 'Status': 'Enabled', 'Filter': {'Prefix': ''}, **actions}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={'Rules': [rule]})


def move(name, **when):
    return {'Transitions': [{'StorageClass': name, **(when or {'Date': PAST})}]}


def class_of(s3, bucket, key, **which):
    return s3.head_object(Bucket=bucket, Key=key, **which).get('StorageClass', 'STANDARD')


def codes(server, bucket, key):
    chunks = json.loads(server.admin('heal', '--dry-run', '--json', '%s/%s' % (bucket, key)).stdout)['before']
    return {(c['k'], c['m']) for c in chunks}


# ---- the document ---------------------------------------------------------------------------------------

def test_transitions_are_kept_and_read_back(made):
    s3, bucket = made
    rules = [{'ID': 'a', 'Status': 'Enabled', 'Filter': {'Prefix': 'x'}, 'Expiration': {'Days': 100},
              'Transitions': [{'Days': 30, 'StorageClass': 'STANDARD_IA'}, {'Days': 60, 'StorageClass': 'GLACIER'}],
              'NoncurrentVersionTransitions': [{'NoncurrentDays': 2, 'StorageClass': 'COLD', 'NewerNoncurrentVersions': 3}],
              'NoncurrentVersionExpiration': {'NoncurrentDays': 4}},
             {'ID': 'b', 'Status': 'Disabled', 'Filter': {'Prefix': ''}, 'Transitions': [{'Days': 0, 'StorageClass': 'GLACIER'}]}]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={'Rules': rules})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)['Rules'] == rules


def test_transitions_that_make_no_sense_are_refused(made):
    s3, bucket = made

    def refused(**actions):
        return code(lambda: configure(s3, bucket, **actions))
    ia, glacier = {'Days': 30, 'StorageClass': 'STANDARD_IA'}, {'Days': 60, 'StorageClass': 'GLACIER'}
    assert refused(**move('NOSUCH', Days=1)) == (400, 'MalformedXML')
    assert refused(**move('STANDARD', Days=1)) == (400, 'MalformedXML')
    assert refused(**move('STANDARD_IA', Days=29)) == (400, 'InvalidArgument')
    assert refused(Transitions=[ia, {**glacier, 'Days': 59}]) == (400, 'InvalidArgument')
    assert refused(Transitions=[glacier, {'Days': 50, 'StorageClass': 'DEEP_ARCHIVE'}]) == (400, 'InvalidArgument')
    assert refused(Transitions=[glacier, glacier]) == (400, 'InvalidRequest')
    assert refused(Transitions=[glacier], Expiration={'Days': 60}) == (400, 'InvalidArgument')
    assert refused(Transitions=[glacier], Expiration={'Date': PAST}) == (400, 'InvalidRequest')


# ---- the job --------------------------------------------------------------------------------------------

def test_objects_move_and_stay_what_they_were(tiered, made):
    s3, bucket = made
    for key, body in (('large', BODY), ('small', b'x')):
        s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={'a': 'b'}, Tagging='k=v', ChecksumAlgorithm='SHA256')
    upload = s3.create_multipart_upload(Bucket=bucket, Key='parts')['UploadId']
    parts = [s3.upload_part(Bucket=bucket, Key='parts', UploadId=upload, PartNumber=n, Body=b)['ETag']
             for n, b in ((1, b'1' * (5 << 20)), (2, b'2' * 1000))]
    s3.complete_multipart_upload(Bucket=bucket, Key='parts', UploadId=upload, MultipartUpload={
        'Parts': [{'PartNumber': i + 1, 'ETag': e} for i, e in enumerate(parts)]})

    def told(key):
        a = s3.get_object(Bucket=bucket, Key=key, ChecksumMode='ENABLED')
        body = a.pop('Body').read()
        fields = ('ETag', 'LastModified', 'Metadata', 'TagCount', 'ChecksumSHA256', 'ContentLength')
        return body, {k: a.get(k) for k in fields}
    keys = ('large', 'small', 'parts')
    before = {key: told(key) for key in keys}
    assert (3, 1) not in codes(tiered, bucket, 'large')
    configure(s3, bucket, **move('COLD'))
    wait_for('the move', lambda: all(class_of(s3, bucket, key) == 'COLD' for key in keys))
    assert {key: told(key) for key in keys} == before
    assert s3.get_object(Bucket=bucket, Key='parts', PartNumber=2)['Body'].read() == b'2' * 1000
    assert codes(tiered, bucket, 'large') == {(3, 1)}
    listed = s3.list_objects_v2(Bucket=bucket)['Contents']
    assert {o['StorageClass'] for o in listed} == {'COLD'}
    records = [json.loads(x) for x in tiered.admin('audit', '--json', '--bucket', bucket, '--operation',
                                                   'S3.TRANSITION.OBJECT').stdout.splitlines()]
    assert {r['key'] for r in records} == set(keys) and {r['after'] for r in records} == {'COLD'}


def test_versions_move_and_newer_ones_stay(made):
    s3, bucket = made
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    ids = [s3.put_object(Bucket=bucket, Key='k', Body=BODY[i:])['VersionId'] for i in range(4)]
    configure(s3, bucket, NoncurrentVersionTransitions=[
        {'NoncurrentDays': 1, 'StorageClass': 'FROZEN', 'NewerNoncurrentVersions': 1}])
    wait_for('the move', lambda: [class_of(s3, bucket, 'k', VersionId=i) for i in ids] == [
        'FROZEN', 'FROZEN', 'STANDARD', 'STANDARD'])
    for i, version in enumerate(ids):
        assert s3.get_object(Bucket=bucket, Key='k', VersionId=version)['Body'].read() == BODY[i:]


# ---- archives -------------------------------------------------------------------------------------------

def test_an_archived_object_is_read_once_it_is_restored(tiered, made):
    s3, bucket = made
    s3.put_object(Bucket=bucket, Key='k', Body=BODY, StorageClass='GLACIER')
    s3.put_object(Bucket=bucket, Key='plain', Body=BODY)
    source = {'Bucket': bucket, 'Key': 'k'}
    here = {'Bucket': bucket, 'Key': 'k'}
    assert code(s3.get_object, **here) == (403, 'InvalidObjectState')
    assert code(s3.copy_object, Bucket=bucket, Key='copy', CopySource=source) == (403, 'ObjectNotInActiveTierError')
    assert code(s3.restore_object, Bucket=bucket, Key='plain', RestoreRequest={'Days': 1}) == (403, 'InvalidObjectState')
    assert code(s3.restore_object, Bucket=bucket, Key='none', RestoreRequest={'Days': 1}) == (404, 'NoSuchKey')
    assert code(s3.restore_object, **here, RestoreRequest={'Days': 0}) == (400, 'InvalidArgument')
    assert 'Restore' not in s3.head_object(**here)
    wanted = {'Days': FAR, 'GlacierJobParameters': {'Tier': 'Expedited'}}
    tiered.admin('job', 'pause', 'restore')
    assert s3.restore_object(**here, RestoreRequest=wanted)['ResponseMetadata']['HTTPStatusCode'] == 202
    assert s3.head_object(**here)['Restore'] == 'ongoing-request="true"'
    assert code(s3.restore_object, **here, RestoreRequest=wanted) == (409, 'RestoreAlreadyInProgress')
    assert code(s3.get_object, **here) == (403, 'InvalidObjectState')
    tiered.admin('job', 'resume', 'restore')
    wait_for('the restore', lambda: 'ongoing-request="false", expiry-date="' in s3.head_object(**here)['Restore'])
    assert s3.get_object(**here, Range='bytes=5-9')['Body'].read() == BODY[5:10]
    assert s3.get_object(**here)['StorageClass'] == 'GLACIER'
    assert s3.restore_object(**here, RestoreRequest=wanted)['ResponseMetadata']['HTTPStatusCode'] == 200
    s3.copy_object(Bucket=bucket, Key='copy', CopySource=source)
    assert s3.get_object(Bucket=bucket, Key='copy')['Body'].read() == BODY
    s3.copy_object(**here, CopySource=source, StorageClass='STANDARD')
    assert class_of(s3, bucket, 'k') == 'STANDARD' and s3.get_object(**here)['Body'].read() == BODY


def test_listings_tell_of_restores_when_asked(tiered, made):
    s3, bucket = made
    for key, kind in (('asked', 'GLACIER'), ('archived', 'GLACIER'), ('plain', 'STANDARD')):
        s3.put_object(Bucket=bucket, Key=key, Body=b'x', StorageClass=kind)

    def told(query, attributes='RestoreStatus'):
        headers = [('x-amz-optional-object-attributes', attributes)] if attributes else []
        a = raw.request(tiered, 'GET', '/' + bucket, query, headers)
        objects = re.findall('<Key>([^<]*)</Key>(.*?)</(?:Contents|Version)>', a.body.decode())
        return {k: re.sub('.*<RestoreStatus>(.*)</RestoreStatus>.*|.*', r'\1', x) for k, x in objects} or a.code
    ways = ('', 'list-type=2', 'versions=')
    tiered.admin('job', 'pause', 'restore')
    s3.restore_object(Bucket=bucket, Key='asked', RestoreRequest={'Days': FAR})
    under_way = {'asked': '<IsRestoreInProgress>true</IsRestoreInProgress>', 'archived': '', 'plain': ''}
    assert [told(w) for w in ways] == [under_way] * 3
    assert [told(w, None) for w in ways] == [dict.fromkeys(under_way, '')] * 3
    assert told('', 'RestoreStatus,Owner') == 'InvalidArgument'
    tiered.admin('job', 'resume', 'restore')
    wait_for('the restore', lambda: 'expiry-date="' in s3.head_object(Bucket=bucket, Key='asked')['Restore'])
    for w in ways:
        assert re.fullmatch(r'<IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>20\d\d-.*Z</RestoreExpiryDate>',
                            told(w)['asked'])


def test_a_restore_ends_and_is_told(tiered, made):
    s3, bucket = made
    follow = subprocess.Popen([CAIRN, 'admin', 'events', '--follow', '--json', '--endpoint', tiered.url], env=tiered.env,
                              stdout=subprocess.PIPE, text=True)
    lines = []
    threading.Thread(target=lambda: lines.extend(iter(follow.stdout.readline, '')), daemon=True).start()

    def told(name, key):
        return any('ObjectRestore:' + name in x and bucket in x and key in x for x in lines)

    def ended():
        key = 'k' + uuid.uuid4().hex  # another: the follower may have come late
        s3.put_object(Bucket=bucket, Key=key, Body=b'x', StorageClass='GLACIER')
        s3.restore_object(Bucket=bucket, Key=key, RestoreRequest={'Days': 1, 'Tier': 'Bulk'})
        wait_for('the end', lambda: 'Restore' not in s3.head_object(Bucket=bucket, Key=key))
        assert code(s3.get_object, Bucket=bucket, Key=key) == (403, 'InvalidObjectState')
        return told('Post', key) and told('Completed', key) and told('Delete', key)
    wait_for('events', ended)
    follow.kill()
    follow.wait()


def test_what_is_archived_moves_to_a_colder_archive_only(made):
    s3, bucket = made
    s3.put_object(Bucket=bucket, Key='k', Body=BODY, StorageClass='GLACIER')
    s3.put_object(Bucket=bucket, Key='probe', Body=BODY)
    configure(s3, bucket, **move('COLD'))
    wait_for('the probe', lambda: class_of(s3, bucket, 'probe') == 'COLD')
    assert class_of(s3, bucket, 'k') == 'GLACIER'
    configure(s3, bucket, **move('DEEP_ARCHIVE'))
    wait_for('the move', lambda: class_of(s3, bucket, 'k') == 'DEEP_ARCHIVE')
    assert code(s3.get_object, Bucket=bucket, Key='k') == (403, 'InvalidObjectState')
