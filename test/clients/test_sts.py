# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""IAM and STS as boto3's clients of them speak: users, keys, roles, sessions, web identities."""
import base64
import http.server
import json
import os
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from server import Server


def policy(*statements):
    return json.dumps({'Version': '2012-10-17', 'Statement': list(statements)})


def allow(actions, resource='*', **more):
    return dict(Effect='Allow', Action=actions, Resource=resource, **more)


def deny(actions, resource='*', **more):
    return dict(allow(actions, resource, **more), Effect='Deny')


def trust(principal, action='sts:AssumeRole', **more):
    return policy(dict(Effect='Allow', Principal=principal, Action=action, **more))


def service(server, name, key, secret, token=None):
    return boto3.client(name, endpoint_url=server.url, region_name='us-east-1', aws_access_key_id=key,
                        aws_secret_access_key=secret, aws_session_token=token,
                        verify=server.ca if server.tls else None,
                        config=botocore.config.Config(retries={'max_attempts': 1}))


def s3_with(server, creds):
    return boto3.client('s3', endpoint_url=server.url, region_name='us-east-1', aws_access_key_id=creds['AccessKeyId'],
                        aws_secret_access_key=creds['SecretAccessKey'], aws_session_token=creds['SessionToken'],
                        verify=server.ca if server.tls else None,
                        config=botocore.config.Config(signature_version='s3v4', retries={'max_attempts': 1},
                                                      s3={'addressing_style': 'path'}))


def code_of(call, **kwargs):
    with pytest.raises(ClientError) as e:
        call(**kwargs)
    return e.value.response['Error']['Code']


class Account:
    """An account with its root's clients."""

    def __init__(self, server):
        self.server = server
        self.id = self.name = self.key = 'acct' + uuid.uuid4().hex[:10]
        self.secret = 'secret/' + self.id
        server.admin('user', 'add', self.name, '--access-key', self.key, '--secret-key', self.secret, '--id', self.id)
        self.iam, self.sts, self.s3 = self.clients(self.key, self.secret)

    def clients(self, key, secret, token=None):
        return (service(self.server, 'iam', key, secret, token), service(self.server, 'sts', key, secret, token),
                make_client(self.server, key, secret) if not token else
                s3_with(self.server, dict(AccessKeyId=key, SecretAccessKey=secret, SessionToken=token)))

    def user(self, *statements):
        name = 'u' + uuid.uuid4().hex[:8]
        arn = self.iam.create_user(UserName=name)['User']['Arn']
        if statements:
            self.iam.put_user_policy(UserName=name, PolicyName='p', PolicyDocument=policy(*statements))
        key = self.iam.create_access_key(UserName=name)['AccessKey']
        return name, arn, key

    def bucket(self):
        name = 'sts-' + uuid.uuid4().hex[:16]
        self.s3.create_bucket(Bucket=name)
        self.s3.put_object(Bucket=name, Key='k', Body=b'data')
        return name


@pytest.fixture(scope='module')
def account(server):
    return Account(server)


# ---- users and keys -------------------------------------------------------------------------------------------------

def test_a_user_has_several_keys_of_which_each_can_be_shut(account):
    name, arn, first = account.user(allow('s3:ListAllMyBuckets'))
    second = account.iam.create_access_key(UserName=name)['AccessKey']
    for key in first, second:
        make_client(account.server, key['AccessKeyId'], key['SecretAccessKey']).list_buckets()
    account.iam.update_access_key(UserName=name, AccessKeyId=first['AccessKeyId'], Status='Inactive')
    s3 = make_client(account.server, first['AccessKeyId'], first['SecretAccessKey'])
    assert code_of(s3.list_buckets) == 'InvalidAccessKeyId'
    make_client(account.server, second['AccessKeyId'], second['SecretAccessKey']).list_buckets()
    listed = account.iam.list_access_keys(UserName=name)['AccessKeyMetadata']
    assert {k['AccessKeyId']: k['Status'] for k in listed} == {first['AccessKeyId']: 'Inactive',
                                                               second['AccessKeyId']: 'Active'}
    assert arn == 'arn:aws:iam::%s:user/%s' % (account.id, name)


def test_errors_are_those_of_the_API(account):
    iam = account.iam
    assert code_of(iam.get_user, UserName='nobody') == 'NoSuchEntity'
    name, _, _ = account.user()
    assert code_of(iam.create_user, UserName=name.upper()) == 'EntityAlreadyExists'
    assert code_of(iam.delete_user, UserName=name) == 'DeleteConflict'
    assert code_of(iam.put_user_policy, UserName=name, PolicyName='p', PolicyDocument='{') == 'MalformedPolicyDocument'
    assert code_of(iam.attach_user_policy, UserName=name, PolicyArn='arn:aws:iam::aws:policy/None') == 'NoSuchEntity'
    assert code_of(iam.create_user, UserName='a/b') == 'ValidationError'
    assert code_of(iam.list_virtual_mfa_devices) == 'InvalidAction'
    wrong = service(account.server, 'iam', account.key, 'wrong-secret')
    assert code_of(wrong.list_users) == 'SignatureDoesNotMatch'
    unknown = service(account.server, 'sts', 'AKIANOBODY', 'wrong-secret')
    assert code_of(unknown.get_caller_identity) == 'InvalidClientTokenId'
    r = urllib.request.Request(account.server.url, b'Action=ListUsers&Version=2010-05-08')
    import ssl
    context = ssl.create_default_context(cafile=account.server.ca) if account.server.tls else None
    with pytest.raises(urllib.error.HTTPError) as e:
        urllib.request.urlopen(r, context=context)
    assert b'<Code>MissingAuthenticationToken</Code>' in e.value.read()


