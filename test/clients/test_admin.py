# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""The command line of the administrator, health and metrics, and how the server starts and stops."""
import ctypes
import errno
import json
import os
import socket
import stat
import struct
import subprocess
import threading
import time

import pytest

from conftest import make_client
from server import CAIRN, Server, crc32c


def cairn(*words, **kwargs):
    return subprocess.run([CAIRN] + list(words), capture_output=True, text=True, **kwargs)


def test_version_and_help_of_every_command():
    assert cairn('--version').stdout.startswith('cairn ')
    overview = cairn('help')
    assert overview.returncode == 0
    commands = [line[len('  cairn '):].split('  ')[0].strip() for line in overview.stdout.splitlines()
                if line.startswith('  cairn ')]
    assert 'server' in commands and 'admin user add' in commands and 'admin check' in commands
    for command in commands:
        if command.startswith('--'):
            continue
        text = cairn('help', *command.split())
        assert text.returncode == 0 and 'usage: cairn ' + command in text.stdout
        assert not command.startswith('admin ') or '--json' in text.stdout, command
        man = cairn('help', '--man', *command.split())
        assert man.returncode == 0 and man.stdout.startswith('.TH')


@pytest.mark.parametrize('words', [['nonsense'], ['server'], ['server', 'd', '--nonsense'], ['admin'], ['admin', 'user', 'add'],
                                   ['server', 'd', '--address'], ['server', 'd', '--threads', 'many']])
def test_wrong_words_are_told_and_exit_with_2(words, tmp_path):
    r = cairn(*words, cwd=tmp_path)
    assert r.returncode == 2 and r.stderr.startswith('cairn')
    assert os.listdir(tmp_path) == []


def test_users_are_added_listed_and_removed(server):
    server.admin('user', 'add', 'alice', '--access-key', 'AKALICE', '--secret-key', 'alice+secret/key=',
                 '--id', 'alice-id', '--email', 'alice@example.org', '--display-name', 'Alice A.')
    listed = json.loads(server.admin('user', 'list', '--json').stdout)['users']
    alice = [u for u in listed if u['name'] == 'alice'][0]
    assert (alice['access_key'], alice['id'], alice['email'], alice['display_name']) == (
        'AKALICE', 'alice-id', 'alice@example.org', 'Alice A.')
    assert 'alice+secret' not in json.dumps(listed)
    for again in (['alice', '--access-key', 'OTHER'], ['bob', '--access-key', 'AKALICE'],
                  ['bob', '--access-key', 'OTHER', '--id', 'alice-id']):
        r = server.admin('user', 'add', *again, '--secret-key', 'long-enough', check=False)
        assert r.returncode == 1 and 'exists' in r.stderr
    assert server.admin('user', 'add', 'x', '--access-key', 'XX', '--secret-key', 'long-enough', check=False).returncode == 1
    assert server.admin('user', 'add', 'x', '--access-key', 'XXX', '--secret-key', 'short', check=False).returncode == 1
    client = make_client(server, 'AKALICE', 'alice+secret/key=')
    client.create_bucket(Bucket='alice-bucket')
    assert client.list_buckets()['Owner'] == {'ID': 'alice-id', 'DisplayName': 'Alice A.'}
    assert [b['Name'] for b in client.list_buckets()['Buckets']] == ['alice-bucket']
    refused = server.admin('user', 'rm', 'alice', check=False)
    assert refused.returncode == 1 and 'owns buckets' in refused.stderr
    client.delete_bucket(Bucket='alice-bucket')
    server.admin('user', 'rm', 'alice')
    assert server.admin('user', 'rm', 'alice', check=False).returncode == 1


def test_info_counts_what_is_stored(server, s3, bucket):
    before = json.loads(server.admin('info', '--json').stdout)['usage']
    s3.put_object(Bucket=bucket, Key='a', Body=b'12345')
    s3.put_object(Bucket=bucket, Key='b', Body=b'x' * 100000)
    s3.put_object(Bucket=bucket, Key='a', Body=b'1')
    after = json.loads(server.admin('info', '--json').stdout)
    assert after['usage']['objects'] - before['objects'] == 2
    assert after['usage']['bytes'] - before['bytes'] == 100001
    assert after['disks'][0]['free_bytes'] > 0
    assert 'objects' in server.admin('info').stdout


