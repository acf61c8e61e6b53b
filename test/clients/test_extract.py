# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Archives that PutObject unpacks (x-amz-meta-snowball-auto-extract)."""
import gzip
import hashlib
import io
import json
import os
import tarfile
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import CHUNKED, UNSIGNED_TRAILER, Connection, Signer, request, request_bytes


def archive(items, fmt=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=fmt) as t:
        for name, data in items:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type = tarfile.DIRTYPE
                t.addfile(info)
            else:
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpack(s3, bucket, body, meta=None, **kwargs):
    return s3.put_object(Bucket=bucket, Key='a.tar', Body=body, ContentType='application/x-tar',
                         Metadata=dict(meta or {}, **{'snowball-auto-extract': 'true'}), **kwargs)


def content(s3, bucket):
    return {o['Key']: s3.get_object(Bucket=bucket, Key=o['Key'])['Body'].read()
            for o in s3.list_objects_v2(Bucket=bucket).get('Contents', [])}


def refused(code, call, *args, **kwargs):
    with pytest.raises(ClientError) as e:
        call(*args, **kwargs)
    assert e.value.response['Error']['Code'] == code, e.value.response


@pytest.mark.parametrize('fmt', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_file_becomes_an_object(s3, bucket, fmt):
    files = {'a': b'', 'b/c': os.urandom(600), 'b/' * 60 + 'n': os.urandom(9000), 'large': os.urandom(3000000), '../up': b'u', '/abs': b'/'}
    body = archive(list(files.items()), fmt)
    reply = unpack(s3, bucket, body, {'own': 'x'}, Tagging='t=1')
    assert reply['ETag'] == '"%s"' % hashlib.md5(body).hexdigest()
    assert content(s3, bucket) == files
    head = s3.head_object(Bucket=bucket, Key='b/c')
    assert (head['Metadata'], head['ContentType'], head['ETag']) == (
        {'own': 'x'}, 'binary/octet-stream', '"%s"' % hashlib.md5(files['b/c']).hexdigest())
    assert s3.get_object_tagging(Bucket=bucket, Key='large')['TagSet'] == [{'Key': 't', 'Value': '1'}]


def test_prefix_and_folders(s3, bucket):
    body = archive([('d', None), ('d/f', b'1')])
    unpack(s3, bucket, body, {'minio-snowball-prefix': '/in/here'})
    assert content(s3, bucket) == {'in/here/d/': b'', 'in/here/d/f': b'1'}
    unpack(s3, bucket, body, {'snowball-prefix': 'p/', 'snowball-ignore-dirs': 'true'})
    assert sorted(content(s3, bucket)) == ['in/here/d/', 'in/here/d/f', 'p/d/f']


def test_what_is_no_archive_is_refused(s3, bucket):
    whole = archive([('a', b'1' * 5000), ('b', b'2' * 5000)])
    for body in (b'no archive' * 100, whole[:4000], b'\x1f\x8b' + os.urandom(1000)):
        refused('InvalidRequest', unpack, s3, bucket, body)
    assert content(s3, bucket) == {}
    unpack(s3, bucket, b'')
    refused('InvalidRequest', unpack, s3, bucket, whole[:8000])
    assert content(s3, bucket) == {'a': b'1' * 5000}


def test_each_entry_is_judged_by_its_own_key(server, s3, bucket):
    name = 'u' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name)
    try:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
            {'Effect': 'Allow', 'Principal': '*', 'Action': 's3:PutObject',
             'Resource': ['arn:aws:s3:::%s/%s' % (bucket, r) for r in ('a.tar', 'mine/*')]}]}))
        client = make_client(server, name, 'secret/' + name)
        body = archive([('mine/1', b'1'), ('other', b'x'), ('mine/2', b'2')])
        refused('AccessDenied', unpack, client, bucket, body)
        assert content(s3, bucket) == {'mine/1': b'1'}
        unpack(client, bucket, body, {'minio-snowball-ignore-errors': 'true'})
        assert content(s3, bucket) == {'mine/1': b'1', 'mine/2': b'2'}
    finally:
        server.admin('user', 'rm', name)


