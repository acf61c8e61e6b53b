# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Versions and object lock, as boto3, the aws command, rclone and hand-made requests see them."""
import datetime
import json
import os
import shutil
import subprocess
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import request
from test_boto3 import code_of


def empty(s3, bucket):
    for page in s3.get_paginator('list_object_versions').paginate(Bucket=bucket):
        gone = page.get('Versions', []) + page.get('DeleteMarkers', [])
        if gone:
            s3.delete_objects(Bucket=bucket, BypassGovernanceRetention=True,
                              Delete={'Objects': [{'Key': v['Key'], 'VersionId': v['VersionId']} for v in gone]})


@pytest.fixture
def versioned(s3):
    name = 'versions-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={'Status': 'Enabled'})
    yield name
    empty(s3, name)
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def locked(s3):
    """A bucket with object lock; what a test leaves under compliance stays."""
    name = 'locked-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name


def put(s3, bucket, key, body, **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get('VersionId')


def read(s3, bucket, key, version=None):
    more = {'VersionId': version} if version else {}
    return s3.get_object(Bucket=bucket, Key=key, **more)['Body'].read()


def ids(s3, bucket, **more):
    page = s3.list_object_versions(Bucket=bucket, **more)
    return ([(v['Key'], v['VersionId'], v['IsLatest']) for v in page.get('Versions', [])],
            [(v['Key'], v['VersionId'], v['IsLatest']) for v in page.get('DeleteMarkers', [])])


# ---- versions -------------------------------------------------------------------------------------

def test_the_state_of_a_bucket(s3, bucket):
    assert 'Status' not in s3.get_bucket_versioning(Bucket=bucket)
    assert put(s3, bucket, 'k', b'null') is None
    assert 'VersionId' not in s3.head_object(Bucket=bucket, Key='k')
    for state in ('Enabled', 'Suspended', 'Enabled'):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': state})
        assert s3.get_bucket_versioning(Bucket=bucket)['Status'] == state
    assert s3.head_object(Bucket=bucket, Key='k')['VersionId'] == 'null'
    assert code_of(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={'Status': 'Off'}) == (400, 'MalformedXML')
    assert ids(s3, bucket) == ([('k', 'null', True)], [])
    empty(s3, bucket)


@pytest.mark.parametrize('other', ['<ExcludeFolders>true</ExcludeFolders>', '<ExcludedPrefixes><Prefix>a/</Prefix></ExcludedPrefixes>', '<X/>'])
def test_a_state_that_says_more_than_s3_knows_is_none(server, s3, bucket, other):
    body = '<VersioningConfiguration><Status>Enabled</Status>%s</VersioningConfiguration>' % other
    answer = request(server, 'PUT', '/' + bucket, 'versioning=', body=body.encode())
    assert (answer.status, answer.code) == (400, 'MalformedXML')
    assert 'Status' not in s3.get_bucket_versioning(Bucket=bucket)


@pytest.mark.parametrize('size', [3, 4000, 300000])
def test_versions_keep_their_bytes(s3, versioned, size):
    bodies = [bytes([65 + i]) * (size + i) for i in range(4)]
    made = [put(s3, versioned, 'k', b) for b in bodies]
    assert len(set(made)) == 4 and all(made)
    assert read(s3, versioned, 'k') == bodies[3]
    for version, body in zip(made, bodies):
        assert read(s3, versioned, 'k', version) == body
        assert s3.head_object(Bucket=versioned, Key='k', VersionId=version)['ContentLength'] == len(body)
    assert ids(s3, versioned) == ([('k', v, v == made[3]) for v in reversed(made)], [])
    s3.delete_object(Bucket=versioned, Key='k', VersionId=made[3])
    assert read(s3, versioned, 'k') == bodies[2], 'the one before is current again'
    s3.delete_object(Bucket=versioned, Key='k', VersionId=made[0])
    assert [v for _, v, _ in ids(s3, versioned)[0]] == [made[2], made[1]]
    assert code_of(s3.get_object, Bucket=versioned, Key='k', VersionId=made[0]) == (404, 'NoSuchVersion')


def test_a_delete_marker_hides_and_its_removal_brings_back(server, s3, versioned):
    first = put(s3, versioned, 'k', b'one')
    gone = s3.delete_object(Bucket=versioned, Key='k')
    assert gone['DeleteMarker'] is True and gone['VersionId'] not in (first, 'null')
    assert code_of(s3.get_object, Bucket=versioned, Key='k') == (404, 'NoSuchKey')
    absent = request(server, 'GET', '/%s/k' % versioned)
    assert absent.headers['x-amz-delete-marker'] == 'true' and absent.headers['x-amz-version-id'] == gone['VersionId']
    by_id = request(server, 'GET', '/%s/k' % versioned, query='versionId=' + gone['VersionId'])
    assert (by_id.status, by_id.code) == (405, 'MethodNotAllowed')
    assert by_id.headers['x-amz-delete-marker'] == 'true' and 'last-modified' in by_id.headers and by_id.headers['allow'] == 'DELETE'
    assert request(server, 'HEAD', '/%s/k' % versioned, query='versionId=' + gone['VersionId']).status == 405
    assert ids(s3, versioned) == ([('k', first, False)], [('k', gone['VersionId'], True)])
    assert 'Contents' not in s3.list_objects_v2(Bucket=versioned)
    assert code_of(s3.delete_bucket, Bucket=versioned) == (409, 'BucketNotEmpty')
    back = s3.delete_object(Bucket=versioned, Key='k', VersionId=gone['VersionId'])
    assert back['DeleteMarker'] is True and back['VersionId'] == gone['VersionId']
    assert read(s3, versioned, 'k') == b'one'


def test_what_a_delete_marker_refuses_names_it(s3, versioned):
    put(s3, versioned, 'k', b'one')
    gone = s3.delete_object(Bucket=versioned, Key='k')['VersionId']
    tags = {'TagSet': [{'Key': 'a', 'Value': 'b'}]}
    for call, method, more in ((s3.get_object_tagging, 'GET', {}), (s3.put_object_tagging, 'PUT', {'Tagging': tags}), (s3.delete_object_tagging, 'DELETE', {}),
                               (s3.put_object_acl, 'PUT', {'ACL': 'private'})):
        for version in ({}, {'VersionId': gone}):
            with pytest.raises(ClientError) as e:
                call(Bucket=versioned, Key='k', **more, **version)
            error = e.value.response['Error']
            assert (error['Code'], error['Method'], error['ResourceType']) == ('MethodNotAllowed', method, 'DeleteMarker'), (method, version)
            assert e.value.response['ResponseMetadata']['HTTPHeaders']['x-amz-delete-marker'] == 'true'
    assert code_of(s3.get_object_acl, Bucket=versioned, Key='k') == (404, 'NoSuchKey')
    assert code_of(s3.put_object_tagging, Bucket=versioned, Key='absent', Tagging=tags) == (404, 'NoSuchKey')


def test_suspended_writes_replace_the_null_version_only(s3, versioned):
    kept = put(s3, versioned, 'k', b'kept')
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={'Status': 'Suspended'})
    assert put(s3, versioned, 'k', b'null 1') is None
    put(s3, versioned, 'k', b'null 2')
    assert ids(s3, versioned) == ([('k', 'null', True), ('k', kept, False)], [])
    assert read(s3, versioned, 'k', 'null') == b'null 2'
    gone = s3.delete_object(Bucket=versioned, Key='k')
    assert gone['DeleteMarker'] is True and gone['VersionId'] == 'null'
    assert ids(s3, versioned) == ([('k', kept, False)], [('k', 'null', True)])
    assert read(s3, versioned, 'k', kept) == b'kept'


