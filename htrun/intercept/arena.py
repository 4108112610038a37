"""The memory that htrun maps into a tracee so that its sites can be patched.

htrun injects calls into threads that have trapped. These calls map four kinds of memory: rings, when threads need them;
the thread table; pages of trampolines, when a patch needs them; and a second mapping of the channel's data. The guest
may unmap its own mapping of the data, and trampolines must not fault then. The tracee cannot write the code, and cannot
execute the rings: no page is both writable and executable for it. htrun writes the code and the table from outside the
process.

A forked child has this memory at the same addresses. It shares the rings and the code with its parent, and has a
private copy of the table.
"""

from __future__ import annotations

import bisect
import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from htrun.intercept.family import Family
from htrun.intercept.free_memory import FreeMemory
from htrun.intercept.ring_maps import RingMaps
from htrun.rings import layout as ring_layout
from htrun.rings.ring import Ring
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.memory import Memory

if TYPE_CHECKING:
    from htrun.hosts.host import Trampoline
    from htrun.intercept.sites import Site

_F_SEAL_FUTURE_WRITE = 0x0010
"""From <linux/fcntl.h>, since Linux 5.1. Python has this constant only from 3.13 on."""
_CODE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
_CODE_SPAN = 256 << 20
"""The maximum number of bytes of trampolines that a run can have at one time. When all are used, new sites keep
trapping."""
_LEAST_CODE_SPAN = 1 << 20
_NOBODY = 1
"""A key that no thread has. It fills the table entries for thread pointer 0, because the key of a free entry is 0 and
would match that pointer."""


class NoRoom(Exception):
    """There is no free memory near enough for a trampoline, or the trampoline cannot be built."""


class CodeMemory:
    """The memory file that holds all trampolines of a run. htrun writes it through its own mapping.

    ``ranges``: the addresses at which the file is mapped, in any process.
    """

    def __init__(self, ranges: CodeRanges) -> None:
        self.ranges = ranges
        self.file = os.memfd_create("htrun-trampolines", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._mapping, self._size = self._mapped(_CODE_SPAN)
        # Seal the file against writable mappings, except this mapping, because it contains the code of all processes of
        # the run.
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, _CODE_SEALS)
        self.view = memoryview(self._mapping)
        self._used = 0
        self._free: dict[int, list[int]] = {}

    def _mapped(self, size: int) -> tuple[mmap.mmap, int]:
        """A mapping of the file, and its size. The size is ``size`` bytes, or less if htrun's address space is
        limited."""
        while True:
            os.ftruncate(self.file, size)
            try:
                return mmap.mmap(self.file, size), size
            except OSError:
                if size <= _LEAST_CODE_SPAN:
                    raise
                size //= 4

    def take(self, size: int) -> int:
        """Allocate ``size`` bytes, and return their file offset. ``size``: a multiple of the page size. Raises
        `NoRoom`."""
        if self._free.get(size):
            return self._free[size].pop()
        if self._used + size > self._size:
            raise NoRoom("all memory for trampolines is used up")
        offset = self._used
        self._used += size
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Free ``size`` bytes from ``offset`` on. They must no longer be mapped in any process."""
        self._free.setdefault(size, []).append(offset)


class CodeRun:
    """Contiguous pages of trampolines: ``size`` bytes, at ``address`` in the tracee and at ``offset`` in the code
    memory."""

    __slots__ = ("address", "free", "offset", "shares", "size")

    def __init__(self, address: int, size: int, offset: int, free: list[tuple[int, int]] | None = None) -> None:
        self.address = address
        self.size = size
        self.offset = offset
        self.free = free if free is not None else []
        """The free address ranges ``(start, end)`` within these pages, sorted."""
        self.shares = 1
        """The number of address spaces that map these pages. A forked child shares the pages, and the list of free
        ranges."""

    @property
    def end(self) -> int:
        """The first address after these pages."""
        return self.address + self.size

    def take(self, low: int, high: int, size: int) -> int | None:
        """Allocate ``size`` bytes at the first free address in ``[low, high)``, and return this address; None if there
        is no room."""
        for place, (start, end) in enumerate(self.free):
            address = max(start, low)
            if address >= high:
                break
            if address + size <= end:
                rest = [(start, address), (address + size, end)]
                self.free[place : place + 1] = [piece for piece in rest if piece[0] < piece[1]]
                return address
        return None


class ThreadTable:
    """The table that maps thread pointers to rings. It is at ``address`` in the tracee. The tracee can only read it."""

    __slots__ = ("address", "entries", "written")

    def __init__(self, address: int, written: set[int] | None = None) -> None:
        self.address = address
        self.entries: dict[int, int] = {}
        """The thread pointer in each used entry. The keys are the offsets of the entries in the table (bytes)."""
        self.written = written if written is not None else set()
        """The offsets of all entries that have ever been used (bytes)."""

    def fork(self) -> ThreadTable:
        """The copy of the table in a forked child. It must be cleared before the child runs."""
        return ThreadTable(self.address, written=set(self.written))

    def prepare(self, memory: Memory) -> None:
        """Turn a table of zeros into an empty table, in which no thread finds a ring."""
        for offset in ring_layout.table_offsets(0):
            memory.write(self.address + offset, _NOBODY.to_bytes(8, "little"))

    def add(self, memory: Memory, thread_pointer: int, ring: int) -> bool:
        """Enter the address ``ring`` for the thread with ``thread_pointer``. Returns False if both entries that this
        pointer can use are taken."""
        for offset in ring_layout.table_offsets(thread_pointer):
            if self.entries.get(offset, thread_pointer) == thread_pointer:
                self.written.add(offset)
                # The ring is written before the key, because a thread that finds its key must also find its ring.
                memory.write(self.address + offset + 8, ring.to_bytes(8, "little"))
                memory.write(self.address + offset, thread_pointer.to_bytes(8, "little"))
                self.entries[offset] = thread_pointer
                return True
        return False

    def place_of(self, thread_pointer: int) -> int:
        """The offset of the entry for ``thread_pointer``. If the pointer has no entry, this is the offset of an entry
        that is never free."""
        for offset in ring_layout.table_offsets(thread_pointer):
            if self.entries.get(offset) == thread_pointer:
                return offset
        return ring_layout.table_offsets(0)[0]

    def remove(self, memory: Memory, thread_pointer: int) -> None:
        """Remove the ring of the thread with ``thread_pointer``, so that the thread's next event traps. Raises OSError
        if the memory is gone."""
        for offset in ring_layout.table_offsets(thread_pointer):
            if self.entries.get(offset) == thread_pointer:
                del self.entries[offset]
                memory.write(self.address + offset, _NOBODY.to_bytes(8, "little"))

    def clear(self, memory: Memory) -> None:
        """Empty the table in ``memory``, which is the memory of a forked child. The child's copy may hold entries that
        were removed from the parent's table after the fork. Raises OSError if the memory is gone."""
        for offset in self.written:
            memory.write(self.address + offset, _NOBODY.to_bytes(8, "little"))
        self.entries.clear()
        self.written.clear()


