"""The state of the tracees, as htrun tracks it: address spaces, processes and threads."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel import layout
from htrun.hosts.calls import Abi
from htrun.tracee.memory import Memory
from htrun.tracee.stopped import Stopped

if TYPE_CHECKING:
    from htrun.events.stream import Source
    from htrun.hosts.host import Registers
    from htrun.intercept.arena import Arena
    from htrun.intercept.places import Place
    from htrun.intercept.sites import Site
    from htrun.rings.ring import Ring


class Machine(Enum):
    """Whether a process runs a whole machine, and how: the process translates the machine's code, or KVM runs the code.
    With KVM, htrun can't see the machine's stores."""

    NONE = "none"
    TRANSLATED = "translated"
    VIRTUALIZED = "virtualized"


class Mapping(NamedTuple):
    """A part of the channel in an address space: ``length`` bytes at ``start`` that show the file from ``offset`` on.
    ``memory``: the number of the channel's memory that is mapped."""

    start: int
    length: int
    offset: int
    memory: int = 0

    @property
    def end(self) -> int:
        """The first address after the mapping."""
        return self.start + self.length

    def part(self, offset: int, length: int) -> tuple[int, int]:
        """The addresses ``[low, high)`` at which the mapping shows the file bytes ``[offset, offset + length)``; empty
        if low >= high."""
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
        """The address to which a guest stores the index of an event; None if this address is not in the mapping."""
        low, high = self.part(layout.CONTROL_OFFSET, 1)
        return low if low < high else None

    def without(self, start: int, end: int) -> list[Mapping]:
        """The parts of the mapping that remain when ``[start, end)`` is unmapped. There are at most two."""
        pieces = []
        if self.start < min(start, self.end):
            pieces.append(self._replace(length=min(start, self.end) - self.start))
        if self.end > max(end, self.start):
            low = max(end, self.start)
            pieces.append(self._replace(start=low, length=self.end - low, offset=self.offset + low - self.start))
        return pieces


class Mappings:
    """The channel's mappings in one address space, sorted by address."""

    def __init__(self) -> None:
        self._all: list[Mapping] = []
        self._starts: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._all)

    def find(self, address: int) -> Mapping | None:
        """The mapping that contains ``address``; None if there is none."""
        place = bisect.bisect_right(self._starts, address) - 1
        if place >= 0 and address < self._all[place].end:
            return self._all[place]
        return None

    def add(self, mapping: Mapping) -> None:
        """Add a mapping. It replaces all earlier mappings at its addresses."""
        self.remove(mapping.start, mapping.end)
        self._set([*self._all, mapping])

    def remove(self, start: int, end: int) -> list[Mapping]:
        """Remove ``[start, end)``. Returns the mappings that have lost a part."""
        hit = [mapping for mapping in self._all if mapping.start < end and start < mapping.end]
        if hit:
            kept = [mapping for mapping in self._all if mapping not in hit]
            self._set([*kept, *(piece for mapping in hit for piece in mapping.without(start, end))])
        return hit

    def overlapping(self, start: int, end: int) -> list[Mapping]:
        """The mappings that contain a byte of ``[start, end)``."""
        return [mapping for mapping in self._all if mapping.start < end and start < mapping.end]

    def control_words(self) -> frozenset[int]:
        """All addresses to which the index of an event can be stored."""
        return frozenset(word for mapping in self._all if (word := mapping.control_word) is not None)

    def copy(self) -> Mappings:
        """An independent copy, for a forked child."""
        twin = Mappings()
        # The lists are shared, since they are never changed, only replaced.
        twin._all, twin._starts = self._all, self._starts
        return twin

    def _set(self, mappings: list[Mapping]) -> None:
        self._all = sorted(mappings)
        self._starts = [mapping.start for mapping in self._all]


