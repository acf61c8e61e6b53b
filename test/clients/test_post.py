# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""PostObject: uploads from forms, as boto3 signs them and as an attacker would change them."""
import base64
import datetime
import hashlib
import hmac
import json
import uuid

import pytest

from raw import Connection, Signer, crc32_base64, request, request_bytes
from test_boto3 import code_of, get

SUFFICIENT = 600


def utc(seconds=SUFFICIENT):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return then.strftime('%Y-%m-%dT%H:%M:%S.000Z')


class Form:
    """A signed form; fields and conditions may be changed before it is sent."""

    def __init__(self, server, bucket, key='k', access_key=None, secret=None, **fields):
        self.server, self.bucket = server, bucket
        self.signer = Signer(access_key or server.access_key, secret or server.secret_key)
        self.fields = [('key', key)] + [(k.replace('_', '-') if k.startswith('x_') else k, v) for k, v in fields.items()]
        self.conditions = [{'bucket': bucket}] + [{k: v} for k, v in self.fields]
        self.expires = utc()
        self.file = b'the file'
        self.filename = 'name.txt'
        self.after = []
        self.sign = True
        self.policy = None

    def body(self):
        boundary = 'b' + uuid.uuid4().hex
        fields = list(self.fields)
        if self.sign:
            credential = '%s/%s' % (self.signer.access_key, self.signer.scope)
            proof = [('x-amz-algorithm', 'AWS4-HMAC-SHA256'), ('x-amz-credential', credential), ('x-amz-date', self.signer.time)]
            document = {'expiration': self.expires, 'conditions': self.conditions + [{k: v} for k, v in proof]}
            text = self.policy if self.policy is not None else json.dumps(document)
            policy = base64.b64encode(text.encode()).decode()
            signature = hmac.new(self.signer.key, policy.encode(), hashlib.sha256).hexdigest()
            fields += [f for f in proof + [('policy', policy), ('x-amz-signature', signature)] if f[0] not in dict(fields)]
        out = b''.join(b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary.encode(), n.encode(), v.encode())
                       for n, v in fields)
        if self.file is not None:
            out += b'--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: text/html\r\n\r\n' % (
                boundary.encode(), self.filename.encode()) + self.file + b'\r\n'
        out += b''.join(b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary.encode(), n.encode(), v.encode())
                        for n, v in self.after)
        return out + b'--%s--\r\n' % boundary.encode(), 'multipart/form-data; boundary=' + boundary

    def send(self, pieces=None, headers=()):
        body, content_type = self.body()
        headers = [('Host', self.server.host), ('Content-Type', content_type), ('Content-Length', str(len(body)))] + list(headers)
        with Connection(self.server) as c:
            c.send(request_bytes('POST', '/' + self.bucket, headers))
            step = pieces or len(body) or 1
            for i in range(0, len(body), step):
                c.send(body[i:i + step])
            return c.reply()


def absent(server, bucket, key='k'):
    return request(server, 'HEAD', '/%s/%s' % (bucket, key)).status == 404


def test_boto3s_form(server, s3, bucket):
    import requests
    post = s3.generate_presigned_post(bucket, 'a/${filename}', Fields={'x-amz-meta-color': 'blue', 'Content-Type': 'text/x-own'},
                                      Conditions=[{'x-amz-meta-color': 'blue'}, {'Content-Type': 'text/x-own'}, ['content-length-range', 1, 100]])
    r = requests.post(post['url'], data=post['fields'], files={'file': ('häß.txt', b'content')}, verify=server.ca or True)
    assert r.status_code == 204, r.text
    o = s3.get_object(Bucket=bucket, Key='a/häß.txt')
    assert o['Body'].read() == b'content'
    assert (o['Metadata'], o['ContentType']) == ({'color': 'blue'}, 'text/x-own')
    assert r.headers['ETag'] == o['ETag'] and r.headers['Location'].endswith('/%s/a/h%%C3%%A4%%C3%%9F.txt' % bucket)


