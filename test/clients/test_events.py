# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Bucket notifications: configuration, delivery to an HTTP receiver, Redis and PostgreSQL, what goes wrong."""
import glob
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

import pytest

from conftest import make_client
from raw import request
from server import CAIRN, Server, free_port
from test_boto3 import code_of

DEADLINE = 60


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Receiver:
    """An HTTP endpoint that keeps what it is sent; `answer` may be changed at any time. While `open` is not set it holds
    what it gets, and says so."""

    def __init__(self, tls=None):
        self.open, self.holding = threading.Event(), threading.Event()
        self.open.set()
        self.bodies, self.headers, self.answer, self.lock = [], [], 200, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                answer = outer.answer
                if not outer.open.is_set():
                    outer.holding.set()
                    outer.open.wait(DEADLINE)
                with outer.lock:
                    if answer == 200:
                        outer.bodies.append(json.loads(body))
                        outer.headers.append(dict(self.headers))
                self.send_response(answer)
                if answer == 302:
                    self.send_header('Location', 'http://127.0.0.1:1/')
                self.send_header('Content-Length', '0')
                self.end_headers()

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.http.daemon_threads = True
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.url = '%s://127.0.0.1:%d/hook' % ('https' if tls else 'http', self.http.server_port)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def records(self, bucket):
        with self.lock:
            return [r for b in self.bodies for r in b.get('Records', ()) if r['s3']['bucket']['name'] == bucket]

    def tests(self, bucket):
        with self.lock:
            return [b for b in self.bodies if b.get('Event') == 's3:TestEvent' and b['Bucket'] == bucket]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope='module')
def local():
    """A server that may send to this machine."""
    s = Server(options=['--allow-local-events'])
    s.start()
    yield s
    check = s.admin('check', check=False)
    status = s.stop()
    log = s.log()
    s.remove()
    assert check.returncode == 0 and status == 0, check.stdout + log[-3000:]
    assert 'a-bearer-secret' not in log and 'redis-secret' not in log


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def add_target(s, type, **options):
    name = 't' + uuid.uuid4().hex[:10]
    words = [w for k, v in options.items() for w in ('--set', '%s=%s' % (k.replace('_', '-'), v))]
    s.admin('event', 'target', 'add', name, '--type', type, *words)
    return name


def make_bucket(client):
    name = 'ev-' + uuid.uuid4().hex[:12]
    client.create_bucket(Bucket=name)
    return name


def notify(client, bucket, target, events=('s3:ObjectCreated:*', 's3:ObjectRemoved:*'), prefix=None, suffix=None, **more):
    rule = dict({'QueueArn': 'arn:cairn:events::' + target, 'Events': list(events)}, **more)
    rules = [{'Name': n, 'Value': v} for n, v in (('prefix', prefix), ('suffix', suffix)) if v is not None]
    if rules:
        rule['Filter'] = {'Key': {'FilterRules': rules}}
    client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={'QueueConfigurations': [rule]})


def info(s, target):
    return next(t for t in json.loads(s.admin('event', 'target', 'list', '--json').stdout)['targets'] if t['name'] == target)


# ---- the configuration --------------------------------------------------------------------------

def put_xml(s, bucket, inner):
    body = '<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</NotificationConfiguration>' % inner
    return request(s, 'PUT', '/%s' % bucket, 'notification=', body=body.encode())


def queue(arn, events=('s3:ObjectCreated:*',), filters=(), id=None):
    return '<QueueConfiguration>%s<Queue>%s</Queue>%s%s</QueueConfiguration>' % (
        '<Id>%s</Id>' % id if id else '', arn, ''.join('<Event>%s</Event>' % e for e in events),
        '<Filter><S3Key>%s</S3Key></Filter>' % ''.join(
            '<FilterRule><Name>%s</Name><Value>%s</Value></FilterRule>' % f for f in filters) if filters else '')


def test_a_configuration_is_read_back_as_it_was(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url)
    empty = client.get_bucket_notification_configuration(Bucket=bucket)
    assert not any(k.endswith('Configurations') for k in empty)
    given = {
        'QueueConfigurations': [{'Id': 'q', 'QueueArn': 'arn:minio:sqs::%s:webhook' % target, 'Events': ['s3:ObjectCreated:Put'],
                                 'Filter': {'Key': {'FilterRules': [{'Name': 'Prefix', 'Value': 'a '}, {'Name': 'Suffix', 'Value': '.jpg'}]}}}],
        'TopicConfigurations': [{'Id': 't', 'TopicArn': 'arn:aws:sns:eu-west-1:123456789012:' + target, 'Events': ['s3:ObjectRemoved:*']}],
        'LambdaFunctionConfigurations': [{'Id': 'f', 'LambdaFunctionArn': 'arn:aws:lambda:eu-west-1:123456789012:function:' + target,
                                          'Events': ['s3:ObjectTagging:Put', 's3:ObjectTagging:Delete']}]}
    client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=given)
    got = client.get_bucket_notification_configuration(Bucket=bucket)
    for kind in given:
        assert got[kind] == given[kind]
    client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert not any(k.endswith('Configurations') for k in client.get_bucket_notification_configuration(Bucket=bucket))
    notify(client, bucket, target)
    assert client.get_bucket_notification_configuration(Bucket=bucket)['QueueConfigurations'][0]['Id'], 'made up'


