"""Totals of a whole trace: the number of events by thread, name and site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from htrun.events.definitions import HYPERTRACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.shapes import Shapes


@dataclass
class Counts:
    """Counts of events. ``streams``, ``sites``: the number of events by the number of the stream or site. ``names``:
    the number of events by the name that the user gave them, otherwise QEMU's name."""

    events: int = 0
    first: int | None = None
    last: int | None = None
    streams: Counter[int] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    sites: Counter[int] = field(default_factory=Counter)

    @property
    def seconds(self) -> float:
        """The time from the first event to the last, in seconds."""
        return 0.0 if self.first is None or self.last is None else (self.last - self.first) / 1e9

    @property
    def rate(self) -> float | None:
        """The number of events per second; None if the duration is zero."""
        return self.events / self.seconds if self.seconds > 0 else None


def count(batches: Iterable[Events], shapes: Shapes) -> Counts:
    """Count the events of ``batches``, which are in order of time."""
    counts = Counts()
    for events in batches:
        counts.events += len(events)
        counts.first = int(events["time"][0]) if counts.first is None else counts.first
        counts.last = int(events["time"][-1])
        counts.streams.update(_tally(events["stream"]))
        for shape, rows in shapes.split(events):
            if shape.definition is HYPERTRACE:
                counts.sites.update(_tally(events["site"][rows]))
            counts.names[shape.title] += len(range(len(events))[rows]) if isinstance(rows, slice) else len(rows)
    return counts


def _tally(numbers: NDArray[np.uint32]) -> dict[int, int]:
    if (numbers == numbers[0]).all():
        return {int(numbers[0]): len(numbers)}
    used, counts = np.unique(numbers, return_counts=True)
    return dict(zip(used.tolist(), counts.tolist(), strict=True))
