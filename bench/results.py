"""The results of a run of the benchmarks, as objects and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

from bench.disturbance import Undisturbed
from bench.model import Bench, Group
from bench.outcome import Sample
from bench.statistics import paired_difference, paired_ratio, spread


class Status(StrEnum):
    """The state of a bench after a run."""

    MEASURED = "measured"
    SKIPPED = "skipped"
    """The bench is not possible on this machine."""
    FAILED = "failed"
    """The bench failed."""


@dataclass(frozen=True)
class Result:
    """The result of one bench.

    ``reason``: the reason why it was not measured; empty if it was measured.
    ``samples``: a sample for each round; empty if it was not measured.
    ``undisturbed``: the undisturbed bursts of all rounds; None if its group is not probed.
    """

    name: str
    title: str
    group: str
    status: Status
    reason: str = ""
    samples: tuple[Sample, ...] = ()
    undisturbed: Undisturbed | None = None

    @classmethod
    def of(
        cls,
        bench: Bench,
        status: Status,
        reason: str = "",
        samples: Sequence[Sample] = (),
        undisturbed: Undisturbed | None = None,
    ) -> Result:
        """The result of ``bench``."""
        return cls(bench.name, bench.title, bench.group.name, status, reason, tuple(samples), undisturbed)

    @property
    def values(self) -> list[float]:
        """The value of each round."""
        return [sample.value for sample in self.samples]

    @property
    def median(self) -> float:
        """The median of the rounds. Like the following properties, it exists only if the bench was measured."""
        return median(self.values)

    @property
    def p50(self) -> float | None:
        """The median of the rounds' medians of single events; None if single events were not timed."""
        return _median_of([sample.p50 for sample in self.samples])

    @property
    def p99(self) -> float | None:
        """Like `p50`, for the 99th percentile."""
        return _median_of([sample.p99 for sample in self.samples])

    def ratio(self, base: Result) -> float:
        """The ratio to ``base``, round by round."""
        return paired_ratio(self.values, base.values)

    def undisturbed_ratio(self, base: Result) -> float | None:
        """The ratio to ``base``, computed from undisturbed bursts only; None if either bench has too few."""
        this, other = (each.undisturbed.value if each.undisturbed else None for each in (self, base))
        return None if this is None or other is None else this / other

    def difference(self, base: Result) -> float:
        """The difference from ``base``, round by round."""
        return paired_difference(self.values, base.values)


def _median_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


@dataclass(frozen=True)
class Verdict:
    """A goal and its result.

    ``text``: the text of the goal.
    ``reached``: the figure. In a probed group, it is the figure of undisturbed bursts, and None if there are too few.
    ``met``: whether the goal is reached.
    ``of_all``: in a probed group, the figure of all bursts.
    """

    text: str
    reached: float | None
    met: bool
    of_all: float | None = None


@dataclass(frozen=True)
class Report:
    """The results of a whole run. ``when``: its time in ISO 8601; ``seconds``: its duration; ``machine``: the
    properties of the machine, by name."""

    when: str
    quick: bool
    seconds: float
    machine: Mapping[str, str]
    groups: tuple[Group, ...]
    results: tuple[Result, ...]
    verdicts: tuple[Verdict, ...] = field(default=())

    def measured(self, group: Group) -> list[Result]:
        """The results of the measured benches of ``group``."""
        return [each for each in self.results if each.group == group.name and each.status is Status.MEASURED]

    def unmeasured(self) -> list[Result]:
        """The results of all benches that were skipped or failed."""
        return [each for each in self.results if each.status is not Status.MEASURED]

    def failed(self) -> bool:
        """Whether any bench failed."""
        return any(each.status is Status.FAILED for each in self.results)

    def baseline(self, group: Group) -> Result | None:
        """The result of the baseline of ``group``; None if the baseline was not measured."""
        return next((each for each in self.measured(group) if each.name == group.baseline), None)

    def save(self, path: Path) -> None:
        """Write the report as JSON. It includes the figures derived from the samples, for other programs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        found = asdict(self)
        for raw, result in zip(found["results"], self.results, strict=True):
            raw["derived"] = self._derived(result)
            for sample in raw["samples"]:
                # The thousands of bursts are left out. The values summarise them.
                del sample["bursts"]
        path.write_text(json.dumps(found, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report that `save` has written. Raises OSError, ValueError, KeyError or TypeError for any other
        file."""
        found: dict[str, Any] = json.loads(path.read_text())
        return cls(
            **{name: found[name] for name in ("when", "quick", "seconds", "machine")},
            groups=tuple(Group(**{**each, "facts": tuple(each["facts"])}) for each in found["groups"]),
            results=tuple(_load_result(each) for each in found["results"]),
            verdicts=tuple(Verdict(**each) for each in found["verdicts"]),
        )

    def _derived(self, result: Result) -> dict[str, float | None]:
        if result.status is not Status.MEASURED:
            return {}
        low, high = spread(result.values)
        derived = {"median": result.median, "low": low, "high": high, "p50": result.p50, "p99": result.p99}
        group = next(each for each in self.groups if each.name == result.group)
        base = self.baseline(group)
        if base is not None:
            derived |= {"ratio": result.ratio(base), "difference": result.difference(base)}
            if group.probed:
                derived["undisturbed_ratio"] = result.undisturbed_ratio(base)
        return derived


def _load_result(raw: dict[str, Any]) -> Result:
    made = ("derived", "samples", "status", "undisturbed")
    fields = {key: value for key, value in raw.items() if key not in made}
    samples = tuple(Sample(**each) for each in raw["samples"])
    undisturbed = Undisturbed(**raw["undisturbed"]) if raw.get("undisturbed") else None
    return Result(**fields, status=Status(raw["status"]), samples=samples, undisturbed=undisturbed)
