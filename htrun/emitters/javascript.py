"""JavaScript for Node.js: a function for each event, and one for each span, whose result has a method ``end``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from htrun.emitters.model import Field, Model, Single, Span, camel, definition_lines, escaped
from htrun.events.arguments import ArgumentType

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

_WRITERS = {ArgumentType.F64: "float", ArgumentType.BOOL: "truth"}
_TYPES = {ArgumentType.F64: "number", ArgumentType.BOOL: "boolean"}
_KEYWORDS = (
    "abstract arguments await boolean break byte case catch char class const continue debugger default delete do "
    "double else enum eval export extends false final finally float for function goto if implements import in "
    "instanceof int interface let long native new null package private protected public return short static super "
    "switch synchronized this throw throws transient true try typeof undefined var void volatile while with yield "
    "async of core module exports require constructor prototype end __proto__ Object Symbol"
)
_WORDS = frozenset(_KEYWORDS.split())
"""Reserved words, names of the generated code, and members of every span."""
_SAFE = 1 << 53
_HEAD = """\
// Made by hypertrace header --lang javascript from {source}; change that file, and generate this one again.
"use strict";

const core = require("hypertrace-guest/core");

core.publish(
    {definitions},
);

/** Arguments that the channel must have: htrun --hypertrace PATH,args={num_args} */
exports.NUM_ARGS = {num_args};
"""


def javascript_module(names: NamedEvents, prefix: str, source: str) -> str:
    """The text of the module (CommonJS) for ``names``, which come from a file called ``source``. ``prefix`` is not
    used: a module has a name. Raises `HtrunError` for names that are not possible."""
    del prefix
    model = Model(names, "JavaScript", _WORDS, {"NUM_ARGS"})
    head = _HEAD.format(
        source=source.encode("ascii", "replace").decode(),
        num_args=names.num_args,
        definitions=" +\n    ".join(f'"{escaped(line)}"' for line in definition_lines(names)) or '""',
    )
    lines = [head.rstrip("\n")]
    for part in model.parts:
        for field in part.all_fields:
            if field.argument.type is ArgumentType.ENUM:
                lines += ["", *_enum(part, field)]
    for part in model.parts:
        lines += ["", *(_span(part) if isinstance(part, Span) else _single(part))]
    return "\n".join([*lines, ""])


def _enum(part: Single | Span, field: Field) -> Iterator[str]:
    yield f"exports.{part.name}_{field.argument.name} = Object.freeze({{"
    for value, label in field.argument.labels.items():
        yield f'    "{escaped(label)}": {_number(value)},'
    yield "});"


def _single(single: Single) -> Iterator[str]:
    yield from _documentation("Emits an event.", single.fields)
    yield f"exports.{single.name} = function ({_parameters(single.fields)}) {{"
    yield "    if (core.isOpen) {"
    yield from _emit(single.event.id, single.fields, [field.name for field in single.fields], " " * 8)
    yield "    }"
    yield "};"


def _span(span: Span) -> Iterator[str]:
    name = f"{camel(span.name)}Span"
    yield f"class {name} {{"
    yield f"    constructor({_parameters(span.fields)}) {{"
    # The same properties, with and without a channel: code that uses spans stays fast.
    for field in span.end_fields:
        yield f"        this.{field.name} = {field.name if field in span.fields else _default(field)};"
    yield "        this._ended = !core.isOpen;"
    yield "        if (core.isOpen) {"
    yield from _emit(span.begin.id, span.fields, [field.name for field in span.fields], " " * 12)
    yield "        }"
    yield "    }"
    yield ""
    yield "    /** Ends the span. Further calls do nothing. */"
    yield "    end() {"
    yield "        if (!this._ended) {"
    yield "            this._ended = true;"
    yield from _emit(span.end.id, span.end_fields, [f"this.{field.name}" for field in span.end_fields], " " * 12)
    yield "        }"
    yield "    }"
    yield "}"
    yield f"core.disposable({name});"
    yield ""
    ends = ", ".join(field.name for field in span.end_fields)
    about = "Begins a span, which end() ends."
    yield from _documentation(f"{about} Properties: {ends}." if ends else about, span.fields)
    yield f"exports.{span.name} = function ({_parameters(span.fields)}) {{"
    yield f"    return new {name}({_parameters(span.fields)});"
    yield "};"


def _emit(id_: int, fields: Sequence[Field], values: Sequence[str], indent: str) -> Iterator[str]:
    """The statements that write the words of an event, and emit it. Writing may throw, so it comes first."""
    for place, (field, value) in enumerate(zip(fields, values, strict=True), 1):
        yield f"{indent}core.{_WRITERS.get(field.argument.type, 'integer')}({place}, {value});"
    yield f"{indent}core.pair(0, {id_ & 0xFFFFFFFF:#x}, {id_ >> 32:#x});"
    yield f"{indent}core.emit();"


def _documentation(text: str, fields: Sequence[Field]) -> Iterator[str]:
    yield "/**"
    yield f" * {text}"
    for field in fields:
        yield f" * @param {{{_TYPES.get(field.argument.type, 'number|bigint')}}} {field.name}"
    yield " */"


def _default(field: Field) -> str:
    return "false" if field.argument.type is ArgumentType.BOOL else "0"


def _parameters(fields: Sequence[Field]) -> str:
    return ", ".join(field.name for field in fields)


def _number(value: int) -> str:
    return f"{value:#x}" if abs(value) < _SAFE else f"{value:#x}n"
