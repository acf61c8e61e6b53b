# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""RenameObject, which Debian's boto3 does not know: requests by hand."""
import base64
import hashlib
import json
import os
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import Signer, quote, request


def rename(server, bucket, source, target, headers=(), signer=None):
    return request(server, 'PUT', '/%s/%s' % (bucket, quote(target, safe='/-_.~')), 'renameObject=',
                   [('x-amz-rename-source', quote(source, safe='/-_.~'))] + list(headers), signer=signer)


def keys(s3, bucket):
    return [o['Key'] for o in s3.list_objects_v2(Bucket=bucket).get('Contents', [])]


def body(s3, bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)['Body'].read()


@pytest.mark.parametrize('size', [0, 100, 5000, 3000000])
def test_everything_but_the_name_stays(server, s3, bucket, size):
    data = os.urandom(size)
    s3.put_object(Bucket=bucket, Key='old name', Body=data, Metadata={'m': '1'}, Tagging='t=1', ContentType='a/b')
    before = s3.head_object(Bucket=bucket, Key='old name')
    s3.put_object(Bucket=bucket, Key='new/n\u00e4me', Body=b'in its place')
    reply = rename(server, bucket, 'old name', 'new/n\u00e4me')
    assert reply.status == 200, reply
    after = s3.head_object(Bucket=bucket, Key='new/n\u00e4me')
    for name in ('ETag', 'LastModified', 'ContentLength', 'ContentType', 'Metadata'):
        assert after[name] == before[name]
    assert body(s3, bucket, 'new/n\u00e4me') == data
    assert s3.get_object_tagging(Bucket=bucket, Key='new/n\u00e4me')['TagSet'] == [{'Key': 't', 'Value': '1'}]
    assert keys(s3, bucket) == ['new/n\u00e4me']
    assert rename(server, bucket, 'old name', 'x').code == 'NoSuchKey'
    assert rename(server, bucket, '/%s/new/n\u00e4me' % bucket, 'back').status == 200
    assert keys(s3, bucket) == ['back']


def test_conditions_of_both_names(server, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key='a', Body=b'a')['ETag']
    s3.put_object(Bucket=bucket, Key='b', Body=b'b')
    wrong = '"%s"' % ('0' * 32)
    past, future = 'Sat, 01 Jan 2000 00:00:00 GMT', 'Fri, 01 Jan 2100 00:00:00 GMT'
    for headers in ([('If-None-Match', '*')], [('If-Match', wrong)], [('If-Unmodified-Since', past)],
                    [('x-amz-rename-source-if-match', wrong)], [('x-amz-rename-source-if-none-match', etag)],
                    [('x-amz-rename-source-if-unmodified-since', past)]):
        reply = rename(server, bucket, 'a', 'b', headers)
        assert (reply.status, reply.code) == (412, 'PreconditionFailed'), headers
    assert rename(server, bucket, 'a', 'c', [('If-Match', etag)]).code == 'NoSuchKey'
    assert keys(s3, bucket) == ['a', 'b']
    assert rename(server, bucket, 'a', 'c', [('If-None-Match', '*'), ('x-amz-rename-source-if-match', etag),
                                             ('x-amz-rename-source-if-modified-since', past),
                                             ('x-amz-client-token', 'once')]).status == 200
    assert keys(s3, bucket) == ['b', 'c']


def test_what_is_refused(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='a', Body=b'a')
    assert rename(server, bucket, 'a', 'a').code == 'InvalidRequest'
    assert rename(server, bucket, '', 'b').code == 'InvalidArgument'
    assert rename(server, bucket, 'x' * 1025, 'b').code == 'InvalidArgument'
    for method, query in (('PUT', ''), ('PUT', 'tagging=')):
        assert request(server, method, '/%s/b' % bucket, query, [('x-amz-rename-source', 'a')]).code == 'NotImplemented'
    for status in ('Enabled', 'Suspended'):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': status})
        reply = rename(server, bucket, 'a', 'b')
        assert (reply.status, reply.code) == (409, 'InvalidBucketState')
    assert keys(s3, bucket) == ['a']
    s3.delete_object(Bucket=bucket, Key='a', VersionId='null')


