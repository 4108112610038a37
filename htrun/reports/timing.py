"""Reports on timings: as text, and as JSON, CSV, Markdown and pyperf's JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import htrun
from htrun.analysis.timing.doubts import EMULATED, doubts, environment_of, is_emulated
from htrun.analysis.timing.whole_program import PROGRAM, WholeProgram
from htrun.reports.disturbances import on_cpu_as_json, on_cpu_table
from htrun.reports.exports import csv_text, markdown_table
from htrun.reports.single_runs import OF_RUNS, run_as_json
from htrun.reports.table import printable, table
from htrun.reports.units import nanoseconds as _ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from htrun.analysis.timing.clock_step import ClockStep
    from htrun.analysis.timing.cost import Cost
    from htrun.analysis.timing.figures import Figures, Timing, Trapped
    from htrun.analysis.timing.on_cpu import OnCpu
    from htrun.analysis.timing.spans import Unpaired

VERSION = 1
"""The version of the JSON. It changes when the meaning of existing fields changes; new fields do not change it."""
_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 48
_ENOUGH = 6
"""The minimum number of values whose range contains the true median with 95% confidence. The median lies outside the
range of ``n`` values with a probability of 2 in 2**n."""
_DOUBTFUL = 0.01
"""The error that the code around events may cause is reported only if it exceeds this share of the median."""
_COLUMNS = (
    "count", "total", "mean", "median", "median_low", "median_high", "min", "max", "p90", "p99", "p99_9", "mad", "iqr",
)  # fmt: skip


def title(name: str, group: str | None) -> str:
    """The title that spans with this ``name`` and ``group`` have in reports."""
    return printable(name if group is None else f"{name} [{group}]")


@dataclass(frozen=True)
class Row:
    """One line of a report.

    ``group``: the text of the group; None without grouping.
    ``outliers``: the ids of the end events of outliers, if requested.
    ``runs``: the timings of the single runs, by the number of the run; empty if there is only one run.
    ``on_cpu``: the processor time of the spans; None if the trace does not contain it.
    ``reasons``: what disturbed an outlier, by the id of the end event; outliers that were not disturbed are missing.
    """

    timing: Timing
    group: str | None = None
    outliers: Sequence[int] | None = None
    runs: Mapping[int, Timing] = field(default_factory=dict)
    on_cpu: OnCpu | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name and the group."""
        return title(self.timing.name, self.group)


@dataclass(frozen=True)
class Report:
    """The contents of ``hypertrace stat``.

    ``lost``: the number of lost events; ``remarks``: further reasons to doubt the figures, one line each; ``whole``:
    the runs of the program without htrun, if there are any.
    """

    source: str
    facts: Mapping[str, str | int]
    step: ClockStep
    cost: Cost | None
    rows: Sequence[Row]
    unpaired: Mapping[str, Unpaired]
    lost: int
    remarks: Sequence[str] = ()
    whole: WholeProgram | None = None

    @property
    def warnings(self) -> list[str]:
        """The reasons to doubt the figures."""
        lines = [*doubts(self.facts), *self.remarks]
        if self.lost:
            lines.append(f"{self.lost:,} events were lost; spans across a loss are not counted")
        if self.whole is not None and (severe := self.whole.timing.severe):
            lines.append(
                f"{severe} of {len(self.whole.usages)} runs of the whole program took much longer or shorter than the "
                "others: is the machine busy with something else? more --warmup may help"
            )
        return lines

    @property
    def notes(self) -> list[str]:
        """Notes for reading the figures."""
        lines = [f"note: {EMULATED}"] if is_emulated(self.facts) else []
        if not self.step.known:
            lines.append("note: this trace does not record the clock's step; 1 ns is assumed")
        if self.cost is None and self.rows:
            lines.append(
                "note: not corrected for the cost of events: the trace has no calibration; record it with "
                "HYPERTRACE_CALIBRATE=1000, or by hypertrace bench"
            )
        elif self.facts.get("timestamp") == "tsc" and any(map(_is_doubtful, self.rows)):
            lines.append(
                "note: the processor may have read the clock early or late: htrun --timestamp ordered, which "
                "hypertrace bench uses, is more accurate for short spans"
            )
        return lines


def _is_doubtful(row: Row) -> bool:
    """Whether the error that the code around events may cause exceeds 1% of the median."""
    corrected = row.timing.corrected
    return corrected is not None and corrected.reach > _DOUBTFUL * corrected.median.value


