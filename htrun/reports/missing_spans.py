"""Explains why there are no spans to report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from htrun.analysis.timing.spans import Unpaired
    from htrun.analysis.trace import Trace


def no_events(trace: Trace) -> str:
    """The reason why ``trace`` has no events. It is printed after the name of the trace."""
    lost = sum(trace.discarded)
    return "has no events" + (f": all {lost:,} were lost" if lost else "")


def no_spans(trace: Trace, unpaired: Mapping[str, Unpaired], *, need_names: bool) -> str:
    """The reason why ``trace`` has no spans. It is printed after the name of the trace.

    ``need_names``: whether only named events form spans.
    """
    left = unpaired.values()
    lost = sum(each.lost for each in left)
    alone = sum(each.begins + each.ends + 2 * each.negative for each in left)
    if len(trace) == 0:
        return no_events(trace)
    if lost and not alone:
        return f"has no complete spans: {lost:,} begins and ends are next to losses"
    if lost or alone:
        return f"has no spans: {alone:,} begins and ends without a partner, {lost:,} next to losses"
    if trace.names is None and need_names:
        return "has no spans: its events have no names; give some with --events FILE, or use --between"
    return "has no spans that match"
