"""Types that are shared by the machine code that handles stops, and by the Python code that handles the others, on any
machine."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.events.tracer_events import TracerEvents


class State(IntEnum):
    """What a thread does as far as records of its calls are concerned."""

    OUTSIDE = 0
    IN_CALL = 1
    """It is in a call whose return is to be recorded."""
    IN_WATCHED_CALL = 2
    """The same, and Python must also handle the return."""


class Entry(NamedTuple):
    """A call that is being made, or its return. ``ticks``: when; ``arch``: whose numbers (AUDIT_ARCH_*)."""

    ticks: int
    arch: int
    number: int
    arguments: tuple[int, ...]


class RecordSpace(NamedTuple):
    """Where a thread's next records are written. All are addresses.

    ``control``: of the ring's control block in htrun; ``position``, ``end``: what the tracee finds in it; ``delta``:
    what to add to a position to get the record's address in htrun.
    """

    control: int
    position: int
    end: int
    delta: int


class KnownStore(NamedTuple):
    """A site's store to the address where an event is emitted.

    ``value``: the name of the register whose value it stores (`Registers`), or the constant; ``size``: 4 or 8 bytes of
    it; ``fault``: where it stores; ``number``: the site's.
    """

    address: int
    code: bytes
    fault: int
    value: str | int
    size: int
    number: int


class Slots(NamedTuple):
    """Where events' arguments lie in htrun's memory: ``total`` slots from address ``start`` on, ``stride`` bytes apart,
    with ``num_args`` arguments each."""

    start: int
    stride: int
    total: int
    num_args: int


class CallRecording(NamedTuple):
    """How calls are recorded.

    ``events``: where; ``make_room`` empties it, and ``wake`` wakes the thread that does so. ``entries``, ``returns``:
    which half of a call. ``clock``: reads the ticks; ``in_one_go``: whether machine code can read them too; if not,
    each stop is left to Python. ``ran`` is called for a thread that has stopped as often as `CallWait.set_stops_left`
    says, while it is stopped.
    """

    events: TracerEvents
    entries: bool
    returns: bool
    clock: Callable[[], int]
    in_one_go: bool
    make_room: Callable[[], None]
    wake: Callable[[], None]
    ran: Callable[[int], None]
