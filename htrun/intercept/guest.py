"""The tracees: address spaces, processes and threads, and what is known of each."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel import layout
from htrun.hosts.calls import Abi
from htrun.tracee.memory import Memory
from htrun.tracee.stopped import Stopped

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.arena import Arena
    from htrun.intercept.sites import Site
    from htrun.rings.client_rings import Source
    from htrun.rings.ring import Ring


class Mapping(NamedTuple):
    """A part of the channel in an address space: ``length`` bytes at ``start`` show the file from ``offset`` on.
    ``memory``: the number of the channel's memory that they show."""

    start: int
    length: int
    offset: int
    memory: int = 0

    @property
    def end(self) -> int:
        """The first address after the mapping."""
        return self.start + self.length

    def part(self, offset: int, length: int) -> tuple[int, int]:
        """The addresses ``[low, high)`` where file bytes ``[offset, offset + length)`` show; empty if low >= high."""
        low = max(self.start, self.start + offset - self.offset)
        high = min(self.end, self.start + offset + length - self.offset)
        return low, high

    @property
    def control(self) -> tuple[int, int]:
        """The addresses ``[low, high)`` of the control region in this mapping."""
        return self.part(layout.CONTROL_OFFSET, layout.CONTROL_SIZE)

    @property
    def header(self) -> tuple[int, int]:
        """The addresses ``[low, high)`` of the header region in this mapping."""
        return self.part(0, layout.HEADER_SIZE)

    @property
    def control_word(self) -> int | None:
        """Where an event's index is stored; None if the mapping doesn't show it."""
        low, high = self.part(layout.CONTROL_OFFSET, 1)
        return low if low < high else None

    def without(self, start: int, end: int) -> list[Mapping]:
        """What is left of the mapping when ``[start, end)`` is unmapped: none, one or two pieces."""
        pieces = []
        if self.start < min(start, self.end):
            pieces.append(self._replace(length=min(start, self.end) - self.start))
        if self.end > max(end, self.start):
            low = max(end, self.start)
            pieces.append(self._replace(start=low, length=self.end - low, offset=self.offset + low - self.start))
        return pieces


class Mappings:
    """The channel's mappings in one address space, ordered by address."""

    def __init__(self) -> None:
        self._all: list[Mapping] = []
        self._starts: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._all)

    def find(self, address: int) -> Mapping | None:
        """The mapping that holds ``address``."""
        place = bisect.bisect_right(self._starts, address) - 1
        if place >= 0 and address < self._all[place].end:
            return self._all[place]
        return None

    def add(self, mapping: Mapping) -> None:
        """A new mapping, which replaces whatever was there."""
        self.remove(mapping.start, mapping.end)
        self._set([*self._all, mapping])

    def remove(self, start: int, end: int) -> list[Mapping]:
        """Forget ``[start, end)``; returns the mappings that lost something."""
        hit = [mapping for mapping in self._all if mapping.start < end and start < mapping.end]
        if hit:
            kept = [mapping for mapping in self._all if mapping not in hit]
            self._set([*kept, *(piece for mapping in hit for piece in mapping.without(start, end))])
        return hit

    def overlapping(self, start: int, end: int) -> list[Mapping]:
        """The mappings that share a byte with ``[start, end)``."""
        return [mapping for mapping in self._all if mapping.start < end and start < mapping.end]

    def control_words(self) -> frozenset[int]:
        """All addresses to which an event's index can be stored."""
        return frozenset(word for mapping in self._all if (word := mapping.control_word) is not None)

    def copy(self) -> Mappings:
        """An independent copy, for a forked child."""
        twin = Mappings()
        twin._set(list(self._all))
        return twin

    def _set(self, mappings: list[Mapping]) -> None:
        self._all = sorted(mappings)
        self._starts = [mapping.start for mapping in self._all]


class ThreadPointers:
    """Which threads of an address space have which thread pointer (`Thread.pointer`)."""

    def __init__(self) -> None:
        self._threads: dict[int, set[Thread]] = {}

    def learn(self, thread: Thread, pointer: int) -> None:
        """Set the thread's pointer to ``pointer``; 0 if that is unknown."""
        if thread.pointer == pointer:
            return
        self.forget(thread)
        thread.pointer = pointer
        if pointer:
            self._threads.setdefault(pointer, set()).add(thread)

    def forget(self, thread: Thread) -> None:
        """The thread has left the address space, or its pointer has changed."""
        threads = self._threads.get(thread.pointer)
        if threads is not None:
            threads.discard(thread)
            if not threads:
                del self._threads[thread.pointer]

    def others(self, thread: Thread) -> list[Thread]:
        """The other threads with the same thread pointer as ``thread``."""
        return [other for other in self._threads.get(thread.pointer, ()) if other is not thread]


