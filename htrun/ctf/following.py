"""Follows a native trace that is still being written. Each poll returns the events since the last poll.

The files of a trace are valid at every moment (`htrun.ctf.stream_files`). Each file ends with an empty packet, which
the next packet will replace. A poll continues at the empty packet that the last poll found, so its cost depends only on
the amount of new data.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.ctf.headers import Damaged, read_header
from htrun.ctf.packets import StreamFile, stream_files
from htrun.ctf.pieces import packed
from htrun.ctf.reader import CtfReader
from htrun.ctf.tsdl import parse
from htrun.errors import HtrunError
from htrun.events.named import NAMED_EVENTS_FACT, NamedEvents
from htrun.events.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from htrun.ctf.headers import PacketHeader
    from htrun.ctf.tsdl import Metadata
    from htrun.events.records import Events
    from htrun.events.stream import Stream


@dataclass
class _Tail:
    """The position up to which a file has been read.

    ``offset``: the position in bytes. ``discarded``: the number of events that the stream had lost up to this position.
    ``damaged``: whether the rest of the file is unreadable.
    """

    offset: int = 0
    discarded: int = 0
    damaged: bool = False


class Follower:
    """Follows the trace in the directory ``path``. ``names``: the named events to use instead of those in the trace."""

    def __init__(self, path: Path, names: NamedEvents | None = None) -> None:
        self.path = path
        self.streams: list[Stream] = []
        """The threads found so far; an event's ``stream`` is an index of this list."""
        self.names = names
        self.shapes: Shapes | None = None
        """The fields of each kind of event; None until the first event was read."""
        self._metadata: Metadata | None = None
        self._stamp: tuple[int, int] | None = None
        self._tails: dict[Path, _Tail] = {}
        self._numbers: dict[Stream, int] = {}

    @property
    def environment(self) -> Mapping[str, str | int]:
        """The facts of the run that are known so far."""
        return self._metadata.environment if self._metadata is not None else {}

    @property
    def discarded(self) -> int:
        """The number of events lost so far."""
        return sum({path.name.partition(".")[0]: tail.discarded for path, tail in self._tails.items()}.values())

    def running(self) -> bool:
        """Whether the trace is still being written. Raises `HtrunError`."""
        return is_being_written(self.path)

    def poll(self) -> Iterator[Events]:
        """The events since the last call, in order of time. Raises `HtrunError`."""
        try:
            if not self._read_metadata():
                return
            files = self._files()
        except OSError as error:
            raise HtrunError(f"cannot read {error.filename or self.path}: {error.strerror}") from error
        if not files:
            return
        assert self._metadata is not None
        reader = CtfReader(self.path, self._metadata, files, self._tell)
        if self.shapes is None:
            self.shapes = Shapes(reader.channel_args, self.names)
        places = self._places(reader.streams)
        for events in reader.batches():
            events["stream"] = places[events["stream"]]
            yield events

    def _read_metadata(self) -> bool:
        """Read the metadata again if it has changed. During a run, the clock in the metadata becomes more accurate.

        Returns whether the metadata exists.
        """
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

    def _files(self) -> list[StreamFile]:
        """The files that have new packets since the last poll. Each `StreamFile` contains only the new packets."""
        found: list[StreamFile] = []
        for paths in stream_files(self.path):
            for path in paths:
                file = self._news(path, len(found))
                if file is not None:
                    found.append(file)
        return found

    def _news(self, path: Path, number: int) -> StreamFile | None:
        """The new packets of the file ``path``; None if there are none. ``number``: the index of the file in this
        poll."""
        tail = self._tails.setdefault(path, _Tail())
        pieces = bytearray()
        last: PacketHeader | None = None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while not tail.damaged and (header := self._packet(descriptor, tail)) is not None:
                last = header
                if header.events:
                    first = tail.offset + header.stream_class.header_size
                    pieces += packed(header.begin, header.end, first, header.events, number)
                tail.offset += header.size
                tail.discarded = header.discarded
        finally:
            os.close(descriptor)
        return None if last is None or not pieces else _file(path, last, bytes(pieces))

    def _packet(self, descriptor: int, tail: _Tail) -> PacketHeader | None:
        """The header of the next packet to read; None if this is the empty packet, or if it cannot be parsed."""
        assert self._metadata is not None
        try:
            header = read_header(descriptor, tail.offset, self._metadata)
        except Damaged:
            tail.damaged = True
            return None
        if header is not None and not header.events and tail.offset + header.size >= os.fstat(descriptor).st_size:
            tail.discarded = header.discarded
            return None
        return header

    def _places(self, streams: Sequence[Stream]) -> Any:
        """The indexes of ``streams`` in ``self.streams``. New streams are added to this list."""
        for stream in streams:
            if self._numbers.setdefault(stream, len(self.streams)) == len(self.streams):
                self.streams.append(stream)
        return np.array([self._numbers[stream] for stream in streams], np.uint32)

    def _tell(self, path: Path, _damage: str, _place: int) -> None:
        """Note that the file ``path`` contains an impossible time. The rest of the file is not read."""
        self._tails[path].damaged = True


def is_being_written(path: Path) -> bool:
    """Whether an htrun is still writing the trace in the directory ``path``, and so holds a lock on this directory.

    Raises `HtrunError`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HtrunError(f"cannot read {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # The file system has no locks.
        return False
    finally:
        os.close(descriptor)
    return False


def _file(path: Path, last: PacketHeader, pieces: bytes) -> StreamFile:
    """The file at ``path`` with only its new ``pieces``. ``last``: the header of the last packet."""
    return StreamFile(
        path,
        last.identity.stream(last.stream_class),
        last.stream_class,
        last.identity,
        pieces,
        events=0,
        packets=0,
        last=last.end,
        discarded=last.discarded,
        losses=(),
        damage=None,
    )
