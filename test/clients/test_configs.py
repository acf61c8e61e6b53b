# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Configurations of buckets that are one word: who pays, who owns objects."""
import base64
import hashlib
import json
import uuid

import pytest

from conftest import make_client
from raw import Signer, request
from test_boto3 import code_of


def test_ownership_controls(s3, bucket):
    assert code_of(s3.get_bucket_ownership_controls, Bucket=bucket) == (404, 'OwnershipControlsNotFoundError')
    for word in ('BucketOwnerEnforced', 'BucketOwnerPreferred', 'ObjectWriter'):
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={'Rules': [{'ObjectOwnership': word}]})
        assert s3.get_bucket_ownership_controls(Bucket=bucket)['OwnershipControls']['Rules'] == [{'ObjectOwnership': word}]
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    assert code_of(s3.get_bucket_ownership_controls, Bucket=bucket) == (404, 'OwnershipControlsNotFoundError')


def test_ownership_at_creation(s3):
    name = 'own-' + uuid.uuid4().hex[:12]
    assert code_of(s3.create_bucket, Bucket=name, ObjectOwnership='Somebody') == (400, 'InvalidArgument')
    s3.create_bucket(Bucket=name, ObjectOwnership='BucketOwnerPreferred')
    assert s3.get_bucket_ownership_controls(Bucket=name)['OwnershipControls']['Rules'] == [{'ObjectOwnership': 'BucketOwnerPreferred'}]
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    assert code_of(s3.get_bucket_ownership_controls, Bucket=name) == (404, 'OwnershipControlsNotFoundError'), 'gone with its bucket'
    s3.delete_bucket(Bucket=name)


def test_who_pays(server, s3, bucket):
    assert s3.get_bucket_request_payment(Bucket=bucket)['Payer'] == 'BucketOwner'
    for payer in ('Requester', 'BucketOwner', 'Requester'):
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={'Payer': payer})
        assert s3.get_bucket_request_payment(Bucket=bucket)['Payer'] == payer
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    owner = request(server, 'GET', '/%s/k' % bucket)
    assert owner.status == 200 and 'x-amz-request-charged' not in owner.headers, 'the owner pays anyway'
    assert request(server, 'GET', '/%s/k' % bucket, signer=False).status == 403


def test_others_pay_or_get_nothing(server, s3, bucket):
    user = 'pay' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'a-users-secret')
    other = Signer(user, 'a-users-secret')
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
        {'Effect': 'Allow', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::%s/*' % bucket}]}))
    path = '/%s/k' % bucket
    assert request(server, 'GET', path, signer=other).status == 200
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={'Payer': 'Requester'})
    denied = request(server, 'GET', path, signer=other)
    assert (denied.status, denied.code) == (403, 'AccessDenied')
    paid = request(server, 'GET', path, headers=[('x-amz-request-payer', 'requester')], signer=other)
    assert (paid.status, paid.headers['x-amz-request-charged']) == (200, 'requester')
    anonymous = request(server, 'GET', path, headers=[('x-amz-request-payer', 'requester')], signer=False)
    assert anonymous.status == 403, 'nobody to charge'
    copy = request(server, 'PUT', '/%s/c' % bucket, headers=[('x-amz-copy-source', path)], signer=other)
    assert copy.status == 403


def test_the_owner_is_not_asked_to_pay(server):
    user = 'pay' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'a-users-secret')
    theirs = make_client(server, user, 'a-users-secret')
    name = 'pay-' + uuid.uuid4().hex[:12]
    theirs.create_bucket(Bucket=name)
    theirs.put_bucket_request_payment(Bucket=name, RequestPaymentConfiguration={'Payer': 'Requester'})
    theirs.put_object(Bucket=name, Key='k', Body=b'x')
    theirs.delete_object(Bucket=name, Key='k')
    theirs.delete_bucket(Bucket=name)


def test_acceleration_can_be_off(server, s3, bucket):
    assert 'Status' not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={'Status': 'Suspended'})
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)['Status'] == 'Suspended'
    assert code_of(s3.put_bucket_accelerate_configuration, Bucket=bucket,
                   AccelerateConfiguration={'Status': 'Enabled'}) == (501, 'NotImplemented')
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)['Status'] == 'Suspended'


@pytest.mark.parametrize('query,body', [
    ('accelerate', b'<AccelerateConfiguration/>'), ('accelerate', b'<AccelerateConfiguration><Status>On</Status></AccelerateConfiguration>'),
    ('requestPayment', b''), ('requestPayment', b'<RequestPaymentConfiguration/>'), ('requestPayment', b'<Payer>Requester</Payer>'),
    ('requestPayment', b'<RequestPaymentConfiguration><Payer>Nobody</Payer></RequestPaymentConfiguration>'),
    ('requestPayment', b'<RequestPaymentConfiguration><Payer>Requester</Payer><Payer>Requester</Payer></RequestPaymentConfiguration>'),
    ('ownershipControls', b'<OwnershipControls/>'), ('ownershipControls', b'<OwnershipControls><Rule/></OwnershipControls>'),
    ('ownershipControls', b'<OwnershipControls><Rule><ObjectOwnership>Me</ObjectOwnership></Rule></OwnershipControls>')])
def test_malformed_documents(server, bucket, query, body):
    md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
    answer = request(server, 'PUT', '/' + bucket, query + '=', headers=[md5], body=body)
    assert (answer.status, answer.code) == (400, 'MalformedXML'), answer


@pytest.mark.parametrize('query,body', [
    ('accelerate', b'<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>'),
    ('logging', b'<BucketLoggingStatus/>'),
    ('notification', b'<NotificationConfiguration/>'),
    ('requestPayment', b'<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>'),
    ('versioning', b'<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'),
    ('website', b'<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>')])
def test_documents_that_nobody_has_to_vouch_for(server, bucket, query, body):
    """minio-js sends them without a digest, as the API reference's examples do."""
    assert request(server, 'PUT', '/' + bucket, query + '=', body=body).status == 200
    wrong = ('Content-MD5', base64.b64encode(hashlib.md5(b'').digest()).decode())
    answer = request(server, 'PUT', '/' + bucket, query + '=', headers=[wrong], body=body)
    assert (answer.status, answer.code) == (400, 'BadDigest'), 'one that is sent is held against them'


@pytest.mark.parametrize('query,body', [
    ('cors', b'<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>'),
    ('tagging', b'<Tagging><TagSet/></Tagging>')])
def test_documents_that_somebody_has_to_vouch_for(server, bucket, query, body):
    answer = request(server, 'PUT', '/' + bucket, query + '=', body=body)
    assert (answer.status, answer.code) == (400, 'InvalidRequest'), answer
