"""Reads single keys from the terminal without echo, and restores the terminal's settings at the end."""

from __future__ import annotations

import os
import select
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Ended(Exception):
    """A signal has requested this process to end: SIGTERM, or SIGHUP after the terminal was closed.

    ``number``: the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Keys:
    """The keys of the terminal ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self, seconds: float) -> bytes:
        """The bytes typed within ``seconds``; empty if nothing was typed."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        return os.read(self._descriptor, 64) if ready else b""


@contextmanager
def taken_over(descriptor: int) -> Iterator[Keys]:
    """A context manager that takes over the terminal ``descriptor``, and provides its keys.

    Ctrl-C raises `KeyboardInterrupt` as usual. A signal that requests the end raises `Ended`. Ctrl-Z and Ctrl-\\ do
    nothing: if they stopped or killed the program, the terminal would keep the settings of the view.
    """
    before = termios.tcgetattr(descriptor)
    own = termios.tcgetattr(descriptor)
    own[3] &= ~(termios.ICANON | termios.ECHO)
    disabled = os.fpathconf(descriptor, "PC_VDISABLE").to_bytes(1, "little")
    own[6][termios.VSUSP] = own[6][termios.VQUIT] = disabled
    handlers = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, own)
        yield Keys(descriptor)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)
