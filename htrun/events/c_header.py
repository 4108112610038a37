"""A C header made of named events: one inline function for each, so that source and trace can't drift apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.arguments import ArgumentType
from htrun.events.named import Phase

if TYPE_CHECKING:
    from htrun.events.arguments import Argument
    from htrun.events.named import NamedEvent, NamedEvents

_HEAD = """\
/*
 * Made by "hypertrace header"; change the events' TOML file instead.
 *
 * Each function sets the arguments in the slot of index `voffset` and emits
 * the event. Run the program with "htrun --hypertrace PATH,args={num_args}", or more
 * arguments: hypertrace_events_fit() tells whether the channel has as many.
 */

#ifndef HYPERTRACE_EVENTS_H
#define HYPERTRACE_EVENTS_H

#include <stdint.h>
#include <string.h>
#include <qemu-hypertrace.h>

/* Arguments that the channel must have. */
#define HYPERTRACE_EVENTS_NUM_ARGS {num_args}

static inline int hypertrace_events_fit(void)
{{
    return qemu_hypertrace_num_args() >= HYPERTRACE_EVENTS_NUM_ARGS;
}}
"""
_BITS = """
static inline uint64_t hypertrace_bits_of_(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
"""
_TAIL = "\n#endif /* HYPERTRACE_EVENTS_H */\n"
_C_TYPES = {ArgumentType.I64: "int64_t", ArgumentType.F64: "double", ArgumentType.BOOL: "int"}


def c_header(named: NamedEvents) -> str:
    """The header's text, for C99 and C++11. Raises `HtrunError` if two names become one in C."""
    functions: dict[str, NamedEvent] = {}
    parts = [_HEAD.format(num_args=named.num_args)]
    if any(argument.type is ArgumentType.F64 for event in named.events for argument in event.arguments):
        parts.append(_BITS)
    for event in named.events:
        function = _function_name(event)
        if function in functions:
            first = functions[function].name
            raise HtrunError(f"the events {first!r} and {event.name!r} would both be {function}() in C; rename one")
        functions[function] = event
        parts += [_labels(function, event), _function(function, event)]
    return "".join((*parts, _TAIL))


def _function_name(event: NamedEvent) -> str:
    name = "hypertrace_" + re.sub("[^A-Za-z0-9_]", "_", event.name)
    return f"{name}_{event.phase.value}" if event.phase in {Phase.BEGIN, Phase.END} else name


def _labels(function: str, event: NamedEvent) -> str:
    lines = [
        f"#define {function.upper()}_{argument.name.upper()}_{label} UINT64_C({value})\n"
        for argument in event.arguments
        for value, label in argument.labels.items()
    ]
    return "".join(("\n", *lines)) if lines else ""


def _function(function: str, event: NamedEvent) -> str:
    parameters = ["uint64_t voffset", *_parameters(event)]
    values = [f"    data[{place}] = {_value(argument)};\n" for place, argument in enumerate(event.arguments, 1)]
    return (
        f"\nstatic inline void {function}({', '.join(parameters)})\n"
        "{\n"
        "    uint64_t *data = qemu_hypertrace_data(voffset);\n"
        "\n"
        f"    data[0] = UINT64_C({event.id});\n"
        f"{''.join(values)}"
        "    qemu_hypertrace(voffset);\n"
        "}\n"
    )


def _parameters(event: NamedEvent) -> Iterator[str]:
    for argument in event.arguments:
        yield f"{_C_TYPES.get(argument.type, 'uint64_t')} {_parameter(argument)}"


def _parameter(argument: Argument) -> str:
    """Not the bare name, which may be a keyword, a macro, or one of the function's own variables."""
    return f"{argument.name}_"


def _value(argument: Argument) -> str:
    name = _parameter(argument)
    match argument.type:
        case ArgumentType.I64:
            return f"(uint64_t){name}"
        case ArgumentType.F64:
            return f"hypertrace_bits_of_({name})"
        case ArgumentType.BOOL:
            return f"{name} != 0"
        case _:
            return name
