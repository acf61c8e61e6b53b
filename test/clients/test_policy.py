# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Policies as their users meet them: boto3 at the door, `cairn admin policy` beside it."""
import base64
import datetime
import hashlib
import json
import re
import urllib.request
import ssl
import uuid

import botocore
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from raw import UNSIGNED, Connection, Signer, request, request_bytes
from test_post import Form


def denied(call, **kwargs):
    with pytest.raises(ClientError) as e:
        call(**kwargs)
    return e.value.response['ResponseMetadata']['HTTPStatusCode'] == 403


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


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
    public = policy(statement(bucket, 's3:GetObject', '*'))
    s3.put_bucket_policy(Bucket=bucket, Policy=public)
    other, stranger = user()
    assert server.admin('policy', 'explain', other, 's3:GetObject', bucket + '/k').stdout.startswith('allow')
    assert stranger.get_object(Bucket=bucket, Key='k')['Body'].read() == b'k'
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={'RestrictPublicBuckets': True})
    assert not server.admin('policy', 'explain', other, 's3:GetObject', bucket + '/k').stdout.startswith('allow')
    assert denied(stranger.get_object, Bucket=bucket, Key='k')
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

def test_a_policy_hands_itself_to_no_other_account(server, s3, bucket, user):
    """Who was given everything on a bucket cannot keep its owner out, nor let others in."""
    name, other = user()
    text = policy(statement(bucket, 's3:*', {'AWS': 'arn:aws:iam:::user/' + name}))
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    other.put_object(Bucket=bucket, Key='k', Body=b'x')
    for call, more in ((other.put_bucket_policy, {'Policy': policy(statement(bucket, 's3:*'))}), (other.get_bucket_policy, {}),
                       (other.delete_bucket_policy, {})):
        with pytest.raises(ClientError) as e:
            call(Bucket=bucket, **more)
        assert e.value.response['ResponseMetadata']['HTTPStatusCode'] == 405
    assert s3.get_bucket_policy(Bucket=bucket)['Policy'] == text


def test_strangers_choose_no_headers_of_an_answer(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'<script>', ContentType='text/plain')
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, 's3:GetObject', path='/*')).replace('"arn:aws:s3:::%s", ' % bucket, ''))
    ask = lambda query, **more: request(server, 'GET', '/%s/k' % bucket, query, **more)
    assert ask('', signer=False).headers['content-type'] == 'text/plain'
    for name in ('type', 'disposition', 'encoding'):
        r = ask('response-content-%s=text%%2Fhtml' % name, signer=False)
        assert (r.status, r.code) == (400, 'InvalidRequest') and b'<script>' not in r.body
    assert ask('response-content-type=text%2Fhtml').headers['content-type'] == 'text/html'


# ---- conditions go by what is done, not by what is said ----------------------------------------

@pytest.fixture
def claimant(server, s3, bucket, user):
    """Who may do what he likes under tmp/, and under out/ what `allow` says: a raw request with his signature."""
    name, _ = user()
    signer = Signer(name, 'secret/' + name)
    who = {'AWS': 'arn:aws:iam:::user/' + name}
    free = statement(bucket, ['s3:*'], who, path='/tmp/*')

    def allow(*statements):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(free, *[dict(s, Principal=who) for s in statements]))

    def ask(method, key, query='', headers=(), body=b'', **more):
        return request(server, method, '/%s/%s' % (bucket, key), query, headers, body, signer=signer, **more)
    ask.allow, ask.signer, ask.name = allow, signer, name
    return ask


def out(bucket, actions, effect='Allow', **conditions):
    return dict(Effect=effect, Action=actions, Resource='arn:aws:s3:::%s/out/*' % bucket, Condition=conditions)


def form_of(server, bucket, claimant, key, *fields):
    form = Form(server, bucket, key, claimant.signer.access_key, 'secret/' + claimant.name)
    form.fields += list(fields)
    form.conditions += [{n: v} for n, v in fields]
    return form