def test_copies_tell_of_null_versions_written_not_of_those_read(s3, versioned):
    def onto_itself(**more):
        return s3.copy_object(Bucket=versioned, Key='k', CopySource={'Bucket': versioned, 'Key': 'k', **more}, MetadataDirective='REPLACE')
    first = put(s3, versioned, 'k', b'one')
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={'Status': 'Suspended'})
    copy = onto_itself()
    assert (copy['VersionId'], copy['CopySourceVersionId']) == ('null', first)
    copy = onto_itself()
    assert copy['VersionId'] == 'null' and 'CopySourceVersionId' not in copy
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={'Status': 'Enabled'})
    copy = onto_itself()
    assert copy['VersionId'] not in (first, 'null') and 'CopySourceVersionId' not in copy
    copy = s3.copy_object(Bucket=versioned, Key='to', CopySource={'Bucket': versioned, 'Key': 'k', 'VersionId': 'null'})
    assert copy['CopySourceVersionId'] == 'null', 'it was named'


def test_conditions_on_versions(s3, versioned):
    etag = s3.put_object(Bucket=versioned, Key='k', Body=b'one')['ETag']
    assert code_of(s3.get_object, Bucket=versioned, Key='k', IfNoneMatch=etag)[0] == 304
    s3.delete_object(Bucket=versioned, Key='k')
    put(s3, versioned, 'k', b'two')
    assert code_of(s3.get_object, Bucket=versioned, Key='k', IfMatch=etag) == (412, 'PreconditionFailed')


