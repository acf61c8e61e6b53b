# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""The JavaScript SDK v3, from npm: s3.test.js under node's own test runner."""
import os
import subprocess

JS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'js')


def install():
    """The exact versions of package-lock.json, once."""
    marker = os.path.join(JS, 'node_modules', '.package-lock.json')
    lock = os.path.join(JS, 'package-lock.json')
    if not os.path.exists(marker) or os.path.getmtime(marker) < os.path.getmtime(lock):
        subprocess.run(['npm', 'ci', '--loglevel=error', '--no-audit', '--no-fund'], cwd=JS, check=True)


def test_javascript_sdk(server):
    install()
    env = dict(os.environ, ENDPOINT=server.url, ACCESS_KEY=server.access_key, SECRET_KEY=server.secret_key)
    if server.tls:
        env['NODE_EXTRA_CA_CERTS'] = server.ca
    result = subprocess.run(['node', '--test', 's3.test.js'], cwd=JS, env=env, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