def test_what_is_no_configuration_is_refused(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url)
    arn = 'arn:cairn:events::' + target
    cases = [
        (queue(arn, ['s3:ObjectCreated:Nonsense']), 400, 'InvalidArgument'),
        (queue(arn, ['ObjectCreated:Put']), 400, 'InvalidArgument'),
        (queue(arn, []), 400, 'MalformedXML'),
        (queue('nonsense'), 400, 'InvalidArgument'),
        (queue('arn:cairn:events::absent'), 400, 'InvalidArgument'),
        (queue('arn:minio:sqs::%s:redis' % target), 400, 'InvalidArgument'),
        (queue('arn:aws:sns:eu-west-1:123456789012:' + target), 400, 'InvalidArgument'),
        (queue(arn, filters=[('middle', 'x')]), 400, 'InvalidArgument'),
        (queue(arn, filters=[('prefix', 'x'), ('Prefix', 'y')]), 400, 'InvalidArgument'),
        (queue(arn, filters=[('prefix', 'x' * 1025)]), 400, 'InvalidArgument'),
        (queue(arn, id='x' * 256), 400, 'InvalidArgument'),
        (queue(arn, ['s3:ObjectCreated:Put'], id='same') + queue(arn, ['s3:ObjectRemoved:*'], id='same'), 400, 'InvalidArgument'),
        (queue(arn) + queue(arn, ['s3:ObjectCreated:Put']), 400, 'InvalidArgument'),
        (queue(arn, filters=[('prefix', 'a')]) + queue(arn, filters=[('prefix', 'ab')]), 400, 'InvalidArgument'),
        (queue(arn, filters=[('prefix', 'a')]) + queue(arn, filters=[('suffix', '.b')]), 400, 'InvalidArgument'),
        ('<EventBridgeConfiguration/>', 501, 'NotImplemented'),
        ('<Nonsense/>', 400, 'MalformedXML'),
        ('<QueueConfiguration><Queue>%s</Queue><Queue>%s</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>' % (arn, arn),
         400, 'MalformedXML'),
    ]
    for inner, status, code in cases:
        r = put_xml(local, bucket, inner)
        assert (r.status, r.code) == (status, code), inner
    assert not any(k.endswith('Configurations') for k in client.get_bucket_notification_configuration(Bucket=bucket))
    apart = queue(arn, filters=[('prefix', 'a/'), ('suffix', '.x')]) + queue(arn, filters=[('prefix', 'a/'), ('suffix', '.y')])
    assert put_xml(local, bucket, apart).status == 200


def test_targets_are_validated_and_their_secrets_kept(local, receiver, tmp_path):
    bad = [('webhook', ['url=ftp://x/']), ('webhook', []), ('webhook', ['url=http://u:p@x/']), ('nonsense', ['url=http://x/']),
           ('redis', ['address=nowhere', 'key=k']), ('redis', ['address=x:1']), ('webhook', ['url=http://x/', 'nonsense=1']),
           ('webhook', ['url=http://x/', 'attempts=0']), ('webhook', ['url=http://x/', 'when-full=explode'])]
    for type, options in bad:
        words = [w for o in options for w in ('--set', o)]
        assert local.admin('event', 'target', 'add', 'bad', '--type', type, *words, check=False).returncode == 1, (type, options)
    assert local.admin('event', 'target', 'add', 'no/name', '--type', 'webhook', '--set', 'url=' + receiver.url, check=False).returncode == 1
    secret = tmp_path / 'token'
    secret.write_text('a-bearer-secret\n')
    target = 'kept' + uuid.uuid4().hex[:8]
    local.admin('event', 'target', 'add', target, '--type', 'webhook', '--set', 'url=' + receiver.url, '--set-file', 'token=%s' % secret)
    assert local.admin('event', 'target', 'add', target, '--type', 'webhook', '--set', 'url=' + receiver.url, check=False).returncode == 1
    shown = local.admin('event', 'target', 'list', '--json').stdout
    assert 'a-bearer-secret' not in shown and info(local, target)['options']['token'] == '(set)'
    local.admin('event', 'test', target)
    assert receiver.headers[-1]['Authorization'] == 'Bearer a-bearer-secret'
    local.admin('event', 'target', 'rm', target)
    assert local.admin('event', 'target', 'rm', target, check=False).returncode == 1


