# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Several clients at work on one bucket, each telling the oracle what it asks for and what it was answered."""
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.config
import botocore.exceptions

from client import LOST, Client, content, md5, without_namespace

# Around every threshold: in the record (512), in a row beside it (8 KiB), cell (64 KiB), one append (256 KiB),
# buffers (1 MiB).
SIZES = [0, 1, 15, 100, 511, 512, 513, 2049, 8191, 8192, 8193, 30000, 65535, 65536, 65537, 262143, 262144, 262145, 700000,
         1 << 20, (1 << 20) + 1]
SHARED_KEYS = 80
PART = 5 << 20


class Load:
    """Workers over one bucket; goes on over restarts of the server."""

    def __init__(self, server, oracle, bucket, seed, sizes=SIZES):
        self.server, self.oracle, self.bucket, self.sizes = server, oracle, bucket, sizes
        self.random = random.Random(seed)
        self.seeds = itertools.count(self.random.getrandbits(40))
        self.bodies = {}   # ETag: MD5 of the body
        self.uploads = {}  # (key, upload): {'parts': {number: etag}, 'unsure': bool}
        self.gone = set()  # (key, upload) that were answered to be complete or aborted
        self.stopping = threading.Event()
        self.threads = []
        self.done = {}

    def new_body(self, r, size=None):
        data = content(next(self.seeds), r.choice(self.sizes) if size is None else size)
        return data

    def value_of(self, data, etag=None):
        digest = md5(data)
        etag = etag or digest
        self.bodies[etag] = digest
        return etag, len(data)

    def count(self, what):
        self.done[what] = self.done.get(what, 0) + 1

    def shared_key(self, r):
        return 'shared/%03d' % r.randrange(SHARED_KEYS)

    # ---- what one worker does -----------------------------------------------------------------

    def unexpected(self, what, key, reply):
        self.oracle.problem('%s %s: %r' % (what, key, reply))

    def put(self, c, r, key=None):
        key = key or (self.shared_key(r) if r.random() < 0.7 else 'own/%016x' % r.getrandbits(64))
        data = self.new_body(r)
        value = self.value_of(data)
        operation = self.oracle.begin(key, value)
        reply = c.put(self.bucket, key, data, [('x-amz-meta-etag', value[0])])
        if reply.status == 200 and reply.headers['etag'].strip('"') == value[0]:
            self.oracle.answered(operation)
        else:
            self.unexpected('PUT', key, reply)
        return value

    def delete(self, c, r):
        key = self.shared_key(r)
        operation = self.oracle.begin(key, None)
        reply = c.delete(self.bucket, key)
        if reply.status == 204:
            self.oracle.answered(operation)
        else:
            self.unexpected('DELETE', key, reply)

    def delete_many(self, c, r):
        keys = sorted({self.shared_key(r) for _ in range(8)})
        operations = {k: self.oracle.begin(k, None) for k in keys}
        reply = c.delete_many(self.bucket, keys)
        if reply.status != 200:
            return self.unexpected('DeleteObjects', keys, reply)
        for e in without_namespace(reply.body).iter('Deleted'):
            self.oracle.answered(operations.pop(e.findtext('Key')))
        if operations:
            self.unexpected('DeleteObjects', list(operations), reply)

    def copy(self, c, r):
        """From a key that only this worker writes, so that what it holds is known."""
        source = 'source/%x' % threading.get_ident()
        value, key = self.put(c, r, source), self.shared_key(r)
        for _ in range(2):
            operation = self.oracle.begin(key, value)
            reply = c.copy(self.bucket, source, key)
            if reply.status == 200 and b'<CopyObjectResult' in reply.body:
                self.oracle.answered(operation)
            else:
                self.unexpected('copy', key, reply)
            key = self.shared_key(r)

    def get(self, c, r):
        key = self.shared_key(r)
        since = time.monotonic()
        reply = c.get(self.bucket, key)
        fault = self.fault_of(key, reply, self.oracle.possible(key, since))
        if fault:
            self.oracle.problem('GET %s under load: %s' % (key, fault))

    def list(self, c, r):
        since = time.monotonic()
        before = self.oracle.known()
        listing = c.list(self.bucket, page=r.choice([7, 100, 1000]))
        for key in before:
            if listing.get(key) not in self.oracle.possible(key, since):
                self.oracle.problem('LIST gives %s for %s' % (listing.get(key), key))

    def multipart(self, c, r):
        """Two parts, one of them sent twice; then complete, abort, or neither."""
        key = 'multipart/%016x' % r.getrandbits(64)
        reply, upload = c.upload_begin(self.bucket, key)
        if not upload:
            return self.unexpected('CreateMultipartUpload', key, reply)
        state = self.uploads[key, upload] = {'parts': {}, 'unsure': False}
        bodies = {1: self.new_body(r, PART), 2: self.new_body(r)}
        for number in (2, 1, 2):
            reply = c.upload_part(self.bucket, key, upload, number, bodies[number])
            if reply.status != 200:
                return self.unexpected('UploadPart', key, reply)
            state['parts'][number] = (md5(bodies[number]), len(bodies[number]))
        choice = r.random()
        if choice < 0.2:
            return
        state['unsure'] = True
        if choice < 0.4:
            reply = c.upload_abort(self.bucket, key, upload)
            ok = reply.status == 204
        else:
            reply, ok = self.complete(c, key, upload, state, bodies[1] + bodies[2])
        if ok:
            self.uploads.pop((key, upload))
            self.gone.add((key, upload))
        else:
            self.unexpected('end of upload', key, reply)

    def complete(self, c, key, upload, state, whole):
        etags = {n: etag for n, (etag, _) in state['parts'].items()}
        etag = md5(b''.join(bytes.fromhex(e) for _, e in sorted(etags.items()))) + '-%d' % len(etags)
        operation = self.oracle.begin(key, self.value_of(whole, etag))
        reply = c.upload_complete(self.bucket, key, upload, etags)
        ok = reply.status == 200 and b'<CompleteMultipartUploadResult' in reply.body
        if ok:
            self.oracle.answered(operation)
        return reply, ok

    # ---- workers ------------------------------------------------------------------------------

    MIX = [('put', 10), ('get', 4), ('delete', 2), ('copy', 2), ('delete_many', 1), ('list', 1), ('multipart', 1)]

    def work(self, seed, mix):
        r = random.Random(seed)
        names, weights = zip(*mix)
        with Client(self.server) as c:
            while not self.stopping.is_set():
                name = r.choices(names, weights)[0]
                try:
                    getattr(self, name)(c, r)
                    self.count(name)
                except LOST as e:
                    self.lost(name, e)

    def lost(self, name, error):
        """An answer may only be lost because the server was killed."""
        if not self.stopping.wait(30):
            self.oracle.problem('%s: the connection broke while the server ran: %r' % (name, error))

    def work_boto3(self, seed):
        """As applications do it: checksums, Expect, whatever the SDK sends."""
        r = random.Random(seed)
        s3 = boto3.client('s3', endpoint_url=self.server.url, region_name='us-east-1',
                          aws_access_key_id=self.server.access_key, aws_secret_access_key=self.server.secret_key,
                          config=botocore.config.Config(s3={'addressing_style': 'path'}, retries={'max_attempts': 0}))
        while not self.stopping.is_set():
            key, data = self.shared_key(r), self.new_body(r)
            operation = self.oracle.begin(key, self.value_of(data))
            try:
                s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType='text/plain')
                self.oracle.answered(operation)
                self.count('boto3 put')
            except botocore.exceptions.ClientError as e:
                self.oracle.problem('boto3: %s' % e)
            except botocore.exceptions.BotoCoreError as e:
                self.lost('boto3', e)

    def start(self, workers=6, with_boto3=True, mix=None):
        self.stopping.clear()
        for _ in range(workers):
            self.threads.append(threading.Thread(target=self.work, args=(self.random.getrandbits(64), mix or self.MIX)))
        if with_boto3:
            self.threads.append(threading.Thread(target=self.work_boto3, args=(self.random.getrandbits(64),)))
        for t in self.threads:
            t.start()

    def stop(self):
        """After the server is dead, or to end the load in peace."""
        self.stopping.set()
        for t in self.threads:
            t.join()
        self.threads = []

    # ---- after a restart ----------------------------------------------------------------------

    def fault_of(self, key, reply, possible):
        """What is wrong with the answer of a GET, or None."""
        if reply.status == 404:
            return None if None in possible else 'absent, should be one of %s' % possible
        if reply.status != 200:
            return repr(reply)
        value = reply.headers['etag'].strip('"'), len(reply.body)
        if value not in possible:
            return '%s, should be one of %s' % (value, possible)
        if md5(reply.body) != self.bodies[value[0]]:
            return 'wrong bytes under the ETag %s' % value[0]
        return None

    def verify_key(self, client, key, listing):
        reply = client.get(self.bucket, key)
        fault = self.fault_of(key, reply, self.oracle.possible(key))
        value = (reply.headers['etag'].strip('"'), len(reply.body)) if reply.status == 200 else None
        if not fault and listing.get(key) != value:
            fault = 'the listing says %s, GET says %s' % (listing.get(key), value)
        head = client.head(self.bucket, key)
        if not fault and (head.status, head.headers.get('etag')) != (reply.status, reply.headers.get('etag')):
            fault = 'HEAD differs from GET: %s' % head.headers
        if fault:
            self.oracle.problem('%s: %s' % (key, fault))
        self.oracle.settle(key, value)

    def verify_uploads(self, client):
        """Acknowledged uploads and parts are there; what was complete or aborted is not; the rest is one or the other."""
        present = client.uploads(self.bucket)
        for key, upload in present & self.gone:
            self.oracle.problem('the upload of %s came back' % key)
        for (key, upload), state in list(self.uploads.items()):
            if (key, upload) not in present:
                if not state['unsure']:
                    self.oracle.problem('the upload of %s is gone' % key)
                self.uploads.pop((key, upload))
                continue
            parts = client.parts(self.bucket, key, upload)
            if any(parts.get(n) != p for n, p in state['parts'].items()):
                self.oracle.problem('parts of %s: %s, should be %s' % (key, parts, state['parts']))
            if state['unsure'] and client.head(self.bucket, key).status != 404:
                self.oracle.problem('%s is complete and still an upload' % key)
        for key, upload in present:
            client.upload_abort(self.bucket, key, upload)
        self.uploads.clear()

    def verify(self):
        """Reads everything back; settles the oracle on what is there."""
        with Client(self.server) as c:
            self.verify_uploads(c)
            listing = c.list(self.bucket)
        known = self.oracle.known()
        for key in set(listing) - set(known):
            self.oracle.problem('%s was never written' % key)
        local = threading.local()
        opened = []

        def one(key):
            if not hasattr(local, 'client'):
                local.client = Client(self.server)
                opened.append(local.client)
            self.verify_key(local.client, key, listing)
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(one, known):
                pass
        for c in opened:
            c.close()
        assert not self.oracle.problems, '%d problems:\n%s' % (len(self.oracle.problems), '\n'.join(self.oracle.problems[:20]))
