"""What lies where in a native trace: a look at every packet's header, and at no event.

The result is an index of *pieces*: stretches of one packet small enough to be read at once. What does not fit together
(a file that ends within a packet, time that goes back, another trace's packet) is damage; a stream is read up to there.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from htrun.events.stream import Stream

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.tsdl import Metadata, StreamClass

    Pieces = NDArray[np.void]
    """An index, of `PIECE_FIELDS`."""

PIECE_FIELDS = [("begin", "<u8"), ("limit", "<u8"), ("offset", "<u8"), ("count", "<u4"), ("file", "<u4")]
"""``begin``: ticks of the first event. ``limit``: no event has later ticks. ``offset``: bytes into the stream's file.
``count``: events. ``file``: the number of the stream's file."""

_PIECE = struct.Struct("<QQQII")
_PIECE_SIZE, _LEAST_PIECE_SIZE = 1 << 18, 1 << 12
"""Bytes of events read at once, about: they stay in the processor's cache while they are decoded."""
_ALL_PIECES_SIZE = 1 << 25
"""Bytes of one piece of every stream: so much may have to be in memory, if all threads emit at once."""
_BITS = 8
_NEVER = (1 << 63) - 1
"""Ticks."""
_MAGIC = 0xC1FC1FC1
"""CTF 1.8, section 5.1."""
_NAME = re.compile(r"stream-(\d{1,9})-(\d{1,9})(?:\.([1-9]\d{0,4}))?")
"""The stream's number, the thread's, and the number of the file if it is not the stream's first."""
_TIMESTAMP = struct.Struct("<Q")


class _Damaged(Exception):
    """``str()`` says what is wrong."""


@dataclass(frozen=True)
class Damage:
    """Where a file stops making sense. ``what``: is wrong; ``place``: bytes into the file."""

    what: str
    place: int


_RING_PACKETS = 17
"""Packets, at most, that a thread had written before it lost an event and that come behind the one which tells of it:
a ring's, and the one that was taken while it happened."""


@dataclass(frozen=True)
class TickLoss:
    """``events`` were lost after ``begin`` and before ``end``, ticks; ``packet``: the number of the one that tells."""

    packet: int
    begin: int
    end: int
    events: int


@dataclass(frozen=True)
class StreamFile:
    """One file of a trace.

    ``identity``: what all packets of its stream have in common. ``pieces``: its part of the index, packed; ``events``:
    how many there are up to the damage. What its stream has come to by its end: ``packets``; ``last``: ticks;
    ``discarded``: events lost, of which ``losses`` tell.
    """

    path: Path
    stream: Stream
    stream_class: StreamClass
    identity: tuple[Any, ...]
    pieces: bytes
    events: int
    packets: int
    last: int
    discarded: int
    losses: tuple[TickLoss, ...]
    damage: Damage | None

    @property
    def instance(self) -> int:
        """The number of the stream in the trace."""
        return int(self.identity[0])


