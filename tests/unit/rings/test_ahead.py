"""Pages of a ring are mapped in the thread's process, which is this one, before the thread writes there."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from htrun.rings import layout
from htrun.rings.ahead import FEW, keep_ahead
from htrun.rings.layout import RingShape
from htrun.rings.ring import Overflow, Ring, RingPool
from tests.unit.rings.memory import stream

SHAPE = RingShape(num_args=4, packets=16, packet_stride=256 << 10)
LEAST, LEAST_OF_FEW = 256 << 10, 1 << 20
AROUND = 64 << 10
"""The size of the area around a page that the kernel may map with it (mm/memory.c, do_fault_around)."""
PRESENT = 1 << 63
"""In /proc/PID/pagemap."""


@pytest.fixture(params=[FEW])
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    """A ring that is lent to this process. Only its control block was accessed. The parameter is the number of rings
    that the pool lent before."""
    pool = RingPool(SHAPE, FEW + 1)
    for _ in range(request.param):
        pool.take()
    ring = pool.take()
    assert ring is not None
    theirs = mmap.mmap(pool.file, pool.size)
    view = ctypes.c_char.from_buffer(theirs)
    ring.lend(stream(os.getpid()), 0, ctypes.addressof(view), Overflow.BLOCK)
    yield ring
    del view
    theirs.close()


def in_reach(ring: Ring) -> int:
    """The number of bytes, from the ring's start, that the thread can access without a fault."""
    with Path("/proc/self/pagemap").open("rb") as pages:
        pages.seek(ring.address // mmap.PAGESIZE * 8)
        for page in range(SHAPE.size // mmap.PAGESIZE):
            if not int.from_bytes(pages.read(8), "little") & PRESENT:
                return page * mmap.PAGESIZE
    return SHAPE.size


def write_up_to(ring: Ring, extent: int) -> None:
    ring._memory[:8] = (ring.address + extent).to_bytes(8, "little")
    assert ring.extent == extent


def test_some_room_is_ready_before_the_first_events(ring: Ring) -> None:
    assert in_reach(ring) < LEAST
    keep_ahead(ring)
    assert LEAST <= in_reach(ring) < LEAST + 2 * AROUND
    before = ring.ready
    keep_ahead(ring)
    assert ring.ready == before


@pytest.mark.parametrize("ring", [FEW - 1], indirect=True)
def test_the_first_threads_get_more_room(ring: Ring) -> None:
    keep_ahead(ring)
    assert LEAST_OF_FEW <= in_reach(ring) < LEAST_OF_FEW + 2 * AROUND


def test_as_much_is_ready_as_has_been_written(ring: Ring) -> None:
    for extent in (10_000, 400_000, 1_000_000, 3_000_000):
        write_up_to(ring, extent)
        for _ in range(8):
            keep_ahead(ring)
        assert in_reach(ring) >= min(SHAPE.size, extent + max(extent, LEAST))
        assert in_reach(ring) <= min(SHAPE.size, extent + max(extent, LEAST) + 2 * AROUND)


def test_only_so_much_at_a_time(ring: Ring) -> None:
    """In this time, the rings of other threads must wait."""
    write_up_to(ring, 3_000_000)
    keep_ahead(ring)
    assert in_reach(ring) < (1 << 20) + 2 * AROUND


@pytest.mark.parametrize("position", [0, 1, (1 << 64) - 1])
def test_a_position_that_makes_no_sense_means_no_more_than_the_ring(ring: Ring, position: int) -> None:
    ring._memory[:8] = position.to_bytes(8, "little")
    for _ in range(8):
        keep_ahead(ring)
    assert ring.extent in (0, SHAPE.size)
    assert ring.ready <= SHAPE.size


def test_a_ring_that_has_gone_round_is_ready(ring: Ring) -> None:
    for _ in range(SHAPE.packets):
        ring.consume(SHAPE.packet_payload)
    write_up_to_start = ring.address + layout.PAGE + layout.PACKET_HEADER
    ring._memory[:8] = write_up_to_start.to_bytes(8, "little")
    for _ in range(8):
        keep_ahead(ring)
    assert ring.ready == SHAPE.size


def test_a_thread_that_is_gone_is_left_alone(ring: Ring) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        ring.stream = stream(ended.pid)
    keep_ahead(ring)
    assert ring.ready == SHAPE.size


def test_a_ring_that_its_thread_has_not_mapped_takes_no_memory() -> None:
    pool = RingPool(SHAPE, 1)
    ring = pool.take()
    assert ring is not None
    ring.lend(stream(os.getpid()), 0, 0, Overflow.BLOCK)
    keep_ahead(ring)
    assert ring.ready == 0
    assert os.fstat(pool.file).st_blocks * 512 <= mmap.PAGESIZE


def test_what_a_process_has_in_reach_stays_so_for_its_next_thread(ring: Ring) -> None:
    keep_ahead(ring)
    before = ring.ready
    ring.lend(stream(os.getpid()), 1, ring.base, Overflow.BLOCK)
    assert ring.ready == before >= LEAST
    ring.lend(stream(os.getpid() + 1), 2, ring.base, Overflow.BLOCK)
    assert ring.ready == 0


def test_nothing_is_made_ready_for_a_thread_that_has_exited(ring: Ring) -> None:
    ring.ended = True
    keep_ahead(ring)
    assert ring.ready == 0
    assert in_reach(ring) < LEAST
