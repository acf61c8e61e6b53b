# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Access control lists and ownership as their users meet them."""
import json
import ssl
import urllib.error
import urllib.request
import uuid

import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import Signer, request

ALL_USERS = 'http://acs.amazonaws.com/groups/global/AllUsers'


def code(call, **kwargs):
    with pytest.raises(ClientError) as e:
        call(**kwargs)
    return e.value.response['Error']['Code']


@pytest.fixture
def people(server):
    """Two users with accounts of their own."""
    made = []
    for _ in range(2):
        name = 'u' + uuid.uuid4().hex[:10]
        server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name, '--id', name + '-id',
                     '--email', name + '@example.com', '--display-name', name.upper())
        made.append((name, make_client(server, name, 'secret/' + name)))
    yield made
    for name, client in made:
        for bucket in client.list_buckets()['Buckets']:
            for o in client.list_objects_v2(Bucket=bucket['Name']).get('Contents', []):
                client.delete_object(Bucket=bucket['Name'], Key=o['Key'])
            client.delete_bucket(Bucket=bucket['Name'])
        server.admin('user', 'rm', name)


@pytest.fixture
def anonymous(server):
    import boto3
    return boto3.client('s3', endpoint_url=server.url, region_name='us-east-1', verify=server.ca if server.tls else None,
                        config=botocore.config.Config(signature_version=botocore.UNSIGNED, retries={'max_attempts': 1},
                                                      s3={'addressing_style': 'path'}))


def new_bucket(client, **kwargs):
    name = 'acl-' + uuid.uuid4().hex[:20]
    client.create_bucket(Bucket=name, **kwargs)
    return name


