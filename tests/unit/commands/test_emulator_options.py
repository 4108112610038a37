"""Options of htrun among those of an emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from htrun.commands.emulator_options import split
from htrun.commands.options import RunRequest, parse
from htrun.errors import HtrunError


@pytest.mark.parametrize(
    ("command", "program", "options"),
    [
        (
            "qemu-x86_64 -hypertrace /tmp/ht -trace enable=guest* -D /dev/stdout ./app /tmp/ht",
            "qemu-x86_64 ./app /tmp/ht",
            "-hypertrace /tmp/ht -trace enable=guest* -D /dev/stdout",
        ),
        # Options after the program's name belong to the program.
        (
            "qemu-arm -L /srv ./app -hypertrace x -trace guest*",
            "qemu-arm -L /srv ./app -hypertrace x -trace guest*",
            "",
        ),
        ("qemu-arm -L -hypertrace ./app", "qemu-arm -L -hypertrace ./app", ""),
        ("/usr/bin/qemu-arm-static --hypertrace x ./app", "/usr/bin/qemu-arm-static ./app", "-hypertrace x"),
        # Options for QEMU's own events and log, and its log file, are passed to QEMU.
        (
            "qemu-arm -trace translate_block -trace guest* -D log ./app",
            "qemu-arm -trace translate_block -D log ./app",
            "-trace guest*",
        ),
        ("qemu-arm -d in_asm -D log -hypertrace x ./app", "qemu-arm -d in_asm -D log ./app", "-hypertrace x"),
        ("qemu-arm -D log ./app", "qemu-arm -D log ./app", ""),
        (
            "qemu-system-x86_64 -kernel k -append -hypertrace -hypertrace x,args=2 -trace -guest_u*,file=f -nographic",
            "qemu-system-x86_64 -kernel k -append -hypertrace -nographic",
            "-hypertrace x,args=2 -trace -guest_u*,file=f",
        ),
        ("./app -hypertrace x", "./app -hypertrace x", ""),
        ("./qemu -hypertrace x y", "./qemu -hypertrace x y", ""),
    ],
)
def test_they_are_taken_out(command: str, program: str, options: str) -> None:
    found = split(command.split())
    assert (" ".join(found.program), " ".join(found.options)) == (program, options)


def test_they_are_obeyed() -> None:
    words = "-q qemu-arm -hypertrace /tmp/ht,args=7 -trace guest_user_syscall -D log ./app /tmp/ht"
    request = parse(words.split())
    assert isinstance(request, RunRequest)
    options = request.options
    assert options.program == ("qemu-arm", "./app", "/tmp/ht")
    assert (options.path, options.layout.num_args, options.log) == (Path("/tmp/ht"), 7, Path("log"))
    assert options.recorded == {"guest_user_syscall"}
    with pytest.raises(HtrunError, match="-hypertrace needs a value"):
        parse(["qemu-arm", "-hypertrace"])
