"""``hypertrace query``: SQL on a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, filter_of, open_trace
from htrun.reports.output import stream_out

if TYPE_CHECKING:
    import argparse


class QueryCommand:
    """Run an SQL query on a trace (DuckDB)."""

    examples = (
        FILTER_HELP
        + """
tables (hypertrace query TRACE 'show tables'; 'describe events' lists the columns of a table):
  events    all events: time, time_ns (since 1970), seconds (since the first event), id, pid, tid, vcpu, comm, event,
            name, phase, site, "index", num and arch (of system calls), arg1 and so on
  spans     all spans: name, key, begin, "end", begin_ns, end_ns, seconds, duration (ns), tid, pid, vcpu,
            comm, end_tid, id, end_id, parent, depth, trapped, begin_args, end_args. The id of a span is that of its
            first event. --where selects events, not spans
  threads   tid, pid, vcpu, comm, start_ns, lost
  sites     the instructions that emitted events: site, pid, address, instruction, file, offset, symbol
  run       facts of the run: name, value
  NAME      the events that a TOML file calls NAME, with a typed column for each named argument; for a span, there are
            two tables, NAME_begin and NAME_end. If a name is already in use, an underscore is appended

A query reads only the columns that it needs, and only the part of the trace that its conditions on time_ns and seconds
select.

examples:
  hypertrace query trace 'SELECT comm, count(*) FROM events GROUP BY comm'
  hypertrace query trace 'FROM events WHERE seconds BETWEEN 1.5 AND 1.6' --csv
  hypertrace query trace 'SELECT arg1, max(arg2) FROM events GROUP BY arg1 ORDER BY 2 DESC LIMIT 10' --json
  hypertrace query trace 'FROM spans SELECT name, median(duration), max(duration) GROUP BY name'
  hypertrace query trace --events events.toml 'SELECT kind, sum(size) FROM io_begin GROUP BY kind'
"""
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, SQL and the form of the answer."""
        add_trace(parser)
        parser.add_argument("sql", metavar="SQL", help="a query in DuckDB's SQL")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print a JSON object for each row, one per line")
        form.add_argument("--csv", action="store_true", help="print comma-separated values")
        form.add_argument("--markdown", action="store_true", help="print a Markdown table")
        add_filter(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the answer; returns 0. Raises `HtrunError`."""
        from htrun.reports.query import answer_to, as_csv, as_json, as_markdown, as_text

        forms = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
        form = next((forms[name] for name in forms if getattr(arguments, name)), as_text)
        trace = open_trace(arguments)
        with answer_to(arguments.sql, trace, filter_of(arguments, trace)) as answer:
            stream_out(form(answer))
        return 0
