"""The texts that arguments of system calls point to: paths, the words of a command line, and data that was read or
written.

Events have a fixed size, so a text is stored in one or more separate events (``guest_user_syscall_text``). These events
directly follow the call or the return to which the text belongs. The first argument of such an event, its *part*,
identifies the part of the text:

=========  =============================================================
bits 0-7   the index of the call's argument, from 0
bits 8-31  the index in an array of texts, from 0
bits 32-47 the number of valid bytes after the part
bit 48 whether the text was longer than recorded
=========  =============================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from htrun.events.definitions import DEFINITIONS, TEXT_WORDS, USER_SYSCALL, USER_SYSCALL_RET, USER_SYSCALL_TEXT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.shapes import Rows

TEXT_BYTES = 8 * TEXT_WORDS
"""The maximum number of bytes of text in one event."""
_WORDS = struct.Struct(f"<{TEXT_WORDS}Q")
_KIND = DEFINITIONS.index(USER_SYSCALL_TEXT)
_OWNERS = (DEFINITIONS.index(USER_SYSCALL), DEFINITIONS.index(USER_SYSCALL_RET))
_ELEMENT, _SIZE, _CUT = 8, 32, 48
_PLACE_MASK, _ELEMENT_MASK, _SIZE_MASK = 0xFF, 0xFFFFFF, 0xFFFF


class Text(NamedTuple):
    """A text to which a pointer refers.

    ``place``: the index of the argument. ``element``: the index of the text in its array; 0 if there is no array.
    ``cut``: whether ``data`` is only the beginning of the text.
    """

    place: int
    element: int
    data: bytes
    cut: bool = False

    def pack(self) -> Iterator[tuple[int, ...]]:
        """The arguments of the events that hold the text: at least one event."""
        for start in range(0, max(len(self.data), 1), TEXT_BYTES):
            piece = self.data[start : start + TEXT_BYTES]
            last = start + TEXT_BYTES >= len(self.data)
            part = self.place | self.element << _ELEMENT | len(piece) << _SIZE | (last and self.cut) << _CUT
            yield (part, *_WORDS.unpack(piece.ljust(TEXT_BYTES, b"\0")))


_OfCall = Mapping[int, Sequence[Text]]
"""The texts of one call or return, by the index of the argument."""


class BatchTexts:
    """The texts of a batch of calls and returns, by the positions of these calls and returns in the batch."""

    def __init__(self, found: Mapping[int, _OfCall] = MappingProxyType({})) -> None:
        self._found = found

    def __bool__(self) -> bool:
        return bool(self._found)

    def of_rows(self, rows: Rows) -> BatchTexts:
        """The texts of the smaller batch that has only these ``rows``."""
        if isinstance(rows, slice) or not self._found:
            return self
        found = self._found
        return BatchTexts({new: found[old] for new, old in enumerate(rows.tolist()) if old in found})

    def places(self) -> set[int]:
        """The indexes of the arguments for which any call has a text."""
        return {place for of_call in self._found.values() for place in of_call}

    def of(self, row: int, place: int) -> Sequence[Text]:
        """The texts that argument ``place`` of the call at ``row`` points to; empty if they were not recorded."""
        return self._found.get(row, {}).get(place, ())


NO_TEXTS = BatchTexts()


def without_texts(events: Events) -> Events:
    """``events`` without texts."""
    texts = events["kind"] == _KIND
    return events[~texts] if texts.any() else events


def split(events: Events) -> tuple[Events, BatchTexts]:
    """Split ``events`` into the events without texts, and the texts. Each text must directly follow the event to which
    it belongs."""
    import numpy as np

    is_text = events["kind"] == _KIND
    if not is_text.any():
        return events, NO_TEXTS
    others, own = events[~is_text], events[is_text]
    found: dict[int, dict[int, list[Text]]] = {}
    owners = (np.cumsum(~is_text) - 1)[is_text]
    for owner, stream, words in zip(owners.tolist(), own["stream"].tolist(), own["args"], strict=True):
        # The call of the text has been filtered out, or another event with the same time is between the call and the
        # text.
        if owner < 0 or others["kind"][owner] not in _OWNERS or others["stream"][owner] != stream:
            continue
        part = int(words[0])
        place, element = part & _PLACE_MASK, part >> _ELEMENT & _ELEMENT_MASK
        data = words[1 : 1 + TEXT_WORDS].tobytes()[: part >> _SIZE & _SIZE_MASK]
        texts = found.setdefault(owner, {}).setdefault(place, [])
        if texts and texts[-1].element == element:
            data = texts.pop().data + data
        texts.append(Text(place, element, data, bool(part >> _CUT & 1)))
    return others, BatchTexts(found)


def after_their_calls(events: Events) -> Events:
    """``events`` with each text directly after its call or return. ``events`` are in order of time. If a call is
    missing, as in a damaged trace, its texts are dropped."""
    import numpy as np

    is_text = events["kind"] == _KIND
    if not is_text.any():
        return events
    order = np.lexsort((is_text, events["stream"], events["time"]))
    events, is_text = events[order], is_text[order]
    owners = events[np.maximum.accumulate(np.where(is_text, 0, np.arange(len(events))))]
    same = (owners["stream"] == events["stream"]) & (owners["time"] == events["time"])
    kept: Events = events[~is_text | (same & np.isin(owners["kind"], _OWNERS))]
    return kept


def like_their_calls(events: Events, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask ``chosen`` of ``events``, changed so that a text is chosen if and only if its call or return is
    chosen."""
    import numpy as np

    is_text = events["kind"] == _KIND
    if not is_text.any():
        return chosen
    owners = np.maximum.accumulate(np.where(is_text, 0, np.arange(len(events))))
    return np.asarray(chosen[owners])


def first(events: Events, count: int) -> tuple[Events, int]:
    """The first ``count`` of ``events`` with their texts, or all events if there are fewer; and the number of
    events."""
    import numpy as np

    ordinals = np.cumsum(events["kind"] != _KIND)
    end = int(np.searchsorted(ordinals, count, side="right"))
    return events[:end], int(ordinals[end - 1]) if end else 0


def in_batches(events: Events, size: int) -> Iterator[Events]:
    """``events`` in batches of about ``size``. A text is always in the same batch as its call."""
    start = 0
    while start < len(events):
        end = whole(events, min(start + size, len(events)))
        yield events[start:end]
        start = end


def whole(events: Events, end: int) -> int:
    """The first position from ``end`` on at which ``events`` can be split without separating a text from its call."""
    kinds = events["kind"]
    while end < len(events) and kinds[end] == _KIND:
        end += 1
    return end
