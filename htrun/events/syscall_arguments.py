"""What the arguments and results of system calls mean: their names and types, and the names of flags and commands.

From python-ptrace's tables (see `htrun.events.syscalls`), and from the kernel's headers what they lack.
"""

from __future__ import annotations

import ast
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from errno import errorcode
from functools import cache
from typing import Any

from htrun.events.syscalls import ptrace_source, ptrace_table, table

_WORD_ARGUMENTS = 6
"""Of a call of which nothing is known."""


class Kind(Enum):
    """How an argument's bits read."""

    INT = auto()
    """A signed number of 32 bits."""
    LONG = auto()
    """A signed number as wide as the interface's words."""
    UNSIGNED = auto()
    ADDRESS = auto()
    NAMES = auto()
    """By `Parameter.text`."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a call. ``text``: of a value; only for `Kind.NAMES`."""

    name: str
    kind: Kind
    text: Callable[[int], str] = str


@dataclass(frozen=True)
class Signature:
    """A call. ``result_is_address``: whether its result is, if it is no error."""

    name: str
    parameters: tuple[Parameter, ...]
    result_is_address: bool


@cache
def signature(arch: int, number: int) -> Signature:
    """The call ``number`` of the interface ``arch`` (AUDIT_ARCH_*)."""
    name = table(arch).name(number)
    declared = declared_arguments(name)
    if declared is None:
        parameters = tuple(Parameter(f"arg{place}", Kind.ADDRESS) for place in range(1, _WORD_ARGUMENTS + 1))
    else:
        parameters = tuple(
            _parameter(name, type_, argument or f"arg{place}") for place, (type_, argument) in enumerate(declared, 1)
        )
    return Signature(name, parameters, name in _GIVE_ADDRESSES)


def error_name(result: int) -> str | None:
    """The name of the error that ``result``, a signed number, stands for; None if it is none. The kernel's own codes,
    by which a call is made again after a signal, have names too."""
    if not -MOST_ERRNO <= result < 0:
        return None
    return errorcode.get(-result) or _RESTARTS.get(-result) or f"errno {-result}"


MOST_ERRNO = 4095
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
"""include/linux/errno.h."""
_GIVE_ADDRESSES = frozenset({"brk", "mmap", "mmap2", "mremap", "shmat"})

_Declared = tuple[tuple[str, str], ...]


def declared_arguments(name: str) -> _Declared | None:
    """The types and names of a call's arguments, as C declares them; None for a call of which nothing is known."""
    if name in _NEWER:
        return _NEWER[name]
    known = _prototypes()
    for spelling in (name, name.lstrip("_"), name.removesuffix("32"), name.removesuffix("_time64"), _base(name)):
        if spelling in known:
            declared: _Declared = known[spelling][1]
            return declared
    return None


def _base(name: str) -> str:
    return {"_newselect": "select", "ugetrlimit": "getrlimit", "clock_gettime64": "clock_gettime"}.get(name, name)


def _declared(*words: str) -> _Declared:
    """From words such as ``int fd`` and ``void* buf``."""
    return tuple((type_, name) for type_, name in (word.rsplit(" ", 1) for word in words))


_NEWER: Mapping[str, _Declared] = {
    "arch_prctl": _declared("int option", "void* addr"),
    "clone3": _declared("struct clone_args* cl_args", "size_t size"),
    "close_range": _declared("unsigned int fd", "unsigned int max_fd", "unsigned int flags"),
    "epoll_pwait2": _declared(
        "int epfd", "void* events", "int maxevents", "void* timeout", "void* sigmask", "size_t sigsetsize"
    ),
    "faccessat2": _declared("int dfd", "char* filename", "int mode", "int flags"),
    "fchmodat2": _declared("int dfd", "char* filename", "umode_t mode", "int flags"),
    "get_thread_area": _declared("void* u_info"),
    "memfd_secret": _declared("unsigned int flags"),
    "modify_ldt": _declared("int func", "void* ptr", "size_t bytecount"),
    "openat2": _declared("int dfd", "char* filename", "void* how", "size_t size"),
    "pidfd_getfd": _declared("int pidfd", "int targetfd", "unsigned int flags"),
    "pidfd_open": _declared("pid_t pid", "unsigned int flags"),
    "pidfd_send_signal": _declared("int pidfd", "int sig", "void* info", "unsigned int flags"),
    "pkey_alloc": _declared("unsigned int flags", "unsigned int access_rights"),
    "pkey_free": _declared("int pkey"),
    "pkey_mprotect": _declared("void* start", "size_t len", "int prot", "int pkey"),
    "rseq": _declared("void* rseq", "u32 rseq_len", "int flags", "u32 sig"),
    "rt_sigreturn": (),
    "set_thread_area": _declared("void* u_info"),
    "sigreturn": (),
    "umount2": _declared("char* name", "int flags"),
}
"""What python-ptrace 0.9.9 does not know of (include/linux/syscalls.h)."""

