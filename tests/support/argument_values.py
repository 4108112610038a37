"""The arguments of system calls as strace and htrun print them, converted to one form that can be compared.

Both trace the same calls. The kernel executes none of these calls (see guests/calls_listed.c).
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.run import HTRUN

_FIRST_AND_LAST = 'write(1, "", 0)'
"""The call that the program makes before and after the listed calls, as strace prints it."""
_STRACE_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += .*")
_HTRUN_CALL = re.compile(r".*:guest_user_syscall cpu=0x0  (?P<name>\w+)\((?P<arguments>.*)\)")
_COMMENT = re.compile(r"/\*.*?\*/")
_WORD = (1 << 64) - 1
_INT = (1 << 32) - 1


@dataclass(frozen=True)
class Call:
    """A system call that the program makes. ``is_32``: 1 for the interface of 32-bit code, 0 for that of 64-bit
    code."""

    is_32: int
    number: int
    arguments: tuple[int, ...]

    def pack(self) -> bytes:
        """The call as a ``struct call`` of calls_listed.c."""
        return struct.pack("<8Q", self.is_32, self.number, *(word & _WORD for word in self.arguments))


@dataclass(frozen=True)
class Shown:
    """A call as a tracer has printed it: its name and the text of each argument."""

    name: str
    arguments: tuple[str, ...]


def shown_by_strace(program: Path, calls: Sequence[Call]) -> list[Shown]:
    """The ``calls`` as strace prints them."""
    words = ["strace", "-qq", "-e", "abbrev=none", "-v", "-e", "signal=none", "-o", "/dev/stdout", str(program)]
    done = subprocess.run(words, input=_packed(calls), capture_output=True, check=True, timeout=240)
    lines = [line for line in done.stdout.decode().splitlines() if not line.startswith("[ Process PID=")]
    edges = [place for place, line in enumerate(lines) if line.startswith(_FIRST_AND_LAST)]
    return [_shown(_STRACE_CALL, line) for line in lines[edges[0] + 1 : edges[1]]]


def shown_by_htrun(program: Path, calls: Sequence[Call], log: Path) -> list[Shown]:
    """The ``calls`` as ``htrun --decode`` prints them. ``log``: the file to which htrun writes its log."""
    words: list[str | Path] = [HTRUN, "-trace", "guest_user_syscall", "--decode", "-D", log, program]
    subprocess.run(words, input=_packed(calls), capture_output=True, check=True, timeout=240)
    found = [_shown(_HTRUN_CALL, line) for line in log.read_text().splitlines()]
    edges = [place for place, call in enumerate(found) if call == Shown("write", ("1", '""', "0"))]
    return found[edges[0] + 1 : edges[1]]


def _packed(calls: Sequence[Call]) -> bytes:
    return b"".join(call.pack() for call in calls)


def _shown(line: re.Pattern[str], text: str) -> Shown:
    match = line.fullmatch(text)
    assert match is not None, text
    return Shown(match["name"], tuple(argument.partition("=")[2] or argument for argument in split(match["arguments"])))


def split(arguments: str) -> Iterator[str]:
    """Split ``arguments``, the text between the parentheses of a call, into single arguments."""
    depth, start = 0, 0
    text = _COMMENT.sub("", arguments)
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    if text[start:].strip():
        yield text[start:].strip()


def meaning(text: str) -> tuple[frozenset[str], int]:
    """The names in the text of an argument, and the bits for which the text contains no name."""
    names, rest = set(), 0
    for part in text.split("|"):
        word = part.strip()
        number = _number(word)
        if number is None:
            names.add(word)
        else:
            # Compare only the low 32 bits of a negative number: this test does not check whether an argument is signed.
            rest |= number & (_INT if -(1 << 31) <= number < 0 else _WORD)
    return frozenset(names), rest


def _number(word: str) -> int | None:
    if word in {"NULL", '""', "[]"}:
        return 0
    if re.fullmatch(r"0[0-7]*", word):
        return int(word, 8)
    return int(word, 0) if re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", word) else None