def test_a_target_is_for_the_accounts_it_names(local, receiver):
    name = 'acc' + uuid.uuid4().hex[:8]
    local.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret-of-the-account', '--id', name)
    other = make_client(local, name, 'secret-of-the-account')
    ours, theirs = make_bucket(make_client(local)), make_bucket(other)
    for words in ('', ',', 'a,', ',a', 'a,,b', 'a, b'):
        assert local.admin('event', 'target', 'add', 'no' + name, '--type', 'webhook', '--set', 'url=' + receiver.url,
                           '--set', 'accounts=' + words, check=False).returncode == 1, words
    both = add_target(local, 'webhook', url=receiver.url, accounts='x,root,' + name)
    for client, bucket, target, taken in ((other, theirs, both, True), (make_client(local), ours, both, True),
                                          (other, theirs, add_target(local, 'webhook', url=receiver.url, accounts='root'), False),
                                          (make_client(local), ours, add_target(local, 'webhook', url=receiver.url, accounts=name[:-1]), False)):
        if taken:
            notify(client, bucket, target)
        else:
            with pytest.raises(client.exceptions.ClientError) as refused:
                notify(client, bucket, target)
            assert refused.value.response['Error']['Code'] == 'InvalidArgument'
    other.put_object(Bucket=theirs, Key='before', Body=b'')
    wait_for('their event', lambda: receiver.records(theirs))
    # the target is made anew for less: the configuration stands, and tells nothing any more
    wait_for('nothing waits', lambda: info(local, both)['pending'] == 0)
    local.admin('event', 'target', 'rm', both)
    narrow = ['event', 'target', 'add', both, '--type', 'webhook', '--set', 'url=' + receiver.url, '--set', 'accounts=root']
    wait_for('the name', lambda: local.admin(*narrow, check=False).returncode == 0)
    other.put_object(Bucket=theirs, Key='after', Body=b'')
    make_client(local).put_object(Bucket=ours, Key='after', Body=b'')
    wait_for('our event', lambda: receiver.records(ours))
    wait_for('nothing waits', lambda: info(local, both)['pending'] == 0)
    assert [r['s3']['object']['key'] for r in receiver.records(theirs)] == ['before']


# ---- delivery -----------------------------------------------------------------------------------

def test_every_write_is_told_as_s3_tells_it(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url)
    notify(client, bucket, target, ['s3:ObjectCreated:*', 's3:ObjectRemoved:*', 's3:ObjectTagging:*'], Id='all of it')
    key = 'a folder/ü+%2F"\\.txt'
    put = client.put_object(Bucket=bucket, Key=key, Body=b'hello')
    client.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': key})
    upload = client.create_multipart_upload(Bucket=bucket, Key='parts')['UploadId']
    etag = client.upload_part(Bucket=bucket, Key='parts', UploadId=upload, PartNumber=1, Body=b'x')['ETag']
    client.complete_multipart_upload(Bucket=bucket, Key='parts', UploadId=upload, MultipartUpload={'Parts': [{'ETag': etag, 'PartNumber': 1}]})
    client.put_object_tagging(Bucket=bucket, Key='copy', Tagging={'TagSet': [{'Key': 'a', 'Value': 'b'}]})
    client.delete_object_tagging(Bucket=bucket, Key='copy')
    client.delete_object(Bucket=bucket, Key='copy')
    client.delete_object(Bucket=bucket, Key='was never there')
    client.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': key}, {'Key': 'parts'}, {'Key': 'absent'}]})
    wait_for('ten events', lambda: len(receiver.records(bucket)) >= 8)
    records = receiver.records(bucket)
    assert sorted(r['eventName'] for r in records) == sorted(
        ['ObjectCreated:Put', 'ObjectCreated:Copy', 'ObjectCreated:CompleteMultipartUpload', 'ObjectTagging:Put', 'ObjectTagging:Delete',
         'ObjectRemoved:Delete', 'ObjectRemoved:Delete', 'ObjectRemoved:Delete'])
    wait_for('a test event', lambda: receiver.tests(bucket))
    assert len(receiver.tests(bucket)) == 1
    first = next(r for r in records if r['eventName'] == 'ObjectCreated:Put')
    assert first['eventVersion'].startswith('2.') and first['eventSource'] == 'aws:s3' and first['awsRegion'] == 'us-east-1'
    assert first['s3']['configurationId'] == 'all of it' and first['s3']['bucket']['arn'] == 'arn:aws:s3:::' + bucket
    o = first['s3']['object']
    assert urllib.parse.unquote_plus(o['key']) == key and '+' in o['key'] and '/' in o['key']
    assert (o['size'], '"%s"' % o['eTag']) == (5, put['ETag']) and 'versionId' not in o
    assert first['requestParameters']['sourceIPAddress'] == '127.0.0.1'
    assert first['responseElements']['x-amz-request-id'] == put['ResponseMetadata']['RequestId']
    assert first['userIdentity']['principalId']
    assert all(b['Key'].startswith(bucket + '/') and b['EventName'].startswith('s3:') for b in receiver.bodies if b.get('Records'))
    order = [r for r in records if urllib.parse.unquote_plus(r['s3']['object']['key']) == 'copy']
    assert [r['eventName'] for r in order] == ['ObjectCreated:Copy', 'ObjectTagging:Put', 'ObjectTagging:Delete', 'ObjectRemoved:Delete']
    assert [r['s3']['object']['sequencer'] for r in order] == sorted(r['s3']['object']['sequencer'] for r in order)