class ThreadPointers:
    """The threads of an address space, by thread pointer (`Thread.pointer`)."""

    def __init__(self) -> None:
        self._threads: dict[int, set[Thread]] = {}

    def learn(self, thread: Thread, pointer: int) -> None:
        """Set the thread's pointer to ``pointer``, or to 0 if the pointer is unknown."""
        if thread.pointer == pointer:
            return
        self.forget(thread)
        thread.pointer = pointer
        if pointer:
            self._threads.setdefault(pointer, set()).add(thread)

    def forget(self, thread: Thread) -> None:
        """Remove a thread that has left the address space, or whose pointer has changed."""
        threads = self._threads.get(thread.pointer)
        if threads is not None:
            threads.discard(thread)
            if not threads:
                del self._threads[thread.pointer]

    def others(self, thread: Thread) -> list[Thread]:
        """All other threads that have the same thread pointer as ``thread``."""
        return [other for other in self._threads.get(thread.pointer, ()) if other is not thread]


class AddressSpace:
    """A memory that is shared by the threads of a process, and by a vfork child and its parent."""

    __slots__ = (
        "abi",
        "arena",
        "breakpoints",
        "emulator",
        "exec_rooms",
        "locks_memory",
        "machine",
        "mappings",
        "memory",
        "pointers",
        "sites",
        "syscall_instruction",
        "threads",
        "translated",
        "unpatchable",
        "unrecorded",
        "virtualized",
    )

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.mappings = Mappings()
        self.sites: dict[int, Site] = {}
        """The sites, by the address of their instruction."""
        self.threads: set[Thread] = set()
        """The threads that run in this address space."""
        self.machine = False
        """Whether the guest is a whole machine. The machine's emulator would crash on a fault that the guest causes."""

        # The following attributes are set by `htrun.intercept.mapping_calls`.
        self.virtualized = False
        """Whether KVM runs the machine. The channel is then not protected, and ``mappings`` does not contain it."""
        self.abi: Abi | None = None
        """The interface of the call that has mapped a channel; None if no channel was mapped."""
        self.syscall_instruction = 0
        """The address at which a system call instruction of ``abi`` was last seen."""
        self.unrecorded = False
        """Whether stores to the channel are no longer recorded, because recording has failed."""

        # The following attributes are set by `htrun.intercept.places`, and described there.
        self.emulator: bool | None = None
        self.translated: Place | None = None

        # The following attributes are set by the patcher.
        self.arena: Arena | None = None
        """The memory that htrun has mapped into the address space; None before the first patch."""
        self.unpatchable = ""
        """The reason why no site in the address space can be patched; empty if sites can be patched."""
        self.breakpoints: set[int] = set()
        """The addresses at which code has ever been replaced. A thread may have executed the temporary halt there."""
        self.pointers = ThreadPointers()

        # ``locks_memory`` is set by mapping calls. ``exec_rooms`` is set for execs that are redirected to an emulator.
        self.locks_memory = False
        """Whether the kernel locks all memory that is mapped from now on (MCL_FUTURE, mlockall(2)). A child does not
        inherit this setting."""
        self.exec_rooms: list[tuple[int, int]] = []
        """The address and size of each piece of memory that htrun has mapped for the arguments of execs and that is
        unused now."""

        memory.threads = lambda: [thread.tid for thread in self.threads]

    def close(self) -> None:
        """Free the resources of an address space in which no thread runs any more."""
        self.memory.close()
        if self.arena is not None:
            self.arena.close()

    @property
    def has_channel(self) -> bool:
        """Whether the channel is mapped."""
        return self.virtualized or bool(self.mappings)

    def fork(self, tid: int) -> AddressSpace:
        """The address space of a forked child, which is a copy of this one. Its code is the same, so its sites are the
        same, too."""
        copy = AddressSpace(Memory(tid))
        copy.mappings = self.mappings.copy()
        copy.sites = {address: site.fork() for address, site in self.sites.items()}
        copy.abi = self.abi
        copy.syscall_instruction = self.syscall_instruction
        copy.machine = self.machine
        copy.exec_rooms = list(self.exec_rooms)
        copy.emulator = self.emulator
        copy.translated = self.translated
        return copy


_DEFAULT, _IGNORE = 0, 1
"""The handlers SIG_DFL and SIG_IGN."""
_RESETHAND = 0x80000000
"""The flag SA_RESETHAND."""


