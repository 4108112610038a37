"""The cost of a span of two events in each language, under htrun and without it, compared with C."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import htrun
from bench.groups import LANGUAGES
from bench.model import Bench, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.workshop import GUEST_LIBRARY, MEMORY, SOURCE, TOP, Workshop

_GUESTS = SOURCE / "guests" / "languages"
_BLOCKS, _SPANS = 300, 5000


@dataclass(frozen=True)
class _Language:
    """A language. ``command``: builds the program, which prints the ns of a span, and returns its command line."""

    name: str
    title: str
    command: Callable[[Workshop], list[str]]


class SpanIn(Bench):
    """A span in one language. ``traced``: whether the program runs under htrun."""

    group = LANGUAGES

    def __init__(self, language: _Language, *, traced: bool) -> None:
        self.name = f"span-{language.name}{'' if traced else '-alone'}"
        self.title = f"{language.title}, {'under htrun' if traced else 'without htrun'}"
        self.tags = frozenset({"languages", language.name})
        self._language = language
        self._traced = traced

    def prepare(self, shop: Workshop) -> Run:
        htrun.works()
        command = [*self._language.command(shop), str(_BLOCKS), str(_SPANS)]

        def run() -> Sample:
            if not self._traced:
                return _sample(shop.call(command))
            with shop.temporary_directory(MEMORY) as directory:
                traced = htrun.traced(directory, "--via", "auto")
                sample = _sample(shop.call([*traced.words, *command]))
                traced.account().check(2 * _BLOCKS * _SPANS)
            return sample

        return run


def _sample(printed: str) -> Sample:
    try:
        return Sample(float(printed))
    except ValueError as error:
        raise FailedError(f"no measurement in {printed!r}") from error


def _c(shop: Workshop) -> list[str]:
    return [str(shop.build_guest("guests/languages/span.c", name="span-c"))]


def _cpp(shop: Workshop) -> list[str]:
    flags = [f"-I{GUEST_LIBRARY}", f"-I{TOP / 'guest' / 'cpp'}", "-std=c++17"]
    return [str(shop.build_guest("guests/languages/span.cpp", *flags, name="span-c++", compiler="g++"))]


def _python(shop: Workshop) -> list[str]:
    directory = shop.directory()
    package = directory / "hypertrace_guest"
    shutil.copytree(TOP / "guest" / "python" / "hypertrace_guest", package)
    output = package / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    flags = ["-std=gnu99", "-O2", "-shared", "-fPIC", "-pthread", f"-I{sysconfig.get_path('include')}"]
    sources = [package / "_native.c", *sorted(GUEST_LIBRARY.glob("*.c"))]
    shop.call(["gcc", *flags, f"-I{GUEST_LIBRARY}", *map(str, sources), "-o", str(output)])
    shutil.copy(_GUESTS / "span.py", directory)
    return [_tool("python3"), str(directory / "span.py")]


def _rust(shop: Workshop) -> list[str]:
    directory, rustc = shop.directory(), _tool("rustc")
    library = directory / "libhypertrace.rlib"
    options = [rustc, "--edition", "2021", "-O"]
    crate = ["--crate-type", "rlib", "--crate-name", "hypertrace", "--cfg", 'feature="std"', "-o", str(library)]
    shop.call([*options, *crate, str(TOP / "guest" / "rust" / "src" / "lib.rs")])
    program = directory / "span"
    shop.call([*options, "--extern", f"hypertrace={library}", "-o", str(program), str(_GUESTS / "span.rs")])
    return [str(program)]


def _go(shop: Workshop) -> list[str]:
    directory, go = shop.directory(), _tool("go")
    shutil.copy(_GUESTS / "span.go", directory)
    replace = f"require hypertrace v0.0.0\n\nreplace hypertrace => {TOP / 'guest' / 'go'}\n"
    (directory / "go.mod").write_text(f"module span\n\ngo 1.19\n\n{replace}")
    environment = {"CGO_ENABLED": "0", "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    shop.call(["sh", "-c", 'cd "$0" && exec "$1" build -o span', str(directory), go], environment)
    return [str(directory / "span")]


def _java(shop: Workshop) -> list[str]:
    directory, compiler = shop.directory(), _tool("javac")
    sources = [TOP / "guest" / "java" / "hypertrace" / "Hypertrace.java", _GUESTS / "Span.java"]
    shop.call([compiler, "-d", str(directory), *map(str, sources)])
    return [_tool("java"), "-XX:-TieredCompilation", "-cp", str(directory), "Span"]


def _javascript(shop: Workshop) -> list[str]:
    directory, node = shop.directory(), Path(_tool("node")).resolve()
    package = directory / "node_modules" / "hypertrace-guest"
    shutil.copytree(TOP / "guest" / "node", package, ignore=shutil.ignore_patterns("build"))
    output = package / "build" / "Release" / "hypertrace_guest.node"
    output.parent.mkdir(parents=True)
    include = node.parents[1] / "include" / "node"
    if not include.is_dir():
        raise UnavailableError(f"no {include}")
    flags = ["-std=gnu99", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread", f"-I{include}"]
    sources = [package / "native.c", *sorted(GUEST_LIBRARY.glob("*.c"))]
    shop.call(["gcc", *flags, f"-I{GUEST_LIBRARY}", *map(str, sources), "-o", str(output)])
    shutil.copy(_GUESTS / "span.js", directory)
    return [str(node), str(directory / "span.js")]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnavailableError(f"no {name}")
    return str(Path(found))


_LANGUAGES = (
    _Language("c", "C", _c),
    _Language("c++", "C++", _cpp),
    _Language("rust", "Rust", _rust),
    _Language("go", "Go", _go),
    _Language("java", "Java", _java),
    _Language("javascript", "JavaScript", _javascript),
    _Language("python", "Python", _python),
)


def benches() -> Iterator[Bench]:
    """For each language, a bench under htrun and a bench without htrun."""
    for traced in (True, False):
        for language in _LANGUAGES:
            yield SpanIn(language, traced=traced)
