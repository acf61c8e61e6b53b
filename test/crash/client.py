# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""A small S3 client over one kept connection, which says exactly what the server answered.

An OSError or HTTPException means that the outcome is not known; an answer is never guessed.
"""
import hashlib
import http.client
import os
import re
import socket
import time
import xml.etree.ElementTree as ElementTree

from raw import UNSIGNED, Connection, Reply, Signer, quote, request_bytes

LOST = (OSError, http.client.HTTPException)
POOL = hashlib.shake_256(b'cairn').digest(10 << 20)


def content(seed, size):
    """`size` bytes that no other seed gives, cheap to make."""
    head = (b'%016x' % seed)[:size]
    start = seed * 7919 % 4096
    return head + POOL[start:start + size - len(head)]


def md5(data):
    return hashlib.md5(data).hexdigest()


class Client:
    def __init__(self, server, timeout=60):
        self.server = server
        self.signer = Signer(server.access_key, server.secret_key)
        self.timeout = timeout
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _connect(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection('127.0.0.1', self.server.port, timeout=self.timeout)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.connection

    def signed(self, method, path, query='', headers=(), length=None, payload=UNSIGNED):
        """The headers of a signed request."""
        headers = [('Host', self.server.host)] + list(headers)
        if length is not None:
            headers.append(('Content-Length', str(length)))
        return self.signer.headers(method, path, query, headers, payload)

    def call(self, method, path, query='', headers=(), body=b''):
        """One request; a Reply, or one of LOST is raised and the connection is gone."""
        try:
            c = self._connect()
            c.putrequest(method, path + ('?' + query if query else ''), skip_host=True, skip_accept_encoding=True)
            for name, value in self.signed(method, path, query, headers, len(body) if method in ('PUT', 'POST') else None):
                c.putheader(name, value)
            try:
                c.endheaders(body or None)
            except BrokenPipeError:
                pass  # an early answer ended the body; it is there to be read
            r = c.getresponse()
            reply = Reply(r.status, {n.lower(): v for n, v in r.getheaders()}, r.read(), r.will_close)
        except LOST:
            self.close()
            raise
        if reply.closed:
            self.close()
        return reply

    # ---- objects ------------------------------------------------------------------------------

    def put(self, bucket, key, data, headers=()):
        return self.call('PUT', '/%s/%s' % (bucket, quote(key, '/-_.~')), headers=headers, body=data)

    def get(self, bucket, key, headers=()):
        return self.call('GET', '/%s/%s' % (bucket, quote(key, '/-_.~')), headers=headers)

    def head(self, bucket, key):
        return self.call('HEAD', '/%s/%s' % (bucket, quote(key, '/-_.~')))

    def delete(self, bucket, key):
        return self.call('DELETE', '/%s/%s' % (bucket, quote(key, '/-_.~')))

    def copy(self, bucket, source, key):
        return self.put(bucket, key, b'', [('x-amz-copy-source', '/%s/%s' % (bucket, source))])

    def delete_many(self, bucket, keys):
        body = '<Delete>%s</Delete>' % ''.join('<Object><Key>%s</Key></Object>' % k for k in keys)
        digest = hashlib.md5(body.encode()).digest()
        import base64
        return self.call('POST', '/' + bucket, 'delete=', [('Content-MD5', base64.b64encode(digest).decode())], body.encode())

    def make_bucket(self, bucket):
        return self.call('PUT', '/' + bucket)

    def list(self, bucket, page=1000):
        """The whole listing: {key: (etag, size)}, in pages."""
        found, token = {}, None
        while True:
            query = 'list-type=2&max-keys=%d' % page + ('&continuation-token=' + quote(token) if token else '')
            reply = self.call('GET', '/' + bucket, query)
            assert reply.status == 200, reply
            root = without_namespace(reply.body)
            for e in root.iter('Contents'):
                key = e.findtext('Key')
                assert not found or key > max_key(found), 'the listing is out of order at ' + key
                found[key] = (e.findtext('ETag').strip('"'), int(e.findtext('Size')))
            token = root.findtext('NextContinuationToken')
            if not token:
                return found

    # ---- multipart ----------------------------------------------------------------------------

    def upload_begin_reply(self, bucket, key):
        return self.call('POST', '/%s/%s' % (bucket, key), 'uploads=')

    def upload_begin(self, bucket, key):
        reply = self.upload_begin_reply(bucket, key)
        return reply, element(reply, 'UploadId')

    def upload_part(self, bucket, key, upload, number, data):
        return self.call('PUT', '/%s/%s' % (bucket, key), 'partNumber=%d&uploadId=%s' % (number, upload), body=data)

    def upload_complete(self, bucket, key, upload, etags):
        parts = ''.join('<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>' % p for p in sorted(etags.items()))
        body = '<CompleteMultipartUpload>%s</CompleteMultipartUpload>' % parts
        return self.call('POST', '/%s/%s' % (bucket, key), 'uploadId=' + upload, body=body.encode())

    def upload_abort(self, bucket, key, upload):
        return self.call('DELETE', '/%s/%s' % (bucket, key), 'uploadId=' + upload)

    def uploads(self, bucket):
        """{(key, upload id)} of those in progress."""
        reply = self.call('GET', '/' + bucket, 'uploads=')
        assert reply.status == 200, reply
        return {(e.findtext('Key'), e.findtext('UploadId')) for e in without_namespace(reply.body).iter('Upload')}

    def parts(self, bucket, key, upload):
        """{number: (etag, size)}, or None when there is no such upload."""
        reply = self.call('GET', '/%s/%s' % (bucket, key), 'uploadId=' + upload)
        if reply.status == 404:
            return None
        assert reply.status == 200, reply
        return {int(e.findtext('PartNumber')): (e.findtext('ETag').strip('"'), int(e.findtext('Size')))
                for e in without_namespace(reply.body).iter('Part')}


def max_key(found):
    return next(reversed(found))


def without_namespace(body):
    return ElementTree.fromstring(re.sub(rb' xmlns="[^"]*"', b'', body))


def element(reply, name):
    found = re.search(b'<%s>([^<]*)</%s>' % (name.encode(), name.encode()), reply.body)
    return found and found.group(1).decode()


def metrics(server):
    """Every sample without labels but for the disk's: {name: value}."""
    status, body = server.get('/metrics')
    assert status == 200
    found = {}
    for line in body.decode().splitlines():
        if line.startswith('#'):
            continue
        name, _, value = line.rpartition(' ')
        found[name.replace('{disk="0"}', '')] = float(value)
    return found


def begin_upload(server, c, path, data, sent):
    """A PUT of `data` that stops after `sent` bytes of it: its connection."""
    connection = Connection(server)
    try:
        connection.send(request_bytes('PUT', path, c.signed('PUT', path, length=len(data)), data[:sent]))
    except OSError:
        pass  # an early answer ended the body; it is there to be read, unless the connection was cut
    return connection


def cpu_seconds(server):
    """What the process has used so far: unlike its age, that is its own doing on a busy machine."""
    with open('/proc/%d/stat' % server.process.pid) as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def start_ready(server, timeout=60):
    """Starts the server; seconds from exec until /health/ready answers 200."""
    begin = time.monotonic()
    server.start(timeout)
    while True:
        try:
            if server.get('/health/ready')[0] == 200:
                return time.monotonic() - begin
        except OSError:
            pass
        if server.process.poll() is not None or time.monotonic() - begin > timeout:
            raise RuntimeError('the server is not ready:\n' + server.log_tail())
        time.sleep(0.005)
