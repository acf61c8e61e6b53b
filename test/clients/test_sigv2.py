# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Signature Version 2: refused unless switched on; then boto3 signs so, and wrong ones stay out."""
import base64
import datetime
import hashlib
import hmac
import json
import urllib.request
import uuid

import boto3
import botocore.config
import pytest

from raw import UNSIGNED, Signer, request
from server import Server
from test_boto3 import code_of
from test_post import Form, absent, refused


@pytest.fixture(scope='module')
def old_server():
    s = Server(options=['--sigv2'])
    s.start()
    yield s
    status = s.stop()
    s.remove()
    assert status == 0


def old_client(server, secret=None):
    return boto3.client('s3', endpoint_url=server.url, region_name='us-east-1', aws_access_key_id=server.access_key,
                        aws_secret_access_key=secret or server.secret_key, verify=server.ca if server.tls else None,
                        config=botocore.config.Config(signature_version='s3', s3={'addressing_style': 'path'}, retries={'max_attempts': 1}))


@pytest.fixture
def place(old_server):
    s3 = old_client(old_server)
    name = 'v2-' + uuid.uuid4().hex[:12]
    s3.create_bucket(Bucket=name)
    return s3, name


def test_it_is_refused_unless_switched_on(server, bucket):
    assert code_of(old_client(server).list_buckets) == (400, 'InvalidRequest')


def test_boto3_signs_so(place):
    """Without a query, which Debian's botocore signs wrongly (it adds it to the resource twice)."""
    s3, name = place
    s3.put_object(Bucket=name, Key='a b/ü+', Body=b'data' * 1000, Metadata={'one': '1', 'two': '2'}, ContentType='text/x', Tagging='a=b')
    assert s3.get_object(Bucket=name, Key='a b/ü+')['Body'].read() == b'data' * 1000
    assert s3.get_object(Bucket=name, Key='a b/ü+')['TagCount'] == 1
    s3.delete_object(Bucket=name, Key='a b/ü+')


def test_it_opens_what_is_sealed(place):
    """Under SSE-KMS as well, where AWS wants version 4: the public suite's forms have it so."""
    s3, name = place
    for kind in ('AES256', 'aws:kms'):
        s3.put_object(Bucket=name, Key='k', Body=kind.encode(), ServerSideEncryption=kind)
        r = s3.get_object(Bucket=name, Key='k')
        assert (r['Body'].read(), r['ServerSideEncryption']) == (kind.encode(), kind)


def test_presigned_urls_and_their_end(old_server, place):
    s3, name = place
    s3.put_object(Bucket=name, Key='k', Body=b'x')
    url = s3.generate_presigned_url('get_object', Params={'Bucket': name, 'Key': 'k', 'ResponseContentType': 'text/own'}, ExpiresIn=60)
    assert 'Signature=' in url and 'X-Amz' not in url
    with urllib.request.urlopen(url) as r:
        assert (r.read(), r.headers['content-type']) == (b'x', 'text/own')
    late = s3.generate_presigned_url('get_object', Params={'Bucket': name, 'Key': 'k'}, ExpiresIn=-1)
    path, query = late[len(old_server.url):].split('?')
    r = request(old_server, 'GET', path, query, signer=False)
    assert (r.status, r.code) == (403, 'AccessDenied')
    path, query = url[len(old_server.url):].split('?')
    for changed in (query.replace('text%2Fown', 'text%2Fhtml'), query + '&uploads', query.replace('Expires=', 'Expires=9')):
        r = request(old_server, 'GET', path, changed, signer=False)
        assert (r.status, r.code) == (403, 'SignatureDoesNotMatch')
    r = request(old_server, 'PUT', path, query, signer=False, body=b'other')
    assert (r.status, r.code) == (403, 'SignatureDoesNotMatch')


def test_a_parameter_that_is_not_signed_is_no_header(old_server, place):
    s3, name = place
    url = s3.generate_presigned_url('put_object', Params={'Bucket': name, 'Key': 'k'}, ExpiresIn=60)
    path, query = url[len(old_server.url):].split('?')
    r = request(old_server, 'PUT', path, query + '&x-amz-meta-evil=1&x-amz-storage-class=STANDARD_IA', signer=False, body=b'x')
    assert r.status == 200
    o = s3.head_object(Bucket=name, Key='k')
    assert o['Metadata'] == {} and 'StorageClass' not in o


