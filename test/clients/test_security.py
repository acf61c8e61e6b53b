# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Holes that other servers had, each as a test: a refused request stores nothing and tells nothing."""
import base64
import datetime
import hashlib
import time
import uuid

import pytest

from raw import (CHUNKED, CHUNKED_TRAILER, EMPTY, UNSIGNED, UNSIGNED_TRAILER, Connection, Signer, crc32_base64, request,
                 request_bytes)

DATA = b'x' * 9000
CAIRN_VERSION = b'0.1.0'


@pytest.fixture(scope='module')
def place(server):
    """A bucket with one object in it."""
    name = 'sec-' + uuid.uuid4().hex[:12]
    assert request(server, 'PUT', '/' + name).status == 200
    assert request(server, 'PUT', '/%s/present' % name, body=b'present').status == 200
    yield name
    request(server, 'DELETE', '/%s/present' % name)
    assert request(server, 'DELETE', '/' + name).status == 204


def absent(server, bucket, key):
    return request(server, 'HEAD', '/%s/%s' % (bucket, key)).status == 404


def wrong(server):
    return Signer(server.access_key, 'not-the-secret-key')


def stranger(server):
    return Signer('NOSUCHACCESSKEY', server.secret_key)


def put_streaming(server, bucket, key, mode, signer=None, mutate=None, headers=(), pieces=(DATA,), trailers=()):
    """An aws-chunked PUT; `mutate` may change the body's bytes before they are sent."""
    signer = signer or Signer(server.access_key, server.secret_key)
    decoded = sum(len(p) for p in pieces)
    all_headers = [('Host', server.host), ('Content-Encoding', 'aws-chunked'),
                   ('x-amz-decoded-content-length', str(decoded))] + list(headers)
    if trailers:
        all_headers.append(('x-amz-trailer', ','.join(n for n, _ in trailers)))
    path = '/%s/%s' % (bucket, key)
    all_headers = signer.headers('PUT', path, '', all_headers, mode)
    body = signer.chunked_body(pieces, trailers, signed=mode != UNSIGNED_TRAILER)
    if mutate:
        body = mutate(body)
    all_headers.append(('Content-Length', str(len(body))))
    with Connection(server) as c:
        c.send(request_bytes('PUT', path, all_headers, body))
        return c.reply('PUT')


TRAILER = [('x-amz-checksum-crc32', crc32_base64(DATA))]


@pytest.mark.parametrize('mode', [CHUNKED, CHUNKED_TRAILER, UNSIGNED_TRAILER])
def test_streaming_upload_is_stored_when_all_is_right(server, place, mode):
    trailers = TRAILER if mode != CHUNKED else ()
    r = put_streaming(server, place, 'stream', mode, trailers=trailers)
    assert r.status == 200, r
    got = request(server, 'GET', '/%s/stream' % place)
    assert got.body == DATA
    request(server, 'DELETE', '/%s/stream' % place)


@pytest.mark.parametrize('mode', [CHUNKED, CHUNKED_TRAILER, UNSIGNED_TRAILER, UNSIGNED])
@pytest.mark.parametrize('who,code', [(wrong, 'SignatureDoesNotMatch'), (stranger, 'InvalidAccessKeyId')])
def test_every_streaming_mode_verifies_the_head_signature(server, place, mode, who, code):
    trailers = TRAILER if mode in (CHUNKED_TRAILER, UNSIGNED_TRAILER) else ()
    if mode == UNSIGNED:
        r = request(server, 'PUT', '/%s/forged' % place, body=DATA, payload=UNSIGNED, signer=who(server))
    else:
        r = put_streaming(server, place, 'forged', mode, signer=who(server), trailers=trailers)
    assert (r.status, r.code) == (403, code)
    assert absent(server, place, 'forged')


