"""Traces of htrun, read back with hypertrace and with Python, and compared with babeltrace2."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import htrun as library
from tests.support.hypertrace import hypertrace
from tests.support.requirements import require_tool
from tests.support.run import HTRUN, Htrun
from tests.support.targets import NATIVE, S390X, Target
from tests.support.toolchain import Toolchain

THREADS, COUNT = 3, 2000
SOURCE = Path(__file__).parent / "guests" / "hypertrace_threads.c"
# babeltrace2 prints the host in each line if it is in the metadata.
_TEXT = re.compile(r"\[(\d+)\.(\d{9})\] (?:\S+ )?guest_hypertrace: (.*)")


@dataclass(frozen=True)
class Recorded:
    """A run's trace, and for each thread the printed sum of the second arguments."""

    path: Path
    sums: dict[int, int]


@pytest.fixture(scope="module", params=[NATIVE, S390X], ids=lambda target: target.name)
def recorded(
    request: pytest.FixtureRequest, toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory
) -> Recorded:
    target: Target = request.param
    directory = tmp_path_factory.mktemp(target.name)
    program = toolchain.compile(SOURCE, target, flags=() if target is NATIVE else ("-static",))
    command: list[str | Path] = [HTRUN, "-o", directory / "trace", "--", program, str(THREADS), str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return Recorded(
        directory / "trace", {int(tid): int(total) for tid, total in map(str.split, done.stdout.splitlines())}
    )


def test_python_sees_what_each_thread_says_it_emitted(recorded: Recorded) -> None:
    trace = library.open(recorded.path)
    events = trace.to_numpy()
    assert len(events) == len(trace) == THREADS * COUNT
    for number in range(len(trace.streams)):
        own = events[events["stream"] == number]
        assert own["args"][:, 1].tolist() == [3 * place for place in range(COUNT)]
        assert own["args"][:, 2].tolist() == [2**64 - 1 - place for place in range(COUNT)]
    # An emulator's gettid() is the host's.
    assert {
        stream.tid: int(events["args"][events["stream"] == number, 1].sum())
        for number, stream in enumerate(trace.streams)
    } == recorded.sums


def test_babeltrace2_reads_the_same_events_in_the_same_order(recorded: Recorded) -> None:
    babeltrace = require_tool("babeltrace2", "babeltrace2")
    command: list[str | Path] = [babeltrace, "--clock-seconds", "--no-delta", recorded.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    lines = done.stdout.splitlines()
    events = library.open(recorded.path).to_numpy()
    assert len(lines) == len(events)
    theirs = []
    for line in lines:
        match = _TEXT.fullmatch(line)
        assert match, line
        values = dict(re.findall(r"(\w+) = (\w+)", match[3]))
        theirs.append((int(values["index"]), *(int(values[f"arg{number}"], 16) for number in range(1, 5))))
        # It uses floating point, which may lose a nanosecond.
        assert abs(int(match[1]) * 10**9 + int(match[2]) - int(events["time"][len(theirs) - 1])) <= 2
    ours = [(int(event["index"]), *event["args"].tolist()) for event in events]
    assert Counter(ours) == Counter(theirs)
    for index in range(THREADS):
        assert [each for each in ours if each[0] == index] == [each for each in theirs if each[0] == index]


def test_info_tells_of_the_run(recorded: Recorded) -> None:
    facts = json.loads(hypertrace("info", recorded.path, "--json").stdout)
    assert (facts["events"], facts["lost"]) == (THREADS * COUNT, 0)
    assert facts["names"] == {"guest_hypertrace": THREADS * COUNT}
    assert [thread["events"] for thread in facts["threads"]] == [COUNT] * THREADS
    assert sum(site["events"] for site in facts["sites"]) == THREADS * COUNT
    assert f"hypertrace_threads {THREADS} {COUNT}" in facts["environment"]["command"]
    assert 0 < facts["seconds"] < 60
    text = hypertrace("info", recorded.path).stdout
    assert re.search(r"^events: +6,000, [\d,]+ a second$", text, re.MULTILINE)
    assert "hypertrace_threads" in text


def test_print_has_a_line_for_each_event(recorded: Recorded) -> None:
    lines = hypertrace("print", recorded.path, "--where", "arg2 == 30", "--time", "epoch").stdout.splitlines()
    assert len(lines) == THREADS
    for line in lines:
        assert re.fullmatch(
            r"\d+\.\d{9} \S+:\d+ guest_hypertrace index=\d arg1=0x000000000000000\d arg2=0x000000000000001e"
            r" arg3=0xfffffffffffffff5 arg4=0x0{16}",
            line,
        )


def test_one_thread_can_be_chosen(recorded: Recorded) -> None:
    stream = library.open(recorded.path).streams[1]
    lines = hypertrace("print", recorded.path, "--thread", str(stream.tid), "--json").stdout.splitlines()
    assert len(lines) == COUNT
    assert {json.loads(line)["tid"] for line in lines} == {stream.tid}


def test_events_named_in_toml_are_emitted_through_the_header_made_of_it(
    toolchain: Toolchain, htrun: Htrun, tmp_path: Path
) -> None:
    names = tmp_path / "events.toml"
    names.write_text(
        """\
[[event]]
id = 1
name = "io"
phase = "begin"
args = ["size:i64", "kind:enum:READ=0,WRITE=1", "int:u64:hex"]
[[event]]
id = 2
name = "io"
phase = "end"
args = ["ratio:f64:.2f", "ok:bool"]
"""
    )
    hypertrace("header", names, "-o", tmp_path / "events.h")
    program = toolchain.compile_text(
        """
        #include <events.h>
        int main(void)
        {
            if (qemu_hypertrace_init(NULL) != 0 || qemu_hypertrace_num_args() < trace_num_args) {
                return 1;
            }
            trace_io_begin(3, -4096, trace_io_begin_kind_WRITE, 0xdeadbeef);
            trace_io_end(3, 0.25, true);
            return 0;
        }
        """,
        "named",
        flags=(f"-I{tmp_path}",),
    )
    done = htrun.run(program, options=("-o", tmp_path / "trace", "--events", names))
    assert (done.status, done.stderr) == (0, "")
    # The trace contains the names.
    printed = hypertrace("print", tmp_path / "trace", "--time", "delta").stdout.splitlines()
    assert [re.sub(r"^\+\d+\.\d{9} named:\d+ ", "", line) for line in printed] == [
        "io phase=begin index=3 size=-4096 kind=WRITE int=0x00000000deadbeef",
        "io phase=end index=3 ratio=0.25 ok=true",
    ]
    begin, end = library.open(tmp_path / "trace")
    assert dict(begin.values) == {"size": -4096, "kind": "WRITE", "int": 0xDEADBEEF}
    assert dict(end.values) == {"ratio": 0.25, "ok": True}
    rows = hypertrace(
        "query", tmp_path / "trace", "--events", names, "--json", "SELECT size, kind FROM io_begin"
    ).stdout
    assert json.loads(rows) == {"size": -4096, "kind": "WRITE"}


def test_info_names_the_sites(toolchain: Toolchain, tmp_path: Path) -> None:
    """This is true as long as the file of the program does not change."""
    program = tmp_path / "program"
    shutil.copy2(toolchain.compile(SOURCE, NATIVE), program)
    command: list[str | Path] = [HTRUN, "--via", "store", "-o", tmp_path / "trace", "--", program, "2", "50"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [site] = json.loads(hypertrace("info", tmp_path / "trace", "--json").stdout)["sites"]
    assert re.fullmatch(r"\w+\+0x[0-9a-f]+", site["symbol"])
    assert (site["events"], site["file"]) == (100, str(program))
    assert f" {site['symbol']}: {site['instruction']} " in hypertrace("info", tmp_path / "trace").stdout
    assert "site_" not in hypertrace("info", tmp_path / "trace").stdout
    program.write_bytes(program.read_bytes() + b" ")
    [site] = json.loads(hypertrace("info", tmp_path / "trace", "--json").stdout)["sites"]
    assert site["symbol"] == f"{program}+{site['offset']:#x}"