def test_accounts_do_not_see_each_others_users(account):
    other = Account(account.server)
    name, arn, _ = other.user()
    assert code_of(account.iam.get_user, UserName=name) == 'NoSuchEntity'
    account.iam.create_user(UserName=name)  # the name is free here
    assert account.iam.get_user(UserName=name)['User']['Arn'] != arn
    account.iam.delete_user(UserName=name)
    assert other.iam.get_user(UserName=name)['User']['Arn'] == arn


def test_pages_and_paths(account):
    for i in range(5):
        account.iam.create_group(GroupName='g%d' % i, Path='/page/')
    pages = account.iam.get_paginator('list_groups').paginate(PathPrefix='/page/', PaginationConfig={'PageSize': 2})
    sizes = [len(p['Groups']) for p in pages]
    assert sizes == [2, 2, 1]
    name, _, _ = account.user()
    account.iam.add_user_to_group(GroupName='g1', UserName=name)
    account.iam.update_group(GroupName='g1', NewGroupName='renamed')
    assert [g['GroupName'] for g in account.iam.list_groups_for_user(UserName=name)['Groups']] == ['renamed']


def test_versions_of_a_policy(account):
    _, _, key = name, arn, key = account.user()
    s3 = make_client(account.server, key['AccessKeyId'], key['SecretAccessKey'])
    p = account.iam.create_policy(PolicyName='versions', PolicyDocument=policy(allow('s3:ListAllMyBuckets')))['Policy']
    account.iam.attach_user_policy(UserName=name, PolicyArn=p['Arn'])
    s3.list_buckets()
    v2 = account.iam.create_policy_version(PolicyArn=p['Arn'], PolicyDocument=policy(deny('s3:*')), SetAsDefault=True)
    assert v2['PolicyVersion']['VersionId'] == 'v2'
    assert code_of(s3.list_buckets) == 'AccessDenied'
    account.iam.set_default_policy_version(PolicyArn=p['Arn'], VersionId='v1')
    s3.list_buckets()
    document = account.iam.get_policy_version(PolicyArn=p['Arn'], VersionId='v2')['PolicyVersion']['Document']
    assert document == json.loads(policy(deny('s3:*')))
    assert code_of(account.iam.delete_policy_version, PolicyArn=p['Arn'], VersionId='v1') == 'DeleteConflict'
    account.iam.delete_policy_version(PolicyArn=p['Arn'], VersionId='v2')
    assert code_of(account.iam.delete_policy, PolicyArn=p['Arn']) == 'DeleteConflict'
    account.iam.detach_user_policy(UserName=name, PolicyArn=p['Arn'])
    account.iam.delete_policy(PolicyArn=p['Arn'])


def test_a_policy_is_judged_by_its_own_ARN(account):
    """Another path in the ARN names no policy: a right to a path would be one to all."""
    own = account.iam.create_policy(PolicyName='judged', PolicyDocument=policy(allow('s3:List*')))['Policy']['Arn']
    base, name = own[:-len('judged')], 'judged'
    _, _, key = account.user(allow('iam:*', base + 'team/*'), allow('iam:GetPolicy'), deny('iam:*', own))
    iam, _, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    for arn in base + 'team/' + name, base + 'team//' + name:
        assert code_of(iam.create_policy_version, PolicyArn=arn, PolicyDocument=policy(allow('*')), SetAsDefault=True) == 'NoSuchEntity'
    assert code_of(iam.get_policy, PolicyArn=base + '/' + name) == 'NoSuchEntity'
    assert code_of(iam.get_policy, PolicyArn=own + '/') == 'ValidationError'
    assert code_of(iam.get_policy, PolicyArn=own) == 'AccessDenied'
    assert account.iam.get_policy(PolicyArn=own)['Policy']['DefaultVersionId'] == 'v1'
    theirs = iam.create_policy(PolicyName='theirs', Path='/team/', PolicyDocument=policy(allow('s3:List*')))['Policy']['Arn']
    iam.create_policy_version(PolicyArn=theirs, PolicyDocument=policy(allow('s3:Get*')), SetAsDefault=True)
    assert code_of(account.iam.get_policy, PolicyArn=base + 'theirs') == 'NoSuchEntity'


def tag(**pairs):
    return [{'Key': k, 'Value': v} for k, v in sorted(pairs.items())]


def test_tags_of_users_and_roles(account):
    iam, name = account.iam, 'u' + uuid.uuid4().hex[:8]
    made = iam.create_user(UserName=name, Tags=tag(team='red', cost='1'))['User']
    assert sorted(t['Key'] for t in made['Tags']) == ['cost', 'team']
    assert 'Tags' not in next(u for u in iam.list_users()['Users'] if u['UserName'] == name)
    iam.tag_user(UserName=name, Tags=tag(TEAM='blue'))  # keys are without case
    iam.untag_user(UserName=name, TagKeys=['Cost', 'absent'])
    assert iam.get_user(UserName=name)['User']['Tags'] == tag(TEAM='blue')
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({'AWS': account.id}), Tags=tag(a='1', b='2', c='3'))
    page = iam.list_role_tags(RoleName=name, MaxItems=2)
    assert page['IsTruncated'] and page['Tags'] == tag(a='1', b='2')
    assert iam.list_role_tags(RoleName=name, Marker=page['Marker'])['Tags'] == tag(c='3')
    iam.update_role(RoleName=name, Description='d')
    assert len(iam.get_role(RoleName=name)['Role']['Tags']) == 3
    assert code_of(iam.tag_role, RoleName=name, Tags=[{'Key': 'x', 'Value': ''}, {'Key': 'X', 'Value': ''}]) == 'InvalidInput'
    assert code_of(iam.tag_user, UserName=name, Tags=tag(**{'aws:x': '1'})) == 'InvalidInput'
    assert code_of(iam.tag_user, UserName=name, Tags=tag(a='<')) == 'InvalidInput'
    assert code_of(iam.tag_user, UserName='absent', Tags=tag(a='1')) == 'NoSuchEntity'
    iam.tag_user(UserName=name, Tags=tag(**{'k%d' % i: '' for i in range(49)}))
    assert code_of(iam.tag_user, UserName=name, Tags=tag(more='')) == 'LimitExceeded'
    iam.untag_role(RoleName=name, TagKeys=['a', 'b', 'c'])
    assert 'Tags' not in iam.get_role(RoleName=name)['Role']
    assert code_of(iam.create_policy, PolicyName=name, PolicyDocument=policy(allow('s3:*')), Tags=tag(a='1')) == 'NotImplemented', 'not passed over'


