"""The content of a page: the events of a trace as columns, and their spans.

The content consists of plain data for JSON, and sections of columns (`htrun.view.columns`). The first section contains
the data that the page needs before it can draw. Each other section contains a column of arguments, which the page
unpacks when it is needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.timing.first_events import FirstTimes
from htrun.analysis.timing.spans import Pairer, span_dtype
from htrun.errors import HtrunError
from htrun.events.named import Phase
from htrun.launch.system import vcpu_of
from htrun.view.columns import Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.analysis.filters import Filter
    from htrun.analysis.trace import Trace
    from htrun.events.arguments import Argument
    from htrun.events.records import Events
    from htrun.events.shapes import Shape, Shapes

MOST_EVENTS = 4_000_000
"""The default maximum number of events on a page. A browser needs about 100 bytes of memory for each event."""


_BATCH = 1 << 17
"""The number of events in a batch for pairing. The memory needed for a batch is small compared with that for all
events."""


@dataclass(frozen=True)
class Chosen:
    """The events that a page shows, in the order of time. ``codes``: the index of each event's shape in
    `Shapes.all`."""

    events: Events
    codes: NDArray[np.uint16]


@dataclass(frozen=True)
class Content:
    """The parts of a page. ``head``: plain data for JSON; ``sections``: columns, as text."""

    head: dict[str, Any]
    sections: tuple[str, ...]


def choose(batches: Iterable[Events], shapes: Shapes, num_args: int, most: int = MOST_EVENTS) -> Chosen:
    """All events of ``batches``. Raises `HtrunError` if there are more than ``most`` events."""
    from htrun.events.records import event_dtype

    kept: list[Events] = [np.empty(0, event_dtype(num_args))]
    count = 0
    for events in batches:
        count += len(events)
        if count > most:
            raise HtrunError(
                f"the selection has more than {most:,} events, too many for a page; "
                "choose some with --from, --to, --thread or --event, or raise --most"
            )
        kept.append(events)
    events = np.concatenate(kept)
    codes = np.zeros(len(events), np.uint16)
    for shape, rows in shapes.split(events):
        codes[rows] = shapes.all().index(shape)
    return Chosen(events, codes)


def choose_around(trace: Trace, wanted: Filter, at: int, most: int = MOST_EVENTS) -> tuple[Chosen, int]:
    """The events of ``trace`` that ``wanted`` selects, and the position among them of the event with the id ``at``.

    If the trace has more than ``most`` events, only about ``most`` events around the event ``at`` are considered.
    Raises `HtrunError` if ``wanted`` does not select the event ``at``.
    """
    half = len(trace) if len(trace) <= most else most // 2
    kept: list[Events] = []
    position, count = None, 0
    for ids, events in wanted.numbered(trace):
        # This is a sum, because a difference of unsigned numbers would wrap around below 0.
        near = (ids + np.uint64(half) > np.uint64(at)) & (ids < np.uint64(at + half))
        ids, events = ids[near], events[near]
        found = int(np.searchsorted(ids, np.uint64(at)))
        if found < len(ids) and int(ids[found]) == at:
            position = count + found
        kept.append(events)
        count += len(events)
    if position is None:
        raise HtrunError(f"{trace.path} has no event #{at} in the selection")
    return choose(kept, trace.shapes, trace.num_args, max(most, count)), position


def content_of(trace: Trace, chosen: Chosen, at: int | None = None) -> Content:
    """The content of a page that shows the events ``chosen`` from ``trace``.

    ``at``: the position of the event that the page shows first; None: the page first shows all events.
    """
    events, first = chosen.events, Section(0)
    begin = int(events["time"][0]) if len(events) else 0
    used, places = np.unique(chosen.codes, return_inverse=True)
    shapes = [trace.shapes.all()[code] for code in used.tolist()]
    columns = {
        "time": first.add(events["time"] - np.uint64(begin), rising=True),
        "kind": first.add(places),
        "thread": first.add(events["stream"]),
    }
    pairer = Pairer(trace.names, trace.losses)
    # The events that trapped may lie outside the selected part of the trace, so the whole trace is searched for them.
    everything = [events] if len(events) == len(trace) else trace.events()
    trapped = FirstTimes([stream.pid for stream in trace.streams], everything)
    spans = _spans(pairer, events, first, trapped)
    unpaired = pairer.finish()
    rest = _Sections(first)
    kinds = [_kind(shape, events[places == place], rest) for place, shape in enumerate(shapes)]
    columns["site"] = rest.later().add(events["site"])
    head = {
        "begin": str(begin),
        "length": int(events["time"][-1]) - begin if len(events) else 0,
        "at": at,
        "trace": trace.path.name or str(trace.path),
        "facts": dict(_facts(trace.environment)),
        "threads": [
            {
                "pid": each.pid,
                "tid": each.tid,
                "ordinal": each.vcpu,
                "is_vcpu": vcpu_of(each.comm) is not None,
                "comm": each.comm,
                "lost": lost,
            }
            for each, lost in zip(trace.streams, trace.discarded, strict=True)
        ],
        "kinds": kinds,
        "events": columns,
        "spans": spans,
        "unpaired": [{"name": name, **asdict(each)} for name, each in unpaired.items()],
    }
    return Content(head, rest.texts())


def _spans(pairer: Pairer, events: Events, section: Section, trapped: FirstTimes) -> list[dict[str, Any]]:
    """For each name, its spans in the order of their begins. A span is described by the numbers of its two events,
    counted from 0, and whether an event in it trapped."""
    found = [pairer.feed(events[start : start + _BATCH]) for start in range(0, len(events), _BATCH)]
    spans = np.concatenate([np.empty(0, span_dtype()), *found])
    spans = spans[pairer.names.are_own(spans)]
    spans = spans[np.argsort(spans["begin_number"])]
    times = events["time"]
    described = []
    for place in np.unique(spans["name"]).tolist():
        own = spans[spans["name"] == place]
        begins, ends = own["begin_number"] - np.uint64(1), own["end_number"] - np.uint64(1)
        held = np.zeros(len(own), bool)
        for streams in (own["begin_stream"], own["end_stream"]):
            held |= trapped.within(streams, times[begins], times[ends])
        described.append(
            {
                "name": pairer.names[place],
                "across": pairer.keyed[place],
                "begin": section.add(begins, rising=True),
                "end": section.add(ends),
                "trapped": section.add(held),
            }
        )
    return described


class _Sections:
    """The sections of a page. ``first``: the first section."""

    def __init__(self, first: Section) -> None:
        self.first = first
        self._all = [first]

    def later(self) -> Section:
        """Add a section for data that the page does not need before it can draw."""
        self._all.append(Section(len(self._all)))
        return self._all[-1]

    def texts(self) -> tuple[str, ...]:
        """The texts of all sections. Nothing can be added to the sections afterwards."""
        return tuple(section.text() for section in self._all)


def _kind(shape: Shape, events: Events, sections: _Sections) -> dict[str, Any]:
    """The data of ``events``, which are all events of ``shape``."""
    # The values of counters are needed for the first drawing.
    section = sections.first if shape.phase is Phase.COUNTER else None
    fields = []
    if shape.number_column is not None and shape.named is None:
        column = sections.later().add(events[shape.number_column])
        fields.append({"name": shape.number_column, "type": "u64", "column": column})
    fields += [
        {**_argument(argument), "column": (section or sections.later()).add(words)}
        for argument, words in shape.words(events)
    ]
    return {"name": shape.title, "phase": shape.phase.value, "fields": fields}


def _argument(argument: Argument) -> dict[str, Any]:
    labels = {str(value): label for value, label in argument.labels.items()}
    return {"name": argument.name, "type": argument.type.value, **({"labels": labels} if labels else {})}


_FACTS: Sequence[tuple[str, str]] = (
    ("command", "command"),
    ("hostname", "host"),
    ("kernel_release", "kernel"),
    ("machine", "machine"),
    ("guest_architecture", "guest"),
    ("emulator", "emulator"),
    ("emulator_version", "emulator version"),
    ("htrun_version", "htrun"),
    ("clock_source", "clock"),
    ("clock_error_ns", "clock error, ns"),
)
"""The facts of a run that a page shows, and their titles."""


def _facts(environment: Mapping[str, str | int]) -> Iterator[tuple[str, str]]:
    for key, name in _FACTS:
        if environment.get(key) not in (None, ""):
            yield name, str(environment[key])