_SIGNED = frozenset({"int", "pid_t", "clockid_t", "timer_t", "key_t", "mqd_t", "__s32", "key_serial_t"})
_SIGNED_WORDS = frozenset({"long", "off_t", "loff_t"})
_ADDRESS_NAMES = frozenset({"addr", "start", "brk", "child_stack", "regs", "new_addr", "old_addr"})
_DIRECTORY_NAMES = frozenset({"dfd", "dirfd", "olddfd", "newdfd", "olddirfd", "newdirfd"})
_AT_FDCWD = -100


def _parameter(call: str, type_: str, name: str) -> Parameter:
    if type_.endswith(("*", "]")) or name in _ADDRESS_NAMES:
        return Parameter(name, Kind.ADDRESS)
    text = _names_of(call, type_, name)
    if text is not None:
        return Parameter(name, Kind.NAMES, text)
    if type_ in _SIGNED or name == "fd":
        return Parameter(name, Kind.INT)
    return Parameter(name, Kind.LONG if type_ in _SIGNED_WORDS else Kind.UNSIGNED)


def _names_of(call: str, type_: str, name: str) -> Callable[[int], str] | None:
    if name in _DIRECTORY_NAMES:
        return _directory
    if type_ == "umode_t":
        return _octal
    if name in {"sig", "signum"}:
        return _signal
    meaning = _meanings().get((call, name))
    if meaning is None:
        return None
    return meaning if callable(meaning) else _Names(meaning)


@dataclass(frozen=True)
class _Names:
    """One name for each value."""

    names: Mapping[int, str]

    def __call__(self, value: int) -> str:
        return self.names.get(value & 0xFFFFFFFF, str(value & 0xFFFFFFFF))


@dataclass(frozen=True)
class _Flags:
    """A name for each bit or group of bits. ``none``: for a value without any of ``low``, which come first."""

    flags: tuple[tuple[int, str], ...]
    none: str
    low: int = 0xFFFFFFFF

    def __call__(self, value: int) -> str:
        value &= 0xFFFFFFFF
        names = [self.none] if not value & self.low else []
        # A flag of several bits stands for those of its parts.
        for bits, name in sorted(self.flags, key=lambda flag: -flag[0].bit_count()):
            if value & bits == bits:
                names.append(name)
                value &= ~bits
        return "|".join([*names, *([hex(value)] if value else [])])


def _directory(value: int) -> str:
    signed = value - (1 << 32) if (value := value & 0xFFFFFFFF) >> 31 else value
    return "AT_FDCWD" if signed == _AT_FDCWD else str(signed)


def _signal(value: int) -> str:
    try:
        return signal.Signals(value).name
    except ValueError:
        return str(value)


def _clone_flags(value: int) -> str:
    flags, number = value & ~0xFF, value & 0xFF
    texts = [_Flags(tuple(_literals("posix_arg.py")["CLONE_FLAGS_BITMASK"]), "0")(flags)] if flags else []
    return "|".join([*texts, *([_signal(number)] if number else [])]) or "0"


def _octal(value: int) -> str:
    return f"0{value & 0xFFFFFFFF:o}"


