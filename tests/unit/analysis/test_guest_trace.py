"""A guest's trace, decoded from the pieces in which it is sent."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.ftrace.formats import parse_formats
from htrun.analysis.guest_trace import decoder
from htrun.analysis.guest_trace.blobs import BlobKind
from htrun.analysis.guest_trace.decoder import GuestTrace
from htrun.analysis.trace import Event, Trace
from htrun.events.records import event_dtype
from htrun.events.shapes import Shapes
from htrun.events.stream import Stream
from htrun.events.window import Window
from htrun.reports.guest_lines import GuestLines
from tests.support.guest_blobs import SCHED_SWITCH, Blob, Switch, format_blob, symbol_blob
from tests.support.hypertrace import hypertrace
from tests.unit.analysis.made import Made

if TYPE_CHECKING:
    from htrun.events.records import Events

VCPUS = (Stream(11, 10, 0, "CPU 0/TCG"), Stream(12, 10, 1, "CPU 1/TCG"))
PROGRAM, TEXTS, ENTRIES = 0, 520, 521
SWITCH = Switch(b"init", 1, 2, (0xABC, 1, (1 << 64) - 5), "/bin/x")

Piece = tuple[int, int, int, tuple[int, ...]]
"""Time, stream, index and arguments of one event."""


def batch(pieces: Iterable[Piece], num_args: int) -> Events:
    pieces = list(pieces)
    events = np.zeros(len(pieces), event_dtype(num_args))
    for place, (time, stream, index, args) in enumerate(pieces):
        events[place] = (time, stream, 0, 3, index, 0, 0, args)
    return events


def read(pieces: list[Piece], num_args: int, cuts: Iterable[int] = (), formats: str = "") -> list[tuple[int, str]]:
    """Times and printed texts of the events that ``pieces``, split into batches, contain."""
    edges = [0, *sorted(cuts), len(pieces)]
    batches = [batch(pieces[low:high], num_args) for low, high in itertools.pairwise(edges) if low < high]
    extra = parse_formats(formats, "x") if formats else []
    guest = GuestTrace.read(VCPUS, num_args, lambda streams: batches, extra)
    if guest is None:
        return [(time, f"raw {index} {args}") for time, _, index, args in pieces]
    shapes = Shapes(num_args, guest.names(None))
    lines = GuestLines(guest.events)
    found = []
    for events in guest.decode(batches):
        texts: list[str] = [""] * len(events)
        for shape, rows in shapes.split(events):
            own = events[rows]
            columns = lines.columns(shape, own)
            for place, row, event in zip(range(len(own)), np.arange(len(events))[rows], own, strict=True):
                if columns is None:
                    texts[row] = f"raw {event['index']} {tuple(event['args'][:num_args].tolist())}"
                else:
                    cells = [each if isinstance(each, bytes) else each[place].tobytes() for each in columns]
                    texts[row] = shape.title + b"".join(cells).replace(b"\0", b"").decode()
        found += list(zip(events["time"].tolist(), texts, strict=True))
    return found


def sent(blobs: Iterable[Blob], num_args: int, start: int, stream: int = 0, index: int = ENTRIES) -> list[Piece]:
    """Blobs one after the other, with one event per nanosecond, starting at ``start``."""
    times = itertools.count(start)
    return [(next(times), stream, index, args) for blob in blobs for args in blob.events(num_args)]


@pytest.mark.parametrize("num_args", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
def test_decoded(num_args: int, big_endian: bool) -> None:
    """The format may come after the events that need it, with other events in between."""
    entries = sent([SWITCH.blob(time, big_endian=big_endian) for time in (5, 6)], num_args, 100)
    texts = sent([format_blob(big_endian=big_endian)], num_args, 10_000, index=TEXTS)
    plain: Piece = (101, 1, PROGRAM, tuple(range(num_args)))
    found = read(sorted([*entries, *texts, plain]), num_args)
    text = "sched:sched_switch pid=1 init:1 [D] (abc, -5) /bin/x"
    assert found == [(100, text), (101, f"raw 0 {tuple(range(num_args))}"), (100 + len(entries) // 2, text)] or (
        num_args == 64 and found == [(100, text), (101, text), (101, f"raw 0 {tuple(range(num_args))}")]
    )


def test_without_a_format_pieces_stay_as_they_are_unless_the_user_names_one() -> None:
    pieces = sent([SWITCH.blob(5)], 4, 100)
    assert read(pieces, 4) == [(time, f"raw {ENTRIES} {args}") for time, _, _, args in pieces]
    assert read(pieces, 4, formats=SCHED_SWITCH) == [(100, "sched_switch pid=1 init:1 [D] (abc, -5) /bin/x")]


def test_names_of_functions() -> None:
    text = (
        "name: function\nID: 1\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
        "\tfield:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;\n"
        "\tfield:unsigned long parent_ip;\toffset:16;\tsize:8;\tsigned:0;\n\n"
        'print fmt: " %ps <-- %ps", (void *)REC->ip, (void *)REC->parent_ip\n'
    )
    entry = Blob(BlobKind.ENTRY, 1, b"\1" + bytes(7) + (0xFFFF8000).to_bytes(8, "little") + b"\x33" + bytes(7))
    pieces = sent([entry], 4, 1) + sent([format_blob(text, system="ftrace"), symbol_blob(0xFFFF8000, "schedule")], 4, 9)
    assert read(pieces, 4) == [(1, "ftrace:function  schedule <-- 0x33")]


def test_what_was_cut_stays_as_it_is() -> None:
    """If events were lost, the rest of their blob is shown as events, and the other blobs are decoded."""
    whole = sent([SWITCH.blob(time) for time in range(4)], 4, 100)
    texts = sent([format_blob()], 4, 1, index=TEXTS)
    count = len(whole) // 4
    lost = [piece for place, piece in enumerate(whole) if place not in (1, 2 * count + 2, 4 * count - 1)]
    found = read([*texts, *lost], 4)
    decoded = [text for _, text in found if text.startswith("sched")]
    left = [text for _, text in found if text.startswith("raw")]
    assert len(decoded) == 1
    assert len(left) == 3 * (count - 1)


def test_a_machine_that_stood_still_within_a_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other events do not wait for it."""
    monkeypatch.setattr(decoder, "_MOST_WAITING", 100)
    first, *rest = sent([SWITCH.blob(1)], 4, 50)
    texts = sent([format_blob()], 4, 1, index=TEXTS)
    between: list[Piece] = [(time, 1, PROGRAM, (time, 0, 0, 0)) for time in range(51, 1051)]
    late: list[Piece] = [(2000 + time, stream, index, args) for time, stream, index, args in rest]
    pieces = [*texts[:40], first, *between, *late]
    found = read(pieces, 4, cuts=range(100, len(pieces), 50), formats=SCHED_SWITCH)
    assert [time for time, _ in found] == sorted(time for time, _ in found)
    assert sum(text.startswith("raw 0") for _, text in found) == 1000


