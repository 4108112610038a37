"""Parses a ``print fmt`` into literal texts and conversions, and prints events with them.

(Linux: the conversions of Documentation/core-api/printk-formats.rst, and the macros of include/trace/stages.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from htrun.analysis.ftrace.c_expressions import (
    Braces,
    Call,
    CError,
    Constant,
    Evaluation,
    Node,
    Record,
    Value,
    fields,
    parse,
)
from htrun.analysis.ftrace.c_expressions import fitted as fitted_number

_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d{1,3})?(?:\.(?P<precision>\*|\d{1,3}))?(?P<length>hh|h|ll|l|q|L|z|j|t)?"
    r"(?P<kind>p[A-Za-z0-9]*|[diouxXcs%])"
)
_LENGTHS = {"hh": 8, "h": 16, "": 32}
"""The width of a number in bits, by the length modifier of its conversion.

With any other modifier, the width is 64. This is correct on 64-bit machines. It is also correct on others, because
fields are sign-extended.
"""
_SYMBOLS = re.compile("p[sSfFB]")
_GIVEN = frozenset(
    f"__get_{relative}{what}" for relative in ("", "rel_") for what in ("str", "dynamic_array", "bitmask", "cpumask",
                                                                       "sockaddr")
)  # fmt: skip
"""Functions that return the contents of a field. In an event's row, the field is already a text."""
_LISTS = frozenset(["__print_hex", "__print_hex_str", "__print_array"])
_FLAGS = frozenset(["__print_flags", "__print_flags_u64"])
_SYMBOLIC = frozenset(["__print_symbolic", "__print_symbolic_u64"])
_CALLS = _GIVEN | _LISTS | _FLAGS | _SYMBOLIC


