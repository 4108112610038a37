"""The events of this process's own threads are recorded by the kernel, and taken out of the rings."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.errors import HtrunError
from htrun.events.definitions import DEFINITIONS, PAGE_FAULT, SCHED_LOST, SCHED_SWITCH_IN, SCHED_SWITCH_OUT
from htrun.hosts.x86_64.counter import best_clock
from htrun.sched import event, recorder
from htrun.sched.recorder import SchedRecorder
from htrun.sched.ring import EventRing
from tests.support.requirements import require_perf_events
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.events.tracer_events import TracerRecords

CLOCK = best_clock()
MADV_NOHUGEPAGE = 15


@pytest.fixture(autouse=True)
def _perf_events() -> None:
    require_perf_events()


def record(action: Callable[[], object], recorded: SchedRecorder, stream: Callable[[], int] = lambda: 7) -> None:
    """Have ``action`` recorded, which runs in a thread of its own."""
    begin, done, end = threading.Event(), threading.Event(), threading.Event()

    def run() -> None:
        begin.wait()
        action()
        done.set()
        end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    assert thread.native_id is not None
    recorded.began(thread.native_id, stream)
    begin.set()
    done.wait()
    recorded.ended(thread.native_id)
    end.set()
    thread.join()


def touch(pages: int) -> list[int]:
    """Touch ``pages`` fresh pages. Returns their addresses."""
    memory = mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(MADV_NOHUGEPAGE)
    words = (ctypes.c_char * len(memory)).from_buffer(memory)
    address = ctypes.addressof(words)
    for page in range(pages):
        words[page * mmap.PAGESIZE] = b"x"
    return [address + page * mmap.PAGESIZE for page in range(pages)]


def kinds(records: TracerRecords) -> Counter[str]:
    return Counter(DEFINITIONS[kind].name for kind in records["kind"])


def new(hurry: Callable[[], None] = lambda: None) -> SchedRecorder:
    def failed(error: OSError) -> None:
        raise error

    return SchedRecorder(CLOCK.source, hurry, failed)


def test_each_page_fault_once_and_in_order() -> None:
    touched: list[int] = []
    with closing(new()) as recorded:
        before = CLOCK.source.read()
        record(lambda: touched.extend(touch(100)), recorded)
        after = CLOCK.source.read()
        records = recorded.take(everything=True)
    assert records is not None
    assert recorded.lost == 0
    assert set(records["stream"].tolist()) == {7}
    faults = records["args"][records["kind"] == DEFINITIONS.index(PAGE_FAULT), 0].tolist()
    assert [address for address in faults if address in set(touched)] == touched
    times = records["timestamp"]
    assert before <= times[0]
    assert times[-1] <= after
    assert (times[1:] >= times[:-1]).all()


def test_switches_alternate() -> None:
    def wait() -> None:
        for _ in range(50):
            threading.Event().wait(0.0001)

    with closing(new()) as recorded:
        record(wait, recorded)
        records = recorded.take(everything=True)
    assert records is not None
    pair = DEFINITIONS.index(SCHED_SWITCH_OUT), DEFINITIONS.index(SCHED_SWITCH_IN)
    switches = records["kind"][np.isin(records["kind"], pair)]
    assert (switches[1:] != switches[:-1]).all()
    assert kinds(records)["sched_switch_out"] >= 50


def test_what_does_not_fit_is_counted() -> None:
    pages = 20_000
    with closing(new()) as recorded:
        record(lambda: touch(pages), recorded)
        records = recorded.take(everything=True)
    assert records is not None
    counts = kinds(records)
    assert recorded.lost > 0
    assert counts["page_fault"] + recorded.lost >= pages
    lost = records["args"][records["kind"] == DEFINITIONS.index(SCHED_LOST), 0]
    assert lost.sum() == recorded.lost


def test_a_ring_that_fills_hurries_its_reader() -> None:
    hurried = threading.Event()
    with closing(new(hurried.set)) as recorded:
        record(lambda: touch(5000), recorded)
        wait_until(hurried.is_set, "a hurry")
        assert recorded.take(everything=True) is not None


def test_many_ended_threads_hurry_the_reader() -> None:
    hurried = threading.Event()
    with closing(new(hurried.set)) as recorded:
        for _ in range(recorder._MANY_ENDED):
            record(lambda: None, recorded)
        assert hurried.is_set()
        recorded.take(everything=True)
        assert not recorded._lives


def test_an_exec_begins_a_stream() -> None:
    with closing(new()) as recorded:
        tid = threading.get_native_id()
        recorded.began(tid, lambda: 1)
        touch(3)
        recorded.executed(tid, lambda: 2)
        touch(3)
        records = recorded.take(everything=True)
        assert records is not None
        streams = records["stream"].tolist()
        assert (streams, set(streams)) == (sorted(streams), {1, 2})
        touch(3)
        records = recorded.take(everything=True)
        assert records is not None
        assert set(records["stream"].tolist()) == {2}
        recorded.ended(tid)


def test_young_records_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr("htrun.sched.recorder.time.monotonic_ns", lambda: now[0])
    with closing(new()) as recorded:
        record(lambda: touch(3), recorded)
        assert recorded.take(everything=False) is None
        now[0] += recorder._HOLD_BACK_NS - 1
        assert recorded.take(everything=False) is None
        now[0] += 1
        assert recorded.take(everything=False) is not None


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "kernel.perf_event_paranoid is 3"),
        (errno.EPERM, "kernel.perf_event_paranoid is 3"),
        (errno.ENOSYS, "CONFIG_PERF_EVENTS"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, number: int, message: str) -> None:
    def refuse(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(event, "open_event", refuse)
    monkeypatch.setattr(event, "_paranoid", lambda: "3")
    with pytest.raises(HtrunError, match=message) as caught:
        event.require_events()
    assert str(caught.value).startswith("--sched: ")
    assert str(caught.value).endswith("leave out --sched")
    assert "\n" not in str(caught.value)


def test_memory_for_rings_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more rings there are, the smaller they are."""
    rings = [EventRing(0, others) for others in (0, 8, 40)]
    assert [ring.size // mmap.PAGESIZE for ring in rings] == [64, 16, 4]
    for ring in rings:
        ring.close()
    monkeypatch.setattr("htrun.sched.ring._libc.mmap", lambda *_: ctypes.c_void_p(-1).value)
    with pytest.raises(OSError, match="No buffer space available") as caught:
        EventRing(0)
    assert "ulimit -l" in event.reason(caught.value)


def test_a_thread_that_cannot_be_recorded_is_told_unless_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[OSError] = []
    with closing(SchedRecorder(CLOCK.source, lambda: None, told.append)) as recorded:
        for number in (errno.ESRCH, errno.EMFILE):
            error = OSError(number, os.strerror(number))
            monkeypatch.setattr(recorder, "EventRing", raising(error))
            recorded.began(1, lambda: 0)
        assert [error.errno for error in told] == [errno.EMFILE]
        recorded.ended(1)


def raising(error: OSError) -> Callable[..., None]:
    def fail(*_: int) -> None:
        raise error

    return fail
