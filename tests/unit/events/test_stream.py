"""The threads of a run. Many threads take little memory."""

from __future__ import annotations

import tracemalloc

import pytest

from htrun.events.stream import Stream, StreamTable

STREAMS = [
    Stream(
        1 + number, 1 + number // 3, number % 3, f"name{number % 5}", number % 4 == 0, 1_700_000_000 * 10**9 + number
    )
    for number in range(100)
]


def test_streams_come_back_as_they_were() -> None:
    table = StreamTable(STREAMS)
    assert list(table) == STREAMS
    assert (len(table), table[7], table[-1], table[90:]) == (100, STREAMS[7], STREAMS[-1], STREAMS[90:])
    with pytest.raises(IndexError):
        table[100]


def test_the_streams_of_a_moment_do_not_grow() -> None:
    table = StreamTable(STREAMS[:50])
    streams = table.so_far()
    for stream in STREAMS[50:]:
        table.append(stream)
    assert list(streams) == STREAMS[:50]
    assert (len(streams), streams[7], streams[-1], streams[40:]) == (50, STREAMS[7], STREAMS[49], STREAMS[40:50])
    with pytest.raises(IndexError):
        streams[50]


def test_a_stream_takes_little_memory() -> None:
    table = StreamTable()
    tracemalloc.start()
    try:
        for number in range(20_000):
            table.append(Stream(1000 + number, 1000, 1, "thread", False, 1_700_000_000 * 10**9 + number))
        assert tracemalloc.get_traced_memory()[0] < 20_000 * 64
    finally:
        tracemalloc.stop()
