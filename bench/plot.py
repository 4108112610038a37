"""Draws a bar chart as SVG, without a library. It has a bar for each bench of a group, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.tables import figure

_LABELS = 330
"""The width of the names to the left of the bars. All lengths in this module are in pixels."""
_BARS = 470
_VALUES = 90
_ROW = 26
_BAR = 16
_TOP = 56
_BOTTOM = 40
_MARGIN = 20

_STYLE = """
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.tick { font-size: 11px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.ours { fill: #0969da }
.other { fill: #a0a9b4 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.tick { fill: #9198a1 }
.grid { stroke: #3d444d }
.ours { fill: #4493f8 }
.other { fill: #656c76 }
}
"""


@dataclass(frozen=True)
class Bar:
    """A bar of the chart. ``value``: its value, above 0. ``ours``: whether it is drawn in the accent colour."""

    label: str
    value: float
    ours: bool


def bar_chart(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """The chart as an SVG document, which adapts to the reader's light or dark theme. ``bars``: one or more bars."""
    low = math.floor(math.log10(min(bar.value for bar in bars)))
    high = max(math.ceil(math.log10(max(bar.value for bar in bars))), low + 1)
    scale = _BARS / (high - low)
    width = _MARGIN + _LABELS + _BARS + _VALUES
    height = _TOP + _ROW * len(bars) + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_MARGIN}" y="28">{escape(title)}</text>',
    ]
    parts += [_tick(power, _MARGIN + _LABELS + (power - low) * scale, height, unit) for power in range(low, high + 1)]
    for row, bar in enumerate(bars):
        parts.append(_bar(bar, _TOP + row * _ROW, (math.log10(bar.value) - low) * scale, unit))
    return "\n".join([*parts, "</svg>", ""])


def _amount(value: float, unit: str, form: str | None = None) -> str:
    """The text of a value with its unit. Long times are in microseconds. ``form``: the format of the number; None:
    `figure`."""
    if unit == "ns" and value >= 1000:
        value, unit = value / 1000, "µs"
    return f"{figure(value) if form is None else format(value, form)} {unit}"


def _tick(power: int, x: float, height: int, unit: str) -> str:
    bottom = height - _BOTTOM
    label = escape(_amount(10.0**power, unit, "g"))
    return (
        f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom}"/>'
        f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>'
    )


def _bar(bar: Bar, y: float, length: float, unit: str) -> str:
    left = _MARGIN + _LABELS
    text_y = y + _BAR - 3
    kind = "ours" if bar.ours else "other"
    length = max(length, 2)
    return (
        f'<text x="{left - 10}" y="{text_y}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="3"/>'
        f'<text x="{left + length + 8:.1f}" y="{text_y}">{escape(_amount(bar.value, unit))}</text>'
    )
