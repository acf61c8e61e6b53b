# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Lifecycle rules: the document, what answers tell of it, and what the job does, with days of a second."""
import base64
import datetime
import email.utils
import hashlib
import re
import subprocess
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client, serve
from raw import request
from server import CAIRN, Server

DEADLINE = 60
PAST = datetime.datetime(2020, 1, 1)


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def rule(name, prefix='', **actions):
    return {'ID': name, 'Status': 'Enabled', 'Filter': {'Prefix': prefix}, **actions}


def configure(s3, bucket, *rules):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={'Rules': list(rules)})


def refused(s3, bucket, *rules):
    with pytest.raises(ClientError) as e:
        configure(s3, bucket, *rules)
    return e.value.response['ResponseMetadata']['HTTPStatusCode'], e.value.response['Error']['Code']


def put(server, bucket, body, *headers):
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    return request(server, 'PUT', '/' + bucket, query='lifecycle=', body=body, headers=[('content-md5', md5), *headers])


# ---- the document ---------------------------------------------------------------------------------------

def test_a_configuration_is_kept_and_read_back(s3, bucket):
    with pytest.raises(ClientError) as e:
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert e.value.response['Error']['Code'] == 'NoSuchLifecycleConfiguration' and e.value.response['Error']['BucketName'] == bucket
    assert e.value.response['ResponseMetadata']['HTTPStatusCode'] == 404
    tags = [{'Key': 'a', 'Value': '1'}, {'Key': 'b', 'Value': '<&>'}]
    rules = [
        rule('one', 'logs/', Expiration={'Days': 30}, AbortIncompleteMultipartUpload={'DaysAfterInitiation': 7}),
        {'ID': 'two', 'Status': 'Disabled', 'Filter': {'And': {'Prefix': 'x', 'Tags': tags, 'ObjectSizeGreaterThan': 10}},
         'Expiration': {'Date': datetime.datetime(2031, 2, 3, tzinfo=datetime.timezone.utc)}},
        {'ID': 'three', 'Status': 'Enabled', 'Prefix': 'old', 'Expiration': {'ExpiredObjectDeleteMarker': True},
         'NoncurrentVersionExpiration': {'NoncurrentDays': 3, 'NewerNoncurrentVersions': 2}},
    ]
    configure(s3, bucket, *rules)
    got = s3.get_bucket_lifecycle_configuration(Bucket=bucket)['Rules']
    got[1]['Expiration']['Date'] = got[1]['Expiration']['Date'].astimezone(datetime.timezone.utc)
    assert got == rules
    configure(s3, bucket, {'Status': 'Enabled', 'Filter': {}, 'Expiration': {'Days': 1}})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)['Rules'][0]['ID']
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_what_is_no_configuration_is_refused(server, s3, bucket):
    days = {'Days': 1}
    tag = {'Tag': {'Key': 'k', 'Value': 'v'}}
    assert refused(s3, bucket, rule('a', Expiration={'Days': 0})) == (400, 'InvalidArgument')
    assert refused(s3, bucket, rule('a' * 256, Expiration=days)) == (400, 'InvalidArgument')
    assert refused(s3, bucket, rule('a', Expiration=days), rule('a', Expiration=days)) == (400, 'InvalidArgument')
    assert refused(s3, bucket, rule('a', Expiration={'Date': datetime.datetime(2030, 1, 1, 5)})) == (400, 'InvalidArgument')
    assert refused(s3, bucket, rule('a')) == (400, 'InvalidRequest')
    assert refused(s3, bucket, {'ID': 'a', 'Status': 'Enabled', 'Filter': tag,
                                'AbortIncompleteMultipartUpload': {'DaysAfterInitiation': 1}}) == (400, 'InvalidRequest')
    assert refused(s3, bucket, {**rule('a', Expiration=days), 'Status': 'enabled'}) == (400, 'MalformedXML')
    assert refused(s3, bucket, rule('a', Transitions=[{'Days': 1, 'StorageClass': 'GLACIER'}])) == (400, 'MalformedXML')
    assert put(server, bucket, b'<Life/>').code == 'MalformedXML'


