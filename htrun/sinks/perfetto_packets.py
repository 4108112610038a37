"""The packets of events in a Perfetto trace. All events of one shape have the same layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.arguments import Argument, ArgumentType
from htrun.events.definitions import CPU_ENTER, CPU_EXIT, USER_SYSCALL, USER_SYSCALL_RET
from htrun.events.named import Phase
from htrun.sinks import protobuf as pb
from htrun.sinks.columns import side_by_side
from htrun.sinks.perfetto_names import CALL, CATEGORY, Names
from htrun.sinks.perfetto_tracks import Track, counter_tracks, key_tracks, thread_tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.shapes import Shape
    from htrun.events.stream import Stream
    from htrun.sinks.columns import Column

    Fields = list[Column]

SEQUENCE_ID, SEQUENCE_FLAGS = 10, 13
"""The numbers of fields of TracePacket."""
SEQUENCE = 1
_PACKET, _TIMESTAMP, _TRACK_EVENT = 1, 8, 11
_NEEDS_STATE = 2
# The numbers of fields of TrackEvent.
_CATEGORY_IIDS, _ANNOTATIONS, _TYPE, _NAME_IID, _TRACK_UUID, _COUNTER_VALUE, _DOUBLE_VALUE = 3, 4, 9, 10, 11, 30, 44
# The numbers of fields of DebugAnnotation.
_ANNOTATION_NAME_IID, _BOOL, _UINT, _INT, _DOUBLE, _POINTER, _STRING_IID = 1, 2, 3, 4, 5, 7, 17

_BEGIN, _END, _INSTANT, _COUNT = 1, 2, 3, 4
"""Values of TrackEvent's ``type``."""
_TYPES = {Phase.INSTANT: _INSTANT, Phase.BEGIN: _BEGIN, Phase.END: _END, Phase.COUNTER: _COUNT}
_HALVES = {
    CPU_ENTER: (_BEGIN, Track.VCPU),
    CPU_EXIT: (_END, Track.VCPU),
    USER_SYSCALL: (_BEGIN, Track.SYSCALLS),
    USER_SYSCALL_RET: (_END, Track.SYSCALLS),
}
"""QEMU's events that begin or end a span. The values are the type of the event, and the track."""


def call_packets(
    shape: Shape, events: Events, names: Names, titles: NDArray[np.uint64], meaning: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The packets of ``events``, which must be system calls or returns. ``titles``: the numbers of the calls' names.
    ``meaning``: the value of one more annotation, from `htrun.sinks.protobuf.padded_texts`."""
    type_, of = _HALVES[shape.definition]
    title = pb.number(_NAME_IID, pb.varints(titles))
    call = pb.message(_ANNOTATIONS, pb.number(_ANNOTATION_NAME_IID, names.annotations[CALL]), [meaning])
    category = pb.number(_CATEGORY_IIDS, CATEGORY)
    fields = (category, title, *_annotations(shape, events, names), call)
    return side_by_side(_event(events, type_, thread_tracks(of, events), *fields), len(events))


def packets(shape: Shape, events: Events, streams: Sequence[Stream], names: Names) -> NDArray[np.uint8]:
    """The packets of ``events``, one row of bytes for each packet. All ``events`` have the same ``shape``.

    An event that is a counter has a packet for each argument.
    """
    if shape.named is not None and shape.named.phase is Phase.COUNTER:
        tracks = counter_tracks(shape, events, streams, names)
        counted = zip(tracks, shape.words(events), strict=True)
        fields = [column for track, (argument, words) in counted for column in _count(events, track, argument, words)]
        return side_by_side(fields, len(events))
    type_, of = _HALVES.get(shape.definition, (_INSTANT, Track.THREAD))
    if shape.named is not None:
        type_ = _TYPES[shape.named.phase]
    track = key_tracks(shape, events, names)
    if track is None:
        track = thread_tracks(of, events)
    name = pb.number(_NAME_IID, names.events[shape.title])
    packet = _event(
        events, type_, track, pb.number(_CATEGORY_IIDS, CATEGORY), name, *_annotations(shape, events, names)
    )
    return side_by_side(packet, len(events))


def _event(events: Events, type_: int, track: NDArray[np.uint64], *fields: Fields) -> Fields:
    return pb.message(
        _PACKET,
        pb.number(_TIMESTAMP, pb.varints(events["time"])),
        pb.number(SEQUENCE_ID, SEQUENCE),
        pb.number(SEQUENCE_FLAGS, _NEEDS_STATE),
        pb.message(_TRACK_EVENT, pb.number(_TYPE, type_), pb.number(_TRACK_UUID, pb.varints(track)), *fields),
    )


def _count(events: Events, track: NDArray[np.uint64], argument: Argument, words: NDArray[np.uint64]) -> Fields:
    """A packet that gives a counter its value."""
    values = argument.values(words)
    if argument.type is ArgumentType.F64:
        return _event(events, _COUNT, track, pb.double(_DOUBLE_VALUE, values))
    number = pb.number(_COUNTER_VALUE, pb.varints(values.astype("u8")))
    if argument.type not in {ArgumentType.I64, ArgumentType.BOOL} and bool((words >> 63).any()):
        # Perfetto's counters are signed, so a greater value is written as a float. A float is shorter, so the type is
        # written twice.
        real = [*pb.double(_DOUBLE_VALUE, words.astype("f8")), *pb.number(_TYPE, _COUNT)]
        return _event(events, _COUNT, track, [_either(words >> 63 != 0, real, number)])
    return _event(events, _COUNT, track, number)


def _either(chosen: NDArray[np.bool_], first: Fields, second: Fields) -> NDArray[np.uint8]:
    """The fields ``first`` for the events that are ``chosen``, and the fields ``second`` for the other events. Both
    must have the same size."""
    import numpy as np

    return np.where(chosen[:, None], side_by_side(first, len(chosen)), side_by_side(second, len(chosen)))


def _annotations(shape: Shape, events: Events, names: Names) -> list[Fields]:
    values = list(shape.words(events))
    if shape.named is None and shape.number_column is not None:
        values.insert(0, (Argument(shape.number_column), events[shape.number_column]))
    return [
        pb.message(
            _ANNOTATIONS,
            pb.number(_ANNOTATION_NAME_IID, names.annotations[argument.name]),
            _value(argument, words, names),
        )
        for argument, words in values
    ]


def _value(argument: Argument, words: NDArray[np.uint64], names: Names) -> Fields:
    """The value of an annotation."""
    match argument.type:
        case ArgumentType.I64:
            return pb.number(_INT, pb.varints(words))
        case ArgumentType.F64:
            return pb.double(_DOUBLE, argument.values(words))
        case ArgumentType.BOOL:
            return pb.number(_BOOL, argument.values(words).astype("u1")[:, None])
        case ArgumentType.HEX:
            return pb.number(_POINTER, pb.varints(words))
        case ArgumentType.ENUM | ArgumentType.TEXT:
            return [_label(argument, words, names)]
        case _:
            return pb.number(_UINT, pb.varints(words))


def _label(argument: Argument, words: NDArray[np.uint64], names: Names) -> NDArray[np.uint8]:
    """The number of a value's label, or the value itself if it has no label. Both take the same number of bytes."""
    import numpy as np

    used, place = np.unique(words, return_inverse=True)
    size = pb.WORD + 1
    fields = [
        pb.padded_number(_STRING_IID, names.labels[value], size)
        if isinstance(value, str)
        else pb.padded_number(_UINT, int(value), size)
        for value in map(argument.value, used.tolist())
    ]
    return np.frombuffer(b"".join(fields), np.uint8).reshape(-1, size)[place]
