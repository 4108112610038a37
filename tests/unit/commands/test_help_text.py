"""The help of htrun fits the terminal, and contains the same words at every width."""

from __future__ import annotations

import pytest

from htrun.commands.help_text import fitted
from htrun.commands.options import HELP


@pytest.mark.parametrize("columns", [60, 80, 119])
def test_the_help_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found, examples = fitted(HELP).split("\nExamples:\n")
    assert max(map(len, found.splitlines())) <= columns
    own, own_examples = HELP.split("\nExamples:\n")
    assert found.split() == own.split()
    assert examples == own_examples
    lines = found.splitlines()
    assert "Output:" in lines
    # The exit status is a paragraph of its own, and an option without a text keeps its line.
    assert lines[lines.index("  --version, -h, --help") + 1] == ""


@pytest.mark.parametrize("columns", [120, 200])
def test_a_help_that_fits_is_not_changed(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert fitted(HELP) == HELP
