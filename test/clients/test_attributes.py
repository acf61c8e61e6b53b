# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""GetObjectAttributes and conditional deletions."""
import base64
import datetime
import hashlib
import json
import re
import uuid

from raw import Signer, request
from test_boto3 import code_of, data_of

ALL = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize']
PART = 5 * 1024 * 1024
PAST = datetime.datetime(2015, 1, 1)


def upload(s3, bucket, key, numbers, **kwargs):
    """A multipart object of one part a number, the last of three bytes; its completion's answer."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **kwargs)['UploadId']
    algorithm = kwargs.get('ChecksumAlgorithm')
    parts = []
    for n in numbers:
        body = data_of(PART, n) if n != numbers[-1] else b'end'
        options = {'ChecksumAlgorithm': algorithm} if algorithm else {}
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=n, Body=body, **options)
        part = {'PartNumber': n, 'ETag': answer['ETag']}
        part.update({k: v for k, v in answer.items() if k.startswith('Checksum') and k != 'ChecksumType'})
        parts.append(part)
    done = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={'Parts': parts})
    return done, parts


def checksum_type(server, bucket):
    """Which boto3 tells only in later versions than Debian's."""
    r = request(server, 'GET', '/%s/k' % bucket, 'attributes=', headers=[('x-amz-object-attributes', 'Checksum')])
    return r.body.split(b'<ChecksumType>')[1].split(b'<')[0]


def test_attributes_of_a_plain_object(server, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key='k', Body=b'hello', ChecksumAlgorithm='SHA256')['ETag']
    a = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=ALL)
    assert a['ETag'] == etag.strip('"')
    assert a['ObjectSize'] == 5 and a['StorageClass'] == 'STANDARD'
    assert a['Checksum']['ChecksumSHA256'] == 'LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ='
    assert checksum_type(server, bucket) == b'FULL_OBJECT'
    assert 'ObjectParts' not in a
    assert a['LastModified'] == s3.head_object(Bucket=bucket, Key='k')['LastModified']
    only = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=['ObjectSize'])
    assert only['ObjectSize'] == 5 and not set(only) & {'ETag', 'Checksum', 'StorageClass'}


def test_attributes_of_parts_page_by_number(server, s3, bucket):
    done, parts = upload(s3, bucket, 'k', [2, 5, 9], ChecksumAlgorithm='SHA256')
    a = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=ALL)
    assert a['ETag'] == done['ETag'].strip('"')
    assert a['Checksum']['ChecksumSHA256'] == done['ChecksumSHA256'].split('-')[0]
    assert checksum_type(server, bucket) == b'COMPOSITE'
    assert done['ChecksumSHA256'].endswith('-3')
    listed = a['ObjectParts']
    assert listed['TotalPartsCount'] == 3 and not listed['IsTruncated']
    assert [(p['PartNumber'], p['Size'], p['ChecksumSHA256']) for p in listed['Parts']] == \
        [(p['PartNumber'], PART if p['PartNumber'] != 9 else 3, p['ChecksumSHA256']) for p in parts]
    seen, marker = [], 0
    while True:
        page = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=['ObjectParts'], MaxParts=1,
                                        PartNumberMarker=marker)['ObjectParts']
        assert page['MaxParts'] == 1 and page['PartNumberMarker'] == marker
        seen += [p['PartNumber'] for p in page['Parts']]
        marker = page['NextPartNumberMarker']
        if not page['IsTruncated']:
            break
    assert seen == [2, 5, 9]
    part = request(server, 'GET', '/%s/k' % bucket, 'partNumber=3', headers=[('x-amz-checksum-mode', 'ENABLED')]).headers
    assert (part['x-amz-checksum-sha256'], part['x-amz-checksum-type']) == (parts[2]['ChecksumSHA256'], 'COMPOSITE')


