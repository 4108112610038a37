"""Formats the events of a guest's kernel with the ``print fmt`` of their formats, as the kernel itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.analysis.ftrace.c_expressions import CError, Constant, Record, fields
from htrun.analysis.ftrace.print_format import Conversion, Piece, pieces
from htrun.events.arguments import Argument, ArgumentType
from htrun.sinks.columns import decimal, from_texts, hexadecimal, signed_decimal
from htrun.sinks.values import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.ftrace.entries import KernelEvent
    from htrun.events.records import Events
    from htrun.events.shapes import Shape
    from htrun.sinks.columns import Column

_WIDE = 64
_PID = "common_pid"


class GuestLines:
    """Formats events of the kinds ``events``."""

    def __init__(self, events: Sequence[KernelEvent]) -> None:
        self._makers = {event.named.id: _Maker.of(event) for event in events}

    def columns(self, shape: Shape, events: Events) -> list[Column] | None:
        """The text that follows the name of each of ``events``, which are all of ``shape``; None if such events cannot
        be formatted."""
        maker = self._makers.get(shape.named.id) if shape.named is not None else None
        return None if maker is None else maker.columns(events["args"])


class _Maker:
    """Formats one kind of event. ``members``: each argument and its position, by the argument's name in the format."""

    def __init__(self, parts: Sequence[Piece], members: Mapping[str, tuple[Argument, int]]) -> None:
        self._parts = parts
        self._members = members

    @classmethod
    def of(cls, event: KernelEvent) -> _Maker | None:
        """A maker for ``event``; None if the format of ``event`` uses a value that only the kernel knows."""
        members = {name: (event.named.arguments[place], place + 1) for name, place in event.members()}
        known = {name.partition("[")[0] for name in members}
        try:
            return cls(pieces(event.format.print_format, sorted(known)), members)
        except CError:
            return None

    def columns(self, arguments: NDArray[np.uint64]) -> list[Column]:
        columns: list[Column] = []
        if _PID in self._members:
            columns += [b" pid=", signed_decimal(arguments[:, self._members[_PID][1]].astype("i8"))]
        columns.append(b" ")
        return columns + [
            on_one_line(part).encode() if isinstance(part, str) else self._column(part, arguments)
            for part in self._parts
        ]

    def _column(self, part: Conversion, arguments: NDArray[np.uint64]) -> Column:
        """The output of one conversion. It is vectorised for plain numbers; otherwise it is computed once for each
        distinct input."""
        import numpy as np

        plain = self._plain(part, arguments)
        if plain is not None:
            return plain
        asked = {name for node in part.nodes for name in fields(node)}
        used = [name for name in self._members if name.partition("[")[0] in asked]
        if not used:
            return on_one_line(part.text({})).encode()
        words = np.ascontiguousarray(arguments[:, [self._members[name][1] for name in used]])
        rows, place = np.unique(words.view(f"V{8 * len(used)}")[:, 0], return_inverse=True)
        texts = []
        for row in rows:
            values = np.frombuffer(row.tobytes(), np.uint64).tolist()
            record = {name: self._value(name, word) for name, word in zip(used, values, strict=True)}
            texts.append(on_one_line(part.text(record).rstrip("\n")).encode(errors="replace"))
        return from_texts(texts)[place]

    def _value(self, name: str, word: int) -> int | str:
        value = self._members[name][0].value(word)
        return value if isinstance(value, str) else int(value)

    def _plain(self, part: Conversion, arguments: NDArray[np.uint64]) -> Column | None:
        """The column of a field that is printed as a plain number in its own width; None if ``part`` is not such a
        field."""
        if part.layout or not isinstance(part.node, Record):
            return None
        name = _member(part.node)
        if name is None or name not in self._members:
            return None
        argument, place = self._members[name]
        words = arguments[:, place]
        if argument.type is ArgumentType.TEXT or (part.bits < _WIDE and part.kind != "p" and bool((words >> 31).any())):
            return None
        match part.kind:
            case "d" | "i" if not bool((words >> 63).any()) or argument.type is ArgumentType.I64:
                return signed_decimal(words.astype("i8"))
            case "u" if not bool((words >> 63).any()) or argument.type is not ArgumentType.I64:
                return decimal(words)
            case "x":
                return _without_zeros(hexadecimal(words))
            case "p":
                return hexadecimal(words)
            case _:
                return None


def _member(node: Record) -> str | None:
    match node.element:
        case None:
            return node.field
        case Constant(value):
            return f"{node.field}[{value}]"
        case _:
            return None


def _without_zeros(text: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``text``, which consists of digits, with NULs instead of leading zeros. The last digit is always kept."""
    import numpy as np

    leading = np.logical_and.accumulate(text[:, :-1] == ord("0"), axis=1)
    result = text.copy()
    result[:, :-1][leading] = 0
    return result
