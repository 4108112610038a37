"""A signal handler inside the program instead of a tracer. QEMU's hypertrace patches, which were never merged, used
this method."""

from __future__ import annotations

from bench.groups import COST
from bench.model import Bench, Run
from bench.workshop import Plan, Workshop


class SigsegvHandler(Bench):
    """The path of an event: a fault, the handler, writing the record, skipping the store, the return."""

    name = "sigsegv-handler"
    title = "SIGSEGV handler inside the program"
    group = COST
    tags = frozenset({"rival", "sigsegv"})

    def prepare(self, shop: Workshop) -> Run:
        program = shop.build("rivals/sigsegv_handler.c")
        plan = shop.plan(Plan(events=100, bursts=120, singles=4_000))
        return lambda: shop.measure([str(program)], plan)
