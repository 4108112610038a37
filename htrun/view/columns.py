"""Columns of numbers in the form that a page contains: small, and quick to turn into typed arrays.

A column of 64-bit words is cut into eight planes: all the lowest bytes, all the second ones, and so on. A plane whose
bytes are all the same is not stored, and the others compress much better than whole words: times differ little from one
to the next, and most arguments are small. ``assets/js/codec.js`` is the reader.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD = 8
"""The number of bytes of a word, and so of planes."""
_LEVEL = 6
"""The level of compression: at higher levels, planes of arguments take several times as long and hardly get smaller."""


class Section:
    """Columns that a page unpacks together. ``number``: the section's index in its page."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._compressor = zlib.compressobj(_LEVEL)
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: NDArray[Any], *, rising: bool = False) -> dict[str, Any]:
        """Store ``values``, integers not below zero; returns the description that the page needs to read them.
        ``rising``: whether they never decrease; then their differences are stored.
        """
        words = values.astype("<u8")
        if rising and len(words):
            words = np.diff(words, prepend=np.uint64(0))
        start = self._size
        planes = [self._plane(plane) for plane in words.view(np.uint8).reshape(-1, _WORD).T]
        return {"section": self.number, "start": start, "count": len(words), "planes": planes, "rising": rising}

    def text(self) -> str:
        """The section, compressed, in characters that have no meaning in HTML. Nothing can be added after this call."""
        return b64encode(b"".join([*self._parts, self._compressor.flush()])).decode()

    def _plane(self, plane: NDArray[np.uint8]) -> int | None:
        """The value of all bytes of ``plane``; None if they differ, so that the plane must be stored."""
        if not len(plane) or bool((plane == plane[0]).all()):
            return int(plane[0]) if len(plane) else 0
        self._parts.append(self._compressor.compress(plane.tobytes()))
        self._size += len(plane)
        return None
