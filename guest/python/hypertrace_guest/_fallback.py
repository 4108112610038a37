"""The core in Python, where the extension is not built: events are stores to the mapped channel.

It has the interface of ``_native``. The channel's layout is in docs/formats.md of htrun.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import mmap
import os
import struct
import threading
from typing import Any

_HEADER = struct.Struct("<8sIIQQQQQQ")
_F_OFD_SETLK = 37
_FLOCK = struct.Struct("hhqqi4x")
_MASK = (1 << 64) - 1

events: dict[str, Kind] = {}
counters: dict[str, Kind] = {}
spans: dict[str, Kind] = {}


class _Channel:
    """An open channel, and this process's index. Threads take turns."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pid = 0
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fields = _HEADER.unpack(os.pread(descriptor, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
            magic, version, self.num_args, self._clients, control, _, self._data, self._stride, size = fields
            if magic != b"HYPRTRC1" or version != 1:
                raise OSError(errno.EPROTO, "not a hypertrace channel", path)
            self._memory = memoryview(mmap.mmap(descriptor, size))
        finally:
            os.close(descriptor)
        self._control = self._memory[control : control + 4].cast("I")
        self._claim()

    def _claim(self) -> None:
        """Take the highest free index, and hold it by a lock on the corresponding byte of the file, as the library in C
        does."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        self._pid = os.getpid()
        for index in range(self._clients - 1, -1, -1):
            try:
                lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, index, 1, 0)
                fcntl.fcntl(self._descriptor, _F_OFD_SETLK, lock)
            except (BlockingIOError, PermissionError):
                continue
            self._index = index
            start = self._data + index * self._stride
            self._slot = self._memory[start : start + 8 * self.num_args].cast("Q")
            return
        raise OSError(errno.EAGAIN, "every index of the channel is taken", self._path)

    def emit(self, words: list[int]) -> None:
        with self._lock:
            if self._pid != os.getpid():
                self._claim()
            slot = self._slot
            for place, word in enumerate(words[: self.num_args]):
                slot[place] = word
            self._control[0] = self._index


_channel: _Channel | None = None
_define: Any = None
_numbers = itertools.count()


def _word(value: Any, code: str) -> int:
    if code == "f":
        return int.from_bytes(struct.pack("=d", value), _ORDER)
    if code == "b":
        return 1 if value else 0
    return int(value.__index__()) & _MASK


_ORDER: Any = "little" if struct.pack("=H", 1) == b"\1\0" else "big"


class Kind:
    """See ``Kind`` of ``_native``."""

    def __init__(
        self,
        begin: int,
        end: int | None,
        codes: str,
        end_codes: str,
        kept: tuple[int, ...],
        fields: tuple[str, ...],
        end_fields: tuple[str, ...],
        numbered: bool,
    ) -> None:
        self.begin, self.end, self.fields = begin, end, fields
        self.codes, self.end_codes, self.kept = codes, end_codes, kept
        self.end_fields = end_fields
        self.numbered = numbered

    def __call__(self, *values: Any) -> Any:
        if _channel is None:
            return None if self.end is None else _NOTHING
        codes = self.codes[1:] if self.numbered else self.codes
        if len(values) < len(codes):
            raise TypeError(f"the event takes {len(codes)} arguments, not {len(values)}")
        words = [_word(value, code) for value, code in zip(values, codes, strict=False)]
        if self.numbered:
            words.insert(0, next(_numbers) & _MASK)
        if self.end is not None:
            return _Span(self, words)
        _channel.emit([self.begin, *words])
        return None


class _Span:
    _kind: Kind
    _words: list[int]
    _end: list[int]

    def __init__(self, kind: Kind, words: list[int]) -> None:
        end = [words[place] if place >= 0 else 0 for place in kind.kept]
        self.__dict__.update(_kind=kind, _words=words, _end=end)

    def __enter__(self) -> _Span:
        assert _channel is not None
        _channel.emit([self._kind.begin, *self._words])
        return self

    def __exit__(self, *_: object) -> None:
        assert _channel is not None
        assert self._kind.end is not None
        _channel.emit([self._kind.end, *self._end])

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._kind.end_fields:
            raise AttributeError(f"the end of the span has no argument {name!r}")
        place = self._kind.end_fields.index(name)
        self._end[place] = _word(value, self._kind.end_codes[place])


class _Nothing:
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __setattr__(self, name: str, value: Any) -> None:
        pass


_NOTHING = _Nothing()


def _find(table: dict[str, Kind], name: str, fields: dict[str, Any]) -> Kind:
    kind = table.get(name)
    if kind is None or kind.fields != tuple(fields):
        found: Kind = _define(table, name, tuple(fields), tuple(fields.values()))
        return found
    return kind


def event(name: str, /, **arguments: Any) -> None:
    """Emit an event."""
    if _channel is not None:
        _find(events, name, arguments)(*arguments.values())


def counter(name: str, /, **values: Any) -> None:
    """Emit the values of a counter."""
    if _channel is not None:
        _find(counters, name, values)(*values.values())


def span(name: str, /, **arguments: Any) -> Any:
    """A span for the statement ``with``."""
    return _NOTHING if _channel is None else _find(spans, name, arguments)(*arguments.values())


def keep(kept: object) -> None:
    """Never free an object, so that it exists until the process exits, even after the interpreter has ended."""
    try:
        import ctypes
    except ImportError:
        return
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


def start(path: str | None, define: Any, first: int) -> int:
    """Open the channel; returns its number of arguments. Raises OSError."""
    global _channel, _define, _numbers
    path = path or os.environ.get("HYPERTRACE")
    if not path:
        raise FileNotFoundError(errno.ENOENT, "there is no channel")
    _channel, _define, _numbers = _Channel(path), define, itertools.count(first)
    return _channel.num_args