def test_admin_needs_root(server):
    env = dict(server.env, CAIRN_ROOT_PASSWORD='wrong-password')
    r = subprocess.run([CAIRN, 'admin', 'info', '--endpoint', server.url] + (['--ca', server.ca] if server.tls else []),
                       env=env, capture_output=True, text=True)
    assert r.returncode == 1 and '403' in r.stderr
    if server.tls:
        r = subprocess.run([CAIRN, 'admin', 'info', '--endpoint', server.url], env=server.env, capture_output=True, text=True)
        assert r.returncode == 1, 'an untrusted certificate was accepted'
        assert 'not trusted: give --ca' in r.stderr


def test_an_endpoint_of_the_wrong_kind_is_told(server):
    scheme = 'http' if server.tls else 'https'
    r = subprocess.run([CAIRN, 'admin', 'info', '--endpoint', '%s://%s' % (scheme, server.host)], env=server.env,
                       capture_output=True, text=True)
    assert r.returncode == 1
    assert ('does it serve https?' if server.tls else 'is it http://%s?' % server.host) in r.stderr, r.stderr


@pytest.mark.parametrize('body', [b'{"error":{"code":"X","message":"a\\u001b]0;t\\u0007\\u009b31m"}}', b'<Message>a\x1b]0;t\x07\xc2\x9b31m</Message>'])
def test_what_a_strange_server_answers_is_no_command_to_a_terminal(server, body):
    listener = socket.create_server(('127.0.0.1', 0))

    def answer():
        c, _ = listener.accept()
        c.recv(65536)
        c.sendall(b'HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
        c.close()
    thread = threading.Thread(target=answer)
    thread.start()
    r = subprocess.run([CAIRN, 'admin', 'info', '--endpoint', 'http://127.0.0.1:%d' % listener.getsockname()[1]], env=server.env,
                       capture_output=True, text=True)
    thread.join()
    listener.close()
    assert r.returncode == 1 and 'a\\x1b]0;t\\x07\\x9b31m' in r.stderr, r.stderr


def test_a_refusal_names_what_was_asked_for(server):
    r = subprocess.run([CAIRN, 'admin', 'user', 'rm', 'nobody', '--endpoint', server.url] + (['--ca', server.ca] if server.tls else []),
                       env=server.env, capture_output=True, text=True)
    assert r.returncode == 1 and r.stderr == 'cairn: admin user rm nobody: no such user (404)\n'


def test_every_command_has_a_manual_page(tmp_path):
    pages = str(tmp_path / 'man1')
    r = cairn('help', '--man-pages', pages)
    assert r.returncode == 0, r.stderr
    commands = [line[len('  cairn '):].split('  ')[0].strip() for line in cairn('help').stdout.splitlines()
                if line.startswith('  cairn ')]
    names = {'-'.join(['cairn'] + c.split()) + '.1' for c in commands if not c.startswith('--') and c != 'help'}
    assert set(os.listdir(pages)) == names | {'cairn.1'}
    for name in names:
        with open(os.path.join(pages, name), encoding='utf-8') as f:
            text = f.read()
        assert text.startswith('.TH "%s" 1' % name[:-2].upper()) and '.SH OPTIONS' in text and '.SH DESCRIPTION' in text
    r = cairn('help', '--man-pages', str(tmp_path / 'nowhere' / 'man1'))
    assert r.returncode == 1 and 'nowhere' in r.stderr


def test_health_and_metrics(server):
    for path in ('/health/live', '/health/ready', '/minio/health/live', '/minio/health/ready', '/minio/health/cluster'):
        assert server.get(path)[0] == 200
    status, body = server.get('/metrics')
    assert status == 200
    check = subprocess.run(['promtool', 'check', 'metrics'], input=body, capture_output=True)
    assert check.returncode == 0 and check.stderr.strip() == b'', check.stderr.decode()
    assert b'cairn_http_requests_total' in body and b'cairn_disk_free_bytes' in body


# ---- starting and stopping ----------------------------------------------------------------------

def banner_value(log, name):
    return [line.split()[-1] for line in log.splitlines() if line.strip().startswith(name)][0]


def test_first_start_generates_credentials_and_shows_them_once():
    s = Server()
    del s.env['CAIRN_ROOT_USER'], s.env['CAIRN_ROOT_PASSWORD']
    try:
        s.start()
        s.get('/health/live')
        kept = os.path.join(s.data, 'root.credentials')
        assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
        log = s.log()
        access, secret = banner_value(log, 'access key'), banner_value(log, 'secret key')
        assert len(access) == 20 and len(secret) == 40 and 'aws --endpoint-url ' + s.url in log and '[cairn]' in log
        make_client(s, access, secret).create_bucket(Bucket='first')
        assert s.stop() == 0
        open(s.log_path, 'w').close()
        s.start()
        s.get('/health/live')
        assert secret not in s.log()
        assert [b['Name'] for b in make_client(s, access, secret).list_buckets()['Buckets']] == ['first']
        assert s.stop() == 0
    finally:
        s.remove()


@pytest.mark.parametrize('names', [('MINIO_ROOT_USER', 'MINIO_ROOT_PASSWORD'), ('CAIRN_ROOT_USER_FILE', 'CAIRN_ROOT_PASSWORD_FILE'),
                                   ('MINIO_ROOT_USER_FILE', 'MINIO_ROOT_PASSWORD_FILE')])
def test_root_credentials_from_aliases_and_files(names, tmp_path):
    s = Server()
    del s.env['CAIRN_ROOT_USER'], s.env['CAIRN_ROOT_PASSWORD']
    values = ['aliasuser', 'alias-password']
    if names[0].endswith('_FILE'):
        for i, value in enumerate(values):
            (tmp_path / str(i)).write_text(value + '\n')
            values[i] = str(tmp_path / str(i))
    s.env.update(zip(names, values))
    try:
        s.start()
        assert make_client(s, 'aliasuser', 'alias-password').list_buckets()['Buckets'] == []
        assert not os.path.exists(os.path.join(s.data, 'root.credentials'))
        assert s.stop() == 0
    finally:
        s.remove()


@pytest.mark.parametrize('env', [{'CAIRN_ROOT_USER': 'only-user'}, {'CAIRN_ROOT_PASSWORD': 'only-password'},
                                 {'CAIRN_ROOT_USER': 'ab', 'CAIRN_ROOT_PASSWORD': 'long-enough'},
                                 {'CAIRN_ROOT_USER': 'user', 'CAIRN_ROOT_PASSWORD': 'short'}])
def test_half_or_weak_root_credentials_are_refused(env, tmp_path):
    clean = {k: v for k, v in os.environ.items() if 'ROOT_' not in k}
    r = cairn('server', str(tmp_path / 'data'), '--address', '127.0.0.1:0', env=dict(clean, **env), timeout=60)
    assert r.returncode == 1 and r.stderr.startswith('cairn: ')


@pytest.mark.parametrize('words,told', [
    (['--address', '9000'], '--address is HOST:PORT, such as 127.0.0.1:9000, not 9000'),
    (['--region', ''], '--region is'),
    (['--threads', '5000'], '--threads is 1024 at most'),
    (['--tls-cert', '/nonexistent/cert', '--tls-key', '/dev/null'], 'cannot read /nonexistent/cert: No such file'),
])
def test_a_wrong_option_is_told_before_anything_is_made(words, told, tmp_path):
    r = cairn('server', str(tmp_path / 'data'), *words, timeout=60)
    assert r.returncode == 1 and r.stderr.startswith('cairn: ' + told), r.stderr
    assert r.stderr.count('\n') == 1 and not (tmp_path / 'data').exists()


def test_a_file_is_no_directory_to_serve(tmp_path):
    (tmp_path / 'file').write_text('something')
    r = cairn('server', str(tmp_path / 'file'), '--address', '127.0.0.1:0', timeout=60)
    assert r.returncode == 1 and r.stderr == 'cairn: %s is no directory\n' % (tmp_path / 'file')


def test_a_disk_of_a_later_version_is_left_as_it_is(tmp_path):
    text = b'cairn disk 3\ndisk 0123\nmore\n'
    text += b'crc %08x\n' % crc32c(text)
    (tmp_path / 'disk.id').write_bytes(text)
    r = cairn('server', str(tmp_path), '--address', '127.0.0.1:0', timeout=60)
    assert r.returncode == 1 and '%s was written by a later version of cairn' % tmp_path in r.stderr, r.stderr
    assert (tmp_path / 'disk.id').read_bytes() == text


def test_words_that_are_only_a_beginning_are_told_how_they_go_on():
    r = cairn('admin', 'user')
    assert r.returncode == 2 and r.stderr.startswith("cairn: 'admin user' goes on with one of\n  cairn admin user add")
    assert cairn('help', 'nonsense').returncode == 2
    assert cairn('-h').stdout == cairn('--help').stdout == cairn('help').stdout


def test_a_second_server_on_the_same_directory_is_refused(server):
    r = cairn('server', server.data, '--address', '127.0.0.1:0', env=server.env, timeout=60)
    assert r.returncode == 1 and 'another process' in r.stderr


@pytest.mark.parametrize('server', ['http'], indirect=True)
def test_a_second_server_on_the_same_address_is_refused(server):
    """After a while: it might be that of a server which has just been killed."""
    r = cairn('server', os.path.join(server.folder, 'other'), '--address', server.host, env=server.env, timeout=60)
    assert r.returncode == 1 and 'address in use' in r.stderr
    assert 'cairn: %s is in use, still after 10 s: ' % server.host in r.stderr


@pytest.fixture
def waiting_server():
    """(a server that waits for its address, the socket that has it)."""
    s = Server()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(('127.0.0.1', s.port))
        holder.listen()
        s.launch()
        deadline = time.monotonic() + 60
        while 'address in use' not in s.log():
            assert s.process.poll() is None and time.monotonic() < deadline, s.log_tail()
            time.sleep(0.01)
        yield s, holder
    s.remove()


def test_a_server_waits_for_its_address_to_become_free(waiting_server):
    s, holder = waiting_server
    time.sleep(0.5)
    assert s.process.poll() is None, s.log_tail()
    holder.close()
    s.wait_live()
    assert make_client(s).list_buckets()['Buckets'] == []
    assert s.stop() == 0
    assert 'serves' in s.log()


def test_sigterm_ends_the_wait_for_an_address(waiting_server):
    s, _ = waiting_server
    assert s.stop() == 0, s.log_tail()
    assert 'serves' not in s.log()


class SockFprog(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_char_p)]


