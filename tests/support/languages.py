"""Programs in several languages that emit the events of one TOML file through generated code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.once import make_once
from tests.support.requirements import require_directory, require_tool
from tests.support.run import HTRUN
from tests.support.toolchain import GUEST_LIBRARY, ROOT, WARNINGS, Toolchain

SOURCES = ROOT / "tests" / "integration" / "guests" / "languages"
EVENTS = SOURCES / "events.toml"
Command = Sequence[str | Path]


@dataclass(frozen=True)
class Language:
    """A language. ``generated``: the name of the generated file. ``build``: makes the program in a directory that has
    the generated file, and returns its command line. ``emulated``: whether its programs also run under qemu-user for
    this processor in a test. ``variant``: another way to run the same language."""

    name: str
    generated: str
    build: Callable[[Path, Toolchain], Command]
    emulated: bool = True
    variant: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.name.replace("+", "p"), self.variant)))

    def command(self, toolchain: Toolchain) -> Command:
        """The command line of the program, which is built once a session."""
        directory = toolchain.build / "languages" / str(self)
        done = make_once(directory, lambda output: self._make(output, toolchain))
        return [Path(word) for word in (done / "command").read_text().splitlines()]

    def generate(self, directory: Path, events: Path = EVENTS) -> Path:
        """The generated file for ``events`` in ``directory``."""
        output = directory / self.generated
        output.parent.mkdir(parents=True, exist_ok=True)
        run(HTRUN.with_name("hypertrace"), "header", "--lang", self.name, events, "-o", output)
        return output

    def _make(self, directory: Path, toolchain: Toolchain) -> None:
        directory.mkdir()
        self.generate(directory)
        words = self.build(directory, toolchain)
        final = toolchain.build / "languages" / str(self)
        text = "\n".join(str(word).replace(str(directory), str(final)) for word in words)
        (directory / "command").write_text(text)


def run(*command: str | Path, directory: Path | None = None, **environment: str) -> str:
    """The output of a command that succeeds without a warning."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert "warning" not in done.stderr.lower(), done.stderr
    return done.stdout


def _c(directory: Path, toolchain: Toolchain) -> Command:
    compiler = require_tool("gcc", "gcc")
    options = ["-std=c99", "-O2", *WARNINGS, "-pthread", f"-I{directory}", f"-I{GUEST_LIBRARY}"]
    run(compiler, *options, SOURCES / "program.c", toolchain.library(), "-o", directory / "program")
    return [directory / "program"]


def _cpp(directory: Path, toolchain: Toolchain) -> Command:
    compiler = require_tool("g++", "g++")
    include = [f"-I{each}" for each in (directory, GUEST_LIBRARY, ROOT / "guest" / "cpp")]
    options = ["-std=c++17", "-O2", *WARNINGS, "-Wpedantic", "-Wshadow", "-Wconversion", "-pthread", *include]
    run(compiler, *options, SOURCES / "program.cpp", toolchain.library(), "-o", directory / "program")
    return [directory / "program"]


PYTHON_PACKAGE = ROOT / "guest" / "python"