def test_versions_and_markers_are_told_with_their_ids(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    notify(client, bucket, target)
    version = client.put_object(Bucket=bucket, Key='k', Body=b'x')['VersionId']
    marker = client.delete_object(Bucket=bucket, Key='k')['VersionId']
    client.delete_object(Bucket=bucket, Key='k', VersionId=version)
    wait_for('three events', lambda: len(receiver.records(bucket)) >= 3)
    assert [(r['eventName'], r['s3']['object']['versionId']) for r in receiver.records(bucket)] == [
        ('ObjectCreated:Put', version), ('ObjectRemoved:DeleteMarkerCreated', marker), ('ObjectRemoved:Delete', version)]


def test_filters_and_other_buckets(local, receiver):
    client = make_client(local)
    bucket, other, target = make_bucket(client), make_bucket(client), add_target(local, 'webhook', url=receiver.url)
    notify(client, bucket, target, ['s3:ObjectCreated:Put'], 'in/', '.jpg')
    for key in ('in/a.jpg', 'in/a.png', 'out/a.jpg', 'in/.jpg', 'in/b.jpg'):
        client.put_object(Bucket=bucket, Key=key, Body=b'')
        client.put_object(Bucket=other, Key=key, Body=b'')
    client.delete_object(Bucket=bucket, Key='in/a.jpg')
    wait_for('three events', lambda: len(receiver.records(bucket)) >= 3)
    wait_for('nothing waits', lambda: info(local, target)['pending'] == 0)
    assert sorted(r['s3']['object']['key'] for r in receiver.records(bucket)) == ['in/.jpg', 'in/a.jpg', 'in/b.jpg']
    assert receiver.records(other) == []


def test_a_target_that_is_down_gets_everything_later_in_order(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url)
    receiver.answer = 503
    notify(client, bucket, target)
    for i in range(20):
        client.put_object(Bucket=bucket, Key='k%d' % (i % 3), Body=b'x' * i)
    wait_for('a failure', lambda: 'failing_since_ms' in info(local, target))
    assert info(local, target)['pending'] >= 20 and info(local, target)['dead'] == 0
    metrics = local.get('/metrics')[1]
    assert b'cairn_events_failing_since_seconds{target="%s"} 1' % target.encode() in metrics  # of 1,7..., not of 0
    check = subprocess.run(['promtool', 'check', 'metrics'], input=metrics, capture_output=True)
    assert check.returncode == 0 and check.stderr.strip() == b'', check.stderr.decode()
    assert local.admin('event', 'target', 'rm', target, check=False).returncode == 1, 'events wait for it'
    receiver.answer = 200
    wait_for('all of them', lambda: len(receiver.records(bucket)) >= 20)
    for key in ('k0', 'k1', 'k2'):
        sizes = [r['s3']['object']['size'] for r in receiver.records(bucket) if r['s3']['object']['key'] == key]
        assert sizes == sorted(sizes)
    wait_for('it is well', lambda: 'failing_since_ms' not in info(local, target))
    metrics = local.get('/metrics')[1].decode()
    assert 'cairn_events_delivered_total{target="%s"}' % target in metrics


@pytest.mark.parametrize('answer', [400, 302])
def test_what_is_refused_is_given_up_listed_and_sent_again(local, receiver, answer):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url, attempts=1)
    notify(client, bucket, target)
    wait_for('the test event', lambda: receiver.tests(bucket))
    receiver.answer = answer
    client.put_object(Bucket=bucket, Key='poison', Body=b'1')
    wait_for('it is given up', lambda: info(local, target)['dead'] == 1)
    receiver.answer = 200
    client.put_object(Bucket=bucket, Key='poison', Body=b'22')
    wait_for('the next one', lambda: receiver.records(bucket))
    dead = json.loads(local.admin('event', 'dead', target, '--json').stdout)['dead']
    assert [(d['bucket'], d['key'], d['event']) for d in dead] == [(bucket, 'poison', 'ObjectCreated:Put')]
    assert str(answer) in dead[0]['why'] and dead[0]['attempts'] == 1
    local.admin('event', 'dead', target, '--resend')
    wait_for('both', lambda: len(receiver.records(bucket)) == 2)
    assert info(local, target)['dead'] == 0
    receiver.answer = answer
    client.delete_object(Bucket=bucket, Key='poison')
    wait_for('given up again', lambda: info(local, target)['dead'] == 1)
    local.admin('event', 'dead', target, '--discard')
    assert info(local, target)['dead'] == 0
    local.admin('event', 'target', 'rm', target)


