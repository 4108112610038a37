"""The functions that the code of ``hypertrace header --lang python`` uses.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from typing import Any, Protocol

from hypertrace_guest import _definitions, is_open
from hypertrace_guest._emitter import emitter as _core

__all__ = ["Span", "event", "publish", "span"]


class Span(Protocol):
    """A span for the statement ``with``. Its attributes are the arguments of its end."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: object) -> None: ...


def publish(text: str) -> None:
    """Pass the definitions ``text`` (TOML) to htrun."""
    if is_open:
        _definitions.publish(text)


def event(id: int, codes: str, fields: tuple[str, ...]) -> Any:
    """The function that emits an event. ``codes``: a letter for each of its ``fields``: ``i`` and ``u`` (64-bit
    integers), ``f`` (float), ``b`` (bool)."""
    return _core.Kind(id, None, codes, "", (), fields, (), False)


def span(begin: int, end: int, codes: tuple[str, str], kept: tuple[int, ...], names: Any) -> Any:
    """The function that makes a span. ``begin``, ``end``: the ids of its events. ``codes``, ``names``: the types and
    names of their arguments. ``kept``: for each argument of the end, the index of the argument of the begin that is its
    default value, or -1."""
    return _core.Kind(begin, end, codes[0], codes[1], kept, names[0], names[1], False)
