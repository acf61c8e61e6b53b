# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Storage classes: what a client asks for, what the bucket has for who asks for nothing, and the code that comes of it."""
import json

import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from server import Server

PART = 5 << 20


@pytest.fixture(scope='module')
def six():
    """Six disks, and two classes of their own."""
    s = Server(disks=6, options=['--storage-class', 'COLD=5+1', '--storage-class', 'HOT=1+3'])
    s.start()
    yield s
    check = s.admin('check', '--deep', check=False)
    status = s.stop()
    s.remove()
    assert check.returncode == 0, check.stdout + check.stderr
    assert status == 0


@pytest.fixture(scope='module')
def s3(six):
    client = make_client(six)
    client.create_bucket(Bucket='classes')
    return client


def codes(server, bucket, key):
    chunks = json.loads(server.admin('heal', '--dry-run', '--json', '%s/%s' % (bucket, key)).stdout)['before']
    return {(c['k'], c['m']) for c in chunks}


@pytest.mark.parametrize('name,small,large', [('STANDARD', (1, 2), (4, 2)), ('REDUCED_REDUNDANCY', (1, 1), (4, 1)),
                                              ('STANDARD_IA', (1, 2), (4, 2)),
                                              ('COLD', (1, 1), (5, 1)), ('HOT', (1, 3), (1, 3))])
def test_class_decides_the_code_and_is_shown(six, s3, name, small, large):
    for key, size, code in (('small', 50000, small), ('large', 1 << 20, large)):
        key = name + '/' + key
        s3.put_object(Bucket='classes', Key=key, Body=b'x' * size, StorageClass=name)
        assert codes(six, 'classes', key) == {code}
        assert s3.head_object(Bucket='classes', Key=key).get('StorageClass', 'STANDARD') == name
        assert s3.get_object(Bucket='classes', Key=key)['Body'].read() == b'x' * size
    listed = s3.list_objects_v2(Bucket='classes', Prefix=name + '/')['Contents']
    assert [o['StorageClass'] for o in listed] == [name, name]


def test_unknown_class_is_refused(s3):
    for name in ('NOSUCH', 'cold', 'GLACIER'):
        with pytest.raises(ClientError) as e:
            s3.put_object(Bucket='classes', Key='k', Body=b'x', StorageClass=name)
        assert e.value.response['Error']['Code'] == 'InvalidStorageClass'
        assert e.value.response['ResponseMetadata']['HTTPStatusCode'] == 400


def test_upload_and_its_parts(six, s3):
    upload = s3.create_multipart_upload(Bucket='classes', Key='mp', StorageClass='COLD')['UploadId']
    s3.put_object(Bucket='classes', Key='source', Body=b'b' * 300000)
    etags = [s3.upload_part(Bucket='classes', Key='mp', UploadId=upload, PartNumber=1, Body=b'a' * PART)['ETag'],
             s3.upload_part_copy(Bucket='classes', Key='mp', UploadId=upload, PartNumber=2,
                                 CopySource='classes/source')['CopyPartResult']['ETag']]
    s3.complete_multipart_upload(Bucket='classes', Key='mp', UploadId=upload, MultipartUpload={
        'Parts': [{'PartNumber': i + 1, 'ETag': e} for i, e in enumerate(etags)]})
    assert codes(six, 'classes', 'mp') == {(5, 1)}
    assert s3.head_object(Bucket='classes', Key='mp')['StorageClass'] == 'COLD'


def test_copy_onto_itself_changes_the_code(six, s3):
    s3.put_object(Bucket='classes', Key='move', Body=b'm' * 600000)
    assert codes(six, 'classes', 'move') == {(4, 2)}
    s3.copy_object(Bucket='classes', Key='move', CopySource='classes/move', StorageClass='HOT')
    assert codes(six, 'classes', 'move') == {(1, 3)}
    assert s3.get_object(Bucket='classes', Key='move')['Body'].read() == b'm' * 600000


def test_default_of_the_bucket(six, s3):
    s3.create_bucket(Bucket='cold')
    assert six.admin('bucket', 'class', 'cold').stdout == 'STANDARD\n'
    assert six.admin('bucket', 'class', 'cold', 'COLD').stdout == 'COLD\n'
    assert six.admin('bucket', 'class', 'cold', 'NOSUCH', check=False).returncode == 1
    s3.put_object(Bucket='cold', Key='a', Body=b'x' * 300000)
    s3.put_object(Bucket='cold', Key='b', Body=b'x' * 300000, StorageClass='STANDARD')
    assert codes(six, 'cold', 'a') == {(5, 1)} and codes(six, 'cold', 'b') == {(4, 2)}
    assert s3.head_object(Bucket='cold', Key='a')['StorageClass'] == 'COLD'
    six.admin('bucket', 'class', 'cold', 'STANDARD')
    s3.put_object(Bucket='cold', Key='a', Body=b'x' * 300000)
    assert codes(six, 'cold', 'a') == {(4, 2)}


@pytest.mark.parametrize('text', ['A', 'A=', 'A=0+1', 'A=2+0', 'A=16+8', 'a=2+1', 'STANDARD=2+1', 'A=2+1+1', '=2+1'])
def test_classes_that_are_none(text):
    s = Server(options=['--storage-class', text])
    s.launch()
    assert s.process.wait(60) == 1 and '--storage-class is NAME=K+M' in s.log()
    s.remove()
