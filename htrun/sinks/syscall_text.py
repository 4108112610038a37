"""Decoded system calls: the names of calls, and the meaning of arguments and results.

::

    openat(dirfd=AT_FDCWD, filename="/etc/hosts", flags=O_RDONLY|O_CLOEXEC, mode=00)
    openat = -2 ENOENT
    read = 5 buf="hello"

Calls with the same name are formatted column by column. The names of flags and errors are looked up once for each
different value. Only the texts that pointers refer to are formatted one by one. If a text was not recorded, the address
is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from htrun.events.call_texts import NO_TEXTS, BatchTexts
from htrun.events.definitions import USER_SYSCALL, USER_SYSCALL_RET
from htrun.events.syscall_arguments import MOST_ERRNO, Parameter, Signature, ValueKind, error_name, signature
from htrun.events.syscalls import ARCH_I386
from htrun.events.text_arguments import Pointed, text_arguments
from htrun.sinks.columns import decimal, from_texts, hexadecimal, side_by_side, signed_decimal
from htrun.sinks.quoted_text import as_c, as_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.call_texts import Text
    from htrun.events.definitions import Definition
    from htrun.events.records import Events
    from htrun.sinks.columns import Column

    _Writer = Callable[[Definition, "_Calls"], list[Column]]
    """A function that creates the columns of calls or returns with the same signature."""
    _Quote = Callable[[Pointed, Sequence[Text]], bytes]

_LEAST_ERROR = (1 << 64) - MOST_ERRNO


def is_call(definition: Definition) -> bool:
    """Whether events of ``definition`` are system calls or their returns."""
    return definition in (USER_SYSCALL, USER_SYSCALL_RET)


@dataclass(frozen=True)
class _Calls:
    """Some calls with the same signature, or returns from these calls. ``bits``: the size of a word of the interface in
    bits."""

    signature: Signature
    bits: int
    pointed: Mapping[int, Pointed]
    events: Events
    texts: BatchTexts


def lines(definition: Definition, events: Events, texts: BatchTexts = NO_TEXTS) -> NDArray[np.uint8]:
    """The text of each of ``events``, which must be all calls or all returns. ``texts``: the texts to which the calls
    point."""
    return _each(definition, events, texts, _line)


def objects(definition: Definition, events: Events, texts: BatchTexts = NO_TEXTS) -> NDArray[np.uint8]:
    """Each of ``events`` as JSON: ``{"name":"openat","args":{"dirfd":"AT_FDCWD",...}}``, or
    ``{"name":"openat","result":-2, "error":"ENOENT"}``. Addresses, values with a name, and texts to which arguments
    point are strings."""
    return _each(definition, events, texts, _object)


def plain_lines(definition: Definition, events: Events, texts: BatchTexts = NO_TEXTS) -> list[bytes]:
    """The texts of `lines`, as a list."""
    return [bytes(row[row != 0]) for row in lines(definition, events, texts)]


def _each(definition: Definition, events: Events, texts: BatchTexts, write: _Writer) -> NDArray[np.uint8]:
    import numpy as np

    parts = []
    for arch, number, rows in _groups(events):
        bits = 32 if arch == ARCH_I386 else 64
        pointed = {each.place: each.pointed for each in text_arguments(arch, number)}
        calls = _Calls(signature(arch, number), bits, pointed, events[rows], texts.of_rows(rows))
        columns = write(definition, calls)
        parts.append((rows, side_by_side(columns, len(rows))))
    text = np.zeros((len(events), max(part.shape[1] for _, part in parts)), np.uint8)
    for rows, part in parts:
        text[rows, : part.shape[1]] = part
    return text


def _groups(events: Events) -> list[tuple[int, int, NDArray[np.int64]]]:
    """The different calls among ``events``. For each call: the interface, the number, and the positions of its
    events."""
    import numpy as np

    keys = np.stack([events["arch"], events["num"]], axis=1)
    used, places = np.unique(keys, axis=0, return_inverse=True)
    places = places.reshape(-1)
    return [(int(arch), int(number), np.flatnonzero(places == place)) for place, (arch, number) in enumerate(used)]


def _line(definition: Definition, calls: _Calls) -> list[Column]:
    call = calls.signature
    name = call.name.encode()
    if definition is USER_SYSCALL_RET:
        return [name + b" = ", *_result(call, calls.events), *_filled_in(calls, " {}=", as_c)]
    columns: list[Column] = [name + b"("]
    for place, parameter in enumerate(call.parameters):
        separator = b", " if place else b""
        columns += [separator + parameter.name.encode() + b"=", *_argument(calls, place, parameter, as_c)]
    return [*columns, b")"]


def _object(definition: Definition, calls: _Calls) -> list[Column]:
    call = calls.signature
    head = f'{{"name":{json.dumps(call.name)}'.encode()
    if definition is USER_SYSCALL_RET:
        result = _result(call, calls.events, '"', ',"error":"{}"')
        return [head + b',"result":', *result, *_filled_in(calls, ',"args":{{"{}":', as_json, "}"), b"}"]
    columns: list[Column] = [head + b',"args":{']
    for place, parameter in enumerate(call.parameters):
        separator = b"," if place else b""
        quote = b'"' if parameter.kind in {ValueKind.ADDRESS, ValueKind.NAMES} else b""
        columns.append(separator + f'"{parameter.name}":'.encode())
        columns += _argument(calls, place, parameter, as_json, quote)
    return [*columns, b"}}"]


def _argument(calls: _Calls, place: int, parameter: Parameter, write: _Quote, quote: bytes = b"") -> list[Column]:
    """The value of an argument, with ``quote`` before and after it. If the texts to which the argument points were
    recorded, these texts are used instead."""
    value = [quote, *_value(parameter, calls.bits, calls.events["args"][:, place]), quote]
    if place not in calls.texts.places() or place not in calls.pointed:
        return value
    rows, pointed = len(calls.events), calls.pointed[place]
    values = [bytes(row[row != 0]) for row in side_by_side(value, rows)]
    found = [calls.texts.of(row, place) for row in range(rows)]
    return [from_texts([write(pointed, texts) if texts else values[row] for row, texts in enumerate(found)])]


def _filled_in(calls: _Calls, head: str, write: _Quote, tail: str = "") -> list[Column]:
    """The texts that the kernel has written for a call. They are shown with the return of the call.

    ``head``: the characters before each text, with a placeholder for the argument's name.
    """
    columns: list[Column] = []
    for place in sorted(calls.texts.places() & calls.pointed.keys()):
        before, after = head.format(calls.signature.parameters[place].name).encode(), tail.encode()
        found = [calls.texts.of(row, place) for row in range(len(calls.events))]
        columns.append(
            from_texts([before + write(calls.pointed[place], texts) + after if texts else b"" for texts in found])
        )
    return columns


def _value(parameter: Parameter, bits: int, words: NDArray[np.uint64]) -> list[Column]:
    import numpy as np

    match parameter.kind:
        case ValueKind.INT:
            return [signed_decimal(words.astype(np.uint32).view(np.int32).astype(np.int64))]
        case ValueKind.LONG:
            return [signed_decimal(_signed(words, bits))]
        case ValueKind.UNSIGNED:
            return [decimal(words.astype(np.uint32).astype(np.uint64))]
        case ValueKind.ADDRESS:
            return [b"0x", _short_hexadecimal(words)]
        case ValueKind.NAMES:
            used, place = np.unique(words, return_inverse=True)
            return [from_texts([parameter.text(word).encode() for word in used.tolist()])[place]]
        case _:
            return [decimal(words)]


def _result(
    call: Signature, events: Events, quote: str = "", error: str = " {}"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The columns of results, and of the names of errors."""
    import numpy as np

    words = events["args"][:, 0]
    failed = words >= np.uint64(_LEAST_ERROR)
    used, place = np.unique(np.where(failed, words, np.uint64(0)), return_inverse=True)
    errors = [error.format(name).encode() if (name := error_name(word - (1 << 64))) else b"" for word in used.tolist()]
    values = signed_decimal(_signed(words, 64))
    if call.result_is_address:
        addresses = side_by_side([f"{quote}0x".encode(), _short_hexadecimal(words), quote.encode()], len(words))
        room = addresses.shape[1]
        values = np.hstack([np.zeros((len(words), max(room - values.shape[1], 0)), np.uint8), values])
        values = np.where(failed[:, None], values, np.pad(addresses, ((0, 0), (values.shape[1] - room, 0))))
    return values, from_texts(errors)[place]


def _signed(words: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    import numpy as np

    if bits == 32:
        return words.astype(np.uint32).view(np.int32).astype(np.int64)
    return words.view(np.int64) if words.flags.c_contiguous else words.copy().view(np.int64)


def _short_hexadecimal(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """``words`` without leading zeros."""
    import numpy as np

    text = hexadecimal(words)
    shown = np.logical_or.accumulate(text != ord("0"), axis=1)
    shown[:, -1] = True
    return np.where(shown, text, np.uint8(0))
