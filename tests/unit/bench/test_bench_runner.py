"""Benches run in turn, and one that cannot run does not stop the others."""

from __future__ import annotations

from bench.model import FailedError, Run, Sample, UnavailableError
from bench.results import Status
from bench.runner import run_group
from tests.unit.bench.fakes import GROUP, Fake


def quiet(line: str) -> None:
    assert line


def recording(name: str, log: list[str]) -> Run:
    def run() -> Sample:
        log.append(name)
        return Sample(len(log))

    return run


def test_benches_run_in_turn() -> None:
    log: list[str] = []
    benches = [Fake("a", recording("a", log)), Fake("b", recording("b", log))]
    first, second = run_group(GROUP, benches, quick=False, tell=quiet)
    assert log == ["a", "b", "a", "b", "a", "b"]
    assert (first.values, second.values) == ([1, 3, 5], [2, 4, 6])


def test_a_quick_run_has_fewer_rounds() -> None:
    log: list[str] = []
    run_group(GROUP, [Fake("a", recording("a", log))], quick=True, tell=quiet)
    assert log == ["a", "a"]


def test_a_bench_that_cannot_run_is_skipped_with_its_reason() -> None:
    def prepare() -> None:
        raise UnavailableError("no such kernel")

    log: list[str] = []
    benches = [Fake("a", recording("a", log), prepare), Fake("b", recording("b", log))]
    skipped, measured = run_group(GROUP, benches, quick=False, tell=quiet)
    assert (skipped.status, skipped.reason, skipped.values) == (Status.SKIPPED, "no such kernel", [])
    assert (measured.status, log) == (Status.MEASURED, ["b", "b", "b"])


def test_a_bench_that_fails_once_is_out() -> None:
    log: list[str] = []

    def run() -> Sample:
        log.append("a")
        if len(log) > 2:
            raise FailedError("lost an event")
        return Sample(1)

    failed, measured = run_group(GROUP, [Fake("a", run), Fake("b", recording("b", log))], quick=False, tell=quiet)
    assert log == ["a", "b", "a", "b", "b"]
    assert (failed.status, failed.reason, failed.samples) == (Status.FAILED, "lost an event", ())
    assert measured.status is Status.MEASURED
