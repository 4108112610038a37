"""Conditions on events, as users write them: ``arg1 == 0xcafe and arg2 > 5``.

The syntax is Python's and is parsed with `ast`. Syntax that is not in the short list below is rejected. Expressions are
never passed to Python's ``eval``. They are evaluated on numpy arrays, so integers have 64 bits and wrap around as in C.
"""

from __future__ import annotations

import ast
import operator
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_COMPARING: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_INTEGERS_ONLY = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
_MOST_CHARACTERS = 10_000
_MOST_LEVELS = 100


class Columns(Protocol):
    """The fields of several events of one shape."""

    def column(self, name: str) -> NDArray[Any] | None:
        """The field ``name`` of every event, as an array of numbers or texts; None if the events have no field
        ``name``."""

    def labels(self, name: str) -> dict[str, int]:
        """The labels of the enumeration ``name``; empty for any other field."""


class _Lacking(Exception):
    """The events do not have this field."""


@dataclass(frozen=True)
class Expression:
    """A condition. ``text``: the condition as the user wrote it. ``names``: the names of the fields that it uses."""

    text: str
    names: frozenset[str]
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str, known: Collection[str]) -> Expression:
        """Parse the condition ``text``. Raises `HtrunError` if it is invalid or uses a field that is not among
        ``known``."""
        if len(text) > _MOST_CHARACTERS:
            raise HtrunError(f"the expression is longer than {_MOST_CHARACTERS} characters")
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise _wrong(text, f"{error.msg}") from None
        except (RecursionError, MemoryError, ValueError) as error:
            raise _wrong(text, f"it can't be read: {error}") from None
        _check(tree, text, 0)
        names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        for name in sorted(names.difference(known)):
            raise _wrong(text, f"there is no field {name!r}; choose from {', '.join(sorted(known, key=_natural))}")
        return cls(text, names, tree)

    def matches(self, columns: Columns, count: int) -> NDArray[np.bool_]:
        """A mask of the events that match. ``count``: the number of events. A comparison with a field that the events
        lack is false.

        Raises `HtrunError` if the condition cannot be evaluated for these events.
        """
        with np.errstate(all="ignore"):
            return np.broadcast_to(_Evaluation(self.text, columns).truth(self._tree), (count,))


