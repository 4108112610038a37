"""``hypertrace``: the command that works with recorded traces."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, Protocol

import htrun
from htrun.commands.bench import BenchCommand
from htrun.commands.compare import CompareCommand
from htrun.commands.completion import CompletionCommand
from htrun.commands.config_files import Found, config_files
from htrun.commands.convert import ConvertCommand
from htrun.commands.guest import GuestCommand
from htrun.commands.header import HeaderCommand
from htrun.commands.info import InfoCommand
from htrun.commands.parser import HelpFormatter, Parser
from htrun.commands.print import PrintCommand
from htrun.commands.query import QueryCommand
from htrun.commands.run_verb import RunCommand, run_htrun
from htrun.commands.slowest import SlowestCommand
from htrun.commands.stat import StatCommand
from htrun.commands.top import TopCommand
from htrun.commands.view import ViewCommand
from htrun.errors import HtrunError
from htrun.reports.output import ReaderGone, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.commands.verb_configuration import Lists


class Command(Protocol):
    """A verb. The first line of its docstring is its help text. ``examples`` is printed after its options."""

    examples: str

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work; returns the exit code. Raises `HtrunError`."""


COMPLETION = CompletionCommand(lambda: parsers())
"""The verb that knows the parsers of all verbs."""

COMMANDS: dict[str, Command] = {
    "run": RunCommand(),
    "info": InfoCommand(),
    "print": PrintCommand(),
    "convert": ConvertCommand(),
    "query": QueryCommand(),
    "view": ViewCommand(),
    "top": TopCommand(),
    "slowest": SlowestCommand(),
    "stat": StatCommand(),
    "bench": BenchCommand(),
    "compare": CompareCommand(),
    "header": HeaderCommand(),
    "guest": GuestCommand(),
    "completion": COMPLETION,
}
"""The verbs, by name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``hypertrace`` with ``arguments`` (default: the arguments of this process). Returns the exit code."""
    try:
        words = _help_last(sys.argv[1:] if arguments is None else arguments)
        code = run_htrun(words)
        if code is not None:
            return code
        parsed = _parse(words)
        return COMMANDS[parsed.verb].run(parsed)
    except HtrunError as error:
        print(f"hypertrace: {error}", file=sys.stderr)
        return error.exit_code
    except ReaderGone as gone:
        return gone.exit_code
    except KeyboardInterrupt:
        # Die from the signal, so that a shell stops its script, too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise


def _help_last(words: Sequence[str]) -> list[str]:
    """``help VERB`` changed to ``VERB --help``, and a single ``help`` changed to ``--help``."""
    return [*words[1:], "--help"] if words[:1] == ["help"] else list(words)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse ``words``, with the defaults from configuration files. Raises `HtrunError`."""
    parser, verbs = parsers()
    # argparse drops the word ``--``.
    separated = "--" in words
    own = words[: words.index("--")] if separated else words
    unconfigured = "--no-config" in own
    found = Found(()) if unconfigured or {"-h", "--help"} & {*own} else config_files(os.environ)
    if found.remark is not None:
        warn(found.remark)
    lists: Lists = {}
    if found.files:
        from htrun.commands.verb_configuration import configure

        lists = configure(verbs, found.files)
    parsed = parser.parse_args(words, argparse.Namespace(separated=separated, no_config=unconfigured))
    for name, values in lists.get(parsed.verb, {}).items():
        if not getattr(parsed, name):
            setattr(parsed, name, values)
    return parsed


def parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the command, and the parser of each verb by its name."""
    parser = Parser(
        prog="hypertrace",
        description="Work with the traces that htrun records.",
        epilog="hypertrace help VERB prints the options of VERB, with examples.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hypertrace {htrun.__version__}")
    _add_no_config(parser)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").partition("\n")[0]
        verb = parsers[name] = verbs.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=command.examples,
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )
        _add_no_config(verb)
        command.prepare_parser(verb)
    return parser, parsers


def _add_no_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that `_parse` obeys. It may stand before the verb or after the verb."""
    parser.add_argument(
        "--no-config", action="store_true", default=argparse.SUPPRESS, help="do not read configuration files"
    )


if __name__ == "__main__":
    sys.exit(main())
