"""The part of a machine's interface that every host has: its number and its counter. The rest is for hosts on which
htrun traces programs (`htrun.hosts.host`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from htrun.events.clock import Clock, ClockSource


class CounterReading(NamedTuple):
    """A reading of the host's counter, with which a program can find out whether its own counter is the host's counter.

    ``ticks``: the counter. ``nanoseconds``: CLOCK_MONOTONIC_RAW at the same moment. ``rate``: the approximate rate of
    the counter in Hz.
    """

    ticks: int
    nanoseconds: int
    rate: int


class Machine(Protocol):
    """A machine that htrun runs on."""

    machine: int
    """The machine's number in ELF files (e_machine). A client of a channel's rings compares this number with its own to
    find out whether it runs natively."""
    client_clock: int
    """The number by which clients of a channel's rings identify the machine's counter
    (`htrun.channel.ring_layout.CLOCK_TSC`)."""
    counter: str
    """The name of the clock source that machine code can read (`htrun.events.clock.ClockSource`)."""

    def best_clock(self) -> Clock:
        """A clock on the processor's counter if this counter is reliable; otherwise a clock of the kernel. Raises
        `HtrunError` if the kernel forbids executable memory."""

    def counter_source(self) -> ClockSource:
        """The processor's counter, whether it is reliable or not."""

    def counter_reading(self) -> CounterReading | None:
        """A reading of the counter for the programs of a run; None if guests can find out without this number whether
        they run natively."""
