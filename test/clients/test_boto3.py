# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""boto3 against the server: what S3 says of each operation, beyond what the tools exercise."""
import base64
import binascii
import datetime
import hashlib
import os
import random
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import UNSIGNED_TRAILER, Signer, request


def code_of(call, *args, **kwargs):
    """(HTTP status, S3 code) that the call fails with."""
    with pytest.raises(ClientError) as e:
        call(*args, **kwargs)
    return e.value.response['ResponseMetadata']['HTTPStatusCode'], e.value.response['Error']['Code']


def get(s3, bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)['Body'].read()


def data_of(size, seed=0):
    return random.Random(seed).randbytes(size)


# ---- buckets ------------------------------------------------------------------------------------

def test_bucket_life(s3):
    name = 'life-' + uuid.uuid4().hex[:12]
    assert s3.create_bucket(Bucket=name)['Location'] == '/' + name
    assert s3.create_bucket(Bucket=name)['ResponseMetadata']['HTTPStatusCode'] == 200, 're-creation in us-east-1'
    assert name in [b['Name'] for b in s3.list_buckets()['Buckets']]
    assert s3.get_bucket_location(Bucket=name).get('LocationConstraint') is None
    assert s3.head_bucket(Bucket=name)['ResponseMetadata']['HTTPStatusCode'] == 200
    s3.put_object(Bucket=name, Key='x')
    assert code_of(s3.delete_bucket, Bucket=name) == (409, 'BucketNotEmpty')
    s3.delete_object(Bucket=name, Key='x')
    s3.delete_bucket(Bucket=name)
    assert code_of(s3.head_bucket, Bucket=name) == (404, '404')
    assert code_of(s3.delete_bucket, Bucket=name) == (404, 'NoSuchBucket')
    assert code_of(s3.list_objects_v2, Bucket=name) == (404, 'NoSuchBucket')
    assert code_of(s3.put_object, Bucket=name, Key='x') == (404, 'NoSuchBucket')


@pytest.mark.parametrize('name', ['ab', 'a' * 64, 'Upper', 'under_score', '-dash', 'dash-', 'a..b', '192.168.5.4', 'xn--a', 'a-s3alias'])
def test_bucket_names_follow_the_rules(server, name):
    r = request(server, 'PUT', '/' + name)
    assert (r.status, r.code) == (400, 'InvalidBucketName')


def test_location_constraint_must_be_the_region(s3):
    name = 'loc-' + uuid.uuid4().hex[:12]
    status, code = code_of(s3.create_bucket, Bucket=name, CreateBucketConfiguration={'LocationConstraint': 'eu-nowhere-7'})
    assert status == 400 and code in ('IllegalLocationConstraintException', 'InvalidLocationConstraint')


def test_users_see_and_touch_only_their_own_buckets(server, s3, bucket):
    user = 'own' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'a-users-secret')
    theirs = make_client(server, user, 'a-users-secret')
    s3.put_object(Bucket=bucket, Key='k', Body=b'root only')
    assert theirs.list_buckets()['Buckets'] == []
    assert code_of(theirs.create_bucket, Bucket=bucket) == (409, 'BucketAlreadyExists')
    for call in (theirs.list_objects_v2, theirs.list_objects, theirs.delete_bucket, theirs.list_multipart_uploads,
                 theirs.get_bucket_location):
        assert code_of(call, Bucket=bucket) == (403, 'AccessDenied')
    assert code_of(theirs.get_object, Bucket=bucket, Key='k') == (403, 'AccessDenied')
    assert code_of(theirs.put_object, Bucket=bucket, Key='k') == (403, 'AccessDenied')
    assert code_of(theirs.delete_object, Bucket=bucket, Key='k') == (403, 'AccessDenied')
    assert code_of(theirs.create_multipart_upload, Bucket=bucket, Key='k') == (403, 'AccessDenied')
    assert code_of(theirs.head_object, Bucket=bucket, Key='k')[0] == 403
    assert get(s3, bucket, 'k') == b'root only'
    server.admin('user', 'rm', user)


# ---- objects ------------------------------------------------------------------------------------

@pytest.mark.parametrize('size', [0, 1, 2047, 2048, 2049, 4096, 65535, 65537, 262144, 262145, 1 << 20, (3 << 20) + 7])
def test_objects_of_every_size_come_back(s3, bucket, size):
    data = data_of(size, size)
    put = s3.put_object(Bucket=bucket, Key='k', Body=data)
    assert put['ETag'] == '"%s"' % hashlib.md5(data).hexdigest()
    head = s3.head_object(Bucket=bucket, Key='k')
    assert (head['ContentLength'], head['ETag'], head['AcceptRanges']) == (size, put['ETag'], 'bytes')
    assert head['ContentType'] == 'binary/octet-stream'
    assert get(s3, bucket, 'k') == data


def test_headers_and_metadata_are_kept(s3, bucket):
    given = dict(ContentType='text/x-a; charset=utf-8', CacheControl='no-cache', ContentDisposition='attachment; filename="a b"',
                 ContentEncoding='gzip', ContentLanguage='de', Metadata={'one': '1', 'two': 'b  c'})
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', Expires=2000000000, **given)
    head = s3.head_object(Bucket=bucket, Key='k')
    for name, value in given.items():
        if name != 'Metadata':
            assert head[name] == value
    assert head['Metadata']['one'] == '1' and 'Expires' in head
    assert abs(head['LastModified'].timestamp() - time.time()) < 60


