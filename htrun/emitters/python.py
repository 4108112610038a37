"""Python: a function for each event, and one for each span, which is for the statement ``with``."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from htrun.emitters.model import Field, Model, Single, Span, definition_lines
from htrun.events.arguments import ArgumentType

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

_CODES = {ArgumentType.I64: "i", ArgumentType.F64: "f", ArgumentType.BOOL: "b"}
_TYPES = {"i": "int", "u": "int", "f": "float", "b": "bool"}
_HEAD = """\
# Made by hypertrace header --lang python from {source}; change that file, and generate this one again.
from collections.abc import Callable
from enum import IntEnum

from hypertrace_guest import generated as _generated

__all__ = [{exported}]

# Arguments that the channel must have: htrun --hypertrace PATH,args={num_args}
NUM_ARGS = {num_args}

_generated.publish(
    {definitions}
)
"""


def python_module(names: NamedEvents, prefix: str, source: str) -> str:
    """The text of the module for ``names``, which come from a file called ``source``. ``prefix`` is not used: a module
    has a name. Raises `HtrunError` for names that are not possible."""
    del prefix
    words = frozenset((*keyword.kwlist, *keyword.softkwlist))
    model = Model(names, "Python", words, {"NUM_ARGS", "Callable", "IntEnum", "int", "float", "bool"})
    exported = [*(part.name for part in model.parts), *(name for name, _ in _enums(model)), "NUM_ARGS"]
    head = _HEAD.format(
        source=source.replace("\n", " "),
        exported=", ".join(f'"{name}"' for name in exported),
        num_args=names.num_args,
        definitions="\n    ".join(map(ascii, definition_lines(names))),
    )
    lines = [head.rstrip("\n")]
    for name, field in _enums(model):
        lines += ["", "", f"class {name}(IntEnum):"]
        lines += [f"    {_label(label)} = {value:#x}" for value, label in field.argument.labels.items()]
    for part in model.parts:
        lines += ["", *(_span(part) if isinstance(part, Span) else _single(part))]
    return "\n".join([*lines, ""])


def _single(single: Single) -> Iterator[str]:
    fields = single.fields
    yield f"# {single.event.name}({', '.join(field.name for field in fields)})"
    signature = ", ".join(_TYPES[_code(field)] for field in fields)
    call = f'_generated.event({single.event.id:#x}, "{_codes(fields)}", {_names(fields)})'
    yield f"{single.name}: Callable[[{signature}], None] = {call}"


def _span(span: Span) -> Iterator[str]:
    ends = ", ".join(field.name for field in span.end_fields)
    yield f"# with {span.name}({', '.join(field.name for field in span.fields)}){' as span: ' + ends if ends else ''}"
    signature = ", ".join(_TYPES[_code(field)] for field in span.fields)
    kept = _tuple([str(span.fields.index(field) if field in span.fields else -1) for field in span.end_fields])
    yield f"{span.name}: Callable[[{signature}], _generated.Span] = _generated.span("
    yield f"    {span.begin.id:#x},"
    yield f"    {span.end.id:#x},"
    yield f'    ("{_codes(span.fields)}", "{_codes(span.end_fields)}"),'
    yield f"    {kept},"
    yield f"    ({_names(span.fields)}, {_names(span.end_fields)}),"
    yield ")"


def _enums(model: Model) -> Iterator[tuple[str, Field]]:
    for part in model.parts:
        for field in part.all_fields:
            if field.argument.type is ArgumentType.ENUM:
                yield f"{part.name}_{field.argument.name}", field


def _label(label: str) -> str:
    # "mro" can't be a member of an enumeration (enum, "Supported __dunder__ names").
    return f"{label}_" if keyword.iskeyword(label) or label == "mro" or label.startswith("_") else label


def _code(field: Field) -> str:
    return _CODES.get(field.argument.type, "u")


def _codes(fields: Sequence[Field]) -> str:
    return "".join(map(_code, fields))


def _names(fields: Sequence[Field]) -> str:
    return _tuple([f'"{field.name}"' for field in fields])


def _tuple(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
