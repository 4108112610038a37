"""The output of whole machines in the quick guide is the real output of the commands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.documents import blocks, fenced, transcript
from tests.support.requirements import require_tool
from tests.support.toolchain import ROOT, Toolchain
from tests.system.machines import ARM64, TIMEOUT, X86_64, Machine, installed_qemu, readme_program

MODULE_README = "../guest/linux-module/README.md"
MODULE_STEPS = (
    "insmod /qemu-hypertrace.ko",
    "user /bin/my-hypertrace /dev/hypertrace",
    "insmod /qemu-hypertrace-example.ko count=1",
)


@pytest.fixture
def directory(tmp_path: Path, toolchain: Toolchain, modules: list[Path]) -> Path:
    """A directory with the files that the guide names."""
    installed_qemu("qemu-system-x86_64")
    kernel = X86_64.kernel()
    here = tmp_path / "here"
    (here / "guest").mkdir(parents=True)
    (here / "vmlinuz").symlink_to(kernel.image)
    (here / "linux-headers").symlink_to(kernel.headers)
    shutil.copytree(ROOT / "guest" / "linux-module", here / "guest" / "linux-module")
    require_tool("cpio", "cpio")
    [init] = fenced("quick-guide.md", "c")
    (here / "init.c").write_text(init)
    programs = {"my-hypertrace": readme_program(X86_64, toolchain)}
    for name, steps in (("initrd", ("/bin/my-hypertrace",)), ("initrd-module", MODULE_STEPS)):
        Machine(X86_64, toolchain, tmp_path, steps, programs, modules).pack(here / name)
    return here


@pytest.mark.heavy("builds the module for two architectures, as other tests do")
def test_module_readme(directory: Path, tmp_path: Path) -> None:
    require_tool(ARM64.target.compiler, ARM64.target.packages)
    (directory / "linux-headers-arm64").symlink_to(ARM64.kernel().build_directory(tmp_path / "kernel-arm64"))
    for block in fenced(MODULE_README, "shell-session"):
        assert transcript(block, directory, warnings=False, timeout=TIMEOUT) == block


def test_module_readme_names_all_there_is() -> None:
    """Each parameter of the module and each function for kernel code."""
    told = re.findall(r"^\| `(\w+)[`(]", (ROOT / "docs" / MODULE_README).read_text(), re.MULTILINE)
    sources = "".join(path.read_text() for path in sorted((ROOT / "guest" / "linux-module").glob("*.c")))
    sources = sources.replace((ROOT / "guest" / "linux-module" / "qemu-hypertrace-example.c").read_text(), "")
    header = (ROOT / "guest" / "linux-module" / "include" / "linux" / "qemu-hypertrace.h").read_text()
    parameters = re.findall(r"^MODULE_PARM_DESC\((\w+),", sources, re.MULTILINE)
    functions = re.findall(r"^(?:static __always_inline )?(?:u64|void) \*?(\w+)\([^;{]*\);$", header, re.MULTILINE)
    assert len(parameters) > 2
    assert len(functions) > 4
    assert sorted(told) == sorted([*parameters, *functions])


def test_shell_sessions(directory: Path) -> None:
    for block in fenced("quick-guide.md", "shell-session"):
        assert transcript(block, directory, warnings=False, timeout=TIMEOUT) == block


def test_boot(directory: Path) -> None:
    """In one directory, in the order of the page. Times differ from run to run."""
    for block in blocks("boot.md"):
        if block.file is not None:
            (directory / block.file).write_text(block.content)
        elif block.language == "shell-session":
            assert transcript(block.content, directory, warnings=False, timeout=TIMEOUT) == block.content
        else:
            for command in block.content.splitlines():
                assert transcript(f"$ {command} && echo done\n", directory).endswith("\ndone\n")
