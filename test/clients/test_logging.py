# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Server access logging, as its users set it up and read it."""
import json

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import request
from server import Server


def let_logs_in(target, source):
    return json.dumps({'Version': '2012-10-17', 'Statement': [{
        'Effect': 'Allow', 'Principal': {'Service': 'logging.s3.amazonaws.com'}, 'Action': 's3:PutObject',
        'Resource': 'arn:aws:s3:::%s/logs/*' % target,
        'Condition': {'ArnLike': {'aws:SourceArn': 'arn:aws:s3:::' + source}}}]})


def test_a_configuration_reads_back(s3, bucket):
    assert 'LoggingEnabled' not in s3.get_bucket_logging(Bucket=bucket)
    enabled = {'TargetBucket': bucket, 'TargetPrefix': 'logs/'}
    with pytest.raises(ClientError) as e:
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={'LoggingEnabled': enabled})
    assert e.value.response['Error']['Code'] == 'InvalidTargetBucketForLogging'
    s3.put_bucket_policy(Bucket=bucket, Policy=let_logs_in(bucket, bucket))
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={'LoggingEnabled': enabled})
    told = s3.get_bucket_logging(Bucket=bucket)['LoggingEnabled']
    assert {k: told[k] for k in enabled} == enabled
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert 'LoggingEnabled' not in s3.get_bucket_logging(Bucket=bucket)


def test_grants_of_the_objects_to_come(s3, bucket):
    me = s3.list_buckets()['Owner']['ID']
    s3.put_bucket_policy(Bucket=bucket, Policy=let_logs_in(bucket, bucket))
    grants = [{'Grantee': {'Type': 'CanonicalUser', 'ID': me}, 'Permission': 'FULL_CONTROL'},
              {'Grantee': {'Type': 'Group', 'URI': 'http://acs.amazonaws.com/groups/global/AllUsers'}, 'Permission': 'READ'}]
    enabled = {'TargetBucket': bucket, 'TargetPrefix': 'logs/', 'TargetGrants': grants}

    def refused(**more):
        with pytest.raises(ClientError) as e:
            s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={'LoggingEnabled': dict(enabled, **more)})
        return e.value.response['Error']['Code']
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={'LoggingEnabled': enabled})
    assert s3.get_bucket_logging(Bucket=bucket)['LoggingEnabled']['TargetGrants'] == grants
    nobody = {'Grantee': {'Type': 'AmazonCustomerByEmail', 'EmailAddress': 'nobody@example.org'}, 'Permission': 'READ'}
    assert refused(TargetGrants=[nobody]) == 'UnresolvableGrantByEmailAddress'
    assert refused(TargetGrants=[dict(grants[0], Grantee={'Type': 'CanonicalUser', 'ID': 'no-such-id'})]) == 'InvalidArgument'
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={'BlockPublicAcls': True})
    assert refused() == 'AccessDenied'
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={'Rules': [{'ObjectOwnership': 'BucketOwnerEnforced'}]})
    assert refused() == 'AccessControlListNotSupported'
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})


def test_what_has_gathered_is_delivered_when_the_server_stops():
    server = Server(tls=False, options=['--trusted-proxies', '127.0.0.1'])
    server.start()
    try:
        s3 = make_client(server)
        s3.create_bucket(Bucket='source')
        s3.create_bucket(Bucket='target')
        s3.put_bucket_policy(Bucket='target', Policy=let_logs_in('target', 'source'))
        s3.put_bucket_logging(Bucket='source', BucketLoggingStatus={
            'LoggingEnabled': {'TargetBucket': 'target', 'TargetPrefix': 'logs/', 'TargetGrants': [
                {'Grantee': {'Type': 'Group', 'URI': 'http://acs.amazonaws.com/groups/global/AllUsers'}, 'Permission': 'READ'}]}})
        s3.put_object(Bucket='source', Key='a key', Body=b'hello')
        assert s3.get_object(Bucket='source', Key='a key')['Body'].read() == b'hello'
        request(server, 'GET', '/source/a%20key', headers=[('X-Forwarded-For', '203.0.113.9')])
        assert server.stop() == 0
        server.start()
        s3 = make_client(server)
        keys = [o['Key'] for o in s3.list_objects_v2(Bucket='target')['Contents']]
        assert len(keys) == 1 and keys[0].startswith('logs/')
        lines = s3.get_object(Bucket='target', Key=keys[0])['Body'].read().decode().splitlines()
        assert [line.split('] ', 1)[1].split(' ')[3] for line in lines] == [
            'REST.PUT.OBJECT', 'REST.GET.OBJECT', 'REST.GET.OBJECT']
        assert [line.split('] ', 1)[1].split(' ')[0] for line in lines] == ['127.0.0.1', '127.0.0.1', '203.0.113.9']
        assert ' "GET /source/a%20key HTTP/1.1" 200 - 5 ' in lines[1] and 'SigV4' in lines[1]
        assert request(server, 'GET', '/target/' + keys[0], signer=False).status == 200  # by the grant
        assert request(server, 'GET', '/target/' + keys[0], 'acl=', signer=False).status == 403
        assert server.secret_key not in '\n'.join(lines)
    finally:
        server.stop()
        server.remove()
