"""The events of all threads of a run, in one order of time."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from typing import TYPE_CHECKING

from htrun.events.definitions import DEFINITIONS, SCHED_LOST
from htrun.events.tracer_events import tracer_dtype
from htrun.sched.event import lost_records
from htrun.sched.raw_clock import RawClock
from htrun.sched.records import UNKNOWN, records_of
from htrun.sched.ring import EventRing

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.clock import ClockSource
    from htrun.events.tracer_events import TracerRecords

_HOLD_BACK_NS = 2_000_000
"""The minimum time in ns for which a record is held back. The kernel reads the clock just before it writes, so an older
record of another thread may still arrive. `TimeOrder` holds events back for longer."""
_MANY_ENDED = 16
"""When so many threads have exited, their rings are emptied immediately, because the kernel limits the memory of all
rings."""


class _Life:
    """A thread between its start and its exit. ``lost``: the number of records that were lost, according to the
    records so far. ``streams``: the numbers of its streams, each with the ticks at which it began. A thread gets a new
    stream when it executes a program."""

    def __init__(self, ring: EventRing, stream: Callable[[], int]) -> None:
        self.ring = ring
        self.ended = False
        self.processor = UNKNOWN
        self.lost = 0
        self.streams: list[tuple[int, Callable[[], int]]] = [(0, stream)]


class SchedRecorder:
    """Opens the events of threads, and takes the records out of their rings.

    ``began``, ``executed`` and ``ended`` are for the tracer's main thread, `take` for the holder of the drain's lock.

    ``lost``: the number of records that were lost so far. ``fill``: the filled fraction of the fullest ring at the last
    `take`.
    """

    def __init__(self, source: ClockSource, hurry: Callable[[], None], failed: Callable[[OSError], None]) -> None:
        """``source``: the counter of the ticks. ``hurry``: called from any thread if `take` should be called soon.
        ``failed``: called if a thread's event cannot be opened."""
        self.lost = 0
        self.fill = 0.0
        self._source = source
        self._clock = RawClock(source)
        self._hurry = hurry
        self._failed = failed
        self._lives: dict[_Life, None] = {}
        self._by_thread: dict[int, _Life] = {}
        self._ended = 0
        self._held: list[TracerRecords] = []
        self._settled, self._next_settled, self._next_at = 0, source.read(), 0
        self._epoll = select.epoll()
        self._stop, self._stopped = os.pipe()
        self._epoll.register(self._stop, select.EPOLLIN)
        self._waker = threading.Thread(target=self._wake, name="sched", daemon=True)
        self._waker.start()

    def began(self, tid: int, stream: Callable[[], int]) -> None:
        """Record thread ``tid``, which has not run yet. ``stream``: returns the number of its stream."""
        try:
            ring = EventRing(tid, len(self._lives))
        except OSError as error:
            # The thread may have been killed.
            if error.errno != errno.ESRCH:
                self._failed(error)
            return
        life = _Life(ring, stream)
        self._epoll.register(ring.descriptor, select.EPOLLIN | select.EPOLLET)
        self._by_thread[tid] = life
        self._lives[life] = None

    def executed(self, tid: int, stream: Callable[[], int]) -> None:
        """Note that thread ``tid``, which is stopped, has executed a new program, and so has a new ``stream``."""
        life = self._by_thread.get(tid)
        if life is not None:
            life.streams.append((self._source.read(), stream))

    def ended(self, tid: int) -> None:
        """Stop recording thread ``tid``. May be called more than once."""
        life = self._by_thread.pop(tid, None)
        if life is None:
            return
        self._epoll.unregister(life.ring.descriptor)
        life.ended = True
        self._ended += 1
        if self._ended >= _MANY_ENDED:
            self._hurry()

    def take(self, *, everything: bool) -> TracerRecords | None:
        """Take the records that are older than any record that may still arrive, or all records if ``everything``.
        Returns them in order of time; None if there are none."""
        import numpy as np

        self._begin_round()
        for life in list(self._lives):
            ended = life.ended
            self._take_from(life)
            if ended or everything:
                self._take_last_loss(life)
            if ended:
                del self._lives[life]
                life.ring.close()
        if not self._held:
            return None
        records = np.concatenate(self._held)
        records = records[np.argsort(records["timestamp"], kind="stable")]
        count = len(records)
        if not everything:
            count = int(np.searchsorted(records["timestamp"], np.uint64(self._settled)))
        self._held = [records[count:]] if count < len(records) else []
        return records[:count] if count else None

    def close(self) -> None:
        """Release everything. No other method may be called any more."""
        os.close(self._stopped)
        self._waker.join()
        for life in list(self._lives):
            life.ring.close()
        self._lives.clear()
        self._epoll.close()
        os.close(self._stop)

    def _begin_round(self) -> None:
        now = time.monotonic_ns()
        if now >= self._next_at:
            self._settled, self._next_settled = self._next_settled, self._source.read()
            self._next_at = now + _HOLD_BACK_NS
        self._ended, self.fill = 0, 0.0

    def _take_from(self, life: _Life) -> None:
        words = life.ring.take()
        if not len(words):
            return
        self.fill = max(self.fill, words.nbytes / life.ring.size)
        records, life.processor = records_of(words, life.processor)
        records["timestamp"] = self._clock.to_ticks(records["timestamp"])
        records["stream"] = _stream_numbers(life, records["timestamp"])
        life.lost += _lost_in(records)
        self.lost += _lost_in(records)
        self._held.append(records)

    def _take_last_loss(self, life: _Life) -> None:
        """Add a record for the records that were lost after the last one in the ring."""
        import numpy as np

        lost = lost_records(life.ring.descriptor) - life.lost
        if lost <= 0:
            return
        records = np.zeros(1, tracer_dtype())
        records["timestamp"], records["kind"] = self._source.read(), DEFINITIONS.index(SCHED_LOST)
        records["stream"], records["args"][:, 0] = life.streams[-1][1](), lost
        life.lost += lost
        self.lost += lost
        self._held.append(records)

    def _wake(self) -> None:
        """Call ``hurry`` whenever a ring fills."""
        while all(descriptor != self._stop for descriptor, _ in self._epoll.poll()):
            self._hurry()


def _stream_numbers(life: _Life, ticks: NDArray[np.uint64]) -> int | NDArray[np.uint32]:
    """The number of the stream of each record. Streams that no later record can belong to are forgotten."""
    import numpy as np

    if len(life.streams) == 1:
        return life.streams[0][1]()
    streams = list(life.streams)
    places = np.searchsorted(np.array([since for since, _ in streams], np.uint64), ticks, side="right") - 1
    used = {place: streams[place][1]() for place in np.unique(places).tolist()}
    del life.streams[: int(places[-1])]
    return np.array([used.get(place, 0) for place in range(len(streams))], np.uint32)[places]


def _lost_in(records: TracerRecords) -> int:
    """The number of records that were lost according to ``records``."""
    return int(records["args"][records["kind"] == DEFINITIONS.index(SCHED_LOST), 0].sum())
