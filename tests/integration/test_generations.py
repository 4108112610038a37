"""The three generations of emulators in other tests have the expected versions."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.emulators import GENERATIONS, INSTALLED, SID, TRIXIE, Generation
from tests.support.targets import AARCH64, FOREIGN_TARGETS, Target
from tests.support.toolchain import Toolchain

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 7; }\n'


@pytest.mark.heavy("starts every emulator of three generations")
def test_generations_differ() -> None:
    versions = [generation.version() for generation in (INSTALLED, TRIXIE, SID)]
    assert versions[1][0] == 10
    assert versions[2] >= (11, 1)


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
@pytest.mark.parametrize("target", FOREIGN_TARGETS, ids=lambda target: target.name)
def test_runs_a_static_program(target: Target, generation: Generation, toolchain: Toolchain) -> None:
    program = toolchain.compile_text(HELLO, "hello", target, flags=("-static",))
    done = subprocess.run([generation.emulator(target.emulator), program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("hello\n", 7)


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
def test_untraced_program_finds_no_channel(generation: Generation, toolchain: Toolchain) -> None:
    text = (
        "#include <errno.h>\n#include <stdio.h>\n#include <qemu-hypertrace.h>\n"
        'int main(void) { printf("%d", qemu_hypertrace_init(NULL) == -1 && errno == ENOENT); qemu_hypertrace(0); }\n'
    )
    program = toolchain.compile_text(text, "untraced", AARCH64, flags=("-static",))
    done = subprocess.run([generation.emulator("qemu-aarch64"), program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1", 0)
