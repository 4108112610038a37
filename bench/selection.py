"""Selects the benches of a run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.model import Bench
from htrun.errors import HtrunError


def select(benches: Sequence[Bench], only: str | None) -> list[Bench]:
    """The ``benches`` that ``only`` selects, in the same order.

    ``only``: names, groups or tags, separated by commas; None: all benches. The baseline of each selected bench's group
    is also selected. Raises `HtrunError` for an unknown word.
    """
    if only is None:
        return list(benches)
    words = {word for word in only.split(",") if word}
    unknown = words - {word for bench in benches for word in _names(bench)}
    if unknown or not words:
        raise HtrunError(f"--only: no bench, group or tag {', '.join(sorted(unknown)) or repr(only)}; see --list")
    chosen = [bench for bench in benches if words & _names(bench)]
    baselines = {bench.group.baseline for bench in chosen}
    return [bench for bench in benches if bench in chosen or bench.name in baselines]


def _names(bench: Bench) -> set[str]:
    return {bench.name, bench.group.name, *bench.tags}
