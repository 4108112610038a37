"""Configuration files: htrun.toml of the project, and the user's."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.channel.layout import Layout
from htrun.commands.config_files import config_files
from htrun.commands.hypertrace import COMMANDS, _parse, parsers
from htrun.commands.options import _CONFIGURABLE, _OF_PROJECTS, HELP, Information, RunRequest, parse
from htrun.commands.verb_configuration import _OF_PROJECTS as OF_PROJECTS_OF_VERBS
from htrun.errors import HtrunError
from htrun.rings.ring import Overflow
from htrun.runner.options import RunOptions, Timestamp, Via

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


class Files:
    """The two configuration files, and their effect."""

    def __init__(self, directory: Path) -> None:
        self.project = directory / "project" / "htrun.toml"
        self.user = directory / "config" / "htrun" / "config.toml"
        self.deep = self.project.parent / "a" / "b"
        for path in (self.deep, self.user.parent):
            path.mkdir(parents=True)
        self.environment = {"XDG_CONFIG_HOME": str(directory / "config")}

    def htrun(self, *words: str, environment: dict[str, str] | None = None) -> RunOptions:
        """The options of a run."""
        request = parse([*words, "./app"], self.environment | (environment or {}))
        assert isinstance(request, RunRequest)
        return request.options

    def refusal(self, *words: str) -> str:
        """The reason why htrun does not run."""
        with pytest.raises(HtrunError) as caught:
            self.htrun(*words)
        assert caught.value.exit_code == 125
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files(tmp_path)
    monkeypatch.chdir(files.deep)
    for name, value in files.environment.items():
        monkeypatch.setenv(name, value)
    return files


def test_without_files_there_are_defaults(files: Files) -> None:
    assert files.htrun() == RunOptions(program=("./app",), layout=Layout())
    assert config_files({}).files == ()
    assert config_files({"HOME": str(files.project.parent), "XDG_CONFIG_HOME": "relative"}).files == ()


def test_the_order_of_precedence(files: Files) -> None:
    files.user.write_text('[htrun]\noverflow = "drop"\nring-size = "1M"\ncpu = 0\n')
    assert files.htrun().overflow is Overflow.DROP
    files.project.write_text('[htrun]\noverflow = "overwrite"\n')
    assert (files.htrun().overflow, files.htrun().ring_size) == (Overflow.OVERWRITE, 1 << 20)
    assert files.htrun("--overflow", "block").overflow is Overflow.BLOCK
    assert files.htrun().processors == frozenset({0})
    assert files.htrun("--no-config") == RunOptions(program=("./app",), layout=Layout())


def test_the_nearest_project_counts(files: Files) -> None:
    files.project.write_text('[htrun]\noverflow = "drop"\n')
    (files.deep.parent / "htrun.toml").write_text("")
    assert files.htrun().overflow is Overflow.BLOCK
    (files.deep.parent / "htrun.toml").unlink()
    (files.deep.parent / "htrun.toml").mkdir()
    assert files.htrun().overflow is Overflow.DROP


def test_without_a_home_or_a_directory_there_are_defaults(files: Files) -> None:
    home = files.user.parents[2]
    files.user.write_text('[htrun]\noverflow = "drop"\n')
    (home / ".config").symlink_to(files.user.parents[1])
    assert [file.path for file in config_files({"HOME": str(home)}).files] == [f"{home}/.config/htrun/config.toml"]
    assert config_files({"HOME": "elsewhere"}).files == ()
    files.deep.rmdir()
    assert config_files({}).files == ()


def test_a_list_replaces_a_list(files: Files) -> None:
    files.user.write_text('[htrun]\ntrace = ["guest_cpu*", "guest_user_syscall"]\nsyscalls = ["read", "write,close"]\n')
    wanted = {"guest_cpu_enter", "guest_cpu_exit", "guest_user_syscall", "guest_user_syscall_ret"}
    assert files.htrun().recorded == wanted
    assert files.htrun().syscalls == frozenset({"read", "write", "close"})
    assert files.htrun("--syscalls", "openat").syscalls == frozenset({"openat"})
    assert "guest_cpu_exit" not in files.htrun("-trace", "guest_cpu_enter").recorded
    assert "guest_cpu_exit" not in files.htrun(environment={"HTRUN_TRACE": "guest_cpu_enter"}).recorded


def test_outputs_are_for_the_users_own_file(files: Files) -> None:
    files.user.write_text('[htrun]\nlog = "-"\noutput = ["a.csv", "t"]\nforce = true\n')
    options = files.htrun()
    assert (options.log, options.trace, options.force) == (Path("/dev/stdout"), Path("t"), True)
    assert files.htrun("-o", "b.jsonl").outputs == ((Path("b.jsonl"), "jsonl"),)


def test_files_to_read_are_beside_the_configuration(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.project.write_text('[htrun]\nevents = "names/e.toml"\n')
    assert files.htrun().events == files.project.parent / "names" / "e.toml"
    monkeypatch.setenv("HOME", "/home/me")
    files.project.write_text('[htrun]\nevents = "~/e.toml"\n')
    assert files.htrun().events == Path("/home/me/e.toml")


@pytest.mark.parametrize(
    ("words", "calibrated", "project", "user", "told"),
    [
        ((), "", "via ring", "timestamp ordered", (Via.RING, Timestamp.TSC)),
        ((), "", "timestamp ordered", "via ring", (Via.AUTO, Timestamp.ORDERED)),
        ((), "100", "via ring", "", (Via.AUTO, Timestamp.ORDERED)),
        ((), "100", "timestamp tsc", "", (Via.AUTO, Timestamp.ORDERED)),
        (("--via", "ring"), "100", "", "", (Via.RING, Timestamp.TSC)),
        (("--via", "ring"), "", "timestamp ordered", "", (Via.RING, Timestamp.TSC)),
        (("--timestamp", "ordered"), "0", "via ring", "", (Via.AUTO, Timestamp.ORDERED)),
    ],
)
def test_what_excludes_each_other_is_taken_from_above(
    files: Files, words: tuple[str, ...], calibrated: str, project: str, user: str, told: tuple[Via, Timestamp]
) -> None:
    for path, setting in ((files.project, project), (files.user, user)):
        key, _, value = setting.partition(" ")
        path.write_text(f'[htrun]\n{key} = "{value}"\n' if setting else "")
    options = files.htrun(*words, environment={"HYPERTRACE_CALIBRATE": calibrated})
    assert (options.via, options.timestamp) == told


def test_a_device_is_that_of_a_run(files: Files) -> None:
    files.project.write_text('[htrun]\nhypertrace = ",args=8"\n')
    assert files.htrun().layout == Layout(8)
    files.user.write_text('[htrun]\nhypertrace = "/tmp/ht"\n')
    assert files.htrun("--no-config").path is None
    shown = parse(["--hypertrace", "/tmp/ht,args=8", "--print-device"], files.environment)
    files.project.unlink()
    files.user.write_text('[htrun]\nhypertrace = "/tmp/ht,args=8"\n')
    assert parse(["--print-device"], files.environment) == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[htrun]\ndecod = true\n", "{}: [htrun] decod: there is no such option; did you mean decode?"),
        ("[htrun]\nformat = 'csv'\n", "{}: [htrun] format: there is no such option"),
        ("[htrun]\nno-config = true\n", "{}: [htrun] no-config: there is no such option"),
        ("[htrun]\nD = 'log'\n", "{}: [htrun] D: there is no such option"),
        ("[htrun]\ndecode = 1\n", "{}: [htrun] decode: must be true or false"),
        ("[htrun]\ncpu = true\n", "{}: [htrun] cpu: must be a string"),
        ("[htrun]\ncpu = ['0']\n", "{}: [htrun] cpu: must be a string"),
        ("[htrun]\ntrace = [true]\n", "{}: [htrun] trace: must be a string or a list of strings"),
        ("[htrun]\ntrace = 'help'\n", "{}: [htrun] trace: help is for command lines only"),
        ("[htrun]\nsyscalls = 'reed'\n", "{}: [htrun] syscalls reed: there is no system call 'reed'"),
        ("[htrun]\noverflow = 'x'\n", "{}: [htrun] overflow x: must be one of block, drop, overwrite"),
        ("[htrun]\nhypertrace = ',args=65'\n", "{}: [htrun] hypertrace ,args=65: args must be a number from 1 to 64"),
        ("[htrun.stat]\ndecode = true\n", "{}: [htrun] stat: must not be a table"),
        ("[hypertrance]\n", "{}: hypertrance: there is no such table; choose from [htrun] and [hypertrace]"),
        ("htrun = 1\n", "{}: htrun: must be a table: write [htrun]"),
        ("[htrun\n", "{} is not valid TOML: "),
    ],
)
def test_a_mistake_is_one_line(files: Files, text: str, said: str) -> None:
    for path in (files.user, files.project):
        path.write_text(text)
        assert files.refusal().startswith(said.format(path))
        assert files.htrun("--no-config").program == ("./app",)
        assert isinstance(parse(["--help"], files.environment), Information)
        path.unlink()


def test_a_file_that_is_no_text_or_cannot_be_read(files: Files) -> None:
    files.project.write_bytes(b"\xff\xfe")
    assert files.refusal().startswith(f"{files.project} is not valid TOML: ")
    if os.geteuid():
        files.project.chmod(0)
        assert files.refusal() == f"cannot read {files.project}: Permission denied"


@pytest.mark.parametrize("key", sorted(_CONFIGURABLE))
def test_a_project_may_do_nothing_dangerous(files: Files, key: str) -> None:
    name = key.removeprefix("--")
    files.project.write_text(f"[htrun]\n{name} = [[]]\n")
    assert ("a project's file may not set this option" in files.refusal()) == (name not in _OF_PROJECTS)


def test_a_project_may_not_name_a_file_to_write(files: Files) -> None:
    files.project.write_text('[htrun]\nhypertrace = "/tmp/ht,args=8"\n')
    assert files.refusal() == (
        f"{files.project}: [htrun] hypertrace: a project's file may not name the path: write ',args=N'"
    )
    files.project.write_text('[htrun]\ntrace = "guest*,file=/tmp/x"\n')
    assert files.refusal() == f"{files.project}: [htrun] trace: a project's file may not name a file to write"
    assert _OF_PROJECTS.isdisjoint({"log", "output", "summary", "force", "emulator"})
    writes = {"output", "force", "json", "csv", "markdown", "pyperf", "export-json", "htrun", "vs", "matrix", "tune"}
    assert OF_PROJECTS_OF_VERBS.isdisjoint({*writes, "open", "compare", "format"})


def test_a_strangers_file_is_ignored(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.project.write_text("[nonsense]\n")
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: files.project.stat().st_uid + 1)
    else:
        os.chown(files.project, 1, -1)
    request = parse(["./app"], files.environment)
    assert isinstance(request, RunRequest)
    assert request.remark is not None
    assert re.fullmatch(r".*/htrun\.toml is ignored: it belongs to another user \(id \d+\)", request.remark)


def verb(*words: str) -> argparse.Namespace:
    """The arguments of a verb of hypertrace."""
    return _parse(words)


def test_defaults_of_verbs(files: Files) -> None:
    files.user.write_text(
        '[hypertrace]\nlines = 3\nspan = "user*"\n[hypertrace.stat]\nspan = ["a", "b"]\nbetween = ["x", "y"]\n'
        'export-json = "out.json"\n[hypertrace.top]\ninterval = 1\n'
    )
    assert verb("print", "t").lines == 3
    assert verb("slowest", "t").most == 3
    assert verb("print", "t", "-n", "7").lines == 7
    assert (verb("stat", "t").span, verb("compare", "a", "b").span) == (["a", "b"], ["user*"])
    assert verb("stat", "t", "--span", "c").span == ["c"]
    assert (verb("stat", "t").between, verb("stat", "t").json) == (["x", "y"], "out.json")
    assert verb("top", "t").interval == 1
    files.project.write_text('[hypertrace]\nlines = 4\nevents = "e.toml"\nprocess = [1, 2]\ncolor = "never"\n')
    assert verb("print", "t").lines == 4
    assert verb("print", "t").events == files.project.parent / "e.toml"
    assert (verb("print", "t").process, verb("print", "t").color) == ([1, 2], "never")
    for words in (("--no-config", "print", "t"), ("print", "--no-config", "t"), ("print", "t", "--no-config")):
        assert (verb(*words).lines, verb(*words).no_config) == (None, True)
    assert not verb("bench", "--", "app", "--no-config").no_config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hypertrace]\nlines = '3'\n", "{}: [hypertrace] lines: must be a whole number"),
        ("[hypertrace]\nlines = 3.5\n", "{}: [hypertrace] lines: must be a whole number"),
        ("[hypertrace]\ninterval = true\n", "{}: [hypertrace] interval: must be a number"),
        ("[hypertrace]\nprocess = [1, 'x']\n", "{}: [hypertrace] process: must be a whole number"),
        ("[hypertrace]\ncolor = 'blue'\n", "{}: [hypertrace] color: must be one of auto, always, never"),
        ("[hypertrace]\nids = 'yes'\n", "{}: [hypertrace] ids: must be true or false"),
        ("[hypertrace]\nbetween = ['a']\n", "{}: [hypertrace] between: must be a list of 2 strings"),
        ("[hypertrace]\nthred = 'a'\n", "{}: [hypertrace] thred: there is no such option; did you mean thread?"),
        ("[hypertrace]\nid = 1\n", "{}: [hypertrace] id: there is no such option"),
        ("[hypertrace.print]\nspan = 'a'\n", "{}: [hypertrace.print] span: there is no such option"),
        ("[hypertrace.stats]\nspan = 'a'\n", "{}: [hypertrace.stats] span: there is no verb stats"),
    ],
)
def test_mistakes_of_verbs_are_one_line(files: Files, text: str, said: str) -> None:
    files.project.write_text(text)
    with pytest.raises(HtrunError) as caught:
        verb("print", "t")
    assert str(caught.value).startswith(said.format(files.project))
    assert verb("print", "t", "--no-config").verb == "print"
    with pytest.raises(SystemExit):
        verb("print", "--help")


@pytest.mark.parametrize("key", ["output", "force", "htrun", "matrix", "tune", "open"])
def test_a_project_starts_nothing_and_writes_nothing(files: Files, key: str) -> None:
    files.project.write_text(f"[hypertrace]\n{key} = 'x'\n")
    with pytest.raises(HtrunError, match="a project's file may not set this option"):
        verb("print", "t")


def test_the_document_lists_what_a_project_may_set() -> None:
    rows = dict(re.findall(r"^\| `(htrun|hypertrace)` \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE))
    assert {each for each in re.findall(r"`([\w-]+)`", rows["htrun"]) if f"--{each}" in HELP} == _OF_PROJECTS
    assert set(re.findall(r"`([\w-]+)`", rows["hypertrace"])) == OF_PROJECTS_OF_VERBS
    options = {word[2:] for parser in parsers()[1].values() for word in parser._option_string_actions}
    assert options >= OF_PROJECTS_OF_VERBS
    assert set(parsers()[1]) == set(COMMANDS)


def test_a_run_without_files_imports_no_parser_of_them(files: Files) -> None:
    program = "import sys; from htrun.commands.options import parse; parse(['app'], {}); print(*sys.modules, sep='\\n')"

    def imported() -> set[str]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return {"tomllib", "htrun.commands.configuration"} & {*done.stdout.splitlines()}

    assert imported() == set()
    files.project.write_text("")
    assert imported() == {"tomllib", "htrun.commands.configuration"}
