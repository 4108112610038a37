"""``hypertrace bench``: run a program many times under htrun and tell how long its spans took."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.commands import bench_matrix, matrix_report
from htrun.commands.bench_matrix import Cell
from htrun.commands.compare import add_verdicts, tell_comparison
from htrun.commands.comparison_report import Side
from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.exports import export, refuse_all_but
from htrun.commands.matrix_report import CellReport
from htrun.commands.runs import TimedRun, by_name, can_be_corrected, combined, differing, must_have_spans
from htrun.commands.timing_arguments import Wanted, add_choice, add_telling, tell
from htrun.commands.timing_report import Report, Row
from htrun.errors import HtrunError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

PROGRAM = "(program)"
"""The name under which the whole program's time is told."""
_CALIBRATION_PAIRS = 1000
_MOST_TOLD = 2000
"""Characters of a failed program's last words."""


class BenchCommand:
    """Run a program many times under htrun and tell how long it and its spans took."""

    examples = """
Each run is done twice: alone, for the time of the whole program, and under htrun, for its spans. The program finds the
channel by itself (qemu_hypertrace_init(NULL)); where it wants the path as an argument, write {channel}. The guest
library calibrates what an event costs. With -o the traces are kept, and a bench that was stopped goes on where it was.

A matrix (--matrix FILE) is a TOML file of [[program]] and [[emulator]] tables, each with name and command, and
[parameters] with lists of values that commands name in braces.

examples:
  hypertrace bench --events events.toml -- ./app
  hypertrace bench --runs 20 --cpu 1 --vs 'qemu-x86_64 ./app' -- ./app
  hypertrace bench --vs '/opt/qemu-new/bin/qemu-x86_64 ./app' --fail-on +5% -- qemu-x86_64 ./app
  hypertrace bench --matrix matrix.toml -o results --events events.toml
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """How often, where, and what."""
        parser.add_argument("program", nargs="*", metavar="PROGRAM", help="what to run, with its arguments, after --")
        parser.add_argument("--runs", type=int, default=10, metavar="N", help="how often (10)")
        parser.add_argument("--warmup", type=int, default=1, metavar="N", help="runs before, which do not count (1)")
        parser.add_argument("--cpu", metavar="LIST", help="the processors to run on, such as 1 or 2-3")
        parser.add_argument("--vs", metavar="COMMAND", help="compare with this one, run in turns (A B B A ...)")
        complete_file(
            parser.add_argument("--matrix", type=Path, metavar="FILE", help="many programs, from a TOML file")
        )
        complete_directory(
            parser.add_argument(
                "-o", "--output", type=Path, metavar="DIR", help="keep the traces here, and go on there"
            )
        )
        complete_file(parser.add_argument("--events", type=Path, metavar="FILE", help="names of events (TOML)"))
        parser.add_argument(
            "--htrun", default="", metavar="OPTIONS", help="further options of htrun, such as '--timestamp tsc'"
        )
        parser.add_argument("--no-whole", action="store_true", help="do not run the program alone as well")
        parser.add_argument(
            "--tune", action="store_true", help="set governor and turbo for steady times, and back (as root)"
        )
        add_choice(parser)
        add_verdicts(parser)
        add_telling(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Run, and print the figures; 0, or 3 if --fail-on says so. Raises `HtrunError`."""
        cells = _cells(arguments)
        if arguments.runs < 1 or arguments.warmup < 0:
            raise HtrunError("--runs must be at least 1, --warmup at least 0")
        if len(cells) == 1 and arguments.fail_on is not None:
            raise HtrunError("--fail-on needs something to compare with: --vs or --matrix")
        if len(cells) > 1:
            refuse_all_but(
                matrix_report.FORMS, arguments, "holds the figures of one program: leave it out, or the others"
            )
        with contextlib.ExitStack() as stack:
            if arguments.tune:
                from htrun.runner.tuning import tuned

                stack.enter_context(tuned(_tell))
            directory = arguments.output or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hypertrace-")))
            benches = _run_all(cells, directory, arguments)
        return _report(benches, arguments)


@dataclass(frozen=True)
class _Bench:
    """A cell and what came of it. ``walls``: of the whole program, ns, one for each run."""

    cell: Cell
    runs: Sequence[TimedRun]
    walls: Sequence[int]


def _tell(message: str) -> None:
    print(f"hypertrace: {message}", file=sys.stderr)


