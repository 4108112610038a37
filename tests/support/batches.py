"""Batches of decoded events for tests of sinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from htrun.events.definitions import EVENTS, SYSCALL_ARGS
from htrun.events.named import NamedEvents
from htrun.events.records import NUMBERS, event_dtype
from htrun.events.stream import Stream
from htrun.events.syscalls import ARCH_I386

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from htrun.events.records import Events

NUM_ARGS = 4
SITE = 7
STREAMS = (
    Stream(11, 10, 0, "app"),
    Stream(12, 10, 1, 'odd "name",\r\n\x01\x1b\\'),
    Stream(2**22, 2**22, 2**20, "\u00e9\u2028"),
    Stream(21, 20, 0, ""),
)
NAMED = NamedEvents.parse(
    """
event = [
    {id = 1, name = "io", phase = "begin", args = ["size:u64", "kind:enum:READ=0,WRITE=1,MINUS=-1"]},
    {id = 2, name = "io", phase = "end", args = ["result:i64", "ok:bool"]},
    {id = 3, name = "job", phase = "begin", args = ["ratio:f64:.3f", "key"], key = "key"},
    {id = 18446744073709551615, name = "job", phase = "end", args = ["key", "at:hex"], key = "key"},
    {id = 5, name = "depth", phase = "counter", args = ["n:i64", "load:f64", "total:u64"]},
    {id = 6, name = 'a "quoted", name', args = []},
]
"""
)
WORDS = [0, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 0x7FF0000000000000, 0xFFF0000000000000]
WORDS += [0x7FF8000000000000, 0x3FB999999999999A, 0x8000000000000000, 0x0000000000000001]
"""The lowest, the greatest and negative integers; the floats infinity, NaN, 0.1, -0.0 and the smallest."""


@dataclass(frozen=True)
class Row:
    """All values of one event. ``index``: the index of its slot, or the number of the call. ``args``: all arguments
    that its kind of event has."""

    time: int
    stream: int
    index: int
    kind: int
    args: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the event in QEMU."""
        return EVENTS[self.kind].name

    @property
    def numbers(self) -> dict[str, int]:
        """The event's values in those columns that only some kinds of events have."""
        values = {"site": SITE, "index": self.index, "num": self.index, "arch": ARCH_I386}
        return {name: values[name] for name in EVENTS[self.kind].columns}

    @property
    def fields(self) -> dict[str, int]:
        """The event's arguments by name."""
        return dict(zip(EVENTS[self.kind].argument_names(NUM_ARGS), self.args, strict=True))


def batch(rows: list[Row], room: int = SYSCALL_ARGS) -> Events:
    """The events of ``rows`` as one batch, with ``room`` columns for arguments."""
    events = np.zeros(len(rows), event_dtype(room))
    for place, row in enumerate(rows):
        # Fill unused argument columns with this value, which a sink must never read.
        args = (*row.args, *[0xBAD] * (room - len(row.args)))
        numbers = [row.numbers.get(name, 0) for name in NUMBERS]
        events[place] = (row.time, row.stream, row.kind, *numbers, args)
    return events


def rows() -> SearchStrategy[list[Row]]:
    """Lists that contain events of every kind, in order of time."""
    words = st.sampled_from(WORDS) | st.integers(0, 2**64 - 1)
    ids = st.sampled_from([event.id for event in NAMED.events])
    indexes = st.sampled_from([0, 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
    times = st.integers(1_700_000_000 * 10**9, 1_700_000_100 * 10**9)

    def row(kind: int) -> SearchStrategy[Row]:
        count = len(EVENTS[kind].argument_names(NUM_ARGS))
        args = st.tuples(*[ids | words if kind == 0 and place == 0 else words for place in range(count)])
        return st.builds(Row, times, st.integers(0, len(STREAMS) - 1), indexes, st.just(kind), args)

    every = st.sampled_from([0, 0, 0, 0, *range(1, len(EVENTS))]).flatmap(row)
    return st.lists(every, min_size=1, max_size=25).map(lambda some: sorted(some, key=lambda event: event.time))