def test_version_ids_that_are_none(server, s3, versioned):
    made = put(s3, versioned, 'k', b'x')
    for bad in ('nonsense', made.upper() + '0', '0' * 16, made[:-1]):
        r = request(server, 'GET', '/%s/k' % versioned, query='versionId=' + bad)
        assert (r.status, r.code) == (400, 'InvalidArgument'), bad
    empty_id = request(server, 'GET', '/%s/k' % versioned, query='versionId=')
    assert (empty_id.status, empty_id.code) == (400, 'InvalidArgument')
    r = request(server, 'PUT', '/%s/k' % versioned, query='versionId=' + made, body=b'y')
    assert (r.status, r.code) == (400, 'InvalidArgument')
    assert read(s3, versioned, 'k') == b'x'
    r = request(server, 'DELETE', '/%s/k' % versioned, query='versionId=00000000000000ff')
    assert r.status == 204, 'what is not there is deleted already'


def test_tags_attributes_and_copies_of_versions(s3, versioned):
    old, new = put(s3, versioned, 'k', b'old'), put(s3, versioned, 'k', b'new')
    s3.put_object_tagging(Bucket=versioned, Key='k', VersionId=old, Tagging={'TagSet': [{'Key': 'a', 'Value': 'b'}]})
    assert s3.get_object_tagging(Bucket=versioned, Key='k')['TagSet'] == []
    got = s3.get_object_tagging(Bucket=versioned, Key='k', VersionId=old)
    assert got['TagSet'] == [{'Key': 'a', 'Value': 'b'}] and got['VersionId'] == old
    assert s3.get_object(Bucket=versioned, Key='k', VersionId=old)['TagCount'] == 1
    s3.delete_object_tagging(Bucket=versioned, Key='k', VersionId=old)
    assert s3.get_object_tagging(Bucket=versioned, Key='k', VersionId=old)['TagSet'] == []
    assert s3.get_object_attributes(Bucket=versioned, Key='k', VersionId=old, ObjectAttributes=['ObjectSize'])['VersionId'] == old
    copy = s3.copy_object(Bucket=versioned, Key='copy', CopySource={'Bucket': versioned, 'Key': 'k', 'VersionId': old})
    assert copy['CopySourceVersionId'] == old and copy['VersionId'] not in (old, new)
    assert read(s3, versioned, 'copy') == b'old'
    back = s3.copy_object(Bucket=versioned, Key='k', CopySource={'Bucket': versioned, 'Key': 'k', 'VersionId': old})
    assert read(s3, versioned, 'k') == b'old' and read(s3, versioned, 'k', new) == b'new' and back['VersionId'] != old
    s3.copy_object(Bucket=versioned, Key='k', CopySource={'Bucket': versioned, 'Key': 'k'}, MetadataDirective='REPLACE', Metadata={'m': '1'})
    assert len(ids(s3, versioned, Prefix='k')[0]) == 4, 'a copy onto itself is a version too'
    marker = s3.delete_object(Bucket=versioned, Key='k')['VersionId']
    assert code_of(s3.copy_object, Bucket=versioned, Key='c2',
                   CopySource={'Bucket': versioned, 'Key': 'k', 'VersionId': marker}) == (400, 'InvalidRequest')
    assert code_of(s3.copy_object, Bucket=versioned, Key='c2', CopySource={'Bucket': versioned, 'Key': 'k'}) == (404, 'NoSuchKey')
    assert code_of(s3.put_object_tagging, Bucket=versioned, Key='k', VersionId=marker, Tagging={'TagSet': []}) == (405, 'MethodNotAllowed')


