"""Each program of the corpus does the same under htrun as alone: output, order, status, core flag and files."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.integration.corpus.outcome import observe
from tests.integration.corpus.programs import Case, cases
from tests.support.run import HTRUN
from tests.support.targets import I686, NATIVE
from tests.support.toolchain import Toolchain

_CASES = list(cases())
_OTHER_TARGETS = pytest.mark.heavy("each program is tried in its native kind, too")
_TRAPPED = pytest.mark.heavy("each program is tried with its sites patched, too")
_MODES = {
    "rings": (),
    "untraced": ("--no-ptrace",),
    "patched": ("--via", "store"),
    "trapped": ("--via", "store", "--no-patch"),
}
_EMITTING = [case for case in _CASES if case.program.emits and case.target in (NATIVE, I686)]


def _marked(given: list[Case]) -> list[Any]:
    return [case if case.target is NATIVE else pytest.param(case, marks=_OTHER_TARGETS) for case in given]


def test_corpus_is_large_enough() -> None:
    assert len({case.program.source for case in _CASES}) >= 60


@pytest.mark.parametrize("case", _marked(_CASES), ids=str)
def test_same_as_alone(case: Case, toolchain: Toolchain, tmp_path: Path) -> None:
    program = [str(case.program.build(toolchain, case.target, emitting=False)), *case.arguments]
    alone = observe(program, tmp_path / "alone" / "work", str(tmp_path), {})
    traced = observe([str(HTRUN), "--", *program], tmp_path / "traced" / "work", str(tmp_path), {})
    assert traced == alone
    assert b"subject.h:" not in alone.stderr
    assert b".c:" not in alone.stderr


@pytest.mark.parametrize("case", _marked([case for case in _EMITTING if case.program.untraced]), ids=str)
def test_same_while_emitting_untraced(case: Case, toolchain: Toolchain, tmp_path: Path) -> None:
    check_same_while_emitting(case, "untraced", toolchain, tmp_path)


@pytest.mark.parametrize("case", _marked(_EMITTING), ids=str)
@pytest.mark.parametrize("mode", ["rings", "patched", pytest.param("trapped", marks=_TRAPPED)])
def test_same_while_emitting(case: Case, mode: str, toolchain: Toolchain, tmp_path: Path) -> None:
    check_same_while_emitting(case, mode, toolchain, tmp_path)


def check_same_while_emitting(case: Case, mode: str, toolchain: Toolchain, tmp_path: Path) -> None:
    program = [str(case.program.build(toolchain, case.target, emitting=True)), *case.arguments]
    counter, log, summary = tmp_path / "counter", tmp_path / "log", tmp_path / "summary"
    counter.write_bytes(bytes(8))
    counter.chmod(0o666)
    environment = {"SUBJECT_EVENTS": str(counter)}
    options = ["-D", str(log), "--summary", str(summary), *_MODES[mode]]
    alone = observe(program, tmp_path / "alone" / "work", str(tmp_path), environment)
    traced = observe([str(HTRUN), *options, "--", *program], tmp_path / "traced" / "work", str(tmp_path), environment)
    assert traced == alone
    (emitted,) = struct.unpack("<Q", counter.read_bytes())
    told = json.loads(summary.read_text())
    assert emitted > 0
    assert (told["events"], told["lost"]) == (emitted, 0)
    lines = log.read_text().splitlines()
    assert len(lines) == emitted
    assert all("index=0 arg1=0x000000000c0a9005 " in line for line in lines)