def text(report: Report, *, histograms: bool = True) -> Iterator[str]:
    """The report as readable text."""
    if report.cost is not None:
        yield from _calibration(report.cost, report.step)
    for line in report.notes:
        yield f"{line}\n"
    if report.whole is not None:
        yield "\n"
        yield from table(*_whole_table(report.whole))
    if report.rows:
        yield "\n"
        yield from _main_table(report)
        yield "\n"
        yield from _spread_table(report)
        yield from on_cpu_table([(row.title, row.on_cpu) for row in report.rows if row.on_cpu is not None])
        yield from _flags(report)
    if report.unpaired:
        yield "\n"
        yield from _unpaired(report.unpaired)
    if histograms:
        for row in report.rows:
            yield from _histogram(row)
    for row in report.rows:
        if row.outliers is not None:
            told = [f"#{number}" + _reason(row.reasons.get(number)) for number in row.outliers]
            numbers = ", ".join(told) or "none"
            yield f"\noutliers of {row.title}, by the number of the event that ends them: {numbers}\n"


def _reason(reason: str | None) -> str:
    return "" if reason is None else f" ({reason})"


def _whole_table(whole: WholeProgram) -> tuple[list[str], list[list[str]], list[bool]]:
    """The table of the program's times without htrun: its head, its rows, and for each column whether it is aligned to
    the right."""
    head = ["program", "runs", "mean", "sigma", "median", "95%", "min", "max"]
    rows = []
    for kind, figures in whole.figures.items():
        values, deviation = figures.distribution.values, whole.deviation(kind)
        sigma = "-" if deviation is None else _ns(deviation)
        median = [_ns(figures.median.value), _range(figures) or "-"]
        ends = [_ns(float(values[place])) for place in (0, -1)]
        rows.append([kind, f"{len(whole.usages):,}", _ns(figures.distribution.mean), sigma, *median, *ends])
    return head, rows, [False] + [True] * (len(head) - 1)


def whole_line(whole: WholeProgram) -> str:
    """The program's times without htrun, as one line."""
    wall, deviation = whole.figures["wall"], whole.deviation("wall")
    mean = _ns(wall.distribution.mean) + ("" if deviation is None else f" ± {_ns(deviation)}")
    low, high = (_ns(float(wall.distribution.values[place])) for place in (0, -1))
    user, system = (_ns(whole.figures[kind].distribution.mean) for kind in ("user", "system"))
    return f"whole program: {mean}, {low} to {high} (user {user}, system {system}), {len(whole.usages)} runs"


def whole_as_json(whole: WholeProgram | None) -> dict[str, Any] | None:
    """The program's times without htrun in ns, for JSON."""
    if whole is None:
        return None
    kinds = {kind: {**figures_of(each), "stddev": whole.deviation(kind)} for kind, each in whole.figures.items()}
    return {"runs": len(whole.usages), **kinds, "each": [usage.as_json() for usage in whole.usages]}


def _calibration(cost: Cost, step: ClockStep) -> Iterator[str]:
    """The cost of an event, its accuracy, and the shortest duration that can be measured with this accuracy."""
    value = cost.interval.value
    least, most = (value + sign * (cost.uncertainty + cost.reach) for sign in (-1, 1))
    yield (
        f"an event costs {_ns(value)} ({_ns(least)} to {_ns(most)}, depending on the code around it; "
        f"{cost.pairs:,} pairs), a step of the clock is {_ns(step.ns)}: "
        f"corrected durations are valid from {_ns(cost.floor(step))} up\n"
    )


def _main_table(report: Report) -> Iterator[str]:
    """The table with raw and corrected figures side by side."""
    head = ["span", "count", "total", "mean", "median", "95%", "min", "p90", "p99", "p99.9"]
    rows = []
    for row in report.rows:
        raw = row.timing.raw
        rows.append([row.title, f"{row.timing.count:,}", _ns(raw.distribution.total), *_cells(raw)])
        corrected = row.timing.corrected
        if corrected is not None:
            rows.append(["  corrected", "", _ns(corrected.distribution.total), *_cells(corrected)])
    yield from table(head, rows, [False] + [True] * (len(head) - 1))
    if any(not figures.resolved for row in report.rows for figures in _both(row.timing)):
        yield "< shorter than the clock's resolution, or than the uncertainty of the cost of events\n"


def _cells(figures: Figures) -> list[str]:
    interval = figures.median
    mark = "" if figures.resolved else "<"
    percentiles = [_ns(value) if value is not None else "-" for value in figures.percentiles.values()]
    return [
        _ns(figures.distribution.mean),
        mark + _ns(interval.value),
        _range(figures) or "-",
        _ns(float(figures.distribution.values[0])),
        *percentiles,
    ]


