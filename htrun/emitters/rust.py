"""Rust: a function for each event, and a guard for each span, which ends when it is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from htrun.emitters.model import Field, Model, Single, Span, camel, definition_lines, escaped
from htrun.events.arguments import ArgumentType

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

_TYPES = {ArgumentType.I64: "i64", ArgumentType.F64: "f64", ArgumentType.BOOL: "bool"}
_KEYWORDS = (
    "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move "
    "mut pub ref return Self self static struct super trait true type union unsafe use where while abstract become box "
    "do final macro override priv try typeof unsized virtual yield gen hypertrace u64 i64 f64 bool usize"
)
_WORDS = frozenset(_KEYWORDS.split())
"""Keywords of all editions, reserved words, and names that the generated code uses."""
_HEAD = """\
// Made by hypertrace header --lang rust from {source}; change that file, and generate this one again.
#![allow(dead_code, non_camel_case_types, clippy::all)]

/// Arguments that the channel must have: htrun --hypertrace PATH,args={num_args}
pub const NUM_ARGS: usize = {num_args};

hypertrace::definitions!(concat!(
    {definitions}
));
"""


def rust_module(names: NamedEvents, prefix: str, source: str) -> str:
    """The text of the module for ``names``, which come from a file called ``source``. ``prefix`` is not used: a module
    has a name. Raises `HtrunError` for names that are not possible."""
    del prefix
    model = Model(names, "Rust", _WORDS, {"NUM_ARGS"})
    head = _HEAD.format(
        source=source.replace("\n", " "),
        num_args=names.num_args,
        definitions=",\n    ".join(map(_literal, definition_lines(names))),
    )
    lines = [head.rstrip("\n")]
    for part in model.parts:
        lines += ["", *(_span(part, model) if isinstance(part, Span) else _single(part, model))]
    return "\n".join([*lines, ""])


def _single(single: Single, model: Model) -> Iterator[str]:
    owner = model.identifier(single.event.name, in_camel_case=True)
    yield from _enums(single.fields, owner, model)
    yield f"/// Emits the event {_title(single.event.name)}."
    yield "#[inline]"
    yield f"pub fn {single.name}({_parameters(single.fields, owner)}) {{"
    yield f"    hypertrace::emit({single.event.id:#x}, [{_words(single.fields)}]);"
    yield "}"


def _span(span: Span, model: Model) -> Iterator[str]:
    name = model.identifier(span.begin.name, in_camel_case=True)
    yield from _enums(span.all_fields, name, model)
    yield f"/// A span {_title(span.begin.name)}, which ends when this is dropped."
    yield '#[must_use = "the span ends when this is dropped"]'
    yield f"pub struct {name} {{"
    for field in span.end_fields:
        yield f"    pub {field.name}: {_type(field, name)},"
    yield "}"
    yield ""
    yield f"impl {name} {{"
    yield "    /// Begins the span."
    yield "    #[inline]"
    yield f"    pub fn new({_parameters(span.fields, name)}) -> {name} {{"
    yield f"        hypertrace::emit({span.begin.id:#x}, [{_words(span.fields)}]);"
    values = [field.name if field in span.kept else f"{field.name}: {_zero(field, name)}" for field in span.end_fields]
    yield f"        {name} {{ {', '.join(values)} }}"
    yield "    }"
    yield "}"
    yield ""
    yield f"impl Drop for {name} {{"
    yield "    #[inline]"
    yield "    fn drop(&mut self) {"
    yield f"        hypertrace::emit({span.end.id:#x}, [{_words(span.end_fields, 'self.')}]);"
    yield "    }"
    yield "}"


def _enums(fields: Sequence[Field], owner: str, model: Model) -> Iterator[str]:
    """A type for the values of each enumeration. Any other number is possible, too."""
    for field in fields:
        if field.argument.type is ArgumentType.ENUM:
            type_ = _type(field, owner)
            yield "#[derive(Clone, Copy, Debug, PartialEq, Eq)]"
            yield f"pub struct {type_}(pub u64);"
            yield "#[allow(non_upper_case_globals)]"
            yield f"impl {type_} {{"
            for value, label in field.argument.labels.items():
                yield f"    pub const {model.identifier(label)}: {type_} = {type_}({value:#x});"
            yield "}"
            yield f"impl hypertrace::Word for {type_} {{"
            yield "    #[inline]"
            yield "    fn word(self) -> u64 {"
            yield "        self.0"
            yield "    }"
            yield "}"
            yield ""


def _zero(field: Field, owner: str) -> str:
    match field.argument.type:
        case ArgumentType.ENUM:
            return f"{_type(field, owner)}(0)"
        case ArgumentType.F64:
            return "0.0"
        case ArgumentType.BOOL:
            return "false"
        case _:
            return "0"


def _parameters(fields: Sequence[Field], owner: str) -> str:
    return ", ".join(f"{field.name}: {_type(field, owner)}" for field in fields)


def _words(fields: Sequence[Field], before: str = "") -> str:
    return ", ".join(f"hypertrace::Word::word({before}{field.name})" for field in fields)


def _type(field: Field, owner: str) -> str:
    if field.argument.type is ArgumentType.ENUM:
        return owner + camel(field.argument.name)
    return _TYPES.get(field.argument.type, "u64")


def _title(name: str) -> str:
    return f"`{name}`".replace("\\", "\\\\")


def _literal(text: str) -> str:
    return f'"{escaped(text)}"'
