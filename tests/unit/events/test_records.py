"""From a ring's bytes to events."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest

from htrun.events.definitions import EVENTS
from htrun.events.records import decode, event_dtype, merge, record_dtype
from htrun.hosts.x86_64.counter import best_clock
from htrun.rings.layout import RECORD_HEADER, RingShape


@pytest.mark.parametrize("num_args", [1, 4, 64])
def test_a_record_is_as_long_as_in_a_ring(num_args: int) -> None:
    assert record_dtype(num_args, False).itemsize == RingShape(num_args, 2, 4096).record_size


@pytest.mark.parametrize(("big_endian", "order"), [(False, "<"), (True, ">")])
def test_arguments_are_read_in_the_guests_byte_order(big_endian: bool, order: str) -> None:
    clock = best_clock()
    dtype = record_dtype(2, big_endian)
    header = np.zeros(1, dtype)
    header["timestamp"], header["index"] = clock.source.read(), 7
    raw = header.tobytes()[:RECORD_HEADER] + struct.pack(f"{order}QQ", 0xCAFE, 2**64 - 1)
    [event] = decode(np.frombuffer(raw, dtype), 3, clock)
    assert (event["stream"], event["index"], event["kind"], *event["args"]) == (3, 7, 0, 0xCAFE, 2**64 - 1)
    assert abs(int(event["time"]) - time.time_ns()) < 1_000_000_000


def test_merging_orders_by_time_and_keeps_the_order_of_equals() -> None:
    first, second = np.zeros(3, event_dtype(1)), np.zeros(2, event_dtype(1))
    first["time"], first["index"] = [1, 5, 5], [0, 1, 2]
    second["time"], second["index"] = [0, 5], [3, 4]
    assert list(merge([first, second])["index"]) == [3, 0, 1, 2, 4]
    assert merge([first]) is first


def test_the_events_have_the_names_of_qemu() -> None:
    assert [(event.name, *event.field_names(2)) for event in EVENTS] == [
        ("guest_hypertrace", "index", "arg1", "arg2"),
        ("guest_user_syscall", "num", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "arg7", "arg8"),
        ("guest_user_syscall_ret", "num", "ret"),
        ("guest_cpu_enter",),
        ("guest_cpu_exit",),
    ]