def _spread_table(report: Report) -> Iterator[str]:
    head = ["span", "max", "MAD", "IQR", "mild outliers", "severe"]
    rows = []
    for row in report.rows:
        distribution = row.timing.raw.distribution
        first, third = distribution.quartiles
        spread = [
            _ns(float(distribution.values[-1])),
            _ns(distribution.mad),
            _ns(third - first),
        ]
        rows.append([row.title, *spread, f"{row.timing.mild:,}", f"{row.timing.severe:,}"])
    yield from table(head, rows, [False] + [True] * (len(head) - 1))


def flags(timing: Timing) -> list[str]:
    """Remarks on unusual properties of the durations of ``timing``."""
    found = []
    if timing.count == 1:
        found.append("one sample only: its spread is unknown")
    elif timing.count < _ENOUGH:
        held = 1 - 0.5 ** (timing.count - 1)
        found.append(f"{timing.count} samples only: their whole range holds the median with {held:.0%}, not 95%")
    if timing.trapped.count:
        found.append(_trapped(timing.trapped))
    if timing.raw.modes:
        found.append("several modes: " + ", ".join(_ns(mode) for mode in timing.raw.modes))
    if timing.drift is not None:
        found.append(f"drifts: {'+' if timing.drift > 0 else '-'}{_ns(abs(timing.drift))} from first to last")
    return found


def _trapped(trapped: Trapped) -> str:
    single = trapped.count == 1
    which = "of them" if trapped.included else "more"
    those = f"one {which} contains" if single else f"{trapped.count:,} {which} contain"
    told = f"{those} an event that trapped, the first of its call site or thread ({_ns(trapped.total)})"
    return told if trapped.included else f"{told}, left out here; --all includes {'it' if single else 'them'}"


def _flags(report: Report) -> Iterator[str]:
    lines = [f"{row.title}: {flag}\n" for row in report.rows for flag in flags(row.timing)]
    if lines:
        yield "\n"
        yield from lines


def _unpaired(unpaired: Mapping[str, Unpaired]) -> Iterator[str]:
    head = ("not paired", "begins", "ends", "negative", "lost")
    rows = [
        (printable(name), *(f"{count:,}" for count in (left.begins, left.ends, left.negative, left.lost)))
        for name, left in unpaired.items()
    ]
    yield from table(head, rows, [False, True, True, True, True])