def _cells(arguments: argparse.Namespace) -> list[Cell]:
    if arguments.matrix is not None:
        if arguments.program or arguments.vs is not None:
            raise HtrunError("--matrix names the programs: give no others")
        if arguments.output is None:
            raise HtrunError("--matrix needs -o DIR, so that it can go on when it is stopped")
        return bench_matrix.load(arguments.matrix)
    if not arguments.program:
        raise HtrunError("no program was given; try: hypertrace bench --help")
    cells = [Cell("", "a", tuple(arguments.program))]
    if arguments.vs is not None:
        words = _words("--vs", arguments.vs)
        if not words:
            raise HtrunError("--vs names no program")
        cells.append(Cell("", "b", words))
    return cells


def _words(option: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise HtrunError(f"{option} {text}: {error}") from None


def _turns(runs: int, sides: int) -> Iterator[tuple[int, int]]:
    """Run and side, in the order A B B A A B ...: what drifts meets all sides alike."""
    for run in range(runs):
        order = range(sides) if run % 2 == 0 else reversed(range(sides))
        yield from ((run, side) for side in order)


def _run_all(cells: Sequence[Cell], directory: Path, arguments: argparse.Namespace) -> list[_Bench]:
    """Run every cell as often as wanted; with --vs the two in turns, else one after the other."""
    wanted = Wanted.of(arguments)
    together = [cells] if arguments.matrix is None else [[cell] for cell in cells]
    for some in together:
        runners = [_Runner(cell, directory / _place(cell, arguments), arguments) for cell in some]
        for runner in runners:
            runner.warm_up()
        for run, side in _turns(arguments.runs, len(runners)):
            runners[side].run(run)
    benches = []
    for cell in cells:
        place = directory / _place(cell, arguments)
        runs = [TimedRun.read(place / _run_name(run), wanted, arguments.events) for run in range(arguments.runs)]
        walls = [] if arguments.no_whole else _walls(place, arguments.runs)
        benches.append(_Bench(cell, runs, walls))
    return benches


def _place(cell: Cell, arguments: argparse.Namespace) -> str:
    return cell.name if arguments.matrix is not None else cell.emulator


def _run_name(run: int) -> str:
    return f"run-{run + 1:03}"


def _walls(place: Path, runs: int) -> list[int]:
    files = [place / f"{_run_name(run)}.ns" for run in range(runs)]
    return [int(file.read_text()) for file in files if file.exists()]


class _Runner:
    """Runs one cell; what has been run already is not run again."""

    def __init__(self, cell: Cell, place: Path, arguments: argparse.Namespace) -> None:
        self._cell = cell
        self._place = place
        self._arguments = arguments
        try:
            place.mkdir(parents=True, exist_ok=True)
            command = place / "command"
            if command.exists() and command.read_text() != shlex.join(cell.command):
                raise HtrunError(f"{place} holds runs of another command: {command.read_text()}; give another -o DIR")
            command.write_text(shlex.join(cell.command))
        except OSError as error:
            raise HtrunError(f"cannot write to {place}: {error.strerror}") from error

    def warm_up(self) -> None:
        """The runs that do not count, unless nothing is left to run."""
        if all((self._place / _run_name(run)).exists() for run in range(self._arguments.runs)):
            return
        for _ in range(self._arguments.warmup):
            with tempfile.TemporaryDirectory(prefix="hypertrace-") as scratch:
                self._traced(Path(scratch) / "trace")

    def run(self, number: int) -> None:
        """One run. Its trace gets its name when it is whole."""
        final = self._place / _run_name(number)
        if final.exists():
            return
        if not self._arguments.no_whole:
            wall = self._alone()
            if wall is not None:
                (self._place / f"{final.name}.ns").write_text(str(wall))
        unfinished = self._place / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._traced(unfinished)
        unfinished.rename(final)

    def _traced(self, trace: Path) -> None:
        options = ["-q", "--timestamp", "ordered", "-o", str(trace)]
        if self._arguments.events is not None:
            options += ["--events", str(self._arguments.events)]
        if self._arguments.cpu is not None:
            options += ["--cpu", self._arguments.cpu]
        with tempfile.TemporaryDirectory(prefix="hypertrace-") as scratch:
            channel = str(Path(scratch) / "channel")
            program = [word.replace("{channel}", channel) for word in self._cell.command]
            further = _words("--htrun", self._arguments.htrun)
            htrun = [sys.executable, "-m", "htrun", "--hypertrace", channel, *options, *further, "--"]
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
                f"{shlex.join(self._cell.command)} failed ({_status(done.returncode)}){said and f': {said}'}"
            )

    def _alone(self) -> int | None:
        """Nanoseconds of the program without htrun, from its start to its end; None for a whole machine, which would
        not have the device that its guest looks for."""
        from htrun.launch.program import Kind, resolve

        words = [word.replace("{channel}", os.devnull) for word in self._cell.command]
        launch = resolve(words, os.environ)
        if launch.kind is Kind.SYSTEM or words != list(self._cell.command):
            return None
        processors = self._arguments.cpu
        prefix = [] if processors is None else ["taskset", "-c", processors]
        command = [*prefix, launch.executable, *launch.argv[1:]]
        began = time.perf_counter_ns()
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        ).returncode
        wall = time.perf_counter_ns() - began
        if status:
            raise HtrunError(
                f"{shlex.join(self._cell.command)} fails without htrun ({_status(status)}); try --no-whole"
            )
        return wall


