"""The C declarations of the arguments of system calls: their types and names.

They come from python-ptrace's table (see `htrun.events.syscalls`); what it lacks or has wrong comes from the kernel's
sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from htrun.events.syscalls import ARCH_I386, ptrace_table

Declared = tuple[tuple[str, str], ...]


def declared_arguments(arch: int, name: str) -> Declared | None:
    """The types and names of the arguments of the interface's call ``name``, as C declares them; None if the call is
    unknown."""
    if arch == ARCH_I386 and name in _ON_I386:
        return _ON_I386[name]
    if name in _NEWER:
        return _NEWER[name]
    known = _prototypes()
    for spelling in (name, name.lstrip("_"), name.removesuffix("32"), name.removesuffix("_time64"), _base(name)):
        if spelling in known:
            declared: Declared = known[spelling][1]
            return declared
    return None


def _base(name: str) -> str:
    return {"_newselect": "select", "ugetrlimit": "getrlimit", "clock_gettime64": "clock_gettime"}.get(name, name)


def _declared(*words: str) -> Declared:
    """Parse words such as ``int fd`` and ``void* buf``."""
    return tuple((type_, name) for type_, name in (word.rsplit(" ", 1) for word in words))


_NEWER: Mapping[str, Declared] = {
    "arch_prctl": _declared("int option", "void* addr"),
    "cachestat": _declared("int fd", "void* cstat_range", "void* cstat", "unsigned int flags"),
    "clock_adjtime64": _declared("clockid_t which_clock", "void* tx"),
    "clock_settime64": _declared("clockid_t which_clock", "void* tp"),
    "clone3": _declared("struct clone_args* cl_args", "size_t size"),
    "close_range": _declared("unsigned int first", "unsigned int last", "unsigned int flags"),
    "epoll_pwait2": _declared(
        "int epfd", "void* events", "int maxevents", "void* timeout", "void* sigmask", "size_t sigsetsize"
    ),
    "faccessat2": _declared("int dfd", "char* filename", "int mode", "int flags"),
    "fchmodat2": _declared("int dfd", "char* filename", "umode_t mode", "int flags"),
    "file_getattr": _declared("int dfd", "char* filename", "void* attr", "size_t usize", "unsigned int flags"),
    "file_setattr": _declared("int dfd", "char* filename", "void* attr", "size_t usize", "unsigned int flags"),
    "fsconfig": _declared("int fs_fd", "unsigned int cmd", "char* key", "void* value", "int aux"),
    "fsmount": _declared("int fs_fd", "unsigned int flags", "unsigned int attr_flags"),
    "fsopen": _declared("char* fs_name", "unsigned int flags"),
    "fspick": _declared("int dfd", "char* path", "unsigned int flags"),
    "futex_requeue": _declared("void* waiters", "unsigned int flags", "int nr_wake", "int nr_requeue"),
    "futex_wait": _declared(
        "void* uaddr",
        "unsigned long val",
        "unsigned long mask",
        "unsigned int flags",
        "void* timeout",
        "clockid_t clockid",
    ),
    "futex_waitv": _declared(
        "void* waiters", "unsigned int nr_futexes", "unsigned int flags", "void* timeout", "clockid_t clockid"
    ),
    "futex_wake": _declared("void* uaddr", "unsigned long mask", "int nr", "unsigned int flags"),
    "get_thread_area": _declared("void* u_info"),
    "getxattrat": _declared(
        "int dfd", "char* path", "unsigned int at_flags", "char* name", "void* uargs", "size_t usize"
    ),
    "io_pgetevents": _declared(
        "aio_context_t* ctx_id", "long min_nr", "long nr", "void* events", "void* timeout", "void* sig"
    ),
    "io_pgetevents_time64": _declared(
        "aio_context_t* ctx_id", "long min_nr", "long nr", "void* events", "void* timeout", "void* sig"
    ),
    "io_uring_enter": _declared(
        "int fd", "u32 to_submit", "u32 min_complete", "u32 flags", "void* argp", "size_t argsz"
    ),
    "io_uring_register": _declared("int fd", "unsigned int opcode", "void* arg", "unsigned int nr_args"),
    "io_uring_setup": _declared("u32 entries", "void* params"),
    "iopl": _declared("int level"),
    "landlock_add_rule": _declared("int ruleset_fd", "int rule_type", "void* rule_attr", "u32 flags"),
    "landlock_create_ruleset": _declared("void* attr", "size_t size", "u32 flags"),
    "landlock_restrict_self": _declared("int ruleset_fd", "u32 flags"),
    "listmount": _declared("void* req", "void* mnt_ids", "size_t nr_mnt_ids", "unsigned int flags"),
    "listxattrat": _declared("int dfd", "char* path", "unsigned int at_flags", "void* list", "size_t size"),
    "lsm_get_self_attr": _declared("unsigned int attr", "void* ctx", "u32* size", "u32 flags"),
    "lsm_list_modules": _declared("void* ids", "u32* size", "u32 flags"),
    "lsm_set_self_attr": _declared("unsigned int attr", "void* ctx", "u32 size", "u32 flags"),
    "map_shadow_stack": _declared("unsigned long addr", "unsigned long size", "unsigned int flags"),
    "membarrier": _declared("int cmd", "unsigned int flags", "int cpu_id"),
    "memfd_secret": _declared("unsigned int flags"),
    "modify_ldt": _declared("int func", "void* ptr", "size_t bytecount"),
    "mount_setattr": _declared("int dfd", "char* path", "unsigned int flags", "void* uattr", "size_t usize"),
    "move_mount": _declared("int from_dfd", "char* from_path", "int to_dfd", "char* to_path", "unsigned int flags"),
    "mseal": _declared("unsigned long start", "size_t len", "unsigned long flags"),
    "oldfstat": _declared("int fd", "void* statbuf"),
    "oldlstat": _declared("char* filename", "void* statbuf"),
    "oldstat": _declared("char* filename", "void* statbuf"),
    "open_tree": _declared("int dfd", "char* path", "unsigned int flags"),
    "open_tree_attr": _declared("int dfd", "char* path", "unsigned int flags", "void* uattr", "size_t usize"),
    "openat2": _declared("int dfd", "char* filename", "void* how", "size_t size"),
    "pidfd_getfd": _declared("int pidfd", "int targetfd", "unsigned int flags"),
    "pidfd_open": _declared("pid_t pid", "unsigned int flags"),
    "pidfd_send_signal": _declared("int pidfd", "int sig", "void* info", "unsigned int flags"),
    "pkey_alloc": _declared("unsigned long flags", "unsigned long access_rights"),
    "pkey_free": _declared("int pkey"),
    "pkey_mprotect": _declared("unsigned long start", "size_t len", "unsigned long prot", "int pkey"),
    "preadv2": _declared(
        "unsigned long fd", "void* vec", "unsigned long vlen", "unsigned long pos_l", "unsigned long pos_h", "int flags"
    ),
    "process_madvise": _declared("int pidfd", "void* vec", "size_t vlen", "int behavior", "unsigned int flags"),
    "process_mrelease": _declared("int pidfd", "unsigned int flags"),
    "pwritev2": _declared(
        "unsigned long fd", "void* vec", "unsigned long vlen", "unsigned long pos_l", "unsigned long pos_h", "int flags"
    ),
    "quotactl_fd": _declared("unsigned int fd", "unsigned int cmd", "qid_t id", "void* addr"),
    "readdir": _declared("unsigned int fd", "void* dirent", "unsigned int count"),
    "removexattrat": _declared("int dfd", "char* path", "unsigned int at_flags", "char* name"),
    "rseq": _declared("void* rseq", "u32 rseq_len", "int flags", "u32 sig"),
    "rt_sigreturn": (),
    "set_mempolicy_home_node": _declared(
        "unsigned long start", "unsigned long len", "unsigned long home_node", "unsigned long flags"
    ),
    "set_thread_area": _declared("void* u_info"),
    "setxattrat": _declared(
        "int dfd", "char* path", "unsigned int at_flags", "char* name", "void* uargs", "size_t usize"
    ),
    "sigreturn": (),
    "statmount": _declared("void* req", "void* buf", "size_t bufsize", "unsigned int flags"),
    "timer_gettime64": _declared("timer_t timer_id", "void* setting"),
    "timer_settime64": _declared("timer_t timer_id", "int flags", "void* new_setting", "void* old_setting"),
    "timerfd_gettime64": _declared("int ufd", "void* otmr"),
    "timerfd_settime64": _declared("int ufd", "int flags", "void* utmr", "void* otmr"),
    "umount2": _declared("char* name", "int flags"),
}
"""Calls that python-ptrace 0.9.9 lacks (include/linux/syscalls.h)."""

_ON_I386: Mapping[str, Declared] = {
    "fadvise64": _declared("int fd", "u32 offset_low", "u32 offset_high", "size_t len", "int advice"),
    "fadvise64_64": _declared(
        "int fd", "u32 offset_low", "u32 offset_high", "u32 len_low", "u32 len_high", "int advice"
    ),
    "fallocate": _declared("int fd", "int mode", "u32 offset_low", "u32 offset_high", "u32 len_low", "u32 len_high"),
    "fanotify_mark": _declared(
        "int fanotify_fd", "unsigned int flags", "u32 mask_low", "u32 mask_high", "int dfd", "char* pathname"
    ),
    "ftruncate64": _declared("unsigned int fd", "u32 offset_low", "u32 offset_high"),
    "lookup_dcookie": _declared("u32 cookie_low", "u32 cookie_high", "char* buf", "size_t len"),
    "mmap": _declared("void* args"),
    "pread64": _declared("unsigned int fd", "char* buf", "size_t count", "u32 pos_low", "u32 pos_high"),
    "pwrite64": _declared("unsigned int fd", "char* buf", "size_t count", "u32 pos_low", "u32 pos_high"),
    "readahead": _declared("int fd", "u32 offset_low", "u32 offset_high", "size_t count"),
    "select": _declared("void* args"),
    "sync_file_range": _declared(
        "int fd", "u32 offset_low", "u32 offset_high", "u32 nbytes_low", "u32 nbytes_high", "unsigned int flags"
    ),
    "truncate64": _declared("char* filename", "u32 length_low", "u32 length_high"),
    "umount": _declared("char* name"),
}
"""Arguments of 32-bit programs' calls of the same names: wide numbers are split in halves (arch/x86/kernel/sys_ia32.c).
"""


@cache
def _prototypes() -> Mapping[str, tuple[str, Declared]]:
    prototypes: Mapping[str, tuple[str, Declared]] = ptrace_table("prototypes.py", "SYSCALL_PROTOTYPES")
    return prototypes
