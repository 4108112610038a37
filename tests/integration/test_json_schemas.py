"""The JSON of the verbs conforms to the schemas in ``htrun/reports/schemas``, field by field."""

from __future__ import annotations

import copy
import json
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.hypertrace import hypertrace
from tests.support.jobs import MATRIX, NAMES, trace_of_jobs
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"
SCHEMAS = sorted(path.name.removesuffix(".json") for path in files("htrun.reports").joinpath("schemas").iterdir())
EVENTS = ("--events", "events.toml")


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("htrun.reports").joinpath("schemas", f"{name}.json").read_text())
    return found


def closed(node: Any) -> Any:
    """The schema ``node``, changed so that it rejects fields that it does not describe. The published schemas accept
    such fields, so that fields can be added."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if made.get("type") == "object" and "properties" in made:
        made["additionalProperties"] = False
    return made


def check(name: str, text: str) -> dict[str, Any]:
    """The document ``text``, which must conform to the schema ``name``."""
    document: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator(closed(schema(name))).validate(document)
    return document


@pytest.fixture
def directory(tmp_path: Path, toolchain: Toolchain) -> Path:
    """Traces of jobs in a/ and b/, and a program of such jobs, app."""
    (tmp_path / "events.toml").write_text(NAMES)
    (tmp_path / "matrix.toml").write_text(MATRIX)
    (tmp_path / "app").symlink_to(toolchain.compile(GUESTS / "timed_jobs.c"))
    for side, level in (("a", 1000), ("b", 1200)):
        for run in range(4):
            trace_of_jobs(tmp_path / side / f"{run}", [level + run + number % 7 for number in range(60)] + [9000])
    return tmp_path


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    # A schema without a type would accept anything.
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema(name)).validate({})


@pytest.mark.parametrize("more", [(), ("--outliers",), ("--by", "thread"), ("--intervals",)])
def test_stat(directory: Path, more: tuple[str, ...]) -> None:
    check("stat", hypertrace("stat", "a/0", *EVENTS, *more, "--json", "-", directory=directory).stdout)


def test_compare(directory: Path) -> None:
    for sides in (("a", "b"), ("a/0", "b/0"), ("a", "b/0")):
        check("compare", hypertrace("compare", *sides, *EVENTS, "--json", "-", directory=directory).stdout)


def test_info_and_slowest(directory: Path) -> None:
    check("info", hypertrace("info", "a/0", "--json", directory=directory).stdout)
    check("slowest", hypertrace("slowest", "a/0", *EVENTS, "--json", "-", directory=directory).stdout)


def test_bench(directory: Path) -> None:
    """Of one program, of two, and of a matrix; with spans, and of whole programs."""
    short = ("bench", "--runs", "2", "--warmup", "0", *EVENTS, "--json", "-")
    for options, program in (((), "true"), (("--no-whole",), "./app")):
        one = check("stat", hypertrace(*short, *options, "--", program, directory=directory).stdout)
        assert (one["whole_program"] is None) == bool(one["spans"])
        versus = (*short, *options, "--vs", f"env {program}", "--", program)
        two = check("compare", hypertrace(*versus, directory=directory).stdout)
        assert (two["whole_program"] is None) == bool(two["spans"])
    matrix = ("--no-whole", "--matrix", "matrix.toml", "-o", "kept")
    check("matrix", hypertrace(*short, *matrix, directory=directory).stdout)


@pytest.mark.parametrize("via", ["store", "auto"])
def test_summary(directory: Path, via: str) -> None:
    options = ("--via", via, "-q", "-D", "/dev/null", "--summary", "summary", "-o", "trace")
    subprocess.run([HTRUN, *options, "./app"], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    assert check("summary", (directory / "summary").read_text())["events"] > 0
    # The facts about a site in a trace have more fields.
    info = json.loads(hypertrace("info", "trace", "--json", directory=directory).stdout)
    jsonschema.Draft202012Validator(schema("info")).validate(info)


def test_a_field_that_is_not_described_is_found(directory: Path) -> None:
    document = json.loads(hypertrace("stat", "a/0", *EVENTS, "--json", "-", directory=directory).stdout)
    more = copy.deepcopy(document)
    more["spans"][0]["surprise"] = 1
    # For users, this is not an error.
    jsonschema.Draft202012Validator(schema("stat")).validate(more)
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        check("stat", json.dumps(more))
