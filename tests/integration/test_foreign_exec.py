"""Programs that start programs of another architecture, in any way: the result is the same as with native ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.requirements import require_tool
from tests.support.run import Htrun
from tests.support.targets import AARCH64, I686, NATIVE, STATIC, Target
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"

TOLD = """
#include <stdio.h>
int main(int argc, char **argv)
{
    unsigned hash = 5381;
    int i;
    for (i = 1; i < argc; i++)
        for (char *at = argv[i]; *at != 0; at++)
            hash = hash * 33 + (unsigned char)*at;
    printf("%d arguments, %x\\n", argc, hash);
    return argc % 100;
}
"""


@pytest.mark.parametrize("target", [NATIVE, I686], ids=lambda target: target.name)
@pytest.mark.parametrize(("count", "size"), [(3, 10), (15, 100_000), (15_000, 60)])
def test_started_from_a_small_stack(target: Target, count: int, size: int, toolchain: Toolchain, htrun: Htrun) -> None:
    """posix_spawn, vfork children with eight kilobytes of stack, and two threads at the same time. No byte of the
    parent's memory changes, and any number of arguments is passed. After a failed exec, the program is unchanged."""
    require_tool("qemu-aarch64", "qemu-user")
    starter = toolchain.compile(GUESTS / "exec_foreign.c", target)
    native = toolchain.compile_text(TOLD, "told-native", STATIC)
    foreign = toolchain.compile_text(TOLD, "told-foreign", AARCH64)
    arguments = (str(count), str(size))
    alone = subprocess.run([starter, native, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    result = htrun.run(starter, foreign, *arguments, timeout=240)
    assert "changed 0" in alone.stdout
    # The two threads print in any order.
    assert sorted(result.stdout.splitlines()) == sorted(alone.stdout.splitlines())
    assert result.status == alone.returncode
    assert result.stderr == ""
