"""The parser of ``hypertrace``. It reports mistakes in one line, and its help fits the terminal."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from typing import TYPE_CHECKING, Any, NoReturn

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"(?:unrecognized arguments: |invalid choice: ')([^\s']+)")
_WIDEST = 120
"""The maximum width of help texts in columns. Longer lines are hard to read."""


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that raises `HtrunError` for wrong usage, with the word that the user probably
    meant."""

    _verb: str | None = None
    """The verb in the arguments, whose unknown options `argparse` leaves to the main parser."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember the verb for `error`. See `argparse.ArgumentParser.parse_known_args`."""
        found = super().parse_known_args(args, namespace)
        self._verb = getattr(found[0], "verb", None)
        return found

    def error(self, message: str) -> NoReturn:
        """Report wrong usage like every other failure: in one line, with htrun's own exit code."""
        found = _WORD.search(message)
        meant = similar(found[1].partition("=")[0], self._known_words()) if found is not None else None
        program = self.prog if self._verb is None else f"{self.prog} {self._verb}"
        hint = f"did you mean {meant}? try" if meant is not None else "try"
        # argparse's message would list all verbs on one line.
        said = message.partition(" (choose from")[0].replace("argument VERB: invalid choice:", "there is no verb")
        raise HtrunError(f"{said}; {hint}: {program} --help")

    def _known_words(self) -> Iterable[str]:
        """The options, and the verbs; with a verb only its options."""
        for action in self._actions:
            verbs = action.choices if isinstance(action.choices, dict) else {}
            if isinstance(verb := verbs.get(self._verb), Parser):
                yield from verb._known_words()
                return
            yield from action.option_strings
            yield from map(str, action.choices or ())


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fills paragraphs of text to the width of the terminal, or to the width in the environment variable COLUMNS.

    Indented lines, such as examples, are not changed.
    """

    def __init__(self, prog: str) -> None:
        import shutil

        super().__init__(prog, width=min(shutil.get_terminal_size().columns, _WIDEST))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = re.split(r"\n[ \t]*\n", text.strip("\n"))
        return "\n\n".join(_filled(each, width, indent) for each in paragraphs) + "\n"


def _filled(paragraph: str, width: int, indent: str) -> str:
    """``paragraph`` with its unindented lines filled to ``width``. Indented lines are not changed."""
    lines: list[str] = []
    run: list[str] = []
    for line in [*paragraph.splitlines(), None]:
        if line is not None and not line.startswith((" ", "\t")) and not line.endswith(":"):
            run.append(line)
            continue
        if run:
            lines += textwrap.wrap(
                " ".join(run), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )
            run = []
        if line is not None:
            lines.append(indent + line)
    return "\n".join(lines)


def similar(word: str, known: Iterable[str]) -> str | None:
    """The word among ``known`` that is most similar to ``word``; None if none is similar."""
    return next(iter(difflib.get_close_matches(word, dict.fromkeys(known), n=1, cutoff=0.7)), None)