def test_metadata_beyond_two_kilobytes_is_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Metadata={'a': 'x' * 2000})
    assert code_of(s3.put_object, Bucket=bucket, Key='k', Metadata={'a': 'x' * 2100}) == (400, 'MetadataTooLarge')


def test_ranges(s3, bucket):
    for size in (1000, 300000):
        data = data_of(size, 5)
        s3.put_object(Bucket=bucket, Key='r', Body=data)
        for spec, want in (('bytes=0-0', data[:1]), ('bytes=5-99', data[5:100]), ('bytes=%d-' % (size - 3), data[-3:]),
                           ('bytes=-7', data[-7:]), ('bytes=-%d' % (size * 2), data), ('bytes=10-%d' % (size * 9), data[10:])):
            r = s3.get_object(Bucket=bucket, Key='r', Range=spec)
            assert r['Body'].read() == want and r['ResponseMetadata']['HTTPStatusCode'] == 206
            assert r['ContentRange'].endswith('/%d' % size)
        assert code_of(s3.get_object, Bucket=bucket, Key='r', Range='bytes=%d-' % size) == (416, 'InvalidRange')
        assert code_of(s3.get_object, Bucket=bucket, Key='r', Range='bytes=-0') == (416, 'InvalidRange')
        for ignored in ('bytes=5-2', 'nonsense', 'bytes=0-1,4-5', 'lines=1-2'):
            r = s3.get_object(Bucket=bucket, Key='r', Range=ignored)
            assert r['ResponseMetadata']['HTTPStatusCode'] == 200 and len(r['Body'].read()) == size
    s3.put_object(Bucket=bucket, Key='empty')
    assert code_of(s3.get_object, Bucket=bucket, Key='empty', Range='bytes=0-0') == (416, 'InvalidRange')
    for whole in ({'Range': 'bytes=-5'}, {'PartNumber': 1}):  # its last bytes and its only part are all there is of it
        for operation in (s3.get_object, s3.head_object):
            r = operation(Bucket=bucket, Key='empty', **whole)
            assert r['ResponseMetadata']['HTTPStatusCode'] == 200 and r['ContentLength'] == 0 and 'ContentRange' not in r


def test_random_ranges_of_a_large_object(s3, bucket):
    data = data_of(5 << 20, 6)
    s3.put_object(Bucket=bucket, Key='r', Body=data)
    draw = random.Random(7)
    for _ in range(40):
        a = draw.randrange(len(data))
        b = draw.randrange(a, min(len(data), a + 200000))
        assert get(s3, bucket, 'r', Range='bytes=%d-%d' % (a, b)) == data[a:b + 1]


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key='c', Body=b'c')['ETag']
    when = s3.head_object(Bucket=bucket, Key='c')['LastModified']
    before, after = when.timestamp() - 100, when.timestamp() + 100
    assert get(s3, bucket, 'c', IfMatch=etag) == b'c'
    assert get(s3, bucket, 'c', IfNoneMatch='"other"') == b'c'
    assert get(s3, bucket, 'c', IfModifiedSince=before) == b'c'
    assert get(s3, bucket, 'c', IfUnmodifiedSince=after) == b'c'
    assert get(s3, bucket, 'c', IfMatch=etag, IfUnmodifiedSince=before) == b'c'
    assert code_of(s3.get_object, Bucket=bucket, Key='c', IfMatch='"other"') == (412, 'PreconditionFailed')
    assert code_of(s3.get_object, Bucket=bucket, Key='c', IfNoneMatch=etag) == (304, '304')
    assert code_of(s3.get_object, Bucket=bucket, Key='c', IfNoneMatch=etag, IfModifiedSince=before) == (304, '304')
    assert code_of(s3.get_object, Bucket=bucket, Key='c', IfModifiedSince=when) == (304, '304')
    assert code_of(s3.get_object, Bucket=bucket, Key='c', IfUnmodifiedSince=before) == (412, 'PreconditionFailed')
    assert code_of(s3.head_object, Bucket=bucket, Key='c', IfMatch='"other"')[0] == 412


def test_conditional_writes(server, bucket):
    def put(*headers, key='w'):
        return request(server, 'PUT', '/%s/%s' % (bucket, key), headers=headers, body=b'1')
    assert put(('If-Match', '"abc"')).code == 'NoSuchKey'
    first = put(('If-None-Match', '*'))
    assert first.status == 200
    assert put(('If-None-Match', '*')).status == 412
    assert put(('If-Match', '"abc"')).status == 412
    assert put(('If-Match', first.headers['etag'])).status == 200


def test_only_one_of_many_racing_creators_wins(server, bucket):
    for round_number in range(5):
        results = []

        def create(n):
            results.append(request(server, 'PUT', '/%s/race%d' % (bucket, round_number), headers=[('If-None-Match', '*')],
                                   body=b'%d' % n).status)
        threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert results.count(200) == 1 and all(s in (200, 409, 412) for s in results), results


def test_response_overrides_and_signed_only(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='o', Body=b'o')
    r = s3.get_object(Bucket=bucket, Key='o', ResponseContentType='x/y', ResponseCacheControl='no-store',
                      ResponseContentDisposition='inline', ResponseContentEncoding='br', ResponseContentLanguage='fr')
    assert (r['ContentType'], r['CacheControl'], r['ContentDisposition'], r['ContentEncoding'], r['ContentLanguage']) == (
        'x/y', 'no-store', 'inline', 'br', 'fr')


