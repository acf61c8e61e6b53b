# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Quotas of buckets, as `cairn admin quota` sets them and clients meet them."""
import http.client
import json
import ssl
import time
import urllib.parse
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client


def refused(call, **kwargs):
    with pytest.raises(ClientError) as e:
        call(**kwargs)
    return (e.value.response['ResponseMetadata']['HTTPStatusCode'], e.value.response['Error']['Code']) == (403, 'QuotaExceeded')


def test_uploads_that_are_never_completed_pass_no_quota(server, s3, bucket):
    server.admin('quota', 'set', bucket, '--bytes', '2500')
    uploads = [s3.create_multipart_upload(Bucket=bucket, Key='k%d' % i)['UploadId'] for i in range(3)]
    for i in range(2):
        s3.upload_part(Bucket=bucket, Key='k%d' % i, UploadId=uploads[i], PartNumber=1, Body=b'p' * 1000)
    assert refused(s3.upload_part, Bucket=bucket, Key='k2', UploadId=uploads[2], PartNumber=1, Body=b'p' * 1000)
    assert refused(s3.put_object, Bucket=bucket, Key='o', Body=b'x' * 501)
    s3.upload_part(Bucket=bucket, Key='k1', UploadId=uploads[1], PartNumber=1, Body=b'p' * 1500)  # in place of the one before
    assert refused(s3.upload_part, Bucket=bucket, Key='k1', UploadId=uploads[1], PartNumber=2, Body=b'p')
    s3.abort_multipart_upload(Bucket=bucket, Key='k0', UploadId=uploads[0])
    s3.put_object(Bucket=bucket, Key='o', Body=b'x' * 1000)
    for i in (1, 2):
        s3.abort_multipart_upload(Bucket=bucket, Key='k%d' % i, UploadId=uploads[i])
    assert json.loads(server.admin('quota', 'show', bucket, '--json').stdout)['used_bytes'] == 1000


def test_a_quota_holds_every_way_to_write(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='small', Body=b'x' * 1000)
    upload = s3.create_multipart_upload(Bucket=bucket, Key='parts')['UploadId']
    etag = s3.upload_part(Bucket=bucket, Key='parts', UploadId=upload, PartNumber=1, Body=b'p' * 2000)['ETag']
    parts = {'Parts': [{'PartNumber': 1, 'ETag': etag}]}
    server.admin('quota', 'set', bucket, '--bytes', '2500', '--objects', '5')
    assert refused(s3.put_object, Bucket=bucket, Key='large', Body=b'x' * 2000)
    assert refused(s3.upload_part, Bucket=bucket, Key='parts', UploadId=upload, PartNumber=2, Body=b'p')
    server.admin('quota', 'set', bucket, '--bytes', '4KiB')
    s3.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': 'small'})
    assert refused(s3.copy_object, Bucket=bucket, Key='copy-2', CopySource={'Bucket': bucket, 'Key': 'small'})
    assert refused(s3.upload_part_copy, Bucket=bucket, Key='parts', UploadId=upload, PartNumber=2, CopySource={'Bucket': bucket, 'Key': 'small'})
    s3.put_object(Bucket=bucket, Key='copy', Body=b'shorter')
    told = json.loads(server.admin('quota', 'show', bucket, '--json').stdout)
    assert told == {'bucket': bucket, 'bytes': 4096, 'objects': 5, 'used_bytes': 3007, 'used_objects': 2}
    s3.complete_multipart_upload(Bucket=bucket, Key='parts', UploadId=upload, MultipartUpload=parts)
    told = json.loads(server.admin('quota', 'show', bucket, '--json').stdout)
    assert told == {'bucket': bucket, 'bytes': 4096, 'objects': 5, 'used_bytes': 3007, 'used_objects': 3}
    for i in range(2):
        s3.put_object(Bucket=bucket, Key='n%d' % i, Body=b'')
    assert refused(s3.put_object, Bucket=bucket, Key='one-more', Body=b'')
    server.admin('quota', 'set', bucket, '--objects', '0', '--bytes', '0')
    s3.put_object(Bucket=bucket, Key='one-more', Body=b'x' * 5000)
    assert 'no limit' in server.admin('quota', 'show', bucket).stdout


