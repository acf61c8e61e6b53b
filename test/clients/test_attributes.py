# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""GetObjectAttributes and conditional deletions."""
import datetime
import hashlib

from raw import request
from test_boto3 import code_of, data_of

ALL = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize']
PART = 5 * 1024 * 1024


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


def test_attributes_of_a_plain_object(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key='k', Body=b'hello', ChecksumAlgorithm='SHA256')['ETag']
    a = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=ALL)
    assert a['ETag'] == etag.strip('"')
    assert a['ObjectSize'] == 5 and a['StorageClass'] == 'STANDARD'
    assert a['Checksum'] == {'ChecksumSHA256': 'LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=', 'ChecksumType': 'FULL_OBJECT'}
    assert 'ObjectParts' not in a
    assert a['LastModified'] == s3.head_object(Bucket=bucket, Key='k')['LastModified']
    only = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=['ObjectSize'])
    assert only['ObjectSize'] == 5 and not set(only) & {'ETag', 'Checksum', 'StorageClass'}


def test_attributes_of_parts_page_by_number(s3, bucket):
    done, parts = upload(s3, bucket, 'k', [2, 5, 9], ChecksumAlgorithm='SHA256')
    a = s3.get_object_attributes(Bucket=bucket, Key='k', ObjectAttributes=ALL)
    assert a['ETag'] == done['ETag'].strip('"')
    assert a['Checksum'] == {'ChecksumSHA256': done['ChecksumSHA256'].split('-')[0], 'ChecksumType': 'COMPOSITE'}
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
    part = s3.get_object(Bucket=bucket, Key='k', PartNumber=3, ChecksumMode='ENABLED')
    assert (part['ChecksumSHA256'], part['ChecksumType']) == (parts[2]['ChecksumSHA256'], 'COMPOSITE')


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


def test_there_is_no_torrent(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    assert code_of(s3.get_object_torrent, Bucket=bucket, Key='k') == (404, 'NoSuchKey')


# ---- conditional deletions ----------------------------------------------------------------------

def test_deletion_under_conditions(s3, bucket):
    past = datetime.datetime(2015, 1, 1)

    def put():
        s3.put_object(Bucket=bucket, Key='k', Body=b'abc')
        return s3.head_object(Bucket=bucket, Key='k')
    o = put()
    wrong = [{'IfMatch': '"%s"' % hashlib.md5(b'x').hexdigest()}, {'IfMatchSize': 4},
             {'IfMatchLastModifiedTime': past}, {'IfMatchSize': 3, 'IfMatch': '"x"'},
             {'IfMatchSize': 4, 'IfMatchLastModifiedTime': o['LastModified']}]
    for condition in wrong:
        assert code_of(s3.delete_object, Bucket=bucket, Key='k', **condition) == (412, 'PreconditionFailed')
    for condition in ({'IfMatch': '*'}, {'IfMatch': o['ETag']}, {'IfMatchSize': 3},
                      {'IfMatchLastModifiedTime': None, 'IfMatchSize': 3, 'IfMatch': o['ETag']}):
        o = put()
        if 'IfMatchLastModifiedTime' in condition:
            condition['IfMatchLastModifiedTime'] = o['LastModified']
        s3.delete_object(Bucket=bucket, Key='k', **condition)
        assert code_of(s3.head_object, Bucket=bucket, Key='k')[0] == 404
        s3.delete_object(Bucket=bucket, Key='k', **condition)  # gone already is deleted


def test_deletion_of_many_under_conditions(s3, bucket):
    for key in 'abcd':
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    o = s3.head_object(Bucket=bucket, Key='a')
    answer = s3.delete_objects(Bucket=bucket, Delete={'Objects': [
        {'Key': 'a', 'ETag': o['ETag'], 'Size': 1, 'LastModifiedTime': o['LastModified']},
        {'Key': 'b', 'Size': 2}, {'Key': 'c', 'LastModifiedTime': datetime.datetime(2015, 1, 1)}, {'Key': 'd'},
        {'Key': 'none', 'Size': 7}]})
    assert sorted(d['Key'] for d in answer['Deleted']) == ['a', 'd', 'none']
    assert sorted((e['Key'], e['Code']) for e in answer['Errors']) == [('b', 'PreconditionFailed'), ('c', 'PreconditionFailed')]
    left = [o['Key'] for o in s3.list_objects_v2(Bucket=bucket)['Contents']]
    assert left == ['b', 'c']


def test_a_condition_that_cannot_be_read_deletes_nothing(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'abc')
    for header in (('x-amz-if-match-size', 'three'), ('x-amz-if-match-last-modified-time', 'yesterday'),
                   ('x-amz-if-match-size', '')):
        answer = request(server, 'DELETE', '/%s/k' % bucket, headers=[header])
        assert (answer.status, answer.code) == (400, 'InvalidArgument')
    # On a write such a header would be a promise that nobody keeps.
    answer = request(server, 'PUT', '/%s/k' % bucket, headers=[('x-amz-if-match-size', '3')], body=b'other')
    assert (answer.status, answer.code) == (501, 'NotImplemented')
    assert s3.get_object(Bucket=bucket, Key='k')['Body'].read() == b'abc'
