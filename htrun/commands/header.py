"""``hypertrace header``: a C header with a function for each named event, so that source and trace say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.reports.output import show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from htrun.events.arguments import Argument
    from htrun.events.named import NamedEvent, NamedEvents

_KEYWORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool bool "
    "asm catch class constexpr delete explicit false friend mutable namespace new operator private protected public "
    "template this throw true try typename using virtual and or not xor nullptr typeof alignas alignof"
)
"""Words of C and C++ that can't be names of parameters."""


class HeaderCommand:
    """Generate a C header with an inline function for each named event."""

    examples = """
Each function takes the event's index (a slot of the channel) and its arguments, stores them, and emits the event. The
header needs qemu-hypertrace.h, and is for C99 and C++.

examples:
  hypertrace header events.toml > events.h
  hypertrace header events.toml -o events.h --prefix app_
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """FILE and what the functions are called."""
        parser.add_argument("events", type=Path, metavar="FILE", help="named events (TOML)")
        parser.add_argument("-o", "--output", type=Path, metavar="HEADER", help="default: standard output")
        parser.add_argument("--prefix", default="trace_", help="prefix of the functions' names (default: trace_)")

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the header; 0. Raises `HtrunError`."""
        from htrun.events.named import NamedEvents

        if not re.fullmatch(r"[A-Za-z_]\w*", arguments.prefix, re.ASCII):
            raise HtrunError(f"--prefix {arguments.prefix!r} is not the beginning of a C name")
        names = NamedEvents.load(arguments.events)
        text = header(names, arguments.prefix, arguments.events)
        if arguments.output is None:
            show(text)
            return 0
        try:
            arguments.output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise HtrunError(f"cannot write {arguments.output}: {error.strerror}") from error
        return 0


def header(names: NamedEvents, prefix: str, source: Path) -> str:
    """The header of ``names``, which come from the file ``source``. Raises `HtrunError` if two get one name in C."""
    guard = re.sub(r"\W", "_", f"{prefix}{source.stem}_H", flags=re.ASCII).upper()
    parts = [
        _HEAD.format(source=_comment(source.name), guard=guard, prefix=prefix, num_args=names.num_args).rstrip("\n")
    ]
    for event, name in zip(names.events, _function_names(names.events, prefix), strict=True):
        parts += ["", *_labels(event, name), *_function(event, name)]
    return "\n".join(parts) + _TAIL.format(guard=guard)


_HEAD = """\
/* Made by hypertrace header from {source}; change that file, and make this one anew. */
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


def _function_names(events: Sequence[NamedEvent], prefix: str) -> list[str]:
    """The events' names in C; those of a begin and its end tell which is which."""
    from htrun.events.named import Phase

    found: dict[str, str] = {}
    for event in events:
        name = prefix + re.sub(r"\W", "_", event.name, flags=re.ASCII)
        if event.phase in {Phase.BEGIN, Phase.END}:
            name += f"_{event.phase.value}"
        if name in found:
            raise HtrunError(f"the events {found[name]!r} and {event.name!r} would both be {name}() in C")
        found[name] = event.name
    return list(found)


def _labels(event: NamedEvent, name: str) -> Iterator[str]:
    for argument in event.arguments:
        for value, label in argument.labels.items():
            yield f"#define {name}_{argument.name}_{label} UINT64_C({value:#x})"


def _function(event: NamedEvent, name: str) -> Iterator[str]:
    places = ["uint64_t index_", *(f"{_c_type(argument)} {_parameter(argument.name)}" for argument in event.arguments)]
    yield f"/* {_comment(event.name)}: {event.phase.value} */"
    yield f"static inline void {name}({', '.join(places)})"
    yield "{"
    yield "    uint64_t *data_ = qemu_hypertrace_data(index_);"
    yield f"    data_[0] = UINT64_C({event.id:#x});"
    for number, argument in enumerate(event.arguments, 1):
        if _c_type(argument) == "double":
            yield f"    memcpy(&data_[{number}], &{_parameter(argument.name)}, sizeof(data_[{number}]));"
        else:
            yield f"    data_[{number}] = (uint64_t){_parameter(argument.name)};"
    yield "    qemu_hypertrace(index_);"
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


def _parameter(name: str) -> str:
    """``name`` as a parameter, which is neither a word of C's nor one of the functions' own: ``index_``, ``data_``."""
    return f"{name}_" if name in _KEYWORDS.split() or name.endswith("_") else name


def _comment(text: str) -> str:
    return text.replace("*/", "* /").replace("/*", "/ *")