class Arena:
    """The memory that htrun has in one address space. All addresses are the tracee's."""

    __slots__ = (
        "_run_starts",
        "_starts",
        "additions",
        "code",
        "controls",
        "data",
        "data_size",
        "family",
        "free_memory",
        "memory",
        "rings",
        "runs",
        "runtimes",
        "self_pointers",
        "table",
        "trampolines",
    )

    def __init__(
        self,
        rings: RingMaps,
        data: int,
        data_size: int,
        table: ThreadTable,
        self_pointers: bool,
        code: CodeMemory,
        memory: int = 0,
        family: Family | None = None,
    ) -> None:
        self.rings = rings
        """The rings that are mapped."""
        self.data = data
        """The address of htrun's own mapping of the channel's data region."""
        self.data_size = data_size
        """The size of the data region in bytes."""
        self.table = table
        self.self_pointers = self_pointers
        """Whether trampolines identify a thread by the word at the address in its thread pointer
        (`TrampolineContext`)."""
        self.code = code
        self.memory = memory
        """The number of the channel's memory. Trampolines record only the events in this memory."""
        self.family = family if family is not None else Family()
        """The processes with which this process shares trampolines."""
        self.free_memory = FreeMemory()
        self.controls: frozenset[int] = frozenset()
        """The addresses of the control words for which there may be patches."""
        self.additions = 0
        """The value of ``family.additions`` when this address space was last compared with its family."""
        self.trampolines: dict[int, tuple[Site, Trampoline]] = {}
        """The trampolines, by start address. A trampoline stays after its patch is removed, because a thread may still
        be inside."""
        self.runtimes: list[int] = []
        """The addresses of the runtime stubs. All trampolines that can reach a stub share it."""
        self.runs: list[CodeRun] = []
        """The code runs, sorted by address."""
        self._run_starts: list[int] = []
        self._starts: list[int] = []
        """The keys of `trampolines`, sorted."""

    def fork(self, mapped: list[tuple[int, int]]) -> Arena | None:
        """The arena in the memory of a forked child. ``mapped``: the ranges that the child has mapped, without memory
        that the parent has mapped after the fork. Returns None if the child lacks the data or the table. The copy has
        no trampolines yet."""
        present = _Ranges(mapped)
        if not all(start in present for start in (self.data, self.table.address)):
            return None
        parts = (self.rings.fork(present.__contains__), self.data, self.data_size)
        twin = Arena(*parts, self.table.fork(), self.self_pointers, self.code, self.memory, self.family)
        twin.additions = self.family.additions
        for run in self.runs:
            if run.address in present:
                run.shares += 1
                twin.add(run)
        twin.runtimes = [runtime for runtime in self.runtimes if twin.holds(runtime)]
        return twin

    @property
    def parts(self) -> list[int]:
        """The start address of each mapping of the arena."""
        pieces = [piece.address for piece in self.rings.pieces]
        return [self.data, self.table.address, *pieces, *(run.address for run in self.runs)]

    def close(self) -> None:
        """Free the code runs of an address space that is gone."""
        for run in self.runs:
            self.code.ranges.remove(run.address, run.end)
            run.shares -= 1
            if run.shares == 0:
                self.code.give_back(run.offset, run.size)
        self.runs = []

    def add(self, run: CodeRun) -> None:
        """Add ``run``, which is now mapped."""
        place = bisect.bisect(self._run_starts, run.address)
        self._run_starts.insert(place, run.address)
        self.runs.insert(place, run)
        self.code.ranges.add(run.address, run.end)

    def run_at(self, address: int) -> CodeRun | None:
        """The code run that contains ``address``; None if there is none."""
        place = bisect.bisect_right(self._run_starts, address) - 1
        return self.runs[place] if place >= 0 and address < self.runs[place].end else None

    def holds(self, address: int) -> bool:
        """Whether ``address`` lies in a page of trampolines."""
        return self.run_at(address) is not None

    def serves(self, address: int) -> bool:
        """Whether ``address`` lies in memory that trampolines read or write: the rings, the table or the data."""
        parts = (self.table.address, ring_layout.TABLE_SIZE), (self.data, self.data_size)
        return address in self.rings or any(start <= address < start + size for start, size in parts)

    def take(self, low: int, high: int, size: int) -> int | None:
        """Allocate ``size`` bytes in the existing code runs, starting in ``[low, high)``; None if there is no room."""
        first = max(bisect.bisect_right(self._run_starts, low) - 1, 0)
        for run in self.runs[first : bisect.bisect_left(self._run_starts, high)]:
            address = run.take(low, high, size)
            if address is not None:
                return address
        return None

    def at(self, address: int) -> tuple[Site, Trampoline] | None:
        """The trampoline that contains ``address``, and the trampoline's site; None if ``address`` is in a runtime
        stub."""
        place = bisect.bisect_right(self._starts, address) - 1
        if place >= 0:
            site, trampoline = self.trampolines[self._starts[place]]
            if address in trampoline:
                return site, trampoline
        return None

    def runtime_at(self, address: int) -> int | None:
        """The start of the runtime stub that contains ``address`` or ends just before it. ``address`` must not be in a
        trampoline."""
        return max((runtime for runtime in self.runtimes if runtime <= address), default=None)

    def adopt(self, trampoline: Trampoline, site: Site) -> None:
        """Note that ``trampoline`` belongs to ``site``."""
        start = trampoline.address
        if start not in self.trampolines:
            bisect.insort(self._starts, start)
        self.trampolines[start] = site, trampoline

    def write(self, address: int, code: bytes) -> None:
        """Write ``code`` at ``address``, which must lie in a `CodeRun`."""
        run = self.run_at(address)
        assert run is not None
        at = run.offset + address - run.address
        self.code.view[at : at + len(code)] = code

    def pointer_seen(self, memory: Memory, thread_pointer: int) -> int | None:
        """The value by which a trampoline identifies the thread with ``thread_pointer``; None if this value is in
        memory that cannot be read. In this case the events of the thread trap."""
        return self_pointer(memory, thread_pointer) if self.self_pointers else thread_pointer

    def reaches(self, ring: Ring) -> bool:
        """Whether ``ring`` is mapped."""
        return bool(ring.base) and ring.base == self.rings.base_of(ring.number)


def self_pointer(memory: Memory, thread_pointer: int) -> int | None:
    """The word at the address in a thread pointer; None if this word cannot be read."""
    try:
        return int.from_bytes(memory.read(thread_pointer, 8), "little")
    except OSError:
        return None


class _Ranges:
    """Sorted address ranges that do not overlap."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._ranges = ranges

    def __contains__(self, address: int) -> bool:
        place = bisect.bisect_right(self._ranges, (address, 1 << 64)) - 1
        return place >= 0 and self._ranges[place][0] <= address < self._ranges[place][1]
