"""What htrun puts into a tracee's memory once, so that its sites can be patched.

Four things, mapped by calls injected into the thread that trapped first: all rings of the run; the channel's data once
more, so that a guest that unmaps its own can't make a trampoline fault; the thread table; and, wherever a patch needs
one, pages of trampolines. What a trampoline may execute nobody can write through the tracee: rings are not executable,
code is not writable, and htrun writes both from outside.

A forked child has copies or shares of all of it at the same addresses: the rings and the code are the same memory, the
table is a private copy.
"""

from __future__ import annotations

import bisect
import mmap
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htrun.channel import layout as channel_layout
from htrun.channel.file import Channel
from htrun.intercept.guest import AddressSpace, Mapping
from htrun.rings import layout as ring_layout
from htrun.rings.ring import RingPool
from htrun.tracee.inject import Injection
from htrun.tracee.memory import Memory

if TYPE_CHECKING:
    from htrun.intercept.sites import Site
    from htrun.x86.trampoline import Trampoline

_PAGE = 4096
_PROT_READ, _PROT_WRITE, _PROT_EXEC = 1, 2, 4
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_NORESERVE = 0x01, 0x02, 0x20, 0x4000
_MAP_FIXED_NOREPLACE = 0x100000
_O_RDWR_CLOEXEC = 0o2000002
_MADV_DONTDUMP = 16
_MEMBARRIER_REGISTER_SYNC_CORE = 1 << 6
_CODE_SPAN = 64 << 20
"""Bytes of trampolines a run may have at most; sites beyond go on trapping."""
_NEAR_CHUNK = 16 * _PAGE
"""Bytes mapped at once for trampolines that may lie anywhere near their sites."""
_REACH = (1 << 31) - (1 << 20)
"""Bytes: how far a jump is sure to lead, with the length of any trampoline to spare."""
_SCRATCH_OFFSET = 0x1000
"""In the channel's header region, of which the ABI uses 64 bytes: htrun writes it, the tracee can only read it."""


class NoRoom(Exception):
    """There is no free memory where a trampoline would have to lie."""


class CodeMemory:
    """The memory file that holds the trampolines of a whole run, written through htrun's own mapping."""

    def __init__(self) -> None:
        self.file = os.memfd_create("htrun-trampolines", os.MFD_CLOEXEC)
        os.ftruncate(self.file, _CODE_SPAN)
        self.view = memoryview(mmap.mmap(self.file, _CODE_SPAN))
        self._used = 0

    def take(self, size: int) -> int:
        """The file offset of ``size`` fresh bytes (a multiple of the page size). Raises `NoRoom`."""
        if self._used + size > _CODE_SPAN:
            raise NoRoom("all memory for trampolines is used up")
        offset = self._used
        self._used += size
        return offset


@dataclass(eq=False, slots=True)
class CodeRun:
    """Neighbouring pages of trampolines: ``size`` bytes at ``address`` in the tracee, ``offset`` in the code memory.

    ``used``: sorted, separate ``(start, end)`` offsets in the run. Shared by forked copies of an address space, since
    they share the memory.
    """

    address: int
    size: int
    offset: int
    used: list[tuple[int, int]] = field(default_factory=list)

    def fit(self, low: int, high: int, size: int) -> int | None:
        """The first address in ``[low, high)`` at which ``size`` bytes are free."""
        start = max(low - self.address, 0)
        for begin, end in [*self.used, (self.size, self.size)]:
            if start + size <= begin:
                break
            start = max(start, end)
        if start + size > self.size or not low <= self.address + start < high:
            return None
        return self.address + start

    def take(self, address: int, size: int) -> None:
        """Mark ``size`` bytes at ``address`` as used."""
        bisect.insort(self.used, (address - self.address, address - self.address + size))


