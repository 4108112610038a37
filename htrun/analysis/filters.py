"""Select events of a trace by time, thread, name and arguments, one batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.event_ids import in_window, numbered_events
from htrun.analysis.expressions import Expression
from htrun.events.arguments import Argument, ArgumentType
from htrun.events.call_texts import like_their_calls
from htrun.events.definitions import USER_SYSCALL, USER_SYSCALL_RET, USER_SYSCALL_TEXT
from htrun.events.syscall_arguments import MOST_ERRNO, error_name
from htrun.events.syscalls import names_of
from htrun.events.window import BATCH, EVERYTHING, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.trace import Trace
    from htrun.events.records import Events
    from htrun.events.shapes import Rows, Shape

_STREAM_FIELDS = ("pid", "tid", "vcpu", "comm")
_NAME_FIELDS = ("event", "name", "phase")
_EVENT_FIELDS = ("time", "time_ns", "site", "index", "num", "arch", "syscall", "error", *_NAME_FIELDS)


@dataclass(frozen=True)
class Filter:
    """Selects events of a trace. ``window``: the selected times and threads; ``events``: patterns of the selected
    names, empty for all names; ``where``: a condition on each event, or None."""

    window: Window = EVERYTHING
    events: tuple[str, ...] = ()
    where: Expression | None = None

    def batches(self, trace: Trace, size: int = BATCH, *, texts: bool = False) -> Iterator[Events]:
        """The selected events of ``trace``. If ``texts`` is true, the texts of system calls are included (see
        `Trace.events`).

        Raises `HtrunError` if the condition cannot be evaluated for an event.
        """
        for events in trace.events(self.window, size, texts=texts):
            kept = events[self._kept(trace, events)]
            if len(kept):
                yield kept

    def numbered(
        self, trace: Trace, size: int = BATCH, *, texts: bool = False
    ) -> Iterator[tuple[NDArray[np.uint64], Events]]:
        """The selected events, and the id of each (`htrun.analysis.event_ids`). A text has the id of its call.

        Events before the window are also read, because ids count them.
        """
        for ids, events in numbered_events(trace, self.window.end, size, texts=texts):
            inside = in_window(events, self.window)
            ids, events = ids[inside], events[inside]
            kept = self._kept(trace, events)
            ids, events = ids[kept], events[kept]
            if len(events):
                yield ids, events

    def _kept(self, trace: Trace, events: Events) -> Rows:
        """The rows of the selected ``events``, which are all in the window."""
        if not self.events and self.where is None:
            return slice(None)
        keep = np.zeros(len(events), bool)
        for shape, rows in trace.shapes.split(events):
            if not self._named(shape) or shape.definition is USER_SYSCALL_TEXT:
                continue
            if self.where is None:
                keep[rows] = True
            else:
                own = events[rows]
                keep[rows] = self.where.matches(_Columns(trace, shape, own), len(own))
        return np.flatnonzero(like_their_calls(events, keep))

    def _named(self, shape: Shape) -> bool:
        names = {shape.title, shape.definition.name}
        return not self.events or any(fnmatchcase(name, pattern) for name in names for pattern in self.events)


def unknown_events(trace: Trace, patterns: Sequence[str]) -> list[str]:
    """The ``patterns`` that contain no wildcard and are not the name of an event of ``trace``."""
    shapes = trace.shapes.all()
    known = {shape.title for shape in shapes} | {shape.definition.name for shape in shapes}
    return [pattern for pattern in patterns if pattern not in known and not set(pattern) & set("*?[")]


def field_names(trace: Trace) -> frozenset[str]:
    """The names of all fields that a condition on events of ``trace`` can use."""
    shapes = (shape for shape in trace.shapes.all() if shape.definition is not USER_SYSCALL_TEXT)
    arguments = {argument.name for shape in shapes for argument in shape.arguments}
    numbered = {f"arg{number}" for number in range(1, trace.num_args + 1)}
    return frozenset(arguments | numbered | {*_STREAM_FIELDS, *_EVENT_FIELDS})


class _Columns:
    """See `htrun.analysis.expressions.Columns`."""

    def __init__(self, trace: Trace, shape: Shape, events: Events) -> None:
        self._trace = trace
        self._shape = shape
        self._events = events

    def column(self, name: str) -> NDArray[Any] | None:
        for argument, words in self._shape.words(self._events):
            if argument.name == name:
                return _texts(argument, words) if argument.type is ArgumentType.TEXT else argument.values(words)
        if name in _STREAM_FIELDS:
            of_streams = [getattr(stream, name) for stream in self._trace.streams]
            values: NDArray[Any] = np.array(of_streams, np.str_ if name == "comm" else np.uint64)
            return np.asarray(values[self._events["stream"]])
        if name in _NAME_FIELDS:
            text = self._text(name)
            return None if text is None else np.full(len(self._events), text)
        if name == "time":
            begin, _ = self._trace.duration or (0, 0)
            # The time in seconds since the first event, which is easier to type than an absolute time.
            seconds: NDArray[np.float64] = (self._events["time"] - np.uint64(begin)).astype(np.float64) / 1e9
            return seconds
        if name == "time_ns":
            return np.asarray(self._events["time"])
        if name == "syscall":
            is_call = self._shape.definition in (USER_SYSCALL, USER_SYSCALL_RET)
            return names_of(self._events) if is_call else None
        if name == "error":
            return _errors(self._events["args"][:, 0]) if self._shape.definition is USER_SYSCALL_RET else None
        if name in self._shape.definition.columns:
            numbers: NDArray[np.uint64] = self._events[name].astype(np.uint64)
            return numbers
        return self._numbered(name)

    def labels(self, name: str) -> dict[str, int]:
        """The labels of the enumeration ``name``."""
        for argument in self._shape.arguments:
            if argument.name == name and argument.type is ArgumentType.ENUM:
                return {label: value for value, label in argument.labels.items()}
        return {}

    def _text(self, name: str) -> str | None:
        if name == "event":
            return self._shape.definition.name
        named = self._shape.named
        return None if named is None else named.name if name == "name" else named.phase.value

    def _numbered(self, name: str) -> NDArray[np.uint64] | None:
        """The values of the argument ``name`` (``argN``), even if the user has given the argument another name."""
        if self._shape.named is None or not name.startswith("arg") or not name[3:].isdecimal():
            return None
        place = int(name[3:]) - 1
        arguments: NDArray[np.uint64] = self._events["args"]
        return arguments[:, place] if 0 <= place < arguments.shape[1] else None


def _errors(results: NDArray[np.uint64]) -> NDArray[np.str_]:
    """The name of the error in each of ``results`` of system calls; an empty string if the result is not an error."""
    least = 1 << 64
    used, place = np.unique(np.where(results >= np.uint64(least - MOST_ERRNO), results, 0), return_inverse=True)
    names = [error_name(word - least) or "" for word in used.tolist()]
    return np.asarray(np.array(names, np.str_)[place])


def _texts(argument: Argument, words: NDArray[np.uint64]) -> NDArray[np.str_]:
    used, place = np.unique(words, return_inverse=True)
    return np.array([str(argument.value(word)) for word in used.tolist()], np.str_)[place]
