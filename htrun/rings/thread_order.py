"""Puts the events of a thread into one order when the thread records them in two ways. One way is a ring of the channel
(`htrun.rings.client_rings`). The other way is stores that trap or are patched; their records are in a ring that htrun
lends.

A round reads the rings of the channel first, so it finds all stores that precede an event of those rings. Stores after
the start of the round wait for the next round, because older events may not have been found yet. The records from both
rings are merged by time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from htrun.events.records import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.events.records import Records
    from htrun.events.stream import Source
    from htrun.rings.client_rings import Taken

_NEVER = (1 << 64) - 1
"""A time in ticks that is never reached."""


class Given(NamedTuple):
    """The ``records`` of one thread in order of time. ``records`` is None if only a loss, or the end of the thread,
    must be reported.

    ``discarded``: the number of events that the thread has lost so far. ``lost_more``: whether this number has grown
    since the last report. ``ended``: whether the thread has no ring any more.
    """

    source: Source
    records: Records | None
    discarded: int
    lost_more: bool
    ended: bool


class _Thread:
    """The state of one thread. ``clients``: the records from rings of the channel that `give` has not returned yet.
    ``stores``: the records of stores that `give` has not returned yet. ``rings``: the thread's current rings of both
    kinds. Losses include those of earlier rings. ``reported``: the number of losses that were already reported."""

    __slots__ = ("client_lost", "client_lost_before", "clients", "reported", "rings", "source", "store_lost", "stores")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.clients: list[Records] = []
        self.stores: list[Records] = []
        self.rings: set[object] = set()
        self.client_lost_before = self.client_lost = self.store_lost = self.reported = 0

    @property
    def discarded(self) -> int:
        return self.client_lost_before + self.client_lost + self.store_lost


class ThreadOrder:
    """Collects the records that a round finds, for each thread."""

    def __init__(self) -> None:
        self._threads: dict[int, _Thread] = {}
        self.waiting = 0
        """The number of records that were added, and that `give` has not returned yet."""

    def add_client(self, taken: Taken) -> None:
        """Add the content of one ring of the channel."""
        thread = self._thread(taken.source)
        thread.clients += taken.records
        self.waiting += sum(map(len, taken.records))
        thread.client_lost = taken.lost
        thread.rings.add(taken.ring)
        if taken.ended:
            thread.client_lost_before += thread.client_lost
            thread.client_lost = 0
            thread.rings.discard(taken.ring)

    def add_stores(self, ring: object, source: Source, records: Records | None, lost: int, *, ended: bool) -> None:
        """Add the content of the ring that htrun has lent to a thread, which has lost ``lost`` events so far.

        ``ended``: whether no further records will come from this ring.
        """
        thread = self._thread(source)
        if records is not None:
            thread.stores.append(records)
            self.waiting += len(records)
        thread.store_lost = lost
        thread.rings.add(ring)
        if ended:
            thread.rings.discard(ring)

    def give(self, complete: int, *, everything: bool) -> Iterator[Given]:
        """The records that need not wait any more, as one `Given` for each thread.

        ``complete``: the ticks just before the rings of the channel were read in this round.
        """
        for number, thread in list(self._threads.items()):
            ended = not thread.rings
            records = _merged(thread, _NEVER if everything or ended else complete)
            if records is not None:
                self.waiting -= len(records)
            if ended:
                del self._threads[number]
            if records is not None or ended:
                lost_more, thread.reported = thread.discarded > thread.reported, thread.discarded
                yield Given(thread.source, records, thread.reported, lost_more, ended)

    def _thread(self, source: Source) -> _Thread:
        thread = self._threads.get(source.number)
        if thread is None:
            thread = self._threads[source.number] = _Thread(source)
        return thread


def _merged(thread: _Thread, complete: int) -> Records | None:
    """Remove the thread's records up to ``complete``, and return them in order of time; None if there are none."""
    import numpy as np

    clients, thread.clients = thread.clients, []
    if not thread.stores:
        return joined(clients) if clients else None
    stores = joined(thread.stores)
    if clients:
        complete = max(complete, max(int(batch["timestamp"].max()) for batch in clients))
    later = stores["timestamp"] > np.uint64(complete)
    count = int(later.argmax()) if later.any() else len(stores)
    thread.stores = [stores[count:]] if count < len(stores) else []
    if count:
        clients.append(stores[:count])
    if not clients:
        return None
    records = joined(clients)
    # Whole rows are copied, since numpy would copy structures field by field.
    rows = records.view(f"V{records.dtype.itemsize}")
    return rows[np.argsort(records["timestamp"], kind="stable")].view(records.dtype)
