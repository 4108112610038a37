"""Compares a trace with the interpreter's log. The trace must contain each event exactly once, in order, with the right
values. This module reads the trace according to its documented layout (``htrun/ctf/metadata.py``), without htrun's
reader.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKET_HEADER = 256
_MAGIC = 0xC1FC1FC1
_CLASS_AT, _CONTENT_AT, _SIZE_AT, _DISCARDED_AT, _IDS_AT, _TIMES_AT = 20, 192, 224, 240, 144, 128
_OWN, _SHARED = 0, 2
"""Stream classes of a little-endian guest: of one thread, and of several."""

UNUSED, INTENDED, DONE, NOT_EMITTED = range(4)
LEVELS = 4
_ENTRIES_AT = 4096
_ENTRY = np.dtype(
    [
        (name, "<u4")
        for name in ("stream", "sequence", "tid", "index", "state", "below_done", "below_intended", "program")
    ]
)

Records = NDArray[np.void]


@dataclass(frozen=True)
class TraceStream:
    """The events of one thread in one stream of a trace. ``records``: in their order; ``discarded``: lost events."""

    tid: int
    records: Records
    discarded: int
    packets: int


def record_dtype(num_args: int) -> np.dtype[Any]:
    """An event of a little-endian guest in a packet."""
    return np.dtype([("timestamp", "<u8"), ("site", "<u4"), ("index", "<u4"), ("args", "<u8", (num_args,))])


def shared_dtype(num_args: int) -> np.dtype[Any]:
    """Such an event in a stream of several threads."""
    thread = [(name, "<u4") for name in ("thread", "pid", "tid", "vcpu")]
    fields = [("timestamp", "<u8"), *thread, ("comm", "S16"), ("site", "<u4"), ("index", "<u4")]
    return np.dtype([*fields, ("args", "<u8", (num_args,))])


def read_trace(directory: Path, num_args: int) -> list[TraceStream]:
    """All streams of a native trace; AssertionError if a reader would reject it."""
    files: dict[str, list[Path]] = {}
    for path in sorted(directory.glob("stream-*"), key=lambda path: int(path.suffix[1:] or 0)):
        files.setdefault(path.stem, []).append(path)
    return [stream for name in sorted(files) for stream in _read_stream(files[name], num_args)]


def _read_stream(paths: list[Path], num_args: int) -> list[TraceStream]:
    """A stream in several files: an entry for each of its threads."""
    path = paths[0]
    data = b"".join(path.read_bytes() for path in paths)
    number_of_class = struct.unpack_from("<I", data, _CLASS_AT)[0] if data else _OWN
    assert number_of_class in (_OWN, _SHARED), path
    layout = record_dtype(num_args) if number_of_class == _OWN else shared_dtype(num_args)
    at, packets, discarded, last, tid = 0, 0, 0, 0, 0
    parts = []
    while at < len(data):
        header = data[at : at + PACKET_HEADER]
        assert struct.unpack_from("<I", header)[0] == _MAGIC, f"{path}: no packet at {at}"
        begin, end = struct.unpack_from("<QQ", header, _TIMES_AT)
        _pid, tid = struct.unpack_from("<II", header, _IDS_AT)
        content, whole = (struct.unpack_from("<Q", header, place)[0] for place in (_CONTENT_AT, _SIZE_AT))
        lost, number = struct.unpack_from("<QQ", header, _DISCARDED_AT)
        assert number == packets, path
        assert lost >= discarded, path
        assert last <= begin <= end, path
        assert content % 8 == whole % 8 == 0, path
        assert 8 * PACKET_HEADER <= content <= whole <= 8 * (len(data) - at), path
        records = np.frombuffer(data[at + PACKET_HEADER : at + content // 8], layout)
        assert len(records) == 0 or (records["timestamp"][0] == begin and records["timestamp"][-1] == end), path
        parts.append(records)
        at, packets, discarded, last = at + whole // 8, packets + 1, lost, end
    records = np.concatenate(parts) if parts else np.empty(0, layout)
    assert bool((np.diff(records["timestamp"].astype("<i8")) >= 0).all()), f"{path}: the times are not in order"
    if number_of_class == _OWN:
        return [TraceStream(tid, records, discarded, packets)]
    assert tid == discarded == 0, path
    fields = list(record_dtype(num_args).names or ())
    threads = [records[records["tid"] == tid] for tid in np.unique(records["tid"]).tolist()]
    return [TraceStream(int(own["tid"][0]), _only(own, fields, num_args), 0, packets) for own in threads]


def _only(records: Records, fields: list[str], num_args: int) -> Records:
    found = np.empty(len(records), record_dtype(num_args))
    for field in fields:
        found[field] = records[field]
    return found


def read_log(path: Path) -> Records:
    """The used entries of the interpreter's log."""
    with path.open("rb") as file:
        count = struct.unpack("<I", file.read(4))[0]
        file.seek(_ENTRIES_AT)
        entries = np.frombuffer(file.read(count * _ENTRY.itemsize), _ENTRY)
    begun: Records = entries[entries["state"] != UNUSED]
    return begun