def test_a_copy_source_that_nothing_is_copied_from_opens_no_policy(server, s3, bucket, claimant):
    s3.put_object(Bucket=bucket, Key='tmp/good', Body=b'good')
    s3.put_object(Bucket=bucket, Key='tmp/bad', Body=b'bad')
    claimant.allow(out(bucket, 's3:PutObject', StringEquals={'s3:x-amz-copy-source': bucket + '/tmp/good'}))
    said = [('x-amz-copy-source', '/%s/tmp/good' % bucket)]
    assert form_of(server, bucket, claimant, 'out/a').send(headers=said).status == 403
    r = claimant('PUT', 'out/a', 'renameObject=', said + [('x-amz-rename-source', 'tmp/bad')])
    assert (r.status, r.code) == (403, 'AccessDenied')
    assert claimant('PUT', 'out/a', headers=[('x-amz-copy-source', '/%s/tmp/bad' % bucket)]).status == 403
    upload = s3.create_multipart_upload(Bucket=bucket, Key='out/a')['UploadId']
    for source, status in (('bad', 403), ('good', 200)):  # as RustFS did not (GHSA-wfxj-ph3v-7mjf)
        r = claimant('PUT', 'out/a', 'partNumber=1&uploadId=' + upload, [('x-amz-copy-source', '/%s/tmp/%s' % (bucket, source))])
        assert r.status == status, r
    s3.abort_multipart_upload(Bucket=bucket, Key='out/a', UploadId=upload)
    assert claimant('PUT', 'out/a', headers=said).status == 200
    assert s3.get_object(Bucket=bucket, Key='out/a')['Body'].read() == b'good'


def test_a_policy_reads_a_copy_source_as_the_copy_does(s3, bucket, claimant):
    """A plus is a space to both: what opens the one key does not open the other."""
    for key in ('tmp/a+b', 'tmp/a b'):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for allowed, sources in (('tmp/a+b', ((403, 'a+b'), (403, 'a%20b'), (200, 'a%2Bb'))), ('tmp/a b', ((200, 'a+b'), (200, 'a%20b'), (403, 'a%2Bb')))):
        claimant.allow(out(bucket, 's3:PutObject', StringEquals={'s3:x-amz-copy-source': '%s/%s' % (bucket, allowed)}))
        for status, source in sources:
            r = claimant('PUT', 'out/a', headers=[('x-amz-copy-source', '/%s/tmp/%s' % (bucket, source))])
            assert r.status == status, (allowed, source, r)
        assert s3.get_object(Bucket=bucket, Key='out/a')['Body'].read() == allowed.encode()


def test_tags_that_are_not_given_open_no_policy(server, s3, bucket, claimant):
    s3.put_object(Bucket=bucket, Key='tmp/bare', Body=b'x')
    claimant.allow(out(bucket, ['s3:PutObject', 's3:PutObjectTagging'], StringEquals={'s3:RequestObjectTag/class': 'kept'}))
    said = [('x-amz-tagging', 'class=kept')]
    source = [('x-amz-copy-source', '/%s/tmp/bare' % bucket)]
    assert claimant('PUT', 'out/a', headers=source + said).status == 403
    assert claimant('PUT', 'out/a', headers=source + said + [('x-amz-tagging-directive', 'COPY')]).status == 403
    assert claimant('PUT', 'out/a', 'renameObject=', said + [('x-amz-rename-source', 'tmp/bare')]).status == 403
    assert claimant('PUT', 'out/a', headers=source + said + [('x-amz-tagging-directive', 'REPLACE')]).status == 200
    assert s3.get_object_tagging(Bucket=bucket, Key='out/a')['TagSet'] == [{'Key': 'class', 'Value': 'kept'}]
    claimant.allow(out(bucket, 's3:PutObject', StringEquals={'s3:x-amz-acl': 'bucket-owner-full-control'}))
    assert claimant('PUT', 'out/b', 'renameObject=', [('x-amz-acl', 'bucket-owner-full-control'), ('x-amz-rename-source', 'tmp/bare')]).status == 403


def test_a_policy_that_asks_for_if_none_match_is_not_met_by_words_beside_it(server, s3, bucket, claimant):
    """AWS's own policy of conditional writes: s3:ObjectCreationOperation spares what makes no object yet."""
    claimant.allow(dict(out(bucket, 's3:*'), Condition={}), out(bucket, 's3:PutObject', 'Deny', Null={'s3:if-none-match': 'true'},
                                                               Bool={'s3:ObjectCreationOperation': 'true'}))
    path = '/%s/out/c' % bucket
    condition = [('If-None-Match', '*')]
    assert claimant('PUT', 'out/a', body=b'x').status == 403
    for words, status in (('', 403), ('if-none-match=%2A', 200), ('if-none-match=%2A', 412)):  # presigned it is heeded
        with Connection(server) as c:
            query = claimant.signer.presign('PUT', server.host, path, words)
            c.send(request_bytes('PUT', path + '?' + query, [('Host', server.host), ('Content-Length', '1')], b'x'))
            assert c.reply().status == status
    assert form_of(server, bucket, claimant, 'out/a', ('if-none-match', '*')).send().status == 403
    r = claimant('POST', 'out/a', 'uploads=')
    assert r.status == 200, r
    upload = re.search(rb'<UploadId>(.*?)<', r.body).group(1).decode()
    r = claimant('PUT', 'out/a', 'partNumber=1&uploadId=' + upload, body=b'part')
    assert r.status == 200, r
    parts = ('<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>' % r.headers['etag']).encode()
    assert claimant('POST', 'out/a', 'uploadId=' + upload, body=parts).status == 403
    assert claimant('POST', 'out/a', 'uploadId=' + upload, condition, parts).status == 200
    assert claimant('PUT', 'out/a', headers=condition, body=b'x').status == 412
    assert claimant('PUT', 'out/b', headers=condition, body=b'x').status == 200


