"""htrun's command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import htrun
from htrun.channel.layout import Layout
from htrun.commands.options import Information, RunRequest, parse
from htrun.errors import HtrunError
from htrun.events.definitions import EVENTS
from htrun.rings.ring import Overflow
from htrun.runner.options import RunOptions, Timestamp, Via

PROGRAM = ("./app", "-v", "--", "--log", "x")


def parsed(*arguments: str) -> RunOptions:
    request = parse([*arguments, *PROGRAM])
    assert isinstance(request, RunRequest)
    assert request.options.program == PROGRAM
    return request.options


def refusal(*arguments: str) -> str:
    with pytest.raises(HtrunError) as caught:
        parse(arguments)
    assert caught.value.exit_code == 125
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_options_there_is_a_log_and_a_private_path() -> None:
    options = parsed()
    assert options == RunOptions(program=PROGRAM, layout=Layout())
    assert options.log_wanted
    assert options.path is None


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--hypertrace", "/tmp/ht"], "path", Path("/tmp/ht")),
        (["-hypertrace", "/tmp/ht"], "path", Path("/tmp/ht")),
        (["--hypertrace=/tmp/ht"], "path", Path("/tmp/ht")),
        (["--hypertrace", "/tmp/a=b"], "path", Path("/tmp/a=b")),
        (["--hypertrace", "/tmp/a,,b"], "path", Path("/tmp/a,b")),
        (["--hypertrace", "/tmp/ht,args=8"], "layout", Layout(num_args=8)),
        (["--hypertrace", "/tmp/ht,args=64,max-clients=1"], "layout", Layout(64, 1)),
        (["--hypertrace", ",args=1,max-clients=1048576"], "layout", Layout(1, 1 << 20)),
        (["--hypertrace", ",args=1"], "path", None),
        (["-D", "log"], "log", Path("log")),
        (["-Dlog"], "log", Path("log")),
        (["--log=log"], "log", Path("log")),
        (["--log", "--log"], "log", Path("--log")),
        (["-D", "a", "--log", "b"], "log", Path("b")),
        (["-trace", "guest*,file=log"], "log", Path("log")),
        (["-D", "a", "-trace", "file=b"], "log", Path("a")),
        (["-o", "dir"], "trace", Path("dir")),
        (["--output=dir"], "trace", Path("dir")),
        (["-o", "dir"], "log_wanted", False),
        (["-o", "dir", "-D", "log"], "log_wanted", True),
        (["-o", "a.json"], "outputs", ((Path("a.json"), "chrome"),)),
        (["-o", "a.json"], "trace", None),
        (["-o", "a.json"], "log_wanted", False),
        (["-o", "a", "--format", "csv"], "outputs", ((Path("a"), "csv"),)),
        (["--format", "csv", "-o", "a"], "outputs", ((Path("a"), "csv"),)),
        (["-o", "a.json", "--format", "ctf"], "trace", Path("a.json")),
        (["-o", "a", "-o", "b", "--format=csv", "-o", "c.simple"], "trace", Path("a")),
        (
            ["-o", "a", "-o", "b", "--format=csv", "-o", "c.simple"],
            "outputs",
            ((Path("b"), "csv"), (Path("c.simple"), "simple")),
        ),
        (
            ["-o", "a", "--format", "csv", "--format", "log", "-o", "b"],
            "outputs",
            ((Path("a"), "csv"), (Path("b"), "log")),
        ),
        (["--events", "e.toml"], "events", Path("e.toml")),
        (["--summary", "s.json"], "summary", Path("s.json")),
        (["-L", "/srv/arm"], "sysroot", "/srv/arm"),
        (["--emulator", "qemu-arm"], "emulator", "qemu-arm"),
        (["--no-patch"], "patch", False),
        (["--no-ptrace"], "no_ptrace", True),
        (["-v"], "verbosity", 1),
        (["-q"], "verbosity", -1),
        (["-q", "-v"], "verbosity", 1),
        (["--ring-size", "64K"], "ring_size", 65536),
        (["--ring-size", "100000"], "ring_size", 100_000),
        (["--ring-size", "1G"], "ring_size", 1 << 30),
        (["--overflow", "drop"], "overflow", Overflow.DROP),
        (["--overflow=overwrite"], "overflow", Overflow.OVERWRITE),
        (["--timestamp", "ordered"], "timestamp", Timestamp.ORDERED),
        (["--via", "store"], "via", Via.STORE),
        (["--via", "auto"], "via", Via.AUTO),
        (["--via=ring"], "via", Via.RING),
    ],
)
def test_an_option_sets_its_field(arguments: list[str], field: str, value: Any) -> None:
    assert getattr(parsed(*arguments), field) == value
    assert getattr(parsed(*arguments, "--"), field) == value


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (["--", "-app", "-v"], ("-app", "-v")),
        (["--", "--", "x"], ("--", "x")),
        (["app", "--", "--help"], ("app", "--", "--help")),
        (["-", "--version"], ("-", "--version")),
    ],
)
def test_the_programs_words_are_its_own(arguments: list[str], program: tuple[str, ...]) -> None:
    request = parse(arguments)
    assert isinstance(request, RunRequest)
    assert request.options.program == program


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "no program"),
        (["--"], "no program"),
        (["-v"], "no program"),
        ([""], "no program"),
        (["-x", "app"], "unknown option -x"),
        (["-vx", "app"], "unknown option -vx"),
        (["--hyper=x", "app"], "unknown option --hyper"),
        (["--no-patch=1", "app"], "unknown option --no-patch"),
        (["-D"], "-D needs a value"),
        (["-D", "", "app"], "-D needs a value"),
        (["--log=", "app"], "--log needs a value"),
        (["--hypertrace", "", "app"], "--hypertrace needs a path"),
        (["--hypertrace", "/t,b", "app"], "unknown setting 'b'"),
        (["--hypertrace", "/t,,args=3,x=1", "app"], "unknown setting 'x'"),
        (["--hypertrace", "/t,args=0", "app"], "from 1 to 64"),
        (["--hypertrace", "/t,args=65", "app"], "from 1 to 64"),
        (["--hypertrace", "/t,args=-1", "app"], "from 1 to 64"),
        (["--hypertrace", "/t,args=", "app"], "from 1 to 64"),
        (["--hypertrace", "/t,args=٣", "app"], "from 1 to 64"),
        (["--hypertrace", "/t,max-clients=0", "app"], "from 1 to 1048576"),
        (["--hypertrace", "/t,max-clients=1048577", "app"], "from 1 to 1048576"),
        (["--hypertrace", "/t,max-clients=" + "9" * 5000, "app"], "from 1 to 1048576"),
        (["--ring-size", "1", "app"], "64K to 1G"),
        (["--ring-size", "2G", "app"], "64K to 1G"),
        (["--ring-size", "4m", "app"], "64K to 1G"),
        (["--overflow", "lose", "app"], "block, drop, overwrite"),
        (["--timestamp", "utc", "app"], "tsc, ordered"),
        (["--via", "trap", "app"], "auto, store, ring"),
        (["--via", "ring", "--timestamp", "ordered", "app"], "--via ring and --timestamp ordered exclude each other"),
        (["-trace", "guest*,size=1", "app"], "unknown setting"),
        (["-o", "", "app"], "-o needs a value"),
        (["-o", "a", "--format", "xml", "app"], "unknown format 'xml'; choose from ctf, log"),
        (["--format", "csv", "app"], "--format csv needs an -o PATH"),
        (["-o", "a", "--format", "csv", "--format", "log", "app"], "--format log needs an -o PATH"),
        (["-o", "a", "-o", "b", "app"], "-o a and -o b: there can be only one native trace"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], reason: str) -> None:
    assert reason in refusal(*arguments)


@pytest.mark.parametrize("spelling", ["-h", "--help"])
def test_help_tells_every_option(spelling: str) -> None:
    information = parse([spelling])
    assert isinstance(information, Information)
    assert max(map(len, information.text.splitlines())) <= 120
    for option in ("--hypertrace", "-D", "--log", "-o", "--format", "--events", "--summary", "-trace", "--syscalls",
                   "--overflow", "--ring-size", "--timestamp", "-L", "--emulator", "--no-patch", "--decode", "-v", "-q",
                   "--no-ptrace",
                   "--version", "--via", "Examples:"):  # fmt: skip
        assert option in information.text


def test_version_and_the_list_of_events() -> None:
    assert parse(["--version"]) == Information(f"htrun {htrun.__version__}\n")
    assert parse(["-trace", "help"]) == Information("".join(f"{definition.name}\n" for definition in EVENTS))


CALLS = frozenset({"guest_user_syscall", "guest_user_syscall_ret"})
HYPERTRACE = frozenset({"guest_hypertrace"})


@pytest.mark.parametrize(
    ("arguments", "events", "names"),
    [
        ([], HYPERTRACE, None),
        (["-trace", "guest*"], HYPERTRACE | CALLS | {"guest_cpu_enter", "guest_cpu_exit"}, None),
        (["--syscalls", "read"], HYPERTRACE | CALLS, {"read"}),
        (["--syscalls", "read,openat", "--syscalls=write"], HYPERTRACE | CALLS, {"read", "openat", "write"}),
        (["--syscalls", "all"], HYPERTRACE | CALLS, None),
        (["--syscalls", "read,all"], HYPERTRACE | CALLS, None),
        (["--syscalls", "all", "--syscalls", "read"], HYPERTRACE | CALLS, None),
        (["--syscalls", "read", "--syscalls", "all"], HYPERTRACE | CALLS, None),
        (["--syscalls", "mmap2", "-trace", "guest_user_syscall"], CALLS, {"mmap2"}),
        (["--syscalls", "read", "-trace", "-guest_user_syscall_ret"], HYPERTRACE | {"guest_user_syscall"}, {"read"}),
        (["-trace", "-guest_hypertrace", "--syscalls", "read"], CALLS, {"read"}),
    ],
)
def test_events_and_calls_to_record(arguments: list[str], events: frozenset[str], names: set[str] | None) -> None:
    options = parsed(*arguments)
    assert options.recorded == events
    assert options.syscalls == names
    assert options.calls_recorded == bool(events & CALLS)
    assert options.channel_recorded == bool(events & HYPERTRACE)
    assert {definition.name for definition in options.tracer_events} == events - HYPERTRACE


def test_patterns_of_the_environment_come_first() -> None:
    request = parse(["-trace", "-guest_user*", *PROGRAM], {"HTRUN_TRACE": "guest_cpu*,guest_user_syscall,gest"})
    assert isinstance(request, RunRequest)
    assert request.options.recorded == {"guest_cpu_enter", "guest_cpu_exit"}
    assert request.unknown_events == ("gest",)
    with pytest.raises(HtrunError, match=r"^HTRUN_TRACE: -trace x=y: unknown setting 'x'"):
        parse(PROGRAM, {"HTRUN_TRACE": "x=y"})
    request = parse(PROGRAM, {"HTRUN_TRACE": ""})
    assert isinstance(request, RunRequest)
    assert request.options.recorded == HYPERTRACE


@pytest.mark.parametrize(
    ("arguments", "calibrate", "timestamp"),
    [
        ((), None, Timestamp.TSC),
        ((), "", Timestamp.TSC),
        ((), "0", Timestamp.TSC),
        ((), "1000", Timestamp.ORDERED),
        (("--timestamp", "tsc"), "1000", Timestamp.TSC),
        (("--via", "ring"), "1000", Timestamp.TSC),
        (("--timestamp", "ordered"), None, Timestamp.ORDERED),
    ],
)
def test_who_calibrates_wants_exact_times(
    arguments: tuple[str, ...], calibrate: str | None, timestamp: Timestamp
) -> None:
    environment = {} if calibrate is None else {"HYPERTRACE_CALIBRATE": calibrate}
    request = parse([*arguments, *PROGRAM], environment)
    assert isinstance(request, RunRequest)
    assert request.options.timestamp is timestamp


def test_unknown_events_are_told() -> None:
    request = parse(["-trace", "gest", "-trace", "guest*", "app"])
    assert isinstance(request, RunRequest)
    assert request.unknown_events == ("gest",)


words = st.sampled_from(
    ["-D", "-trace", "--hypertrace", "/t,args=3", "-v", "--", "app", "-q", "x", "-o", "--log=a", "--no-patch", "-L"]
) | st.text(st.characters(exclude_characters="\0", codec="utf-8")).filter(lambda text: "events=" not in text)


@given(st.lists(words, max_size=8))
def test_any_command_line_is_understood_or_refused_in_one_line(arguments: list[str]) -> None:
    result: RunRequest | Information | HtrunError
    try:
        result = parse(arguments)
    except HtrunError as error:
        result = error
    if isinstance(result, HtrunError):
        assert result.exit_code == 125
    elif isinstance(result, RunRequest):
        program = result.options.program
        assert program == tuple(arguments[len(arguments) - len(program) :])