@pytest.mark.parametrize('mode', [CHUNKED, CHUNKED_TRAILER, UNSIGNED_TRAILER, UNSIGNED])
def test_streaming_upload_without_any_signature_is_refused(server, place, mode):
    body = b'%x\r\n%s\r\n0\r\n\r\n' % (len(DATA), DATA)
    r = request(server, 'PUT', '/%s/anonymous' % place, body=body, signer=False,
                headers=[('x-amz-content-sha256', mode), ('x-amz-decoded-content-length', str(len(DATA)))])
    assert r.status == 403 and r.code == 'AccessDenied', r
    assert absent(server, place, 'anonymous')


def swap_first_two(body):
    first_end = body.index(DATA) + len(DATA) + 2
    second_end = body.index(b'y' * 9000) + 9000 + 2
    return body[first_end:second_end] + body[:first_end] + body[second_end:]


CHUNK_MUTATIONS = {
    'swapped chunks': swap_first_two,
    'repeated chunk': lambda b: b[:b.index(DATA) + len(DATA) + 2] * 2 + b[b.index(DATA) + len(DATA) + 2:],
    'changed byte': lambda b: b.replace(b'xxxx', b'xxXx', 1),
    'truncated': lambda b: b[:b.index(b'y' * 9000)] + b'0;chunk-signature=' + b'0' * 64 + b'\r\n\r\n',
    'zero signature': lambda b: b.replace(b[b.index(b'=') + 1:b.index(b'=') + 65], b'0' * 64, 1),
    'missing signature': lambda b: b'%x\r\n' % len(DATA) + b[b.index(b'\r\n') + 2:],
    'data after the end': lambda b: b + b'5\r\nhello\r\n',
}


@pytest.mark.parametrize('mutation', CHUNK_MUTATIONS)
def test_chunk_signatures_are_chained_and_checked(server, place, mutation):
    r = put_streaming(server, place, 'chain', CHUNKED, mutate=CHUNK_MUTATIONS[mutation],
                      pieces=(DATA, b'y' * 9000, b'end'))
    assert r is None or r.status in (400, 403), r
    assert absent(server, place, 'chain')


def test_small_chunk_that_is_not_the_last_is_refused(server, place):
    r = put_streaming(server, place, 'small', CHUNKED, pieces=(b'tiny', DATA))
    assert (r.status, r.code) == (403, 'InvalidChunkSizeError')
    assert absent(server, place, 'small')


