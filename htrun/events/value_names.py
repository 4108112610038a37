"""The names of the values that arguments of system calls can have: names of numbers and names of bits.

The names are in `argument_names.txt`, which is read on first use.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ValueText = Callable[[int], str]
"""Formats the value of an argument. The value is a whole word, even if the argument uses only a part of the word."""

_FILE = Path(__file__).with_name("argument_names.txt")
_GROUP = re.compile(r"(?P<name>\w+): (?P<kind>numbers|bits)(?:, numbers in (?P<mask>0x\w+))? \((?P<headers>.+)\)")
_INT = 0xFFFFFFFF


@dataclass(frozen=True)
class Group:
    """A group of names that belong together. ``mask``: the bits that contain a number; None if the whole value is a
    number. ``arguments``: all arguments that use these names, as ``call.argument``."""

    name: str
    mask: int | None
    headers: tuple[str, ...]
    arguments: tuple[str, ...]
    values: tuple[tuple[int, str], ...]

    def text(self) -> ValueText:
        """The function that formats a value with these names."""
        if self.mask is None:
            return Numbers({value & _INT: name for value, name in self.values})
        numbers = {value: name for value, name in self.values if not value & ~self.mask}
        bits = [(value, name) for value, name in self.values if value & ~self.mask]
        text: ValueText = Bits(tuple(bits), self.mask, Numbers(numbers))
        return WithPart(text, *_PARTS[self.name]) if self.name in _PARTS else text


@dataclass(frozen=True)
class Numbers:
    """Formats a value as its name."""

    names: Mapping[int, str]

    def __call__(self, value: int) -> str:
        return self.names.get(value) or _unnamed(value)


@dataclass(frozen=True)
class Bits:
    """Formats a value as the number in the bits of ``mask``, then the names of the other bits that are set.

    ``names``: a name for each bit or group of bits.
    """

    names: tuple[tuple[int, str], ...]
    mask: int = 0
    number: ValueText = str

    def __call__(self, value: int) -> str:
        rest = value & ~self.mask
        texts = []
        # A name for several bits replaces the names of the single bits.
        for bits, name in sorted(self.names, key=lambda each: -each[0].bit_count()):
            if rest & bits == bits:
                texts.append((bits, name))
                rest &= ~bits
        number = self.number(value & self.mask)
        shown = [] if number == "0" or ((texts or rest) and not self.mask) else [number]
        named = [name for _, name in sorted(texts)]
        return "|".join([*shown, *named, *([hex(rest)] if rest else [])]) or "0"


@dataclass(frozen=True)
class WithPart:
    """Formats the bits of ``mask`` with ``part``, and the other bits with ``text``. If all bits of ``mask`` are 0,
    these bits are omitted."""

    text: ValueText
    mask: int
    part: ValueText

    def __call__(self, value: int) -> str:
        rest, inner = value & ~self.mask, value & self.mask
        if not inner:
            return self.text(rest)
        texts = [self.text(rest)] if rest or self.text(0) != "0" else []
        return "|".join([*texts, self.part(inner)])


@dataclass(frozen=True)
class _HugePages:
    """Formats the binary logarithm of a page size, which is a separate bit field (asm-generic/hugetlb_encode.h)."""

    shift: str

    def __call__(self, value: int) -> str:
        return f"{value >> _HUGE_SHIFT}<<{self.shift}"


_HUGE_SHIFT, _HUGE_MASK = 26, 0x3F << 26


def _unnamed(value: int) -> str:
    return hex(value) if value else "0"


def directory(value: int) -> str:
    """The text of a directory's descriptor."""
    signed = (value & _INT) - (1 << 32) if value >> 31 & 1 else value & _INT
    return "AT_FDCWD" if signed == _AT_FDCWD else str(signed)


_AT_FDCWD = -100


def signal_name(value: int) -> str:
    """The name of a signal.

    Signals without a name are numbered from the kernel's first real-time signal, as in strace.
    """
    value &= _INT
    if _FIRST_REAL_TIME <= value <= _LAST_REAL_TIME:
        return f"SIGRT_{value - _FIRST_REAL_TIME}" if value > _FIRST_REAL_TIME else "SIGRTMIN"
    try:
        return signal.Signals(value).name
    except ValueError:
        return str(value - (1 << 32) if value >> 31 else value)


_FIRST_REAL_TIME, _LAST_REAL_TIME = 32, 64
"""SIGRTMIN and _NSIG (asm/signal.h). The C library reserves the first two real-time signals."""


def clone_flags(value: int) -> str:
    """The text of clone's flags; the low byte is the signal that the parent gets when the child exits."""
    return WithPart(groups()["clone"].text(), _CLONE_SIGNAL, signal_name)(value)


