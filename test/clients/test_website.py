# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Websites: the document, and what the hosts below a website domain answer."""
import base64
import hashlib
import json
import uuid

import pytest

from conftest import make_client
from raw import Connection, request, request_bytes
from server import Server
from test_boto3 import code_of

DOMAIN = 'web.example.com'


@pytest.fixture(scope='module')
def site_server():
    s = Server(options=['--website-domain', 'other.example, ' + DOMAIN])
    s.start()
    yield s
    status = s.stop()
    s.remove()
    assert status == 0


@pytest.fixture
def site(site_server):
    """A client, and a bucket of its own."""
    s3 = make_client(site_server)
    name = 'site-' + uuid.uuid4().hex[:12]
    s3.create_bucket(Bucket=name)
    yield s3, name
    for o in s3.list_objects_v2(Bucket=name).get('Contents', []):
        s3.delete_object(Bucket=name, Key=o['Key'])
    s3.delete_bucket(Bucket=name)


def publish(s3, bucket, *actions):
    resources = ['arn:aws:s3:::%s' % bucket, 'arn:aws:s3:::%s/*' % bucket]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
        {'Effect': 'Allow', 'Principal': '*', 'Action': list(actions), 'Resource': resources}]}))


def browse(server, bucket, path, method='GET', headers=(), host=None):
    with Connection(server) as c:
        c.send(request_bytes(method, path, [('Host', host or '%s.%s' % (bucket, DOMAIN))] + list(headers)))
        return c.reply(method)


def put_site(s3, bucket, **configuration):
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=configuration)


INDEX = {'IndexDocument': {'Suffix': 'index.html'}}
FULL = dict(INDEX, ErrorDocument={'Key': 'error.html'}, RoutingRules=[
    {'Condition': {'KeyPrefixEquals': 'docs/'}, 'Redirect': {'ReplaceKeyPrefixWith': 'documents/', 'HttpRedirectCode': '302'}},
    {'Condition': {'HttpErrorCodeReturnedEquals': '404', 'KeyPrefixEquals': 'old/'}, 'Redirect': {'HostName': 'archive.example', 'Protocol': 'https'}},
    {'Condition': {'KeyPrefixEquals': 'gone/'}, 'Redirect': {'ReplaceKeyWith': 'gone page.html'}}])


def test_the_document_is_read_back(s3, bucket):
    assert code_of(s3.get_bucket_website, Bucket=bucket) == (404, 'NoSuchWebsiteConfiguration')
    for configuration in (INDEX, FULL, {'RedirectAllRequestsTo': {'HostName': 'example.com', 'Protocol': 'https'}}):
        put_site(s3, bucket, **configuration)
        got = s3.get_bucket_website(Bucket=bucket)
        got.pop('ResponseMetadata')
        assert got == configuration
    s3.delete_bucket_website(Bucket=bucket)
    s3.delete_bucket_website(Bucket=bucket)
    assert code_of(s3.get_bucket_website, Bucket=bucket) == (404, 'NoSuchWebsiteConfiguration')


SUFFIX = '<IndexDocument><Suffix>i</Suffix></IndexDocument>'
RULE = SUFFIX + '<RoutingRules><RoutingRule>%s</RoutingRule></RoutingRules>'


@pytest.mark.parametrize('body,code', [
    ('', 'InvalidArgument'), ('<IndexDocument><Suffix>a/b</Suffix></IndexDocument>', 'InvalidArgument'),
    ('<IndexDocument><Suffix></Suffix></IndexDocument>', 'InvalidArgument'), (SUFFIX + '<ErrorDocument><Key/></ErrorDocument>', 'InvalidArgument'),
    (SUFFIX + SUFFIX, 'MalformedXML'), ('<RedirectAllRequestsTo><HostName>a</HostName></RedirectAllRequestsTo>' + SUFFIX, 'MalformedXML'),
    ('<RedirectAllRequestsTo/>', 'MalformedXML'), ('<RedirectAllRequestsTo><HostName>a b</HostName></RedirectAllRequestsTo>', 'MalformedXML'),
    ('<RedirectAllRequestsTo><HostName>a</HostName><Protocol>ftp</Protocol></RedirectAllRequestsTo>', 'InvalidRequest'),
    (RULE % '', 'MalformedXML'), (RULE % '<Redirect/>', 'MalformedXML'), (SUFFIX + '<RoutingRules/>', 'MalformedXML'),
    (RULE % '<Condition/><Redirect><HostName>a</HostName></Redirect>', 'InvalidRequest'),
    (RULE % '<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>', 'InvalidRequest'),
    (RULE % '<Redirect><HttpRedirectCode>300</HttpRedirectCode></Redirect>', 'InvalidRequest'),
    (RULE % '<Redirect><HttpRedirectCode>200</HttpRedirectCode></Redirect>', 'InvalidRequest'),
    (RULE % '<Redirect><HttpRedirectCode>306</HttpRedirectCode></Redirect>', 'InvalidRequest'),
    (RULE % '<Redirect><HttpRedirectCode>3xx</HttpRedirectCode></Redirect>', 'MalformedXML'),
    (RULE % '<Condition><HttpErrorCodeReturnedEquals>418</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>a</HostName></Redirect>', 'InvalidRequest'),
    (RULE % '<Condition><HttpErrorCodeReturnedEquals>302</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>a</HostName></Redirect>', 'InvalidRequest'),
    (RULE % '<Redirect><HostName>a&#13;&#10;Set-Cookie: b</HostName></Redirect>', 'MalformedXML'),
    (SUFFIX + '<RoutingRules>' + '<RoutingRule><Redirect><HostName>a</HostName></Redirect></RoutingRule>' * 51 + '</RoutingRules>', 'InvalidRequest')])
