# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""HTTP as clients and attackers send it: expectations, pipelining, smuggling, limits, slow and broken peers."""
import hashlib
import os
import socket
import time
import uuid

import pytest

from raw import Connection, Signer, request, request_bytes


@pytest.fixture(scope='module')
def place(server):
    name = 'http-' + uuid.uuid4().hex[:12]
    assert request(server, 'PUT', '/' + name).status == 200
    yield name
    body = request(server, 'GET', '/' + name).body
    for part in body.split(b'<Key>')[1:]:
        request(server, 'DELETE', '/%s/%s' % (name, part.split(b'<')[0].decode()))
    assert request(server, 'DELETE', '/' + name).status == 204


def signed(server, method, path, body=b'', extra=(), query=''):
    headers = [('Host', server.host), ('Content-Length', str(len(body)))] + list(extra)
    return Signer(server.access_key, server.secret_key).headers(method, path, query, headers, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize('size', [0, 1, 100, 70000])
def test_expect_is_answered_before_the_body_and_the_connection_goes_on(server, place, size):
    """Also for an empty body: botocore reads the next answer of the connection wrongly otherwise."""
    body = b'b' * size
    with Connection(server) as c:
        for _ in range(3):
            headers = signed(server, 'PUT', '/%s/expect' % place, body) + [('Expect', '100-continue')]
            c.send(request_bytes('PUT', '/%s/expect' % place, headers))
            assert c._line() == b'HTTP/1.1 100 Continue' and c._line() == b''
            c.send(body)
            assert c.reply('PUT').status == 200


def test_refused_expectation_sends_no_continue_and_closes(server, place):
    with Connection(server) as c:
        headers = signed(server, 'PUT', '/%s-none/k' % place, b'x' * 50000) + [('Expect', '100-continue')]
        c.send(request_bytes('PUT', '/%s-none/k' % place, headers))
        line = c._line()
        assert line.startswith(b'HTTP/1.1 404')
        c.buffer = line + b'\r\n' + c.buffer
        assert c.reply().closed and c.closed()


def test_pipelined_requests_are_answered_in_order(server, place):
    for i in range(5):
        assert request(server, 'PUT', '/%s/pipe%d' % (place, i), body=b'%d' % i).status == 200
    with Connection(server) as c:
        c.send(b''.join(request_bytes('GET', '/%s/pipe%d' % (place, i), signed(server, 'GET', '/%s/pipe%d' % (place, i)))
                        for i in range(5)))
        assert [c.reply().body for _ in range(5)] == [b'%d' % i for i in range(5)]


SMUGGLING = {
    'length and transfer encoding': b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': b'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
    'list of lengths': b'Content-Length: 5, 6\r\n\r\nhello!',
    'signed length': b'Content-Length: +5\r\n\r\nhello',
    'space before colon': b'Content-Length : 5\r\n\r\nhello',
    'folded header': b'X-A: b\r\n c\r\n\r\n',
    'bare line feed': b'X-A: b\nX-B: c\r\n\r\n',
    'bare carriage return': b'X-A: b\rX-B: c\r\n\r\n',
    'nul in value': b'X-A: b\x00c\r\n\r\n',
    'chunked not last': b'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'chunked twice': b'Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n',
    'unknown coding': b'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'tab in coding': b'Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n',
    'empty header name': b': x\r\n\r\n',
    'second host': b'Host: other\r\n\r\n',
}


@pytest.mark.parametrize('name', SMUGGLING)
def test_requests_that_two_parsers_could_read_differently_are_refused(server, name):
    with Connection(server) as c:
        c.send(b'PUT /x/y HTTP/1.1\r\nHost: %s\r\n' % server.host.encode() + SMUGGLING[name])
        r = c.reply('PUT')
        assert r.status in (400, 501), r
        assert c.closed(), 'the connection went on after %s' % name


@pytest.mark.parametrize('line,statuses', [
    (b'GET / HTTP/1.1\r\n\r\n', (400,)), (b'GET  / HTTP/1.1\r\nHost: x\r\n\r\n', (400,)), (b'GET / HTTP/2.0\r\nHost: x\r\n\r\n', (400, 505)),
    (b'GET / HTTP/1.1 \r\nHost: x\r\n\r\n', (400,)), (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', (400, None)),
    (b'G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n', (400,)), (b'GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n', (400, 403)),
    (b'GET /' + b'a' * 100000 + b' HTTP/1.1\r\nHost: x\r\n\r\n', (400, 414, 431)),
    (b'GET / HTTP/1.1\r\nHost: x\r\n' + b''.join(b'X-%d: y\r\n' % i for i in range(500)) + b'\r\n', (400, 431)),
    (b'GET / HTTP/1.1\r\nHost: x\r\nX-A: ' + b'a' * 100000 + b'\r\n\r\n', (400, 431)),
])
def test_malformed_and_oversized_heads_are_refused(server, line, statuses):
    if server.tls and line.startswith(b'\x16'):
        pytest.skip('that is a TLS hello')
    with Connection(server) as c:
        try:
            c.send(line)
        except OSError:
            pass
        r = c.reply() if None not in statuses else (c.reply() if not line.startswith(b'\x16') else None)
        assert (r.status if r else None) in statuses
        if r:
            assert 'x-amz-request-id' in r.headers and b'<Code>' in r.body
    assert server.get('/health/live')[0] == 200


def test_connection_stays_usable_after_an_error(server, place):
    with Connection(server) as c:
        for method, path, body, status in (('GET', '/%s/none' % place, b'', 404), ('PUT', '/%s-none/k' % place, b'x' * 1000, 404),
                                           ('PUT', '/%s/ok' % place, b'fine', 200), ('GET', '/%s/ok' % place, b'', 200)):
            c.send(request_bytes(method, path, signed(server, method, path, body), body))
            assert c.reply(method).status == status


def test_body_cut_short_stores_nothing(server, place):
    body = b'x' * 100000
    with Connection(server) as c:
        c.send(request_bytes('PUT', '/%s/cut' % place, signed(server, 'PUT', '/%s/cut' % place, body), body[:50000]))
        if not server.tls:
            c.socket.shutdown(socket.SHUT_WR)
            r = c.reply('PUT')
            assert r is None or (r.status, r.code) == (400, 'IncompleteBody')
    assert request(server, 'HEAD', '/%s/cut' % place).status == 404


def test_a_client_that_goes_in_the_midst_of_a_download_is_no_failure_of_the_server(server, place):
    path = '/%s/large' % place
    assert request(server, 'PUT', path, body=bytes(32 << 20)).status == 200  # more than the sockets hold
    with Connection(server) as c:
        headers = Signer(server.access_key, server.secret_key).headers(
            'GET', path, '', [('Host', server.host)], hashlib.sha256(b'').hexdigest())
        c.send(request_bytes('GET', path, headers))
        head = c.socket.recv(1000)
    request_id = head.lower().split(b'x-amz-request-id: ')[1].split(b'\r\n')[0].decode()
    deadline = time.monotonic() + 60
    lines = []
    while not lines:
        assert time.monotonic() < deadline
        lines = [line for line in server.log().splitlines() if request_id in line.lower()]
        time.sleep(0.05)
    assert 'ClientDisconnected' in lines[0] and 'InternalError' not in lines[0]


def test_put_without_a_length_is_refused(server, place):
    signer = Signer(server.access_key, server.secret_key)
    headers = signer.headers('PUT', '/%s/nolen' % place, '', [('Host', server.host), ('Transfer-Encoding', 'chunked')],
                             hashlib.sha256(b'hello').hexdigest())
    with Connection(server) as c:
        c.send(request_bytes('PUT', '/%s/nolen' % place, headers, b'5\r\nhello\r\n0\r\n\r\n'))
        r = c.reply('PUT')
    assert (r.status, r.code) == (411, 'MissingContentLength')


def test_object_larger_than_the_limit_is_refused_at_once(server, place):
    path = '/%s/huge' % place
    signer = Signer(server.access_key, server.secret_key)
    headers = signer.headers('PUT', path, '', [('Host', server.host), ('Content-Length', str((5 << 30) + 1))], 'UNSIGNED-PAYLOAD')
    with Connection(server) as c:
        c.send(request_bytes('PUT', path, headers))
        r = c.reply('PUT')
    assert (r.status, r.code) == (400, 'EntityTooLarge')


@pytest.mark.parametrize('body', [b'', b'<', b'<Delete>', b'<Delete><Object/></Delete>', b'<Wrong/>', b'not xml', b'<Delete></Delete>',
                                  b'<!DOCTYPE a [<!ENTITY x "y">]><Delete><Object><Key>&x;</Key></Object></Delete>',
                                  b'<a>' * 1000, b'\xff\xfe<Delete/>'])
def test_malformed_xml_is_told(server, place, body):
    import base64
    md5 = ('Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode())
    r = request(server, 'POST', '/' + place, query='delete=', body=body, headers=[md5])
    assert (r.status, r.code) == (400, 'MalformedXML'), r


def test_bodies_of_configuration_requests_are_bounded(server, place):
    body = b'<CreateBucketConfiguration>' + b' ' * (4 << 20)
    r = request(server, 'PUT', '/big-' + place, body=body)
    assert r is None or r.status == 400, r


def metric(server, name):
    lines = server.get('/metrics')[1].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + ' '))


def test_idle_connections_are_cheap_and_do_not_keep_others_out(server):
    if 'asan' in os.environ.get('CAIRN', ''):
        pytest.skip('a sanitizer keeps freed memory')
    with open('/proc/%d/status' % server.process.pid) as f:
        before = [int(line.split()[1]) for line in f if line.startswith('VmRSS')][0]
    if server.tls:
        pytest.skip('the cost of TLS sessions is OpenSSL\'s')
    idle = []
    try:
        for _ in range(800):
            idle.append(socket.create_connection(('127.0.0.1', server.port)))
        deadline = time.monotonic() + 60  # until only the one that asks has a stack
        while metric(server, 'cairn_rt_sockets_parked') < metric(server, 'cairn_http_connections') - 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.get('/health/live')[0] == 200
        with open('/proc/%d/status' % server.process.pid) as f:
            after = [int(line.split()[1]) for line in f if line.startswith('VmRSS')][0]
        assert after - before < 20 * 1024, 'grew by %d KiB' % (after - before)
    finally:
        for s in idle:
            s.close()


@pytest.mark.slow
def test_a_slow_head_is_cut_off(server):
    """After ten seconds, whatever comes meanwhile: sixty are sent here if need be."""
    with Connection(server) as c:
        with pytest.raises(OSError):
            for _ in range(300):
                c.send(b'G')
                time.sleep(0.2)
        c.reply()


def test_head_answers_like_get_without_a_body(server, place):
    request(server, 'PUT', '/%s/head' % place, body=b'12345')
    get, head = (request(server, m, '/%s/head' % place) for m in ('GET', 'HEAD'))
    assert head.body == b'' and head.headers['content-length'] == '5'
    ignore = ('date', 'x-amz-request-id')
    assert {k: v for k, v in get.headers.items() if k not in ignore} == {k: v for k, v in head.headers.items() if k not in ignore}
