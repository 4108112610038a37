"""``hypertrace info``: the contents of a trace, or the properties of this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from htrun.commands.trace_arguments import add_trace, open_trace
from htrun.errors import HtrunError
from htrun.reports.info import MOST_ROWS, machine_facts, pairs_as_lines, report, trace_facts
from htrun.reports.output import show, warn
from htrun.reports.progress import with_progress

if TYPE_CHECKING:
    import argparse

    from htrun.analysis.host_clocks import HostClocks
    from htrun.analysis.trace import Trace


class InfoCommand:
    """Show the contents of a trace: the program, the duration, and the number of events by thread, name and call
    site."""

    examples = """
Without TRACE, info shows the clock of this machine, and the events that can be recorded.

examples:
  hypertrace info trace
  hypertrace info trace --json | jq .lost
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, which is optional, and the form of the output."""
        add_trace(parser, optional=True)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--all", action="store_true", help=f"show all threads, names and sites, not only {MOST_ROWS} of each"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the facts; returns 0. Raises `HtrunError`."""
        if arguments.trace is None:
            if arguments.events is not None:
                raise HtrunError("--events needs a trace; try: hypertrace info --help")
            machine = machine_facts()
            show(json.dumps(machine, indent=2) + "\n" if arguments.json else pairs_as_lines(machine.items()))
            return 0
        trace = open_trace(arguments)
        clocks = _clocks_of(trace)
        from htrun.analysis.statistics import count

        counts = count(with_progress(trace.events(), len(trace), "counting"), trace.shapes)
        if arguments.json:
            show(json.dumps(trace_facts(trace, counts, clocks), indent=2) + "\n")
        else:
            show("".join(report(trace, counts, clocks, None if arguments.all else MOST_ROWS)))
        return 0


def _clocks_of(trace: Trace) -> HostClocks | None:
    """The readings of the host's clocks. If they are damaged, the rest of the trace can still be read."""
    from htrun.analysis.host_clocks import HostClocks

    try:
        return HostClocks.of_trace(trace.path)
    except HtrunError as error:
        warn(str(error))
        return None