def stream_files(directory: Path) -> list[list[Path]]:
    """The files of each stream in ``directory``, in the order in which the streams began. Raises `OSError`."""
    found = [(match, path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    streams: dict[tuple[int, int], list[tuple[int, Path]]] = {}
    for match, path in found:
        streams.setdefault((int(match[1]), int(match[2])), []).append((int(match[3] or 0), path))
    return [[path for _, path in sorted(streams[key])] for key in sorted(streams)]


def piece_size(files: int) -> int:
    """Bytes of the pieces of a trace that has so many ``files``."""
    return max(_LEAST_PIECE_SIZE, min(_PIECE_SIZE, _ALL_PIECES_SIZE // max(files, 1)))


def scan(path: Path, number: int, metadata: Metadata, size: int, before: StreamFile | None) -> StreamFile | Damage:
    """What is in ``path``, the trace's file ``number``, in pieces of ``size`` bytes.

    ``before``: the file of the same stream that this one goes on from, None if it is the first.
    If not even its first packet is sound, what is wrong with it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        scanner = _Scanner(descriptor, path, number, metadata, size, before)
        damage = None
        try:
            scanner.run()
        except _Damaged as error:
            damage = Damage(str(error), scanner.offset)
        if not scanner.sound or scanner.stream is None or scanner.stream_class is None:
            return damage or Damage("it is empty", 0)
        return StreamFile(
            path,
            scanner.stream,
            scanner.stream_class,
            scanner.identity,
            bytes(scanner.pieces),
            scanner.events,
            scanner.packets,
            scanner.last,
            scanner.discarded,
            tuple(scanner.losses),
            damage,
        )
    finally:
        os.close(descriptor)


def index_of(files: list[StreamFile]) -> Pieces:
    """The pieces of all ``files``, by the time of their first event."""
    import numpy as np

    pieces = np.frombuffer(b"".join(file.pieces for file in files), np.dtype(PIECE_FIELDS))
    return pieces[np.argsort(pieces["begin"], kind="stable")]


class _Scanner:
    def __init__(
        self, descriptor: int, path: Path, number: int, metadata: Metadata, piece: int, before: StreamFile | None
    ) -> None:
        self.stream = before.stream if before else None
        self.stream_class = before.stream_class if before else None
        self.identity: tuple[Any, ...] = before.identity if before else ()
        self.packets = before.packets if before else 0
        self.last = before.last if before else 0
        self.discarded = before.discarded if before else 0
        self.losses = list(before.losses) if before else []
        self.pieces = bytearray()
        self.events = 0
        self.offset = 0
        self.sound = False
        self._descriptor = descriptor
        self._name = path.name
        self._number = number
        self._metadata = metadata
        self._piece = piece
        self._size = os.fstat(descriptor).st_size

    def run(self) -> None:
        """Go through the packets. Raises `_Damaged`."""
        while self.offset < self._size:
            stream_class, header = self._header()
            content, size = header["content_size"] // _BITS, header["packet_size"] // _BITS
            self._check(header, stream_class, content)
            self.stream_class = stream_class
            self.sound = True
            present = min(content, self._size - self.offset) - stream_class.header_size
            self._add_pieces(header, present // stream_class.event_size)
            self._note_losses(header)
            self.packets += 1
            self.discarded = header["events_discarded"]
            self.last = header["timestamp_end"]
            if self.offset + size > self._size:
                raise _Damaged("it ends in the middle of a packet")
            self.offset += size

    def _note_losses(self, header: dict[str, Any]) -> None:
        if self.losses and self.packets == self.losses[-1].packet + _RING_PACKETS:
            self.losses[-1] = replace(self.losses[-1], end=header["timestamp_begin"])
        lost = header["events_discarded"] - self.discarded
        if not lost:
            return
        if self.losses and self.packets < self.losses[-1].packet + _RING_PACKETS:
            # They overlap, and are one: a thread that loses for hours takes no more memory for it.
            self.losses[-1] = replace(self.losses[-1], packet=self.packets, events=self.losses[-1].events + lost)
        else:
            self.losses.append(TickLoss(self.packets, self.last, _NEVER, lost))

    def _header(self) -> tuple[StreamClass, dict[str, Any]]:
        # All packets of a trace have headers of one layout.
        some = next(iter(self._metadata.classes.values()))
        raw = os.pread(self._descriptor, some.header_size, self.offset)
        if len(raw) < some.header_size:
            raise _Damaged("it ends in the middle of a packet's header")
        header = some.packet(raw)
        stream_class = self._metadata.classes.get(header["stream_id"])
        if stream_class is None or (self.stream_class is not None and stream_class is not self.stream_class):
            raise _Damaged("a packet is of another kind of stream")
        return stream_class, header

    def _check(self, header: dict[str, Any], stream_class: StreamClass, content: int) -> None:
        if header["magic"] != _MAGIC:
            raise _Damaged("here should be a packet")
        if header["uuid"] != self._metadata.uuid.bytes:
            raise _Damaged("a packet is of another trace")
        if header["packet_seq_num"] != self.packets:
            raise _Damaged("packets are missing or out of order")
        whole = header["packet_size"] % _BITS == header["content_size"] % _BITS == 0
        if not stream_class.header_size * _BITS <= header["content_size"] <= header["packet_size"] or not whole:
            raise _Damaged("a packet's size is impossible")
        if (content - stream_class.header_size) % stream_class.event_size:
            raise _Damaged("a packet holds no whole number of events")
        if not self.last <= header["timestamp_begin"] <= header["timestamp_end"]:
            raise _Damaged("time goes back")
        if header["events_discarded"] < self.discarded:
            raise _Damaged("the count of lost events goes back")
        self._identify(header, stream_class)

    def _identify(self, header: dict[str, Any], stream_class: StreamClass) -> None:
        identity = tuple(header[field] for field in ("stream_instance_id", "tid", "pid", "vcpu", "comm"))
        if self.stream is None and self._name.partition(".")[0] == f"stream-{identity[0]}-{identity[1]}":
            comm = header["comm"].rstrip(b"\0").decode(errors="replace")
            self.stream = Stream(header["tid"], header["pid"], header["vcpu"], comm, stream_class.big_endian)
            self.identity = identity
        if identity != self.identity:
            raise _Damaged("a packet is of another stream")

    def _add_pieces(self, header: dict[str, Any], count: int) -> None:
        """Index ``count`` events. Raises `_Damaged` at a piece that does not begin between its neighbours."""
        assert self.stream_class is not None
        size = self.stream_class.event_size
        most = max(self._piece // size, 1)
        begin, end = header["timestamp_begin"], header["timestamp_end"]
        at = self.offset + self.stream_class.header_size
        for first in range(0, count, most):
            length = min(most, count - first)
            following = self._ticks(at + (first + length) * size) if first + length < count else end
            self.pieces += _PIECE.pack(begin, min(max(following, begin), end), at + first * size, length, self._number)
            self.events += length
            if not begin <= following <= end:
                self.offset = at + (first + length) * size
                raise _Damaged("time goes back")
            begin = following

    def _ticks(self, offset: int) -> int:
        return int(_TIMESTAMP.unpack(os.pread(self._descriptor, _TIMESTAMP.size, offset))[0])
