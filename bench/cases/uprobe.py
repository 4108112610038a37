"""A USDT site with a uprobe on it, whose four arguments go to ftrace's ring buffer."""

from __future__ import annotations

import os
from pathlib import Path

from bench import tracefs
from bench.groups import COST
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.workshop import Plan, Workshop


class Uprobe(Bench):
    """A site with a uprobe. ``nop_bytes``: 1: the site of USDT; 5: a site that Linux 6.18 and later converts to a call
    into the kernel."""

    group = COST
    tags = frozenset({"rival", "ftrace", "usdt"})

    def __init__(self, nop_bytes: int) -> None:
        self.name = "uprobe" if nop_bytes == 1 else "uprobe-nop5"
        self.title = "USDT site with a uprobe" if nop_bytes == 1 else "uprobe on a five-byte nop"
        self._nop_bytes = nop_bytes

    def prepare(self, shop: Workshop) -> Run:
        program = shop.build("rivals/uprobe.c", f"-DSITE_NOP={self._nop_bytes}", name=self.name)
        instance = tracefs.instance(shop, self.name)
        group = f"htrun_bench_{os.getpid()}"
        event = self.name.replace("-", "_")
        definitions = tracefs.mounted(shop) / "uprobe_events"
        if not definitions.exists():
            raise UnavailableError("this kernel has no uprobes (CONFIG_UPROBE_EVENTS)")
        site = f"{program}:{_file_offset(program, 'uprobe_site'):#x}"
        _append(definitions, f"p:{group}/{event} {site} a=%di:u64 b=%si:u64 c=%dx:u64 d=%cx:u64")
        shop.cleanup.callback(_append, definitions, f"-:{group}/{event}")
        switch = instance / "events" / group / event / "enable"
        switch.write_text("1")
        shop.cleanup.callback(switch.write_text, "0")
        plan = shop.plan(Plan(events=200, bursts=120, warmup=50))

        def run() -> Sample:
            sample = shop.measure([str(program)], plan)
            if "a=" not in _tail(instance / "trace"):
                raise FailedError("the uprobe recorded nothing")
            return sample

        return run


def _append(file: Path, line: str) -> None:
    # Python's append mode seeks to the end, which these files do not support. Writing without O_APPEND would remove all
    # probes.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _tail(trace: Path) -> str:
    """The first lines of the trace buffer. They are enough to see whether events arrive."""
    with trace.open() as stream:
        return "".join(line for line, _ in zip(stream, range(30), strict=False))


def _file_offset(program: Path, symbol: str) -> int:
    import lief  # only here: it takes 0.4 s to import

    binary = lief.ELF.parse(str(program))
    found = None if binary is None else binary.get_symbol(symbol)
    if binary is None or found is None:
        raise FailedError(f"{program} has no symbol {symbol}")
    offset = binary.virtual_address_to_offset(found.value)
    if not isinstance(offset, int):
        raise FailedError(f"{symbol} lies in no segment of {program}")
    return offset
