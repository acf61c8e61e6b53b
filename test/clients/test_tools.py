# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Command-line clients as people use them: aws, rclone, s3cmd, restic, curl."""
import filecmp
import hashlib
import json
import os
import random
import subprocess
import uuid

import pytest

ODD_NAMES = ['plain.txt', 'with space', 'plus+sign', 'percent%41', 'ümläut', '日本語/ファイル', 'emoji🪨', "quote'\"", 'amp&eq=hash#q?',
             'deep/er/and/deeper/file', 'dot.', '.hidden', '~tilde', 'star*', 'a(b)[c]{d}', 'semi;colon,comma', '@at$dollar!']


def run(server, *argv, env=None, **kwargs):
    result = subprocess.run(argv, env=dict(server.client_env(), **(env or {})), capture_output=True, **kwargs)
    assert result.returncode == 0, '%s\n%s\n%s' % (argv, result.stdout.decode()[-2000:], result.stderr.decode()[-2000:])
    return result.stdout


def aws(server, *words, **kwargs):
    return run(server, '/usr/bin/aws', '--endpoint-url', server.url, *words, **kwargs)


def write(path, size, seed):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(random.Random(seed).randbytes(size))


@pytest.fixture
def tree(tmp_path):
    """Files of many sizes around every threshold, and of odd names."""
    sizes = [0, 1, 100, 2047, 2048, 2049, 4096, 65535, 65536, 65537, 262143, 262144, 262145, 1 << 20, (1 << 20) + 1, 9 << 20]
    root = tmp_path / 'tree'
    for i, size in enumerate(sizes):
        write(str(root / 'sizes' / ('%d.bin' % size)), size, i)
    for i, name in enumerate(ODD_NAMES):
        write(str(root / 'odd' / name), 37 * i, 100 + i)
    return str(root)


def assert_same_tree(a, b):
    def files(root):
        return sorted(os.path.relpath(os.path.join(p, n), root) for p, _, names in os.walk(root) for n in names)
    assert files(a) == files(b)
    _, mismatch, errors = filecmp.cmpfiles(a, b, files(a), shallow=False)
    assert not mismatch and not errors


def sha256_of(path):
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        for piece in iter(lambda: f.read(1 << 20), b''):
            h.update(piece)
    return h.hexdigest()


# ---- aws cli ----------------------------------------------------------------------------------

def test_aws_sync_brings_a_tree_back_as_it_was(server, bucket, tree, tmp_path):
    aws(server, 's3', 'sync', tree, 's3://' + bucket)
    assert aws(server, 's3', 'sync', tree, 's3://' + bucket).strip() == b'', 'a second sync had work to do'
    aws(server, 's3', 'sync', 's3://' + bucket, str(tmp_path / 'back'))
    assert_same_tree(tree, str(tmp_path / 'back'))
    listing = aws(server, 's3', 'ls', '--recursive', 's3://' + bucket).decode()
    assert all(name in listing for name in ODD_NAMES)
    aws(server, 's3', 'mv', 's3://%s/sizes/4096.bin' % bucket, 's3://%s/moved' % bucket)
    aws(server, 's3', 'rm', '--recursive', 's3://%s/sizes' % bucket)
    left = json.loads(aws(server, 's3api', 'list-objects-v2', '--bucket', bucket))
    assert {o['Key'] for o in left['Contents']} == {'odd/' + n for n in ODD_NAMES} | {'moved'}


@pytest.mark.parametrize('megabytes', [pytest.param(200, marks=pytest.mark.slow), pytest.param(6144, marks=pytest.mark.soak)])
def test_aws_large_multipart_upload_hashes_the_same(server, bucket, tmp_path, megabytes):
    source, back = str(tmp_path / 'large'), str(tmp_path / 'back')
    block = random.Random(1).randbytes(1 << 20)
    with open(source, 'wb') as f:
        for i in range(megabytes):
            f.write(i.to_bytes(8, 'big') + block[8:])
    aws(server, 's3', 'cp', source, 's3://%s/large' % bucket)
    head = json.loads(aws(server, 's3api', 'head-object', '--bucket', bucket, '--key', 'large'))
    assert head['ContentLength'] == megabytes << 20 and '-' in head['ETag']
    aws(server, 's3', 'cp', 's3://%s/large' % bucket, back)
    assert sha256_of(source) == sha256_of(back)


def test_aws_presigned_url_works_with_curl(server, bucket, tmp_path):
    write(str(tmp_path / 'f'), 5000, 3)
    aws(server, 's3', 'cp', str(tmp_path / 'f'), 's3://%s/dir/f' % bucket)
    url = aws(server, 's3', 'presign', 's3://%s/dir/f' % bucket).decode().strip()
    ca = ['--cacert', server.ca] if server.tls else []
    got = run(server, 'curl', '-sf', *ca, url)
    assert got == (tmp_path / 'f').read_bytes()


# ---- curl -------------------------------------------------------------------------------------

def curl(server, *words, path):
    ca = ['--cacert', server.ca] if server.tls else []
    return run(server, 'curl', '-sS', *ca, '--aws-sigv4', 'aws:amz:us-east-1:s3', '--user',
               '%s:%s' % (server.access_key, server.secret_key), *words, server.url + path)


def test_curl_puts_gets_ranges_and_deletes(server, bucket, tmp_path):
    write(str(tmp_path / 'f'), 300000, 4)
    data = (tmp_path / 'f').read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    curl(server, '-f', '-T', str(tmp_path / 'f'), '-H', 'x-amz-content-sha256: ' + digest, path='/%s/f' % bucket)
    empty = 'x-amz-content-sha256: ' + hashlib.sha256(b'').hexdigest()
    assert curl(server, '-f', '-H', empty, path='/%s/f' % bucket) == data
    assert curl(server, '-f', '-H', empty, '-r', '100-299', path='/%s/f' % bucket) == data[100:300]
    assert curl(server, '-f', '-H', empty, '-r', '-5', path='/%s/f' % bucket) == data[-5:]
    code = curl(server, '-o', '/dev/null', '-w', '%{http_code}', '-H', empty, '-X', 'DELETE', path='/%s/f' % bucket)
    assert code == b'204'


