"""The processor time of spans, and what disturbed them, is what the guest has measured and done."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import jsonschema
import numpy as np
import pytest

from htrun.analysis.timing.disturbances import Disturbances
from htrun.analysis.timing.query import SpanQuery
from htrun.analysis.trace import Trace
from tests.integration.test_json_schemas import closed, schema
from tests.support.hypertrace import hypertrace
from tests.support.requirements import require_perf_events
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

TIMES = 60
KINDS = ("quiet", "blocked", "preempted", "faults")
"""In the order of the guest's numbers."""
NAMES = "".join(
    f'[[event]]\nid = {2 * place + phase}\nname = "{name}"\nphase = "{("begin", "end")[phase - 1]}"\n'
    for place, name in enumerate(KINDS)
    for phase in (1, 2)
)
ROUNDING, SWITCH = 200, 20_000
"""ns: the clocks may differ by the first within a short span. A switch may take the second. The kernel counts a part of
it as the thread's time, although the thread does not run."""


@dataclass(frozen=True)
class Run:
    """A run of the guest ``sched_spans``. ``told``: what it has printed for each span, in the order of the spans: its
    kind, and its processor time in ns, at least and at most."""

    program: Path
    trace: Path
    told: list[tuple[str, int, int]]

    def report(self, *options: str) -> dict[str, Any]:
        """What ``hypertrace stat`` says, by the names of spans."""
        document = json.loads(hypertrace("stat", self.trace, "--json", "-", *options).stdout)
        jsonschema.Draft202012Validator(closed(schema("stat"))).validate(document)
        return {span["name"]: span for span in document["spans"]}


@pytest.fixture(scope="module")
def run(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Run:
    require_perf_events()
    directory = tmp_path_factory.mktemp("spans")
    program = toolchain.compile(Path(__file__).parent / "guests" / "sched_spans.c")
    (directory / "events.toml").write_text(NAMES)
    options = ["--sched", "--events", str(directory / "events.toml"), "-o", str(directory / "trace")]
    command = [str(HTRUN), *options, str(program), str(TIMES), str(min(os.sched_getaffinity(0)))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert done.stderr == ""
    lines = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    return Run(program, directory / "trace", [(KINDS[kind], least, most) for kind, least, most in lines])


def test_processor_times_and_reasons(run: Run) -> None:
    trace = Trace.open(run.trace)
    source, disturbances = SpanQuery().source(trace), Disturbances.of(trace)
    assert disturbances is not None
    spans = np.concatenate([source.feed(events) for events in trace.events()])
    found = disturbances.within(spans)
    assert [source.names[name] for name in spans["name"]] == [kind for kind, _, _ in run.told]
    assert found["known"].all()
    ran = ((spans["end"] - spans["begin"]).astype(np.int64) - found["off"]).tolist()
    errors: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for time, each, (kind, least, most) in zip(ran, found, run.told, strict=True):
        switched = bool(each["preemptions"] + each["waits"])
        if not switched:
            assert least - ROUNDING <= time, kind
        errors[kind].append(max(least - time, time - most, 0))
        assert kind != "blocked" or each["waits"]
        assert kind != "preempted" or each["preempted"]
        assert kind != "faults" or each["page_faults"] >= 2
    assert max(median(errors[kind]) for kind in ("quiet", "faults")) <= ROUNDING
    assert max(median(errors[kind]) for kind in ("blocked", "preempted")) <= SWITCH


def test_stat_sums_up(run: Run) -> None:
    spans = run.report("--outliers")
    assert {name: span["count"] for name, span in spans.items()} == dict.fromkeys(KINDS, TIMES)
    for name, span in spans.items():
        on_cpu = span["on_cpu"]
        assert (on_cpu["count"], on_cpu["unknown"]) == (TIMES, 0)
        # The other figures count steps of the clock.
        assert on_cpu["wall"] == pytest.approx(span["raw"]["total"], rel=1e-3)
        assert on_cpu["total"] + on_cpu["preempted"] + on_cpu["waiting"] == on_cpu["wall"]
        assert name == "quiet" or on_cpu["disturbed"] == TIMES
        assert len(span["outliers"]["reasons"]) == len(span["outliers"]["events"])
    assert spans["blocked"]["on_cpu"]["waits"] >= TIMES
    assert spans["preempted"]["on_cpu"]["preemptions"] >= TIMES
    assert spans["faults"]["on_cpu"]["page_faults"] >= 2 * TIMES
    shown = hypertrace("stat", run.trace, "--no-histograms").stdout
    (table,) = [part for part in shown.split("\n\n") if "ran: median" in part]
    assert Counter(line.split()[0] for line in table.splitlines()) == Counter(["span", *KINDS])


def test_undisturbed_spans_only(run: Run) -> None:
    every, spans = run.report(), run.report("--undisturbed")
    quiet = every["quiet"]["on_cpu"]
    assert spans.keys() == {"quiet"}
    assert spans["quiet"]["count"] == TIMES - quiet["disturbed"]
    assert spans["quiet"]["on_cpu"]["disturbed"] == 0


def test_undisturbed_needs_sched(run: Run, tmp_path: Path) -> None:
    command = [str(HTRUN), "-o", str(tmp_path / "trace"), "true"]
    subprocess.run(command, check=True, timeout=240)
    done = hypertrace("stat", tmp_path / "trace", "--undisturbed", status=125)
    told = f"hypertrace: --undisturbed: {tmp_path}/trace has no context switches; record it with htrun --sched\n"
    assert done.stderr == told


def test_the_slowest_spans_have_reasons(run: Run) -> None:
    found = json.loads(hypertrace("slowest", run.trace, "preempted", "-n", "3", "--json", "-").stdout)["spans"]
    for span in found:
        assert span["on_cpu"]["preempted"] > 0
        assert span["on_cpu"]["time"] + span["on_cpu"]["preempted"] + span["on_cpu"]["waited"] == span["duration"]
    shown = hypertrace("slowest", run.trace, "blocked", "-n", "1").stdout
    assert "; waited " in shown


def test_bench_and_compare_use_undisturbed_spans(run: Run, tmp_path: Path) -> None:
    program = [str(run.program), "20", str(min(os.sched_getaffinity(0)))]
    events = str(run.trace.parent / "events.toml")
    options = ["--no-whole", "--runs", "2", "--warmup", "0", "--undisturbed", "--events", events]
    hypertrace("bench", *options, "-o", tmp_path / "bench", "--json", tmp_path / "a.json", "--", *program)
    spans = json.loads((tmp_path / "a.json").read_text())["spans"]
    assert [(span["name"], len(span["runs"])) for span in spans] == [("quiet", 2)]
    compared = hypertrace("compare", run.trace, run.trace, "--undisturbed", "--json", "-")
    assert [span["name"] for span in json.loads(compared.stdout)["spans"]] == ["quiet"]
    saved = hypertrace("compare", tmp_path / "a.json", tmp_path / "a.json", "--undisturbed", status=125)
    assert "--undisturbed" in saved.stderr
