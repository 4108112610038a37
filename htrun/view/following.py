"""A native trace that is still being written: what has come since the last look at it.

Files of a trace are sound at every moment (`htrun.sinks.ctf_stream`): each ends with an empty packet, which the next
one will replace. So a look goes on where the last one met that packet, and costs as much as what is new.
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from htrun.analysis.ctf_reader import CtfReader
from htrun.analysis.packets import StreamFile, stream_files
from htrun.analysis.trace import NAMED_EVENTS_FACT
from htrun.analysis.tsdl import parse
from htrun.errors import HtrunError
from htrun.events.named import NamedEvents
from htrun.events.shapes import Shapes
from htrun.events.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from htrun.analysis.tsdl import Metadata, StreamClass
    from htrun.events.records import Events

_PIECE = struct.Struct("<QQQII")
_BITS = 8
_MAGIC = 0xC1FC1FC1
"""CTF 1.8, section 5.1."""


@dataclass
class _Tail:
    """How far a file has been read. ``offset``: bytes; ``discarded``: events that its stream had lost by then;
    ``damaged``: whether no more of it can be read."""

    offset: int = 0
    discarded: int = 0
    damaged: bool = False


class Follower:
    """Follows the trace in the directory ``path``. ``names``: the user's names of events, not the trace's own."""

    def __init__(self, path: Path, names: NamedEvents | None = None) -> None:
        self.path = path
        self.streams: list[Stream] = []
        """The threads so far; an event's ``stream`` is a place in here."""
        self.names = names
        self.shapes: Shapes | None = None
        """What fields events have; None until the first event has come."""
        self._metadata: Metadata | None = None
        self._stamp: tuple[int, int] | None = None
        self._tails: dict[Path, _Tail] = {}

    @property
    def environment(self) -> Mapping[str, str | int]:
        """The facts of the run, as far as they are known."""
        return self._metadata.environment if self._metadata is not None else {}

    @property
    def discarded(self) -> int:
        """Events that were lost so far."""
        return sum({path.name.partition(".")[0]: tail.discarded for path, tail in self._tails.items()}.values())

    def running(self) -> bool:
        """Whether the trace is still being written. Raises `HtrunError`."""
        return is_being_written(self.path)

    def poll(self) -> Iterator[Events]:
        """The events that have come since the last call, in the order of time. Raises `HtrunError`."""
        try:
            if not self._read_metadata():
                return
            files = [file for paths in stream_files(self.path) for path in paths if (file := self._news(path))]
        except OSError as error:
            raise HtrunError(f"cannot read {error.filename or self.path}: {error.strerror}") from error
        if not files:
            return
        assert self._metadata is not None
        # A piece tells the place of its file.
        files = [_numbered(file, number) for number, file in enumerate(files)]
        reader = CtfReader(self.path, self._metadata, files, self._tell)
        if self.shapes is None:
            self.shapes = Shapes(reader.channel_args, self.names)
        places = self._places(reader.streams)
        for events in reader.batches():
            events["stream"] = places[events["stream"]]
            yield events

    def _read_metadata(self) -> bool:
        """Take the metadata in, if it is new: the clock in it gets better. Whether there is any."""
        try:
            found = os.stat(self.path / "metadata")
        except FileNotFoundError:
            return False
        stamp = (found.st_ino, found.st_mtime_ns)
        if stamp != self._stamp:
            text = (self.path / "metadata").read_text(encoding="utf-8", errors="replace")
            self._metadata, self._stamp = parse(text), stamp
            self._read_names()
        return True

    def _read_names(self) -> None:
        text = self.environment.get(NAMED_EVENTS_FACT)
        if self.names is None and isinstance(text, str) and text:
            self.names = NamedEvents.parse(text, f"{self.path}: the named events in its metadata")

    def _news(self, path: Path) -> StreamFile | None:
        """The packets of a file since the last look; None if there are none."""
        assert self._metadata is not None
        tail = self._tails.setdefault(path, _Tail())
        pieces = bytearray()
        found: tuple[StreamClass, dict[str, Any]] | None = None
        count = 0
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while not tail.damaged and (packet := self._packet(descriptor, tail)) is not None:
                found = packet
                stream_class, header = packet
                count, place = self._count(stream_class, header), tail.offset + stream_class.header_size
                if count:
                    pieces += _PIECE.pack(header["timestamp_begin"], header["timestamp_end"], place, count, 0)
                tail.offset += header["packet_size"] // _BITS
                tail.discarded = header["events_discarded"]
        finally:
            os.close(descriptor)
        if found is None or not pieces:
            return None
        return _file(path, found, bytes(pieces), tail)

    def _packet(self, descriptor: int, tail: _Tail) -> tuple[StreamClass, dict[str, Any]] | None:
        """The packet at the tail; None if it is the empty one at the end, or none that can be understood."""
        assert self._metadata is not None
        classes = self._metadata.classes
        size = next(iter(classes.values())).header_size
        raw = os.pread(descriptor, size, tail.offset)
        if len(raw) < size:
            return None
        header = next(iter(classes.values())).packet(raw)
        stream_class = classes.get(header["stream_id"])
        known = header["magic"] == _MAGIC and header["uuid"] == self._metadata.uuid.bytes
        if stream_class is None or not known or not size * _BITS <= header["content_size"] <= header["packet_size"]:
            tail.damaged = True
            return None
        end = tail.offset + header["packet_size"] // _BITS
        if not self._count(stream_class, header) and end >= os.fstat(descriptor).st_size:
            tail.discarded = header["events_discarded"]
            return None
        return stream_class, header

    def _count(self, stream_class: StreamClass, header: Mapping[str, Any]) -> int:
        """The events of a packet."""
        content: int = header["content_size"] // _BITS
        return (content - stream_class.header_size) // stream_class.event_size

    def _places(self, streams: Sequence[Stream]) -> Any:
        """The places in ``self.streams`` of ``streams``, which are added if they are new."""
        import numpy as np

        self.streams += [stream for stream in streams if stream not in self.streams]
        return np.array([self.streams.index(stream) for stream in streams], np.uint32)

    def _tell(self, path: Path, _damage: str, _place: int) -> None:
        """Times that can't be right: the file is read no further."""
        self._tails[path].damaged = True


def is_being_written(path: Path) -> bool:
    """Whether an htrun still writes the trace in the directory ``path``: it holds a lock on it. Raises `HtrunError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HtrunError(f"cannot read {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # A file system without locks: nobody can tell.
        return False
    finally:
        os.close(descriptor)
    return False


def _file(path: Path, packet: tuple[StreamClass, dict[str, Any]], pieces: bytes, tail: _Tail) -> StreamFile:
    stream_class, header = packet
    identity = tuple(header[field] for field in ("stream_instance_id", "tid", "pid", "vcpu", "comm"))
    comm = header["comm"].rstrip(b"\0").decode(errors="replace")
    stream = Stream(header["tid"], header["pid"], header["vcpu"], comm, stream_class.big_endian)
    return StreamFile(
        path,
        stream,
        stream_class,
        identity,
        pieces,
        events=0,
        packets=0,
        last=header["timestamp_end"],
        discarded=tail.discarded,
        losses=(),
        damage=None,
    )


def _numbered(file: StreamFile, number: int) -> StreamFile:
    """``file`` as the one with this ``number``, which its pieces tell."""
    pieces = b"".join(_PIECE.pack(*piece[:4], number) for piece in struct.iter_unpack(_PIECE.format, file.pieces))
    return replace(file, pieces=pieces)
