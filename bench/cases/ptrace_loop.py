"""The trap path in bare C. No tracer that stops the program at each event can be faster."""

from __future__ import annotations

from bench.groups import COST
from bench.model import Bench, Run
from bench.workshop import Plan, Workshop, needs_processors


class PtraceLoop(Bench):
    """A tracer in bare C. ``processors``: 1: the tracer and the tracee share a processor; 2: each has its own."""

    group = COST
    tags = frozenset({"rival", "trap", "ptrace"})

    def __init__(self, processors: int) -> None:
        count = "one-cpu" if processors == 1 else "two-cpus"
        self.name = f"ptrace-{count}"
        self.title = f"bare C ptrace loop, {count.replace('-', ' ').replace('cpu', 'processor')}"
        self._processors = processors
        self._plan = Plan(events=20, bursts=100, warmup=15, pause_us=0, singles=1_000, cpu=1, own_cpu=2 - processors)

    def prepare(self, shop: Workshop) -> Run:
        needs_processors(self._processors)
        program = shop.build("rivals/ptrace_loop.c")
        plan = shop.plan(self._plan)
        return lambda: shop.measure([str(program)], plan)
