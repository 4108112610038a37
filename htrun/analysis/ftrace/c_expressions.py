"""Parses and evaluates the expressions in a ``print fmt``: the subset of C to which the kernel's event macros expand.

The subset consists of constants, ``REC->field`` and its elements, casts, operators, ``?:``, and calls. The caller of
this module evaluates the calls. Numbers are Python integers: the code that prints a number knows its width.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Value = int | str
"""The value of an expression."""

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<character>\'(?:[^\'\\]|\\.)+\')'
    r"|(?P<number>0[xX][0-9a-fA-F]+|\d+)[uUlL]*(?![\w.])|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<mark>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(),.{}\[\]]))"
)
_BITS = {
    "char": 8, "u8": 8, "s8": 8, "__u8": 8, "__s8": 8, "uint8_t": 8, "int8_t": 8,
    "short": 16, "u16": 16, "s16": 16, "__u16": 16, "__s16": 16, "uint16_t": 16, "int16_t": 16, "umode_t": 16,
    "__le16": 16, "__be16": 16,
    "int": 32, "u32": 32, "s32": 32, "__u32": 32, "__s32": 32, "uint32_t": 32, "int32_t": 32, "dev_t": 32,
    "pid_t": 32, "gfp_t": 32, "uid_t": 32, "gid_t": 32, "__le32": 32, "__be32": 32, "signed": 32, "unsigned": 32,
}  # fmt: skip
_SIGNED = frozenset(
    [
        "char", "short", "int", "long", "signed", "s8", "s16", "s32", "s64", "__s8", "__s16", "__s32", "__s64",
        "int8_t", "int16_t", "int32_t", "int64_t", "pid_t", "ssize_t", "loff_t",
    ]
)  # fmt: skip
_TYPE_WORDS = frozenset(
    [
        *_BITS, *_SIGNED, "const", "void", "struct", "enum", "union", "bool", "_Bool", "volatile", "__force", "u64",
        "__u64", "__le64", "__be64", "uint64_t", "size_t", "sector_t", "blkcnt_t", "ino_t", "uintptr_t", "fl_owner_t",
        "dma_addr_t", "phys_addr_t",
    ]
)  # fmt: skip
_LEVELS = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"),
    ("*", "/", "%"),
)  # fmt: skip
_MOST_DEPTH = 60
_MOST_SHIFT = 63


class CError(ValueError):
    """The text is not an expression, or the expression is not supported. The message is a single line."""


class Call(NamedTuple):
    """A call in an expression, which the caller of this module evaluates.

    ``arguments``: unevaluated. A list in braces is a `Braces`; a bare name of a field, such as the argument of
    ``__get_str``, is a `Name`.
    """

    function: str
    arguments: tuple[Node, ...]


class Braces(NamedTuple):
    """``{ a, b }``."""

    elements: tuple[Node, ...]


class Name(NamedTuple):
    """A bare name: a constant that the kernel has not resolved, or an argument of a call."""

    name: str


class Record(NamedTuple):
    """``REC->field`` or ``REC->field[index]``."""

    field: str
    element: Node | None = None


class Constant(NamedTuple):
    """A number or text."""

    value: Value


class Unary(NamedTuple):
    """An operator before its operand."""

    operator: str
    operand: Node


class Cast(NamedTuple):
    """The number ``operand`` truncated to ``bits`` bits, as a signed or unsigned number."""

    bits: int
    signed: bool
    operand: Node


class Binary(NamedTuple):
    """An operator between its operands."""

    operator: str
    left: Node
    right: Node


class Choice(NamedTuple):
    """``condition ? first : second``."""

    condition: Node
    first: Node
    second: Node


Node = Call | Braces | Name | Record | Constant | Unary | Cast | Binary | Choice


def parse(text: str) -> tuple[Node, ...]:
    """The comma-separated expressions in ``text``. Raises `CError`."""
    reader = _Reader(text)
    nodes = reader.arguments("")
    return tuple(nodes)


def fields(node: Node) -> Iterator[str]:
    """The names of the fields in ``node``, and the names that calls in ``node`` have as arguments."""
    match node:
        case Record(field, element):
            yield field
            if element is not None:
                yield from fields(element)
        case Name(name):
            yield name
        case Constant():
            return
        case Call(_, children) | Braces(children):
            for child in children:
                yield from fields(child)
        case _:
            for child in node:
                if isinstance(child, tuple):
                    yield from fields(child)


@dataclass(frozen=True)
class Evaluation:
    """Evaluates expressions for one event.

    ``record``: the values of the fields; the name of an element is ``field[0]``. ``call``: a function that returns the
    value of a call, given the call and this evaluation.
    """

    record: Mapping[str, Value]
    call: Callable[[Call, Evaluation], Value]

    def value(self, node: Node) -> Value:
        """The value of ``node``. Raises `CError`."""
        match node:
            case Constant(value):
                return value
            case Record(field, None) | Name(field):
                return self._field(field)
            case Record(field, element):
                assert element is not None
                return self._field(f"{field}[{self.number(element)}]")
            case Call():
                return self.call(node, self)
            case Choice(condition, first, second):
                return self.value(first if self.truth(condition) else second)
            case Cast(bits, signed, operand):
                value = self.value(operand)
                return value if isinstance(value, str) else fitted(value, bits, signed=signed)
            case Unary(operator, operand):
                return self._unary(operator, operand)
            case Binary(operator, left, right):
                return self._binary(operator, left, right)
            case _:
                raise CError("expected a value, found braces")

    def number(self, node: Node) -> int:
        """The value of ``node``. Raises `CError` if the value is not a number."""
        value = self.value(node)
        if isinstance(value, str):
            raise CError(f"expected a number, found the text {value!r}")
        return value

    def truth(self, node: Node) -> bool:
        """The truth value of ``node``: whether it is a nonzero number, or a text (which is an address in C). Raises
        `CError`."""
        value = self.value(node)
        return isinstance(value, str) or value != 0

    def _field(self, name: str) -> Value:
        try:
            return self.record[name]
        except KeyError:
            raise CError(f"no field {name}") from None

    def _unary(self, operator: str, operand: Node) -> int:
        if operator == "!":
            return int(not self.truth(operand))
        value = self.number(operand)
        return -value if operator == "-" else ~value if operator == "~" else value

    def _binary(self, operator: str, left: Node, right: Node) -> int:
        if operator == "&&":
            return int(self.truth(left) and self.truth(right))
        if operator == "||":
            return int(self.truth(left) or self.truth(right))
        return _arithmetic(operator, self.number(left), self.number(right))


def fitted(value: int, bits: int, *, signed: bool) -> int:
    """``value`` truncated to ``bits``."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _arithmetic(operator: str, left: int, right: int) -> int:
    match operator:
        case "/" | "%" if right == 0:
            raise CError("a division by zero")
        case "/" | "%":
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return quotient if operator == "/" else left - quotient * right
        case "<<" | ">>" if not 0 <= right <= _MOST_SHIFT:
            raise CError(f"a shift by {right}")
        case "<<":
            return left << right & (1 << 64) - 1
        case ">>":
            return left >> right
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case "==":
            return int(left == right)
        case "!=":
            return int(left != right)
        case "<":
            return int(left < right)
        case ">":
            return int(left > right)
        case "<=":
            return int(left <= right)
        case _:
            return int(left >= right)


