"""The known traps, which the machine code of `trap_wait` may handle without Python.

A trap is known if the same instruction of the same thread has stored to the same address before, and no stop that
Python must handle has happened since: no system call that htrun handles, no signal, no start or exit of a thread.
Python handles the first such trap, and stores its facts (`KnownTraps.learn`). When Python handles any other stop, it
makes all known traps invalid (`KnownTraps.forget`). At each trap the machine code compares the bytes of the
instruction, since generated code may be rewritten at any moment, and the control block of the ring, since guests can
write to it.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from htrun.hosts.x86_64.fastpath.thread_table import thread_table
from htrun.hosts.x86_64.registers import Registers
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.ptrace import MOST_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.hosts.stops import KnownStore, RecordSpace, Slots
    from htrun.hosts.trap_run import TrapRun

SITES = 256
_SITE_MULTIPLIER = 0x9E3779B1
_PEEKED = 16
"""The number of code bytes that are compared. No instruction is this long."""


class _Known(ctypes.Structure):
    """struct KnownTraps of trap_wait.S."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "threads",
            "most_threads",
            "sites",
            "generation",
            "slots",
            "slot_stride",
            "num_args",
            "max_clients",
            "record_size",
            "word",
            "count",
            "run",
            "signals",
            "code",
        )
    ]


class _KnownThread(ctypes.Structure):
    _fields_ = [
        ("generation", ctypes.c_uint64),
        ("space", ctypes.c_uint64),
        ("control", ctypes.c_uint64),
        ("position", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("delta", ctypes.c_uint64),
        ("signals", ctypes.c_uint64),
        ("faults", ctypes.c_uint64),
    ]


class _KnownSite(ctypes.Structure):
    _fields_ = [
        ("address", ctypes.c_uint64),
        ("generation", ctypes.c_uint64),
        ("space", ctypes.c_uint64),
        ("fault", ctypes.c_uint64),
        ("code", ctypes.c_uint8 * _PEEKED),
        ("mask", ctypes.c_uint8 * _PEEKED),
        ("value_at", ctypes.c_uint64),
        ("constant", ctypes.c_uint64),
        ("value_mask", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("traps", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 2),
    ]


class KnownTraps:
    """The known threads and sites, for machine code that reads a tracee's registers into ``registers``.

    This machine code also delivers signals that need not be inspected.

    ``code``: the addresses at which every signal to a thread must be inspected. ``record_size``: in bytes. ``run``: the
    current run of traps, which is kept up to date. ``in_one_go``: whether machine code may handle stops; if not, Python
    handles every stop.
    """

    def __init__(
        self,
        registers: Registers,
        slots: Slots,
        code: CodeRanges,
        *,
        record_size: int,
        run: TrapRun,
        in_one_go: bool = True,
    ) -> None:
        self._code = code
        self._registers_at = ctypes.addressof(registers)
        self._threads = thread_table(ctypes.sizeof(_KnownThread))
        self._sites = (_KnownSite * SITES)()
        self._traps_of: list[Callable[[int], None] | None] = [None] * SITES
        self._run = run
        self._known = _Known(
            threads=ctypes.addressof(ctypes.c_char.from_buffer(self._threads)),
            most_threads=MOST_THREADS if in_one_go else 0,
            sites=ctypes.addressof(self._sites),
            generation=1,
            signals=1,
            code=code.address,
            slots=slots.start,
            slot_stride=slots.stride,
            num_args=slots.num_args,
            max_clients=slots.total,
            record_size=record_size,
            run=ctypes.addressof(run),
        )

    @property
    def address(self) -> int:
        """The address of the table that the machine code reads."""
        return ctypes.addressof(self._known)

    @property
    def count(self) -> int:
        """The number of traps that the machine code has handled so far."""
        count: int = self._known.count
        return count

    def forget(self) -> None:
        """Forget all known traps, so that Python handles the next trap of each thread at each site."""
        self._known.generation += 1

    def let_signals_through(self, tid: int) -> None:
        """Let the machine code deliver signals to thread ``tid``, unless it is in a call or in ``code``."""
        self._thread(tid).signals = self._known.signals

    def let_faults_through(self, tid: int) -> None:
        """Let the machine code deliver faults of thread ``tid`` at unmapped addresses, until another stop happens."""
        self._thread(tid).faults = self._known.generation

    def look_at_signals(self, tid: int | None = None) -> None:
        """Let Python inspect the signals and faults of thread ``tid`` again. None stands for all threads."""
        if tid is None:
            self._known.signals += 1
        else:
            self._thread(tid).signals = 0

    def _thread(self, tid: int) -> _KnownThread:
        return _KnownThread.from_buffer(self._threads, tid * ctypes.sizeof(_KnownThread))

    def learn(self, tid: int, space: int, room: RecordSpace, store: KnownStore, trapped: Callable[[int], None]) -> None:
        """Let the machine code handle further traps in which thread ``tid`` makes ``store``. ``space``: the number of
        the address space in which the thread is stopped. ``room``: the memory for the thread's records.

        ``trapped`` is called with the number of such traps, at the latest by `settle`.
        """
        generation = self._known.generation
        thread = self._thread(tid)
        thread.generation, thread.space = generation, space
        thread.control, thread.position, thread.end, thread.delta = room.control, room.position, room.end, room.delta
        place = _place(store.address)
        site = self._sites[place]
        if (site.generation, site.space, site.fault, site.number) == (generation, space, store.fault, store.number):
            return
        self._settle(place)
        self._traps_of[place] = trapped
        site.address, site.generation, site.space, site.fault = store.address, generation, space, store.fault
        length = len(store.code)
        site.code[:] = store.code.ljust(_PEEKED, b"\0")
        site.mask[:] = (b"\xff" * length).ljust(_PEEKED, b"\0")
        site.value_at = self._value_at(site, store.value)
        site.value_mask = (1 << 8 * store.size) - 1
        site.length, site.number = length, store.number

    def _value_at(self, site: _KnownSite, value: str | int) -> int:
        if isinstance(value, str):
            offset: int = getattr(Registers, value).offset
            return self._registers_at + offset
        site.constant = value & (1 << 64) - 1
        return ctypes.addressof(site) + _KnownSite.constant.offset

    def settle(self) -> None:
        """Report the remaining traps at known sites: call each ``trapped`` with the number of traps that have not been
        reported to it."""
        for place in range(SITES):
            self._settle(place)

    def _settle(self, place: int) -> None:
        site, trapped = self._sites[place], self._traps_of[place]
        count, site.traps = site.traps, 0
        if count and trapped is not None:
            trapped(count)


def _place(address: int) -> int:
    return ((address & 0xFFFFFFFF) * _SITE_MULTIPLIER & 0xFFFFFFFF) >> 24
