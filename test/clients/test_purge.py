# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""`cairn admin purge`: everything stored of somebody goes, what is locked stays and is named, and it goes on over a restart."""
import datetime
import json
import os
import subprocess
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import request
from server import CAIRN, Server

YEAR = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=365)


@pytest.fixture
def locked(s3):
    """A bucket with object lock; what a test left is unlocked and removed."""
    name = 'lock-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    listed = s3.list_object_versions(Bucket=name)
    for v in listed.get('Versions', []):
        s3.put_object_legal_hold(Bucket=name, Key=v['Key'], VersionId=v['VersionId'], LegalHold={'Status': 'OFF'})
        s3.delete_object(Bucket=name, Key=v['Key'], VersionId=v['VersionId'], BypassGovernanceRetention=True)
    for v in listed.get('DeleteMarkers', []):
        s3.delete_object(Bucket=name, Key=v['Key'], VersionId=v['VersionId'])
    s3.delete_bucket(Bucket=name)


def purge(server, *words, status=0):
    r = server.admin('purge', *words, '--json', check=False)
    assert r.returncode == status, r.stdout + r.stderr
    return json.loads(r.stdout)


def names(s3, bucket):
    listed = s3.list_object_versions(Bucket=bucket)
    return sorted((v['Key'], v['VersionId']) for v in listed.get('Versions', []) + listed.get('DeleteMarkers', []))


def test_a_prefix_goes_and_what_is_locked_is_named(server, s3, locked):
    for key in ('ann/1', 'ann/1', 'ann/2', 'bob'):
        s3.put_object(Bucket=locked, Key=key, Body=b'x' * 100000)
    s3.delete_object(Bucket=locked, Key='ann/2')
    held = s3.put_object(Bucket=locked, Key='ann/held', Body=b'x', ObjectLockLegalHoldStatus='ON')['VersionId']
    kept = s3.put_object(Bucket=locked, Key='ann/kept', Body=b'x', ObjectLockMode='GOVERNANCE',
                         ObjectLockRetainUntilDate=YEAR)['VersionId']
    upload = s3.create_multipart_upload(Bucket=locked, Key='ann/3')['UploadId']
    s3.upload_part(Bucket=locked, Key='ann/3', UploadId=upload, PartNumber=1, Body=b'p' * 1000)
    look = purge(server, locked + '/ann/', '--dry-run', '--list')
    assert look['removed'] == {'versions': 3, 'markers': 1, 'uploads': 1, 'parts': 1, 'bytes': 301000}
    assert len(look['items']) == 7 and len(names(s3, locked)) == 7
    done = purge(server, locked + '/ann/', '--wait')
    report = done['report']
    assert (report['phase'], report['proved'], report['left']) == ('done', True, 0)
    assert report['removed'] == look['removed']
    by_key = {item['key']: item for item in done['kept']}
    assert by_key['ann/held']['version'] == held and by_key['ann/held']['legal_hold']
    assert (by_key['ann/kept']['version'], by_key['ann/kept']['mode']) == (kept, 'GOVERNANCE')
    assert by_key['ann/kept']['until'][:10] == YEAR.strftime('%Y-%m-%d')
    assert [key for key, _ in names(s3, locked)] == ['ann/held', 'ann/kept', 'bob']
    assert s3.list_multipart_uploads(Bucket=locked).get('Uploads') is None
    audit = server.admin('audit', '--bucket', locked, '--json').stdout.splitlines()
    operations = [r['operation'] for r in map(json.loads, audit) if r['outcome'] == 'done']
    assert operations.count('purge:DeleteVersion') == 3 and operations.count('purge:DeleteMarker') == 1
    assert operations.count('purge:AbortUpload') == 1 and operations.count('purge:End') == 1
    text = server.admin('purge', 'status').stdout
    assert 'removed 3 versions' in text and 'proved' in text


def test_nothing_hidden_comes_to_light(server, s3, locked):
    s3.put_object(Bucket=locked, Key='ann/a', Body=b'old', ObjectLockLegalHoldStatus='ON')
    s3.put_object(Bucket=locked, Key='ann/a', Body=b'new')
    done = purge(server, locked + '/ann/')
    assert sorted(item['fate'] for item in done['kept']) == ['held', 'hides']
    with pytest.raises(ClientError) as e:
        s3.get_object(Bucket=locked, Key='ann/a')
    assert e.value.response['Error']['Code'] == 'NoSuchKey'


