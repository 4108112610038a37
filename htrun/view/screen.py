"""The screen of `hypertrace top`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from htrun.view.wording import NAME_HEAD, SPAN_HEAD, THREAD_HEAD, Row, duration, name_rows, rate, span_rows, thread_rows

if TYPE_CHECKING:
    from rich.console import RenderableType

    from htrun.events.stream import Stream
    from htrun.view.figures import LiveFigures, Rates, Sparks

_HEAD_LINES, _FRAME_LINES = 4, 3
_WIDE = 110
"""The minimum width in columns at which tables are side by side."""


@dataclass(frozen=True)
class Moment:
    """The content of the screen at one moment.

    ``title``: the name of the program.
    ``begun``: the value of `time.monotonic` at the start.
    ``figures``: the figures of all events; None until the first event.
    ``lost``: the number of lost events.
    ``rates``: the rates of all events (key None), of each name and of each thread.
    ``latest``: the lines of the latest events.
    """

    title: str
    begun: float
    figures: LiveFigures | None
    streams: Sequence[Stream]
    lost: int
    rates: Rates
    sparks: Sparks
    latest: Sequence[str] = ()


def screen(moment: Moment, width: int, height: int) -> RenderableType:
    """The whole screen, for a terminal of ``width`` columns and ``height`` lines."""
    if moment.figures is None:
        waiting = Text("waiting for the first event", style="dim italic", justify="center")
        return Group(_head(moment, width), Text(""), waiting)
    layout = Layout()
    body = height - _HEAD_LINES
    latest = max(min(body // 3, len(moment.latest) + _FRAME_LINES - 1), 4)
    layout.split_column(
        Layout(_head(moment, width), size=_HEAD_LINES),
        Layout(name="tables"),
        Layout(_latest(moment.latest, latest - 2), size=latest),
    )
    tables = layout["tables"]
    room = body - latest
    spans = _table(SPAN_HEAD, span_rows(moment.figures), "magenta")
    names = _table(NAME_HEAD, name_rows(moment.figures, lambda name: moment.rates.of(("name", name))), "cyan")
    threads = _table(
        THREAD_HEAD,
        thread_rows(moment.figures, moment.streams, lambda number: moment.rates.of(("thread", number))),
        "green",
    )
    if width >= _WIDE:
        upper = Layout()
        upper.split_row(Layout(_panel("events", names, room // 2)), Layout(_panel("threads", threads, room // 2)))
        tables.split_column(upper, Layout(_panel("spans", spans, room - room // 2)))
    else:
        tables.split_column(
            *(
                Layout(_panel(title, rows, room // 3))
                for title, rows in (("spans", spans), ("events", names), ("threads", threads))
            )
        )
    return layout


def _head(moment: Moment, width: int) -> RenderableType:
    figures = moment.figures
    top = Table.grid(expand=True)
    top.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    top.add_column(justify="right", no_wrap=True)
    elapsed = duration((time.monotonic() - moment.begun) * 1e9)
    top.add_row(Text(moment.title, style="bold"), Text(f"q ends   watched {elapsed}", style="dim"))
    facts = Text(no_wrap=True, overflow="ellipsis")
    count = figures.events if figures else 0
    for number, what, style in (
        (f"{count:,}", "events", "bold"),
        (rate(moment.rates.of(None)), "now", "bold cyan"),
        (f"{figures.open if figures else 0:,}", "open spans", "bold"),
        (f"{moment.lost:,}", "lost", "bold red" if moment.lost else "bold"),
    ):
        facts.append(number, style).append(f" {what}   ", "dim")
    return Group(top, facts, Text(moment.sparks.text(width), style="cyan", no_wrap=True), Text(""))


def _panel(title: str, table: Table, height: int) -> RenderableType:
    return Panel(table, title=title, title_align="left", box=box.ROUNDED, border_style="dim", height=max(height, 3))


def _latest(lines: Sequence[str], count: int) -> RenderableType:
    text = Text("\n".join(lines[-count:]), no_wrap=True, overflow="ellipsis")
    return Panel(text, title="latest events", title_align="left", box=box.ROUNDED, border_style="dim")


def _table(head: Row, rows: Sequence[Row], style: str) -> Table:
    table = Table(box=None, expand=True, header_style="dim", pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(
            name,
            justify="right" if place else "left",
            style=None if place else style,
            no_wrap=True,
            ratio=None if place else 1,
        )
    for row in rows:
        # Names chosen by a guest must not be interpreted as markup.
        table.add_row(*(Text(cell) for cell in row))
    return table
