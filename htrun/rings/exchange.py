"""The exchange of numbers and times that relates clocks of machines to htrun's clock (`htrun.rings.machine_clock`).

htrun reads its clock and writes a new number to the channel's header. A client in a machine looks for a new number at
each event, and when it claims its ring. If there is a new number, the client reads its own clock, and writes the number
and the reading to its ring: this is its *answer*. So the client read its clock after htrun read its own clock, and
before htrun finds the answer. Each event also happened before htrun finds the event's record.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel.ring_layout import FIRST_EXCHANGE
from htrun.rings.machine_clock import MachineClock, Rates, converted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.rings.client_ring import Answer

_KEPT = 4096
"""The number of exchanges whose times are remembered. These are the latest ones."""
_MOST_NUMBER = (1 << 32) - 1


class ClockAccount(NamedTuple):
    """The accuracy with which the clocks of machines are known.

    ``answers``: the number of answers. ``jumps``: the number of times that a clock contradicted itself. ``rate``: the
    number of htrun's ticks for each tick of the last machine's clock. ``error``: the maximum error of any event's time,
    in ticks of htrun's clock. ``last_error``: the maximum error of the last events' times.
    """

    answers: int
    jumps: int
    rate: float
    error: float
    last_error: float


class _Ring:
    """The state of the client of one ring: the bounds of its clock since the last jump, the number that it has answered
    last, and the time of its last event."""

    __slots__ = ("answered", "clock", "last")

    def __init__(self, clock: MachineClock) -> None:
        self.clock = clock
        self.answered = 0
        self.last = 0


class Exchange:
    """Asks clients in machines for readings of their clocks, and converts the time stamps of these clients."""

    def __init__(
        self,
        read: Callable[[], int],
        write: Callable[[int], None],
        rates_of: Callable[[int], Sequence[Rates]],
        *,
        pause: float,
        jumped: Callable[[int], None],
        asked: int | None = None,
    ) -> None:
        """``read``: returns htrun's ticks; ``write``: writes a number to the header; ``rates_of``: returns the possible
        rates of the clock with a given number (`htrun.channel.ring_layout.CLOCK_TSC`). ``pause``: the minimum time from
        one number to the next, in seconds. ``jumped``: is called when a clock has jumped, with the size of the jump in
        ticks. ``asked``: htrun's ticks just before `ring_layout.FIRST_EXCHANGE` was written to the header; None if no
        number was written yet."""
        self._read = read
        self._write = write
        self._rates_of = rates_of
        self._pause = pause
        self._jumped = jumped
        self._number = 0
        self._asked_at = 0.0
        self._asked: OrderedDict[int, int] = OrderedDict()
        self._rings: dict[int, _Ring] = {}
        self._clocks: dict[int, MachineClock] = {}
        self._answers = self._jumps = 0
        self._rate = self._error = self._last_error = 0.0
        if asked is None:
            self._first = read()
            self.ask()
        else:
            self._first, self._number = asked, FIRST_EXCHANGE
            self._asked[FIRST_EXCHANGE] = asked

    @property
    def account(self) -> ClockAccount | None:
        """The accuracy of the clocks so far; None if no client in a machine has used a clock."""
        if not self._answers:
            return None
        return ClockAccount(self._answers, self._jumps, self._rate, self._error, self._last_error)

    def ask(self) -> None:
        """Write a new number, unless the last one is too recent."""
        moment = time.monotonic()
        if self._asked and moment - self._asked_at < self._pause:
            return
        self._asked_at = moment
        self._number = self._number % _MOST_NUMBER + 1
        self._asked[self._number] = self._read()
        self._write(self._number)
        if len(self._asked) > _KEPT:
            self._asked.popitem(last=False)

    def begin(self, ring: int, clock: int) -> None:
        """Take note that ring number ``ring`` has a new client. ``clock``: the number of the clock of the client's time
        stamps."""
        known = self._clocks.get(clock)
        if known is None:
            known = self._clocks[clock] = MachineClock(self._rates_of(clock))
        self._rings[ring] = _Ring(known)

    def heard(self, ring: int, clock: int, answer: Answer) -> None:
        """Note ``answer``, the last answer of the client of ring number ``ring``. The answer may already be known."""
        client = self._rings[ring]
        now = self._read()
        if answer.number in (0, client.answered):
            return
        client.answered = answer.number
        asked = self._asked.get(answer.number)
        current = self._clocks[clock]
        self._answers += 1
        if current.add(answer.stamp, asked, now):
            client.clock = current
        elif asked is not None:
            self._begin_anew(client, clock, answer, asked, now)

    def ticks(self, ring: int, stamps: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """htrun's ticks at ``stamps`` (not empty) of the client of ring number ``ring``. The result is never before the
        result of an earlier call."""
        import numpy as np

        client, now = self._rings[ring], self._read()
        first, last = int(stamps.min()), int(stamps.max())
        client.clock.add(last, None, now, sure=False)
        if not client.clock.is_bounded:
            # There is no answer, or its number was never sent. So the client does not use the guest library.
            return np.full(len(stamps), now, np.uint64)
        line = client.clock.line()
        self._rate = line.rate
        self._last_error = max(client.clock.error(line, first), client.clock.error(line, last))
        self._error = max(self._error, min(self._last_error, float(now - self._first)))
        ticks = np.maximum(converted(line, stamps, self._first, now), np.uint64(client.last))
        client.last = int(ticks[-1])
        return ticks

    def _begin_anew(self, client: _Ring, clock: int, answer: Answer, asked: int, now: int) -> None:
        """Discard the bounds of the clock, because it has jumped before ``answer``: bounds from before a jump do not
        apply to later stamps."""
        before = client.clock.line()
        self._jumps += 1
        self._jumped(round((asked + now) / 2 - before.ticks - before.at(answer.stamp)))
        client.clock = self._clocks[clock] = MachineClock(self._rates_of(clock))
        client.clock.add(answer.stamp, asked, now)
