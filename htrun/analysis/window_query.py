"""Converts times and threads, as the user writes them, to a window of a trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.window import EVERYTHING, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.analysis.trace import Trace

_OFFSET = re.compile(r"\+?(\d{1,9})(?:\.(\d{1,9}))?(s|ms|us|ns)?")
_EPOCH = re.compile(r"@(\d{1,10})(?:\.(\d{1,9}))?")
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NS_PER_US = 1000


@dataclass(frozen=True)
class WindowQuery:
    """The events at and after the time ``begin`` and before the time ``end`` (None: no limit), of ``threads`` (ids, or
    patterns of names) and of ``processes`` (ids). If both are empty, the events of all threads."""

    begin: str | None = None
    end: str | None = None
    threads: tuple[str, ...] = ()
    processes: tuple[int, ...] = ()

    def window(self, trace: Trace) -> Window:
        """The window of ``trace``. Raises `HtrunError` for an invalid time, and for threads or processes that ``trace``
        does not have."""
        return Window(
            EVERYTHING.begin if self.begin is None else moment(self.begin, trace.duration),
            EVERYTHING.end if self.end is None else moment(self.end, trace.duration),
            _stream_numbers(trace, self.threads, self.processes),
        )


UNLIMITED = WindowQuery()


def _stream_numbers(trace: Trace, threads: Sequence[str], processes: Sequence[int]) -> frozenset[int] | None:
    """The numbers of the streams of ``threads`` (ids, or patterns of names) and of ``processes`` (ids). If both are
    empty, the result is None: all streams.

    Raises `HtrunError` for a thread or process that ``trace`` does not have.
    """
    if not threads and not processes:
        return None
    found: set[int] = set()
    for thread in threads:
        matching = {
            number
            for number, stream in enumerate(trace.streams)
            if str(stream.tid) == thread or fnmatchcase(stream.comm, thread)
        }
        if not matching:
            raise HtrunError(f"{trace.path} has no thread {thread!r}; hypertrace info lists them")
        found |= matching
    for process in processes:
        matching = {number for number, stream in enumerate(trace.streams) if stream.pid == process}
        if not matching:
            raise HtrunError(f"{trace.path} has no process {process}; hypertrace info lists them")
        found |= matching
    return frozenset(found)


def moment(text: str, duration: tuple[int, int] | None) -> int:
    """The time ``text``, as the user writes it, in ns since the epoch. ``duration``: the duration of the trace. Raises
    `HtrunError` if ``text`` is not a time."""
    begin = duration[0] if duration is not None else 0
    if match := _OFFSET.fullmatch(text):
        unit = _UNITS[match[3] or "s"]
        return begin + int(match[1]) * unit + int((match[2] or "").ljust(9, "0")) * unit // 10**9
    if match := _EPOCH.fullmatch(text):
        return int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))
    try:
        if ":" in text and "-" not in text:
            # A time of day refers to the day on which the trace begins.
            text = f"{datetime.fromtimestamp(begin // 10**9).date().isoformat()}T{text}"
        told = datetime.fromisoformat(text).astimezone()
        return (int(told.replace(microsecond=0).timestamp()) * 10**6 + told.microsecond) * _NS_PER_US
    except (ValueError, OverflowError, OSError):
        raise HtrunError(
            f"{text!r} is not a time; write 1.5, 20ms, 14:05:00.25, 2026-01-31T14:05 or @SECONDS"
        ) from None
