"""A signal handler inside the program in place of a tracer, as in QEMU's hypertrace patches, which were never
merged."""

from __future__ import annotations

from bench.groups import COST
from bench.model import Bench, Run
from bench.workshop import Plan, Workshop


class SigsegvHandler(Bench):
    """Fault, handler, record, step over the store, return."""

    name = "sigsegv-handler"
    title = "SIGSEGV handler inside the program"
    group = COST
    tags = frozenset({"rival", "sigsegv"})

    def prepare(self, shop: Workshop) -> Run:
        program = shop.build("rivals/sigsegv_handler.c")
        plan = shop.plan(Plan(events=100, bursts=120, singles=4_000))
        return lambda: shop.measure([str(program)], plan)