def test_uploads_make_versions(s3, versioned):
    old = put(s3, versioned, 'k', b'old')
    upload = s3.create_multipart_upload(Bucket=versioned, Key='k')['UploadId']
    part = s3.upload_part_copy(Bucket=versioned, Key='k', UploadId=upload, PartNumber=1,
                               CopySource={'Bucket': versioned, 'Key': 'k', 'VersionId': old})
    assert part['CopySourceVersionId'] == old
    done = s3.complete_multipart_upload(Bucket=versioned, Key='k', UploadId=upload, MultipartUpload={
        'Parts': [{'PartNumber': 1, 'ETag': part['CopyPartResult']['ETag']}]})
    assert done['VersionId'] == ids(s3, versioned)[0][0][1]
    assert len(ids(s3, versioned)[0]) == 2


def test_deleting_many_by_version(s3, versioned):
    a, b = put(s3, versioned, 'a', b'1'), put(s3, versioned, 'a', b'2')
    put(s3, versioned, 'b', b'1')
    done = s3.delete_objects(Bucket=versioned, Delete={'Objects': [
        {'Key': 'a', 'VersionId': a}, {'Key': 'b'}, {'Key': 'none'}, {'Key': 'a', 'VersionId': 'nonsense'}]})
    by_key = {(d['Key'], d.get('VersionId')): d for d in done['Deleted']}
    assert 'DeleteMarker' not in by_key[('a', a)]
    marker = by_key[('b', None)]['DeleteMarkerVersionId']
    assert by_key[('b', None)]['DeleteMarker'] is True and by_key[('none', None)]['DeleteMarker'] is True
    assert [(e['Key'], e['VersionId'], e['Code']) for e in done['Errors']] == [('a', 'nonsense', 'NoSuchVersion')]
    assert read(s3, versioned, 'a') == b'2' and ids(s3, versioned, Prefix='a')[0] == [('a', b, True)]
    again = s3.delete_objects(Bucket=versioned, Delete={'Objects': [{'Key': 'b', 'VersionId': marker}]})['Deleted'][0]
    assert again['DeleteMarker'] is True and again['VersionId'] == again['DeleteMarkerVersionId'] == marker
    assert read(s3, versioned, 'b') == b'1'


# ---- listing --------------------------------------------------------------------------------------

@pytest.mark.parametrize('page', [1, 2, 3, 1000])
def test_pages_of_versions_are_the_whole(s3, versioned, page):
    for key in ('a', 'dir/x', 'dir/y', 'z'):
        for n in range(3):
            put(s3, versioned, key, b'%d' % n)
    s3.delete_object(Bucket=versioned, Key='dir/y')
    want = ids(s3, versioned)
    assert len(want[0]) == 12 and len(want[1]) == 1
    pages = s3.get_paginator('list_object_versions').paginate(Bucket=versioned, PaginationConfig={'PageSize': page})
    got = [(v['Key'], v['VersionId'], v['IsLatest']) for p in pages for v in p.get('Versions', [])]
    assert got == want[0]
    folded = list(s3.get_paginator('list_object_versions').paginate(Bucket=versioned, Delimiter='/', PaginationConfig={'PageSize': page}))
    assert [p['Prefix'] for f in folded for p in f.get('CommonPrefixes', [])] == ['dir/']
    assert [v['Key'] for f in folded for v in f.get('Versions', [])] == ['a'] * 3 + ['z'] * 3
    after = s3.list_object_versions(Bucket=versioned, KeyMarker='a', VersionIdMarker=want[0][0][1])
    assert [(v['Key'], v['VersionId']) for v in after['Versions']][:2] == [w[:2] for w in want[0][1:3]]
    assert s3.list_object_versions(Bucket=versioned, KeyMarker='dir/', Delimiter='/')['Versions'][0]['Key'] == 'z'
    assert code_of(s3.list_object_versions, Bucket=versioned, VersionIdMarker=want[0][0][1]) == (400, 'InvalidArgument')


# ---- rights ---------------------------------------------------------------------------------------

