# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Server-side encryption as clients use it: SSE-S3, SSE-KMS, SSE-C, defaults of buckets, keys that rotate or are lost."""
import base64
import glob
import hashlib
import http.server
import json
import os
import shutil
import threading
import uuid

import pytest
from botocore.exceptions import ClientError

import raw
from conftest import make_client
from server import Server

BLOCK = 65536
KEY = os.urandom(32)
OTHER = os.urandom(32)


def customer(key=KEY, prefix=''):
    return {prefix + 'SSECustomerAlgorithm': 'AES256', prefix + 'SSECustomerKey': key}


def kinds(server):
    """Ways to write, with what reading then needs."""
    out = {'none': ({}, {}), 's3': ({'ServerSideEncryption': 'AES256'}, {}),
           'kms': ({'ServerSideEncryption': 'aws:kms'}, {})}
    if server.tls:
        out['c'] = (customer(), customer())
    return out


def refused(call, status, code, **kwargs):
    with pytest.raises(ClientError) as e:
        call(**kwargs)
    got = e.value.response
    assert (got['ResponseMetadata']['HTTPStatusCode'], got['Error']['Code']) == (status, code), got
    return got['Error'].get('Message', '')


def content(s3, bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)['Body'].read()


@pytest.fixture(scope='module')
def own():
    """A server of a test's own, by options and environment; all end with the module."""
    started = []

    def start(*options, env=None, **kwargs):
        s = Server(options=options, env=env, **kwargs)
        started.append(s)
        return s.start()
    yield start
    for s in started:
        s.stop()
        s.remove()


