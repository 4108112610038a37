"""Batches are read in another thread: all of them, in order, and with their errors. After the end, no batch is read."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from htrun.analysis.read_ahead import read_ahead


def counted(until: int, read: list[int]) -> Iterator[int]:
    for number in range(until):
        read.append(number)
        yield number


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_all_batches_arrive_in_order(count: int) -> None:
    assert list(read_ahead(counted(count, []))) == list(range(count))


def test_another_thread_reads() -> None:
    assert list(read_ahead(threading.current_thread().name for _ in range(1))) == ["reader"]


def test_an_error_is_raised_after_the_batches_before_it() -> None:
    def damaged() -> Iterator[int]:
        yield 1
        raise OSError("damaged")

    batches = read_ahead(damaged())
    assert next(batches) == 1
    with pytest.raises(OSError, match="damaged"):
        next(batches)


def test_few_batches_are_read_ahead_and_none_after_the_end() -> None:
    read: list[int] = []
    batches = read_ahead(counted(100, read))
    assert next(batches) == 0
    batches.close()
    assert len(read) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name == "reader"]
