"""Replaces an ``execve`` that a tracee is about to make: a program for another architecture is run by its emulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from htrun.errors import HtrunError
from htrun.launch.architectures import is_native
from htrun.launch.elf import ElfHeader, ElfType, read_header
from htrun.launch.emulators import Emulators
from htrun.launch.files import HERE, FileView
from htrun.launch.images import Program, follow
from htrun.launch.system import is_system_emulator


class ExecRewrite(NamedTuple):
    """The ``execve`` to make instead: ``executable`` with ``argv``. It emulates the program whose headers are
    ``guest``, or a whole machine (``guest`` is None, because the machine's programs are not known)."""

    executable: bytes
    argv: tuple[bytes, ...]
    guest: ElfHeader | None


def rewrite_exec(
    path: bytes,
    argv: Callable[[], Sequence[bytes]],
    emulators: Emulators,
    files: FileView = HERE,
    machine: Callable[[str, Sequence[str]], Sequence[str]] | None = None,
) -> ExecRewrite | None:
    """The ``execve`` that replaces ``execve(path, argv())`` in a process. ``files``: shows the files as this process
    sees them.

    ``argv``: called only if the execve is replaced, because most programs are native, and a call may have a hundred
    thousand arguments.

    Returns None if the kernel must make the call unchanged. These are programs for this machine, scripts whose
    interpreter is such a program, files with a registered binfmt_misc handler, and files that can't be executed, so
    that the tracee gets the kernel's own error. If there is no emulator for a foreign program, the result is also None,
    and the call fails as it would without htrun.

    ``machine``: called with the path of qemu-system, as this process sees it, and the command line. Returns the command
    line with the channel added to the machine. If it raises HtrunError, it has already reported the reason, and the
    machine runs without the channel.
    """
    if not path:
        return None
    try:
        last = follow(os.fsdecode(path), (), files, emulators.handlers())
        match last.image:
            case Program() if machine is not None and is_system_emulator(files.host_path(last.path)):
                words = machine(files.host_path(last.path), _words(path, argv(), emulators, files))
                return ExecRewrite(path, tuple(os.fsencode(word) for word in words), None)
            case Program(header) if header.type in (ElfType.EXEC, ElfType.DYN) and not _surely_native(header):
                guest = read_header(files.host_path(last.path))
            case _:
                return None
        if not emulators.wanted_for(guest, files):
            return None
        way = emulators.emulate(guest, last.path, _words(path, argv(), emulators, files))
    except (OSError, ValueError, HtrunError):
        return None  # The kernel finds the same error and returns it to the tracee.
    if not files.is_executable(way.emulator):
        return None  # In a process with another root directory the emulator need not exist.
    return ExecRewrite(os.fsencode(way.emulator), tuple(os.fsencode(word) for word in way.argv), guest)


def _words(path: bytes, argv: Sequence[bytes], emulators: Emulators, files: FileView) -> Sequence[str]:
    """The arguments of the program that finally runs. Raises the same exceptions as `follow`."""
    return follow(os.fsdecode(path), [os.fsdecode(word) for word in argv], files, emulators.handlers()).argv


def _surely_native(header: ElfHeader) -> bool:
    """Whether a program is certainly native.

    The check needs only the first bytes of the file, so the common case is fast.
    """
    return header.bits == 64 and is_native(header)
