"""The guest library in projects built with CMake and Meson, and what `make install` installs."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import htrun
from tests.support.hypertrace import hypertrace
from tests.support.requirements import require_tool, required
from tests.support.run import Htrun
from tests.support.targets import AARCH64, Target
from tests.support.toolchain import ROOT
from tests.system.machines import X86_64

EVENTS = 1000
GUEST = ROOT / "guest"
_APP = f"""
#include <qemu-hypertrace.h>
int main()
{{
    if (qemu_hypertrace_init(0) != 0) {{
        return 1;
    }}
    for (uint64_t i = 0; i < {EVENTS}; i++) {{
        qemu_hypertrace_data(0)[0] = i;
        qemu_hypertrace(0);
    }}
    return 0;
}}
"""
_PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(app {language})
set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
{library}
add_executable(app app.{suffix})
target_compile_options(app PRIVATE -Wall -Wextra -pedantic)
target_link_libraries(app PRIVATE qemu-hypertrace::guest)
"""
_FIND = "find_package(qemu-hypertrace-guest 1.0 REQUIRED)"
_FETCH = """
include(FetchContent)
FetchContent_Declare(qemu-hypertrace-guest {options})
FetchContent_MakeAvailable(qemu-hypertrace-guest)
"""
_MESON = """
project('app', 'cpp', default_options: ['werror=true', 'warning_level=3'])
executable('app', 'app.cc', dependencies: dependency('qemu-hypertrace-guest', version: '>= 1.0'))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for a project, and the current directory."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def run(*command: str | Path) -> str:
    """Run a command, which must succeed; returns its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def write(project: Path, text: str, library: str, suffix: str = "c") -> None:
    """Write the files of a CMake project, in C or C++."""
    (project / f"app.{suffix}").write_text(_APP)
    language = {"c": "C", "cc": "CXX"}[suffix]
    (project / "CMakeLists.txt").write_text(text.format(language=language, suffix=suffix, library=library))


def cmake(*options: str | Path) -> Path:
    """Build the CMake project in the current directory; returns its program."""
    require_tool("cmake", "cmake")
    said = run("cmake", "-B", "build", *options) + run("cmake", "--build", "build")
    assert "warning" not in said.lower(), said
    return Path("build/app").absolute()


def emits_all(htrun: Htrun, program: Path, target: Target | None = None) -> None:
    """Check that each event is recorded, in order."""
    options = ("-L", target.sysroot) if target is not None and target.sysroot else ()
    result = htrun.run(program, options=options).check()
    assert [event.args[0] for event in result.events] == list(range(EVENTS))


def test_find_package_without_an_installation(project: Path, htrun: Htrun) -> None:
    write(project, _PROJECT, _FIND, "cc")
    directory = hypertrace("guest", "--cmake").stdout.rstrip("\n")
    emits_all(htrun, cmake(f"-Dqemu-hypertrace-guest_DIR={directory}"))


def test_find_package_for_another_machine(project: Path, htrun: Htrun) -> None:
    compiler = require_tool(AARCH64.compiler, AARCH64.packages)
    write(project, _PROJECT, _FIND)
    directory = hypertrace("guest", "--cmake").stdout.rstrip("\n")
    system = ("-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_C_COMPILER={compiler}")
    emits_all(htrun, cmake(f"-DCMAKE_PREFIX_PATH={directory}", *system), AARCH64)


def test_find_package_of_an_installation_that_was_moved(project: Path, htrun: Htrun) -> None:
    write(project, _PROJECT, _FIND)
    hypertrace("guest", "--install", "installed")
    Path("installed").rename("moved")
    emits_all(htrun, cmake(f"-DCMAKE_PREFIX_PATH={project / 'moved'}"))


