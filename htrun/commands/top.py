"""``hypertrace top``: show a run live."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.commands.completion import complete_directory, complete_file
from htrun.errors import HtrunError
from htrun.launch import launcher
from htrun.reports.output import show
from htrun.reports.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.view.figures import LiveFigures

_MOST_ROWS = 20
_LATEST = 40
"""The most events to keep lines of: more than fit on most screens beside the rest."""
_LEAST_INTERVAL, _MOST_INTERVAL = 0.05, 60.0
_SIGNALLED = 128
_END_SECONDS = 10
"""Seconds from asking a program to exit until it is killed."""


class TopCommand:
    """Show a run live in the terminal: rates, spans, the latest events."""

    examples = """
top follows TRACE until its run ends, or you press q or Ctrl-C. Without TRACE, top runs the command after --, which
may begin with options of htrun; its output is shown when it has exited. If standard output is not a terminal, top
prints one summary, of TRACE as it is now or of the whole run.

examples:
  hypertrace top trace
  hypertrace top -- ./app
  hypertrace top --events events.toml -- qemu-aarch64 ./app-arm
  hypertrace top trace | cat
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: TRACE or a command, and the interval of updates."""
        complete_directory(
            parser.add_argument(
                "trace", nargs="?", type=Path, metavar="TRACE", help="a directory that htrun -o is writing"
            )
        )
        complete_file(
            parser.add_argument(
                "--events",
                type=Path,
                metavar="FILE",
                help="name events by this TOML file instead of the names in the trace",
            )
        )
        parser.add_argument(
            "--interval", type=float, default=0.5, metavar="SECONDS", help="time between two updates (default: 0.5)"
        )
        _split_command(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Show the run until it ends or the user quits. Returns 0, or the exit code of the program that was run. Raises
        `HtrunError`.
        """
        if (arguments.trace is None) == (not arguments.command):
            raise HtrunError(
                "give either the trace of a run or, after --, a program to run; try: hypertrace top --help"
            )
        if not _LEAST_INTERVAL <= arguments.interval <= _MOST_INTERVAL:
            raise HtrunError(f"--interval {arguments.interval}: must be from {_LEAST_INTERVAL} to {_MOST_INTERVAL} s")
        if arguments.trace is not None:
            _Top(arguments, arguments.trace, str(arguments.trace)).show(lambda: False)
            return 0
        with _started(arguments) as program:
            top = _Top(arguments, program.trace, shlex.join(arguments.command))
            return program.end(top.show(program.running))


@dataclass
class _Program:
    """A program that was started under htrun. ``trace``: the directory of its trace; ``printed``: the file with its
    output."""

    process: subprocess.Popen[bytes]
    trace: Path
    printed: Path

    def running(self) -> bool:
        """Whether it is still running."""
        return self.process.poll() is None

    def end(self, ended: bool) -> int:
        """Print its output and return its exit code; 0 if it has not ``ended`` because the user quit."""
        if not ended:
            self.process.terminate()
        try:
            status = self.process.wait(_END_SECONDS if not ended else None)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        show(self.printed.read_text(errors="replace"))
        if not ended:
            return 0
        # As in a shell, for a program that was killed by a signal.
        return status if status >= 0 else _SIGNALLED - status


@contextmanager
def _started(arguments: argparse.Namespace) -> Iterator[_Program]:
    """Start the command in ``arguments`` under htrun. It gets no terminal: the display uses it."""
    with tempfile.TemporaryDirectory(prefix="hypertrace-") as directory:
        trace, printed = Path(directory) / "trace", Path(directory) / "printed"
        trace.mkdir()
        names = ["--events", str(arguments.events)] if arguments.events is not None else []
        command = [*launcher.command(), "-o", str(trace), *names, *arguments.command]
        with printed.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield _Program(process, trace, printed)
        finally:
            process.kill()
            process.wait()


