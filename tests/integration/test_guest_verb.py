"""``hypertrace guest``: programs are built with the printed options, for several compilers, and run."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from htrun.guest_library.single_header import single_header
from tests.support.hypertrace import hypertrace
from tests.support.requirements import require_directory, require_tool
from tests.support.run import HTRUN, Htrun
from tests.support.targets import FOREIGN_TARGETS, I686, NATIVE, Target
from tests.support.toolchain import ROOT, Toolchain

EVENTS = 1000
_APP = f"""
#include <stdlib.h>
#include "qemu-hypertrace.h"
int main(void)
{{
    if (qemu_hypertrace_init(NULL) != 0) {{
        return 1;
    }}
    for (uint64_t i = 0; i < {EVENTS}; i++) {{
        qemu_hypertrace_data(0)[0] = i;
        qemu_hypertrace(0);
    }}
    return 0;
}}
"""

_JAVA = """
package app;

public final class App {
    public static void main(String[] words) {
        System.out.println(hypertrace.Hypertrace.class.getModule().getName() + " " + hypertrace.Hypertrace.isOpen());
    }
}
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source that emits numbered events, in the current directory, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "app.c"
    path.write_text(_APP)
    return path


def compile_by(compiler: str, *words: str | Path) -> None:
    """Run a compiler, which must not warn."""
    done = subprocess.run(
        [*compiler.split(), "-Wall", "-Wextra", "-Werror", "-O2", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def emits_all(htrun: Htrun, program: Path, target: Target = NATIVE) -> None:
    """Check that each event is recorded, in order."""
    options = ("-L", target.sysroot) if target.emulator and target.sysroot else ()
    result = htrun.run(program, options=options)
    result.check()
    assert [event.args[0] for event in result.events] == list(range(EVENTS))


def flags(*options: str) -> list[str]:
    """The words of the output of the verb."""
    return hypertrace("guest", *options).stdout.split()


@pytest.mark.parametrize("options", [("--cflags", "--libs"), ("--cflags", "--static")])
def test_a_native_program(app: Path, htrun: Htrun, options: tuple[str, ...]) -> None:
    compile_by("gcc", "-o", "app", app, *flags(*options))
    emits_all(htrun, app.with_suffix(""))


def test_another_c_library(app: Path, htrun: Htrun) -> None:
    require_tool("musl-gcc", "musl-tools")
    compile_by("musl-gcc", "-o", "app", app, *flags("--cc", "musl-gcc", "--cflags", "--libs"))
    emits_all(htrun, app.with_suffix(""))


@pytest.mark.parametrize("target", [I686, *FOREIGN_TARGETS], ids=lambda target: target.name)
def test_another_compiler(app: Path, htrun: Htrun, target: Target) -> None:
    require_tool(target.compiler, target.packages)
    asked = ("--cc", target.compiler, "--cflags", "--libs")
    words = flags(*asked)
    archive = next(Path(word.removeprefix("-L")) for word in words if word.startswith("-L"))
    built = next(archive.iterdir()).stat().st_mtime_ns
    compile_by(target.compiler, *target.flags, "-o", "app", app, *words)
    emits_all(htrun, app.with_suffix(""), target)
    # It is built once.
    assert flags(*asked) == words
    assert next(archive.iterdir()).stat().st_mtime_ns == built


@pytest.mark.parametrize("target", [NATIVE, I686, *FOREIGN_TARGETS], ids=lambda target: target.name)
def test_single_header(app: Path, htrun: Htrun, target: Target) -> None:
    compiler = str(require_tool(target.compiler, target.packages))
    app.with_name("qemu-hypertrace.h").write_text(hypertrace("guest", "--single-header").stdout)
    implementation = app.with_name("implementation.c")
    implementation.write_text('#define QEMU_HYPERTRACE_IMPLEMENTATION\n#include "qemu-hypertrace.h"\n')
    compile_by(compiler, "-std=c99", *target.flags, "-o", "app", app, implementation, "-pthread")
    emits_all(htrun, app.with_suffix(""), target)


def test_no_name_of_the_library_is_used_by_two_files(toolchain: Toolchain) -> None:
    """In a single file, two objects of the same type and name would silently become one object."""
    archive = toolchain.library()
    done = subprocess.run(["nm", "--defined-only", archive], capture_output=True, text=True, check=True)
    words = [line.split() for line in done.stdout.splitlines() if line.count(" ") >= 2]
    local = Counter(name for _, kind, name in words if kind.islower() and not name.startswith("."))
    assert len(local) > 50
    assert [name for name, count in local.items() if count > 1] == []


def test_single_header_says_its_version_and_licence() -> None:
    text = single_header("1.2.3")
    assert "guest library of htrun 1.2.3 in one file" in text
    assert "SPDX-License-Identifier: MIT" in text
    assert "Permission is hereby granted" in text
    assert '#include "' not in text


def test_install(app: Path, htrun: Htrun, tmp_path: Path) -> None:
    hypertrace("guest", "--install", "prefix")
    prefix = tmp_path / "prefix"
    command = ["pkg-config", "--cflags", "--libs", "qemu-hypertrace-guest"]
    environment = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"), "PATH": "/usr/bin:/bin"}
    require_tool("pkg-config", "pkgconf")
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    compile_by("gcc", "-o", "app", app, *found.split())
    emits_all(htrun, app.with_suffix(""))


def test_install_below_destdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTDIR", str(tmp_path / "staging"))
    hypertrace("guest", "--install", "/usr")
    assert (tmp_path / "staging" / "usr" / "include" / "qemu-hypertrace.h").is_file()
    text = (tmp_path / "staging" / "usr" / "lib" / "pkgconfig" / "qemu-hypertrace-guest.pc").read_text()
    assert "prefix=/usr\n" in text


def test_sources(app: Path, htrun: Htrun, tmp_path: Path) -> None:
    copy = tmp_path / "hypertrace"
    hypertrace("guest", "--sources", copy)
    assert (copy / "linux-module" / "Makefile").is_file()
    assert not [*copy.rglob("*.o"), *copy.rglob("__pycache__")]
    subprocess.run(["make", "-s", "-C", copy / "user"], check=True)
    compile_by("gcc", "-o", "app", app, f"-I{copy / 'user'}", *copy.glob("user/build/*/*.a"), "-pthread")
    emits_all(htrun, app.with_suffix(""))
    failed = hypertrace("guest", "--sources", copy, status=125)
    assert failed.stderr == f"hypertrace: {copy} exists already; give the name of a new directory\n"


def test_jar(app: Path, tmp_path: Path) -> None:
    """The module of an application needs it by its name. It is built once."""
    compiler, machine = require_tool("javac", "default-jdk-headless"), require_tool("java", "default-jdk-headless")
    jar = Path(hypertrace("guest", "--jar").stdout.strip())
    built = jar.stat().st_mtime_ns
    (tmp_path / "module-info.java").write_text("module app { requires hypertrace; }\n")
    (tmp_path / "App.java").write_text(_JAVA)
    words = ("-Xlint:all,-requires-automatic", "-Werror", "-p", jar, "-d", "classes/app")
    subprocess.run([compiler, *words, "module-info.java", "App.java"], check=True)
    command: list[str | Path] = [machine, "-p", f"classes:{jar}", "-m", "app/app.App"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "hypertrace false\n"
    assert Path(hypertrace("guest", "--jar").stdout.strip()).stat().st_mtime_ns == built


def test_npm_package(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm builds it, without network. Its native module records an event."""
    npm, node = require_tool("npm", "npm"), require_tool("node", "nodejs")
    require_tool("gcc", "gcc")
    require_directory(node.resolve().parents[1] / "include" / "node", "libnode-dev")
    # Otherwise node-gyp would download the headers.
    monkeypatch.setenv("npm_config_nodedir", str(node.resolve().parents[1]))
    package = hypertrace("guest", "--npm").stdout.strip()
    words = ("install", "--offline", "--no-audit", "--no-fund", "--foreground-scripts", "--cache", tmp_path / "npm")
    done = subprocess.run([npm, *words, package], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning:" not in done.stdout + done.stderr
    (tmp_path / "app.js").write_text('require("hypertrace-guest").event("ready", { count: 3n });\n')
    command: list[str | Path] = [HTRUN, "-D", "log", node, "app.js"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "log").read_text().endswith(":ready cpu=0x0  index=1023 count=3\n")


def test_jar_without_a_jdk(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bin", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "make").symlink_to(require_tool("make", "make"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    message = hypertrace("guest", "--jar", status=125).stderr
    assert message == "hypertrace: there is no javac; install a JDK (Debian's package default-jdk-headless)\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give one of --cflags, --libs, --install, --sources, --single-header, --cmake, --meson, --jar or --npm"),
        (("--libs", "--single-header"), "--cflags, --libs and --static cannot be combined with other output"),
        (
            ("--libs", "--cc", "nonesuch-gcc"),
            "there is no compiler 'nonesuch-gcc'; install it, or name another with --cc",
        ),
        (("--libs", "--cc", ""), "there is no compiler ''; install it, or name another with --cc"),
    ],
)
def test_bad_input(options: tuple[str, ...], message: str) -> None:
    assert hypertrace("guest", *options, status=125).stderr == f"hypertrace: {message}\n"


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    message = hypertrace("guest", "--libs", "--cc", "gcc -nonsense", status=125).stderr
    assert message.startswith("hypertrace: cannot build the guest library with gcc -nonsense: ")
    assert message.count("\n") == 1
    assert not list(tmp_path.rglob("*.a"))


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    message = hypertrace("guest", "--libs", status=125).stderr
    assert message.startswith(f"hypertrace: cannot build the guest library in {tmp_path}/file/htrun/guest/")
    assert message.endswith(": Not a directory\n")


def test_the_repository_has_no_second_copy() -> None:
    assert not (ROOT / "htrun" / "guest_library" / "files").exists()