def test_copy(s3, bucket):
    s3.put_object(Bucket=bucket, Key='src', Body=b'source', ContentType='a/b', Metadata={'m': '1'})
    for key, directive in (('inherit', {}), ('replace', dict(MetadataDirective='REPLACE', ContentType='c/d', Metadata={'n': '2'}))):
        r = s3.copy_object(Bucket=bucket, Key=key, CopySource={'Bucket': bucket, 'Key': 'src'}, **directive)
        assert r['CopyObjectResult']['ETag'] == '"%s"' % hashlib.md5(b'source').hexdigest()
        assert get(s3, bucket, key) == b'source'
    assert s3.head_object(Bucket=bucket, Key='inherit')['Metadata'] == {'m': '1'}
    assert s3.head_object(Bucket=bucket, Key='inherit')['ContentType'] == 'a/b'
    assert s3.head_object(Bucket=bucket, Key='replace')['Metadata'] == {'n': '2'}
    own = {'Bucket': bucket, 'Key': 'src'}
    assert code_of(s3.copy_object, Bucket=bucket, Key='src', CopySource=own) == (400, 'InvalidRequest')
    s3.copy_object(Bucket=bucket, Key='src', CopySource=own, MetadataDirective='REPLACE', Metadata={'new': 'yes'})
    assert s3.head_object(Bucket=bucket, Key='src')['Metadata'] == {'new': 'yes'}
    assert get(s3, bucket, 'src') == b'source'
    assert code_of(s3.copy_object, Bucket=bucket, Key='x', CopySource={'Bucket': bucket, 'Key': 'none'}) == (404, 'NoSuchKey')
    assert code_of(s3.copy_object, Bucket=bucket, Key='x', CopySource={'Bucket': 'none-' + bucket, 'Key': 'a'}) == (404, 'NoSuchBucket')
    etag = s3.head_object(Bucket=bucket, Key='src')['ETag']
    assert code_of(s3.copy_object, Bucket=bucket, Key='x', CopySource=own, CopySourceIfNoneMatch=etag) == (412, 'PreconditionFailed')
    s3.copy_object(Bucket=bucket, Key='x', CopySource=own, CopySourceIfMatch=etag)


def test_a_plus_in_a_copy_source_is_a_space(server, s3, bucket):
    """So AWS reads it, and programs that encode the header as a form's field count on it."""
    for key in ('a b', 'a+b', 'd/a b'):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    sources = {'/a+b': b'a b', '/a%20b': b'a b', '/a%2Bb': b'a+b', '/d/a+b': b'd/a b', '%2Fa+b': b'a b', '%2Fa%2Bb': b'a+b'}
    for source, body in sources.items():
        header = [('x-amz-copy-source', bucket + source)]
        assert request(server, 'PUT', '/%s/to' % bucket, headers=header).status == 200, source
        assert get(s3, bucket, 'to') == body, source
        upload = start(s3, bucket)
        query = 'partNumber=1&uploadId=' + upload
        assert request(server, 'PUT', '/%s/m' % bucket, query=query, headers=header).status == 200, source
        etag = '"%s"' % hashlib.md5(body).hexdigest()
        complete(s3, bucket, upload, [{'PartNumber': 1, 'ETag': etag}])
        assert get(s3, bucket, 'm') == body, source


def test_a_copy_onto_itself_is_of_what_was_tested(server, s3, bucket):
    """Another object comes between the source's conditions and the write: it is not taken for the source."""
    own = {'Bucket': bucket, 'Key': 'k'}
    tags = ['"%s"' % hashlib.md5(body).hexdigest() for body in (b'one', b'two')]
    s3.put_object(Bucket=bucket, Key='k', Body=b'one')
    stop = threading.Event()

    def overwrite():
        other = make_client(server)
        while not stop.is_set():
            for body in (b'two', b'one'):
                other.put_object(Bucket=bucket, Key='k', Body=body)

    writers = [threading.Thread(target=overwrite) for _ in range(2)]
    for w in writers:
        w.start()
    try:
        for i in range(30):
            try:
                r = s3.copy_object(Bucket=bucket, Key='k', CopySource=own, CopySourceIfMatch=tags[0],
                                   MetadataDirective='REPLACE', Metadata={'n': str(i)})
            except ClientError as e:
                assert e.response['Error']['Code'] == 'PreconditionFailed'
                continue
            assert r['CopyObjectResult']['ETag'] == tags[0]
    finally:
        stop.set()
        for w in writers:
            w.join()
    s3.put_object(Bucket=bucket, Key='k', Body=b'one')
    s3.copy_object(Bucket=bucket, Key='k', CopySource=own, CopySourceIfMatch=tags[0], MetadataDirective='REPLACE',
                   Metadata={'last': 'yes'})
    assert (get(s3, bucket, 'k'), s3.head_object(Bucket=bucket, Key='k')['Metadata']) == (b'one', {'last': 'yes'})


def test_copy_of_a_large_object(s3, bucket):
    data = data_of(9 << 20, 8)
    s3.put_object(Bucket=bucket, Key='large', Body=data)
    s3.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': 'large'})
    s3.delete_object(Bucket=bucket, Key='large')
    assert get(s3, bucket, 'copy') == data


