# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Which error a wrong request gets, where several would do: the code is what clients act on."""
import base64
import datetime
import email.utils
import hashlib
import json
import uuid

import pytest
from raw import Signer, crc32_base64, request
from test_boto3 import code_of

SHA = base64.b64encode(hashlib.sha256(b'x').digest()).decode()


def md5_of(body):
    return 'Content-MD5', base64.b64encode(hashlib.md5(body).digest()).decode()


def answer_of(server, *args, **kwargs):
    r = request(server, *args, **kwargs)
    return r.status, r.code


@pytest.mark.parametrize('headers,code', [
    ([('x-amz-checksum-crc32', crc32_base64(b'x')), ('x-amz-checksum-sha256', SHA)], 'InvalidRequest'),
    ([('x-amz-checksum-crc32', '!'), ('x-amz-checksum-sha256', '!')], 'InvalidRequest'),
    ([('x-amz-checksum-crc16', 'AAAA')], 'InvalidRequest'),
    ([('x-amz-checksum-crc32', crc32_base64(b'y'))], 'BadDigest')])
def test_checksums_that_cannot_be_held_against_a_body(server, s3, bucket, headers, code):
    assert answer_of(server, 'PUT', '/%s/k' % bucket, headers=headers, body=b'x') == (400, code)
    assert code_of(s3.head_object, Bucket=bucket, Key='k')[0] == 404


@pytest.mark.parametrize('authorization,code', [
    ('Basic dTpw', 'InvalidArgument'), ('Bearer x', 'InvalidArgument'), ('AWS key:c2ln', 'InvalidRequest'), ('AWS4-HMAC-SHA256 Credential=x', 'AuthorizationHeaderMalformed')])
def test_other_kinds_of_authorization(server, bucket, authorization, code):
    r = request(server, 'GET', '/' + bucket, headers=[('Authorization', authorization)], signer=False)
    assert (r.status, r.code) == (400, code)


def test_another_algorithm_in_the_query(server, bucket):
    query = ('X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=a%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z'
             '&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=' + '0' * 64)
    assert answer_of(server, 'GET', '/' + bucket, query, signer=False) == (400, 'AuthorizationQueryParametersError')


class Upload:
    """An upload of one part, sent and completed by hand: boto3 would add checksums of its own."""

    def __init__(self, server, s3, bucket, **kwargs):
        self.server, self.path = server, '/%s/k' % bucket
        self.id = s3.create_multipart_upload(Bucket=bucket, Key='k', **kwargs)['UploadId']

    def part(self, body=b'part', headers=()):
        return request(self.server, 'PUT', self.path, 'partNumber=1&uploadId=' + self.id, headers=headers, body=body)

    def complete(self, etag, inside='', number='1', headers=()):
        body = '<CompleteMultipartUpload><Part><PartNumber>%s</PartNumber><ETag>%s</ETag>%s</Part></CompleteMultipartUpload>' % (number, etag, inside)
        return request(self.server, 'POST', self.path, 'uploadId=' + self.id, headers=headers, body=body.encode())


def test_a_part_of_a_composite_upload_brings_its_checksum(server, s3, bucket):
    upload = Upload(server, s3, bucket, ChecksumAlgorithm='CRC32')
    missing = upload.part()
    assert (missing.status, missing.code) == (400, 'InvalidRequest') and b'expected checksum Type: crc32, actual checksum Type: null' in missing.body
    sum_ = crc32_base64(b'part')
    etag = upload.part(headers=[('x-amz-checksum-crc32', sum_)]).headers['etag']
    element = '<Checksum%s>%s</Checksum%s>'
    own = element % ('CRC32', sum_, 'CRC32')
    for inside, code in (('', 'InvalidRequest'), (element % ('CRC32', '!', 'CRC32'), 'InvalidArgument'), (own + element % ('SHA256', SHA, 'SHA256'), 'InvalidArgument'),
                         (element % ('SHA256', SHA, 'SHA256'), 'BadDigest'), (element % ('CRC32', crc32_base64(b'other'), 'CRC32'), 'InvalidPart')):
        r = upload.complete(etag, inside)
        assert (r.status, r.code) == (400, code), (inside, r)
    assert upload.complete(etag, own).status == 200