# ---- kinds ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('size', [0, 1, 513, 8193, BLOCK, 3 * BLOCK + 7])
def test_every_kind_and_size_reads_back_whole_and_in_ranges(server, s3, bucket, size):
    data = os.urandom(size)
    for kind, (write, read) in kinds(server).items():
        put = s3.put_object(Bucket=bucket, Key=kind, Body=data, **write)
        got = s3.get_object(Bucket=bucket, Key=kind, **read)
        head = s3.head_object(Bucket=bucket, Key=kind, **read)
        assert got['Body'].read() == data
        assert head['ContentLength'] == size and head['ETag'] == got['ETag'] == put['ETag']
        is_md5 = put['ETag'] == '"%s"' % hashlib.md5(data).hexdigest()
        assert is_md5 == (kind in ('none', 's3'))
        for answer in (put, got, head):
            assert answer.get('ServerSideEncryption') == write.get('ServerSideEncryption')
            assert answer.get('SSEKMSKeyId') == ('cairn-kms' if kind == 'kms' else None)
            assert answer.get('SSECustomerKeyMD5') == (
                base64.b64encode(hashlib.md5(KEY).digest()).decode() if kind == 'c' else None)
        for first, last in ((0, 0), (size // 2, size // 2 + 10), (BLOCK - 1, BLOCK), (BLOCK, 2 * BLOCK), (size - 1, size)):
            if 0 <= first < size:
                part = s3.get_object(Bucket=bucket, Key=kind, Range='bytes=%d-%d' % (first, last), **read)
                assert part['Body'].read() == data[first:last + 1]
    listed = s3.list_objects_v2(Bucket=bucket)['Contents']
    assert {o['Size'] for o in listed} == {size}


def test_copies_between_all_kinds(server, s3, bucket):
    data = os.urandom(2 * BLOCK + 5)
    for kind, (write, read) in kinds(server).items():
        s3.put_object(Bucket=bucket, Key='from-' + kind, Body=data, **write)
        source = customer(prefix='CopySource') if kind == 'c' else {}
        for other, (to, back) in kinds(server).items():
            if other == 'c':
                to, back = customer(OTHER), customer(OTHER)
            r = s3.copy_object(Bucket=bucket, Key='to', CopySource={'Bucket': bucket, 'Key': 'from-' + kind}, **source, **to)
            assert r.get('ServerSideEncryption') == to.get('ServerSideEncryption')
            assert content(s3, bucket, 'to', **back) == data, (kind, other)
    # onto itself: from one kind to the other, and back
    for to in ({'ServerSideEncryption': 'AES256'}, {'ServerSideEncryption': 'aws:kms'}, {'ServerSideEncryption': 'AES256'}):
        s3.copy_object(Bucket=bucket, Key='from-none', CopySource={'Bucket': bucket, 'Key': 'from-none'}, **to)
        assert s3.head_object(Bucket=bucket, Key='from-none')['ServerSideEncryption'] == to['ServerSideEncryption']
        assert content(s3, bucket, 'from-none') == data
    refused(s3.copy_object, 400, 'InvalidRequest', Bucket=bucket, Key='from-s3', CopySource={'Bucket': bucket, 'Key': 'from-s3'})
    if server.tls:  # away from the customer's key, which is a change though no header asks for one
        itself = dict(Bucket=bucket, Key='from-c', CopySource={'Bucket': bucket, 'Key': 'from-c'})
        refused(s3.copy_object, 400, 'InvalidRequest', **itself)
        s3.copy_object(**itself, **customer(prefix='CopySource'))
        assert content(s3, bucket, 'from-c') == data


def test_new_tags_and_metadata_leave_an_encrypted_object_readable(server, s3, bucket):
    for kind, (write, read) in kinds(server).items():
        s3.put_object(Bucket=bucket, Key='k', Body=b'body', **write)
        s3.put_object_tagging(Bucket=bucket, Key='k', Tagging={'TagSet': [{'Key': 'a', 'Value': 'b'}]})
        assert content(s3, bucket, 'k', **read) == b'body'
    s3.put_object(Bucket=bucket, Key='k', Body=b'body', ServerSideEncryption='AES256')
    s3.copy_object(Bucket=bucket, Key='k', CopySource={'Bucket': bucket, 'Key': 'k'}, MetadataDirective='REPLACE',
                   Metadata={'m': 'v'}, ServerSideEncryption='AES256')
    got = s3.get_object(Bucket=bucket, Key='k')
    assert got['Body'].read() == b'body' and got['Metadata'] == {'m': 'v'} and got['ServerSideEncryption'] == 'AES256'


def test_multipart_of_every_kind(server, s3, bucket):
    parts = [os.urandom(5 << 20), os.urandom((5 << 20) + 1), os.urandom(3)]
    s3.put_object(Bucket=bucket, Key='source', Body=parts[1], ServerSideEncryption='AES256')
    for kind, (write, read) in kinds(server).items():
        up = s3.create_multipart_upload(Bucket=bucket, Key=kind, **write)
        assert up.get('ServerSideEncryption') == write.get('ServerSideEncryption')
        common = dict(Bucket=bucket, Key=kind, UploadId=up['UploadId'])
        tags = [s3.upload_part(PartNumber=1, Body=b'replaced', **common, **read),
                s3.upload_part(PartNumber=1, Body=parts[0], **common, **read),
                s3.upload_part_copy(PartNumber=2, CopySource={'Bucket': bucket, 'Key': 'source'}, **common, **read),
                s3.upload_part(PartNumber=3, Body=parts[2], **common, **read)]
        assert all(t.get('ServerSideEncryption') == write.get('ServerSideEncryption') for t in tags)
        etags = [tags[1]['ETag'], tags[2]['CopyPartResult']['ETag'], tags[3]['ETag']]
        if kind == 'c':
            refused(s3.upload_part, 400, 'InvalidRequest', PartNumber=4, Body=b'x', **common)
            refused(s3.upload_part, 400, 'InvalidRequest', PartNumber=4, Body=b'x', **common, **customer(OTHER))
        elif server.tls:
            refused(s3.upload_part, 400, 'InvalidRequest', PartNumber=4, Body=b'x', **common, **customer())
        done = s3.complete_multipart_upload(MultipartUpload={'Parts': [
            {'PartNumber': i + 1, 'ETag': e} for i, e in enumerate(etags)]}, **common)
        assert done.get('ServerSideEncryption') == write.get('ServerSideEncryption')
        data = b''.join(parts)
        assert content(s3, bucket, kind, **read) == data
        for first in (0, (5 << 20) - 2, (10 << 20) - 100, len(data) - 4):
            assert content(s3, bucket, kind, Range='bytes=%d-%d' % (first, first + 200000), **read) == data[first:first + 200001]
        assert content(s3, bucket, kind, PartNumber=2, **read) == parts[1]


# ---- the customer's key -----------------------------------------------------------------------------

def test_customer_keys_are_taken_over_https_only(server, s3, bucket):
    if not server.tls:
        assert 'secure connection' in refused(s3.put_object, 400, 'InvalidRequest', Bucket=bucket, Key='k', Body=b'x', **customer())
        refused(s3.head_object, 404, '404', Bucket=bucket, Key='k')
        return
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', **customer())
    for call in (s3.get_object, s3.head_object):
        code = 'InvalidRequest' if call == s3.get_object else '400'
        refused(call, 400, code, Bucket=bucket, Key='k')
        refused(call, 400, code, Bucket=bucket, Key='k', **customer(OTHER))
    attributes = dict(Bucket=bucket, Key='k', ObjectAttributes=['ObjectSize'])
    refused(s3.get_object_attributes, 400, 'InvalidRequest', **attributes)
    told = s3.get_object_attributes(**attributes, SSECustomerAlgorithm='AES256', SSECustomerKey=B64, SSECustomerKeyMD5=MD5)
    assert told['ObjectSize'] == 1  # for this operation boto3 encodes nothing itself
    s3.put_object(Bucket=bucket, Key='plain', Body=b'x')
    refused(s3.get_object, 400, 'InvalidRequest', Bucket=bucket, Key='plain', **customer())
    refused(s3.copy_object, 400, 'InvalidRequest', Bucket=bucket, Key='to', CopySource={'Bucket': bucket, 'Key': 'k'})
    refused(s3.copy_object, 400, 'InvalidRequest', Bucket=bucket, Key='to', CopySource={'Bucket': bucket, 'Key': 'k'},
            **customer(OTHER, 'CopySource'))


A, K, M = ('x-amz-server-side-encryption-customer-' + n for n in ('algorithm', 'key', 'key-MD5'))
B64 = base64.b64encode(KEY).decode()
MD5 = base64.b64encode(hashlib.md5(KEY).digest()).decode()
SSE = 'x-amz-server-side-encryption'


@pytest.mark.parametrize('headers,status,code', [
    ({A: 'AES256', M: MD5}, 400, 'InvalidArgument'),
    ({K: B64, M: MD5}, 400, 'InvalidArgument'),
    ({A: 'AES256', K: B64}, 400, 'InvalidArgument'),
    ({A: 'AES192', K: B64, M: MD5}, 400, 'InvalidEncryptionAlgorithmError'),
    ({A: 'AES256', K: B64, M: base64.b64encode(b'x' * 16).decode()}, 400, 'InvalidArgument'),
    ({A: 'AES256', K: base64.b64encode(KEY[:31]).decode(), M: MD5}, 400, 'InvalidArgument'),
    ({A: 'AES256', K: 'no base64', M: MD5}, 400, 'InvalidArgument'),
    ({A: 'AES256', K: B64, M: MD5, SSE: 'AES256'}, 400, 'InvalidArgument'),
    ({SSE: 'AES192'}, 400, 'InvalidArgument'),
    ({SSE: 'aws:kms:dsse'}, 501, 'NotImplemented'),
    ({SSE: 'AES256', SSE + '-aws-kms-key-id': 'k'}, 400, 'InvalidArgument'),
    ({SSE + '-aws-kms-key-id': 'k'}, 400, 'InvalidArgument'),
    ({SSE: 'aws:kms', SSE + '-aws-kms-key-id': 'not-there'}, 400, 'KMS.NotFoundException'),
    ({SSE: 'aws:kms', SSE + '-aws-kms-key-id': 'a b'}, 400, 'InvalidArgument'),
    ({SSE: 'aws:kms', SSE + '-context': 'bm8ganNvbg=='}, 400, 'InvalidArgument'),
    ({SSE: 'aws:kms', SSE + '-context': base64.b64encode(b'{"a":' * 1500).decode()}, 400, 'InvalidArgument'),
    ({SSE: 'aws:kms', SSE + '-bucket-key-enabled': 'perhaps'}, 400, 'InvalidArgument'),
])
def test_headers_that_make_no_sense_store_nothing(server, s3, bucket, headers, status, code):
    if A in headers or K in headers:
        if not server.tls:
            pytest.skip('refused before')
    s3.meta.events.register('before-call.s3.PutObject', lambda params, **_: params['headers'].update(headers))
    refused(s3.put_object, status, code, Bucket=bucket, Key='k', Body=b'x')
    assert s3.list_objects_v2(Bucket=bucket)['KeyCount'] == 0


def test_reading_takes_no_method(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', ServerSideEncryption='AES256')
    s3.meta.events.register('before-call.s3.GetObject', lambda params, **_: params['headers'].update({SSE: 'AES256'}))
    refused(s3.get_object, 400, 'InvalidArgument', Bucket=bucket, Key='k')


# ---- keys with names ----------------------------------------------------------------------------------

def test_the_anonymous_have_nothing_of_managed_keys(server, s3, bucket):
    """As in AWS, whose key service asks who it is; SSE-S3 asks for nobody."""
    policy = {'Statement': [{'Effect': 'Allow', 'Principal': '*', 'Action': 's3:*Object', 'Resource': 'arn:aws:s3:::%s/*' % bucket}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    s3.put_object(Bucket=bucket, Key='s3', Body=b'x', ServerSideEncryption='AES256')
    s3.put_object(Bucket=bucket, Key='kms', Body=b'x', ServerSideEncryption='aws:kms')
    path = '/%s/' % bucket
    assert raw.request(server, 'GET', path + 's3', signer=False).body == b'x'
    assert raw.request(server, 'GET', path + 'kms').body == b'x'
    assert raw.request(server, 'HEAD', path + 'kms', signer=False).status == 400
    method = [('x-amz-server-side-encryption', 'aws:kms')]
    for answer in (raw.request(server, 'GET', path + 'kms', signer=False), raw.request(server, 'PUT', path + 'new', headers=method, body=b'x', signer=False)):
        assert (answer.status, answer.code) == (400, 'InvalidArgument') and b'require AWS Signature Version 4.' in answer.body
        assert b'<ArgumentName>Authorization</ArgumentName><ArgumentValue>null</ArgumentValue>' in answer.body
    assert raw.request(server, 'GET', path + 'new').status == 404
    assert raw.request(server, 'DELETE', path + 'kms', signer=False).status == 204, 'that needs no key'


def test_named_keys_contexts_and_rotation(server, s3, bucket):
    name = 'team-' + uuid.uuid4().hex[:8]
    refused(s3.put_object, 400, 'KMS.NotFoundException', Bucket=bucket, Key='k', ServerSideEncryption='aws:kms', SSEKMSKeyId=name)
    server.admin('key', 'create', name)
    assert server.admin('key', 'create', name, check=False).returncode == 1
    arn = 'arn:aws:kms:us-east-1:111122223333:key/' + name
    context = base64.b64encode(b'{"b": "2", "a": "1"}').decode()
    r = s3.put_object(Bucket=bucket, Key='k', Body=b'one', ServerSideEncryption='aws:kms', SSEKMSKeyId=arn,
                      SSEKMSEncryptionContext=context, BucketKeyEnabled=True)
    assert r['SSEKMSKeyId'] == arn and r['BucketKeyEnabled'] is True
    assert json.loads(base64.b64decode(r['SSEKMSEncryptionContext'])) == {'a': '1', 'b': '2'}
    server.admin('key', 'rotate', name)
    s3.put_object(Bucket=bucket, Key='k2', Body=b'two', ServerSideEncryption='aws:kms', SSEKMSKeyId=name)
    assert content(s3, bucket, 'k') == b'one' and content(s3, bucket, 'k2') == b'two'
    listed = json.loads(server.admin('key', 'list', '--json').stdout)['keys']
    assert [k['version'] for k in listed if k['name'] == name] == [2]


def test_rewrapping_changes_keys_and_no_bytes(own):
    server = own()
    s3 = make_client(server)
    s3.create_bucket(Bucket='bucket')
    data = {'k%d' % size: os.urandom(size) for size in (0, 10, 5000, 200000)}
    for key, body in data.items():
        s3.put_object(Bucket='bucket', Key=key, Body=body, ServerSideEncryption='AES256')
    s3.put_object(Bucket='bucket', Key='plain', Body=b'x')
    s3.create_bucket(Bucket='versioned')
    s3.put_bucket_versioning(Bucket='versioned', VersioningConfiguration={'Status': 'Enabled'})
    versions = [(s3.put_object(Bucket='versioned', Key='v', Body=body, ServerSideEncryption='AES256')['VersionId'], body)
                for body in (b'one', os.urandom(9000), os.urandom(100000))]
    up = s3.create_multipart_upload(Bucket='bucket', Key='m', ServerSideEncryption='aws:kms')
    tag = s3.upload_part(Bucket='bucket', Key='m', UploadId=up['UploadId'], PartNumber=1, Body=b'part')['ETag']

    def rewrap():
        return json.loads(server.admin('key', 'rewrap', '--json').stdout)
    assert rewrap() == {'seen': 9, 'rewrapped': 0, 'failed': 0, 'done': True}
    server.admin('key', 'rotate', 'cairn-s3')
    assert content(s3, 'bucket', 'k10') == data['k10']  # also one in memory
    assert rewrap() == {'seen': 9, 'rewrapped': 7, 'failed': 0, 'done': True}
    server.admin('key', 'rotate', 'cairn-kms')
    assert rewrap() == {'seen': 9, 'rewrapped': 1, 'failed': 0, 'done': True}
    assert rewrap()['rewrapped'] == 0
    s3.complete_multipart_upload(Bucket='bucket', Key='m', UploadId=up['UploadId'], MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': tag}]})
    data['m'] = b'part'
    for _ in range(2):
        assert all(content(s3, 'bucket', k) == body for k, body in data.items())
        assert all(content(s3, 'versioned', 'v', VersionId=v) == body for v, body in versions)
        assert server.admin('check', '--deep').returncode == 0
        server.stop()
        server.start()
        s3 = make_client(server)


# ---- the bucket's default -------------------------------------------------------------------------------

def default(algorithm, key=None, bucket_key=False):
    rule = {'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': algorithm}, 'BucketKeyEnabled': bucket_key}
    if key:
        rule['ApplyServerSideEncryptionByDefault']['KMSMasterKeyID'] = key
    return {'Rules': [rule]}


def test_default_encryption_of_a_bucket(server, s3, bucket):
    refused(s3.get_bucket_encryption, 404, 'ServerSideEncryptionConfigurationNotFoundError', Bucket=bucket)
    s3.put_object(Bucket=bucket, Key='before', Body=b'x')
    for config in (default('AES256'), default('aws:kms', 'cairn-kms', True)):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=config)
        assert s3.get_bucket_encryption(Bucket=bucket)['ServerSideEncryptionConfiguration'] == config
        algorithm = config['Rules'][0]['ApplyServerSideEncryptionByDefault']['SSEAlgorithm']
        r = s3.put_object(Bucket=bucket, Key='k', Body=b'x')
        assert r['ServerSideEncryption'] == algorithm and r.get('BucketKeyEnabled', False) == config['Rules'][0]['BucketKeyEnabled']
        assert s3.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': 'before'})['ServerSideEncryption'] == algorithm
        up = s3.create_multipart_upload(Bucket=bucket, Key='m')
        assert up['ServerSideEncryption'] == algorithm
        s3.abort_multipart_upload(Bucket=bucket, Key='m', UploadId=up['UploadId'])
        assert content(s3, bucket, 'k') == content(s3, bucket, 'copy') == b'x'
    assert s3.put_object(Bucket=bucket, Key='k', Body=b'x', ServerSideEncryption='AES256')['ServerSideEncryption'] == 'AES256'
    s3.delete_bucket_encryption(Bucket=bucket)
    refused(s3.get_bucket_encryption, 404, 'ServerSideEncryptionConfigurationNotFoundError', Bucket=bucket)
    assert 'ServerSideEncryption' not in s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    assert content(s3, bucket, 'copy') == b'x'


@pytest.mark.parametrize('config,code', [
    (default('AES256', 'k'), 'InvalidArgument'), (default('ROT13'), 'MalformedXML'), ({'Rules': []}, 'MalformedXML'),
    ({'Rules': default('AES256')['Rules'] * 2}, 'MalformedXML'), (default('aws:kms:dsse'), 'NotImplemented'),
])
def test_defaults_that_are_none_are_refused(s3, bucket, config, code):
    refused(s3.put_bucket_encryption, 501 if code == 'NotImplemented' else 400, code, Bucket=bucket, ServerSideEncryptionConfiguration=config)


def test_policies_can_demand_encryption(server, s3, bucket):
    def deny(operator, key, value):
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [{
            'Effect': 'Deny', 'Principal': '*', 'Action': 's3:PutObject', 'Resource': 'arn:aws:s3:::%s/*' % bucket,
            'Condition': {operator: {key: value}}}]}))
    deny('StringNotEquals', 's3:x-amz-server-side-encryption', 'AES256')
    refused(s3.put_object, 403, 'AccessDenied', Bucket=bucket, Key='k', Body=b'x')
    refused(s3.put_object, 403, 'AccessDenied', Bucket=bucket, Key='k', Body=b'x', ServerSideEncryption='aws:kms')
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', ServerSideEncryption='AES256')
    deny('StringNotEquals', 's3:x-amz-server-side-encryption-aws-kms-key-id', 'cairn-kms')
    refused(s3.put_object, 403, 'AccessDenied', Bucket=bucket, Key='k', Body=b'x', ServerSideEncryption='aws:kms', SSEKMSKeyId='x')
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', ServerSideEncryption='aws:kms', SSEKMSKeyId='cairn-kms')
    deny('Null', 's3:x-amz-server-side-encryption-customer-algorithm', 'true')
    refused(s3.put_object, 403, 'AccessDenied', Bucket=bucket, Key='k', Body=b'x')
    if server.tls:
        s3.put_object(Bucket=bucket, Key='k', Body=b'x', **customer())


# ---- at rest --------------------------------------------------------------------------------------------

MARK = b'a sentence that must not be found on any disk; '


def on_disk(server, what):
    for d in server.dirs:
        for path in glob.glob(d + '/**', recursive=True):
            if os.path.isfile(path):
                with open(path, 'rb') as f:
                    if what in f.read():
                        return True
    return False


def test_everything_is_encrypted_where_the_server_is_told_so(own):
    server = own('--encrypt', disks=2)
    s3 = make_client(server)
    s3.create_bucket(Bucket='bucket')
    for size in (1, 5, 200, 4000):
        assert s3.put_object(Bucket='bucket', Key='k%d' % size, Body=MARK * size)['ServerSideEncryption'] == 'AES256'
    up = s3.create_multipart_upload(Bucket='bucket', Key='m')
    tag = s3.upload_part(Bucket='bucket', Key='m', UploadId=up['UploadId'], PartNumber=1, Body=MARK * 3000)['ETag']
    s3.complete_multipart_upload(Bucket='bucket', Key='m', UploadId=up['UploadId'], MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': tag}]})
    assert content(s3, 'bucket', 'm') == MARK * 3000
    assert server.admin('check', '--deep').returncode == 0
    server.stop()
    assert not on_disk(server, MARK)
    keys = [os.path.join(d, 'master.keys') for d in server.dirs]
    assert all(os.stat(k).st_mode & 0o777 == 0o600 for k in keys)
    # a copy of the key file may go with its disk
    os.unlink(keys[0])
    server.start()
    assert content(make_client(server), 'bucket', 'm') == MARK * 3000 and os.path.exists(keys[0])


def test_a_disk_that_is_added_has_the_keys_when_the_others_leave(own):
    server = own()
    s3 = make_client(server)
    s3.create_bucket(Bucket='bucket')
    s3.put_object(Bucket='bucket', Key='k', Body=MARK * 10, ServerSideEncryption='AES256')
    added = os.path.join(server.folder, 'added')
    server.admin('disk', 'add', added)
    first, second = [os.path.join(d, 'master.keys') for d in (server.data, added)]
    assert os.stat(second).st_mode & 0o777 == 0o600
    server.admin('key', 'rotate', 'cairn-s3')
    s3.put_object(Bucket='bucket', Key='k2', Body=MARK, ServerSideEncryption='AES256')
    server.stop()
    os.unlink(first)
    server.dirs.append(added)
    server.start()
    s3 = make_client(server)
    assert content(s3, 'bucket', 'k') == MARK * 10 and content(s3, 'bucket', 'k2') == MARK


def test_a_lost_key_file_is_told_and_never_replaced(own):
    server = own()
    s3 = make_client(server)
    s3.create_bucket(Bucket='bucket')
    s3.put_object(Bucket='bucket', Key='sealed', Body=b'x', ServerSideEncryption='AES256')
    s3.put_object(Bucket='bucket', Key='plain', Body=b'y')
    server.stop()
    keys = os.path.join(server.data, 'master.keys')
    shutil.move(keys, server.folder + '/kept')
    server.start()
    s3 = make_client(server)
    assert content(s3, 'bucket', 'plain') == b'y'
    assert 'key ring' in refused(s3.get_object, 400, 'KMS.KMSInvalidStateException', Bucket='bucket', Key='sealed')
    refused(s3.put_object, 400, 'KMS.KMSInvalidStateException', Bucket='bucket', Key='new', Body=b'x', ServerSideEncryption='AES256')
    assert 'the key file is missing' in server.log()
    assert 'put it back' in server.admin('key', 'list', check=False).stderr
    server.stop()
    assert not os.path.exists(keys)
    shutil.move(server.folder + '/kept', keys)
    server.start()
    assert content(make_client(server), 'bucket', 'sealed') == b'x'
    # another store's file is not taken for this one's
    other = own()
    make_client(other).create_bucket(Bucket='bucket')
    make_client(other).put_object(Bucket='bucket', Key='k', ServerSideEncryption='AES256')
    server.stop()
    shutil.copy(os.path.join(other.data, 'master.keys'), keys)
    server.start()
    refused(make_client(server).get_object, 400, 'KMS.KMSInvalidStateException', Bucket='bucket', Key='sealed')
    assert "another store's key file" in server.log()


def test_a_key_file_of_its_own_place_with_a_passphrase(own, tmp_path):
    path, phrase = str(tmp_path / 'keys'), 'phrase of the test'
    server = own(env={'CAIRN_KMS_KEY_FILE': path, 'CAIRN_KMS_PASSPHRASE': phrase})
    s3 = make_client(server)
    s3.create_bucket(Bucket='bucket')
    s3.put_object(Bucket='bucket', Key='k', Body=b'x', ServerSideEncryption='AES256')
    server.stop()
    assert os.stat(path).st_mode & 0o777 == 0o600 and not os.path.exists(os.path.join(server.data, 'master.keys'))
    server.env['CAIRN_KMS_PASSPHRASE'] = 'another phrase'
    server.launch()
    assert server.process.wait(60) == 1 and 'does not open the key file' in server.log()
    server.env['CAIRN_KMS_PASSPHRASE'] = phrase
    server.start()
    assert content(make_client(server), 'bucket', 'k') == b'x'
    assert phrase not in server.log()


def test_customer_keys_over_http_where_a_proxy_ends_tls(own):
    server = own('--insecure-sse-c')
    s3 = make_client(server)
    s3.create_bucket(Bucket='bucket')
    s3.put_object(Bucket='bucket', Key='k', Body=MARK * 100, **customer())
    assert content(s3, 'bucket', 'k', **customer()) == MARK * 100
    refused(s3.get_object, 400, 'InvalidRequest', Bucket='bucket', Key='k', **customer(OTHER))
    server.stop()
    assert not on_disk(server, MARK) and not on_disk(server, KEY) and not on_disk(server, base64.b64encode(KEY))
    log = server.log()
    assert B64 not in log and base64.b64encode(OTHER).decode() not in log


# ---- rights on keys -------------------------------------------------------------------------------------

@pytest.mark.parametrize('resource', ['arn:aws:kms:*:*:key/%s', 'arn:minio:kms:::%s', '*'])
def test_a_policy_that_denies_a_key_is_heeded(server, s3, bucket, resource, tmp_path):
    name, user = 'denied-' + uuid.uuid4().hex[:8], 'u' + uuid.uuid4().hex[:10]
    server.admin('key', 'create', name)
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret/' + user, '--account', 'root')
    theirs, policy = make_client(server, user, 'secret/' + user), tmp_path / 'policy.json'
    write = {'ServerSideEncryption': 'aws:kms', 'SSEKMSKeyId': 'arn:aws:kms:us-east-1:111122223333:key/' + name}
    where = resource % name if '%' in resource else resource

    def allow(*denied):
        statements = [{'Effect': 'Allow', 'Action': 's3:*', 'Resource': 'arn:aws:s3:::*'}]
        if denied:
            statements.append({'Effect': 'Deny', 'Action': list(denied), 'Resource': where})
        policy.write_text(json.dumps({'Version': '2012-10-17', 'Statement': statements}))
        server.admin('policy', 'add', user, str(policy))
    try:
        allow()
        server.admin('policy', 'attach', user, '--user', user)
        theirs.put_object(Bucket=bucket, Key='k', Body=b'x', **write)  # no word of keys is no Deny
        assert content(theirs, bucket, 'k') == b'x'
        allow('kms:GenerateDataKey')
        refused(theirs.put_object, 403, 'AccessDenied', Bucket=bucket, Key='k', Body=b'y', **write)
        refused(theirs.create_multipart_upload, 403, 'AccessDenied', Bucket=bucket, Key='k', **write)
        assert content(theirs, bucket, 'k') == b'x'
        allow('kms:Decrypt')
        refused(theirs.get_object, 403, 'AccessDenied', Bucket=bucket, Key='k')
        refused(theirs.copy_object, 403, 'AccessDenied', Bucket=bucket, Key='c', CopySource={'Bucket': bucket, 'Key': 'k'})
        assert theirs.head_object(Bucket=bucket, Key='k')['ContentLength'] == 1  # no key is asked for
        theirs.put_object(Bucket=bucket, Key='s3', Body=b'z', ServerSideEncryption='AES256')  # whose key is nobody's but the server's
        assert content(theirs, bucket, 's3') == b'z' and content(s3, bucket, 'k') == b'x'
    finally:
        server.admin('user', 'rm', user)
        server.admin('policy', 'rm', user)


# ---- another key for an object that is there ------------------------------------------------------------

def update(server, bucket, key, inner, query='', **kwargs):
    body = ('<ObjectEncryption xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</ObjectEncryption>' % inner).encode()
    return raw.request(server, 'PUT', '/%s/%s' % (bucket, key), 'encryption=' + query, [
        ('x-amz-checksum-crc32', raw.crc32_base64(body))], body, **kwargs)


def to(name, more=''):
    return '<SSE-KMS><KMSKeyArn>%s</KMSKeyArn>%s</SSE-KMS>' % (name, more)


def test_an_object_goes_over_to_another_key_and_stays_what_it_is(server, s3, bucket):
    name = 'team-' + uuid.uuid4().hex[:8]
    server.admin('key', 'create', name)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    data = os.urandom(2 * BLOCK + 5)

    def told(version):
        head = s3.head_object(Bucket=bucket, Key='k', VersionId=version, ChecksumMode='ENABLED')
        return [head.get(k) for k in ('ETag', 'LastModified', 'ContentLength', 'Metadata', 'ChecksumSHA256', 'VersionId', 'StorageClass')]
    for write in ({'ServerSideEncryption': 'AES256'}, {'ServerSideEncryption': 'aws:kms', 'SSEKMSEncryptionContext': 'eyJhIjoiYiJ9'}):
        put = s3.put_object(Bucket=bucket, Key='k', Body=data, Metadata={'a': 'b'}, ChecksumAlgorithm='SHA256', **write)
        s3.put_object(Bucket=bucket, Key='k', Body=b'newer')
        version, arn = put['VersionId'], 'arn:aws:kms:us-east-1:111122223333:key/' + name
        before = told(version)
        reply = update(server, bucket, 'k', to(arn, '<BucketKeyEnabled>true</BucketKeyEnabled>'), '&versionId=' + version)
        assert (reply.status, reply.body) == (200, b'') and told(version) == before
        got = s3.get_object(Bucket=bucket, Key='k', VersionId=version)
        assert got['Body'].read() == data and got['ServerSideEncryption'] == 'aws:kms' and got['BucketKeyEnabled'] is True
        assert got['SSEKMSKeyId'] == arn
        assert update(server, bucket, 'k', to('cairn-kms'), '&versionId=' + version).status == 200
        got = s3.get_object(Bucket=bucket, Key='k', VersionId=version, Range='bytes=65530-65540')
        assert got['Body'].read() == data[65530:65541] and got['SSEKMSKeyId'] == 'cairn-kms' and 'BucketKeyEnabled' not in got
        assert 'ServerSideEncryption' not in s3.head_object(Bucket=bucket, Key='k')
    versions = [{'Key': v['Key'], 'VersionId': v['VersionId']} for v in s3.list_object_versions(Bucket=bucket)['Versions']]
    s3.delete_objects(Bucket=bucket, Delete={'Objects': versions})


def test_what_cannot_have_another_key_says_why(server, s3, bucket):
    for kind, (write, _) in kinds(server).items():
        s3.put_object(Bucket=bucket, Key=kind, Body=b'x', **write)
        expected = None if kind in ('s3', 'kms') else 'InvalidRequest'
        assert update(server, bucket, kind, to('cairn-kms')).code == expected, kind
    assert update(server, bucket, 'none', to('cairn-kms')).status == 400
    for inner, code in (('', 'InvalidRequest'), ('<SSE-KMS/>', 'InvalidRequest'), ('<SSE-S3/>', 'InvalidRequest'),
                        (to('cairn-kms', '<BucketKeyEnabled>maybe</BucketKeyEnabled>'), 'InvalidRequest'),
                        (to('no-such-key'), 'KMS.NotFoundException'), (to('a b'), 'InvalidArgument')):
        assert update(server, bucket, 's3', inner).code == code, inner
    assert update(server, bucket, 'absent', to('cairn-kms')).code == 'NoSuchKey'
    assert raw.request(server, 'PUT', '/%s/s3' % bucket, 'encryption=', body=b'no xml', headers=[
        ('x-amz-checksum-crc32', raw.crc32_base64(b'no xml'))]).code == 'MalformedXML'
    user = 'u' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret/' + user)
    signer = raw.Signer(user, 'secret/' + user)
    try:
        for action, code in (('s3:PutObject', 'AccessDenied'), ('s3:UpdateObjectEncryption', None)):
            s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
                {'Effect': 'Allow', 'Principal': '*', 'Action': action, 'Resource': 'arn:aws:s3:::%s/*' % bucket}]}))
            assert update(server, bucket, 's3', to('cairn-kms'), signer=signer).code == code
    finally:
        server.admin('user', 'rm', user)


