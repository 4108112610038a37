"""Reads and writes a tracee's memory through /proc/PID/mem. Reading or writing any number of bytes takes one system
call, and writes ignore page protection.

Opening and closing this file take as long as ten other system calls. So if the file is not open, single words are read
and written by ptrace(2), if the thread is stopped. A forked child that only exits does not need the file.
"""

from __future__ import annotations

import errno
import functools
import os
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

from htrun.tracee.ptrace import peek, poke

_KERNEL_HALF = 1 << 63
"""The addresses from here on belong to the kernel, and are too large for a file offset."""
_WIDE = 8
_WINDOW = 1 << 16
"""The number of bytes that one read fetches for strings that are close together."""
_OVERRIDING = 1 << 1 | 1 << 19
"""CAP_DAC_OVERRIDE and CAP_SYS_PTRACE, as bits of a set of capabilities (<linux/capability.h>)."""
_NOT_THERE = frozenset({errno.EIO, errno.EFAULT, errno.ESRCH, errno.ENOENT})


def is_not_there(error: OSError) -> bool:
    """Whether an error of `Memory` means that nothing is mapped at an address, or that the process is gone. Other
    errors have causes outside the memory, such as a limit or a permission."""
    return error.errno in _NOT_THERE


class _OpenFiles:
    """The `Memory` objects whose files are open, the least recently used first.

    A run may have so many processes that htrun cannot have the memory files of all of them open. A file that is closed
    here is opened again when its memory is used again.
    """

    def __init__(self) -> None:
        self._memories: OrderedDict[Memory, None] = OrderedDict()
        self._most = 0

    def opened(self, memory: Memory) -> None:
        """Note that ``memory`` has opened its file. If too many files are open, other memories' files are closed."""
        if not self._most:
            # Half of the limit, since the outputs need files too.
            self._most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, 1)
        self._memories[memory] = None
        while len(self._memories) > self._most and self.close_one():
            pass

    def used(self, memory: Memory) -> None:
        """Note that ``memory`` was used just now."""
        self._memories.move_to_end(memory)

    def closed(self, memory: Memory) -> None:
        """Note that ``memory`` has closed its file."""
        self._memories.pop(memory, None)

    def close_one(self) -> bool:
        """Close the least recently used file that can be opened again. Returns False if there is none."""
        # The most recently used file is not closed, because it is in use.
        for memory in list(self._memories)[:-1]:
            if memory.may_be_opened():
                memory.release()
                return True
        return False


_open_files = _OpenFiles()


def _nobody() -> Iterable[int]:
    return ()


