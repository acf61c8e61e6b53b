# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""SelectObjectContent by boto3, whose reader of event streams holds each message against its sums."""
import bz2
import gzip
import hashlib
import json
import os
import time
import uuid

import pytest
from botocore.exceptions import ClientError, EventStreamError

from conftest import make_client
from raw import Connection, Signer, request, request_bytes

ROWS = 6000
PEOPLE = b'name,age,city\n' + b''.join(b'n%d,%d,c%d\n' % (i, i % 90, i % 7) for i in range(ROWS))


def select(s3, bucket, key, sql, fmt=None, out=None, **kwargs):
    """(rows, names of events, counts of Stats)"""
    rows, names, stats = b'', [], None
    answer = s3.select_object_content(
        Bucket=bucket, Key=key, ExpressionType='SQL', Expression=sql,
        InputSerialization=fmt or {'CSV': {'FileHeaderInfo': 'USE'}}, OutputSerialization=out or {'CSV': {}}, **kwargs)
    for event in answer['Payload']:
        name, = event
        names.append(name)
        if name == 'Records':
            rows += event[name]['Payload']
        elif name == 'Stats':
            stats = event[name]['Details']
    assert names[-2:] == ['Stats', 'End'] and stats['BytesReturned'] == len(rows)
    return rows, names, stats


def refused(code, *args, **kwargs):
    with pytest.raises(ClientError) as e:
        select(*args, **kwargs)
    assert e.value.response['Error']['Code'] == code, e.value.response


def test_csv(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=PEOPLE)
    rows, _, stats = select(s3, bucket, 'k', "SELECT COUNT(*), MAX(CAST(age AS INT)) FROM S3Object s WHERE s.city = 'c3'")
    assert rows == b'857,89\n'
    assert stats == {'BytesScanned': len(PEOPLE), 'BytesProcessed': len(PEOPLE), 'BytesReturned': len(rows)}
    rows, _, _ = select(s3, bucket, 'k', 'SELECT * FROM S3Object', out={'JSON': {'RecordDelimiter': ';'}})
    assert [json.loads(r) for r in rows.decode().split(';')[:-1]] == [
        {'name': 'n%d' % i, 'age': str(i % 90), 'city': 'c%d' % (i % 7)} for i in range(ROWS)]
    rows, _, stats = select(s3, bucket, 'k', 'SELECT name FROM S3Object LIMIT 3')
    assert rows == b'n0\nn1\nn2\n' and stats['BytesScanned'] <= len(PEOPLE)
    csv = {'FileHeaderInfo': 'NONE', 'FieldDelimiter': '|', 'RecordDelimiter': '\t', 'QuoteCharacter': "'", 'QuoteEscapeCharacter': '\\',
           'Comments': '!', 'AllowQuotedRecordDelimiter': True}
    s3.put_object(Bucket=bucket, Key='odd', Body=b"!x|y\t'a\tb\\''|c")
    rows, _, _ = select(s3, bucket, 'odd', 'SELECT _2, _1 FROM S3Object', {'CSV': csv},
                        {'CSV': {'QuoteFields': 'ALWAYS', 'FieldDelimiter': ';', 'RecordDelimiter': '\n\n', 'QuoteCharacter': '"'}})
    assert rows == b'"c";"a\tb\'"\n\n'
    s3.put_object(Bucket=bucket, Key='odd', Body='a╦"╦"\nx╦c'.encode())
    rows, _, _ = select(s3, bucket, 'odd', 'SELECT _2, _1 FROM S3Object', {'CSV': {'FieldDelimiter': '╦'}}, {'CSV': {'FieldDelimiter': '╦'}})
    assert rows.decode() == '"╦"╦a\nc╦x\n'