def test_a_version_is_not_deleted_by_the_right_to_delete(server, s3, versioned):
    """S3.md: version delete authorised as a plain delete."""
    made = put(s3, versioned, 'k', b'x')
    user = 'v' + uuid.uuid4().hex[:12]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret/' + user, '--id', user + '-id')
    other = make_client(server, user, 'secret/' + user)
    allowed = ['s3:DeleteObject', 's3:GetObject', 's3:PutObject', 's3:ListBucket']

    def allow(actions, **more):
        s3.put_bucket_policy(Bucket=versioned, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [dict(
            Effect='Allow', Principal={'AWS': user + '-id'}, Action=actions,
            Resource=['arn:aws:s3:::%s' % versioned, 'arn:aws:s3:::%s/*' % versioned], **more)]}))

    allow(allowed)
    denied = (403, 'AccessDenied')
    assert code_of(other.delete_object, Bucket=versioned, Key='k', VersionId=made) == denied
    assert code_of(other.get_object, Bucket=versioned, Key='k', VersionId=made) == denied
    assert code_of(other.copy_object, Bucket=versioned, Key='c', CopySource={'Bucket': versioned, 'Key': 'k', 'VersionId': made}) == denied
    errors = other.delete_objects(Bucket=versioned, Delete={'Objects': [{'Key': 'k', 'VersionId': made}]})['Errors']
    assert [e['Code'] for e in errors] == ['AccessDenied']
    assert code_of(other.list_object_versions, Bucket=versioned) == denied
    assert read(s3, versioned, 'k', made) == b'x'
    second = put(s3, versioned, 'k', b'y')
    allow(['s3:GetObjectVersion', 's3:DeleteObjectVersion'], Condition={'StringEquals': {'s3:VersionId': made}})
    assert read(other, versioned, 'k', made) == b'x'
    assert code_of(other.get_object, Bucket=versioned, Key='k', VersionId=second) == denied
    errors = other.delete_objects(Bucket=versioned, Delete={'Objects': [
        {'Key': 'k', 'VersionId': made}, {'Key': 'k', 'VersionId': second}]})['Errors']
    assert [(e['VersionId'], e['Code']) for e in errors] == [(second, 'AccessDenied')]


def test_tags_of_a_version_are_put_by_the_right_to_that_version(server, s3, versioned):
    first = put(s3, versioned, 'k', b'x', Tagging='class=secret')
    second = put(s3, versioned, 'k', b'y')
    user = 'v' + uuid.uuid4().hex[:12]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret/' + user, '--id', user + '-id')
    other = make_client(server, user, 'secret/' + user)
    common = dict(Principal={'AWS': user + '-id'}, Action='s3:Put*', Resource='arn:aws:s3:::%s/*' % versioned)
    s3.put_bucket_policy(Bucket=versioned, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
        dict(common, Effect='Allow'),
        dict(common, Effect='Deny', Condition={'StringEquals': {'s3:ExistingObjectTag/class': 'secret'}})]}))
    new = dict(Bucket=versioned, Key='k', Tagging={'TagSet': [{'Key': 'class', 'Value': 'open'}]})
    assert code_of(other.put_object_tagging, VersionId=first, **new) == (403, 'AccessDenied')
    other.put_object_tagging(VersionId=second, **new)
    assert s3.get_object_tagging(Bucket=versioned, Key='k', VersionId=first)['TagSet'][0]['Value'] == 'secret'


# ---- object lock ----------------------------------------------------------------------------------

def later(**more):
    return (datetime.datetime.utcnow() + datetime.timedelta(**more)).replace(microsecond=0)


