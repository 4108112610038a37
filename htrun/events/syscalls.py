"""The system calls of the two interfaces of an x86-64 kernel: their names and numbers.

The tables are python-ptrace's. Importing its package costs 30 ms and starts other programs, but the tables are modules
without dependencies, so they are loaded as files. What version 0.9.9 lacks or names differently from the kernel and
strace is corrected here (arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl of Linux 6.17).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Events

ARCH_X86_64 = 0xC000003E
ARCH_I386 = 0x40000003
"""AUDIT_ARCH_* (<linux/audit.h>): the kernel's way to identify the interface of a call."""
_FIRST_X32 = 512
"""Numbers from here on are of the x32 interface, which reuses the names of the others."""

_NEWER = {
    424: (
        "pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig "
        "fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 "
        "mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret "
        "process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake "
        "futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal "
        "setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr"
    ),
}
"""Runs of consecutive names from a number on: since Linux 5.1 a new call has the same number in both tables."""
_X86_64 = {283: "timerfd_create", 335: "uretprobe"}
_I386 = {
    16: "lchown break oldstat",
    22: "umount setuid getuid",
    28: "oldfstat",
    31: "stty gtty",
    35: "ftime",
    44: "prof",
    46: "setgid getgid",
    49: "geteuid getegid",
    52: "umount2 lock",
    56: "mpx",
    58: "ulimit",
    70: "setreuid setregid",
    76: "getrlimit",
    80: "getgroups setgroups select",
    84: "oldlstat",
    89: "readdir mmap",
    95: "fchown",
    98: "profil",
    106: "stat lstat fstat",
    112: "idle",
    127: "create_module",
    130: "get_kernel_syms",
    137: "afs_syscall setfsuid setfsgid _llseek",
    142: "_newselect",
    149: "_sysctl",
    164: "setresuid getresuid",
    167: "query_module",
    170: "setresgid getresgid",
    182: "chown",
    188: "getpmsg putpmsg",
    191: "ugetrlimit",
    198: (
        "lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 "
        "setresuid32 getresuid32 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32"
    ),
    273: "vserver",
    320: (
        "utimensat signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2 "
        "epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg "
        "fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg "
        "setns process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp "
        "getrandom memfd_create bpf execveat socket socketpair bind connect listen accept4 getsockopt setsockopt "
        "getsockname getpeername sendto sendmsg recvfrom recvmsg shutdown userfaultfd membarrier mlock2 "
        "copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx arch_prctl io_pgetevents rseq"
    ),
    393: (
        "semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl clock_gettime64 clock_settime64 "
        "clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64 "
        "timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64"
    ),
    416: (
        "io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64 "
        "rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64"
    ),
}


@dataclass(frozen=True)
class SyscallTable:
    """One interface's calls. ``names`` by number, ``numbers`` by name."""

    names: Mapping[int, str]
    numbers: Mapping[str, int]

    def name(self, number: int) -> str:
        """The call's name; ``syscall_N`` if it is too new, or does not exist."""
        return self.names.get(number) or f"syscall_{number}"


@cache
def table(arch: int) -> SyscallTable:
    """The table of the interface `ARCH_X86_64` or `ARCH_I386`; an empty one for any other number."""
    match arch:
        case _ if arch == ARCH_X86_64:
            known = ptrace_table("linux/x86_64.py", "SYSCALL_NAMES")
            names = {number: name for number, name in known.items() if number < _FIRST_X32}
            return _table(names | dict(_runs(_NEWER)) | dict(_runs(_X86_64)))
        case _ if arch == ARCH_I386:
            names = ptrace_table("linux/i386.py", "SYSCALL_NAMES")
            return _table(names | dict(_runs(_I386)) | dict(_runs(_NEWER)))
        case _:
            return SyscallTable({}, {})


def is_known(name: str) -> bool:
    """Whether either interface has a call ``name``."""
    return any(name in table(arch).numbers for arch in (ARCH_X86_64, ARCH_I386))


def names_of(events: Events) -> NDArray[np.str_]:
    """The name of the call of each of ``events``, which are calls and returns."""
    import numpy as np

    keys = np.stack([events["arch"], events["num"]], axis=1)
    used, places = np.unique(keys, axis=0, return_inverse=True)
    names = np.array([table(arch).name(number) for arch, number in used.tolist()], np.str_)
    return np.asarray(names[places.reshape(-1)])


def similar(name: str) -> list[str]:
    """Names that the unknown ``name`` may have been meant for, the likeliest first."""
    from difflib import get_close_matches

    known = table(ARCH_X86_64).numbers.keys() | table(ARCH_I386).numbers.keys()
    return get_close_matches(name, sorted(known), n=3)


def ptrace_table(file: str, name: str) -> Any:
    """The table ``name`` of the module ``file`` of python-ptrace, a path in its package of system calls."""
    of_file = spec_from_file_location("htrun_syscall_table", ptrace_source(file))
    assert of_file is not None
    assert of_file.loader is not None
    module = module_from_spec(of_file)
    of_file.loader.exec_module(module)
    return getattr(module, name)


def ptrace_source(file: str) -> Path:
    """The module ``file`` of python-ptrace's package of system calls."""
    spec = find_spec("ptrace")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("python-ptrace is not installed")
    return Path(spec.origin).parent / "syscall" / file


def _table(names: dict[int, str]) -> SyscallTable:
    return SyscallTable(names, {name: number for number, name in names.items()})


def _runs(runs: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    for first, names in runs.items():
        yield from enumerate(names.split(), first)