def check(log: Records, trace: list[TraceStream], num_args: int) -> int:
    """Compare; returns the number of events in the trace. Raises AssertionError with a description of the
    difference."""
    by_tid: dict[int, Records] = {}
    for stream in trace:
        by_tid[stream.tid] = (
            np.concatenate([by_tid[stream.tid], stream.records]) if stream.tid in by_tid else stream.records
        )
    # A thread may share several streams, and may change to a stream of its own.
    by_tid = {tid: records[np.argsort(records["timestamp"], kind="stable")] for tid, records in by_tid.items()}
    assert set(by_tid) <= set(log["tid"].tolist()), "a thread that emitted nothing has events"
    for tid in np.unique(log["tid"]).tolist():
        records = by_tid.get(tid, np.empty(0, record_dtype(num_args)))
        _check_values(tid, records, num_args)
        _check_thread(tid, log[log["tid"] == tid], records)
    return sum(len(records) for records in by_tid.values())


def _check_values(tid: int, records: Records, num_args: int) -> None:
    event = records["args"][:, 0]
    for number in range(1, num_args):
        value = (event + np.uint64(number)) * np.uint64(0x9E3779B97F4A7C15)
        wrong = np.flatnonzero(records["args"][:, number] != value ^ value >> np.uint64(29))
        assert len(wrong) == 0, (
            f"thread {tid}: argument {number + 1} of record {wrong[0]} is wrong: {records[wrong[0]]}"
        )


def _check_thread(tid: int, log: Records, records: Records) -> None:
    streams = (records["args"][:, 0] >> np.uint64(32)).astype(np.int64)
    sequences = (records["args"][:, 0] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    unknown = set(streams.tolist()) - set(log["stream"].tolist())
    assert not unknown, f"thread {tid}: events of streams {unknown}, which are not its own"
    positions: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for stream in np.unique(log["stream"]).tolist():
        place = np.flatnonzero(streams == stream)
        positions[stream] = sequences[place], place
        entries = log[log["stream"] == stream]
        _check_stream(f"thread {tid}, stream {stream}", entries, records[place], sequences[place])
    for stream, (_, place) in positions.items():
        if stream % LEVELS and stream - 1 in positions:
            entries = log[log["stream"] == stream]
            _check_interruptions(f"thread {tid}, stream {stream}", entries, records, place, positions[stream - 1])


def _check_stream(who: str, entries: Records, records: Records, sequences: NDArray[np.int64]) -> None:
    steps = np.flatnonzero(np.diff(sequences) <= 0)
    assert len(steps) == 0, f"{who}: event {sequences[steps[0] + 1]} comes behind {sequences[steps[0]]}"
    found = set(sequences.tolist())
    by_state = {state: set(entries["sequence"][entries["state"] == state].tolist()) for state in range(4)}
    missing = by_state[DONE] - found
    assert not missing, f"{who}: lost {len(missing)} of {len(by_state[DONE])} events, first {min(missing)}"
    invented = found & by_state[NOT_EMITTED] | found - by_state[DONE] - by_state[INTENDED] - by_state[NOT_EMITTED]
    assert not invented, f"{who}: events that were never emitted: {sorted(invented)[:5]}"
    index = dict(zip(entries["sequence"].tolist(), entries["index"].tolist(), strict=True))
    expected = np.array([index[sequence] for sequence in sequences.tolist()], np.uint32)
    wrong = np.flatnonzero(records["index"] != expected)
    assert len(wrong) == 0, f"{who}: index of event {sequences[wrong[0]]} is {records['index'][wrong[0]]}"


def _check_interruptions(
    who: str,
    entries: Records,
    records: Records,
    place: NDArray[np.int64],
    below: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Events of a handler come after all events that the interrupted code had emitted, and before the later ones."""
    bounds = {
        int(sequence): (int(done), int(intended))
        for sequence, done, intended in zip(
            entries["sequence"], entries["below_done"], entries["below_intended"], strict=True
        )
    }
    sequences, positions = below
    for position in place.tolist():
        done, intended = bounds[int(records["args"][position, 0] & np.uint64(0xFFFFFFFF))]
        earlier, later = np.searchsorted(sequences, done), np.searchsorted(sequences, intended)
        assert earlier == 0 or positions[earlier - 1] < position, f"{who}: event at {position} comes too early"
        assert later == len(sequences) or position < positions[later], f"{who}: event at {position} comes too late"
