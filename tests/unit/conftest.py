"""Processes in which machine code is run, one of each kind for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.hosts.x86_64.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A process whose memory is where the kernel puts it, far above 4 GiB."""
    made = Machine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def low_machine() -> Iterator[Machine]:
    """A process whose memory is below 2 GiB."""
    made = Machine(low=True)
    yield made
    made.close()