def test_delete_many(server, s3, bucket):
    for i in range(30):
        s3.put_object(Bucket=bucket, Key='d%d' % i)
    r = s3.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': 'd%d' % i} for i in range(20)] + [{'Key': 'absent<&>'}]})
    assert len(r['Deleted']) == 21 and 'Errors' not in r
    r = s3.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': 'd%d' % i} for i in range(20, 30)], 'Quiet': True})
    assert 'Deleted' not in r and 'Errors' not in r
    assert 'Contents' not in s3.list_objects_v2(Bucket=bucket)
    body = b'<Delete>' + b''.join(b'<Object><Key>k%d</Key></Object>' % i for i in range(1001)) + b'</Delete>'
    md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
    assert request(server, 'POST', '/' + bucket, query='delete=', body=body, headers=[md5]).code == 'MalformedXML'
    small = b'<Delete><Object><Key>k</Key></Object></Delete>'
    crc = ('x-amz-checksum-crc32', base64.b64encode((binascii.crc32(small)).to_bytes(4, 'big')).decode())
    assert request(server, 'POST', '/' + bucket, query='delete', body=small, headers=[crc]).status == 200
    assert request(server, 'POST', '/' + bucket, query='delete', body=small).code == 'InvalidRequest'
    wrong = ('x-amz-checksum-crc32', 'AAAAAA==')
    assert request(server, 'POST', '/' + bucket, query='delete', body=small, headers=[wrong]).code == 'BadDigest'


def test_missing_things_have_their_errors(s3, bucket):
    assert code_of(s3.get_object, Bucket=bucket, Key='none') == (404, 'NoSuchKey')
    assert code_of(s3.head_object, Bucket=bucket, Key='none') == (404, '404')
    assert s3.delete_object(Bucket=bucket, Key='none')['ResponseMetadata']['HTTPStatusCode'] == 204
    assert code_of(s3.put_object, Bucket=bucket, Key='k' * 1025) == (400, 'KeyTooLongError')
    s3.put_object(Bucket=bucket, Key='k' * 1024)


# ---- listing ------------------------------------------------------------------------------------

ODD_KEYS = ['a', 'a/', 'a/b', 'a/b/c', '../x', '//', '///x', '%2F', 'a b', 'a+b', 'é', '🪨', 'a\tb', 'x<y>&"\'', '\u200b', 'z' * 1024]


def test_keys_of_every_odd_shape_coexist(s3, bucket):
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [o['Key'] for o in s3.list_objects_v2(Bucket=bucket)['Contents']]
    assert listed == sorted(ODD_KEYS, key=lambda k: k.encode())
    for key in ODD_KEYS:
        assert get(s3, bucket, key) == key.encode()


def expected_listing(keys, prefix, delimiter, after):
    """[(key, is_prefix)] as S3 defines it, by the definition."""
    out = []
    for key in sorted(keys, key=lambda k: k.encode()):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = (key[:at + len(delimiter)], True) if at >= 0 else (key, False)
        if entry[0].encode() <= after.encode() or (out and out[-1] == entry):
            continue
        if entry[1] and after.startswith(entry[0]):
            continue
        out.append(entry)
    return out


def test_listing_equals_its_definition_for_every_page_size(s3, bucket):
    draw = random.Random(11)
    keys = sorted({''.join(draw.choice('ab/-') for _ in range(draw.randrange(1, 7))) for _ in range(60)})
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key)
    for prefix, delimiter in (('', ''), ('', '/'), ('a', '/'), ('a/', '/'), ('', 'b/'), ('-', ''), ('b', '-'), ('zz', '/')):
        for page in (1, 3, 1000):
            got, token = [], {}
            while True:
                r = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter=delimiter, MaxKeys=page, **token)
                entries = [(o['Key'], False) for o in r.get('Contents', [])] + [(p['Prefix'], True) for p in r.get('CommonPrefixes', [])]
                assert len(entries) <= page and r['KeyCount'] == len(entries)
                got += sorted(entries, key=lambda e: e[0].encode())
                if not r['IsTruncated']:
                    break
                token = {'ContinuationToken': r['NextContinuationToken']}
            assert got == expected_listing(keys, prefix, delimiter, '')
    for after in ('', 'a', 'a/', 'a/b', 'b-', 'zzz'):
        r = s3.list_objects_v2(Bucket=bucket, StartAfter=after)
        assert [o['Key'] for o in r.get('Contents', [])] == [k for k, _ in expected_listing(keys, '', '', after)]
        r = s3.list_objects(Bucket=bucket, Marker=after)
        assert [o['Key'] for o in r.get('Contents', [])] == [k for k, _ in expected_listing(keys, '', '', after)]


def test_listing_v1_pages_with_next_marker(s3, bucket):
    for key in ('a/1', 'a/2', 'b', 'c/1', 'd'):
        s3.put_object(Bucket=bucket, Key=key)
    r = s3.list_objects(Bucket=bucket, Delimiter='/', MaxKeys=2)
    assert ([p['Prefix'] for p in r['CommonPrefixes']], [o['Key'] for o in r['Contents']], r['NextMarker']) == (['a/'], ['b'], 'b')
    r = s3.list_objects(Bucket=bucket, Delimiter='/', MaxKeys=2, Marker=r['NextMarker'])
    assert ([p['Prefix'] for p in r['CommonPrefixes']], [o['Key'] for o in r['Contents']]) == (['c/'], ['d'])
    assert not r['IsTruncated']


def test_a_marker_inside_of_a_common_prefix_goes_on_behind_it(s3, bucket):
    for key in ('d/a/1', 'd/a/2', 'd/b', 'd/c'):
        start(s3, bucket, key=key)
        s3.put_object(Bucket=bucket, Key=key)
    for marker in ('d/a/1', 'd/a/', 'd/a/0', 'd/a/3'):
        for call, name, told in ((s3.list_objects, 'Marker', 'Contents'), (s3.list_object_versions, 'KeyMarker', 'Versions'),
                                 (s3.list_multipart_uploads, 'KeyMarker', 'Uploads')):
            r = call(Bucket=bucket, Prefix='d/', Delimiter='/', **{name: marker})
            assert ([e['Key'] for e in r[told]], r.get('CommonPrefixes'), r[name]) == (['d/b', 'd/c'], None, marker)
            assert [e['Key'] for e in call(Bucket=bucket, Prefix='d/', **{name: 'd/a/1'})[told]] == ['d/a/2', 'd/b', 'd/c'], 'no delimiter'
    assert s3.list_objects(Bucket=bucket, Delimiter='/', Marker='c/x')['CommonPrefixes'] == [{'Prefix': 'd/'}]


