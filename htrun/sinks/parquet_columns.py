"""The columns of a Parquet file. They are filled row by row, and passed on as Arrow tables without another copy.

In memory, events are stored row by row, and a column is one word of each row. If columns were extracted from a hundred
thousand rows together, all rows would be read from memory once for each column. So only a few thousand rows are split
into columns at a time, while these rows are in the processor's cache.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from htrun.events.arguments import ArgumentType
from htrun.events.records import NUMBERS
from htrun.events.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.arguments import Argument
    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.facts import TraceFacts

_BLOCK = 1 << 12
"""The number of rows that are split into columns at a time."""
_REPEATED = ("pid", "tid", "vcpu", "site", "num", "arch")
"""The columns of numbers that have few different values."""


class Schema:
    """The columns of a file, derived from the shapes of the events that can occur."""

    def __init__(self, facts: TraceFacts) -> None:
        self.shapes = facts.shapes
        self._kinds = facts.kinds
        # Arguments and host names may contain any bytes. Python represents invalid bytes by surrogates, but Arrow
        # accepts only UTF-8.
        self._environment = {key: str(value).encode(errors="replace") for key, value in facts.environment.items()}

    @cached_property
    def possible(self) -> list[Shape]:
        """The shapes that are known when the first event comes."""
        return [shape for shape in self.shapes.all() if shape.definition in self._kinds]

    @cached_property
    def room(self) -> int:
        """The maximum number of arguments of an event."""
        return max((self.shapes.width(shape) for shape in self.shapes.all()), default=0)

    @cached_property
    def arguments(self) -> int:
        """The number of ``arg`` columns. The arguments of carried events are not in these columns, but only in named
        columns."""
        own = [shape for shape in self.possible if shape.named is None or not shape.named.carried]
        return max((self.shapes.width(shape) for shape in own), default=0)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The columns of `NUMBERS` for which some event can have a value."""
        return tuple(name for name in NUMBERS if any(name in shape.definition.columns for shape in self.possible))

    def has_argument(self, shape: Shape, place: int) -> bool:
        """Whether events of ``shape`` have a value in the ``arg`` column ``place``."""
        return place < self.shapes.width(shape)

    @cached_property
    def arrow(self) -> Any:
        """The schema for Arrow, with the facts of the run as the metadata of the file."""
        import pyarrow as pa

        text, u32, u64 = pa.dictionary(pa.int32(), pa.string()), pa.uint32(), pa.uint64()
        given = [("time", pa.timestamp("ns", "UTC")), ("pid", u32), ("tid", u32), ("vcpu", u32), ("comm", text)]
        fields = [pa.field(name, type_, nullable=False) for name, type_ in [*given, ("event", text)]]
        fields += [pa.field(name, text) for name in ("name", "phase")]
        for name in NUMBERS:
            always = all(name in shape.definition.columns for shape in self.possible)
            fields.append(pa.field(name, u32, nullable=not always))
        for place in range(self.arguments):
            always = all(self.has_argument(shape, place) for shape in self.possible)
            fields.append(pa.field(f"arg{place + 1}", u64, nullable=not always))
        fields += [pa.field(name, _arrow_type(argument)) for name, (argument, _) in self.typed.items()]
        return pa.schema(fields, metadata=self._environment)

    @cached_property
    def dictionaries(self) -> list[str]:
        """The columns that are written with a dictionary: each value is written once, and the rows contain the numbers
        of the values."""
        import pyarrow as pa

        return [field.name for field in self.arrow if pa.types.is_dictionary(field.type) or field.name in _REPEATED]

    @cached_property
    def encodings(self) -> dict[str, str]:
        """The encodings of the other columns.

        Integers are encoded as differences from row to row. This is as fast as plain encoding, and several times
        smaller for counters, sizes and addresses.
        """
        import pyarrow as pa

        return {
            field.name: "DELTA_BINARY_PACKED"
            for field in self.arrow
            if field.name not in self.dictionaries
            and (pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type))
        }

    @cached_property
    def typed(self) -> dict[str, tuple[Argument, dict[int, int]]]:
        """The arguments that the user has named; see `Shapes.named_columns`."""
        return self.shapes.named_columns


