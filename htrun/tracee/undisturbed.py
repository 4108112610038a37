"""Restarts calls that an ignored signal has interrupted.

A signal that a process ignores does not wake its threads. But the kernel wakes the threads of a traced process, so that
the tracer can see the signal (kernel/signal.c, sig_ignored). The kernel restarts most calls, since it knows how much of
their time is left. Some calls return EINTR (ptrace(2), "Bugs": epoll_wait, inotify reads; also sigtimedwait, semop, and
calls on sockets with a time limit). htrun lets the thread make such a call again, as if the thread had not been woken.

The repeated call has its whole time limit again: with a signal every 50 ms, a wait of 100 ms would never return. So
htrun keeps the end of the time limit, counted from the first signal. At the first signal after this end, the call gets
the result that it has at its limit. The call never returns early. It may return late, by at most the time from the call
to the first signal, plus the time between two signals.

A stop of the process (SIGSTOP, SIGTSTP) interrupts such calls with EINTR without htrun too, so these are not restarted.
"""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from htrun import hosts
from htrun.tracee.stopped import Stopped

if TYPE_CHECKING:
    from htrun.hosts.calls import Limit

_IGNORED_BY_DEFAULT = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT})
_LOW = 0xFFFFFFFF
_NO_CALL = (1 << 64) - 1
_MASKS = frozenset({"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"})


class _Wait(NamedTuple):
    """A call that was made again. ``call``: the values that identify the call. ``limit``: the time limit of the call.
    ``until``: the end of this limit (ns of the monotonic clock). ``flags``: the thread's flags before htrun marked
    them."""

    call: tuple[int, ...]
    limit: Limit | None
    until: int
    flags: int


class Waits:
    """The restarted calls of all threads. ``clock``: returns ns."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._waits: dict[int, _Wait] = {}

    def woken(self, stopped: Stopped, number: int, process: int, read: Callable[[int, int], bytes]) -> None:
        """Restart the call of a thread that was woken unnecessarily. ``stopped``: the thread, stopped for signal
        ``number`` (0: stopped only for htrun). ``process``: the id of its process. ``read``: reads its memory."""
        if not _is_interrupted(stopped):
            return
        tid = stopped.tid
        status = _status(tid)
        if not _only_ignored(status, number):
            self._waits.pop(tid, None)
            return
        host, words = hosts.current(), hosts.current().words
        call = stopped.user_word(words.call_number)
        abi = host.interface(host.bits_in(stopped.user_word(words.mode)))
        arguments = [stopped.user_word(word) for word in abi.argument_words]
        at = stopped.user_word(words.pc)
        known_by = (call, at, stopped.user_word(words.sp), *arguments)
        now, flags, marked = self._clock(), stopped.user_word(words.flags), host.impossible_flags
        wait = self._waits.get(tid)
        if wait is None or wait.call != known_by or flags & marked != marked:
            limit = host.limit_of(process, abi.bits, call & _LOW, arguments, read)
            wait = _Wait(known_by, limit, now + (limit.duration if limit is not None else 0), flags)
        if wait.limit is not None and now >= wait.until:
            del self._waits[tid]
            stopped.set_user_word(words.result, wait.limit.result & _NO_CALL)
            stopped.set_user_word(words.call_number, _NO_CALL)
            stopped.set_user_word(words.flags, wait.flags)
            return
        self._waits[tid] = wait
        stopped.set_user_word(words.flags, flags | marked)
        stopped.set_user_word(words.result, call)
        stopped.set_user_word(words.pc, at - len(abi.instruction))

    @staticmethod
    def interrupted(stopped: Stopped) -> None:
        """Handle a thread after a stop of its process: if this stop has interrupted a call, a later stop must not
        restart the call."""
        if _is_interrupted(stopped):
            stopped.set_user_word(hosts.current().words.call_number, _NO_CALL)

    def ended(self, tid: int) -> None:
        """Forget a thread that is gone."""
        self._waits.pop(tid, None)


def _is_interrupted(stopped: Stopped) -> bool:
    """Whether a thread is at the end of a call that returns EINTR."""
    words = hosts.current().words
    if stopped.user_word(words.result) & _LOW != -errno.EINTR & _LOW:
        return False
    return stopped.user_word(words.call_number) & _LOW != _LOW


def _status(tid: int) -> dict[str, str]:
    """The fields of /proc/TID/status (proc_pid_status(5)); empty if the thread is gone."""
    try:
        lines = Path(f"/proc/{tid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition(":\t") for line in lines)}


def _only_ignored(status: dict[str, str], number: int) -> bool:
    """Whether the process ignores signal ``number`` (0: none), and no other pending signal may have ended the call."""
    if not status:
        return False
    masks = {name: int(status[name], 16) for name in _MASKS}
    bit = 1 << (number - 1) if number else 0
    ignored = not bit or masks["SigIgn"] & bit or (number in _IGNORED_BY_DEFAULT and not masks["SigCgt"] & bit)
    waiting = (masks["SigPnd"] | masks["ShdPnd"]) & ~masks["SigBlk"] & ~masks["SigIgn"]
    return bool(ignored) and not waiting
