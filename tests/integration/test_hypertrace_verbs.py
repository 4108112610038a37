"""The program hypertrace on traces whose events are all known."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from htrun.events.records import event_dtype, record_dtype
from htrun.events.stream import Stream
from htrun.rings.layout import PACKET_HEADER
from tests.support.hypertrace import HYPERTRACE, said
from tests.unit.analysis.made import FACTS, Made

NAMES = """\
[[event]]
id = 1
name = "io"
args = ["size:i64", "kind:enum:READ=0,WRITE=1"]
"""
BEGIN = 1_700_000_000_000_000_000
ESCAPE = "\x1b"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    file = tmp_path / "events.toml"
    file.write_text(NAMES)
    return file


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    made = Made(tmp_path / "trace", num_args=3)
    made.packet(Stream(10, 10, 0, "ma\x1bin"), [BEGIN, BEGIN + 2_000_000_000], [[1, 2**64 - 5, 1], [9, 2, 0]], site=3)
    return made.packet(Stream(11, 10, 1, "worker"), [BEGIN + 1500], [[3, 4, 5]], index=2, discarded=6).close()


def test_lines(trace: Path, names: Path) -> None:
    assert said("print", trace) == (
        "     0.000000000 ma?in:10 guest_hypertrace index=0 arg1=0x0000000000000001 arg2=0xfffffffffffffffb"
        " arg3=0x0000000000000001\n"
        "     0.000001500 worker:11 guest_hypertrace index=2 arg1=0x0000000000000003 arg2=0x0000000000000004"
        " arg3=0x0000000000000005\n"
        "     2.000000000 ma?in:10 guest_hypertrace index=0 arg1=0x0000000000000009 arg2=0x0000000000000002"
        " arg3=0x0000000000000000\n"
    )
    first = said("print", trace, "--events", names, "-n", "1")
    assert first == "     0.000000000 ma?in:10 io index=0 size=-5 kind=WRITE\n"


@pytest.mark.parametrize(
    ("clocks", "starts"),
    [
        ("delta", ["+0.000000000 ", "+0.000001500 ", "+1.999998500 "]),
        ("epoch", ["1700000000.000000000 ", "1700000000.000001500 ", "1700000002.000000000 "]),
        (
            "wall,relative",
            [
                "2023-11-14 22:13:20.000000000      0.000000000 ",
                "2023-11-14 22:13:20.000001500      0.000001500 ",
                "2023-11-14 22:13:22.000000000      2.000000000 ",
            ],
        ),
    ],
)
def test_clocks(trace: Path, clocks: str, starts: list[str]) -> None:
    lines = said("print", trace, "--time", clocks, environment={"TZ": "UTC"}).splitlines()
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("options", "args"),
    [
        (["--from", "1us"], [3, 9]),
        (["--from", "0.0000015", "--to", "2"], [3]),
        (["--to", "1500ns"], [1]),
        (["--from", "@1700000001"], [9]),
        (["--from", "22:13:21"], [9]),
        (["--from", "2023-11-14T22:13:22+00:00"], [9]),
        (["--to", "2023-11-14"], []),
        (["--thread", "worker"], [3]),
        (["--thread", "10", "--thread", "wor*"], [1, 3, 9]),
        (["--process", "10"], [1, 3, 9]),
        (["--event", "guest_*"], [1, 3, 9]),
        (["--event", "io*"], []),
        (["--where", "arg1 > 1 and arg2 < 4"], [9]),
        (["-n", "2"], [1, 3]),
        (["-n", "0"], []),
    ],
)
def test_filters(trace: Path, options: list[str], args: list[int]) -> None:
    lines = said("print", trace, "--json", *options, environment={"TZ": "UTC"}).splitlines()
    assert [json.loads(line)["args"]["arg1"] for line in lines] == args


def test_ids(trace: Path) -> None:
    lines = said("print", trace).splitlines()
    assert said("print", trace, "--ids").splitlines() == [f"#{number} {line}" for number, line in enumerate(lines, 1)]
    assert said("print", trace, "--id", "3", "--id", "2") == f"{lines[1]}\n{lines[2]}\n"
    assert said("print", trace, "--id", "3", "--ids", "--from", "1s", "--thread", "10") == f"#3 {lines[2]}\n"
    assert said("print", trace, "--ids", "--thread", "worker") == f"#2 {lines[1]}\n"
    assert said("print", trace, "--ids", "--where", "arg1 > 1", "-n", "1") == f"#2 {lines[1]}\n"
    assert said("print", trace, "--id", "4") == ""
    objects = [json.loads(line) for line in said("print", trace, "--json").splitlines()]
    numbered = [json.loads(line) for line in said("print", trace, "--json", "--ids").splitlines()]
    assert numbered == [{"id": number, **each} for number, each in enumerate(objects, 1)]
    assert [json.loads(line) for line in said("print", trace, "--json", "--id", "2").splitlines()] == [objects[1]]


def test_colours_are_for_terminals(trace: Path) -> None:
    assert ESCAPE not in said("print", trace)
    coloured = said("print", trace, "--color", "always")
    assert re.sub(r"\x1b\[\d*m", "", coloured) == said("print", trace)
    assert ESCAPE in on_terminal(["print", str(trace)])
    assert ESCAPE not in on_terminal(["print", str(trace)], NO_COLOR="1")
    assert ESCAPE not in on_terminal(["print", str(trace), "--color", "never"])


def on_terminal(arguments: list[str], **environment: str) -> str:
    """What hypertrace prints on a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(HYPERTRACE, ["hypertrace", *arguments], {**os.environ, "TERM": "xterm", **environment})
    printed = b""
    try:
        while part := os.read(terminal, 65536):
            printed += part
    except OSError:
        # The other end of a pseudo-terminal is closed: EIO.
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, printed
    return printed.decode()


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    trace = Made(tmp_path / "t").packet(Stream(1, 1), np.arange(100_000, dtype=np.uint64)).close()
    process = subprocess.Popen([HYPERTRACE, "print", trace], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"     0.000000000 ")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(240) == 141


