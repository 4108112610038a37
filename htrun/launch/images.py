"""Predicts what execve(2) of a file does: the kernel runs a program, a script or a file with a registered format, or it
returns an error.

The rules are those of Linux 5.1 and later: ``search_binary_handler`` in ``fs/exec.c`` asks ``fs/binfmt_misc.c``, then
``fs/binfmt_script.c`` and ``fs/binfmt_elf.c``.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from htrun.launch.binfmt_misc import Handler
from htrun.launch.elf import MAGIC, ElfHeader, parse_header
from htrun.launch.files import START_SIZE, FileView

_MAX_SCRIPTS = 5
"""The maximum length of a chain in which each file is a script and the next file is its interpreter. A longer chain
fails with ELOOP (``exec_binprm``)."""

_NEWLINE = re.compile(rb"[^\n\0]*\n")
_NOT_BLANK = re.compile(rb"[^ \t]")
_TERMINATOR = re.compile(rb"[ \t\0]")


class Program(NamedTuple):
    """An ELF file. ``header`` lacks the interpreter, because its path is not in the first bytes of the file."""

    header: ElfHeader


class Script(NamedTuple):
    """A file that begins with ``#!``. ``argument``: the part of the line after the interpreter, as one word."""

    interpreter: str
    argument: str | None


class Handled(NamedTuple):
    """A file that matches a binfmt_misc handler. ``header``: the header of the file itself, if it is an ELF file."""

    handler: Handler
    header: ElfHeader | None


class Unreadable:
    """A file that may be executed but not read."""


class Unknown(NamedTuple):
    """A file with a format that the kernel does not know: ENOEXEC.

    ``text``: whether a shell would run the file as a shell script.
    """

    text: bool


Image = Program | Script | Handled | Unreadable | Unknown


class Execution(NamedTuple):
    """The program that finally runs when a file is executed: ``image`` at ``path``, with the arguments ``argv``.

    If the file is a script, this is its interpreter. If the interpreter is a script, this is the interpreter of that
    script, and so on.
    """

    path: str
    argv: tuple[str, ...]
    image: Image


def follow(path: str, argv: Sequence[str], files: FileView, handlers: Sequence[Handler]) -> Execution:
    """The program that the kernel would run for ``execve(path, argv)``, with scripts replaced by their interpreters.

    Raises the OSError that the kernel would return if a file cannot be executed, and ElfError for an ELF file with a
    broken header.
    """
    words = tuple(argv)
    for _ in range(_MAX_SCRIPTS + 1):
        image = inspect(path, files.read_start(path), handlers)
        if not isinstance(image, Script):
            return Execution(path, words, image)
        optional = () if image.argument is None else (image.argument,)
        words = (image.interpreter, *optional, path, *words[1:])
        path = image.interpreter or "."  # The kernel executes "" as the working directory, which fails with EACCES.
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def inspect(path: str, start: bytes | None, handlers: Sequence[Handler]) -> Image:
    """The kind of the file ``path``. ``start``: its first `START_SIZE` bytes, or all of it if it is shorter; None if
    the file can't be read."""
    if start is None:
        return Unreadable()
    for handler in handlers:
        if handler.takes(path, start):
            return Handled(handler, parse_header(start, path) if start.startswith(MAGIC) else None)
    if start.startswith(b"#!"):
        return parse_script(start) or Unknown(text=True)
    if start.startswith(MAGIC):
        return Program(parse_header(start, path))
    return Unknown(text=_looks_like_text(start))


def parse_script(start: bytes) -> Script | None:
    """The ``#!`` line at the start of a file; None if the kernel does not find a complete path of an interpreter in the
    line.

    The steps are those of the kernel's ``load_script``, so that unusual lines give the same arguments as in the kernel.
    """
    buffer = start[:START_SIZE].ljust(START_SIZE, b"\0")
    last = START_SIZE - 1
    if newline := _NEWLINE.match(buffer):
        end = newline.end() - 1
    else:
        # The path may be longer than the part of the file that the kernel reads. The kernel refuses a truncated path.
        path = _NOT_BLANK.search(buffer, 2)
        if path is None or _TERMINATOR.search(buffer, path.start()) is None:
            return None
        end = last
    while buffer[end - 1] in b" \t":
        end -= 1
    name = _NOT_BLANK.search(buffer, 2, end)
    if name is None:
        return None
    separator = _TERMINATOR.search(buffer, name.start(), end)
    if separator is None:
        return Script(os.fsdecode(buffer[name.start() : end]), None)
    interpreter = os.fsdecode(buffer[name.start() : separator.start()])
    argument = _NOT_BLANK.search(buffer, separator.start(), end)
    if separator[0] == b"\0" or argument is None:
        return Script(interpreter, None)
    return Script(interpreter, os.fsdecode(buffer[argument.start() : end].partition(b"\0")[0]))


def _looks_like_text(start: bytes) -> bool:
    """Whether the first line contains no NUL. This is the rule of POSIX ``sh`` and of bash."""
    return b"\0" not in start.partition(b"\n")[0]
