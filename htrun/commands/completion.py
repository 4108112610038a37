"""``hypertrace completion``: prints a script with which a shell completes command lines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from htrun.commands.completed_line import complete, line_of_help, line_of_parser
from htrun.completion.model import Kind, Program, Value, Verb
from htrun.reports.output import show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_SHELLS = ("bash", "zsh", "fish")
_COMMANDS = ("hypertrace", "htrun")
_RUN = "run"
"""The verb of hypertrace that is followed by a command line of htrun."""


class CompletionCommand:
    """Print a shell script that completes the command lines of hypertrace or htrun."""

    examples = """
An installation by a package manager or by pip has the scripts where the shells look for them.

examples:
  hypertrace completion bash > ~/.local/share/bash-completion/completions/hypertrace
  hypertrace completion bash htrun > ~/.local/share/bash-completion/completions/htrun
  hypertrace completion zsh > ~/.zfunc/_hypertrace
  hypertrace completion fish > ~/.config/fish/completions/hypertrace.fish
"""

    def __init__(
        self, parsers: Callable[[], tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]]
    ) -> None:
        """``parsers``: creates the parser of hypertrace, and the parser of each verb."""
        self._parsers = parsers

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments SHELL and COMMAND."""
        parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
        parser.add_argument(
            "command",
            nargs="?",
            choices=_COMMANDS,
            default=_COMMANDS[0],
            metavar="COMMAND",
            help=f"{' or '.join(_COMMANDS)} (default: {_COMMANDS[0]})",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the script; returns 0."""
        show(self.script(arguments.shell, arguments.command))
        return 0

    def script(self, shell: str, command: str) -> str:
        """The script with which ``shell`` completes the command lines of ``command``."""
        program = _htrun() if command == "htrun" else self._hypertrace()
        return str(import_module(f"htrun.completion.{shell}").script(program))

    def _hypertrace(self) -> Program:
        parser, verbs = self._parsers()
        return Program(
            "hypertrace",
            line_of_parser(parser)._replace(argument=None),
            tuple(
                Verb(name, each.description or "", line_of_parser(each), "htrun" if name == _RUN else "")
                for name, each in verbs.items()
            ),
        )


def _htrun() -> Program:
    from htrun.commands.options import HELP
    from htrun.events.definitions import EVENTS
    from htrun.sinks.registry import FORMATS

    events = Value("event", Kind.CHOICES, tuple(definition.name for definition in EVENTS))
    values = {
        "FILE": Value("file", Kind.FILE),
        "PATH": Value("path", Kind.FILE),
        "PATH[,args=N][,max-clients=N]": Value("path", Kind.FILE),
        "SYSROOT": Value("directory", Kind.DIRECTORY),
        "--emulator": Value("emulator", Kind.PROGRAM),
        "--format": Value("format", Kind.CHOICES, tuple(known.name for known in FORMATS)),
        "--trace": events,
    }
    return Program("htrun", line_of_help(HELP, values))


def complete_file(action: argparse.Action) -> None:
    """Make the shell complete ``action`` with names of files."""
    complete(action, Value(str(action.metavar), Kind.FILE))


def complete_format(action: argparse.Action) -> None:
    """Make the shell complete ``action`` with the formats that a trace can be converted to."""
    from htrun.sinks.registry import CTF, FORMATS

    complete(action, Value("format", Kind.CHOICES, tuple(known.name for known in FORMATS if known.name != CTF)))


def complete_directory(action: argparse.Action) -> None:
    """Make the shell complete ``action`` with names of directories."""
    complete(action, Value(str(action.metavar), Kind.DIRECTORY))
