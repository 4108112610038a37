"""Builds an HTML page from the skeleton, styles and scripts in ``assets/``, and the data to show."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from htrun.view.modules import bundle

if TYPE_CHECKING:
    from htrun.view.content import Content

GENERATOR = '<meta name="generator" content="hypertrace view">'
"""The mark of a page that htrun has written."""

_STYLES = ("theme", "frame", "timeline", "panel")
_ENTRY = "main"


def page(content: Content, comparison: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The text of the page, in pieces. ``comparison``: the result of `htrun.view.comparison`, if there are two traces.

    The parts are in the order in which the page needs them: the script already runs while the browser reads the
    columns.
    """
    skeleton = _asset("page.html")
    before, after = skeleton.split("<!-- data -->\n")
    styles = "\n".join(_asset(f"css/{name}.css") for name in _STYLES)
    yield before.replace("<!-- title -->", html.escape(content.head["trace"])).replace("/* styles */", styles)
    yield _data("head", json.dumps({**content.head, "comparison": comparison}))
    yield _section(0, content.sections)
    yield f"<script>\n{bundle(_ENTRY, lambda name: _asset(f'js/{name}.js'))}</script>\n"
    for number in range(1, len(content.sections)):
        yield _section(number, content.sections)
    yield after


def _section(number: int, sections: Sequence[str]) -> str:
    return _data(f"section-{number}", sections[number])


def _data(name: str, text: str) -> str:
    """An element that contains ``text``. The text is escaped, so that a name chosen by a guest cannot end the
    element."""
    safe = text.replace("<", "\\u003c")
    return f'<script type="application/octet-stream" id="{name}">{safe}</script>\n'


def _asset(name: str) -> str:
    return (files("htrun.view") / "assets" / name).read_text(encoding="utf-8")
