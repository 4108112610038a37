"""A guest thread that emits events."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload


class Stream(NamedTuple):
    """A guest thread that emits events.

    ``tid``, ``pid``: the ids of the thread and its process on the host. ``vcpu``: the number of the thread among the
    guest's threads, from 0. ``comm``: the name of the thread (the kernel keeps at most 15 bytes). ``big_endian``:
    whether the thread's arguments are big-endian. ``start``: the time at which htrun first saw the thread, in
    nanoseconds since the epoch.
    """

    tid: int
    pid: int
    vcpu: int = 0
    comm: str = ""
    big_endian: bool = False
    start: int = 0


class Source(NamedTuple):
    """The thread that has recorded events. ``number``: the number of ``stream``."""

    number: int
    stream: Stream


class _Streams(Sequence[Stream]):
    """Streams that are made when they are asked for."""

    def _stream(self, place: int) -> Stream:
        """The stream at ``place``, from 0 to the number of streams - 1."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> Stream: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Stream]: ...

    def __getitem__(self, place: int | slice) -> Stream | Sequence[Stream]:
        places = range(len(self))[place]
        return [self._stream(each) for each in places] if isinstance(places, range) else self._stream(places)


class StreamTable(_Streams):
    """All threads of a run, in compact form, since a program that keeps starting threads may have millions."""

    def __init__(self, streams: Iterable[Stream] = ()) -> None:
        self._ids = array("q")
        """Four numbers for each stream: thread id, process id, vCPU, and the index in `_names` of the stream's name and
        byte order."""
        self._starts = array("q")
        self._names: list[tuple[str, bool]] = []
        self._name_places: dict[tuple[str, bool], int] = {}
        for stream in streams:
            self.append(stream)

    def append(self, stream: Stream) -> None:
        """Append ``stream``."""
        name = stream.comm, stream.big_endian
        place = self._name_places.setdefault(name, len(self._names))
        if place == len(self._names):
            self._names.append(name)
        # Append to ``_starts`` last, because `len` uses it, and another thread may be reading.
        self._ids.extend((stream.tid, stream.pid, stream.vcpu, place))
        self._starts.append(stream.start)

    def so_far(self) -> Sequence[Stream]:
        """The streams of this moment. The result does not grow when another thread appends a stream."""
        return _FirstStreams(self, len(self))

    def __len__(self) -> int:
        return len(self._starts)

    def _stream(self, place: int) -> Stream:
        tid, pid, vcpu, name = self._ids[4 * place : 4 * place + 4]
        comm, big_endian = self._names[name]
        return Stream(tid, pid, vcpu, comm, big_endian, self._starts[place])


class _FirstStreams(_Streams):
    """The first ``count`` streams of a table."""

    def __init__(self, table: StreamTable, count: int) -> None:
        self._table = table
        self._count = count

    def __len__(self) -> int:
        return self._count

    def _stream(self, place: int) -> Stream:
        return self._table[place]