def _natural(name: str) -> tuple[str, int]:
    """Sort key that puts ``arg2`` before ``arg10``."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def _wrong(text: str, reason: str) -> HtrunError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return HtrunError(f"the expression {shown!r} is invalid: {reason}")


def _check(node: ast.AST, text: str, level: int) -> None:
    """Raise `HtrunError` if ``node`` or a node below it is not supported."""
    if level > _MOST_LEVELS:
        raise _wrong(text, "it is nested too deeply")
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
                raise _wrong(text, f"{value:#x} does not fit into 64 bits")
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if value > 1 << 63:
            raise _wrong(text, f"-{value:#x} does not fit into 64 bits")
        case ast.BinOp(op=op) if type(op) not in _BINARY:
            raise _wrong(text, "the operators are + - * / // % & | ^ << >>")
        case ast.Compare():
            _check_comparison(node, text, level)
            return
        case (
            ast.Name() | ast.BoolOp() | ast.BinOp() | ast.UnaryOp()
            | ast.operator() | ast.unaryop() | ast.boolop() | ast.expr_context()
        ):  # fmt: skip
            pass
        case _:
            raise _wrong(text, f"{ast.unparse(node)[:40]!r} is not understood; use comparisons, and, or, not")
    for child in ast.iter_child_nodes(node):
        _check(child, text, level + 1)


def _check_comparison(node: ast.Compare, text: str, level: int) -> None:
    _check(node.left, text, level + 1)
    for comparison, right in zip(node.ops, node.comparators, strict=True):
        match comparison, right:
            case ast.In() | ast.NotIn(), ast.Tuple() | ast.List() | ast.Set():
                for element in right.elts:
                    _check(element, text, level + 1)
            case _ if type(comparison) in _COMPARING:
                _check(right, text, level + 1)
            case _:
                raise _wrong(text, "comparisons are == != < <= > >=, and 'in' with a list such as (1, 2)")


class _Evaluation:
    """Evaluates one expression on several events of one shape."""

    def __init__(self, text: str, columns: Columns) -> None:
        self._text = text
        self._columns = columns

    def truth(self, node: ast.expr) -> Any:
        """The truth value of ``node`` for each event."""
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return np.logical_and.reduce(np.broadcast_arrays(*map(self.truth, values)))
            case ast.BoolOp(values=values):
                return np.logical_or.reduce(np.broadcast_arrays(*map(self.truth, values)))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self.truth(operand))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                pairs = zip(sides, ops, comparators, strict=False)
                return np.logical_and.reduce(np.broadcast_arrays(*(self._compare(*pair) for pair in pairs)))
            case _:
                try:
                    value = self._value(node)
                except _Lacking:
                    return np.False_
                return value != "" if _is_text(value) else value != 0

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.Tuple | ast.List | ast.Set)
            if self._lacks(left):
                return np.False_
            equals = [self._compare(left, ast.Eq(), each) for each in right.elts]
            found = np.logical_or.reduce(np.broadcast_arrays(*equals)) if equals else np.False_
            return np.logical_not(found) if isinstance(op, ast.NotIn) else found
        try:
            first, second = self._labelled(left, right), self._labelled(right, left)
        except _Lacking:
            return np.False_
        if _is_text(first) != _is_text(second):
            raise _wrong(
                self._text,
                f"{ast.unparse(left)} and {ast.unparse(right)} cannot be compared: one is a text, the other a number",
            )
        return _COMPARING[type(op)](first, second)

    def _lacks(self, node: ast.expr) -> bool:
        names = (child.id for child in ast.walk(node) if isinstance(child, ast.Name))
        return any(self._columns.column(name) is None for name in names)

    def _labelled(self, node: ast.expr, other: ast.expr) -> Any:
        """The value of ``node``. If ``node`` is a text and ``other`` an enumeration, the value is the number that has
        this label."""
        match node, other:
            case ast.Constant(value=str() as label), ast.Name(id=name) if labels := self._columns.labels(name):
                if label not in labels:
                    raise _wrong(self._text, f"{name} is never {label!r}; its values are {', '.join(labels)}")
                return np.uint64(labels[label])
        return self._value(node)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return _constant(value)
            case ast.Name(id=name):
                column = self._columns.column(name)
                if column is None:
                    raise _Lacking
                return column
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return np.int64(-value)
            case ast.UnaryOp(op=op, operand=operand) if not isinstance(op, ast.Not):
                return self._unary(op, self._number(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(self._number(left), op, self._number(right))
            case _:
                return self.truth(node)

    def _number(self, node: ast.expr) -> Any:
        value = self._value(node)
        if _is_text(value):
            raise _wrong(self._text, f"{ast.unparse(node)} is a text; texts can only be compared")
        return value.astype(np.int64) if value.dtype == np.bool_ else value

    def _unary(self, op: ast.unaryop, value: Any) -> Any:
        if isinstance(op, ast.Invert):
            self._only_integers(value)
            return ~value
        return -value if isinstance(op, ast.USub) else value

    def _arithmetic(self, left: Any, op: ast.operator, right: Any) -> Any:
        if isinstance(op, _INTEGERS_ONLY):
            self._only_integers(left, right)
        if left.dtype != right.dtype and left.dtype.kind in "iu" and right.dtype.kind in "iu":
            # numpy would convert integers of different types to floats, which cannot hold 64 bits.
            left, right = left.astype(np.int64), right.astype(np.int64)
        return _BINARY[type(op)](left, right)

    def _only_integers(self, *values: Any) -> None:
        if any(value.dtype.kind not in "iu" for value in values):
            raise _wrong(self._text, "the operators & | ^ ~ << >> are for whole numbers")


def _constant(value: bool | int | float | str) -> Any:
    match value:
        case bool():
            return np.int64(value)
        case int():
            return np.uint64(value)
        case float():
            return np.float64(value)
        case _:
            return np.str_(value)


def _is_text(value: Any) -> bool:
    return bool(value.dtype.kind == "U")