def test_attributes_must_be_named_and_known(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')

    def ask(*headers):
        return request(server, 'GET', '/%s/k' % bucket, 'attributes=', headers=headers)
    assert (ask().status, ask().code) == (400, 'InvalidRequest')
    bad = ask(('x-amz-object-attributes', 'ETag,Colour'))
    assert (bad.status, bad.code) == (400, 'InvalidArgument')
    bad = ask(('x-amz-object-attributes', 'ETag'), ('x-amz-max-parts', '-1'))
    assert (bad.status, bad.code) == (400, 'InvalidArgument')
    good = ask(('x-amz-object-attributes', 'ETag, ObjectSize'))
    assert good.status == 200 and b'<ObjectSize>1<' in good.body and b'<ETag>' in good.body
    assert code_of(s3.get_object_attributes, Bucket=bucket, Key='none', ObjectAttributes=ALL) == (404, 'NoSuchKey')


def test_attributes_under_conditions(server, s3, bucket):
    """As GetObject's, of the version that is named; the reference says so, no SDK has a word for it."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    old, new = (s3.put_object(Bucket=bucket, Key='k', Body=body) for body in (b'old', b'new!'))
    past, future = 'Thu, 01 Jan 2015 00:00:00 GMT', 'Fri, 01 Jan 2038 00:00:00 GMT'

    def ask(version, *headers):
        query = 'attributes=&versionId=%s' % version if version else 'attributes='
        return request(server, 'GET', '/%s/k' % bucket, query, headers=(('x-amz-object-attributes', 'ObjectSize'),) + headers)

    for version, mine, other in ((None, new, old), (new['VersionId'], new, old), (old['VersionId'], old, new)):
        assert ask(version, ('If-Match', mine['ETag'])).status == 200
        assert ask(version, ('If-Match', mine['ETag']), ('If-Unmodified-Since', past)).status == 200
        refused = ask(version, ('If-Match', other['ETag']), ('If-Unmodified-Since', future))
        assert (refused.status, refused.code) == (412, 'PreconditionFailed')
        assert b'<Condition>If-Match</Condition>' in refused.body
        same = ask(version, ('If-None-Match', mine['ETag']), ('If-Modified-Since', past))
        assert (same.status, same.body, same.headers['etag']) == (304, b'', mine['ETag'])
        assert ask(version, ('If-None-Match', other['ETag']), ('If-Modified-Since', future)).status == 200
        assert ask(version, ('If-Unmodified-Since', past)).status == 412
    assert ask(None).status == 200
    for put in old, new:
        s3.delete_object(Bucket=bucket, Key='k', VersionId=put['VersionId'])


def test_attributes_and_conditions_need_the_right_to_read(server, s3, bucket):
    user = 'a' + uuid.uuid4().hex[:12]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret/' + user, '--id', user + '-id')
    signer = Signer(user, 'secret/' + user)

    def allow(*actions):
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [dict(
            Effect='Allow', Principal={'AWS': user + '-id'}, Action=actions, Resource='arn:aws:s3:::%s/*' % bucket)]}))

    def ask(method, query='', *headers):
        return request(server, method, '/%s/k' % bucket, query, headers=headers, signer=signer).status

    s3.put_object(Bucket=bucket, Key='k', Body=b'four')
    allow('s3:GetObjectAttributes', 's3:DeleteObject')
    wanted = ('x-amz-object-attributes', 'ObjectSize')
    assert ask('GET', 'attributes=', wanted) == 403
    for condition in ('x-amz-if-match-size', '5'), ('x-amz-if-match-last-modified-time', 'Thu, 01 Jan 2015 00:00:00 GMT'):
        assert ask('DELETE', '', condition) == 403
    allow('s3:GetObjectAttributes', 's3:GetObject', 's3:DeleteObject')
    assert ask('GET', 'attributes=', wanted) == 200
    assert ask('DELETE', '', ('x-amz-if-match-size', '5')) == 412


def test_there_is_no_torrent(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    assert code_of(s3.get_object_torrent, Bucket=bucket, Key='k') == (404, 'NoSuchKey')


# ---- conditional deletions ----------------------------------------------------------------------

def http_date(t):
    return t.strftime('%a, %d %b %Y %H:%M:%S GMT')


def deletion_conditions(etag=None, size=None, modified=None):
    """As headers: Debian's boto3 does not know them yet."""
    found = [('If-Match', etag), ('x-amz-if-match-size', size), ('x-amz-if-match-last-modified-time', modified and http_date(modified))]
    return [(name, str(value)) for name, value in found if value is not None]


def test_deletion_under_conditions(server, s3, bucket):
    def put():
        s3.put_object(Bucket=bucket, Key='k', Body=b'abc')
        o = s3.head_object(Bucket=bucket, Key='k')
        return o['ETag'], o['LastModified']

    def delete(**conditions):
        return request(server, 'DELETE', '/%s/k' % bucket, headers=deletion_conditions(**conditions))
    etag, modified = put()
    other = '"%s"' % hashlib.md5(b'x').hexdigest()
    for conditions in ({'etag': other}, {'size': 4}, {'modified': PAST}, {'size': 3, 'etag': '"x"'}, {'size': 4, 'modified': modified}):
        r = delete(**conditions)
        assert (r.status, r.code) == (412, 'PreconditionFailed')
    for named in ({'etag'}, {'size'}, {'modified'}, {'etag', 'size', 'modified'}, {'any'}):
        etag, modified = put()
        right = {'etag': etag, 'size': 3, 'modified': modified}
        conditions = {'etag': '*'} if named == {'any'} else {name: right[name] for name in named}
        assert delete(**conditions).status == 204
        assert code_of(s3.head_object, Bucket=bucket, Key='k')[0] == 404
        r = delete(**conditions)  # gone already is deleted, unless the tag of what is there was named
        assert (r.status, r.code) == ((404, 'NoSuchKey') if 'etag' in conditions else (204, None))


def test_a_delete_marker_has_no_tag(server, s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    put = s3.put_object(Bucket=bucket, Key='k', Body=b'abc')
    s3.delete_object(Bucket=bucket, Key='k')
    for key, etag in (('k', '*'), ('k', put['ETag']), ('k', '"x"'), ('never', '*'), ('never', '"x"')):
        r = request(server, 'DELETE', '/%s/%s' % (bucket, key), headers=deletion_conditions(etag=etag))
        assert (r.status, r.code) == (404, 'NoSuchKey')
    versions = s3.list_object_versions(Bucket=bucket)
    assert (len(versions['Versions']), len(versions['DeleteMarkers'])) == (1, 1), 'nothing was put over it'
    gone = dict(query='versionId=' + put['VersionId'], headers=deletion_conditions(etag=put['ETag']))
    assert [request(server, 'DELETE', '/%s/k' % bucket, **gone).status for _ in range(2)] == [204, 204]
    s3.delete_object(Bucket=bucket, Key='k', VersionId=versions['DeleteMarkers'][0]['VersionId'])


def test_deletion_of_many_under_conditions(server, s3, bucket):
    for key in 'abcd':
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    o = s3.head_object(Bucket=bucket, Key='a')

    def item(key, **conditions):
        return '<Object><Key>%s</Key>%s</Object>' % (key, ''.join('<%s>%s</%s>' % (n, v, n) for n, v in conditions.items()))
    body = '<Delete>%s</Delete>' % ''.join([
        item('a', ETag=o['ETag'], Size=1, LastModifiedTime=http_date(o['LastModified'])), item('b', Size=2),
        item('c', LastModifiedTime=http_date(PAST)), item('d'), item('none', Size=7), item('untagged', ETag=o['ETag'])])
    md5 = base64.b64encode(hashlib.md5(body.encode()).digest()).decode()
    r = request(server, 'POST', '/' + bucket, 'delete=', headers=[('Content-MD5', md5)], body=body.encode())
    assert r.status == 200
    assert sorted(re.findall(rb'<Deleted><Key>(\w+)<', r.body)) == [b'a', b'd', b'none']
    assert sorted(re.findall(rb'<Error><Key>(\w+)</Key><Code>(\w+)<', r.body)) == [
        (b'b', b'PreconditionFailed'), (b'c', b'PreconditionFailed'), (b'untagged', b'NoSuchKey')]
    left = [o['Key'] for o in s3.list_objects_v2(Bucket=bucket)['Contents']]
    assert left == ['b', 'c']
