# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Inventories: the configurations, and reports read back and held against listings, with days of a second."""
import base64
import csv
import gzip
import hashlib
import io
import json
import time
import urllib.parse

import pytest
from botocore.exceptions import ClientError

from conftest import make_client, serve
from raw import request
from server import Server

DEADLINE = 60
FIELDS = ['Size', 'LastModifiedDate', 'ETag', 'StorageClass', 'IsMultipartUploaded', 'ReplicationStatus', 'EncryptionStatus',
          'ObjectLockRetainUntilDate', 'ObjectLockMode', 'ObjectLockLegalHoldStatus', 'IntelligentTieringAccessTier',
          'BucketKeyStatus', 'ChecksumAlgorithm']


def configuration(name, to='dest', versions='All', fields=FIELDS, enabled=True, frequency='Daily', **more):
    return {'Id': name, 'IsEnabled': enabled, 'IncludedObjectVersions': versions, 'Schedule': {'Frequency': frequency},
            'Destination': {'S3BucketDestination': {'Bucket': 'arn:aws:s3:::' + to, 'Format': 'CSV', 'Prefix': 'reports', **more}},
            **({'OptionalFields': fields} if fields else {})}


def put(s3, bucket, config, name=None):
    s3.put_bucket_inventory_configuration(Bucket=bucket, Id=name or config['Id'], InventoryConfiguration=config)


def code(call, **arguments):
    with pytest.raises(ClientError) as e:
        call(**arguments)
    return e.value.response['Error']['Code'], e.value.response['ResponseMetadata']['HTTPStatusCode']


def let_in(target, source):
    return json.dumps({'Version': '2012-10-17', 'Statement': [{
        'Effect': 'Allow', 'Principal': {'Service': 's3.amazonaws.com'}, 'Action': 's3:PutObject',
        'Resource': 'arn:aws:s3:::%s/*' % target,
        'Condition': {'ArnLike': {'aws:SourceArn': 'arn:aws:s3:::' + source},
                      'StringEquals': {'s3:x-amz-acl': 'bucket-owner-full-control'}}}]})


# ---- the configurations ---------------------------------------------------------------------------------

def test_configurations_are_kept_and_read_back(s3, bucket):
    assert 'InventoryConfigurationList' not in s3.list_bucket_inventory_configurations(Bucket=bucket)
    missing = ('NoSuchConfiguration', 404)
    assert code(s3.get_bucket_inventory_configuration, Bucket=bucket, Id='a') == missing
    assert code(s3.delete_bucket_inventory_configuration, Bucket=bucket, Id='a') == missing
    whole = configuration('a', to=bucket, AccountId='someone', Encryption={'SSEKMS': {'KeyId': 'key'}})
    whole['Filter'] = {'Prefix': 'x & <y>/'}
    small = configuration('b', to=bucket, versions='Current', fields=None, enabled=False, frequency='Weekly',
                          Encryption={'SSES3': {}})
    put(s3, bucket, small)
    put(s3, bucket, whole)
    for config in whole, small:
        got = s3.get_bucket_inventory_configuration(Bucket=bucket, Id=config['Id'])['InventoryConfiguration']
        assert got == config
    listed = s3.list_bucket_inventory_configurations(Bucket=bucket)
    assert listed['InventoryConfigurationList'] == [whole, small] and listed['IsTruncated'] is False
    put(s3, bucket, {**small, 'IsEnabled': True})
    assert s3.get_bucket_inventory_configuration(Bucket=bucket, Id='b')['InventoryConfiguration']['IsEnabled'] is True
    s3.delete_bucket_inventory_configuration(Bucket=bucket, Id='a')
    assert code(s3.get_bucket_inventory_configuration, Bucket=bucket, Id='a') == missing
    assert [c['Id'] for c in s3.list_bucket_inventory_configurations(Bucket=bucket)['InventoryConfigurationList']] == ['b']


def test_configurations_are_listed_by_hundreds(s3, bucket):
    for n in range(101):
        put(s3, bucket, configuration('c%03d' % n, to=bucket, fields=None))
    first = s3.list_bucket_inventory_configurations(Bucket=bucket)
    assert first['IsTruncated'] and len(first['InventoryConfigurationList']) == 100
    token = first['NextContinuationToken']
    rest = s3.list_bucket_inventory_configurations(Bucket=bucket, ContinuationToken=token)
    assert not rest['IsTruncated'] and [c['Id'] for c in rest['InventoryConfigurationList']] == ['c100']
    assert code(s3.list_bucket_inventory_configurations, Bucket=bucket, ContinuationToken='forged') == ('InvalidArgument', 400)