def test_a_tag_is_purged_in_all_buckets(server, s3, bucket):
    person = uuid.uuid4().hex
    other = 'other-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=other)
    for name in (bucket, other):
        s3.put_object(Bucket=name, Key='of', Body=b'x' * 5000, Tagging='person=' + person)
        s3.put_object(Bucket=name, Key='not-of', Body=b'x', Tagging='person=someone')
    s3.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': other, 'Key': 'of'})
    s3.create_multipart_upload(Bucket=other, Key='up', Tagging='person=' + person)
    report = purge(server, '--tag', 'person=' + person, '--wait')['report']
    assert (report['removed']['versions'], report['removed']['uploads'], report['proved']) == (3, 1, True)
    for name in (bucket, other):
        assert [key for key, _ in names(s3, name)] == ['not-of']
    s3.delete_object(Bucket=other, Key='not-of')
    s3.delete_bucket(Bucket=other)


def test_what_is_no_purge_is_refused(server, bucket):
    for words in ([bucket], [], ['--tag', 'novalue'], ['--tag', '=v'], ['no-such-bucket-here/x']):
        assert server.admin('purge', *words, check=False).returncode != 0, words


def test_what_is_not_understood_takes_nothing_else(server, s3, bucket):
    """A tag, a prefix or a bucket that cannot be read is not as if it had not been said."""
    s3.put_object(Bucket=bucket, Key='k', Body=b'x', Tagging='person=ann')
    for words in (['--tag', '\udcff=ann', bucket + '/'], ['--tag', 'person=ann', '\udcff/'], ['--tag', 'person=\udcff', bucket + '/'],
                  [bucket + '/\udcff']):
        assert server.admin('purge', *words, check=False).returncode != 0, words
    for what in ({'bucket': bucket, 'prefx': 'a/'}, {'bucket': bucket, 'prefix': 1}, {'bucket': bucket, 'tag_value': 'ann'},
                 {'bucket': 7, 'tag_key': 'person', 'tag_value': 'ann'}, {'bucket': bucket, 'erase': 'no'}):
        r = request(server, 'POST', '/-/admin/v1/purge', body=json.dumps(dict(what, action='start')).encode())
        assert r.status == 400, what
    assert names(s3, bucket) == [('k', 'null')]


def files_with(folder, needle):
    """Which files below the folder hold these bytes."""
    found = []
    for at, _, names_ in os.walk(folder):
        for name in names_:
            with open(os.path.join(at, name), 'rb') as f:
                if needle in f.read():
                    found.append(os.path.join(at, name))
    return found


def test_what_is_erased_is_on_the_disk_no_more():
    """Of all sizes that lie in different places: in the record, beside it, in chunks."""
    server = Server(options=['--audit', 'off'])
    try:
        server.start()
        s3 = make_client(server)
        s3.create_bucket(Bucket='people')
        secret = uuid.uuid4().hex.encode()
        for size in (100, 4000, 100000):
            s3.put_object(Bucket='people', Key='ann/%d' % size, Body=secret.ljust(size, b'.'))
            s3.put_object(Bucket='people', Key='bob/%d' % size, Body=b'bob'.ljust(size, b'.'))
        assert files_with(server.data, secret)
        report = purge(server, 'people/ann/', '--erase', '--wait')['report']
        assert (report['proved'], report['erased'], report['stuck']) == (True, True, 0)
        for size in (100, 4000, 100000):
            assert len(s3.get_object(Bucket='people', Key='bob/%d' % size)['Body'].read()) == size
        assert server.stop() == 0
        assert files_with(server.data, secret) == []
    finally:
        server.remove()


def test_it_goes_on_after_a_crash():
    server = Server()
    try:
        server.start()
        s3 = make_client(server)
        s3.create_bucket(Bucket='people')
        s3.put_bucket_versioning(Bucket='people', VersioningConfiguration={'Status': 'Enabled'})
        for i in range(120):
            s3.put_object(Bucket='people', Key='ann/%d' % (i // 2), Body=b'x' * 2000)
        s3.put_object(Bucket='people', Key='bob', Body=b'x')
        command = subprocess.Popen([CAIRN, 'admin', 'purge', 'people/ann/', '--endpoint', server.url], env=server.env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not files_with(os.path.join(server.data, 'audit'), b'purge:DeleteVersion'):
            time.sleep(0.001)
        server.kill()
        command.wait()
        server.start()
        report = purge(server, 'status')
        while report['phase'] not in ('done', 'stopped'):
            time.sleep(0.02)
            report = purge(server, 'status')
        assert report['proved'] and report['removed']['versions'] <= 120
        assert [key for key, _ in names(make_client(server), 'people')] == ['bob']
        records = server.admin('audit', '--bucket', 'people', '--operation', 'purge:DeleteVersion', '--json').stdout
        gone = {(r['key'], r['version']) for r in map(json.loads, records.splitlines())}
        assert len(gone) == 120
        assert server.stop() == 0
    finally:
        server.remove()
