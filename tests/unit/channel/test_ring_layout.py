"""The position of a channel's rings, and their description in the header."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.channel.file import Channel
from htrun.channel.layout import MAX_ARGS, Layout
from htrun.channel.public_file import PublicFile
from htrun.channel.ring_layout import (
    BLOCK,
    CONTROL_SIZE,
    DROP,
    EVERY_CLIENT,
    LAPS,
    NATIVE_CLIENTS,
    RingLayout,
    lap_word,
    owner_word,
)

LAYOUT = Layout(num_args=2, max_clients=8)


@given(st.integers(1, MAX_ARGS), st.integers(1, 1 << 20), st.integers(1 << 16, 1 << 30))
def test_rings_come_after_what_old_clients_map_and_at_pages_of_any_size(args: int, clients: int, size: int) -> None:
    layout = Layout(args, clients)
    rings = RingLayout.of(layout, NATIVE_CLIENTS, 62, size, BLOCK)
    assert rings.offset >= layout.total_size
    assert rings.offset % 65536 == rings.stride % 65536 == 0
    assert rings.stride <= max(size, 3 << 16)
    assert rings.records * (16 + 8 * args) <= rings.stride - CONTROL_SIZE
    assert rings.records >= 256
    assert rings.file_size == rings.offset + rings.rings * rings.stride
    assert rings.chunk == 1 or rings.chunk * rings.stride <= 16 << 20


def test_header_says_where_the_rings_are(tmp_path: Path) -> None:
    rings = RingLayout.of(LAYOUT, EVERY_CLIENT, 62, 128 << 10, DROP)
    channel = Channel.create(tmp_path / "channel", LAYOUT, rings)
    try:
        header = os.pread(channel.descriptor, 128, 0)
        assert header[:64] == LAYOUT.header()
        mode, machine, offset, stride, count, records, chunk, overflow, size = struct.unpack_from(
            "<IIQQIIIIQ", header, 0x40
        )
        assert (mode, machine, overflow) == (2, 62, 1)
        assert (offset, stride, count, chunk) == (1 << 20, 128 << 10, 1024, 64)
        assert records == ((128 << 10) - 4096) // 32
        assert size == os.fstat(channel.descriptor).st_size == offset + count * stride
        assert os.fstat(channel.descriptor).st_blocks * 512 < 1 << 20
        assert header[0x70:] == bytes(16)
        assert len(channel.memory) == LAYOUT.total_size
    finally:
        channel.remove()
        os.close(channel.descriptor)


def test_channel_without_rings_is_as_before(tmp_path: Path) -> None:
    channel = Channel.create(tmp_path / "channel", LAYOUT)
    try:
        assert os.pread(channel.descriptor, 128, 0) == LAYOUT.header() + bytes(64)
        assert os.fstat(channel.descriptor).st_size == LAYOUT.total_size
    finally:
        channel.remove()
        os.close(channel.descriptor)


def test_public_file_offers_none(tmp_path: Path) -> None:
    file = PublicFile(tmp_path / "channel", LAYOUT)
    try:
        assert file.read(0, 128) == LAYOUT.header() + bytes(64)
    finally:
        os.close(file.descriptor)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, 0x80000001),
        (9, 0x80000001),
        (10, 0x80000002),
        (10 * LAPS - 1, 0x80000000 + LAPS),
        (10 * LAPS, 0x80000001),
    ],
)
def test_lap_words_count_from_one(number: int, expected: int) -> None:
    assert lap_word(number, 10) == expected


def test_owner_is_process_and_thread() -> None:
    assert owner_word(7, 9) == 0x00000007_00000009
