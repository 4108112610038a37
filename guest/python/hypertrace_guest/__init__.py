"""Emit events through a hypertrace channel, for htrun to record.

::

    from hypertrace_guest import span

    with span("parse", size=n):
        ...

Without htrun, every function does nothing. The channel is opened when the package is imported. Events name themselves:
htrun finds the names and types of their arguments, which are numbers.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from hypertrace_guest import _definitions
from hypertrace_guest._emitter import emitter as _core

__all__ = ["counter", "event", "is_open", "native", "open_channel", "span", "traced"]

native = _core.__name__.endswith("_native")
"""Whether the fast extension is used, which also writes to rings; otherwise events are stores of Python code."""
event = _core.event
"""``event(name, **arguments)`` emits an event. The first call gives the arguments' types: float, bool or int."""
counter = _core.counter
"""``counter(name, **values)`` emits values of a counter."""
span = _core.span
"""``span(name, **arguments)`` is a span for the statement ``with``. Its begin and end have a number, so they are paired
even if they are in different threads or asyncio tasks."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_lock = threading.Lock()
_num_args = 0
is_open = False
"""Whether a channel is open."""


def open_channel(path: str | None = None) -> bool:
    """Open the channel ``path``, as htrun's ``--hypertrace``; by default the one that htrun names. Returns whether a
    channel is open. Called when the package is imported."""
    global is_open, _num_args
    with _lock:
        if not is_open:
            # Numbers of spans are different in all processes.
            first = int.from_bytes(os.urandom(5), "little") << 24
            try:
                _num_args = _core.start(path, _define, first)
            except OSError:
                return False
            is_open = True
    return True


def traced(name: str | _Function | None = None) -> Any:
    """A decorator: each call of the function is a span called ``name``, by default its own name. It also works for
    coroutines, and for generators, whose whole iteration is one span."""
    if callable(name):
        return _traced(name, name.__qualname__)
    return lambda function: _traced(function, name or function.__qualname__)


def _traced(function: _Function, name: str) -> _Function:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **keywords: Any) -> Any:
            with span(name):
                return await function(*args, **keywords)

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(*args: Any, **keywords: Any) -> Any:
            with span(name):
                return (yield from function(*args, **keywords))

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **keywords: Any) -> Any:
            with span(name):
                return function(*args, **keywords)

    return cast("_Function", wrapper)


def _define(table: dict[str, Any], name: str, fields: tuple[str, ...], values: tuple[object, ...]) -> Any:
    """The kind for a name and fields that `_core` does not know yet."""
    # A call with fields that differ from those of the first call is another event.
    key = name if name not in table or tuple(table[name].fields) == fields else f"{name} ({', '.join(fields)})"
    with _lock:
        if key not in table or tuple(table[key].fields) != fields:
            phase = "span" if table is _core.spans else "counter" if table is _core.counters else "instant"
            defined = _definitions.define(key, phase, dict(zip(fields, values, strict=True)), _num_args - 1)
            table[key] = _core.Kind(*defined)
        return table[key]


open_channel()
