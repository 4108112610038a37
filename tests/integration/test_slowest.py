"""hypertrace slowest: the output in docs/slowest.md, and a real run of the server."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import htrun
from tests.support.documents import fenced, transcript
from tests.support.hypertrace import said
from tests.support.server_trace import SLOWEST, trace_of_server


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return trace_of_server(tmp_path / "trace")


def test_what_the_document_shows(trace: Path) -> None:
    for block in fenced("slowest.md", "console"):
        assert transcript(block, trace.parent) == block


def overlap(one: dict[str, Any], other: dict[str, Any]) -> int:
    """The time in ns for which two spans overlap."""
    return int(min(one["end"], other["end"]) - max(one["begin"], other["begin"]))


def test_a_real_run_of_the_server(tmp_path: Path) -> None:
    """Each command of the document; then every wait for the lock is compared with a simple search of all spans."""
    [block] = fenced("slowest.md", "sh")
    for command in block.splitlines():
        shown = transcript(f"$ {command} && echo done\n", tmp_path, timeout=240)
        assert shown.endswith("\ndone\n"), shown
    document = json.loads(said("slowest", tmp_path / "trace", "lock_wait", "-n", "1000", "--json", "-"))
    assert (document["version"], document["selected"], len(document["spans"])) == (1, 200, 200)
    spans = htrun.open(tmp_path / "trace").spans()
    rows = [
        {"name": spans.names[row["name"]], **{field: int(row[field]) for field in ("id", "begin", "end", "stream")}}
        for row in spans.to_numpy()
    ]
    checkpoints = [row for row in rows if row["name"] == "checkpoint"]
    waits = {row["id"]: row for row in rows if row["name"] == "lock_wait"}
    assert [span["id"] for span in document["spans"]] == sorted(
        waits, key=lambda number: (waits[number]["begin"] - waits[number]["end"], number)
    )
    for span in document["spans"]:
        wait = waits[span["id"]]
        assert span["duration"] == wait["end"] - wait["begin"]
        held = sum(max(overlap(wait, checkpoint), 0) for checkpoint in checkpoints)
        reported = [
            each["overlap"] for piece in span["pieces"] for each in piece["meanwhile"] if each["name"] == "checkpoint"
        ]
        # A wait is one piece of time; three names are shown for it.
        assert reported == ([held] if held else []) or (not reported and len(span["pieces"][0]["meanwhile"]) == 3)


def test_forms(trace: Path) -> None:
    one = ("slowest", trace, "request", "-n", "1")
    [span] = json.loads(said(*one, "--json", "-"))["spans"]
    assert span["arguments"] == {"number": str(SLOWEST)}
    assert [part["name"] for part in span["parts"]] == ["work", "lock_wait", "update"]
    [piece] = span["pieces"]
    assert (piece["in"], piece["meanwhile"][0]["comm"]) == ("lock_wait", "checkpointer")
    [row] = csv.DictReader(said(*one, "--csv", "-").splitlines())
    assert (row["id"], row["arguments"]) == (str(span["id"]), f"number={SLOWEST}")
    assert (row["longest_in"], row["meanwhile"], row["meanwhile_thread"]) == (
        "lock_wait", "checkpoint", "checkpointer:4716",
    )  # fmt: skip
    table = said(*one, "--markdown", "-").splitlines()
    assert len(table) == 3
    assert "| checkpoint of checkpointer:4716 |" in table[2]


def test_the_command_that_it_names_works(trace: Path) -> None:
    last = said("slowest", trace, "-n", "1").splitlines()[-1].split()
    assert last[:2] == ["hypertrace", "view"]
    page = trace.parent / "page.html"
    assert said(*last[1:], "-o", page) == f"{page}\n"


def test_ids_lead_to_the_figures_and_the_events(trace: Path) -> None:
    [span] = json.loads(said("slowest", trace, "request", "-n", "1", "--json", "-"))["spans"]
    number = str(span["id"])
    [figures] = json.loads(said("stat", trace, "--id", number, "--json", "-"))["spans"]
    assert (figures["name"], figures["count"], figures["raw"]["median"]) == ("request", 1, span["duration"])
    [event] = map(json.loads, said("print", trace, "--id", number, "--json").splitlines())
    assert (event["name"], event["phase"], event["time_ns"]) == ("request", "begin", span["begin_ns"])
    assert "has no spans" in said("stat", trace, "--id", "100000", status=125)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nothing"], "has no spans called 'nothing'"),
        (["-n", "0"], "--lines 0: must be at least 1"),
        (["--from", "1"], "has no spans"),
        (["--thread", "nobody"], "no thread 'nobody'"),
    ],
)
def test_bad_usage(trace: Path, words: list[str], reason: str) -> None:
    assert reason in said("slowest", trace, *words, status=125)