def test_documents_that_are_none(server, bucket, body, code):
    body = ('<WebsiteConfiguration>%s</WebsiteConfiguration>' % body).encode()
    md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
    answer = request(server, 'PUT', '/' + bucket, 'website=', headers=[md5], body=body)
    assert (answer.status, answer.code) == (400, code), answer
    assert request(server, 'GET', '/' + bucket, 'website=').status == 404


def test_redirect_of_an_object_is_kept_told_and_never_copied(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', WebsiteRedirectLocation='/other page')
    assert s3.head_object(Bucket=bucket, Key='k')['WebsiteRedirectLocation'] == '/other page'
    source = {'Bucket': bucket, 'Key': 'k'}
    s3.copy_object(Bucket=bucket, Key='c', CopySource=source)
    assert 'WebsiteRedirectLocation' not in s3.head_object(Bucket=bucket, Key='c')
    s3.copy_object(Bucket=bucket, Key='c', CopySource=source, WebsiteRedirectLocation='https://example.com/')
    assert s3.head_object(Bucket=bucket, Key='c')['WebsiteRedirectLocation'] == 'https://example.com/'
    s3.copy_object(Bucket=bucket, Key='k', CopySource=source, WebsiteRedirectLocation='/new')
    assert s3.head_object(Bucket=bucket, Key='k')['WebsiteRedirectLocation'] == '/new'
    upload = s3.create_multipart_upload(Bucket=bucket, Key='m', WebsiteRedirectLocation='/m')['UploadId']
    part = s3.upload_part(Bucket=bucket, Key='m', UploadId=upload, PartNumber=1, Body=b'x')
    s3.complete_multipart_upload(Bucket=bucket, Key='m', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
    assert s3.head_object(Bucket=bucket, Key='m')['WebsiteRedirectLocation'] == '/m'
    for bad in ('other', 'ftp://x', 'javascript:x', '/' + 'x' * 2048):
        assert code_of(s3.put_object, Bucket=bucket, Key='bad', WebsiteRedirectLocation=bad) == (400, 'InvalidRedirectLocation')


def test_redirects(site_server, site):
    s3, name = site
    put_site(s3, name, RedirectAllRequestsTo={'HostName': 'example.com'})
    r = browse(site_server, name, '/a%20b/c')
    assert (r.status, r.headers['location']) == (301, 'http://example.com/a%20b/c')
    put_site(s3, name, **FULL)
    host = '%s.%s' % (name, DOMAIN)
    for path, status, location in (('/docs/a/b', 302, 'http://%s/documents/a/b' % host), ('/gone/x', 301, 'http://%s/gone%%20page.html' % host)):
        for method in ('GET', 'HEAD'):
            r = browse(site_server, name, path, method)
            assert (r.status, r.headers['location']) == (status, location)
    rules = [{'Condition': {'HttpErrorCodeReturnedEquals': '403'}, 'Redirect': {'HostName': 'login.example', 'Protocol': 'https', 'HttpRedirectCode': '307'}}]
    put_site(s3, name, RoutingRules=rules, **INDEX)
    r = browse(site_server, name, '/secret')
    assert (r.status, r.headers['location']) == (307, 'https://login.example/secret')


def test_errors_are_pages(site_server, site):
    s3, name = site
    absent = browse(site_server, 'no-such-' + uuid.uuid4().hex[:8], '/')
    assert absent.status == 404 and b'<li>Code: NoSuchBucket</li>' in absent.body and absent.headers['content-type'].startswith('text/html')
    assert b'NoSuchWebsiteConfiguration' in browse(site_server, name, '/').body
    put_site(s3, name, **INDEX)
    s3.put_object(Bucket=name, Key='index.html', Body=b'private')
    for path in ('/', '/index.html', '/absent<script>'):
        r = browse(site_server, name, path)
        assert r.status == 403 and b'AccessDenied' in r.body and b'private' not in r.body and b'<script>' not in r.body
    for method in ('PUT', 'POST', 'DELETE'):
        assert browse(site_server, name, '/index.html', method, [('Content-Length', '0')]).status == 405
    r = browse(site_server, name, '/', 'HEAD')
    assert r.status == 403 and not r.body
    assert browse(site_server, name, '/%zz').status == 400
    api = browse(site_server, name, '/%s/index.html' % name, host=site_server.host)
    assert (api.status, api.code) == (403, 'AccessDenied'), 'other hosts are the API'


def test_pages(site_server, site):
    s3, name = site
    publish(s3, name, 's3:GetObject', 's3:ListBucket')
    put_site(s3, name, **FULL)
    for key in ('index.html', 'a/index.html', 'page', 'error.html'):
        s3.put_object(Bucket=name, Key=key, Body=key.encode(), ContentType='text/html', Metadata={'m': 'n'})
    s3.put_object(Bucket=name, Key='moved', Body=b'x', WebsiteRedirectLocation='/page')
    for path, key in (('/', 'index.html'), ('/a/', 'a/index.html'), ('/page', 'page'), ('/a/index.html', 'a/index.html')):
        r = browse(site_server, name, path)
        assert (r.status, r.body) == (200, key.encode())
        assert (r.headers['content-type'], r.headers['x-amz-meta-m']) == ('text/html', 'n')
    r = browse(site_server, name, '/a')
    assert (r.status, r.headers['location']) == (302, '/a/')
    s3.put_object(Bucket=name, Key='/b/index.html', Body=b'x')
    assert browse(site_server, name, '//b').headers['location'] == '/.//b/', 'not to the host b'
    r = browse(site_server, name, '/moved')
    assert (r.status, r.headers['location']) == (301, '/page')
    r = browse(site_server, name, '/absent')
    assert (r.status, r.body) == (404, b'error.html'), 'the error document with the error status'
    r = browse(site_server, name, '/old/x')
    assert (r.status, r.headers['location']) == (301, 'https://archive.example/old/x')
    part = browse(site_server, name, '/page', headers=[('Range', 'bytes=1-2')])
    assert (part.status, part.body) == (206, b'ag')
    etag = browse(site_server, name, '/page').headers['etag']
    assert browse(site_server, name, '/page', headers=[('If-None-Match', etag)]).status == 304
    assert browse(site_server, name, '/page?response-content-type=text/evil').headers['content-type'] == 'text/html'
    s3.delete_object(Bucket=name, Key='error.html')
    r = browse(site_server, name, '/absent')
    assert r.status == 404 and b'<li>Code: NoSuchKey</li>' in r.body
    s3.delete_bucket_policy(Bucket=name)
    assert browse(site_server, name, '/page').status == 403
    publish(s3, name, 's3:GetObject')
    assert browse(site_server, name, '/absent').status == 403, 'who may not list learns nothing'


def test_a_site_that_lists_grant_tells_what_is_not_there(site_server, site):
    """An object that is not there has no list: the bucket's says whether its absence is told."""
    s3, name = site
    s3.put_bucket_acl(Bucket=name, ACL='public-read')
    put_site(s3, name, ErrorDocument={'Key': 'error.html'}, RoutingRules=[
        {'Condition': {'KeyPrefixEquals': 'old/', 'HttpErrorCodeReturnedEquals': '404'}, 'Redirect': {'ReplaceKeyPrefixWith': 'new/'}}], **INDEX)
    absent = browse(site_server, name, '/absent')
    assert absent.status == 404 and b'<li>Code: NoSuchKey</li>' in absent.body and b'<li>Key: absent</li>' in absent.body
    assert browse(site_server, name, '/old/x').headers['location'].endswith('/new/x')
    s3.put_object(Bucket=name, Key='page', Body=b'x', ACL='public-read')
    s3.put_object(Bucket=name, Key='error.html', Body=b'sorry', ACL='public-read')
    s3.put_object(Bucket=name, Key='own', Body=b'x')
    assert browse(site_server, name, '/page').body == b'x'
    sorry = browse(site_server, name, '/absent')
    assert (sorry.status, sorry.body) == (404, b'sorry')
    assert browse(site_server, name, '/own').status == 403
    s3.put_object(Bucket=name, Key='error.html', Body=b'sorry', ACL='public-read', WebsiteRedirectLocation='/page')
    moved = browse(site_server, name, '/absent')
    assert (moved.status, moved.headers['location']) == (301, '/page')
    put_site(s3, name, **INDEX)
    s3.put_bucket_acl(Bucket=name, ACL='private')
    assert browse(site_server, name, '/absent').status == 403
