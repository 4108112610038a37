"""Java: a method for each event, and a class for each span, which is for try-with-resources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from htrun.emitters.model import Field, Model, Single, Span, camel, definition_lines, escaped
from htrun.events.arguments import ArgumentType

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

_TYPES = {ArgumentType.F64: "double", ArgumentType.BOOL: "boolean"}
_KEYWORDS = (
    "abstract assert boolean break byte case catch char class const continue default do double else enum extends final "
    "finally float for goto if implements import instanceof int interface long native new package private protected "
    "public return short static strictfp super switch synchronized this throw throws transient try void volatile while "
    "true false null var record yield sealed permits _ Hypertrace Events AutoCloseable Override value "
    "clone equals finalize getClass hashCode notify notifyAll toString wait"
)
_WORDS = frozenset(_KEYWORDS.split())
"""Keywords, names of the generated code, and methods of every object."""
_HEAD = """\
// Made by hypertrace header --lang java from {source}; change that file, and generate this one again.

package {package};

import hypertrace.Hypertrace;

/** Named events. */
public final class Events {{
    /** Arguments that the channel must have: htrun --hypertrace PATH,args={num_args} */
    public static final int NUM_ARGS = {num_args};

    static {{
        Hypertrace.define(
                {definitions});
    }}

    private Events() {{}}

    /** Its call initialises this class. */
    private static void define() {{}}
"""


def java_class(names: NamedEvents, prefix: str, source: str) -> str:
    """The text of the class ``Events`` for ``names``, which come from a file called ``source``. ``prefix``: its
    package, perhaps with a ``_`` at its end. Raises `HtrunError` for names that are not possible."""
    model = Model(names, "Java", _WORDS, {"NUM_ARGS", "Events", "define", "Define"})
    head = _HEAD.format(
        source=source.encode("ascii", "replace").decode().replace("\\", "/"),
        package=prefix.rstrip("_").lower() or "trace",
        num_args=names.num_args,
        definitions="\n                + ".join(map(_literal, definition_lines(names))),
    )
    lines = [head.rstrip("\n")]
    for part in model.parts:
        owner = model.identifier(part.title, in_camel_case=True)
        lines += [f"    {line}".rstrip() for line in _enums(part.all_fields, owner, model)]
        code = _span(part, owner) if isinstance(part, Span) else _single(part, owner)
        lines += ["", *(f"    {line}".rstrip() for line in code)]
    return "\n".join([*lines, "}", ""])


def _single(single: Single, owner: str) -> Iterator[str]:
    yield f"/** Emits the event with the id {single.event.id:#x}. */"
    yield f"public static void {single.name}({_parameters(single.fields, owner)}) {{"
    yield f"    Hypertrace.emit({_words(single.event.id, single.fields)});"
    yield "}"


def _span(span: Span, name: str) -> Iterator[str]:
    yield "/** A span, which close() ends. Its fields are the arguments of its end. */"
    yield f"public static final class {name} implements AutoCloseable {{"
    # The use of a nested class does not initialise the enclosing class, which contains the definitions.
    yield "    static {"
    yield "        Events.define();"
    yield "    }"
    yield ""
    for field in span.end_fields:
        yield f"    public {_type(field, name)} {field.name};"
    yield ""
    yield "    /** Begins the span. */"
    yield f"    public {name}({_parameters(span.fields, name)}) {{"
    for field in span.kept:
        yield f"        this.{field.name} = {field.name};"
    yield f"        Hypertrace.emit({_words(span.begin.id, span.fields)});"
    yield "    }"
    yield ""
    yield "    /** Ends the span. */"
    yield "    @Override"
    yield "    public void close() {"
    yield f"        Hypertrace.emit({_words(span.end.id, span.end_fields)});"
    yield "    }"
    yield "}"


def _enums(fields: Sequence[Field], owner: str, model: Model) -> Iterator[str]:
    for field in fields:
        if field.argument.type is ArgumentType.ENUM:
            yield ""
            yield f"/** The values of the argument {field.argument.name}. */"
            yield f"public enum {_type(field, owner)} {{"
            labels = field.argument.labels.items()
            yield "    " + ", ".join(f"{model.identifier(label)}({value:#x}L)" for value, label in labels) + ";"
            yield ""
            yield "    final long value;"
            yield ""
            yield f"    {_type(field, owner)}(long value) {{"
            yield "        this.value = value;"
            yield "    }"
            yield "}"


def _parameters(fields: Sequence[Field], owner: str) -> str:
    return ", ".join(f"{_type(field, owner)} {field.name}" for field in fields)


def _words(id_: int, fields: Sequence[Field]) -> str:
    return ", ".join([f"{id_:#x}L", *map(_word, fields)])


def _word(field: Field) -> str:
    match field.argument.type:
        case ArgumentType.F64 | ArgumentType.BOOL:
            return f"Hypertrace.word({field.name})"
        case ArgumentType.ENUM:
            return f"({field.name} == null ? 0 : {field.name}.value)"
        case _:
            return field.name


def _type(field: Field, owner: str) -> str:
    if field.argument.type is ArgumentType.ENUM:
        return owner + camel(field.argument.name)
    return _TYPES.get(field.argument.type, "long")


def _literal(text: str) -> str:
    units = escaped(text).encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return '"' + "".join(chr(code) if code < 127 else f"\\u{code:04x}" for code in codes) + '"'
