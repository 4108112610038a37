"""Chooses the emulator for a foreign program, and the emulator's command line."""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from htrun.errors import ExitCode, HtrunError
from htrun.launch import binfmt_misc
from htrun.launch.architectures import NAMES, Architecture, architecture, find_architecture, is_native
from htrun.launch.binfmt_misc import Handler
from htrun.launch.elf import MAGIC, ElfHeader
from htrun.launch.files import HERE, FileView
from htrun.launch.search import find_executable
from htrun.launch.sysroots import find_sysroot

PACKAGE = "qemu-user"
"""The Debian package that contains every emulator."""

_NAME = re.compile(r"qemu-([a-z0-9_]+)(-static|-[0-9.]+)?")


class Emulation(NamedTuple):
    """The way to run a foreign program: the emulator at ``emulator`` with the command line ``argv``.

    ``sysroot``: the directory of the program's libraries that ``argv`` names; None if ``argv`` names no such directory.
    ``warning``: one line for the user if the start is likely to fail.
    """

    emulator: str
    argv: tuple[str, ...]
    sysroot: str | None
    warning: str | None = None


class Emulators(NamedTuple):
    """The emulators of one run, according to the user's options and environment.

    ``override``: the absolute path of the emulator that the user has chosen. ``sysroot``: the absolute path of the
    directory that the user has chosen.
    """

    environment: Mapping[str, str]
    override: str | None = None
    sysroot: str | None = None

    @classmethod
    def choose(cls, environment: Mapping[str, str], *, sysroot: str | None, emulator: str | None) -> Emulators:
        """Evaluate the options ``-L`` and ``--emulator``.

        Raises HtrunError if the directory or the program does not exist.
        """
        if sysroot is not None and not os.path.isdir(sysroot):
            raise HtrunError(f"-L {sysroot}: not a directory")
        override = None if emulator is None else find_executable(emulator, environment)
        if emulator is not None and override is None:
            raise HtrunError(f"--emulator {emulator}: no such program, or not executable", ExitCode.NOT_FOUND)
        return cls(environment, override, None if sysroot is None else os.path.abspath(sysroot))

    def handlers(self) -> tuple[Handler, ...]:
        """The binfmt_misc handlers that take precedence over htrun's choice. If the user has chosen an emulator or a
        directory of libraries, these do not include handlers for ELF files."""
        found = binfmt_misc.handlers()
        if self.override is None and self.sysroot is None:
            return found
        return tuple(handler for handler in found if not handler.magic.startswith(MAGIC))

    def override_takes(self, header: ElfHeader) -> bool:
        """Whether the emulator that the user has chosen runs programs with this ``header``.

        An emulator that is not named ``qemu-ARCH`` is assumed to run all programs.
        """
        if self.override is None:
            return False
        name = emulated_architecture(self.override)
        wanted = find_architecture(header)
        return name is None or (wanted is not None and name == wanted.name)

    def wanted_for(self, header: ElfHeader, files: FileView = HERE) -> bool:
        """Whether the program with this ``header`` needs an emulator because the kernel cannot run it.

        This includes some native programs, usually for i386: if the interpreter is missing in ``files`` but exists in
        the directory of a cross compiler, the kernel could not start the program.
        """
        if not is_native(header):
            return True
        wanted = find_architecture(header)
        if header.interpreter is None or wanted is None or files.is_executable(header.interpreter):
            return False
        libraries = self.sysroot or find_sysroot(header, wanted)
        return bool(libraries) and self.find(wanted) is not None

    def find(self, wanted: Architecture) -> str | None:
        """The absolute path of ``qemu-ARCH`` or ``qemu-ARCH-static`` in PATH; None if PATH has neither."""
        plain = f"qemu-{wanted.name}"
        return find_executable(plain, self.environment) or find_executable(f"{plain}-static", self.environment)

    def emulate(self, header: ElfHeader, path: str, argv: Sequence[str], *, override: bool = False) -> Emulation:
        """The way to run the program at ``path``. ``argv``: the program's arguments, including its own name.

        ``override``: whether to use the emulator that the user has chosen for any program. Raises HtrunError if there
        is no emulator.
        """
        if self.override is not None and (override or self.override_takes(header)):
            emulator = self.override
        else:
            wanted = architecture(header, path)
            found = self.find(wanted)
            if found is None:
                raise HtrunError(
                    f"{path}: a program for {wanted.name}, but its emulator qemu-{wanted.name} is not in PATH: install "
                    f"Debian's package {PACKAGE}, or give an emulator with --emulator",
                    ExitCode.NOT_EXECUTABLE,
                )
            emulator = found
        program = f"./{path}" if path.startswith("-") else path
        if emulated_architecture(emulator) is None:
            return Emulation(emulator, (emulator, program, *argv[1:]), None)
        return self._qemu(emulator, header, program, argv)

    def _qemu(self, emulator: str, header: ElfHeader, program: str, argv: Sequence[str]) -> Emulation:
        options: list[str] = []
        if argv and argv[0] != program:
            options += ["-0", argv[0]]
        sysroot, warning = self._sysroot(header, program)
        if sysroot:
            options += ["-L", sysroot]
        return Emulation(emulator, (emulator, *options, program, *argv[1:]), sysroot or None, warning)

    def _sysroot(self, header: ElfHeader, program: str) -> tuple[str | None, str | None]:
        if self.sysroot is not None:
            return self.sysroot, None
        if header.interpreter is None or "QEMU_LD_PREFIX" in self.environment:
            return None, None
        wanted = find_architecture(header)
        found = None if wanted is None else find_sysroot(header, wanted)
        if wanted is None or found is not None:
            return found, None
        return None, (
            f"{program}: no directory with its interpreter {header.interpreter} was found (/usr/{wanted.triples[0]} "
            "and the like): give the directory of its libraries with -L"
        )


def emulated_architecture(program: str) -> str | None:
    """The ``ARCH`` in the name of ``program`` (a path), if the name is ``qemu-ARCH`` like those of qemu-user's
    emulators; None otherwise."""
    match = _NAME.fullmatch(os.path.basename(program))
    return match[1] if match and match[1] in NAMES else None
