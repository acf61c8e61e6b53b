# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Sessions of users of a directory: AssumeRoleWithLDAPIdentity against Debian's slapd."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import make_client
from server import Server, free_port, make_certificate

BASE = 'dc=example,dc=org'
PASSWORD = 'lookups-own-password'
DAN, EVE = 'uid=dan,ou=people,' + BASE, 'uid=eve,ou=people,' + BASE
READERS = 'cn=readers,ou=groups,' + BASE

ENTRIES = '''dn: {base}
objectClass: dcObject
objectClass: organization
o: example

dn: ou=people,{base}
objectClass: organizationalUnit

dn: ou=groups,{base}
objectClass: organizationalUnit

dn: cn=lookup,{base}
objectClass: person
sn: lookup
userPassword: {password}

dn: uid=dan,ou=people,{base}
objectClass: inetOrgPerson
cn: Dan
sn: D
userPassword: dans-password

dn: uid=eve,ou=people,{base}
objectClass: inetOrgPerson
cn: Eve
sn: E
userPassword: eves-password

dn: uid=nobody,ou=people,{base}
objectClass: inetOrgPerson
cn: Nobody
sn: N
userPassword: nobodys-password

dn: uid=twin,ou=people,{base}
objectClass: inetOrgPerson
cn: Twin
sn: T
userPassword: twins-password

dn: cn=twin+uid=twin,ou=people,{base}
objectClass: inetOrgPerson
sn: T
userPassword: twins-password

dn: cn=readers,ou=groups,{base}
objectClass: groupOfNames
member: uid=dan,ou=people,{base}
member: uid=eve,ou=people,{base}

dn: cn=others,ou=groups,{base}
objectClass: groupOfNames
member: uid=nobody,ou=people,{base}
'''.format(base=BASE, password=PASSWORD)

CONFIG = '''include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
allow bind_anon_cred bind_anon_dn
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
database mdb
suffix {base}
directory {folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=lookup,{base}" read by * none
'''


class Directory:
    """slapd over a directory of its own; takes binds without a password, as some do."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='cairn-ldap-')
        self.cert, key = make_certificate(self.folder)
        self.port, self.tls_port = free_port(), free_port()
        self.config = os.path.join(self.folder, 'slapd.conf')
        os.mkdir(os.path.join(self.folder, 'db'))
        with open(self.config, 'w') as f:
            f.write(CONFIG.format(folder=self.folder, cert=self.cert, key=key, base=BASE))
        subprocess.run(['/usr/sbin/slapadd', '-f', self.config], input=ENTRIES, text=True, check=True, capture_output=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ['/usr/sbin/slapd', '-d', '0', '-f', self.config,
             '-h', 'ldap://127.0.0.1:%d ldaps://127.0.0.1:%d' % (self.port, self.tls_port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begin = time.monotonic()
        while not os.path.exists(os.path.join(self.folder, 'pid')):
            assert self.process.poll() is None and time.monotonic() - begin < 60
            time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()
        if os.path.exists(os.path.join(self.folder, 'pid')):
            os.unlink(os.path.join(self.folder, 'pid'))

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def options(self, url):
        return ['--ldap-url', url, '--ldap-ca', self.cert, '--ldap-bind-dn', 'cn=lookup,' + BASE,
                '--ldap-user-base', 'ou=people,' + BASE, '--ldap-group-base', 'ou=groups,' + BASE]


@pytest.fixture(scope='module')
def directory():
    d = Directory()
    yield d
    d.remove()


@pytest.fixture(scope='module')
def ldap(directory):
    s = Server(options=directory.options('ldaps://127.0.0.1:%d' % directory.tls_port), env={'CAIRN_LDAP_PASSWORD': PASSWORD})
    s.start()
    s.admin('policy', 'add', 'read-all', write(s, allow(['s3:GetObject', 's3:ListBucket'])))
    s.admin('policy', 'add', 'put-own', write(s, allow(['s3:PutObject'], 'arn:aws:s3:::bkt/${ldap:username}/*')))
    s.admin('ldap', 'attach', 'read-all', 'CN=Readers, OU=Groups, DC=Example, DC=Org')
    s.admin('ldap', 'attach', 'put-own', DAN)
    client = make_client(s)
    client.create_bucket(Bucket='bkt')
    client.put_object(Bucket='bkt', Key='k', Body=b'1')
    yield s
    status, log = s.stop(), s.log()
    audit = ''.join(open(os.path.join(s.data, 'audit', f)).read() for f in os.listdir(os.path.join(s.data, 'audit')))
    s.remove()
    assert status == 0, log[-2000:]
    assert 'password' not in audit.replace('LDAPPassword', '') and PASSWORD not in log and 'dans-password' not in log


def allow(actions, resource='*'):
    return json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': actions, 'Resource': resource}]})


def write(server, text):
    path = os.path.join(server.folder, 'policy.json')
    with open(path, 'w') as f:
        f.write(text)
    return path


def login(server, name, password, **more):
    """(status, credentials or error code), as MinIO's clients ask."""
    form = dict({'Action': 'AssumeRoleWithLDAPIdentity', 'Version': '2011-06-15', 'LDAPUsername': name, 'LDAPPassword': password}, **more)
    form = {k: v for k, v in form.items() if v is not None}
    try:
        with urllib.request.urlopen(server.url, urllib.parse.urlencode(form).encode(), timeout=60) as r:
            status, text = r.status, r.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    flat = {e.tag.split('}')[1]: e.text for e in ET.fromstring(text).iter()}
    return status, flat if status == 200 else flat['Code']


