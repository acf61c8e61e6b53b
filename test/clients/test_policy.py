# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Policies as their users meet them: boto3 at the door, `cairn admin policy` beside it."""
import json
import urllib.request
import ssl
import uuid

import botocore
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import make_client


def denied(call, **kwargs):
    with pytest.raises(ClientError) as e:
        call(**kwargs)
    return e.value.response['ResponseMetadata']['HTTPStatusCode'] == 403


def statement(bucket, actions, principal='*', effect='Allow', path='/*', **more):
    return dict(Effect=effect, Principal=principal, Action=actions,
                Resource=['arn:aws:s3:::' + bucket, 'arn:aws:s3:::' + bucket + path], **more)


def policy(*statements):
    return json.dumps({'Version': '2012-10-17', 'Statement': list(statements)})


@pytest.fixture
def user(server):
    """Makes users; they are removed afterwards."""
    made = []

    def make(*options):
        name = 'u' + uuid.uuid4().hex[:10]
        server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name, '--id', name + '-id',
                     *options)
        made.append(name)
        return name, make_client(server, name, 'secret/' + name)
    yield make
    for name in reversed(made):
        server.admin('user', 'rm', name)


@pytest.fixture
def anonymous(server):
    import boto3
    return boto3.client('s3', endpoint_url=server.url, region_name='us-east-1', verify=server.ca if server.tls else None,
                        config=botocore.config.Config(signature_version=botocore.UNSIGNED, retries={'max_attempts': 1},
                                                      s3={'addressing_style': 'path'}))


def test_bucket_policy_reads_back_byte_for_byte(s3, bucket):
    with pytest.raises(ClientError) as e:
        s3.get_bucket_policy(Bucket=bucket)
    assert e.value.response['Error']['Code'] == 'NoSuchBucketPolicy'
    text = '{ "Version" : "2012-10-17",\n "Statement": [%s] }' % json.dumps(statement(bucket, 's3:GetObject'))
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert s3.get_bucket_policy(Bucket=bucket)['Policy'] == text
    assert s3.get_bucket_policy_status(Bucket=bucket)['PolicyStatus']['IsPublic'] is True
    with pytest.raises(ClientError) as e:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, 's3:Nothing')))
    assert e.value.response['Error']['Code'] == 'MalformedPolicy' and 's3:Nothing' in e.value.response['Error']['Message']
    assert s3.get_bucket_policy(Bucket=bucket)['Policy'] == text
    s3.delete_bucket_policy(Bucket=bucket)
    with pytest.raises(ClientError) as e:
        s3.get_bucket_policy_status(Bucket=bucket)
    assert e.value.response['Error']['Code'] == 'NoSuchBucketPolicy'


def test_public_bucket_is_read_by_a_browser_and_by_unsigned_clients(server, s3, bucket, anonymous):
    s3.put_object(Bucket=bucket, Key='page', Body=b'hello')
    assert denied(anonymous.get_object, Bucket=bucket, Key='page')
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, 's3:GetObject')))
    assert anonymous.get_object(Bucket=bucket, Key='page')['Body'].read() == b'hello'
    context = ssl.create_default_context(cafile=server.ca) if server.tls else None
    with urllib.request.urlopen('%s/%s/page' % (server.url, bucket), context=context) as r:
        assert r.read() == b'hello'
    assert denied(anonymous.get_object, Bucket=bucket, Key='absent')  # it may not list
    assert denied(anonymous.list_objects_v2, Bucket=bucket)
    assert denied(anonymous.put_object, Bucket=bucket, Key='page', Body=b'x')
    assert denied(anonymous.delete_bucket_policy, Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, ['s3:GetObject', 's3:ListBucket', 's3:PutObject'])))
    anonymous.put_object(Bucket=bucket, Key='drop/box', Body=b'from nobody')  # with a trailing checksum over https
    assert s3.get_object(Bucket=bucket, Key='drop/box')['Body'].read() == b'from nobody'
    with pytest.raises(ClientError) as e:
        anonymous.get_object(Bucket=bucket, Key='absent')
    assert e.value.response['Error']['Code'] == 'NoSuchKey'


def test_two_accounts_share_by_policy(server, user):
    (owner, mine), (other, theirs) = user(), user()
    bucket = 'shared-' + uuid.uuid4().hex[:12]
    mine.create_bucket(Bucket=bucket)
    mine.put_object(Bucket=bucket, Key='in/a', Body=b'a')
    assert denied(theirs.get_object, Bucket=bucket, Key='in/a')
    for principal in ({'AWS': 'arn:aws:iam::%s-id:root' % other}, {'AWS': other + '-id'}, {'CanonicalUser': other + '-id'},
                      {'AWS': 'arn:aws:iam:::user/' + other}):
        mine.put_bucket_policy(Bucket=bucket, Policy=policy(
            statement(bucket, ['s3:GetObject', 's3:PutObject'], principal, path='/in/*')))
        assert theirs.get_object(Bucket=bucket, Key='in/a')['Body'].read() == b'a'
    theirs.put_object(Bucket=bucket, Key='in/b', Body=b'b')
    assert denied(theirs.put_object, Bucket=bucket, Key='out', Body=b'b')
    assert denied(theirs.delete_object, Bucket=bucket, Key='in/a')
    # A Deny wins, over the owner too; the owner can always take the policy back.
    mine.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, 's3:*', effect='Deny')))
    assert denied(mine.get_object, Bucket=bucket, Key='in/a')
    mine.delete_bucket_policy(Bucket=bucket)
    mine.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': 'in/a'}, {'Key': 'in/b'}]})
    mine.delete_bucket(Bucket=bucket)


