# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Users and policies of a MinIO server, from an archive as `mc admin cluster iam export` writes it."""
import io
import json
import zipfile

import pytest
from botocore.exceptions import ClientError

from conftest import make_client

NEVER = '0001-01-01T00:00:00Z'
NOW = '2025-11-20T10:11:12.131415161Z'
FILES = ['policies', 'users', 'groups', 'svcaccts', 'user_mappings', 'group_mappings', 'stsuser_mappings']


class Stream(io.RawIOBase):
    """Takes bytes and cannot go back, as the answer of MinIO's server: lengths follow their file."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, piece):
        self.bytes += piece
        return len(piece)


def archive(path, names=None, **files):
    out = Stream()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for name in names or FILES:
            z.writestr('iam-assets/%s.json' % name, json.dumps(files.get(name, {}), separators=(',', ':')))
    path.write_bytes(out.bytes)
    return str(path)


def allow(action, resource):
    return {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': action, 'Resource': resource}]}


def mapped(policies):
    return {'version': 1, 'policy': policies, 'updatedAt': NOW}


def service(key, parent, secret, policy=None, status='on', expiration=NEVER):
    return {'parent': parent, 'accessKey': key, 'secretKey': secret, 'groups': None,
            'claims': {'accessKey': key, 'parent': parent, 'sa-policy': 'embedded-policy' if policy else 'inherited-policy'},
            'sessionPolicy': policy, 'status': status, 'name': 'for ' + key, 'description': '', 'expiration': expiration}


def example(tag):
    """What a MinIO server tells of itself; names carry the tag, since the server is shared."""
    read = allow(['s3:GetObject', 's3:ListBucket'], ['arn:aws:s3:::%s-*' % tag])
    return {
        'policies': {
            tag + '-read': read,
            tag + '-write': allow(['s3:PutObject'], ['arn:aws:s3:::%s-data/*' % tag]),
            tag + '-ops': {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': ['admin:ServerInfo']}]},
            'readwrite': allow(['s3:*'], ['arn:aws:s3:::*']),
            'readonly': allow(['s3:GetObject', 's3:GetBucketLocation'], ['arn:aws:s3:::*']),
        },
        'users': {tag + '-ann': {'secretKey': 'ann-secret-1', 'status': 'enabled'},
                  tag + '-off': {'secretKey': 'off-secret-1', 'status': 'disabled'}},
        'groups': {tag + '-readers': {'version': 1, 'status': 'enabled', 'members': [tag + '-ann'], 'updatedAt': NOW},
                   tag + '-closed': {'version': 1, 'status': 'disabled', 'members': [tag + '-ann'], 'updatedAt': NOW}},
        'svcaccts': {tag + '-svc': service(tag + '-svc', tag + '-ann', 'svc-secret-1', read),
                     tag + '-late': service(tag + '-late', tag + '-ann', 'late-secret', expiration='2024-01-01T00:00:00Z'),
                     tag + '-rootsvc': service(tag + '-rootsvc', 'minioadmin', 'rootsvc-secret')},
        'user_mappings': {tag + '-ann': mapped(tag + '-write,' + tag + '-ops')},
        'group_mappings': {tag + '-readers': mapped(tag + '-read'), tag + '-closed': mapped('readwrite')},
        'stsuser_mappings': {'uid=%s,ou=people,dc=example,dc=org' % tag: mapped('readwrite'), 'web-identity-7': mapped('readwrite')},
    }


def run(server, path, *options):
    r = server.admin('iam', 'import', path, '--json', *options, check=False)
    assert r.stdout, r.stderr
    return r.returncode, json.loads(r.stdout)


def sums(report):
    return {k: v for k, v in report.items() if isinstance(v, dict)}


def left(report):
    return {(e['kind'], e['name']) for e in report['left']}


def status_of(client, bucket, key):
    try:
        return client.get_object(Bucket=bucket, Key=key)['ResponseMetadata']['HTTPStatusCode']
    except ClientError as e:
        return e.response['Error']['Code']


def test_an_export_is_taken_over_whole_and_again_changes_nothing(server, s3, tmp_path):
    tag = 'imp-' + ('s' if server.tls else 'p')
    data = example(tag)
    path = archive(tmp_path / 'a.zip', **data)
    bucket = tag + '-data'
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key='k', Body=b'1')
    gone = {('service account', tag + '-late'), ('service account', tag + '-rootsvc'), ('group policy', tag + '-closed'),
            ('external user', 'web-identity-7')}

    status, dry = run(server, path, '--dry-run')
    assert (status, dry['dry_run'], left(dry)) == (1, True, gone)
    assert tag not in server.admin('user', 'list', '--json').stdout and tag not in server.admin('policy', 'list').stdout

    status, first = run(server, path)
    assert (status, left(first)) == (1, gone)
    assert sums(first) == sums(dry)  # a dry run tells what is then done
    assert first['policies'] == {'added': 3, 'changed': 0, 'same': 2, 'left': 0}
    assert first['users']['added'] == 2 and first['groups and members']['added'] == 4

    for name in (tag + '-read', tag + '-write', tag + '-ops'):
        assert json.loads(server.admin('policy', 'show', name).stdout) == data['policies'][name]
    assert 'uid=%s,ou=people,dc=example,dc=org: readwrite' % tag in server.admin('ldap', 'list').stdout
    ann = make_client(server, tag + '-ann', 'ann-secret-1')
    ann.put_object(Bucket=bucket, Key='by-ann', Body=b'2')     # its own policy
    assert status_of(ann, bucket, 'k') == 200                  # its group's
    svc = make_client(server, tag + '-svc', 'svc-secret-1')
    assert status_of(svc, bucket, 'k') == 200
    with pytest.raises(ClientError, match='AccessDenied'):     # narrower than its user
        svc.put_object(Bucket=bucket, Key='x', Body=b'')
    with pytest.raises(ClientError, match='AccessDenied'):     # of the group that is off there
        ann.delete_object(Bucket=bucket, Key='k')
    assert status_of(make_client(server, tag + '-off', 'off-secret-1'), bucket, 'k') == 'InvalidAccessKeyId'

    status, again = run(server, path)
    assert (status, left(again)) == (1, gone)
    assert all(t['added'] == t['changed'] == 0 for t in sums(again).values())

    data['users'][tag + '-ann']['secretKey'] = 'ann-secret-2'
    data['users'][tag + '-off']['status'] = 'enabled'
    data['policies'][tag + '-read'] = allow(['s3:ListBucket'], ['arn:aws:s3:::%s-*' % tag])
    status, changed = run(server, archive(tmp_path / 'b.zip', **data), '--adopt', tag + '-ann')
    assert changed['users']['changed'] == 2 and changed['policies']['changed'] == 1
    assert left(changed) == gone - {('service account', tag + '-rootsvc')}
    assert status_of(ann, bucket, 'k') == 'SignatureDoesNotMatch'
    assert status_of(make_client(server, tag + '-ann', 'ann-secret-2'), bucket, 'k') == 'AccessDenied'
    make_client(server, tag + '-rootsvc', 'rootsvc-secret').put_object(Bucket=bucket, Key='y', Body=b'')
    assert not any(w in server.log() for w in ('ann-secret', 'svc-secret', 'off-secret', 'late-secret'))
    assert 'ann-secret' not in server.admin('audit', '--json').stdout

    listed = [e['Key'] for e in s3.list_objects_v2(Bucket=bucket)['Contents']]
    s3.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': k} for k in listed]})
    s3.delete_bucket(Bucket=bucket)


def test_what_cannot_be_is_told_one_by_one(server, tmp_path):
    tag = 'bad-' + ('s' if server.tls else 'p')
    server.admin('user', 'add', tag + '-own', '--access-key', tag + '-own', '--secret-key', 'own-secret')
    path = archive(tmp_path / 'a.zip',
                   policies={'readonly': allow(['s3:*'], ['arn:aws:s3:::*']), tag: {'Statement': [{'Effect': 'Maybe'}]},
                             tag + '-own/p': allow(['s3:*'], ['arn:aws:s3:::*'])},  # another account's, by its name
                   users={'ab': {'secretKey': 'long-enough', 'status': 'enabled'}, tag: {'secretKey': 'short', 'status': 'enabled'},
                          tag + '-own': {'secretKey': 'other-secret', 'status': 'enabled'},
                          server.access_key: {'secretKey': 'other-secret', 'status': 'enabled'}},
                   groups={tag + '-g': {'version': 1, 'status': 'enabled', 'members': ['nobody-here']},
                           tag + '-h': {'version': 1, 'status': 'enabled', 'members': [tag + '-own']}},
                   svcaccts={tag + '-svc': service(tag + '-svc', tag + '-own', 'svc-secret')},
                   user_mappings={'nobody-here': mapped('readonly'), tag + '-own': mapped('readwrite')}, group_mappings={tag + '-g': mapped('no-such-policy')},
                   stsuser_mappings={'uid=%s,dc=x' % tag: mapped(tag + '-own/p'), 'uid=#0403666f6f,dc=x': mapped('readwrite')})
    expected = {('policy', 'readonly'), ('policy', tag), ('policy', tag + '-own/p'), ('ldap policy', 'uid=%s,dc=x' % tag),
                ('ldap policy', 'uid=#0403666f6f,dc=x'), ('user', 'ab'), ('user', tag), ('user', tag + '-own'),
                ('user', server.access_key), ('member', tag + '-g'), ('member', tag + '-h'),
                ('service account', tag + '-svc'), ('user policy', 'nobody-here'), ('user policy', tag + '-own'), ('group policy', tag + '-g')}
    for options in (['--dry-run'], []):
        status, report = run(server, path, *options)
        assert (status, left(report)) == (1, expected)
    assert tag not in server.admin('policy', 'list').stdout
    users = json.loads(server.admin('user', 'list', '--json').stdout)['users']
    assert not {'ab', tag} & {u['name'] for u in users}  # nothing half made
    own = next(u for u in users if u['name'] == tag + '-own')
    assert own['policies'] == own['groups'] == []  # of another account, it only has the name of one in the archive
    server.admin('user', 'rm', tag + '-own')


def zip_of(path, *files, **options):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, text in files:
            z.writestr(name, text)
    return path


def test_archives_that_are_none_are_refused(server, tmp_path):
    if server.tls:
        pytest.skip('the archive is read before anything is sent')
    good = ('iam-assets/users.json', '{}')
    bomb = zip_of(tmp_path / 'bomb', ('iam-assets/users.json', b' ' * (65 << 20)))
    whole = zip_of(tmp_path / 'whole', good, ('iam-assets/groups.json', '{"g":{"members":["a"]}}')).read_bytes()
    (tmp_path / 'cut').write_bytes(whole[:-10])
    at = whole.index(b'groups.json') + len(b'groups.json')
    (tmp_path / 'spoiled').write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
    with pytest.warns(UserWarning):
        twice = zip_of(tmp_path / 'twice', good, good)
    for path in (tmp_path / 'none', tmp_path, bomb, tmp_path / 'cut', tmp_path / 'spoiled', twice,
                 zip_of(tmp_path / 'other', ('../../iam-assets/users.json', '{}'), ('/iam-assets/users.json', '{}')),
                 zip_of(tmp_path / 'many', good, *(('n%d' % i, '') for i in range(1001))),
                 zip_of(tmp_path / 'shape', ('iam-assets/users.json', '{"a":{"secretKey":7}}')),
                 zip_of(tmp_path / 'deep', ('iam-assets/users.json', '{"a":' * 100 + '{}' + '}' * 100))):
        r = server.admin('iam', 'import', str(path), check=False)
        assert (r.returncode, r.stdout) == (1, '') and r.stderr.startswith('cairn: '), (path, r)
    extra = zip_of(tmp_path / 'extra', good, ('iam-assets/later.json', 'x'), ('../passwd', 'x'))
    assert server.admin('iam', 'import', str(extra)).returncode == 0
