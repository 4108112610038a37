"""Writes protocol buffers without a library: either one message, or messages for many events together.

The messages for many events have the same layout. Every value has a fixed number of bytes, so that whole batches can be
assembled column by column. Protocol buffers allow this: a varint may have more bytes than it needs, up to ten
(protobuf.dev, "Encoding").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.sinks.columns import width

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.sinks.columns import Column

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_UNKNOWN = 100_000
WORD = 10
"""The number of bytes of a varint that can contain any 64-bit value."""


def varint(value: int, size: int = 1) -> bytes:
    """``value`` as a varint of at least ``size`` bytes. A negative value is written as its two's complement in 64
    bits."""
    value &= (1 << 64) - 1
    octets = bytearray()
    while value or len(octets) < size:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets[-1] &= 0x7F
    return bytes(octets)


def varints(values: NDArray[np.uint64], size: int = WORD) -> NDArray[np.uint8]:
    """``values`` as varints of ``size`` bytes each. All values must be below ``2 ** (7 * size)``."""
    import numpy as np

    octets = np.empty((len(values), size), np.uint8)
    for place in range(size):
        octets[:, place] = (values >> np.uint64(7 * place)).astype(np.uint8) | np.uint8(0x80)
    octets[:, -1] &= 0x7F
    return octets


def number(field: int, value: int | NDArray[np.uint8]) -> list[Column]:
    """A field that is a varint. ``value``: one value, or the varints of many events."""
    return [_tag(field, _VARINT), varint(value) if isinstance(value, int) else value]


def padded_number(field: int, value: int, size: int) -> bytes:
    """A field that is a varint. The whole field takes ``size`` bytes."""
    tag = _tag(field, _VARINT)
    return tag + varint(value, size - len(tag))


def double(field: int, values: NDArray[np.float64]) -> list[Column]:
    """A field that is a float, for many events."""
    import numpy as np

    return [_tag(field, _FIXED64), values.astype("<f8").view(np.uint8).reshape(len(values), 8)]


def text(field: int, value: str | bytes) -> list[Column]:
    """A field that is text or bytes."""
    data = value.encode(errors="replace") if isinstance(value, str) else value
    return [_tag(field, _LENGTH), varint(len(data)), data]


def padded_texts(field: int, texts: Sequence[bytes], room: int) -> NDArray[np.uint8]:
    """A field that is text, for many events. No text may be longer than ``room`` bytes.

    Shorter texts are padded with a field of a number that no message uses. Readers skip unknown fields.
    """
    import numpy as np

    size = len(varint(room))
    rows = [
        _tag(field, _LENGTH) + varint(len(text), size) + text
        + _tag(_UNKNOWN, _LENGTH) + varint(room - len(text), size) + bytes(room - len(text))
        for text in texts
    ]  # fmt: skip
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def message(field: int, *parts: Sequence[Column]) -> list[Column]:
    """A field that is a message, made of the fields ``parts``."""
    columns = [column for part in parts for column in part]
    return [_tag(field, _LENGTH), varint(sum(width(column) for column in columns)), *columns]


def single(columns: Sequence[Column]) -> bytes:
    """The bytes of ``columns``, which must be the same for all events."""
    return b"".join(bytes(column) for column in columns)


def _tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)