def test_what_is_no_configuration_is_refused(server, s3, bucket):
    def refused(config, name=None):
        return code(put, s3=s3, bucket=bucket, config=config, name=name)
    assert refused(configuration('a', to=bucket), 'b') == ('IdMismatch', 400)
    assert refused(configuration('a/b', to=bucket)) == ('InvalidArgument', 400)
    assert refused(configuration('a', to='nowhere-at-all')) == ('InvalidS3DestinationBucket', 400)
    for form in 'ORC', 'Parquet':
        assert refused(configuration('a', to=bucket, Format=form)) == ('NotImplemented', 501)
    assert refused(configuration('a', to=bucket, fields=['Colour'])) == ('MalformedXML', 400)
    r = request(server, 'PUT', '/' + bucket, query='inventory=', body=b'<x/>')
    assert (r.status, r.code) == (400, 'MalformedXML')
    with pytest.raises(ClientError):
        s3.put_bucket_inventory_configuration(Bucket=bucket, Id='', InventoryConfiguration=configuration('a', to=bucket))
    r = request(server, 'PUT', '/' + bucket, query='id=a&inventory=', body=b'<x/>')
    assert (r.status, r.code) == (400, 'MalformedXML')


def test_a_policy_may_keep_fields_from_being_asked_for(server, s3, bucket):
    user = 'inv-' + bucket[5:15]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret-of-it')
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
        {'Effect': 'Allow', 'Principal': '*', 'Action': 's3:*InventoryConfiguration', 'Resource': 'arn:aws:s3:::' + bucket},
        {'Effect': 'Deny', 'Principal': '*', 'Action': 's3:PutInventoryConfiguration', 'Resource': 'arn:aws:s3:::' + bucket,
         'Condition': {'ForAnyValue:StringEquals': {'s3:InventoryAccessibleOptionalFields': ['ObjectLockMode']}}}]}))
    theirs = make_client(server, user, 'secret-of-it')
    assert code(put, s3=theirs, bucket=bucket, config=configuration('a', to=bucket)) == ('AccessDenied', 403)
    put(theirs, bucket, configuration('a', to=bucket, fields=['Size']))
    theirs.get_bucket_inventory_configuration(Bucket=bucket, Id='a')


# ---- reports --------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def quick():
    yield from serve(Server(tls=False, options=['--lifecycle-day', '1']))


@pytest.fixture(scope='module')
def client(quick):
    return make_client(quick)


def read(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)['Body'].read()


def newest_manifest(s3, source, name):
    prefix = 'reports/%s/%s/' % (source, name)
    sums = [o['Key'] for o in s3.list_objects_v2(Bucket='dest', Prefix=prefix).get('Contents', [])
            if o['Key'].endswith('/manifest.checksum')]
    return sorted(sums)[-1][:-len('checksum')] + 'json' if sums else None


def report(s3, source, name, since_ms):
    """The rows of a report that was begun after then, as dictionaries by the manifest's schema."""
    end = time.monotonic() + DEADLINE
    while True:
        assert time.monotonic() < end, 'no report'
        time.sleep(0.1)
        key = newest_manifest(s3, source, name)
        if not key:
            continue
        text = read(s3, 'dest', key)
        # A day of a second writes the same names within a minute: what belongs together is looked for.
        if read(s3, 'dest', key[:-len('json')] + 'checksum').decode() != hashlib.md5(text).hexdigest():
            continue
        manifest = json.loads(text)
        if int(manifest['creationTimestamp']) > since_ms:
            break
    assert manifest['sourceBucket'] == source and manifest['destinationBucket'] == 'arn:aws:s3:::dest'
    assert manifest['fileFormat'] == 'CSV' and manifest['version'] == '2016-11-30'
    schema = manifest['fileSchema'].split(', ')
    rows = []
    for file in manifest['files']:
        data = read(s3, 'dest', file['key'])
        assert len(data) == file['size'] and hashlib.md5(data).hexdigest() == file['MD5checksum']
        for row in csv.reader(io.StringIO(gzip.decompress(data).decode(), newline='')):
            assert len(row) == len(schema)
            rows.append(dict(zip(schema, row)))
    links = [o['Key'] for o in s3.list_objects_v2(Bucket='dest', Prefix='reports/%s/%s/hive/' % (source, name))['Contents']]
    assert links and all(k.endswith('/symlink.txt') for k in links)
    return rows


