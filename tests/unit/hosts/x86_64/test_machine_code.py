"""The machine code that htrun runs is what its sources say, and both sides agree on the structures they share."""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
from pathlib import Path

import pytest

import htrun.hosts.x86_64.fastpath
from htrun.events import tracer_events
from htrun.hosts.x86_64.fastpath import call_wait, known_traps, trap_wait
from htrun.hosts.x86_64.fastpath.trap_run import TrapRun
from htrun.hosts.x86_64.registers import Registers
from htrun.rings import layout
from htrun.tracee import seccomp
from tests.support.requirements import require_tool

DIRECTORY = Path(htrun.hosts.x86_64.fastpath.__file__).parent
SOURCES = sorted(DIRECTORY.glob("*.S"))
_OFFSET = re.compile(r"\s*\.set (\w+), (\w+)")

STRUCTURES = {
    ("call_wait", "struct Block"): ("", call_wait._Block),
    ("call_wait", "The control block of the tracer's records"): ("", tracer_events._Control),
    ("trap_wait", "struct Block"): ("", trap_wait._Block),
    ("trap_wait", "struct KnownTraps"): ("", known_traps._Known),
    ("trap_wait", "struct TrapRun"): ("RUN_", TrapRun),
    ("trap_wait", "struct KnownThread"): ("THREAD_", known_traps._KnownThread),
    ("trap_wait", "struct KnownSite"): ("SITE_", known_traps._KnownSite),
}
OTHER_NAMES = {"RUN_SINCE": "seconds"}
NO_OFFSETS = {"THREAD_SHIFT", "SITE_SHIFT", "SITE_INDEX_BITS", "SITE_MULTIPLIER", "RECORD_SIZE", "ARGUMENTS"} | {
    f"RECORD_{field}" for field in ("TICKS", "STREAM", "KIND", "ARCH", "NUMBER", "ARGUMENTS")
}


def offsets(source: str, heading: str) -> dict[str, int]:
    """The ``.set`` lines below the comment that begins with ``heading``."""
    lines = (DIRECTORY / source).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"# {heading}"))
    found = {}
    for line in lines[start + 1 :]:
        match = _OFFSET.fullmatch(line)
        if match is None:
            break
        found[match[1]] = int(match[2], 0)
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_bytes_are_those_of_the_source(source: Path, tmp_path: Path) -> None:
    assembler, objcopy = require_tool("as", "binutils"), require_tool("objcopy", "binutils")
    assembled, code = tmp_path / "code.o", tmp_path / "code"
    subprocess.run([assembler, "--64", "-I", DIRECTORY, "-o", assembled, source], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", assembled, code], check=True)
    module = importlib.import_module(f"htrun.hosts.x86_64.fastpath.{source.stem}_code")
    assert code.read_bytes() == module.CODE, f"run: tools/assemble {source.stem}"


@pytest.mark.parametrize(("source", "heading"), STRUCTURES)
def test_the_offsets_in_a_structure(source: str, heading: str) -> None:
    prefix, structure = STRUCTURES[source, heading]
    found = {name: value for name, value in offsets(f"{source}.S", heading).items() if name not in NO_OFFSETS}
    assert found
    for name, value in found.items():
        field = OTHER_NAMES.get(name, name.removeprefix(prefix).lower())
        assert value == getattr(structure, field).offset, name


def test_the_sizes_of_what_is_found_by_its_number() -> None:
    threads, sites = (offsets("trap_wait.S", f"struct {name}") for name in ("KnownThread", "KnownSite"))
    assert 1 << threads["THREAD_SHIFT"] == ctypes.sizeof(known_traps._KnownThread)
    assert 1 << sites["SITE_SHIFT"] == ctypes.sizeof(known_traps._KnownSite)
    assert 1 << sites["SITE_INDEX_BITS"] == known_traps.SITES
    assert sites["SITE_MULTIPLIER"] == known_traps._SITE_MULTIPLIER


def test_the_offsets_in_what_call_wait_knows_of_a_thread() -> None:
    found = offsets("call_wait.S", "What is known of a thread")
    assert (found["STREAM"], found["STATE"], found["STOPS_LEFT"]) == (
        call_wait._STREAM_AT,
        call_wait._STATE_AT,
        call_wait._STOPS_AT,
    )
    assert 1 << found["THREAD_SHIFT"] == call_wait._THREAD_SIZE
    assert (found["OUTSIDE"], found["IN_CALL"]) == (call_wait.State.OUTSIDE, call_wait.State.IN_CALL)


def test_the_offsets_in_a_record_of_the_tracer() -> None:
    found = offsets("call_wait.S", "The control block of the tracer's records")
    record = tracer_events.tracer_dtype()
    assert found["RECORD_SIZE"] == record.itemsize
    assert {name: offset for name, (_, offset, *_) in (record.fields or {}).items()} == {
        "timestamp": found["RECORD_TICKS"],
        "stream": found["RECORD_STREAM"],
        "kind": found["RECORD_KIND"],
        "arch": found["RECORD_ARCH"],
        "num": found["RECORD_NUMBER"],
        "args": found["RECORD_ARGUMENTS"],
    }
    assert record["args"].shape == (found["ARGUMENTS"],)


def test_the_offsets_in_a_control_block_and_in_the_registers() -> None:
    found = offsets("trap_wait.S", "A ring's control block")
    assert found == {name: getattr(layout, name) for name in ("POSITION", "PACKET_END", "TRAP_TIME")}
    registers = offsets("linux.inc", "struct user_regs_struct")
    names = ("rax", "orig_rax", "rip", "eflags")
    assert registers == {f"user_{name}": getattr(Registers, name).offset for name in names}
    assert offsets("call_wait.S", "What htrun's filter says") == {"RECORDED": seccomp.RECORDED}
    assert offsets("trap_wait.S", "What htrun's filter says") == {"MASK": seccomp.MASK}
