"""A function timed by Google Benchmark and by htrun's spans. Both report the time of a call, so the results should
agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import hash_program, htrun
from bench.groups import HASHES
from bench.model import Bench, Group, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.workshop import MEMORY, Workshop, last_processor

_CALIBRATION = {"HYPERTRACE_CALIBRATE": "1000"}
_REPETITION = ("iteration", "ns")
"""The run type and the unit that Google Benchmark reports for a single repetition, as opposed to a mean or median of
several."""
_NAMES = """\
[[event]]
id = 1
name = "hash"
phase = "begin"

[[event]]
id = 2
name = "hash"
phase = "end"
"""


@dataclass(frozen=True)
class _Length:
    """The work of a bench.

    ``size``: the number of bytes to hash.
    ``calls``: the number of calls in a repetition of Google Benchmark. They take about a quarter of a millisecond, so
    that most repetitions are not interrupted.
    ``times``: the number of repetitions.
    """

    size: int
    calls: int
    times: int = 200

    @property
    def name(self) -> str:
        """The name of this work in the names of its group and benches."""
        return f"hash-{self.size}"


_LENGTHS = (_Length(1_000, 250), _Length(10_000, 25), _Length(100_000, 3))


class ByGoogleBenchmark(Bench):
    """The median of repetitions. A repetition is a loop of calls."""

    tags = frozenset({"peers", "google-benchmark"})

    def __init__(self, group: Group, length: _Length) -> None:
        self.group = group
        self.name = length.name
        self.title = "Google Benchmark"
        self._length = length

    def prepare(self, shop: Workshop) -> Run:
        program = self._program(shop)
        length = self._length
        words = [str(program), str(length.size), str(length.calls), str(length.times), "--benchmark_format=json"]
        command = ["taskset", "--cpu-list", str(last_processor()), *words]

        def run() -> Sample:
            try:
                told = json.loads(shop.call(command))["benchmarks"]
                found = [each["real_time"] for each in told if (each["run_type"], each["time_unit"]) == _REPETITION]
                if len(found) != length.times:
                    raise FailedError(f"Google Benchmark told of {len(found)} repetitions, not of {length.times}")
                return Sample(median(found))
            except (ValueError, KeyError, TypeError) as error:
                raise FailedError(f"no measurement in Google Benchmark's output: {error!r}") from error

        return run

    def _program(self, shop: Workshop) -> Path:
        try:
            return shop.build("rivals/google_benchmark.cc", hash_program.function(shop), "-lbenchmark", compiler="g++")
        except FailedError as error:
            if "benchmark/benchmark.h" in str(error):
                raise UnavailableError("no Google Benchmark: apt-get install libbenchmark-dev") from error
            raise


class BySpans(Bench):
    """The corrected median of spans, as ``hypertrace stat`` prints it."""

    tags = frozenset({"peers", "htrun", "spans"})

    def __init__(self, group: Group, length: _Length) -> None:
        self.group = group
        self.name = f"{length.name}-spans"
        self.title = "htrun, spans, corrected median"
        self._length = length

    def prepare(self, shop: Workshop) -> Run:
        htrun.works()
        program = hash_program.guest(shop)
        names = shop.directory() / "names.toml"
        names.write_text(_NAMES)
        calls = self._length.calls * self._length.times

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                # The options with which `hypertrace bench` runs htrun.
                options = ["-q", "--timestamp", "ordered", "--events", str(names), "--cpu", str(last_processor())]
                traced = htrun.traced(directory, *options)
                shop.call([*traced.words, str(program), str(self._length.size), str(calls)], _CALIBRATION)
                report = shop.call([*htrun.hypertrace(), "stat", str(traced.trace), "--json", "-"])
                return self._sample(json.loads(report))

        return run

    def _sample(self, report: dict[str, Any]) -> Sample:
        [span] = report["spans"]
        if span["count"] != self._length.calls * self._length.times or report["lost"]:
            raise FailedError(f"{span['count']} spans, {report['lost']} events lost")
        facts = {"raw median": span["raw"]["median"], "cost of an event": report["calibration"]["event_ns"]}
        return Sample(span["corrected"]["median"], facts=facts)


def benches() -> Iterator[Bench]:
    """For each length, a bench with Google Benchmark and a bench with spans."""
    for group, length in zip(HASHES, _LENGTHS, strict=True):
        yield ByGoogleBenchmark(group, length)
        yield BySpans(group, length)
