"""The public Python API is the same as the recorded API; docs/stability.md describes what may change.

To record an intended change: python -m tests.unit.test_public_api
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from pathlib import Path

import htrun
from htrun.analysis.spans import TraceSpans, row_dtype
from htrun.analysis.trace import DamagedTraceWarning, Event, Trace
from htrun.errors import HtrunError
from htrun.events.arguments import Argument, ArgumentType
from htrun.events.definitions import Definition
from htrun.events.losses import Loss
from htrun.events.named import NamedEvent, NamedEvents, Phase
from htrun.events.records import event_dtype
from htrun.events.stream import Stream

RECORDED = Path(__file__).with_name("public_api.txt")
CLASSES: tuple[type, ...] = (
    *(Trace, Event, Stream, TraceSpans, Loss, Definition),
    *(NamedEvents, NamedEvent, Phase, Argument, ArgumentType, HtrunError, DamagedTraceWarning),
)
"""`htrun.open` returns a `Trace`. The other classes are returned or raised by its members."""
_SPECIAL = ("__iter__", "__len__", "__getitem__")


def described() -> str:
    """Every public name with its signature, one per line."""
    lines = [f"htrun.{name}" for name in htrun.__all__]
    lines.append(f"htrun.open{inspect.signature(htrun.open)}")
    for each in CLASSES:
        bases = ", ".join(base.__name__ for base in each.__bases__ if base is not object)
        lines.append(f"\n{each.__module__}.{each.__name__}({bases})")
        lines += [f"    {line}" for line in _members(each)]
    lines.append(f"\nthe fields of an event in an array: {', '.join(event_dtype(1).names or ())}")
    lines.append(f"the fields of a span in an array: {', '.join(row_dtype(1).names or ())}")
    return "\n".join(lines) + "\n"


def _members(owner: type) -> Iterator[str]:
    if issubclass(owner, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in owner)
        return
    for name, kind in getattr(owner, "__annotations__", {}).items():
        if not name.startswith("_"):
            yield f"{name}: {getattr(kind, '__forward_arg__', kind)}"
    for name, member in vars(owner).items():
        if name.startswith("_") and name not in _SPECIAL:
            continue
        function = member.__func__ if isinstance(member, classmethod) else member
        attribute = getattr(member, "fget", None) or getattr(member, "func", None)
        if inspect.isfunction(function):
            decorated = "classmethod " if isinstance(member, classmethod) else ""
            yield f"{decorated}{name}{inspect.signature(function)}"
        elif attribute is not None:
            yield f"{name} -> {inspect.signature(attribute).return_annotation}"


def test_public_api() -> None:
    assert described() == RECORDED.read_text()


if __name__ == "__main__":
    RECORDED.write_text(described())