def client_of(server, creds):
    return boto3.client('s3', endpoint_url=server.url, region_name='us-east-1', aws_access_key_id=creds['AccessKeyId'],
                        aws_secret_access_key=creds['SecretAccessKey'], aws_session_token=creds['SessionToken'],
                        config=botocore.config.Config(s3={'addressing_style': 'path'}, retries={'max_attempts': 1}))


def code(call, **kwargs):
    try:
        call(**kwargs)
        return None
    except ClientError as e:
        return e.response['Error']['Code']


def test_a_session_may_what_user_and_groups_may(ldap):
    status, creds = login(ldap, 'dan', 'dans-password')
    assert status == 200, creds
    dan = client_of(ldap, creds)
    assert code(dan.get_object, Bucket='bkt', Key='k') is None          # of the group
    assert code(dan.put_object, Bucket='bkt', Key='dan/x', Body=b'') is None  # its own, by its name
    assert code(dan.put_object, Bucket='bkt', Key='eve/x', Body=b'') == 'AccessDenied'
    status, creds = login(ldap, 'eve', 'eves-password')
    eve = client_of(ldap, creds)
    assert code(eve.get_object, Bucket='bkt', Key='k') is None and code(eve.put_object, Bucket='bkt', Key='eve/x', Body=b'') == 'AccessDenied'
    ldap.admin('ldap', 'detach', 'read-all', READERS)
    try:
        assert code(eve.get_object, Bucket='bkt', Key='k') == 'AccessDenied'  # with the next request
        assert login(ldap, 'eve', 'eves-password') == (403, 'AccessDenied')  # nothing is attached any more
        assert code(dan.put_object, Bucket='bkt', Key='dan/x', Body=b'') is None
    finally:
        ldap.admin('ldap', 'attach', 'read-all', READERS)
    assert code(eve.get_object, Bucket='bkt', Key='k') is None


def test_a_session_is_narrowed_and_cannot_make_others(ldap):
    status, creds = login(ldap, 'dan', 'dans-password', Policy=allow(['s3:GetObject']), DurationSeconds='900')
    assert status == 200
    dan = client_of(ldap, creds)
    assert code(dan.get_object, Bucket='bkt', Key='k') is None and code(dan.put_object, Bucket='bkt', Key='dan/x', Body=b'') == 'AccessDenied'
    for name, call in (('sts', 'get_session_token'), ('iam', 'list_users')):
        client = boto3.client(name, endpoint_url=ldap.url, region_name='us-east-1', aws_access_key_id=creds['AccessKeyId'],
                              aws_secret_access_key=creds['SecretAccessKey'], aws_session_token=creds['SessionToken'])
        assert code(getattr(client, call)) is not None
    assert login(ldap, 'dan', 'dans-password', DurationSeconds='899')[0] == 400
    assert login(ldap, 'dan', 'dans-password', Policy='{')[0] == 400


@pytest.mark.parametrize('name,password', [
    ('dan', 'wrong'), ('dan', 'eves-password'), ('no-such-user', 'dans-password'), ('lookup', PASSWORD), ('twin', 'twins-password'),
    ('*', 'dans-password'), ('d*', 'dans-password'), ('dan)(uid=*', 'dans-password'), ('*)(uid=dan))(|(uid=*', 'dans-password'),
    ('dan)(|(objectClass=*)', 'dans-password'), ('\\64an', 'dans-password'), (DAN, 'dans-password'), ('nobody', 'nobodys-password')])
def test_who_is_not_that_one_user_is_refused(ldap, name, password):
    assert login(ldap, name, password) == (403, 'AccessDenied')