class _Token(NamedTuple):
    kind: str
    text: str


class _Reader:
    """A recursive-descent parser of one text."""

    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        self._at = 0
        self._depth = 0
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise CError(f"{text[place : place + 20]!r} is not understood")
            self._tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
            place = match.end()

    def arguments(self, close: str) -> list[Node]:
        """Parse comma-separated expressions up to and including the token ``close``. If ``close`` is empty, parse up to
        the end."""
        nodes: list[Node] = []
        while self._peek() != close:
            nodes.append(self._expression())
            if self._peek() != close:
                self._take(",")
        if close:
            self._take(close)
        return nodes

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].text if at < len(self._tokens) else ""

    def _kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].kind if at < len(self._tokens) else ""

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise CError(f"expected {wanted!r}, found {self._peek() or 'the end'!r}")
        self._at += 1

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise CError("it is nested too deeply")
        try:
            condition = self._binary(0)
            if self._peek() != "?":
                return condition
            self._at += 1
            first = self._expression()
            self._take(":")
            return Choice(condition, first, self._expression())
        finally:
            self._depth -= 1

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._kind() == "mark" and self._peek() in _LEVELS[level]:
            operator = self._peek()
            self._at += 1
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        operator = self._peek()
        if self._kind() == "mark" and operator in ("!", "~", "-", "+", "&", "*"):
            self._at += 1
            operand = self._deeper(self._unary)
            # The address of a field, and the target of an address, are treated as the field itself.
            return operand if operator in ("&", "*") else Unary(operator, operand)
        if operator == "(" and self._type_length(1):
            return self._cast()
        return self._postfix(self._primary())

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise CError("it is nested too deeply")
        try:
            return read()
        finally:
            self._depth -= 1

    def _type_length(self, start: int) -> int:
        """The number of tokens, from ``start`` on, that form a type and a closing parenthesis; 0 if they are not a
        type."""
        length = 0
        while self._peek(start + length) in _TYPE_WORDS or (
            length and self._kind(start + length) == "name" and self._peek(start + length - 1) in ("struct", "enum")
        ):
            length += 1
        if not length:
            return 0
        while self._peek(start + length) == "*":
            length += 1
        return length + 1 if self._peek(start + length) == ")" else 0

    def _cast(self) -> Node:
        length = self._type_length(1)
        words = [self._peek(1 + place) for place in range(length - 1)]
        self._at += 1 + length
        operand = self._deeper(self._unary)
        return operand if "*" in words else Cast(*_number_type(words), operand)

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._peek() == "->" and node == Name("REC"):
                self._at += 1
                node = Record(self._name())
            elif self._peek() == "[" and isinstance(node, Record) and node.element is None:
                self._at += 1
                element = self._expression()
                self._take("]")
                node = Record(node.field, element)
            elif self._peek() in ("->", ".", "["):
                raise CError(f"{self._peek()!r} after an expression that is not a field of the event")
            else:
                return node

    def _name(self) -> str:
        if self._kind() != "name":
            raise CError(f"expected a name, found {self._peek() or 'the end'!r}")
        self._at += 1
        return self._tokens[self._at - 1].text

    def _primary(self) -> Node:
        kind, text = self._kind(), self._peek()
        self._at += 1
        match kind:
            case "string":
                return Constant("".join([_unquoted(text), *self._more_strings()]))
            case "character":
                return Constant(ord(_unquoted(text)[:1] or "\0"))
            case "number":
                return Constant(_number(text))
            case "name" if self._peek() == "(":
                return self._call(text)
            case "name":
                return Name(text)
            case "mark" if text == "(":
                node = self._expression()
                self._take(")")
                return node
            case "mark" if text == "{":
                return Braces(tuple(self.arguments("}")))
            case _:
                raise CError(f"expected a value, found {text or 'the end'!r}")

    def _more_strings(self) -> Iterator[str]:
        while self._kind() == "string":
            yield _unquoted(self._peek())
            self._at += 1

    def _call(self, function: str) -> Node:
        self._take("(")
        if function == "sizeof":
            length = self._type_length(0)
            if not length:
                raise CError("sizeof needs a type")
            words = [self._peek(place) for place in range(length - 1)]
            self._at += length
            return Constant(8 if "*" in words else _number_type(words)[0] // 8)
        return Call(function, tuple(self._deeper_arguments()))

    def _deeper_arguments(self) -> Sequence[Node]:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise CError("it is nested too deeply")
        try:
            return self.arguments(")")
        finally:
            self._depth -= 1


def _number_type(words: Sequence[str]) -> tuple[int, bool]:
    """The number of bits of the C type ``words``, and whether the type is signed."""
    signed = "unsigned" not in words and any(word in _SIGNED for word in words)
    sized = [word for word in words if word not in ("unsigned", "signed", "const", "volatile", "__force")]
    if "short" in sized:
        return 16, signed
    bits = [_BITS.get(word, 64) for word in sized] or [32]
    return max(bits) if "long" in sized else bits[0], signed


def _number(text: str) -> int:
    try:
        # A leading zero means octal.
        return int(text, 8 if text.startswith("0") and text.isdecimal() else 0)
    except ValueError:
        raise CError(f"{text} is not a C number") from None


def _unquoted(text: str) -> str:
    try:
        return str(ast.literal_eval(f'"{text[1:-1]}"' if text[0] == "'" else text))
    except (SyntaxError, ValueError):
        raise CError(f"{text[:30]} is not a C string") from None
