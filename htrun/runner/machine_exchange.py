"""Creates the exchange with virtual machines, with the rates that are possible for their clocks, and reports on these
clocks in the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun import hosts
from htrun.channel import ring_layout
from htrun.events.warnings import Kind
from htrun.rings.exchange import Exchange
from htrun.rings.machine_clock import ANY_RATE, Rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.channel.file import Channel
    from htrun.events.clock import Clock
    from htrun.events.warnings import Warnings
    from htrun.rings.client_rings import ClientRings

_SECOND = 1_000_000_000
_PAUSE = 0.005
"""The minimum time, in seconds, between two numbers that htrun writes to the header."""
_TOLERANCE = 0.02
"""The largest error of a rate that is known only approximately, as a fraction of the rate."""


def machine_exchange(channel: Channel, clock: Clock, warnings: Warnings, asked: int | None = None) -> Exchange:
    """The exchange with the machines that use ``channel``. ``clock``: htrun's clock. ``asked``: see `Exchange`."""

    def write(number: int) -> None:
        channel.write_header(ring_layout.EXCHANGE_OFFSET, number.to_bytes(4, "little"))

    def jumped(ticks: int) -> None:
        seconds = ticks / clock.fit().frequency
        warnings.warn(
            Kind.CLOCK_JUMP,
            "",
            f"the machine's clock and the host's have moved apart by {seconds:.6f} s: the machine was reset, stopped "
            "or restored. Times of the machine's events shortly before that may be wrong by that much",
        )

    return Exchange(
        clock.source.read,
        write,
        lambda number: _rates(number, clock),
        pause=_PAUSE,
        jumped=jumped,
        asked=asked,
    )


def clock_of_machines(rings: ClientRings | None, clock: Clock) -> dict[str, int | float] | None:
    """The summary's entry about the clock of the machines whose clients use ``rings``; None if there were no
    machines."""
    account = rings.exchange.account if rings is not None and rings.exchange is not None else None
    if account is None:
        return None
    frequency = clock.fit().frequency
    return {
        "answers": account.answers,
        "jumps": account.jumps,
        "rate": account.rate,
        "error_ns": round(account.error * _SECOND / frequency),
        "last_error_ns": round(account.last_error * _SECOND / frequency),
    }


def _rates(number: int, clock: Clock) -> Sequence[Rates]:
    """The ranges of rates that are possible for clock ``number`` in a machine, the most likely first.

    The machine's counter is the host's counter, unless KVM scales it. KVM does so if the machine has come from another
    host.
    """
    host = hosts.machine()
    if number == host.client_clock and clock.source.name == host.counter:
        return Rates(1.0, 1.0), Rates(1 - _TOLERANCE, 1 + _TOLERANCE), ANY_RATE
    if number == ring_layout.CLOCK_RAW_NS:
        nominal = clock.fit().frequency / _SECOND
        return Rates(nominal * (1 - _TOLERANCE), nominal * (1 + _TOLERANCE)), ANY_RATE
    return (ANY_RATE,)
