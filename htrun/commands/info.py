"""``hypertrace info``: what recording is like on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import htrun
from htrun.commands.output import show
from htrun.events.clock import best_clock
from htrun.events.definitions import DEFINITIONS

if TYPE_CHECKING:
    import argparse


class InfoCommand:
    """Show the version, the clock that time stamps come from, and the events that can be recorded."""

    examples = ""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """It takes no arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Print; 0. Raises `HtrunError` if nobody takes it."""
        clock = best_clock()
        lines = [
            f"version: {htrun.__version__}",
            f"clock: {clock.source.name}, within {clock.error_ns} ns",
            f"events: {', '.join(definition.name for definition in DEFINITIONS)}",
        ]
        show("\n".join(lines) + "\n")
        return 0
