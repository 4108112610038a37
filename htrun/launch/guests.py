"""Finds the program whose code runs in a process: the program that the process executes or, if that is an emulator, the
emulated program."""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import os
from collections.abc import Sequence

from htrun.launch.elf import ElfError, ElfHeader, read_header
from htrun.launch.emulators import emulated_architecture
from htrun.launch.files import HERE, FileView
from htrun.launch.qemu_options import guest_position


def emulated_guest(argv: Sequence[str], files: FileView = HERE) -> ElfHeader | None:
    """The headers of the program that an emulator with the command line ``argv`` runs; None if the program is
    unknown."""
    position = guest_position(argv)
    if position is None:
        return None
    try:
        return read_header(files.host_path(argv[position]))
    except ElfError:
        return None  # The emulator itself will report the error.


def guest_of_process(pid: int) -> ElfHeader | None:
    """The headers of the program whose code runs in process ``pid``; None if the program is unknown. The process has
    just executed the program.

    Raises OSError if the process is gone or may not be inspected.
    """
    executable = f"/proc/{pid}/exe"
    if emulated_architecture(os.readlink(executable)) is None:
        try:
            return read_header(executable)
        except ElfError:
            return None  # A program may be executable without being readable.
    return emulated_guest(command_line(pid), FileView(pid))


def command_line(pid: int) -> list[str]:
    """The command line of process ``pid``. Raises the same OSErrors as `guest_of_process`."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().split(b"\0")[:-1]
    return [os.fsdecode(word) for word in words]
