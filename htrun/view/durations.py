"""How long the spans of a trace took, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.analysis.timing.spans import Pairer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from htrun.analysis.trace import Trace
    from htrun.events.records import Events


def durations_of(trace: Trace, batches: Iterable[Events]) -> Mapping[str, NDArray[np.float64]]:
    """The durations in ns of the spans in ``batches`` of ``trace``, from the shortest to the longest, by their name."""
    import numpy as np

    pairer = Pairer(trace.names, trace.losses)
    found: dict[int, list[NDArray[np.float64]]] = {}
    for events in batches:
        spans = pairer.feed(events)
        spans = spans[spans["name"] < pairer.told]
        taken = (spans["end"] - spans["begin"]).astype(np.float64)
        for place in np.unique(spans["name"]).tolist():
            found.setdefault(place, []).append(taken[spans["name"] == place])
    return {pairer.names[place]: np.sort(np.concatenate(parts)) for place, parts in sorted(found.items())}
