# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""CORS: the document, preflights without credentials, headers on what is answered."""
import base64
import hashlib

import pytest

from raw import Connection, request, request_bytes
from test_boto3 import code_of

ALLOWED = 'access-control-allow-origin'


def put_rules(s3, bucket, *rules):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={'CORSRules': list(rules)})


def rule(origins, methods=('GET',), **more):
    return dict({'AllowedOrigins': list(origins), 'AllowedMethods': list(methods)}, **more)


def preflight(server, path, origin, method='GET', headers=None, query=''):
    lines = [('Origin', origin), ('Access-Control-Request-Method', method)]
    lines += [('Access-Control-Request-Headers', headers)] if headers else []
    return request(server, 'OPTIONS', path, query, headers=[h for h in lines if h[1]], signer=False)


def test_rules_are_read_back(s3, bucket):
    assert code_of(s3.get_bucket_cors, Bucket=bucket) == (404, 'NoSuchCORSConfiguration')
    rules = [rule(['http://*.example.com', 'https://a'], ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'], ID='one', AllowedHeaders=['*', 'x-amz-*'],
                  ExposeHeaders=['ETag', 'x-amz-request-id'], MaxAgeSeconds=3000), rule(['*'])]
    put_rules(s3, bucket, *rules)
    assert s3.get_bucket_cors(Bucket=bucket)['CORSRules'] == rules
    s3.delete_bucket_cors(Bucket=bucket)
    s3.delete_bucket_cors(Bucket=bucket)
    assert code_of(s3.get_bucket_cors, Bucket=bucket) == (404, 'NoSuchCORSConfiguration')


RULE = b'<CORSRule><AllowedOrigin>%s</AllowedOrigin><AllowedMethod>%s</AllowedMethod>%s</CORSRule>'


@pytest.mark.parametrize('rules,code', [
    (b'', 'MalformedXML'), (RULE % (b'*', b'GET', b'<Colour>red</Colour>'), 'MalformedXML'), (b'<Rule/>', 'MalformedXML'),
    (b'<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>', 'MalformedXML'),
    (b'<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>', 'MalformedXML'),
    (RULE % (b'*', b'OPTIONS', b''), 'InvalidRequest'), (RULE % (b'*', b'get', b''), 'InvalidRequest'),
    (RULE % (b'http://*.*', b'GET', b''), 'InvalidRequest'), (RULE % (b'a b', b'GET', b''), 'MalformedXML'),
    (RULE % (b'a&#13;&#10;Set-Cookie:x', b'GET', b''), 'MalformedXML'),
    (RULE % (b'*', b'GET', b'<ExposeHeader>a&#13;&#10;b</ExposeHeader>'), 'InvalidRequest'),
    (RULE % (b'*', b'GET', b'<ExposeHeader>x-*</ExposeHeader>'), 'InvalidRequest'),
    (RULE % (b'*', b'GET', b'<AllowedHeader>x-*-*</AllowedHeader>'), 'InvalidRequest'),
    (RULE % (b'*', b'GET', b'<MaxAgeSeconds>--1</MaxAgeSeconds>'), 'MalformedXML'),
    (RULE % (b'*', b'GET', b'<ID>' + b'i' * 256 + b'</ID>'), 'MalformedXML'), ((RULE % (b'*', b'GET', b'')) * 101, 'InvalidRequest')])
def test_rules_that_are_none(server, bucket, rules, code):
    body = b'<CORSConfiguration>' + rules + b'</CORSConfiguration>'
    md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
    answer = request(server, 'PUT', '/' + bucket, 'cors=', headers=[md5], body=body)
    assert (answer.status, answer.code) == (400, code), answer
    assert request(server, 'GET', '/' + bucket, 'cors=').status == 404


@pytest.mark.parametrize('pattern,fits,not_', [
    ('http://a.example', ['http://a.example'], ['http://a.example.evil', 'http://A.example', 'https://a.example', 'null', 'http://b']),
    ('*.suffix', ['x.suffix', '.suffix', 'a.b.suffix'], ['suffix', 'x.suffix.evil']), ('start*end', ['startend', 'start-end'], ['star', 'starend', '0startend']),
    ('prefix*', ['prefix', 'prefix.evil'], ['aprefix', 'prefi'])])
def test_origins_match_exactly(server, s3, bucket, pattern, fits, not_):
    put_rules(s3, bucket, rule([pattern]))
    for origin in fits:
        r = preflight(server, '/%s/k' % bucket, origin)
        assert (r.status, r.headers[ALLOWED], r.headers['access-control-allow-methods']) == (200, origin, 'GET')
        assert r.headers['access-control-allow-credentials'] == 'true' and 'Origin' in r.headers['vary']
    for origin in not_:
        r = preflight(server, '/%s/k' % bucket, origin)
        assert (r.status, r.code) == (403, 'AccessForbidden') and ALLOWED not in r.headers


def test_a_preflight_that_no_browser_sends(server, s3, bucket):
    put_rules(s3, bucket, rule(['*'], AllowedHeaders=['*'], MaxAgeSeconds=-5))
    assert s3.get_bucket_cors(Bucket=bucket)['CORSRules'][0]['MaxAgeSeconds'] == -5
    good = preflight(server, '/%s/k' % bucket, 'http://a', 'GET', 'x-one')
    assert good.status == 200 and good.headers['access-control-max-age'] == '-5'
    for method, headers in (('PATCH', None), ('get', None), ('GET', 'x-one, a b'), ('GET', 'x(one)')):
        bad = preflight(server, '/%s/k' % bucket, 'http://a', method, headers)
        assert (bad.status, bad.code) == (400, 'BadRequest'), bad


