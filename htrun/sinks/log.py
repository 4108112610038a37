"""QEMU's ``log`` format: one line of text for each event.

::

    TID@SECONDS.MICROSECONDS:guest_hypertrace cpu=0x0  index=0 arg1=0x000000000000cafe arg2=0x000000000000babe

QEMU (trace/log backend of 7.2) prints a pointer after ``cpu=``; here it is the guest thread's number.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from htrun.events.definitions import HYPERTRACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.output import Output

_BATCH = 1 << 14
"""Events formatted at once: their text stays in the processor's second-level cache, and one write takes it."""
_NS_PER_US = 1000
_US_PER_SECOND = 1_000_000
_GROUP = 1000
"""Decimal numbers are made of groups of three digits, each one look-up in a table."""


class LogSink:
    """Writes events as lines to ``output``, which it takes over. A line is written when `write` returns."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, events: Events, streams: Sequence[Stream]) -> None:
        """Write a line for each event. Raises `SinkError`."""
        for start in range(0, len(events), _BATCH):
            self._output.write_lines(format_lines(events[start : start + _BATCH], streams))

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the output. Raises `SinkError`."""
        self._output.close()


def format_lines(events: Events, streams: Sequence[Stream]) -> bytes:
    """The lines of ``events``, each with its line end.

    Every line is built as a row of equal width, column by column, in which a NUL stands for each digit that a shorter
    number lacks; then the NULs are dropped. No step looks at a single event.
    """
    import numpy as np

    if not len(events):
        return b""
    microseconds = events["time"] // np.uint64(_NS_PER_US)
    seconds, fraction = np.divmod(microseconds, np.uint64(_US_PER_SECOND))
    tids, vcpus = _stream_texts(events["stream"], streams)
    columns: list[bytes | NDArray[np.uint8]] = [
        tids,
        b"@",
        _decimal(seconds),
        b".",
        _digits(fraction, groups=2),
        f":{HYPERTRACE.name} cpu=0x".encode(),
        vcpus,
        b"  index=",
        _decimal(events["index"]),
    ]
    arguments = _hexadecimal(events["args"])
    for number in range(arguments.shape[1]):
        columns += [f" arg{number + 1}=0x".encode(), arguments[:, number]]
    columns.append(b"\n")
    return _join(columns, len(events))


def _join(columns: Sequence[bytes | NDArray[np.uint8]], rows: int) -> bytes:
    import numpy as np

    widths = [len(column) if isinstance(column, bytes) else column.shape[1] for column in columns]
    text = np.empty((rows, sum(widths)), np.uint8)
    start = 0
    for column, width in zip(columns, widths, strict=True):
        text[:, start : start + width] = np.frombuffer(column, np.uint8) if isinstance(column, bytes) else column
        start += width
    flat = text.reshape(-1)
    present = flat != 0
    return flat.tobytes() if present.all() else flat[present].tobytes()


def _stream_texts(
    numbers: NDArray[np.uint32], streams: Sequence[Stream]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Each event's thread id and vcpu number as text, by the number of its stream."""
    import numpy as np

    used, place = np.unique(numbers, return_inverse=True)
    tids = np.array([str(streams[number].tid).encode() for number in used])
    vcpus = np.array([f"{streams[number].vcpu:x}".encode() for number in used])
    return tuple(texts.view(np.uint8).reshape(len(used), -1)[place] for texts in (tids, vcpus))  # type: ignore[return-value]


def _decimal(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """``values`` without leading zeros: NULs are in their place, before the digits."""
    import numpy as np

    digits = len(str(int(values.max())))
    text = _digits(values, groups=-(-digits // 3))[:, -digits:]
    if len(str(int(values.min()))) < digits:
        text = text.copy()
        for column in range(digits - 1):
            text[values < np.uint64(10 ** (digits - 1 - column)), column] = 0
    return text


def _digits(values: NDArray[np.uint64], groups: int) -> NDArray[np.uint8]:
    """The last three times ``groups`` decimal digits of ``values``, with leading zeros."""
    import numpy as np

    triples = _triples()
    text = np.empty((len(values), 3 * groups), np.uint8)
    for group in range(groups - 1, -1, -1):
        values, last = np.divmod(values, np.uint64(_GROUP))
        text[:, 3 * group : 3 * group + 3] = triples[last]
    return text


def _hexadecimal(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """``values`` (events by arguments) as 16 digits each: an array of events by arguments by 16."""
    import numpy as np

    octets = values.astype(">u8").view(np.uint8)
    return _hexadecimal_pairs()[octets].view(np.uint8).reshape(*values.shape, 16)


@cache
def _triples() -> NDArray[np.uint8]:
    """The text of 000 to 999, a row each."""
    import numpy as np

    return np.array([f"{number:03}".encode() for number in range(_GROUP)]).view(np.uint8).reshape(_GROUP, 3)


@cache
def _hexadecimal_pairs() -> NDArray[np.uint16]:
    """The text of 00 to ff, each two characters in one element."""
    import numpy as np

    return np.array([f"{byte:02x}".encode() for byte in range(256)]).view(np.uint16)
