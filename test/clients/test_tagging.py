# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Tags of objects and buckets, as boto3 and hand-made requests put them."""
import hashlib
import base64
import json
import uuid

import pytest

from conftest import make_client
from raw import request
from test_boto3 import code_of
from test_post import Form


def tags(*pairs):
    return {'TagSet': [{'Key': k, 'Value': v} for k, v in pairs]}


def tags_of(s3, bucket, key):
    return [(t['Key'], t['Value']) for t in s3.get_object_tagging(Bucket=bucket, Key=key)['TagSet']]


def test_tags_are_put_replaced_and_removed(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    before = s3.head_object(Bucket=bucket, Key='k')
    assert tags_of(s3, bucket, 'k') == [] and 'TagCount' not in before
    s3.put_object_tagging(Bucket=bucket, Key='k', Tagging=tags(('b', '2'), ('a', ''), ('é ü', '+-=._:/@ ')))
    assert tags_of(s3, bucket, 'k') == [('a', ''), ('b', '2'), ('é ü', '+-=._:/@ ')]
    after = s3.get_object(Bucket=bucket, Key='k')
    assert after['TagCount'] == 3
    assert (after['LastModified'], after['ETag']) == (before['LastModified'], before['ETag']), 'tags are no write'
    s3.put_object_tagging(Bucket=bucket, Key='k', Tagging=tags(('only', 'one')))
    assert tags_of(s3, bucket, 'k') == [('only', 'one')]
    s3.delete_object_tagging(Bucket=bucket, Key='k')
    assert tags_of(s3, bucket, 'k') == []
    s3.put_object(Bucket=bucket, Key='k', Body=b'y', Tagging='z=1')
    s3.put_object(Bucket=bucket, Key='k', Body=b'y')
    assert tags_of(s3, bucket, 'k') == [], 'a new object has none'
    for call in (s3.get_object_tagging, s3.delete_object_tagging):
        assert code_of(call, Bucket=bucket, Key='none') == (404, 'NoSuchKey')
    assert code_of(s3.put_object_tagging, Bucket=bucket, Key='none', Tagging=tags(('a', 'b'))) == (404, 'NoSuchKey')


def test_a_large_object_keeps_its_bytes_under_new_tags(s3, bucket):
    data = hashlib.sha256(b'seed').digest() * 40000
    s3.put_object(Bucket=bucket, Key='k', Body=data)
    s3.put_object_tagging(Bucket=bucket, Key='k', Tagging=tags(('a', 'b')))
    assert s3.get_object(Bucket=bucket, Key='k')['Body'].read() == data


@pytest.mark.parametrize('text,want', [
    ('foo=bar&bar', [('bar', ''), ('foo', 'bar')]), ('a%20b=c+d', [('a b', 'c d')]), ('k=%C3%A9', [('k', 'é')]), ('', [])])
def test_tags_in_a_header(server, s3, bucket, text, want):
    assert request(server, 'PUT', '/%s/k' % bucket, headers=[('x-amz-tagging', text)], body=b'x').status == 200
    assert tags_of(s3, bucket, 'k') == want


@pytest.mark.parametrize('text,code', [
    ('a=1&a=2', 'InvalidArgument'), ('a=%zz', 'InvalidArgument'), ('a=%ff', 'InvalidArgument'), ('=x', 'InvalidArgument'),
    ('&'.join('k%d=v' % i for i in range(11)), 'InvalidTag'), ('k' * 129 + '=v', 'InvalidTag'), ('k=' + 'v' * 257, 'InvalidTag'),
    ('aws:x=1', 'InvalidTag'), ('a=%3Cb%3E', 'InvalidTag'), ('a%00=b', 'InvalidTag')])
def test_a_bad_header_stores_nothing(server, s3, bucket, text, code):
    answer = request(server, 'PUT', '/%s/k' % bucket, headers=[('x-amz-tagging', text)], body=b'x')
    assert (answer.status, answer.code) == (400, code)
    assert request(server, 'HEAD', '/%s/k' % bucket).status == 404


def test_limits_of_an_objects_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    most = tags(*[('é' * 127 + str(i), 'ü' * 256) for i in range(10)])
    s3.put_object_tagging(Bucket=bucket, Key='k', Tagging=most)
    assert len(tags_of(s3, bucket, 'k')) == 10
    for bad in (tags(*[(str(i), '') for i in range(11)]), tags(('k' * 129, '')), tags(('k', 'v' * 257)), tags(('a', '1'), ('a', '2')),
                tags(('aws:reserved', '1')), tags(('a', '<'))):
        assert code_of(s3.put_object_tagging, Bucket=bucket, Key='k', Tagging=bad) == (400, 'InvalidTag')
    assert len(tags_of(s3, bucket, 'k')) == 10


@pytest.mark.parametrize('body', [
    b'', b'<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>', b'<Tags><TagSet/></Tags>',
    b'<Tagging><TagSet><Label><Key>a</Key><Value/></Label></TagSet></Tagging>', b'<Tagging><TagSet></Tagging>',
    b'<Tagging><TagSet/><TagSet/></Tagging>'])
def test_malformed_documents(server, s3, bucket, body):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
    for path in ('/%s/k' % bucket, '/' + bucket):
        answer = request(server, 'PUT', path, 'tagging=', headers=[md5], body=body)
        assert (answer.status, answer.code) == (400, 'MalformedXML')
    answer = request(server, 'PUT', '/%s/k' % bucket, 'tagging=', body=b'<Tagging><TagSet/></Tagging>')
    assert (answer.status, answer.code) == (400, 'InvalidRequest'), 'nobody vouches for the body'


def test_an_empty_document_takes_tags_away(server, s3, bucket):
    for body in (b'<Tagging/>', b'<Tagging><TagSet/></Tagging>'):
        s3.put_object(Bucket=bucket, Key='k', Body=b'x', Tagging='a=1')
        s3.put_bucket_tagging(Bucket=bucket, Tagging=tags(('a', '1')))
        md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
        assert request(server, 'PUT', '/%s/k' % bucket, 'tagging=', headers=[md5], body=body).status == 200
        assert request(server, 'PUT', '/' + bucket, 'tagging=', headers=[md5], body=body).status == 204
        assert tags_of(s3, bucket, 'k') == []
        assert code_of(s3.get_bucket_tagging, Bucket=bucket) == (404, 'NoSuchTagSet')


def test_what_is_wrong_with_tags_is_told(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    for bad, object_says, bucket_says in (
            (('a', 'v,w'), b'The TagValue you have provided is invalid', None),
            (('aws:a', '1'), b'Your TagKey cannot be prefixed with aws:', b'System tags cannot be added/updated by requester')):
        body = b'<Tagging><TagSet><Tag><Key>%s</Key><Value>%s</Value></Tag></TagSet></Tagging>' % tuple(x.encode() for x in bad)
        md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
        for path, says in (('/%s/k' % bucket, object_says), ('/' + bucket, bucket_says or object_says)):
            answer = request(server, 'PUT', path, 'tagging=', headers=[md5], body=body)
            assert answer.code == 'InvalidTag' and says in answer.body
            assert b'<TagKey>%s</TagKey>' % bad[0].encode() in answer.body
            assert (b'<TagValue>v,w</TagValue>' in answer.body) == (bad[1] == 'v,w')
    answer = request(server, 'PUT', '/%s/k' % bucket, headers=[('x-amz-tagging', 'a=1,b=2')], body=b'x')
    assert answer.code == 'InvalidArgument' and b'<ArgumentName>x-amz-tagging</ArgumentName>' in answer.body


def test_tags_of_a_multipart_object(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key='k', Tagging='Hello=World&foo=bar')['UploadId']
    part = s3.upload_part(Bucket=bucket, Key='k', UploadId=upload, PartNumber=1, Body=b'x')
    s3.complete_multipart_upload(Bucket=bucket, Key='k', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
    assert tags_of(s3, bucket, 'k') == [('Hello', 'World'), ('foo', 'bar')]
    assert code_of(s3.create_multipart_upload, Bucket=bucket, Key='k', Tagging='aws:x=1') == (400, 'InvalidTag')


def test_tags_come_along_with_a_copy_or_are_replaced(s3, bucket):
    s3.put_object(Bucket=bucket, Key='a', Body=b'x' * 5000, Tagging='a=1')
    source = {'Bucket': bucket, 'Key': 'a'}
    s3.copy_object(Bucket=bucket, Key='b', CopySource=source)
    assert tags_of(s3, bucket, 'b') == [('a', '1')]
    s3.copy_object(Bucket=bucket, Key='b', CopySource=source, MetadataDirective='REPLACE', Metadata={'m': 'n'})
    assert tags_of(s3, bucket, 'b') == [('a', '1')], 'the directives are of their own'
    s3.copy_object(Bucket=bucket, Key='b', CopySource=source, TaggingDirective='REPLACE', Tagging='b=2')
    assert tags_of(s3, bucket, 'b') == [('b', '2')]
    s3.copy_object(Bucket=bucket, Key='b', CopySource=source, TaggingDirective='REPLACE')
    assert tags_of(s3, bucket, 'b') == []
    s3.copy_object(Bucket=bucket, Key='a', CopySource=source, TaggingDirective='REPLACE', Tagging='c=3')
    assert tags_of(s3, bucket, 'a') == [('c', '3')]
    s3.copy_object(Bucket=bucket, Key='a', CopySource=source, MetadataDirective='REPLACE', Metadata={'m': 'n'})
    assert tags_of(s3, bucket, 'a') == [('c', '3')]
    assert code_of(s3.copy_object, Bucket=bucket, Key='a', CopySource=source) == (400, 'InvalidRequest')
    assert code_of(s3.copy_object, Bucket=bucket, Key='b', CopySource=source, TaggingDirective='SOME') == (400, 'InvalidArgument')


def test_tags_that_are_written_are_judged_whatever_brings_them(server, s3, bucket):
    """s3:RequestObjectTag: of a header, of a form, and those that a copy brings along."""
    user = 't' + uuid.uuid4().hex[:12]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret/' + user, '--id', user + '-id')
    other = make_client(server, user, 'secret/' + user)
    common = dict(Principal={'AWS': user + '-id'}, Resource='arn:aws:s3:::%s/*' % bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
        dict(common, Effect='Allow', Action=['s3:PutObject*', 's3:GetObject*']),
        dict(common, Effect='Deny', Action='s3:PutObjectTagging', Condition={'StringEquals': {'s3:RequestObjectTag/class': 'secret'}})]}))
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', Tagging='class=secret')
    denied = (403, 'AccessDenied')
    assert code_of(other.put_object, Bucket=bucket, Key='new', Tagging='class=secret') == denied
    for more in {}, {'Tagging': 'class=open'}:
        assert code_of(other.copy_object, Bucket=bucket, Key='new', CopySource=bucket + '/k', **more) == denied
    for value, status in ('secret', 403), ('open', 204):
        text = '<Tagging><TagSet><Tag><Key>class</Key><Value>%s</Value></Tag></TagSet></Tagging>' % value
        f = Form(server, bucket, 'new', user, 'secret/' + user, tagging=text, x_amz_tagging='class=open')
        assert f.send().status == status
    assert tags_of(s3, bucket, 'new') == [('class', 'open')]


def test_tags_of_a_bucket(server, s3, bucket):
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == (404, 'NoSuchTagSet')
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags(*[('key %02d' % i, 'v') for i in range(50)]))
    assert len(s3.get_bucket_tagging(Bucket=bucket)['TagSet']) == 50
    assert code_of(s3.put_bucket_tagging, Bucket=bucket, Tagging=tags(*[(str(i), '') for i in range(51)])) == (400, 'InvalidTag')
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags(('cost', 'a+b')))
    assert s3.get_bucket_tagging(Bucket=bucket)['TagSet'] == [{'Key': 'cost', 'Value': 'a+b'}]
    s3.delete_bucket_tagging(Bucket=bucket)
    s3.delete_bucket_tagging(Bucket=bucket)
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == (404, 'NoSuchTagSet')
    user = 'tag' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'a-users-secret')
    theirs = make_client(server, user, 'a-users-secret')
    for call in (theirs.get_bucket_tagging, theirs.delete_bucket_tagging):
        assert code_of(call, Bucket=bucket) == (403, 'AccessDenied')