class Memory:
    """The memory of one address space. It must be closed when the address space ends.

    Its file is opened at the first use. Most processes of a shell script map no channel and execute only native
    programs, so their memory is never opened. Before the first use, `reach_through` sets the thread through which the
    file is opened. If many files are open, the file may be closed between two uses (`_OpenFiles`).
    """

    def __init__(self, tid: int, threads: Callable[[], Iterable[int]] = _nobody) -> None:
        """``threads``: returns the threads that run in the memory. If ``tid`` is gone, the file is opened through one
        of these."""
        self._tid = tid
        self._file = -1
        self._closed = False
        self._pinned = False
        self.threads = threads

    def reach_through(self, tid: int) -> None:
        """Set the stopped thread ``tid`` as the thread through which the memory is opened next. An open memory stays
        open."""
        self._tid = tid

    def secure(self) -> None:
        """Open the memory now if it may be forbidden to open it later. Raises OSError if it is forbidden now, or if the
        process is gone."""
        if not _opens_any_memory():
            self.open()

    def open(self) -> None:
        """Open the memory now, since the thread may be gone later. Raises OSError if it is already gone."""
        if self._file >= 0:
            if not self._pinned:
                _open_files.used(self)
            return
        if self._closed:
            raise FileNotFoundError(errno.ENOENT, "the memory is gone")
        self._file = self._opened()
        _open_files.opened(self)

    def keep_open(self) -> None:
        """Open the memory now, and keep it open, since it may be forbidden to open the memory later. Raises OSError."""
        self.open()
        self._pinned = True
        _open_files.closed(self)

    def _opened(self) -> int:
        """Open a file of the memory, through any thread of the memory that still exists. Raises OSError."""
        ways = self._ways()
        for tid in ways[:-1]:
            with suppress(FileNotFoundError, ProcessLookupError):
                return _open_memory(tid)
        return _open_memory(ways[-1])

    def _ways(self) -> list[int]:
        """The threads through which the memory may be opened, the best thread first. A thread that has left the memory,
        by an exec or after a vfork, is not among them."""
        ways = list(self.threads()) or [self._tid]
        return sorted(ways, key=lambda tid: tid != self._tid) if len(ways) > 1 else ways

    def read(self, address: int, length: int) -> bytes:
        """Read up to ``length`` bytes, or fewer if the mapping ends earlier. Raises OSError if nothing is mapped."""
        if self._file < 0 and length <= _WIDE and (word := self._word(address)) is not None:
            return word[:length]
        self._reach(address)
        return os.pread(self._file, length, address)

    def read_whole(self, address: int, length: int) -> bytes:
        """Read all ``length`` bytes. Raises OSError if some of them are not mapped, or if the memory is gone."""
        data = self.read(address, length)
        if len(data) != length:
            raise OSError(errno.EFAULT, f"short read of {length} bytes at {address:#x}")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write all of ``data``, even to pages that the tracee itself may not write (the kernel makes private copies).
        Raises OSError if some of the pages are not mapped."""
        if self._file < 0 and len(data) == _WIDE and self._set_word(address, data):
            return
        self._reach(address)
        if os.pwrite(self._file, data, address) != len(data):
            raise OSError(errno.EFAULT, f"short write of {len(data)} bytes at {address:#x}")

    def _word(self, address: int) -> bytes | None:
        """The word at ``address``, read by ptrace; None if this is impossible."""
        return None if self._closed else peek(self._ways()[0], address)

    def _set_word(self, address: int, word: bytes) -> bool:
        """Write ``word`` by ptrace. Returns whether this was possible."""
        return not self._closed and poke(self._ways()[0], address, word)

    def read_string(self, address: int, limit: int = 1 << 17) -> bytes:
        """The NUL-terminated string at ``address``, without the NUL. Raises OSError (E2BIG) if it has more than
        ``limit`` bytes. The default is the limit of exec (include/uapi/linux/binfmts.h, MAX_ARG_STRLEN)."""
        found, ended = self.string_start(address, limit)
        if not ended:
            raise OSError(errno.E2BIG, f"no end of the string at {address:#x}")
        return found

    def string_start(self, address: int, most: int) -> tuple[bytes, bool]:
        """Up to ``most`` bytes of the NUL-terminated string at ``address``, and whether these are the whole string.
        Raises OSError."""
        found, end = bytearray(), -1
        while end < 0 and len(found) < most:
            piece = self._to_end_of_page(address + len(found))
            end = piece.find(b"\0")
            found += piece[:end] if end >= 0 else piece
        return bytes(found[:most]), end >= 0 and len(found) <= most

    def read_strings(self, addresses: Iterable[int]) -> list[bytes]:
        """The strings at ``addresses``, each as `read_string` returns it. Strings that follow each other in memory, as
        they usually do, are read together."""
        strings: list[bytes] = []
        start, window = 0, b""
        for address in addresses:
            at = address - start
            end = window.find(b"\0", at) if 0 <= at < len(window) else -1
            if end < 0:
                start, window = address, self.read(address, _WINDOW)
                at, end = 0, window.find(b"\0")
            strings.append(window[at:end] if end >= 0 else self.read_string(address))
        return strings

    def read_words(self, address: int, size: int, limit: int = 1 << 20) -> list[int]:
        """The words of ``size`` bytes (4 or 8) at ``address`` before a zero word, as in an argv array.

        Raises OSError (E2BIG) if there are more than ``limit`` words. The default is more than exec accepts."""
        words = self.first_words(address, size, limit + 1)
        if len(words) > limit:
            raise OSError(errno.E2BIG, f"no end of the words at {address:#x}")
        return words

    def first_words(self, address: int, size: int, most: int) -> list[int]:
        """The first ``most`` words that `read_words` would return, or all if there are fewer. Raises OSError."""
        words: list[int] = []
        rest = b""
        while len(words) < most:
            rest += self._to_end_of_page(address + size * len(words) + len(rest))
            whole = len(rest) - len(rest) % size
            found = memoryview(rest)[:whole].cast("Q" if size == _WIDE else "I").tolist()
            ended = 0 in found
            words += found[: found.index(0)] if ended else found
            if ended:
                break
            rest = rest[whole:]
        return words[:most]

    def _to_end_of_page(self, address: int) -> bytes:
        data = self.read(address, 4096 - address % 4096)
        if not data:
            raise OSError(errno.ESRCH, "the process is gone")
        return data

    def _reach(self, address: int) -> None:
        self.open()
        if address >= _KERNEL_HALF:
            raise OSError(errno.EFAULT, f"{address:#x} is not an address that a program can have")

    def close(self) -> None:
        """Close the file permanently. A later use of this object is an error, so that it cannot reach the memory of
        another program."""
        self._closed = True
        self.release()

    def may_be_opened(self) -> bool:
        """Whether the file could be opened again. The process may have forbidden this meanwhile (PR_SET_DUMPABLE,
        prctl(2))."""
        return any(os.access(_file_of(tid), os.R_OK | os.W_OK) for tid in self._ways())

    def release(self) -> None:
        """Close the file until the next use."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            _open_files.closed(self)


@functools.cache
def _opens_any_memory() -> bool:
    """Whether no process can forbid htrun to open its memory: htrun has the capabilities that override the owner of the
    file and PR_SET_DUMPABLE (proc_pid_mem(5))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        effective = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
    return effective & _OVERRIDING == _OVERRIDING


def _open_memory(tid: int) -> int:
    while True:
        try:
            return os.open(_file_of(tid), os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not _open_files.close_one():
                raise


def _file_of(tid: int) -> str:
    return f"/proc/{tid}/mem"