def test_a_completion_names_what_the_parts_were_answered_with(server, s3, bucket):
    upload = Upload(server, s3, bucket)
    part = upload.part(headers=[('x-amz-checksum-crc32', crc32_base64(b'part'))])
    told = part.headers['x-amz-checksum-crc32']
    inside = '<ChecksumCRC32>%s</ChecksumCRC32>'
    assert upload.complete(part.headers['etag'], inside % '!').code == 'InvalidArgument'
    assert upload.complete(part.headers['etag'], inside % told).status == 200


def test_what_is_wrong_with_a_completion(server, s3, bucket):
    upload = Upload(server, s3, bucket)
    part = upload.part()
    etag = part.headers['etag']
    assert part.headers['x-amz-checksum-crc64nvme']
    for number in ('-4', '0', '10001'):
        r = upload.complete(etag, number=number)
        assert (r.status, r.code) == (400, 'InvalidArgument'), r
    assert upload.complete(etag, number='x').code == 'MalformedXML'
    for size in ('-1', 'x', '5'):
        r = upload.complete(etag, headers=[('x-amz-mp-object-size', size)])
        assert (r.status, r.code) == (400, 'InvalidRequest'), r
    assert upload.complete(etag, headers=[('x-amz-mp-object-size', '4')]).status == 200


def test_the_type_of_a_checksum_is_without_case(server, s3, bucket):
    headers = [('x-amz-checksum-algorithm', 'crc32'), ('x-amz-checksum-type', 'full_object')]
    r = request(server, 'POST', '/%s/k' % bucket, 'uploads=', headers=headers)
    assert (r.status, r.headers['x-amz-checksum-type']) == (200, 'FULL_OBJECT')


def test_an_upload_is_aborted_if_it_began_then(server, s3, bucket):
    upload = Upload(server, s3, bucket)
    began = s3.list_multipart_uploads(Bucket=bucket)['Uploads'][0]['Initiated']
    for delta, status in ((-1, 412), (1, 412), (0, 204), (0, 404)):
        date = email.utils.format_datetime((began + datetime.timedelta(seconds=delta)).astimezone(datetime.timezone.utc), usegmt=True)
        r = request(server, 'DELETE', '/%s/k' % bucket, 'uploadId=' + upload.id, headers=[('x-amz-if-match-initiated-time', date)])
        assert r.status == status, r


def test_ranges_of_nothing(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'')
    for text, status in (('bytes=-1', 200), ('bytes=-0', 416), ('bytes=0-', 416), ('bytes=0-0', 416), ('bytes= -1', 200)):
        assert request(server, 'GET', '/%s/k' % bucket, headers=[('Range', text)]).status == status, text
    s3.put_object(Bucket=bucket, Key='k', Body=b'abc')
    assert request(server, 'GET', '/%s/k' % bucket, headers=[('Range', 'bytes= -1')]).body == b'abc'