def _histogram(row: Row) -> Iterator[str]:
    """A bar chart of the durations. Its range excludes severe outliers, which would make all other bars too narrow."""
    import numpy as np

    figures = row.timing.corrected or row.timing.raw
    distribution = figures.distribution
    low, high = float(distribution.values[0]), min(distribution.quantile(0.99), figures.fences[3])
    if distribution.count < 2 or not high > low:
        return
    counts = distribution.histogram(np.linspace(low, high, _BINS + 1))
    most = max(int(counts.max()), 1)
    bars = "".join(_BARS[-(-int(count) * (len(_BARS) - 1) // most)] for count in counts)
    beyond = distribution.count - int(counts.sum())
    yield f"\n{row.title}\n{_ns(low):>10} {bars} {_ns(high)}{f'  (+{beyond:,} beyond)' if beyond > 0 else ''}\n"


def as_json(report: Report) -> str:
    """The report as JSON of `VERSION`."""
    cost = report.cost
    document = {
        "version": VERSION,
        "source": report.source,
        "environment": environment_of(report.facts),
        "warnings": report.warnings,
        "clock_step_ns": report.step.ns,
        "calibration": None
        if cost is None
        else {
            "event_ns": cost.interval.value,
            "low": cost.interval.low - cost.reach,
            "high": cost.interval.high + cost.reach,
            "alone_ns": cost.alone.value,
            "after_ns": {name: each.value for name, each in cost.after.items()},
            "floor_ns": cost.floor(report.step),
            "pairs": cost.pairs,
            "threads": cost.threads,
        },
        "lost": report.lost,
        "whole_program": whole_as_json(report.whole),
        "unpaired": {name: vars(left) for name, left in report.unpaired.items()},
        "spans": [_span(row) for row in report.rows],
    }
    return json.dumps(document, indent=2) + "\n"


def _span(row: Row) -> dict[str, Any]:
    timing = row.timing
    told: dict[str, Any] = {"name": timing.name}
    if row.group is not None:
        told["group"] = row.group
    told |= {
        "count": timing.count,
        "raw": figures_of(timing.raw),
        "corrected": None if timing.corrected is None else figures_of(timing.corrected),
        "outliers": {"mild": timing.mild, "severe": timing.severe},
        "trapped": {
            "count": timing.trapped.count,
            "total": timing.trapped.total,
            "included": timing.trapped.included,
        },
        "modes": list(timing.raw.modes),
        "drift": timing.drift,
    }
    if row.outliers is not None:
        told["outliers"]["events"] = list(row.outliers)
        if row.on_cpu is not None:
            told["outliers"]["reasons"] = [row.reasons.get(number, "") for number in row.outliers]
    if row.on_cpu is not None:
        told["on_cpu"] = on_cpu_as_json(row.on_cpu)
    told[OF_RUNS] = [_run(number, each) for number, each in (row.runs or {1: timing}).items()]
    return told


def _run(number: int, timing: Timing) -> dict[str, Any]:
    from htrun.analysis.timing.comparison import Run

    corrected = None if timing.corrected is None else Run.of(timing.corrected)
    return run_as_json(number, Run.of(timing.raw), corrected)


def figures_of(figures: Figures) -> dict[str, Any]:
    """All figures, in ns, by their names in JSON and CSV."""
    distribution = figures.distribution
    low, high = figures.interval or (None, None)
    first, third = distribution.quartiles
    return {
        "median": figures.median.value,
        "median_low": low,
        "median_high": high,
        "mean": distribution.mean,
        "total": distribution.total,
        "min": float(distribution.values[0]),
        "max": float(distribution.values[-1]),
        **figures.percentiles,
        "mad": distribution.mad,
        "iqr": third - first,
        "resolved": figures.resolved,
    }


def as_csv(report: Report) -> str:
    """The lines of the whole program. Then, for each span, a line with its raw figures and a line with its corrected
    figures."""
    lines: list[list[object]] = []
    for kind, each in ({} if report.whole is None else report.whole.figures).items():
        told = {"count": each.distribution.count, **figures_of(each)}
        lines.append([PROGRAM, None, kind, *(told[name] for name in _COLUMNS)])
    for row in report.rows:
        for kind, figures in (("raw", row.timing.raw), ("corrected", row.timing.corrected)):
            if figures is not None:
                told = {"count": row.timing.count, **figures_of(figures)}
                lines.append([row.timing.name, row.group, kind, *(told[name] for name in _COLUMNS)])
    return csv_text(["name", "group", "kind", *_COLUMNS], lines)


def as_markdown(report: Report) -> str:
    """Tables for a document or a review comment."""
    whole = [] if report.whole is None else [markdown_table(*_whole_table(report.whole))]
    lines = []
    for row in report.rows:
        raw, corrected = row.timing.raw, row.timing.corrected
        better = ["", ""] if corrected is None else [_ns(corrected.median.value), _range(corrected)]
        tails = ["" if (value := raw.percentiles[name]) is None else _ns(value) for name in ("p90", "p99")]
        lines.append([row.title, f"{row.timing.count:,}", _ns(raw.median.value), _range(raw), *better, *tails])
    head = ["span", "count", "median", "95%", "corrected", "95%", "p90", "p99"]
    spans = [markdown_table(head, lines, [False, *[True] * 7])] if lines else []
    below = (f"\n{line}\n" for line in [*report.notes, *report.warnings])
    return "".join(["\n".join([*whole, *spans]), *below])


def _range(figures: Figures) -> str:
    """The text of the median's interval; empty if the interval is unknown."""
    return "" if figures.interval is None else " to ".join(map(_ns, figures.interval))


def as_pyperf(report: Report) -> str:
    """JSON for the commands of pyperf, such as ``pyperf stats`` and ``pyperf compare_to``: a benchmark for each span,
    in seconds.

    pyperf keeps every value, so many spans are represented by a hundred evenly spaced quantiles.
    """
    benchmarks = []
    whole = [] if report.whole is None else [Row(report.whole.timing)]
    for row in [*whole, *report.rows]:
        distribution = (row.timing.corrected or row.timing.raw).distribution
        size = min(distribution.count, _PYPERF_VALUES)
        # pyperf rejects values that are not positive.
        values = [max(float(v), 1e-3) / 1e9 for v in distribution.quantiles([(n + 0.5) / size for n in range(size)])]
        benchmarks.append({"metadata": {"name": row.title, "unit": "second"}, "runs": [{"values": values}]})
    facts = {f"htrun_{key}": value for key, value in environment_of(report.facts).items()}
    common = {"unit": "second", "perf_version": f"htrun {htrun.__version__}", **facts}
    return json.dumps({"version": "1.0", "metadata": common, "benchmarks": benchmarks}) + "\n"


_PYPERF_VALUES = 100


def _both(timing: Timing) -> list[Figures]:
    return [timing.raw] if timing.corrected is None else [timing.raw, timing.corrected]
