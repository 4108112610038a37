"""``hypertrace count``: how many events a trace has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, filter_of, open_trace
from htrun.reports.output import show

if TYPE_CHECKING:
    import argparse


class CountCommand:
    """Count the events of a trace, all or some of them."""

    examples = f"""\
{FILTER_HELP}
examples:
  hypertrace count trace
  hypertrace count trace --event 'io*' --from 20ms --to 30ms
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """TRACE, and which events."""
        add_trace(parser)
        add_filter(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the number; 0. Raises `HtrunError`."""
        trace = open_trace(arguments)
        wanted = filter_of(arguments, trace)
        show(f"{sum(len(events) for events in wanted.batches(trace))}\n")
        return 0
