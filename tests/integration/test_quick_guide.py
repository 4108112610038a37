"""The README's program, unchanged: compiled for each kind of processor and program, it gives exactly one event."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.emulators import GENERATIONS, Generation
from tests.support.requirements import require_directory
from tests.support.run import Htrun, Result
from tests.support.targets import FOREIGN_TARGETS, I686, NATIVE, NATIVE_TARGETS, STATIC, Target
from tests.support.toolchain import ROOT, Toolchain

ARGUMENTS = (0xCAFE, 0xBABE, 0xDEAD, 0xBEEF)
EMULATED = (NATIVE, STATIC, *FOREIGN_TARGETS)


@pytest.fixture(scope="session")
def readme_program() -> str:
    """The C program that the README shows."""
    return subprocess.run([ROOT / "tools" / "readme-program"], check=True, capture_output=True, text=True).stdout


def one_event(result: Result) -> None:
    """Check that the run has recorded exactly one event, and that the program's output is correct."""
    result.check()
    assert result.stdout == "emitting hypertrace event\n"
    assert [(event.name, event.index, event.args) for event in result.events] == [("guest_hypertrace", 0, ARGUMENTS)]


def sysroot_options(target: Target) -> list[str | Path]:
    """The options, the same for htrun and QEMU, that give the directory of the target's libraries."""
    return ["-L", require_directory(target.sysroot, target.packages)] if target.sysroot else []


@pytest.mark.parametrize("target", NATIVE_TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("options", [(), ("--no-patch",)], ids=["patched", "trapped"])
def test_native(target: Target, options: tuple[str], toolchain: Toolchain, htrun: Htrun, readme_program: str) -> None:
    program = toolchain.compile_text(readme_program, "my-hypertrace", target)
    one_event(htrun.run(program, htrun.channel, options=options))


def test_channel_from_the_environment(toolchain: Toolchain, htrun: Htrun, readme_program: str) -> None:
    one_event(htrun.run(toolchain.compile_text(readme_program, "my-hypertrace")))


@pytest.mark.parametrize("target", FOREIGN_TARGETS, ids=lambda target: target.name)
def test_foreign_program_alone(target: Target, toolchain: Toolchain, htrun: Htrun, readme_program: str) -> None:
    one_event(htrun.run(toolchain.compile_text(readme_program, "my-hypertrace", target), htrun.channel))


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
@pytest.mark.parametrize("target", EMULATED, ids=lambda target: target.name)
def test_explicit_emulator(
    target: Target, generation: Generation, toolchain: Toolchain, htrun: Htrun, readme_program: str
) -> None:
    program = toolchain.compile_text(readme_program, "my-hypertrace", target)
    emulator = generation.emulator(target.emulator or "qemu-x86_64")
    one_event(htrun.run(emulator, *sysroot_options(target), program, htrun.channel))


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
@pytest.mark.parametrize("target", FOREIGN_TARGETS, ids=lambda target: target.name)
def test_emulator_by_option(
    target: Target, generation: Generation, toolchain: Toolchain, htrun: Htrun, readme_program: str
) -> None:
    program = toolchain.compile_text(readme_program, "my-hypertrace", target)
    options = ("--emulator", generation.emulator(target.emulator), *sysroot_options(target))
    one_event(htrun.run(program, htrun.channel, options=options))


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
def test_32_bit_x86_under_an_emulator(
    generation: Generation, toolchain: Toolchain, htrun: Htrun, readme_program: str
) -> None:
    program = toolchain.compile_text(readme_program, "my-hypertrace", I686)
    one_event(htrun.run(generation.emulator("qemu-i386"), program, htrun.channel))