def test_a_full_disk_is_told(trace: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([HYPERTRACE, "print", trace], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 125
    assert done.stderr == "hypertrace: cannot write to standard output: No space left on device\n"


def test_info(trace: Path, names: Path) -> None:
    text = said("info", trace, "--events", names, environment={"TZ": "UTC"})
    for line in (
        r"command: +app",
        r"host: +box",
        r"began: +2023-11-14 22:13:20.000000000 \+0000",
        r"lasted: +2.000000000 s",
        r"events: +3, 2 a second",
        r"lost: +6",
        r"threads: +2, processes: 1",
        r"ma\?in +10 +10 +0 +2 +0",
        r"worker +10 +11 +1 +1 +6",
        r"guest_hypertrace +2 +66.7%",
        r"io +1 +33.3%",
        r"3 +2 +66.7%",
    ):
        assert re.search(f"^{line}$", text, re.MULTILINE), line
    facts = json.loads(said("info", trace, "--json"))
    assert facts["environment"]["tracer_name"] == FACTS["tracer_name"]
    assert (facts["first_ns"], facts["last_ns"], facts["lost"]) == (BEGIN, BEGIN + 2_000_000_000, 6)


def test_info_shows_the_busiest_of_many_threads(tmp_path: Path) -> None:
    made = Made(tmp_path / "t")
    for tid in range(1, 31):
        made.packet(Stream(tid, tid, 0, f"thread{tid}"), range(tid))
    path = made.close()
    text = said("info", path)
    assert "thread30 " in text
    assert "thread10 " not in text
    assert "... and 10 more; --all shows them" in text
    assert "thread1 " in said("info", path, "--all")


def test_info_of_a_trace_without_events(tmp_path: Path) -> None:
    path = Made(tmp_path / "t").close()
    assert re.search("^events: +0$", said("info", path), re.MULTILINE)
    assert json.loads(said("info", path, "--json"))["first_ns"] is None
    assert said("print", path) == ""
    assert said("print", path, "--json") == ""


def test_query(trace: Path, names: Path) -> None:
    rows = said("query", trace, "SELECT comm, count(*) AS n, max(arg2) FROM events GROUP BY comm ORDER BY n", "--json")
    assert [json.loads(row) for row in rows.splitlines()] == [
        {"comm": "worker", "n": 1, "max(arg2)": 4},
        {"comm": "ma\x1bin", "n": 2, "max(arg2)": 2**64 - 5},
    ]
    assert said("query", trace, "SELECT time_ns FROM events WHERE arg1 = 3") == f"{'time_ns':>19}\n{BEGIN + 1500}\n"
    assert said("query", trace, "--events", names, "SELECT size, kind, comm FROM io") == (
        "size  kind   comm\n  -5  WRITE  ma?in\n"
    )
    assert said("query", trace, "SELECT count(*) AS n FROM events", "--where", "arg1 > 1") == "n\n2\n"
    assert said("query", trace, "SELECT tid FROM events WHERE tid = 5") == "tid\n"
    late = "SELECT id, seconds FROM events WHERE seconds > 1"
    assert said("query", trace, late, "--csv") == "id,seconds\n3,2.000000000\n"
    assert said("query", trace, late, "--markdown") == "| id | seconds |\n| ---: | ---: |\n| 3 | 2.000000000 |\n"
    assert [json.loads(row) for row in said("query", trace, late, "--json").splitlines()] == [{"id": 3, "seconds": 2.0}]
    assert said("query", trace, "SHOW TABLES", "--events", names) == "name\nevents\nio\nrun\nsites\nspans\nthreads\n"


def test_the_name_of_no_event_is_warned_of(trace: Path) -> None:
    command: list[str | Path] = [
        HYPERTRACE,
        "print",
        trace,
        "--event",
        "guest_nothing",
        "--event",
        "guest_hypertrace",
        "--event",
        "no*",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        done.stderr
        == f"hypertrace: warning: {trace} has no event 'guest_nothing'; hypertrace info lists the events in it\n"
    )
    assert done.stdout == said("print", trace)


def test_damage_is_a_warning_and_the_rest_is_printed(trace: Path) -> None:
    [file] = trace.glob("stream-0-*")
    file.write_bytes(file.read_bytes()[: PACKET_HEADER + 70])
    done = subprocess.run([HYPERTRACE, "print", trace], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2
    assert re.fullmatch(r"hypertrace: warning: \S+stream-0-10: it ends in the middle of a packet .*\n", done.stderr)


def test_damage_is_reported_once_however_often_a_trace_is_read(trace: Path) -> None:
    [file] = trace.glob("stream-0-*")
    data = bytearray(file.read_bytes())
    # The time of the second record is before that of the first. This is found only when the events are read.
    size = record_dtype(3, big_endian=False).itemsize
    data[PACKET_HEADER + size : PACKET_HEADER + size + 8] = bytes(8)
    file.write_bytes(data)
    sql = "SELECT count(*) AS n FROM events a, events b"
    done = subprocess.run([HYPERTRACE, "query", trace, sql], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "n\n4\n")
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["print", "TRACE", "--where", "arg9 == 1"], "no field 'arg9'"),
        (["print", "TRACE", "--where", "import os"], "syntax"),
        (["print", "TRACE", "--where", "comm > 1"], "one is a text, the other a number"),
        (["print", "TRACE", "--time", "sideral"], "'sideral' is none of"),
        (["print", "TRACE", "--from", "yesterday"], "'yesterday' is not a time"),
        (["print", "TRACE", "--from", "99999999999999"], "is not a time"),
        (["print", "TRACE", "--where", "text1 == 1"], "no field 'text1'"),
        (["print", "TRACE", "--from", "5ms", "--to", "1ms"], "--from 5ms is not before --to 1ms"),
        (["print", "TRACE", "--from", "1", "--to", "1"], "--from 1 is not before --to 1"),
        (["print", "TRACE", "--thread", "nobody"], "no thread 'nobody'"),
        (["print", "TRACE", "--process", "x"], "invalid int value"),
        (["print", "TRACE", "--id", "0"], "argument --id: invalid event_id value: '0'"),
        (["print", "TRACE", "--id", "x"], "argument --id: invalid event_id value: 'x'"),
        (["view", "TRACE", "--at", "4", "-o", "/tmp/nothing.html"], "has no event #4 in the selection"),
        (["print", "TRACE", "-n", "-1"], "must not be negative"),
        (["print", "TRACE", "--events", "/no/file"], "cannot read /no/file"),
        (["print", "/nothing"], "does not exist"),
        (["print", "/etc/passwd"], "not a directory"),
        (["print", "/dev"], "no file 'metadata'"),
        (["print"], "the following arguments are required: TRACE"),
        (["query", "TRACE", "SELECT nothing FROM events"], "DuckDB: Binder Error"),
        (["query", "TRACE", "SELEKT"], "DuckDB: Parser Error"),
        (["query", "TRACE", ""], "'' is not a query"),
        (["query", "TRACE", "  "], "'  ' is not a query"),
        (["info", "/nothing"], "does not exist"),
        (["info", "--events", "x"], "needs a trace"),
        (["header", "/nothing"], "cannot read /nothing"),
        (["header", "NAMES", "--prefix", "1"], "not the beginning of a C name"),
        (["header", "NAMES", "-o", "/no/such"], "cannot write /no/such"),
        (["completion", "cmd"], "invalid choice"),
        (["fly"], "there is no verb 'fly'"),
    ],
)
def test_bad_usage_is_told_in_one_line(trace: Path, names: Path, arguments: list[str], reason: str) -> None:
    words = [{"TRACE": str(trace), "NAMES": str(names)}.get(word, word) for word in arguments]
    assert reason in said(*words, status=125)