class SignalActions:
    """The action for SIGSEGV of a process, as far as htrun can know it. Processes created with CLONE_SIGHAND share it
    with their creator."""

    __slots__ = ("marked", "segv")

    def __init__(self, segv: bytes | None = None, *, marked: bool = False) -> None:
        self.segv = segv
        """The kernel's struct sigaction as the guest has last set it; None if the guest has not set it. It has the form
        of the guest's rt_sigaction: 32 bytes if set by 64-bit code, 20 bytes if set by 32-bit code."""
        self.marked = marked
        """Whether the kernel has htrun's marker (`htrun.intercept.actions`) while the guest sees the default action."""

    @classmethod
    def ignoring(cls) -> SignalActions:
        """The action that ignores SIGSEGV, as a program inherits it through an exec: without flags or mask. It is also
        valid for 32-bit code."""
        return cls(_IGNORE.to_bytes(32, "little"))

    def copy(self) -> SignalActions:
        """A copy, for a forked child."""
        return SignalActions(self.segv, marked=self.marked)

    @property
    def handler(self) -> int:
        """The handler that the guest has set: its address, or 0 for the default action, or 1 to ignore the signal."""
        return handler_of(self.segv) if self.segv is not None else _DEFAULT

    @property
    def ignored(self) -> bool:
        """Whether SIGSEGV is ignored."""
        return self.handler == _IGNORE

    @property
    def is_default(self) -> bool:
        """Whether SIGSEGV kills the process, according to the action that the guest has set."""
        return self.handler == _DEFAULT

    @property
    def has_handler(self) -> bool:
        """Whether the guest has a handler."""
        return self.handler > _IGNORE

    @property
    def is_unmarked_default(self) -> bool:
        """Whether SIGSEGV kills the process, according to both the guest's setting and the kernel's action."""
        return self.is_default and not self.marked

    @property
    def reset_by_delivery(self) -> bool:
        """Whether the guest has a handler that the kernel removes when it calls the handler (SA_RESETHAND)."""
        return self.segv is not None and self.has_handler and bool(_flags_of(self.segv) & _RESETHAND)

    def handler_taken(self) -> None:
        """Note that the kernel has reset the handler to the default. The flags and the mask have not changed."""
        if self.segv is not None:
            self.segv = with_handler(self.segv, _DEFAULT)
        self.marked = False


def _word_of(action: bytes) -> int:
    return 8 if len(action) == 32 else 4


def handler_of(action: bytes) -> int:
    """The handler in a struct sigaction of the kernel, in 64-bit or 32-bit form."""
    return int.from_bytes(action[: _word_of(action)], "little")


def with_handler(action: bytes, handler: int) -> bytes:
    """A copy of the struct sigaction ``action`` with another handler."""
    word = _word_of(action)
    return handler.to_bytes(word, "little") + action[word:]


def _flags_of(action: bytes) -> int:
    word = _word_of(action)
    return int.from_bytes(action[word : word + 4], "little")


class MaskFilter:
    """The state of a process's mask filter. This filter stops threads that change their signal masks
    (`htrun.intercept.masks`)."""

    __slots__ = ("followed", "hidden", "watched")

    def __init__(self) -> None:
        self.watched = False
        """Whether the filter was installed in the process. A filter stays through exec. A child inherits the filter,
        and may get the filter a second time."""
        self.followed = False
        """Whether the stops that the filter causes keep `ThreadSignals.segv_blocked` up to date for the threads of the
        process."""
        self.hidden = ""
        """The reason why the filter can't be installed in the process; empty if it can."""


