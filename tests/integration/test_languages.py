"""Programs in all languages of `hypertrace header --lang`. They emit the same events of one TOML file, natively and
under an emulator, from one thread and from many threads. The programs also run without htrun."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import htrun as library
from htrun.analysis.trace import Trace
from htrun.emitters.registry import LANGUAGES as GENERATED
from tests.support.deadline import no_deadline
from tests.support.languages import JAVASCRIPT, LANGUAGES, PYTHON, Language, build_node_package, run
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.toolchain import ROOT, Toolchain

THREADS, COUNT, MILLION = 8, 1000, 1_000_000
"""If no site of a language could be patched, so few traps give no warning."""
EXPECTED = [
    ("request", "instant", {"size": 4096, "flags": 0x10, "kind": "WRITE"}),
    ("job", "begin", {"key": 7, "ratio": 0.25, "urgent": True}),
    ("queue depth", "counter", {"depth": -3}),
    ("job", "end", {"key": 7, "result": -1}),
    ('done "?" ü', "instant", {}),
]
_TASKS = """
import sys
sys.path.insert(0, "{directory}")
import asyncio
from hypertrace_guest import event, span, traced

with span("inner"):
    pass


@traced("outer")
async def task(size):
    with span("inner", size=size):
        await asyncio.sleep(0.001 * (5 - size))
    return size


async def main():
    assert await asyncio.gather(*map(task, range(5))) == list(range(5))


asyncio.run(main())
event("point", n=2**63 - 1)
for wrong in (lambda: event("point", n="text"), lambda: span(5), lambda: event("point", n=None)):
    try:
        wrong()
    except TypeError:
        pass
    else:
        raise SystemExit("no error")
"""
_PROMISES = """
const { counter, event, isOpen, span, traced } = require("hypertrace-guest");
const assert = require("node:assert");

assert(isOpen);
const inner = traced("inner", async function (delay) {
    const own = span("inner", { delay });
    await new Promise((done) => setTimeout(done, delay));
    own.end();
    return delay;
});
const outer = traced("outer", (...delays) => Promise.all(delays.map(inner)));
const fails = traced("fails", () => { throw new RangeError("expected"); });

