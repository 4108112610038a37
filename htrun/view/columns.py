"""Stores columns of numbers in a page in a compact form, which the page can quickly convert to typed arrays.

A column of 64-bit words is divided into eight planes: the lowest bytes of all words, the second bytes of all words, and
so on. A plane is not stored if all of its bytes are the same. The other planes compress much better than whole words,
because consecutive times differ little and most arguments are small. ``assets/js/codec.js`` reads the columns.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD = 8
"""The number of bytes in a word, and thus the number of planes."""
_LEVEL = 6
"""The level of compression. Higher levels take several times as long for planes of arguments, and hardly reduce their
size."""


class Section:
    """Columns that a page unpacks together. ``number``: the section's index in its page."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._compressor = zlib.compressobj(_LEVEL)
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: NDArray[Any], *, rising: bool = False) -> dict[str, Any]:
        """Store ``values``, which are integers of 0 or more, and return the description that the page needs to read
        them. ``rising``: whether the values never decrease. In this case, their differences are stored.
        """
        words = values.astype("<u8")
        if rising and len(words):
            words = np.diff(words, prepend=np.uint64(0))
        start = self._size
        planes = [self._plane(plane) for plane in words.view(np.uint8).reshape(-1, _WORD).T]
        return {"section": self.number, "start": start, "count": len(words), "planes": planes, "rising": rising}

    def text(self) -> str:
        """The compressed section, encoded in characters without a special meaning in HTML. Nothing can be added after
        this call."""
        return b64encode(b"".join([*self._parts, self._compressor.flush()])).decode()

    def _plane(self, plane: NDArray[np.uint8]) -> int | None:
        """The value of all bytes of ``plane``; None if the bytes differ. Stores the plane if they differ."""
        if not len(plane) or bool((plane == plane[0]).all()):
            return int(plane[0]) if len(plane) else 0
        self._parts.append(self._compressor.compress(plane.tobytes()))
        self._size += len(plane)
        return None
