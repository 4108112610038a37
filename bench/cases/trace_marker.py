"""A write to ftrace's trace_marker: one system call for each event, into the kernel's ring buffer."""

from __future__ import annotations

from bench import tracefs
from bench.groups import COST
from bench.model import Bench, Run
from bench.workshop import Plan, Workshop


class TraceMarker(Bench):
    """48 bytes for each event, written in binary: formatting text would cost extra."""

    name = "trace-marker"
    title = "write to ftrace's trace_marker"
    group = COST
    tags = frozenset({"rival", "ftrace"})

    def prepare(self, shop: Workshop) -> Run:
        marker = tracefs.instance(shop, "marker") / "trace_marker"
        program = shop.build("rivals/trace_marker.c")
        plan = shop.plan(Plan(events=400, bursts=120, warmup=50))
        return lambda: shop.measure([str(program)], plan, {"TRACE_MARKER": str(marker)})
