# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Retention by class of data: `cairn admin retention`, the locks it makes, and what it removes, with days of a second."""
import datetime
import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from server import Server

DEADLINE = 60


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def days_locked(s3, bucket, key):
    """The mode and the days from now, rounded."""
    head = s3.head_object(Bucket=bucket, Key=key)
    until = head.get('ObjectLockRetainUntilDate')
    return head.get('ObjectLockMode'), until and round((until - now()).total_seconds() / 86400)


def test_a_class_is_locked_at_least_so_long(server, s3):
    bucket = 'class-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    server.admin('retention', 'set', bucket, 'restricted', '--min-days', '30', '--max-days', '60')
    server.admin('retention', 'set', bucket, 'internal', '--min-days', '5')
    tag = 'data-class=restricted'
    s3.put_object(Bucket=bucket, Key='put', Body=b'x', Tagging=tag)
    s3.put_object(Bucket=bucket, Key='none', Body=b'x', Tagging='data-class=public')
    s3.put_object(Bucket=bucket, Key='longer', Body=b'x', Tagging=tag, ObjectLockMode='GOVERNANCE',
                  ObjectLockRetainUntilDate=now() + datetime.timedelta(days=50))
    s3.put_object(Bucket=bucket, Key='shorter', Body=b'x', Tagging=tag, ObjectLockMode='GOVERNANCE',
                  ObjectLockRetainUntilDate=now() + datetime.timedelta(days=2))
    s3.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': 'put'})
    upload = s3.create_multipart_upload(Bucket=bucket, Key='parts', Tagging=tag)['UploadId']
    part = s3.upload_part(Bucket=bucket, Key='parts', UploadId=upload, PartNumber=1, Body=b'p')
    s3.complete_multipart_upload(Bucket=bucket, Key='parts', UploadId=upload,
                                 MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
    assert days_locked(s3, bucket, 'none') == (None, None)
    assert days_locked(s3, bucket, 'longer') == ('GOVERNANCE', 50)
    for key in ('put', 'shorter', 'copy', 'parts'):
        assert days_locked(s3, bucket, key) == ('GOVERNANCE', 30), key
    classes = [{'Key': 'data-class', 'Value': 'internal'}]
    s3.put_object_tagging(Bucket=bucket, Key='none', Tagging={'TagSet': classes})
    assert days_locked(s3, bucket, 'none') == ('GOVERNANCE', 5)
    s3.put_object_tagging(Bucket=bucket, Key='put', Tagging={'TagSet': classes})
    assert days_locked(s3, bucket, 'put') == ('GOVERNANCE', 30)
    for v in s3.list_object_versions(Bucket=bucket)['Versions']:
        with pytest.raises(ClientError) as e:
            s3.delete_object(Bucket=bucket, Key=v['Key'], VersionId=v['VersionId'])
        assert e.value.response['Error']['Code'] == 'AccessDenied'
        s3.delete_object(Bucket=bucket, Key=v['Key'], VersionId=v['VersionId'], BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=bucket)


def test_rules_are_kept_listed_and_taken_away(server, bucket):
    assert server.admin('retention', 'set', bucket, 'restricted', '--min-days', '3', check=False).returncode != 0
    for words in (['secret', '--max-days', '1'], ['public'], ['public', '--max-days', '40000']):
        assert server.admin('retention', 'set', bucket, *words, check=False).returncode != 0, words
    server.admin('retention', 'set', bucket, 'public', '--max-days', '7')
    listed = json.loads(server.admin('retention', 'list', '--json').stdout)['buckets']
    rule = {'class': 'public', 'min_days': 0, 'mode': None, 'max_days': 7}
    assert {'bucket': bucket, 'rules': [rule]} in listed
    assert 'removed after 7 days' in server.admin('retention', 'list').stdout
    server.admin('retention', 'rm', bucket, 'public')
    assert bucket not in server.admin('retention', 'list').stdout


def versions(s3, bucket):
    listed = s3.list_object_versions(Bucket=bucket)
    return [v['Key'] for v in listed.get('Versions', [])], [m['Key'] for m in listed.get('DeleteMarkers', [])]


def test_a_class_goes_after_so_long_unless_it_is_locked():
    server = Server(options=['--lifecycle-day', '1'])
    try:
        server.start()
        s3 = make_client(server)
        s3.create_bucket(Bucket='plain')
        s3.create_bucket(Bucket='locked', ObjectLockEnabledForBucket=True)
        for bucket in ('plain', 'locked'):
            server.admin('retention', 'set', bucket, 'confidential', '--max-days', '1')
            s3.put_object(Bucket=bucket, Key='gone', Body=b'x', Tagging='data-class=confidential')
            s3.put_object(Bucket=bucket, Key='other', Body=b'x', Tagging='data-class=public')
            s3.put_object(Bucket=bucket, Key='none', Body=b'x')
        s3.put_object(Bucket='locked', Key='over', Body=b'x', Tagging='data-class=public')
        s3.put_object(Bucket='locked', Key='over', Body=b'x', Tagging='data-class=confidential')
        s3.put_object(Bucket='locked', Key='held', Body=b'x', Tagging='data-class=confidential', ObjectLockLegalHoldStatus='ON')
        end = time.monotonic() + DEADLINE
        while versions(s3, 'plain')[0] != ['none', 'other'] or versions(s3, 'locked') != (['held', 'none', 'other', 'over'], ['over']):
            assert time.monotonic() < end, (versions(s3, 'plain'), versions(s3, 'locked'))
            time.sleep(0.05)
        lines = server.admin('audit', '--operation', 'retention:DeleteVersion', '--json').stdout.splitlines()
        records = [json.loads(line) for line in lines]
        assert sorted((r['bucket'], r['key']) for r in records if r['outcome'] == 'done') == [
            ('locked', 'gone'), ('locked', 'over'), ('plain', 'gone')]
        assert server.stop() == 0
    finally:
        server.remove()
