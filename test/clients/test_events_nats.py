# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Bucket notifications to a real NATS server: subjects and JetStream's streams, its rights, TLS, and what is none."""
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

from conftest import make_client
from server import free_port, make_certificate
from test_events import add_target, info, local, make_bucket, notify, wait_for  # noqa: F401 (local is a fixture)

CONFIG = '''
host: 127.0.0.1
port: %(port)d
max_payload: 65536
jetstream { store_dir: "%(folder)s/js" }
authorization { users: [
  { user: cairn, password: "nats-secret", permissions: { publish: ["events.>", "lone"], subscribe: ["_INBOX.>"] } }
  { user: test, password: test } ] }
%(tls)s
'''


class Nats:
    """A server of its own, and a client of a few lines: what is subscribed to is in `messages`."""

    def __init__(self, tls=False):
        self.folder, self.port, self.messages, self.lock = tempfile.mkdtemp(prefix='cairn-nats-'), free_port(), [], threading.Lock()
        self.ca, key = make_certificate(self.folder) if tls else (None, None)
        with open(self.folder + '/conf', 'w', encoding='ascii') as f:
            f.write(CONFIG % {'port': self.port, 'folder': self.folder,
                              'tls': 'tls { cert_file: "%s", key_file: "%s" }' % (self.ca, key) if tls else ''})
        self.process, self.file = None, None
        self.start()

    def start(self):
        self.process = subprocess.Popen(['nats-server', '-c', self.folder + '/conf'], stderr=subprocess.DEVNULL)
        wait_for('nats', self.answers)

    def answers(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 5).close()
            return True
        except OSError:
            return False

    def subscribe(self, *subjects):
        connection = socket.create_connection(('127.0.0.1', self.port))
        self.file = connection.makefile('rwb')
        self.file.readline()
        self.say('CONNECT {"user":"test","pass":"test","verbose":false,"headers":true}')
        for i, subject in enumerate(subjects):
            self.say('SUB %s %d' % (subject, i))
        self.say('PING')
        while self.file.readline() != b'PONG\r\n':
            pass
        threading.Thread(target=self.read, daemon=True).start()

    def say(self, line, body=None):
        self.file.write(line.encode() + b'\r\n' + (b'' if body is None else body + b'\r\n'))
        self.file.flush()

    def read(self):
        for line in self.file:
            words = line.split()
            if words[0] == b'PING':
                self.say('PONG')
            elif words[0] in (b'MSG', b'HMSG'):
                text = self.file.read(int(words[-1]) + 2)[:-2]
                with self.lock:
                    self.messages.append((words[1].decode(), text[int(words[-2]):] if words[0] == b'HMSG' else text))

    def bodies(self, subject):
        with self.lock:
            return [json.loads(b) for s, b in self.messages if s == subject]

    def sizes(self, subject):
        return [b['Records'][0]['s3']['object']['size'] for b in self.bodies(subject) if 'Records' in b]

    def ask(self, subject, body):
        """Of JetStream's own doors: its answer."""
        before = len(self.bodies('_INBOX.test'))
        data = json.dumps(body).encode()
        self.say('PUB %s _INBOX.test %d' % (subject, len(data)), data)
        wait_for(subject, lambda: len(self.bodies('_INBOX.test')) > before)
        return self.bodies('_INBOX.test')[-1]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope='module')
def nats():
    n = Nats()
    n.subscribe('events.>', '_INBOX.test')
    yield n
    n.remove()


def target_of(server, nats, subject, **options):
    return add_target(server, 'nats', address='127.0.0.1:%d' % nats.port, subject=subject, user='cairn',
                      **{'password': 'nats-secret', **options})


def test_a_subject_gets_each_event_in_order(local, nats):
    client = make_client(local)
    bucket, target = make_bucket(client), target_of(local, nats, 'events.photos')
    local.admin('event', 'test', target)
    notify(client, bucket, target)
    for i in range(10):
        client.put_object(Bucket=bucket, Key='k\r\nPUB x 1', Body=b'x' * i)
    wait_for('all', lambda: len(nats.sizes('events.photos')) >= 10)
    assert nats.sizes('events.photos') == list(range(10))


