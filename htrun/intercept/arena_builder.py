"""Makes arenas: injects calls into the thread that has trapped, which map htrun's memory into the tracee."""

from __future__ import annotations

import mmap
import os
import resource
from contextlib import suppress
from pathlib import Path

from htrun import hosts
from htrun.channel import layout as channel_layout
from htrun.channel.file import Channel
from htrun.intercept.arena import Arena, CodeMemory, CodeRun, NoRoom, ThreadTable, self_pointer
from htrun.intercept.free_memory import PAGE, limit_of
from htrun.intercept.guest import AddressSpace, Mapping
from htrun.intercept.ring_maps import Piece, RingMaps
from htrun.rings import layout as ring_layout
from htrun.rings.ring import RingPool
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.inject import Injection

_PROT_NONE, _PROT_READ, _PROT_WRITE, _PROT_EXEC = 0, 1, 2, 4
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_NORESERVE = 0x01, 0x02, 0x20, 0x4000
_MAP_FIXED_NOREPLACE = 0x100000
_O_RDONLY_CLOEXEC, _O_RDWR_CLOEXEC = 0o2000000, 0o2000002
_MADV_DONTDUMP = 16
_MEMBARRIER_REGISTER_SYNC_CORE = 1 << 6
_MOST_RUNS = 1 << 14
"""The maximum number of trampoline mappings in one address space: a quarter of the default vm.max_map_count
(proc_sys_vm(5))."""
_NEAR_CHUNK = 16 * PAGE
"""The number of bytes that are mapped in one call, for trampolines that may be anywhere near their sites."""
_FAR = 0x4000_0000_0000
"""The preferred address for rings. It is far from code, since gigabytes of rings near code would leave no room for
trampolines."""
_LIMITED_SHARE = 8
"""If the address space of the guest is limited, the rings take at most the remaining space divided by this number."""
_SCRATCH_OFFSET = 0x1000
"""An offset in the channel's header region. The ABI uses only the first 64 bytes of this region. htrun writes to the
region; the tracee can only read it."""