@pytest.mark.parametrize('kind', ['LINES', 'DOCUMENT'])
def test_json(s3, bucket, kind):
    items = [{'id': i, 'tags': ['t%d' % (i % 3)], 'nested': {'x': i * 1.5}} for i in range(1500)]
    body = '\n'.join(map(json.dumps, items)) if kind == 'LINES' else json.dumps({'items': items}, indent=1)
    path = '[*]' if kind == 'LINES' else '[*].items[*]'
    s3.put_object(Bucket=bucket, Key='k', Body=body.encode())
    fmt = {'JSON': {'Type': kind}}
    rows, _, _ = select(s3, bucket, 'k', "SELECT * FROM S3Object%s i WHERE i.tags[0] = 't1'" % path, fmt, {'JSON': {}})
    assert [json.loads(r) for r in rows.splitlines()] == [i for i in items if i['id'] % 3 == 1]
    rows, _, _ = select(s3, bucket, 'k', 'SELECT SUM(i.nested.x), COUNT(*) FROM S3Object%s i' % path, fmt)
    assert rows == b'%.0f,1500\n' % sum(i['nested']['x'] for i in items)


@pytest.mark.parametrize('form,pack', [('GZIP', gzip.compress), ('BZIP2', bz2.compress)])
def test_compressed(s3, bucket, form, pack):
    s3.put_object(Bucket=bucket, Key='k', Body=pack(PEOPLE[:30000]) + pack(PEOPLE[30000:]))
    fmt = {'CSV': {'FileHeaderInfo': 'USE'}, 'CompressionType': form}
    rows, _, stats = select(s3, bucket, 'k', 'SELECT COUNT(*) FROM S3Object', fmt)
    assert rows == b'6000\n' and stats['BytesProcessed'] == len(PEOPLE) > stats['BytesScanned']
    s3.put_object(Bucket=bucket, Key='cut', Body=pack(PEOPLE)[:-20])
    refused('TruncatedInput', s3, bucket, 'cut', 'SELECT COUNT(*) FROM S3Object', fmt)
    s3.put_object(Bucket=bucket, Key='plain', Body=PEOPLE)
    refused('TruncatedInput', s3, bucket, 'plain', 'SELECT COUNT(*) FROM S3Object', fmt)


@pytest.mark.parametrize('form, pack', [('GZIP', gzip.compress), ('BZIP2', bz2.compress)])
def test_empty_streams_before_the_rows(s3, bucket, form, pack):
    s3.put_object(Bucket=bucket, Key='k', Body=pack(b'') * 20000 + pack(b'1\n2\n'))
    rows, _, _ = select(s3, bucket, 'k', 'SELECT COUNT(*) FROM S3Object', {'CSV': {}, 'CompressionType': form})
    assert rows == b'2\n'


def test_what_decompresses_to_too_much(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=bz2.compress(b'\n' * 4000000))
    refused('TruncatedInput', s3, bucket, 'k', 'SELECT COUNT(*) FROM S3Object', {'CSV': {}, 'CompressionType': 'BZIP2'})


def test_scan_ranges_share_the_records(s3, bucket):
    lines = b'\n'.join(json.dumps({'n': i}).encode() for i in range(1000)) + b'\n'
    for key, body, fmt, sql in (('csv', PEOPLE, {'CSV': {'FileHeaderInfo': 'USE'}}, 'SELECT name FROM S3Object'),
                                ('json', lines, {'JSON': {'Type': 'LINES'}}, 'SELECT n FROM S3Object')):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        whole, _, _ = select(s3, bucket, key, sql, fmt)
        step = len(body) // 5 + 1
        parts = [select(s3, bucket, key, sql, fmt, ScanRange={'Start': at, 'End': min(at + step, len(body)) - 1})[0]
                 for at in range(0, len(body), step)]
        assert b''.join(parts) == whole and all(parts)
        tail, _, _ = select(s3, bucket, key, sql, fmt, ScanRange={'Start': len(body) - step})
        assert tail == select(s3, bucket, key, sql, fmt, ScanRange={'End': step})[0] and whole.endswith(tail)
        refused('InvalidScanRange', s3, bucket, key, sql, fmt, ScanRange={'Start': len(body)})
        refused('InvalidScanRange', s3, bucket, key, sql, fmt, ScanRange={'Start': 5, 'End': 4})
    s3.put_object(Bucket=bucket, Key='two', Body=b'a;;b;;c;;')
    for cut in range(1, 9):
        halves = [select(s3, bucket, 'two', 'SELECT * FROM S3Object', {'CSV': {'RecordDelimiter': ';;'}}, ScanRange=part)[0]
                  for part in ({'Start': 0, 'End': cut - 1}, {'Start': cut})]
        assert b''.join(halves) == b'a\nb\nc\n', cut
    refused('UnsupportedScanRangeInput', s3, bucket, 'csv', 'SELECT * FROM S3Object', {'CSV': {}, 'CompressionType': 'GZIP'},
            ScanRange={'Start': 0, 'End': 9})
    refused('UnsupportedScanRangeInput', s3, bucket, 'json', 'SELECT * FROM S3Object', {'JSON': {'Type': 'DOCUMENT'}}, ScanRange={'Start': 1})


