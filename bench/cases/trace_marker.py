"""A write to ftrace's trace_marker. Each event is one system call, which writes to the kernel's ring buffer."""

from __future__ import annotations

from bench import tracefs
from bench.groups import COST
from bench.model import Bench, Run
from bench.workshop import Plan, Workshop


class TraceMarker(Bench):
    """Each event writes 48 binary bytes. Text would also have to be formatted."""

    name = "trace-marker"
    title = "write to ftrace's trace_marker"
    group = COST
    tags = frozenset({"rival", "ftrace"})

    def prepare(self, shop: Workshop) -> Run:
        marker = tracefs.instance(shop, "marker") / "trace_marker"
        program = shop.build("rivals/trace_marker.c")
        plan = shop.plan(Plan(events=400, bursts=120, warmup=50))
        return lambda: shop.measure([str(program)], plan, {"TRACE_MARKER": str(marker)})