def test_a_quota_of_no_bucket_or_no_number_is_refused(server, bucket):
    assert server.admin('quota', 'set', 'no-such-bucket-here', '--bytes', '1', check=False).returncode != 0
    assert server.admin('quota', 'set', bucket, '--bytes', 'many', check=False).returncode != 0
    assert server.admin('quota', 'set', bucket, check=False).returncode != 0


def test_a_user_that_asks_too_often_is_told_to_slow_down(server):
    name = 'u' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name)
    try:
        client = make_client(server, name, 'secret/' + name)
        for _ in range(20):
            client.list_buckets()
        server.admin('user', 'limit', name, '--requests-per-second', '1')
        with pytest.raises(ClientError) as e:
            for _ in range(1000):
                client.list_buckets()
        response = e.value.response
        assert (response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code']) == (503, 'SlowDown')
        assert response['ResponseMetadata']['HTTPHeaders']['retry-after'] == '1'
        server.admin('user', 'limit', name)
        for _ in range(20):
            client.list_buckets()
    finally:
        server.admin('user', 'rm', name)


def begin_put(server, url, length):
    """A PUT of which one byte was sent."""
    parts = urllib.parse.urlsplit(url)
    if server.tls:
        c = http.client.HTTPSConnection(parts.netloc, context=ssl.create_default_context(cafile=server.ca), timeout=60)
    else:
        c = http.client.HTTPConnection(parts.netloc, timeout=60)
    c.putrequest('PUT', parts.path + '?' + parts.query)
    c.putheader('Content-Length', str(length))
    c.endheaders(b'x')
    return c


def test_an_account_holds_its_limit_over_all_its_buckets(server):
    name = 'a' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name)
    server.admin('user', 'add', name + '-m', '--access-key', name + '-m', '--secret-key', 'secret/' + name, '--account', 'root')
    client = make_client(server, name, 'secret/' + name)
    one, two = name + '-1', name + '-2'
    try:
        for bucket in (one, two):
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=one, Key='k', Body=b'x' * 2000)
        assert '2.9 KiB, 3 objects' in server.admin('user', 'limit', name, '--bytes', '3000', '--objects', '3').stdout
        assert refused(client.put_object, Bucket=two, Key='k', Body=b'x' * 1500)  # what the other bucket holds counts
        client.put_object(Bucket=two, Key='k', Body=b'x' * 500)
        assert refused(client.put_object, Bucket=two, Key='l', Body=b'x' * 501)   # to the byte, at once
        client.put_object(Bucket=two, Key='l', Body=b'')
        assert refused(client.put_object, Bucket=two, Key='m', Body=b'')
        make_client(server).put_object(Bucket=two, Key='l', Body=b'by root')      # whoever writes
        assert refused(make_client(server).put_object, Bucket=two, Key='m', Body=b'')
        server.admin('user', 'limit', name, '--objects', '0')
        client.put_object(Bucket=two, Key='m', Body=b'')
        client.delete_object(Bucket=one, Key='k')
        time.sleep(1.5)  # as long as a sum may be believed
        slow = begin_put(server, client.generate_presigned_url('put_object', Params={'Bucket': one, 'Key': 's'}), 1500)
        client.put_object(Bucket=two, Key='m', Body=b'x' * 2000)
        time.sleep(1.5)
        slow.send(b'x' * 1499)
        assert slow.getresponse().status == 403  # it was begun when there was room, and would be too much now
        told = [u for u in json.loads(server.admin('user', 'list', '--json').stdout)['users'] if u['name'] == name][0]
        assert (told['bytes'], told['objects'], told['requests_per_second']) == (3000, 0, 0)
        server.admin('user', 'limit', name)
        client.put_object(Bucket=two, Key='n', Body=b'x' * 5000)
        member = server.admin('user', 'limit', name + '-m', '--bytes', '1', check=False)
        assert member.returncode == 1 and 'member of an account' in member.stderr
        assert server.admin('user', 'limit', name, '--bytes', 'many', check=False).returncode == 1
    finally:
        for bucket in (one, two):
            for o in client.list_objects_v2(Bucket=bucket).get('Contents', []):
                client.delete_object(Bucket=bucket, Key=o['Key'])
            client.delete_bucket(Bucket=bucket)
        server.admin('user', 'rm', name + '-m')
        server.admin('user', 'rm', name)