@dataclass(eq=False, slots=True)
class AddressSpace:
    """One memory, shared by the threads of a process and by a vfork child and its parent."""

    memory: Memory
    mappings: Mappings = field(default_factory=Mappings)
    sites: dict[int, Site] = field(default_factory=dict)
    """By the address of the instruction."""
    threads: set[Thread] = field(default_factory=set)
    """Those that run in it."""
    machine: bool = False
    """Whether its guest is a whole machine, whose emulator would die of the guest's faults."""

    # What `htrun.runner.loop` has seen.
    abi: Abi | None = None
    """The interface of the call that mapped a channel; None before one was mapped."""
    syscall_instruction: int = 0
    """Where a system call instruction of ``abi`` was last seen."""
    unrecorded: bool = False
    """Stores to its channel are no longer recorded, since recording has failed."""

    # The patcher's.
    arena: Arena | None = None
    """htrun's own memory in it; None before the first site is patched."""
    unpatchable: str = ""
    """Why no site in it can be patched; empty if sites can."""
    breakpoints: set[int] = field(default_factory=set)
    """Addresses at which code was ever replaced: a thread may have executed the temporary halt there."""
    pointers: ThreadPointers = field(default_factory=ThreadPointers)

    # Of mapping calls (`locks_memory`) and of execs that are redirected to an emulator.
    locks_memory: bool = False
    """Whether what is mapped from now on is locked (MCL_FUTURE, mlockall(2)), which no child inherits."""
    exec_rooms: list[tuple[int, int]] = field(default_factory=list)
    """Address and size of unused memory that htrun has mapped for the arguments of execs."""

    def __post_init__(self) -> None:
        self.memory.threads = lambda: [thread.tid for thread in self.threads]

    def close(self) -> None:
        """No thread runs in it any more."""
        self.memory.close()
        if self.arena is not None:
            self.arena.close()

    def fork(self, tid: int) -> AddressSpace:
        """The copy that a forked child has. The code is the same, so what is known of its sites holds for it too."""
        return AddressSpace(
            memory=Memory(tid),
            mappings=self.mappings.copy(),
            sites={address: site.fork() for address, site in self.sites.items()},
            abi=self.abi,
            syscall_instruction=self.syscall_instruction,
            machine=self.machine,
            exec_rooms=list(self.exec_rooms),
        )


_DEFAULT, _IGNORE = 0, 1
"""SIG_DFL, SIG_IGN."""
_RESETHAND = 0x80000000
"""SA_RESETHAND."""


@dataclass(eq=False, slots=True)
class SignalActions:
    """What a process does on SIGSEGV, as far as it can be known from outside. Shared with CLONE_SIGHAND."""

    segv: bytes | None = None
    """The kernel's struct sigaction as the guest last set it, in the form of the guest's own rt_sigaction: 32 bytes
    from 64-bit code, 20 from 32-bit code; None before."""
    marked: bool = False
    """The guest sees the default action, while the kernel has htrun's marker (`htrun.intercept.actions`)."""

    @classmethod
    def ignoring(cls) -> SignalActions:
        """SIGSEGV ignored, as it is inherited by exec: no flags, no mask, in 64-bit or 32-bit form."""
        return cls(_IGNORE.to_bytes(32, "little"))

    def copy(self) -> SignalActions:
        """A copy, for a forked child."""
        return SignalActions(self.segv, self.marked)

    @property
    def handler(self) -> int:
        """What the guest has set: the address of its handler, or 0 for the default, or 1 to ignore the signal."""
        return handler_of(self.segv) if self.segv is not None else _DEFAULT

    @property
    def ignored(self) -> bool:
        """Whether SIGSEGV is ignored."""
        return self.handler == _IGNORE

    @property
    def is_default(self) -> bool:
        """Whether SIGSEGV kills, by the action that the guest has set."""
        return self.handler == _DEFAULT

    @property
    def has_handler(self) -> bool:
        """Whether the guest has a handler."""
        return self.handler > _IGNORE

    @property
    def is_unmarked_default(self) -> bool:
        """Whether SIGSEGV kills, by the kernel's action as well."""
        return self.is_default and not self.marked

    @property
    def reset_by_delivery(self) -> bool:
        """Whether the guest has a handler that the kernel removes on entry (SA_RESETHAND)."""
        return self.segv is not None and self.has_handler and bool(_flags_of(self.segv) & _RESETHAND)

    def handler_taken(self) -> None:
        """The kernel has made the action the default one, and has kept the rest of it."""
        if self.segv is not None:
            self.segv = with_handler(self.segv, _DEFAULT)
        self.marked = False


def _word_of(action: bytes) -> int:
    return 8 if len(action) == 32 else 4


