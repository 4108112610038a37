"""The cost of htrun for a program that emits no events and only makes system calls."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from bench import htrun
from bench.groups import GETPPID, MMAP
from bench.model import Bench, Group, Run
from bench.workshop import Plan, Workshop

_PLAN = Plan(events=1_000, bursts=100, pause_us=0, singles=0)


class Under(Enum):
    """The tool under which the program runs. The value is the end of the bench's title."""

    NOTHING = "alone"
    FILTER = "under htrun's seccomp filter alone"
    HTRUN = "under htrun"


class Calls(Bench):
    """A program of ``syscalls.c`` under a tool. ``number``: the number of the program in ``syscalls.c``."""

    def __init__(self, group: Group, number: int, under: Under) -> None:
        self.group = group
        self.name = group.name if under is Under.NOTHING else f"{group.name}-{under.name.lower()}"
        self.title = f"{group.name} {under.value}"
        self.tags = frozenset({"calls", group.name})
        self._number = number
        self._under = under

    def prepare(self, shop: Workshop) -> Run:
        program = shop.build("guests/syscalls.c", f"-DCALLS={self._number}", name=self.group.name)
        plan = shop.plan(_PLAN)
        command = [*self._launcher(shop), str(program)]
        return lambda: shop.measure(command, plan)

    def _launcher(self, shop: Workshop) -> list[str]:
        match self._under:
            case Under.NOTHING:
                return []
            case Under.HTRUN:
                htrun.works()
                return htrun.without_options([])
            case Under.FILTER:
                return [str(shop.build("rivals/filter_exec.c")), str(_filter_file(shop))]


def _filter_file(shop: Workshop) -> Path:
    """A file with htrun's filter, changed so that it allows the calls at which it would stop the program. Without a
    tracer, such calls would fail."""
    from htrun.tracee.seccomp import first_filter

    instruction = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k
    ret, trace, action, allow = 0x06, 0x7FF00000, 0xFFFF0000, 0x7FFF0000
    allowing = [
        (code, true, false, allow if code == ret and k & action == trace else k)
        for code, true, false, k in instruction.iter_unpack(first_filter())
    ]
    file = shop.directory() / "filter"
    file.write_bytes(b"".join(instruction.pack(*fields) for fields in allowing))
    return file


def benches() -> Iterator[Bench]:
    """The benches of each program: alone, under the filter, and under htrun."""
    for number, group in enumerate((GETPPID, MMAP), start=1):
        for under in Under:
            yield Calls(group, number, under)
