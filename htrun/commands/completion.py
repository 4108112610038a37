"""``hypertrace completion``: prints a script with which a shell completes command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from htrun.errors import HtrunError
from htrun.reports.output import show

_SHELLS = ("bash", "zsh")


class CompletionCommand:
    """Print a shell script that completes hypertrace's command lines."""

    examples = """
examples:
  hypertrace completion bash > ~/.local/share/bash-completion/completions/hypertrace
  hypertrace completion zsh > ~/.zfunc/_hypertrace
"""

    def __init__(self, parser: Callable[[], argparse.ArgumentParser]) -> None:
        """``parser``: creates the parser of all verbs."""
        self._parser = parser

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the argument SHELL."""
        parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the script; returns 0. Raises `HtrunError` if the package shtab is missing."""
        try:
            import shtab
        except ImportError:
            raise HtrunError("this needs the package shtab; install it with: pip install 'htrun[completion]'") from None
        preamble = _formats() if arguments.shell == "bash" else ""
        show(shtab.complete(self._parser(), shell=arguments.shell, preamble=preamble) + "\n")
        return 0


def _formats() -> str:
    """The definition of the bash function that completes the names of formats."""
    return f'_hypertrace_formats() {{ compgen -W "{_format_names()}" -- "$1"; }}\n'


def _format_names() -> str:
    from htrun.sinks.registry import CTF, FORMATS

    return " ".join(known.name for known in FORMATS if known.name != CTF)


# The same as shtab.FILE and shtab.DIRECTORY. shtab is imported only to print a script.
_FILE = {"bash": "_shtab_compgen_files", "zsh": "_files"}
_DIRECTORY = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/"}


def complete_file(action: argparse.Action) -> None:
    """Make the shell complete ``action`` with names of files."""
    action.complete = _FILE  # type: ignore[attr-defined]


def complete_format(action: argparse.Action) -> None:
    """Make the shell complete ``action`` with the formats that a trace can be converted to."""
    action.complete = {"bash": "_hypertrace_formats", "zsh": f"({_format_names()})"}  # type: ignore[attr-defined]


def complete_directory(action: argparse.Action) -> None:
    """Make the shell complete ``action`` with names of directories."""
    action.complete = _DIRECTORY  # type: ignore[attr-defined]