def test_the_anonymous_choose_no_headers(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    policy = {'Statement': [{'Effect': 'Allow', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::%s/*' % bucket}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert request(server, 'GET', '/%s/k' % bucket, signer=False).body == b'x'
    assert answer_of(server, 'GET', '/%s/k' % bucket, 'response-content-type=text%2Fhtml', signer=False) == (400, 'InvalidRequest')
    assert request(server, 'GET', '/%s/k' % bucket, 'response-content-type=text%2Fhtml').headers['content-type'] == 'text/html'


TAGS = '<CreateBucketConfiguration><Tags>%s</Tags></CreateBucketConfiguration>'
TAG = '<Tag><Key>%s</Key><Value>%s</Value></Tag>'


def test_a_bucket_is_made_with_tags(server, s3):
    name = 'test-' + uuid.uuid4().hex[:20]
    for tags in (TAG % ('a', '1') + TAG % ('a', '2'), TAG % ('a!', '1'), TAG % ('aws:a', '1'), ''.join(TAG % ('k%d' % i, '') for i in range(51))):
        assert answer_of(server, 'PUT', '/' + name, body=(TAGS % tags).encode()) == (400, 'InvalidTag')
        assert code_of(s3.head_bucket, Bucket=name)[0] == 404
    made = request(server, 'PUT', '/' + name, body=(TAGS % (TAG % ('team', 'red') + TAG % ('b', ''))).encode())
    assert (made.status, made.headers['x-amz-bucket-arn']) == (200, 'arn:aws:s3:::' + name)
    assert s3.get_bucket_tagging(Bucket=name)['TagSet'] == [{'Key': 'b', 'Value': ''}, {'Key': 'team', 'Value': 'red'}]
    assert request(server, 'HEAD', '/' + name).headers['x-amz-bucket-arn'] == 'arn:aws:s3:::' + name
    s3.delete_bucket(Bucket=name)


def test_tags_of_a_new_bucket_need_their_right(server, s3, tmp_path):
    user, name = 'tagger-' + uuid.uuid4().hex[:8], 'test-' + uuid.uuid4().hex[:20]
    signer = Signer(user, 'secret-of-a-tagger')
    body = (TAGS % (TAG % ('a', '1'))).encode()
    server.admin('user', 'add', user, '--access-key', user, '--secret-key', 'secret-of-a-tagger', '--account', 'root')
    for actions, status in ((['s3:CreateBucket'], 403), (['s3:CreateBucket', 's3:PutBucketTagging'], 200)):
        document = tmp_path / 'policy'
        document.write_text(json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': actions, 'Resource': '*'}]}))
        server.admin('policy', 'add', user, str(document))
        server.admin('policy', 'attach', user, '--user', user)
        assert request(server, 'PUT', '/' + name, body=body, signer=signer).status == status
    s3.delete_bucket(Bucket=name)


def test_a_grant_beside_a_canned_acl(server, bucket):
    both = [('x-amz-acl', 'private'), ('x-amz-grant-read', 'nobody')]
    assert answer_of(server, 'PUT', '/' + bucket, 'acl=', headers=both) == (400, 'InvalidRequest')
    for headers in (both, both[1:]):
        r = request(server, 'PUT', '/' + bucket, 'acl=', headers=headers, body=b'<AccessControlPolicy/>')
        assert (r.status, r.code) == (400, 'UnexpectedContent') and b'Grants' not in r.body and b'Argument' not in r.body, r


def test_a_lock_is_read_before_the_bucket_is(server, bucket):
    past = [('x-amz-object-lock-mode', 'GOVERNANCE'), ('x-amz-object-lock-retain-until-date', '2001-01-01T00:00:00Z')]
    for headers, code in ((past, 'InvalidArgument'), (past[:1], 'InvalidArgument'), ([('x-amz-object-lock-legal-hold', 'ON')], 'InvalidRequest')):
        assert answer_of(server, 'PUT', '/%s/k' % bucket, headers=headers, body=b'x') == (400, code), headers


def test_errors_name_what_they_are_about(server, s3, bucket):
    """As AWS answers, element by element."""
    versioning = request(server, 'PUT', '/' + bucket, 'versioning=', headers=[md5_of(b'<VersioningConfiguration/>')], body=b'<VersioningConfiguration/>')
    assert versioning.code == 'IllegalVersioningConfigurationException' and b'The Versioning element must be specified' in versioning.body
    lock = request(server, 'GET', '/' + bucket, 'object-lock=')
    assert lock.code == 'ObjectLockConfigurationNotFoundError' and ('<BucketName>%s<' % bucket).encode() in lock.body
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    first = s3.put_object(Bucket=bucket, Key='k', Body=b'0123456789')['VersionId']
    marker = s3.delete_object(Bucket=bucket, Key='k')['VersionId']
    gone = request(server, 'DELETE', '/' + bucket)
    assert gone.code == 'BucketNotEmpty' and b'You must delete all versions in the bucket.' in gone.body
    for version in (first, marker):
        s3.delete_object(Bucket=bucket, Key='k', VersionId=version)
    missing = request(server, 'GET', '/%s/k' % bucket, 'versionId=' + first)
    assert missing.code == 'NoSuchVersion' and ('<Key>k</Key><VersionId>%s<' % first).encode() in missing.body
    owner = request(server, 'PUT', '/' + bucket + '-2', headers=[('x-amz-object-ownership', 'Random')])
    assert owner.code == 'InvalidArgument' and b'Invalid x-amz-object-ownership header: Random<' in owner.body and b'ArgumentValue' not in owner.body
    body = (b'<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>'
            b'<KMSMasterKeyID>k</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>')
    rule = request(server, 'PUT', '/' + bucket, 'encryption=', headers=[md5_of(body)], body=body)
    assert rule.code == 'InvalidArgument' and b'<ArgumentName>ApplyServerSideEncryptionByDefault<' in rule.body
    assert ('<BucketArn>arn:aws:s3:::%s<' % bucket).encode() in request(server, 'GET', '/', 'prefix=' + bucket).body


def test_a_range_of_the_whole_tells_the_checksum_of_the_whole(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'0123456789', ChecksumAlgorithm='CRC32')
    for text, told in (('bytes=0-', True), ('bytes=-15', True), ('bytes=0-100', True), ('bytes=0-8', False), ('bytes=1-', False)):
        answer = request(server, 'GET', '/%s/k' % bucket, headers=[('Range', text), ('x-amz-checksum-mode', 'ENABLED')])
        assert answer.status == 206 and ('x-amz-checksum-crc32' in answer.headers) == told, text


def test_a_form_belongs_to_a_bucket_not_to_a_key(server, s3, bucket):
    """As the tests of mc post one: AWS says so before it asks who that is, whatever is there."""
    body = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--x--\r\n'
    form = [('Content-Type', 'multipart/form-data; boundary=x')]
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    for name in (bucket, 'not-' + bucket):
        for key in ('k', 'absent'):
            r = request(server, 'POST', '/%s/%s' % (name, key), headers=form, body=body, signer=False)
            assert (r.status, r.code) == (405, 'MethodNotAllowed') and b'POST' in r.body, r
    assert request(server, 'PATCH', '/%s/k' % bucket, signer=False).code == 'AccessDenied'


def test_words_in_a_message_keep_their_quotes(server, bucket):
    r = request(server, 'GET', '/' + bucket, signer=Signer(server.access_key, server.secret_key, service='ec2'))
    assert r.status == 400 and b'incorrect service "ec2"' in r.body, r


def test_a_digest_added_to_a_presigned_url_is_another_request(server, bucket):
    """What no signature can be over as well: mint asks for the code."""
    signer = Signer(server.access_key, server.secret_key)
    query = signer.presign('PUT', server.host, '/%s/k' % bucket)
    for digest in ('invalid-sha256', hashlib.sha256(b'').hexdigest()):
        r = request(server, 'PUT', '/%s/k' % bucket, query, headers=[('x-amz-content-sha256', digest)], signer=False)
        assert (r.status, r.code) == (403, 'SignatureDoesNotMatch'), r
    assert request(server, 'PUT', '/%s/k' % bucket, query, signer=False).status == 200


@pytest.mark.parametrize('method,path,query', [
    ('GET', 'admin/v3/info', 'metrics=false'), ('GET', 'admin/v3/list-users', ''), ('PUT', 'admin/v3/add-user', 'accessKey=a'),
    ('POST', 'admin/v3/background-heal/status', ''), ('GET', 'kms/v1/status', '')])
def test_the_other_administration_is_named_where_it_is_missing(server, s3, method, path, query):
    """mc prints the message; the bucket of that name, where there is one, is like any other."""
    r = request(server, method, '/minio/' + path, query, body=b'x' if method == 'PUT' else b'')
    assert (r.status, r.code) == (501, 'NotImplemented') and b'cairn admin' in r.body, r
    r = request(server, method, '/minio/' + path, query, signer=False)
    assert r.code in ('AccessDenied', 'MethodNotAllowed', 'NoSuchBucket') and b'cairn admin' not in r.body, r
    if method == 'GET' and not query:
        s3.create_bucket(Bucket='minio')
        r = request(server, 'GET', '/minio/' + path)
        s3.delete_bucket(Bucket='minio')
        assert (r.status, r.code) == (404, 'NoSuchKey')


def test_conditions_in_a_presigned_url_are_heeded(server, s3, bucket):
    """AWS takes them from the query, too: such a URL may only make the object, or replace a known one."""
    path, signer = '/%s/k' % bucket, Signer(server.access_key, server.secret_key)

    def ask(method, condition, body=b'', headers=()):
        query = signer.presign(method, server.host, path, condition)
        return request(server, method, path, query, headers=headers, body=body, signer=False)
    assert ask('PUT', 'If-None-Match=%2A', b'one').status == 200
    assert ask('PUT', 'If-None-Match=%2A', b'two').code == 'PreconditionFailed'
    for other in ('"x"', ''):  # whoever holds the URL may send any, unsigned
        assert ask('PUT', 'If-None-Match=%2A', b'two', [('If-None-Match', other)]).code == 'PreconditionFailed'
    assert ask('PUT', 'If-Match=abc', b'two', [('If-Match', '*')]).code == 'PreconditionFailed'
    assert ask('PUT', 'if-match=d41d8cd98f00b204e9800998ecf8427e', b'two').code == 'PreconditionFailed'
    assert ask('DELETE', 'If-Match=d41d8cd98f00b204e9800998ecf8427e').code == 'PreconditionFailed'
    etag = s3.head_object(Bucket=bucket, Key='k')['ETag'].strip('"')
    assert ask('GET', 'If-None-Match=' + etag).status == 304
    assert ask('PUT', 'If-Match=' + etag, b'two').status == 200
    assert s3.get_object(Bucket=bucket, Key='k')['Body'].read() == b'two'
    assert request(server, 'PUT', path, 'If-None-Match=%2A', body=b'three').status == 200, 'it is no header where that can be sent'


def test_a_copy_onto_itself_where_a_bucket_has_a_default(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    source = {'Bucket': bucket, 'Key': 'k'}
    assert code_of(s3.copy_object, Bucket=bucket, Key='k', CopySource=source) == (400, 'InvalidRequest')
    rule = {'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': 'AES256'}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={'Rules': [rule]})
    for _ in range(2):
        assert s3.copy_object(Bucket=bucket, Key='k', CopySource=source)['ServerSideEncryption'] == 'AES256'


def test_digests_and_times_are_told(server, s3, bucket):
    path = '/%s/k' % bucket
    wrong = request(server, 'PUT', path, headers=[md5_of(b'other')], body=b'x')
    digests = [base64.b64encode(hashlib.md5(b).digest()) for b in (b'other', b'x')]
    assert b'<ExpectedDigest>%s</ExpectedDigest><CalculatedDigest>%s</CalculatedDigest>' % tuple(digests) in wrong.body
    old = Signer(server.access_key, server.secret_key, now=datetime.datetime(2026, 1, 1))
    expired = request(server, 'GET', path, old.presign('GET', server.host, path, expires=60), signer=False)
    assert b'<X-Amz-Expires>60</X-Amz-Expires><Expires>2026-01-01T00:01:00.000Z</Expires><ServerTime>' in expired.body
    headers = [('x-amz-meta-a', '1'), ('x-amz-meta-b', '2')]
    unsigned = request(server, 'PUT', path, headers=headers, body=b'x', sign=['host', 'x-amz-date', 'x-amz-content-sha256', 'x-amz-meta-a'])
    assert unsigned.code == 'AccessDenied' and b'<HeadersNotSigned>x-amz-meta-b</HeadersNotSigned>' in unsigned.body
    lock = request(server, 'PUT', path, headers=[('x-amz-object-lock-mode', 'GOVERNANCE')], body=b'x')
    assert b'<ArgumentName>x-amz-object-lock-retain-until-date</ArgumentName>' in lock.body
    assert request(server, 'HEAD', '/' + bucket).headers['x-amz-access-point-alias'] == 'false'


def test_words_of_other_apis_change_nothing(server, s3, bucket):
    """Passed over, `DELETE /bucket/key?annotation` would delete the object."""
    s3.put_object(Bucket=bucket, Key='k', Body=b'x')
    path = '/%s/k' % bucket
    for method, query in (('PUT', 'annotation&annotationName=a'), ('PUT', 'annotation=&annotationName=a'), ('DELETE', 'annotation&annotationName=a'),
                          ('GET', 'annotation'), ('GET', 'annotation&annotationName=a'), ('PUT', 'append&position=0'), ('DELETE', 'sometime'), ('POST', 'sometime')):
        assert answer_of(server, method, path, query, body=b'y' if method == 'PUT' else b'') == (501, 'NotImplemented'), (method, query)
    for method, query in (('PUT', 'metadataAnnotationTable='), ('PUT', 'sometime'), ('DELETE', 'sometime')):
        assert answer_of(server, method, '/' + bucket, query) == (501, 'NotImplemented'), (method, query)
    assert request(server, 'GET', path, 'sometime').body == b'x'
    assert request(server, 'PUT', path, 'x-id=PutObject&sometime=1', body=b'z').status == 200
    assert request(server, 'PUT', path, 'sometime', body=b'y', signer=False).code == 'AccessDenied'
    assert s3.get_object(Bucket=bucket, Key='k')['Body'].read() == b'z'


def test_what_younger_apis_ask_for_is_not_passed_over(server, s3):
    """Event holds, buckets with names of an account's own: a hold that was asked for and is none would be found out too late."""
    name = 'test-' + uuid.uuid4().hex[:20]
    assert answer_of(server, 'PUT', '/' + name, headers=[('x-amz-bucket-namespace', 'account-regional')]) == (501, 'NotImplemented')
    assert answer_of(server, 'PUT', '/' + name, headers=[('x-amz-bucket-namespace', 'global'), ('x-amz-bucket-object-lock-enabled', 'true')])[0] == 200
    path = '/%s/k' % name
    for header in (('x-amz-object-lock-event-hold', 'ON'), ('x-amz-object-lock-event-hold-duration-days', '3')):
        assert answer_of(server, 'PUT', path, headers=[header], body=b'x') == (501, 'NotImplemented')
    version = request(server, 'PUT', path, headers=[('x-amz-object-lock-event-hold', 'OFF')], body=b'x').headers['x-amz-version-id']
    retention = b'<Retention><EventHold>ON</EventHold></Retention>'
    assert answer_of(server, 'PUT', path, 'retention=', headers=[md5_of(retention)], body=retention) == (501, 'NotImplemented')
    rule = (b'<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days>'
            b'<DefaultEventHold><Days>3</Days></DefaultEventHold></DefaultRetention></Rule></ObjectLockConfiguration>')
    assert answer_of(server, 'PUT', '/' + name, 'object-lock=', headers=[md5_of(rule)], body=rule) == (501, 'NotImplemented')
    s3.delete_object(Bucket=name, Key='k', VersionId=version)
    s3.delete_bucket(Bucket=name)