def test_markers_longer_than_keys_are_behind_or_before_all(s3, bucket):
    for key in ('d/b', 'd/z'):
        start(s3, bucket, key=key)
        s3.put_object(Bucket=bucket, Key=key)
    for length in (1021, 1022, 1023, 1024, 1500, 2100, 3000):
        for end in ('/', '/y', ''):
            for call, name, told in ((s3.list_objects, 'Marker', 'Contents'), (s3.list_object_versions, 'KeyMarker', 'Versions'),
                                     (s3.list_multipart_uploads, 'KeyMarker', 'Uploads')):
                r = call(Bucket=bucket, Prefix='d/', Delimiter='/', **{name: 'd/' + 'x' * length + end})
                assert [e['Key'] for e in r[told]] == ['d/z'], (name, length, end)


def test_listing_elements_and_limits(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'12345')
    o = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)['Contents'][0]
    assert (o['Size'], o['ETag'], o['StorageClass']) == (5, '"%s"' % hashlib.md5(b'12345').hexdigest(), 'STANDARD')
    assert o['Owner']['ID']
    assert 'Owner' not in s3.list_objects_v2(Bucket=bucket)['Contents'][0]
    assert s3.list_objects(Bucket=bucket)['Contents'][0]['Owner']['ID']
    r = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert r['KeyCount'] == 0 and not r['IsTruncated']
    for bad in ('max-keys=-1', 'max-keys=x', 'encoding-type=none', 'list-type=2&continuation-token=zzz'):
        assert request(server, 'GET', '/' + bucket, query=bad).code == 'InvalidArgument', bad


def test_tokens_resume_while_the_bucket_changes(s3, bucket):
    for i in range(40):
        s3.put_object(Bucket=bucket, Key='k%02d' % i)
    r = s3.list_objects_v2(Bucket=bucket, MaxKeys=10)
    for i in range(0, 20):
        s3.delete_object(Bucket=bucket, Key='k%02d' % i)
    s3.put_object(Bucket=bucket, Key='k09x')
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=r['NextContinuationToken'])
    assert [o['Key'] for o in rest['Contents']] == ['k09x'] + ['k%02d' % i for i in range(20, 40)]


# ---- multipart ----------------------------------------------------------------------------------

MIN = 5 << 20


def start(s3, bucket, key='m', **kwargs):
    return s3.create_multipart_upload(Bucket=bucket, Key=key, **kwargs)['UploadId']


def part(s3, bucket, upload, number, data, key='m'):
    etag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)['ETag']
    assert etag == '"%s"' % hashlib.md5(data).hexdigest()
    return {'PartNumber': number, 'ETag': etag}


def complete(s3, bucket, upload, parts, key='m', **kwargs):
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={'Parts': parts}, **kwargs)


def test_multipart_in_any_order_with_replaced_parts(s3, bucket):
    upload = start(s3, bucket, ContentType='x/y', Metadata={'a': 'b'})
    datas = {n: data_of(MIN + n, n) for n in (7, 2, 10000)}
    parts = {n: part(s3, bucket, upload, n, data_of(MIN, 99)) for n in (2,)}
    parts = {n: part(s3, bucket, upload, n, datas[n]) for n in (10000, 7, 2)}
    listed = s3.list_parts(Bucket=bucket, Key='m', UploadId=upload, MaxParts=2)
    assert [p['PartNumber'] for p in listed['Parts']] == [2, 7] and listed['IsTruncated']
    listed = s3.list_parts(Bucket=bucket, Key='m', UploadId=upload, PartNumberMarker=listed['NextPartNumberMarker'])
    assert [p['PartNumber'] for p in listed['Parts']] == [10000] and listed['NextPartNumberMarker'] == 10000
    order = [parts[n] for n in sorted(parts)]
    assert code_of(complete, s3, bucket, upload, order[::-1]) == (400, 'InvalidPartOrder')
    assert code_of(complete, s3, bucket, upload, order + [{'PartNumber': 10000, 'ETag': '"x"'}])[0] == 400
    wrong = dict(order[0], ETag='"%s"' % ('0' * 32))
    assert code_of(complete, s3, bucket, upload, [wrong] + order[1:]) == (400, 'InvalidPart')
    done = complete(s3, bucket, upload, order)
    whole = b''.join(datas[n] for n in sorted(datas))
    digest = hashlib.md5(b''.join(hashlib.md5(datas[n]).digest() for n in sorted(datas))).hexdigest()
    assert done['ETag'] == '"%s-3"' % digest
    assert complete(s3, bucket, upload, order)['ETag'] == done['ETag'], 'a repeated complete'
    head = s3.head_object(Bucket=bucket, Key='m')
    assert (head['ContentLength'], head['ContentType'], head['Metadata']) == (len(whole), 'x/y', {'a': 'b'})
    assert get(s3, bucket, 'm') == whole
    edge = len(datas[2])
    assert get(s3, bucket, 'm', Range='bytes=%d-%d' % (edge - 10, edge + 10)) == whole[edge - 10:edge + 11]
    second = s3.get_object(Bucket=bucket, Key='m', PartNumber=2)
    assert second['Body'].read() == datas[7] and second['PartsCount'] == 3
    assert code_of(s3.get_object, Bucket=bucket, Key='m', PartNumber=4)[0] == 416
    assert code_of(s3.list_parts, Bucket=bucket, Key='m', UploadId=upload) == (404, 'NoSuchUpload')