def forbid_io_uring(error):
    """What containers do, seccomp(2): io_uring_setup, 425 on every architecture, fails with this error."""
    bpf = [(0x20, 0, 0, 0),  # load the number of the system call
           (0x15, 0, 1, 425),  # not equal: skip one
           (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7fff0000)]
    program = SockFprog(len(bpf), b''.join(struct.pack('=HBBI', *i) for i in bpf))
    libc = ctypes.CDLL(None, use_errno=True)

    def forbid():
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), 'prctl')
    return forbid


@pytest.mark.parametrize('error', [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize('words', [['server', 'DIR'], ['admin', 'check', '--dir', 'DIR'], ['admin', 'user', 'list']])
def test_where_io_uring_is_forbidden_it_is_said_what_to_do(words, error, tmp_path):
    words = [w.replace('DIR', str(tmp_path)) for w in words]
    env = dict(os.environ, CAIRN_ROOT_USER='someone', CAIRN_ROOT_PASSWORD='some-password')
    r = cairn(*words, env=env, preexec_fn=forbid_io_uring(error), timeout=60)
    assert r.returncode == 1
    assert r.stderr.startswith('cairn: cannot start, the kernel refuses io_uring (') and 'seccomp' in r.stderr, r.stderr
    assert r.stderr.count('\n') == 1


def test_check_works_offline_and_tells_damage():
    s = Server()
    try:
        s.start()
        client = make_client(s)
        client.create_bucket(Bucket='checked')
        client.put_object(Bucket='checked', Key='small', Body=b'small')
        client.put_object(Bucket='checked', Key='large\x1b[2J', Body=bytes(range(256)) * 1000)  # which clears a terminal
        assert s.admin('check', '--deep').returncode == 0
        assert s.stop() == 0
        clean = cairn('admin', 'check', '--deep', '--dir', s.data, env=s.env)
        assert clean.returncode == 0, clean.stdout + clean.stderr
        volumes = os.path.join(s.data, 'volumes')
        path = os.path.join(volumes, sorted(os.listdir(volumes))[0])
        with open(path, 'r+b') as f:
            content = f.read()
            at = content.index(bytes(range(256)) * 2) + 300
            f.seek(at)
            f.write(bytes([content[at] ^ 1]))
        bad = cairn('admin', 'check', '--deep', '--dir', s.data, env=s.env)
        assert bad.returncode == 1 and 'checked/large\\x1b[2J' in bad.stdout and '\x1b[2J' not in bad.stdout, bad.stdout + bad.stderr
        s.start()
        with pytest.raises(Exception):
            make_client(s).get_object(Bucket='checked', Key='large\x1b[2J')['Body'].read()
        assert make_client(s).get_object(Bucket='checked', Key='small')['Body'].read() == b'small'
        online = s.admin('check', '--deep', check=False)
        assert online.returncode == 1 and 'checked/large\\x1b[2J' in online.stdout and '\x1b[2J' not in online.stdout
        assert s.stop() == 0
    finally:
        s.remove()


def test_a_private_key_that_everybody_may_read_is_told_of():
    s = Server(tls=True)
    try:
        told = []
        for mode in (0o600, 0o640, 0o604):
            os.chmod(os.path.join(s.folder, 'key.pem'), mode)
            s.start()
            assert s.stop() == 0
            told.append(s.log().count('everybody may read the private key'))
        assert told == [0, 0, 1], s.log()
    finally:
        s.remove()


def test_missing_directory_and_unwritable_address_are_told(tmp_path):
    r = cairn('admin', 'check', '--dir', str(tmp_path / 'none'))
    assert r.returncode == 1 and 'no such directory' in r.stderr
    r = cairn('server', str(tmp_path / 'd'), '--address', 'nonsense', timeout=60)
    assert r.returncode == 1 and 'nonsense' in r.stderr
    r = cairn('server', str(tmp_path / 'd'), '--tls-cert', 'x', timeout=60)
    assert r.returncode == 1 and 'go together' in r.stderr


def test_jobs_are_listed_paused_and_resumed():
    server = Server()
    try:
        server.start()

        def state(name):
            jobs = json.loads(server.admin('job', 'list', '--json').stdout)['jobs']
            return [j['state'] for j in jobs if j['name'] == name][0]

        assert 'gc' in server.admin('job', 'list').stdout and 'compact' in server.admin('info').stdout
        assert state('gc') != 'paused'
        server.admin('job', 'pause', 'gc')
        assert state('gc') == 'paused'
        assert server.stop() == 0
        server.start()
        assert state('gc') == 'paused'
        assert 'cairn_job_paused{job="gc"} 1' in server.get('/metrics')[1].decode()
        assert json.loads(server.admin('job', 'resume', 'gc', '--json').stdout)['state'] != 'paused'
        assert state('gc') != 'paused'
        unknown = server.admin('job', 'pause', 'none', check=False)
        assert unknown.returncode == 1 and 'no such job' in unknown.stderr
        assert server.stop() == 0
    finally:
        server.remove()
