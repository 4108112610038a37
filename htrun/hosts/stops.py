"""Types that the machine code for stops shares with the Python code that handles the other stops, on any machine."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.events.tracer_events import TracerEvents


class State(IntEnum):
    """The state of a thread with regard to its recorded calls."""

    OUTSIDE = 0
    IN_CALL = 1
    """The thread is in a call whose return is to be recorded."""
    IN_WATCHED_CALL = 2
    """Like `IN_CALL`. In addition, Python must handle the return."""


class Entry(NamedTuple):
    """The entry of a system call, or its return. ``ticks``: the time. ``arch``: the interface of the call
    (AUDIT_ARCH_*)."""

    ticks: int
    arch: int
    number: int
    arguments: tuple[int, ...]


class RecordSpace(NamedTuple):
    """The memory for a thread's next records. All values are addresses.

    ``control``: the ring's control block in htrun's memory. ``position``, ``end``: the values of the control block's
    fields with these names, which are addresses in the tracee. ``delta``: the number to add to a position to get the
    address of the record in htrun.
    """

    control: int
    position: int
    end: int
    delta: int


class KnownStore(NamedTuple):
    """A site's store to the address at which an event is emitted.

    ``value``: the name of the register that is stored (`Registers`), or the stored constant. ``size``: the number of
    bytes that are stored, 4 or 8. ``fault``: the address of the store. ``number``: the number of the site.
    """

    address: int
    code: bytes
    fault: int
    value: str | int
    size: int
    number: int


class Slots(NamedTuple):
    """The arguments of events in htrun's memory: ``total`` slots, the first at address ``start``, ``stride`` bytes
    apart, with ``num_args`` arguments each."""

    start: int
    stride: int
    total: int
    num_args: int


class CallRecording(NamedTuple):
    """The parameters for recording calls.

    ``events``: the buffer for the records. ``make_room``: empties the buffer. ``wake``: wakes the thread that empties
    the buffer. ``entries``, ``returns``: whether entries and returns of calls are recorded. ``clock``: reads the ticks.
    ``in_one_go``: whether machine code can read the ticks, too; if not, Python handles each stop. ``ran``: is called
    for a stopped thread that has made the number of stops set by `CallWait.set_stops_left`.
    """

    events: TracerEvents
    entries: bool
    returns: bool
    clock: Callable[[], int]
    in_one_go: bool
    make_room: Callable[[], None]
    wake: Callable[[], None]
    ran: Callable[[int], None]
