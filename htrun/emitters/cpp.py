"""C++17: an object for each event, and a class for each span, whose scope is the span."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from htrun.emitters.c import WORDS, comment
from htrun.emitters.definitions import c_note, literal
from htrun.emitters.model import Field, Model, Single, Span
from htrun.events.arguments import ArgumentType

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

_TYPES = {ArgumentType.I64: "std::int64_t", ArgumentType.F64: "double", ArgumentType.BOOL: "bool"}
_HEAD = """\
/* Made by hypertrace header --lang c++ from {source}; change that file, and generate this one again. */
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

#include <qemu-hypertrace.hpp>

namespace {namespace} {{

/* Arguments that the channel must have: htrun --hypertrace PATH,args={num_args} */
inline constexpr std::size_t num_args = {num_args};
"""


def cpp_header(names: NamedEvents, prefix: str, source: str) -> str:
    """The text of the header for ``names``, which come from a file called ``source``. ``prefix``: the namespace,
    perhaps with a ``_`` at its end. Raises `HtrunError` for names that are not possible."""
    namespace = prefix.rstrip("_") or "trace"
    guard = re.sub(r"\W", "_", f"{prefix}{PurePath(source).stem}_HPP", flags=re.ASCII).upper()
    words = frozenset(WORDS.split())
    model = Model(names, "C++", words, {"num_args", "definitions_", "hypertrace", "std", namespace, guard})
    lines = [
        _HEAD.format(source=comment(source), guard=guard, namespace=namespace, num_args=names.num_args).rstrip("\n")
    ]
    if names.events:
        lines += ["", *c_note(names, "definitions_")]
    for part in model.parts:
        lines += ["", *(_span(part, model) if isinstance(part, Span) else _single(part, model))]
    return "\n".join([*lines, "", f"}} // namespace {namespace}", "", f"#endif /* {guard} */", ""])


def _single(single: Single, model: Model) -> Iterator[str]:
    yield from _enums(single.fields, single.name, model)
    yield f"/* {comment(single.event.name)}: {_documented(single.fields)} */"
    yield _event(single.name, single.event.id, single.event.name, single.fields, single.name)


def _span(span: Span, model: Model) -> Iterator[str]:
    name = span.name
    yield from _enums(span.all_fields, name, model)
    yield f"/* {comment(span.begin.name)}: from the construction of an object to the end of its scope */"
    yield f"class [[nodiscard]] {name} {{"
    yield "public:"
    parameters = ", ".join(f"{_type(field, name)} {field.name}_begin" for field in span.fields)
    initial = ", ".join(f"{field.name}({field.name}_begin)" for field in span.kept)
    yield f"    explicit {name}({parameters}) noexcept{f' : {initial}' if initial else ''}"
    yield "    {"
    words = ", ".join([f"UINT64_C({span.begin.id:#x})", *(f"{field.name}_begin" for field in span.fields)])
    yield f"        ::hypertrace::emit({words});"
    yield "    }"
    words = ", ".join([f"UINT64_C({span.end.id:#x})", *(field.name for field in span.end_fields)])
    yield f"    ~{name}() {{ ::hypertrace::emit({words}); }}"
    yield f"    {name}(const {name} &) = delete;"
    yield f"    {name} &operator=(const {name} &) = delete;"
    if span.end_fields:
        yield ""
        yield "    /* The arguments of the end. */"
    for field in span.end_fields:
        yield f"    {_type(field, name)} {field.name}{'' if field in span.kept else '{}'};"
    yield "};"


def _event(name: str, id_: int, title: str, fields: Sequence[Field], owner: str) -> str:
    types = ", ".join(_type(field, owner) for field in fields)
    return f"inline constexpr ::hypertrace::event<{types}> {name}{{UINT64_C({id_:#x}), {literal(title.encode())}}};"


def _enums(fields: Sequence[Field], owner: str, model: Model) -> Iterator[str]:
    for field in fields:
        if field.argument.type is ArgumentType.ENUM:
            labels = ", ".join(
                f"{model.identifier(label)} = UINT64_C({value:#x})" for value, label in field.argument.labels.items()
            )
            yield f"enum class {_type(field, owner)} : std::uint64_t {{ {labels} }};"


def _type(field: Field, owner: str) -> str:
    if field.argument.type is ArgumentType.ENUM:
        return f"{owner}_{field.argument.name}"
    return _TYPES.get(field.argument.type, "std::uint64_t")


def _documented(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.name} ({field.argument.type.value})" for field in fields) or "no arguments"
