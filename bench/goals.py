"""htrun's goals: ratios and differences of benches measured in one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.emulators import COMPILERS, LATER
from bench.groups import TRACED
from bench.results import Result, Status, Verdict


class Measure(Enum):
    """The kind of comparison of two benches. The value is the text for the table."""

    AT_MOST = "at most {limit:g} times {over}"
    AT_LEAST = "at least {limit:g} times {over}"
    BEYOND = "at most {limit:g} ms more than {over}"
    REACHES = "at least {limit:g} million events/s"
    """No comparison with another bench. All benches with such a goal have the unit million events/s."""
    TAKES = "at most {limit:g} us"
    """No comparison with another bench. All benches with such a goal have the unit us."""
    AGREES = "within {limit:g}% of {over}"


@dataclass(frozen=True)
class Goal:
    """A goal: a comparison of the bench ``name`` with the bench ``over`` (the same bench if nothing is compared).
    ``limit``: the bound."""

    name: str
    measure: Measure
    over: str
    limit: float

    def judge(self, results: Sequence[Result]) -> Verdict | None:
        """The verdict on the goal; None if either bench was not measured."""
        found = {each.name: each for each in results if each.status is Status.MEASURED}
        if self.name not in found or self.over not in found:
            return None
        this, other = found[self.name], found[self.over]
        match self.measure:
            case Measure.BEYOND:
                return self._verdict(this.difference(other))
            case Measure.REACHES | Measure.TAKES:
                return self._verdict(this.median)
            case Measure.AGREES:
                return self._verdict(abs(this.ratio(other) - 1) * 100)
        of_all = this.ratio(other)
        if this.undisturbed is None or other.undisturbed is None:
            return self._verdict(of_all)
        return self._verdict(this.undisturbed_ratio(other), of_all)

    def _verdict(self, reached: float | None, of_all: float | None = None) -> Verdict:
        at_least = self.measure in {Measure.AT_LEAST, Measure.REACHES}
        met = reached is not None and (reached >= self.limit if at_least else reached <= self.limit)
        return Verdict(str(self), reached, met, of_all)

    def __str__(self) -> str:
        return f"{self.name}: {self.measure.value.format(limit=self.limit, over=self.over)}"


def _emulated() -> Iterator[Goal]:
    for architecture in COMPILERS:
        for suffix in ("", *(f"-{generation}" for generation in LATER)):
            yield Goal(f"htrun-qemu-{architecture}{suffix}", Measure.AT_MOST, "htrun-native", 1.3)


def _first() -> Iterator[Goal]:
    """The goals of first events, in us: 10 ms, 10 ms and 300 us under every emulator."""
    for which, limit in (("init", 10_000), ("event", 10_000), ("site", 300)):
        for architecture in COMPILERS:
            for suffix in ("", *(f"-{generation}" for generation in LATER)):
                name = f"first-{which}-qemu-{architecture}{suffix}"
                yield Goal(name, Measure.TAKES, name, limit)
    yield Goal("first-init-native-rings", Measure.TAKES, "first-init-native-rings", 10_000)


def _machines() -> Iterator[Goal]:
    """The goals of whole machines. Unlike those of a native program, their loads and stores use a software page
    table."""
    for architecture in ("x86_64", "aarch64"):
        yield Goal(f"htrun-system-{architecture}", Measure.AT_MOST, "htrun-native", 1.6)
        yield Goal(f"htrun-system-{architecture}-kernel", Measure.AT_MOST, "htrun-native", 1.6)
        yield Goal(f"boot-{architecture}-htrun", Measure.AT_MOST, f"boot-{architecture}", 1.05)


def _rates() -> Iterator[Goal]:
    """The goals in millions of events per second."""
    for name, limit in (("numpy", 10), ("to-ctf", 10), ("to-simple", 10), ("to-parquet", 10)):
        yield Goal(name, Measure.REACHES, name, limit)
    for name in ("to-perfetto", "to-chrome"):
        yield Goal(name, Measure.REACHES, name, 1)


def _answers() -> Iterator[Goal]:
    """The goals of questions, in millions of events per second. For 10,000,000 events, these
    are 2 s, 0.3 s, 1 s and 5 s."""
    limits = {"stat": 5, "slowest": 5, "query-tables": 33, "query-time": 10, "query-events": 2, "query-spans": 2}
    for name, limit in limits.items():
        yield Goal(name, Measure.REACHES, name, limit)


def _traced() -> Iterator[Goal]:
    """The goals of traced programs: a program's work costs at most twice as much as under strace. htrun does not stop
    the program at changes of signal masks."""
    for name in TRACED:
        if name != "masks":
            yield Goal(f"{name}-channel", Measure.AT_MOST, f"{name}-strace", 2)
    for name in ("thread", "fork", "exec"):
        yield Goal(f"{name}-events", Measure.AT_MOST, f"{name}-strace", 2)
    yield Goal("masks-channel", Measure.AT_MOST, "masks", 2)


GOALS = (
    Goal("htrun-native", Measure.AT_MOST, "floor", 1.3),
    Goal("htrun-native-rings", Measure.AT_MOST, "floor", 1.1),
    *_emulated(),
    *_machines(),
    *_first(),
    Goal("htrun-native-two-threads", Measure.AT_MOST, "htrun-native", 1.2),
    Goal("lttng-ust", Measure.AT_LEAST, "htrun-native", 5),
    Goal("sigsegv-handler", Measure.AT_LEAST, "htrun-native", 100),
    Goal("htrun-no-patch-native", Measure.AT_MOST, "ptrace-one-cpu", 1.15),
    Goal("htrun-true", Measure.BEYOND, "true", 120),
    Goal("getppid-htrun", Measure.AT_MOST, "getppid-filter", 1.05),
    Goal("mmap-htrun", Measure.AT_MOST, "mmap-filter", 1.05),
    *_traced(),
    Goal("recorded-log", Measure.AT_MOST, "recorded-strace", 1),
    Goal("recorded-trace", Measure.AT_MOST, "recorded-strace", 1),
    Goal("unwanted-log", Measure.AT_MOST, "unwanted-strace", 1.1),
    Goal("processes-log", Measure.AT_MOST, "processes-strace", 1),
    Goal("processes-trace", Measure.AT_MOST, "processes-strace", 1),
    Goal("print-text", Measure.AT_LEAST, "babeltrace2-text", 2),
    *_rates(),
    *_answers(),
    # The results must agree with those of other tools that measure the same quantity.
    *(Goal(f"hash-{size}-spans", Measure.AGREES, f"hash-{size}", 2) for size in (1_000, 10_000, 100_000)),
    Goal("program-bench", Measure.AGREES, "program", 2),
    Goal("short-program-bench", Measure.BEYOND, "short-program", 0.1),
)


def judge_all(results: Sequence[Result]) -> tuple[Verdict, ...]:
    """The verdicts on all goals whose benches were measured."""
    return tuple(verdict for goal in GOALS if (verdict := goal.judge(results)) is not None)
