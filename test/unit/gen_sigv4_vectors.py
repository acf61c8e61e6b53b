#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Writes sigv4_vectors.h: odd requests as botocore signs them, in the header and in the query.

botocore is the oracle; the table is committed so that the test needs no Python. What goes on the
wire is what botocore's own HTTP session would send: the URL as prepared, headers by name.
"""
import datetime
import urllib.parse
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2013, 5, 24, 0, 0, 0)
CREDENTIALS = Credentials('AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')
WITH_TOKEN = Credentials(CREDENTIALS.access_key, CREDENTIALS.secret_key, 'token/with+odd=chars==')

KEYS = ['', 'plain', 'a b', 'a+b', 'a%2Fb', 'a%b', '//', 'a//b/', '../x', './y/.', 'é', '日本/語',
        '😀', 'a&b=c', 'q?x', 'h#x', "!*'()", ';:@,$', '~-._', 'tab\there', '\x01\x7f', '[]{}|\\^`"<>']
QUERIES = ['', 'uploads', 'uploads=', 'delete=&x-id=DeleteObjects', 'prefix=a%2Fb&delimiter=%2F',
           'b=2&a=1&c=3', 'a=2&a=1', 'a-b=1&a=2&A=3', 'prefix=%C3%A9%20%2B&marker=', 'z&y=&x=1',
           'key=~-._', 'list-type=2&prefix=J&max-keys=2', 'versionId=a%3D%3D&partNumber=1']
HEADERS = [
    [('X-Amz-Meta-A', '  two   inner    spaces  ')],
    [('x-amz-meta-empty', '')],
    [('Content-Type', 'text/plain; charset=utf-8'), ('Content-MD5', 'XUFAKrxLKna5cZ2REBfFkg==')],
    [('x-amz-copy-source', '/b/%C3%A9%20k?versionId=x'), ('x-amz-metadata-directive', 'REPLACE')],
    [('X-Amz-Meta-Long-Name-With-Parts', 'a\tb'), ('X-Amz-Meta-Z', 'z'), ('x-amz-acl', 'private')],
    [('x-amz-meta-utf8', 'é')],
    [('range', 'bytes=0-9'), ('if-none-match', '"a, b",  "c"')],
    [('x-amz-meta-r', 'one'), ('x-amz-meta-b', 'between'), ('X-Amz-Meta-R', 'two  spaces')],
]


class FixedTime(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW


def c_string(text):
    out = ''
    for byte in text.encode('utf-8'):
        if byte in b'"\\':
            out += '\\' + chr(byte)
        elif 0x20 <= byte < 0x7f and byte != 0x3f:
            out += chr(byte)
        else:
            out += '\\%03o' % byte
    return '"' + out + '"'


def signed(signer, method, target, headers=()):
    request = AWSRequest(method=method, url='http://h.example:9000' + target)
    for name, value in headers:
        request.headers.add_header(name, value)
    with mock.patch('datetime.datetime', FixedTime):
        signer.add_auth(request)
    url = urllib.parse.urlsplit(request.url)
    fields = ''.join(f'{k}: {v}\r\n' for k, v in request.headers.items())
    target = url.path + ('?' + url.query if url.query else '')
    return f'{method} {target} HTTP/1.1\r\nHost: h.example:9000\r\n{fields}\r\n'


def quoted(key):
    return '/bucket' + ('/' + urllib.parse.quote(key, safe='/~') if key else '/')


def requests():
    header = botocore.auth.S3SigV4Auth(CREDENTIALS, 's3', 'us-east-1')
    token = botocore.auth.S3SigV4Auth(WITH_TOKEN, 's3', 'eu-west-3')
    query = botocore.auth.S3SigV4QueryAuth(CREDENTIALS, 's3', 'us-east-1', expires=3600)
    query_token = botocore.auth.S3SigV4QueryAuth(WITH_TOKEN, 's3', 'eu-west-3', expires=60)
    for key in KEYS:
        yield signed(header, 'GET', quoted(key))
        yield signed(query, 'GET', quoted(key))
    for text in QUERIES:
        target = '/bucket/k' + ('?' + text if text else '')
        yield signed(header, 'POST', target)
        yield signed(query_token, 'GET', target)
    for headers in HEADERS:
        yield signed(token, 'PUT', '/bucket/k', headers)
        yield signed(query, 'PUT', '/bucket/k', headers)


def main():
    print('/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */')
    print('/* Written by gen_sigv4_vectors.py; not edited by hand. */')
    print('/* clang-format off */')
    print('static const char *const sigv4_vectors[] = {')
    for text in requests():
        print('    ' + c_string(text) + ',')
    print('};')


main()