@pytest.mark.parametrize('name,password', [('dan', ''), ('dan', None), ('', 'x'), (None, 'x'), ('', ''), ('dan\0', 'dans-password'),
                                           ('dan', '\0'), ('dan', 'x' * 2000)])
def test_a_login_without_a_password_or_name_never_reaches_the_directory(ldap, name, password):
    status, error = login(ldap, name, password)  # slapd would take a bind without a password
    assert status == 400 and error == 'ValidationError'


def test_other_servers_have_no_directory(server):
    assert login(server, 'dan', 'dans-password')[0] == 400 if not server.tls else True


def test_what_is_attached_is_listed_and_holds_its_policy(ldap):
    assert ldap.admin('policy', 'rm', 'put-own', check=False).returncode == 1
    told = json.loads(ldap.admin('ldap', 'list', '--json').stdout)
    assert told['directory'] and {m['dn']: m['policies'] for m in told['mappings']} == {READERS: ['read-all'], DAN: ['put-own']}
    for words in (['attach', 'no-such-policy', DAN], ['attach', 'read-all', 'dan'], ['detach', 'read-all', EVE], ['attach', 'read-all', '']):
        assert ldap.admin('ldap', *words, check=False).returncode == 1


def start(directory, url, *options, **env):
    s = Server(options=directory.options(url) + list(options), env=dict({'CAIRN_LDAP_PASSWORD': PASSWORD}, **env))
    return s


@pytest.mark.parametrize('kind', ['starttls', 'untrusted', 'gone'])
def test_the_directory_is_trusted_by_its_certificate(directory, kind):
    s = start(directory, 'ldap://127.0.0.1:%d' % (free_port() if kind == 'gone' else directory.port), '--ldap-start-tls')
    if kind == 'untrusted':
        other = tempfile.mkdtemp(dir=s.folder)
        s.options[s.options.index('--ldap-ca') + 1] = make_certificate(other)[0]
    s.start()
    try:
        s.admin('ldap', 'attach', 'readonly', DAN)
        expected = 200 if kind == 'starttls' else 400
        status, answer = login(s, 'dan', 'dans-password')
        assert status == expected and (status == 200 or answer == 'IDPCommunicationError')
        s.admin('info')  # and it goes on serving
    finally:
        assert s.stop() == 0
        s.remove()


def test_a_password_is_not_guessed_at_will(directory):
    """CVE-2026-33419: somebody else's name, over and over."""
    s = start(directory, 'ldaps://127.0.0.1:%d' % directory.tls_port)
    s.start()
    try:
        assert [login(s, name, 'guess') for name in ['DAN', 'dan'] * 5] == [(403, 'AccessDenied')] * 10
        assert any(login(s, 'dan', 'guess') == (503, 'SlowDown') for _ in range(60))  # of which it allows two a minute
        # Others are not held up; one of them may share a slot of the table with him.
        assert (403, 'AccessDenied') in [login(s, name, 'guess') for name in ('eve', 'ann', 'bob')]
    finally:
        assert s.stop() == 0
        s.remove()


@pytest.mark.parametrize('scheme,said', [('ldaps', b''), ('ldaps', b'\x16\x03\x03\x10\x00\x02'), ('ldap', b'\x30\x0c\x02\x01')])
def test_a_directory_that_stops_in_the_middle_of_a_message_is_done_without(directory, scheme, said):
    """Of a TLS handshake, too: the library's own timeouts end neither."""
    with socket.create_server(('127.0.0.1', 0)) as door:
        taken = []

        def answer():
            with contextlib.suppress(OSError):  # the door is closed
                while True:
                    taken.append(door.accept()[0])
                    if taken[-1].recv(1) and said:
                        taken[-1].send(said)

        threading.Thread(target=answer, daemon=True).start()
        s = start(directory, '%s://127.0.0.1:%d' % (scheme, door.getsockname()[1]), *(['--insecure-ldap'] if scheme == 'ldap' else []))
        s.start()
        try:
            assert login(s, 'dan', 'dans-password') == (400, 'IDPCommunicationError')
        finally:
            assert s.stop() == 0
            s.remove()


def test_passwords_do_not_go_in_clear_unless_asked_for(directory):
    for options, env in ((['--insecure-ldap'], {'CAIRN_LDAP_PASSWORD': ''}), ([], {})):
        s = start(directory, 'ldap://127.0.0.1:%d' % directory.port, *options, **env)
        s.launch()
        assert s.process.wait(60) == 1 and 'cairn: ' in s.log()
        s.remove()