SWITCHES = st.builds(
    Switch,
    st.binary(max_size=15).map(lambda raw: raw.replace(b"\0", b"")),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 3),
    st.tuples(*[st.integers(0, 2**64 - 1) | st.just(0xB10B7ACE03000048)] * 3),
    st.text(alphabet=st.characters(codec="ascii", categories=("L", "N")), max_size=40),
)


@given(st.data(), st.integers(1, 9), st.lists(SWITCHES, max_size=12))
def test_whatever_the_batches(data: st.DataObject, num_args: int, switches: list[Switch]) -> None:
    """Blobs of two processors and events of a program are mixed at random and split at random positions. Each is
    returned exactly once, in order."""
    streams: list[list[Piece]] = [[], [], []]
    for number, switch in enumerate(switches):
        stream = data.draw(st.integers(0, 1))
        streams[stream] += sent([switch.blob(number)], num_args, 0, stream, ENTRIES + stream)
    streams[2] = [(0, 1, PROGRAM, (number,) * num_args) for number in range(5)]
    pieces = sent([format_blob()], num_args, 0, index=TEXTS)
    order = data.draw(st.permutations([which for which, stream in enumerate(streams) for _ in stream]))
    iterators = [iter(stream) for stream in streams]
    for which in order:
        _, stream, index, args = next(iterators[which])
        pieces.append((len(pieces), stream, index, args))
    cuts = data.draw(st.lists(st.integers(0, len(pieces)), max_size=5))
    found = read(pieces, num_args, cuts)
    assert [time for time, _ in found] == sorted(time for time, _ in found)
    texts = [text for _, text in found]
    assert len(texts) == len(switches) + 5
    wanted = [f"({switch.args[0]:x}, " for switch in switches]
    for needle in wanted:
        assert sum(needle in text for text in texts) >= wanted.count(needle)


