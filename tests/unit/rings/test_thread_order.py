"""Events of a thread are returned in the order in which it emitted them, although they are in two rings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from htrun.events.records import record_dtype
from htrun.events.stream import Source, Stream
from htrun.rings.client_rings import Taken
from htrun.rings.thread_order import ThreadOrder

if TYPE_CHECKING:
    from htrun.events.records import Records

SOURCE = Source(3, Stream(7, 5))


def records(times: list[int]) -> Records:
    made = np.zeros(len(times), record_dtype(1, False))
    made["timestamp"] = times
    made["args"][:, 0] = times
    return made


def from_ring(times: list[int], *, lost: int = 0, ended: bool = False, source: Source = SOURCE) -> Taken:
    return Taken(0, source, [records(times)] if times else [], lost, ended, 0.0)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["", "", "", "begin", "clients", "stores"])), max_size=120),
)
def test_any_mixture_in_rounds_that_run_meanwhile(steps: list[tuple[bool, str]]) -> None:
    """Each step is an event, by a ring or by a store. The steps of a round are at random positions between them."""
    order = ThreadOrder()
    given_so_far: list[int] = []
    clients: list[int] = []
    stores: list[int] = []
    complete, read = 0, False
    for now, (by_ring, step) in enumerate(steps, 1):
        (clients if by_ring else stores).append(now)
        if step == "begin" or (step and not complete):
            complete, read = now, False
        if step == "clients" and complete:
            order.add_client(from_ring(clients))
            clients, read = [], True
        if step == "stores" and read:
            if stores:
                order.add_stores("ring", SOURCE, records(stores), 0, ended=False)
            stores = []
            for one in order.give(complete, everything=False):
                given_so_far += one.records["timestamp"].tolist() if one.records is not None else []
            complete, read = 0, False
    order.add_client(from_ring(clients, ended=True))
    order.add_stores("ring", SOURCE, records(stores) if stores else None, 0, ended=True)
    last = list(order.give(0, everything=True))
    assert [one.ended for one in last] == [True]
    given_so_far += last[0].records["timestamp"].tolist() if last[0].records is not None else []
    assert given_so_far == list(range(1, len(steps) + 1))
    assert order.waiting == 0


def test_losses_of_both_rings_add_up_and_never_decrease() -> None:
    order = ThreadOrder()
    order.add_client(from_ring([1], lost=3))
    order.add_stores("ring", SOURCE, records([2]), 4, ended=False)
    assert [one.discarded for one in order.give(9, everything=False)] == [7]
    # The thread frees its ring, and claims another one.
    order.add_client(from_ring([], lost=5, ended=True))
    order.add_client(from_ring([3], lost=0))
    assert [(one.discarded, one.lost_more, one.ended) for one in order.give(9, everything=False)] == [(9, True, False)]
    order.add_client(from_ring([], lost=1, ended=True))
    order.add_stores("ring", SOURCE, None, 4, ended=True)
    last = list(order.give(9, everything=False))
    assert [(one.records, one.discarded, one.lost_more, one.ended) for one in last] == [(None, 10, True, True)]


def test_threads_do_not_wait_for_each_other() -> None:
    other = Source(4, Stream(8, 5))
    order = ThreadOrder()
    order.add_stores("one", SOURCE, records([50]), 0, ended=False)
    order.add_client(from_ring([60], source=other))
    given = list(order.give(10, everything=False))
    assert [one.source.number for one in given] == [4]
    assert order.waiting == 1
    assert [one.source.number for one in order.give(50, everything=False)] == [3]