def test_find_package_wants_a_compatible_version(project: Path) -> None:
    write(project, _PROJECT, "find_package(qemu-hypertrace-guest 2.0 REQUIRED)")
    require_tool("cmake", "cmake")
    directory = hypertrace("guest", "--cmake").stdout.rstrip("\n")
    command = ["cmake", "-B", "build", f"-Dqemu-hypertrace-guest_DIR={directory}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "version: 1.0.0" in done.stderr


def test_fetch_content_from_an_archive(project: Path, htrun: Htrun) -> None:
    """As with the archive of a release, in which the library is a subdirectory."""
    with tarfile.open("release.tar.gz", "w:gz") as archive:
        archive.add(GUEST, "htrun-1.0.0/guest", filter=lambda member: None if "build" in member.name else member)
    write(project, _PROJECT, _FETCH.format(options=f"URL file://{project}/release.tar.gz SOURCE_SUBDIR guest/user"))
    emits_all(htrun, cmake("-DCMAKE_POLICY_DEFAULT_CMP0135=NEW"))


def test_meson(project: Path, htrun: Htrun) -> None:
    require_tool("meson", "meson")
    (project / "app.cc").write_text(_APP)
    (project / "meson.build").write_text(_MESON)
    for _ in range(2):
        hypertrace("guest", "--meson", ".")
    said = run("meson", "setup", "build") + run("meson", "compile", "-C", "build")
    assert "warning" not in said.lower(), said
    emits_all(htrun, project / "build" / "app")


def test_meson_needs_a_project(project: Path) -> None:
    message = hypertrace("guest", "--meson", "nonesuch", status=125).stderr
    assert message == "hypertrace: nonesuch is not a Meson project: it has no meson.build\n"


@pytest.mark.parametrize("name", ["CMakeLists.txt", "meson.build"])
def test_they_build_all_files_of_the_library(name: str) -> None:
    named = set(re.findall(r"[\w-]+\.c\b", (GUEST / "user" / name).read_text()))
    assert named == {path.name for path in (GUEST / "user").glob("*.c")}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("user/Makefile", "VERSION := {}\n"),
        ("user/CMakeLists.txt", "project(qemu-hypertrace-guest VERSION {} "),
        ("user/cmake/qemu-hypertrace-guest-config-version.cmake", 'set(PACKAGE_VERSION "{}")'),
        ("user/meson.build", "version: '{}'"),
        ("linux-module/dkms.conf", 'PACKAGE_VERSION="{}"\n'),
        ("java/Makefile", "VERSION := {}\n"),
        ("node/package.json", '"version": "{}",'),
        ("java/manifest.txt", "Implementation-Version: {}\n"),
    ],
)
def test_each_file_has_the_version(name: str, line: str) -> None:
    assert line.format(htrun.__version__) in (GUEST / name).read_text()


def test_make_install(tmp_path: Path) -> None:
    """All files, below DESTDIR; PREFIX is the directory that they name."""
    run("make", "--silent", "-C", ROOT, "install", "PREFIX=/opt/ht", f"DESTDIR={tmp_path}", f"BUILD={tmp_path}/build")
    prefix = tmp_path / "opt" / "ht"
    assert {path.name for path in tmp_path.iterdir()} == {"build", "opt"}
    for name in (
        "include/qemu-hypertrace.h",
        "include/linux/qemu-hypertrace.h",
        "lib/libqemu-hypertrace-guest.a",
        "lib/cmake/qemu-hypertrace-guest/qemu-hypertrace-guest-config.cmake",
        "share/man/man1/htrun.1",
        "share/man/man1/hypertrace.1",
        *(f"share/bash-completion/completions/{command}" for command in ("htrun", "hypertrace")),
        *(f"share/zsh/site-functions/_{command}" for command in ("htrun", "hypertrace")),
        *(f"share/fish/vendor_completions.d/{command}.fish" for command in ("htrun", "hypertrace")),
        f"src/qemu-hypertrace-{htrun.__version__}/dkms.conf",
    ):
        assert (prefix / name).stat().st_size > 0
    assert "prefix=/opt/ht\n" in (prefix / "lib" / "pkgconfig" / "qemu-hypertrace-guest.pc").read_text()


@pytest.mark.heavy("the module is built by its own makefile, too")
def test_the_module_is_built_by_dkms(tmp_path: Path) -> None:
    """Built from the installed files, with the headers of the kernel that the tests boot."""
    dkms = require_tool("/usr/sbin/dkms", "dkms")
    with required():
        kernel = X86_64.kernel()
    run("make", "--silent", "-C", GUEST, "install-module", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    release = kernel.headers.name.removeprefix("linux-headers-")
    tree = tmp_path / "tree"
    tree.mkdir()
    trees = ("--dkmstree", tree, "--sourcetree", tmp_path / "usr" / "src")
    module = ("-m", "qemu-hypertrace", "-v", htrun.__version__)
    run(dkms, "add", *module, *trees)
    run(dkms, "build", *module, *trees, "-k", release, "--kernelsourcedir", kernel.headers)
    assert list(tree.rglob("module/qemu-hypertrace.ko*"))