@pytest.mark.parametrize('size', [0, 1, 2048, 2049, 20000, 20480, 20481, 100000, 3000000])
@pytest.mark.parametrize('pieces', [None, 977])
def test_files_of_any_size(server, s3, bucket, size, pieces):
    f = Form(server, bucket)
    f.file = (b'\r\n--b\r' * (size // 6 + 1))[:size]
    f.after = [('submit', 'Upload ' + 'x' * 1000)] if size % 2 else []
    r = f.send(pieces if size < 50000 else None)
    assert r.status == 204, r
    assert get(s3, bucket, 'k') == f.file
    assert r.headers['etag'] == '"%s"' % hashlib.md5(f.file).hexdigest()


def test_headers_of_the_object_come_from_fields(server, s3, bucket):
    f = Form(server, bucket, **{'Cache-Control': 'max-age=3', 'Content-Disposition': 'inline', 'Content-Encoding': 'x', 'Expires': 'never',
                                'x_amz_meta_one': 'eins', 'x_amz_storage_class': 'STANDARD_IA', 'acl': 'private',
                                'tagging': '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>'})
    assert f.send().status == 204
    o = request(server, 'GET', '/%s/k' % bucket).headers
    assert [o[name] for name in ('cache-control', 'content-disposition', 'content-encoding', 'expires', 'x-amz-meta-one')] == \
        ['max-age=3', 'inline', 'x', 'never', 'eins']
    assert [o[name] for name in ('x-amz-storage-class', 'x-amz-tagging-count', 'content-type')] == ['STANDARD_IA', '1', 'binary/octet-stream']


def test_answers(server, s3, bucket):
    f = Form(server, bucket, key='a b&c', success_action_status='201')
    r = f.send()
    assert r.status == 201 and b'<PostResponse>' in r.body and b'<Key>a b&amp;c</Key>' in r.body
    assert ('<Location>%s/%s/a%%20b%%26c</Location>' % (server.url, bucket)).encode() in r.body
    assert Form(server, bucket, success_action_status='200').send().status == 200
    assert Form(server, bucket, success_action_status='404').send().status == 204
    r = Form(server, bucket, key='a b&c', success_action_redirect='http://example.com/done?x=1').send()
    etag = hashlib.md5(b'the file').hexdigest()
    assert r.status == 303
    assert r.headers['location'] == 'http://example.com/done?x=1&bucket=%s&key=a%%20b%%26c&etag=%%22%s%%22' % (bucket, etag)
    assert Form(server, bucket, success_action_redirect='javascript:alert(1)').send().status == 204
    r = Form(server, bucket, success_action_redirect='http://x/\r\nSet-Cookie: a=b').send()
    assert r.status == 400 and 'set-cookie' not in r.headers


def test_checksums_are_held_against_the_file(server, s3, bucket):
    good = crc32_base64(b'the file')
    r = Form(server, bucket, x_amz_checksum_crc32=good).send()
    assert r.status == 204 and r.headers['x-amz-checksum-crc32'] == good
    assert s3.head_object(Bucket=bucket, Key='k', ChecksumMode='ENABLED')['ChecksumCRC32'] == good
    r = Form(server, bucket, key='wrong', x_amz_checksum_crc32=crc32_base64(b'other')).send()
    assert (r.status, r.code) == (400, 'BadDigest') and absent(server, bucket, 'wrong')
    r = Form(server, bucket, key='wrong', **{'Content-MD5': base64.b64encode(b'0' * 16).decode()}).send()
    assert (r.status, r.code) == (400, 'BadDigest') and absent(server, bucket, 'wrong')


# ---- the policy ---------------------------------------------------------------------------------

def refused(form, status, code):
    r = form.send()
    assert (r.status, r.code) == (status, code), r
    assert absent(form.server, form.bucket)


def test_each_condition_missing_or_broken_is_refused(server, bucket):
    """CVE-2023-43040: a policy that does not bind the request."""
    base = {'acl': 'private', 'x_amz_meta_a': '1', 'Content-Type': 'image/png'}
    for i in range(len(Form(server, bucket, **base).conditions)):
        f = Form(server, bucket, **base)
        del f.conditions[i]
        refused(f, 403, 'AccessDenied')
        f = Form(server, bucket, **base)
        f.conditions[i] = {k: v + 'x' for k, v in f.conditions[i].items()}
        refused(f, 403, 'AccessDenied')
    f = Form(server, bucket)
    f.conditions[0] = {'bucket': 'another'}
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket)
    f.fields.append(('bucket', 'another'))
    f.conditions[0] = {'bucket': 'another'}
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket)
    f.fields.append(('x-amz-meta-more', '1'))
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket)
    f.conditions.append({'x-amz-meta-absent': 'needed'})
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket, key='other')
    f.conditions[1] = ['starts-with', '$key', 'k']
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket, **{'Content-Type': 'image/png, text/html'})
    f.conditions[2] = ['starts-with', '$Content-Type', 'image/']
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket)
    f.expires = utc(-1)
    refused(f, 403, 'AccessDenied')


