"""QEMU's -trace argument."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.errors import HtrunError
from htrun.events.patterns import Selection, select, split_commas

HYPERTRACE = frozenset({"guest_hypertrace"})
SYSCALLS = frozenset({"guest_user_syscall", "guest_user_syscall_ret"})
ALL = HYPERTRACE | SYSCALLS | {"guest_cpu_enter", "guest_cpu_exit"}
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("arguments", "events"),
    [
        ([], HYPERTRACE),
        (["guest_hypertrace"], HYPERTRACE),
        (["enable=guest_hypertrace"], HYPERTRACE),
        (["enable=guest*"], ALL),
        (["*"], ALL),
        (["guest_hypertrac?"], HYPERTRACE),
        (["guest_hypertrac[e]"], NONE),
        (["guest"], NONE),
        (["other*"], NONE),
        (["-guest_hypertrace"], NONE),
        (["-guest*"], NONE),
        (["guest*", "-guest_hypertrace", "-guest_cpu*"], SYSCALLS),
        (["-guest*", "guest_hypertrace"], HYPERTRACE),
        (["file=log"], HYPERTRACE),
    ],
)
def test_patterns_apply_one_after_the_other(arguments: list[str], events: frozenset[str]) -> None:
    assert select(arguments).events == events


@pytest.mark.parametrize(("argument", "unknown"), [("gest", ("gest",)), ("-gest", ("gest",)), ("gest*", ())])
def test_only_a_literal_name_that_no_event_has_is_unknown(argument: str, unknown: tuple[str, ...]) -> None:
    assert select([argument]).unknown == unknown


def test_settings_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    events = tmp_path / "a,b"
    events.write_text("# all of them\n\nguest*   # these\n-guest_hypertrace\n")
    doubled = str(events).replace(",", ",,")
    assert select([f"other*,events={doubled},file=x,,y"]) == Selection(ALL - HYPERTRACE, "x,y")


@pytest.mark.parametrize(
    "argument",
    ["", "-", "enable=", "enable=-", "guest*,", "guest*,size=3", "events=/no/file", "guest*,file=", "events="],
)
def test_what_is_no_pattern_is_refused(argument: str) -> None:
    with pytest.raises(HtrunError) as caught:
        select([argument])
    assert "\n" not in str(caught.value)


def test_an_events_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"\xff\xfe")
    with pytest.raises(HtrunError, match="not text"):
        select([f"events={tmp_path / 'events'}"])


arguments = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.lists(arguments.filter(lambda text: text and not text.startswith(",")), min_size=1))
def test_parts_joined_by_single_commas_are_found_again(parts: list[str]) -> None:
    assert split_commas(",".join(part.replace(",", ",,") for part in parts)) == parts


@given(st.lists(arguments.filter(lambda text: "events=" not in text)))
def test_any_argument_is_taken_or_refused(texts: list[str]) -> None:
    with suppress(HtrunError):
        assert select(texts).events <= ALL