def test_progress_is_told(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=PEOPLE)
    _, names, _ = select(s3, bucket, 'k', 'SELECT * FROM S3Object LIMIT 1', RequestProgress={'Enabled': True})
    assert names[-3:] == ['Progress', 'Stats', 'End']


def test_sealed_objects_and_versions(server, s3, bucket):
    key = os.urandom(32)
    sse_c = {'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': key}
    sql = 'SELECT COUNT(*) FROM S3Object'
    kinds = {'s3': ({'ServerSideEncryption': 'AES256'}, {}),
             'kms': ({'ServerSideEncryption': 'aws:kms', 'SSEKMSEncryptionContext': 'eyJhIjoiYiJ9'}, {})}
    if server.tls:
        kinds['c'] = (sse_c, sse_c)
    whole = b''.join(b'n%d\n' % i for i in range(ROWS))
    packed = {'CSV': {'FileHeaderInfo': 'USE'}, 'CompressionType': 'GZIP'}
    for kind, (write, read) in kinds.items():
        s3.put_object(Bucket=bucket, Key=kind, Body=PEOPLE, **write)
        assert select(s3, bucket, kind, sql, **read)[0] == b'6000\n'
        step = 30000  # ranges that begin inside of blocks
        parts = [select(s3, bucket, kind, 'SELECT name FROM S3Object', ScanRange={'Start': at, 'End': min(at + step, len(PEOPLE)) - 1}, **read)[0]
                 for at in range(0, len(PEOPLE), step)]
        assert b''.join(parts) == whole and len(parts) > 2
        s3.put_object(Bucket=bucket, Key=kind + '.gz', Body=gzip.compress(PEOPLE), **write)
        assert select(s3, bucket, kind + '.gz', sql, packed, **read)[0] == b'6000\n'
    if server.tls:
        refused('InvalidRequest', s3, bucket, 'c', sql)
        refused('InvalidRequest', s3, bucket, 'c', sql, SSECustomerAlgorithm='AES256', SSECustomerKey=os.urandom(32))
        refused('InvalidRequest', s3, bucket, 'kms', sql, **sse_c)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    old = s3.put_object(Bucket=bucket, Key='v', Body=b'a\n1\n')['VersionId']
    s3.put_object(Bucket=bucket, Key='v', Body=b'a\n1\n2\n')
    assert select(s3, bucket, 'v', sql)[0] == b'2\n'
    body = (b'<SelectObjectContentRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Expression>SELECT a FROM S3Object</Expression>'
            b'<ExpressionType>SQL</ExpressionType><InputSerialization><CSV><FileHeaderInfo>USE</FileHeaderInfo></CSV></InputSerialization>'
            b'<OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>')
    r = request(server, 'POST', '/%s/v' % bucket, query='select=&select-type=2&versionId=' + old, body=body)
    assert r.status == 200 and b'application/octet-stream1\n' in r.body
    for v in s3.list_object_versions(Bucket=bucket)['Versions']:
        s3.delete_object(Bucket=bucket, Key=v['Key'], VersionId=v['VersionId'])


