"""Pairs begins and ends, and finds how their spans are nested, without a loop over single events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.analysis.timing.codes import codes_of, in_order, starts_of
from htrun.analysis.timing.nesting import last_above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from htrun.analysis.timing.marks import Marks

    _Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Paired:
    """The positions of marks. ``begins``, ``ends``: the begins and ends that form pairs, in the order of the ends;
    ``open``: the begins that still wait for their ends; ``stray``: the ends without a begin."""

    begins: _Ints
    ends: _Ints
    open: _Ints
    stray: _Ints


def pair(marks: Marks, keyed: NDArray[np.bool_]) -> Paired:
    """Pair ``marks``. Those with the same name, scope and epoch form a group. Within a group, an end is paired with the
    latest open begin. ``keyed``: for each name, whether its marks have a key."""
    signs = marks["sign"]
    partners = np.full(len(marks), -1, np.int64)
    for places in _classes(keyed[marks["name"]]):
        groups = codes_of(*(column[places] for column in (marks["name"], marks["scope"], *_epochs(marks))))
        order = in_order(groups)
        begins, ends = _partners(groups[order], signs[places][order])
        if not isinstance(places, slice):
            order = places[order]
        partners[order[ends]] = order[begins]
    ends = np.flatnonzero(partners >= 0)
    begins = partners[ends]
    begun = signs > 0
    stray = ~begun & (partners < 0)
    begun[begins] = False
    return Paired(begins, ends, np.flatnonzero(begun), np.flatnonzero(stray))


def _classes(with_key: NDArray[np.bool_]) -> Iterator[_Ints | slice]:
    """The positions of the marks with and without a key. Sorting takes longer for keys, which are large numbers."""
    count = int(np.count_nonzero(with_key))
    if count in (0, len(with_key)):
        yield slice(None)
    else:
        yield np.flatnonzero(with_key)
        yield np.flatnonzero(~with_key)


def _epochs(marks: Marks) -> tuple[NDArray[Any], ...]:
    return (marks["epoch"],) if "epoch" in marks else ()


def _partners(groups: _Ints, signs: NDArray[np.int8]) -> tuple[_Ints, _Ints]:
    """The positions of begins and of their ends. The marks are sorted by group, and by time within each."""
    ends = np.flatnonzero(signs < 0)
    before = ends - 1
    # The usual case: spans of one group do not contain each other. The mark before each end is its begin.
    if not len(ends) or (ends[0] > 0 and (signs[before] > 0).all() and (groups[before] == groups[ends]).all()):
        return before, ends
    return _partners_of_nested(groups, signs.astype(np.int64))


def _partners_of_nested(groups: _Ints, signs: _Ints) -> tuple[_Ints, _Ints]:
    """See `_partners`.

    Within a group, the running sum of signs is the number of open begins minus the number of ends without a begin. Each
    end without a begin takes the sum to a new minimum. The sum minus its minimum so far is the nesting level. On each
    level, begins and ends alternate.
    """
    starts = starts_of(groups)
    lengths = np.diff(np.append(starts, len(groups)))
    sums = np.cumsum(signs)
    sums -= np.repeat(sums[starts] - signs[starts], lengths)
    # The sums of each group are shifted below the sums of all earlier groups, so that a single running minimum serves
    # all groups.
    drop = np.repeat(np.arange(len(starts)) * (2 * len(groups) + 2), lengths)
    lows = np.minimum(np.minimum.accumulate(sums - drop) + drop, 0)
    before = np.concatenate([[0], lows[:-1]])
    before[starts] = 0
    levels = sums - lows + (signs < 0)
    kept = np.flatnonzero((signs > 0) | (lows >= before))
    # The rank of a group replaces the group, so that codes are small.
    ranks = np.repeat(np.arange(len(starts)), lengths)
    order = kept[in_order(codes_of(ranks[kept], levels[kept]))]
    ends = np.flatnonzero(signs[order] < 0)
    return order[ends - 1], order[ends]


def set_depths(marks: Marks, old: int, paired: Paired, keyed: NDArray[np.bool_]) -> None:
    """Set the depth of ``marks`` from position ``old`` on. The marks before this position are begins that were already
    open."""
    steps = marks["sign"].astype(np.int64)
    steps[paired.stray] = 0
    steps[keyed[marks["name"]]] = 0
    threads = codes_of(marks["stream"], *_epochs(marks))
    order = in_order(threads)
    threads, steps = threads[order], steps[order]
    starts = starts_of(threads)
    before = np.cumsum(steps) - steps
    before -= np.repeat(before[starts], np.diff(np.append(starts, len(threads))))
    new = order >= old
    depths = marks["depth"]
    depths[order[new]] = np.maximum(before[new], 0)


def set_parents(marks: Marks, old: int, paired: Paired, keyed: NDArray[np.bool_]) -> None:
    """Set the parent of all begins among ``marks`` from position ``old`` on. The depths must be set."""
    begins = np.flatnonzero(marks["sign"] > 0)
    asking = begins[(begins >= old) & (marks["depth"][begins] > 0)]
    if not len(asking):
        return
    until = np.full(len(marks), len(marks), np.int64)
    until[paired.begins] = paired.ends
    # Sort by thread, and then by time.
    places = codes_of(marks["stream"], *_epochs(marks)) * len(marks) + np.arange(len(marks))
    around = begins[~keyed[marks["name"][begins]]]
    around = around[np.argsort(places[around])]
    before = np.searchsorted(places[around], places[asking])
    # The parent of most begins is the previous begin in the thread. A begin has a parent if its depth is above 0.
    nearest = before - 1
    far = np.flatnonzero(until[around[nearest]] < asking)
    nearest[far] = last_above(until[around], before[far], asking[far])
    marks["parent"][asking] = marks["number"][around[nearest]]


def negative_pairs(begins: Marks, ends: Marks, most: int) -> NDArray[np.bool_]:
    """A mask of the ``begins`` that follow an end in ``ends`` with the same name and key by at most ``most`` ns."""
    found = np.zeros(len(begins), bool)
    if not len(begins) or not len(ends):
        return found
    both = begins + ends
    codes = codes_of(both["name"], both["scope"])
    order = np.lexsort((both["time"], codes))
    codes, times, signs = codes[order], both["time"][order].astype(np.int64), both["sign"][order]
    near = (codes[1:] == codes[:-1]) & (signs[:-1] < 0) & (signs[1:] > 0) & (np.diff(times) <= most)
    found[order[1:][near]] = True
    return found
