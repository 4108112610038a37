"""Fixtures of every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run import Htrun
from tests.support.toolchain import Toolchain


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