def build_python_package(directory: Path) -> None:
    """The package hypertrace_guest with its extension, in ``directory``."""
    shutil.copytree(PYTHON_PACKAGE / "hypertrace_guest", directory / "hypertrace_guest")
    require_tool("gcc", "gcc")
    include = sysconfig.get_path("include")
    output = directory / "hypertrace_guest" / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    options = ["-std=gnu99", "-O2", *WARNINGS, "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
    sources = [directory / "hypertrace_guest" / "_native.c", *sorted(GUEST_LIBRARY.glob("*.c"))]
    run("gcc", *options, "-shared", "-fPIC", "-pthread", f"-I{include}", f"-I{GUEST_LIBRARY}", *sources, "-o", output)


def _python(directory: Path, _: Toolchain) -> Command:
    build_python_package(directory)
    shutil.copy(SOURCES / "program.py", directory)
    # In the directory of a script, Python finds modules without a variable.
    return [Path(sys.executable), directory / "program.py"]


def _pure_python(directory: Path, _: Toolchain) -> Command:
    shutil.copytree(PYTHON_PACKAGE / "hypertrace_guest", directory / "hypertrace_guest")
    shutil.copy(SOURCES / "program.py", directory)
    return [Path(sys.executable), directory / "program.py"]


NODE_PACKAGE = ROOT / "guest" / "node"


def build_node_package(directory: Path) -> None:
    """The package hypertrace-guest with its native module, where programs in ``directory`` find it."""
    require_tool("gcc", "gcc")
    node = require_tool("node", "nodejs")
    package = directory / "node_modules" / "hypertrace-guest"
    shutil.copytree(NODE_PACKAGE, package, ignore=shutil.ignore_patterns("build", "library"))
    output = package / "build" / "Release" / "hypertrace_guest.node"
    output.parent.mkdir(parents=True)
    include = require_directory(node.resolve().parents[1] / "include" / "node", "libnode-dev")
    options = ["-std=gnu99", "-O2", *WARNINGS, "-Wno-cast-function-type", f"-I{include}", f"-I{GUEST_LIBRARY}"]
    sources = [package / "native.c", *sorted(GUEST_LIBRARY.glob("*.c"))]
    run("gcc", *options, "-shared", "-fPIC", "-fvisibility=hidden", "-pthread", *sources, "-o", output)


def _javascript(directory: Path, _: Toolchain) -> Command:
    build_node_package(directory)
    shutil.copy(SOURCES / "program.js", directory)
    return [require_tool("node", "nodejs"), directory / "program.js"]


def _go(directory: Path, _: Toolchain) -> Command:
    compiler = require_tool("go", "golang-go")
    shutil.copy(SOURCES / "program.go", directory)
    module = (
        f"module program\n\ngo 1.19\n\nrequire hypertrace v0.0.0\n\nreplace hypertrace => {ROOT / 'guest' / 'go'}\n"
    )
    (directory / "go.mod").write_text(module)
    run(compiler, "vet", "./...", directory=directory, GOPROXY="off", GOFLAGS="-mod=mod", CGO_ENABLED="0")
    assert run(compiler.with_name("gofmt"), "-l", ".", directory=directory) == ""
    run(compiler, "build", "-o", "program", directory=directory, GOPROXY="off", GOFLAGS="-mod=mod", CGO_ENABLED="0")
    return [directory / "program"]


def _rust(directory: Path, _: Toolchain) -> Command:
    compiler = require_tool("rustc", "rustc")
    shutil.copy(SOURCES / "program.rs", directory)
    strict = ["--edition", "2021", "-O", "-D", "warnings"]
    source = ROOT / "guest" / "rust" / "src" / "lib.rs"
    run(
        compiler,
        *strict,
        "--crate-type",
        "rlib",
        "--crate-name",
        "hypertrace",
        "--cfg",
        'feature="std"',
        source,
        directory=directory,
    )
    library = ["--extern", "hypertrace=libhypertrace.rlib"]
    run(compiler, *strict, *library, "-C", "strip=symbols", "program.rs", directory=directory)
    return [directory / "program"]


def _java(directory: Path, _: Toolchain) -> Command:
    compiler = require_tool("javac", "default-jdk-headless")
    shutil.copy(SOURCES / "Program.java", directory)
    sources = [
        ROOT / "guest/java/hypertrace/Hypertrace.java",
        directory / "trace/Events.java",
        directory / "Program.java",
    ]
    run(compiler, "-Xlint:all", "-Werror", "-d", ".", *sources, directory=directory)
    # C1's stores are too short for a patch, so each of its events would trap.
    return [require_tool("java", "default-jdk-headless"), "-XX:-TieredCompilation", "-cp", directory, "Program"]


C = Language("c", "events.h", _c)
CPP = Language("c++", "events.hpp", _cpp)
PYTHON = Language("python", "events.py", _python)
PURE_PYTHON = Language("python", "events.py", _pure_python, emulated=False, variant="pure")
GO = Language("go", "trace/events.go", _go)
RUST = Language("rust", "events.rs", _rust)
JAVA = Language("java", "trace/Events.java", _java, emulated=False)
JAVASCRIPT = Language("javascript", "events.js", _javascript, emulated=False)
LANGUAGES = (C, CPP, RUST, GO, JAVA, JAVASCRIPT, PYTHON, PURE_PYTHON)