def test_unsigned_payloads_are_known_however_they_come(server, s3, bucket, claimant):
    claimant.allow(dict(out(bucket, 's3:*'), Condition={}),
                   out(bucket, 's3:PutObject', 'Deny', StringEquals={'s3:x-amz-content-sha256': 'UNSIGNED-PAYLOAD'}))
    path = '/%s/out/a' % bucket
    assert claimant('PUT', 'out/a', body=b'x', payload=UNSIGNED).status == 403
    for payload, headers in ((UNSIGNED, []), (UNSIGNED, [('x-amz-content-sha256', UNSIGNED)])):
        with Connection(server) as c:
            query = claimant.signer.presign('PUT', server.host, path, payload=payload)
            c.send(request_bytes('PUT', path + '?' + query, [('Host', server.host), ('Content-Length', '1')] + headers, b'x'))
            assert c.reply().status == 403
    assert form_of(server, bucket, claimant, 'out/a').send().status == 403
    assert claimant('PUT', 'out/a', body=b'x').status == 200


def test_a_lock_is_judged_by_what_it_asks_for(server, s3, user):
    name, _ = user()
    place = 'lock-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=place, ObjectLockEnabledForBucket=True)
    version = s3.put_object(Bucket=place, Key='k', Body=b'x')['VersionId']
    signer = Signer(name, 'secret/' + name)
    who = {'AWS': 'arn:aws:iam:::user/' + name}
    s3.put_bucket_policy(Bucket=place, Policy=policy(
        statement(place, ['s3:*'], who),
        statement(place, 's3:PutObjectRetention', who, 'Deny', Condition={'NumericGreaterThan': {'s3:object-lock-remaining-retention-days': '10'}}),
        statement(place, 's3:PutObjectRetention', who, 'Deny', Condition={'StringEquals': {'s3:object-lock-mode': 'COMPLIANCE'}}),
        statement(place, 's3:PutObjectLegalHold', who, 'Deny', Condition={'StringEquals': {'s3:object-lock-legal-hold': 'OFF'}})))

    def lock(query, body, *headers):
        return request(server, 'PUT', '/%s/k' % place, query, list(headers) + [('Content-MD5', md5(body))], body, signer=signer).status

    def until(days):
        return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime('%Y-%m-%dT%H:%M:%SZ')

    def retention(mode, days, *headers):
        return lock('retention=', ('<Retention><Mode>%s</Mode><RetainUntilDate>%s</RetainUntilDate></Retention>' % (mode, until(days))).encode(), *headers)

    assert retention('COMPLIANCE', 5) == 403
    assert retention('COMPLIANCE', 5, ('x-amz-object-lock-mode', 'GOVERNANCE')) == 403
    assert retention('GOVERNANCE', 11) == 403
    assert retention('GOVERNANCE', 9) == 200
    for days, mode, status in ((11, 'GOVERNANCE', 403), (5, 'COMPLIANCE', 403), (9, 'GOVERNANCE', 200)):
        r = request(server, 'PUT', '/%s/k' % place, headers=[('x-amz-object-lock-mode', mode), ('x-amz-object-lock-retain-until-date', until(days)),
                                                             ('Content-MD5', md5(b'y'))], body=b'y', signer=signer)
        assert r.status == status, (days, mode, r)
    assert lock('legal-hold=', b'<LegalHold><Status>ON</Status></LegalHold>') == 200
    assert lock('legal-hold=', b'<LegalHold><Status>OFF</Status></LegalHold>') == 403
    s3.put_object_legal_hold(Bucket=place, Key='k', LegalHold={'Status': 'OFF'})
    for v in s3.list_object_versions(Bucket=place)['Versions']:
        s3.delete_object(Bucket=place, Key='k', VersionId=v['VersionId'], BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=place)


def test_the_version_of_tls_is_told_to_policies(server, bucket, claimant):
    def get(condition):
        claimant.allow(dict(out(bucket, 's3:*'), Condition={}), out(bucket, 's3:*', 'Deny', **condition))
        return claimant('PUT', 'out/a', body=b'x').status
    assert get({'NumericLessThan': {'s3:TlsVersion': '1.2'}}) == 200
    assert get({'NumericGreaterThanEquals': {'s3:TlsVersion': '1.2'}}) == (403 if server.tls else 200)
