"""The runs of ``hypertrace bench``: of each command first those without htrun, then those under it.

They are not mixed: a run under htrun leaves the processor's caches to others, and a program of a millisecond that comes
next then takes half as long again, while what hyperfine and the like tell is the time of runs one after the other.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from htrun.analysis.timing.whole_program import Usage
from htrun.benchmark.alone import measure
from htrun.errors import HtrunError
from htrun.launch import launcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from htrun.benchmark.matrix import Cell
    from htrun.launch.program import Launch

_ALONE = "alone.jsonl"
"""In a cell's directory: what each run without htrun took."""
_UNFINISHED = "unfinished-"
"""In a cell's directory: what the names of traces begin with that are not whole, or never will be."""
_CALIBRATION_PAIRS = 300
_MOST_TOLD = 2000
"""Characters of a failed program's last words."""


@dataclass(frozen=True)
class RunPlan:
    """How often and how each command is run. ``warmup``: runs before, which do not count; ``processors``: to run on,
    none for any; ``events``: the file with names of events; ``options``: further ones of htrun; ``whole``: whether each
    is run without htrun too."""

    runs: int
    warmup: int = 0
    processors: frozenset[int] = frozenset()
    events: Path | None = None
    options: tuple[str, ...] = ()
    whole: bool = True


def run_in_turns(cells: Sequence[Cell], places: Sequence[Path], plan: RunPlan) -> None:
    """Run every cell as often as ``plan`` says, and leave what comes of it in ``places``, a directory for each.

    What has been run already is not run again. Raises `HtrunError`.
    """
    for cell, place in zip(cells, places, strict=True):
        _claim(place, cell)
    kinds = (_TracedRuns,) if not plan.whole else (_RunsAlone, _TracedRuns)
    for kind in kinds:
        sides: list[_Runs] = [kind(cell, place, plan) for cell, place in zip(cells, places, strict=True)]
        for side in sides:
            side.warm_up()
        for number, which in _turns(plan.runs, len(sides)):
            sides[which].run(number)


def traces_of(place: Path, runs: int) -> list[Path]:
    """Where the traces of a cell are."""
    return [place / _name(number) for number in range(runs)]


def usages_of(place: Path) -> list[Usage]:
    """What a cell's runs without htrun took; none if it has no such runs. Raises `HtrunError`."""
    file = place / _ALONE
    if not file.exists():
        return []
    whole, newline, _ = file.read_bytes().rpartition(b"\n")
    # Whoever was killed in the middle of a line is to go on behind the last whole one.
    os.truncate(file, len(whole + newline))
    return [Usage.of(line, file) for line in whole.splitlines()]


def _name(number: int) -> str:
    return f"run-{number + 1:03}"


