"""Processes that run machine code. All tests share one process of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.hosts.x86_64.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A process whose memory is at an address that the kernel has chosen, far above 4 GiB."""
    made = Machine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def low_machine() -> Iterator[Machine]:
    """A process whose memory is below 2 GiB."""
    made = Machine(low=True)
    yield made
    made.close()
