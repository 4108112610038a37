"""The output of verbs reaches standard output, for any text and any encoding."""

from __future__ import annotations

import io
import sys

import pytest

from htrun.reports.output import show


@pytest.mark.parametrize(
    ("encoding", "text", "printed"),
    [
        ("utf-8", "odd\udce9 µ\n", b"odd\xe9 \xc2\xb5\n"),
        ("latin-1", "odd\udce9 µ …\n", b"odd\xe9 \xb5 \\u2026\n"),
        ("ascii", "odd\udce9 µs ±\n", b"odd\xe9 \\xb5s \\xb1\n"),
        ("ascii", "±\udce9±\udce9\n", b"\\xb1\xe9\\xb1\xe9\n"),
    ],
)
def test_text_of_any_kind(encoding: str, text: str, printed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding=encoding))
    show(text)
    assert output.getvalue() == printed
