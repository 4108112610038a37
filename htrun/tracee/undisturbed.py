"""Waits that a signal nobody wants must not end.

A signal that a process ignores does not reach it, and wakes nobody. For a traced process the kernel wakes the thread
all the same, so that the tracer can see the signal (kernel/signal.c, sig_ignored). Most calls are then restarted by the
kernel, but some return EINTR (ptrace(2), "Bugs": epoll_wait, inotify reads; sigtimedwait and semop are others). Such a
call is made again here, as if it had never been woken. Its time-out starts anew, which is the lesser evil.
"""

from __future__ import annotations

import errno
import signal
from pathlib import Path

from htrun.tracee import ptrace

_ORIG_RAX_OFFSET = 15 * 8
"""In struct user (<sys/user.h>)."""
_CALL_LENGTH = 2
"""Bytes of ``syscall`` and of ``int $0x80``."""
_IGNORED_BY_DEFAULT = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT})
_LOW = 0xFFFFFFFF


def undisturb(tid: int, number: int) -> None:
    """Let the system call go on that a thread, stopped for signal ``number``, was woken from in vain, if it was."""
    result = ptrace.user_word(tid, ptrace.RAX_OFFSET)
    if result & _LOW != -errno.EINTR & _LOW:
        return
    call = ptrace.user_word(tid, _ORIG_RAX_OFFSET)
    if call & _LOW == _LOW or not _only_ignored(tid, number):
        return
    ptrace.set_user_word(tid, ptrace.RAX_OFFSET, call)
    ptrace.set_user_word(tid, ptrace.RIP_OFFSET, ptrace.user_word(tid, ptrace.RIP_OFFSET) - _CALL_LENGTH)


def _only_ignored(tid: int, number: int) -> bool:
    """Whether the process ignores the signal, and no other waits that may have ended the call (proc_pid_status(5))."""
    try:
        lines = Path(f"/proc/{tid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    masks = {name: int(value, 16) for name, _, value in (line.partition(":\t") for line in lines) if name in _MASKS}
    bit = 1 << (number - 1)
    ignored = masks["SigIgn"] & bit or (number in _IGNORED_BY_DEFAULT and not masks["SigCgt"] & bit)
    waiting = (masks["SigPnd"] | masks["ShdPnd"]) & ~masks["SigBlk"] & ~masks["SigIgn"]
    return bool(ignored) and not waiting


_MASKS = frozenset({"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"})
