#!/usr/bin/env python3
"""Writes the numbers that assembly code shares with Python as ``.set`` lines: offsets in structures, sizes, and
constants.

    tools/assembly_constants.py [--into DIRECTORY]

Each ``.S`` file that shares numbers includes a separate file, ``NAME_shared.inc``. `tools/assemble` runs this program
first. A test compares the files with the output of this program.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from htrun.events import call_texts, tracer_events
from htrun.hosts import call_plans
from htrun.hosts.stops import State
from htrun.hosts.trap_run import TrapRun
from htrun.hosts.x86_64.fastpath import call_wait, known_traps, trap_wait
from htrun.launch import launcher
from htrun.rings import layout
from htrun.tracee import seccomp

ROOT = Path(__file__).parents[1]

Numbers = Iterable[tuple[str, int]]


def structure(kind: type[ctypes.Structure], prefix: str = "") -> Iterator[tuple[str, int]]:
    """The names of the fields of ``kind`` in upper case, and their offsets."""
    for name, *_ in kind._fields_:
        yield prefix + name.upper(), getattr(kind, name).offset


def words(names: Sequence[str], prefix: str = "") -> Iterator[tuple[str, int]]:
    """The offsets of consecutive 64-bit words called ``names``, and the size of all words together."""
    for place, name in enumerate(names):
        yield prefix + name.upper(), 8 * place
    yield f"{prefix}SIZE", 8 * len(names)


def shift(size: int) -> int:
    """The number of bits of a shift that multiplies an index by ``size``. ``size`` must be a power of two."""
    assert size.bit_count() == 1, f"{size} is no power of two"
    return size.bit_length() - 1


def record() -> Iterator[tuple[str, int]]:
    """The layout of a record of the tracer."""
    dtype = tracer_events.tracer_dtype()
    names = {"timestamp": "TICKS", "num": "NUMBER", "args": "ARGUMENTS"}
    for name, (_, offset, *_) in (dtype.fields or {}).items():
        yield f"RECORD_{names.get(name, name.upper())}", offset
    yield "RECORD_SIZE", dtype.itemsize
    yield "ARGUMENTS", dtype["args"].shape[0]


FILES: dict[str, dict[str, Numbers]] = {
    "htrun/hosts/x86_64/fastpath/call_wait_shared.inc": {
        "call_wait._Block": structure(call_wait._Block),
        "The entry for a thread (call_wait._THREAD_SIZE)": (
            ("STREAM", call_wait._STREAM_AT),
            ("STATE", call_wait._STATE_AT),
            ("ARCH", call_wait._STATE_AT + 4),
            ("NUMBER", call_wait._STATE_AT + 8),
            ("STOPS_LEFT", call_wait._STOPS_AT),
            ("POINTER", call_wait._POINTER_AT),
            ("THREAD_SHIFT", shift(call_wait._THREAD_SIZE)),
            ("OUTSIDE", State.OUTSIDE),
            ("IN_CALL", State.IN_CALL),
        ),
        "The control block of the tracer's records (tracer_events._Control)": structure(tracer_events._Control),
        "A record of the tracer (tracer_events.RECORD)": record(),
        "The result of htrun's filter for a call that is only recorded (seccomp.py)": (("RECORDED", seccomp.RECORDED),),
        "Plans for reading texts (call_plans.py)": (
            ("PLAN_SHIFT", shift(call_plans.PLAN_SIZE)),
            ("NUMBERS_SHIFT", shift(call_plans.MOST_NUMBERS)),
            ("LEFT_TO_CALLER", call_plans.LEFT_TO_CALLER),
            ("FIRST", call_plans.FIRST),
            ("LAST", call_plans.LAST),
            ("AFTER", call_plans.AFTER),
            ("PLACE", call_plans.INDEX_MASK),
            ("SIZE_SHIFT", call_plans.SIZE_SHIFT),
            ("STRING", call_plans.STRING),
            ("PRESENT", call_plans.PRESENT),
            ("MOST_BYTES", call_plans.MOST_BYTES),
            ("MOST_STRING", call_plans.MOST_STRING),
            ("MOST_TEXT_RECORDS", call_plans.MOST_TEXT_RECORDS),
        ),
        "The text in a record (call_texts.py)": (
            ("TEXT_BYTES", call_texts.TEXT_BYTES),
            ("PART_SIZE", call_texts._SIZE),
            ("PART_CUT", call_texts._CUT),
        ),
    },
    "htrun/hosts/x86_64/fastpath/trap_wait_shared.inc": {
        "trap_wait._Block": structure(trap_wait._Block),
        "known_traps._Known": structure(known_traps._Known),
        "trap_run.TrapRun": structure(TrapRun, "RUN_"),
        "known_traps._KnownThread": structure(known_traps._KnownThread, "THREAD_"),
        "known_traps._KnownSite": structure(known_traps._KnownSite, "SITE_"),
        "The tables of known threads and sites": (
            ("THREAD_SHIFT", shift(ctypes.sizeof(known_traps._KnownThread))),
            ("SITE_SHIFT", shift(ctypes.sizeof(known_traps._KnownSite))),
            ("SITE_INDEX_BITS", shift(known_traps.SITES)),
            ("SITE_MULTIPLIER", known_traps._SITE_MULTIPLIER),
        ),
        "A ring's control block (rings/layout.py)": (
            ("POSITION", layout.POSITION),
            ("PACKET_END", layout.PACKET_END),
            ("TRAP_TIME", layout.TRAP_TIME),
        ),
        "The result of htrun's filter for a call that only changes a signal mask (seccomp.py)": (
            ("MASK", seccomp.MASK),
        ),
    },
    "htrun/launch/launcher_shared.inc": {
        "The address of a plan": (("PLAN", launcher.ADDRESS),),
        "The kinds of plans: the first word of a plan": (("EXITS", launcher.EXIT),),
        "A plan to exit": words(launcher.EXIT_FIELDS, "EXIT_"),
        "A plan to execute a program": words(launcher.EXEC_FIELDS, "EXEC_"),
        "An entry of a table of failures; the last entry has the error number 0 and applies to all other errors": words(
            launcher.FAILURE_FIELDS, "FAILURE_"
        ),
    },
}


def text_of(path: str, sections: dict[str, Numbers]) -> str:
    """The text of the file ``path``."""
    name = Path(path).name.removesuffix("_shared.inc")
    text = f"# The numbers that {name}.S shares with Python. Made by tools/assembly_constants.py: do not edit.\n"
    for heading, numbers in sections.items():
        text += f"\n# {heading}\n" + "".join(f"\t.set {name}, {int(value):#x}\n" for name, value in numbers)
    return text


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description="Write the numbers that assembly shares with Python.")
    parser.add_argument("--into", type=Path, help="a directory to write the files to, instead of their places")
    into: Path | None = parser.parse_args().into
    for path, sections in FILES.items():
        target = into / Path(path).name if into is not None else ROOT / path
        target.write_text(text_of(path, sections))


if __name__ == "__main__":
    main()
