# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Real processes under faults: killed, starved, stopped, over damaged files. Each test has a server of its own."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'clients')]
from server import Server  # noqa: E402

SOAK = bool(os.environ.get('CAIRN_SOAK'))
FIGURES = []


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker('soak') and not SOAK:
            item.add_marker(pytest.mark.skip(reason='only in the soak'))


def pytest_terminal_summary(terminalreporter):
    for figure in FIGURES:
        terminalreporter.write_line('figure: ' + figure)


@pytest.fixture
def figure():
    """figure(text): measured values, printed at the end of the run."""
    return FIGURES.append


@pytest.fixture
def make_server():
    """make_server(**kwargs): a server that is not started yet; removed afterwards."""
    made = []

    def make(**kwargs):
        made.append(Server(**kwargs))
        return made[-1]
    yield make
    for s in made:
        s.remove()


@pytest.fixture
def server(make_server):
    """A running server; what a test leaves behind must check clean and stop cleanly."""
    s = make_server()
    s.start()
    yield s
    if s.process.poll() is None:
        check = s.admin('check', '--deep', check=False)
        status = s.stop()
        assert check.returncode == 0, check.stdout + check.stderr
        assert status == 0, s.log_tail()
