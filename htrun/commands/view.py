"""``hypertrace view``: draw a trace as a page for a browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htrun.commands.completion import complete_directory, complete_file
from htrun.commands.trace_arguments import FILTER_HELP, add_filter, add_trace, event_id, filter_of, open_trace
from htrun.errors import HtrunError
from htrun.events.sink import SinkError
from htrun.reports.missing_spans import no_events
from htrun.reports.output import ReaderGone, show, warn
from htrun.reports.progress import with_progress
from htrun.sinks.output import STANDARD_OUTPUT, has_no_reader, output_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from htrun.analysis.trace import Trace
    from htrun.events.records import Events

_HEAD = 4096
"""The number of bytes at the start of a file that are searched for `GENERATOR`, the mark of a page."""


class ViewCommand:
    """Draw the time line of a trace in one HTML page."""

    examples = (
        FILTER_HELP
        + """
The page needs only a browser, and no network. docs/view.md lists its keys.

examples:
  hypertrace view trace
  hypertrace view trace --open
  hypertrace view trace --at 1205
  hypertrace view trace -o slow.html --from 20ms --to 30ms --thread worker
  hypertrace view trace --compare other-trace -o both.html
"""
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE, the page, and the selection of events."""
        add_trace(parser)
        complete_file(
            parser.add_argument(
                "-o",
                "--output",
                type=output_path,
                metavar="FILE",
                help="the page (default: the trace's name with .html); - is standard output",
            )
        )
        complete_directory(
            parser.add_argument(
                "--compare", type=Path, metavar="TRACE", help="compare the spans with those of another trace"
            )
        )
        parser.add_argument(
            "-f", "--force", action="store_true", help="overwrite FILE even if it is not a page of hypertrace view"
        )
        parser.add_argument(
            "--at",
            type=event_id,
            metavar="ID",
            help="show the span or the event with this id, which hypertrace slowest prints. If the trace has too many "
            "events for a page, the page contains only the events around it",
        )
        parser.add_argument("--open", action="store_true", help="open the page in a browser")
        parser.add_argument(
            "--most", type=int, metavar="N", help="maximum number of events on the page (default: 4,000,000)"
        )
        add_filter(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the page and print its path; returns 0. Raises `HtrunError`."""
        if arguments.most is not None and arguments.most < 1:
            raise HtrunError(f"--most {arguments.most}: must be at least 1")
        from htrun.view.content import MOST_EVENTS, choose, choose_around, content_of
        from htrun.view.page import page

        trace = open_trace(arguments)
        output = _output(arguments.output, trace.path, force=arguments.force)
        comparison = _comparison(trace, arguments) if arguments.compare is not None else None
        most, at = arguments.most or MOST_EVENTS, None
        if arguments.at is None:
            chosen = choose(_batches(trace, arguments, "reading"), trace.shapes, trace.num_args, most)
        else:
            chosen, at = choose_around(trace, filter_of(arguments, trace), arguments.at, most)
        if not len(chosen.events):
            what = "has no events that match" if len(trace) else no_events(trace)
            warn(f"{trace.path} {what}: the page shows no events")
        _write(output, page(content_of(trace, chosen, at), comparison))
        if output != STANDARD_OUTPUT:
            show(f"{output}\n")
        if arguments.open:
            _open(output)
        return 0


def _open(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        raise HtrunError(f"no browser could be started; open {page} in one")


def _batches(trace: Trace, arguments: argparse.Namespace, what: str) -> Iterator[Events]:
    return with_progress(filter_of(arguments, trace).batches(trace), len(trace), what)


def _comparison(trace: Trace, arguments: argparse.Namespace) -> dict[str, Any]:
    from htrun.analysis.timing.doubts import differences
    from htrun.analysis.timing.query import SpanQuery
    from htrun.reports.runs import NOT_CORRECTED, TimedRun, can_be_corrected
    from htrun.view.comparison import comparison_of

    other = open_trace(argparse.Namespace(**{**vars(arguments), "trace": arguments.compare}))
    both = [TimedRun.of(each, SpanQuery(), _batches(each, arguments, "comparing")) for each in (trace, other)]
    for run in both:
        if not run.rows:
            warn(f"{run.path} has no spans to compare")
    corrected = can_be_corrected(both)
    remarks = [f"A and B: {line}" for line in differences(trace.environment, other.environment)]
    if not corrected:
        remarks.append(NOT_CORRECTED)
    one, two = (run.figures(corrected=corrected) for run in both)
    return comparison_of((str(trace.path), str(other.path)), (one, two), remarks)


def _output(path: Path | None, trace: Path, *, force: bool) -> Path:
    """The path of the page.

    A page that an earlier call has written is replaced. Any other file is replaced only with ``force``, because a
    mistyped name may be the name of a valuable file. Raises `HtrunError`.
    """
    output = path or Path(f"{trace.resolve().name}.html")
    if output.is_dir():
        raise HtrunError(f"cannot write {output}: it is a directory")
    if output.is_file() and output.stat().st_size and not force and not _is_page(output):
        raise HtrunError(
            f"cannot write {output}: it exists and was not written by hypertrace view; give another, or -f "
            "to replace it"
        )
    return output


def _is_page(path: Path) -> bool:
    from htrun.view.page import GENERATOR

    try:
        with path.open("rb") as file:
            return GENERATOR.encode() in file.read(_HEAD)
    except OSError as error:
        raise HtrunError(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, pieces: Iterable[str]) -> None:
    from htrun.sinks.output import Output

    output = Output.open(path)
    try:
        try:
            for piece in pieces:
                # A path may contain any bytes. Python represents invalid bytes by surrogates.
                output.write(piece.encode(errors="replace"))
        finally:
            output.close()
    except SinkError as error:
        if has_no_reader(error):
            raise ReaderGone from None
        raise HtrunError(str(error)) from error
