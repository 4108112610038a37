"""Decides what to execute for the program on htrun's command line."""

# pathlib is not used: it changes paths ("./a" becomes "a"), and is slow to import.

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from htrun.errors import ExitCode, HtrunError
from htrun.launch.binfmt_misc import Handler
from htrun.launch.elf import ElfError, ElfHeader, ElfType, read_header
from htrun.launch.emulators import Emulators, emulated_architecture
from htrun.launch.files import HERE
from htrun.launch.guests import emulated_guest
from htrun.launch.images import Execution, Handled, Program, Unknown, follow
from htrun.launch.search import candidates
from htrun.launch.system import is_system_emulator

_SHELL = "/bin/sh"
_SEARCH_ON = frozenset(
    [errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT],
)
"""If ``execve`` fails with one of these errors, glibc's ``execvp`` tries the next directory of PATH."""


class ProgramKind(Enum):
    """The kinds of programs, by what runs them."""

    NATIVE = auto()
    """The kernel runs the program, which is for this machine."""
    SCRIPT = auto()
    """The kernel runs the interpreter of a script; the interpreter is for this machine."""
    HANDLED = auto()
    """The kernel runs a registered binfmt_misc handler for the program."""
    FOREIGN = auto()
    """An emulator that htrun has chosen runs the program."""
    EMULATED = auto()
    """The user has named an emulator and its guest program on the command line."""
    SYSTEM = auto()
    """The program is an emulator of whole machines."""


class Launch(NamedTuple):
    """The program to execute.

    ``executable``: the file to pass to ``execve``. ``argv``: the arguments, including the program's name. ``program``:
    the path of the program that the user has named, as found in PATH. ``guest``: the headers of the program whose code
    emits the events; None if they are unknown. ``emulator``: the path of the emulator; None if there is none.
    ``sysroot``: the directory of the guest's libraries, if htrun passes it to the emulator. ``warning``: one line for
    the user if the start is likely to fail.
    """

    kind: ProgramKind
    executable: str
    argv: tuple[str, ...]
    program: str
    guest: ElfHeader | None
    emulator: str | None = None
    sysroot: str | None = None
    warning: str | None = None


def resolve(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    sysroot: str | None = None,
    emulator: str | None = None,
) -> Launch:
    """The way to start ``argv``. The program is searched for as ``execvp`` does, in ``environment``.

    A text file with no known format is run by ``/bin/sh``, as ``execvp`` does (and so env, nohup and timeout, but not
    strace). ``sysroot``, ``emulator``: the values of the options ``-L`` and ``--emulator``. The program runs in
    ``emulator`` even if it is native. The interpreter of a native script runs in ``emulator`` only if the emulator is
    for native programs; otherwise the emulator is only for foreign programs that are executed later.

    Raises HtrunError, with exit code 127 if there is no such program, and 126 if it cannot be executed.
    """
    if not argv:
        raise HtrunError("no program given")
    return launch(argv, Emulators.choose(environment, sysroot=sysroot, emulator=emulator))


def launch(argv: Sequence[str], emulators: Emulators) -> Launch:
    """Like `resolve`, but the emulators have already been chosen. ``argv`` must not be empty."""
    found = _search(argv, emulators.environment, emulators.handlers())
    match found.last.image:
        case Program():
            return _launch_program(found, emulators)
        case Handled(handler, header):
            return Launch(ProgramKind.HANDLED, found.executable, found.argv, found.program, header, handler.interpreter)
        case _:
            return Launch(ProgramKind.NATIVE, found.executable, found.argv, found.program, None)


class _Found(NamedTuple):
    """A program that was found by its name.

    ``program``: the path. ``execve(executable, argv)`` starts the program. ``last``: the image that finally runs.
    """

    program: str
    executable: str
    argv: tuple[str, ...]
    last: Execution


def _launch_program(found: _Found, emulators: Emulators) -> Launch:
    path = found.last.path
    guest = _read_program(path)
    direct = path == found.executable == found.program
    forced = direct and emulators.override is not None
    if forced or emulators.wanted_for(guest) or emulators.override_takes(guest):
        way = emulators.emulate(guest, path, found.last.argv, override=direct)
        return Launch(
            ProgramKind.FOREIGN, way.emulator, way.argv, found.program, guest, way.emulator, way.sysroot, way.warning
        )
    _check_interpreter(path, guest)
    if not direct:
        return Launch(ProgramKind.SCRIPT, found.executable, found.argv, found.program, guest)
    if is_system_emulator(path):
        return Launch(ProgramKind.SYSTEM, path, found.argv, path, None, path)
    if emulated_architecture(path):
        return Launch(ProgramKind.EMULATED, path, found.argv, path, emulated_guest(found.argv), path)
    return Launch(ProgramKind.NATIVE, path, found.argv, path, guest)


def _search(argv: Sequence[str], environment: Mapping[str, str], handlers: Sequence[Handler]) -> _Found:
    """The first candidate for the program that can be executed. The rules are those of ``execvp``."""
    name = argv[0]
    failure: OSError | None = None
    reason = f"{name}: no such file" if "/" in name else f"{name}: no such program in PATH"
    for path in candidates(name, environment):
        try:
            return _examine(path, tuple(argv), handlers)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and error.filename != path:
                reason = f"{path}: its first line asks for the interpreter {error.filename!r}, which does not exist"
            if error.errno not in _SEARCH_ON or "/" in name:
                failure = error
                break
            # If all directories fail, report the file that exists but may not be executed.
            if isinstance(error, PermissionError):
                failure = failure or error
        except ValueError as error:
            raise HtrunError(f"{name!r}: {error}", ExitCode.NOT_FOUND) from error
    if failure is None or isinstance(failure, FileNotFoundError):
        raise HtrunError(reason, ExitCode.NOT_FOUND)
    raise _not_executable(name, _reason(failure))


def _examine(path: str, argv: tuple[str, ...], handlers: Sequence[Handler]) -> _Found:
    last = follow(path, argv, HERE, handlers)
    if not isinstance(last.image, Unknown):
        return _Found(path, path, argv, last)
    if not last.image.text:
        raise _not_executable(last.path, "neither an ELF program nor a script")
    words = (_SHELL, path, *argv[1:])
    return _Found(path, _SHELL, words, follow(_SHELL, words, HERE, handlers))


def _read_program(path: str) -> ElfHeader:
    header = read_header(path)
    match header.type:
        case ElfType.EXEC | ElfType.DYN:
            return header
        case ElfType.REL:
            raise _not_executable(path, "an object file, which is not linked yet")
        case ElfType.CORE:
            raise _not_executable(path, "a core dump, not a program")
        case other:
            raise ElfError(f"{path}: an ELF file of type {other}, not a program")


def _check_interpreter(path: str, program: ElfHeader) -> None:
    """Raise an error if the program's dynamic linker is missing. The kernel would only return ENOENT, which does not
    show the reason."""
    if program.interpreter is not None and not HERE.is_executable(program.interpreter):
        raise HtrunError(
            f"{path}: its interpreter {program.interpreter} is missing or not executable: install the C library it "
            "was linked with",
            ExitCode.NOT_EXECUTABLE if os.path.lexists(program.interpreter) else ExitCode.NOT_FOUND,
        )


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        if isinstance(error.filename, str) and os.path.isdir(error.filename):
            return "a directory, not a program"
        return "not executable: permission denied (chmod +x makes a file executable)"
    return error.strerror or str(error)


def _not_executable(path: str, reason: str) -> HtrunError:
    return HtrunError(f"{path}: {reason}", ExitCode.NOT_EXECUTABLE)
