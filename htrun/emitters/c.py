"""C, and the part of C++ that is like C: an inline function for each event, which takes the event's index."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from htrun.emitters.definitions import c_note
from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from htrun.events.arguments import Argument
    from htrun.events.named import NamedEvent, NamedEvents

WORDS = (
    # Keywords from C99 to C23 and from C++11 to C++26, and what GNU C adds.
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class "
    "co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue "
    "contract_assert decltype default delete do double dynamic_cast else enum explicit export extern false float "
    "for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq "
    "private protected public register reinterpret_cast requires restrict return short signed sizeof static "
    "static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename "
    "typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq "
    # Predefined by gcc or g++ on some architecture, or defined by the included headers.
    "arm i386 linux mips pixel ppc riscv sparc unix vax NULL main"
)
"""Words that cannot be names of functions in C or C++."""
_LIBRARY = re.compile(
    r"(mem|str|wcs)[a-z]\w*|index|rindex|ffsl?l?|b(cmp|copy|zero)|u?int(_least|_fast|ptr|max)?(\d+)?_t|size_t"
    r"|U?INT\w*_(MIN|MAX|WIDTH|C)|(SIZE|WCHAR|WINT|PTRDIFF|SIG_ATOMIC)_(MIN|MAX|WIDTH)|qemu_hypertrace\w*"
)
"""Names that <string.h>, <stdint.h> and qemu-hypertrace.h declare or may declare."""


def c_header(names: NamedEvents, prefix: str, source: str) -> str:
    """The text of the header for ``names``, which come from a file called ``source``. Raises `HtrunError` for a name
    that is not possible in C."""
    guard = re.sub(r"\W", "_", f"{prefix}{PurePath(source).stem}_H", flags=re.ASCII).upper()
    functions = _function_names(names.events, prefix, guard)
    parts = [_HEAD.format(source=comment(source), guard=guard, prefix=prefix, num_args=names.num_args).rstrip("\n")]
    if names.events:
        parts += ["", *c_note(names, f"{prefix}definitions_")]
    for event, name in zip(names.events, functions, strict=True):
        parts += ["", *_labels(event, name), *_function(event, name)]
    return "\n".join(parts) + _TAIL.format(guard=guard)


_HEAD = """\
/* Made by hypertrace header from {source}; change that file, and generate this one again. */
#ifndef {guard}
#define {guard}

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <qemu-hypertrace.h>

/* Arguments that the channel must have: htrun --hypertrace PATH,args={num_args} */
enum {{ {prefix}num_args = {num_args} }};
"""
_TAIL = """

#endif /* {guard} */
"""


def _function_names(events: Sequence[NamedEvent], prefix: str, guard: str) -> list[str]:
    """The names of the events in C. The begin and the end of a span have different names."""
    from htrun.events.named import Phase

    taken = {
        f"{prefix}num_args": "the number of arguments",
        f"{prefix}definitions_": "the definitions",
        guard: "the header itself",
    }
    functions = []
    for event in events:
        name = prefix + re.sub(r"\W", "_", event.name, flags=re.ASCII)
        if event.phase in {Phase.BEGIN, Phase.END}:
            name += f"_{event.phase.value}"
        if name in WORDS.split() or _LIBRARY.fullmatch(name):
            raise HtrunError(
                f"the event {event.name!r} would be {name}() in C, where {name} has a meaning; choose another --prefix"
            )
        functions.append(name)
        labels = [
            f"{name}_{argument.name}_{label}" for argument in event.arguments for label in argument.labels.values()
        ]
        for each in (name, *labels):
            if each in taken:
                raise HtrunError(f"{taken[each]} and the event {event.name!r} would both be {each} in C; rename one")
            taken[each] = f"the event {event.name!r}"
    return functions


def _labels(event: NamedEvent, name: str) -> Iterator[str]:
    for argument in event.arguments:
        for value, label in argument.labels.items():
            yield f"#define {name}_{argument.name}_{label} UINT64_C({value:#x})"


def _function(event: NamedEvent, name: str) -> Iterator[str]:
    places = [
        "uint64_t slot",
        *(f"{_c_type(argument)} {_parameter(event, argument.name)}" for argument in event.arguments),
    ]
    yield f"/* {comment(event.name)}: {event.phase.value} */"
    yield f"static inline void {name}({', '.join(places)})"
    yield "{"
    yield "    uint64_t *data = qemu_hypertrace_data(slot);"
    yield f"    data[0] = UINT64_C({event.id:#x});"
    for number, argument in enumerate(event.arguments, 1):
        if _c_type(argument) == "double":
            yield f"    memcpy(&data[{number}], &{_parameter(event, argument.name)}, sizeof(data[{number}]));"
        else:
            yield f"    data[{number}] = (uint64_t){_parameter(event, argument.name)};"
    yield "    qemu_hypertrace(slot);"
    yield "}"


def _c_type(argument: Argument) -> str:
    from htrun.events.arguments import ArgumentType

    match argument.type:
        case ArgumentType.I64:
            return "int64_t"
        case ArgumentType.F64:
            return "double"
        case ArgumentType.BOOL:
            return "bool"
        case _:
            return "uint64_t"


def _parameter(event: NamedEvent, name: str) -> str:
    """The name of the parameter for the argument ``name``: the argument's name with a ``_`` appended. Without it, the
    name could be a macro in a file that includes the header. Names that begin with ``_`` are reserved for the compiler,
    as in ``__linux__`` (C23, 7.1.3). Names of local variables do not end with ``_``."""
    if re.match("_[A-Z_]", name):
        raise HtrunError(
            f"the argument {name!r} of the event {event.name!r} can't be a name in C, where such names are the "
            "compiler's; rename it"
        )
    return f"{name}_"


def comment(text: str) -> str:
    """``text`` inside a comment."""
    return text.replace("*/", "* /").replace("/*", "/ *")