(async () => {
    assert.deepStrictEqual(await outer(20, 10, 0), [20, 10, 0]);
    assert.throws(() => fails(), RangeError);
    await assert.rejects(traced("rejects", () => Promise.reject(new RangeError()))(), RangeError);
    assert.strictEqual(inner.length, 1);
    event("point", { n: 2n ** 63n - 1n, x: -0.5, ok: true });
    counter("depth", { depth: -(2n ** 63n) });
    const name = 'odd "\\\\ name\\n';
    event(name);
    assert.throws(() => event("point", { n: "text", x: 1, ok: true }), TypeError);
    assert.throws(() => event("point", { n: 0.5, x: 1, ok: true }), TypeError);
    assert.throws(() => event("other", { n: null }), TypeError);
    assert.throws(() => span(5), TypeError);
})();
"""
every_language = pytest.mark.parametrize("language", LANGUAGES, ids=str)


def test_every_generated_language_is_tried() -> None:
    assert {language.name for language in LANGUAGES} == set(GENERATED)


def _record(directory: Path, *command: str | Path) -> Trace:
    trace = directory / "trace"
    words = [HTRUN, "--summary", directory / "summary.json", "-o", trace, *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return library.open(trace)


def _events(trace: Trace) -> list[tuple[str, str, dict[str, object]]]:
    return [(event.name, event.phase, dict(event.values)) for event in trace]


@every_language
def test_one_file_gives_the_same_events(tmp_path: Path, toolchain: Toolchain, language: Language) -> None:
    assert _events(_record(tmp_path, *language.command(toolchain))) == EXPECTED


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each.emulated], ids=str)
def test_under_an_emulator(tmp_path: Path, toolchain: Toolchain, language: Language) -> None:
    emulator = require_tool("qemu-x86_64", "qemu-user")
    assert _events(_record(tmp_path, emulator, *language.command(toolchain))) == EXPECTED


@every_language
def test_threads_lose_nothing(tmp_path: Path, toolchain: Toolchain, language: Language) -> None:
    trace = _record(tmp_path, *language.command(toolchain), str(THREADS), str(COUNT))
    events = _events(trace)
    assert len(events) == THREADS * COUNT
    assert not sum(trace.discarded)
    begins = Counter(int(str(values["key"])) for _, phase, values in events if phase == "begin")
    expected = Counter(number << 32 | i for number in range(THREADS) for i in range(COUNT // 2))
    assert begins == expected
    ends = Counter((int(str(v["key"])), int(str(v["result"]))) for _, phase, v in events if phase == "end")
    assert ends == Counter((key, key & 0xFFFFFFFF) for key in expected)
    assert len(trace.spans().to_numpy()) == THREADS * COUNT // 2


@pytest.mark.heavy("records 8 million events in each language, which emulators and Python take minutes for")
@pytest.mark.parametrize(
    ("language", "emulated"),
    [(each, emulated) for each in LANGUAGES for emulated in (False, True) if each.emulated or not emulated],
    ids=str,
)
def test_a_million_events_of_each_thread(
    tmp_path: Path, toolchain: Toolchain, language: Language, emulated: bool
) -> None:
    emulator = [require_tool("qemu-x86_64", "qemu-user")] if emulated else []
    with no_deadline():
        trace = _record(tmp_path, *emulator, *language.command(toolchain), str(THREADS), str(MILLION))
    found: dict[int, list[np.ndarray]] = {1: [], 2: []}
    for batch in trace.events():
        for id_, keys in found.items():
            chosen = batch["args"][batch["args"][:, 0] == id_]
            assert id_ == 1 or (chosen[:, 2] == chosen[:, 1] & 0xFFFFFFFF).all()
            keys.append((chosen[:, 1] >> 32) * (MILLION // 2) + (chosen[:, 1] & 0xFFFFFFFF))
    for keys in found.values():
        counts = np.bincount(np.concatenate(keys).astype(np.int64), minlength=THREADS * MILLION // 2)
        assert (len(counts), int(counts.min()), int(counts.max())) == (THREADS * MILLION // 2, 1, 1)
    assert not sum(trace.discarded)
    # Half a gigabyte for each language.
    shutil.rmtree(tmp_path / "trace")


@every_language
def test_without_htrun(toolchain: Toolchain, language: Language) -> None:
    command = [*language.command(toolchain), "2", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pip_installs_the_python_package(tmp_path: Path) -> None:
    """Without an extension, it would be slower and nobody would notice."""
    for name in ("python", "user"):
        shutil.copytree(ROOT / "guest" / name, tmp_path / name, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, "--target", packages, tmp_path / "python")
    code = "import hypertrace_guest; print(hypertrace_guest.native, hypertrace_guest.is_open)"
    assert run(sys.executable, "-c", code, directory=packages) == "True False\n"
    assert run(HTRUN, "--no-ptrace", sys.executable, "-c", code, directory=packages) == "True True\n"


def test_python_tasks_have_spans_of_their_own(tmp_path: Path, toolchain: Toolchain) -> None:
    directory = Path(PYTHON.command(toolchain)[1]).parent
    trace = _record(tmp_path, sys.executable, "-c", _TASKS.format(directory=directory))
    spans = trace.spans()
    assert Counter(str(spans.names[row["name"]]) for row in spans.to_numpy()) == {
        "outer": 5,
        "inner": 1,
        "inner (size)": 5,
    }
    sizes = sorted(event.values["size"] for event in trace if event.name == "inner (size)" and event.phase == "begin")
    assert sizes == list(range(5))
    assert ("point", {"n": 2**63 - 1}) in [(event.name, event.values) for event in trace]


def test_javascript_promises_have_spans_of_their_own(tmp_path: Path) -> None:
    build_node_package(tmp_path)
    (tmp_path / "app.js").write_text(_PROMISES)
    trace = _record(tmp_path, require_tool("node", "nodejs"), tmp_path / "app.js")
    spans = trace.spans()
    assert Counter(str(spans.names[row["name"]]) for row in spans.to_numpy()) == {
        "outer": 1,
        "inner": 3,
        "inner (delay)": 3,
        "fails": 1,
        "rejects": 1,
    }
    events = [(event.name, event.phase, event.values) for event in trace if event.phase not in ("begin", "end")]
    assert events == [
        ("point", "instant", {"n": 2**63 - 1, "x": -0.5, "ok": True}),
        ("depth", "counter", {"depth": -(2**63)}),
        ('odd "\\ name?', "instant", {}),
    ]


@pytest.mark.parametrize("wrong", ['"7"', "0.5", "2 ** 53", "undefined"])
def test_javascript_refuses_what_is_no_integer(tmp_path: Path, wrong: str) -> None:
    build_node_package(tmp_path)
    JAVASCRIPT.generate(tmp_path)
    (tmp_path / "app.js").write_text(f'require("./events.js").queue_depth({wrong});\n')
    command: list[str | Path] = [HTRUN, "-q", require_tool("node", "nodejs"), tmp_path / "app.js"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1
    assert "is no integer of 53 bits and no BigInt" in done.stderr