def test_canned_acls_open_and_shut_a_bucket_and_an_object(people, anonymous):
    (me, mine), (_, theirs) = people
    bucket = new_bucket(mine, ACL='public-read')
    mine.put_object(Bucket=bucket, Key='k', Body=b'hello')
    assert [o['Key'] for o in anonymous.list_objects_v2(Bucket=bucket)['Contents']] == ['k']
    assert code(anonymous.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    mine.put_object_acl(Bucket=bucket, Key='k', ACL='authenticated-read')
    assert theirs.get_object(Bucket=bucket, Key='k')['Body'].read() == b'hello'
    assert code(anonymous.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    mine.put_bucket_acl(Bucket=bucket, ACL='private')
    assert code(theirs.list_objects_v2, Bucket=bucket) == 'AccessDenied'
    acl = mine.get_bucket_acl(Bucket=bucket)
    assert acl['Owner'] == {'ID': me + '-id', 'DisplayName': me.upper()}
    assert acl['Grants'] == [{'Grantee': {'ID': me + '-id', 'DisplayName': me.upper(), 'Type': 'CanonicalUser'},
                              'Permission': 'FULL_CONTROL'}]


def test_an_acl_reads_back_as_it_was_put(people):
    (me, mine), (you, theirs) = people
    bucket = new_bucket(mine)
    mine.put_object(Bucket=bucket, Key='k', Body=b'x')
    acl = mine.get_object_acl(Bucket=bucket, Key='k')
    grants = acl['Grants'] + [{'Grantee': {'Type': 'AmazonCustomerByEmail', 'EmailAddress': you + '@EXAMPLE.com'}, 'Permission': 'READ'},
                              {'Grantee': {'Type': 'Group', 'URI': ALL_USERS}, 'Permission': 'READ_ACP'}]
    mine.put_object_acl(Bucket=bucket, Key='k', AccessControlPolicy={'Owner': acl['Owner'], 'Grants': grants})
    told = mine.get_object_acl(Bucket=bucket, Key='k')
    assert [(g['Grantee'].get('ID') or g['Grantee']['URI'], g['Permission']) for g in told['Grants']] == [
        (ALL_USERS, 'READ_ACP'), (me + '-id', 'FULL_CONTROL'), (you + '-id', 'READ')]
    assert theirs.get_object(Bucket=bucket, Key='k')['Body'].read() == b'x'
    assert code(theirs.put_object_acl, Bucket=bucket, Key='k', ACL='private') == 'AccessDenied'
    mine.put_object_acl(Bucket=bucket, Key='k', AccessControlPolicy={'Owner': told['Owner'], 'Grants': told['Grants']})
    assert mine.get_object_acl(Bucket=bucket, Key='k')['Grants'] == told['Grants']


def test_copies_and_multipart_uploads_take_acls(people, anonymous):
    (_, mine), _ = people
    bucket = new_bucket(mine)
    mine.put_object(Bucket=bucket, Key='source', Body=b'x', ACL='public-read')
    mine.copy_object(Bucket=bucket, Key='plain', CopySource={'Bucket': bucket, 'Key': 'source'})
    assert code(anonymous.get_object, Bucket=bucket, Key='plain') == 'AccessDenied'  # a list is not copied
    mine.copy_object(Bucket=bucket, Key='open', CopySource={'Bucket': bucket, 'Key': 'source'}, ACL='public-read')
    assert anonymous.get_object(Bucket=bucket, Key='open')['Body'].read() == b'x'
    upload = mine.create_multipart_upload(Bucket=bucket, Key='parts', GrantRead='uri="%s"' % ALL_USERS)['UploadId']
    etag = mine.upload_part(Bucket=bucket, Key='parts', UploadId=upload, PartNumber=1, Body=b'p')['ETag']
    mine.complete_multipart_upload(Bucket=bucket, Key='parts', UploadId=upload,
                                   MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': etag}]})
    assert anonymous.get_object(Bucket=bucket, Key='parts')['Body'].read() == b'p'


def test_an_upload_is_listed_and_aborted_by_its_initiator_and_the_buckets_owner(people, anonymous):
    (me, mine), (you, theirs) = people
    bucket = new_bucket(mine, ACL='public-read-write')
    preferred = {'Rules': [{'ObjectOwnership': 'BucketOwnerPreferred'}]}
    mine.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=preferred)

    def begin(client, **kwargs):
        return {'Bucket': bucket, 'Key': 'k', 'UploadId': client.create_multipart_upload(Bucket=bucket, Key='k', **kwargs)['UploadId']}
    owners, given = begin(mine), begin(theirs, ACL='bucket-owner-full-control')  # whose object will be the bucket owner's
    told = {u['UploadId']: (u['Initiator']['ID'], u['Owner']['ID']) for u in mine.list_multipart_uploads(Bucket=bucket)['Uploads']}
    assert told == {owners['UploadId']: (me + '-id', me + '-id'), given['UploadId']: (you + '-id', me + '-id')}
    for other in (theirs, anonymous):
        assert code(other.list_parts, **owners) == 'AccessDenied' and code(other.abort_multipart_upload, **owners) == 'AccessDenied'
        assert code(other.list_parts, **dict(owners, UploadId='none')) == 'AccessDenied'
        other.upload_part(**owners, PartNumber=1, Body=b'x')  # WRITE lets that
    assert code(anonymous.abort_multipart_upload, **given) == 'AccessDenied'
    assert theirs.list_parts(**given)['Initiator']['ID'] == you + '-id'
    mine.put_bucket_acl(Bucket=bucket, ACL='private')
    theirs.abort_multipart_upload(**given)
    last = begin(mine)
    mine.abort_multipart_upload(**last)
    mine.abort_multipart_upload(**owners)
    assert 'Uploads' not in mine.list_multipart_uploads(Bucket=bucket)


def test_a_form_takes_an_acl(people, anonymous, server):
    import requests
    (_, mine), _ = people
    bucket = new_bucket(mine)
    post = mine.generate_presigned_post(bucket, 'k', Fields={'acl': 'public-read'}, Conditions=[{'acl': 'public-read'}])
    r = requests.post(post['url'], data=post['fields'], files={'file': b'posted'}, verify=server.ca if server.tls else True, timeout=60)
    assert r.status_code == 204, r.text
    assert anonymous.get_object(Bucket=bucket, Key='k')['Body'].read() == b'posted'


def test_ownership_controls_rule_whose_objects_are(people):
    (me, mine), (you, theirs) = people
    bucket = new_bucket(mine, ACL='public-read-write', ObjectOwnership='ObjectWriter')
    theirs.put_object(Bucket=bucket, Key='k', Body=b'x')
    assert theirs.get_object_acl(Bucket=bucket, Key='k')['Owner']['ID'] == you + '-id'
    assert mine.list_objects_v2(Bucket=bucket, FetchOwner=True)['Contents'][0]['Owner']['ID'] == you + '-id'
    assert code(mine.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    enforced = {'Rules': [{'ObjectOwnership': 'BucketOwnerEnforced'}]}
    assert code(mine.put_bucket_ownership_controls, Bucket=bucket,
                OwnershipControls=enforced) == 'InvalidBucketAclWithObjectOwnership'
    mine.put_bucket_acl(Bucket=bucket, ACL='private')
    mine.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    assert mine.get_object(Bucket=bucket, Key='k')['Body'].read() == b'x'
    assert code(theirs.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
    assert mine.get_object_acl(Bucket=bucket, Key='k')['Owner']['ID'] == me + '-id'
    assert code(mine.put_object, Bucket=bucket, Key='n', ACL='public-read') == 'AccessControlListNotSupported'
    assert code(mine.put_bucket_acl, Bucket=bucket, ACL='private') == 'AccessControlListNotSupported'


def test_members_of_an_account_need_a_policy_beside_the_accounts_grant(server, people):
    (_, mine), (you, _) = people
    bucket = new_bucket(mine)
    mine.put_object(Bucket=bucket, Key='k', Body=b'x', GrantRead='id="%s-id"' % you)
    name = 'm' + uuid.uuid4().hex[:10]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret/' + name, '--account', you + '-id')
    try:
        member = make_client(server, name, 'secret/' + name)
        assert code(member.get_object, Bucket=bucket, Key='k') == 'AccessDenied'
        server.admin('policy', 'attach', 'readonly', '--user', name)
        assert member.get_object(Bucket=bucket, Key='k')['Body'].read() == b'x'
    finally:
        server.admin('user', 'rm', name)


def test_a_canned_acl_without_a_name_is_none(server, people):
    """Some clients (goofys, geesefs) send the header always."""
    (name, mine), _ = people
    signer, empty = Signer(name, 'secret/' + name), ('x-amz-acl', '')
    bucket = 'acl-' + uuid.uuid4().hex[:20]

    def send(path, query='', *headers):
        return request(server, 'PUT', path, query, headers=(empty,) + headers, signer=signer)

    assert send('/' + bucket).status == 200
    assert send('/%s/k' % bucket).status == 200
    assert send('/%s/copy' % bucket, '', ('x-amz-copy-source', '/%s/k' % bucket)).status == 200
    for key in ('k', 'copy'):
        assert [g['Permission'] for g in mine.get_object_acl(Bucket=bucket, Key=key)['Grants']] == ['FULL_CONTROL']
    assert send('/%s/open' % bucket, '', ('x-amz-grant-read', 'uri="%s"' % ALL_USERS)).status == 200
    assert [g['Permission'] for g in mine.get_object_acl(Bucket=bucket, Key='open')['Grants']] == ['READ'], 'what is granted beside it counts'
    assert send('/%s/k' % bucket, 'acl=').code == 'MissingSecurityHeader', 'nothing is said by it'
    assert request(server, 'PUT', '/%s/k' % bucket, headers=[('x-amz-acl', 'publik')], signer=signer).code == 'InvalidArgument'
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [{
        'Effect': 'Deny', 'Principal': '*', 'Action': 's3:PutObject', 'Resource': 'arn:aws:s3:::%s/*' % bucket,
        'Condition': {'Null': {'s3:x-amz-acl': 'true'}}}]}))
    assert send('/%s/k' % bucket).status == 403, 'nor does it count as one where a policy wants one'
    mine.delete_bucket_policy(Bucket=bucket)


def test_headers_of_an_acl_count_only_when_signed(server, people):
    """CVE class: unsigned x-amz-* headers that change the operation."""
    (_, mine), _ = people
    bucket = new_bucket(mine)
    url = mine.generate_presigned_url('put_object', {'Bucket': bucket, 'Key': 'k'})
    context = ssl.create_default_context(cafile=server.ca) if server.tls else None
    r = urllib.request.Request(url, data=b'x', method='PUT', headers={'x-amz-acl': 'public-read'})
    with pytest.raises(urllib.error.HTTPError) as e:
        urllib.request.urlopen(r, context=context)
    assert e.value.code == 403
    assert code(mine.head_object, Bucket=bucket, Key='k') == '404'