# ---- rclone -----------------------------------------------------------------------------------

def rclone(server, *words):
    env = {'RCLONE_CONFIG': '/dev/null', 'RCLONE_CONFIG_CAIRN_TYPE': 's3', 'RCLONE_CONFIG_CAIRN_PROVIDER': 'Other',
           'RCLONE_CONFIG_CAIRN_ENDPOINT': server.url, 'RCLONE_CONFIG_CAIRN_REGION': 'us-east-1',
           'RCLONE_CONFIG_CAIRN_ACCESS_KEY_ID': server.access_key,
           'RCLONE_CONFIG_CAIRN_SECRET_ACCESS_KEY': server.secret_key}
    ca = ['--ca-cert', server.ca] if server.tls else []
    env['AWS_CA_BUNDLE'] = ''  # rclone 1.60 cannot combine it with a transport of its own
    return run(server, 'rclone', *ca, *words, env=env)


def test_rclone_syncs_and_checks_odd_names(server, bucket, tree, tmp_path):
    rclone(server, 'sync', tree, 'cairn:' + bucket)
    rclone(server, 'check', '--download', tree, 'cairn:' + bucket)
    os.remove(os.path.join(tree, 'sizes', '100.bin'))
    rclone(server, 'sync', tree, 'cairn:' + bucket)
    rclone(server, 'check', tree, 'cairn:' + bucket)
    rclone(server, 'copy', 'cairn:' + bucket, str(tmp_path / 'back'))
    assert_same_tree(tree, str(tmp_path / 'back'))


@pytest.mark.slow
def test_rclone_syncs_a_real_tree_of_ten_thousand_files(server, bucket, tmp_path):
    names = []
    for path, folders, files in os.walk('/usr/share'):
        folders.sort()
        for name in sorted(files):
            full = os.path.join(path, name)
            if os.path.isfile(full) and not os.path.islink(full) and os.path.getsize(full) < 8 << 20:
                names.append(os.path.relpath(full, '/usr/share'))
        if len(names) >= 10000:
            break
    chosen = tmp_path / 'names'
    chosen.write_text('\n'.join(names[:10000]))
    words = ['--files-from-raw', str(chosen), '--transfers', '8', '--checkers', '16']
    rclone(server, 'copy', *words, '/usr/share', 'cairn:' + bucket)
    rclone(server, 'check', '--download', *words, '/usr/share', 'cairn:' + bucket)
    assert int(rclone(server, 'size', '--json', 'cairn:' + bucket).split(b'"count":')[1].split(b',')[0]) == len(names[:10000])


# ---- s3cmd ------------------------------------------------------------------------------------

def s3cmd(server, *words):
    ca = ['--ca-certs', server.ca] if server.tls else ['--no-ssl']
    return run(server, 's3cmd', '-c', '/dev/null', '--host', server.host, '--host-bucket', server.host, '--access_key',
               server.access_key, '--secret_key', server.secret_key, '--region', 'us-east-1', *ca, *words)


def test_s3cmd_puts_lists_gets_and_removes(server, tree, tmp_path):
    name = 's3cmd-' + uuid.uuid4().hex[:12]
    s3cmd(server, 'mb', 's3://' + name)
    assert name in s3cmd(server, 'ls').decode()
    s3cmd(server, 'sync', tree + '/', 's3://%s/' % name)
    s3cmd(server, 'sync', 's3://%s/' % name, str(tmp_path / 'back') + '/')
    assert_same_tree(tree, str(tmp_path / 'back'))
    s3cmd(server, 'put', '--multipart-chunk-size-mb=5', os.path.join(tree, 'sizes', '%d.bin' % (9 << 20)),
          's3://%s/multi' % name)
    s3cmd(server, 'get', 's3://%s/multi' % name, str(tmp_path / 'multi'))
    assert sha256_of(str(tmp_path / 'multi')) == sha256_of(os.path.join(tree, 'sizes', '%d.bin' % (9 << 20)))
    s3cmd(server, 'cp', 's3://%s/multi' % name, 's3://%s/again' % name)
    s3cmd(server, 'del', '--recursive', '--force', 's3://' + name)
    s3cmd(server, 'rb', 's3://' + name)


# ---- restic -----------------------------------------------------------------------------------

def test_restic_backup_restores_byte_by_byte(server, tree, tmp_path):
    name = 'restic-' + uuid.uuid4().hex[:12]
    env = {'RESTIC_REPOSITORY': 's3:%s/%s' % (server.url, name), 'RESTIC_PASSWORD': 'p', 'RESTIC_CACHE_DIR': str(tmp_path / 'c')}
    ca = ['--cacert', server.ca] if server.tls else []
    run(server, 'restic', *ca, 'init', env=env)
    run(server, 'restic', *ca, 'backup', tree, env=env)
    write(os.path.join(tree, 'later'), 70000, 9)
    run(server, 'restic', *ca, 'backup', tree, env=env)
    run(server, 'restic', *ca, 'restore', 'latest', '--target', str(tmp_path / 'back'), env=env)
    assert_same_tree(tree, str(tmp_path / 'back') + tree)
    run(server, 'restic', *ca, 'forget', '--keep-last', '1', '--prune', env=env)
    run(server, 'restic', *ca, 'check', '--read-data', env=env)
    aws(server, 's3', 'rb', '--force', 's3://' + name)
