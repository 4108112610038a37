"""Chooses the stream for the events of a guest thread in a native trace: either the thread's own stream, or a stream
that threads share.

A stream is at least one file, and readers keep every file open. So only up to a few hundred threads have their own
streams: the first threads of a run, and threads that emit many events. All other threads share streams. Each event of a
shared stream contains its thread.

Time never goes backwards in a stream. The events of one round of the drain are sorted here. But a round reads the rings
one after the other, so an event can be older than the last event that the previous round has written to a stream. Such
an event is written to another stream.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from htrun.ctf.metadata import FIRST_SHARED_CLASS
from htrun.ctf.stream_files import StreamFiles, in_order
from htrun.ctf.tracer_streams import THREAD_FIELDS, THREAD_LAYOUT, thread_columns
from htrun.events.records import record_dtype, words_of
from htrun.events.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Records

NO_THREAD = Stream(0, 0)
"""The thread in the headers of packets of shared streams. The events of these streams contain their threads."""
_ALWAYS_OWN, _MOST_OWN = 32, 256
"""The limits for streams of one thread. The first 32 threads get their own streams. Other threads get their own streams
only until there are 256.

There is a limit because the limit of open files may be low (``ulimit -n``: 1024).
"""
_MUCH = 1 << 16
"""The number of bytes of records with which a thread gets its own stream."""
_MOST_WAITING = 1 << 25
"""The maximum number of bytes of records that wait for the end of a round."""


class _Thread:
    """A running thread.

    ``files``: the thread's own stream; None if it has none. ``size``: the size of the thread's records so far, in
    bytes. ``last``: the ticks of the thread's last record.
    """

    __slots__ = ("files", "last", "size")

    def __init__(self) -> None:
        self.files: StreamFiles | None = None
        self.size = 0
        self.last = 0


class _Waiting(NamedTuple):
    """Records that wait for the end of a round. Their thread shares a stream."""

    number: int
    stream: Stream
    records: Records


class ThreadStreams:
    """The streams of all guest threads of a trace. Every method may raise `SinkError`."""

    def __init__(self, directory: Path, uuid: UUID, num_args: int, next_instance: Callable[[], int]) -> None:
        """``next_instance``: returns the number of a new stream in the trace."""
        self._directory = directory
        self._uuid = uuid
        self._num_args = num_args
        self._next_instance = next_instance
        self._threads: dict[int, _Thread] = {}
        self._own = 0
        self._shared: dict[bool, list[StreamFiles]] = {False: [], True: []}
        self._waiting: list[_Waiting] = []
        self._waiting_size = 0

    @property
    def alive(self) -> int:
        """The number of threads that have written records and have not ended."""
        return len(self._threads)

    def write(self, number: int, stream: Stream, records: Records, discarded: int, now: int) -> None:
        """Write ``records`` of thread ``number``.

        ``discarded``: the number of events that the thread has lost so far. ``now``: the current ticks; no record is
        later.
        """
        thread = self._threads.get(number)
        if thread is None:
            thread = self._threads[number] = _Thread()
        thread.size += records.nbytes
        # Readers could not attribute the losses of a shared stream to a thread.
        if thread.files is None and (discarded or self._earns_own(thread)):
            thread.files = self._begin_own(stream, thread.last, records[:0])
        if thread.files is not None:
            thread.files.write(records, discarded, now)
        elif len(records):
            records = in_order(records, thread.last, now)
            thread.last = int(records["timestamp"][-1])
            self._waiting.append(_Waiting(number, stream, records))
            self._waiting_size += records.nbytes
            if self._waiting_size > _MOST_WAITING:
                self.flush(now)

    def ended(self, number: int) -> None:
        """Forget thread ``number``, which writes no more."""
        thread = self._threads.pop(number, None)
        if thread is not None and thread.files is not None:
            thread.files.close()

    def flush(self, now: int) -> None:
        """Write the waiting records at the end of a round. ``now``: the current ticks; no record is later."""
        waiting, self._waiting, self._waiting_size = self._waiting, [], 0
        for big_endian, streams in self._shared.items():
            own = [each for each in waiting if each.stream.big_endian is big_endian]
            if own:
                self._write_shared(streams, self._merged(own, big_endian), big_endian, now)

    def close(self) -> None:
        """Truncate the unused parts of the files."""
        with ExitStack() as last:
            # All files are closed, even if closing one fails.
            for number in list(self._threads):
                last.callback(self.ended, number)
            for streams in self._shared.values():
                for stream in streams:
                    last.callback(stream.close)

    def _earns_own(self, thread: _Thread) -> bool:
        return self._own < (_MOST_OWN if thread.size > _MUCH else _ALWAYS_OWN)

    def _begin_own(self, stream: Stream, last: int, nothing: Records) -> StreamFiles:
        """Begin a stream for a thread. The thread's events up to ``last`` are in other streams, so losses in the new
        stream are later than ``last``."""
        self._own += 1
        files = StreamFiles(self._directory, self._next_instance(), stream, self._uuid, int(stream.big_endian))
        if last:
            files.write(nothing, 0, last)
        return files

    def _write_shared(self, streams: list[StreamFiles], events: NDArray[np.void], big_endian: bool, now: int) -> None:
        """Write each of ``events`` to the first of ``streams`` that ends before the event.

        Since the events of each thread are in order, there are never more streams than threads that run at the same
        time.
        """
        import numpy as np

        for stream in streams:
            first = int(np.searchsorted(events["timestamp"], np.uint64(stream.last)))
            if first < len(events):
                stream.write(events[first:], 0, now)
            events = events[:first]
        if len(events):
            number = FIRST_SHARED_CLASS + int(big_endian)
            stream = StreamFiles(self._directory, self._next_instance(), NO_THREAD, self._uuid, number)
            streams.append(stream)
            stream.write(events, 0, now)

    def _merged(self, waiting: list[_Waiting], big_endian: bool) -> NDArray[np.void]:
        """The events of ``waiting`` in order of time, in the layout of a shared stream."""
        import numpy as np

        counts = [len(each.records) for each in waiting]
        # Copy blocks of bytes, since numpy would copy structures field by field.
        width = record_dtype(self._num_args, big_endian).itemsize
        rows = np.concatenate([each.records.view("u1").reshape(-1, width) for each in waiting])
        threads = np.repeat(np.arange(len(waiting)), counts)
        times = rows[:, :8].copy().view("<u8").ravel()
        order = np.argsort(times, kind="stable")
        records = rows[order].reshape(-1).view(record_dtype(self._num_args, big_endian))
        whose = threads[order]
        events = np.zeros(len(records), shared_dtype(self._num_args, big_endian))
        for field in ("timestamp", "site", "index"):
            events[field] = records[field]
        words_of(events, "args", 0, self._num_args)[:] = words_of(records, "args", 0, self._num_args)
        events["thread"] = np.array([each.number for each in waiting], np.uint32)[whose]
        columns = thread_columns([each.stream for each in waiting])
        for field in (*THREAD_FIELDS, "comm"):
            events[field] = columns[field][whose]
        return events


def shared_dtype(num_args: int, big_endian: bool) -> np.dtype[Any]:
    """The type of an event of a shared stream, as the metadata describes it (`htrun.ctf.metadata`)."""
    import numpy as np

    order = ">u8" if big_endian else "<u8"
    site = [("site", "<u4"), ("index", "<u4"), ("args", order, (num_args,))]
    return np.dtype([("timestamp", "<u8"), ("thread", "<u4"), *THREAD_LAYOUT, *site])
