"""The clocks of a run: htrun's own, and those of the programs that write records to rings.

No time is extrapolated (`htrun.events.clock`), so all of these are read before the program starts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from htrun import hosts
from htrun.channel import ring_layout
from htrun.events.clock import tightest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from htrun.channel.file import Channel
    from htrun.events.clock import Clock, ClockSource
    from htrun.rings.client_clock import Conversion


class Clocks(NamedTuple):
    """The clocks of a run. ``of_clients``: see `clocks_of_clients`. ``asked``: htrun's ticks just before clients in
    machines were asked for the time of their clocks (`htrun.rings.exchange`)."""

    clock: Clock
    of_clients: Mapping[int, Conversion | None]
    asked: int

    @classmethod
    def read(cls, channel: Channel) -> Clocks:
        """Read the clocks for the first time, and ask clients in machines for the time. The program must not have
        started. Raises `HtrunError`."""
        clock = hosts.machine().best_clock()
        of_clients, asked = clocks_of_clients(clock.source), clock.source.read()
        if channel.rings is not None:
            channel.write_header(ring_layout.EXCHANGE_OFFSET, ring_layout.FIRST_EXCHANGE.to_bytes(4, "little"))
        return cls(clock, of_clients, asked)


def clocks_of_clients(source: ClockSource) -> dict[int, Conversion | None]:
    """The conversion for each clock that clients use, by the number of the clock. ``source``: htrun's clock. Clients
    must not have read their clocks before this."""
    from htrun.rings.client_clock import Arrival, ClientClock
    from htrun.rings.client_rings import MACHINE_CLOCK

    def raw_and_ticks() -> tuple[int, int]:
        sample = tightest(source, time.CLOCK_MONOTONIC_RAW)
        return sample.nanoseconds, sample.middle

    host = hosts.machine()
    clocks: dict[int, Conversion | None] = {
        ring_layout.CLOCK_RAW_NS: ClientClock(raw_and_ticks),
        MACHINE_CLOCK: Arrival(source.read),
    }
    if source.name == host.counter:
        clocks[host.client_clock] = None
        return clocks
    counter = host.counter_source()

    def counter_and_ticks() -> tuple[int, int]:
        sample = tightest(counter, time.CLOCK_MONOTONIC)
        return sample.middle, sample.nanoseconds

    clocks[host.client_clock] = ClientClock(counter_and_ticks)
    return clocks