@pytest.mark.parametrize('mode', [CHUNKED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize('trailers,declared,code', [
    ([('x-amz-checksum-crc32', crc32_base64(b'other'))], None, 'BadDigest'),
    ([('x-amz-checksum-crc32', 'nonsense')], None, ('InvalidRequest', 'BadDigest', 'MalformedTrailerError')),
    ([], 'x-amz-checksum-crc32', 'MalformedTrailerError'),
    ([('x-amz-checksum-crc32c', 'AAAAAA==')], 'x-amz-checksum-crc32', 'MalformedTrailerError'),
])
def test_trailers_must_be_declared_present_and_right(server, place, mode, trailers, declared, code):
    signer = Signer(server.access_key, server.secret_key)
    path = '/%s/trailer' % place
    headers = signer.headers('PUT', path, '', [
        ('Host', server.host), ('Content-Encoding', 'aws-chunked'), ('x-amz-decoded-content-length', str(len(DATA))),
        ('x-amz-trailer', declared or trailers[0][0])], mode)
    body = signer.chunked_body([DATA], trailers, signed=mode == CHUNKED_TRAILER)
    headers.append(('Content-Length', str(len(body))))
    with Connection(server) as c:
        c.send(request_bytes('PUT', path, headers, body))
        r = c.reply('PUT')
    assert r.status == 400 and r.code in ((code,) if isinstance(code, str) else code), r
    assert absent(server, place, 'trailer')


def test_trailer_signature_is_checked(server, place):
    def spoil(body):
        at = body.index(b'x-amz-trailer-signature:') + len(b'x-amz-trailer-signature:')
        return body[:at] + b'0' * 64 + body[at + 64:]
    r = put_streaming(server, place, 'tsig', CHUNKED_TRAILER, mutate=spoil, trailers=TRAILER)
    assert (r.status, r.code) == (403, 'SignatureDoesNotMatch')
    assert absent(server, place, 'tsig')


def test_checksum_in_header_and_trailer_together_is_refused(server, place):
    r = put_streaming(server, place, 'both', UNSIGNED_TRAILER, trailers=TRAILER, headers=TRAILER)
    assert (r.status, r.code) == (400, 'InvalidRequest')
    assert absent(server, place, 'both')


def test_unknown_streaming_mode_is_refused(server, place):
    r = request(server, 'PUT', '/%s/mode' % place, body=DATA, payload='STREAMING-SOMETHING-NEW')
    assert r.status == 400 and r.code == 'InvalidArgument', r
    assert absent(server, place, 'mode')


def test_decoded_length_must_hold(server, place):
    signer = Signer(server.access_key, server.secret_key)
    for declared in (len(DATA) - 1, len(DATA) + 1):
        path = '/%s/length' % place
        headers = signer.headers('PUT', path, '', [
            ('Host', server.host), ('x-amz-decoded-content-length', str(declared))], CHUNKED)
        body = signer.chunked_body([DATA])
        headers.append(('Content-Length', str(len(body))))
        with Connection(server) as c:
            c.send(request_bytes('PUT', path, headers, body))
            r = c.reply('PUT')
        assert r.status == 400 and r.code == 'IncompleteBody', r
        assert absent(server, place, 'length')


def test_unsigned_amz_header_cannot_turn_a_put_into_a_copy(server, place):
    signed = ['host', 'x-amz-date', 'x-amz-content-sha256']
    r = request(server, 'PUT', '/%s/copied' % place, headers=[('x-amz-copy-source', '/%s/present' % place)],
                sign=signed)
    assert r.status == 403 and r.code == 'AccessDenied', r
    assert absent(server, place, 'copied')
    r = request(server, 'PUT', '/%s/copied' % place, headers=[('x-amz-meta-a', 'b')], sign=signed)
    assert r.status == 403, r


def test_forbidden_looks_the_same_for_present_and_absent(server, place):
    user = 'u' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'its-secret-key')
    signer = Signer(user, 'its-secret-key')
    for method, headers in (('GET', []), ('HEAD', []), ('GET', [('If-None-Match', '*')]),
                            ('GET', [('If-Match', '"x"')]), ('GET', [('Range', 'bytes=99999-')]), ('DELETE', [])):
        replies = [request(server, method, '/%s/%s' % (place, key), headers=headers, signer=signer)
                   for key in ('present', 'absent')]
        assert [r.status for r in replies] == [403, 403], (method, headers, replies)
        assert replies[0].code == replies[1].code
    for key in ('present', 'absent'):
        r = request(server, 'PUT', '/%s/%s' % (place, key), headers=[('If-None-Match', '*')], body=b'x', signer=signer)
        assert r.status == 403
    assert request(server, 'GET', '/%s/present' % place).body == b'present'
    server.admin('user', 'rm', user)
    assert request(server, 'GET', '/', signer=signer).code == 'InvalidAccessKeyId'


def test_copy_authorises_its_source(server, place):
    user = 'c' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'its-secret-key')
    signer = Signer(user, 'its-secret-key')
    own = 'own-' + uuid.uuid4().hex[:12]
    assert request(server, 'PUT', '/' + own, signer=signer).status == 200
    r = request(server, 'PUT', '/%s/stolen' % own, headers=[('x-amz-copy-source', '/%s/present' % place)],
                signer=signer)
    assert (r.status, r.code) == (403, 'AccessDenied')
    start = request(server, 'POST', '/%s/stolen' % own, query='uploads=', signer=signer)
    upload = start.body.split(b'<UploadId>')[1].split(b'<')[0].decode()
    r = request(server, 'PUT', '/%s/stolen' % own, query='partNumber=1&uploadId=' + upload,
                headers=[('x-amz-copy-source', '/%s/present' % place)], signer=signer)
    assert (r.status, r.code) == (403, 'AccessDenied')
    assert request(server, 'DELETE', '/%s/stolen' % own, query='uploadId=' + upload, signer=signer).status == 204
    assert request(server, 'DELETE', '/' + own, signer=signer).status == 204
    server.admin('user', 'rm', user)