@pytest.mark.parametrize('kind', ['AES256', 'aws:kms'])
@pytest.mark.parametrize('size', [10, 5000, 300000])
def test_sealed_objects_open_under_the_new_name(server, s3, bucket, kind, size):
    data = os.urandom(size)
    s3.put_object(Bucket=bucket, Key='a', Body=data, ServerSideEncryption=kind)
    before = s3.head_object(Bucket=bucket, Key='a')
    assert rename(server, bucket, 'a', 'b').status == 200
    after = s3.get_object(Bucket=bucket, Key='b')
    assert after['Body'].read() == data
    assert (after['ETag'], after['ServerSideEncryption']) == (before['ETag'], kind)


def test_a_customers_key_has_to_come_along(server, s3, bucket):
    if not server.tls:
        pytest.skip('keys of customers need TLS')
    key, other = os.urandom(32), os.urandom(32)
    customer = {'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': key}

    def headers(k):
        return [('x-amz-server-side-encryption-customer-algorithm', 'AES256'),
                ('x-amz-server-side-encryption-customer-key', base64.b64encode(k).decode()),
                ('x-amz-server-side-encryption-customer-key-MD5', base64.b64encode(hashlib.md5(k).digest()).decode())]
    data = os.urandom(100000)
    s3.put_object(Bucket=bucket, Key='a', Body=data, **customer)
    assert rename(server, bucket, 'a', 'b').code == 'InvalidRequest'
    assert rename(server, bucket, 'a', 'b', headers(other)).code == 'InvalidRequest'
    assert keys(s3, bucket) == ['a']
    assert rename(server, bucket, 'a', 'b', headers(key)).status == 200
    assert body(s3, bucket, 'b', **customer) == data
    with pytest.raises(ClientError):
        body(s3, bucket, 'b')


def test_a_multipart_object_stays_one(server, s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key='a')['UploadId']
    pieces = [os.urandom(5 << 20), b'end']
    parts = [{'PartNumber': i + 1, 'ETag': s3.upload_part(Bucket=bucket, Key='a', UploadId=upload, PartNumber=i + 1, Body=p)['ETag']}
             for i, p in enumerate(pieces)]
    etag = s3.complete_multipart_upload(Bucket=bucket, Key='a', UploadId=upload, MultipartUpload={'Parts': parts})['ETag']
    assert rename(server, bucket, 'a', 'b').status == 200
    assert s3.head_object(Bucket=bucket, Key='b')['ETag'] == etag
    assert body(s3, bucket, 'b', PartNumber=2) == b'end'
    assert body(s3, bucket, 'b') == b''.join(pieces)


def test_it_takes_three_rights_and_two_more_for_tags(server, s3, bucket):
    name = 'u' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name)
    signer = Signer(name, 'secret/' + name)
    s3.put_object(Bucket=bucket, Key='from/a', Body=b'a')
    right = {'s3:PutObject': 'to/*', 's3:GetObject': 'from/*', 's3:DeleteObject': 'from/*'}
    try:
        for missing in list(right) + [None]:
            s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
                {'Effect': 'Allow', 'Principal': '*', 'Action': a, 'Resource': 'arn:aws:s3:::%s/%s' % (bucket, r)}
                for a, r in right.items() if a != missing]}))
            reply = rename(server, bucket, 'from/a', 'to/a', signer=signer)
            assert (reply.status == 200) == (missing is None), (missing, reply)
        s3.put_object(Bucket=bucket, Key='from/a', Body=b'a', Tagging='data-class=restricted')
        right.update({'s3:GetObjectTagging': 'from/*', 's3:PutObjectTagging': 'to/*'})
        for missing in ['s3:GetObjectTagging', 's3:PutObjectTagging', None]:
            s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
                dict({'Effect': 'Allow', 'Principal': '*', 'Action': a, 'Resource': 'arn:aws:s3:::%s/%s' % (bucket, r)},
                     **({'Condition': {'StringEquals': {'s3:RequestObjectTag/data-class': 'restricted'}}} if a == 's3:PutObjectTagging' else {}))
                for a, r in right.items() if a != missing]}))
            reply = rename(server, bucket, 'from/a', 'to/a', signer=signer)
            assert (reply.status == 200) == (missing is None), (missing, reply)
        assert keys(s3, bucket) == ['to/a']
        assert rename(server, bucket, 'from/none', 'to/b', signer=signer).code == 'AccessDenied'
    finally:
        server.admin('user', 'rm', name)


def test_a_full_quota_is_no_matter(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='a', Body=b'x' * 100)
    server.admin('quota', 'set', bucket, '--bytes', '10', '--objects', '1')
    assert rename(server, bucket, 'a', 'b').status == 200
    assert make_client(server).head_object(Bucket=bucket, Key='b')['ContentLength'] == 100
