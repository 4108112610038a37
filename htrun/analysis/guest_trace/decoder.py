"""Finds the trace of a guest's kernel within htrun's trace, reassembles it and decodes it.

The guest's kernel module sends the entries of ftrace as blobs (`blobs`). It also sends the formats and names that are
needed to decode the entries, sometimes after them. So the whole trace is first scanned for formats and names. Then the
blobs in each batch are replaced by the events that they contain; an event has the time at which its blob began. Blobs
that cannot be decoded are left unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from htrun.analysis.ftrace.entries import InternedTexts, KernelEvent
from htrun.analysis.ftrace.formats import EventFormat, parse_formats
from htrun.analysis.ftrace.kernel import Kernel, kernel_events
from htrun.analysis.guest_trace.blobs import HEAD_WORDS, BlobKind, Blobs, find, heads_of, kind_of
from htrun.analysis.guest_trace.processors import processors_in
from htrun.errors import HtrunError
from htrun.events.named import NamedEvents
from htrun.events.records import event_dtype, without_arguments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from htrun.events.records import Events
    from htrun.events.stream import Stream

_IDS = 0xB10B7ACE << 32
"""The lowest id of a guest's events. Only the head of a blob has such a number as its first argument."""
_MOST_WAITING = 1 << 19
"""The maximum number of events that wait until a blob among them is complete. If a blob needs more events, it is not
decoded."""
_ADDRESS = 8
_ENTRY_HEAD = 8
"""The size in bytes of struct trace_entry (include/linux/trace_events.h), which begins with the type."""


@dataclass(frozen=True)
class _Entries:
    """Entries of the same size from the same machine.

    ``places``: for each entry, the positions of its pieces in a batch. ``size``: the size of an entry in bytes.
    ``order``: the byte order in numpy's notation.
    """

    places: NDArray[np.int64]
    size: int
    order: str


class GuestTrace:
    """The traces of kernels in a trace. Create an object with `read`. ``events``: all known kinds of events."""

    def __init__(
        self, streams: Sequence[Stream], num_args: int, machines: Mapping[int, Kernel], keys: NDArray[np.uint64]
    ) -> None:
        self.texts = InternedTexts()
        self._num_args = num_args
        self._keys = keys
        self._machines = machines
        self._machine_of_stream = np.array([stream.pid for stream in streams], np.uint64)
        self.events: tuple[KernelEvent, ...] = tuple(kernel_events(machines.values(), _IDS, self.texts))
        self.num_args = max([num_args, *(1 + len(event.named.arguments) for event in self.events)])
        """The maximum number of arguments in a row."""

    @classmethod
    def read(
        cls,
        streams: Sequence[Stream],
        num_args: int,
        batches: Callable[[frozenset[int]], Iterable[Events]],
        formats: Sequence[EventFormat] = (),
        warn: Callable[[str], None] = lambda _: None,
    ) -> GuestTrace | None:
        """The traces of kernels in the trace with the threads ``streams``; None if there are none.

        ``batches``: a function that returns the events of the streams with the given numbers. ``formats``: formats that
        are known in advance. ``warn``: a function that is called with a message for each format that cannot be parsed.
        """
        wanted = processors_in(streams)
        if not wanted:
            return None
        search = _Search(streams, num_args, warn)
        for events in batches(wanted):
            search.look(events)
        if not search.keys:
            return None
        for machine in search.machines.values():
            machine.formats = {each.type: each for each in formats} | machine.formats
        return cls(streams, num_args, search.machines, np.array(sorted(search.keys), np.uint64))

    def names(self, named: NamedEvents | None) -> NamedEvents:
        """The names of the user's events and of the events of guests' kernels."""
        mine = tuple(event.named for event in self.events)
        return NamedEvents((*(named.events if named else ()), *mine), named.text if named else "")

    def decode(self, batches: Iterable[Events]) -> Iterator[Events]:
        """The events of ``batches``, with blobs replaced by the events of the guest's kernel. Each row has room for
        `num_args` arguments."""
        waiting = None
        for batch in batches:
            events = batch if waiting is None else np.concatenate([waiting, batch])
            done, waiting = self._step(events, last=False)
            if len(done):
                yield done
        if waiting is not None and len(waiting):
            yield self._step(waiting, last=True)[0]

    def _step(self, events: Events, *, last: bool) -> tuple[Events, Events]:
        """Split ``events`` in two: the first part is complete and is returned decoded; the second must wait for later
        events. ``last``: whether no events follow."""
        keys = _keys(events, self._machine_of_stream)
        blobs = find(events, keys, self._keys, self._num_args, last=last)
        horizon = int(blobs.unfinished.min()) if len(blobs.unfinished) and not last else len(events)
        if len(events) - horizon > _MOST_WAITING:
            return self._step(events, last=True)
        firsts = blobs.rows[blobs.start]
        ready = firsts < horizon
        entries, decoded = self._entries(events, blobs, ready)
        gone = np.zeros(len(events), np.bool_)
        gone[blobs.consumed(ready & ((blobs.kind != BlobKind.ENTRY) | entries))] = True
        kept = np.flatnonzero(~gone[:horizon])
        places = np.concatenate([kept, *(places for places, _ in decoded)])
        rows = np.concatenate([self._widened(events[kept]), *(rows for _, rows in decoded)])
        order = np.argsort(places, kind="stable")
        return rows[order], events[horizon:][~gone[horizon:]]

    def _widened(self, events: Events) -> Events:
        rows = np.zeros(len(events), event_dtype(self.num_args))
        without_arguments(rows)[:] = without_arguments(events)
        rows["args"][:, : events["args"].shape[1]] = events["args"]
        return rows

    def _entries(
        self, events: Events, blobs: Blobs, ready: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], list[tuple[NDArray[np.int64], Events]]]:
        """A mask of the blobs that were decoded as entries, and the positions and rows of these entries for each kind
        of event."""
        decoded = np.zeros(len(blobs.start), np.bool_)
        chosen = np.flatnonzero(ready & (blobs.kind == BlobKind.ENTRY) & (blobs.size >= _ENTRY_HEAD))
        rows: list[tuple[NDArray[np.int64], Events]] = []
        if not len(chosen):
            return decoded, rows
        start, big = blobs.start[chosen], blobs.big_endian[chosen]
        row, column = divmod(HEAD_WORDS, self._num_args)
        word = events["args"][blobs.rows[start + row], column]
        types = np.where(big, word >> np.uint64(48), word & np.uint64(0xFFFF))
        machine = self._machine_of_stream[events["stream"][blobs.rows[start]]]
        fields = np.stack([machine, types, blobs.size[chosen].astype(np.uint64), big.astype(np.uint64)], axis=1)
        groups, members = np.unique(fields, axis=0, return_inverse=True)
        for number, (pid, type_, size, is_big) in enumerate(groups.tolist()):
            event = self._machines[pid].events.get(type_)
            if event is None:
                continue
            own = chosen[members.reshape(-1) == number]
            decoded[own] = True
            places = blobs.rows[blobs.start[own][:, None] + np.arange(blobs.count[own[0]])]
            entries = _Entries(places, size, ">" if is_big else "<")
            rows.append((places[:, 0], self._rows(events, entries, event, self._machines[pid])))
        return decoded, rows

    def _rows(self, events: Events, entries: _Entries, event: KernelEvent, machine: Kernel) -> Events:
        """The rows of ``entries``, which are all of the kind ``event``."""
        places = entries.places
        rows = np.zeros(len(places), event_dtype(self.num_args))
        without_arguments(rows)[:] = without_arguments(events)[places[:, 0]]
        words = events["args"][:, : self._num_args][places].reshape(len(places), -1)
        raw = np.ascontiguousarray(words[:, HEAD_WORDS:], f"{entries.order}u8").view(np.uint8)[:, : entries.size]
        arguments = rows["args"]
        arguments[:, 0] = event.named.id
        arguments[:, 1] = words[:, 1]
        event.fill(arguments, raw, entries.order, machine.symbols)
        return rows