def _status(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _report(benches: Sequence[_Bench], arguments: argparse.Namespace) -> int:
    if arguments.matrix is not None:
        return _tell_matrix(benches, arguments)
    if len(benches) == 1:
        tell(_report_of(benches[0]), arguments)
        return 0
    sides = []
    for bench in benches:
        command, whole = shlex.join(bench.cell.command), _whole(bench)
        must_have_spans(bench.runs, command)
        sides.append(Side(command, None if whole is None else whole.timing.raw))
    return tell_comparison([bench.runs for bench in benches], arguments, sides)


def _whole(bench: _Bench) -> Row | None:
    """The whole program's time as a line of a report."""
    from htrun.analysis.timing.clock_step import ClockStep
    from htrun.analysis.timing.distribution import Distribution
    from htrun.analysis.timing.figures import Figures, Timing

    if not bench.walls:
        return None
    step = ClockStep(1.0, known=True)
    figures = Figures.of(Distribution.of(bench.walls), step)
    first, mild_low, mild_high, last = figures.fences
    severe = figures.distribution.beyond(first, last)
    mild = figures.distribution.beyond(mild_low, mild_high) - severe
    return Row(Timing(PROGRAM, None, figures, None, None, None, mild, severe, step))


def _report_of(bench: _Bench) -> Report:
    """One program's runs together. Raises `HtrunError` if nothing at all was measured."""
    first = bench.runs[0]
    whole = _whole(bench)
    rows = [*([whole] if whole is not None else []), *combined(bench.runs)]
    if not rows:
        raise HtrunError(f"{shlex.join(bench.cell.command)} {first.missing}")
    remarks = [f"its runs: {line}" for line in differing(bench.runs)]
    if whole is not None and len(rows) == 1:
        remarks.append(f"only the whole program was timed: it {first.missing}")
    lost = sum(run.lost for run in bench.runs)
    source = shlex.join(bench.cell.command)
    return Report(source, first.facts, first.step, first.cost, rows, first.unpaired, lost, remarks)


def _tell_matrix(benches: Sequence[_Bench], arguments: argparse.Namespace) -> int:
    """Tell of all cells, each beside the first emulator of its group; the exit code."""
    from htrun.commands.compare import FAILED, fails, percent

    threshold = abs(percent("--threshold", arguments.threshold))
    limit = None if arguments.fail_on is None else percent("--fail-on", arguments.fail_on)
    firsts: dict[str, _Bench] = {}
    cells = [_cell_report(bench, firsts.setdefault(bench.cell.group, bench), threshold) for bench in benches]
    if not any(cell.rows for cell in cells):
        raise HtrunError("no cell has spans; give events names with --events FILE")
    export(matrix_report.forms(cells), arguments, lambda: matrix_report.text(cells))
    comparisons = [found for cell in cells for found in cell.comparisons.values()]
    return FAILED if limit is not None and any(fails(found, limit) for found in comparisons) else 0


def _cell_report(bench: _Bench, first: _Bench, threshold: float) -> CellReport:
    """``bench`` beside ``first``, the first of its group."""
    from htrun.analysis.timing.comparison import compare

    corrected = can_be_corrected([*first.runs, *bench.runs])
    found = []
    if bench is not first:
        one, other = (by_name(each.runs, corrected=corrected) for each in (first, bench))
        found = compare(one, other, threshold)
    return CellReport(
        program=bench.cell.group,
        emulator=bench.cell.emulator,
        command=shlex.join(bench.cell.command),
        rows=combined(bench.runs),
        comparisons={each.name: each for each in found},
        against=first.cell.emulator,
        corrected=corrected,
    )