class Columns:
    """Memory for ``room`` events of ``schema``. ``rows``: the number of events in this memory."""

    def __init__(self, schema: Schema, room: int) -> None:
        import numpy as np

        self.rows = 0
        self._schema = schema
        self._room = room
        self._time = np.empty(room, np.int64)
        self._stream = np.empty(room, np.int32)
        self._numbers = {name: np.empty(room, np.uint32) for name in schema.numbers}
        self._shape = np.empty(room, np.int32)
        self._args = np.zeros((schema.room, room), np.uint64)

    @property
    def full(self) -> bool:
        """Whether there is no room for another event."""
        return self.rows == self._room

    def clear(self) -> None:
        """Forget all events."""
        self.rows = 0

    def add(self, events: Events) -> int:
        """Add as many of ``events`` as there is room for. Returns the number of added events."""
        count = min(len(events), self._room - self.rows)
        # Some events have fewer arguments than there are columns. The remaining words are never read.
        width = min(events["args"].shape[1], self._schema.room)
        self._shape[self.rows : self.rows + count] = self._schema.shapes.codes(events[:count])
        for start in range(0, count, _BLOCK):
            block = events[start : min(start + _BLOCK, count)]
            to = slice(self.rows, self.rows + len(block))
            self._time[to] = block["time"]
            self._stream[to] = block["stream"]
            for name, numbers in self._numbers.items():
                numbers[to] = block[name]
            for place in range(width):
                self._args[place, to] = block["args"][:, place]
            self.rows += len(block)
        return count

    def table(self, streams: Sequence[Stream]) -> Any:
        """An Arrow table of all events. The table refers to this object's memory."""
        import numpy as np
        import pyarrow as pa

        every = self._schema.shapes.all()
        codes = self._shape[: self.rows]
        used = np.flatnonzero(np.bincount(codes, minlength=len(every))).tolist()
        stream = self._stream[: self.rows]
        streams_used = np.flatnonzero(np.bincount(stream, minlength=len(streams))).tolist()
        ids = [np.array([getattr(each, field) for each in streams], np.uint32) for field in ("pid", "tid", "vcpu")]
        named = [shape.named for shape in every]
        columns = [
            pa.array(self._time[: self.rows], pa.timestamp("ns", "UTC")),
            *(pa.array(each[stream]) for each in ids),
            _texts(stream, streams_used, [each.comm.encode(errors="replace").decode() for each in streams]),
            _texts(codes, used, [shape.definition.name for shape in every]),
            _texts(codes, used, [event.name if event else None for event in named]),
            _texts(codes, used, [event.phase.value if event else None for event in named]),
            *(self._number(name, used) for name in NUMBERS),
            *(self._argument(place, used) for place in range(self._schema.arguments)),
            *(self._typed(argument, places, used) for argument, places in self._schema.typed.values()),
        ]
        return pa.Table.from_arrays(columns, schema=self._schema.arrow)

    def _argument(self, place: int, used: Sequence[int]) -> Any:
        every = self._schema.shapes.all()
        having = {number for number in used if self._schema.has_argument(every[number], place)}
        return self._whole(self._args[place], used, having)

    def _number(self, name: str, used: Sequence[int]) -> Any:
        import pyarrow as pa

        every = self._schema.shapes.all()
        having = {number for number in used if name in every[number].definition.columns}
        return self._whole(self._numbers[name], used, having) if having else pa.nulls(self.rows, pa.uint32())

    def _whole(self, values: NDArray[np.unsignedinteger[Any]], used: Sequence[int], having: set[int]) -> Any:
        """The column of ``values``. It is null for events whose shapes are not in ``having``."""
        import pyarrow as pa

        type_ = pa.from_numpy_dtype(values.dtype)
        if not having:
            return pa.nulls(self.rows, type_)
        buffers = [_bits(self._present(used, having)), pa.py_buffer(values[: self.rows])]
        return pa.Array.from_buffers(type_, self.rows, buffers)

    def _typed(self, argument: Argument, places: dict[int, int], used: Sequence[int]) -> Any:
        import numpy as np
        import pyarrow as pa

        type_ = _arrow_type(argument)
        having = {number for number in used if number in places}
        if not having:
            return pa.nulls(self.rows, type_)
        words = self._joined({number: places[number] for number in having})
        present = self._present(used, having)
        match argument.type:
            case ArgumentType.ENUM | ArgumentType.TEXT:
                return _labels(argument, words, present)
            case ArgumentType.BOOL:
                bits = np.packbits(words != 0, bitorder="little")
                return pa.Array.from_buffers(type_, self.rows, [_bits(present), pa.py_buffer(bits)])
            case _:
                return pa.Array.from_buffers(type_, self.rows, [_bits(present), pa.py_buffer(words)])

    def _joined(self, places: dict[int, int]) -> NDArray[np.uint64]:
        """One column with the argument of each event. ``places``: the index of the argument, by shape. The values for
        events of other shapes have no meaning."""
        first, *others = dict.fromkeys(places.values())
        words = self._args[first, : self.rows]
        for place in others:
            codes = [number for number, own in places.items() if own == place]
            words = _chosen(self._shape[: self.rows], codes, self._args[place, : self.rows], words)
        return words

    def _present(self, used: Sequence[int], having: set[int]) -> NDArray[np.bool_] | None:
        """A mask of the events whose shapes are in ``having``; None if this is true of all events."""
        import numpy as np

        if len(having) == len(used):
            return None
        has = np.zeros(len(self._schema.shapes.all()), np.bool_)
        has[list(having)] = True
        return has[self._shape[: self.rows]]


