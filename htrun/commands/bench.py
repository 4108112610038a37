"""``hypertrace bench``: run a program many times under htrun and report the durations of its spans."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.analysis.timing.whole_program import PROGRAM, WholeProgram
from htrun.benchmark import matrix
from htrun.benchmark.matrix import Cell
from htrun.benchmark.runs import RunPlan, run_in_turns, traces_of, usages_of
from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.export_arguments import refuse_all_but, targets_of
from htrun.commands.input_files import events_of_program, input_path
from htrun.commands.options import processors_of
from htrun.commands.timing_arguments import add_choice, add_report_form, add_undisturbed, output_report, span_query_of
from htrun.commands.verdict_arguments import Verdicts, add_verdicts, print_comparison, verdicts_of
from htrun.errors import HtrunError
from htrun.reports import matrix as matrix_report
from htrun.reports.comparison import ComparisonReport, Side
from htrun.reports.exports import export
from htrun.reports.matrix import CellReport
from htrun.reports.runs import TimedRun, by_name, can_be_corrected, combined, differing, must_have_spans
from htrun.reports.sides import compare_sides
from htrun.reports.timing import Report, Row

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from htrun.analysis.timing.comparison import Run

_MOST_RUNS = 100


def _directory(text: str) -> Path:
    """The directory that ``text`` names. Raises `HtrunError` for standard output."""
    if text == "-":
        raise HtrunError("--output -: traces are kept in a directory; for figures on standard output give --json -")
    return Path(text)


class BenchCommand:
    """Run a program many times, and report the durations of the runs and of the program's spans."""

    examples = """
bench first runs each command without htrun, to measure its wall, user and system time. Then it runs the command under
htrun, to measure its spans. A program finds the channel with qemu_hypertrace_init(NULL). If a program needs the path as
an argument, write {channel} in the command; bench then runs it only under htrun. The guest library calibrates the cost
of an event. With -o, bench keeps the traces. If it is interrupted, run it again with the same -o to continue.

A matrix (--matrix FILE) is a TOML file. It has [[program]] and [[emulator]] tables, each with a name and a command,
and a table [parameters] with lists of values. {KEY} in a command is replaced by the value of this parameter, or of this
key of the program or emulator.

examples:
  hypertrace bench --events events.toml -- ./app
  hypertrace bench --runs 20 --cpu 1 --vs 'qemu-x86_64 ./app' -- ./app
  hypertrace bench --vs '/opt/qemu-new/bin/qemu-x86_64 ./app' --fail-on +5% -- qemu-x86_64 ./app
  hypertrace bench --runs 5 --until decided --max-runs 50 --vs './app --new' -- ./app
  hypertrace bench --matrix matrix.toml -o results --events events.toml
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: the program, the number of runs and the processors."""
        parser.add_argument(
            "program", nargs="*", metavar="PROGRAM", help="the program to run, with its arguments, after --"
        )
        parser.add_argument("-r", "--runs", type=int, default=10, metavar="N", help="number of runs (default: 10)")
        parser.add_argument(
            "-w",
            "--warmup",
            type=int,
            default=1,
            metavar="N",
            help="number of additional runs at the start, which are not counted (default: 1)",
        )
        parser.add_argument("--cpu", metavar="LIST", help="the processors to run on, such as 1 or 2-3")
        parser.add_argument(
            "--vs", metavar="COMMAND", help="also run this command, in random order, and compare the two"
        )
        parser.add_argument(
            "--until", choices=["decided"], help="with --vs: after --runs runs, continue until every name has a verdict"
        )
        parser.add_argument(
            "--max-runs",
            type=int,
            default=_MOST_RUNS,
            metavar="N",
            help=f"the maximum number of runs with --until (default: {_MOST_RUNS})",
        )
        parser.add_argument(
            "--seed",
            type=int,
            metavar="N",
            help="with --vs or --matrix: the seed of the random order of the runs (default: chosen at random)",
        )
        complete_file(
            parser.add_argument(
                "--matrix",
                type=input_path,
                metavar="FILE",
                help="run all combinations of programs and emulators in a TOML file (see below)",
            )
        )
        complete_directory(
            parser.add_argument(
                "-o",
                "--output",
                type=_directory,
                metavar="DIR",
                help="keep the traces in DIR, and continue an interrupted bench",
            )
        )
        complete_file(
            parser.add_argument(
                "--events", type=events_of_program, metavar="FILE", help="name events by this TOML file"
            )
        )
        parser.add_argument(
            "--htrun", default="", metavar="OPTIONS", help="further options of htrun, such as '--timestamp tsc'"
        )
        parser.add_argument("--no-whole", action="store_true", help="skip the runs without htrun")
        parser.add_argument(
            "--tune",
            action="store_true",
            help="set the frequency governor and turbo for constant speed during the bench (needs root)",
        )
        add_choice(parser)
        add_undisturbed(parser)
        add_verdicts(parser)
        add_report_form(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the program and print the figures. Returns 0, or 3 if --fail-on applies. Raises `HtrunError`."""
        cells, verdicts = _cells(arguments), verdicts_of(arguments)
        if arguments.runs < 1 or arguments.warmup < 0:
            raise HtrunError("--runs must be at least 1, --warmup at least 0")
        if len(cells) == 1 and arguments.fail_on is not None:
            raise HtrunError("--fail-on needs programs to compare: --vs or --matrix")
        if len(cells) == 1 and arguments.seed is not None:
            raise HtrunError("--seed determines the order of several programs: give --vs or --matrix")
        if len(cells) > 1:
            refuse_all_but(
                matrix_report.FORMS,
                arguments,
                "holds the figures of only one program: leave out the option, or the other programs",
            )
        plan, looks = _plan(arguments), _looks(arguments)
        with contextlib.ExitStack() as stack:
            if arguments.tune:
                from htrun.runner.tuning import tuned

                stack.enter_context(tuned(_print_step))
            directory = arguments.output or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hypertrace-")))
            if arguments.vs is not None:
                report = _compared(cells, directory, [replace(plan, runs=runs) for runs in looks], verdicts, arguments)
                return print_comparison(report, verdicts, arguments)
            benches = _run_all(cells, directory, plan, arguments)
        return _report(benches, verdicts, arguments)


@dataclass(frozen=True)
class _Bench:
    """A cell and its results. ``whole``: the runs of the program without htrun; None if there are none. ``seed``: the
    seed of the order in which the runs of this cell and of others were made."""

    cell: Cell
    runs: Sequence[TimedRun]
    whole: WholeProgram | None
    seed: int


def _print_step(message: str) -> None:
    print(f"hypertrace: {message}", file=sys.stderr)


def _cells(arguments: argparse.Namespace) -> list[Cell]:
    if arguments.matrix is not None:
        if arguments.program or arguments.vs is not None:
            raise HtrunError("--matrix contains the programs: give no others")
        if arguments.output is None:
            raise HtrunError("--matrix needs -o DIR, so that it can continue after an interruption")
        return matrix.load(arguments.matrix)
    if not arguments.program:
        raise HtrunError("no program was given; try: hypertrace bench --help")
    if len(arguments.program) > 1 and not arguments.separated:
        raise HtrunError(
            f"{shlex.join(arguments.program)}: put -- before a program with arguments, "
            "or give --vs COMMAND to compare two"
        )
    cells = [Cell("", "a", tuple(arguments.program))]
    if arguments.vs is not None:
        words = _words_of("--vs", arguments.vs)
        if not words:
            raise HtrunError("--vs names no program")
        cells.append(Cell("", "b", words))
    return cells


def _words_of(option: str, text: str) -> tuple[str, ...]:
    """The words of the command ``text``, which is the value of ``option``. Raises `HtrunError`."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise HtrunError(f"{option} {text}: {error}") from None


def _plan(arguments: argparse.Namespace) -> RunPlan:
    """The settings of the runs. Raises `HtrunError`."""
    processors = frozenset() if arguments.cpu is None else processors_of("--cpu", arguments.cpu)
    options = (
        *["--no-config"] * arguments.no_config,
        *["--sched"] * arguments.undisturbed,
        *_words_of("--htrun", arguments.htrun),
    )
    return RunPlan(
        arguments.runs,
        arguments.warmup,
        processors,
        arguments.events,
        options,
        whole=not arguments.no_whole,
        seed=arguments.seed,
    )


def _run_all(cells: Sequence[Cell], directory: Path, plan: RunPlan, arguments: argparse.Namespace) -> list[_Bench]:
    """Run every cell as often as requested. The runs of the cells that are compared, which are in the same group, are
    made in random order."""
    from htrun.events.named import NamedEvents

    wanted = span_query_of(arguments)
    places = [directory / (cell.emulator if arguments.matrix is None else cell.name) for cell in cells]
    groups: dict[str, list[int]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(cell.group, []).append(number)
    seeds = {
        group: run_in_turns([cells[number] for number in numbers], [places[number] for number in numbers], plan).seed
        for group, numbers in groups.items()
    }
    names = None if plan.events is None else NamedEvents.load(plan.events)
    benches = []
    for cell, place in zip(cells, places, strict=True):
        runs = [TimedRun.read(trace, wanted, names) for trace in traces_of(place, plan.runs)]
        usages = usages_of(place)[: plan.runs] if plan.whole else []
        benches.append(_Bench(cell, runs, WholeProgram(usages) if usages else None, seeds[cell.group]))
    return benches


def _report(benches: Sequence[_Bench], verdicts: Verdicts, arguments: argparse.Namespace) -> int:
    if arguments.matrix is not None:
        return _report_matrix(benches, verdicts, arguments)
    output_report(_report_of(benches[0]), arguments)
    return 0


def _looks(arguments: argparse.Namespace) -> list[int]:
    """The numbers of runs after which the two commands are compared. Each number is 1.5 times the previous one.

    Raises `HtrunError`.
    """
    if arguments.until is None:
        return [arguments.runs]
    if arguments.vs is None:
        raise HtrunError("--until needs two programs to compare: --vs")
    if arguments.max_runs < arguments.runs:
        raise HtrunError(f"--max-runs {arguments.max_runs} is less than --runs {arguments.runs}")
    looks = [arguments.runs]
    while looks[-1] < arguments.max_runs:
        looks.append(min(looks[-1] + (looks[-1] + 1) // 2, arguments.max_runs))
    return looks


def _compared(
    cells: Sequence[Cell], directory: Path, plans: Sequence[RunPlan], verdicts: Verdicts, arguments: argparse.Namespace
) -> ComparisonReport:
    """Run two commands and compare them.

    ``plans``: executed one after the other until every name has a verdict. Each plan has more runs than the previous
    one.
    """
    for plan in plans:
        benches = _run_all(cells, directory, plan, arguments)
        report = _comparison(benches, verdicts, len(plans))
        if report.is_decided:
            break
    return report


def _comparison(benches: Sequence[_Bench], verdicts: Verdicts, looks: int) -> ComparisonReport:
    sides = []
    for bench in benches:
        command = shlex.join(bench.cell.command)
        if bench.whole is None:
            must_have_spans(bench.runs, command)
        sides.append(Side(command, bench.whole))
    return compare_sides(
        [bench.runs for bench in benches],
        sides,
        threshold=verdicts.threshold,
        difference=verdicts.difference,
        looks=looks,
        seed=benches[0].seed,
    )


def _report_of(bench: _Bench) -> Report:
    """The report on all runs of one program. Raises `HtrunError` if nothing was measured."""
    first, rows, source = bench.runs[0], combined(bench.runs), shlex.join(bench.cell.command)
    if not rows and bench.whole is None:
        raise HtrunError(f"{source} {first.missing}")
    remarks = [f"its runs: {line}" for line in differing(bench.runs)]
    if not rows:
        remarks.append(f"only the whole program was timed: it {first.missing}")
    lost = sum(run.lost for run in bench.runs)
    return Report(source, first.facts, first.step, first.cost, rows, first.unpaired, lost, remarks, bench.whole)


def _report_matrix(benches: Sequence[_Bench], verdicts: Verdicts, arguments: argparse.Namespace) -> int:
    """Report all cells, each compared with the first cell of its group. Returns the exit code."""
    firsts: dict[str, _Bench] = {}
    cells = [_cell_report(bench, firsts.setdefault(bench.cell.group, bench), verdicts) for bench in benches]
    if not any(cell.rows for cell in cells):
        raise HtrunError("no cell has spans; give events names with --events FILE")
    export(matrix_report.forms(cells), targets_of(arguments), lambda: matrix_report.text(cells))
    return verdicts.exit_code(found for cell in cells for found in cell.comparisons.values())


def _cell_report(bench: _Bench, first: _Bench, verdicts: Verdicts) -> CellReport:
    """The report on ``bench``, compared with ``first``, which is the first of its group."""
    from htrun.analysis.timing.comparison import compare, middle

    corrected = can_be_corrected([*first.runs, *bench.runs])
    one, other = (_with_whole(each, by_name(each.runs, corrected=corrected)) for each in (first, bench))
    found = [] if bench is first else compare(one, other, verdicts.threshold, difference=verdicts.difference)
    whole = [] if bench.whole is None else [Row(bench.whole.timing)]
    return CellReport(
        program=bench.cell.group,
        emulator=bench.cell.emulator,
        command=shlex.join(bench.cell.command),
        rows=[*whole, *combined(bench.runs)],
        comparisons={each.name: each for each in found},
        centers={name: middle(runs) for name, runs in other.items()},
        against=first.cell.emulator,
        corrected=corrected,
        runs=bench.runs,
        whole=() if bench.whole is None else bench.whole.runs,
    )


def _with_whole(bench: _Bench, spans: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """``spans``, preceded by a span that stands for the run of the whole program of ``bench``."""
    return spans if bench.whole is None else {PROGRAM: bench.whole.runs, **spans}
