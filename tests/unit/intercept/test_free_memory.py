"""The memory in which trampolines may be placed."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.intercept.free_memory import PAGE, FreeMemory, Range, gaps, limit_of
from htrun.tracee.ptrace import MOST_THREADS

RANGES = st.lists(st.integers(1, 400), max_size=12, unique=True).map(
    lambda pages: [
        (low * PAGE, high * PAGE) for low, high in zip(sorted(pages)[::2], sorted(pages)[1::2], strict=False)
    ]
)


def free(*ranges: Range) -> FreeMemory:
    """Memory in which these ranges are free."""
    made = FreeMemory()
    made._ranges = sorted(ranges)
    return made


@given(RANGES)
def test_gaps_and_what_is_used_are_everything(used: list[Range]) -> None:
    left = list(gaps(used, PAGE, 500 * PAGE))
    pieces = sorted([*used, *left])
    assert pieces[0][0] == PAGE
    assert pieces[-1][1] == 500 * PAGE
    assert all(one[1] == other[0] for one, other in pairwise(pieces))


@given(RANGES, st.integers(0, 400 * PAGE), st.integers(1, 100 * PAGE), st.integers(1, 3 * PAGE))
def test_proposals_are_free_and_hold_a_start_in_the_window(
    ranges: list[Range], low: int, width: int, size: int
) -> None:
    most = 16 * PAGE
    for start, end in free(*ranges).proposals(low, low + width, size, most):
        assert start % PAGE == end % PAGE == 0
        assert any(first <= start and end <= last for first, last in ranges)
        entry = max(start, low)
        assert entry < low + width
        assert entry + size <= end
        assert end - start <= max(most, size + 2 * PAGE)


def test_what_is_taken_is_proposed_no_more() -> None:
    memory = free((PAGE, 9 * PAGE))
    assert list(memory.proposals(3 * PAGE, 3 * PAGE + 1, 10, PAGE)) == [(3 * PAGE, 4 * PAGE)]
    memory.take(3 * PAGE, 4 * PAGE)
    assert list(memory.proposals(3 * PAGE, 3 * PAGE + 1, 10, PAGE)) == []
    assert next(memory.proposals(0, 9 * PAGE, 10, PAGE)) == (PAGE, 2 * PAGE)
    memory.take(PAGE, 3 * PAGE)
    assert next(memory.proposals(0, 9 * PAGE, 10, PAGE)) == (4 * PAGE, 5 * PAGE)


def test_a_start_near_the_end_of_a_page_takes_the_next_one_too() -> None:
    memory = free((PAGE, 9 * PAGE))
    assert list(memory.proposals(2 * PAGE - 4, 2 * PAGE, 8, PAGE)) == [(PAGE, 3 * PAGE)]
    assert list(free((PAGE, 2 * PAGE)).proposals(2 * PAGE - 4, 2 * PAGE, 8, PAGE)) == []


@pytest.fixture
def cat() -> Iterator[int]:
    """The id of a small process that sleeps."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.read(1)
        yield process.pid


def test_heap_and_stack_keep_room_to_grow(cat: int) -> None:
    heap = stack = 0
    with open(f"/proc/{cat}/maps", encoding="ascii") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
            if line.endswith("[heap]\n"):
                heap = end
            elif line.endswith("[stack]\n"):
                stack = start
    assert heap
    assert stack
    memory = FreeMemory()
    memory.look(cat)
    assert not list(memory.proposals(heap, heap + (255 << 20), 100, PAGE))
    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    room = 1 << 30 if limit == resource.RLIM_INFINITY else min(limit, 1 << 30)
    assert not list(memory.proposals(stack - room, stack, 100, PAGE))


def test_everything_proposed_can_be_mapped_by_an_unprivileged_user(cat: int) -> None:
    memory = FreeMemory()
    memory.look(cat)
    with open("/proc/sys/vm/mmap_min_addr", encoding="ascii") as lowest:
        assert next(memory.proposals(0, 1 << 47, 1, PAGE))[0] >= int(lowest.read())


LIMITS = [(1 << 30, 1 << 30), (resource.RLIM_INFINITY, None)]


@pytest.mark.parametrize(("soft", "expected"), LIMITS)
@pytest.mark.parametrize("limit", [resource.RLIMIT_STACK, resource.RLIMIT_AS])
def test_limits(cat: int, limit: int, soft: int, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    hard = resource.prlimit(cat, limit)[1]
    if soft == resource.RLIM_INFINITY != hard:
        soft = expected = hard
    resource.prlimit(cat, limit, (soft, hard))
    assert limit_of(cat, limit) == expected

    def refuse(_pid: int, _limit: int) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(resource, "prlimit", refuse)
    assert limit_of(cat, limit) == expected


def test_a_process_that_is_gone_has_no_limits() -> None:
    with pytest.raises(ProcessLookupError):
        limit_of(MOST_THREADS, resource.RLIMIT_AS)