def test_the_filename_is_under_the_condition_too(server, s3, bucket):
    f = Form(server, bucket, key='${filename}')
    f.conditions[1] = ['starts-with', '$key', 'user/']
    f.filename = 'k'
    refused(f, 403, 'AccessDenied')
    f = Form(server, bucket, key='user/${filename}')
    f.conditions[1] = ['starts-with', '$key', 'user/']
    f.filename = 'C:\\dir\\x.txt'
    assert f.send().status == 204
    assert get(s3, bucket, 'user/x.txt') == b'the file'


def test_names_and_operators_compare_without_case(server, s3, bucket):
    f = Form(server, bucket, acl='private', **{'x-ignore-this': 'any'})
    f.conditions = [{'bUcKeT': bucket}, ['StArTs-WiTh', '$KeY', ''], {'AcL': 'private'}, ['eQ', '$X-Ignore-This', 'any']]
    f.fields[0] = ('KeY', 'k')
    assert f.send().status == 204
    assert get(s3, bucket, 'k') == b'the file'


@pytest.mark.parametrize('size,low,high,code', [(8, 0, 7, 'EntityTooLarge'), (8, 9, 20, 'EntityTooSmall'), (8, 8, 8, None), (8, '8', '8', None),
                                                (500000, 0, 499999, 'EntityTooLarge'), (30000, 0, 29999, 'EntityTooLarge'), (30000, 30001, 40000, 'EntityTooSmall')])
def test_the_length_must_be_in_range(server, bucket, size, low, high, code):
    f = Form(server, bucket)
    f.file = b'x' * size
    f.conditions.append(['content-length-range', low, high])
    if code:
        refused(f, 400, code)
    else:
        assert f.send().status == 204


@pytest.mark.parametrize('policy', [
    '', '{', '[]', 'null', '{"conditions": [{"key": "k"}]}', '{"expiration": "%s"}' % utc(), '{"expiration": "%s", "conditions": []}' % utc(),
    '{"expiration": "%s", "conditions": {}}' % utc(), '{"EXPIRATION": "%s", "conditions": [{"key": "k"}]}' % utc(),
    '{"expiration": "%s", "CONDITIONS": [{"key": "k"}]}' % utc(), '{"expiration": "tomorrow", "conditions": [{"key": "k"}]}',
    '{"expiration": "%s", "conditions": [["eq", "key", "k"]]}' % utc(), '{"expiration": "%s", "conditions": [["ends-with", "$key", "k"]]}' % utc(),
    '{"expiration": "%s", "conditions": [["content-length-range", 0]]}' % utc(), '{"expiration": "%s", "conditions": [["content-length-range", -1, 0]]}' % utc(),
    '{"expiration": "%s", "conditions": [{"key": 1}]}' % utc(), '{"expiration": "%s", "conditions": ["key"]}' % utc(),
    '{"expiration": "%s", "expiration": "%s", "conditions": [{"key": "k"}]}' % (utc(-9), utc()), '[' * 9000, '{"a":' * 2000])
def test_documents_that_are_no_policy(server, bucket, policy):
    f = Form(server, bucket)
    f.policy = policy
    refused(f, 400, 'InvalidPolicyDocument')


# ---- the signature ------------------------------------------------------------------------------

def test_wrong_missing_and_foreign_signatures(server, bucket):
    refused(Form(server, bucket, secret='not-the-secret'), 403, 'SignatureDoesNotMatch')
    refused(Form(server, bucket, access_key='NOBODYATALL'), 403, 'InvalidAccessKeyId')
    user = 'post' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'a-users-secret')
    refused(Form(server, bucket, access_key=user, secret='a-users-secret'), 403, 'AccessDenied')
    f = Form(server, bucket)
    f.sign = False
    refused(f, 403, 'AccessDenied')
    for field in ('x-amz-signature', 'policy', 'x-amz-credential', 'x-amz-date', 'x-amz-algorithm'):
        f = Form(server, bucket)
        body, _ = f.body()
        f.fields = [(n, v) for n, v in form_fields(body) if n != field]
        f.sign = False
        refused(f, 400, 'InvalidArgument')
    f = Form(server, bucket, **{'x-amz-security-token': 'a-session'})
    refused(f, 400, 'InvalidToken')
    f = Form(server, bucket)
    f.fields += [('AWSAccessKeyId', server.access_key), ('signature', 'AAAA')]
    refused(f, 400, 'InvalidRequest')
    f = Form(server, bucket)
    f.signer.region, f.signer.scope = 'eu-x', f.signer.scope.replace('us-east-1', 'eu-x')
    refused(f, 400, 'InvalidArgument')
    f = Form(server, bucket)
    f.signer = Signer(f.signer.access_key, server.secret_key, service='sts')
    refused(f, 400, 'InvalidArgument')
    for name in ('x-amz-meta-a b', 'x-amz-meta-a: b', 'x-amz-meta-\xe9'):
        refused(Form(server, bucket, **{name: 'v'}), 400, 'InvalidArgument')


