# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Requests made by hand: every byte under the test's control, signed as S3 says or wrongly on purpose."""
import base64
import binascii
import datetime
import hashlib
import hmac
import re
import socket
import ssl
import urllib.parse

EMPTY = hashlib.sha256(b'').hexdigest()
UNSIGNED = 'UNSIGNED-PAYLOAD'
CHUNKED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
CHUNKED_TRAILER = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
UNSIGNED_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'


class Reply:
    def __init__(self, status, headers, body, closed):
        self.status, self.headers, self.body, self.closed = status, headers, body, closed

    @property
    def code(self):
        """The S3 error code of an XML body, or None."""
        found = re.search(rb'<Code>([^<]*)</Code>', self.body)
        return found and found.group(1).decode()

    def __repr__(self):
        return '%d %s %r' % (self.status, self.code, self.body[:300])


class Connection:
    """One connection; send() bytes, reply() reads one answer."""

    def __init__(self, server, timeout=60):
        self.socket = socket.create_connection(('127.0.0.1', server.port), timeout)
        if server.tls:
            context = ssl.create_default_context(cafile=server.ca)
            self.socket = context.wrap_socket(self.socket, server_hostname='127.0.0.1')
        self.buffer = b''

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            data = b''
        self.buffer += data
        return bool(data)

    def _take(self, count):
        while len(self.buffer) < count:
            if not self._more():
                break
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _line(self):
        while b'\r\n' not in self.buffer:
            if not self._more():
                return None
        line, self.buffer = self.buffer.split(b'\r\n', 1)
        return line

    def closed(self):
        """Whether the server has ended the connection (waits for it)."""
        return self.buffer == b'' and not self._more()

    def reply(self, method='GET'):
        """The next final answer; None when the connection ended instead. 100 Continue is passed over."""
        while True:
            status_line = self._line()
            if status_line is None:
                return None
            status = int(status_line.split()[1])
            headers = {}
            while True:
                line = self._line()
                if not line:
                    break
                name, value = line.split(b':', 1)
                headers[name.decode().lower()] = value.strip().decode('latin-1')
            if status != 100:
                break
        body = b''
        if method == 'HEAD' or status in (204, 304):
            pass
        elif headers.get('transfer-encoding') == 'chunked':
            while True:
                size = int(self._line(), 16)
                body += self._take(size)
                self._line()
                if size == 0:
                    break
        else:
            body = self._take(int(headers.get('content-length', '0')))
        return Reply(status, headers, body, headers.get('connection') == 'close')


def quote(text, safe='-_.~'):
    return urllib.parse.quote(text, safe=safe)


def _hmac(key, text):
    return hmac.new(key, text.encode() if isinstance(text, str) else text, hashlib.sha256).digest()