def test_presigned_urls_expire_and_cover_the_method(server, place):
    def fetch(method, query, path=None):
        with Connection(server) as c:
            c.send(request_bytes(method, '%s?%s' % (path or '/%s/present' % place, query), [('Host', server.host)]))
            return c.reply(method)
    signer = Signer(server.access_key, server.secret_key)
    path = '/%s/present' % place
    good = signer.presign('GET', server.host, path)
    assert fetch('GET', good).body == b'present'
    assert fetch('DELETE', good).status == 403
    assert fetch('GET', good, '/%s/absent' % place).status == 403
    assert fetch('GET', good.replace('Expires=300', 'Expires=3000')).status == 403
    assert fetch('GET', good[:-1] + ('0' if good[-1] != '0' else '1')).status == 403
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2)
    old = Signer(server.access_key, server.secret_key, now=past)
    assert fetch('GET', old.presign('GET', server.host, path, expires=60)).status == 403
    assert fetch('GET', old.presign('GET', server.host, path, expires=4 * 3600)).status == 200
    assert fetch('GET', signer.presign('GET', server.host, path, expires=7 * 86400 + 1)).status == 400
    assert fetch('GET', wrong(server).presign('GET', server.host, path)).status == 403
    assert request(server, 'GET', path).body == b'present'


@pytest.mark.parametrize('query', ['x-amz-meta-a=%0D%0AX-Evil%3A1', 'x-amz-meta-a%20b=1', 'x-amz-meta-a%3A=1', 'x-amz-meta-%0Ax=1', 'x-amz-meta-a=%00',
                                   'x-amz-website-redirect-location=%2F%0D%0AX-Evil%3A1', 'x-amz-meta-a=%7F'])
def test_what_a_presigned_url_brings_as_headers_can_be_headers(server, place, query):
    signer, path = Signer(server.access_key, server.secret_key), '/%s/brought' % place
    with Connection(server) as c:
        c.send(request_bytes('PUT', path + '?' + signer.presign('PUT', server.host, path, query),
                             [('Host', server.host), ('Content-Length', '1')], b'x'))
        assert (lambda r: (r.status, r.code))(c.reply()) == (400, 'InvalidArgument')


def test_spaces_of_a_query_that_come_as_plus_are_signed_as_spaces(server, place):
    signer, path = Signer(server.access_key, server.secret_key), '/%s/present' % place
    query = 'response-content-disposition=attachment%3B%20filename%3D%22a%2Bb%20c%22'
    with Connection(server) as c:
        for target in (signer.presign('GET', server.host, path, query), signer.presign('GET', server.host, path, query).replace('%20', '+')):
            c.send(request_bytes('GET', '%s?%s' % (path, target), [('Host', server.host)]))
            r = c.reply()
            assert (r.status, r.headers.get('content-disposition')) == (200, 'attachment; filename="a+b c"'), r


@pytest.mark.parametrize('mutation', [lambda s: s[:-4], lambda s: s[:-2] + 'zz', lambda s: s.upper() + 'A', lambda s: 'x'])
def test_what_cannot_be_a_signature_does_not_match(server, place, mutation):
    path, signer = '/%s/present' % place, Signer(server.access_key, server.secret_key)
    headers = signer.headers('GET', path, '', [('Host', server.host)], EMPTY)
    headers[-1] = ('Authorization', headers[-1][1].replace(signer.seed, mutation(signer.seed)))
    url, _, signature = signer.presign('GET', server.host, path).rpartition('=')
    with Connection(server) as c:
        for target, fields in ((path, headers), ('%s?%s=%s' % (path, url, mutation(signature)), [('Host', server.host)])):
            c.send(request_bytes('GET', target, fields))
            r = c.reply()
            assert (r.status, r.code) == (403, 'SignatureDoesNotMatch')