def test_multipart_part_listed_twice_counts_as_listed_last(s3, bucket):
    upload = start(s3, bucket)
    first, again = part(s3, bucket, upload, 1, b'first'), part(s3, bucket, upload, 1, b'again')
    complete(s3, bucket, upload, [first, again])
    assert get(s3, bucket, 'm') == b'again'


def test_multipart_only_the_listed_parts_count(s3, bucket):
    upload = start(s3, bucket)
    one, two = part(s3, bucket, upload, 1, data_of(MIN, 1)), part(s3, bucket, upload, 2, b'left out')
    assert two
    complete(s3, bucket, upload, [one])
    assert get(s3, bucket, 'm') == data_of(MIN, 1)


def error_of(call, *args, **kwargs):
    with pytest.raises(ClientError) as e:
        call(*args, **kwargs)
    return {k: v for k, v in e.value.response['Error'].items() if k not in ('Message', 'Resource', 'RequestId', 'HostId')}


def test_multipart_errors_name_the_part(s3, bucket):
    upload = start(s3, bucket)
    small, last = part(s3, bucket, upload, 1, b'small'), part(s3, bucket, upload, 2, b'last')
    assert error_of(complete, s3, bucket, upload, [small, last]) == {
        'Code': 'EntityTooSmall', 'PartNumber': '1', 'ETag': small['ETag'].strip('"'), 'ProposedSize': '5', 'MinSizeAllowed': str(MIN)}
    other = dict(last, ETag='"%s"' % ('0' * 32))
    for listed, number, etag in (([other], '2', '0' * 32), ([dict(last, PartNumber=3)], '3', last['ETag'].strip('"'))):
        assert error_of(complete, s3, bucket, upload, listed) == {'Code': 'InvalidPart', 'PartNumber': number, 'ETag': etag, 'UploadId': upload}
    assert error_of(complete, s3, bucket, upload, [last, small]) == {'Code': 'InvalidPartOrder', 'UploadId': upload}


def test_copies_name_the_condition_that_did_not_hold(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key='from', Body=b'x')['ETag']
    past, later = datetime.datetime(2001, 1, 1), s3.head_object(Bucket=bucket, Key='from')['LastModified']
    for name, value in (('Match', '"%s"' % ('0' * 32)), ('NoneMatch', etag), ('UnmodifiedSince', past), ('ModifiedSince', later)):
        error = error_of(s3.copy_object, Bucket=bucket, Key='to', CopySource={'Bucket': bucket, 'Key': 'from'}, **{'CopySourceIf' + name: value})
        header = {'NoneMatch': 'None-Match', 'UnmodifiedSince': 'Unmodified-Since', 'ModifiedSince': 'Modified-Since'}.get(name, name)
        assert error == {'Code': 'PreconditionFailed', 'Condition': 'x-amz-copy-source-If-' + header}
    error = error_of(s3.get_object, Bucket=bucket, Key='from', IfUnmodifiedSince=past, IfNoneMatch='"%s"' % ('0' * 32))
    assert error == {'Code': 'PreconditionFailed', 'Condition': 'If-Unmodified-Since'}


def test_multipart_limits_and_errors(server, s3, bucket):
    upload = start(s3, bucket)
    small = part(s3, bucket, upload, 1, b'small')
    last = part(s3, bucket, upload, 2, b'last')
    assert code_of(complete, s3, bucket, upload, [small, last]) == (400, 'EntityTooSmall')
    assert code_of(complete, s3, bucket, upload, []) == (400, 'MalformedXML')
    assert code_of(complete, s3, bucket, 'no-such-upload', [small]) == (404, 'NoSuchUpload')
    assert code_of(complete, s3, bucket, upload, [small], key='other') == (404, 'NoSuchUpload')
    for number in (0, 10001):
        assert code_of(s3.upload_part, Bucket=bucket, Key='m', UploadId=upload, PartNumber=number, Body=b'') == (400, 'InvalidArgument')
    assert code_of(s3.upload_part, Bucket=bucket, Key='m', UploadId='none', PartNumber=1, Body=b'x') == (404, 'NoSuchUpload')
    s3.abort_multipart_upload(Bucket=bucket, Key='m', UploadId=upload)
    assert code_of(s3.abort_multipart_upload, Bucket=bucket, Key='m', UploadId=upload) == (404, 'NoSuchUpload')
    assert code_of(s3.upload_part, Bucket=bucket, Key='m', UploadId=upload, PartNumber=1, Body=b'x') == (404, 'NoSuchUpload')
    assert code_of(s3.get_object, Bucket=bucket, Key='m') == (404, 'NoSuchKey')


def test_part_copy(s3, bucket):
    data = data_of(11 << 20, 12)
    s3.put_object(Bucket=bucket, Key='src', Body=data)
    upload = start(s3, bucket)
    source = {'Bucket': bucket, 'Key': 'src'}
    parts = []
    for n, span in ((1, 'bytes=0-%d' % (MIN - 1)), (2, 'bytes=%d-%d' % (MIN, len(data) - 1))):
        r = s3.upload_part_copy(Bucket=bucket, Key='m', UploadId=upload, PartNumber=n, CopySource=source, CopySourceRange=span)
        parts.append({'PartNumber': n, 'ETag': r['CopyPartResult']['ETag']})
    for bad in ('bytes=0-%d' % len(data), 'bytes=5', 'nonsense', 'bytes=9-2'):
        status, code = code_of(s3.upload_part_copy, Bucket=bucket, Key='m', UploadId=upload, PartNumber=3, CopySource=source,
                               CopySourceRange=bad)
        assert status in (400, 416) and code in ('InvalidArgument', 'InvalidRange')
    complete(s3, bucket, upload, parts)
    assert get(s3, bucket, 'm') == data