def dead_of(s, target):
    return json.loads(s.admin('event', 'dead', target, '--json').stdout)['dead']


def test_what_is_given_up_is_kept_up_to_a_limit_and_an_age(local, receiver):
    client = make_client(local)
    few = add_target(local, 'webhook', url=receiver.url, attempts=1, dead_limit=2)
    none = add_target(local, 'webhook', url=receiver.url, attempts=1, dead_limit=0)
    short = add_target(local, 'webhook', url=receiver.url, attempts=1, dead_age=1)
    buckets = {t: make_bucket(client) for t in (few, none, short)}
    for target, bucket in buckets.items():
        notify(client, bucket, target)
    wait_for('the test events', lambda: all(receiver.tests(b) for b in buckets.values()))
    receiver.answer = 400
    versions = [client.put_object(Bucket=buckets[few], Key='k', Body=b'x' * i)['ETag'] for i in range(5)]
    client.put_object(Bucket=buckets[none], Key='k', Body=b'')
    client.put_object(Bucket=buckets[short], Key='k', Body=b'')
    wait_for('all are given up', lambda: [info(local, t)['lost'] for t in buckets] == [3, 1, 1])
    assert [info(local, t)['dead'] for t in buckets] == [2, 0, 0]
    assert len(dead_of(local, few)) == 2 and not dead_of(local, none) and not dead_of(local, short)
    metrics = local.get('/metrics')[1].decode()
    assert 'cairn_events_dead_lost_total{target="%s"} 3' % few in metrics
    log = local.log()
    for target in buckets:
        assert any('kept no longer' in line and target in line for line in log.splitlines())
    receiver.answer = 200
    local.admin('event', 'dead', few, '--resend')
    wait_for('the newest two', lambda: len(receiver.records(buckets[few])) == 2)
    assert ['"%s"' % r['s3']['object']['eTag'] for r in receiver.records(buckets[few])] == versions[3:]


def test_what_goes_with_its_bucket_is_counted_no_longer(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url, attempts=1, dead_age=1)
    notify(client, bucket, target)
    wait_for('the test event', lambda: receiver.tests(bucket))
    local.admin('job', 'pause', 'dead-events')
    receiver.answer = 400
    client.put_object(Bucket=bucket, Key='k', Body=b'')
    client.delete_object(Bucket=bucket, Key='k')
    wait_for('they are given up', lambda: info(local, target)['dead'] == 2)
    client.delete_bucket(Bucket=bucket)
    local.admin('job', 'resume', 'dead-events')
    wait_for('the count', lambda: info(local, target)['dead'] == 0)


def test_the_age_of_an_event_counts_from_its_write(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url, max_age=1, timeout_ms=60000)
    notify(client, bucket, target)
    wait_for('the test event', lambda: receiver.tests(bucket))
    receiver.open.clear()
    client.put_object(Bucket=bucket, Key='k', Body=b'held')
    assert receiver.holding.wait(DEADLINE)
    client.put_object(Bucket=bucket, Key='k', Body=b'behind it')
    time.sleep(1.1)
    receiver.answer = 503
    receiver.open.set()
    wait_for('it is given up', lambda: info(local, target)['dead'] == 1)
    assert dead_of(local, target)[0]['attempts'] == 1
    receiver.answer = 200
    local.admin('event', 'dead', target, '--resend')
    wait_for('both', lambda: len(receiver.records(bucket)) == 2)


def test_what_is_refused_is_given_up_in_each_bucket(local, receiver):
    """Tries are counted a message, though those of several buckets take turns."""
    client = make_client(local)
    target = add_target(local, 'webhook', url=receiver.url, attempts=3)
    buckets = [make_bucket(client) for i in range(2)]
    for bucket in buckets:
        notify(client, bucket, target)
    wait_for('the test events', lambda: all(receiver.tests(b) for b in buckets))
    receiver.answer = 400
    for bucket in buckets:  # the same key: the same courier
        client.put_object(Bucket=bucket, Key='poison', Body=b'1')
    wait_for('both are given up', lambda: info(local, target)['dead'] == 2)
    local.admin('event', 'target', 'rm', target, '--force')