def test_a_trace_on_disk(tmp_path: Path) -> None:
    made = Made(tmp_path / "trace", num_args=4)
    pieces = sent([format_blob(), SWITCH.blob(77)], 4, 1000)
    made.packet(VCPUS[0], [1], [(9, 9, 9, 9)], index=PROGRAM)
    made.packet(VCPUS[0], [time for time, *_ in pieces], [args for *_, args in pieces], index=ENTRIES)
    trace = Trace.open(made.close())
    plain, switch = list(trace)
    assert (plain.name, plain.args, dict(plain.values)) == (
        "guest_hypertrace", (9,) * 4, {"arg1": 9, "arg2": 9, "arg3": 9, "arg4": 9}
    )  # fmt: skip
    assert isinstance(switch, Event)
    assert switch.name == "sched:sched_switch"
    assert dict(switch.values) == {
        "guest_time": 77, "common_flags": 1, "common_preempt_count": 2, "common_pid": 1, "prev_comm": "init",
        "prev_pid": 1, "prev_state": 2, "args0": 0xABC, "args1": 1, "args2": (1 << 64) - 5, "path": "/bin/x",
    }  # fmt: skip
    begin, _ = trace.duration or (0, 0)
    assert [len(events) for events in trace.events(Window(begin=switch.time, end=switch.time + 1))] == [1]
    assert [len(events) for events in trace.events(Window(begin=switch.time + 1))] == []
    assert trace.to_arrow().column("name").to_pylist() == [None, "sched:sched_switch"]
    assert begin == plain.time


def test_formats_that_the_user_names(tmp_path: Path) -> None:
    made = Made(tmp_path / "trace", num_args=4)
    pieces = sent([SWITCH.blob(77)], 4, 1000)
    made.packet(VCPUS[0], [time for time, *_ in pieces], [args for *_, args in pieces], index=ENTRIES)
    trace, formats = made.close(), tmp_path / "formats"

    assert hypertrace("print", trace).stdout.count(" guest_hypertrace index=") == len(pieces)
    formats.write_text(SCHED_SWITCH)
    done = hypertrace("print", trace, "--guest-formats", formats)
    assert done.stdout.partition(":11 ")[2] == "sched_switch pid=1 init:1 [D] (abc, -5) /bin/x\n"
    missing = hypertrace("print", trace, "--guest-formats", tmp_path / "none", status=125)
    assert (missing.stdout, missing.stderr) == (
        "", f"hypertrace: cannot read {tmp_path / 'none'}: No such file or directory\n"
    )  # fmt: skip
    formats.write_text("name: sched_switch\nID: many\n")
    wrong = hypertrace("print", trace, "--guest-formats", formats, status=125)
    assert wrong.stderr.startswith(f"hypertrace: {formats}: ")


def test_a_trace_of_no_machine_is_not_looked_through() -> None:
    def refuse(streams: frozenset[int]) -> Iterable[Events]:
        raise AssertionError(streams)

    assert GuestTrace.read([Stream(1, 1, 0, "app")], 4, refuse) is None


def test_a_trace_without_a_machine_needs_no_decoder(tmp_path: Path) -> None:
    """Importing it takes longer than opening a trace."""
    trace = Made(tmp_path / "trace").packet(Stream(1, 1), [1000]).close()
    code = (
        "import sys, htrun; trace = htrun.open(sys.argv[1]); assert trace.guest is None;"
        "print([name for name in sys.modules if 'ftrace' in name or 'decoder' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code, trace], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
