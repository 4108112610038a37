"""Reports on slow spans: the parts of each slow span, and the overlapping spans of other threads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.anatomy import Anatomy, anatomy_of
from htrun.analysis.timing.disturbances import Disturbances
from htrun.reports.disturbances import disturbance_as_json, reason_of
from htrun.reports.exports import csv_text, markdown_table
from htrun.reports.table import printable, table
from htrun.reports.units import nanoseconds

if TYPE_CHECKING:
    from htrun.analysis.anatomy import Overlap, Piece
    from htrun.analysis.slowest import Slowest, SlowSpan
    from htrun.analysis.trace import Trace

VERSION = 1
"""The version of the JSON. It changes when the meaning of existing fields changes; new fields do not change it."""


@dataclass(frozen=True)
class SlowReport:
    """The report on the ``slowest`` spans of ``trace``."""

    trace: Trace
    slowest: Slowest

    @cached_property
    def found(self) -> dict[int, np.void]:
        """What disturbed the slow spans, by their ids; empty if the trace does not contain this."""
        disturbances = Disturbances.of(self.trace)
        if disturbances is None or not self.slowest.spans:
            return {}
        spans = np.array([slow.span for slow in self.slowest.spans])
        return dict(zip(spans["begin_number"].tolist(), disturbances.within(spans), strict=True))

    @cached_property
    def rows(self) -> list[tuple[SlowSpan, Anatomy]]:
        """Each slow span with its parts."""
        return [(slow, anatomy_of(slow, self.slowest.keyed)) for slow in self.slowest.spans]

    def name(self, span: np.void) -> str:
        """The name of ``span``."""
        return self.slowest.names[int(span["name"])]

    def thread(self, stream: int) -> str:
        """The text for the thread with the number ``stream``: ``comm:tid``."""
        found = self.trace.streams[stream]
        return f"{found.comm}:{found.tid}"

    def threads(self, span: np.void) -> str:
        """The text for the thread of ``span``, or for both threads if another thread ended ``span``."""
        first, last = int(span["begin_stream"]), int(span["end_stream"])
        return self.thread(first) + ("" if first == last else f" to {self.thread(last)}")

    def arguments(self, span: np.void) -> dict[str, str]:
        """The arguments of the begin event of ``span``: their values as text, by name."""
        words = span["begin_args"].tolist()
        event = self.trace.names.lookup(words[0]) if self.trace.names is not None and words else None
        arguments = () if event is None else event.arguments
        return {argument.name: argument.text(word) for argument, word in zip(arguments, words[1:], strict=False)}

    def title(self, span: np.void) -> str:
        """The name and arguments of ``span``."""
        return " ".join([self.name(span), *(f"{name}={text}" for name, text in self.arguments(span).items())])

    def median(self, span: np.void) -> float:
        """The median duration in ns of all spans in the trace with the same name as ``span``, accurate to 3%."""
        return self.slowest.medians[int(span["name"])]

    def link(self, span: np.void) -> str:
        """The command that shows ``span`` on the timeline."""
        return f"hypertrace view {shlex.quote(str(self.trace.path))} --at {span['begin_number']}"


def _length(span: np.void) -> int:
    return int(span["end"]) - int(span["begin"])


def _times(value: float, median: float) -> str:
    return "" if median <= 0 else f"{value / median:.{0 if value >= 10 * median else 1}f}"


def text(report: SlowReport) -> Iterator[str]:
    """The report as readable text."""
    for place, (slow, anatomy) in enumerate(report.rows, 1):
        yield "\n" if place > 1 else ""
        yield from _slow_span(report, place, slow, anatomy)


def _slow_span(report: SlowReport, place: int, slow: SlowSpan, anatomy: Anatomy) -> Iterator[str]:
    span = slow.span
    begin, duration = int(span["begin"]), _length(span)
    median = report.median(span)
    first, _ = report.trace.duration or (0, 0)
    head = f"{place}. {report.title(span)}: {nanoseconds(duration)}, {_times(duration, median)} times the median"
    yield printable(f"{head} ({nanoseconds(median)})") + "\n"
    moment = f"{(begin - first) // 10**9}.{(begin - first) % 10**9:09}"
    yield printable(f"   #{span['begin_number']} in {report.threads(span)} at {moment} s") + "\n"
    found = report.found.get(int(span["begin_number"]))
    if found is not None and found["known"]:
        reason = reason_of(found, trapped=False)
        yield f"   it ran for {nanoseconds(duration - int(found['off']))}{f'; {reason}' if reason else ''}\n"
    if span["trapped"]:
        yield "   it contains an event that trapped, the first of its call site or thread; see --warm\n"
    if anatomy.parts:
        yield "".join(f"   {line}" for line in table(*_parts_table(report, begin, anatomy)))
    if anatomy.hidden:
        yield f"   and {anatomy.hidden:,} shorter ones\n"
    for piece in anatomy.pieces:
        yield from (f"   {printable(line)}\n" for line in _piece(report, slow, piece))
    yield f"   {printable(report.link(span))}\n"


def _parts_table(report: SlowReport, begin: int, anatomy: Anatomy) -> tuple[list[str], list[list[str]], list[bool]]:
    """The table of the spans within a slow span: its head, its rows, and for each column whether it is aligned to the
    right."""
    rows = []
    for part in anatomy.parts:
        span = part.span
        rows.append(
            [
                f"+{nanoseconds(int(span['begin']) - begin)}",
                nanoseconds(_length(span)),
                nanoseconds(report.median(span)),
                printable("  " * (part.level - 1) + report.title(span)),
                printable(report.thread(int(span["begin_stream"]))),
            ]
        )
    return ["begins", "took", "median", "span", "thread"], rows, [True, True, True, False, False]


def _piece(report: SlowReport, slow: SlowSpan, piece: Piece) -> Iterator[str]:
    own = piece.owner["begin_number"] == slow.span["begin_number"]
    where = f"in {report.name(piece.owner)}"
    if own and piece.duration < _length(slow.span):
        where = f"in {report.name(piece.owner)}, in none of these"
    yield f"{nanoseconds(piece.duration)} {where}; meanwhile{':' if piece.overlaps else ' no other thread had a span'}"
    for overlap in piece.overlaps:
        yield f"  {_overlap(report, piece, overlap)}"


def _overlap(report: SlowReport, piece: Piece, overlap: Overlap) -> str:
    span = overlap.span
    share = overlap.overlap / max(piece.duration, 1)
    thread = report.thread(int(span["begin_stream"]))
    before = overlap.ended_before
    ended = "which went on" if before is None else f"until {nanoseconds(before)} before the end"
    what = f"{report.name(span)} #{span['begin_number']}"
    if overlap.count > 1:
        what = f"{report.name(span)} {overlap.count:,} times (the longest is #{span['begin_number']})"
    return f"{thread} was in {what} for {nanoseconds(overlap.overlap)} ({share:.0%}), {ended}"


def as_json(report: SlowReport) -> str:
    """The report as JSON of `VERSION`. Times are in ns."""
    document = {
        "version": VERSION,
        "source": str(report.trace.path),
        "selected": report.slowest.count,
        "spans": [_as_object(report, slow, anatomy) for slow, anatomy in report.rows],
    }
    return json.dumps(document, indent=2) + "\n"


def _as_object(report: SlowReport, slow: SlowSpan, anatomy: Anatomy) -> dict[str, Any]:
    return {
        **_span(report, slow.span),
        "arguments": report.arguments(slow.span),
        "trapped": bool(slow.span["trapped"]),
        **_on_cpu(report, slow.span),
        "parts": [
            {**_span(report, part.span), "arguments": report.arguments(part.span), "level": part.level}
            for part in anatomy.parts
        ],
        "hidden": anatomy.hidden,
        "pieces": [
            {
                "in": report.name(piece.owner),
                "id": int(piece.owner["begin_number"]),
                "begin_ns": piece.begin,
                "duration": piece.duration,
                "meanwhile": [_overlap_object(report, each) for each in piece.overlaps],
            }
            for piece in anatomy.pieces
        ],
        "view": report.link(slow.span),
    }


def _on_cpu(report: SlowReport, span: np.void) -> dict[str, Any]:
    """What disturbed ``span``; empty if this is unknown."""
    found = report.found.get(int(span["begin_number"]))
    return {} if found is None or not found["known"] else {"on_cpu": disturbance_as_json(span, found)}


def _overlap_object(report: SlowReport, overlap: Overlap) -> dict[str, Any]:
    ended = bool(overlap.span["end_number"])
    described = _span(report, overlap.span)
    return {
        **described,
        # The end of a span that ended later than the slow span is unknown.
        **({} if ended else {"duration": None}),
        "count": overlap.count,
        "overlap": overlap.overlap,
        "ended_before": overlap.ended_before,
    }


def _span(report: SlowReport, span: np.void) -> dict[str, Any]:
    first, last = (report.trace.streams[int(span[end])] for end in ("begin_stream", "end_stream"))
    return {
        "id": int(span["begin_number"]),
        "name": report.name(span),
        "begin_ns": int(span["begin"]),
        "duration": _length(span),
        "median": report.median(span),
        "pid": first.pid,
        "tid": first.tid,
        "comm": first.comm,
        "end_tid": last.tid,
    }


_COLUMNS = (
    "id", "name", "arguments", "duration", "median", "begin_ns", "tid", "comm", "end_tid",
    "longest_in", "longest", "meanwhile", "meanwhile_id", "meanwhile_thread", "overlap",
)  # fmt: skip


def _cells(report: SlowReport) -> Iterator[list[object]]:
    for slow, anatomy in report.rows:
        described = _span(report, slow.span)
        arguments = " ".join(f"{name}={text}" for name, text in report.arguments(slow.span).items())
        cells: list[object] = [described["id"], described["name"], arguments]
        cells += [described[name] for name in _COLUMNS[3:9]]
        piece = next(iter(anatomy.pieces), None)
        cells += [None, None] if piece is None else [report.name(piece.owner), piece.duration]
        overlap = next(iter(piece.overlaps), None) if piece is not None else None
        if overlap is None:
            cells += [None] * 4
        else:
            span = overlap.span
            cells += [report.name(span), int(span["begin_number"]), report.thread(int(span["begin_stream"]))]
            cells.append(overlap.overlap)
        yield cells


def as_csv(report: SlowReport) -> str:
    """One line for each slow span, with its longest piece, and the span of another thread that overlaps most with this
    piece."""
    return csv_text(_COLUMNS, _cells(report))


def as_markdown(report: SlowReport) -> str:
    """A table for a document or a review comment."""
    head = ["span", "took", "median", "thread", "longest in", "for", "meanwhile", "for"]
    rows: list[Sequence[str]] = []
    for slow, anatomy in report.rows:
        piece = next(iter(anatomy.pieces), None)
        overlap = next(iter(piece.overlaps), None) if piece is not None else None
        row = [
            f"{report.title(slow.span)} #{slow.span['begin_number']}",
            nanoseconds(_length(slow.span)),
            nanoseconds(report.median(slow.span)),
            report.threads(slow.span),
            *(["", ""] if piece is None else [report.name(piece.owner), nanoseconds(piece.duration)]),
        ]
        if overlap is None:
            row += ["", ""]
        else:
            thread = report.thread(int(overlap.span["begin_stream"]))
            row += [f"{report.name(overlap.span)} of {thread}", nanoseconds(overlap.overlap)]
        rows.append([printable(cell) for cell in row])
    return markdown_table(head, rows, [False, True, True, False, False, True, False, True])