def test_preflight_weighs_method_and_headers_and_takes_the_first_rule(server, s3, bucket):
    put_rules(s3, bucket, rule(['http://a'], ['PUT'], AllowedHeaders=['Content-*', 'x-one'], MaxAgeSeconds=7),
              rule(['*'], ['GET'], ExposeHeaders=['ETag', 'x-amz-id-2']), rule(['http://a'], ['GET']))
    put = preflight(server, '/%s/k' % bucket, 'http://a', 'PUT', 'content-type, X-ONE')
    assert put.status == 200 and put.headers['access-control-max-age'] == '7'
    assert put.headers['access-control-allow-headers'] == 'content-type, x-one'
    assert preflight(server, '/%s/k' % bucket, 'http://a', 'PUT', 'content-type, x-two').status == 403
    assert preflight(server, '/%s/k' % bucket, 'http://a', 'DELETE').status == 403
    assert preflight(server, '/%s/k' % bucket, 'http://b', 'PUT').status == 403
    get = preflight(server, '/' + bucket, 'http://a', 'GET')
    assert (get.headers[ALLOWED], get.headers['access-control-expose-headers']) == ('*', 'ETag, x-amz-id-2')
    assert 'access-control-allow-credentials' not in get.headers
    assert preflight(server, '/%s/k' % bucket, 'http://a', 'GET', 'x-any').status == 403
    presigned = s3.generate_presigned_url('get_object', Params={'Bucket': bucket, 'Key': 'k'}).split('?')[1]
    assert preflight(server, '/%s/k' % bucket, 'http://a', 'GET', query=presigned).status == 200
    assert preflight(server, '/%s/k' % bucket, 'http://a', 'GET', query='uploads&uploadId=1').status == 200


def test_a_preflight_that_asks_nothing(server, s3, bucket):
    path = '/%s/k' % bucket
    assert preflight(server, path, '').code == 'BadRequest', 'an origin, before all else'
    r = preflight(server, path, 'http://a', '')
    assert (r.status, r.code) == (403, 'AccessForbidden') and b'CORS is not enabled' in r.body
    assert b'<Method>OPTIONS</Method><ResourceType>BUCKET</ResourceType>' in r.body
    r = preflight(server, '/no-such-bucket-anywhere/k', 'http://a')
    assert (r.status, r.code) == (403, 'AccessForbidden') and b'CORSResponse: Bucket not found' in r.body
    put_rules(s3, bucket, rule(['http://a']))
    r = preflight(server, path, 'http://a', '')
    assert (r.status, r.code) == (400, 'BadRequest')


def test_headers_that_a_request_asks_for(server, s3, bucket):
    put_rules(s3, bucket, rule(['http://a'], AllowedHeaders=['x-one', 'x-two']), rule(['']))
    assert s3.get_bucket_cors(Bucket=bucket)['CORSRules'][1]['AllowedOrigins'] == ['']
    answer = preflight(server, '/' + bucket, 'http://a', headers='X-One,x-two ,  x-one')
    assert answer.headers['access-control-allow-headers'] == 'x-one, x-two, x-one'
    for wanted, given in (('x-two', 'http://a'), ('x-three', None)):
        lines = [('Origin', 'http://a'), ('Access-Control-Request-Headers', wanted)]
        with Connection(server) as c:
            c.send(request_bytes('GET', '/' + bucket, [('Host', server.host)] + lines))
            while b'\r\n\r\n' not in c.buffer:
                assert c._more()
            assert c.buffer.lower().count(b'\nvary:') == 1
            assert c.reply().headers.get(ALLOWED) == given


def test_answers_and_errors_carry_the_headers(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    put_rules(s3, bucket, rule(['http://a'], ['GET'], ExposeHeaders=['ETag']), rule(['http://w'], ['PUT']))
    path = '/%s/k' % bucket

    def ask(method='GET', origin='http://a', path=path, signer=None):
        return request(server, method, path, headers=[('Origin', origin)] if origin else [], signer=signer)
    good = ask()
    assert (good.status, good.headers[ALLOWED], good.headers['access-control-expose-headers']) == (200, 'http://a', 'ETag')
    assert ask(path=path + 'absent').headers[ALLOWED] == 'http://a'
    denied = ask(signer=False)
    assert (denied.status, denied.headers[ALLOWED]) == (403, 'http://a'), 'a page may read why'
    for other in (ask(origin='http://b'), ask('PUT'), ask('DELETE', 'http://w')):
        assert ALLOWED not in other.headers
    plain = ask(origin=None)
    assert ALLOWED not in plain.headers and 'Origin' in plain.headers['vary'], 'caches must know'
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    s3.delete_bucket_cors(Bucket=bucket)
    gone = ask()
    assert gone.status == 200 and ALLOWED not in gone.headers and 'vary' not in gone.headers


def test_an_origin_cannot_bring_a_header(server, s3, bucket):
    """CVE-2021-3524: a CR in what is reflected."""
    put_rules(s3, bucket, rule(['http://*']))
    for evil in ('http://a\rSet-Cookie: x=1', 'http://a\nSet-Cookie: x=1', 'http://a\x00b'):
        with Connection(server) as c:
            c.send(request_bytes('OPTIONS', '/%s/k' % bucket, [('Host', server.host), ('Origin', evil), ('Access-Control-Request-Method', 'GET')]))
            answer = c.reply()
            assert answer is None or (answer.status == 400 and 'set-cookie' not in answer.headers)