_CLONE_SIGNAL = 0xFF
"""CSIGNAL (linux/sched.h)."""


def mode(value: int) -> str:
    """The text of a file's mode (umode_t), which has 16 bits."""
    return f"0{value & 0xFFFF:o}"


def file_mode(value: int) -> str:
    """The text of a mode that includes the file's kind (S_IF*, linux/stat.h)."""
    value &= 0xFFFF
    kind = _FILE_KINDS.get(value & _FILE_KIND)
    if kind is None and value & _FILE_KIND:
        return mode(value)
    bits = [name for bit, name in _FILE_BITS if value & bit]
    return "|".join([*([kind] if kind else []), *bits, mode(value & 0o777)])


_FILE_KIND = 0o170000
_FILE_KINDS = {
    0o140000: "S_IFSOCK", 0o120000: "S_IFLNK", 0o100000: "S_IFREG", 0o60000: "S_IFBLK", 0o40000: "S_IFDIR",
    0o20000: "S_IFCHR", 0o10000: "S_IFIFO",
}  # fmt: skip
_FILE_BITS = ((0o4000, "S_ISUID"), (0o2000, "S_ISGID"), (0o1000, "S_ISVTX"))


def statx_flags(value: int) -> str:
    """The text of statx's flags. Two of the bits form a number that selects how up to date the answer must be."""
    text = groups()["statx"].text()(value)
    if value & _STATX_FRESHNESS:
        return text
    return f"AT_STATX_SYNC_AS_STAT|{text}" if value else "AT_STATX_SYNC_AS_STAT"


_STATX_FRESHNESS = 0x6000
"""AT_STATX_SYNC_TYPE (linux/fcntl.h)."""


def personality(value: int) -> str:
    """The text of a persona and flags; if all bits are set, the call queries the current persona."""
    return hex(value) if value == _INT else groups()["personality"].text()(value)


def identity(value: int) -> str:
    """The text of a user's or group's id, which has 32 bits; -1 leaves the id unchanged."""
    return str(value & _INT) if value & _INT != _INT else "-1"


def identity_16(value: int) -> str:
    """The text of a user's or group's id that has 16 bits (old_uid_t); -1 leaves the id unchanged."""
    return str(value & 0xFFFF) if value & 0xFFFF != 0xFFFF else "-1"


def _shared_memory(value: int) -> str:
    pages, permissions = value & _HUGE_MASK, value & 0o777
    texts = [_HugePages("SHM_HUGE_SHIFT")(pages)] if pages else []
    return "|".join([*texts, *([mode(permissions)] if permissions else [])])


_PARTS: Mapping[str, tuple[int, ValueText]] = {
    "mapping": (_HUGE_MASK, _HugePages("MAP_HUGE_SHIFT")),
    "memfd": (_HUGE_MASK, _HugePages("MFD_HUGE_SHIFT")),
    "shm_create": (_HUGE_MASK | 0o777, _shared_memory),
    "ipc_create": (0o777, mode),
    "swap": (0x7FFF, str),
}
"""Groups of names for values that consist of flags and a number. For each group: the mask of the number, and the
function that formats the number."""


@cache
def meanings() -> Mapping[str, ValueText]:
    """The functions that format the values of arguments, by ``call.argument``."""
    return {argument: text for group in groups().values() for text in [group.text()] for argument in group.arguments}


@cache
def groups() -> Mapping[str, Group]:
    """All groups of names, by their names."""
    lines = [line for line in _FILE.read_text().splitlines() if line and not line.startswith("#")]
    heads = [place for place, line in enumerate(lines) if not line.startswith(" ")]
    found = [_group(lines[start:end]) for start, end in zip(heads, [*heads[1:], len(lines)], strict=True)]
    return {group.name: group for group in found}


def _group(lines: list[str]) -> Group:
    head = _GROUP.fullmatch(lines[0])
    assert head is not None, lines[0]
    words = [line.split() for line in lines[1:]]
    arguments = [word for line in words if line[0] == "of" for word in line[1:]]
    values = [word for line in words if line[0] != "of" for word in line]
    numbers = head["kind"] == "numbers"
    mask = None if numbers else int(head["mask"] or "0", 16)
    return Group(
        head["name"],
        mask,
        tuple(head["headers"].split()),
        tuple(arguments),
        tuple(_values(values, _INT if mask is None else mask)),
    )


def _values(words: list[str], mask: int) -> Iterator[tuple[int, str]]:
    value = 0
    for word in words:
        if word[0].isdigit() or word[0] == "-":
            value = int(word, 0)
            continue
        yield value, word
        value = value * 2 if value & ~mask & _INT else value + 1