def handler_of(action: bytes) -> int:
    """The handler in a struct sigaction of the kernel's, in 64-bit or 32-bit form."""
    return int.from_bytes(action[: _word_of(action)], "little")


def with_handler(action: bytes, handler: int) -> bytes:
    """The same struct sigaction with another handler."""
    word = _word_of(action)
    return handler.to_bytes(word, "little") + action[word:]


def _flags_of(action: bytes) -> int:
    word = _word_of(action)
    return int.from_bytes(action[word : word + 4], "little")


class MaskFilter:
    """What `htrun.intercept.masks` knows of the filter that stops threads of a process that change their masks."""

    __slots__ = ("followed", "hidden", "watched")

    def __init__(self) -> None:
        self.watched = False
        """The filter was installed in the process, and stays through exec. It may be installed again in a child that
        inherits it."""
        self.followed = False
        """Whether this filter keeps `ThreadSignals.segv_blocked` of the process's threads up to date."""
        self.hidden = ""
        """Why the filter can't be installed in the process; empty if it can."""


@dataclass(eq=False, slots=True)
class Process:
    """A thread group."""

    pid: int
    space: AddressSpace
    actions: SignalActions
    big_endian: bool = False
    """The byte order in which its guest writes arguments."""
    threads_seen: int = 0
    """Its threads so far."""
    living: int = 0
    """Its threads that have not exited."""
    filtered: bool = False
    """It has, or has inherited, a seccomp filter that is not htrun's."""
    guarded: list[tuple[int, int]] = field(default_factory=list)
    """Ranges for which it has, or has inherited, a channel filter of htrun's. A filter stays for good, through forks
    and exec."""
    masks: MaskFilter = field(default_factory=MaskFilter)
    action_in_doubt: bool = False
    """It has not run yet, and may have inherited its parent's SIGSEGV action in the moment in which a trap had reset
    it."""


class ThreadSignals:
    """What `htrun.intercept.masks` and `htrun.intercept.traps` know of a thread's signals."""

    __slots__ = ("entering_handler", "segv_blocked", "stepped", "swallowed")

    def __init__(self) -> None:
        self.segv_blocked = False
        """Whether the thread blocks SIGSEGV: known at a trap, and kept up to date where its process's masks are
        followed and its address space has a channel mapped."""
        self.swallowed: bytes | None = None
        """The siginfo of a SIGSEGV that was pending when the thread's store trapped; it is made pending again when the
        thread continues."""
        self.stepped = False
        """The thread single-steps itself, and htrun must still send it the SIGTRAP for the step that was its trapped
        store."""
        self.entering_handler = False
        """The thread was resumed with a single step into a signal handler, to see the handler's mask."""


class RedirectedExec:
    """An exec of a thread that `htrun.runner.foreign_exec` has redirected to an emulator, while it is under way."""

    __slots__ = ("big_endian", "registers", "room")

    def __init__(self) -> None:
        self.registers: Registers | None = None
        """The thread's registers before, restored should the exec fail; None while there is no such exec."""
        self.room: tuple[int, int] | None = None
        """The memory of its arguments, one of `AddressSpace.exec_rooms`."""
        self.big_endian = False
        """The byte order of the program that it starts."""


class Doubt:
    """A fault that the code at a thread's program counter can't have raised, as `htrun.intercept.traps` counts them."""

    __slots__ = ("fault", "times")

    def __init__(self) -> None:
        self.fault: tuple[int, int, bytes] | None = None
        """The program counter, the address of the fault, and the code; None if there is no doubt."""
        self.times = 0
        """How often in a row."""


@dataclass(eq=False, slots=True)
class Thread:
    """A traced thread."""

    tid: int
    process: Process
    number: int
    """Its position in its process's order of appearance, from 0."""
    exiting: bool = False
    """Its exit event has been seen."""
    signals: ThreadSignals = field(default_factory=ThreadSignals)
    exec: RedirectedExec = field(default_factory=RedirectedExec)
    doubt: Doubt = field(default_factory=Doubt)

    # The recording's.
    ring: Ring | None = None
    """Where the records of its stores go, from the first on."""
    source: Source | None = None
    """Its stream, once it has one."""
    comm: str | None = None
    """Its name, kept from when the thread exits, since it cannot be read after that."""

    # Of `htrun.intercept.thread_rings`.
    pointer: int = 0
    """The thread pointer by which a trampoline knows it (`Arena.pointer_seen`), when last seen; 0 if never."""
    registered: bool = False
    """Whether trampolines find its ring by that pointer."""

    @property
    def space(self) -> AddressSpace:
        """The memory the thread runs in."""
        return self.process.space


class StoppedThread(Stopped):
    """A traced thread while it is at a ptrace-stop."""

    __slots__ = ("thread",)

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.tid = thread.tid
