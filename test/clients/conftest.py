# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Fixtures: a server over http and one over https, each test runs against both."""
import os
import sys
import uuid

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from server import Server  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.environ.get('CAIRN_SOAK'):
        return
    for item in items:
        if item.get_closest_marker('soak'):
            item.add_marker(pytest.mark.skip(reason='only in the soak'))


def serve(s):
    """Of a fixture: starts a server; at the end it must stop cleanly and its store must check clean."""
    s.start()
    yield s
    check = s.admin('check', '--deep', check=False)
    status = s.stop()
    log = s.log_tail()
    s.remove()
    assert check.returncode == 0, check.stdout + check.stderr
    assert status == 0, log


@pytest.fixture(scope='session', params=['http', 'https'])
def server(request):
    yield from serve(Server(tls=request.param == 'https'))


@pytest.fixture
def s3(server):
    """A boto3 client as root."""
    return make_client(server)


def make_client(server, access_key=None, secret_key=None, **config):
    import boto3
    import botocore.config
    config.setdefault('s3', {'addressing_style': 'path'})
    config.setdefault('retries', {'max_attempts': 1})
    return boto3.client('s3', endpoint_url=server.url, region_name='us-east-1',
                        aws_access_key_id=access_key or server.access_key,
                        aws_secret_access_key=secret_key or server.secret_key,
                        verify=server.ca if server.tls else None,
                        config=botocore.config.Config(signature_version='s3v4', **config))


@pytest.fixture
def bucket(s3):
    """A new bucket, emptied and removed afterwards."""
    name = 'test-' + uuid.uuid4().hex[:20]
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator('list_objects_v2').paginate(Bucket=name):
        keys = [{'Key': o['Key']} for o in page.get('Contents', [])]
        if keys:
            s3.delete_objects(Bucket=name, Delete={'Objects': keys, 'Quiet': True})
    s3.delete_bucket(Bucket=name)