def test_a_presigned_url_becomes_no_operation_that_its_signature_does_not_cover(old_server, place):
    """The names of sub-resources that are younger than Signature Version 2 are not in its text."""
    s3, name = place
    s3.put_object(Bucket=name, Key='k', Body=b'x')
    for method, call, params, more in (
            ('GET', 'list_objects', {}, ('encryption', 'publicAccessBlock', 'ownershipControls', 'policyStatus')),
            ('DELETE', 'delete_bucket', {}, ('encryption', 'publicAccessBlock', 'ownershipControls')),
            ('GET', 'get_object', {'Key': 'k'}, ('retention', 'legal-hold', 'attributes')),
            ('PUT', 'put_object', {'Key': 'k'}, ('retention', 'legal-hold', 'encryption', 'renameObject'))):
        path, query = s3.generate_presigned_url(call, Params=dict(params, Bucket=name), ExpiresIn=60)[len(old_server.url):].split('?')
        for word in more:
            r = request(old_server, method, path, query + '&' + word, signer=False)
            assert (r.status, r.code) == (400, 'InvalidRequest') and b'does not cover' in r.body, (word, r)
    path, query = s3.generate_presigned_url('list_objects', Params={'Bucket': name}, ExpiresIn=60)[len(old_server.url):].split('?')
    assert b'<KeyCount>' in request(old_server, 'GET', path, query + '&list-type=2', signer=False).body


def test_wrong_ones_stay_out(old_server, place):
    s3, name = place
    wrong = old_client(old_server, 'not-the-secret')
    assert code_of(wrong.put_object, Bucket=name, Key='k', Body=b'x') == (403, 'SignatureDoesNotMatch')

    def ask(date, signature=None, method='PUT', **more):
        path = '/%s/k' % name
        text = '%s\n\n\n%s\n%s' % (method, date, path)
        signature = signature or base64.b64encode(hmac.new(old_server.secret_key.encode(), text.encode(), hashlib.sha1).digest()).decode()
        headers = [('Date', date), ('Authorization', 'AWS %s:%s' % (old_server.access_key, signature))] + list(more.items())
        return request(old_server, method, path, headers=headers, signer=False)
    now = datetime.datetime.now(datetime.timezone.utc)
    fmt = '%a, %d %b %Y %H:%M:%S GMT'
    old = ask((now - datetime.timedelta(minutes=20)).strftime(fmt))
    assert (old.status, old.code) == (403, 'RequestTimeTooSkewed')
    assert ask('').status == 403 and ask('yesterday').status == 403
    assert ask(now.strftime(fmt), 'AAAA').code == 'SignatureDoesNotMatch'
    assert ask(now.strftime(fmt), **{'x-amz-meta-added': '1'}).code == 'SignatureDoesNotMatch'
    assert absent(old_server, name)
    assert ask(now.strftime(fmt)).status == 200
    four = Signer(old_server.access_key, old_server.secret_key)
    assert request(old_server, 'GET', '/%s/k' % name, payload=UNSIGNED, signer=four).status == 200, 'version 4 goes on'


@pytest.mark.parametrize('signed', ['?uploads', '?uploads='])
def test_a_subresource_without_a_value_is_signed_in_either_way(old_server, place, signed):
    _, name = place
    date = datetime.datetime.now(datetime.timezone.utc).strftime('%a, %d %b %Y %H:%M:%S GMT')
    text = 'GET\n\n\n%s\n/%s/%s' % (date, name, signed)
    signature = base64.b64encode(hmac.new(old_server.secret_key.encode(), text.encode(), hashlib.sha1).digest()).decode()
    headers = [('Date', date), ('Authorization', 'AWS %s:%s' % (old_server.access_key, signature))]
    for path in ('/%s/' % name, '/' + name):
        assert request(old_server, 'GET', path, 'prefix=&uploads=', headers=headers, signer=False).status == 200


def test_forms(old_server, place):
    s3, name = place

    def form(secret=None, **changed):
        f = Form(old_server, name)
        f.sign = False
        policy = base64.b64encode(json.dumps({'expiration': f.expires, 'conditions': f.conditions}).encode()).decode()
        signature = base64.b64encode(hmac.new((secret or old_server.secret_key).encode(), policy.encode(), hashlib.sha1).digest()).decode()
        fields = dict({'AWSAccessKeyId': old_server.access_key, 'policy': policy, 'signature': signature}, **changed)
        f.fields += [(k, v) for k, v in fields.items() if v is not None]
        return f
    refused(form('not-the-secret'), 403, 'SignatureDoesNotMatch')
    refused(form(AWSAccessKeyId='NOBODY'), 403, 'InvalidAccessKeyId')
    refused(form(signature=None), 400, 'InvalidArgument')
    refused(form(policy=None), 400, 'InvalidArgument')
    refused(form(**{'x-amz-meta-more': '1'}), 403, 'AccessDenied')
    assert form(**{'x-amz-checksum-sha256': base64.b64encode(hashlib.sha256(b'the file').digest()).decode()}).send().status == 204
    assert s3.get_object(Bucket=name, Key='k')['Body'].read() == b'the file'
