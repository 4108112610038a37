"""``hypertrace``: everything that is done with recorded traces."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol

import htrun
from htrun.commands.bench import BenchCommand
from htrun.commands.compare import CompareCommand
from htrun.commands.completion import CompletionCommand
from htrun.commands.convert import ConvertCommand
from htrun.commands.header import HeaderCommand
from htrun.commands.info import InfoCommand
from htrun.commands.print import PrintCommand
from htrun.commands.query import QueryCommand
from htrun.commands.stat import StatCommand
from htrun.commands.top import TopCommand
from htrun.commands.view import ViewCommand
from htrun.errors import HtrunError
from htrun.reports.output import ReaderGone

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(Protocol):
    """A verb. The first line of its docstring is its help; ``examples`` are printed below its options."""

    examples: str

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work; returns the exit code. Raises `HtrunError`."""


COMMANDS: dict[str, Command] = {
    "info": InfoCommand(),
    "print": PrintCommand(),
    "convert": ConvertCommand(),
    "query": QueryCommand(),
    "view": ViewCommand(),
    "top": TopCommand(),
    "stat": StatCommand(),
    "bench": BenchCommand(),
    "compare": CompareCommand(),
    "header": HeaderCommand(),
    "completion": CompletionCommand(lambda: _parser()),
}
"""Every verb by its name."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report bad usage like every other failure: in one line, with htrun's exit code."""
        raise HtrunError(f"{message}; try: {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``hypertrace`` with ``arguments`` (default: those of this process); returns its exit code."""
    try:
        parsed = _parser().parse_args(arguments)
        return COMMANDS[parsed.verb].run(parsed)
    except HtrunError as error:
        print(f"hypertrace: {error}", file=sys.stderr)
        return error.exit_code
    except ReaderGone as gone:
        return gone.exit_code
    except KeyboardInterrupt:
        # Die of the signal, so that a shell stops its script, too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hypertrace", description="Work with the traces that htrun records.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"hypertrace {htrun.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").partition("\n")[0]
        verb = verbs.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=command.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.prepare_parser(verb)
    return parser


if __name__ == "__main__":
    sys.exit(main())