def test_the_transition_header_is_kept(server, s3, bucket):
    rules = b'<Rule><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>'
    body = b'<LifecycleConfiguration>' + rules
    name = 'x-amz-transition-default-minimum-object-size'

    def kept():
        r = request(server, 'GET', '/' + bucket, query='lifecycle=')
        assert r.status == 200 and b'TransitionDefault' not in r.body
        return r.headers.get(name)
    for word in ('varies_by_storage_class', 'all_storage_classes_128K'):
        r = put(server, bucket, body, (name, word))
        assert r.status == 200 and r.headers[name] == word and kept() == word
    r = put(server, bucket, body, (name, 'any'))
    assert (r.status, r.code) == (400, 'InvalidRequest') and kept() == 'all_storage_classes_128K'
    inside = b'<LifecycleConfiguration><TransitionDefaultMinimumObjectSize>%s</TransitionDefaultMinimumObjectSize>' % word.encode() + rules
    assert put(server, bucket, inside).code == 'MalformedXML', 'it is a header'
    assert put(server, bucket, body).status == 200 and kept() is None


# ---- what answers tell ----------------------------------------------------------------------------------

def expiration(answer):
    """The rule and the days from now, rounded down."""
    text = answer['ResponseMetadata']['HTTPHeaders'].get('x-amz-expiration')
    if not text:
        return None
    date, name = re.fullmatch('expiry-date="(.+)", rule-id="(.+)"', text).groups()
    date = email.utils.parsedate_to_datetime(date)
    assert (date.hour, date.minute, date.second) == (0, 0, 0)
    return name, (date - datetime.datetime.now(datetime.timezone.utc)).days


