"""The index of a native trace. It consists of pieces: parts of one packet that are small enough to be read in one step.

An index is built piece by piece as packed bytes, and read as a numpy array, since a trace may have millions of pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Pieces = NDArray[np.void]
"""An index: an array with the fields `PIECE_FIELDS`."""

PIECE_FIELDS = [("begin", "<u8"), ("limit", "<u8"), ("offset", "<u8"), ("count", "<u4"), ("file", "<u4")]
"""``begin``: the ticks of the first event. ``limit``: the upper limit of the events' ticks. ``offset``: the position in
the file, in bytes. ``count``: the number of events. ``file``: the number of the file."""

_PIECE = struct.Struct("<QQQII")
_SIZE, _LEAST_SIZE = 1 << 18, 1 << 12
"""The usual and the minimum size of a piece in bytes. The events of a piece stay in the processor's cache while they
are decoded."""
_ALL_SIZE = 1 << 25
"""The maximum total size in bytes of one piece from each file. If all threads emit at the same time, all these pieces
are in memory together."""


def piece_size(files: int) -> int:
    """The size of a piece in bytes for a trace that has this many ``files``."""
    return max(_LEAST_SIZE, min(_SIZE, _ALL_SIZE // max(files, 1)))


def packed(begin: int, limit: int, offset: int, count: int, file: int) -> bytes:
    """A piece as part of an index that is being built; see `PIECE_FIELDS`."""
    return _PIECE.pack(begin, limit, offset, count, file)


def pieces_of(index: bytes) -> Pieces:
    """The pieces in ``index``, the packed bytes of an index."""
    return np.frombuffer(index, np.dtype(PIECE_FIELDS))


def in_order(indexes: Iterable[bytes]) -> Pieces:
    """The pieces of all ``indexes``, ordered by the time of their first event."""
    pieces = pieces_of(b"".join(indexes))
    return pieces[np.argsort(pieces["begin"], kind="stable")]
