"""The facts about a trace that a sink gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from htrun.channel.layout import DEFAULT_ARGS
from htrun.events.definitions import EVENTS, Definition

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents
    from htrun.events.shapes import Shapes


@dataclass(frozen=True)
class TraceFacts:
    """The facts that are known before the first event.

    ``num_args``: the number of arguments of a ``guest_hypertrace`` event. ``named``: the named events of the user.
    ``start``: the start of the run in ns since the epoch. ``host``: the name of the host. ``environment``: the facts of
    the run, as in a trace's metadata. ``kinds``: the kinds of events that can occur. ``decode``: whether the user wants
    decoded system calls in formats that can show them.
    """

    num_args: int = DEFAULT_ARGS
    named: NamedEvents | None = None
    start: int = 0
    host: str = ""
    environment: Mapping[str, str | int] = field(default_factory=dict)
    kinds: tuple[Definition, ...] = EVENTS
    decode: bool = False

    @cached_property
    def shapes(self) -> Shapes:
        """The shapes of the events. All sinks of a run share them, because names may be found during the run."""
        from htrun.events.shapes import Shapes

        return Shapes(self.num_args, self.named)

    def share(self, shapes: Shapes) -> None:
        """Make ``shapes`` the shapes of these facts."""
        self.__dict__["shapes"] = shapes
