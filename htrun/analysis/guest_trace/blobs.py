"""Finds blobs: byte strings that a guest's kernel module sends as sequences of events.

These events use their own indexes, so the events of a blob follow each other directly among the events of its index.
The words of a blob are a head, the guest's time in ns, and the bytes in the guest's memory order, padded with zeros to
a whole number of events (``guest/linux-module/blob.c``). The bits of the head are::

    63..32  magic
    31 whether the bytes are a big-endian machine's
    30..24  the kind
    23..0   the number of bytes
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from htrun.events.definitions import DEFINITIONS, HYPERTRACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from htrun.events.records import Events

MAGIC = 0xB10B7ACE
HEAD_WORDS = 2
_BIG_ENDIAN_SHIFT, _KIND_SHIFT, _KIND_MASK, _SIZE_MASK = 31, 24, 0x7F, 0xFFFFFF
_HYPERTRACE = DEFINITIONS.index(HYPERTRACE)


class BlobKind(IntEnum):
    """The content of a blob."""

    FORMAT = 1
    """The format of an event: a line with the name of its system, then the text of its format file in tracefs."""
    SYMBOL = 2
    """An address as one word, and the name of the function there."""
    ENTRY = 3
    """An entry of the guest kernel's trace."""


@dataclass(frozen=True)
class Blobs:
    """Blobs in a batch of events.

    ``rows``: the positions in the batch of all events that use indexes of blobs, ordered by index and time.
    ``start``: for each complete blob, the position of its first event in ``rows``.
    ``count``: for each complete blob, its number of events.
    ``head``: for each complete blob, its first word.
    ``unfinished``: the positions in the batch of the first events of blobs whose end has not arrived yet.
    """

    rows: NDArray[np.int64]
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    head: NDArray[np.uint64]
    unfinished: NDArray[np.int64]

    @property
    def kind(self) -> NDArray[np.uint64]:
        """The `BlobKind` of each blob."""
        return kind_of(self.head)

    @property
    def size(self) -> NDArray[np.int64]:
        """The number of bytes of each blob."""
        return (self.head & np.uint64(_SIZE_MASK)).astype(np.int64)

    @property
    def big_endian(self) -> NDArray[np.bool_]:
        """For each blob, whether its bytes are in big-endian order."""
        return (self.head >> np.uint64(_BIG_ENDIAN_SHIFT) & np.uint64(1)).astype(np.bool_)

    def places(self, blob: int) -> NDArray[np.int64]:
        """The positions in the batch of the events of ``blob``."""
        start = int(self.start[blob])
        places: NDArray[np.int64] = self.rows[start : start + int(self.count[blob])]
        return places

    def consumed(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The positions in the batch of all events of the ``chosen`` blobs."""
        starts, counts = self.start[chosen], self.count[chosen]
        if not len(starts):
            return np.empty(0, np.int64)
        firsts = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        rows: NDArray[np.int64] = self.rows[firsts + np.arange(int(counts.sum()))]
        return rows


def is_head(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """A mask of the ``words``, first arguments of events, that are heads of blobs of a known kind."""
    kinds = kind_of(words)
    known = (kinds >= np.uint64(min(BlobKind))) & (kinds <= np.uint64(max(BlobKind)))
    heads: NDArray[np.bool_] = (words >> np.uint64(32) == np.uint64(MAGIC)) & known
    return heads


def kind_of(heads: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The kinds in ``heads``."""
    kinds: NDArray[np.uint64] = heads >> np.uint64(_KIND_SHIFT) & np.uint64(_KIND_MASK)
    return kinds


def heads_of(events: Events) -> NDArray[np.int64]:
    """The positions in ``events`` where a blob seems to begin."""
    found = np.flatnonzero(is_head(events["args"][:, 0]))
    heads: NDArray[np.int64] = found[events["kind"][found] == _HYPERTRACE]
    return heads


def find(
    events: Events, keys: NDArray[np.uint64], wanted: NDArray[np.uint64], num_args: int, *, last: bool = False
) -> Blobs:
    """The blobs in ``events``.

    ``keys``: for each event, its index combined with the number of its machine.
    ``wanted``: the keys whose events can belong to blobs.
    ``num_args``: the number of arguments of an event.
    ``last``: whether no events follow.
    """
    mine = np.flatnonzero((events["kind"] == _HYPERTRACE) & np.isin(keys, wanted))
    rows = mine[np.argsort(keys[mine], kind="stable")]
    own = keys[rows]
    words = events["args"][rows, 0]
    heads = np.flatnonzero(is_head(words))
    words = words[heads]
    sizes = (words & np.uint64(_SIZE_MASK)).astype(np.int64)
    needs = -(-(HEAD_WORDS + -(-sizes // 8)) // num_args)
    # For each head, the end of the events with the same key.
    limits = np.searchsorted(own, own[heads], side="right")
    ends = heads + needs
    following = np.minimum(np.append(heads[1:], len(rows))[: len(heads)], limits)
    kept = np.ones(len(heads), np.bool_)
    if bool(((ends > following) & (following < limits)).any()):
        kept[:] = False
        kept[list(_untangled(heads.tolist(), ends.tolist(), limits.tolist(), last=last))] = True
    whole = kept & (ends <= limits)
    unfinished = rows[heads[kept & (ends > limits)]]
    return Blobs(rows, heads[whole], needs[whole], words[whole], unfinished)


def _untangled(heads: list[int], ends: list[int], limits: list[int], *, last: bool) -> Iterator[int]:
    """The ``heads`` that begin a blob. An apparent head may be within another blob, for two reasons. It may be data
    that looks like a head. Or the end of the other blob was lost; in this case, no blob begins at the position where
    the other blob should end.
    """
    begins = set(heads)
    at = 0
    for number, (head, end, limit) in enumerate(zip(heads, ends, limits, strict=True)):
        if head < at:
            continue
        more_to_come = end > limit and not last
        if more_to_come or end == limit or end in begins or number + 1 == len(heads) or heads[number + 1] >= end:
            yield number
            at = min(end, limit)
