# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""A Cairn server for tests: started on a free port over a directory of its own, ended by pid."""
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

CAIRN = os.environ.get('CAIRN') or os.path.join(os.path.dirname(__file__), '..', '..', 'build', 'cairn')
ROOT_USER = 'testroot'
ROOT_PASSWORD = 'test+root/secret=key'  # the characters that clients get wrong


given_ports = set()


def own_ports():
    """Those that outgoing connections do not take: else one that is waited for may be met by the waiter itself."""
    with open('/proc/sys/net/ipv4/ip_local_port_range') as f:
        first, last = map(int, f.read().split())
    own = [p for p in range(10000, 65536) if not first <= p <= last]
    own = own if len(own) > 1000 else range(10000, 65536)
    share, of = os.environ.get('CAIRN_PORTS', '0/1').split('/')  # of runs side by side each has its own
    return own[int(share)::int(of)]


def free_port():
    """A port that nobody has now, nor a server of this run that is down for a while."""
    ports = own_ports()
    while True:
        port = random.choice(ports)
        if port in given_ports:
            continue
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        given_ports.add(port)
        return port


def make_certificate(folder):
    """A self-signed certificate for 127.0.0.1 and localhost: (cert, key)."""
    cert, key = os.path.join(folder, 'cert.pem'), os.path.join(folder, 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                    '-days', '2', '-subj', '/CN=localhost', '-addext',
                    'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost',
                    '-keyout', key, '-out', cert], check=True, capture_output=True)
    return cert, key


def crc32c(data):
    """Which closes a disk.id (docs/FORMATS.md)."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Server:
    """One server process; start() and stop() may be repeated over the same directory."""

    def __init__(self, tls=False, options=(), folder=None, env=None, disks=1):
        self.tls = tls
        self.options = list(options)
        self.wrapper = []  # words before the command: prlimit and its like
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix='cairn-test-')
        self.data = os.path.join(self.folder, 'data')
        self.dirs = [self.data] if disks == 1 else [os.path.join(self.folder, 'd%d' % i) for i in range(disks)]
        self.log_path = os.path.join(self.folder, 'server.log')
        self.port = free_port()
        self.access_key, self.secret_key = ROOT_USER, ROOT_PASSWORD
        self.env = dict(os.environ, CAIRN_ROOT_USER=ROOT_USER, CAIRN_ROOT_PASSWORD=ROOT_PASSWORD, **(env or {}))
        self.ca = None
        self.process = None
        if tls:
            self.ca, key = make_certificate(self.folder)
            self.options += ['--tls-cert', self.ca, '--tls-key', key]

    @property
    def host(self):
        return '127.0.0.1:%d' % self.port

    @property
    def url(self):
        return '%s://%s' % ('https' if self.tls else 'http', self.host)

    def launch(self):
        """Starts the process and waits for nothing."""
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                self.wrapper + [CAIRN, 'server'] + self.dirs + ['--address', self.host] + self.options,
                stdout=log, stderr=log, env=self.env)

    def start(self, timeout=60):
        self.launch()
        return self.wait_live(timeout)

    def wait_live(self, timeout=60):
        """Until it answers: that something takes connections there is not enough, the socket of one that was killed
        does so for a moment more."""
        begin = time.monotonic()
        while time.monotonic() - begin < timeout:
            if self.process.poll() is not None:
                raise RuntimeError('the server ended with %s:\n%s' % (self.process.returncode, self.log_tail()))
            try:
                if self.get('/health/live')[0] == 200:
                    return self
            except OSError:
                time.sleep(0.005)
        raise RuntimeError('the server does not answer:\n%s' % self.log_tail())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=60):
        """Ends the server as an administrator would; returns its exit status."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def log_tail(self):
        return self.log()[-3000:]

    def admin(self, *words, check=True, **kwargs):
        """Runs `cairn admin WORDS` against this server as root."""
        argv = [CAIRN, 'admin'] + list(words) + ['--endpoint', self.url] + (['--ca', self.ca] if self.tls else [])
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, check=check, **kwargs)

    def client_env(self):
        """Environment in which the command-line clients reach this server as root."""
        env = dict(os.environ, AWS_ACCESS_KEY_ID=self.access_key, AWS_SECRET_ACCESS_KEY=self.secret_key,
                   AWS_DEFAULT_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true', AWS_PAGER='',
                   AWS_CONFIG_FILE='/dev/null', AWS_SHARED_CREDENTIALS_FILE='/dev/null',
                   HOME=self.folder, XDG_CACHE_HOME=os.path.join(self.folder, 'cache'))
        if self.tls:
            env['AWS_CA_BUNDLE'] = self.ca
        return env

    def get(self, path):
        """An anonymous GET: (status, body)."""
        import ssl
        context = ssl.create_default_context(cafile=self.ca) if self.tls else None
        try:
            with urllib.request.urlopen(self.url + path, context=context, timeout=60) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
