"""The arguments of system calls that point to text, and the length of that text.

An argument may point to a string that ends with a NUL (a path, a name), to an array of such strings (the words of a
command line), or to bytes (data that is read or written). The number of bytes is in another argument, or is the result
of the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

from htrun.events.syscalls import table


class Pointed(Enum):
    """The kind of memory that a pointer refers to."""

    STRING = auto()
    STRINGS = auto()
    """Pointers to strings, up to a null pointer."""
    BYTES = auto()


@dataclass(frozen=True)
class TextArgument:
    """An argument that points to text. ``place``: the index of the argument, from 0. ``size``: for `Pointed.BYTES`, the
    index of the argument that contains the size; None if the size is the result of the call. ``after``: whether the
    kernel writes the text, so that it can be read only after the call has returned."""

    place: int
    pointed: Pointed
    size: int | None = None
    after: bool = False


_WRITTEN = {
    "write": (1, 2), "pwrite64": (1, 2), "sendto": (1, 2), "send": (1, 2), "sethostname": (0, 1),
    "setdomainname": (0, 1), "mq_timedsend": (1, 2), "setxattr": (2, 3), "lsetxattr": (2, 3), "fsetxattr": (2, 3),
    "add_key": (2, 3),
}  # fmt: skip
"""Calls that pass bytes to the kernel. The values are the indexes of the pointer and of the size."""
_READ = {
    "read": 1, "pread64": 1, "recvfrom": 1, "recv": 1, "readlink": 1, "readlinkat": 2, "getrandom": 0,
    "mq_timedreceive": 1, "getxattr": 2, "lgetxattr": 2, "fgetxattr": 2, "listxattr": 1, "llistxattr": 1,
    "flistxattr": 1,
}  # fmt: skip
"""Calls that write bytes to the program's memory; the result is the number of bytes. The values are the indexes of the
pointers."""
_STRINGS = {"execve": 1, "execveat": 2}
_NO_TEXT = frozenset({"mincore", "shmat", "shmdt", "setsockopt", "getsockopt", "syslog", "lookup_dcookie", "seccomp"})
"""Calls whose ``char *`` is not text, or is text of unknown size."""
_CHARACTERS = frozenset({"char*", "const char*"})


@cache
def text_arguments(arch: int, number: int) -> tuple[TextArgument, ...]:
    """The arguments of call ``number`` of the interface ``arch`` (AUDIT_ARCH_*) that point to text."""
    name = table(arch).name(number)
    found = []
    if name in _WRITTEN:
        place, size = _WRITTEN[name]
        found.append(TextArgument(place, Pointed.BYTES, size))
    if name in _READ:
        found.append(TextArgument(_READ[name], Pointed.BYTES, after=True))
    if name == "getcwd":
        found.append(TextArgument(0, Pointed.STRING, after=True))
    if name in _STRINGS:
        found.append(TextArgument(_STRINGS[name], Pointed.STRINGS))
    taken = {each.place for each in found}
    for place, type_ in enumerate(_types(arch, name)):
        if type_ in _CHARACTERS and place not in taken:
            found.append(TextArgument(place, Pointed.STRING))
    return tuple(sorted(found, key=lambda each: each.place))


def _types(arch: int, name: str) -> tuple[str, ...]:
    if name in _NO_TEXT:
        return ()
    return tuple(type_ for type_, _ in table(arch).declared(name) or ())