def test_to_make_with_tags_needs_their_right(account):
    maker = account.user(allow(['iam:CreateUser', 'iam:GetUser', 'iam:DeleteUser']))[2]
    iam = account.clients(maker['AccessKeyId'], maker['SecretAccessKey'])[0]
    name = 'u' + uuid.uuid4().hex[:8]
    assert code_of(iam.create_user, UserName=name, Tags=tag(team='red')) == 'AccessDenied'
    iam.create_user(UserName=name)
    assert code_of(iam.tag_user, UserName=name, Tags=tag(team='red')) == 'AccessDenied'
    assert code_of(iam.list_user_tags, UserName=name) == 'AccessDenied'


def test_policies_know_the_tags_of_who_asks(account):
    """Of a user, of a user's session, of a role's: aws:PrincipalTag, as condition and as variable."""
    bucket = account.bucket()
    account.s3.put_object(Bucket=bucket, Key='red/k', Body=b'red')
    own = allow('s3:GetObject', 'arn:aws:s3:::%s/${aws:PrincipalTag/team}/*' % bucket)
    condition = allow('s3:PutObject', 'arn:aws:s3:::%s/*' % bucket, Condition={'StringEquals': {'aws:PrincipalTag/Team': 'red'}})
    name, arn, key = account.user(own, condition)
    _, sts, s3 = account.clients(key['AccessKeyId'], key['SecretAccessKey'])

    def may(client):
        for call in (lambda: client.get_object(Bucket=bucket, Key='red/k'), lambda: client.put_object(Bucket=bucket, Key='red/k', Body=b'red')):
            try:
                call()
            except ClientError as e:
                assert e.response['Error']['Code'] == 'AccessDenied'
                return False
        return True
    assert not may(s3)
    session = s3_with(account.server, sts.get_session_token()['Credentials'])
    account.iam.tag_user(UserName=name, Tags=tag(team='red'))
    assert may(s3) and may(session), 'as of each request'
    account.iam.tag_user(UserName=name, Tags=tag(team='blue'))
    assert not may(s3) and not may(session)
    role = account.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({'AWS': account.id}), Tags=tag(team='red'))['Role']
    account.iam.put_role_policy(RoleName=name, PolicyName='p', PolicyDocument=policy(own, condition))
    session = s3_with(account.server, account.sts.assume_role(RoleArn=role['Arn'], RoleSessionName='se')['Credentials'])
    assert may(session)
    account.iam.untag_role(RoleName=name, TagKeys=['team'])
    assert not may(session)


def test_conditions_hold_who_may_give_which_tags(account):
    """The usual guard of a tag that policies go by: without a value of aws:TagKeys the Deny would hold nobody."""
    name, arn, _ = account.user()
    guard = dict(allow('iam:*', '*', Condition={'ForAnyValue:StringEquals': {'aws:TagKeys': ['team']}}), Effect='Deny')
    vip = dict(allow('iam:*', '*', Condition={'StringEquals': {'aws:ResourceTag/vip': 'yes'}}), Effect='Deny')
    team = dict(allow('iam:*', '*', Condition={'StringEquals': {'aws:RequestTag/level': 'boss'}}), Effect='Deny')
    _, _, key = account.user(allow('iam:*', '*'), guard, vip, team)
    iam, _, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    iam.tag_user(UserName=name, Tags=tag(cost='1', level='clerk'))
    assert code_of(iam.tag_user, UserName=name, Tags=tag(cost='1', team='red')) == 'AccessDenied'
    assert code_of(iam.tag_user, UserName=name, Tags=tag(LEVEL='boss')) == 'AccessDenied'
    assert code_of(iam.untag_user, UserName=name, TagKeys=['cost', 'team']) == 'AccessDenied'
    iam.untag_user(UserName=name, TagKeys=['cost'])
    assert code_of(iam.create_user, UserName=name + '2', Tags=tag(team='red')) == 'AccessDenied'
    assert code_of(iam.create_role, RoleName=name, AssumeRolePolicyDocument=trust({'AWS': account.id}), Tags=tag(team='red')) == 'AccessDenied'
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({'AWS': account.id}), Tags=tag(cost='1'))
    assert code_of(iam.tag_role, RoleName=name, Tags=tag(team='red')) == 'AccessDenied'
    iam.tag_role(RoleName=name, Tags=tag(vip='yes'))
    assert code_of(iam.update_role, RoleName=name, Description='d') == 'AccessDenied'
    assert code_of(iam.delete_role, RoleName=name) == 'AccessDenied'
    role = account.iam.get_role(RoleName=name)['Role']['Arn']
    account.iam.create_role(RoleName=name + '2', AssumeRolePolicyDocument=trust({'AWS': account.id}))
    _, _, key = account.user(allow('iam:*', '*', Condition={'StringEquals': {'aws:RequestTag/team': 'red'}}), allow('sts:AssumeRole', '*', Condition={'StringEquals': {'aws:ResourceTag/vip': 'yes'}}))
    iam, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    iam.tag_user(UserName=name, Tags=tag(team='red'))
    assert code_of(iam.tag_user, UserName=name, Tags=tag(team='blue')) == 'AccessDenied'
    assert code_of(iam.tag_user, UserName=name, Tags=tag(**{'k%d' % i: '' for i in range(51)})) == 'AccessDenied'
    sts.assume_role(RoleArn=role, RoleSessionName='se')
    assert code_of(sts.assume_role, RoleArn=role + '2', RoleSessionName='se') == 'AccessDenied'


