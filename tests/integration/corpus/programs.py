"""The programs of the corpus. The comments at the top of each program define how it is built and run.

The first line describes what the program checks. These lines may follow::

    // build: static, nopie, m32     further kinds of program than the native one
    // build: flags=-fexample        further compiler flags
    // args: one 'two three'         a run with these arguments; several lines give several runs
    // emit: no, REASON              not to be built with emission.h
    // untraced: no, REASON          notices that it is a child of htrun if it is not traced
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tests.support.targets import I686, NATIVE, NO_PIE, STATIC, Target
from tests.support.toolchain import Toolchain

CORPUS = Path(__file__).parent
_TARGETS = {"static": STATIC, "nopie": NO_PIE, "m32": I686}
_RUNS_OF_OTHER_TARGETS = 2
"""The number of argument lists that are used if a program is not built natively."""


@dataclass(frozen=True)
class Program:
    """One source file. ``runs``: the argument lists, at least one."""

    source: Path
    targets: tuple[Target, ...]
    flags: tuple[str, ...]
    runs: tuple[tuple[str, ...], ...]
    emits: bool
    untraced: bool

    @classmethod
    def read(cls, source: Path) -> Program:
        """The program of a file, described by the comments at its top."""
        comments = takewhile(lambda line: line.startswith("// "), source.read_text().splitlines())
        stated = [comment.removeprefix("// ").partition(": ") for comment in comments]
        words = [word.strip() for key, _, value in stated if key == "build" for word in value.split(",")]
        runs = tuple(tuple(shlex.split(value)) for key, _, value in stated if key == "args")
        return cls(
            source,
            (NATIVE, *(_TARGETS[word] for word in words if not word.startswith("flags="))),
            tuple(word.removeprefix("flags=") for word in words if word.startswith("flags=")),
            runs or ((),),
            all(key != "emit" for key, _, _ in stated),
            all(key != "untraced" for key, _, _ in stated),
        )

    def build(self, toolchain: Toolchain, target: Target, *, emitting: bool) -> Path:
        """The executable, with or without the events of emission.h."""
        events = ("-include", str(CORPUS / "emission.h")) if emitting else ()
        compiler = target.compiler.replace("gcc", "g++") if self.source.suffix == ".cc" else None
        return toolchain.compile(self.source, target, flags=(*events, *self.flags), compiler=compiler)


@dataclass(frozen=True)
class Case:
    """One program, built for one target, run with one list of arguments."""

    program: Program
    target: Target
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        words = "-".join(self.arguments) if self.arguments and self.arguments[0].isalnum() else ""
        return "-".join(filter(None, [self.program.source.stem, self.target.name, words]))


def cases() -> Iterator[Case]:
    """Every case of the corpus."""
    for source in sorted([*CORPUS.glob("*.c"), *CORPUS.glob("*.cc")]):
        program = Program.read(source)
        for target in program.targets:
            runs = program.runs if target is NATIVE else program.runs[-_RUNS_OF_OTHER_TARGETS:]
            yield from (Case(program, target, arguments) for arguments in runs)
