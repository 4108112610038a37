"""Words that were retired: from documents, man pages, help and messages, and from comments and docstrings.

They were a dialect of this project. Each is listed with the plain word to use instead.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
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
    *(TOP / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "guest/linux-module/README.md")),
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "man").glob("*.[1-9]")),
]

COMMENTED = (
    "bench",
    "guest",
    "htrun/analysis",
    "htrun/benchmark",
    "htrun/channel",
    "htrun/commands",
    "htrun/ctf",
    "htrun/events",
    "htrun/hosts",
    "htrun/intercept",
    "htrun/launch",
    "htrun/reports",
    "htrun/rings",
    "htrun/runner",
    "htrun/sinks",
    "htrun/tracee",
    "htrun/view",
    "lab",
    "tests/integration",
    "tests/property",
    "tests/support",
    "tests/system",
    "tests/unit",
    "tools",
)
"""The folders whose comments and docstrings are free of them."""
COMMENTS = re.compile(r"/\*.*?\*/|(?:^|\s)//[^\n]*", re.DOTALL)
"""Comments of C, assembly and JavaScript."""
ASSEMBLY_COMMENTS = re.compile(r"/\*.*?\*/|(?:^|\s)(?://|#)[^\n]*", re.DOTALL)
"""The GNU assembler's for x86-64 begin with ``#`` too."""


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
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if " " in node.value and id(node) not in docstrings:
            yield node


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("htrun")])
def test_messages(name: str) -> None:
    found = [
        f"{text.lineno}: {words}" for text in _sentences(MODULES[name]) for words in retired_words(str(text.value))
    ]
    assert found == []


def _docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """The comments and docstrings of a source file, each with the number of its first line."""
    source = path.read_text()
    if path.suffix == ".py":
        yield from _docstrings(ast.parse(source))
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    else:
        pattern = ASSEMBLY_COMMENTS if path.suffix in {".S", ".inc"} else COMMENTS
        for match in pattern.finditer(source):
            yield source.count("\n", 0, match.start()) + 1, match[0]


@pytest.mark.parametrize("folder", COMMENTED)
def test_comments(folder: str) -> None:
    found = []
    for path in sorted((TOP / folder).rglob("*")):
        if path.suffix not in {".py", ".js", ".c", ".h", ".S", ".inc"} or path == Path(__file__):
            continue
        for line, text in comments(path):
            # Names in code are not prose.
            found += [f"{path}:{line}: {words}" for words in retired_words(re.sub(r"(`+)[^`]+\1", "", text))]
    assert found == []


def test_comments_of_each_language_are_found(tmp_path: Path) -> None:
    files = {
        "one.py": '"""It tells."""\nvalue = "told"  # Behind.\n',
        "two.js": 'const url = "http://told"; // It tells.\n',
        "three.S": "/* It\ntells. */\n    mov rax, rbx    // Behind.\n",
        "four.inc": "    mov %rax, %rbx    # Behind.\n# It tells.\n",
    }
    found = {}
    for name, source in files.items():
        (tmp_path / name).write_text(source)
        found[name] = [words for _, text in comments(tmp_path / name) for words in retired_words(text)]
    assert {name: len(words) for name, words in found.items()} == {
        "one.py": 2,
        "two.js": 1,
        "three.S": 2,
        "four.inc": 2,
    }


def test_a_retired_word_is_found() -> None:
    assert retired_words("It tells\nnothing dear to you.") == [
        "1: 'tells', say: reports, prints, shows, says",
        "2: 'dear', say: slower, costs more",
    ]
