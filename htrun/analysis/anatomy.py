"""Splits a slow span into parts: the spans within it, and the pieces of its time in which none of these spans ran. Also
finds the spans of other threads that overlap with the longest pieces.

A piece is the time of a span without inner spans, or a gap between the inner spans of a span. If a thread has waited,
one of its pieces is long. The cause is usually a span of another thread that overlaps with most of the piece, and ends
shortly before the piece ends.

A span with a key may begin in one thread and end in another. Such a span contains spans of both threads: those of the
first thread until its next span with the same name begins, and those of the last thread after its previous span with
the same name has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from htrun.analysis.slowest import SlowSpan
    from htrun.analysis.timing.spans import Spans

MOST_PARTS = 12
"""The maximum number of listed spans within a slow span. The longest are listed."""
_MOST_PIECES = 3
_LEAST_PIECE = 0.1
"""The minimum length of a listed piece, as a share of the slow span's duration. The longest piece is always listed."""
_MOST_OVERLAPS = 3


@dataclass(frozen=True)
class Overlap:
    """The spans with the same name in another thread that overlap with a piece.

    ``span``: the span that overlaps most.
    ``count``: the number of spans.
    ``overlap``: the time within the piece during which at least one of the spans ran, in ns.
    ``ended_before``: the time from the end of the last of these spans to the end of the piece, in ns; None if the span
    ended after the piece.
    """

    span: np.void
    count: int
    overlap: int
    ended_before: int | None


@dataclass(frozen=True)
class Piece:
    """A piece of the time of the span ``owner`` in which no span within ``owner`` ran.

    ``begin``, ``end``: its limits in ns since the epoch. ``overlaps``: the overlapping spans of other threads, the
    longest overlap first.
    """

    owner: np.void
    begin: int
    end: int
    overlaps: Sequence[Overlap]

    @property
    def duration(self) -> int:
        """The length in ns."""
        return self.end - self.begin


@dataclass(frozen=True)
class Part:
    """A span within a slow span. ``level``: the nesting level, 1 for a span directly within the slow span."""

    span: np.void
    level: int


@dataclass(frozen=True)
class Anatomy:
    """The composition of a slow span. ``parts``: the spans within it, in the order of their begins; ``hidden``: the
    number of shorter spans within it that are left out; ``pieces``: its longest pieces, the longest first."""

    parts: Sequence[Part]
    hidden: int
    pieces: Sequence[Piece]


def anatomy_of(slow: SlowSpan, keyed: Sequence[bool]) -> Anatomy:
    """Split ``slow`` into parts and pieces. ``keyed``: for each name, whether its spans have a key."""
    spans = slow.meanwhile
    of_threads = spans[~np.array(keyed, bool)[spans["name"]]]
    inside = _inside(slow, of_threads, has_key=keyed[slow.span["name"]])
    parents, levels = _tree(inside)
    durations = inside["end"] - inside["begin"]
    shown = np.sort(np.lexsort((inside["begin_number"], ~durations))[:MOST_PARTS])
    owners = [(slow.span, parents == -1), *((inside[place], parents == place) for place in shown.tolist())]
    stretches = [
        (owner, begin, end)
        for owner, children in owners
        for begin, end in _gaps(owner, inside[children])
        if end > begin
    ]
    stretches.sort(key=lambda each: each[1] - each[2])
    least = _LEAST_PIECE * _duration(slow.span)
    chosen = [each for number, each in enumerate(stretches) if not number or each[2] - each[1] >= least]
    pieces = [Piece(*each, _overlaps(*each, of_threads)) for each in chosen[:_MOST_PIECES]]
    parts = [Part(inside[place], int(levels[place])) for place in shown.tolist()]
    return Anatomy(parts, len(inside) - len(parts) + slow.dropped, pieces)


def _duration(span: np.void) -> int:
    return int(span["end"]) - int(span["begin"])


