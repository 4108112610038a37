"""``hypertrace``: everything that is done with traces once they are there."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol

import htrun
from htrun.commands.info import InfoCommand
from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(Protocol):
    """A verb. The first line of its docstring is its help."""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code. Raises `HtrunError`."""


COMMANDS: dict[str, Command] = {"info": InfoCommand()}
"""Every verb by its name."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report bad usage as every other failure: in one line, with our own exit code."""
        raise HtrunError(f"{message}; try: {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``hypertrace`` with ``arguments`` (default: those of this process); its exit code."""
    try:
        parsed = _parser().parse_args(arguments)
        return COMMANDS[parsed.verb].run(parsed)
    except HtrunError as error:
        print(f"hypertrace: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hypertrace", description="Work with the traces that htrun records.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"hypertrace {htrun.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").partition("\n")[0]
        command.prepare_parser(verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False))
    return parser


if __name__ == "__main__":
    sys.exit(main())
