"""``hypertrace top``: show a run live."""

from __future__ import annotations

import argparse
import shlex
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
from htrun.commands.input_files import events_of_program
from htrun.errors import ExitCode, HtrunError
from htrun.launch import launcher
from htrun.reports.output import show
from htrun.reports.table import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST_INTERVAL, _MOST_INTERVAL = 0.05, 60.0
_SIGNALLED = 128
_END_SECONDS = 10
"""The time in seconds in which a program must exit after it was requested to exit. After this time it is killed."""


class TopCommand:
    """Show a run live in the terminal: rates, spans, the latest events."""

    examples = """
top follows TRACE until its run ends, or until you press q or Ctrl-C. Without TRACE, top runs the program after --.
Options of htrun may precede the program. Its output is shown after it has exited. If standard output is not a
terminal, top only prints a summary: of TRACE in its present state, or of the whole run of the program.

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
                type=events_of_program,
                metavar="FILE",
                help="name events by this TOML file instead of the names in the trace",
            )
        )
        parser.add_argument(
            "--interval", type=float, default=0.5, metavar="SECONDS", help="the time between two updates (default: 0.5)"
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
            try:
                ended = top.show(program.running)
            except HtrunError:
                if program.process.poll() != ExitCode.OWN_FAILURE:
                    raise
                # htrun's own output shows why there is no trace.
                ended = True
            return program.end(ended)


@dataclass
class _Program:
    """A program that was started under htrun. ``trace``: the directory of the trace. ``printed``: the file with the
    program's output."""

    process: subprocess.Popen[bytes]
    trace: Path
    printed: Path

    def running(self) -> bool:
        """Whether the program is still running."""
        return self.process.poll() is None

    def end(self, ended: bool) -> int:
        """Print the program's output, and return the program's exit code. ``ended``: whether the program has exited. If
        the user has quit before, the exit code is 0."""
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
        # A program that was killed by a signal has the same exit code as in a shell.
        return status if status >= 0 else _SIGNALLED - status


@contextmanager
def _started(arguments: argparse.Namespace) -> Iterator[_Program]:
    """Start the command in ``arguments`` under htrun. The command has no access to the terminal, because the display
    uses it."""
    with tempfile.TemporaryDirectory(prefix="hypertrace-") as directory:
        trace, printed = Path(directory) / "trace", Path(directory) / "printed"
        trace.mkdir()
        names = ["--events", str(arguments.events)] if arguments.events is not None else []
        config = ["--no-config"] * arguments.no_config
        command = [*launcher.command(), "-o", str(trace), *config, *names, *arguments.command]
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
    """The display of one trace. ``title``: the traced program."""

    def __init__(self, arguments: argparse.Namespace, path: Path, title: str) -> None:
        from htrun.ctf.following import Follower
        from htrun.events.named import NamedEvents
        from htrun.view.figures import LiveTrace

        names = NamedEvents.load(arguments.events) if arguments.events is not None else None
        if not path.is_dir():
            what = "it is not a directory" if path.exists() else "it does not exist"
            raise HtrunError(f"{path} is not a trace: {what}")
        self._trace = LiveTrace(Follower(path, names))
        self._interval: float = arguments.interval
        self._title = title

    def show(self, running: Callable[[], bool]) -> bool:
        """Show the trace until it is complete and ``running`` returns False, or until the user quits. Returns False if
        the user quit. Raises `HtrunError`.
        """
        from htrun.reports.live import summary
        from htrun.view import wording

        trace, follower = self._trace, self._trace.follower
        if sys.stdout.isatty() and sys.stdin.isatty():
            from htrun.view.live import watch

            ended = watch(trace, running, self._interval, self._printed_title, self._latest)
        else:
            ended = self._wait(running)
        tables = wording.tables(trace.figures, follower.streams)
        show("".join(summary(wording.totals(trace.figures, follower.discarded), tables)))
        return ended

    def _wait(self, running: Callable[[], bool]) -> bool:
        """Read all events that are in the trace now. If top runs the program itself, continue until the program has
        exited."""
        while running():
            self._trace.read()
            time.sleep(self._interval)
        self._trace.read()
        path = self._trace.follower.path
        if self._trace.figures is None and not (path / "metadata").exists():
            raise HtrunError(f"{path} is not a trace: it has no file 'metadata'")
        return True

    def _printed_title(self) -> str:
        return printable(str(self._trace.follower.environment.get("command", self._title)))

    def _latest(self) -> list[str]:
        from htrun.reports.live import latest_lines
        from htrun.view.figures import LATEST

        figures, follower = self._trace.figures, self._trace.follower
        if figures is None or follower.shapes is None:
            return []
        return latest_lines(figures.latest, follower.shapes, follower.streams, figures.first or 0, LATEST)


def _split_command(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` store the words after ``--`` as ``command``, because argparse does not distinguish them from the
    words before ``--``."""
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
    parser.usage = (
        "hypertrace top [-h] [--no-config] [--events FILE] [--interval SECONDS] (TRACE | -- PROGRAM [ARGS...])"
    )
