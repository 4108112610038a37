"""What the kernel makes of a file that it is told to execute: a program, a script, a registered format, or nothing.

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
"""Scripts that may be each other's interpreters before the kernel gives up with ELOOP (``exec_binprm``)."""

_NEWLINE = re.compile(rb"[^\n\0]*\n")
_NOT_BLANK = re.compile(rb"[^ \t]")
_TERMINATOR = re.compile(rb"[ \t\0]")


class Program(NamedTuple):
    """An ELF file; ``header`` is without the interpreter, whose place lies further behind."""

    header: ElfHeader


class Script(NamedTuple):
    """A file that begins with ``#!``. ``argument``: all that follows the interpreter in that line, as one word."""

    interpreter: str
    argument: str | None


class Handled(NamedTuple):
    """A file that a binfmt_misc handler takes. ``header``: where it is an ELF file all the same."""

    handler: Handler
    header: ElfHeader | None


class Unreadable:
    """A file that may be executed but not looked into."""


class Unknown(NamedTuple):
    """A file of no format the kernel knows: ENOEXEC. ``text``: a shell would take it for a script of its own."""

    text: bool


Image = Program | Script | Handled | Unreadable | Unknown


class Execution(NamedTuple):
    """What runs in the end when a file is executed: ``image`` at ``path``, with the arguments ``argv``.

    It differs from what was asked for by the scripts on the way, each of which gives way to its interpreter.
    """

    path: str
    argv: tuple[str, ...]
    image: Image


def follow(path: str, argv: Sequence[str], files: FileView, handlers: Sequence[Handler]) -> Execution:
    """What the kernel would run for ``execve(path, argv)``, scripts replaced by their interpreters.

    Raises the OSError of the kernel where a file can't be executed, ElfError for an ELF file with a broken header.
    """
    words = tuple(argv)
    for _ in range(_MAX_SCRIPTS + 1):
        image = inspect(path, files.read_start(path), handlers)
        if not isinstance(image, Script):
            return Execution(path, words, image)
        optional = () if image.argument is None else (image.argument,)
        words = (image.interpreter, *optional, path, *words[1:])
        path = image.interpreter or "."  # Nothing behind "#!" names the working directory to the kernel: EACCES.
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def inspect(path: str, start: bytes | None, handlers: Sequence[Handler]) -> Image:
    """What the file ``path`` is, which begins with ``start`` (`START_SIZE` bytes or all of it; None: not readable)."""
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
    """The ``#!`` line at the start of a file; None where the kernel finds no whole interpreter's path in it.

    A line by line account of ``load_script``, so that odd lines give the arguments that the kernel gives.
    """
    buffer = start[:START_SIZE].ljust(START_SIZE, b"\0")
    last = START_SIZE - 1
    if newline := _NEWLINE.match(buffer):
        end = newline.end() - 1
    else:
        # The path may go on behind what the kernel reads: it must not run a shortened one.
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
    """The rule of POSIX' ``sh`` and of bash: no NUL in the first line."""
    return b"\0" not in start.partition(b"\n")[0]
