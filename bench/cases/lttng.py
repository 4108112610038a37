"""The cost of an event with LTTng-UST, the fastest widely used tracer of instrumented programs."""

from __future__ import annotations

from dataclasses import replace

from bench.groups import COST
from bench.lttng import open_session
from bench.model import Bench, Run
from bench.outcome import Sample
from bench.workshop import Plan, Workshop, needs_processors


class LttngEvent(Bench):
    """A tracepoint with four u64. ``threads``: the number of threads, 1 or 2; each is pinned to its own processor."""

    group = COST
    tags = frozenset({"rival", "lttng"})

    def __init__(self, threads: int) -> None:
        self.name = "lttng-ust" if threads == 1 else "lttng-ust-two-threads"
        self.title = "LTTng-UST tracepoint" + ("" if threads == 1 else ", two threads")
        self._plan = Plan(events=2_000, bursts=120, warmup=60, threads=threads)

    def prepare(self, shop: Workshop) -> Run:
        needs_processors(self._plan.threads)
        session = open_session(shop)
        plan = shop.plan(self._plan)

        def run() -> Sample:
            before = session.discarded()
            sample = shop.measure([str(session.program)], plan, session.environment, session.user)
            lost = session.discarded() - before
            return replace(sample, facts={"emitted": plan.emitted, "lost": lost})

        return run