_FUTEX_FLAGS = ((128, "FUTEX_PRIVATE_FLAG"), (256, "FUTEX_CLOCK_REALTIME"))
_SOCKET_FLAGS = ((0o4000, "SOCK_NONBLOCK"), (0o2000000, "SOCK_CLOEXEC"))
_MAP_FLAGS = (
    (0x01, "MAP_SHARED"), (0x02, "MAP_PRIVATE"), (0x10, "MAP_FIXED"), (0x20, "MAP_ANONYMOUS"), (0x100, "MAP_GROWSDOWN"),
    (0x800, "MAP_DENYWRITE"), (0x2000, "MAP_LOCKED"), (0x4000, "MAP_NORESERVE"), (0x8000, "MAP_POPULATE"),
    (0x20000, "MAP_STACK"), (0x40000, "MAP_HUGETLB"), (0x100000, "MAP_FIXED_NOREPLACE"),
)  # fmt: skip
"""<asm-generic/mman.h>."""
_AT_FLAGS = (
    (0x100, "AT_SYMLINK_NOFOLLOW"), (0x200, "AT_REMOVEDIR"), (0x400, "AT_SYMLINK_FOLLOW"), (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"), (0x2000, "AT_STATX_FORCE_SYNC"), (0x4000, "AT_STATX_DONT_SYNC"),
)  # fmt: skip
"""<linux/fcntl.h>. 0x200 is AT_EACCESS to faccessat2."""
_WHENCE = {0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END", 3: "SEEK_DATA", 4: "SEEK_HOLE"}


@dataclass(frozen=True)
class _NameAndFlags:
    """A name in the low bits, flags above."""

    names: Mapping[int, str]
    flags: tuple[tuple[int, str], ...]

    def __call__(self, value: int) -> str:
        found = [name for bit, name in self.flags if value & bit]
        for bit, _ in self.flags:
            value &= ~bit
        return "|".join([_Names(self.names)(value), *found])


@cache
def _meanings() -> Mapping[tuple[str, str], Mapping[int, str] | Callable[[int], str]]:
    """By call and argument."""
    flags, linux = _literals("posix_arg.py"), _literals("linux_constants.py")
    socket, commands = _literals("socketcall_constants.py"), _literals("posix_constants.py")["SYSCALL_ARG_DICT"]
    opening = _Flags(tuple(map(tuple, flags["OPEN_FLAGS_BITMASK"])), "O_RDONLY", 3)
    access = _Flags(tuple(flags["ACCESS_MODE_BITMASK"]), "F_OK")
    protection = _Flags(tuple(flags["MMAP_PROT_BITMASK"]), "PROT_NONE")
    at = _Flags(_AT_FLAGS, "0")
    resources = {(call, "resource"): linux["RLIMIT_RESOURCE"] for call in ("getrlimit", "setrlimit", "prlimit64")}
    domains = {(call, "domain"): socket["SOCKET_FAMILY"] for call in ("socket", "socketpair")}
    types = _NameAndFlags(socket["SOCKET_TYPE"], _SOCKET_FLAGS)
    return {
        **resources,
        **domains,
        **{(call, "flags"): opening for call in ("open", "openat")},
        **{(call, "mode"): access for call in ("access", "faccessat", "faccessat2")},
        **{(call, "prot"): protection for call in ("mmap", "mmap2", "mprotect", "pkey_mprotect")},
        **{(call, "flags"): _Flags(_MAP_FLAGS, "MAP_FILE") for call in ("mmap", "mmap2")},
        **{(call, "cmd"): commands["fcntl"]["cmd"] for call in ("fcntl", "fcntl64")},
        **{(call, "how"): linux["SIGPROCMASK_HOW"] for call in ("sigprocmask", "rt_sigprocmask")},
        **{(call, "op"): _NameAndFlags(commands["futex"]["op"], _FUTEX_FLAGS) for call in ("futex", "futex_time64")},
        **{(call, "type"): types for call in ("socket", "socketpair")},
        **{(call, "flag"): at for call in ("newfstatat", "fstatat64", "unlinkat", "fchownat", "name_to_handle_at")},
        **{(call, "flags"): at for call in ("statx", "faccessat2", "fchmodat2", "linkat", "utimensat", "execveat")},
        ("lseek", "whence"): _WHENCE,
        ("clone", "flags"): _clone_flags,
    }


@cache
def _prototypes() -> Mapping[str, tuple[str, _Declared]]:
    prototypes: Mapping[str, tuple[str, _Declared]] = ptrace_table("prototypes.py", "SYSCALL_PROTOTYPES")
    return prototypes


@cache
def _literals(file: str) -> Mapping[str, Any]:
    """The tables in one of python-ptrace's modules that can't be loaded without its whole package."""
    found: dict[str, Any] = {}
    for statement in ast.parse(ptrace_source(file).read_text()).body:
        if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
            found[target.id] = _literal(statement.value)
    return found


def _literal(node: ast.expr) -> Any:
    """The value of ``node``, or of those parts of a dictionary that need nothing from elsewhere; None for others."""
    if isinstance(node, ast.Dict):
        pairs = ((_literal(key), _literal(value)) for key, value in zip(node.keys, node.values, strict=True) if key)
        return {key: value for key, value in pairs if key is not None and value is not None}
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
