"""The formats of a guest kernel's events."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.analysis.ftrace.formats import EventFormat, Field, Location, parse_formats
from htrun.errors import HtrunError
from tests.support.guest_blobs import SCHED_SWITCH

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
TYPES = st.sampled_from(["int", "unsigned long", "const char *", "u8", "enum zone_type", "struct list_head *", "bool"])
SIZES = st.integers(0, 4096)


def test_a_format() -> None:
    (found,) = parse_formats(SCHED_SWITCH, "x")
    assert (found.title, found.type) == ("sched_switch", 314)
    fields = {field.name: field for field in found.fields}
    assert fields["prev_comm"] == Field("prev_comm", "char", 8, 16, True, True, 16)
    assert fields["prev_comm"].is_text
    assert fields["args"] == Field("args", "unsigned long", 40, 24, False, True, 3)
    assert fields["path"] == Field("path", "char", 64, 4, True, True, 0, Location.FROM_START)
    assert fields["common_pid"] == Field("common_pid", "int", 4, 4, True)
    assert found.print_format.startswith('"%s:%d')


@pytest.mark.parametrize(
    ("declaration", "field"),
    [
        ("char buf[]", Field("buf", "char", 8, 4, False, True, 0)),
        ("__rel_loc u8[] data", Field("data", "u8", 8, 4, False, True, 0, Location.FROM_WORD)),
        ("__data_loc cpumask_t *[] cpus", Field("cpus", "cpumask_t *", 8, 4, False, True, 0, Location.FROM_START)),
        ("void * call_site", Field("call_site", "void *", 8, 4)),
        ("void *call_site", Field("call_site", "void *", 8, 4)),
        ("struct sockaddr_in6 sa", Field("sa", "struct sockaddr_in6", 8, 4)),
        ("char comm[TASK_COMM_LEN]", Field("comm", "char", 8, 4, False, True, 0)),
    ],
)
def test_declarations(declaration: str, field: Field) -> None:
    text = f'name: a\nID: 1\nformat:\n\tfield:{declaration};\toffset:8;\tsize:4;\tsigned:0;\n\nprint fmt: ""\n'
    assert parse_formats(text, "x")[0].fields == (field,)


def test_many_with_and_without_their_systems() -> None:
    text = f"sched\n{SCHED_SWITCH}{SCHED_SWITCH.replace('314', '7')}\nirq\n{SCHED_SWITCH.replace('314', '8')}"
    assert [(each.system, each.type) for each in parse_formats(text, "x")] == [("sched", 314), ("", 7), ("irq", 8)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no format of an event"),
        ("name:\nID: 1\n", "needs a name and an ID below 65536 (in the format at line 1)"),
        ("\nname: a\nID: 65536\n", "an ID below 65536 (in the format at line 2)"),
        ("name: a\nID: 1\n\tfield:int;\toffset:0;\tsize:1;\n", "is not a field"),
        ("name: a\nID: 1\n\tfield:int a;\toffset:999999999;\tsize:1;\n", "larger than an entry"),
        ("name: a\nID: 1\n\tfield:__data_loc char[] a;\toffset:0;\tsize:8;\n", "has 4 bytes"),
    ],
)
def test_what_is_none(text: str, message: str) -> None:
    with pytest.raises(HtrunError, match=f"^file: .*{re.escape(message)}"):
        parse_formats(text, "file")


@st.composite
def fields(draw: st.DrawFn) -> Field:
    array = draw(st.booleans())
    location = draw(st.sampled_from(Location)) if array else Location.HERE
    size = 4 if location is not Location.HERE else draw(SIZES)
    length = draw(st.integers(1, 99)) if array and location is Location.HERE else 0
    return Field(draw(NAMES), draw(TYPES), draw(SIZES), size, draw(st.booleans()), array, length, location)


def written(format_: EventFormat) -> str:
    """The text as the kernel writes it."""
    lines = [format_.system] if format_.system else []
    lines += [f"name: {format_.name}", f"ID: {format_.type}", "format:"]
    for field in format_.fields:
        array = f"[{field.length}]" if field.length else ""
        declaration = f"{field.type} {field.name}{array}"
        if field.location is not Location.HERE:
            declaration = f"{field.location.value} {field.type}[] {field.name}"
        lines.append(f"\tfield:{declaration};\toffset:{field.offset};\tsize:{field.size};\tsigned:{field.signed:d};")
    return "\n".join([*lines, "", f"print fmt: {format_.print_format}", ""])


FORMATS = st.builds(
    EventFormat, NAMES, NAMES, st.integers(0, 65535), st.lists(fields(), max_size=8).map(tuple), st.just('"x"')
)


@given(st.lists(FORMATS, min_size=1, max_size=5))
def test_what_is_written_is_read(formats: list[EventFormat]) -> None:
    assert parse_formats("".join(map(written, formats)), "x") == formats


@given(
    st.text() | st.text(alphabet="name: ID\n\tfieldoffsetsize;[]0123456789_char").map(lambda text: "name: a\n" + text)
)
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    told = ""
    try:
        parse_formats(text, "x")
    except HtrunError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