class _Top:
    """Shows one trace. ``title``: what the trace is of."""

    def __init__(self, arguments: argparse.Namespace, path: Path, title: str) -> None:
        from htrun.ctf.following import Follower
        from htrun.events.named import NamedEvents

        names = NamedEvents.load(arguments.events) if arguments.events is not None else None
        if not path.is_dir():
            what = "it is not a directory" if path.exists() else "it does not exist"
            raise HtrunError(f"{path} is not a trace: {what}")
        self._follower = Follower(path, names)
        self._interval: float = arguments.interval
        self._title = title
        self._figures: LiveFigures | None = None

    def show(self, running: Callable[[], bool]) -> bool:
        """Show the trace until it is complete and ``running`` returns False, or the user quits. Returns whether it
        completed first. Raises `HtrunError`.
        """
        on_terminal = sys.stdout.isatty() and sys.stdin.isatty()
        ended = self._watch(running) if on_terminal else self._wait(running)
        show("".join(self._summary()))
        return ended

    def _wait(self, running: Callable[[], bool]) -> bool:
        """Read everything that is in the trace now; if top runs the program, until the program has exited."""
        while running():
            self._look()
            time.sleep(self._interval)
        self._look()
        if self._figures is None and not (self._follower.path / "metadata").exists():
            raise HtrunError(f"{self._follower.path} is not a trace: it has no file 'metadata'")
        return True

    def _look(self) -> None:
        """Read the events that have been written since the last call."""
        from htrun.view.figures import LiveFigures

        for events in self._follower.poll():
            if self._figures is None:
                assert self._follower.shapes is not None
                self._figures = LiveFigures(self._follower.shapes, self._follower.names, _LATEST)
            self._figures.add(events)

    def _watch(self, running: Callable[[], bool]) -> bool:
        from rich.console import Console
        from rich.live import Live

        from htrun.view.figures import Rates, Sparks
        from htrun.view.keys import Ended, taken_over
        from htrun.view.screen import Moment, screen

        begun, rates, sparks, console = time.monotonic(), Rates(), Sparks(), Console()
        try:
            with taken_over(sys.stdin.fileno()) as keys, Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    # Asked before reading, so that what is written in between is read.
                    going_on = running() or self._follower.running() or self._figures is None
                    self._look()
                    rates.note(time.monotonic(), self._counts())
                    sparks.rates.append(rates.of(None))
                    follower, size = self._follower, console.size
                    title = str(follower.environment.get("command", self._title))
                    lines = self._latest()
                    moment = Moment(
                        printable(title),
                        begun,
                        self._figures,
                        follower.streams,
                        follower.discarded,
                        rates,
                        sparks,
                        lines,
                    )
                    live.update(screen(moment, size.width, size.height), refresh=True)
                    if not going_on:
                        return True
                    if b"q" in keys.wait(self._interval):
                        return False
        except KeyboardInterrupt:
            return False
        except Ended as ended:
            # Die of the signal, as without a screen.
            signal.signal(ended.number, signal.SIG_DFL)
            os.kill(os.getpid(), ended.number)
            raise

    def _counts(self) -> dict[object, int]:
        """The counts from which rates are computed."""
        figures = self._figures
        if figures is None:
            return {None: 0}
        counts: dict[object, int] = {None: figures.events}
        counts |= {("name", name): count for name, count in figures.names.items()}
        counts |= {("thread", number): count for number, count in figures.threads.items()}
        return counts

    def _latest(self) -> list[str]:
        """Lines of the latest events, the last one at the end."""
        from htrun.reports.lines import Lines

        figures, shapes = self._figures, self._follower.shapes
        if figures is None or shapes is None:
            return []
        lines = Lines(shapes, self._follower.streams, figures.first or 0)
        text = b"".join(lines.text(events) for events in figures.latest).decode(errors="replace")
        return [printable(line) for line in text.splitlines()[-_LATEST:]]

    def _summary(self) -> Iterator[str]:
        from htrun.view import wording

        figures = self._figures
        yield f"events:  {figures.events if figures else 0:,}\n"
        yield f"lost:    {self._follower.discarded:,}\n"
        if figures is None:
            return
        seconds = figures.seconds or float("inf")
        yield f"lasted:  {figures.seconds:.6f} s\n"
        yield f"rate:    {wording.rate(figures.events / seconds)}\n"
        threads = wording.thread_rows(figures, self._follower.streams, lambda each: figures.threads[each] / seconds)
        names = wording.name_rows(figures, lambda name: figures.names[name] / seconds)
        for head, rows in (
            (wording.SPAN_HEAD, wording.span_rows(figures)),
            (wording.NAME_HEAD, names),
            (wording.THREAD_HEAD, threads),
        ):
            if rows:
                shown = [tuple(map(printable, row)) for row in rows[:_MOST_ROWS]]
                yield "\n"
                yield from table(head, shown, [place > 0 for place in range(len(head))])
                if len(rows) > len(shown):
                    yield f"... and {len(rows) - len(shown):,} more\n"


def _split_command(parser: argparse.ArgumentParser) -> None:
    """Let ``parser`` keep the words after ``--`` as ``command``: argparse cannot distinguish them from those before."""
    parse = parser.parse_known_args

    def split(
        words: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = list(words or [])
        place = words.index("--") if "--" in words else len(words)
        parsed, unknown = parse(words[:place], namespace)
        parsed.command = words[place + 1 :]
        return parsed, unknown

    parser.parse_known_args = split  # type: ignore[method-assign, assignment]
    parser.usage = "hypertrace top [-h] [--events FILE] [--interval SECONDS] (TRACE | -- PROGRAM [ARGS...])"