def test_uploads_are_listed_in_order(s3, bucket):
    uploads = [(key, start(s3, bucket, key)) for key in ('b', 'a', 'a', 'dir/x', 'dir/y')]
    listed = s3.list_multipart_uploads(Bucket=bucket)['Uploads']
    assert [u['Key'] for u in listed] == ['a', 'a', 'b', 'dir/x', 'dir/y']
    assert {(u['Key'], u['UploadId']) for u in listed} == set(uploads)
    assert [u['UploadId'] for u in listed[:2]] == [u for k, u in uploads if k == 'a'], 'in the order of their start'
    r = s3.list_multipart_uploads(Bucket=bucket, Delimiter='/')
    assert [p['Prefix'] for p in r['CommonPrefixes']] == ['dir/'] and len(r['Uploads']) == 3
    seen, more = [], {}
    while True:
        r = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **more)
        seen += [(u['Key'], u['UploadId']) for u in r['Uploads']]
        if not r['IsTruncated']:
            break
        more = {'KeyMarker': r['NextKeyMarker'], 'UploadIdMarker': r['NextUploadIdMarker']}
    assert seen == [(u['Key'], u['UploadId']) for u in listed]
    for key, upload in uploads:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


def test_ten_thousand_small_parts_are_kept_apart(server, s3, bucket):
    """Numbers at the edges of every page of the part listing."""
    upload = start(s3, bucket)
    numbers = [1, 2, 999, 1000, 1001, 2000, 9999, 10000]
    for n in numbers:
        part(s3, bucket, upload, n, b'%d' % n)
    pages = s3.get_paginator('list_parts').paginate(Bucket=bucket, Key='m', UploadId=upload, PaginationConfig={'PageSize': 3})
    assert [p['PartNumber'] for page in pages for p in page['Parts']] == numbers
    s3.abort_multipart_upload(Bucket=bucket, Key='m', UploadId=upload)


# ---- checksums ----------------------------------------------------------------------------------

def test_checksums_are_verified_stored_and_returned(server, bucket):
    data = b'checksummed' * 1000
    values = {'crc32': binascii.crc32(data).to_bytes(4, 'big'), 'sha1': hashlib.sha1(data).digest(),
              'sha256': hashlib.sha256(data).digest(), 'sha512': hashlib.sha512(data).digest(), 'md5': hashlib.md5(data).digest(),
              'xxhash64': bytes.fromhex('246e9b99ce1c2c58'), 'xxhash3': bytes.fromhex('dd1836da36e7c64e'),
              'xxhash128': bytes.fromhex('83fe28d2ce44ab44dd1836da36e7c64e')}
    for kind, value in values.items():
        name = 'x-amz-checksum-' + kind
        text = base64.b64encode(value).decode()
        put = request(server, 'PUT', '/%s/k' % bucket, headers=[(name, text)], body=data)
        assert put.status == 200 and put.headers[name] == text
        got = request(server, 'GET', '/%s/k' % bucket, headers=[('x-amz-checksum-mode', 'ENABLED')])
        assert got.headers[name] == text and got.headers['x-amz-checksum-type'] == 'FULL_OBJECT'
        part_of_it = request(server, 'GET', '/%s/k' % bucket, headers=[('x-amz-checksum-mode', 'ENABLED'), ('Range', 'bytes=0-9')])
        assert part_of_it.status == 206 and name not in part_of_it.headers
        bad = base64.b64encode(bytes(len(value))).decode()
        assert request(server, 'PUT', '/%s/bad' % bucket, headers=[(name, bad)], body=data).code == 'BadDigest'
        assert request(server, 'PUT', '/%s/bad' % bucket, headers=[(name, 'AA==')], body=data).code == 'BadDigest'
    two = [('x-amz-checksum-crc32', 'AAAAAA=='), ('x-amz-checksum-sha1', 'AAAA')]
    assert request(server, 'PUT', '/%s/bad' % bucket, headers=two, body=data).code == 'InvalidRequest'
    assert request(server, 'HEAD', '/%s/bad' % bucket).status == 404
    plain = request(server, 'PUT', '/%s/plain' % bucket, body=data)
    assert 'x-amz-checksum-crc64nvme' in plain.headers


