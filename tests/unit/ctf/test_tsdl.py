"""The metadata of a native trace, read back."""

from __future__ import annotations

import re
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from htrun.ctf.metadata import Packet, metadata, packet_header
from htrun.ctf.tsdl import HEADER_FIELDS, TsdlError, environment_of, parse
from htrun.events.clock import Fit
from htrun.events.records import record_dtype
from htrun.events.stream import Stream
from htrun.rings.layout import PACKET_HEADER

UUID_ = UUID("d92cd448-7f0d-482e-aaea-c5e3e28e4f4a")
CLOCK = Fit(2_596_149_173, 1_795_380_983, 1_652_900_903, 43)
FACTS: dict[str, str | int] = {"command": 'a "b" \\n c', "num_args": 2, "clock_error_ns": 43, "tracer_name": "htrun"}
TEXT = metadata(UUID_, 2, CLOCK, "tsc", FACTS)


def test_everything_written_is_read_back() -> None:
    read = parse(TEXT)
    assert (read.uuid, read.clock, read.environment) == (UUID_, CLOCK, FACTS)
    assert [(each.kind, each.arguments, each.big_endian) for each in read.classes.values()] == [
        (0, 2, False),
        (0, 2, True),
    ] * 2
    assert [each.names_threads for each in read.classes.values()] == [False, False, True, True]


@pytest.mark.parametrize("num_args", [1, 4, 63, 64])
@pytest.mark.parametrize("big_endian", [False, True])
def test_the_layout_is_that_of_a_ring(num_args: int, big_endian: bool) -> None:
    stream_class = parse(metadata(UUID_, num_args, CLOCK, "tsc", {})).classes[int(big_endian)]
    assert stream_class.event_dtype == record_dtype(num_args, big_endian)
    assert stream_class.header_size == PACKET_HEADER


def test_a_packets_header_is_read_field_by_field() -> None:
    stream = Stream(12, 11, 3, "äpp", big_endian=True)
    raw = packet_header(UUID_, stream, Packet(100, 200, 64, 5, 7, 9, stream_class=1))
    header = dict(zip(HEADER_FIELDS, parse(TEXT).classes[1].header_values(raw), strict=True))
    assert header["comm"].rstrip(b"\0").decode() == "äpp"
    assert header["uuid"] == UUID_.bytes
    numbers = {name: value for name, value in header.items() if isinstance(value, int)}
    assert numbers == {
        "magic": 0xC1FC1FC1, "stream_id": 1, "stream_instance_id": 9, "timestamp_begin": 100, "timestamp_end": 200,
        "pid": 11, "tid": 12, "vcpu": 3, "content_size": 320 * 8, "packet_size": 320 * 8, "events_discarded": 5,
        "packet_seq_num": 7,
    }  # fmt: skip


def test_another_kind_of_event_is_read_by_its_name() -> None:
    text = TEXT.replace('name = "guest_hypertrace"', 'name = "guest_user_syscall_ret"')
    text = re.sub(r"u32 index;\s+(\w+) arg1;\s+\w+ arg2;", r"u32 num; \1 ret;", text)
    read = parse(text)
    assert [(each.kind, each.arguments) for each in read.classes.values()] == [(2, 1)] * 4
    assert read.classes[0].event_dtype.names == ("timestamp", "site", "num", "args")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("freq = 2596149173", "freq = 0"),
        ("offset_s = 1795380983", "offset_s = -9795380983"),
        ("byte_order = le;\n\tpacket", "byte_order = be;\n\tpacket"),
        ("minor = 8", "minor = 9"),
        (str(UUID_), "none"),
        ("u32 site;", "u64 site;"),
        ("arg_le arg2;", "arg_be arg2;"),
        ("arg_le arg2;", "arg_le arg3;"),
        ("arg_le arg2;", "u32 arg2;"),
        ("u32 magic;", ""),
        ("u32 tid;", "u32 pid;"),
        ("comm[16]", "comm[0]"),
        ("comm[16]", "comm[17]"),
        ("size = 32; align = 32", "size = 33; align = 32"),
        ("size = 32; align = 32", "size = 32; align = 3"),
        ("signed = false", "signed = true"),
        ("guest_hypertrace", "my_event"),
        ("env {", "enw {"),
        ("};\n", ""),
        ("env {", "env { } ; env {"),
    ],
)
def test_what_htrun_does_not_write_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(TsdlError):
        parse(TEXT.replace(old, new, 1))


def test_facts_of_other_producers_are_found() -> None:
    text = '/* CTF 1.8 */ typealias x; env {\n\tdomain = "ust";\n\ttracer_name = "lttng-ust";\n\ttracer_major = 2;\n};'
    assert environment_of(text) == {"domain": "ust", "tracer_name": "lttng-ust", "tracer_major": 2}
    assert environment_of("nothing") == {}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text() | st.integers(-(2**63), 2**64 - 1)))
def test_facts_come_back_but_for_what_is_not_printable(facts: dict[str, str | int]) -> None:
    read = parse(metadata(uuid4(), 1, CLOCK, "tsc", facts)).environment
    assert read.keys() == facts.keys()
    for key, value in facts.items():
        if isinstance(value, int) or value.isprintable():
            assert read[key] == value


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="latin-1"))
@example(0, "{")
def test_a_changed_character_is_refused_or_harmless(place: int, character: str) -> None:
    with suppress(TsdlError):
        parse(TEXT[:place] + character + TEXT[place + 1 :])


@given(st.integers(0, len(TEXT) - 1))
def test_a_cut_text_is_refused(length: int) -> None:
    # The missing part may be only white space, or a whole stream class.
    with suppress(TsdlError):
        read = parse(TEXT[:length])
        assert (read.uuid, read.clock, read.environment) == (UUID_, CLOCK, FACTS)


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(TsdlError):
        parse(text)