def test_refusals_say_what_AWS_says(account):
    def message_of(call, **kwargs):
        with pytest.raises(ClientError) as e:
            call(**kwargs)
        return e.value.response['Error']['Code'] + ': ' + e.value.response['Error']['Message']
    iam, name = account.iam, account.user()[0]
    own = iam.create_policy(PolicyName='told', PolicyDocument=policy(allow('s3:List*')))['Policy']['Arn']
    assert message_of(iam.delete_policy, PolicyArn=own + '2') == 'NoSuchEntity: Policy %s2 was not found.' % own
    assert message_of(iam.attach_user_policy, UserName=name, PolicyArn=own + '2') == 'NoSuchEntity: Policy %s2 does not exist or is not attachable.' % own
    assert message_of(iam.attach_user_policy, UserName=name, PolicyArn='a-name-and-no-arn-at-all') == 'ValidationError: Invalid ARN:  Could not be parsed!'
    assert message_of(iam.create_role, RoleName='told', AssumeRolePolicyDocument='no json') == 'MalformedPolicyDocument: This policy contains invalid Json'
    assert message_of(iam.create_policy, PolicyName='tagged', PolicyDocument=policy(allow('s3:*')), Tags=tag(a='1')).endswith('Tags of CreatePolicy is not implemented')
    role = iam.create_role(RoleName='told', AssumeRolePolicyDocument=trust({'AWS': account.id}))['Role']
    assert iam.get_role(RoleName='told')['Role']['RoleLastUsed'] == {}
    assert iam.list_instance_profiles_for_role(RoleName='told')['InstanceProfiles'] == []
    assert message_of(account.sts.assume_role, RoleArn=role['Arn'], RoleSessionName='Session1:2').endswith('regular expression pattern: [\\w+=,.@-]*')


def test_to_rename_needs_the_right_to_both_names(account):
    name, arn, _ = account.user()
    account.iam.create_group(GroupName='plain')
    group = account.iam.get_group(GroupName='plain')['Group']['Arn']
    _, _, key = account.user(allow('iam:*', [arn, arn + '-2', group, group + '-2']))
    iam, _, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    assert code_of(iam.update_user, UserName=name, NewUserName='admin') == 'AccessDenied'
    assert code_of(iam.update_user, UserName=name, NewPath='/admins/') == 'AccessDenied'
    assert code_of(iam.update_group, GroupName='plain', NewGroupName='admins') == 'AccessDenied'
    iam.update_user(UserName=name, NewUserName=name + '-2')
    iam.update_group(GroupName='plain', NewGroupName='plain-2')
    account.iam.delete_group(GroupName='plain-2')


def test_who_has_a_policy_is_told_of_ones_own_account(account):
    other, arn = Account(account.server), 'arn:aws:iam::aws:policy/IAMReadOnlyAccess'
    for a in other, account:
        a.iam.create_group(GroupName='of-' + a.id)
        a.iam.attach_group_policy(GroupName='of-' + a.id, PolicyArn=arn)
    told = account.iam.list_entities_for_policy(PolicyArn=arn)['PolicyGroups']
    assert [g['GroupName'] for g in told] == ['of-' + account.id]