@pytest.mark.parametrize('kind', ['sha512', 'md5'])
def test_digests_of_parts_make_one_of_the_whole(server, s3, bucket, kind):
    digest = getattr(hashlib, kind)
    name = 'x-amz-checksum-' + kind
    created = request(server, 'POST', '/%s/m' % bucket, query='uploads', headers=[('x-amz-checksum-algorithm', kind.upper())])
    assert (created.headers['x-amz-checksum-algorithm'], created.headers['x-amz-checksum-type']) == (kind.upper(), 'COMPOSITE')
    upload = created.body.split(b'<UploadId>')[1].split(b'<')[0].decode()
    body = b'<CompleteMultipartUpload>'
    parts = [data_of(5 << 20, 1), b'the rest']
    for n, data in enumerate(parts, 1):
        text = base64.b64encode(digest(data).digest()).decode()
        put = request(server, 'PUT', '/%s/m' % bucket, query='partNumber=%d&uploadId=%s' % (n, upload), headers=[(name, text)], body=data)
        assert put.headers[name] == text
        body += b'<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Checksum%s>%s</Checksum%s></Part>' % (
            n, put.headers['etag'].encode(), kind.upper().encode(), text.encode(), kind.upper().encode())
    done = request(server, 'POST', '/%s/m' % bucket, query='uploadId=' + upload, body=body + b'</CompleteMultipartUpload>')
    assert done.status == 200, done.body
    whole = base64.b64encode(digest(b''.join(digest(p).digest() for p in parts)).digest()).decode() + '-2'
    got = request(server, 'HEAD', '/%s/m' % bucket, headers=[('x-amz-checksum-mode', 'ENABLED')]).headers
    assert (got[name], got['x-amz-checksum-type']) == (whole, 'COMPOSITE')
    full = request(server, 'POST', '/%s/m' % bucket, query='uploads', headers=[('x-amz-checksum-algorithm', kind.upper()),
                                                                            ('x-amz-checksum-type', 'FULL_OBJECT')])
    assert full.code == 'InvalidRequest'


@pytest.mark.parametrize('end,status', [(b'\r\n', 200), (b'\r\n\r\n', 200), (b'\r\n\r\n\r\n', 400), (b'\r\nx', 400)])
def test_trailers_as_the_go_client_of_minio_ends_them(server, bucket, end, status):
    data = b'trailed' * 2000
    text = base64.b64encode(binascii.crc32(data).to_bytes(4, 'big'))
    body = b'%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\n' % (len(data), data, text) + end
    put = request(server, 'PUT', '/%s/k' % bucket, body=body, payload=UNSIGNED_TRAILER, headers=[
        ('x-amz-decoded-content-length', str(len(data))), ('x-amz-trailer', 'x-amz-checksum-crc32'), ('content-encoding', 'aws-chunked')])
    assert put.status == status
    if status == 200:
        assert request(server, 'GET', '/%s/k' % bucket).body == data
    else:
        assert put.code == 'IncompleteBody'


# ---- what is not served ---------------------------------------------------------------------------

@pytest.mark.parametrize('method,target,query', [
    ('GET', '', 'replication'), ('PUT', '', 'analytics&id=1'),
])
def test_operations_not_served_answer_not_implemented(server, bucket, method, target, query):
    r = request(server, method, '/%s%s' % (bucket, target), query='&'.join(q if '=' in q else q + '=' for q in query.split('&')))
    assert (r.status, r.code) == (501, 'NotImplemented'), r
    assert b'<Code>NotImplemented</Code>' in r.body


@pytest.mark.parametrize('header', [('x-amz-server-side-encryption', 'aws:kms:dsse'),
                                    ('x-amz-write-offset-bytes', '0')])
def test_headers_that_ask_for_more_are_refused_not_ignored(server, bucket, header):
    r = request(server, 'PUT', '/%s/k' % bucket, headers=[header], body=b'x')
    assert (r.status, r.code) == (501, 'NotImplemented'), r
    assert request(server, 'HEAD', '/%s/k' % bucket).status == 404


def test_error_body_and_request_id(server, bucket):
    r = request(server, 'GET', '/%s/missing' % bucket)
    assert r.headers['content-type'] == 'application/xml'
    for element in (b'<Code>NoSuchKey</Code>', b'<Message>', b'<Key>missing</Key>', b'<RequestId>', b'<HostId>'):
        assert element in r.body
    assert r.headers['x-amz-request-id'].encode() in r.body
    assert not request(server, 'HEAD', '/%s/missing' % bucket).body


def test_virtual_host_style():
    from server import Server
    s = Server(options=['--domain', 'localhost'])
    try:
        s.start()
        client = make_client(s)
        client.create_bucket(Bucket='vhost')
        host = 'vhost.localhost:%d' % s.port
        signer = Signer(s.access_key, s.secret_key)
        from raw import Connection, request_bytes
        for method, path, body in (('PUT', '/-/info', b'no door'), ('PUT', '/dir/key', b'by host'), ('GET', '/dir/key', b'')):
            headers = signer.headers(method, path, '', [('Host', host)], hashlib.sha256(body).hexdigest())
            with Connection(s) as c:
                c.send(request_bytes(method, path, headers + [('Content-Length', str(len(body)))], body))
                r = c.reply(method)
            assert r.status == 200
        assert r.body == b'by host'
        assert get(client, 'vhost', 'dir/key') == b'by host'
        assert get(client, 'vhost', '-/info') == b'no door'
        for path in ('/metrics', '/health/live', '/-/info'):  # what stands below a bucket's host is its keys
            with Connection(s) as c:
                c.send(request_bytes('GET', path, [('Host', host)]))
                assert c.reply('GET').status == 403
        assert s.stop() == 0
    finally:
        s.remove()


def test_memory_stays_bounded_while_many_large_bodies_pass(server, s3, bucket):
    if 'asan' in os.environ.get('CAIRN', ''):
        pytest.skip('a sanitizer keeps freed memory')
    data = data_of(32 << 20, 13)

    def work(n):
        client = make_client(server)
        client.put_object(Bucket=bucket, Key='big%d' % n, Body=data)
        assert get(client, bucket, 'big%d' % n) == data
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with open('/proc/%d/status' % server.process.pid) as f:
        peak = [int(line.split()[1]) for line in f if line.startswith('VmHWM')][0]
    assert peak < 300 * 1024, 'peak resident set of %d KiB' % peak