def test_what_is_sent_again_while_others_are_sent_is_not_passed(local, receiver):
    client = make_client(local)
    bucket, target = make_bucket(client), add_target(local, 'webhook', url=receiver.url, attempts=1, timeout_ms=60000)
    notify(client, bucket, target)
    wait_for('the test event', lambda: receiver.tests(bucket))
    receiver.answer = 400
    client.put_object(Bucket=bucket, Key='k', Body=b'1')
    wait_for('it is given up', lambda: info(local, target)['dead'] == 1)
    receiver.answer = 200
    receiver.open.clear()
    client.put_object(Bucket=bucket, Key='k', Body=b'22')
    wait_for('the next one is under way', receiver.holding.is_set)
    local.admin('event', 'dead', target, '--resend')
    receiver.open.set()
    wait_for('both', lambda: {r['s3']['object']['size'] for r in receiver.records(bucket)} == {1, 2})
    local.admin('event', 'target', 'rm', target, '--force')


@pytest.mark.parametrize('when', ['drop', 'refuse'])
def test_a_full_queue_drops_or_refuses_as_it_is_told(local, receiver, when):
    client = make_client(local)
    bucket = make_bucket(client)
    target = add_target(local, 'webhook', url=receiver.url, queue_limit=3, when_full=when)
    receiver.answer = 503
    notify(client, bucket, target)
    statuses = [request(local, 'PUT', '/%s/k%d' % (bucket, i), body=b'').status for i in range(6)]
    t = info(local, target)
    if when == 'drop':
        assert statuses == [200] * 6 and t['dropped'] == 4 and t['pending'] == 3
    else:
        assert statuses == [200] * 2 + [503] * 4 and t['refused'] == 4
        assert code_of(client.head_object, Bucket=bucket, Key='k3')[0] == 404, 'it was not stored'
    local.admin('event', 'target', 'rm', target, '--force')
    wait_for('it is gone', lambda: all(x['name'] != target for x in json.loads(
        local.admin('event', 'target', 'list', '--json').stdout)['targets']))
    assert request(local, 'PUT', '/%s/later' % bucket, body=b'').status == 200, 'a rule that leads nowhere is no hindrance'


# ---- other targets ------------------------------------------------------------------------------

def test_redis_gets_a_list(local):
    if not shutil.which('redis-server'):
        pytest.skip('no redis-server')
    folder, port = tempfile.mkdtemp(prefix='cairn-redis-'), free_port()
    redis = subprocess.Popen(['redis-server', '--port', str(port), '--save', '', '--dir', folder, '--requirepass', 'redis-secret',
                              '--bind', '127.0.0.1'], stdout=subprocess.DEVNULL)

    def cli(*words):
        return subprocess.run(['redis-cli', '-p', str(port), '--no-auth-warning', '-a', 'redis-secret'] + list(words),
                              capture_output=True, text=True).stdout.strip()
    try:
        wait_for('redis', lambda: cli('PING') == 'PONG')
        client = make_client(local)
        bucket = make_bucket(client)
        target = add_target(local, 'redis', address='127.0.0.1:%d' % port, key='events', password='redis-secret')
        local.admin('event', 'test', target)
        notify(client, bucket, target)
        for i in range(10):
            client.put_object(Bucket=bucket, Key='k', Body=b'x' * i)
        wait_for('all', lambda: int(cli('LLEN', 'events') or 0) >= 12)
        bodies = [json.loads(line) for line in cli('LRANGE', 'events', '0', '-1').splitlines()]
        assert [b['Records'][0]['s3']['object']['size'] for b in bodies if 'Records' in b] == list(range(10))
        wrong = add_target(local, 'redis', address='127.0.0.1:%d' % port, key='events', password='not-it')
        refused = local.admin('event', 'test', wrong, check=False)
        assert refused.returncode == 1 and 'not-it' not in refused.stderr
    finally:
        redis.kill()
        redis.wait()
        shutil.rmtree(folder, ignore_errors=True)


def as_postgres(argv):
    return ['runuser', '-u', 'postgres', '--'] + argv if os.getuid() == 0 else argv


def test_postgres_that_falls_silent_is_not_waited_for(local):
    """It takes the connection, and never answers a query."""
    listener = socket.create_server(('127.0.0.1', 0))
    taken = []

    def serve():
        connection, _ = listener.accept()
        taken.append(connection)
        connection.recv(4096)
        connection.sendall(b'R\0\0\0\x08\0\0\0\0' + b'Z\0\0\0\x05I')  # authenticated, ready for a query

    threading.Thread(target=serve, daemon=True).start()
    target = add_target(local, 'postgres', address='127.0.0.1:%d' % listener.getsockname()[1], user='u', database='d', table='t',
                        sslmode='disable', timeout_ms=500)
    told = local.admin('event', 'test', target, check=False)
    assert told.returncode == 1 and 'PostgreSQL is not there' in told.stderr + told.stdout
    local.admin('event', 'target', 'rm', target)
    for connection in taken:
        connection.close()
    listener.close()