def test_answers_tell_when_an_object_expires(s3, bucket):
    tagged = {'ID': 'tagged', 'Status': 'Enabled', 'Filter': {'Tag': {'Key': 'k', 'Value': 'v'}}, 'Expiration': {'Days': 2}}
    configure(s3, bucket, rule('ten days', 'a/', Expiration={'Days': 10}), tagged,
              rule('abort', 'a/', AbortIncompleteMultipartUpload={'DaysAfterInitiation': 4}))
    ten = ('ten%20days', 10)
    assert expiration(s3.put_object(Bucket=bucket, Key='a/1', Body=b'x')) == ten
    assert expiration(s3.put_object(Bucket=bucket, Key='b', Body=b'x')) is None
    assert expiration(s3.put_object(Bucket=bucket, Key='a/2', Body=b'x', Tagging='k=v')) == ('tagged', 2)
    assert expiration(s3.head_object(Bucket=bucket, Key='a/1')) == ten
    assert expiration(s3.get_object(Bucket=bucket, Key='a/2')) == ('tagged', 2)
    source = {'Bucket': bucket, 'Key': 'b'}
    assert expiration(s3.copy_object(Bucket=bucket, Key='a/3', CopySource=source)) == ten
    assert expiration(s3.copy_object(Bucket=bucket, Key='b', CopySource=source, MetadataDirective='REPLACE')) is None
    created = s3.create_multipart_upload(Bucket=bucket, Key='a/4')
    assert created['AbortRuleId'] == 'abort'
    left = created['AbortDate'] - datetime.datetime.now(datetime.timezone.utc)
    assert 4 <= left.total_seconds() / 86400 + 0.01 and left.days <= 5
    upload = created['UploadId']
    listed = s3.list_parts(Bucket=bucket, Key='a/4', UploadId=upload)
    assert (listed['AbortDate'], listed['AbortRuleId']) == (created['AbortDate'], 'abort')
    etag = s3.upload_part(Bucket=bucket, Key='a/4', UploadId=upload, PartNumber=1, Body=b'p')['ETag']
    done = s3.complete_multipart_upload(Bucket=bucket, Key='a/4', UploadId=upload,
                                        MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': etag}]})
    assert expiration(done) == ten


# ---- the job --------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def short():
    """A server whose days are seconds."""
    yield from serve(Server(options=['--lifecycle-day', '1']))


@pytest.fixture
def days(short):
    s3 = make_client(short)
    name = 'test-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name)
    return s3, name


def keys(s3, bucket):
    return [o['Key'] for o in s3.list_objects_v2(Bucket=bucket).get('Contents', [])]


def versions(s3, bucket, kind='Versions'):
    return [v['VersionId'] for v in s3.list_object_versions(Bucket=bucket).get(kind, [])]


def test_objects_expire_by_prefix_tag_size_and_date(days):
    s3, bucket = days
    for key in ['old/1', 'old/2', 'new/1', 'large/1']:
        s3.put_object(Bucket=bucket, Key=key, Body=b'x' * (5000 if key == 'large/1' else 10))
    s3.put_object(Bucket=bucket, Key='tag/1', Body=b'x', Tagging='k=v')
    s3.put_object(Bucket=bucket, Key='tag/2', Body=b'x', Tagging='k=w')
    configure(s3, bucket, rule('old', 'old/', Expiration={'Days': 1}), rule('new', 'new/', Expiration={'Days': 36500}),
              {'ID': 'tag', 'Status': 'Enabled', 'Filter': {'Tag': {'Key': 'k', 'Value': 'v'}}, 'Expiration': {'Date': PAST}},
              {'ID': 'size', 'Status': 'Enabled', 'Filter': {'ObjectSizeGreaterThan': 4000}, 'Expiration': {'Date': PAST}},
              {'ID': 'off', 'Status': 'Disabled', 'Filter': {}, 'Expiration': {'Date': PAST}})
    wait_for('expiry', lambda: keys(s3, bucket) == ['new/1', 'tag/2'])


def test_many_objects_expire(days):
    s3, bucket = days
    upload = s3.create_multipart_upload(Bucket=bucket, Key='up')['UploadId']
    s3.upload_part(Bucket=bucket, Key='up', UploadId=upload, PartNumber=1, Body=b'p' * 100000)
    kept = s3.create_multipart_upload(Bucket=bucket, Key='other')['UploadId']
    for i in range(600):
        s3.put_object(Bucket=bucket, Key='k%04d' % i, Body=b'')
    configure(s3, bucket, rule('all', 'k', Expiration={'Days': 1}),
              rule('up', 'up', AbortIncompleteMultipartUpload={'DaysAfterInitiation': 1}))
    wait_for('expiry', lambda: keys(s3, bucket) == [])
    wait_for('abort', lambda: [u['UploadId'] for u in s3.list_multipart_uploads(Bucket=bucket)['Uploads']] == [kept])


def test_versions_become_noncurrent_and_go(days):
    s3, bucket = days
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    made = [s3.put_object(Bucket=bucket, Key='k', Body=b'%d' % i)['VersionId'] for i in range(6)]
    configure(s3, bucket, rule('n', NoncurrentVersionExpiration={'NoncurrentDays': 1, 'NewerNoncurrentVersions': 2}))
    wait_for('noncurrent', lambda: versions(s3, bucket) == made[:2:-1])
    assert s3.get_object(Bucket=bucket, Key='k')['Body'].read() == b'5'


def test_a_current_version_gets_a_marker_and_the_marker_goes_last(days):
    s3, bucket = days
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    version = s3.put_object(Bucket=bucket, Key='k', Body=b'x')['VersionId']
    configure(s3, bucket, rule('e', Expiration={'Date': PAST}))
    wait_for('marker', lambda: len(versions(s3, bucket, 'DeleteMarkers')) == 1)
    assert versions(s3, bucket) == [version] and keys(s3, bucket) == []
    configure(s3, bucket, rule('n', NoncurrentVersionExpiration={'NoncurrentDays': 1},
                               Expiration={'ExpiredObjectDeleteMarker': True}))
    wait_for('nothing left', lambda: versions(s3, bucket) + versions(s3, bucket, 'DeleteMarkers') == [])


def test_locked_versions_stay(short, days):
    s3, bucket = days
    locked = bucket + '-lock'
    s3.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    old = s3.put_object(Bucket=locked, Key='k', Body=b'1', ObjectLockLegalHoldStatus='ON')['VersionId']
    free = s3.put_object(Bucket=locked, Key='k', Body=b'2')['VersionId']
    new = s3.put_object(Bucket=locked, Key='k', Body=b'3')['VersionId']
    configure(s3, locked, rule('n', NoncurrentVersionExpiration={'NoncurrentDays': 1}))
    wait_for('free one', lambda: free not in versions(s3, locked))
    assert versions(s3, locked) == [new, old]
    s3.put_object_legal_hold(Bucket=locked, Key='k', VersionId=old, LegalHold={'Status': 'OFF'})
    wait_for('released one', lambda: versions(s3, locked) == [new])


def test_events_are_told(short, days):
    s3, bucket = days
    follow = subprocess.Popen([CAIRN, 'admin', 'events', '--follow', '--json', '--endpoint', short.url], env=short.env,
                              stdout=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(follow.stdout.readline, '')), daemon=True)
    reader.start()
    configure(s3, bucket, rule('e', Expiration={'Date': PAST}))

    def told():
        s3.put_object(Bucket=bucket, Key='gone', Body=b'x')  # again: the follower may have come late
        return any('LifecycleExpiration:Delete' in x and bucket in x for x in lines)
    wait_for('an event', told)
    follow.kill()
    follow.wait()