@pytest.mark.parametrize(
    "verb", ["info", "print", "convert", "query", "header", "completion", "view", "top", "slowest"]
)
def test_help_has_examples(verb: str) -> None:
    text = said(verb, "--help")
    assert f"\n  hypertrace {verb}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from htrun.commands.hypertrace import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print({'numpy', 'rich', 'pyarrow', 'duckdb'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([HYPERTRACE.with_name("python"), "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_long_work_shows_progress_on_a_terminal_only() -> None:
    from htrun.reports.progress import with_progress

    batches = [np.zeros(count, event_dtype(1)) for count in (10, 5)]
    assert [len(each) for each in with_progress(iter(batches), 15, "doing")] == [10, 5]
    code = (
        "import numpy as np, itertools, time; from htrun.reports import progress\n"
        "progress._PATIENCE = 0\n"
        "for events in progress.with_progress(iter([np.zeros(10)] * 3), 30, 'doing'): pass\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        python = str(HYPERTRACE.with_name("python"))
        os.execve(python, [python, "-c", code], {**os.environ, "TERM": "xterm"})
    shown, deadline = b"", time.monotonic() + 240
    try:
        while time.monotonic() < deadline and (part := os.read(terminal, 65536)):
            shown += part
    except OSError:
        # The other end of a pseudo-terminal is closed: EIO.
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"doing" in shown
