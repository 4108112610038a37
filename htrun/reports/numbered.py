"""Prints events with their ids, as lines and as JSON, for hypertrace print --ids and --id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.events.call_texts import first, in_batches, without_texts
from htrun.events.definitions import DEFINITIONS, USER_SYSCALL_TEXT
from htrun.sinks.columns import BATCH
from htrun.sinks.jsonl import format_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from htrun.analysis.filters import Filter
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events
    from htrun.reports.lines import Lines

    Numbered = Iterator[tuple[NDArray[np.uint64], Events]]
    """Batches of events, and the ids of the events of each batch."""

_TEXT = DEFINITIONS.index(USER_SYSCALL_TEXT)


def numbered(wanted: Filter, trace: Trace, ids: Collection[int], *, texts: bool) -> Numbered:
    """The events of ``trace`` that ``wanted`` selects and whose id is in ``ids``. If ``ids`` is empty, the id does not
    matter.

    ``texts``: see `Trace.events`.
    """
    last = max(ids, default=0)
    for numbers, events in wanted.numbered(trace, texts=texts):
        if not ids:
            yield numbers, events
            continue
        rows = np.flatnonzero(np.isin(numbers, list(ids)))
        if len(rows):
            yield numbers[rows], events[rows]
        if int(numbers[-1]) >= last:
            return


def first_numbered(batches: Numbered, count: int) -> Numbered:
    """The first ``count`` events of ``batches``."""
    while count > 0 and (batch := next(batches, None)) is not None:
        kept, found = first(batch[1], count)
        yield batch[0][: len(kept)], kept
        count -= found


def as_lines(batches: Iterable[tuple[NDArray[np.uint64], Events]], lines: Lines, *, shown: bool) -> Iterator[bytes]:
    """The lines of ``batches``. ``shown``: whether they contain the ids."""
    for ids, events in _pieces(batches):
        yield lines.text(events, ids if shown else None)


def as_json(
    batches: Iterable[tuple[NDArray[np.uint64], Events]], trace: Trace, *, decode: bool, shown: bool
) -> Iterator[bytes]:
    """A JSON object for each event of ``batches``, one per line."""
    for ids, events in _pieces(batches):
        yield format_lines(events, trace.streams, trace.shapes, decode=decode, ids=ids if shown else None)


def _pieces(batches: Iterable[tuple[NDArray[np.uint64], Events]]) -> Numbered:
    """``batches`` divided into pieces of the size in which text is formatted. Texts of calls have no ids."""
    for ids, events in batches:
        start = 0
        for piece in in_batches(events, BATCH):
            own = ids[start : start + len(piece)]
            start += len(piece)
            if len(without_texts(piece)):
                yield own[piece["kind"] != _TEXT], piece
