"""Creates the text or the bytes of many events. Each column is created for a whole batch, and then the columns are
joined.

A text column is an array with a row for each event and a column for each character. Shorter texts are padded with NULs.
Nothing is done event by event, except for texts that only Python can create (`from_texts`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.shapes import Rows
    from htrun.events.stream import Stream

    Column = bytes | NDArray[np.uint8]
    """Either the same bytes for every event, or an array with a row of bytes for each event."""

BATCH = 1 << 12
"""The number of events that are formatted together. Their text fits in the processor's second-level cache, and is
written in one step.
"""

_GROUP_DIGITS = 4
_GROUP = 10**_GROUP_DIGITS
"""The number of values that a group of four digits can have. Decimal numbers are split into such groups, and each group
is looked up in a table."""


def side_by_side(columns: Sequence[Column], rows: int) -> NDArray[np.uint8]:
    """Join ``columns``. The result has a row of bytes for each of the ``rows`` events."""
    import numpy as np

    widths = [width(column) for column in columns]
    result = np.empty((rows, sum(widths)), np.uint8)
    start = 0
    for column, size in zip(columns, widths, strict=True):
        result[:, start : start + size] = np.frombuffer(column, np.uint8) if isinstance(column, bytes) else column
        start += size
    return result


def width(column: Column) -> int:
    """The number of bytes of a column in each row."""
    return len(column) if isinstance(column, bytes) else int(column.shape[1])


def text_of(parts: Sequence[tuple[Rows, NDArray[np.uint8]]], rows: int) -> bytes:
    """The text of ``rows`` events, without NULs. ``parts``: the positions of some events, and the text of these
    events."""
    import numpy as np

    if len(parts) == 1:
        flat = parts[0][1].reshape(-1)
    else:
        text = np.zeros((rows, max(part.shape[1] for _, part in parts)), np.uint8)
        for places, part in parts:
            text[places, : part.shape[1]] = part
        flat = text.reshape(-1)
    present = flat != 0
    return flat.tobytes() if present.all() else flat[present].tobytes()


def bytes_of(parts: Sequence[tuple[Rows, NDArray[np.uint8]]], rows: int) -> memoryview:
    """Like `text_of`, but for rows of binary data: NULs are kept."""
    import numpy as np

    if len(parts) == 1:
        return parts[0][1].reshape(-1).data
    sizes = np.empty(rows, np.int64)
    for places, part in parts:
        sizes[places] = part.shape[1]
    ends = np.cumsum(sizes)
    result = np.empty(int(ends[-1]), np.uint8)
    for places, part in parts:
        starts = (ends - sizes)[places]
        result[starts[:, None] + np.arange(part.shape[1])] = part
    return result.data


def of_streams(
    numbers: NDArray[np.uint32], streams: Sequence[Stream], text: Callable[[Stream], bytes]
) -> NDArray[np.uint8]:
    """A column with the ``text`` of each event's stream. ``numbers``: the number of each event's stream."""
    import numpy as np

    if (numbers == numbers[0]).all():
        same = np.frombuffer(text(streams[numbers[0]]), np.uint8)
        return np.broadcast_to(same, (len(numbers), len(same)))
    used, place = np.unique(numbers, return_inverse=True)
    return from_texts([text(streams[number]) for number in used])[place]


def from_texts(texts: Sequence[bytes]) -> NDArray[np.uint8]:
    """A column of ``texts``."""
    import numpy as np

    return np.array(texts, np.bytes_).view(np.uint8).reshape(len(texts), -1)


def decimal(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """``values`` in decimal, with NULs in place of leading zeros."""
    import numpy as np

    count = len(str(int(values.max())))
    text = digits(values, count)
    if len(str(int(values.min()))) < count:
        powers = np.array([10**power for power in range(1, count)], np.uint64)
        text = text & _leading(count)[np.searchsorted(powers, values, side="right")]
    return text


def signed_decimal(values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """``values`` in decimal without leading zeros, and with a minus if negative."""
    import numpy as np

    negative = values < 0
    words = values.view(np.uint64)
    if not negative.any():
        return decimal(words)
    minus = np.where(negative, np.uint8(ord("-")), np.uint8(0))[:, None]
    # The subtraction is unsigned, so that the result is also correct for the lowest number, which has no positive
    # counterpart.
    return np.hstack([minus, decimal(np.where(negative, np.uint64(0) - words, words))])


def digits(values: NDArray[np.uint64], count: int) -> NDArray[np.uint8]:
    """The last ``count`` decimal digits of ``values``, with leading zeros."""
    import numpy as np

    groups = -(-count // _GROUP_DIGITS)
    table = _groups()
    text = np.empty((len(values), groups), table.dtype)
    for group in range(groups - 1, -1, -1):
        # Dividing by a constant is much quicker than numpy's divmod.
        rest = values // np.uint64(_GROUP)
        text[:, group] = table[values - rest * np.uint64(_GROUP)]
        values = rest
    return text.view(np.uint8)[:, -count:]


def hexadecimal(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Each of ``values`` as 16 hexadecimal digits. The result has one dimension more than ``values``."""
    import numpy as np

    octets = values.astype(">u8").view(np.uint8).reshape(*values.shape, 8)
    return _hexadecimal_pairs()[octets].view(np.uint8).reshape(*values.shape, 16)


@cache
def _groups() -> NDArray[np.uint32]:
    """The texts of 0000 to 9999. Each element contains the four characters of one number."""
    import numpy as np

    return np.array([f"{number:0{_GROUP_DIGITS}}".encode() for number in range(_GROUP)]).view(np.uint32)


@cache
def _leading(count: int) -> NDArray[np.uint8]:
    """Masks for texts of ``count`` digits. The mask in row N keeps N + 1 digits."""
    import numpy as np

    kept = np.arange(count)[None, :] >= count - 1 - np.arange(count)[:, None]
    return np.where(kept, np.uint8(0xFF), np.uint8(0))


@cache
def _hexadecimal_pairs() -> NDArray[np.uint16]:
    """The texts of 00 to ff. Each element contains the two characters of one number."""
    import numpy as np

    return np.array([f"{byte:02x}".encode() for byte in range(256)]).view(np.uint16)
