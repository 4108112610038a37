"""The arguments and results of system calls: their names and types, and how their values are formatted.

The C declarations of the calls are in `htrun.events.syscalls`. The names of flags and commands are in
`htrun.events.value_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from errno import errorcode
from functools import cache

from htrun.events.syscalls import ARCH_I386, table
from htrun.events.value_names import (
    ValueText,
    clone_flags,
    directory,
    file_mode,
    identity,
    identity_16,
    meanings,
    mode,
    personality,
    signal_name,
    statx_flags,
)

_WORD_ARGUMENTS = 6
"""The number of arguments that are shown for an unknown call."""


class ValueKind(Enum):
    """The interpretation of an argument's bits."""

    INT = auto()
    """A signed number of 32 bits."""
    LONG = auto()
    """A signed number as wide as the interface's words."""
    UNSIGNED = auto()
    """A number of 32 bits; the upper half of the word is ignored."""
    UNSIGNED_LONG = auto()
    ADDRESS = auto()
    NAMES = auto()
    """A value that `Parameter.text` formats."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a call. ``text``: formats a value; it is used only if ``kind`` is `ValueKind.NAMES`."""

    name: str
    kind: ValueKind
    text: ValueText = str


@dataclass(frozen=True)
class Signature:
    """The signature of a call. ``result_is_address``: whether a result that is not an error is an address."""

    name: str
    parameters: tuple[Parameter, ...]
    result_is_address: bool


@cache
def signature(arch: int, number: int) -> Signature:
    """The signature of call ``number`` of the interface ``arch`` (AUDIT_ARCH_*)."""
    name = table(arch).name(number)
    declared = table(arch).declared(name)
    if declared is None:
        parameters = tuple(Parameter(f"arg{place}", ValueKind.ADDRESS) for place in range(1, _WORD_ARGUMENTS + 1))
    else:
        parameters = tuple(
            _parameter(arch, name, type_, argument or f"arg{place}")
            for place, (type_, argument) in enumerate(declared, 1)
        )
    return Signature(name, parameters, name in _GIVE_ADDRESSES)


def error_name(result: int) -> str | None:
    """The name of the error ``result`` (a signed number); None if ``result`` is not an error.

    The kernel's internal codes for restarting a call after a signal have names, too.
    """
    if not -MOST_ERRNO <= result < 0:
        return None
    return errorcode.get(-result) or _RESTARTS.get(-result) or f"errno {-result}"


MOST_ERRNO = 4095
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
"""The kernel's internal codes for restarting a call (include/linux/errno.h)."""
_GIVE_ADDRESSES = frozenset({"brk", "mmap", "mmap2", "mremap", "shmat"})

_OF_16_BITS = frozenset(
    {"chown", "lchown", "fchown", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid"}
    | {"setfsgid"}
)
"""The original calls with 16-bit ids of users and groups. 32-bit programs can still make these calls
(kernel/uid16.c)."""

_SIGNED = frozenset({"int", "pid_t", "clockid_t", "timer_t", "key_t", "mqd_t", "__s32", "key_serial_t", "old_time32_t"})
_SIGNED_WORDS = frozenset({"long", "off_t", "loff_t"})
_UNSIGNED_WORDS = frozenset({"unsigned long", "size_t", "aio_context_t", "u64", "__u64", "compat_ulong_t"})
_IDENTITIES = frozenset({"uid_t", "gid_t", "old_uid_t", "old_gid_t", "qid_t"})
_ADDRESS_NAMES = frozenset({"addr", "start", "brk", "child_stack", "regs", "new_addr", "old_addr"})
_ADDRESS_TYPES = frozenset({"cap_user_header_t", "cap_user_data_t", "const cap_user_data_t"})
_DIRECTORY_NAMES = frozenset(
    {"dfd", "dirfd", "olddfd", "newdfd", "olddirfd", "newdirfd", "from_dfd", "to_dfd", "mountdirfd"}
)
_DESCRIPTOR_NAMES = frozenset({"fd", "oldfd", "newfd", "fildes"})


@dataclass(frozen=True)
class _OfInt:
    """Formats the low half of a word with ``text``. The kernel uses only this half."""

    text: ValueText

    def __call__(self, value: int) -> str:
        return self.text(value & 0xFFFFFFFF)


def _parameter(arch: int, call: str, type_: str, name: str) -> Parameter:
    if type_.endswith(("*", "]")) or name in _ADDRESS_NAMES or type_ in _ADDRESS_TYPES:
        return Parameter(name, ValueKind.ADDRESS)
    text = _names_of(arch, call, type_, name)
    if text is not None:
        return Parameter(name, ValueKind.NAMES, text if _is_wide(arch, call, type_, name) else _OfInt(text))
    if type_ in _SIGNED or name in _DESCRIPTOR_NAMES:
        return Parameter(name, ValueKind.INT)
    if type_ in _SIGNED_WORDS:
        return Parameter(name, ValueKind.LONG)
    wide = type_ in _UNSIGNED_WORDS and arch != ARCH_I386
    return Parameter(name, ValueKind.UNSIGNED_LONG if wide else ValueKind.UNSIGNED)


def _is_wide(arch: int, call: str, type_: str, name: str) -> bool:
    # mmap's flags are declared as a whole word, but the kernel ignores the upper half.
    word = type_ in _UNSIGNED_WORDS | _SIGNED_WORDS and arch != ARCH_I386
    return word and (call, name) not in _HALF_READ


_HALF_READ = frozenset({("mmap", "flags"), ("mmap2", "flags"), ("remap_file_pages", "flags")})


def _names_of(arch: int, call: str, type_: str, name: str) -> ValueText | None:
    if name in _DIRECTORY_NAMES:
        return directory
    if type_ in _IDENTITIES:
        return identity_16 if arch == ARCH_I386 and call in _OF_16_BITS else identity
    if name in {"sig", "signum"} and call != "rseq":
        return signal_name
    if (call, name) in _OWN_TEXTS:
        return _OWN_TEXTS[call, name]
    return mode if type_ == "umode_t" else meanings().get(f"{call}.{name}")


_OWN_TEXTS: Mapping[tuple[str, str], ValueText] = {
    ("mknod", "mode"): file_mode,
    ("mknodat", "mode"): file_mode,
    ("umask", "mask"): mode,
    ("clone", "flags"): clone_flags,
    ("statx", "flags"): statx_flags,
    ("personality", "personality"): personality,
}
