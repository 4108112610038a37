"""The allocation of htrun's memory in a tracee."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.intercept.arena import Arena, CodeMemory, CodeRun, NoRoom, ThreadTable
from htrun.intercept.free_memory import PAGE
from htrun.intercept.ring_maps import Piece, RingMaps
from htrun.rings import layout as ring
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.memory import Memory

TABLE = 0x7000_0000_0000


@dataclass
class FakeMemory:
    """The content of a tracee's thread table."""

    words: dict[int, int] = field(default_factory=dict)

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), 8):
            self.words[address + at] = int.from_bytes(data[at : at + 8], "little")

    def find(self, pointer: int) -> int | None:
        """The ring that a trampoline finds for a thread pointer."""
        for offset in ring.table_offsets(pointer):
            if self.words.get(TABLE + offset, 0) == pointer:
                return self.words.get(TABLE + offset + 8, 0)
        return None


def table() -> tuple[ThreadTable, FakeMemory, Memory]:
    fake = FakeMemory()
    made = ThreadTable(TABLE)
    made.prepare(cast(Memory, fake))
    return made, fake, cast(Memory, fake)


def colliding(count: int) -> list[int]:
    """Thread pointers that share their entries in the table."""
    places: dict[int, list[int]] = {}
    pointer = 0x7F00_0000_0740
    while True:
        pointer += 64
        same = places.setdefault(min(ring.table_offsets(pointer)), [])
        same.append(pointer)
        if len(same) == count:
            return same


@pytest.mark.parametrize("stack", [0x4000, 0x1_1000, 0x2_1000, 0x4_1000, 0x10_1000, 0x80_1000], ids=hex)
def test_four_thousand_threads_find_their_rings(stack: int) -> None:
    """Thread pointers as in glibc and musl: at the top of adjacent stacks."""
    threads, fake, memory = table()
    pointers = [0x7F12_3456_76C0 - stack * number for number in range(4000)]
    assert all(threads.add(memory, pointer, number) for number, pointer in enumerate(pointers))
    assert [fake.find(pointer) for pointer in pointers] == list(range(4000))


def test_nobody_has_a_ring_at_first() -> None:
    _, fake, _ = table()
    assert fake.find(0) is None
    assert fake.find(0x7F00_0000_0740) is None


@pytest.mark.parametrize("pointer", [0, 0x7F00_0000_0740])
def test_a_thread_finds_its_ring_until_it_is_removed(pointer: int) -> None:
    threads, fake, memory = table()
    assert threads.add(memory, pointer, 0x1234000)
    assert fake.find(pointer) == 0x1234000
    threads.remove(memory, pointer)
    assert fake.find(pointer) is None
    threads.remove(memory, pointer)
    assert threads.entries == {}


def test_two_threads_fit_where_three_do_not() -> None:
    one, two, three = colliding(3)
    threads, fake, memory = table()
    assert threads.add(memory, one, 0x1000)
    assert threads.add(memory, two, 0x2000)
    assert not threads.add(memory, three, 0x3000)
    assert (fake.find(one), fake.find(two), fake.find(three)) == (0x1000, 0x2000, None)
    threads.remove(memory, one)
    assert threads.add(memory, three, 0x3000)
    assert (fake.find(one), fake.find(two), fake.find(three)) == (None, 0x2000, 0x3000)
    threads.clear(memory)
    assert {fake.find(pointer) for pointer in (one, two, three)} == {None}


def test_who_went_while_the_memory_was_copied_is_not_in_the_copy() -> None:
    gone, stays = 0x7F00_0000_0740, 0x7F00_0001_0740
    threads, fake, memory = table()
    assert threads.add(memory, gone, 0x1000)
    assert threads.add(memory, stays, 0x2000)
    copied = FakeMemory(dict(fake.words))
    threads.remove(memory, gone)
    twin = threads.fork()
    twin.clear(cast(Memory, copied))
    assert (copied.find(gone), copied.find(stays), fake.find(stays)) == (None, None, 0x2000)
    assert twin.add(cast(Memory, copied), gone, 0x3000)
    assert copied.find(gone) == 0x3000