class Signer:
    """Signature Version 4, with every ingredient replaceable so that wrong ones can be made."""

    def __init__(self, access_key, secret_key, region='us-east-1', service='s3', now=None):
        self.access_key, self.region, self.service = access_key, region, service
        now = now or datetime.datetime.now(datetime.timezone.utc)
        self.time = now.strftime('%Y%m%dT%H%M%SZ')
        self.day = self.time[:8]
        self.scope = '%s/%s/%s/aws4_request' % (self.day, region, service)
        key = _hmac(('AWS4' + secret_key).encode(), self.day)
        for part in (region, service, 'aws4_request'):
            key = _hmac(key, part)
        self.key = key

    def _signature(self, method, path, query, headers, signed, payload):
        lower = {n.lower(): ' '.join(v.split()) for n, v in headers}
        pairs = [p.partition('=') for p in query.split('&')] if query else []
        canonical_query = '&'.join('%s=%s' % (n, v) for n, v in sorted((n, v) for n, _, v in pairs))
        canonical = '\n'.join([method, path, canonical_query,
                               ''.join('%s:%s\n' % (n, lower[n]) for n in signed), ';'.join(signed), payload])
        to_sign = '\n'.join(['AWS4-HMAC-SHA256', self.time, self.scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        return _hmac(self.key, to_sign).hex()

    def headers(self, method, path, query, headers, payload, sign=None):
        """The headers with x-amz-date, x-amz-content-sha256 and Authorization added.

        `sign`: which header names are signed; all of host, content-* and x-amz-* when None.
        """
        headers = list(headers) + [('x-amz-date', self.time), ('x-amz-content-sha256', payload)]
        if sign is None:
            sign = [n for n, _ in headers if n.lower() == 'host' or n.lower().startswith(('x-amz-', 'content-'))]
        signed = sorted({n.lower() for n in sign})
        self.seed = self._signature(method, path, query, headers, signed, payload)
        headers.append(('Authorization', 'AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s'
                        % (self.access_key, self.scope, ';'.join(signed), self.seed)))
        return headers

    def presign(self, method, host, path, query='', expires=300, payload=UNSIGNED, headers=()):
        """The query of a presigned URL."""
        signed = sorted({'host'} | {n.lower() for n, _ in headers})
        parts = ['X-Amz-Algorithm=AWS4-HMAC-SHA256',
                 'X-Amz-Credential=' + quote('%s/%s' % (self.access_key, self.scope)),
                 'X-Amz-Date=' + self.time, 'X-Amz-Expires=%d' % expires,
                 'X-Amz-SignedHeaders=' + quote(';'.join(signed))]
        query = '&'.join(([query] if query else []) + parts)
        signature = self._signature(method, path, query, [('host', host)] + list(headers), signed, payload)
        return query + '&X-Amz-Signature=' + signature

    def chunk(self, data, previous):
        """The signature of one aws-chunked chunk."""
        return _hmac(self.key, '\n'.join(['AWS4-HMAC-SHA256-PAYLOAD', self.time, self.scope, previous, EMPTY,
                                          hashlib.sha256(data).hexdigest()])).hex()

    def trailer(self, text, previous):
        return _hmac(self.key, '\n'.join(['AWS4-HMAC-SHA256-TRAILER', self.time, self.scope, previous,
                                          hashlib.sha256(text).hexdigest()])).hex()

    def chunked_body(self, pieces, trailers=(), signed=True):
        """An aws-chunked body of the pieces; call after headers(), whose signature is the seed."""
        previous, out = self.seed, b''
        for piece in list(pieces) + [b'']:
            if signed:
                previous = self.chunk(piece, previous)
                out += b'%x;chunk-signature=%s\r\n' % (len(piece), previous.encode())
            else:
                out += b'%x\r\n' % len(piece)
            if piece:
                out += piece + b'\r\n'
        if trailers:
            lines = b''.join(b'%s:%s\n' % (n.encode(), v.encode()) for n, v in trailers)
            out += b''.join(b'%s:%s\r\n' % (n.encode(), v.encode()) for n, v in trailers)
            if signed:
                out += b'x-amz-trailer-signature:%s\r\n' % self.trailer(lines, previous).encode()
        return out + b'\r\n'


def request_bytes(method, target, headers, body=b''):
    head = '%s %s HTTP/1.1\r\n' % (method, target) + ''.join('%s: %s\r\n' % h for h in headers) + '\r\n'
    return head.encode('latin-1') + body


def request(server, method, path, query='', headers=(), body=b'', payload=None, signer=None, sign=None, length=True):
    """One signed request on a connection of its own. `signer` False: not signed at all."""
    headers = [('Host', server.host)] + list(headers)
    if length and (body or method in ('PUT', 'POST')):
        headers.append(('Content-Length', str(len(body))))
    if signer is not False:
        signer = signer or Signer(server.access_key, server.secret_key)
        payload = payload if payload is not None else hashlib.sha256(body).hexdigest()
        headers = signer.headers(method, path, query, headers, payload, sign)
    target = path + ('?' + query if query else '')
    with Connection(server) as c:
        c.send(request_bytes(method, target, headers, body))
        return c.reply(method)


def crc32_base64(data):
    return base64.b64encode((binascii.crc32(data) & 0xffffffff).to_bytes(4, 'big')).decode()