def expected(s3, bucket, prefix=''):
    """What a listing of versions says, as rows."""
    rows = []
    for page in s3.get_paginator('list_object_versions').paginate(Bucket=bucket, Prefix=prefix):
        for v in page.get('Versions', []) + page.get('DeleteMarkers', []):
            marker = 'Size' not in v
            rows.append((v['Key'], '' if v['VersionId'] == 'null' else v['VersionId'], str(v['IsLatest']).lower(),
                         str(marker).lower(), '' if marker else str(v['Size']), '' if marker else v['ETag'].strip('"')))
    return sorted(rows)


def test_a_report_is_what_the_listing_says_with_versions(quick, client):
    for bucket in 'source', 'dest':
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket='source', Key='before versions', Body=b'null')
    client.put_bucket_versioning(Bucket='source', VersioningConfiguration={'Status': 'Enabled'})
    for n in range(260):
        client.put_object(Bucket='source', Key='many/%d' % n, Body=b'x' * (n % 7))
    for key in 'a b/c+d', 'é"\n,', 'plain':
        for body in b'one', b'three':
            client.put_object(Bucket='source', Key=key, Body=body)
    client.delete_object(Bucket='source', Key='plain')
    client.put_object(Bucket='source', Key='sealed', Body=b'y', ServerSideEncryption='AES256', ChecksumAlgorithm='SHA256')
    upload = client.create_multipart_upload(Bucket='source', Key='parts')['UploadId']
    part = client.upload_part(Bucket='source', Key='parts', UploadId=upload, PartNumber=1, Body=b'z')['ETag']
    client.complete_multipart_upload(Bucket='source', Key='parts', UploadId=upload,
                                     MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part}]})
    client.put_bucket_policy(Bucket='dest', Policy=let_in('dest', 'source'))
    started = time.time() * 1000
    put(client, 'source', configuration('all', fields=FIELDS + ['ObjectAccessControlList', 'ObjectOwner'],
                                        Encryption={'SSES3': {}}))
    part_of_it = configuration('some', versions='Current', fields=['Size', 'ETag'])
    part_of_it['Filter'] = {'Prefix': 'many/1'}
    put(client, 'source', part_of_it)
    rows = report(client, 'source', 'all', started)
    assert sorted((urllib.parse.unquote(r['Key']), r['VersionId'], r['IsLatest'], r['IsDeleteMarker'], r['Size'], r['ETag'])
                  for r in rows) == expected(client, 'source')
    by_key = {urllib.parse.unquote(r['Key']): r for r in rows if r['IsLatest'] == 'true'}
    assert (by_key['sealed']['EncryptionStatus'], by_key['sealed']['ChecksumAlgorithm']) == ('SSE-S3', 'SHA256')
    assert by_key['before versions']['EncryptionStatus'] == 'NOT-SSE' and by_key['before versions']['VersionId'] == ''
    assert (by_key['parts']['IsMultipartUploaded'], by_key['a b/c+d']['IsMultipartUploaded']) == ('true', 'false')
    owner = client.list_buckets()['Owner']['ID']
    assert by_key['a b/c+d']['ObjectOwner'] == owner
    grants = json.loads(base64.b64decode(by_key['a b/c+d']['ObjectAccessControlList']))['grants']
    assert grants == [{'canonicalId': owner, 'type': 'CanonicalUser', 'permission': 'FULL_CONTROL'}]
    some = report(client, 'source', 'some', started)
    keys = sorted(o['Key'] for o in client.list_objects_v2(Bucket='source', Prefix='many/1')['Contents'])
    assert [urllib.parse.unquote(r['Key']) for r in some] == keys and set(some[0]) == {'Bucket', 'Key', 'Size', 'ETag'}
    head = client.head_object(Bucket='dest', Key=newest_manifest(client, 'source', 'all'))
    assert head['ServerSideEncryption'] == 'AES256' and head['ContentType'] == 'application/json'


def test_a_destination_that_lets_nobody_in_is_told_and_tried_again(quick, client):
    client.create_bucket(Bucket='closed')
    client.create_bucket(Bucket='another')
    client.put_object(Bucket='another', Key='k', Body=b'1')
    put(client, 'another', configuration('one', to='closed'))

    def failures():
        lines = quick.get('/metrics')[1].decode().splitlines()
        return int([line for line in lines if line.startswith('cairn_inventory_failures_total ')][0].split()[1])
    end = time.monotonic() + DEADLINE
    before = failures()
    while failures() < before + 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert 'Contents' not in client.list_objects_v2(Bucket='closed')
    assert 'an inventory was not delivered' in quick.log_tail()
    client.put_bucket_policy(Bucket='closed', Policy=let_in('closed', 'another'))
    while 'Contents' not in client.list_objects_v2(Bucket='closed'):
        assert time.monotonic() < end
        time.sleep(0.05)
    client.delete_bucket_inventory_configuration(Bucket='another', Id='one')