def test_errors_before_and_behind_the_first_row(s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=PEOPLE + b'x,none,c\n')
    for code, sql in (('ParseSelectMissingFrom', 'SELECT *'), ('MissingHeaders', 'SELECT nothing FROM S3Object'),
                      ('CastFailed', 'SELECT SUM(CAST(age AS INT)) FROM S3Object'), ('UnsupportedFunction', 'SELECT f(1) FROM S3Object')):
        refused(code, s3, bucket, 'k', sql)
    with pytest.raises(EventStreamError) as e:
        select(s3, bucket, 'k', 'SELECT name, city, name, CAST(age AS INT) FROM S3Object')
    assert e.value.response['Error']['Code'] == 'CastFailed' and 'line 1' in e.value.response['Error']['Message']
    refused('NoSuchKey', s3, bucket, 'missing', 'SELECT * FROM S3Object')
    refused('InvalidDataSource', s3, bucket, 'k', 'SELECT * FROM S3Object', {'Parquet': {}})
    refused('InvalidCompressionFormat', s3, bucket, 'k', 'SELECT * FROM S3Object', {'CSV': {}, 'CompressionType': 'XZ'})
    refused('InvalidFileHeaderInfo', s3, bucket, 'k', 'SELECT * FROM S3Object', {'CSV': {'FileHeaderInfo': 'X'}})
    refused('ObjectSerializationConflict', s3, bucket, 'k', 'SELECT * FROM S3Object', {'CSV': {}, 'JSON': {'Type': 'LINES'}})
    refused('InvalidJsonType', s3, bucket, 'k', 'SELECT * FROM S3Object', {'JSON': {}})
    refused('InvalidRequestParameter', s3, bucket, 'k', 'SELECT * FROM S3Object', {'CSV': {'FieldDelimiter': 'ab'}})
    refused('InvalidRequestParameter', s3, bucket, 'k', 'SELECT * FROM S3Object', {'CSV': {'FieldDelimiter': '╦a'}})
    refused('ExpressionTooLong', s3, bucket, 'k', 'SELECT ' + 'x' * 262144 + ' FROM S3Object')


def test_strict_bodies(server, bucket):
    for body, code in ((b'', 'EmptyRequestBody'), (b'<x/>', 'MalformedXML'), (b'<SelectRequest><Unknown/></SelectRequest>', 'MalformedXML'),
                       (b'<SelectRequest/>', 'MissingRequiredParameter')):
        r = request(server, 'POST', '/%s/k' % bucket, query='select=&select-type=2', body=body)
        assert r.status == 400 and r.code == code, r
    assert request(server, 'POST', '/%s/k' % bucket, query='select=', body=b'<x/>').code == 'InvalidArgument'


def test_the_right_to_read_is_needed(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'a\n')
    name = 'reader-' + uuid.uuid4().hex[:8]
    server.admin('user', 'add', name, '--access-key', name, '--secret-key', 'secret-' + name)
    try:
        theirs = make_client(server, name, 'secret-' + name)
        refused('AccessDenied', theirs, bucket, 'k', 'SELECT * FROM S3Object', {'CSV': {}})
    finally:
        server.admin('user', 'rm', name)


def gauge(server, name):
    return next(int(line.split()[1]) for line in server.get('/metrics')[1].decode().splitlines() if line.startswith(name + ' '))


def test_clients_that_go_away_in_the_middle_end_their_queries(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key='k', Body=b'0123456789abcde\n' * (1 << 19))  # more than sockets hold
    body = (b'<SelectObjectContentRequest><Expression>SELECT * FROM S3Object</Expression><ExpressionType>SQL</ExpressionType>'
            b'<InputSerialization><CSV/></InputSerialization><OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>')
    path, query = '/%s/k' % bucket, 'select=&select-type=2'
    before = gauge(server, 'cairn_http_connections')
    for _ in range(4):
        signer = Signer(server.access_key, server.secret_key)
        headers = signer.headers('POST', path, query, [('Host', server.host), ('Content-Length', str(len(body)))],
                                 hashlib.sha256(body).hexdigest())
        with Connection(server) as c:
            c.send(request_bytes('POST', path + '?' + query, headers, body))
            assert c.socket.recv(12) == b'HTTP/1.1 200'
    end = time.monotonic() + 300
    while gauge(server, 'cairn_s3_selects') or gauge(server, 'cairn_http_connections') > before + 1:  # the one that asks
        assert time.monotonic() < end, 'they go on'
    rows, _, _ = select(s3, bucket, 'k', 'SELECT COUNT(*) FROM S3Object', {'CSV': {}})
    assert rows == b'%d\n' % (1 << 19)
