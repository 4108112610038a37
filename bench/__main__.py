"""The command line: ``python -m bench``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from bench import documents, groups
from bench.cases import every_bench
from bench.goals import judge_all
from bench.machine import facts
from bench.model import Bench, Group
from bench.plot import Bar, bar_chart
from bench.results import Report, Result
from bench.runner import run_group
from bench.selection import select
from bench.tables import print_report
from bench.workshop import SOURCE, TOP
from htrun.errors import HtrunError

RESULTS = SOURCE / "results"


def main(arguments: Sequence[str]) -> int:
    """Run the benches that the arguments select. Returns 0 on success, 1 if a bench failed, or 125 after an error in
    the command line."""
    options = _parser().parse_args(arguments)
    # The daemons and probes of a run must be removed even after a signal: the handler raises an exception, which undoes
    # all preparation.
    signal.signal(signal.SIGTERM, _on_termination)
    console = Console(stderr=True)
    try:
        if options.list:
            _print_list(every_bench())
            return 0
        path = RESULTS / f"{options.name or ('quick' if options.quick else 'latest')}.json"
        if options.update_documents:
            report, plot = _load(path), str(path.with_suffix(".svg").relative_to(TOP))
            documents.update(TOP / "README.md", TOP / "docs" / "benchmarks.md", report, plot)
            return 0
        report = _measure(select(every_bench(), options.only), quick=options.quick, console=console)
        _write(report, path)
        print_report(report, Console(width=None if sys.stdout.isatty() else 160))
        return 1 if report.failed() else 0
    except HtrunError as error:
        console.print(f"bench: {error}", markup=False, highlight=False)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("bench: interrupted; no results were written")
        return 128 + signal.SIGINT


def _on_termination(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,...", help="only these benches, groups or tags (see --list)")
    parser.add_argument("--quick", action="store_true", help="under two minutes, and less exact")
    parser.add_argument("--name", help="results go to bench/results/NAME.json and .svg (default: latest, or quick)")
    parser.add_argument("--list", action="store_true", help="list the benches and end")
    parser.add_argument(
        "--update-documents",
        action="store_true",
        help="put the last results into README.md and docs/benchmarks.md, and end",
    )
    return parser


def _print_list(benches: Sequence[Bench]) -> None:
    for bench in benches:
        print(f"{bench.name:32} {bench.group.name:10} {', '.join(sorted(bench.tags))}")


def _load(path: Path) -> Report:
    try:
        return Report.load(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HtrunError(f"{path}: no results of an earlier run: {error!r}") from error


def _measure(benches: Sequence[Bench], *, quick: bool, console: Console) -> Report:
    when, begin = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    machine = facts()
    used = tuple(dict.fromkeys(bench.group for bench in benches))
    results: list[Result] = []
    with console.status("") as status:
        for group in used:
            mine = [bench for bench in benches if bench.group is group]
            results += run_group(group, mine, quick=quick, tell=status.update)
    elapsed = round(time.monotonic() - begin, 1)
    return Report(when, quick, elapsed, machine, used, tuple(results), judge_all(results))


def _write(report: Report, path: Path) -> None:
    report.save(path)
    chart = _chart(report, groups.COST)
    if chart is not None:
        path.with_suffix(".svg").write_text(chart)


def _chart(report: Report, group: Group) -> str | None:
    measured = sorted(report.measured(group), key=lambda result: result.median)
    bars = [Bar(each.title, each.median, each.name.startswith("htrun")) for each in measured]
    return bar_chart(f"{group.title} ({group.unit}, log scale)", group.unit, bars) if bars else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