def test_member_works_with_the_rights_it_is_given(server, s3, bucket, user, tmp_path):
    name, member = user('--account', 'root')
    s3.put_object(Bucket=bucket, Key='home/%s/a' % name, Body=b'mine')
    s3.put_object(Bucket=bucket, Key='home/other/a', Body=b'theirs')
    assert denied(member.get_object, Bucket=bucket, Key='home/%s/a' % name)
    assert denied(member.list_buckets)
    document = tmp_path / 'home.json'
    document.write_text(json.dumps({'Version': '2012-10-17', 'Statement': [
        {'Sid': 'Home', 'Effect': 'Allow', 'Action': ['s3:GetObject', 's3:PutObject'],
         'Resource': 'arn:aws:s3:::%s/home/${aws:username}/*' % bucket},
        {'Sid': 'List', 'Effect': 'Allow', 'Action': 's3:ListBucket', 'Resource': 'arn:aws:s3:::' + bucket,
         'Condition': {'StringLike': {'s3:prefix': 'home/${aws:username}/*'}}}]}))
    policy_name = 'home-' + name
    server.admin('policy', 'add', policy_name, str(document))
    assert server.admin('policy', 'show', policy_name).stdout == document.read_text()
    server.admin('policy', 'attach', policy_name, '--user', name)
    assert member.get_object(Bucket=bucket, Key='home/%s/a' % name)['Body'].read() == b'mine'
    member.put_object(Bucket=bucket, Key='home/%s/b' % name, Body=b'new')
    assert len(member.list_objects_v2(Bucket=bucket, Prefix='home/%s/' % name)['Contents']) == 2
    assert denied(member.list_objects_v2, Bucket=bucket)
    assert denied(member.get_object, Bucket=bucket, Key='home/other/a')
    result = member.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': 'home/%s/a' % name}]})
    assert result['Errors'][0]['Code'] == 'AccessDenied'
    said = server.admin('policy', 'explain', name, 's3:GetObject', '%s/home/%s/a' % (bucket, name)).stdout
    assert said.startswith('allow') and policy_name in said and 'Home' in said
    said = server.admin('policy', 'explain', name, 's3:ListBucket', bucket, '--value', 's3:prefix=home/x/y').stdout
    assert said.startswith('implicit deny')
    assert server.admin('policy', 'rm', policy_name, check=False).returncode == 1
    server.admin('policy', 'detach', policy_name, '--user', name)
    server.admin('policy', 'rm', policy_name)
    assert denied(member.get_object, Bucket=bucket, Key='home/%s/a' % name)


def test_group_gives_and_takes(server, s3, bucket, user):
    name, member = user('--account', 'root')
    group = 'g-' + name
    s3.put_object(Bucket=bucket, Key='k', Body=b'k')
    server.admin('group', 'add', group)
    server.admin('group', 'join', group, name)
    server.admin('policy', 'attach', 'readonly', '--group', group)
    assert member.get_object(Bucket=bucket, Key='k')['Body'].read() == b'k'
    assert denied(member.put_object, Bucket=bucket, Key='k', Body=b'x')
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(
        statement(bucket, 's3:GetObject', {'AWS': 'arn:aws:iam::root:user/' + name}, effect='Deny')))
    assert denied(member.get_object, Bucket=bucket, Key='k')
    assert server.admin('policy', 'explain', name, 's3:GetObject', bucket + '/k').stdout.startswith(
        'explicit deny: the bucket policy, statement 1')
    s3.delete_bucket_policy(Bucket=bucket)
    server.admin('group', 'leave', group, name)
    assert denied(member.get_object, Bucket=bucket, Key='k')
    server.admin('group', 'rm', group)


def test_policies_survive_a_restart(server, s3, bucket, user, anonymous):
    name, member = user('--account', 'root')
    server.admin('policy', 'attach', 'readwrite', '--user', name)
    s3.put_object(Bucket=bucket, Key='k', Body=b'k')
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, 's3:GetObject')))
    server.stop()
    server.start()
    assert anonymous.get_object(Bucket=bucket, Key='k')['Body'].read() == b'k'
    member.put_object(Bucket=bucket, Key='k', Body=b'l')
    assert anonymous.get_object(Bucket=bucket, Key='k')['Body'].read() == b'l'


def test_malformed_policy_files_are_explained(server, tmp_path):
    for text, why in (('', 'first byte'), ('{', 'invalid Json'), ('{"Statement":[]}', 'Statement'),
                      ('{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}}', 'principal')):
        path = tmp_path / 'p.json'
        path.write_text(text)
        r = server.admin('policy', 'add', 'bad', str(path), check=False)
        assert r.returncode == 1 and why in r.stderr
    r = server.admin('policy', 'add', 'readonly', str(path), check=False)
    assert r.returncode == 1 and 'built-in' in r.stderr
