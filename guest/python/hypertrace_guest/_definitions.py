"""Definitions of events, in a mapping that htrun finds: docs/formats.md of htrun, "Events that name themselves".

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from contextlib import suppress

from hypertrace_guest._emitter import emitter as _core

_SIZE = 1 << 16
_NAME = b"hypertrace\0"
_HEADER = struct.Struct("<III")
_TYPES = {float: "f", bool: "b"}
_WORDS = {"i": "i64", "u": "u64", "f": "f64", "b": "bool"}


class _Mapping:
    """The notes of this process. htrun may read them at any time, so the size of a note's name is written last."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._used = 0
        self._pid = 0

    def add(self, text: str) -> None:
        contents = text.encode()
        contents += b"\0" * (-len(contents) % 4)
        note = _HEADER.pack(len(_NAME), len(contents), 1) + _NAME + b"\0" + contents
        if self._memory is None or self._pid != os.getpid() or self._used + len(note) > len(self._memory):
            self._begin(max(_SIZE, len(note)))
        assert self._memory is not None
        self._memory[self._used + 4 : self._used + len(note)] = note[4:]
        self._memory[self._used : self._used + 4] = note[:4]
        self._used += len(note)

    def _begin(self, size: int) -> None:
        descriptor = os.memfd_create("hypertrace-events", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        # htrun also looks when the process exits.
        _core.keep(self._memory)
        self._used, self._pid = 0, os.getpid()


_mapping = _Mapping()


def publish(text: str) -> None:
    """Pass the definitions ``text`` (TOML) to htrun. Events without a definition are recorded, too."""
    # Without memory, or in a sandbox, the events have no names.
    with suppress(OSError):
        _mapping.add(text)


def define(name: str, phase: str, fields: dict[str, object], most: int) -> tuple[object, ...]:
    """Define an event or a span. ``phase``: ``instant``, ``counter`` or ``span``. ``fields``: the arguments of the
    first call. ``most``: the maximum number of arguments in the channel. Returns the arguments for ``Kind``."""
    is_span = phase == "span"
    codes = ("u" if is_span else "") + "".join(_TYPES.get(type(value), "i") for value in fields.values())
    names = (["span"] if is_span else []) + list(fields)
    codes, names = codes[:most], [_identifier(each) for each in names[:most]]
    begin = _id(name, "begin" if is_span else phase, codes)
    args = ", ".join(f'"{each}:{_WORDS[code]}"' for each, code in zip(names, codes, strict=True))
    if not is_span:
        publish(_table(begin, name, phase, args, ""))
        return begin, None, codes, "", (), tuple(fields), (), False
    end = _id(name, "end", "")
    key = 'key = "span"\n' if codes else ""
    publish(_table(begin, name, "begin", args, key) + _table(end, name, "end", '"span:u64"' if codes else "", key))
    return begin, end, codes, codes[:1], (0,) * len(codes[:1]), tuple(fields), ("span",)[: len(codes)], bool(codes)


def _identifier(name: str) -> str:
    return name if name.isascii() else "".join(each if each.isascii() else "_" for each in name)


def _id(name: str, phase: str, codes: str) -> int:
    """The same in all processes, and different from the small numbers that people choose."""
    digest = hashlib.sha256("\0".join((name, phase, codes)).encode()).digest()
    return int.from_bytes(digest[:8], "little") | 1 << 63


def _table(id_: int, name: str, phase: str, args: str, key: str) -> str:
    quoted = "".join(each if each.isprintable() else "?" for each in name).strip() or "?"
    quoted = quoted.replace("\\", "\\\\").replace('"', '\\"')
    return f'[[event]]\nid = {id_}\nname = "{quoted}"\nphase = "{phase}"\nargs = [{args}]\n{key}'
