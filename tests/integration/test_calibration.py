"""The events that the guest library emits to calibrate the cost of an event, on every architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

from htrun.events.calibration import PAIRS
from tests.support.run import Htrun
from tests.support.targets import FOREIGN_TARGETS, I686, NATIVE, Target
from tests.support.toolchain import Toolchain

IN_TURNS, ROW = 3, 10
"""The first kinds of pairs alternate; of each other kind, this many come in a row."""


def emitted(pairs: int) -> list[int]:
    """The first arguments of the events of ``pairs`` pairs of each kind."""
    found = []
    for row in [ROW] * (pairs // ROW) + [pairs % ROW]:
        found += [number for pair in PAIRS[:IN_TURNS] for number in (pair.begin, pair.end)] * row
        found += [number for pair in PAIRS[IN_TURNS:] for number in [pair.begin, pair.end] * row]
    return found


GUEST = r"""
#include <qemu-hypertrace.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Calibrates with argv[1] pairs from slot argv[2], whose words it prints before and behind. */
int main(int argc, char **argv)
{
    uint64_t pairs = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t index = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t *data;

    if (qemu_hypertrace_init(NULL)) {
        puts("no channel");
    }
    data = qemu_hypertrace_data(index);
    for (uint64_t i = 0; i < qemu_hypertrace_num_args(); i++) {
        data[i] = 100 + i;
    }
    qemu_hypertrace_calibrate(index, pairs);
    for (uint64_t i = 0; i < qemu_hypertrace_num_args(); i++) {
        printf("%" PRIu64 "%s", data[i], i + 1 < qemu_hypertrace_num_args() ? " " : "\n");
    }
    return 0;
}
"""


@pytest.mark.parametrize("target", [NATIVE, I686, *FOREIGN_TARGETS], ids=lambda target: target.name)
def test_pairs_of_each_sort(htrun: Htrun, toolchain: Toolchain, target: Target) -> None:
    guest = toolchain.compile_text(GUEST, "calibrates", target)
    result = htrun.run(guest, "27", "3").check()
    assert [event.args[0] for event in result.events] == emitted(27)
    # The other words of the slot are unchanged, and the first is restored.
    assert {(event.index, *event.args[1:]) for event in result.events} == {(3, 101, 102, 103)}
    assert result.stdout == "100 101 102 103\n"


def test_one_argument_is_enough(htrun: Htrun, toolchain: Toolchain) -> None:
    guest = toolchain.compile_text(GUEST, "calibrates")
    result = htrun.run(guest, "1", "0", options=("--hypertrace", f"{htrun.channel},args=1"))
    assert [event.args for event in result.events] == [(number,) for number in emitted(1)]
    assert result.stdout == "100\n"


def test_the_library_calibrates_the_thread_that_opens_the_channel_if_asked(htrun: Htrun, toolchain: Toolchain) -> None:
    guest = toolchain.compile_text(GUEST, "calibrates")
    result = htrun.run(guest, "0", "0", env={"HYPERTRACE_CALIBRATE": "5"}).check()
    assert [event.args[0] for event in result.events] == emitted(5)
    # From an index of the thread, not from one that a program has chosen.
    (index,) = {event.index for event in result.events}
    assert index > 900


@pytest.mark.parametrize("wanted", ["", "0", "none"])
def test_no_pairs_are_none(htrun: Htrun, toolchain: Toolchain, wanted: str) -> None:
    guest = toolchain.compile_text(GUEST, "calibrates")
    assert htrun.run(guest, "0", "0", env={"HYPERTRACE_CALIBRATE": wanted}).check().events == []


def test_more_than_a_million_pairs_are_a_million(htrun: Htrun, toolchain: Toolchain, tmp_path: Path) -> None:
    guest = toolchain.compile_text(GUEST, "calibrates")
    command = ("-o", tmp_path / "counts.csv", "--format", "csv")
    result = htrun.run(guest, str(2**63), "0", options=("--overflow", "drop", *command))
    assert result.status == 0
    assert result.summary["events"] + result.summary["lost"] == 1_000_000 * 2 * len(PAIRS)


def test_without_a_channel_nothing_happens(toolchain: Toolchain, htrun: Htrun) -> None:
    guest = toolchain.compile_text(GUEST, "calibrates")
    result = htrun.run("env", "-u", "HYPERTRACE", guest, "5", "0")
    assert (result.status, result.stdout) == (0, "no channel\n100 101 102 103\n")
    assert result.events == []
