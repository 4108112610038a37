"""The machines on which htrun does not trace programs: it reads the rings that programs fill (`htrun.rings`). For this,
htrun only has to read the same counter as the programs.

The counters run at a constant rate in all states of the processor: the virtual counter of the generic timer (Arm
Architecture Reference Manual, D12), the time CSR (RISC-V Unprivileged ISA, Zicntr), and the time base (Power ISA, book
II, chapter 6). On other machines, programs and htrun use CLOCK_MONOTONIC_RAW.
"""

from __future__ import annotations

import ctypes
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel.ring_layout import CLOCK_CNTVCT, CLOCK_MFTB, CLOCK_RAW_NS, CLOCK_RDTIME
from htrun.events.clock import Clock, Sample, tightest
from htrun.hosts.any_host import CounterReading
from htrun.machine_code import executable

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.events.clock import ClockSource

_SECOND = 1_000_000_000
_INTERVAL = 0.002
"""The seconds in which the rate of a counter is measured."""


class Counter(NamedTuple):
    """The counter of a machine. ``name``: the name of the clock source. ``number``: the number by which clients of
    rings identify the counter. ``code``: a function in machine code that returns the counter as a 64-bit number."""

    name: str
    number: int
    code: bytes


class UntracedMachine:
    """A machine whose ELF number is ``machine``. See `htrun.hosts.any_host.Machine` for the members."""

    def __init__(self, machine: int, counter: Counter | None) -> None:
        """``counter``: None if htrun knows no counter of this machine."""
        self._known = counter
        self.machine = machine
        self.client_clock = CLOCK_RAW_NS if counter is None else counter.number
        self.counter = RawSource.name if counter is None else counter.name

    def best_clock(self) -> Clock:
        """See `Machine`."""
        return Clock(self.counter_source())

    def counter_source(self) -> ClockSource:
        """See `Machine`."""
        return RawSource() if self._known is None else CounterSource(self._known)

    def counter_reading(self) -> CounterReading | None:
        """See `Machine`. Takes some milliseconds."""
        if self._known is None:
            return None
        source = CounterSource(self._known)
        first = tightest(source, time.CLOCK_MONOTONIC_RAW)
        time.sleep(_INTERVAL)
        last = tightest(source, time.CLOCK_MONOTONIC_RAW)
        ticks, nanoseconds = last.middle - first.middle, last.nanoseconds - first.nanoseconds
        return CounterReading(last.middle, last.nanoseconds, ticks * _SECOND // nanoseconds)


class _Sampled(ABC):
    """A clock source that is sampled in Python."""

    @abstractmethod
    def read(self) -> int:
        """The current ticks."""

    def sample(self, clock_id: int) -> Sample:
        """One sample. Its window is the duration of three Python calls, about a microsecond."""
        before = self.read()
        nanoseconds = time.clock_gettime_ns(clock_id)
        return Sample(before, nanoseconds, self.read())


class CounterSource(_Sampled):
    """A counter that machine code reads."""

    def __init__(self, counter: Counter) -> None:
        """Raises `HtrunError` if the kernel forbids executable memory, as a hardened kernel does."""
        self.name = counter.name
        self._read: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_uint64)(executable(counter.code))

    def read(self) -> int:
        """The current ticks."""
        return self._read()


class RawSource(_Sampled):
    """CLOCK_MONOTONIC_RAW in nanoseconds."""

    name = "monotonic_raw"

    def read(self) -> int:
        """The current ticks."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


COUNTERS = {
    183: Counter("cntvct", CLOCK_CNTVCT, bytes.fromhex("df3f03d5 40e03bd5 c0035fd6")),
    # isb; mrs x0, cntvct_el0; ret
    243: Counter("rdtime", CLOCK_RDTIME, bytes.fromhex("732510c0 67800000")),
    # rdtime a0; ret
    21: Counter("mftb", CLOCK_MFTB, bytes.fromhex("a6426c7c 2000804e")),
    # mfspr r3, 268; blr
}
"""The counters by e_machine."""