@dataclass(eq=False, slots=True)
class ThreadTable:
    """The table from thread pointer to ring, at ``address`` in the tracee, written through its memory file."""

    address: int
    entries: dict[int, int] = field(default_factory=dict)
    """Offset in the table to the thread pointer that stands there."""

    def add(self, memory: Memory, fs_base: int, ring: int) -> bool:
        """Let the thread with ``fs_base`` find its ``ring``; False if both of its places are taken."""
        for offset in ring_layout.table_offsets(fs_base):
            if self.entries.get(offset, fs_base) == fs_base:
                # The ring first: a thread that finds its key must find its ring behind it.
                memory.write(self.address + offset + 8, ring.to_bytes(8, "little"))
                memory.write(self.address + offset, fs_base.to_bytes(8, "little"))
                self.entries[offset] = fs_base
                return True
        return False

    def remove(self, memory: Memory, fs_base: int) -> None:
        """The thread with ``fs_base`` has no ring any more: its next event traps."""
        for offset in ring_layout.table_offsets(fs_base):
            if self.entries.get(offset) == fs_base:
                memory.write(self.address + offset, bytes(ring_layout.TABLE_ENTRY))
                del self.entries[offset]

    def clear(self, memory: Memory) -> None:
        """Nobody has a ring: the memory is a forked child's."""
        for fs_base in list(self.entries.values()):
            self.remove(memory, fs_base)


@dataclass(eq=False, slots=True)
class Arena:
    """htrun's memory in one address space. Addresses are the tracee's.

    ``rings``: where the ring pool starts; ``data``: where the channel's data region starts in htrun's own mapping.
    """

    rings: int
    data: int
    table: ThreadTable
    code: CodeMemory
    runs: list[CodeRun] = field(default_factory=list)
    trampolines: dict[int, tuple[Site, Trampoline]] = field(default_factory=dict)
    """By their start; a trampoline stays when its patch is gone, since a thread may still be inside."""
    starts: list[int] = field(default_factory=list)
    """The keys of `trampolines`, sorted."""
    runtimes: list[int] = field(default_factory=list)
    """Where the stub stands that trampolines within two gigabytes share."""

    def fork(self) -> Arena:
        """The same in a forked child's copy of the memory; its sites are set by the caller."""
        return Arena(
            self.rings,
            self.data,
            ThreadTable(self.table.address, dict(self.table.entries)),
            self.code,
            list(self.runs),
            runtimes=list(self.runtimes),
        )

    def holds(self, address: int) -> bool:
        """Whether ``address`` lies in a page of trampolines."""
        return any(run.address <= address < run.address + run.size for run in self.runs)

    def at(self, address: int) -> tuple[Site, Trampoline] | None:
        """The site and the trampoline that ``address`` lies in; None in the stub they share."""
        place = bisect.bisect_right(self.starts, address) - 1
        if place >= 0:
            site, trampoline = self.trampolines[self.starts[place]]
            if address in trampoline:
                return site, trampoline
        return None

    def adopt(self, trampoline: Trampoline, site: Site) -> None:
        """``trampoline`` is ``site``'s."""
        start = trampoline.address
        if start not in self.trampolines:
            bisect.insort(self.starts, start)
        self.trampolines[start] = site, trampoline

    def write(self, address: int, code: bytes) -> None:
        """Put code at ``address``, which must lie in a run."""
        run = next(run for run in self.runs if run.address <= address < run.address + run.size)
        at = run.offset + address - run.address
        self.code.view[at : at + len(code)] = code


