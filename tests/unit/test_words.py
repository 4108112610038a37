"""Words that were retired from what a user reads: documents, man pages, help, messages.

They were a dialect of this project. Each has a plain word that everybody knows, which is named beside it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_architecture import MODULES

TOP = Path(__file__).parents[2]
RETIRED = {
    r"tells?|told|telling": "reports, prints, shows, says",
    r"dearer|dear": "slower, costs more",
    r"behind": "after",
    r"sorts? of": "kind of",
    r"lives of (the )?threads": "the start and exit of threads",
    r"the house": "the code layout",
    r"(puts?|sets?) (it |them |all |both )?back": "restores",
    r"(come|comes|came) to nothing": "is ignored, are ignored",
    r"beyond htrun": "cannot be traced",
    r"of chance": "a 95% confidence interval",
    r"leave one away": "leave one out",
    r"what is not used": "unused",
    r"as ever": "as usual",
    r"places? in the code": "call site",
    r"amid": "during, while",
    r"whoever": "the process that, anyone who",
    r"in turns": "alternately",
    r"by as much": "by that much",
}
PATTERN = re.compile(rf"\b({'|'.join(RETIRED)})\b", re.IGNORECASE)
DOCUMENTS = [
    *(TOP / name for name in ("README.md", "CHANGELOG.md", "guest/linux-module/README.md")),
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "man").glob("*.[1-9]")),
]


def retired_words(text: str) -> list[str]:
    """Where ``text`` has one: ``line: words``, with the plain word."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in PATTERN.finditer(line):
            plain = next(plain for words, plain in RETIRED.items() if re.fullmatch(words, match[0], re.IGNORECASE))
            found.append(f"{number}: {match[0]!r}, say: {plain}")
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents(document: Path) -> None:
    assert retired_words(document.read_text()) == []


def _sentences(module: ast.Module) -> Iterator[ast.Constant]:
    """Texts with a space in them that are no docstrings: messages, help."""
    docstrings = {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
        if is_text and id(node) not in docstrings:
            yield node


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("htrun")])
def test_messages(name: str) -> None:
    found = [
        f"{text.lineno}: {words}" for text in _sentences(MODULES[name]) for words in retired_words(str(text.value))
    ]
    assert found == []


def test_a_retired_word_is_found() -> None:
    assert retired_words("It tells\nnothing dear to you.") == [
        "1: 'tells', say: reports, prints, shows, says",
        "2: 'dear', say: slower, costs more",
    ]
