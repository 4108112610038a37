"""Determines what disturbed each span: the time for which its thread did not run, and page faults.

A trace has this information if it was recorded with ``htrun --sched``. It is collected in a pass over the whole trace
before spans are looked up. The memory used is 25 bytes for each switch, and 16 bytes for each page fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from htrun.events.definitions import (
    DEFINITIONS,
    MIGRATION,
    PAGE_FAULT,
    SCHED_EVENTS,
    SCHED_LOST,
    SCHED_SWITCH_IN,
    SCHED_SWITCH_OUT,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.timing.spans import Spans
    from htrun.analysis.trace import Trace
    from htrun.events.records import Events
    from htrun.events.stream import Stream

    Found = NDArray[np.void]
    """What disturbed each span, of the type `DISTURBANCE`."""
    _Words = NDArray[np.uint64]
    _Ints = NDArray[np.int64]

DISTURBANCE = np.dtype(
    [
        ("known", "?"),
        ("off", "<i8"),
        ("preempted", "<i8"),
        ("preemptions", "<i8"),
        ("waits", "<i8"),
        ("page_faults", "<i8"),
        ("migrations", "<i8"),
    ]
)
"""What disturbed a span.

``known``: whether this is known; if not, the other fields are 0. It is unknown if the span ends in another thread than
it begins, or if events of its thread were lost meanwhile.
``off``: the time in ns for which the thread did not run. ``preempted``: the part of this time for which the thread
could have run.
``preemptions``, ``waits``: how often the thread lost its processor, and how often it waited.
``page_faults``, ``migrations``: the numbers of these events.
"""

_RANK_BITS = 40
"""The number of bits for the rank of a time in a sort key. The other bits hold the thread."""
_IN, _OUT, _FAULT, _MIGRATION, _LOST = (
    DEFINITIONS.index(kind) for kind in (SCHED_SWITCH_IN, SCHED_SWITCH_OUT, PAGE_FAULT, MIGRATION, SCHED_LOST)
)
_KINDS = np.array(sorted(DEFINITIONS.index(kind) for kind in SCHED_EVENTS))


class Disturbances:
    """All switches and page faults of a trace."""

    def __init__(self, streams: Sequence[Stream], batches: Iterable[Events]) -> None:
        """``streams``: the streams of the trace; ``batches``: all its events."""
        ids = np.array([[stream.pid, stream.tid] for stream in streams], np.uint64).reshape(-1, 2)
        # A thread that executes a program, or that has several kinds of events, has several streams.
        self._threads: _Words = np.unique(ids, axis=0, return_inverse=True)[1].reshape(-1).astype(np.uint64)
        times, threads, kinds, preempted, last = self._collected(batches)
        order = np.argsort(threads, kind="stable")
        times, threads, kinds, preempted = times[order], threads[order], kinds[order], preempted[order]
        switches = np.flatnonzero((kinds == _IN) | (kinds == _OUT))
        out = kinds[switches] == _OUT
        self._off = _Gaps.between(times[switches], threads[switches], out, preempted[switches], last)
        self._faults = _Moments(times[kinds == _FAULT], threads[kinds == _FAULT])
        self._migrations = _Moments(times[kinds == _MIGRATION], threads[kinds == _MIGRATION])
        self._lost = _Losses(times, threads, kinds == _LOST)

    @classmethod
    def of(cls, trace: Trace) -> Disturbances | None:
        """The disturbances of ``trace``; None if it was recorded without ``--sched``."""
        if SCHED_SWITCH_IN not in trace.kinds:
            return None
        return cls(trace.streams, trace.events())

    def _collected(self, batches: Iterable[Events]) -> tuple[_Words, _Words, _Ints, NDArray[np.bool_], int]:
        """The times, threads and kinds of all events of the kernel, whether a thread was preempted, and the time of the
        last event of the trace."""
        none = np.empty(0, np.uint64)
        times, threads, kinds, preempted = [none], [none], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
        last = 0
        for events in batches:
            last = int(events["time"][-1])
            rows = np.flatnonzero(events["kind"] >= _KINDS[0])
            times.append(events["time"][rows])
            threads.append(self._threads[events["stream"][rows]])
            kinds.append(events["kind"][rows].astype(np.int64))
            preempted.append(events["args"][rows, 1] != 0 if len(rows) else preempted[0])
        return np.concatenate(times), np.concatenate(threads), np.concatenate(kinds), np.concatenate(preempted), last

    def within(self, spans: Spans) -> Found:
        """What disturbed each of ``spans``."""
        threads, begin, end = self._threads[spans["begin_stream"]], spans["begin"], spans["end"]
        found = np.zeros(len(spans), DISTURBANCE)
        found["known"] = (threads == self._threads[spans["end_stream"]]) & (begin <= end)
        found["known"] &= self._lost.is_known(threads, begin, end)
        before, after = self._off.until(threads, begin), self._off.until(threads, end)
        for field in ("off", "preempted", "preemptions", "waits"):
            found[field] = np.where(found["known"], after[field] - before[field], 0)
        for field, moments in (("page_faults", self._faults), ("migrations", self._migrations)):
            found[field] = np.where(found["known"], moments.within(threads, begin, end), 0)
        return found


def are_disturbed(spans: Spans, found: Found) -> NDArray[np.bool_]:
    """A mask of the ``spans`` that were disturbed, or of which this is unknown. ``found``: what disturbed them."""
    disturbed: NDArray[np.bool_] = ~found["known"] | spans["trapped"] | (found["off"] > 0)
    return disturbed | (found["page_faults"] > 0) | (found["migrations"] > 0)


class _Moments:
    """Moments of threads, in the order of threads and then of time."""

    def __init__(self, times: _Words, threads: _Words) -> None:
        self._ranks = np.unique(times)
        self._keys = _keys(threads, np.searchsorted(self._ranks, times))

    def before(self, threads: _Words, times: _Words, *, inclusive: bool = False) -> _Ints:
        """The index after the last moment of each thread that is before the time (or at it, if ``inclusive``)."""
        ranks = np.searchsorted(self._ranks, times, "right" if inclusive else "left")
        return np.searchsorted(self._keys, _keys(threads, ranks), "left").astype(np.int64)

    def within(self, threads: _Words, begin: _Words, end: _Words) -> _Ints:
        """The number of moments of each thread from ``begin`` to ``end``."""
        return self.before(threads, end, inclusive=True) - self.before(threads, begin)


class _Gaps:
    """The times for which threads did not run, in the order of threads and then of time."""

    def __init__(self, begins: _Words, ends: _Words, threads: _Words, preempted: NDArray[np.bool_]) -> None:
        self._begins = _Moments(begins, threads)
        # The last gap is for threads that have none before the time.
        self._ends, self._owners = np.append(ends, np.uint64(0)), np.append(threads, np.uint64(1 << 20))
        self._preempted = np.append(preempted, False)
        lengths = (ends - begins).astype(np.int64)
        self._totals = {
            "off": _sums(lengths),
            "preempted": _sums(lengths * preempted),
            "preemptions": _sums(preempted.astype(np.int64)),
            "waits": _sums((~preempted).astype(np.int64)),
        }

    @classmethod
    def between(
        cls, times: _Words, threads: _Words, out: NDArray[np.bool_], preempted: NDArray[np.bool_], last: int
    ) -> _Gaps:
        """The gaps between switches, which are in the order of threads and then of time. ``last``: the end of the gap
        of a thread that did not run any more."""
        begins = np.flatnonzero(out)
        following = np.append(times[1:], np.uint64(last))
        same = np.append(threads[1:] == threads[:-1], False)
        ends = np.where(same, following, np.uint64(last))[begins]
        return cls(times[begins], np.maximum(ends, times[begins]), threads[begins], preempted[begins])

    def until(self, threads: _Words, times: _Words) -> dict[str, _Ints]:
        """The sums over all gaps of earlier threads, and over the gaps of each thread until the time."""
        places = self._begins.before(threads, times)
        sums = {field: totals[places] for field, totals in self._totals.items()}
        inside = (self._owners[places - 1] == threads) & (self._ends[places - 1] > times)
        rest = np.where(inside, self._ends[places - 1] - times, np.uint64(0)).astype(np.int64)
        sums["off"] = sums["off"] - rest
        sums["preempted"] = sums["preempted"] - rest * self._preempted[places - 1]
        return sums


class _Losses:
    """The times for which the events of the kernel are known."""

    def __init__(self, times: _Words, threads: _Words, lost: NDArray[np.bool_]) -> None:
        """``times``, ``threads``: of all events of the kernel, in the order of threads and then of time. ``lost``:
        which of them report a loss. Events were lost since the event before."""
        first = np.append(True, threads[1:] != threads[:-1])[: len(threads)]
        self._first = _Moments(times[first], threads[first])
        ends = np.flatnonzero(lost)
        begins = np.where(first[ends], ends, ends - 1)
        self._begins, self._ends = _Moments(times[begins], threads[ends]), _Moments(times[ends], threads[ends])

    def is_known(self, threads: _Words, begin: _Words, end: _Words) -> NDArray[np.bool_]:
        """Whether all events of each thread from ``begin`` to ``end`` are known."""
        started = self._first.before(threads, begin, inclusive=True) > self._first.before(threads, np.zeros_like(begin))
        begun, over = self._begins.before(threads, end), self._ends.before(threads, begin)
        known: NDArray[np.bool_] = started & (begun == over)
        return known


def _keys(threads: _Words, ranks: NDArray[np.intp]) -> _Words:
    """A sort key for each pair of a thread and the rank of a time."""
    return (threads << np.uint64(_RANK_BITS)) | ranks.astype(np.uint64)


def _sums(values: _Ints) -> _Ints:
    """The sum of all values before each index."""
    return np.append(0, np.cumsum(values)).astype(np.int64)
