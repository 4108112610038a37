"""The facts about a trace that its sink gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htrun.channel.layout import DEFAULT_ARGS
from htrun.events.definitions import EVENTS, Definition

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents


@dataclass(frozen=True)
class TraceFacts:
    """Facts known before the first event.

    ``num_args``: arguments of a ``guest_hypertrace`` event. ``named``: the user's names. ``start``: start of the run,
    ns since the epoch. ``host``: name of its host. ``environment``: the facts of the run, as in a trace's metadata.
    ``kinds``: the kinds of events that can occur. ``decode``: whether the user wants system calls decoded, if the
    format can show that.
    """

    num_args: int = DEFAULT_ARGS
    named: NamedEvents | None = None
    start: int = 0
    host: str = ""
    environment: Mapping[str, str | int] = field(default_factory=dict)
    kinds: tuple[Definition, ...] = EVENTS
    decode: bool = False