def test_postgres_gets_rows_and_each_once(local):
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin'))
    if not found:
        pytest.skip('no postgres')
    folder, port = tempfile.mkdtemp(prefix='cairn-pg-'), free_port()
    if os.getuid() == 0:
        shutil.chown(folder, 'postgres')
    data = os.path.join(folder, 'data')
    subprocess.run(as_postgres([found[-1] + '/initdb', '-D', data, '-U', 'cairn', '-A', 'trust', '-N']), check=True, capture_output=True,
                   cwd='/')
    pg = subprocess.Popen([found[-1] + '/postgres', '-D', data, '-p', str(port), '-k', folder, '-h', '127.0.0.1', '-F'], cwd='/',
                          user='postgres' if os.getuid() == 0 else None, stderr=subprocess.DEVNULL)

    def sql(text):
        return subprocess.run([found[-1] + '/psql', '-h', '127.0.0.1', '-p', str(port), '-U', 'cairn', '-At', '-c', text, 'postgres'],
                              capture_output=True, text=True).stdout.split()
    try:
        wait_for('postgres', lambda: sql('select 1') == ['1'])
        client = make_client(local)
        bucket = make_bucket(client)
        target = add_target(local, 'postgres', address='127.0.0.1:%d' % port, database='postgres', user='cairn', table='the "events"')
        notify(client, bucket, target)
        for i in range(10):
            client.put_object(Bucket=bucket, Key='k' + chr(i % 2), Body=b'x' * i)  # U+0000, which no jsonb holds, too
        sizes = "select event_data#>>'{Records,0,s3,object,size}' from \"the \"\"events\"\"\" where event_data ? 'Records' order by event_id"
        wait_for('all', lambda: len(sql(sizes)) >= 10)
        assert sql(sizes) == [str(i) for i in range(10)]
        pg.send_signal(signal.SIGINT)
        pg.wait()
        client.put_object(Bucket=bucket, Key='k', Body=b'x' * 10)
        wait_for('a failure', lambda: 'failing_since_ms' in info(local, target))
        pg = subprocess.Popen([found[-1] + '/postgres', '-D', data, '-p', str(port), '-k', folder, '-h', '127.0.0.1', '-F'], cwd='/',
                              user='postgres' if os.getuid() == 0 else None, stderr=subprocess.DEVNULL)
        wait_for('the last', lambda: len(sql(sizes)) == 11)
    finally:
        pg.kill()
        pg.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.soak