def test_a_boundary_cuts_what_policies_allow(account):
    name, _, key = account.user(allow('s3:*'))
    s3 = make_client(account.server, key['AccessKeyId'], key['SecretAccessKey'])
    bucket = account.bucket()
    s3.get_object(Bucket=bucket, Key='k')
    bound = account.iam.create_policy(PolicyName='bound', PolicyDocument=policy(allow('s3:List*')))['Policy']['Arn']
    account.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=bound)
    s3.list_objects_v2(Bucket=bucket)
    assert code_of(s3.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    assert code_of(account.iam.delete_policy, PolicyArn=bound) == 'DeleteConflict'
    account.iam.delete_user_permissions_boundary(UserName=name)
    s3.get_object(Bucket=bucket, Key='k')
    bounded = dict(PermissionsBoundary=bound)
    trusted = trust({'AWS': account.id})
    made = [account.iam.create_user(UserName='bounded', **bounded)['User'],
            account.iam.create_role(RoleName='bounded', AssumeRolePolicyDocument=trusted, **bounded)['Role']]
    assert [m['PermissionsBoundary']['PermissionsBoundaryArn'] for m in made] == [bound, bound]
    none = dict(PermissionsBoundary=bound + '-none')
    assert code_of(account.iam.create_user, UserName='unbounded', **none) == 'NoSuchEntity'
    assert code_of(account.iam.get_user, UserName='unbounded') == 'NoSuchEntity'
    account.iam.delete_user(UserName='bounded')
    account.iam.delete_role(RoleName='bounded')
    account.iam.delete_policy(PolicyArn=bound)


# ---- sessions -------------------------------------------------------------------------------------------------------

def test_a_session_token_goes_in_header_and_query_and_dies_with_its_parent(account):
    name, arn, key = account.user(allow('s3:*'))
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    bucket = account.bucket()
    creds = sts.get_session_token()['Credentials']
    s3 = s3_with(account.server, creds)
    assert s3.get_object(Bucket=bucket, Key='k')['Body'].read() == b'data'
    url = s3.generate_presigned_url('get_object', Params=dict(Bucket=bucket, Key='k'))
    import ssl
    context = ssl.create_default_context(cafile=account.server.ca) if account.server.tls else None
    assert urllib.request.urlopen(url, context=context).read() == b'data'
    iam, temporary, _ = account.clients(creds['AccessKeyId'], creds['SecretAccessKey'], creds['SessionToken'])
    assert temporary.get_caller_identity()['Arn'] == arn
    assert code_of(temporary.get_session_token) == 'AccessDenied'
    assert code_of(iam.list_users) == 'InvalidClientTokenId'
    broken = dict(creds, SessionToken=creds['SessionToken'][:-8] + 'AAAAAAAA')
    assert code_of(s3_with(account.server, broken).list_buckets) == 'InvalidToken'
    none = dict(creds, SessionToken=None)
    assert code_of(s3_with(account.server, none).list_buckets) == 'InvalidAccessKeyId'
    account.iam.delete_access_key(UserName=name, AccessKeyId=key['AccessKeyId'])
    assert code_of(s3.get_object, Bucket=bucket, Key='k') == 'InvalidAccessKeyId'


def test_a_session_token_in_an_upload_form(account):
    _, _, key = account.user(allow('s3:*'))
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    bucket = account.bucket()
    creds = sts.get_session_token()['Credentials']
    post = s3_with(account.server, creds).generate_presigned_post(bucket, 'formed')
    edge = uuid.uuid4().hex
    body = ''.join('--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (edge, n, v)
                   for n, v in post['fields'].items())
    body += '--%s\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nform\r\n--%s--\r\n' % (edge, edge)
    import ssl
    context = ssl.create_default_context(cafile=account.server.ca) if account.server.tls else None
    request = urllib.request.Request(post['url'], body.encode(),
                                     {'Content-Type': 'multipart/form-data; boundary=' + edge})
    assert urllib.request.urlopen(request, context=context).status == 204
    assert account.s3.get_object(Bucket=bucket, Key='formed')['Body'].read() == b'form'


def test_MinIOs_AssumeRole_is_ones_own_session_inside_a_policy(account):
    _, _, key = account.user(allow('s3:*'))
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    bucket = account.bucket()
    creds = sts.assume_role(RoleArn='arn:xxx:xxx:xxx:xxxx', RoleSessionName='anything',
                            Policy=policy(allow('s3:GetObject', 'arn:aws:s3:::%s/*' % bucket)))['Credentials']
    s3 = s3_with(account.server, creds)
    s3.get_object(Bucket=bucket, Key='k')
    assert code_of(s3.put_object, Bucket=bucket, Key='k', Body=b'x') == 'AccessDenied'
    assert code_of(s3.list_buckets) == 'AccessDenied'


def test_ones_own_session_can_be_denied_and_an_empty_policy_is_none(account):
    no_role = dict(RoleArn='arn:x:ignored:by:minio:', RoleSessionName='any')
    _, _, key = account.user(allow('s3:*'))
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    sts.assume_role(**no_role)
    lax = boto3.client('sts', endpoint_url=account.server.url, region_name='us-east-1', aws_access_key_id=key['AccessKeyId'],
                       aws_secret_access_key=key['SecretAccessKey'], verify=account.server.ca if account.server.tls else None,
                       config=botocore.config.Config(parameter_validation=False))
    assert code_of(lax.assume_role, Policy='', **no_role) == 'ValidationError'
    _, _, key = account.user(allow('*'), deny('sts:AssumeRole'))
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    assert code_of(sts.assume_role, **no_role) == 'AccessDenied'


def test_a_role_is_for_whom_its_trust_names(account):
    _, arn, key = account.user()
    _, _, other = account.user(allow('sts:AssumeRole'))
    role = account.iam.create_role(RoleName='reader', AssumeRolePolicyDocument=trust({'AWS': arn}))['Role']
    account.iam.put_role_policy(RoleName='reader', PolicyName='p', PolicyDocument=policy(allow('s3:Get*')))
    bucket = account.bucket()
    _, sts, plain = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    assert code_of(plain.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    answer = sts.assume_role(RoleArn=role['Arn'], RoleSessionName='me@work')
    assert answer['AssumedRoleUser']['Arn'].endswith(':assumed-role/reader/me@work')
    s3 = s3_with(account.server, answer['Credentials'])
    s3.get_object(Bucket=bucket, Key='k')
    assert code_of(s3.delete_object, Bucket=bucket, Key='k') == 'AccessDenied'
    # Their own policy lets them, the role does not; and a role that is not there looks the same.
    _, stranger, _ = account.clients(other['AccessKeyId'], other['SecretAccessKey'])
    assert code_of(stranger.assume_role, RoleArn=role['Arn'], RoleSessionName='me') == 'AccessDenied'
    assert code_of(stranger.assume_role, RoleArn=role['Arn'] + 'x', RoleSessionName='me') == 'AccessDenied'
    assert code_of(sts.assume_role, RoleArn=role['Arn'], RoleSessionName='me', DurationSeconds=7200) == 'ValidationError'
    account.iam.delete_role_policy(RoleName='reader', PolicyName='p')
    assert code_of(s3.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    account.iam.delete_role(RoleName='reader')
    assert code_of(s3.get_object, Bucket=bucket, Key='k') == 'InvalidAccessKeyId'
    account.iam.create_role(RoleName='reader', AssumeRolePolicyDocument=trust({'AWS': arn}))
    assert code_of(s3.get_object, Bucket=bucket, Key='k') == 'InvalidAccessKeyId'  # another role, of the same name
    account.iam.delete_role(RoleName='reader')


def test_external_id_and_policies_of_a_session(account):
    _, arn, key = account.user()
    condition = {'StringEquals': {'sts:ExternalId': 'agreed'}}
    role = account.iam.create_role(RoleName='ext', AssumeRolePolicyDocument=trust({'AWS': arn}, Condition=condition))
    account.iam.attach_role_policy(RoleName='ext', PolicyArn='arn:aws:iam::aws:policy/AmazonS3FullAccess')
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    of_role = dict(RoleArn=role['Role']['Arn'], RoleSessionName='ext')
    assert code_of(sts.assume_role, **of_role) == 'AccessDenied'
    assert code_of(sts.assume_role, ExternalId='guessed', **of_role) == 'AccessDenied'
    creds = sts.assume_role(ExternalId='agreed', PolicyArns=[{'arn': 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess'}],
                            Policy=policy(allow('s3:PutObject')), **of_role)['Credentials']
    bucket = account.bucket()
    s3 = s3_with(account.server, creds)
    s3.get_object(Bucket=bucket, Key='k')
    s3.put_object(Bucket=bucket, Key='k', Body=b'new')
    assert code_of(s3.delete_object, Bucket=bucket, Key='k') == 'AccessDenied'


def test_a_member_makes_no_key_for_the_accounts_root(account):
    """Else who may make keys for users would be root, whatever his boundary."""
    _, _, key = account.user(allow('iam:*'))
    iam, _, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    iam.create_group(GroupName='all')
    for call, more in ((iam.create_access_key, {}), (iam.get_user, {}), (iam.list_access_keys, {}), (iam.update_user, {'NewUserName': 'x'}),
                       (iam.update_access_key, {'AccessKeyId': 'AKIA' + account.key, 'Status': 'Inactive'}), (iam.delete_user, {}),
                       (iam.delete_access_key, {'AccessKeyId': 'AKIA' + account.key}), (iam.add_user_to_group, {'GroupName': 'all'}),
                       (iam.put_user_policy, {'PolicyName': 'p', 'PolicyDocument': policy(deny('*'))})):
        assert code_of(call, UserName=account.name, **more) == 'NoSuchEntity', call
    assert account.iam.get_user(UserName=account.name)['User']['UserName'] == account.name
    assert [k['AccessKeyId'] for k in account.iam.list_access_keys(UserName=account.name)['AccessKeyMetadata']] == [account.key]


def test_no_name_ends_early(account):
    """A NUL would end the name that is kept, but not the one that was judged."""
    _, arn, key = account.user()
    named = {'StringNotEquals': {'sts:RoleSessionName': 'admin'}}
    role = account.iam.create_role(RoleName='nul', AssumeRolePolicyDocument=trust({'AWS': arn}, Condition=named))['Role']
    _, sts, _ = account.clients(key['AccessKeyId'], key['SecretAccessKey'])
    assert code_of(sts.assume_role, RoleArn=role['Arn'], RoleSessionName='admin') == 'AccessDenied'
    assert code_of(sts.assume_role, RoleArn=role['Arn'], RoleSessionName='admin\0x') == 'ValidationError'
    assert code_of(account.iam.create_user, UserName='admin\0-dev') == 'ValidationError'
    assert code_of(account.iam.create_role, RoleName='admin\0-dev', AssumeRolePolicyDocument=trust({'AWS': arn})) == 'ValidationError'
    assert code_of(account.iam.create_group, GroupName='admin\0-dev') == 'ValidationError'
    assert code_of(account.iam.create_policy, PolicyName='admin\0-dev', PolicyDocument=policy(allow('s3:*'))) == 'ValidationError'
    account.iam.delete_role(RoleName='nul')


@pytest.mark.skipif(not os.path.exists('/usr/bin/aws'), reason='the aws command is not here')
def test_the_aws_command_makes_a_role_and_assumes_it(account, tmp_path):
    if account.server.tls:
        pytest.skip('once is enough of six commands')

    def aws(*words, creds=None):
        env = dict(os.environ, AWS_ACCESS_KEY_ID=account.key, AWS_SECRET_ACCESS_KEY=account.secret,
                   AWS_DEFAULT_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true')
        if creds:
            env.update(AWS_ACCESS_KEY_ID=creds['AccessKeyId'], AWS_SECRET_ACCESS_KEY=creds['SecretAccessKey'],
                       AWS_SESSION_TOKEN=creds['SessionToken'])
        out = subprocess.run(['/usr/bin/aws', '--endpoint-url', account.server.url, '--output', 'json', *words],
                             env=env, check=True, capture_output=True).stdout
        return json.loads(out) if out.strip() else None
    trusted = tmp_path / 'trust.json'
    trusted.write_text(trust({'AWS': account.id}))
    role = aws('iam', 'create-role', '--role-name', 'by-aws', '--assume-role-policy-document', 'file://%s' % trusted)
    aws('iam', 'attach-role-policy', '--role-name', 'by-aws', '--policy-arn',
        'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess')
    creds = aws('sts', 'assume-role', '--role-arn', role['Role']['Arn'], '--role-session-name', 'cli')['Credentials']
    assert aws('sts', 'get-caller-identity', creds=creds)['Arn'].endswith(':assumed-role/by-aws/cli')
    bucket = account.bucket()
    listed = aws('s3api', 'list-objects-v2', '--bucket', bucket, creds=creds)
    assert [o['Key'] for o in listed['Contents']] == ['k']
    aws('iam', 'detach-role-policy', '--role-name', 'by-aws', '--policy-arn',
        'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess')
    aws('iam', 'delete-role', '--role-name', 'by-aws')


# ---- what may not be outgrown ---------------------------------------------------------------------------------------

def service_account(account, user, *options, policy_text=None, tmp_path=None):
    if policy_text:
        path = tmp_path / 'policy.json'
        path.write_text(policy_text)
        options += ('--policy', str(path))
    made = account.server.admin('serviceaccount', 'add', account.id + '/' + user, '--json', *options)
    return json.loads(made.stdout)


@pytest.mark.parametrize('hole', ['CVE-2021-41137', 'CVE-2022-24842', 'CVE-2024-55949', 'CVE-2025-62506'])
def test_a_service_account_makes_nothing_wider_than_itself(account, hole, tmp_path):
    """A restricted service account or session made itself keys, users or policies without the restriction."""
    name, _, _ = account.user(allow('*'))
    sa = service_account(account, name, policy_text=policy(allow(['s3:GetObject', 'iam:*', 'sts:*'])),
                         tmp_path=tmp_path)
    iam, sts, s3 = account.clients(sa['access_key'], sa['secret_key'])
    bucket = account.bucket()
    s3.get_object(Bucket=bucket, Key='k')
    assert code_of(s3.put_object, Bucket=bucket, Key='k', Body=b'x') == 'AccessDenied'
    assert code_of(iam.create_access_key) == 'InvalidClientTokenId'
    assert code_of(iam.create_access_key, UserName=name) == 'InvalidClientTokenId'
    assert code_of(iam.put_user_policy, UserName=name, PolicyName='p',
                   PolicyDocument=policy(allow('*'))) == 'InvalidClientTokenId'
    assert code_of(sts.get_session_token) == 'AccessDenied'
    assert code_of(sts.assume_role, RoleArn='arn:xxx:xxx:xxx:xxxx', RoleSessionName='own') == 'AccessDenied'


def test_roots_session_is_not_root_at_the_admin_door(account):
    """CVE-2021-41137: what root's temporary credentials may do is not what root may."""
    server = account.server
    sts = service(server, 'sts', server.access_key, server.secret_key)
    creds = sts.assume_role(RoleArn='arn:xxx:xxx:xxx:xxxx', RoleSessionName='root',
                            Policy=policy(allow('s3:ListAllMyBuckets')))['Credentials']
    s3 = s3_with(server, creds)
    s3.list_buckets()
    assert code_of(s3.create_bucket, Bucket='by-roots-session') == 'AccessDenied'
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    request = AWSRequest('GET', server.url + '/-/admin/v1/users')
    request.headers['x-amz-content-sha256'] = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    SigV4Auth(Credentials(creds['AccessKeyId'], creds['SecretAccessKey'], creds['SessionToken']), 's3',
              'us-east-1').add_auth(request)
    import ssl
    context = ssl.create_default_context(cafile=server.ca) if server.tls else None
    with pytest.raises(urllib.error.HTTPError) as e:
        urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers)), context=context)
    assert e.value.code == 403


# ---- web identities -------------------------------------------------------------------------------------------------

def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


class Provider:
    """An OpenID Connect provider of our own: discovery, keys, tokens; counts what is asked of it."""

    def __init__(self, folder):
        self.folder = folder
        self.keys, self.asked = {}, []
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked.append(self.path)
                body = {'/idp/.well-known/openid-configuration': dict(issuer=provider.url, jwks_uri=provider.url + '/jwks'),
                        '/idp/jwks': dict(keys=[k['jwk'] for k in provider.keys.values()])}.get(self.path)
                text = json.dumps(body or {}).encode()
                self.send_response(200 if body else 404)
                self.send_header('Content-Length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = 'http://127.0.0.1:%d/idp' % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add_key(self, kid):
        path = os.path.join(self.folder, kid + '.pem')
        subprocess.run(['openssl', 'genrsa', '-out', path, '2048'], check=True, capture_output=True)
        modulus = subprocess.run(['openssl', 'rsa', '-in', path, '-modulus', '-noout'], check=True,
                                 capture_output=True).stdout.decode().strip().split('=')[1]
        public = subprocess.run(['openssl', 'rsa', '-in', path, '-pubout'], check=True, capture_output=True).stdout
        self.keys[kid] = dict(path=path, public=public, jwk=dict(
            kty='RSA', kid=kid, use='sig', alg='RS256', n=b64url(bytes.fromhex(modulus)), e='AQAB'))

    def token(self, kid='k1', alg='RS256', hmac_secret=None, **changes):
        now = int(time.time())
        claims = dict(dict(iss=self.url, sub='alice', aud='my-app', iat=now, exp=now + 600, groups=['dev', 'ops']),
                      **changes)
        signed = b64url(json.dumps(dict(alg=alg, kid=kid, typ='JWT')).encode()) + '.' + b64url(
            json.dumps({k: v for k, v in claims.items() if v is not None}).encode())
        if alg == 'none':
            return signed + '.'
        if hmac_secret:
            import hashlib
            import hmac
            return signed + '.' + b64url(hmac.new(hmac_secret, signed.encode(), hashlib.sha256).digest())
        signature = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', self.keys[kid]['path']], check=True,
                                   input=signed.encode(), capture_output=True).stdout
        return signed + '.' + b64url(signature)


@pytest.fixture(scope='module')
def web(tmp_path_factory):
    """A server that may ask this machine for keys, an account on it, a provider the account trusts, a role."""
    server = Server(options=['--allow-local-oidc'])
    server.start()
    provider = Provider(str(tmp_path_factory.mktemp('idp')))
    provider.add_key('k1')
    account = Account(server)
    arn = account.iam.create_open_id_connect_provider(Url=provider.url, ClientIDList=['my-app'], ThumbprintList=['0' * 40])['OpenIDConnectProviderArn']
    named = provider.url[len('http://'):]
    role = account.iam.create_role(RoleName='web', AssumeRolePolicyDocument=trust(
        {'Federated': arn}, 'sts:AssumeRoleWithWebIdentity',
        Condition={'StringEquals': {named + ':sub': 'alice'}}))['Role']['Arn']
    account.iam.put_role_policy(RoleName='web', PolicyName='p', PolicyDocument=policy(
        allow('s3:*', 'arn:aws:s3:::home-${jwt:sub}*')))
    yield server, account, provider, role
    provider.server.shutdown()
    status = server.stop()
    log = server.log_tail()
    server.remove()
    assert status == 0, log


def unsigned_sts(server):
    return boto3.client('sts', endpoint_url=server.url, region_name='us-east-1', config=botocore.config.Config(
        signature_version=botocore.UNSIGNED, retries={'max_attempts': 1}))


def assume(web, token, role=None):
    server, _, _, own = web
    return unsigned_sts(server).assume_role_with_web_identity(RoleArn=role or own, RoleSessionName='web-alice',
                                                              WebIdentityToken=token)


def refused(web, token, role=None):
    return code_of(lambda: assume(web, token, role))


def test_a_web_identity_gets_the_role_that_trusts_it(web):
    server, account, provider, _ = web
    answer = assume(web, provider.token())
    assert answer['SubjectFromWebIdentityToken'] == 'alice' and answer['Audience'] == 'my-app'
    s3 = s3_with(server, answer['Credentials'])
    bucket = 'home-alice' + uuid.uuid4().hex[:8]
    s3.create_bucket(Bucket=bucket)
    assert code_of(s3.create_bucket, Bucket='home-bob' + uuid.uuid4().hex[:8]) == 'AccessDenied'
    asked = len(provider.asked)
    assume(web, provider.token())
    assert len(provider.asked) == asked  # the keys were kept


def test_JWT_algorithm_confusion(web):
    """CVE-2026-33322, CVE-2024-48916: alg none, and the public key taken for an HMAC's secret."""
    _, _, provider, _ = web
    public = provider.keys['k1']['public']
    assert refused(web, provider.token(alg='none')) == 'InvalidIdentityToken'
    assert refused(web, provider.token(alg='None')) == 'InvalidIdentityToken'
    assert refused(web, provider.token(alg='HS256', hmac_secret=public)) == 'InvalidIdentityToken'
    assert refused(web, provider.token(alg='RS256', hmac_secret=public)) == 'InvalidIdentityToken'
    assert refused(web, provider.token(alg='ES256')) == 'InvalidIdentityToken'
    assert refused(web, provider.token(alg='PS256')) == 'InvalidIdentityToken'  # not among the configured


def test_what_else_a_token_must_be(web):
    _, account, provider, role = web
    now = int(time.time())
    assert refused(web, provider.token(aud='another-app')) == 'InvalidIdentityToken'
    assert refused(web, provider.token(aud=None)) == 'InvalidIdentityToken'
    assert refused(web, provider.token(iss='http://127.0.0.1:1/idp')) == 'InvalidIdentityToken'
    assert refused(web, provider.token(exp=now - 100)) == 'ExpiredTokenException'
    assert refused(web, provider.token(exp=None)) == 'InvalidIdentityToken'
    assert refused(web, provider.token(nbf=now + 1000)) == 'InvalidIdentityToken'
    assert refused(web, provider.token(sub='mallory')) == 'AccessDenied'
    assert refused(web, provider.token(), role + 'x') == 'AccessDenied'  # as one that does not trust
    good = provider.token()
    head, claims, signature = good.split('.')
    assert refused(web, '.'.join([head, b64url(b'{"iss":"x"}'), signature])) == 'InvalidIdentityToken'
    assert refused(web, head + '.' + claims) == 'InvalidIdentityToken'


def test_a_new_key_of_the_provider_is_found(web):
    _, _, provider, _ = web
    provider.add_key('stranger')
    token = provider.token(kid='stranger')
    del provider.keys['stranger']
    asked = len(provider.asked)
    assert refused(web, token) == 'InvalidIdentityToken'
    assert len(provider.asked) <= asked + 2  # asked once more at most, however often it comes
    assert refused(web, token) == 'InvalidIdentityToken'
    assert len(provider.asked) <= asked + 2


def test_providers_on_this_machine_are_not_asked_without_leave(account, tmp_path):
    """CVE-2021-21287, CVE-2026-73080: the server is not sent where it trusts itself."""
    provider = Provider(str(tmp_path))
    provider.add_key('k1')
    arn = account.iam.create_open_id_connect_provider(Url=provider.url, ClientIDList=['my-app'], ThumbprintList=['0' * 40])['OpenIDConnectProviderArn']
    role = account.iam.create_role(RoleName='web', AssumeRolePolicyDocument=trust(
        {'Federated': arn}, 'sts:AssumeRoleWithWebIdentity'))['Role']['Arn']
    sts = boto3.client('sts', endpoint_url=account.server.url, region_name='us-east-1',
                       verify=account.server.ca if account.server.tls else None,
                       config=botocore.config.Config(signature_version=botocore.UNSIGNED, retries={'max_attempts': 1}))
    assert code_of(sts.assume_role_with_web_identity, RoleArn=role, RoleSessionName='web',
                   WebIdentityToken=provider.token()) == 'IDPCommunicationError'
    assert provider.asked == []
    provider.server.shutdown()
    account.iam.delete_role(RoleName='web')
    account.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