def test_a_stream_keeps_each_event_once_over_its_own_restart(local, nats):
    made = nats.ask('$JS.API.STREAM.CREATE.S', {'name': 'S', 'subjects': ['events.stream']})
    assert made['config']['name'] == 'S', made
    client = make_client(local)
    bucket, target = make_bucket(client), target_of(local, nats, 'events.stream', jetstream='true')
    notify(client, bucket, target)
    stored = len(nats.bodies('events.stream'))  # the test event
    for i in range(5):
        client.put_object(Bucket=bucket, Key='k', Body=b'x' * i)
    wait_for('five', lambda: info(local, target)['delivered'] >= stored + 5)
    nats.kill()
    client.put_object(Bucket=bucket, Key='k', Body=b'x' * 5)
    wait_for('a failure', lambda: 'failing_since_ms' in info(local, target))
    nats.start()
    nats.subscribe('events.>', '_INBOX.test')
    wait_for('the last', lambda: info(local, target)['pending'] == 0)
    state = nats.ask('$JS.API.STREAM.INFO.S', {})['state']
    assert state['messages'] == info(local, target)['delivered'], (state, info(local, target))


@pytest.mark.parametrize('options, told', [
    ({'password': 'not-it'}, 'Authorization Violation'),
    ({'subject': 'forbidden'}, 'Permissions Violation'),
    ({'subject': 'lone', 'jetstream': 'true'}, 'no stream takes the subject'),
    ({'tls': 'true'}, 'does not offer TLS')])
def test_a_refusal_is_told_without_a_secret(local, nats, options, told):
    target = target_of(local, nats, **{'subject': 'events.refused', **options})
    r = local.admin('event', 'test', target, check=False)
    assert r.returncode == 1 and told in r.stderr and 'not-it' not in r.stderr, r.stderr
    local.admin('event', 'target', 'rm', target)


def test_what_is_refused_counts_as_sent_at_no_attempt(local, nats):
    """The server answers the PING of a refused message, too: by that answer the next attempt went well."""
    client = make_client(local)
    bucket, target = make_bucket(client), target_of(local, nats, 'forbidden', attempts=2)
    notify(client, bucket, target)
    for i in range(3):
        client.put_object(Bucket=bucket, Key='k%d' % i, Body=b'x')
    wait_for('dead letters', lambda: info(local, target)['pending'] == 0)
    assert (info(local, target)['delivered'], info(local, target)['dead']) == (0, 4), info(local, target)  # and the test event


def refusal_by(local, behave):
    """What a test message comes to at a server that does `behave(connection)` with the only one it takes."""
    listener = socket.create_server(('127.0.0.1', 0))

    def serve():
        connection, _ = listener.accept()
        with contextlib.suppress(OSError):
            behave(connection)
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    target = add_target(local, 'nats', address='127.0.0.1:%d' % listener.getsockname()[1], subject='s', timeout_ms=500)
    r = local.admin('event', 'test', target, check=False)
    local.admin('event', 'target', 'rm', target)
    listener.close()
    assert r.returncode == 1
    return r.stderr


def test_who_never_stops_talking_is_left(local):
    def talk(connection):
        connection.sendall(b'INFO {}\r\n')
        while True:
            connection.sendall(b'+OK\r\n' * 1000)

    told = refusal_by(local, talk)
    assert 'does not answer' in told, told


@pytest.mark.parametrize('subject', ['a..b', 'a.*', '>', '.a', 'a b', 'a.'])
def test_a_subject_that_none_can_send_to_is_refused(local, subject):
    r = local.admin('event', 'target', 'add', 'never', '--type', 'nats', '--set', 'address=127.0.0.1:4222', '--set',
                    'subject=' + subject, check=False)
    assert r.returncode == 1 and 'subject' in r.stderr, r.stderr


@pytest.mark.parametrize('says', [b'HTTP/1.1 400 Bad Request\r\n\r\n', b'INFO nonsense\r\n', b'PING\r\n' * 100, b'x' * 200000, b''])
def test_what_is_no_nats_server_is_given_up(local, says):
    def greet(connection):
        connection.sendall(says)
        connection.recv(4096)

    told = refusal_by(local, greet)
    assert 'no NATS server' in told, told


def test_tls_is_asked_for_and_the_certificate_judged(local):
    nats = Nats(tls=True)
    try:
        good = target_of(local, nats, 'events.tls', tls='true', ca=nats.ca)
        local.admin('event', 'test', good)
        strangers = target_of(local, nats, 'events.tls', tls='true')
        r = local.admin('event', 'test', strangers, check=False)
        assert r.returncode == 1 and 'TLS: self' in r.stderr, r.stderr
        plain = target_of(local, nats, 'events.tls')
        assert local.admin('event', 'test', plain, check=False).returncode == 1
        for target in (good, strangers, plain):
            local.admin('event', 'target', 'rm', target)
    finally:
        nats.remove()
