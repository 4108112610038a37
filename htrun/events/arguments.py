"""Typed arguments: the meaning of the 64 bits of an event's argument, and the text that shows them."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
"""The valid names of arguments and of an enumeration's values. C and SQL accept these names, too."""
_MAX_WORD = (1 << 64) - 1
_MIN_SIGNED = -(1 << 63)


class ArgumentType(Enum):
    """The type of an argument's 64 bits. The value of a member is its name in a TOML file."""

    U64 = "u64"
    I64 = "i64"
    F64 = "f64"
    HEX = "hex"
    """A u64 that is shown in hexadecimal, such as an address or flags."""
    BOOL = "bool"
    ENUM = "enum"
    TEXT = "text"
    """The number of a text in ``labels``.

    Only events of a guest's kernel have such arguments; users cannot declare them.
    """


_DECLARED = {type_.value: type_ for type_ in ArgumentType if type_ is not ArgumentType.TEXT}


@dataclass(frozen=True)
class Argument:
    """One argument. ``spec``: a Python format specification; empty for the default format of the type.

    ``labels``: the names of an enumeration's values. For `ArgumentType.TEXT`, these are all texts so far.
    """

    name: str
    type: ArgumentType = ArgumentType.U64
    spec: str = ""
    labels: Mapping[int, str] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str) -> Argument:
        """Parse ``NAME[:TYPE[:SPEC]]``. Raises `ValueError` with a message of one line."""
        name, _, rest = text.partition(":")
        type_name, _, spec = rest.partition(":")
        if not IDENTIFIER.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name for an argument: use letters, digits and _")
        try:
            type_ = _DECLARED[type_name or "u64"]
        except KeyError:
            known = ", ".join(_DECLARED)
            raise ValueError(f"{name} has the unknown type {type_name!r}; choose from {known}") from None
        if type_ is ArgumentType.ENUM:
            return cls(name, type_, labels=_labels(name, spec))
        if type_ is ArgumentType.U64 and spec == "hex":
            return cls(name, ArgumentType.HEX)
        if spec:
            _check_spec(name, type_, spec)
        return cls(name, type_, spec)

    def value(self, word: int) -> int | float | bool | str:
        """The value of the 64 bits ``word``. For an enumeration, this is the value's label, or the number if the value
        has no label."""
        match self.type:
            case ArgumentType.I64:
                return word - (1 << 64) if word >> 63 else word
            case ArgumentType.F64:
                return float(struct.unpack("<d", word.to_bytes(8, "little"))[0])
            case ArgumentType.BOOL:
                return word != 0
            case ArgumentType.ENUM | ArgumentType.TEXT:
                return self.labels.get(word, word)
            case _:
                return word

    def text(self, word: int) -> str:
        """The text of the 64 bits ``word``, for people to read."""
        value = self.value(word)
        if self.spec:
            return format(value, self.spec)
        match self.type:
            case ArgumentType.HEX:
                return f"0x{word:016x}"
            case ArgumentType.BOOL:
                return "true" if value else "false"
            case _:
                return str(value)

    def values(self, words: NDArray[np.uint64]) -> NDArray[Any]:
        """The values of all ``words``, as u8, i8, f8 or bool. Enumerations and texts remain numbers."""
        import numpy as np

        match self.type:
            case ArgumentType.I64:
                return words.astype(np.uint64).view(np.int64)
            case ArgumentType.F64:
                return words.astype(np.uint64).view(np.float64)
            case ArgumentType.BOOL:
                return words.astype(np.bool_)
            case _:
                return words.astype(np.uint64)


def _check_spec(name: str, type_: ArgumentType, spec: str) -> None:
    if type_ in {ArgumentType.HEX, ArgumentType.BOOL}:
        raise ValueError(f"{name}: the type {type_.value} takes no format, but {spec!r} is given")
    try:
        format(0.0 if type_ is ArgumentType.F64 else 0, spec)
    except ValueError:
        raise ValueError(f"{name}: {spec!r} is not a format for {type_.value}") from None


def _labels(name: str, text: str) -> dict[int, str]:
    labels: dict[int, str] = {}
    for pair in text.split(","):
        label, equals, number = (part.strip() for part in pair.partition("="))
        if not equals or not IDENTIFIER.fullmatch(label):
            raise ValueError(f"{name}: {pair!r} is not LABEL=NUMBER; write {name}:enum:READ=0,WRITE=1")
        try:
            value = int(number, 0)
        except ValueError:
            raise ValueError(f"{name}: {number!r} is not a number") from None
        if not _MIN_SIGNED <= value <= _MAX_WORD:
            raise ValueError(f"{name}: {number} does not fit into 64 bits")
        if label in labels.values() or value & _MAX_WORD in labels:
            raise ValueError(f"{name}: {pair!r} contains a label or a number twice")
        labels[value & _MAX_WORD] = label
    return labels
