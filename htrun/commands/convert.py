"""``hypertrace convert``: convert a trace to another format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.commands.completion import complete_file, complete_format
from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, filter_of, open_trace
from htrun.errors import HtrunError
from htrun.events.sink import LossSink, SinkError, decodes
from htrun.reports.output import ReaderGone
from htrun.reports.progress import with_progress
from htrun.sinks.facts import TraceFacts
from htrun.sinks.output import has_no_reader, output_path
from htrun.sinks.registry import CTF, FORMATS, SIMPLE, choose
from htrun.sinks.replace import make_way

if TYPE_CHECKING:
    import argparse

    from htrun.analysis.trace import Trace
    from htrun.events.sink import Sink
    from htrun.events.window import Window

_FORMATS = "".join(
    f"  {known.name:<10} {known.summary}{'; ' + ', '.join(known.suffixes) if known.suffixes else ''}\n"
    for known in FORMATS
    if known.name != CTF
)


class ConvertCommand:
    """Convert a trace, all or some of it, to another format."""

    examples = f"""\
Formats, and the suffixes of OUT that select them: {_FORMATS} {FILTER_HELP} examples:
  hypertrace convert trace trace.pftrace
  hypertrace convert trace runs --format parquet
  hypertrace convert trace slow.csv --event 'io*' --from 20ms --to 30ms
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, OUT, the format and the filter."""
        add_trace(parser)
        complete_file(
            parser.add_argument(
                "out",
                type=output_path,
                metavar="OUT",
                help="the file to write (for parquet, also a directory); - is standard output",
            )
        )
        complete_format(
            parser.add_argument("--format", metavar="FORMAT", help="the format (default: by the suffix of OUT)")
        )
        parser.add_argument(
            "--decode",
            action="store_true",
            help="show system calls as strace does, with names, flags and errors, if the format supports it",
        )
        parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT if it exists")
        add_filter(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Convert the trace; returns 0. Raises `HtrunError`."""
        chosen = choose(arguments.out, arguments.format)
        if chosen.name == CTF:
            known = ", ".join(known.name for known in FORMATS if known.name != CTF)
            raise HtrunError(f"the trace is in the native format already; give --format, one of {known}")
        # QEMU's scripts cannot show the decoded events of a guest's kernel. So the trace of the guest's kernel is
        # written undecoded, in the pieces in which it arrived.
        trace = open_trace(arguments, guest=chosen.name != SIMPLE)
        wanted = filter_of(arguments, trace)
        if arguments.force:
            make_way(arguments.out)
        sink = chosen.open(arguments.out, facts_of(trace, decode=arguments.decode))
        try:
            try:
                for events in with_progress(wanted.batches(trace, texts=decodes(sink)), len(trace), "converting"):
                    sink.write(events, trace.streams)
                _report_losses(sink, trace, wanted.window)
                sink.flush()
            finally:
                sink.close()
        except SinkError as error:
            if has_no_reader(error):
                raise ReaderGone from None
            raise HtrunError(str(error)) from error
        return 0


def _report_losses(sink: Sink, trace: Trace, window: Window) -> None:
    """Report the losses of the selected threads.

    A loss is reported at the end of the trace, because its exact time is unknown: it lies between two packets.
    """
    wanted = window.streams
    lost = sum(count for number, count in enumerate(trace.discarded) if wanted is None or number in wanted)
    if lost and isinstance(sink, LossSink):
        _, end = trace.duration or (0, 0)
        sink.dropped(lost, end)


def facts_of(trace: Trace, *, decode: bool) -> TraceFacts:
    """The facts of ``trace`` for a sink. ``decode``: whether the sink decodes system calls."""
    begin, _ = trace.duration or (0, 0)
    host = trace.environment.get("hostname", "")
    return TraceFacts(
        trace.shapes.num_args, trace.shapes.named, begin, str(host), trace.environment, trace.kinds, decode
    )
