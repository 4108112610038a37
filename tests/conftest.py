"""Fixtures of all tests, and rules for every run: each test has a deadline, and failures are printed at once.

What hypothesis generates is the same in each run, however slow the machine is. To look further::

    pytest --hypothesis-profile anew tests/unit
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.deadline import deadline
from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

# Without a limit in time: a machine may stand still for a moment, and hypothesis takes 200 ms for a failure.
_IN_ANY_TIME = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("anew", _IN_ANY_TIME)
settings.register_profile("same", _IN_ANY_TIME, derandomize=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--deadline``: for whole runs; a run of far more cases than usual (HTRUN_... variables) may take long."""
    parser.addoption("--deadline", type=float, default=0, metavar="SECONDS", help="fail a test that takes longer")


def pytest_configure(config: pytest.Config) -> None:
    # nohup(1) and a shell's background jobs ignore some of these, and each guest would inherit that.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The configuration file of the user who runs the tests is no part of them.
    os.environ["XDG_CONFIG_HOME"] = os.devnull
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(config), "failures-at-once")


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test marked as heavy says why others do for those who run the suite often."""
    for mark in item.iter_markers("heavy"):
        if not (len(mark.args) == 1 and isinstance(mark.args[0], str)):
            raise pytest.UsageError(f"{item.nodeid}: heavy without a reason")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Each test within its deadline, fixtures included."""
    seconds = item.config.getoption("deadline")
    if not seconds:
        return (yield)
    with deadline(seconds):
        return (yield)


class FailuresAtOnce:
    """Shows a failure when it happens: so that it is known even if the run is stopped before its end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal:
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid} failed ({report.when}):\n{report.longreprtext}")


@pytest.fixture(scope="session")
def session_directory(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory that all test processes of the session share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def toolchain(session_directory: Path) -> Toolchain:
    """Compilers of guests."""
    return Toolchain(session_directory / "guests")


@pytest.fixture
def htrun(tmp_path: Path) -> Htrun:
    """Runs htrun in a directory of the test's own."""
    directory = tmp_path / "htrun"
    directory.mkdir()
    return Htrun(directory)
