"""Indexes a native trace by the headers of its packets, without reading any event.

The result is an index of *pieces*. A piece is a part of one packet, and is small enough to be read in one step. An
inconsistency is damage: a file that ends within a packet, time that goes backwards, or a packet of another trace. A
stream is read up to its first damage.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from htrun.ctf.headers import Damaged, read_header
from htrun.ctf.pieces import packed

if TYPE_CHECKING:
    from pathlib import Path

    from htrun.ctf.headers import PacketHeader, StreamIdentity
    from htrun.ctf.tsdl import Metadata, StreamClass
    from htrun.events.stream import Stream

_NEVER = (1 << 63) - 1
"""A time in ticks that is never reached."""
_NAME = re.compile(r"stream-(\d{1,9})-(\d{1,9})(?:\.([1-9]\d{0,4}))?")
"""The stream's number, the thread's id, and, except in the stream's first file, the number of the file."""
_TIMESTAMP = struct.Struct("<Q")


@dataclass(frozen=True)
class Damage:
    """The first damage of a file. ``what``: the description of the damage. ``place``: the offset of the damage in the
    file, in bytes."""

    what: str
    place: int


_RING_PACKETS = 17
"""A thread may have filled up to this number of packets before it lost events. These packets follow the packet that
reports the loss. They are the packets of a full ring, and the packet that the drain was taking out."""


@dataclass(frozen=True)
class TickLoss:
    """A loss of ``events`` events between the ticks ``begin`` and ``end``.

    ``packet``: the number of the packet that reports the loss.
    """

    packet: int
    begin: int
    end: int
    events: int


@dataclass(frozen=True)
class StreamFile:
    """One file of a trace.

    ``identity``: the fields that all packets of the file's stream share. ``pieces``: the file's part of the index, as
    packed bytes. ``events``: the number of events before any damage. The other attributes describe the stream up to the
    end of this file. ``packets``: the number of packets. ``last``: the latest ticks. ``discarded``: the number of lost
    events. ``losses``: the times at which events were lost.
    """

    path: Path
    stream: Stream
    stream_class: StreamClass
    identity: StreamIdentity
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
        return self.identity.instance


def stream_files(directory: Path) -> list[list[Path]]:
    """The files of each stream in ``directory``, in the order in which the streams began. Raises `OSError`."""
    found = [(match, path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    streams: dict[tuple[int, int], list[tuple[int, Path]]] = {}
    for match, path in found:
        streams.setdefault((int(match[1]), int(match[2])), []).append((int(match[3] or 0), path))
    return [[path for _, path in sorted(streams[key])] for key in sorted(streams)]


def scan(path: Path, number: int, metadata: Metadata, size: int, before: StreamFile | None) -> StreamFile | Damage:
    """Index the file ``path`` in pieces of ``size`` bytes. ``number``: the number of the file in the trace.

    ``before``: the previous file of the same stream; None if this is the first file. Returns a `Damage` if even the
    first packet is invalid.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        scanner = _Scanner(descriptor, path, number, metadata, size, before)
        damage = None
        try:
            scanner.run()
        except Damaged as error:
            damage = Damage(str(error), scanner.offset)
        if not scanner.sound or scanner.stream is None or scanner.stream_class is None or scanner.identity is None:
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


class _Scanner:
    def __init__(
        self, descriptor: int, path: Path, number: int, metadata: Metadata, piece: int, before: StreamFile | None
    ) -> None:
        self.stream = before.stream if before else None
        self.stream_class = before.stream_class if before else None
        self.identity = before.identity if before else None
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
        """Scan the packets. Raises `Damaged`."""
        while self.offset < self._size:
            header = read_header(self._descriptor, self.offset, self._metadata)
            if header is None:
                raise Damaged("it ends in the middle of a packet's header")
            self._check(header)
            self.stream_class = header.stream_class
            self.sound = True
            present = min(header.content, self._size - self.offset) - header.stream_class.header_size
            self._add_pieces(header, present // header.stream_class.event_size)
            self._note_losses(header)
            self.packets += 1
            self.discarded = header.discarded
            self.last = header.end
            if self.offset + header.size > self._size:
                raise Damaged("it ends in the middle of a packet")
            self.offset += header.size

    def _note_losses(self, header: PacketHeader) -> None:
        if self.losses and self.packets == self.losses[-1].packet + _RING_PACKETS:
            self.losses[-1] = replace(self.losses[-1], end=header.begin)
        lost = header.discarded - self.discarded
        if not lost:
            return
        if self.losses and self.packets < self.losses[-1].packet + _RING_PACKETS:
            # Overlapping losses are merged. Otherwise memory would grow while a thread keeps losing events.
            self.losses[-1] = replace(self.losses[-1], packet=self.packets, events=self.losses[-1].events + lost)
        else:
            self.losses.append(TickLoss(self.packets, self.last, _NEVER, lost))

    def _check(self, header: PacketHeader) -> None:
        """Check that ``header`` continues its stream. Raises `Damaged`."""
        if self.stream_class is not None and header.stream_class is not self.stream_class:
            raise Damaged("a packet belongs to another kind of stream")
        if header.number != self.packets:
            raise Damaged("packets are missing or out of order")
        if not self.last <= header.begin <= header.end:
            raise Damaged("the times are not in order")
        if header.discarded < self.discarded:
            raise Damaged("the count of lost events goes back")
        self._identify(header)

    def _identify(self, header: PacketHeader) -> None:
        identity = header.identity
        if self.stream is None and self._name.partition(".")[0] == f"stream-{identity.instance}-{identity.tid}":
            self.stream = identity.stream(header.stream_class)
            self.identity = identity
        if identity != self.identity:
            raise Damaged("a packet belongs to another stream")

    def _add_pieces(self, header: PacketHeader, count: int) -> None:
        """Index ``count`` events. Raises `Damaged` if the time at which a piece begins does not lie between its
        neighbours' times."""
        size = header.stream_class.event_size
        most = max(self._piece // size, 1)
        begin, end = header.begin, header.end
        at = self.offset + header.stream_class.header_size
        for first in range(0, count, most):
            length = min(most, count - first)
            following = self._ticks(at + (first + length) * size) if first + length < count else end
            self.pieces += packed(begin, min(max(following, begin), end), at + first * size, length, self._number)
            self.events += length
            if not begin <= following <= end:
                self.offset = at + (first + length) * size
                raise Damaged("the times are not in order")
            begin = following

    def _ticks(self, offset: int) -> int:
        return int(_TIMESTAMP.unpack(os.pread(self._descriptor, _TIMESTAMP.size, offset))[0])
