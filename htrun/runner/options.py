"""The user's options for one run, checked as far as possible before anything is started."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from htrun import hosts
from htrun.channel import ring_layout
from htrun.channel.layout import Layout
from htrun.channel.ring_layout import EVERY_CLIENT, NATIVE_CLIENTS, RingLayout
from htrun.events.definitions import (
    CPU_ENTER,
    CPU_EXIT,
    HYPERTRACE,
    SCHED_EVENTS,
    USER_SYSCALL,
    USER_SYSCALL_RET,
    USER_SYSCALL_TEXT,
    Definition,
)
from htrun.rings.ring import Overflow

_OVERFLOW = {
    Overflow.BLOCK: ring_layout.BLOCK,
    Overflow.DROP: ring_layout.DROP,
    Overflow.OVERWRITE: ring_layout.OVERWRITE,
}


class Timestamp(Enum):
    """How a patched site reads the clock. ``ORDERED``: a fence orders the read after earlier instructions, as
    microbenchmarks need."""

    TSC = "tsc"
    ORDERED = "ordered"


class Via(Enum):
    """How an event of the guest library gets to htrun. ``STORE``: by a store that traps or is patched. ``RING``: the
    library writes the event to a ring of the channel. ``AUTO``: ``RING`` if the host's processors run the program
    directly, otherwise ``STORE``."""

    AUTO = "auto"
    STORE = "store"
    RING = "ring"


class RunOptions(NamedTuple):
    """The options of one run. ``program``: the program and its arguments. ``path``: the channel's path; None for a
    private channel.

    ``log``: the file for log lines; None for standard error. ``log_wanted``: whether there is a log at all. ``trace``:
    the directory of the native trace; None for no such trace. ``outputs``: other traces, each as its path and the name
    of its format. ``force``: whether existing outputs are replaced. ``events``: the TOML file that names events.
    ``device``: whether a machine gets the channel as a PCI device. ``recorded``: the names of the events to record.
    ``syscalls``: the names of the system calls to record; None for all. ``decode``: whether arguments of system calls
    are shown by name, and the texts that they point to are recorded. ``sched``: whether context switches, migrations
    and page faults are recorded. ``processors``: the processors that the program
    may run on; None for all processors of the caller. ``no_ptrace``: whether the program runs untraced, so that only
    events in rings are recorded. ``ring_size``: the size of one thread's ring in bytes. ``via``: whether the channel
    offers rings, and to which programs. ``verbosity``: -1 (quiet) to 1.
    """

    program: tuple[str, ...]
    layout: Layout
    path: Path | None = None
    log: Path | None = None
    log_wanted: bool = True
    trace: Path | None = None
    outputs: tuple[tuple[Path, str], ...] = ()
    force: bool = False
    events: Path | None = None
    recorded: frozenset[str] = frozenset({HYPERTRACE.name})
    syscalls: frozenset[str] | None = None
    decode: bool = False
    sched: bool = False
    summary: Path | None = None
    sysroot: str | None = None
    emulator: str | None = None
    patch: bool = True
    processors: frozenset[int] | None = None
    device: bool = True
    ring_size: int = 4 << 20
    overflow: Overflow = Overflow.BLOCK
    via: Via = Via.AUTO
    no_ptrace: bool = False
    timestamp: Timestamp = Timestamp.TSC
    verbosity: int = 0

    @property
    def rings(self) -> RingLayout | None:
        """The layout of the rings that the channel offers; None if it offers none. `Timestamp.ORDERED` excludes rings,
        because the guest library does not fence its reads of the clock."""
        if self.via is Via.STORE or self.timestamp is Timestamp.ORDERED or not self.channel_recorded:
            return None
        mode = NATIVE_CLIENTS if self.via is Via.AUTO and not self.no_ptrace else EVERY_CLIENT
        return RingLayout.of(
            self.layout,
            mode,
            hosts.machine().machine,
            self.ring_size,
            _OVERFLOW[self.overflow],
            untraced=self.no_ptrace,
        )

    def untraced(self) -> RunOptions:
        """The same options, changed for a program that cannot be traced."""
        return self._replace(no_ptrace=True)

    @property
    def needs_ptrace(self) -> bool:
        """Whether the options ask for anything that only a tracer can do."""
        return bool(self.tracer_events) or self.via is Via.STORE or self.timestamp is Timestamp.ORDERED

    @property
    def channel_recorded(self) -> bool:
        """Whether the program's stores to the channel are recorded."""
        return HYPERTRACE.name in self.recorded

    @property
    def calls_recorded(self) -> bool:
        """Whether system calls are recorded."""
        return not self.recorded.isdisjoint({USER_SYSCALL.name, USER_SYSCALL_RET.name})

    @property
    def tracer_events(self) -> tuple[Definition, ...]:
        """The recorded events that come from the tracer, not from the program."""
        return self.stop_events + (SCHED_EVENTS if self.sched else ())

    @property
    def stop_events(self) -> tuple[Definition, ...]:
        """The recorded events for which the tracer stops threads: system calls, and the start and exit of threads."""
        kinds = (USER_SYSCALL, USER_SYSCALL_RET, CPU_ENTER, CPU_EXIT)
        return tuple(kind for kind in kinds if kind.name in self.recorded) + self._texts

    @property
    def texts_recorded(self) -> bool:
        """Whether the texts that arguments of system calls point to are recorded."""
        return self.decode and self.calls_recorded

    @property
    def _texts(self) -> tuple[Definition, ...]:
        return (USER_SYSCALL_TEXT,) if self.texts_recorded else ()