def test_amqp_confirms_and_refuses_what_no_queue_takes(local):
    found = glob.glob('/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server')
    if not found:
        pytest.skip('rabbitmq-server is not installed: it brings all of Erlang, so tools/setup does not')
    names = free_port()
    folder, port, node = tempfile.mkdtemp(prefix='cairn-rmq-'), free_port(), 'cairn%s@localhost' % uuid.uuid4().hex[:6]
    env = dict(os.environ, RABBITMQ_NODENAME=node, RABBITMQ_NODE_PORT=str(port), RABBITMQ_DIST_PORT=str(free_port()),
               ERL_EPMD_PORT=str(names), RABBITMQ_MNESIA_BASE=folder + '/mnesia', RABBITMQ_LOG_BASE=folder + '/log',
               RABBITMQ_PID_FILE=folder + '/pid', HOME=folder, RABBITMQ_CONF_ENV_FILE='/dev/null',
               RABBITMQ_ENABLED_PLUGINS_FILE=folder + '/plugins', RABBITMQ_NODE_IP_ADDRESS='127.0.0.1')

    def ctl(*words):
        return subprocess.run([found[0].replace('rabbitmq-server', 'rabbitmqctl'), '-n', node, '-q'] + list(words), env=env,
                              capture_output=True, text=True)
    broker = subprocess.Popen(found, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for('rabbitmq', lambda: ctl('await_startup').returncode == 0)
        declare = ctl('eval', 'rabbit_amqqueue:declare({resource,<<"/">>,queue,<<"q">>},true,false,[],none,<<"test">>).')
        assert declare.returncode == 0, declare.stderr
        options = {'address': '127.0.0.1:%d' % port, 'user': 'guest', 'password': 'guest', 'timeout_ms': 30000}
        target = add_target(local, 'amqp', routing_key='q', **options)
        lost = add_target(local, 'amqp', routing_key='absent', **options)
        local.admin('event', 'test', target)
        refused = local.admin('event', 'test', lost, check=False)
        assert refused.returncode == 1 and 'no queue' in refused.stderr
        client = make_client(local)
        bucket = make_bucket(client)
        notify(client, bucket, target)
        for i in range(10):
            client.put_object(Bucket=bucket, Key='k', Body=b'x' * i)
        wait_for('all', lambda: info(local, target)['delivered'] >= 11)
        assert ctl('list_queues', 'name', 'messages').stdout.split()[-2:] == ['q', '12']
    finally:
        ctl('stop')
        broker.kill()
        broker.wait()
        subprocess.run(['epmd', '-port', str(names), '-kill'], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


# ---- what must not happen -----------------------------------------------------------------------

def test_ssrf_by_a_target_is_refused(server, receiver):
    port = receiver.http.server_port
    address = '127.0.0.1:%d' % port
    hosts = ('127.0.0.1', 'localhost', '0.0.0.0', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '169.254.169.254')
    cases = [('webhook', {'url': 'http://%s:%d/' % (host, port)}) for host in hosts] + [
        ('redis', {'address': address, 'key': 'k'}),
        ('postgres', {'address': address, 'database': 'd', 'user': 'u', 'table': 't'}),
        ('amqp', {'address': address, 'routing-key': 'k', 'user': 'u', 'password': 'p'}),
        ('nats', {'address': address, 'subject': 's'})]
    for type, options in cases:
        target = add_target(server, type, **options)
        r = server.admin('event', 'test', target, check=False)
        assert r.returncode == 1 and 'not allowed' in r.stderr, (type, options, r.stderr)
        server.admin('event', 'target', 'rm', target)
    assert receiver.bodies == []


@pytest.mark.parametrize('names,trusted,taken', [
    ('IP:127.0.0.1', True, True), ('IP:127.0.0.1', False, False), ('DNS:example.org', True, False), ('IP:127.0.0.2,DNS:127.0.0.1', True, False)])
def test_a_webhook_over_tls_is_who_it_says(local, tmp_path, names, trusted, taken):
    cert, key = str(tmp_path / 'cert.pem'), str(tmp_path / 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
                    '-addext', 'subjectAltName=' + names, '-keyout', key, '-out', cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    r = Receiver(context)
    try:
        target = add_target(local, 'webhook', url=r.url, token='a-bearer-secret', **({'ca': cert} if trusted else {}))
        told = local.admin('event', 'test', target, check=False)
        assert (told.returncode == 0) == taken and len(r.bodies) == taken and len(r.headers) == taken, told.stdout + told.stderr
        local.admin('event', 'target', 'rm', target)
    finally:
        r.close()


def test_ssrf_by_a_redirect_is_not_followed(local, receiver):
    trap = Receiver()
    receiver.answer = 302
    target = add_target(local, 'webhook', url=receiver.url)
    r = local.admin('event', 'test', target, check=False)
    assert r.returncode == 1 and '302' in r.stderr and trap.bodies == []
    trap.close()


def test_a_kill_loses_no_event(receiver):
    s = Server(options=['--allow-local-events'])
    try:
        s.start()
        client = make_client(s)
        bucket, target = make_bucket(client), add_target(s, 'webhook', url=receiver.url)
        notify(client, bucket, target)
        stored = []
        for round in range(3):
            done = threading.Event()

            def write():
                one = make_client(s)
                try:
                    while not done.is_set():
                        key = 'k%d' % (len(stored) % 5)
                        body = b'x' * len(stored)
                        one.put_object(Bucket=bucket, Key=key, Body=body)
                        stored.append((key, len(body)))
                except Exception:
                    pass
            writer = threading.Thread(target=write)
            before = len(stored)
            writer.start()
            wait_for('some writes', lambda: len(stored) > before + 30)
            s.kill()
            done.set()
            writer.join()
            s.start()
        wait_for('nothing is missing', lambda: set(stored) <= {
            (r['s3']['object']['key'], r['s3']['object']['size']) for r in receiver.records(bucket)})
        for key in ('k0', 'k1', 'k2', 'k3', 'k4'):
            seen = []
            for r in receiver.records(bucket):
                if r['s3']['object']['key'] == key and r['s3']['object']['sequencer'] not in seen:
                    seen.append(r['s3']['object']['sequencer'])
            assert seen == sorted(seen), 'in order, but for those that are sent again'
    finally:
        s.stop()
        s.remove()


def test_follow_shows_every_bucket(local):
    client = make_client(local)
    bucket = make_bucket(client)
    follow = subprocess.Popen([CAIRN, 'admin', 'events', '--follow', '--json', '--endpoint', local.url], env=local.env,
                              stdout=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(follow.stdout.readline, '')), daemon=True)
    reader.start()
    seen = []

    def told():
        client.put_object(Bucket=bucket, Key='k', Body=b'x')
        seen[:] = [json.loads(x) for x in lines if bucket in x]
        return seen
    wait_for('an event', told)
    assert seen[0]['EventName'] == 's3:ObjectCreated:Put' and seen[0]['Key'] == bucket + '/k'
    follow.kill()
    follow.wait()
