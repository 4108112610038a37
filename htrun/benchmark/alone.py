"""One run of a program without htrun, measured."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from htrun.analysis.timing.whole_program import Usage
from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from resource import struct_rusage

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def measure(executable: str, arguments: Sequence[str], processors: Collection[int]) -> tuple[int, Usage]:
    """Run a program to its end, without input and with its output thrown away, on ``processors`` (none: any).

    Returns its exit status, below 0 the signal that ended it. Between the readings of the clock is little but the
    program: `subprocess` would add half a millisecond. Raises `HtrunError` if it can't be executed.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    to_nowhere = [(os.POSIX_SPAWN_DUP2, nowhere, standard) for standard in range(3)]
    try:
        with _interrupts_held() as let_through:
            with _running_on(processors):
                began = time.perf_counter_ns()
                child = os.posix_spawn(
                    executable, list(arguments), os.environ, file_actions=to_nowhere, setsigdef=_IGNORED_BY_PYTHON
                )
            status, wall, used = _ended(child, began, let_through)
    except OSError as error:
        raise HtrunError(f"{arguments[0]}: {error.strerror}") from error
    finally:
        os.close(nowhere)
    usage = Usage(wall, round(used.ru_utime * 1e9), round(used.ru_stime * 1e9))
    return os.waitstatus_to_exitcode(status), usage


def _ended(child: int, began: int, let_through: Callable[[], None]) -> tuple[int, int, struct_rusage]:
    """Wait for ``child``, whom an interrupt ends, from `_interrupts_held` too: its wait status, the ns since ``began``,
    and what it used."""
    try:
        let_through()
        _, status, used = os.wait4(child, 0)
        return status, time.perf_counter_ns() - began, used
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


@contextmanager
def _interrupts_held() -> Iterator[Callable[[], None]]:
    """Meanwhile SIGINT waits until what is given is called: a child may run before its id is known to end it by."""
    former = signal.getsignal(signal.SIGINT)
    if not callable(former):
        # The child is to inherit that it is ignored.
        yield lambda: None
        return
    came: list[int] = []

    def let_through() -> None:
        signal.signal(signal.SIGINT, former)
        if came:
            signal.raise_signal(came.pop())

    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, former)


@contextmanager
def _running_on(processors: Collection[int]) -> Iterator[None]:
    """Be on ``processors`` for a while: what is started meanwhile stays there, without a taskset that takes time."""
    if not processors:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