class Conversion(NamedTuple):
    """One conversion. ``kind``: its letters in printk, such as ``d``, ``x`` or ``pS``; ``bits``: the width of the
    number; ``layout``: the flags, width and precision, with a ``*`` for each of ``widths``; ``node``: the expression
    whose value is printed."""

    kind: str
    bits: int
    layout: str
    widths: tuple[Node, ...]
    node: Node

    @property
    def is_symbol(self) -> bool:
        """Whether the conversion prints an address as the name of a function."""
        return _SYMBOLS.match(self.kind) is not None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All expressions whose values the conversion needs."""
        return (*self.widths, self.node)

    def text(self, record: Mapping[str, Value]) -> str:
        """The output for an event with the fields ``record``. Unknown values are printed as ``?``."""
        evaluation = Evaluation(record, called)
        try:
            layout = self.layout
            for width in self.widths:
                layout = layout.replace("*", str(fitted_number(evaluation.number(width), 8, signed=True)), 1)
            return self._printed(layout, evaluation.value(self.node))
        except CError:
            return "?"

    def _printed(self, layout: str, value: Value) -> str:
        if isinstance(value, str):
            flags, _, precision = layout.partition(".")
            return ("%" + re.sub("[+ #0]*", "", flags, count=1) + (f".{precision}" if precision else "") + "s") % value
        match self.kind[0]:
            case "d" | "i":
                return f"%{layout}d" % fitted_number(value, self.bits, signed=True)
            case "u":
                return f"%{layout}d" % fitted_number(value, self.bits, signed=False)
            case "x" | "X" | "o":
                return f"%{layout}{self.kind}" % fitted_number(value, self.bits, signed=False)
            case "c":
                return f"%{layout}s" % chr(value & 0xFF)
            case "p":
                return f"{fitted_number(value, 64, signed=False):016x}"
            case _:
                return f"%{layout}s" % value


Piece = str | Conversion


def pieces(print_format: str, known: Sequence[str]) -> tuple[Piece, ...]:
    """The parts of ``print_format``, a complete ``print fmt``, for an event with the fields ``known``.

    Raises `CError` if ``print_format`` uses a value that only the kernel knows.
    """
    first, *arguments = parse(print_format)
    if not isinstance(first, Constant) or not isinstance(first.value, str):
        raise CError("it does not begin with a string")
    found = tuple(_pieces(first.value, iter(arguments)))
    for piece in found:
        if isinstance(piece, Conversion):
            for node in piece.nodes:
                _check(node, known)
    return found


def symbol_fields(print_format: str) -> frozenset[str]:
    """The fields that ``print_format`` prints as names of functions and in no other form."""
    try:
        first, *arguments = parse(print_format)
        if not isinstance(first, Constant) or not isinstance(first.value, str):
            return frozenset()
        conversions = [piece for piece in _pieces(first.value, iter(arguments)) if isinstance(piece, Conversion)]
    except CError:
        return frozenset()
    symbols = {each.node.field for each in conversions if each.is_symbol and isinstance(each.node, Record)}
    others = {name for each in conversions if not each.is_symbol for node in each.nodes for name in fields(node)}
    return frozenset(symbols - others)


def called(call: Call, evaluation: Evaluation) -> Value:
    """The value of a call of an event macro of the kernel. Raises `CError` for any other call."""
    function, arguments = call
    if function not in _CALLS or not arguments:
        raise CError(f"{function}() is not known")
    if function in _GIVEN:
        return evaluation.value(arguments[0])
    if function in _LISTS:
        value = evaluation.value(arguments[0])
        return f"{{{value}}}" if function == "__print_array" else str(value)
    number = fitted_number(evaluation.number(arguments[0]), 64, signed=False)
    if function in _SYMBOLIC:
        return next((text for value, text in _pairs(arguments[1:], evaluation) if value == number), f"0x{number:x}")
    return _flags(number, str(evaluation.value(arguments[1])), _pairs(arguments[2:], evaluation))


def _flags(number: int, delimiter: str, names: Iterator[tuple[int, str]]) -> str:
    """The text of flags, formatted like the output of trace_print_flags_seq() (kernel/trace/trace_output.c)."""
    found = []
    for mask, name in names:
        if number & mask == mask:
            found.append(name)
            number &= ~mask
    if number:
        found.append(f"0x{number:x}")
    return delimiter.join(found)


def _pairs(arguments: Sequence[Node], evaluation: Evaluation) -> Iterator[tuple[int, str]]:
    for node in arguments:
        if not isinstance(node, Braces) or len(node.elements) != 2:
            raise CError("a list of values and names is malformed")
        value, name = node.elements
        yield fitted_number(evaluation.number(value), 64, signed=False), str(evaluation.value(name))


def _pieces(text: str, arguments: Iterator[Node]) -> Iterator[Piece]:
    at = 0
    for match in _CONVERSION.finditer(text):
        if match.start() > at:
            yield text[at : match.start()]
        at = match.end()
        if match["kind"] == "%":
            yield "%"
            continue
        stars = (match["width"], match["precision"]).count("*")
        try:
            widths = tuple(next(arguments) for _ in range(stars))
            node = next(arguments)
        except StopIteration:
            raise CError("the format has more conversions than arguments") from None
        precision = f".{match['precision']}" if match["precision"] is not None else ""
        layout = match["flags"] + (match["width"] or "") + precision
        yield Conversion(match["kind"], _LENGTHS.get(match["length"] or "", 64), layout, widths, node)
    if at < len(text):
        yield text[at:]


def _check(node: Node, known: Sequence[str]) -> None:
    for name in fields(node):
        if name not in known:
            raise CError(f"no field {name}")
    for function in _functions(node):
        if function not in _CALLS:
            raise CError(f"{function}() is not known")


def _functions(node: tuple[object, ...]) -> Iterator[str]:
    if isinstance(node, Call):
        yield node.function
    for child in node:
        if isinstance(child, tuple):
            # A node, or a tuple whose elements are nodes.
            yield from _functions(child)