@given(st.lists(st.tuples(st.integers(0, 4 * PAGE), st.integers(1, PAGE), st.integers(1, 700)), max_size=60))
def test_pieces_of_a_run_never_overlap(wishes: list[tuple[int, int, int]]) -> None:
    run = CodeRun(PAGE, 3 * PAGE, 0, [(PAGE, 4 * PAGE)])
    taken: list[tuple[int, int]] = []
    for low, width, size in wishes:
        address = run.take(low, low + width, size)
        if address is None:
            continue
        assert low <= address < low + width
        assert address >= run.address
        assert address + size <= run.end
        assert all(address + size <= start or end <= address for start, end in taken)
        taken.append((address, address + size))
    assert sum(end - start for start, end in [*taken, *run.free]) == run.size


def arena(code: CodeMemory) -> Arena:
    made = Arena(RingMaps(1, [Piece(0, 1, PAGE, 0x10000)]), 0x20000, PAGE, ThreadTable(0x30000), True, code)
    for address in (0x60000, 0x40000):
        made.add(CodeRun(address, PAGE, code.take(PAGE), [(address, address + PAGE)]))
    return made


def test_an_address_is_held_by_its_run_only() -> None:
    made = arena(CodeMemory(CodeRanges()))
    held = [address for address in range(0x38000, 0x70000, 0x800) if made.holds(address)]
    assert held == [0x40000, 0x40800, 0x60000, 0x60800]


def test_code_lands_in_its_run() -> None:
    code = CodeMemory(CodeRanges())
    made = arena(code)
    made.write(0x60010, b"trampoline")
    run = made.run_at(0x60000)
    assert run is not None
    assert bytes(code.view[run.offset + 0x10 : run.offset + 0x1A]) == b"trampoline"


def test_room_is_sought_in_all_runs_of_a_window() -> None:
    made = arena(CodeMemory(CodeRanges()))
    assert made.take(0x50000, 0x70000, 3000) == 0x60000
    assert made.take(0x50000, 0x70000, 3000) is None
    assert made.take(0, 0x70000, 3000) == 0x40000
    assert made.take(0, 0x70000, 1000) == 0x40000 + 3000
    assert made.take(0x60FFF, 0x61000, 1) == 0x60FFF


MAPPED = [(0x10000, 0x11000), (0x20000, 0x21000), (0x30000, 0x31000)]


def test_a_forked_copy_has_what_was_mapped_when_it_was_made() -> None:
    made = arena(CodeMemory(CodeRanges()))
    made.runtimes = [0x40100, 0x60100]
    assert made.fork(MAPPED[:2]) is None
    unmapped = made.fork(MAPPED[1:])
    assert unmapped is not None
    assert unmapped.rings.base_of(0) is None
    twin = made.fork([*MAPPED, (0x40000, 0x41000)])
    assert twin is not None
    assert [run.address for run in twin.runs] == [0x40000]
    assert twin.runtimes == [0x40100]
    assert twin.rings.base_of(0) == 0x10000
    # Memory that one process has allocated is not allocated to the other process.
    assert made.take(0x40000, 0x40001, 100) == 0x40000
    assert twin.take(0x40000, 0x41000, 100) == 0x40000 + 100


def test_code_memory_is_used_again_when_the_last_address_space_is_gone() -> None:
    code = CodeMemory(CodeRanges())
    made = arena(code)
    twin = made.fork([*MAPPED, (0x40000, 0x41000), (0x60000, 0x61000)])
    assert twin is not None
    first = {run.offset for run in made.runs}
    made.close()
    assert code.take(PAGE) not in first
    twin.close()
    again = {code.take(PAGE), code.take(PAGE)}
    assert again == first


def test_code_memory_ends() -> None:
    code = CodeMemory(CodeRanges())
    code.take(200 << 20)
    with pytest.raises(NoRoom, match="used up"):
        code.take(200 << 20)


def test_place_of_a_thread() -> None:
    """The address of its key. An empty entry is never returned, because the thread pointer 0 would be found there."""
    made, fake, memory = table()
    first, second, third = colliding(3)
    for number, pointer in enumerate((first, second)):
        assert made.add(memory, pointer, number + 1)
    for pointer in (first, second):
        assert fake.words[TABLE + made.place_of(pointer)] == pointer
    assert not made.add(memory, third, 3)
    made.remove(memory, first)
    for pointer in (first, third, 0):
        assert fake.words[TABLE + made.place_of(pointer)] not in (0, pointer)