class ArenaBuilder:
    """Makes arenas, by calls that are injected into a tracee."""

    def __init__(self, channel: Channel, pool: RingPool, ranges: CodeRanges, *, by_register: bool) -> None:
        """``ranges``: the addresses at which trampolines are mapped; this class keeps it up to date. ``by_register``:
        whether trampolines always identify threads by the register that holds the thread pointer."""
        self._channel = channel
        self._pool = pool
        self._by_register = by_register
        self._code = CodeMemory(ranges)

    def build(self, injection: Injection, space: AddressSpace, tid: int, thread_pointer: int) -> Arena:
        """Make the arena of an address space in which the channel is mapped. ``thread_pointer``: the thread pointer of
        thread ``tid``. It determines how trampolines can identify the threads of the program. Raises OSError or
        `NoRoom`."""
        mapping = _with_header(space)
        data_size = self._channel.layout.total_size - channel_layout.DATA_OFFSET
        _most_rings(tid, self._pool)
        file = self._channel.descriptor_of(mapping.memory)
        data = self._map(injection, space, tid, mapping, file, channel_layout.DATA_OFFSET, data_size, _PROT_READ)
        try:
            private = _MAP_PRIVATE | _MAP_ANONYMOUS
            table = injection.call("mmap", 0, ring_layout.TABLE_SIZE, _PROT_READ, private, (1 << 64) - 1, 0)
        except OSError:
            injection.call("munmap", data, data_size)
            raise
        self_pointers = not self._by_register and self_pointer(space.memory, thread_pointer) == thread_pointer
        parts = (RingMaps(self._pool.most), data, data_size)
        arena = Arena(*parts, ThreadTable(table), self_pointers, self._code, mapping.memory)
        arena.table.prepare(space.memory)
        return arena

    def map_rings(self, injection: Injection, space: AddressSpace, tid: int, number: int) -> None:
        """Map ring ``number``, and some rings next to it, into the address space. Raises OSError or `NoRoom`."""
        arena = space.arena
        assert arena is not None
        size = self._pool.shape.size
        first, count = arena.rings.wanted(number, 1 if space.locks_memory else _most_rings(tid, self._pool))
        address = self._map_pool(injection, space, tid, first * size, count * size)
        piece = Piece(first, count, size, address)
        # A memory file counts as anonymous shared memory (core(5)), so a core dump would contain the rings.
        injection.call("madvise", address, piece.length, _MADV_DONTDUMP)
        arena.rings.add(piece)

    def _map_pool(self, injection: Injection, space: AddressSpace, tid: int, offset: int, size: int) -> int:
        """Map ``size`` bytes of the rings, from ``offset`` on. Returns the address. Raises OSError or `NoRoom`."""
        protection = _PROT_READ | _PROT_WRITE
        # Map the memory without access, and unlock it before it becomes accessible. The kernel populates neither locked
        # memory that is inaccessible, nor unlocked memory.
        first = protection if not space.locks_memory else _PROT_NONE
        where, file, at = _with_header(space), self._pool.file, _FAR + offset
        address = self._map(injection, space, tid, where, file, offset, size, first, at, fixed=False, writable=True)
        if space.locks_memory:
            injection.call("munlock", address, size)
            injection.call("mprotect", address, size, protection)
        return address

    def place(
        self, injection: Injection, space: AddressSpace, tid: int, windows: list[tuple[int, int]], size: int
    ) -> tuple[int, int]:
        """Allocate ``size`` bytes for code that starts in one of ``windows``. A window is a range ``[low, high)``; the
        best window comes first.

        Returns the index of the window and the address. Maps more memory if the existing code runs have no room. Raises
        `NoRoom`.
        """
        arena = space.arena
        assert arena is not None
        for number, (low, high) in enumerate(windows):
            address = arena.take(low, high, size)
            if address is not None:
                return number, address
        for look in (False, True):
            if look:
                arena.free_memory.look(tid)
            for number, (low, high) in enumerate(windows):
                run = self._new_run(injection, space, tid, low, high, size)
                if run is not None:
                    address = run.take(low, high, size)
                    assert address is not None
                    return number, address
        raise NoRoom("no free memory in the range of a jump from here")

    def runtime_near(self, injection: Injection, space: AddressSpace, tid: int, at: int) -> int:
        """The address of a runtime stub that can be reached by a jump from ``at``. Raises `NoRoom`."""
        host, arena = hosts.current(), space.arena
        assert arena is not None
        for runtime in arena.runtimes:
            if abs(runtime - at) < host.reach:
                return runtime
        size = len(host.build_runtime(at))
        _, place = self.place(injection, space, tid, [(max(at - host.reach, 0), at + host.reach)], size)
        arena.write(place, host.build_runtime(place))
        arena.runtimes.append(place)
        return place

    def _new_run(
        self, injection: Injection, space: AddressSpace, tid: int, low: int, high: int, size: int
    ) -> CodeRun | None:
        arena = space.arena
        assert arena is not None
        if len(arena.runs) >= _MOST_RUNS:
            raise NoRoom(f"there are {_MOST_RUNS} mappings of trampolines already")
        mapping = _with_header(space)
        for start, end in arena.free_memory.proposals(low, high, size, _NEAR_CHUNK):
            offset = self._code.take(end - start)
            protection = _PROT_READ | _PROT_EXEC
            try:
                self._map(injection, space, tid, mapping, self._code.file, offset, end - start, protection, start)
            except OSError as error:
                self._code.give_back(offset, end - start)
                if isinstance(error, FileExistsError):
                    # The guest has mapped something at this address since the free ranges were read.
                    continue
                raise
            arena.free_memory.take(start, end)
            run = CodeRun(start, end - start, offset, [(start, end)])
            arena.add(run)
            return run
        return None

    def _map(
        self,
        injection: Injection,
        space: AddressSpace,
        tid: int,
        mapping: Mapping,
        file: int,
        offset: int,
        size: int,
        protection: int,
        at: int = 0,
        *,
        fixed: bool = True,
        writable: bool = False,
    ) -> int:
        """Let the tracee map ``file``, a file that htrun has open. ``at``: the address at which to map it. ``fixed``:
        False if this address is only a preference. ``writable``: whether the tracee may ever write to the mapping.

        Raises OSError; FileExistsError if something is already mapped at the fixed address.
        """
        descriptor = self._opened(injection, space, tid, mapping, file, writable=writable)
        try:
            flags = _MAP_SHARED | _MAP_NORESERVE | (_MAP_FIXED_NOREPLACE if at and fixed else 0)
            return injection.call("mmap", at, size, protection, flags, descriptor, offset)
        finally:
            injection.call("close", descriptor)

    def _opened(
        self, injection: Injection, space: AddressSpace, tid: int, mapping: Mapping, file: int, *, writable: bool
    ) -> int:
        """Let the tracee open ``file``, a file that htrun has open. Returns the tracee's descriptor. Raises OSError."""
        low, _high = mapping.header
        path = f"/proc/{os.getpid()}/fd/{file}".encode() + b"\0"
        self._channel.write_header(_SCRATCH_OFFSET, path)
        # If a file was opened for reading only, mprotect(2) cannot make its mapping writable.
        mode = _O_RDWR_CLOEXEC if writable else _O_RDONLY_CLOEXEC
        with suppress(PermissionError, FileNotFoundError):
            descriptor = injection.call("open", low + _SCRATCH_OFFSET, mode, 0)
            if _is_same(tid, descriptor, file):
                return descriptor
            # In another PID namespace, the same path names another file.
            injection.call("close", descriptor)
        from htrun.intercept.passed_file import pass_file

        # Use the process of thread ``tid``, since a process created by vfork has its own file table.
        pid = next(thread.process.pid for thread in space.threads if thread.tid == tid)
        return pass_file(injection, space.memory, pid, file, writable=writable)


def register_barrier(injection: Injection) -> None:
    """Register the process for membarrier(2), so that it can serialize the instruction streams of its threads. This
    takes about 7 ms in a process with several threads (kernel/sched/membarrier.c, sync_runqueues_membarrier_state)."""
    injection.call("membarrier", _MEMBARRIER_REGISTER_SYNC_CORE, 0, 0)


def _with_header(space: AddressSpace) -> Mapping:
    """A mapping of the channel that contains the part of the header that htrun uses. Raises `NoRoom`."""
    for mapping in space.mappings:
        low, high = mapping.header
        if mapping.offset == 0 and high - low >= _SCRATCH_OFFSET + PAGE:
            return mapping
    raise NoRoom("the channel's header is not mapped")


def _is_same(tid: int, descriptor: int, file: int) -> bool:
    """Whether the tracee's ``descriptor`` refers to ``file``, a file that htrun has open."""
    theirs, ours = os.stat(f"/proc/{tid}/fd/{descriptor}"), os.fstat(file)
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _most_rings(tid: int, pool: RingPool) -> int:
    """The number of rings that may be mapped now. This is all rings, unless the guest's address space is limited.
    Raises `NoRoom`."""
    limit = limit_of(tid, resource.RLIMIT_AS)
    if limit is None:
        return pool.most
    used = int(Path(f"/proc/{tid}/statm").read_text().split()[0]) * mmap.PAGESIZE
    rings = (limit - used) // _LIMITED_SHARE // pool.shape.size
    if rings < 1:
        raise NoRoom(f"its address space is limited to {limit >> 20} MiB (ulimit -v)")
    return rings