def _bits(present: NDArray[np.bool_] | None) -> Any:
    """The bitmap of values that are not null, for Arrow; None if no value is null."""
    import numpy as np
    import pyarrow as pa

    return None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))


def _chosen(
    shapes: NDArray[np.int32], codes: Sequence[int], words: NDArray[np.uint64], others: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    import numpy as np

    return np.where(np.isin(shapes, codes), words, others)


def _labels(argument: Argument, words: NDArray[np.uint64], present: NDArray[np.bool_] | None) -> Any:
    """The labels of an enumeration. A value without a label is written as a number."""
    import numpy as np
    import pyarrow as pa

    if present is not None:
        words = np.where(present, words, words[np.argmax(present)])
    known = np.array(sorted(argument.labels), np.uint64)
    codes = np.minimum(np.searchsorted(known, words), max(len(known) - 1, 0))
    if not len(known) or not bool((known[codes] == words).all()):
        known, codes = np.unique(words, return_inverse=True)
    labels = pa.array([str(argument.value(word)) for word in known.tolist()], pa.string())
    indices = pa.Array.from_buffers(pa.int32(), len(words), [_bits(present), pa.py_buffer(codes.astype(np.int32))])
    return pa.DictionaryArray.from_arrays(indices, labels)


def _arrow_type(argument: Argument) -> Any:
    import pyarrow as pa

    match argument.type:
        case ArgumentType.I64:
            return pa.int64()
        case ArgumentType.F64:
            return pa.float64()
        case ArgumentType.BOOL:
            return pa.bool_()
        case ArgumentType.ENUM | ArgumentType.TEXT:
            return pa.dictionary(pa.int32(), pa.string())
        case _:
            return pa.uint64()


def _texts(codes: NDArray[np.int32], used: Sequence[int], values: Sequence[str | None]) -> Any:
    """A column of texts: ``values[code]`` for each code. ``used``: the codes that occur."""
    import numpy as np
    import pyarrow as pa

    texts = [text for text in dict.fromkeys(values[code] for code in used) if text is not None]
    if not texts:
        return pa.nulls(len(codes), pa.dictionary(pa.int32(), pa.string()))
    if len(used) == 1:
        indices = pa.array(np.zeros(len(codes), np.int32))
    else:
        place = {text: number for number, text in enumerate(texts)}
        renumbered = np.array([-1 if value is None else place.get(value, -1) for value in values], np.int32)[codes]
        absent = renumbered < 0 if any(values[code] is None for code in used) else None
        indices = pa.array(renumbered, mask=absent)
    # Equal texts are stored once in the file.
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string()))