def test_the_lock_of_a_bucket(s3, bucket, locked):
    assert s3.get_bucket_versioning(Bucket=locked)['Status'] == 'Enabled'
    assert s3.get_object_lock_configuration(Bucket=locked)['ObjectLockConfiguration'] == {'ObjectLockEnabled': 'Enabled'}
    assert code_of(s3.get_object_lock_configuration, Bucket=bucket) == (404, 'ObjectLockConfigurationNotFoundError')
    config = {'ObjectLockEnabled': 'Enabled', 'Rule': {'DefaultRetention': {'Mode': 'GOVERNANCE', 'Days': 3}}}
    assert code_of(s3.put_object_lock_configuration, Bucket=bucket, ObjectLockConfiguration=config) == (409, 'InvalidBucketState')
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=config)
    assert s3.get_object_lock_configuration(Bucket=locked)['ObjectLockConfiguration'] == config
    assert code_of(s3.put_bucket_versioning, Bucket=locked, VersioningConfiguration={'Status': 'Suspended'}) == (409, 'InvalidBucketState')
    for days, code in ((0, 'InvalidRetentionPeriod'), (-1, 'InvalidRetentionPeriod'), (36501, 'InvalidRetentionPeriod')):
        bad = {'ObjectLockEnabled': 'Enabled', 'Rule': {'DefaultRetention': {'Mode': 'GOVERNANCE', 'Days': days}}}
        assert code_of(s3.put_object_lock_configuration, Bucket=locked, ObjectLockConfiguration=bad) == (400, code)
    version = put(s3, locked, 'k', b'x')
    head = s3.head_object(Bucket=locked, Key='k')
    assert head['ObjectLockMode'] == 'GOVERNANCE'
    assert abs((head['ObjectLockRetainUntilDate'].replace(tzinfo=None) - later(days=3)).total_seconds()) < 300
    assert code_of(s3.delete_object, Bucket=locked, Key='k', VersionId=version) == (403, 'AccessDenied')
    upload = s3.create_multipart_upload(Bucket=locked, Key='m')['UploadId']
    part = s3.upload_part(Bucket=locked, Key='m', UploadId=upload, PartNumber=1, Body=b'x')['ETag']
    s3.complete_multipart_upload(Bucket=locked, Key='m', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part}]})
    assert s3.head_object(Bucket=locked, Key='m')['ObjectLockMode'] == 'GOVERNANCE'


def test_retention_holds_by_its_mode(s3, locked):
    held = put(s3, locked, 'k', b'x', ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=later(hours=1))
    gone = dict(Bucket=locked, Key='k', VersionId=held)
    denied = (403, 'AccessDenied')
    assert code_of(s3.delete_object, **gone) == denied
    errors = s3.delete_objects(Bucket=locked, Delete={'Objects': [{'Key': 'k', 'VersionId': held}]})['Errors']
    assert [(e['Key'], e['VersionId'], e['Code']) for e in errors] == [('k', held, 'AccessDenied')]
    s3.put_object_retention(**gone, Retention={'Mode': 'GOVERNANCE', 'RetainUntilDate': later(hours=2)})
    assert code_of(s3.put_object_retention, **gone, Retention={'Mode': 'GOVERNANCE', 'RetainUntilDate': later(hours=1)}) == denied
    assert code_of(s3.put_object_retention, **gone, Retention={'Mode': 'COMPLIANCE', 'RetainUntilDate': later(hours=3)}) == denied
    assert code_of(s3.put_object_retention, **gone, Retention={}) == denied
    s3.delete_object(Bucket=locked, Key='k')  # a marker: the version stays
    assert read(s3, locked, 'k', held) == b'x'
    s3.put_object_retention(**gone, BypassGovernanceRetention=True, Retention={'Mode': 'COMPLIANCE', 'RetainUntilDate': later(hours=1)})
    assert s3.get_object_retention(**gone)['Retention']['Mode'] == 'COMPLIANCE'
    assert code_of(s3.delete_object, **gone, BypassGovernanceRetention=True) == denied
    assert code_of(s3.put_object_retention, **gone, BypassGovernanceRetention=True, Retention={}) == denied
    s3.put_object_retention(**gone, Retention={'Mode': 'COMPLIANCE', 'RetainUntilDate': later(hours=2)})
    free = put(s3, locked, 'free', b'x', ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=later(hours=1))
    s3.delete_object(Bucket=locked, Key='free', VersionId=free, BypassGovernanceRetention=True)
    assert code_of(s3.delete_bucket, Bucket=locked) == (409, 'BucketNotEmpty')


