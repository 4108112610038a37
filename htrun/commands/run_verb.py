"""``hypertrace run``: the same as the command ``htrun``, for machines where another command has that name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.commands.run import run_words

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NAME = "run"


class RunCommand:
    """Run a program and record its events, as the command htrun does."""

    examples = ""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add nothing: `run_htrun` parses the words after the verb, which are those of htrun."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the help of htrun; returns 0."""
        return run_words(["--help"])


def run_htrun(words: Sequence[str]) -> int | None:
    """Run htrun if the first of ``words`` is the verb. Returns None for another verb. Returns the exit code if there
    was no program to run; otherwise, this process becomes the program."""
    return run_words(words[1:]) if words[:1] == [NAME] else None