def test_quota_and_encryption_hold_for_each(server, s3, bucket):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={
        'Rules': [{'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': 'AES256'}}]})
    server.admin('quota', 'set', bucket, '--objects', '2')
    files = [('k%d' % i, os.urandom(20000)) for i in range(3)]
    refused('QuotaExceeded', unpack, s3, bucket, archive(files))
    assert content(s3, bucket) == dict(files[:2])
    assert s3.head_object(Bucket=bucket, Key='k1')['ServerSideEncryption'] == 'AES256'


def zstd(data):
    """Raw blocks: Debian's Python has no zstd."""
    blocks = [data[i:i + 100000] for i in range(0, len(data), 100000)] or [b'']
    return b'\x28\xb5\x2f\xfd\x80\x38' + len(data).to_bytes(4, 'little') + b''.join(
        ((len(b) << 3) | (i + 1 == len(blocks))).to_bytes(3, 'little') + b for i, b in enumerate(blocks))


@pytest.mark.parametrize('pack', [lambda d: gzip.compress(d), lambda d: gzip.compress(d[:700]) + gzip.compress(d[700:]), zstd])
def test_compressed_archives(s3, bucket, pack):
    files = {'a': os.urandom(300000), 'b': b'same ' * 10000, 'c': b''}
    body = pack(archive(list(files.items())))
    unpack(s3, bucket, body)
    assert content(s3, bucket) == files
    refused('InvalidRequest', unpack, s3, bucket, body[:-2])
    refused('InvalidRequest', unpack, s3, bucket, body[:100000] + b'x' * 1000)


def test_a_bomb_is_refused(s3, bucket):
    refused('InvalidRequest', unpack, s3, bucket, gzip.compress(archive([('zeros', bytes(20 << 20))])))
    assert content(s3, bucket) == {}


@pytest.mark.parametrize('form', ['none', 'wrong', 'unsigned-trailer', 'chunked'])
def test_who_asks_is_known_before_a_byte_is_taken(server, s3, bucket, form):
    """CVE-2026-40344: one way to send a body was not verified by another store."""
    body = archive([('a', b'1')])
    path, extract = '/%s/a.tar' % bucket, [('x-amz-meta-snowball-auto-extract', 'true')]
    wrong = Signer(server.access_key, 'not the secret')
    if form in ('none', 'wrong'):
        reply = request(server, 'PUT', path, '', extract, body, signer=False if form == 'none' else wrong)
    else:
        payload = UNSIGNED_TRAILER if form == 'unsigned-trailer' else CHUNKED
        trailers = [('x-amz-checksum-crc32', 'AAAAAA==')] if form == 'unsigned-trailer' else []
        headers = [('Host', server.host), ('x-amz-decoded-content-length', str(len(body)))] + extract
        headers += [('x-amz-trailer', trailers[0][0])] if trailers else []
        signed = wrong.headers('PUT', path, '', headers + [('Content-Encoding', 'aws-chunked')], payload)
        framed = wrong.chunked_body([body], trailers, signed=form == 'chunked')
        with Connection(server) as c:
            c.send(request_bytes('PUT', path, signed + [('Content-Length', str(len(framed)))], framed))
            reply = c.reply('PUT')
    assert (reply.status, reply.code) in ((403, 'SignatureDoesNotMatch'), (403, 'AccessDenied')), reply
    assert content(s3, bucket) == {}


def test_conditions_are_refused(server, s3, bucket):
    reply = request(server, 'PUT', '/%s/a.tar' % bucket, '', [('x-amz-meta-snowball-auto-extract', 'true'), ('If-None-Match', '*')],
                    archive([('a', b'1')]))
    assert reply.code == 'InvalidRequest'
    assert content(s3, bucket) == {}