def test_a_legal_hold_holds_until_it_is_taken_off(s3, locked):
    held = put(s3, locked, 'k', b'x')
    assert code_of(s3.get_object_legal_hold, Bucket=locked, Key='k') == (404, 'NoSuchObjectLockConfiguration')
    assert code_of(s3.get_object_retention, Bucket=locked, Key='k') == (404, 'NoSuchObjectLockConfiguration')
    s3.put_object_legal_hold(Bucket=locked, Key='k', LegalHold={'Status': 'ON'})
    assert s3.head_object(Bucket=locked, Key='k')['ObjectLockLegalHoldStatus'] == 'ON'
    assert code_of(s3.delete_object, Bucket=locked, Key='k', VersionId=held, BypassGovernanceRetention=True) == (403, 'AccessDenied')
    s3.put_object_legal_hold(Bucket=locked, Key='k', LegalHold={'Status': 'OFF'})
    assert s3.get_object_legal_hold(Bucket=locked, Key='k')['LegalHold']['Status'] == 'OFF'
    s3.copy_object(Bucket=locked, Key='copy', CopySource={'Bucket': locked, 'Key': 'k'}, ObjectLockLegalHoldStatus='ON')
    assert s3.head_object(Bucket=locked, Key='copy')['ObjectLockLegalHoldStatus'] == 'ON'
    s3.delete_object(Bucket=locked, Key='k', VersionId=held)
    s3.put_object_legal_hold(Bucket=locked, Key='copy', LegalHold={'Status': 'OFF'})
    empty(s3, locked)
    s3.delete_bucket(Bucket=locked)


def test_locks_that_are_none(server, s3, bucket, locked):
    for headers, code in (
            ([('x-amz-object-lock-mode', 'GOVERNANCE')], 'InvalidArgument'),
            ([('x-amz-object-lock-mode', 'FOREVER'), ('x-amz-object-lock-retain-until-date', '2099-01-01T00:00:00Z')], 'InvalidArgument'),
            ([('x-amz-object-lock-mode', 'COMPLIANCE'), ('x-amz-object-lock-retain-until-date', '2001-01-01T00:00:00Z')], 'InvalidArgument'),
            ([('x-amz-object-lock-mode', 'COMPLIANCE'), ('x-amz-object-lock-retain-until-date', 'tomorrow')], 'InvalidArgument'),
            ([('x-amz-object-lock-legal-hold', 'YES')], 'InvalidArgument')):
        r = request(server, 'PUT', '/%s/bad' % locked, headers=headers, body=b'x')
        assert (r.status, r.code) == (400, code), headers
    assert request(server, 'HEAD', '/%s/bad' % locked).status == 404
    put(s3, bucket, 'k', b'x')
    assert code_of(s3.put_object, Bucket=bucket, Key='l', ObjectLockLegalHoldStatus='ON') == (400, 'InvalidRequest')
    assert code_of(s3.put_object_legal_hold, Bucket=bucket, Key='k', LegalHold={'Status': 'ON'}) == (400, 'InvalidRequest')
    assert code_of(s3.get_object_retention, Bucket=bucket, Key='k') == (400, 'InvalidRequest')


# ---- other clients --------------------------------------------------------------------------------

def environment(server, tmp_path):
    return dict(os.environ, AWS_ACCESS_KEY_ID=server.access_key, AWS_SECRET_ACCESS_KEY=server.secret_key, AWS_DEFAULT_REGION='us-east-1',
                AWS_CA_BUNDLE=server.ca if server.tls else '', AWS_MAX_ATTEMPTS='1', HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED='true')


@pytest.mark.skipif(not shutil.which('rclone'), reason='rclone is not installed')
def test_rclone_shows_versions(server, s3, versioned, tmp_path):
    put(s3, versioned, 'f.txt', b'one')
    put(s3, versioned, 'f.txt', b'twice')
    flags = ['--s3-provider', 'Other', '--s3-endpoint', server.url, '--s3-access-key-id', server.access_key,
             '--s3-secret-access-key', server.secret_key, '--config', str(tmp_path / 'none')]
    if server.tls:
        flags += ['--ca-cert', server.ca]
    env = {k: v for k, v in environment(server, tmp_path).items() if k != 'AWS_CA_BUNDLE'}
    out = subprocess.run(['rclone', 'lsf', '--s3-versions', '--format', 'sp'] + flags + [':s3:' + versioned], env=env,
                         capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert sorted(line.split(';')[0] for line in out) == ['3', '5'], out
    assert any('-v20' in line for line in out), 'the older one has its time in its name'


@pytest.mark.skipif(not shutil.which('aws'), reason='the aws command is not installed')
def test_the_aws_command_lists_versions(server, s3, versioned, tmp_path):
    made = put(s3, versioned, 'k', b'x')
    out = subprocess.run(['aws', '--endpoint-url', server.url, 's3api', 'list-object-versions', '--bucket', versioned, '--output', 'json'],
                         env={k: v for k, v in environment(server, tmp_path).items() if v}, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [v['VersionId'] for v in json.loads(out)['Versions']] == [made]