@pytest.mark.parametrize('service', ['s3tables', 's3express', 's3-object-lambda', 'iam', 'sts', ''])
def test_a_signature_for_another_service_opens_no_bucket(server, place, service):
    """CVE-2026-55873: a door that a signature's scope chose."""
    signer = Signer(server.access_key, server.secret_key, service=service)
    for method, path, query in (('GET', '/', ''), ('GET', '/' + place, ''), ('GET', '/%s/present' % place, ''), ('GET', '/buckets', '')):
        r = request(server, method, path, query, signer=signer)
        assert (r.status, r.code) == (400, 'AuthorizationHeaderMalformed'), r


@pytest.mark.parametrize('method', ['GET', 'HEAD'])
def test_a_signature_for_another_region_is_told_the_right_one(server, place, method):
    """HEAD has no body to tell it in; SDKs go by the header and ask again."""
    r = request(server, method, '/%s/present' % place, signer=Signer(server.access_key, server.secret_key, region='eu-central-1'))
    assert (r.status, r.headers.get('x-amz-bucket-region')) == (400, 'us-east-1'), r


def test_clock_skew_of_more_than_fifteen_minutes_is_refused(server, place):
    for minutes in (-16, 16):
        when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        r = request(server, 'GET', '/%s/present' % place, signer=Signer(server.access_key, server.secret_key, now=when))
        assert (r.status, r.code) == (403, 'RequestTimeTooSkewed')


def test_wrong_body_digest_stores_nothing(server, place):
    r = request(server, 'PUT', '/%s/digest' % place, body=b'body', payload=hashlib.sha256(b'other').hexdigest())
    assert (r.status, r.code) == (400, 'XAmzContentSHA256Mismatch')
    md5 = base64.b64encode(hashlib.md5(b'other').digest()).decode()
    r = request(server, 'PUT', '/%s/digest' % place, body=b'body', headers=[('Content-MD5', md5)])
    assert (r.status, r.code) == (400, 'BadDigest')
    r = request(server, 'PUT', '/%s/digest' % place, body=b'body', headers=[('Content-MD5', 'x')])
    assert (r.status, r.code) == (400, 'InvalidDigest')
    r = request(server, 'PUT', '/%s/digest' % place, body=b'body', headers=[('x-amz-checksum-crc32', 'AAAAAA==')])
    assert (r.status, r.code) == (400, 'BadDigest')
    assert absent(server, place, 'digest')


@pytest.mark.parametrize('key', ['../escape', '..%2f..%2fetc%2fpasswd', '%2e%2e/%2e%2e/x', 'a/../../b', './x', '//', 'a//b',
                                 '%2F', '%00', 'con%0d%0aSet-Cookie:x'])
def test_a_key_is_bytes_and_never_a_path(server, place, key):
    import urllib.parse
    # The canonical path is the decoded key, encoded once.
    canonical = '/%s/%s' % (place, urllib.parse.quote(urllib.parse.unquote_to_bytes(key), safe='-_.~/'))
    signer = Signer(server.access_key, server.secret_key)
    body = key.encode()
    headers = signer.headers('PUT', canonical, '', [('Host', server.host), ('Content-Length', str(len(body)))],
                             hashlib.sha256(body).hexdigest())
    with Connection(server) as c:
        c.send(request_bytes('PUT', '/%s/%s' % (place, key), headers, body))
        r = c.reply('PUT')
    assert r.status == 200, r
    got = request(server, 'GET', canonical)
    assert got.status == 200 and got.body == body
    assert 'set-cookie' not in got.headers
    listed = request(server, 'GET', '/' + place, query='encoding-type=url&list-type=2')
    assert urllib.parse.quote(urllib.parse.unquote_to_bytes(key), safe='-_.~/*').encode() in listed.body.replace(b'+', b'%20')
    assert request(server, 'DELETE', canonical).status == 204