def form_fields(body):
    for part in body.split(b'\r\n--b')[0:-1]:
        head, _, value = part.partition(b'\r\n\r\n')
        name = head.split(b'name="')[1].split(b'"')[0].decode()
        if name != 'file':
            yield name, value.decode()


def test_policy_of_another_form_does_not_fit(server, bucket):
    f = Form(server, bucket)
    fields = dict(form_fields(f.body()[0]))
    f.conditions[1] = {'key': 'else'}
    f.fields.append(('x-amz-signature', fields['x-amz-signature']))
    refused(f, 403, 'SignatureDoesNotMatch')


# ---- the form -----------------------------------------------------------------------------------

def test_forms_that_are_none(server, s3, bucket):
    f = Form(server, bucket)
    f.file = None
    refused(f, 400, 'InvalidArgument')
    f = Form(server, bucket)
    f.fields.append(('key', 'other'))
    refused(f, 400, 'InvalidArgument')
    f = Form(server, bucket)
    f.fields = []
    refused(f, 400, 'InvalidArgument')
    refused(Form(server, bucket, key=''), 400, 'InvalidArgument')
    f = Form(server, bucket, **{'x-ignore-much': 'x' * 21000})
    refused(f, 400, 'MaxPostPreDataLengthExceeded')
    f = Form(server, bucket)
    f.file = b'x' * 30000
    f.after = [('submit', 'x' * 25000)]
    refused(f, 400, 'MaxPostPreDataLengthExceeded')
    refused(Form(server, bucket, **{'x-amz-server-side-encryption': 'aws:kms:dsse'}), 501, 'NotImplemented')
    refused(Form(server, bucket, x_amz_meta_a='a\r\nb'), 400, 'InvalidArgument')
    refused(Form(server, bucket, x_amz_meta_a='a' * 2100), 400, 'MetadataTooLarge')
    r = Form(server, bucket, key='k' * 1025).send()
    assert (r.status, r.code) == (400, 'KeyTooLongError')
    for body in (b'', b'--x', b'preamble\r\n--x\r\n', b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--x--\r\n'):
        r = request(server, 'POST', '/' + bucket, headers=[('Content-Type', 'multipart/form-data; boundary=x')], body=body, signer=False)
        assert r.status == 400 and r.code in ('MalformedPOSTRequest', 'InvalidArgument')
    r = request(server, 'POST', '/' + bucket, headers=[('Content-Type', 'multipart/form-data')], body=b'x', signer=False)
    assert (r.status, r.code) == (400, 'MalformedPOSTRequest')
    r = request(server, 'POST', '/' + bucket, headers=[('Content-Type', 'text/plain')], body=b'x')
    assert (r.status, r.code) == (412, 'PreconditionFailed')
    assert 'Contents' not in s3.list_objects_v2(Bucket=bucket)


def test_a_form_that_breaks_off_stores_nothing(server, s3, bucket):
    f = Form(server, bucket)
    f.file = b'x' * 100000
    body, content_type = f.body()
    cut = body[:-30]
    headers = [('Host', server.host), ('Content-Type', content_type), ('Content-Length', str(len(cut)))]
    with Connection(server) as c:
        c.send(request_bytes('POST', '/' + bucket, headers, cut))
        r = c.reply()
    assert (r.status, r.code) == (400, 'MalformedPOSTRequest') and absent(server, bucket)


def test_what_a_stranger_is_told_of_buckets(server, s3, bucket):
    absent_one = 'no-such-bucket-' + uuid.uuid4().hex[:8]
    for name, sign, answer in ((bucket, False, (403, 'AccessDenied')), (absent_one, False, (404, 'NoSuchBucket')), (absent_one, True, (404, 'NoSuchBucket'))):
        f = Form(server, name)
        f.sign = sign
        r = f.send()
        assert (r.status, r.code) == answer
    assert code_of(s3.head_object, Bucket=bucket, Key='k')[0] == 404
