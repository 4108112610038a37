"""Runs a program once without htrun, and measures this run."""

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
    """Run a program until it exits, without input, and discard its output. ``processors``: the processors to run it on;
    empty for any.

    Returns the exit status and the measured usage. A negative exit status is the number of the signal that has killed
    the program. Little else runs between the two readings of the clock: `subprocess` would add half a millisecond.
    Raises `HtrunError` if the program cannot be executed.
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
    """Wait for ``child``. An interrupt kills the child, even if `_interrupts_held` has delayed the interrupt.

    Returns the child's wait status, the ns since ``began``, and the child's resource usage.
    """
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
    """Delays SIGINT until the yielded function is called. The child may already run while its id is still unknown, and
    the id is needed to kill the child."""
    former = signal.getsignal(signal.SIGINT)
    if not callable(former):
        # SIGINT is ignored. It stays ignored, because the child must inherit this.
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
    """A context in which this process runs on ``processors``.

    Children that are started in the context stay on these processors. Starting them with taskset would add time to the
    measurement.
    """
    if not processors:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
