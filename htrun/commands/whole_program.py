"""A whole program's time without htrun: one run measured, and several told as hyperfine tells them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from resource import struct_rusage

    from htrun.analysis.timing.comparison import Run
    from htrun.analysis.timing.figures import Figures, Timing

PROGRAM = "(program)"
"""The name under which the whole program's wall time stands among spans."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True)
class Usage:
    """What one run took, ns. ``wall``: from its start to its end; ``user``, ``system``: of processors, by the program
    and by whatever it has started and waited for."""

    wall: int
    user: int
    system: int

    def line(self) -> str:
        """As a line of a file, which `of` reads."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def of(cls, line: bytes, file: Path) -> Usage:
        """Of a ``line`` of ``file``. Raises `HtrunError`."""
        try:
            found = json.loads(line)
            return cls(**{name: int(found[name]) for name in ("wall", "user", "system")})
        except (ValueError, KeyError, TypeError):
            raise HtrunError(f"{file} does not tell how long runs of a program took; remove it") from None


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


@dataclass(frozen=True)
class WholeProgram:
    """The runs of one program without htrun, at least one."""

    usages: Sequence[Usage]

    @cached_property
    def figures(self) -> Mapping[str, Figures]:
        """Of ``wall``, ``user`` and ``system``."""
        from htrun.analysis.timing.clock_step import ClockStep
        from htrun.analysis.timing.distribution import Distribution
        from htrun.analysis.timing.figures import Figures

        step = ClockStep(1.0, known=True)
        columns = {kind: [getattr(usage, kind) for usage in self.usages] for kind in ("wall", "user", "system")}
        return {kind: Figures.of(Distribution.of(column), step) for kind, column in columns.items()}

    def deviation(self, kind: str) -> float | None:
        """The standard deviation of ``kind`` from run to run, ns; None of one run."""
        from statistics import stdev

        return stdev(getattr(usage, kind) for usage in self.usages) if len(self.usages) > 1 else None

    @property
    def timing(self) -> Timing:
        """The wall time as if it were that of a span."""
        from htrun.analysis.timing.clock_step import ClockStep
        from htrun.analysis.timing.figures import Timing

        wall = self.figures["wall"]
        first, mild_low, mild_high, last = wall.fences
        severe = wall.distribution.beyond(first, last)
        mild = wall.distribution.beyond(mild_low, mild_high) - severe
        return Timing(PROGRAM, None, wall, None, None, None, mild, severe, ClockStep(1.0, known=True))

    @property
    def runs(self) -> list[Run]:
        """The wall time of each run, for comparisons."""
        from htrun.analysis.timing.comparison import Run
        from htrun.analysis.timing.distribution import Distribution
        from htrun.analysis.timing.inference import Interval

        walls = [float(usage.wall) for usage in self.usages]
        return [Run(Interval(wall, wall, wall), Distribution.of([wall])) for wall in walls]