def _inside(slow: SlowSpan, spans: Spans, *, has_key: bool) -> Spans:
    """The parts of ``slow``: the ``spans`` that begin and end within it, in one of its threads."""
    span = slow.span
    whole = (spans["end_number"] > 0) & (spans["end_number"] < span["end_number"])
    whole &= spans["begin_number"] > span["begin_number"]
    if not has_key:
        whole &= spans["begin_stream"] == span["begin_stream"]
        return spans.compress(whole)
    alike = slow.meanwhile[slow.meanwhile["name"] == span["name"]]
    earlier = alike[(alike["end_stream"] == span["end_stream"]) & (alike["end_number"] < span["end_number"])]
    later = alike[(alike["begin_stream"] == span["begin_stream"]) & (alike["begin_number"] > span["begin_number"])]
    since = max(int(earlier["end_number"].max(initial=0)), int(span["begin_number"]))
    until = int(later["begin_number"].min(initial=span["end_number"]))
    last = (spans["begin_stream"] == span["end_stream"]) & (spans["begin_number"] > np.uint64(since))
    first = (spans["begin_stream"] == span["begin_stream"]) & (spans["end_number"] < np.uint64(until))
    return spans.compress(whole & (first | last))


def _tree(inside: Spans) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two arrays with an element for each of the spans ``inside``: the index of its parent in ``inside`` (-1 if the
    parent is not among them), and its nesting level, counted from 1."""
    if not len(inside):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    numbers = inside["begin_number"]
    places = np.minimum(np.searchsorted(numbers, inside["parent"]), len(numbers) - 1)
    parents = np.where(numbers[places] == inside["parent"], places, -1).astype(np.int64)
    levels = np.ones(len(inside), np.int64)
    around = parents
    while (above := around >= 0).any():
        levels += above
        around = np.where(above, parents[around], -1)
    return parents, levels


def _gaps(owner: np.void, children: Spans) -> list[tuple[int, int]]:
    """The longest pieces of ``owner`` in which no span of ``children`` ran. ``children`` are in the order of their
    begins."""
    begins = np.append(children["begin"], owner["end"])
    ends = np.maximum.accumulate(np.concatenate([owner["begin"][None], children["end"]]))
    lengths = begins.astype(np.int64) - ends.astype(np.int64)
    longest = np.argsort(-lengths, kind="stable")[:_MOST_PIECES]
    return [(int(ends[place]), int(begins[place])) for place in longest.tolist()]


def _overlaps(owner: np.void, begin: int, end: int, spans: Spans) -> list[Overlap]:
    """The ``spans`` of other threads that overlap most with the piece of ``owner`` from ``begin`` to ``end``. Spans
    with the same name as ``owner`` are left out, since they wait for the same thing."""
    others = spans[(spans["begin_stream"] != owner["end_stream"]) & (spans["name"] != owner["name"])]
    first, last = np.uint64(begin), np.uint64(end)
    others = others[(others["begin"] < last) & (others["end"] > first)]
    lengths = (np.minimum(others["end"], last) - np.maximum(others["begin"], first)).astype(np.int64)
    codes = others["begin_stream"].astype(np.uint64) << np.uint64(32) | others["name"]
    kinds, of_kind = np.unique(codes, return_inverse=True)
    totals = _covered(others, first, last, of_kind, len(kinds))
    found = []
    for kind in np.argsort(-totals, kind="stable")[:_MOST_OVERLAPS].tolist():
        own, of_own = others[of_kind == kind], lengths[of_kind == kind]
        latest = own["end"].max()
        ended_before = end - int(latest) if latest <= last else None
        found.append(Overlap(own[of_own.argmax()], len(own), int(totals[kind]), ended_before))
    return found


def _covered(
    spans: Spans, first: np.uint64, last: np.uint64, of_kind: NDArray[np.int64], kinds: int
) -> NDArray[np.int64]:
    """For each kind, the time in ns between ``first`` and ``last`` during which at least one of the ``spans`` of this
    kind ran. ``of_kind``: the kind of each span. Lengths are not simply added, because spans with the same name may be
    nested."""
    covered = np.zeros(kinds, np.int64)
    if not len(spans):
        return covered
    begins = (np.maximum(spans["begin"], first) - first).astype(np.int64)
    ends = (np.minimum(spans["end"], last) - first).astype(np.int64)
    order = np.lexsort((begins, of_kind))
    # The times of each kind are shifted into a separate range, so that a single running maximum serves all kinds.
    offsets = of_kind[order] * (int(last - first) + 1)
    begins, ends = begins[order] + offsets, ends[order] + offsets
    before = np.concatenate([begins[:1], np.maximum.accumulate(ends)[:-1]])
    np.add.at(covered, of_kind[order], np.maximum(ends - np.maximum(begins, before), 0))
    return covered