class _Search:
    """The first pass over a trace. It finds the indexes that carry blobs, and the formats and names in these blobs."""

    def __init__(self, streams: Sequence[Stream], num_args: int, warn: Callable[[str], None]) -> None:
        self.keys: set[int] = set()
        self.machines: dict[int, Kernel] = {stream.pid: Kernel() for stream in streams}
        self._texts: set[int] = set()
        self._num_args = num_args
        self._warn = warn
        self._machine_of_stream = np.array([stream.pid for stream in streams], np.uint64)
        self._waiting: Events | None = None

    def look(self, events: Events) -> None:
        """Scan the next batch."""
        heads = heads_of(events)
        if not len(heads) and self._waiting is None:
            return
        keys = _keys(events, self._machine_of_stream)
        kinds = kind_of(events["args"][heads, 0])
        self.keys.update(np.unique(keys[heads]).tolist())
        self._texts.update(np.unique(keys[heads[kinds != BlobKind.ENTRY]]).tolist())
        if not self._texts:
            return
        wanted = np.array(sorted(self._texts), np.uint64)
        mine = events[np.isin(keys, wanted)]
        if self._waiting is not None:
            mine = np.concatenate([self._waiting, mine])
        blobs = find(mine, _keys(mine, self._machine_of_stream), wanted, self._num_args)
        for blob in np.flatnonzero(blobs.kind != BlobKind.ENTRY).tolist():
            self._take(mine, blobs, blob)
        self._waiting = mine[int(blobs.unfinished.min()) :] if len(blobs.unfinished) else None

    def _take(self, events: Events, blobs: Blobs, blob: int) -> None:
        places = blobs.places(blob)
        machine = self.machines[int(self._machine_of_stream[events["stream"][places[0]]])]
        words = events["args"][places, : self._num_args].reshape(-1)[HEAD_WORDS:]
        big = bool(blobs.big_endian[blob])
        raw = words.astype(">u8" if big else "<u8").tobytes()[: int(blobs.size[blob])]
        if blobs.kind[blob] == BlobKind.SYMBOL:
            address = int.from_bytes(raw[:_ADDRESS], "big" if big else "little")
            machine.symbols[address] = raw[_ADDRESS:].decode(errors="replace")
            return
        try:
            for format_ in parse_formats(raw.decode(errors="replace"), "a format that the guest has sent"):
                machine.formats[format_.type] = format_
        except HtrunError as error:
            self._warn(str(error))


def _keys(events: Events, machine_of_stream: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A key for each of ``events``: its index, combined with the number of its machine."""
    keys: NDArray[np.uint64] = machine_of_stream[events["stream"]] << np.uint64(32) | events["index"]
    return keys