ANONYMOUS_ALLOWED = {'/health/live', '/health/ready', '/minio/health/live', '/minio/health/ready',
                     '/minio/health/cluster', '/metrics', '/minio/v2/metrics/cluster'}


@pytest.mark.parametrize('method,path', [
    ('GET', '/'), ('GET', '/-/admin/v1/info'), ('GET', '/-/admin/v1/users'), ('POST', '/-/admin/v1/users'),
    ('POST', '/-/admin/v1/check'), ('DELETE', '/-/admin/v1/users/x'), ('GET', '/-/'), ('GET', '/-/anything'),
    ('POST', '/minio/bootstrap/v1/verify'), ('GET', '/minio/admin/v3/info'), ('GET', '/minio/v2/metrics/node'),
    ('GET', '/health'), ('GET', '/metrics/x'), ('PUT', '/newbucket'), ('GET', '/newbucket?policy'), ('POST', '/'),
    ('OPTIONS', '/newbucket/key'), ('GET', '/?Action=ListUsers'),
])
def test_without_credentials_only_health_and_metrics_answer(server, method, path):
    r = request(server, method, path.split('?')[0], query=path.partition('?')[2], signer=False)
    assert r.status in (403, 405, 400, 501) or (r.status, r.code) == (404, 'NoSuchBucket'), r  # that there is none is told, as in AWS
    assert server.secret_key.encode() not in r.body and CAIRN_VERSION not in r.body


@pytest.mark.parametrize('path', sorted(ANONYMOUS_ALLOWED))
def test_health_and_metrics_answer_without_credentials(server, path):
    r = request(server, 'GET', path, signer=False)
    assert r.status == 200
    assert server.access_key.encode() not in r.body


def test_other_users_have_no_admin_rights(server):
    user = 'a' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'its-secret-key')
    signer = Signer(user, 'its-secret-key')
    for method, path in (('GET', '/-/admin/v1/info'), ('GET', '/-/admin/v1/users'), ('POST', '/-/admin/v1/users'),
                         ('DELETE', '/-/admin/v1/users/' + user), ('POST', '/-/admin/v1/check')):
        r = request(server, method, path, signer=signer)
        assert r.status == 403 and b'AccessDenied' in r.body, r
    server.admin('user', 'rm', user)


@pytest.mark.parametrize('service,region,status', [
    ('s3', 'us-east-1', 200), ('s3', '', 200), ('s3', 'eu-west-9', 403), ('sts', 'us-east-1', 403), ('iam', 'us-east-1', 403), ('s4', '', 403)])
def test_the_admin_door_takes_signatures_for_itself_alone(server, service, region, status):
    """A signing key that was derived for something else, and given to somebody for that, is no key of the administrator's."""
    signer = Signer(server.access_key, server.secret_key, service=service, region=region)
    assert request(server, 'GET', '/-/admin/v1/info', signer=signer).status == status


def test_json_that_nests_deep_is_refused_before_it_is_parsed(server):
    """A parser that recurses would leave its fiber's stack."""
    signer = Signer(server.access_key, server.secret_key)
    for body in (b'[' * 2000, b'{"a":' * 2000, b'{"name":' + b'[' * 2000):
        r = request(server, 'POST', '/-/admin/v1/users', body=body, signer=signer)
        assert r.status == 400, r
    assert server.process.poll() is None


def test_no_secret_reaches_the_log(server, place):
    signer = Signer(server.access_key, server.secret_key)
    query = signer.presign('GET', server.host, '/%s/present' % place)
    with Connection(server) as c:
        c.send(request_bytes('GET', '/%s/present?%s' % (place, query), [('Host', server.host)]))
        assert c.reply().status == 200
    deadline = time.monotonic() + 60
    while place not in server.log() and time.monotonic() < deadline:
        time.sleep(0.05)  # lines are gathered for a moment before they are written
    log = server.log()
    assert place in log
    for secret in (server.secret_key, 'its-secret-key', query.split('X-Amz-Signature=')[1]):
        assert secret not in log