def _claim(place: Path, cell: Cell) -> None:
    """Make the directory of a cell. Raises `HtrunError` if it is another's."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        command = place / "command"
        if command.exists() and command.read_text() != shlex.join(cell.command):
            raise HtrunError(f"{place} holds runs of another command: {command.read_text()}; give another -o DIR")
        command.write_text(shlex.join(cell.command))
    except OSError as error:
        raise HtrunError(f"cannot write to {place}: {error.strerror}") from error


def _turns(runs: int, sides: int) -> Iterator[tuple[int, int]]:
    """Run and side, in the order A B B A A B ...: what drifts meets all sides alike."""
    for run in range(runs):
        order = range(sides) if run % 2 == 0 else reversed(range(sides))
        yield from ((run, side) for side in order)


@dataclass(frozen=True)
class _Which:
    """Which run of a cell. ``number``: from 0; ``count``: of how many."""

    number: int
    count: int
    warming_up: bool = False

    def __str__(self) -> str:
        return f"{'warm-up ' * self.warming_up}run {self.number + 1} of {self.count}"


class _Runs(Protocol):
    """The runs of one cell, of one kind."""

    def warm_up(self) -> None:
        """The runs that do not count, unless nothing is left to run. Raises `HtrunError`."""

    def run(self, number: int) -> None:
        """The run of that ``number``, from 0, unless it has been made. Raises `HtrunError`."""


class _RunsAlone:
    """Runs without htrun; none for a whole machine, which would not have the device that its guest looks for, and where
    the command names the channel. Each leaves a line in a file: little else is done from one to the next."""

    def __init__(self, cell: Cell, place: Path, plan: RunPlan) -> None:
        self._cell = cell
        self._plan = plan
        self._file = place / _ALONE
        self._made = len(usages_of(place))
        self._launch = _launch_alone(cell)

    def warm_up(self) -> None:
        """As `_Runs` has it."""
        if self._made < self._plan.runs:
            for number in range(self._plan.warmup):
                self._measured(_Which(number, self._plan.warmup, warming_up=True))

    def run(self, number: int) -> None:
        """As `_Runs` has it."""
        which = _Which(number, self._plan.runs)
        if number >= self._made and (usage := self._measured(which)) is not None:
            with self._file.open("a") as file:
                file.write(usage.line())

    def _measured(self, which: _Which) -> Usage | None:
        if self._launch is None:
            return None
        status, usage = measure(self._launch.executable, self._launch.argv, self._plan.processors)
        if status:
            raise HtrunError(
                f"{shlex.join(self._cell.command)} fails without htrun in {which} ({_status(status)}); try --no-whole"
            )
        return usage


def _launch_alone(cell: Cell) -> Launch | None:
    """How to start a cell's program without htrun; None if it can't be. Raises `HtrunError`."""
    from htrun.launch.program import Kind, resolve

    if any("{channel}" in word for word in cell.command):
        return None
    try:
        launch = resolve(cell.command, os.environ)
    except HtrunError as error:
        # Of which the exit code would be the program's.
        raise HtrunError(str(error)) from error
    return None if launch.kind is Kind.SYSTEM else launch


class _TracedRuns:
    """Runs under htrun. Each leaves a trace."""

    def __init__(self, cell: Cell, place: Path, plan: RunPlan) -> None:
        self._cell = cell
        self._place = place
        self._plan = plan
        _clear_unfinished(place)

    def warm_up(self) -> None:
        """As `_Runs` has it."""
        if all(trace.exists() for trace in traces_of(self._place, self._plan.runs)):
            return
        for number in range(self._plan.warmup):
            with tempfile.TemporaryDirectory(prefix="hypertrace-") as scratch:
                self._trace(Path(scratch) / "trace", _Which(number, self._plan.warmup, warming_up=True))

    def run(self, number: int) -> None:
        """As `_Runs` has it. The trace gets its name when it is whole; until then it has one that no other run has had:
        the run of a bench that was killed may still be under way."""
        final = self._place / _name(number)
        if final.exists():
            return
        unfinished = self._place / f"{_UNFINISHED}{os.urandom(6).hex()}"
        self._trace(unfinished, _Which(number, self._plan.runs))
        unfinished.rename(final)

    def _trace(self, path: Path, which: _Which) -> None:
        options = ["-q", "--timestamp", "ordered", "-o", str(path)]
        if self._plan.events is not None:
            options += ["--events", str(self._plan.events)]
        if self._plan.processors:
            options += ["--cpu", ",".join(map(str, sorted(self._plan.processors)))]
        with tempfile.TemporaryDirectory(prefix="hypertrace-") as scratch:
            channel = str(Path(scratch) / "channel")
            program = [word.replace("{channel}", channel) for word in self._cell.command]
            htrun = [*launcher.command(), "--hypertrace", channel, *options, *self._plan.options, "--"]
            environment = {"HYPERTRACE_CALIBRATE": str(_CALIBRATION_PAIRS), **os.environ}
            done = subprocess.run(
                [*htrun, *program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                check=False,
            )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-_MOST_TOLD:]
            raise HtrunError(
                f"{shlex.join(self._cell.command)} failed in {which} ({_status(done.returncode)}){said and f': {said}'}"
            )


def _clear_unfinished(place: Path) -> None:
    """Remove what runs of a bench that was killed have left in a cell's directory, but what is still being written."""
    from htrun.ctf.following import is_being_written

    for trace in place.glob(f"{_UNFINISHED}*"):
        if not is_being_written(trace):
            shutil.rmtree(trace, ignore_errors=True)


def _status(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