class ArenaBuilder:
    """Makes arenas, by calls injected into a tracee."""

    def __init__(self, channel: Channel, pool: RingPool) -> None:
        self._channel = channel
        self._pool = pool
        self._code = CodeMemory()

    def build(self, injection: Injection, mapping: Mapping) -> Arena:
        """The arena of an address space that shows the channel at ``mapping``. Raises OSError, or `NoRoom` when the
        channel's header isn't mapped."""
        data_size = self._channel.layout.total_size - channel_layout.DATA_OFFSET
        rings = self._map(injection, mapping, self._pool.file, 0, self._pool.size, _PROT_READ | _PROT_WRITE, 0)
        # Otherwise a core dump would hold all rings: a memory file counts as anonymous shared memory (core(5)).
        injection.call("madvise", rings, self._pool.size, _MADV_DONTDUMP)
        data = self._map(
            injection, mapping, self._channel.descriptor, channel_layout.DATA_OFFSET, data_size, _PROT_READ, 0
        )
        table = injection.call(
            "mmap", 0, ring_layout.TABLE_SIZE, _PROT_READ, _MAP_PRIVATE | _MAP_ANONYMOUS, (1 << 64) - 1, 0
        )
        injection.call("membarrier", _MEMBARRIER_REGISTER_SYNC_CORE, 0, 0)
        return Arena(rings, data, ThreadTable(table), self._code)

    def place(
        self, injection: Injection, space: AddressSpace, windows: list[tuple[int, int]], size: int
    ) -> tuple[int, int]:
        """Room for ``size`` bytes of code that start in one of ``windows`` (``[low, high)``, the best one first).

        Returns the number of the window and the address. Maps more memory where there is none yet. Raises `NoRoom`.
        """
        arena = space.arena
        assert arena is not None
        for number, (low, high) in enumerate(windows):
            for run in arena.runs:
                address = run.fit(low, high, size)
                if address is not None:
                    run.take(address, size)
                    return number, address
        gaps = _gaps(next(iter(space.threads)).tid)
        for number, (low, high) in enumerate(windows):
            run_found = self._new_run(injection, space, gaps, low, high, size)
            if run_found is not None:
                address = run_found.fit(low, high, size)
                assert address is not None
                run_found.take(address, size)
                return number, address
        raise NoRoom("no free memory where a jump from here can lead")

    def runtime_near(self, injection: Injection, space: AddressSpace, at: int) -> int:
        """The address of a runtime stub that code at ``at`` can jump to. Raises `NoRoom`."""
        from htrun.x86.trampoline import build_runtime

        arena = space.arena
        assert arena is not None
        for runtime in arena.runtimes:
            if abs(runtime - at) < _REACH:
                return runtime
        size = len(build_runtime(at))
        _, place = self.place(injection, space, [(max(at - _REACH, 0), at + _REACH)], size)
        arena.write(place, build_runtime(place))
        arena.runtimes.append(place)
        return place

    def _new_run(
        self, injection: Injection, space: AddressSpace, gaps: list[tuple[int, int]], low: int, high: int, size: int
    ) -> CodeRun | None:
        wide = high - low > 4 * _NEAR_CHUNK
        for gap_low, gap_high in gaps:
            first = max(gap_low, (low + _PAGE - 1 if wide else low) // _PAGE * _PAGE)
            length = _NEAR_CHUNK if wide else (max(low, first) + size + _PAGE - 1) // _PAGE * _PAGE - first
            last_start = min(high - 1, gap_high - size)
            if first + length > gap_high or max(low, first) > last_start:
                continue
            assert space.arena is not None
            offset = space.arena.code.take(length)
            mapping = next(mapping for mapping in space.mappings if mapping.header[0] < mapping.header[1])
            try:
                address = self._map(
                    injection, mapping, self._code.file, offset, length, _PROT_READ | _PROT_EXEC, first
                )
            except OSError:
                continue
            run = CodeRun(address, length, offset)
            space.arena.runs.append(run)
            return run
        return None

    def _map(
        self, injection: Injection, mapping: Mapping, file: int, offset: int, size: int, protection: int, at: int
    ) -> int:
        """Let the tracee map a file that htrun has open."""
        low, high = mapping.header
        if high - low < _SCRATCH_OFFSET + _PAGE:
            raise NoRoom("the channel's header is not mapped")
        path = f"/proc/{os.getpid()}/fd/{file}".encode() + b"\0"
        self._channel.memory[_SCRATCH_OFFSET : _SCRATCH_OFFSET + len(path)] = path
        descriptor = injection.call("open", low + _SCRATCH_OFFSET, _O_RDWR_CLOEXEC, 0)
        try:
            flags = _MAP_SHARED | _MAP_NORESERVE | (_MAP_FIXED_NOREPLACE if at else 0)
            return injection.call("mmap", at, size, protection, flags, descriptor, offset)
        finally:
            injection.call("close", descriptor)


def _gaps(tid: int) -> list[tuple[int, int]]:
    """The free ranges of a tracee's address space, from /proc/TID/maps (proc_pid_maps(5)), that may be mapped."""
    lowest, highest = 0x10000, (1 << 47) - _PAGE
    gaps, last = [], lowest
    with open(f"/proc/{tid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
            if start > last:
                gaps.append((last, min(start, highest)))
            last = max(last, end)
    if last < highest:
        gaps.append((last, highest))
    return gaps