def test_what_is_locked_keeps_its_key(server, s3):
    name = 'lock-' + uuid.uuid4().hex[:16]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    version = s3.put_object(Bucket=name, Key='k', Body=b'x', ServerSideEncryption='AES256', ObjectLockLegalHoldStatus='ON')['VersionId']
    assert update(server, name, 'k', to('cairn-kms')).code == 'AccessDenied'
    s3.put_object_legal_hold(Bucket=name, Key='k', LegalHold={'Status': 'OFF'})
    assert update(server, name, 'k', to('cairn-kms')).status == 200
    assert content(s3, name, 'k') == b'x'
    s3.delete_object(Bucket=name, Key='k', VersionId=version)
    s3.delete_bucket(Bucket=name)


# ---- Vault ----------------------------------------------------------------------------------------------

class Vault(http.server.BaseHTTPRequestHandler):
    """What the transit engine answers; its key turns bytes around."""
    token, keys, calls, sealed = 'token-of-the-test', {}, [], False

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])) or b'{}')
        verb, name = self.path.split('/')[3:5]
        Vault.calls.append(verb)
        status, answer = 200, {}
        if self.headers['X-Vault-Token'] != self.token or Vault.sealed:
            status, answer = 503, {'errors': ['Vault is sealed']}
        elif verb == 'keys':
            Vault.keys[name] = Vault.keys.get(name, 0) + 1
        elif name not in Vault.keys:
            status, answer = 400, {'errors': ['encryption key not found']}
        elif verb == 'encrypt':
            sealed = base64.b64encode(json.dumps([body['plaintext'][::-1], body['associated_data']]).encode()).decode()
            answer = {'data': {'ciphertext': 'vault:v%d:%s' % (Vault.keys[name], sealed)}}
        else:
            plain, aad = json.loads(base64.b64decode(body['ciphertext'].split(':')[2]))
            status, answer = (200, {'data': {'plaintext': plain[::-1]}}) if aad == body['associated_data'] else (400, {'errors': ['tag']})
        self.answer(status, answer)

    def answer(self, status, answer):
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def test_vault_keeps_the_master_keys(own):
    mock = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Vault)
    threading.Thread(target=mock.serve_forever, daemon=True).start()
    try:
        server = own('--vault', 'http://127.0.0.1:%d' % mock.server_port, env={'CAIRN_VAULT_TOKEN': Vault.token})
        s3 = make_client(server)
        s3.create_bucket(Bucket='bucket')
        for i in range(5):
            s3.put_object(Bucket='bucket', Key='k%d' % i, Body=b'x%d' % i, ServerSideEncryption='AES256')
        assert Vault.calls.count('encrypt') <= 3  # one that finds no key, one a bucket key
        refused(s3.put_object, 400, 'KMS.NotFoundException', Bucket='bucket', Key='n', ServerSideEncryption='aws:kms', SSEKMSKeyId='nokey')
        server.stop()
        assert not os.path.exists(os.path.join(server.data, 'master.keys'))
        server.start()
        s3 = make_client(server)
        assert [content(s3, 'bucket', 'k%d' % i) for i in range(5)] == [b'x%d' % i for i in range(5)]
        assert Vault.calls.count('decrypt') == 1
        Vault.sealed = True
        server.stop()
        server.start()
        refused(make_client(server).get_object, 503, 'ServiceUnavailable', Bucket='bucket', Key='k0')
        assert Vault.token not in server.log()
    finally:
        mock.shutdown()