class Process:
    """A thread group."""

    __slots__ = (
        "action_in_doubt",
        "actions",
        "big_endian",
        "filtered",
        "guarded",
        "living",
        "masks",
        "pid",
        "space",
        "threads_seen",
    )

    def __init__(self, pid: int, space: AddressSpace, actions: SignalActions, *, big_endian: bool = False) -> None:
        self.pid = pid
        self.space = space
        self.actions = actions
        self.big_endian = big_endian
        """Whether the guest writes arguments in big-endian byte order."""
        self.threads_seen = 0
        """The number of threads that the process has had."""
        self.living = 0
        """The number of threads that have not exited."""
        self.filtered = False
        """Whether the process has a seccomp filter that is not htrun's. It has installed or inherited this filter."""
        self.guarded: list[tuple[int, int]] = []
        """The address ranges for which the process has channel filters of htrun. htrun has installed these, or the
        process has inherited them. A filter can never be removed; it stays through forks and execs."""
        self.masks = MaskFilter()
        self.action_in_doubt = False
        """Whether the process has not run yet and may have inherited a SIGSEGV action that a trap in its parent had
        just reset."""


class ThreadSignals:
    """The state of a thread's signals, for `htrun.intercept.masks` and `htrun.intercept.traps`."""

    __slots__ = ("entering_handler", "segv_blocked", "stepped", "swallowed")

    def __init__(self) -> None:
        self.segv_blocked = False
        """Whether the thread blocks SIGSEGV. Always valid at a trap. If htrun follows the masks of the process and a
        channel is mapped, it is valid at all times."""
        self.swallowed: bytes | None = None
        """The siginfo of a SIGSEGV that was pending when the thread's store trapped; None if there was no pending
        SIGSEGV. htrun makes the signal pending again when the thread continues."""
        self.stepped = False
        """Whether the thread single-steps itself, and the last step was the trapped store, so that htrun must still
        send the thread the SIGTRAP for this step."""
        self.entering_handler = False
        """Whether the thread was resumed by a single step into a signal handler. htrun reads the thread's mask after
        this step."""


class RedirectedExec:
    """The state of an exec that `htrun.runner.foreign_exec` has redirected to an emulator, until the exec is
    finished."""

    __slots__ = ("big_endian", "registers", "room")

    def __init__(self) -> None:
        self.registers: Registers | None = None
        """The thread's registers before the exec, to be restored if the exec fails; None if no redirected exec is in
        progress."""
        self.room: tuple[int, int] | None = None
        """The address and size of the memory that holds the arguments of the exec. It was taken from
        `AddressSpace.exec_rooms`."""
        self.big_endian = False
        """Whether the program that the exec starts is big-endian."""


class Doubt:
    """A fault that the code at a thread's program counter can't have caused, and the number of times that it has
    occurred."""

    __slots__ = ("fault", "times")

    def __init__(self) -> None:
        self.fault: tuple[int, int, bytes] | None = None
        """The program counter, the address of the fault, and the code; None if there is no such fault."""
        self.times = 0
        """The number of consecutive stops for this fault."""


class Thread:
    """A traced thread."""

    __slots__ = (
        "comm",
        "doubt",
        "exec",
        "exiting",
        "number",
        "pointer",
        "process",
        "registered",
        "ring",
        "signals",
        "source",
        "tid",
    )

    def __init__(self, tid: int, process: Process, number: int) -> None:
        self.tid = tid
        self.process = process
        self.number = number
        """The index of the thread in its process, in the order in which threads appeared, from 0."""
        self.exiting = False
        """Whether the thread's exit event has been seen."""
        self.signals = ThreadSignals()
        self.exec = RedirectedExec()
        self.doubt = Doubt()

        # The following attributes are set by the recording.
        self.ring: Ring | None = None
        """The ring that takes the records of the thread's stores; None before the first store."""
        self.source: Source | None = None
        """The thread's stream and its number; None before the thread has a stream."""
        self.comm: str | None = None
        """The thread's name; None before the thread's exit event. It is kept because it can't be read later."""

        # The following attributes are set by `htrun.intercept.thread_rings`.
        self.pointer = 0
        """The thread pointer by which trampolines last identified the thread (`Arena.pointer_seen`); 0 if it is
        unknown."""
        self.registered = False
        """Whether trampolines find the thread's ring by `pointer`."""

    @property
    def space(self) -> AddressSpace:
        """The address space in which the thread runs."""
        return self.process.space


class StoppedThread(Stopped):
    """A traced thread while it is at a ptrace-stop."""

    __slots__ = ("thread",)

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.tid = thread.tid
