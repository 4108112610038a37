"""Typed arguments as columns of text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from htrun.events.arguments import Argument, ArgumentType
from htrun.sinks.columns import decimal, from_texts, hexadecimal, signed_decimal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from htrun.sinks.columns import Column


@dataclass(frozen=True)
class Notation:
    """The notation of a format for values that are not plain numbers.

    ``real``: formats a float. ``label``: formats an enumeration's label, or a text. ``hexadecimal``: the characters
    before and after hexadecimal digits; None if hexadecimal arguments are written as decimal numbers. ``spec``: whether
    the user's format specifications are followed.
    """

    real: Callable[[float], str]
    label: Callable[[str], str]
    hexadecimal: tuple[bytes, bytes] | None = None
    spec: bool = False


def json_real(value: float) -> str:
    """``value`` in JSON. JSON has no infinities and no NaN, so these values become strings that Python, JavaScript and
    DuckDB convert to floats."""
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def comma_separated(text: str) -> str:
    """``text`` as a field of CSV: in quotes if it needs them. A NUL, which few readers accept, becomes a ``?``."""
    text = text.replace("\0", "?")
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


def on_one_line(text: str) -> str:
    """``text`` on one line. Characters that would end or spoil the line are escaped as in Python."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


JSON = Notation(json_real, json.dumps)
"""The notation of JSON for programs: addresses are numbers, too."""
VIEWER = Notation(json_real, json.dumps, hexadecimal=(b'"0x', b'"'))
"""The notation of JSON for people, and for viewers that keep only 53 bits of a number."""
CSV = Notation(repr, comma_separated)
LOG = Notation(str, on_one_line, hexadecimal=(b"0x", b""), spec=True)


def texts(argument: Argument, words: NDArray[np.uint64], notation: Notation) -> list[Column]:
    """The columns that together form the text of each of ``words`` (at least one word). ``argument``: the meaning of
    the words."""
    if argument.spec and notation.spec:
        return [from_texts([argument.text(word).encode() for word in words.tolist()])]
    match argument.type:
        case ArgumentType.I64:
            return [signed_decimal(argument.values(words))]
        case ArgumentType.F64:
            return [from_texts([notation.real(value).encode() for value in argument.values(words).tolist()])]
        case ArgumentType.BOOL:
            return [from_texts([b"false", b"true"])[argument.values(words).view("u1")]]
        case ArgumentType.ENUM | ArgumentType.TEXT:
            return [_labels(argument, words, notation)]
        case ArgumentType.HEX if notation.hexadecimal is not None:
            before, after = notation.hexadecimal
            return [before, hexadecimal(words), after]
        case _:
            return [decimal(words)]


def _labels(argument: Argument, words: NDArray[np.uint64], notation: Notation) -> NDArray[np.uint8]:
    import numpy as np

    used, place = np.unique(words, return_inverse=True)
    values = [argument.value(word) for word in used.tolist()]
    labels = [notation.label(value) if isinstance(value, str) else str(value) for value in values]
    return from_texts([label.encode(errors="replace") for label in labels])[place]
