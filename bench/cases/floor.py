"""A loop that reads a time stamp and writes a record to memory. No method of recording can cost less."""

from __future__ import annotations

from bench.groups import COST
from bench.model import Bench, Run
from bench.workshop import Plan, Workshop, needs_processors


class Floor(Bench):
    """The floor. ``threads``: the number of threads, 1 or 2; each is pinned to its own processor."""

    group = COST

    def __init__(self, threads: int) -> None:
        self.name = "floor" if threads == 1 else "floor-two-threads"
        self.title = "floor: a time stamp and a record" + ("" if threads == 1 else ", two threads")
        self.tags = frozenset({"floor"})
        self._plan = Plan(threads=threads)

    def prepare(self, shop: Workshop) -> Run:
        needs_processors(self._plan.threads)
        program = shop.build("rivals/floor.c")
        plan = shop.plan(self._plan)
        return lambda: shop.measure([str(program)], plan)
